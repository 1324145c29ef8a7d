//! Losses: each is counted, by reason. The log gets the first at once, and then a sum every few
//! seconds, so that a flood of losses is not a flood of lines.

use std::time::Duration;

use super::counts::Dropped;
use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};
use crate::publish::dead_letter::DropReason;

const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);

/// Every reason that an outbox drops an event for.
const REASONS: [DropReason; 5] =
    [DropReason::QueueFull, DropReason::Expired, DropReason::Refused, DropReason::TooLarge, DropReason::Withdrawn];

/// Losses for one reason that the log has not shown yet.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    /// One of the events, and what AWS said of it.
    example: String,
    silent_until: Timestamp,
}

/// The losses of one outbox.
#[derive(Debug, Default)]
pub(super) struct Drops {
    counts: Dropped,
    tallies: [Tally; REASONS.len()],
}

impl Drops {
    /// Counts the loss of an event; `failure` is what AWS said of it, where that is the reason.
    pub(super) fn record(&mut self, reason: DropReason, event_id: &str, failure: Option<&Failure>) {
        let count = match reason {
            DropReason::QueueFull => &mut self.counts.queue_full,
            DropReason::Expired => &mut self.counts.expired,
            DropReason::Refused => &mut self.counts.refused,
            DropReason::TooLarge => &mut self.counts.too_large,
            DropReason::Withdrawn => &mut self.counts.withdrawn,
            // No outbox has ever had it; or nothing is lost yet: if the process lives on, the event is
            // sent.
            DropReason::Orphaned | DropReason::Shutdown => return,
        };
        *count += 1;
        let tally = REASONS.iter().zip(&mut self.tallies).find(|(candidate, _)| **candidate == reason);
        if let Some((_, tally)) = tally {
            if tally.count == 0 {
                tally.example = example(event_id, failure);
            }
            tally.count += 1;
        }
    }

    /// Takes what was counted since the last visit.
    pub(super) fn take_counts(&mut self) -> Dropped {
        std::mem::take(&mut self.counts)
    }

    /// Returns a line for each reason that has not had one for a while.
    pub(super) fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let due = REASONS
            .into_iter()
            .zip(&mut self.tallies)
            .filter(|(_, tally)| tally.count > 0 && now >= tally.silent_until);
        due.map(|(reason, tally)| {
            tally.silent_until = now + SUMMARY_INTERVAL;
            let count = std::mem::take(&mut tally.count);
            let example = std::mem::take(&mut tally.example);
            let text = format!("{count} event(s) lost, {}: {example}", describe(reason));
            Notice { level: Level::Error, text }
        })
        .collect()
    }
}

fn example(event_id: &str, failure: Option<&Failure>) -> String {
    match failure {
        Some(Failure { code, message, .. }) => format!("event {event_id}: {code}: {message}"),
        None => format!("event {event_id}"),
    }
}

/// The reason as the log has it, with the key of the configuration that it depends on.
fn describe(reason: DropReason) -> &'static str {
    match reason {
        DropReason::QueueFull => "the queue is full (queue.max_entries, queue.max_bytes)",
        DropReason::Expired => "not delivered within queue.max_age_seconds",
        DropReason::Refused => "refused for good",
        DropReason::TooLarge => "larger than the service takes",
        DropReason::Withdrawn => "withdrawn because its client was answered 503 (on_failure)",
        DropReason::Orphaned => "no configuration has the target any more",
        DropReason::Shutdown => "the process ends",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_losses_is_counted_whole_and_logged_in_sums() {
        let mut drops = Drops::default();
        drops.record(DropReason::QueueFull, "a", None);
        let lines = drops.take_notices(Timestamp(0));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].text.starts_with("1 event(s) lost, the queue is full") && lines[0].text.ends_with("event a"));
        for _ in 0..500 {
            drops.record(DropReason::QueueFull, "b", None);
        }
        assert_eq!(drops.take_notices(Timestamp(9_999)), []);
        assert!(drops.take_notices(Timestamp(10_000))[0].text.starts_with("500 event(s) lost"));
        assert_eq!(drops.take_counts().queue_full, 501);
        assert_eq!(drops.take_counts().queue_full, 0, "none is counted twice");
    }
}
