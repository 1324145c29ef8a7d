//! Workers that change their target, come back to it, race and die; and random histories of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::metrics::{MetricChange, Update};
use crate::publish::queue::directory::{MAX_TARGETS, SWEEPS_TO_UNCLAIMED};
use crate::publish::queue::fake::{Fake, Gateway};
use crate::publish::queue::{EntryPlace, Mode};

const START: Timestamp = Timestamp(1_767_268_800_000);

/// Seconds after which a lease has expired for every worker.
const EXPIRY: u32 = 6;

/// Seconds after which all that is left of a target that nobody has is being taken over.
const GRACE: u32 = SWEEPS_TO_UNCLAIMED + EXPIRY + 1;

const SIZE: usize = 10;

fn event(id: &str) -> Event {
    Event {
        id: id.into(),
        message: "{}".into(),
        attributes: vec![],
        subject: None,
        group_id: None,
        trace_header: None,
        at: START,
    }
}

/// A worker with one target, which claims what it sends and settles none of it by itself.
struct Worker {
    own: TargetQueue,
    orphans: Orphans,
    gauges: BacklogGauges,
    queue: Vec<(String, EntryPlace, u32)>,
    letters: Vec<Event>,
    now: Timestamp,
}

impl Worker {
    fn new(store: &Rc<Fake>, target: &str, owner: u64) -> Worker {
        Worker::with_service(store, "sns", target, owner)
    }

    fn with_service(store: &Rc<Fake>, service: &str, target: &str, owner: u64) -> Worker {
        let store = Rc::clone(store) as Rc<dyn Store>;
        let bounds = Amount { entries: 10_000, bytes: 1 << 20 };
        // Each tenure has a number of its own.
        let own = TargetQueue::new(Rc::clone(&store), ["topic_arn", service, "r", target], bounds, false, owner << 32);
        let orphans = Orphans::new(store, owner << 32);
        Worker { own, orphans, gauges: BacklogGauges::default(), queue: vec![], letters: vec![], now: START }
    }

    fn push(&mut self, id: &str) {
        self.own.append(&event(id), SIZE, Mode::Queued, self.now).expect("the store works");
    }

    fn settle(&mut self, (_, place, version): (String, EntryPlace, u32)) {
        self.own.release(SIZE);
        self.own.remove(place, version, false, EntryEnd::Delivered);
    }

    fn second(&mut self) {
        self.now = self.now + SWEEP_INTERVAL;
        if self.own.tend(self.now, self.now) == Tenure::Ended {
            self.queue.clear();
        }
        if self.own.is_handing_over() {
            self.own.hand_over(self.now);
            self.queue.clear();
        }
        for found in self.own.discover(self.now, self.now) {
            // Nobody claims anything here but to send it.
            if let Claim::Own(claimed) = self.own.claim(found.place, found.elsewhere) {
                self.queue.push((claimed.event.id, found.place, claimed.version));
            }
        }
        self.own.flush(self.now);
        self.orphans.tend(std::iter::once(&self.own), self.now);
        let letters = self.orphans.take_letters(self.now);
        assert!(letters.len() <= LETTERS_AT_ONCE);
        self.letters.extend(letters);
    }

    fn seconds(&mut self, count: u32) {
        (0..count).for_each(|_| self.second());
    }

    /// Reports the gauges, and returns how much they changed.
    fn report(&mut self) -> Vec<i64> {
        let mut updates = Updates::default();
        let backlog = Backlog { entries: self.queue.len(), bytes: 0, oldest: None };
        self.gauges.inherit(self.own.take_inherited());
        let bytes = 10 * usize::from(!self.queue.is_empty());
        self.own.note_reported(Backlog { entries: self.queue.len(), bytes, oldest: None }, self.now);
        self.orphans.visit_metrics(true, self.now, &mut updates);
        self.gauges.visit(backlog, false, self.now, &mut updates);
        let change = |change: MetricChange| match change.update {
            Update::Level { change, .. } => Some(change),
            _ => None,
        };
        updates.into_vec().into_iter().filter_map(change).collect()
    }

    fn letter_ids(&self) -> Vec<&str> {
        self.letters.iter().map(|letter| letter.id.as_str()).collect()
    }
}

/// Returns a store where a worker of target `a` has left these events.
fn left(ids: &[&str]) -> Rc<Fake> {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    let mut gone = Worker::new(&store, "a", 1);
    gone.second();
    ids.iter().for_each(|id| gone.push(id));
    gone.second();
    assert_eq!(gone.report(), [ids.len() as i64]);
    store
}

#[test]
fn what_is_left_of_a_target_that_nobody_has_becomes_letters_and_the_gauge_comes_down() {
    let store = left(&["1", "2"]);
    let mut other = Worker::new(&store, "b", 2);
    other.seconds(SWEEPS_TO_UNCLAIMED);
    assert_eq!((other.report(), other.letter_ids()), (vec![], vec![]), "a configuration may come back");
    other.seconds(EXPIRY + 1);
    assert_eq!(other.letter_ids(), ["1", "2"]);
    assert_eq!(other.report(), [-2, -10]);
    let letter = &other.letters[0];
    assert!(letter.message.contains(r#""reason":"orphaned""#), "{}", letter.message);
    assert!(letter.message.contains(r#""target":{"topic_arn":"a","region":"r"}"#), "{}", letter.message);
    let notices = other.orphans.take_notices();
    assert!(notices[0].text.starts_with("2 event(s) of a worker that is gone"), "{notices:?}");
    assert!(notices[0].text.contains("no configuration has a any more"), "{notices:?}");
    other.seconds(3);
    assert_eq!((store.events(), other.orphans.targets.len()), (0, 0), "nobody looks at the target any more");
    assert!(!other.orphans.directory.has("topic_arn/sns/r/a"));
}

#[test]
fn letters_that_were_left_for_a_queue_that_nobody_has_stay_as_they_are() {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    Worker::with_service(&store, LETTERS, "https://sqs/1/dead", 1).push("1");
    let mut other = Worker::new(&store, "b", 2);
    other.seconds(GRACE);
    assert_eq!(other.letters, [event("1")]);
    let mut updates = Updates::default();
    other.orphans.visit_metrics(true, other.now, &mut updates);
    assert_eq!(updates.into_vec(), [], "it was counted when it became a letter");
}

#[test]
fn one_of_several_workers_writes_the_letters() {
    let store = left(&["1", "2", "3"]);
    let mut others: Vec<_> = (2..7).map(|owner| Worker::new(&store, "b", owner)).collect();
    for _ in 0..2 * GRACE {
        others.iter_mut().for_each(Worker::second);
    }
    let letters: Vec<_> = others.iter().flat_map(Worker::letter_ids).collect();
    assert_eq!(letters, ["1", "2", "3"]);
}

#[test]
fn a_target_that_comes_back_within_a_minute_has_its_events() {
    let store = left(&["1", "2"]);
    let mut other = Worker::new(&store, "b", 2);
    other.seconds(SWEEPS_TO_UNCLAIMED - 1);
    let mut back = Worker::new(&store, "a", 3);
    for _ in 0..2 * GRACE {
        back.second();
        other.second();
    }
    assert_eq!((back.queue.len(), other.letters.len(), back.letters.len()), (2, 0, 0));
    // One without events of its own claims it as well.
    let entries: Vec<_> = back.queue.drain(..).collect();
    entries.into_iter().for_each(|entry| back.settle(entry));
    let mut trapped = Worker::new(&store, "a", 4);
    trapped.push("3");
    drop(trapped);
    for _ in 0..2 * GRACE {
        other.second();
        back.second();
    }
    assert_eq!((back.queue.len(), other.letters.len()), (1, 0));
}

#[test]
fn a_store_that_forgets_a_target_does_not_keep_a_worker_from_its_end() {
    for adds in [false, true] {
        let store = Rc::new(Fake::new(Gateway::Kong));
        let mut gone = Worker::new(&store, "a", 1);
        (0..600).for_each(|id| gone.push(&id.to_string()));
        let mut other = Worker::new(&store, "b", 2);
        while other.letters.is_empty() {
            other.second();
        }
        store.forget_all();
        if adds {
            Worker::new(&store, "a", 3).push("new");
        }
        other.orphans.leave(other.now);
    }
}

#[test]
fn a_filter_that_drains_keeps_its_events_until_it_dies() {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    let mut draining = Worker::new(&store, "a", 3);
    draining.push("1");
    draining.second();
    draining.own.leave(draining.now);
    draining.orphans.leave(draining.now);
    let mut other = Worker::new(&store, "b", 2);
    for _ in 0..3 * GRACE {
        draining.second();
        other.second();
    }
    assert_eq!((draining.queue.len(), other.letters.len()), (1, 0));
    drop(draining);
    other.seconds(EXPIRY);
    assert_eq!(other.letter_ids(), ["1"]);
}

#[test]
fn a_worker_that_dies_amid_the_letters_leaves_the_rest_and_the_gauge_to_another() {
    let ids: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    let store = left(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut first = Worker::new(&store, "b", 2);
    let mut gauge = 300;
    while first.letters.is_empty() {
        first.second();
        gauge += first.report().first().copied().unwrap_or(0);
    }
    assert_eq!((first.letters.len(), gauge), (LETTERS_AT_ONCE, 300 - LETTERS_AT_ONCE as i64));
    let seen: BTreeSet<_> = first.letters.iter().map(|letter| letter.id.clone()).collect();
    drop(first);
    let mut second = Worker::new(&store, "b", 3);
    for _ in 0..GRACE + 10 {
        second.second();
        gauge += second.report().first().copied().unwrap_or(0);
    }
    assert_eq!((second.letters.len(), gauge), (300 - LETTERS_AT_ONCE, 0));
    assert!(second.letters.iter().all(|letter| !seen.contains(&letter.id)), "none has two letters");
}

#[test]
fn a_worker_that_stops_writes_all_that_it_has_adopted() {
    let ids: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    let store = left(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut other = Worker::new(&store, "b", 2);
    while other.letters.is_empty() {
        other.second();
    }
    other.orphans.leave(other.now);
    let rest = other.orphans.take_letters(other.now);
    assert_eq!((other.letters.len() + rest.len(), store.events()), (300, 0));
}

#[test]
fn entries_of_the_directory_are_used_again_and_a_full_one_costs_no_event() {
    let store = Rc::new(Fake::new(Gateway::Envoy));
    let mut many: Vec<_> = (0..MAX_TARGETS + 5).map(|number| Worker::new(&store, &number.to_string(), 9)).collect();
    many.iter_mut().for_each(|worker| worker.push("1"));
    drop(many);
    let mut other = Worker::new(&store, "b", 2);
    other.seconds(GRACE + 10);
    assert_eq!(other.letters.len(), MAX_TARGETS as usize);
    let mut last = Worker::new(&store, "c", 3);
    last.push("2");
    drop(last);
    other.seconds(GRACE);
    assert_eq!(other.letters.len(), MAX_TARGETS as usize + 1);
}

/// Others have struck the target of a worker that left, or stood still, when it has one more event
/// and ends before it can look.
#[test]
fn what_a_worker_appends_after_its_target_was_struck_is_found_all_the_same() {
    for leaves in [true, false] {
        let store = Rc::new(Fake::new(Gateway::Envoy));
        let [mut late, mut other] = [("a", 1), ("b", 2)].map(|(target, owner)| Worker::new(&store, target, owner));
        late.push("1");
        late.second();
        if leaves {
            late.own.leave(late.now);
            late.orphans.leave(late.now);
        }
        other.seconds(2 * GRACE);
        assert_eq!(other.letter_ids(), ["1"]);
        assert!(!other.orphans.directory.has("topic_arn/sns/r/a"));
        late.now = other.now;
        late.push("2");
        drop(late);
        other.seconds(2 * GRACE);
        assert_eq!((other.letter_ids(), store.events()), (vec!["1", "2"], 0));
    }
}

/// The last letter is written, and the target is about to be struck.
#[test]
fn a_target_that_has_an_event_again_is_not_struck() {
    for seconds in SWEEPS_TO_UNCLAIMED..2 * GRACE {
        let store = Rc::new(Fake::new(Gateway::Envoy));
        let [mut gone, mut other] = [("a", 1), ("b", 2)].map(|(target, owner)| Worker::new(&store, target, owner));
        gone.push("1");
        gone.second();
        drop(gone);
        other.seconds(seconds);
        let mut late = Worker::new(&store, "a", 3);
        late.now = other.now;
        late.push("2");
        drop(late);
        other.seconds(3 * GRACE);
        assert_eq!((other.letter_ids(), store.events()), (vec!["1", "2"], 0), "after {seconds} s");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Settle(usize),
    /// The worker dies, and its successor has this target.
    Restart(usize, usize),
    Drain(usize),
    Pass(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let worker = 0..3usize;
    prop_oneof![
        6 => worker.clone().prop_map(Step::Push),
        4 => worker.clone().prop_map(Step::Settle),
        3 => (worker.clone(), 0..3usize).prop_map(|(worker, target)| Step::Restart(worker, target)),
        1 => worker.prop_map(Step::Drain),
        4 => (1..100u32).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever happens, each accepted event is settled, is queued by a worker that lives, or has
    /// become a letter: one of these, and once.
    #[test]
    fn nothing_is_orphaned(steps in prop::collection::vec(any_step(), 1..60)) {
        let store = Rc::new(Fake::new(Gateway::Envoy));
        let (mut owner, mut accepted, mut settled) = (0, 0, Vec::new());
        let mut new = |target: usize| {
            owner += 1;
            Worker::new(&store, ["a", "b", "c"][target], owner)
        };
        let mut workers = [new(0), new(0), new(1)];
        let mut letters = Vec::new();
        let pass = |workers: &mut [Worker; 3], seconds| {
            for _ in 0..seconds {
                workers.iter_mut().for_each(Worker::second);
            }
        };
        for step in steps {
            match step {
                Step::Push(at) => {
                    workers[at].push(&accepted.to_string());
                    accepted += 1;
                }
                Step::Settle(at) => {
                    if let Some(entry) = workers[at].queue.pop() {
                        settled.push(entry.0.clone());
                        workers[at].settle(entry);
                    }
                }
                Step::Restart(at, target) => {
                    let now = workers[at].now;
                    letters.extend(std::mem::replace(&mut workers[at], new(target)).letters);
                    workers[at].now = now;
                }
                Step::Drain(at) => {
                    let now = workers[at].now;
                    workers[at].own.leave(now);
                    workers[at].orphans.leave(now);
                }
                Step::Pass(seconds) => pass(&mut workers, seconds),
            }
        }
        let now = workers[0].now;
        letters.extend(std::mem::replace(&mut workers[0], new(0)).letters);
        workers[0].now = now;
        pass(&mut workers, 5 * GRACE);
        letters.extend(workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.letters)));
        let queued: Vec<_> = workers.iter().flat_map(|worker| &worker.queue).map(|(id, ..)| id.clone()).collect();
        prop_assert_eq!(store.events(), queued.len());
        let mut all: Vec<_> = letters.into_iter().map(|letter| letter.id).chain(queued).chain(settled).collect();
        all.sort_by_key(|id| id.parse::<usize>().unwrap());
        prop_assert_eq!(all, (0..accepted).map(|id| id.to_string()).collect::<Vec<_>>());
    }
}
