//! The journal of one queue: what is queued or in flight is also in a store that outlives the VM, so that another worker, or the
//! next life of this one, sends it when this one is gone.
//!
//! An event is written when it is accepted and taken away when it is settled. A queue writes to a place of its own (see
//! `lease.rs`) and touches the place's record every second. A record that stands still for five looks of another worker, a second
//! apart, has no owner any more (ten, where the worker has accepted nothing itself): that worker takes the place over as it is,
//! queues what is in it, oldest first, and takes away what it settles. Nothing is copied, so that whoever dies on the way leaves
//! just another such place. Looks are counted and times are not compared, so that a clock that is set makes nobody dead.
//!
//! A worker that only stood still finds its place taken when it goes on. Its events may then be delivered twice, never not at
//! all. The store is handed in, and nothing here reads a clock or logs.

mod encoding;
mod failures;
#[cfg(test)]
mod histories;
mod lease;
mod store;
#[cfg(test)]
mod tests;
mod unread;

use std::rc::Rc;
use std::time::Duration;

use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::Backlog;
use crate::notice::{Level, Notice};

use failures::Failures;
use lease::{Keys, Record, Reported, MAX_PLACES, MAX_SLOTS};
pub use store::Store;
use unread::Unread;

/// How often records are touched and looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// Looks that find a record as it was before its owner counts as gone: to whoever has events of its own, and to whoever has none,
/// such as the VM of Envoy's main thread, which has more to do than to publish.
const LOOKS: u32 = 5;
const LOOKS_OF_THE_IDLE: u32 = 10;

/// Whoever has not touched its records for this long looks whether they are still its own before it writes.
const STALE: Duration = Duration::from_millis(2_500);

/// Slots that a place grows by at first; then it doubles.
const FIRST_SLOTS: u32 = 64;

/// Where an event is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    claim: u32,
    number: u32,
}

/// A place that this journal has.
struct Place {
    number: u32,
    /// Names this having of it: a place that was lost and taken again is another one.
    claim: u32,
    record: Record,
    /// The first slot that was never used, and those below it that are free.
    next: u32,
    free: Vec<u32>,
    /// Events that are queued or in flight.
    live: usize,
    /// What is still to be read of a place that was taken over.
    unread: Unread,
}

/// A record of someone else, as it was at the last look.
struct Watched {
    place: u32,
    number: u32,
    looks: u32,
}

/// Counts of what a journal did, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Events that the store did not take, or did not keep.
    pub(crate) failures: u64,
}

/// The journal of one queue.
pub struct Journal {
    store: Rc<dyn Store>,
    keys: Keys,
    /// Who this is, in records.
    owner: u64,
    /// Where events are written to, from the first event on, until there is none any more.
    own: Option<Place>,
    adopted: Vec<Place>,
    watched: Vec<Watched>,
    adopts: bool,
    next_claim: u32,
    next_sequence: u64,
    clock: SteadyClock,
    next_sweep: Timestamp,
    last_touch: Timestamp,
    failures: Failures,
    /// By how much the gauges have more of this queue, or less, than it has told them.
    inherited: (i64, i64),
    notices: Vec<Notice>,
}

impl Journal {
    /// A journal in `store` of events for the target that has these names: only journals of the same target read each other's.
    /// `owner` is different for each and not zero.
    pub fn new(store: Rc<dyn Store>, names: [&str; 3], owner: u64) -> Journal {
        Journal {
            store,
            keys: Keys::new(names),
            owner: owner.max(1),
            own: None,
            adopted: Vec::new(),
            watched: Vec::new(),
            adopts: true,
            next_claim: 0,
            next_sequence: 0,
            clock: SteadyClock::default(),
            next_sweep: Timestamp(0),
            last_touch: Timestamp(0),
            failures: Failures::default(),
            inherited: (0, 0),
            notices: Vec::new(),
        }
    }

    /// Writes an event that was accepted. `None` if the store does not take it, which is counted: the event is then in memory
    /// only.
    pub fn write(&mut self, event: &Event, now: Timestamp) -> Option<Slot> {
        let steady = self.clock.at(now);
        // Also before a place is claimed: it may be one that this journal had, and does not know yet that it has lost.
        let has_places = self.own.is_some() || !self.adopted.is_empty();
        if has_places && steady.since(self.last_touch) >= STALE {
            self.touch_all(steady);
        }
        let slot = self.put(event, steady);
        if slot.is_none() {
            self.failures.add(steady);
        }
        slot
    }

    fn put(&mut self, event: &Event, now: Timestamp) -> Option<Slot> {
        let mut place = match self.own.take() {
            Some(place) => place,
            None => {
                self.last_touch = now;
                self.claim()?
            }
        };
        let written = self.free_slot(&mut place).and_then(|number| {
            let key = self.keys.slot(place.number, number);
            let written = self.store.put(&key, &encoding::encode(&key, self.next_sequence, event));
            // A slot that refuses is not tried again: it may be someone else's key.
            written.then_some(number)
        });
        self.next_sequence += 1;
        place.live += usize::from(written.is_some());
        let claim = place.claim;
        self.own = Some(place);
        written.map(|number| Slot { claim, number })
    }

    /// A place that nobody has.
    fn claim(&mut self) -> Option<Place> {
        for number in 0..MAX_PLACES {
            let key = self.keys.record(number);
            let record = Record { owner: self.owner, ..Record::default() };
            let claimed = match self.store.get(&key) {
                None => {
                    let created = self.store.create(&key, &record.encode(&key));
                    if !created && self.store.get(&key).is_none() {
                        // Nobody was faster: the store takes nothing.
                        return None;
                    }
                    created
                }
                Some((value, write)) => match Record::decode(&key, &value) {
                    Some(Record { owner: 0, .. }) => self.store.replace(&key, &record.encode(&key), write),
                    _ => false,
                },
            };
            if claimed {
                return Some(self.have(number, record, Unread::default()));
            }
        }
        None
    }

    fn have(&mut self, number: u32, record: Record, unread: Unread) -> Place {
        self.next_claim = self.next_claim.wrapping_add(1);
        Place { number, claim: self.next_claim, record, next: 0, free: Vec::new(), live: 0, unread }
    }

    /// A slot of the place to write to. The record says beforehand how far they go.
    fn free_slot(&self, place: &mut Place) -> Option<u32> {
        if let Some(number) = place.free.pop() {
            return Some(number);
        }
        if place.next >= place.record.slots {
            let slots = (place.record.slots * 2).clamp(FIRST_SLOTS, MAX_SLOTS);
            let record = Record { slots, ..place.record };
            if place.next >= slots || !self.rewrite(place.number, record) {
                return None;
            }
            place.record = record;
        }
        place.next += 1;
        Some(place.next - 1)
    }

    /// An event has come to its end, and so has what is written of it.
    pub fn clear(&mut self, slot: Slot) {
        let mut places = self.own.iter_mut().chain(&mut self.adopted);
        let Some(place) = places.find(|place| place.claim == slot.claim) else { return };
        place.live = place.live.saturating_sub(1);
        if self.store.remove(&self.keys.slot(place.number, slot.number)) {
            place.free.push(slot.number);
        } else {
            self.failures.add(self.last_touch);
        }
    }

    /// Touches what this journal has and looks after the others, once a second.
    pub fn tend(&mut self, now: Timestamp) {
        let steady = self.clock.at(now);
        if steady < self.next_sweep {
            return;
        }
        self.next_sweep = steady + SWEEP;
        self.touch_all(steady);
        if self.adopts {
            self.look_after_others();
        }
    }

    /// Leaves the places of others to others, from now on.
    pub fn stop_adopting(&mut self) {
        self.adopts = false;
    }

    fn touch_all(&mut self, now: Timestamp) {
        self.last_touch = now;
        self.own = self.own.take().and_then(|place| self.touch(place));
        for place in std::mem::take(&mut self.adopted) {
            let kept = self.touch(place);
            self.adopted.extend(kept);
        }
    }

    /// Says that a place is still had, or gives it away if nothing is in it; `None` if it is not had any more.
    fn touch(&mut self, place: Place) -> Option<Place> {
        let idle = place.is_empty() && place.record.reported == Reported::default();
        let record = if idle { Record::default() } else { place.record };
        if self.rewrite(place.number, record) {
            return (!idle).then_some(place);
        }
        let count = place.live + place.unread.count();
        if count > 0 {
            let text = format!(
                "this worker stood still, and another has taken over what it had: {count} event(s) may come twice"
            );
            self.notices.push(Notice { level: Level::Warn, text });
        }
        self.inherit(place.record.reported, -1);
        None
    }

    /// Writes the record of a place that this journal has; `false` if another has it by now.
    fn rewrite(&self, place: u32, record: Record) -> bool {
        let key = self.keys.record(place);
        match self.store.get(&key) {
            // A store that is full may have given it up.
            None => self.store.create(&key, &record.encode(&key)),
            Some((value, write)) => {
                Record::decode(&key, &value).is_some_and(|current| current.owner == self.owner)
                    && self.store.replace(&key, &record.encode(&key), write)
            }
        }
    }

    fn look_after_others(&mut self) {
        let before = std::mem::take(&mut self.watched);
        let enough = if self.next_sequence == 0 { LOOKS_OF_THE_IDLE } else { LOOKS };
        for place in 0..MAX_PLACES {
            let key = self.keys.record(place);
            let Some((value, number)) = self.store.get(&key) else { break };
            let Some(record) = Record::decode(&key, &value) else { continue };
            let mut own = self.own.iter().chain(&self.adopted);
            if record.owner == 0 || own.any(|own| own.number == place) {
                continue;
            }
            let same = |watched: &&Watched| watched.place == place && watched.number == number;
            let looks = before.iter().find(same).map_or(0, |watched| watched.looks + 1);
            if looks < enough || self.is_reading() || !self.adopt(place, record, number) {
                self.watched.push(Watched { place, number, looks });
            }
        }
    }

    fn adopt(&mut self, number: u32, record: Record, write: u32) -> bool {
        let key = self.keys.record(number);
        let record = Record { owner: self.owner, ..record };
        if !self.store.replace(&key, &record.encode(&key), write) {
            return false;
        }
        self.inherit(record.reported, 1);
        let place = self.have(number, record, Unread::below(record.slots));
        self.adopted.push(place);
        true
    }

    /// Whether there are events of others that [`Journal::next_adopted`] has not given yet.
    pub fn is_reading(&self) -> bool {
        !self.adopted.iter().all(|place| place.unread.is_over())
    }

    /// The next event that another left behind, in the order in which that one accepted them. `None` also if it takes another
    /// call to find out: a long list is looked at in portions.
    pub fn next_adopted(&mut self) -> Option<(Event, Slot)> {
        let place = self.adopted.iter_mut().find(|place| !place.unread.is_over())?;
        let (store, keys, number) = (&self.store, &self.keys, place.number);
        let sequence_in = |slot| {
            let key = keys.slot(number, slot);
            encoding::sequence(&key, &store.get(&key)?.0)
        };
        if let Some(count) = place.unread.look(sequence_in).filter(|count| *count > 0) {
            let text = format!("{count} event(s) of a worker that is gone are taken over");
            self.notices.push(Notice { level: Level::Info, text });
        }
        while let Some(slot) = place.unread.take() {
            let key = keys.slot(number, slot);
            if let Some(event) = store.get(&key).and_then(|(value, _)| encoding::decode(&key, &value)) {
                place.live += 1;
                return Some((event, Slot { claim: place.claim, number: slot }));
            }
            store.remove(&key);
            self.failures.add(self.last_touch);
        }
        None
    }

    /// Takes back what [`Journal::next_adopted`] gave, to give it again: there was no room for it.
    pub fn put_back(&mut self, slot: Slot) {
        let place = self.adopted.iter_mut().find(|place| place.claim == slot.claim);
        if let Some(place) = place {
            place.live = place.live.saturating_sub(1);
            place.unread.put_back(slot.number);
        }
    }

    /// How many events of others are known of and not read yet.
    pub fn unread(&self) -> usize {
        self.adopted.iter().map(|place| place.unread.count()).sum()
    }

    /// Notes what the gauges are about to be told of this queue, for whoever takes it over: one of its places has all of it.
    pub fn note_reported(&mut self, backlog: Backlog) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut reported = Reported { entries: number(backlog.entries), bytes: number(backlog.bytes) };
        let places = self.own.iter().chain(&self.adopted).map(|place| (place.number, place.record));
        let changed: Vec<_> = places
            .map(|(place, record)| (place, Record { reported: std::mem::take(&mut reported), ..record }, record))
            .filter(|(_, wanted, record)| wanted != record)
            .collect();
        for (number, wanted, _) in changed {
            if self.rewrite(number, wanted) {
                let mut places = self.own.iter_mut().chain(&mut self.adopted);
                places.find(|place| place.number == number).into_iter().for_each(|place| place.record = wanted);
            }
        }
    }

    fn inherit(&mut self, reported: Reported, sign: i64) {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX) * sign;
        self.inherited.0 += signed(reported.entries);
        self.inherited.1 += signed(reported.bytes);
    }

    /// What the gauges have been told by others of events that are now this queue's, in entries and bytes, since the last time.
    pub fn take_inherited(&mut self) -> (i64, i64) {
        std::mem::take(&mut self.inherited)
    }

    /// Takes the counts since the last time.
    pub(crate) fn take_counts(&mut self) -> Counts {
        Counts { failures: self.failures.take_count() }
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.extend(self.failures.take_notice());
        std::mem::take(&mut self.notices)
    }
}

impl Place {
    fn is_empty(&self) -> bool {
        self.live == 0 && self.unread.is_over()
    }
}
