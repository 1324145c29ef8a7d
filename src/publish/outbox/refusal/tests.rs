use std::time::Duration;

use super::super::settings::{Batch, Bounds, OutboxSettings};
use super::super::tests::{failure, settings, Bench, SECOND};
use super::*;
use crate::aws::error::FailureClass::{Denied, Permanent, Transient, Unclear};
use crate::aws::error::{FailureClass, Outcome};
use crate::publish::dead_letter::{DeadLetter, DropReason};

const BACKLOG: usize = 5_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn roomy() -> OutboxSettings {
    OutboxSettings {
        batch: Batch { max_entries: 10, max_delay: Duration::from_millis(100) },
        bounds: Bounds { max_entries: 2 * BACKLOG, max_bytes: 1 << 20, max_age: HOUR, ..settings().bounds },
        max_in_flight: 4,
        max_batch_bytes: 10_000,
        ..settings()
    }
}

/// A target and the outbox before it.
struct World {
    bench: Bench,
    calls: usize,
    delivered: Vec<String>,
    letters: Vec<DeadLetter>,
    lines: Vec<(Level, String)>,
}

impl World {
    fn new(settings: OutboxSettings) -> World {
        let bench = Bench::new(settings);
        World { bench, calls: 0, delivered: vec![], letters: vec![], lines: vec![] }
    }

    fn push(&mut self, count: usize) {
        for number in 0..count {
            self.bench.push_sized(&number.to_string(), None, 50);
        }
    }

    /// Polls at every tick of 25 ms for so long, has every call answered 25 ms later, and returns
    /// how many calls there were.
    fn run(&mut self, duration: Duration, target: impl Fn(&[String]) -> Vec<Outcome>) -> usize {
        let (end, before) = (self.bench.now + duration, self.calls);
        let mut flying = Vec::new();
        while self.bench.now < end || !flying.is_empty() {
            for (batch, ids) in std::mem::take(&mut flying) {
                let ids: Vec<String> = ids;
                let outcomes = target(&ids);
                let taken = ids.into_iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Delivered);
                self.delivered.extend(taken.map(|(id, _)| id));
                self.bench.settle(batch, outcomes);
            }
            while let Some(flight) = (self.bench.now < end).then(|| self.bench.poll()).flatten() {
                self.calls += 1;
                flying.push(flight);
            }
            self.letters.extend(self.bench.outbox.take_dead_letters());
            let notices = self.bench.outbox.take_notices("the-target", self.bench.now);
            self.lines.extend(notices.into_iter().map(|notice| (notice.level, notice.text)));
            self.bench.wait(Duration::from_millis(25));
        }
        self.calls - before
    }

    fn lines_of(&self, level: Level) -> Vec<&str> {
        self.lines.iter().filter(|(found, _)| *found == level).map(|(_, text)| text.as_str()).collect()
    }
}

/// A target that answers to each event alike.
fn all(outcome: Outcome) -> impl Fn(&[String]) -> Vec<Outcome> {
    move |ids| vec![outcome.clone(); ids.len()]
}

#[test]
fn a_backlog_is_held_while_its_target_refuses_and_all_of_it_delivered_when_that_is_mended() {
    for class in [Denied, Unclear] {
        let mut world = World::new(roomy());
        world.push(BACKLOG);
        let calls = world.run(HOUR / 2, all(failure(class)));
        // One at least every 30 s, and at the beginning those that were under way or split.
        assert!((50..250).contains(&calls), "{class:?}: {calls} calls in half an hour");
        assert!(world.bench.outbox.is_refused());
        assert_eq!((world.letters.len(), world.bench.outbox.backlog().entries), (0, BACKLOG));
        assert_eq!(world.bench.outbox.take_counts().refused_calls, calls as u64);
        let [line] = world.lines_of(Level::Error)[..] else { panic!("{:?}", world.lines) };
        let begin = format!(
            "calls to the-target are refused, and {BACKLOG} event(s) held, each for 3600 s at most \
             (queue.max_age_seconds): {class:?}: ; "
        );
        assert!(line.starts_with(&begin), "{line}");
        let calls = world.run(35 * SECOND, all(Outcome::Delivered));
        assert!(calls <= BACKLOG / 10 + 4 * 10, "{class:?}: {calls} calls for the backlog");
        assert_eq!((world.delivered.len(), world.bench.outbox.is_refused()), (BACKLOG, false));
        world.run(3 * SECOND, all(Outcome::Delivered));
        let infos = world.lines_of(Level::Info);
        assert!(infos.len() == 1 && infos[0].starts_with("calls to the-target are accepted again after"), "{infos:?}");
    }
}

#[test]
fn the_first_refusal_is_the_last_call_for_a_while() {
    let mut world = World::new(roomy());
    world.push(BACKLOG);
    let calls = world.run(5 * SECOND - Duration::from_millis(100), all(failure(Denied)));
    assert!(calls <= roomy().max_in_flight, "only those that were under way: {calls}");
}

#[test]
fn what_is_held_too_long_is_lost_with_the_refusal_as_its_error() {
    let mut world =
        World::new(OutboxSettings { bounds: Bounds { max_age: 300 * SECOND, ..roomy().bounds }, ..roomy() });
    world.push(100);
    world.run(301 * SECOND, all(failure(Denied)));
    assert_eq!(world.letters.len(), 100);
    for letter in &world.letters {
        assert_eq!(letter.reason, DropReason::Expired);
        assert_eq!(letter.failure.as_ref().map(|failure| failure.code.as_str()), Some("Denied"));
    }
    assert_eq!(world.bench.outbox.take_counts().dropped.expired, 100);
}

/// A target that refuses each call, or each event, in which there is one of these.
fn refuses(bad: &'static [&'static str], class: FailureClass, whole: bool) -> impl Fn(&[String]) -> Vec<Outcome> {
    move |ids| {
        let is_bad = |id: &String| bad.contains(&id.as_str());
        let any = ids.iter().any(is_bad);
        let outcome = |id| if (whole && any) || is_bad(id) { failure(class) } else { Outcome::Delivered };
        ids.iter().map(outcome).collect()
    }
}

#[test]
fn an_event_that_is_refused_alone_holds_up_no_other_and_is_kept_unless_it_is_known_to_be_bad() {
    for (class, whole) in [(Unclear, true), (Unclear, false), (Denied, true), (Denied, false)] {
        let case = format!("{class:?}, {}", if whole { "whole calls" } else { "entries" });
        let mut world = World::new(roomy());
        world.push(1_000);
        let target = refuses(&["3", "500"], class, whole);
        world.run(90 * SECOND, &target);
        assert_eq!(world.delivered.len(), 998, "{case}");
        assert!(world.bench.outbox.is_refused(), "{case}: and an alert may say so");
        // New events are delivered at once, and the two cost next to nothing.
        for _ in 0..600 {
            world.bench.push(&["new"]);
            world.run(SECOND, &target);
        }
        assert_eq!((world.delivered.len(), world.letters.len()), (1_598, 0), "{case}");
        assert!(world.calls < 100 + 600 + 120, "{case}: {} calls", world.calls);
        // Mended.
        world.run(31 * SECOND, all(Outcome::Delivered));
        assert_eq!((world.delivered.len(), world.bench.outbox.is_refused()), (1_600, false), "{case}");
        assert_eq!(world.lines_of(Level::Error).len(), 1, "{case}: {:?}", world.lines);
    }
    let mut world = World::new(roomy());
    world.push(1_000);
    world.run(5 * SECOND, refuses(&["3", "500"], Permanent, true));
    assert_eq!((world.delivered.len(), world.letters.len()), (998, 2), "what is known to be bad is buried");
}

#[test]
fn however_many_are_refused_alone_they_cost_a_call_a_second() {
    let mut world = World::new(roomy());
    let target = |ids: &[String]| {
        let outcome = |id: &String| if id == "bad" { failure(Denied) } else { Outcome::Delivered };
        ids.iter().map(outcome).collect()
    };
    for _ in 0..300 {
        for _ in 0..8 {
            world.bench.push(&["good", "good", "good", "good", "bad"]);
        }
        world.run(SECOND, target);
    }
    assert_eq!((world.delivered.len(), world.letters.len()), (300 * 8 * 4, 0));
    assert!(world.calls < 300 * 4 + 300 + 50, "{} calls", world.calls);
}

#[test]
fn within_a_group_nothing_overtakes_what_is_held() {
    let mut world = World::new(OutboxSettings { ordered: true, ..roomy() });
    for (id, group) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")] {
        world.bench.push_sized(id, Some(group), 50);
    }
    world.run(60 * SECOND, refuses(&["a1"], Denied, false));
    assert_eq!(world.delivered, ["b1", "b2"]);
    world.run(31 * SECOND, all(Outcome::Delivered));
    assert_eq!(world.delivered, ["b1", "b2", "a1", "a2"]);
}

#[test]
fn a_service_that_is_down_while_it_refuses_is_found_again_within_a_second() {
    let mut world = World::new(roomy());
    world.push(100);
    world.run(60 * SECOND, all(failure(Denied)));
    world.run(60 * SECOND, all(failure(Transient)));
    world.run(SECOND + Duration::from_millis(100), all(Outcome::Delivered));
    assert_eq!(world.delivered.len(), 100);
}
