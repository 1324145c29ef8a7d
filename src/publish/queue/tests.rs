use super::fake::{Fake, Gateway};
use super::*;
use crate::event::Event;

const START: Timestamp = Timestamp(1_767_268_800_000);
const SIZE: usize = 10;
const MAX_ENTRIES: u64 = 100;
const GATEWAYS: [Gateway; 2] = [Gateway::Envoy, Gateway::Kong];

struct Worker {
    queue: TargetQueue,
    now: Timestamp,
    /// Events that it has found, and not settled.
    found: Vec<FoundEntry>,
}

impl Worker {
    fn new(store: &Rc<Fake>, owner: u64) -> Worker {
        Worker::with_bound(store, owner, MAX_ENTRIES)
    }

    fn with_bound(store: &Rc<Fake>, owner: u64, entries: u64) -> Worker {
        let store = Rc::clone(store) as Rc<dyn Store>;
        let bounds = Amount { entries, bytes: 1 << 20 };
        let queue = TargetQueue::new(store, ["topic_arn", "sns", "r", "t"], bounds, false, owner << 32);
        Worker { queue, now: START, found: vec![] }
    }

    fn push(&mut self, id: &str) -> Result<EntryPlace, AppendRefusal> {
        let (id, at) = (id.into(), self.now);
        let event = Event {
            id,
            message: "{}".into(),
            attributes: vec![],
            subject: None,
            group_id: None,
            trace_header: None,
            at,
        };
        self.queue.append(&event, SIZE, Mode::Queued, self.now)
    }

    fn tick(&mut self, millis: u64) {
        self.now = Timestamp(self.now.0 + millis);
        if self.queue.tend(self.now, self.now) == Tenure::Ended {
            self.found.clear();
        }
        if self.queue.is_handing_over() {
            self.queue.hand_over(self.now);
            self.found.clear();
        }
        self.found.extend(self.queue.discover(self.now, self.now));
        self.queue.verdicts(false, self.now, &|_| false);
        self.queue.flush(self.now);
    }

    fn seconds(&mut self, count: u64) {
        (0..count).for_each(|_| self.tick(1_000));
    }

    /// Settles what it has found, as many as that at most. Returns their ids.
    fn settle(&mut self, most: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for found in self.found.drain(..most.min(self.found.len())) {
            if let Claim::Own(claimed) = self.queue.claim(found.place, None) {
                self.queue.release(found.size);
                self.queue.remove(found.place, claimed.version, claimed.watched, EntryEnd::Delivered);
                ids.push(claimed.event.id);
            }
        }
        self.queue.flush(self.now);
        ids
    }
}

fn store(gateway: Gateway) -> Rc<Fake> {
    Rc::new(Fake::new(gateway))
}

#[test]
fn what_all_workers_append_has_one_order_and_one_of_them_sends() {
    for gateway in GATEWAYS {
        let store = store(gateway);
        let mut workers: Vec<_> = (1..5).map(|owner| Worker::new(&store, owner)).collect();
        workers.iter_mut().for_each(|worker| worker.tick(25));
        for number in 0..40 {
            workers[number % 4].push(&number.to_string()).unwrap();
        }
        let mut settled: Vec<_> = Vec::new();
        for worker in &mut workers {
            worker.tick(25);
            settled.extend(worker.settle(100));
        }
        assert_eq!(settled, (0..40).map(|number| number.to_string()).collect::<Vec<_>>(), "{gateway:?}");
        workers.iter_mut().for_each(|worker| worker.tick(25));
        assert_eq!(store.events(), 0);
    }
}

#[test]
fn a_worker_without_clients_takes_the_lease_over_from_one_that_has_some() {
    let store = store(Gateway::Envoy);
    let (mut serving, mut idle) = (Worker::new(&store, 1), Worker::new(&store, 2));
    serving.push("a").unwrap();
    serving.tick(25);
    assert!(serving.queue.is_sender());
    for _ in 0..10 {
        idle.tick(1_000);
        serving.push("b").unwrap();
        serving.tick(1_000);
    }
    assert!(idle.queue.is_sender() && !serving.queue.is_sender());
    for _ in 0..20 {
        idle.tick(1_000);
        serving.tick(1_000);
    }
    assert!(idle.queue.is_sender(), "and keeps it");
    assert_eq!(idle.settle(100).len(), 11, "with all that is queued");
}

#[test]
fn a_worker_that_leaves_stays_until_one_that_goes_on_sends() {
    for gateway in GATEWAYS {
        let store = store(gateway);
        let [mut sender, mut leaving, mut heir] = [1, 2, 3].map(|owner| Worker::new(&store, owner));
        sender.push("a").unwrap();
        sender.tick(25);
        leaving.seconds(1);
        // The one that sends traps, right before or after that.
        drop(sender);
        leaving.queue.leave(leaving.now);
        assert!(leaving.queue.awaits_heir(), "{gateway:?}");
        leaving.seconds(6);
        assert!(leaving.queue.is_sender() && leaving.found.len() == 1, "{gateway:?}");
        heir.now = leaving.now;
        for _ in 0..3 {
            heir.tick(1_000);
            leaving.tick(1_000);
        }
        assert!(heir.queue.is_sender() && !leaving.queue.awaits_heir(), "{gateway:?}");
    }
}

#[test]
fn a_worker_that_leaves_does_not_rely_on_another_that_leaves() {
    let store = store(Gateway::Envoy);
    let [mut sender, mut other] = [1, 2].map(|owner| Worker::new(&store, owner));
    sender.push("a").unwrap();
    sender.tick(25);
    other.seconds(2);
    for worker in [&mut sender, &mut other] {
        worker.queue.leave(worker.now);
    }
    for _ in 0..20 {
        sender.tick(1_000);
        other.tick(1_000);
        assert!(other.queue.awaits_heir());
    }
    assert_eq!(sender.settle(9), ["a"]);
    other.seconds(1);
    assert!(!other.queue.awaits_heir() && !other.queue.is_sender(), "nothing is queued");
}

#[test]
fn no_clock_that_is_set_costs_a_worker_its_lease() {
    let store = store(Gateway::Envoy);
    let (mut holder, mut other) = (Worker::new(&store, 1), Worker::new(&store, 2));
    holder.tick(25);
    for jump in 0..30u64 {
        for worker in [&mut holder, &mut other] {
            worker.now = Timestamp(START.0 + (jump * 7_919_000) % 86_400_000);
            (0..3).for_each(|_| worker.tick(1_000));
        }
    }
    assert!(holder.queue.is_sender());
}

#[test]
fn an_event_that_is_taken_over_has_the_age_that_it_had_under_any_clock() {
    let hour = 3_600_000;
    for (gateway, step) in GATEWAYS.into_iter().flat_map(|gateway| [0, hour, -hour].map(|step| (gateway, step))) {
        let store = store(gateway);
        let mut first = Worker::new(&store, 1);
        first.tick(25);
        first.push("a").unwrap();
        first.seconds(20);
        first.push("b").unwrap();
        first.seconds(10);
        // It is gone for hours, and the clock of its successor is another one.
        let mut second = Worker::new(&store, 2);
        second.now = Timestamp(first.now.0.wrapping_add_signed(step) + 2 * 3_600_000);
        second.seconds(6);
        let ages: Vec<_> = second.found.iter().map(|found| found.age.as_secs()).collect();
        assert!(matches!(ages[..], [28..=31, 8..=11]), "{gateway:?} {step}: {ages:?}");
    }
}

#[test]
fn a_queue_that_empties_uses_no_more_slots_than_it_had_entries() {
    let store = store(Gateway::Envoy);
    let mut worker = Worker::new(&store, 1);
    worker.tick(25);
    for round in 0..500 {
        (0..20).for_each(|number| assert!(worker.push(&format!("{round}-{number}")).is_ok()));
        worker.tick(25);
        assert_eq!(worker.settle(100).len(), 20);
        worker.tick(25);
    }
    assert!(store.keys() < 256 + 20 + 5, "{}", store.keys());
}

#[test]
fn a_bound_that_is_raised_is_of_use_at_once_and_beyond_the_default_once_the_queue_was_empty() {
    let store = store(Gateway::Envoy);
    let mut small = Worker::with_bound(&store, 1, 1);
    small.tick(25);
    small.push("small").unwrap();
    assert_eq!(small.push("more"), Err(AppendRefusal::Full));
    let mut large = Worker::with_bound(&store, 2, 40_000);
    let appended = (0..).map_while(|number: u32| large.push(&number.to_string()).ok()).count();
    assert!(appended > 20_000, "{appended}");
    assert_eq!(large.push("more"), Err(AppendRefusal::NoSlot), "nothing is to give way for it");

    small.tick(25);
    while !small.settle(usize::MAX).is_empty() {
        small.tick(25);
    }
    small.queue.hand_over(small.now);
    large.now = small.now;
    large.seconds(6);
    assert!(large.queue.is_sender());
    let appended = (0..).map_while(|number: u32| large.push(&number.to_string()).ok()).count();
    assert_eq!((appended, large.push("more")), (40_000, Err(AppendRefusal::Full)));
}

#[test]
fn an_entry_that_waits_for_long_does_not_hold_up_the_ring() {
    for gateway in GATEWAYS {
        let store = store(gateway);
        let mut worker = Worker::new(&store, 1);
        worker.tick(25);
        let mut old = worker.push("old").unwrap();
        worker.tick(25);
        worker.found.clear();
        for number in 0..18_000 {
            worker.push(&number.to_string()).expect("there is room");
            worker.tick(25);
            assert_eq!(worker.settle(9), [number.to_string()], "{gateway:?}");
            if worker.queue.moves_below().is_some_and(|below| old.position < below) {
                old.position = worker.queue.relocate(old).unwrap();
                worker.tick(25);
                worker.found.retain(|found| found.place.order != old.order);
            }
        }
        assert!(old.position > 10_000 && old.has_moved());
        assert_eq!(worker.queue.read(old).unwrap().id, "old");
        assert_eq!((store.events(), worker.queue.amount().entries), (1, 1));
    }
}

#[test]
fn what_another_worker_has_moves_when_the_ring_would_take_no_more_without_it() {
    let store = store(Gateway::Envoy);
    let (mut sender, mut helper) = (Worker::new(&store, 1), Worker::new(&store, 2));
    sender.tick(25);
    let held = sender.push("held").unwrap();
    sender.tick(25);
    sender.found.clear();
    assert!(matches!(helper.queue.claim(held, None), Claim::Own(_)));
    let (mut kept_until, mut moved_from) = (0, 0);
    for number in 0..26_000 {
        sender.push(&number.to_string()).expect("there is room");
        sender.tick(25);
        assert_eq!(sender.settle(9), [number.to_string()]);
        if sender.queue.moves_below().is_some_and(|below| held.position < below) {
            match sender.queue.relocate(held) {
                None => kept_until = number,
                Some(_) => {
                    moved_from = number;
                    break;
                }
            }
        }
    }
    let slots = u64::from(sender.queue.ring.wanted_slots());
    assert!(kept_until > slots / 2 && moved_from > slots / 4 * 3 - 2, "{kept_until} {moved_from}");
    assert_eq!(store.events(), 1);
}

#[test]
fn a_full_store_has_one_line_in_the_log_and_is_tried_again() {
    let store = store(Gateway::Kong);
    let mut worker = Worker::new(&store, 1);
    worker.push("a").unwrap();
    store.full.set(true);
    for _ in 0..50 {
        assert_eq!(worker.push("b"), Err(AppendRefusal::Store));
    }
    assert_eq!(worker.queue.take_failures(), 50);
    assert_eq!((worker.queue.take_notices().len(), worker.queue.take_notices().len()), (1, 0));
    store.full.set(false);
    assert!(worker.push("c").is_ok());
}

#[test]
fn malformed_values_are_counted_and_removed() {
    for gateway in GATEWAYS {
        let store = store(gateway);
        let mut worker = Worker::new(&store, 1);
        worker.tick(25);
        worker.push("a").unwrap();
        store.tamper(|value| value.truncate(value.len() - 1));
        worker.push("b").unwrap();
        worker.tick(25);
        assert_eq!(worker.settle(9), ["b"], "{gateway:?}");
        assert_eq!((worker.queue.take_failures(), store.events()), (1, 0));
        worker.tick(25);
        assert_eq!(worker.queue.amount(), Amount::default());
    }
}

#[test]
fn an_append_is_one_read_and_two_writes() {
    let store = store(Gateway::Envoy);
    let mut worker = Worker::new(&store, 1);
    worker.push("a").unwrap();
    store.calls.set(0);
    worker.push("b").unwrap();
    assert_eq!(store.calls.get(), 3);
}
