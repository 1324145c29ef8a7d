use std::time::Duration;

use super::settings::{Batch, WhenFull};
use super::*;
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry::Retry;
use crate::clock::testing::ticks;
use crate::event::Event;
use crate::publish::queue::fake::{Fake, Gateway};
use crate::publish::queue::memory::MemoryStore;
use crate::publish::route::OnFailure;

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn settings() -> OutboxSettings {
    OutboxSettings {
        batch: Batch { max_entries: 3, max_delay: Duration::from_millis(100) },
        bounds: Bounds { max_entries: 10, max_bytes: 1_000, max_age: 60 * SECOND, when_full: WhenFull::DropOldest },
        retry: Retry { initial_delay: Duration::from_millis(50), max_delay: 20 * SECOND },
        max_in_flight: 2,
        max_batch_bytes: 300,
        deadline: 6 * SECOND,
        longest_wait: 5 * SECOND,
        ordered: false,
        yields: false,
    }
}

/// Creates an outbox whose queue nobody shares.
pub(super) fn outbox(settings: OutboxSettings, seed: u64) -> Outbox {
    let store = std::rc::Rc::new(MemoryStore::default());
    let queue = TargetQueue::new(store, ["topic_arn", "sns", "r", "t"], settings.amount(), settings.ordered, seed);
    Outbox::new(settings, queue, seed)
}

/// Creates an event without a message.
pub(super) fn event(id: &str, group: Option<&str>, at: Timestamp) -> Event {
    let group_id = group.map(str::to_owned);
    Event {
        id: id.to_owned(),
        message: String::new(),
        attributes: vec![],
        subject: None,
        group_id,
        trace_header: None,
        at,
    }
}

pub(super) struct Bench {
    pub(super) outbox: Outbox,
    pub(super) now: Timestamp,
}

impl Bench {
    pub(super) fn new(settings: OutboxSettings) -> Bench {
        Bench { outbox: outbox(settings, 7), now: Timestamp(1_000_000) }
    }

    pub(super) fn push_sized(&mut self, id: &str, group: Option<&str>, size: usize) {
        self.outbox.push(event(id, group, self.now), size, self.now);
    }

    pub(super) fn push(&mut self, ids: &[&str]) {
        for id in ids {
            self.push_sized(id, None, 50);
        }
    }

    pub(super) fn poll(&mut self) -> Option<(BatchId, Vec<String>)> {
        let (batch, events) = self.outbox.poll(self.now)?;
        Some((batch, events.into_iter().map(|event| event.id).collect()))
    }

    pub(super) fn poll_ids(&mut self) -> Vec<String> {
        self.poll().map(|(_, ids)| ids).unwrap_or_default()
    }

    pub(super) fn settle(&mut self, batch: BatchId, outcomes: Vec<Outcome>) {
        self.outbox.settle(batch, outcomes, None, self.now);
    }

    /// Lets time pass in which nothing is sent.
    pub(super) fn wait(&mut self, delay: Duration) {
        let end = self.now + delay;
        for now in ticks(self.now, end) {
            self.outbox.clock.at(now);
        }
        self.now = end;
    }
}

pub(super) fn failure(class: FailureClass) -> Outcome {
    Outcome::Failed(Failure::new(class, &format!("{class:?}"), ""))
}

/// Creates the outbox of one of the workers that share `store`.
pub(super) fn worker(store: &std::rc::Rc<Fake>, max_entries: usize, owner: u64) -> Bench {
    let bounds = Bounds { max_entries, max_bytes: 1 << 30, ..settings().bounds };
    let settings = OutboxSettings { bounds, ..settings() };
    let names = ["topic_arn", "sns", "r", "t"];
    let queue = TargetQueue::new(store.clone(), names, settings.amount(), false, owner);
    Bench { outbox: Outbox::new(settings, queue, 7), now: Timestamp(1_000_000) }
}

#[test]
fn a_batch_goes_when_it_is_full_or_has_waited() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b"]);
    assert_eq!(bench.poll_ids(), [""; 0]);
    bench.push(&["c", "d"]);
    assert_eq!(bench.poll_ids(), ["a", "b", "c"]);
    assert_eq!(bench.poll_ids(), [""; 0]);
    bench.wait(Duration::from_millis(100));
    assert_eq!(bench.poll_ids(), ["d"]);
}

#[test]
fn a_batch_goes_when_the_next_event_would_not_fit() {
    let mut bench = Bench::new(settings());
    bench.push_sized("a", None, 200);
    bench.push_sized("b", None, 101);
    assert_eq!(bench.poll_ids(), ["a"]);
    assert_eq!(bench.poll_ids(), [""; 0]);
}

#[test]
fn no_more_batches_are_in_flight_than_allowed() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    let (first, _) = bench.poll().unwrap();
    assert!(bench.poll().is_some());
    assert!(bench.poll().is_none());
    bench.settle(first, vec![Outcome::Delivered; 3]);
    assert_eq!(bench.poll_ids(), ["g", "h", "i"]);
}

#[test]
fn where_others_wait_a_failed_call_is_followed_by_a_pause_as_long_as_it_took() {
    for (yields, pause) in [(true, 6 * SECOND), (false, SECOND)] {
        let mut bench = Bench::new(OutboxSettings { yields, max_in_flight: 1, ..settings() });
        bench.push(&["a", "b", "c"]);
        bench.poll().unwrap();
        bench.wait(6 * SECOND);
        assert!(bench.poll().is_none(), "lost at its deadline");
        bench.wait(pause - Duration::from_millis(1));
        assert_eq!(bench.poll().is_none(), yields);
        bench.wait(Duration::from_millis(1));
        let (batch, _) = bench.poll().unwrap_or((BatchId(1), vec![]));
        bench.settle(batch, vec![Outcome::Delivered; 3]);
        bench.push(&["d", "e", "f"]);
        assert!(bench.poll().is_some(), "and no longer than until one succeeds");
    }
}

#[test]
fn each_entry_has_its_own_fate() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c"]);
    let (batch, _) = bench.poll().unwrap();
    bench.settle(batch, vec![Outcome::Delivered, failure(FailureClass::Transient), failure(FailureClass::Permanent)]);
    assert_eq!(bench.outbox.backlog().entries, 1);
    bench.wait(Duration::from_millis(50));
    assert_eq!(bench.poll_ids(), ["b"], "what failed for now is tried again, alone and without waiting for company");
    let notices = bench.outbox.take_notices("t", bench.now);
    assert!(notices.iter().any(|notice| notice.text.contains("event c: Permanent")), "{notices:?}");
}

#[test]
fn what_failed_together_is_one_batch_again() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c"]);
    let (batch, _) = bench.poll().unwrap();
    bench.settle(batch, vec![failure(FailureClass::Throttled); 3]);
    bench.wait(4 * SECOND);
    assert_eq!(bench.poll_ids(), ["a", "b", "c"]);
}

#[test]
fn a_batch_that_is_refused_as_a_whole_is_tried_one_by_one() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c"]);
    let (batch, _) = bench.poll().unwrap();
    bench.settle(batch, vec![failure(FailureClass::Permanent); 3]);
    let (first, ids) = bench.poll().unwrap();
    assert_eq!(ids, ["a"]);
    bench.settle(first, vec![failure(FailureClass::Permanent)]);
    for id in ["b", "c"] {
        let (batch, ids) = bench.poll().unwrap();
        assert_eq!(ids, [id]);
        bench.settle(batch, vec![Outcome::Delivered]);
    }
    assert_eq!(bench.outbox.backlog().entries, 0);
    assert_eq!(bench.outbox.take_counts().dropped.refused, 1);
}

#[test]
fn a_full_queue_drops_as_configured() {
    for (when_full, kept) in [(WhenFull::DropOldest, ["b", "c", "d"]), (WhenFull::DropNewest, ["a", "b", "c"])] {
        let bounds = Bounds { max_entries: 3, when_full, ..settings().bounds };
        let mut bench = Bench::new(OutboxSettings { bounds, ..settings() });
        bench.push(&["a", "b", "c", "d"]);
        assert_eq!(bench.poll_ids(), kept);
        assert_eq!(bench.outbox.take_counts().dropped.queue_full, 1);
    }
}

#[test]
fn what_is_in_flight_is_never_dropped_to_make_room() {
    let bounds = Bounds { max_entries: 3, ..settings().bounds };
    let mut bench = Bench::new(OutboxSettings { bounds, ..settings() });
    bench.push(&["a", "b", "c"]);
    let (batch, ids) = bench.poll().unwrap();
    bench.push(&["d"]);
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(bench.outbox.batch_len(batch), 3);
    assert_eq!(bench.outbox.take_counts().dropped.queue_full, 1);
}

#[test]
fn an_event_is_given_up_at_its_maximum_age() {
    let mut bench = Bench::new(settings());
    bench.push(&["a"]);
    bench.wait(60 * SECOND);
    assert_eq!(bench.poll_ids(), [""; 0]);
    assert_eq!(bench.outbox.backlog().entries, 0);
    assert_eq!(bench.outbox.take_counts().dropped.expired, 1);
}

#[test]
fn a_batch_without_a_reply_is_queued_again_at_its_deadline_and_a_late_reply_is_ignored() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c"]);
    let (lost, _) = bench.poll().unwrap();
    bench.wait(6 * SECOND);
    bench.poll();
    bench.wait(SECOND);
    bench.settle(lost, vec![Outcome::Delivered; 3]);
    assert_eq!(bench.outbox.backlog().entries, 3);
    assert_eq!(bench.outbox.take_counts().retried, 3);
}

#[test]
fn a_group_keeps_its_order_in_an_ordered_outbox() {
    let mut bench = Bench::new(OutboxSettings { ordered: true, ..settings() });
    for (id, group) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c")] {
        bench.push_sized(id, Some(group), 50);
    }
    let (batch, ids) = bench.poll().unwrap();
    assert_eq!(ids, ["a1", "b1", "c1"]);
    bench.wait(SECOND);
    assert_eq!(bench.poll_ids(), [""; 0], "a2 must not overtake a1, which is in flight");
    bench.settle(batch, vec![failure(FailureClass::Throttled), Outcome::Delivered, Outcome::Delivered]);
    assert_eq!(bench.poll_ids(), [""; 0], "a2 must not overtake a1, which waits for another attempt");
    bench.wait(SECOND);
    let (batch, ids) = bench.poll().unwrap();
    assert_eq!(ids, ["a1"]);
    bench.settle(batch, vec![Outcome::Delivered]);
    assert_eq!(bench.poll_ids(), ["a2"]);
}

#[test]
fn a_group_is_busy_until_what_is_in_flight_of_it_is_settled_whatever_else_of_it_is_dropped() {
    let bounds = Bounds { max_entries: 2, ..settings().bounds };
    let mut bench = Bench::new(OutboxSettings { ordered: true, bounds, ..settings() });
    bench.push_sized("a1", Some("a"), 50);
    bench.wait(SECOND);
    let (batch, _) = bench.poll().unwrap();
    for id in ["a2", "a3"] {
        bench.push_sized(id, Some("a"), 50);
    }
    bench.wait(SECOND);
    assert_eq!(bench.outbox.take_counts().dropped.queue_full, 1);
    assert_eq!(bench.poll_ids(), [""; 0], "a3 must not overtake a1");
    bench.settle(batch, vec![Outcome::Delivered]);
    assert_eq!(bench.poll_ids(), ["a3"]);
}

/// Polls at every tick of 25 ms for so long, and answers every batch at once. Gives how many calls
/// there were.
fn run(bench: &mut Bench, duration: Duration, outcome: &Outcome, lines: &mut Vec<String>) -> usize {
    let (end, mut calls) = (bench.now + duration, 0);
    while bench.now < end {
        while let Some((batch, ids)) = bench.poll() {
            calls += 1;
            bench.settle(batch, vec![outcome.clone(); ids.len()]);
        }
        lines.extend(bench.outbox.take_notices("t", bench.now).into_iter().map(|notice| notice.text));
        bench.wait(Duration::from_millis(25));
    }
    calls
}

#[test]
fn a_service_that_is_down_is_probed_and_has_everything_within_a_second_after_it_is_back() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    let mut lines = vec![];
    let calls = run(&mut bench, 43 * SECOND, &failure(FailureClass::Transient), &mut lines);
    assert!((43..100).contains(&calls), "{calls} calls in 43 s");
    run(&mut bench, SECOND, &Outcome::Delivered, &mut lines);
    assert_eq!(bench.outbox.backlog().entries, 0);
    run(&mut bench, 10 * SECOND, &Outcome::Delivered, &mut lines);
    let fails = "delivery fails and will be tried again, 9 event(s) queued: Transient: ";
    assert_eq!(
        lines[..2],
        [
            "the queue is more than 80 % full: 9 of 10 event(s), 450 of 1000 bytes; what finds no room is lost \
         (queue.when_full)",
            fails
        ]
        .map(str::to_owned)
    );
    assert!(lines[2].starts_with("delivery succeeds again after 4") && lines[3].starts_with("the queue has drained"));
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn who_throttles_in_the_place_of_aws_has_a_line_at_once() {
    for (code, calls) in [("HTTP 429", 1), ("ThrottlingException", 5)] {
        let mut bench = Bench::new(settings());
        bench.push(&["a", "b", "c"]);
        let throttled = Outcome::Failed(Failure::new(FailureClass::Throttled, code, "slow down"));
        for call in 1..=calls {
            let batch = loop {
                match bench.poll() {
                    Some((batch, _)) => break batch,
                    None => bench.wait(Duration::from_millis(25)),
                }
            };
            assert_eq!(bench.outbox.take_notices("a", bench.now).len(), 0, "{code} {call}");
            bench.settle(batch, vec![throttled.clone(); 3]);
        }
        let notices = bench.outbox.take_notices("a", bench.now);
        assert_eq!(notices.len(), 1, "{code}");
        assert!(notices[0].text.ends_with(&format!("3 event(s) queued: {code}: slow down")), "{notices:?}");
    }
}

#[test]
fn a_service_that_asks_for_silence_gets_it() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c"]);
    let (batch, _) = bench.poll().unwrap();
    let outcomes = vec![failure(FailureClass::Throttled); 3];
    bench.outbox.settle(batch, outcomes, Some(5 * SECOND), bench.now);
    bench.push(&["d", "e", "f"]);
    bench.wait(5 * SECOND - Duration::from_millis(1));
    assert_eq!(bench.poll_ids(), [""; 0], "not even what has not failed");
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.poll_ids(), ["a", "b", "c"]);
}

#[test]
fn a_clock_that_is_set_changes_nothing_for_what_is_queued_and_in_flight() {
    let hour = 3_600_000;
    let noon = 1_767_268_800_000;
    for set_to in [noon + hour, noon + 6_000, noon - hour, 1_000, noon + 25] {
        let mut bench = Bench::new(settings());
        bench.now = Timestamp(noon);
        bench.push(&["a", "b", "c", "d"]);
        let (batch, _) = bench.poll().unwrap();
        bench.now = Timestamp(set_to);
        bench.outbox.tend(bench.now);
        bench.wait(Duration::from_millis(100));
        assert_eq!(bench.poll_ids(), ["d"], "no later than its delay after {set_to}");
        assert!(bench.outbox.is_in_flight(batch), "no sooner than its deadline");
        bench.wait(4 * SECOND);
        assert_eq!(bench.poll_ids(), [""; 0]);
        bench.wait(2 * SECOND);
        bench.poll();
        assert!(!bench.outbox.is_in_flight(batch), "no later than its deadline");
        assert_eq!(bench.outbox.take_counts().dropped.expired, 0);
        bench.wait(60 * SECOND);
        bench.poll();
        assert_eq!(bench.outbox.backlog().entries, 0, "they expire in their time");
    }
}

#[test]
fn a_worker_that_stands_still_for_hours_expires_nothing() {
    let mut bench = Bench::new(settings());
    bench.push(&["a", "b", "c", "d"]);
    let (batch, _) = bench.poll().unwrap();
    bench.now = bench.now + 3_600 * SECOND;
    bench.settle(batch, vec![Outcome::Delivered; 3]);
    assert_eq!(bench.poll_ids(), ["d"]);
    assert_eq!(bench.outbox.take_counts().delivery_millis, [1_000; 3], "the time in which it did anything");
}

#[test]
fn under_load_with_seldom_ticks_time_goes_on() {
    let mut bench = Bench::new(settings());
    bench.push(&["a"]);
    // A tick each second and a half: a third of the time is not seen.
    let expired = (1..).find(|_| {
        bench.now = bench.now + Duration::from_millis(1_500);
        bench.outbox.tend(bench.now);
        bench.outbox.backlog().entries == 0
    });
    assert_eq!(expired, Some(60));
}

#[test]
fn where_every_slot_is_used_the_newest_is_dropped_and_nothing_gives_way_for_it() {
    let store = std::rc::Rc::new(Fake::new(Gateway::Envoy));
    let mut outboxes = [1, 40_000].map(|max_entries| worker(&store, max_entries, max_entries as u64));
    outboxes[0].push(&["of the smaller bound"]);
    let larger = &mut outboxes[1];
    (0..33_000).for_each(|number| larger.push(&[&number.to_string()]));
    let dropped: Vec<_> = larger.outbox.take_dead_letters().into_iter().map(|letter| letter.event.id).collect();
    assert!((1..3_000).contains(&dropped.len()), "{}", dropped.len());
    let newest: Vec<_> = (33_000 - dropped.len()..33_000).map(|number| number.to_string()).collect();
    assert_eq!(dropped, newest);
}

#[test]
fn a_worker_that_helps_leaves_it_to_the_sender_to_say_how_that_went() {
    for (class, says) in [(FailureClass::Denied, "are refused"), (FailureClass::Transient, "delivery fails")] {
        let store = std::rc::Rc::new(Fake::new(Gateway::Envoy));
        let [mut sender, mut helper] = [1_000, 2_000].map(|owner| worker(&store, 1_000, owner));
        sender.outbox.tend_queue(sender.now);
        (0..100).for_each(|number| sender.push(&[&number.to_string()]));
        helper.push(&["its own"]);
        helper.outbox.tend_queue(helper.now);
        let mut helped = 0;
        for _ in 0..40 {
            if let Some((batch, ids)) = helper.poll() {
                helped += 1;
                helper.settle(batch, vec![failure(class); ids.len()]);
            }
            assert_eq!(helper.outbox.take_notices("t", helper.now), []);
            helper.wait(Duration::from_millis(25));
            helper.outbox.tend_queue(helper.now);
        }
        assert!(helped > 0 && helper.outbox.circuit.is_open());
        let mut lines = vec![];
        run(&mut sender, 4 * SECOND, &failure(class), &mut lines);
        assert!(lines.len() == 1 && lines[0].contains(says), "{lines:?}");

        // Nobody else has this one, and nobody has it once its response is released.
        let mut other = worker(&store, 1_000, 3_000);
        let wait = Wait { ticket: Ticket(1), on_failure: OnFailure::Fail };
        other.outbox.push_awaited(event("awaited", None, other.now), 50, wait, other.now);
        lines.clear();
        run(&mut other, 4 * SECOND, &failure(class), &mut lines);
        assert!(lines.iter().any(|line| line.contains(says)), "{lines:?}");
    }
}
