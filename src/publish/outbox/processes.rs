//! Random histories of a process: several workers over one store, of which any may die between two
//! calls of the store, trap, be replaced or stand still, while others act. Whatever happens, every
//! event that was taken ends once, and in order where order matters; and no response says that its
//! event was delivered unless it was.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{event, failure, settings, SECOND};
use super::*;
use crate::aws::error::{FailureClass, Outcome};
use crate::publish::queue::fake::{Fake, Gateway};
use crate::publish::route::OnFailure;

const MAX_ENTRIES: usize = 30;
const TICK: Duration = Duration::from_millis(100);

/// What is known of events from outside.
struct Record {
    /// Events by number: their groups.
    groups: Vec<u8>,
    /// Events that a worker may have taken when it died.
    doubtful: BTreeSet<usize>,
    /// Events that the target has refused for good: the worker that was to make letters of them may
    /// have died.
    refused: BTreeSet<usize>,
    /// Events that may be delivered, or get a letter, once more: the worker that had them died or
    /// stood still.
    repeatable: BTreeSet<usize>,
    /// True once the store may have forgotten who sends, or where the queue ends: by that anything
    /// may come twice, also what is appended later.
    has_forgotten: bool,
    delivered: BTreeMap<usize, u32>,
    letters: BTreeMap<usize, u32>,
    ordered: bool,
    /// True if each group comes in order.
    keeps_order: bool,
    /// True if responses wait for two events of three.
    awaits: bool,
    /// Thousandths of calls that fail, and of those that are taken and have no reply.
    failing: u32,
    rng: fastrand::Rng,
}

impl Record {
    /// Lets the target have a batch. Returns the outcomes in its reply.
    fn send(&mut self, numbers: &[usize]) -> Vec<Outcome> {
        if self.rng.u32(0..1_000) < self.failing {
            let class = [FailureClass::Transient, FailureClass::Throttled, FailureClass::Denied][self.rng.usize(0..3)];
            return vec![failure(class); numbers.len()];
        }
        numbers
            .iter()
            .map(|number| {
                let fate = if self.failing == 0 { 0 } else { self.rng.u32(0..20) };
                match fate {
                    18 => {
                        self.refused.insert(*number);
                        failure(FailureClass::Permanent)
                    }
                    19 => failure(FailureClass::Transient),
                    _ => {
                        self.deliver(*number);
                        Outcome::Delivered
                    }
                }
            })
            .collect()
    }

    fn deliver(&mut self, number: usize) {
        let times = self.delivered.entry(number).or_default();
        *times += 1;
        let first = *times == 1;
        assert!(first || self.is_repeatable(number), "{number} is delivered twice");
        if first && self.keeps_order && !self.refused.contains(&number) {
            let group = self.groups[number];
            let later = self.delivered.keys().find(|other| **other > number && self.groups[**other] == group);
            assert_eq!(later, None, "{number} is late in group {group}");
        }
    }

    fn is_repeatable(&self, number: usize) -> bool {
        self.has_forgotten || self.repeatable.contains(&number)
    }

    fn letter(&mut self, number: usize) {
        let times = self.letters.entry(number).or_default();
        *times += 1;
        let first = *times == 1;
        assert!(first || self.is_repeatable(number), "{number} has two letters");
    }

    /// Returns how a response waits for an event, if one does; the ticket is the event's number.
    fn wait(&self, number: usize) -> Option<Wait> {
        let on_failure = match number % 3 {
            1 if self.awaits => OnFailure::Pass,
            2 if self.awaits => OnFailure::Fail,
            _ => return None,
        };
        Some(Wait { ticket: Ticket(u32::try_from(number).unwrap()), on_failure })
    }

    /// Takes a number for an event of a group.
    fn begin(&mut self, group: u8) -> usize {
        self.groups.push(group);
        let number = self.groups.len() - 1;
        if !self.ordered && self.wait(number).is_some() {
            // Its worker sends it itself, and another may take it over while a call goes on.
            self.repeatable.insert(number);
        }
        number
    }
}

/// A filter in a worker: the one that takes events, or one that was replaced and is leaving.
struct Root {
    outbox: Outbox,
    /// Calls under way: when they began, and what will be answered.
    flying: Vec<(BatchId, Vec<usize>, Vec<Outcome>, Timestamp)>,
    /// Events that responses of this filter wait for.
    awaited: BTreeSet<usize>,
    is_leaving: bool,
}

struct Worker {
    roots: Vec<Root>,
    /// It does nothing before then.
    still_until: Timestamp,
}

impl Worker {
    /// Returns the events under way, and those that are about to get a letter.
    fn in_hand(&self) -> Vec<usize> {
        let mut numbers = Vec::new();
        for root in &self.roots {
            numbers.extend(root.flying.iter().flat_map(|(_, numbers, ..)| numbers));
            let buried = root.outbox.dead_letters.iter();
            numbers.extend(buried.map(|buried| buried.letter.event.id.parse::<usize>().unwrap()));
        }
        numbers
    }
}

struct Process {
    store: Rc<Fake>,
    workers: Vec<Rc<RefCell<Worker>>>,
    record: Rc<RefCell<Record>>,
    now: Timestamp,
    owners: u64,
    /// True if the store forgets things, false if workers lose theirs: not both, or events are
    /// lost.
    forgets: bool,
}

fn new_root(store: &Rc<Fake>, ordered: bool, owner: u64) -> Root {
    let bounds = Bounds { max_entries: MAX_ENTRIES, ..settings().bounds };
    let settings = OutboxSettings { ordered, bounds, ..settings() };
    let shared = Rc::clone(store) as Rc<dyn crate::publish::queue::Store>;
    let queue = TargetQueue::new(shared, ["topic_arn", "sns", "r", "t"], settings.amount(), ordered, owner);
    Root { outbox: Outbox::new(settings, queue, owner), flying: vec![], awaited: BTreeSet::new(), is_leaving: false }
}

impl Root {
    fn push(&mut self, record: &RefCell<Record>, number: usize, now: Timestamp) {
        let group = record.borrow().groups[number];
        let event = event(&number.to_string(), Some(&group.to_string()), now);
        let wait = record.borrow().wait(number);
        match wait {
            None => self.outbox.push(event, 50, now),
            Some(wait) => {
                self.awaited.insert(number);
                self.outbox.push_awaited(event, 50, wait, now);
            }
        }
    }

    /// Lets responses go that wait no more.
    fn take_releases(&mut self, record: &RefCell<Record>) {
        let record = record.borrow();
        for (Ticket(number), release) in self.outbox.take_releases(usize::MAX).collect::<Vec<_>>() {
            let number = usize::try_from(number).unwrap();
            assert!(self.awaited.remove(&number), "the response of {number} goes twice");
            let says_so = record.wait(number).is_some_and(|wait| wait.on_failure == OnFailure::Fail);
            let is_success = says_so && release == Release::Pass;
            assert!(!is_success || record.delivered.contains_key(&number), "{number} is said to be delivered");
        }
    }

    fn tick(&mut self, record: &RefCell<Record>, store: &Fake, now: Timestamp) {
        self.outbox.tend_queue(now);
        // Every call is answered before its deadline.
        while let Some(late) = self.flying.iter().position(|(.., since)| now.since(*since) >= 3 * SECOND) {
            self.settle(late, now);
        }
        while let Some((batch, events)) = self.outbox.poll(now) {
            if store.life.get() == Some(0) {
                return;
            }
            let numbers: Vec<usize> = events.iter().map(|event| event.id.parse().unwrap()).collect();
            let outcomes = record.borrow_mut().send(&numbers);
            self.flying.push((batch, numbers, outcomes, now));
        }
        self.take_letters(record, store);
        if store.life.get() != Some(0) {
            self.take_releases(record);
        }
    }

    fn take_letters(&mut self, record: &RefCell<Record>, store: &Fake) {
        let letters = self.outbox.take_dead_letters();
        let numbers: Vec<usize> = letters.iter().map(|letter| letter.event.id.parse().unwrap()).collect();
        let mut record = record.borrow_mut();
        if store.life.get() == Some(0) {
            // They are written, and may be in the queue yet.
            record.repeatable.extend(&numbers);
        }
        numbers.into_iter().for_each(|number| record.letter(number));
    }

    fn settle(&mut self, which: usize, now: Timestamp) {
        if !self.flying.is_empty() {
            let (batch, _, outcomes, _) = self.flying.remove(which % self.flying.len());
            self.outbox.settle(batch, outcomes, None, now);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, u8),
    Ticks(u32),
    Settle(usize, usize),
    /// A worker loses its memory.
    Trap(usize),
    /// A worker gets a new filter; the old one drains.
    Reload(usize),
    /// A worker does nothing for so many milliseconds.
    Stop(usize, u64),
    /// A worker dies after so many calls of the store in its next push or tick.
    Crash(usize, u32, bool),
    /// Another worker pushes after so many calls of the store in this one's push or tick.
    Meanwhile(usize, usize, u32, bool),
    Failing(u32),
    Evict(usize),
    /// The store forgets any of its values, those that say who sends and where the queue ends
    /// included.
    Forget(usize),
    Full(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<usize>(), 0u8..3).prop_map(|(worker, group)| Step::Push(worker, group)),
        5 => (1u32..30).prop_map(Step::Ticks),
        5 => (any::<usize>(), any::<usize>()).prop_map(|(worker, which)| Step::Settle(worker, which)),
        1 => any::<usize>().prop_map(Step::Trap),
        1 => any::<usize>().prop_map(Step::Reload),
        1 => (any::<usize>(), 0u64..20_000).prop_map(|(worker, millis)| Step::Stop(worker, millis)),
        2 => (any::<usize>(), 0u32..40, any::<bool>()).prop_map(|(worker, calls, push)| Step::Crash(worker, calls, push)),
        3 => (any::<usize>(), any::<usize>(), 0u32..20, any::<bool>())
            .prop_map(|(worker, other, calls, push)| Step::Meanwhile(worker, other, calls, push)),
        1 => (0u32..1_000).prop_map(Step::Failing),
        1 => any::<usize>().prop_map(Step::Evict),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

impl Process {
    fn new(gateway: Gateway, forgets: bool, workers: usize, [ordered, awaits]: [bool; 2], seed: u64) -> Process {
        let store = Rc::new(Fake::new(gateway));
        let rng = fastrand::Rng::with_seed(seed);
        let record = Rc::new(RefCell::new(Record {
            groups: vec![],
            doubtful: BTreeSet::new(),
            refused: BTreeSet::new(),
            repeatable: BTreeSet::new(),
            has_forgotten: false,
            delivered: BTreeMap::new(),
            letters: BTreeMap::new(),
            ordered,
            keeps_order: ordered && !forgets,
            awaits,
            failing: 100,
            rng,
        }));
        let mut process = Process { store, workers: vec![], record, now: Timestamp(10_000_000), owners: 0, forgets };
        for _ in 0..workers {
            let root = process.root();
            let worker = Worker { roots: vec![root], still_until: Timestamp(0) };
            process.workers.push(Rc::new(RefCell::new(worker)));
        }
        process
    }

    fn root(&mut self) -> Root {
        self.owners += 1;
        new_root(&self.store, self.record.borrow().ordered, self.owners * 1_000)
    }

    fn worker(&self, which: usize) -> Rc<RefCell<Worker>> {
        Rc::clone(&self.workers[which % self.workers.len()])
    }

    fn is_still(&self, which: usize) -> bool {
        self.worker(which).borrow().still_until > self.now
    }

    fn push(&mut self, which: usize, group: u8) -> Option<usize> {
        if self.is_still(which) {
            return None;
        }
        let number = self.record.borrow_mut().begin(group);
        let worker = self.worker(which);
        let mut worker = worker.borrow_mut();
        worker.roots.last_mut().unwrap().push(&self.record, number, self.now);
        Some(number)
    }

    fn tick(&mut self, which: usize) {
        if self.is_still(which) {
            return;
        }
        let worker = self.worker(which);
        let mut worker = worker.borrow_mut();
        for root in &mut worker.roots {
            root.tick(&self.record, &self.store, self.now);
        }
        if self.store.life.get() == Some(0) {
            return;
        }
        worker.roots.retain(|root| !root.is_leaving || !root.outbox.is_done() || root.outbox.has_releases());
    }

    fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            self.now = self.now + TICK;
            (0..self.workers.len()).for_each(|which| self.tick(which));
        }
    }

    /// Takes a worker's memory away; all that it had may come twice.
    fn trap(&mut self, which: usize) {
        let root = self.root();
        let worker = self.worker(which);
        let mut worker = worker.borrow_mut();
        let mut record = self.record.borrow_mut();
        record.repeatable.extend(worker.in_hand());
        // What no queue has had, because its client was told so, is known to nobody else.
        let buried = worker.roots.iter().flat_map(|root| &root.outbox.dead_letters);
        let unqueued = buried.filter(|buried| buried.entry.is_none());
        record.doubtful.extend(unqueued.map(|buried| buried.letter.event.id.parse::<usize>().unwrap()));
        *worker = Worker { roots: vec![root], still_until: Timestamp(0) };
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Push(which, group) => drop(self.push(which, group)),
            Step::Ticks(count) => self.ticks(count),
            Step::Settle(which, flight) if !self.is_still(which) => {
                let worker = self.worker(which);
                let mut worker = worker.borrow_mut();
                let root = flight % worker.roots.len();
                worker.roots[root].settle(flight, self.now);
            }
            Step::Trap(_) | Step::Crash(..) if self.forgets => {}
            Step::Evict(_) | Step::Forget(_) | Step::Full(_) if !self.forgets => {}
            Step::Trap(which) => self.trap(which),
            Step::Reload(which) if !self.is_still(which) => {
                let root = self.root();
                let worker = self.worker(which);
                let mut worker = worker.borrow_mut();
                for old in &mut worker.roots {
                    if !std::mem::replace(&mut old.is_leaving, true) {
                        old.outbox.leave(self.now);
                    }
                }
                worker.roots.push(root);
            }
            Step::Stop(which, millis) => {
                let worker = self.worker(which);
                worker.borrow_mut().still_until = self.now + Duration::from_millis(millis);
                let worker = worker.borrow();
                self.record.borrow_mut().repeatable.extend(worker.in_hand());
            }
            Step::Crash(which, calls, pushes) if !self.is_still(which) => {
                self.store.life.set(Some(calls));
                let before = self.record.borrow().groups.len();
                // What it settles while it dies may be in the queue yet.
                let in_hand = self.worker(which).borrow().in_hand();
                match pushes {
                    true => drop(self.push(which, 9)),
                    false => self.tick(which),
                }
                let is_dead = self.store.life.replace(None) == Some(0);
                if is_dead {
                    let pushed = before..self.record.borrow().groups.len();
                    self.record.borrow_mut().doubtful.extend(pushed);
                    self.record.borrow_mut().repeatable.extend(in_hand);
                    self.trap(which);
                }
            }
            Step::Meanwhile(which, other, calls, pushes) => {
                let (worker, other) = (self.worker(which), self.worker(other));
                if Rc::ptr_eq(&worker, &other) || other.borrow().still_until > self.now {
                    return;
                }
                let (record, now) = (Rc::clone(&self.record), self.now);
                self.store.after(calls, move || {
                    let number = record.borrow_mut().begin(8);
                    other.borrow_mut().roots.last_mut().unwrap().push(&record, number, now);
                });
                match pushes {
                    true => drop(self.push(which, 7)),
                    false => self.tick(which),
                }
                self.store.after(u32::MAX, || {});
            }
            Step::Failing(thousandths) => self.record.borrow_mut().failing = thousandths,
            Step::Evict(rank) => {
                // It may be under way.
                self.record.borrow_mut().has_forgotten = true;
                self.store.evict(rank);
            }
            Step::Forget(rank) => {
                self.record.borrow_mut().has_forgotten = true;
                self.store.forget(rank);
            }
            Step::Full(is_full) => self.store.full.set(is_full),
            Step::Settle(..) | Step::Reload(_) | Step::Crash(..) => {}
        }
    }

    /// Lets a target that works take all that is left.
    fn heal(&mut self) {
        self.record.borrow_mut().failing = 0;
        self.store.full.set(false);
        for _ in 0..1_200 {
            for worker in self.workers.clone() {
                let mut worker = worker.borrow_mut();
                worker.still_until = worker.still_until.min(self.now + 20 * SECOND);
                if worker.still_until <= self.now {
                    for root in &mut worker.roots {
                        (0..root.flying.len()).for_each(|_| root.settle(0, self.now));
                    }
                }
            }
            self.ticks(1);
        }
    }

    fn check(&self, gateway: Gateway) -> Result<(), TestCaseError> {
        let record = self.record.borrow();
        for number in 0..record.groups.len() {
            let ends = record.delivered.contains_key(&number) || record.letters.contains_key(&number);
            prop_assert!(ends || record.doubtful.contains(&number), "{} is lost", number);
            let twice = record.delivered.contains_key(&number) && record.letters.contains_key(&number);
            prop_assert!(!twice || record.is_repeatable(number), "{} is delivered and has a letter", number);
        }
        prop_assert_eq!(self.store.events(), 0, "nothing is left");
        for worker in &self.workers {
            let worker = worker.borrow();
            prop_assert_eq!(worker.roots.len(), 1, "what was replaced is gone");
            let held = worker.roots[0].outbox.held();
            prop_assert_eq!((held.entries, held.bytes), (0, 0), "{:?}", gateway);
            prop_assert!(worker.roots[0].outbox.is_done());
            prop_assert_eq!(&worker.roots[0].awaited, &BTreeSet::new(), "no response waits for ever");
        }
        let senders = self.workers.iter().filter(|worker| worker.borrow().roots[0].outbox.queue().is_sender()).count();
        prop_assert_eq!(senders, 1);
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_event_of_a_process_ends_once_and_in_order(
        steps in prop::collection::vec(step(), 1..80), workers in 1usize..5, kind in any::<[bool; 2]>(), on_kong: bool, seed: u64,
    ) {
        let gateway = if on_kong { Gateway::Kong } else { Gateway::Envoy };
        let mut process = Process::new(gateway, false, workers, kind, seed);
        steps.into_iter().for_each(|step| process.apply(step));
        process.heal();
        process.check(gateway)?;
    }

    #[test]
    fn a_store_that_forgets_costs_the_order_and_no_event(
        steps in prop::collection::vec(step(), 1..80), workers in 1usize..5, kind in any::<[bool; 2]>(), seed: u64,
    ) {
        let mut process = Process::new(Gateway::Kong, true, workers, kind, seed);
        steps.into_iter().for_each(|step| process.apply(step));
        process.heal();
        process.check(Gateway::Kong)?;
    }
}
