//! The filter's metrics: the one place that has their names, kinds and meanings.
//!
//! The core counts in plain numbers, and the filter hands the changes to the host a few times a second. So a request pays
//! for no host call, whatever it counts.

use crate::callout::Reply;
use crate::clock::Timestamp;

/// How a metric behaves, as Proxy-Wasm has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of observed values.
    Histogram,
}

/// What a metric is called and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Which of the metrics it is.
    pub metric: Metric,
    /// How it behaves.
    pub kind: Kind,
    /// The name that operators see, in the convention of Prometheus.
    pub name: &'static str,
    /// What it counts or measures, for the documentation.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($metric:ident $kind:ident $name:literal $meaning:literal;)*) => {
        /// The metrics, by name in the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $(#[doc = $meaning] $metric,)* }

        /// Every metric, in the order of [`Metric`].
        pub const DEFINITIONS: &[Definition] = &[
            $(Definition { metric: Metric::$metric, kind: Kind::$kind, name: $name, meaning: $meaning },)*
        ];
    };
}

metrics! {
    EventsMatched Counter "retrohook_events_matched_total" "Exchanges that matched a route and became events.";
    EventsPublished Counter "retrohook_events_published_total" "Events that the target acknowledged.";
    EventsRetried Counter "retrohook_events_retried_total" "Attempts that failed and will be made again, one for each event.";
    EventsDroppedQueueFull Counter "retrohook_events_dropped_queue_full_total" "Events lost because the queue was full.";
    EventsDroppedExpired Counter "retrohook_events_dropped_expired_total" "Events lost because they reached `queue.max_age_seconds`.";
    EventsDroppedRefused Counter "retrohook_events_dropped_refused_total" "Events lost because AWS refused them for good.";
    EventsDroppedTooLarge Counter "retrohook_events_dropped_too_large_total" "Events lost because they are too large even when cut.";
    DeadLettersStored Counter "retrohook_dead_letters_stored_total" "Dead letters that the queue of `dead_letter.queue_url` took.";
    EventsAdopted Counter "retrohook_events_adopted_total" "Events taken over from a worker that was gone.";
    JournalFailures Counter "retrohook_journal_failures_total" "Events that the journal did not take, or did not keep.";
    EventsDroppedWithdrawn Counter "retrohook_events_dropped_withdrawn_total" "Events withdrawn because their client was answered with 503 (`on_failure: fail`).";
    ResponsesUndelivered Counter "retrohook_responses_undelivered_total" "Responses that were to wait for their event, and went on or became a 503 without its acknowledgement.";
    CalloutsOk Counter "retrohook_callouts_ok_total" "Calls to AWS that were answered with 200.";
    CalloutsError Counter "retrohook_callouts_error_total" "Calls to AWS that were answered with another status, by AWS or by the host in its place (Envoy answers 503 or 504 itself).";
    CalloutsNoReply Counter "retrohook_callouts_no_reply_total" "Calls to AWS that got no answer at all, or none before the deadline.";
    QueuedEntries Gauge "retrohook_queued_entries" "Events, and dead letters for a queue, that are queued or in flight.";
    QueuedBytes Gauge "retrohook_queued_bytes" "Bytes of the events that are queued or in flight.";
    OldestEntryAge Gauge "retrohook_oldest_entry_age_seconds" "Age of the oldest event that is queued or in flight, in seconds.";
    CapturesStored Counter "retrohook_captures_stored_total" "Webhooks that the queue has, and that were answered so.";
    CapturesUnverified Counter "retrohook_captures_unverified_total" "Webhooks that go to the queue marked, because their signature is not good.";
    CapturesRetried Counter "retrohook_captures_retried_total" "Attempts to store a webhook that failed and will be made again while its sender waits.";
    CapturesRefusedUnstored Counter "retrohook_captures_refused_unstored_total" "Webhooks answered 503 because SQS did not take them in time.";
    CapturesRefusedBusy Counter "retrohook_captures_refused_busy_total" "Webhooks answered 503 because `max_captures` were under way.";
    CapturesRefusedTooLarge Counter "retrohook_captures_refused_too_large_total" "Webhooks answered 413 because of `max_body_bytes`, or because SQS would not take the message.";
    CapturesRefusedUnverified Counter "retrohook_captures_refused_unverified_total" "Webhooks answered 401 because their signature is not good.";
    CapturesRefusedUnreadable Counter "retrohook_captures_refused_unreadable_total" "Webhooks answered 503 because the host did not give their body (Kong: `client_body_buffer_size`).";
    CapturesRefusedSilent Counter "retrohook_captures_refused_silent_total" "Webhooks answered 408 because the rest of the request did not come.";
    CapturesAbandoned Counter "retrohook_captures_abandoned_total" "Webhooks whose sender hung up before the answer; the queue may have them.";
    Capture Histogram "retrohook_capture_milliseconds" "Time from the end of a webhook to the answer that it is stored, in milliseconds.";
    Delivery Histogram "retrohook_delivery_milliseconds" "Time from the end of the response to the target's acknowledgement, in milliseconds.";
}

/// One change to report to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Add this much to a counter.
    Add(Metric, u64),
    /// A gauge that is the sum of what all workers have: this is what this worker has now, and by how much that changed.
    Level {
        /// Which gauge.
        metric: Metric,
        /// What this worker has.
        value: u64,
        /// By how much that is more than at the last time.
        change: i64,
    },
    /// Set a gauge, or add an observation to a histogram.
    Record(Metric, u64),
}

impl Update {
    /// The metric that changed.
    pub fn metric(self) -> Metric {
        match self {
            Update::Add(metric, _) | Update::Record(metric, _) | Update::Level { metric, .. } => metric,
        }
    }
}

/// The state of a queue, for the gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events that are queued or in flight.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// When the oldest of them was queued.
    pub oldest: Option<Timestamp>,
}

/// What has been counted and not been reported yet.
#[derive(Debug, Default)]
pub struct Metrics {
    pending: Vec<Update>,
    reported: Backlog,
    reported_age: u64,
    /// What is counted now is of dead letters, not of events.
    of_letters: bool,
}

impl Metrics {
    /// Counts what `work` does with dead letters on their way to a queue, not as what becomes of events.
    pub fn of_letters<T>(&mut self, work: impl FnOnce(&mut Metrics) -> T) -> T {
        self.of_letters = true;
        let done = work(self);
        self.of_letters = false;
        done
    }

    /// What a metric of events is where dead letters are counted; none if they have no such metric.
    fn translated(&self, metric: Metric) -> Option<Metric> {
        match metric {
            _ if !self.of_letters => Some(metric),
            Metric::EventsPublished => Some(Metric::DeadLettersStored),
            Metric::CalloutsOk | Metric::CalloutsError | Metric::CalloutsNoReply => Some(metric),
            Metric::EventsAdopted | Metric::JournalFailures => Some(metric),
            _ => None,
        }
    }

    /// Adds `count` to a counter.
    pub fn add(&mut self, metric: Metric, count: usize) {
        let Some(metric) = self.translated(metric) else { return };
        let count = unsigned(count);
        let pending = self.pending.iter_mut().find_map(|update| match update {
            Update::Add(candidate, sum) if *candidate == metric => Some(sum),
            _ => None,
        });
        match pending {
            _ if count == 0 => {}
            Some(sum) => *sum += count,
            None => self.pending.push(Update::Add(metric, count)),
        }
    }

    /// Counts what came of a call to AWS.
    pub fn count_reply(&mut self, reply: &Reply) {
        let metric = match reply {
            Reply::Response { status: 200, .. } => Metric::CalloutsOk,
            Reply::Response { .. } => Metric::CalloutsError,
            Reply::NoResponse(_) => Metric::CalloutsNoReply,
        };
        self.add(metric, 1);
    }

    /// Adds an observation to a histogram.
    pub fn observe(&mut self, metric: Metric, value: u64) {
        if let Some(metric) = self.translated(metric) {
            self.pending.push(Update::Record(metric, value));
        }
    }

    /// Takes what has changed since the last time.
    ///
    /// The queues of all workers share one gauge in the host, so what a worker reports is also by how much its own queue grew
    /// or shrank. Ages do not add up: the gauge of the age is that of the worker that reported last.
    pub fn take_updates(&mut self, backlog: Backlog, now: Timestamp) -> Vec<Update> {
        self.level(Metric::QueuedEntries, backlog.entries, self.reported.entries);
        self.level(Metric::QueuedBytes, backlog.bytes, self.reported.bytes);
        self.reported = backlog;
        let age = backlog.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        if age != self.reported_age {
            self.reported_age = age;
            self.pending.push(Update::Record(Metric::OldestEntryAge, age));
        }
        std::mem::take(&mut self.pending)
    }

    /// Takes over what another worker has added to the gauges, in entries and bytes: its queue is in this worker's backlog from
    /// now on.
    pub fn inherit(&mut self, (entries, bytes): (i64, i64)) {
        let add = |count: usize, change: i64| count.saturating_add_signed(isize::try_from(change).unwrap_or(0));
        self.reported.entries = add(self.reported.entries, entries);
        self.reported.bytes = add(self.reported.bytes, bytes);
    }

    fn level(&mut self, metric: Metric, now: usize, before: usize) {
        if now != before {
            let change = unsigned(now).wrapping_sub(unsigned(before)) as i64;
            self.pending.push(Update::Level { metric, value: unsigned(now), change });
        }
    }
}

fn unsigned(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_stand_in_the_order_of_the_metrics() {
        for (position, definition) in DEFINITIONS.iter().enumerate() {
            assert_eq!(definition.metric as usize, position);
            assert_eq!(definition.kind == Kind::Counter, definition.name.ends_with("_total"), "{}", definition.name);
        }
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let documentation = include_str!("../docs/operation.md");
        for Definition { kind, name, meaning, .. } in DEFINITIONS {
            let row = format!("| `{name}` | {} | {meaning} |", format!("{kind:?}").to_lowercase());
            assert!(documentation.contains(&row), "{row}");
        }
    }

    #[test]
    fn only_changes_are_reported() {
        let mut metrics = Metrics::default();
        let backlog = Backlog { entries: 3, bytes: 300, oldest: Some(Timestamp(1_000)) };
        metrics.add(Metric::EventsMatched, 2);
        metrics.add(Metric::EventsMatched, 1);
        metrics.observe(Metric::Delivery, 12);
        assert_eq!(
            metrics.take_updates(backlog, Timestamp(3_500)),
            [
                Update::Add(Metric::EventsMatched, 3),
                Update::Record(Metric::Delivery, 12),
                Update::Level { metric: Metric::QueuedEntries, value: 3, change: 3 },
                Update::Level { metric: Metric::QueuedBytes, value: 300, change: 300 },
                Update::Record(Metric::OldestEntryAge, 2),
            ]
        );
        assert_eq!(metrics.take_updates(backlog, Timestamp(3_600)), []);
        assert_eq!(
            metrics.take_updates(Backlog { entries: 1, bytes: 100, oldest: None }, Timestamp(3_700)),
            [
                Update::Level { metric: Metric::QueuedEntries, value: 1, change: -2 },
                Update::Level { metric: Metric::QueuedBytes, value: 100, change: -200 },
                Update::Record(Metric::OldestEntryAge, 0),
            ]
        );
    }
}
