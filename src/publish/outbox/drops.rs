//! Losses: each is counted, by reason; the log gets the first at once, and then a sum every few seconds, so that a flood of
//! losses is not a flood of lines.

use std::time::Duration;

use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::metrics::{Metric, Metrics};
use crate::notice::{Level, Notice};
use crate::publish::dead_letter::DropReason;

const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);

const REASONS: [DropReason; 5] =
    [DropReason::QueueFull, DropReason::Expired, DropReason::Refused, DropReason::TooLarge, DropReason::Withdrawn];

impl DropReason {
    fn metric(self) -> Option<Metric> {
        match self {
            DropReason::QueueFull => Some(Metric::EventsDroppedQueueFull),
            DropReason::Expired => Some(Metric::EventsDroppedExpired),
            DropReason::Refused => Some(Metric::EventsDroppedRefused),
            DropReason::TooLarge => Some(Metric::EventsDroppedTooLarge),
            DropReason::Withdrawn => Some(Metric::EventsDroppedWithdrawn),
            DropReason::Shutdown => None,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            DropReason::QueueFull => "the queue is full (queue.max_entries, queue.max_bytes)",
            DropReason::Expired => "not delivered within queue.max_age_seconds",
            DropReason::Refused => "refused for good",
            DropReason::TooLarge => "larger than the service takes",
            DropReason::Withdrawn => "withdrawn, for the client was answered with 503 (on_failure)",
            DropReason::Shutdown => "the process ends",
        }
    }
}

/// What of one reason the log has not been told yet.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    /// An event of them, and what AWS said of it.
    example: String,
    silent_until: Timestamp,
}

/// The losses of one outbox.
#[derive(Debug, Default)]
pub struct Drops {
    tallies: [Tally; REASONS.len()],
}

impl Drops {
    /// Counts the loss of an event.
    pub fn record(&mut self, reason: DropReason, event_id: &str, metrics: &mut Metrics) {
        self.count(reason, metrics, || format!("event {event_id}"));
    }

    /// Counts the loss of an event that AWS refused.
    pub fn record_failure(&mut self, reason: DropReason, event_id: &str, failure: &Failure, metrics: &mut Metrics) {
        self.count(reason, metrics, || format!("event {event_id}: {}: {}", failure.code, failure.message));
    }

    fn count(&mut self, reason: DropReason, metrics: &mut Metrics, example: impl Fn() -> String) {
        let Some(metric) = reason.metric() else { return };
        metrics.add(metric, 1);
        if let Some(tally) = self.tallies.get_mut(reason as usize) {
            if tally.count == 0 {
                tally.example = example();
            }
            tally.count += 1;
        }
    }

    /// A line for each reason that has not had one for a while.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let due = REASONS
            .into_iter()
            .zip(&mut self.tallies)
            .filter(|(_, tally)| tally.count > 0 && now >= tally.silent_until);
        due.map(|(reason, tally)| {
            tally.silent_until = now + SUMMARY_INTERVAL;
            let count = std::mem::take(&mut tally.count);
            let example = std::mem::take(&mut tally.example);
            let text = format!("{count} event(s) lost, {}: {example}", reason.describe());
            Notice { level: Level::Error, text }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_losses_is_counted_whole_and_logged_in_sums() {
        let (mut drops, mut metrics) = (Drops::default(), Metrics::default());
        drops.record(DropReason::QueueFull, "a", &mut metrics);
        let lines = drops.take_notices(Timestamp(0));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].text.starts_with("1 event(s) lost, the queue is full") && lines[0].text.ends_with("event a"));
        for _ in 0..500 {
            drops.record(DropReason::QueueFull, "b", &mut metrics);
        }
        assert_eq!(drops.take_notices(Timestamp(9_999)), []);
        assert!(drops.take_notices(Timestamp(10_000))[0].text.starts_with("500 event(s) lost"));
    }
}
