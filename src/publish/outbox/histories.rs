//! Random histories of the outbox: whatever happens, and in whatever order, what is promised of
//! every event holds at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::settings::WhenFull;
use super::tests::{event, failure, outbox, settings, SECOND};
use super::*;
use crate::aws::error::{FailureClass, Outcome};
use crate::clock::testing::ticks;
use crate::publish::dead_letter::DropReason;
use crate::publish::route::OnFailure;

const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 1_000;

#[derive(Clone, Debug)]
enum Step {
    Push {
        size: usize,
        group: u8,
        wait: Option<OnFailure>,
    },
    Settle {
        which: usize,
        fates: Vec<u8>,
        retry_after: Option<u16>,
    },
    /// A reply that came before comes once more.
    Repeat(usize),
    /// A client leaves whose response waits.
    Leave(usize),
    Wait(u64),
    /// The clock is set forward, or the worker stands still.
    Leap(u64),
    TurnBack(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![2 => Just(None), 1 => Just(Some(OnFailure::Pass)), 1 => Just(Some(OnFailure::Fail))];
    let fates = prop::collection::vec(0u8..10, 3);
    prop_oneof![
        4 => (1usize..400, 0u8..4, wait).prop_map(|(size, group, wait)| Step::Push { size, group, wait }),
        3 => (any::<usize>(), fates, prop::option::weighted(0.1, any::<u16>()))
            .prop_map(|(which, fates, retry_after)| Step::Settle { which, fates, retry_after }),
        1 => any::<usize>().prop_map(Step::Repeat),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => (0u64..10_000).prop_map(Step::Wait),
        1 => (0u64..7_200_000).prop_map(Step::Wait),
        1 => (0u64..7_200_000).prop_map(Step::Leap),
        1 => (0u64..7_200_000).prop_map(Step::TurnBack),
    ]
}

fn outcome(fate: u8) -> Outcome {
    match fate {
        0..=2 => Outcome::Delivered,
        3 | 4 => failure(FailureClass::Transient),
        5 => failure(FailureClass::Permanent),
        6 => failure(FailureClass::Throttled),
        7 => failure(FailureClass::Denied),
        8 => failure(FailureClass::Unclear),
        _ => failure(FailureClass::BatchTooLarge),
    }
}

/// An outbox, and what is known of its events from outside.
struct History {
    outbox: Outbox,
    now: Timestamp,
    ordered: bool,
    /// The time that passed, however the clock was set; and what of it had passed when each event
    /// came, and when each was sent that is under way.
    passed: Duration,
    came: Vec<Duration>,
    left: BTreeMap<usize, Duration>,
    /// Events by number: their groups.
    groups: Vec<u8>,
    acknowledged: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    flying: Vec<(BatchId, Vec<usize>)>,
    landed: Vec<(BatchId, usize)>,
    /// Responses that wait, by the number of their event.
    waiting: BTreeMap<usize, OnFailure>,
    /// Events whose client was told that they failed.
    refused: BTreeSet<usize>,
    /// Events that were sent at least once.
    sent: BTreeSet<usize>,
    /// Batches in a row without an event that a response waits for, while there was one that had
    /// never been sent.
    passed_over: u32,
    /// Events that the counters say have come to their end.
    ended: u64,
}

impl History {
    fn new(settings: OutboxSettings) -> History {
        History {
            ordered: settings.ordered,
            outbox: outbox(settings, 7),
            now: Timestamp(10_000_000),
            passed: Duration::ZERO,
            came: Vec::new(),
            left: BTreeMap::new(),
            groups: Vec::new(),
            acknowledged: BTreeSet::new(),
            dead: BTreeSet::new(),
            flying: Vec::new(),
            landed: Vec::new(),
            waiting: BTreeMap::new(),
            refused: BTreeSet::new(),
            sent: BTreeSet::new(),
            passed_over: 0,
            ended: 0,
        }
    }

    fn push(&mut self, size: usize, group: u8, wait: Option<OnFailure>) {
        let number = self.groups.len();
        self.groups.push(group);
        self.came.push(self.passed);
        let event = event(&number.to_string(), Some(&group.to_string()), self.now);
        match wait {
            None => self.outbox.push(event, size, self.now),
            Some(on_failure) => {
                let wait = Wait { ticket: Ticket(number as u32), on_failure };
                self.waiting.insert(number, on_failure);
                self.outbox.push_awaited(event, size, wait, self.now);
            }
        }
    }

    fn settle(&mut self, batch: BatchId, numbers: &[usize], fates: &[u8], retry_after: Option<Duration>) {
        let outcomes: Vec<_> = fates.iter().cycle().take(numbers.len()).map(|fate| outcome(*fate)).collect();
        if self.outbox.is_in_flight(batch) {
            let delivered = numbers.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Delivered);
            for (number, _) in delivered {
                if self.ordered {
                    let later = self
                        .acknowledged
                        .iter()
                        .any(|other| other > number && self.groups.get(*other) == self.groups.get(*number));
                    assert!(!later, "{number} was overtaken within its group");
                }
                assert!(self.acknowledged.insert(*number), "{number} was delivered twice");
            }
        }
        self.outbox.settle(batch, outcomes, retry_after, self.now);
        self.left.retain(|number, _| !numbers.contains(number));
        self.landed.push((batch, numbers.len()));
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Push { size, group, wait } => self.push(size, group, wait),
            Step::Settle { which, fates, retry_after } if !self.flying.is_empty() => {
                let (batch, numbers) = self.flying.remove(which % self.flying.len());
                let retry_after = retry_after.map(|millis| Duration::from_millis(u64::from(millis) % 20_000));
                self.settle(batch, &numbers, &fates, retry_after);
            }
            Step::Repeat(which) if !self.landed.is_empty() => {
                let (batch, count) = self.landed[which % self.landed.len()];
                let outcomes = vec![Outcome::Delivered; count];
                self.outbox.settle(batch, outcomes, Some(SECOND), self.now);
            }
            Step::Leave(which) if !self.waiting.is_empty() => {
                let number = *self.waiting.keys().nth(which % self.waiting.len()).unwrap();
                self.waiting.remove(&number);
                self.outbox.forget_response(Ticket(number as u32));
            }
            Step::Settle { .. } | Step::Repeat(_) | Step::Leave(_) => {}
            Step::Wait(millis) => self.wait(Duration::from_millis(millis)),
            Step::Leap(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.passed += Duration::from_millis(millis).min(SECOND);
            }
            Step::TurnBack(millis) => self.now = Timestamp(self.now.0.saturating_sub(millis)),
        }
    }

    /// Lets time pass, with ticks at which nothing is sent.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for now in ticks(self.now, end) {
            self.outbox.clock.at(now);
        }
        self.now = end;
        self.passed += duration;
    }

    /// Does the work of the filter at a tick.
    fn tick(&mut self) {
        while let Some((batch, events)) = self.outbox.poll(self.now) {
            assert!(!events.is_empty() && events.len() <= 3);
            let numbers: Vec<usize> = events.iter().map(|event| event.id.parse().unwrap()).collect();
            for number in &numbers {
                assert!(!self.acknowledged.contains(number), "{number} is sent again after its acknowledgement");
                assert!(!self.dead.contains(number), "{number} is sent after it was given up");
                let sent_before = self.left.insert(*number, self.passed);
                let in_vain = sent_before.is_none_or(|before| self.passed - before >= settings().deadline);
                assert!(in_vain, "{number} is sent twice before its deadline");
                assert!(!self.refused.contains(number), "{number} is sent after its client was told that it failed");
            }
            // Where order matters, it may wait for its group.
            let mut waiting = self.outbox.waits.tickets().map(|ticket| ticket.0 as usize);
            let passes_over = !self.ordered && waiting.any(|number| !self.sent.contains(&number));
            if passes_over && !numbers.iter().any(|number| self.waiting.contains_key(number)) {
                self.passed_over += 1;
                assert!(self.passed_over < 2, "{:?} are passed over for {numbers:?}", self.waiting);
            } else {
                self.passed_over = 0;
            }
            self.sent.extend(&numbers);
            self.flying.push((batch, numbers));
        }
        for (ticket, release) in self.outbox.take_releases(usize::MAX) {
            let number = ticket.0 as usize;
            let on_failure = self.waiting.remove(&number).expect("a response is released once, and only if it waits");
            match release {
                Release::Refuse => {
                    assert_eq!(on_failure, OnFailure::Fail);
                    assert!(!self.acknowledged.contains(&number));
                    self.refused.insert(number);
                }
                Release::Pass => assert!(on_failure == OnFailure::Pass || self.acknowledged.contains(&number)),
            }
        }
        self.check();
    }

    fn check(&mut self) {
        for letter in self.outbox.take_dead_letters() {
            if letter.reason == DropReason::Expired {
                let number: usize = letter.event.id.parse().unwrap();
                let age = self.passed - self.came[number];
                assert!(age >= settings().bounds.max_age, "{number} expired after {age:?}");
            }
            assert!(self.dead.insert(letter.event.id.parse().unwrap()), "a dead letter comes once");
        }
        let queued: Vec<usize> = self.outbox.undelivered().map(|letter| letter.event.id.parse().unwrap()).collect();
        let ends: Vec<usize> = self
            .acknowledged
            .iter()
            .chain(&self.dead)
            .chain(&queued)
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(ends, (0..self.groups.len()).collect::<Vec<_>>(), "none is lost without a trace");
        assert_eq!(
            self.acknowledged.len() + self.dead.len() + queued.len(),
            self.groups.len(),
            "every event is delivered, dead or queued, and one of these"
        );
        let backlog = self.outbox.backlog();
        assert_eq!(backlog.entries, queued.len());
        assert!(backlog.entries <= MAX_ENTRIES && backlog.bytes <= MAX_BYTES);
        let counts = self.outbox.take_counts();
        let Dropped { queue_full, expired, refused, too_large, withdrawn } = counts.dropped;
        self.ended += counts.acknowledged + queue_full + expired + refused + too_large + withdrawn;
        assert_eq!(self.ended as usize, self.acknowledged.len() + self.dead.len(), "the counters say the same");
    }

    /// Lets a service that works take all that is sent, for so long.
    fn heal(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.tick();
            for (batch, numbers) in std::mem::take(&mut self.flying) {
                self.settle(batch, &numbers, &[0], None);
            }
            self.wait(Duration::from_millis(25));
        }
        self.tick();
    }
}

proptest! {
    #[test]
    fn every_event_ends_exactly_once_and_nothing_stalls(
        steps in prop::collection::vec(step(), 1..150),
        ordered: bool,
        drop_newest: bool,
    ) {
        let when_full = if drop_newest { WhenFull::DropNewest } else { WhenFull::DropOldest };
        let bounds = Bounds { when_full, ..settings().bounds };
        let mut history = History::new(OutboxSettings { ordered, bounds, ..settings() });
        for step in steps {
            history.apply(step);
            history.tick();
        }
        // Whatever has happened, a service that works again gets all that is left: a wake-up that
        // was missed would leave something behind. The longest that anything waits for is the
        // silence that a service may ask for, and for as long what somebody has to mend.
        history.flying.clear();
        history.wait(settings().deadline);
        history.heal(60 * SECOND);
        prop_assert_eq!(history.outbox.backlog().entries, 0);
        prop_assert!(history.waiting.is_empty(), "no response waits for ever");
        // And it is as good as new: what comes now is delivered at once.
        let delivered = history.acknowledged.len();
        (0..3).for_each(|group| history.push(50, group, Some(OnFailure::Fail)));
        history.heal(Duration::from_millis(50));
        prop_assert_eq!(history.acknowledged.len(), delivered + 3);
    }
}
