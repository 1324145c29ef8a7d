//! The filter's metrics: the one place that has their names, kinds and meanings.
//!
//! Each part counts in plain numbers of its own. A visit collects them as updates, and the filter
//! hands those to the host a few times a second: a request pays for no host call, whatever it
//! counts. Nothing here counts events or webhooks by itself.

use std::rc::Rc;
use std::time::Duration;

use crate::callout::Reply;
use crate::clock::Timestamp;

/// The version of the filter, as a metric and the log have it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a metric behaves, in the terms of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of observed values.
    Histogram,
}

/// The series that a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// One.
    One,
    /// One for each target.
    Targets,
    /// One, which bears the version of the filter and is always 1.
    Version,
}

/// Name and meaning of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Which of the metrics it is.
    pub metric: Metric,
    /// How it behaves.
    pub kind: MetricKind,
    /// The name that operators see, in the convention of Prometheus.
    pub name: &'static str,
    /// The series that it has.
    pub series: Series,
    /// The thing that it counts or measures, for the documentation.
    #[cfg(test)]
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($metric:ident $kind:ident $series:ident $name:literal $meaning:literal;)*) => {
        /// The metrics, by name in the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $(#[doc = $meaning] $metric,)* }

        /// Every metric, in the order of [`Metric`].
        pub const DEFINITIONS: &[Definition] = &[
            $(Definition {
                metric: Metric::$metric,
                kind: MetricKind::$kind,
                name: $name,
                series: Series::$series,
                #[cfg(test)]
                meaning: $meaning,
            },)*
        ];
    };
}

metrics! {
    EventsMatched Counter Targets "retrohook_events_matched_total" "Exchanges that matched a route and became events.";
    PathsTooLong Counter One "retrohook_paths_too_long_total" "Requests whose path was longer than `max_path_bytes`, which matches no route and no capture.";
    AttributesLeftOut Counter One "retrohook_attributes_left_out_total" "Attributes left out of events, because the value is not of the configured `type` or not one that the target takes.";
    BodiesLeftOut Counter One "retrohook_bodies_left_out_total" "Bodies left out of events, because `max_kept_body_bytes` of others were under way.";
    EventsPublished Counter Targets "retrohook_events_published_total" "Events that the target acknowledged.";
    EventsRetried Counter Targets "retrohook_events_retried_total" "Attempts that failed and will be made again, one for each event.";
    EventsDroppedQueueFull Counter Targets "retrohook_events_dropped_queue_full_total" "Events lost because the queue was full.";
    EventsDroppedExpired Counter Targets "retrohook_events_dropped_expired_total" "Events lost because they reached `queue.max_age_seconds`.";
    EventsDroppedRefused Counter Targets "retrohook_events_dropped_refused_total" "Events lost because their target refused them for good.";
    EventsDroppedTooLarge Counter Targets "retrohook_events_dropped_too_large_total" "Events lost because they are too large even when cut.";
    DeadLettersStored Counter Targets "retrohook_dead_letters_stored_total" "Dead letters that the queue of `dead_letter.queue_url` took.";
    DeadLettersLeftOut Counter One "retrohook_dead_letters_left_out_total" "Dead letters that are not in the log, because there were too many.";
    EventsAdopted Counter Targets "retrohook_events_adopted_total" "Events taken over from a worker that was gone.";
    JournalFailures Counter Targets "retrohook_journal_failures_total" "Events that the journal did not take, or did not keep.";
    EventsDroppedWithdrawn Counter Targets "retrohook_events_dropped_withdrawn_total" "Events withdrawn because their client was answered with 503 (`on_failure: fail`).";
    EventsDroppedShutdown Counter One "retrohook_events_dropped_shutdown_total" "Events that were not delivered when their worker of Kong ended.";
    EventsDroppedOrphaned Counter Targets "retrohook_events_dropped_orphaned_total" "Events lost because their worker was gone and no configuration had their target any more.";
    ResponsesUndelivered Counter Targets "retrohook_responses_undelivered_total" "Responses that should have waited for their event, and went on or became a 503 without its acknowledgement.";
    ResponsesUnheld Counter One "retrohook_responses_unheld_total" "Responses that should have waited for their event, and went to the client before its fate was known: seen by an access logger, or let go by the gateway.";
    CalloutsOk Counter Targets "retrohook_callouts_ok_total" "Calls to targets and to AWS that were answered with a success.";
    CalloutsError Counter Targets "retrohook_callouts_error_total" "Calls to targets and to AWS that were answered with another status, by them or by the host for them (Envoy answers 503 or 504 itself).";
    CalloutsNoReply Counter Targets "retrohook_callouts_no_reply_total" "Calls to targets and to AWS that got no answer at all, or none before the deadline.";
    RefusedCalls Counter Targets "retrohook_refused_calls_total" "Calls for events that were refused for a cause that somebody has to remove: the caller's rights, keys or secrets, the target, its KMS key, or a proxy on the way. Their events are held.";
    TargetsRefused Gauge Targets "retrohook_targets_refused" "Targets that refuse like this; nothing is lost before `queue.max_age_seconds`.";
    QueuedEntries Gauge Targets "retrohook_queued_entries" "Events, and dead letters for a queue, that are queued or in flight.";
    QueuedBytes Gauge Targets "retrohook_queued_bytes" "Bytes of the events that are queued or in flight.";
    OldestEntryAge Gauge Targets "retrohook_oldest_entry_age_seconds" "Age of the oldest event that is queued or in flight, in seconds.";
    CapturesStored Counter One "retrohook_captures_stored_total" "Webhooks that the target has, and that were answered with success.";
    CapturesUnverified Counter One "retrohook_captures_unverified_total" "Webhooks that are stored as not verified, because their signature is not good.";
    CapturesChallenged Counter One "retrohook_captures_challenged_total" "Challenges of senders, which are answered and not stored.";
    CapturesRetried Counter One "retrohook_captures_retried_total" "Attempts to store a webhook that failed and will be made again while its sender waits.";
    CapturesRefusedUnstored Counter One "retrohook_captures_refused_unstored_total" "Webhooks answered 503 because their target did not take them in time.";
    CapturesRefusedBusy Counter One "retrohook_captures_refused_busy_total" "Webhooks answered 503 because the share of `max_captures` that their queue could have was in use.";
    CapturesRefusedCrowded Counter One "retrohook_captures_refused_crowded_total" "Webhooks answered 503 because so many others had begun and were not whole (6,000 for each worker).";
    CapturesRefusedNoMemory Counter One "retrohook_captures_refused_no_memory_total" "Webhooks answered 503 because the share of `max_capture_bytes` that their queue could have was in use.";
    CapturesRefusedTooLarge Counter One "retrohook_captures_refused_too_large_total" "Webhooks answered 413 because of `max_body_bytes`, or because their target would not take the message.";
    CapturesRefusedUnverified Counter One "retrohook_captures_refused_unverified_total" "Webhooks answered 401 because their signature is not good.";
    CapturesRefusedUnreadable Counter One "retrohook_captures_refused_unreadable_total" "Webhooks answered 503 because the host did not give their body (Kong: `client_body_buffer_size`).";
    CapturesRefusedSilent Counter One "retrohook_captures_refused_silent_total" "Webhooks answered 408 because the rest of the request did not come.";
    CapturesRefusedSlow Counter One "retrohook_captures_refused_slow_total" "Webhooks answered 408 because the request was not whole after 30 s.";
    CapturesRefusedMisspelled Counter One "retrohook_captures_refused_misspelled_total" "Requests answered 503 because a capture takes another spelling of their path.";
    CapturesAbandoned Counter One "retrohook_captures_abandoned_total" "Webhooks whose sender hung up before the answer; the queue may have them.";
    Capture Histogram One "retrohook_capture_milliseconds" "Time from the end of a webhook to the answer that it is stored, in milliseconds.";
    Delivery Histogram Targets "retrohook_delivery_milliseconds" "Time from the end of the response to the target's acknowledgement, in milliseconds.";
    BuildInfo Gauge Version "retrohook_build_info" "1, for each version of the filter that the process has run.";
}

/// One change to report to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Add this much to a counter.
    Add(Metric, u64),
    /// A gauge that is the sum of what all workers have: this is what this worker has now, and by
    /// how much that changed.
    Level {
        /// Which gauge.
        metric: Metric,
        /// The level of this worker.
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

/// A change, and the target that it is of, by the short name that its series bears; none of what
/// has no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricChange {
    /// The target.
    pub target: Option<Rc<str>>,
    /// The change.
    pub update: Update,
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

/// Changes that one visit collects: each part adds what it has counted since the visit before.
#[derive(Debug, Default)]
pub struct Updates {
    /// The target that the next ones are of.
    target: Option<Rc<str>>,
    changes: Vec<MetricChange>,
}

impl Updates {
    /// Makes what comes next that of a target, or of none.
    pub(crate) fn of(&mut self, target: Option<&Rc<str>>) {
        self.target = target.cloned();
    }

    fn push(&mut self, update: Update) {
        self.changes.push(MetricChange { target: self.target.clone(), update });
    }

    /// Adds `count` to a counter. Called for every counter and only at ticks, it is built for size.
    #[inline(never)]
    pub(crate) fn add(&mut self, metric: Metric, count: u64) {
        if count == 0 {
            return;
        }
        let Updates { target, changes } = self;
        let of_target = changes.iter_mut().filter(|change| change.target == *target);
        let collected = of_target.filter_map(|change| match &mut change.update {
            Update::Add(candidate, sum) if *candidate == metric => Some(sum),
            _ => None,
        });
        match collected.last() {
            Some(sum) => *sum += count,
            None => self.push(Update::Add(metric, count)),
        }
    }

    /// Adds observations to a histogram.
    pub(crate) fn observe(&mut self, metric: Metric, values: Vec<u64>) {
        values.into_iter().for_each(|value| self.push(Update::Record(metric, value)));
    }

    /// Sets a gauge that is this worker's own.
    fn set(&mut self, metric: Metric, value: u64) {
        self.push(Update::Record(metric, value));
    }

    fn level(&mut self, metric: Metric, now: usize, before: usize, repeats: bool) {
        if now != before || repeats && now > 0 {
            let change = unsigned(now).wrapping_sub(unsigned(before)) as i64;
            self.push(Update::Level { metric, value: unsigned(now), change });
        }
    }

    /// Returns the changes, for the host.
    pub(crate) fn into_vec(self) -> Vec<MetricChange> {
        self.changes
    }
}

/// Counts what comes of calls to targets and to AWS.
#[derive(Debug, Default)]
pub(crate) struct CalloutCounts {
    ok: u64,
    error: u64,
    no_reply: u64,
}

impl CalloutCounts {
    /// Counts a call by its reply.
    pub(crate) fn count(&mut self, reply: &Reply) {
        match reply {
            Reply::Response(response) if response.status().is_success() => self.ok += 1,
            Reply::Response(_) => self.error += 1,
            Reply::NoResponse(_) => self.no_reply += 1,
        }
    }

    /// Counts calls that were given up at their deadline.
    pub(crate) fn count_lost(&mut self, calls: u64) {
        self.no_reply += calls;
    }

    /// Reports what was counted since the last visit.
    pub(crate) fn visit(&mut self, updates: &mut Updates) {
        let CalloutCounts { ok, error, no_reply } = std::mem::take(self);
        updates.add(Metric::CalloutsOk, ok);
        updates.add(Metric::CalloutsError, error);
        updates.add(Metric::CalloutsNoReply, no_reply);
    }
}

/// Time after which levels and refusals that are not zero are said again: another worker that
/// begins, or that was able to say something else, has set them. An age is another every second.
const REPEATED_AFTER: Duration = Duration::from_secs(1);

/// The gauges of one target's queue, and what the host knows of them.
///
/// All workers share them in the host, so an update also says by how much this worker's queue
/// grew or shrank. Ages and refusals do not add up: their gauges are those of the worker that
/// reported last.
#[derive(Debug, Default)]
pub(crate) struct BacklogGauges {
    reported: Backlog,
    reported_age: u64,
    /// True if the target refused at the last report.
    reported_refused: Option<bool>,
    repeated_at: Timestamp,
}

impl BacklogGauges {
    /// Reports what has changed since the last visit.
    pub(crate) fn visit(&mut self, backlog: Backlog, refused: bool, now: Timestamp, updates: &mut Updates) {
        let repeats = now.since(self.repeated_at) >= REPEATED_AFTER;
        if repeats {
            self.repeated_at = now;
        }
        updates.level(Metric::QueuedEntries, backlog.entries, self.reported.entries, repeats);
        updates.level(Metric::QueuedBytes, backlog.bytes, self.reported.bytes, repeats);
        self.reported = backlog;
        let age = backlog.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        if age != self.reported_age {
            self.reported_age = age;
            updates.set(Metric::OldestEntryAge, age);
        }
        // Said with the first event, because a worker before this one may have been unable to.
        let is_known = self.reported_refused.map_or(backlog.entries == 0, |reported| reported == refused);
        if !is_known || repeats && refused {
            self.reported_refused = Some(refused);
            updates.set(Metric::TargetsRefused, u64::from(refused));
        }
    }

    /// Returns true if the host has nothing of this queue.
    pub(crate) fn is_clear(&self) -> bool {
        self.reported.entries == 0 && self.reported.bytes == 0
    }

    /// Takes over what another worker has added to the gauges, in entries and bytes: its queue is
    /// in this worker's backlog from now on.
    #[inline(never)]
    pub(crate) fn inherit(&mut self, (entries, bytes): (i64, i64)) {
        let add = |count: usize, change: i64| count.saturating_add_signed(isize::try_from(change).unwrap_or(0));
        self.reported.entries = add(self.reported.entries, entries);
        self.reported.bytes = add(self.reported.bytes, bytes);
    }
}

fn unsigned(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::testing::response;

    #[test]
    fn definitions_stand_in_the_order_of_the_metrics() {
        for (position, definition) in DEFINITIONS.iter().enumerate() {
            assert_eq!(definition.metric as usize, position);
            assert_eq!(
                definition.kind == MetricKind::Counter,
                definition.name.ends_with("_total"),
                "{}",
                definition.name
            );
        }
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let documentation = include_str!("../docs/metrics.md");
        for Definition { kind, name, series, meaning, .. } in DEFINITIONS {
            let label = match series {
                Series::One => "",
                Series::Targets => "`target`",
                Series::Version => "`version`",
            };
            let row = format!("| `{name}` | {} | {label} | {meaning} |", format!("{kind:?}").to_lowercase());
            assert!(documentation.contains(&row), "{row}");
        }
    }

    fn visited(visit: impl FnOnce(&mut Updates)) -> Vec<Update> {
        let mut updates = Updates::default();
        visit(&mut updates);
        updates.into_vec().into_iter().map(|change| change.update).collect()
    }

    #[test]
    fn counts_of_two_targets_are_two_updates() {
        let mut updates = Updates::default();
        let targets: [Rc<str>; 2] = ["orders".into(), "bills".into()];
        for target in [Some(&targets[0]), Some(&targets[1]), None, Some(&targets[0])] {
            updates.of(target);
            updates.add(Metric::EventsPublished, 2);
        }
        let counts = updates.into_vec().into_iter().map(|MetricChange { target, update }| (target, update));
        let added = |count| Update::Add(Metric::EventsPublished, count);
        let [orders, bills] = targets;
        assert_eq!(counts.collect::<Vec<_>>(), [(Some(orders), added(4)), (Some(bills), added(2)), (None, added(2))]);
    }

    #[test]
    fn parts_that_count_alike_are_one_update() {
        let mut calls = [CalloutCounts::default(), CalloutCounts::default()];
        let ok = response(200, "");
        let lost = Reply::NoResponse(String::new());
        calls.iter_mut().for_each(|calls| calls.count(&ok));
        calls[1].count(&lost);
        calls[1].count_lost(2);
        let mut visit = || visited(|updates| calls.iter_mut().for_each(|calls| calls.visit(updates)));
        assert_eq!(visit(), [Update::Add(Metric::CalloutsOk, 2), Update::Add(Metric::CalloutsNoReply, 3)]);
        assert_eq!(visit(), [], "what was reported is not counted twice");
    }

    #[test]
    fn only_changes_of_gauges_are_reported() {
        let mut gauges = BacklogGauges::default();
        let mut visit = |backlog, now| visited(|updates| gauges.visit(backlog, false, Timestamp(now), updates));
        let backlog = Backlog { entries: 3, bytes: 300, oldest: Some(Timestamp(1_000)) };
        let level = |metric, value, change| Update::Level { metric, value, change };
        assert_eq!(
            visit(backlog, 3_500),
            [
                level(Metric::QueuedEntries, 3, 3),
                level(Metric::QueuedBytes, 300, 300),
                Update::Record(Metric::OldestEntryAge, 2),
                Update::Record(Metric::TargetsRefused, 0),
            ]
        );
        assert_eq!(visit(backlog, 3_600), []);
        assert_eq!(
            visit(Backlog { entries: 1, bytes: 100, oldest: None }, 3_700),
            [
                level(Metric::QueuedEntries, 1, -2),
                level(Metric::QueuedBytes, 100, -200),
                Update::Record(Metric::OldestEntryAge, 0),
            ]
        );
    }

    #[test]
    fn what_another_worker_had_reported_is_not_added_again() {
        let mut gauges = BacklogGauges::default();
        gauges.inherit((2, 200));
        let backlog = Backlog { entries: 3, bytes: 300, oldest: None };
        let updates = visited(|updates| gauges.visit(backlog, false, Timestamp(0), updates));
        let level = |metric, value, change| Update::Level { metric, value, change };
        let levels = [level(Metric::QueuedEntries, 3, 1), level(Metric::QueuedBytes, 300, 100)];
        assert_eq!(updates[..2], levels);
    }

    #[test]
    fn a_refusal_is_said_again_and_again_and_its_end_once() {
        let mut gauges = BacklogGauges::default();
        let mut visit = |refused: u64, millis| {
            let backlog = Backlog { entries: 1, ..Backlog::default() };
            let updates = visited(|updates| gauges.visit(backlog, refused == 1, Timestamp(millis), updates));
            updates.into_iter().filter(|update| update.metric() == Metric::TargetsRefused).collect::<Vec<_>>()
        };
        let said = |refused| [Update::Record(Metric::TargetsRefused, refused)];
        assert_eq!(visit(0, 0), said(0), "whatever a worker before had said");
        assert_eq!(visit(0, 5_000), []);
        assert_eq!(visit(1, 5_001), said(1));
        assert_eq!(visit(1, 5_999), []);
        assert_eq!(visit(1, 6_000), said(1), "another worker may have said 0");
        assert_eq!(visit(0, 6_001), said(0));
        assert_eq!(visit(0, 9_000), []);
    }
}
