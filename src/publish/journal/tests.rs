use super::adoption::{SWEEPS_TO_EXPIRY, SWEEPS_TO_EXPIRY_WHEN_IDLE};
use super::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A value and its version.
type Versioned = (Vec<u8>, u32);

/// A store like Kong's: each key counts its own writes, and a removed key is gone. Takes nothing
/// while it is `full`.
#[derive(Default)]
pub(in crate::publish) struct Fake {
    values: RefCell<BTreeMap<Vec<u8>, Versioned>>,
    full: Cell<bool>,
    /// The act of another worker right after the next `get`.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Fake {
    fn write(&self, key: &[u8], value: &[u8], expected: u32) -> bool {
        let mut values = self.values.borrow_mut();
        let version = values.get(key).map_or(0, |(_, version)| *version);
        let fits = version == expected && !(self.full.get() && version == 0);
        if fits {
            values.insert(key.to_vec(), (value.to_vec(), version + 1));
        }
        fits
    }

    /// Returns the number of keys with an event.
    pub(in crate::publish) fn events(&self) -> usize {
        let is_event = |key: &&Vec<u8>| key[key.len() - 3..] != [0; 3] && key[key.len() - 1] != 0;
        self.values.borrow().keys().filter(is_event).count()
    }

    /// Returns the number of keys with a lease.
    pub(in crate::publish) fn leases(&self) -> usize {
        let targets = |key: &&Vec<u8>| key.starts_with(b"retrohook/journal/2/targets/");
        self.values.borrow().len() - self.events() - self.values.borrow().keys().filter(targets).count()
    }
}

impl Store for Fake {
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        let value = self.values.borrow().get(key).cloned();
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        value
    }

    fn create(&self, key: &[u8], value: &[u8]) -> bool {
        self.write(key, value, 0)
    }

    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> bool {
        self.write(key, value, version)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> bool {
        self.write(key, value, 0)
    }

    fn remove(&self, key: &[u8]) -> bool {
        self.values.borrow_mut().remove(key).is_some()
    }
}

pub(in crate::publish) const START: Timestamp = Timestamp(1_767_268_800_000);

/// Seconds after which a lease has expired for every worker, also for one without events of its
/// own.
pub(in crate::publish) const EXPIRY: u32 = SWEEPS_TO_EXPIRY_WHEN_IDLE + 1;

pub(super) struct Worker {
    pub(super) journal: Journal,
    pub(super) now: Timestamp,
}

impl Worker {
    pub(super) fn new(store: &Rc<Fake>, owner: u64) -> Worker {
        let journal = Journal::new(Rc::clone(store) as Rc<dyn Store>, ["topic_arn", "sns", "r", "topic"], owner);
        Worker { journal, now: START }
    }

    pub(super) fn write(&mut self, id: &str) -> Option<Slot> {
        self.journal.write(&event(id), self.now)
    }

    pub(super) fn clear(&mut self, slot: Slot) {
        self.journal.clear(slot);
    }

    fn second(&mut self) {
        self.now = self.now + SWEEP_INTERVAL;
        self.journal.tend(self.now);
    }

    fn seconds(&mut self, count: u32) {
        (0..count).for_each(|_| self.second());
    }

    /// Reads all events of adopted segments.
    pub(super) fn read(&mut self) -> Vec<(String, Slot)> {
        let mut events = Vec::new();
        while self.journal.is_reading() {
            events.extend(self.journal.next_adopted().map(|(event, slot, _)| (event.id, slot)));
        }
        events
    }

    fn read_ids(&mut self) -> Vec<String> {
        self.read().into_iter().map(|(id, _)| id).collect()
    }

    fn failures(&mut self) -> u64 {
        self.journal.take_failures()
    }
}

pub(in crate::publish) fn event(id: &str) -> Event {
    Event { id: id.into(), message: "{}".into(), attributes: vec![], subject: None, group_id: None, at: START }
}

#[test]
fn unsettled_events_are_adopted_in_order() {
    let store = Rc::new(Fake::default());
    let mut gone = Worker::new(&store, 1);
    let slots: Vec<_> = ["a", "b", "c"].map(|id| gone.write(id).unwrap()).into();
    gone.clear(slots[0]);
    // It is written to the free slot, in front of those of older events.
    gone.write("d").unwrap();
    let mut successor = Worker::new(&store, 2);
    successor.seconds(SWEEPS_TO_EXPIRY_WHEN_IDLE);
    assert_eq!(successor.read_ids(), [""; 0], "the worker may still be alive");
    successor.second();
    let events = successor.read();
    assert_eq!(events.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["b", "c", "d"]);
    events.into_iter().for_each(|(_, slot)| successor.clear(slot));
    successor.second();
    assert_eq!((store.events(), store.leases()), (0, 1), "the segment is free again");
    let mut next = Worker::new(&store, 3);
    next.write("e").unwrap();
    assert_eq!((store.events(), store.leases()), (1, 1), "and used again");
}

#[test]
fn a_long_segment_is_scanned_in_portions() {
    let store = Rc::new(Fake::default());
    let mut gone = Worker::new(&store, 1);
    let ids: Vec<_> = (0..3_000).map(|number| format!("{number:04}")).collect();
    ids.iter().for_each(|id| assert!(gone.write(id).is_some()));
    let mut successor = Worker::new(&store, 2);
    successor.seconds(EXPIRY);
    let scans = (0..100).take_while(|_| successor.journal.next_adopted().is_none()).count();
    assert!(scans >= 3_000 / unread::SLOTS_PER_SCAN as usize, "{scans}");
    assert_eq!(successor.journal.unread(), 2_999);
    assert_eq!(successor.read_ids(), ids[1..]);
}

#[test]
fn a_live_worker_keeps_its_segment_however_the_clocks_jump() {
    let store = Rc::new(Fake::default());
    let (mut lives, mut other) = (Worker::new(&store, 1), Worker::new(&store, 2));
    lives.write("a").unwrap();
    let hour = Duration::from_secs(3_600);
    for jump in [0, 1, 2, 3, 4, 5] {
        for _ in 0..10 {
            lives.second();
            other.second();
        }
        match jump % 3 {
            0 => other.now = other.now + hour,
            1 => lives.now = lives.now + hour,
            _ => (lives.now, other.now) = (START, START),
        }
    }
    assert!(!other.journal.is_reading());
}

#[test]
fn one_of_several_workers_adopts_a_segment() {
    let store = Rc::new(Fake::default());
    Worker::new(&store, 1).write("a").unwrap();
    let mut workers: Vec<_> = (2..6).map(|owner| Worker::new(&store, owner)).collect();
    for _ in 0..EXPIRY {
        workers.iter_mut().for_each(Worker::second);
    }
    let read: Vec<_> = workers.iter_mut().flat_map(Worker::read_ids).collect();
    assert_eq!(read, ["a"]);
}

#[test]
fn a_worker_that_is_overtaken_during_a_sweep_adopts_nothing() {
    let store = Rc::new(Fake::default());
    Worker::new(&store, 1).write("a").unwrap();
    let (mut slow, mut fast) = (Worker::new(&store, 2), Worker::new(&store, 3));
    slow.seconds(EXPIRY - 1);
    fast.seconds(EXPIRY - 1);
    let faster = Rc::new(RefCell::new(fast));
    let acts = Rc::clone(&faster);
    store.meanwhile.replace(Some(Box::new(move || acts.borrow_mut().second())));
    slow.second();
    assert_eq!((slow.read_ids(), faster.borrow_mut().read_ids()), (vec![], vec!["a".to_owned()]));
}

#[test]
fn two_workers_that_begin_at_once_acquire_different_segments() {
    let store = Rc::new(Fake::default());
    let (mut one, other) = (Worker::new(&store, 1), Rc::new(RefCell::new(Worker::new(&store, 2))));
    let acts = Rc::clone(&other);
    store.meanwhile.replace(Some(Box::new(move || assert!(acts.borrow_mut().write("b").is_some()))));
    one.write("a").unwrap();
    assert_eq!((store.events(), store.leases()), (2, 2));
}

#[test]
fn a_worker_with_events_of_its_own_adopts_sooner() {
    let store = Rc::new(Fake::default());
    assert!(Worker::new(&store, 1).write("a").is_some());
    let (mut idle, mut busy) = (Worker::new(&store, 2), Worker::new(&store, 3));
    assert!(busy.write("b").is_some());
    for _ in 0..=SWEEPS_TO_EXPIRY {
        idle.second();
        busy.second();
    }
    assert_eq!((idle.read_ids(), busy.read_ids()), (vec![], vec!["a".to_owned()]));
}

#[test]
fn a_successor_that_dies_has_a_successor() {
    let store = Rc::new(Fake::default());
    let mut gone = Worker::new(&store, 1);
    ["a", "b", "c"].iter().for_each(|id| assert!(gone.write(id).is_some()));
    let mut first = Worker::new(&store, 2);
    first.write("own").unwrap();
    first.seconds(SWEEPS_TO_EXPIRY + 1);
    let (event, slot, _) = first.journal.next_adopted().unwrap();
    assert_eq!(event.id, "a");
    first.clear(slot);
    let mut second = Worker::new(&store, 3);
    let mut read = Vec::new();
    for _ in 0..3 * EXPIRY {
        second.second();
        read.extend(second.read_ids());
    }
    read.sort();
    assert_eq!(read, ["b", "c", "own"]);
}

#[test]
fn a_worker_that_stood_still_leaves_its_adopted_segment_alone() {
    let store = Rc::new(Fake::default());
    let (mut slow, mut successor) = (Worker::new(&store, 1), Worker::new(&store, 2));
    let slot = slow.write("a").unwrap();
    successor.seconds(EXPIRY);
    slow.now = successor.now;
    slow.write("b").unwrap();
    slow.clear(slot);
    assert_eq!(successor.read_ids(), ["a"]);
    assert_eq!((store.events(), store.leases()), (2, 2));
    let notices = slow.journal.take_notices();
    assert!(notices[0].text.contains("1 event(s) may come twice"), "{notices:?}");
}

#[test]
fn a_full_store_has_one_line_in_the_log_and_is_tried_again() {
    let store = Rc::new(Fake::default());
    let mut worker = Worker::new(&store, 1);
    worker.write("a").unwrap();
    store.full.set(true);
    for _ in 0..50 {
        assert_eq!(worker.write("b"), None);
    }
    assert_eq!(worker.failures(), 50);
    assert_eq!((worker.journal.take_notices().len(), worker.journal.take_notices().len()), (1, 0));
    store.full.set(false);
    assert!(worker.write("c").is_some());
}

#[test]
fn events_of_another_target_are_left_alone() {
    let store = Rc::new(Fake::default());
    Worker::new(&store, 1).write("a").unwrap();
    let mut other = Worker::new(&store, 2);
    other.journal = Journal::new(Rc::clone(&store) as Rc<dyn Store>, ["topic_arn", "sns", "r", "another"], 2);
    other.seconds(3 * EXPIRY);
    assert!(!other.journal.is_reading());
}

#[test]
fn malformed_values_are_counted_and_removed() {
    let store = Rc::new(Fake::default());
    let mut gone = Worker::new(&store, 1);
    ["a", "b"].iter().for_each(|id| assert!(gone.write(id).is_some()));
    let key = gone.journal.keys.slot(0, 0);
    let value = encoding::encode(&key, 0, START, &event("a"));
    store.values.borrow_mut().insert(key, (value[..value.len() - 1].to_vec(), 1));
    let mut successor = Worker::new(&store, 2);
    successor.seconds(EXPIRY);
    assert_eq!(successor.read_ids(), ["b"]);
    assert_eq!((successor.failures(), store.events()), (1, 1));
}

#[test]
fn a_successor_inherits_the_share_of_the_gauges() {
    let store = Rc::new(Fake::default());
    let mut gone = Worker::new(&store, 1);
    gone.write("a").unwrap();
    gone.journal.note_reported(Backlog { entries: 7, bytes: 700, oldest: None });
    let mut successor = Worker::new(&store, 2);
    successor.seconds(EXPIRY);
    assert_eq!(successor.journal.take_inherited(), (7, 700));
    // It dies before it reports to them, and so does its own successor.
    for owner in [3, 4] {
        let mut next = Worker::new(&store, owner);
        next.seconds(EXPIRY);
        assert_eq!(next.journal.take_inherited(), (7, 700));
        if owner == 4 {
            next.read().into_iter().for_each(|(_, slot)| next.clear(slot));
            next.journal.note_reported(Backlog::default());
            next.second();
        }
    }
    let mut last = Worker::new(&store, 5);
    last.seconds(3 * EXPIRY);
    assert_eq!(last.journal.take_inherited(), (0, 0));
}

#[test]
fn an_adopted_event_has_the_age_that_it_had_under_any_clock() {
    let store = Rc::new(Fake::default());
    let hour = Duration::from_secs(3_600);
    let mut first = Worker::new(&store, 1);
    first.write("a").unwrap();
    first.seconds(20);
    first.now = first.now + hour;
    first.seconds(10);
    first.write("b").unwrap();
    // It is gone for hours, and the clock of its successor is another one.
    let mut second = Worker::new(&store, 2);
    second.now = Timestamp(START.0 - 7_200_000);
    let ages = |worker: &mut Worker| {
        let mut ages = vec![];
        while worker.journal.is_reading() {
            ages.extend(worker.journal.next_adopted().map(|(event, _, age)| (event.id, age.as_secs())));
        }
        ages
    };
    second.seconds(EXPIRY);
    assert!(second.journal.is_reading());
    second.seconds(60);
    // It has them for a minute before there is room, and is gone as well.
    second.now = second.now + hour;
    second.seconds(30);
    let mut third = Worker::new(&store, 3);
    third.seconds(EXPIRY);
    assert_eq!(ages(&mut third), [("a".to_owned(), 30 + 90), ("b".to_owned(), 90)]);
}
