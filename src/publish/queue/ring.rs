//! The ring of slots that a queue is: the worker that moves the cursor behind the last entry has
//! the next position, which is the entry's place in the order of the process. Knows nothing of who
//! sends.

use std::rc::Rc;

use super::entry::{self, Decoder, EntryHead};
use super::keys::{Keys, StoreKey, KEY_BYTES, MAX_SLOTS};
use super::store::Store;
use super::{EntryPlace, TAG_BITS};
use crate::event::Event;

/// Tries to move a cursor before the store is taken to refuse: each that fails means that another
/// worker got on.
const TRIES: usize = 64;

/// Slots of a ring at least: what a queue of the default bound has. A ring keeps its slots while
/// there are entries, and a bound that an operator raises in an outage has to be of use at once.
const LEAST_SLOTS: usize = 1 << 15;

/// Positions by which a ring whose cursors were lost begins behind those that were seen last.
const UNSEEN: u64 = 64;

/// Bytes of the cursors behind their key.
const CURSOR_BYTES: usize = 48;

/// The control word of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursors {
    /// The position of the next entry.
    pub(crate) next: u64,
    /// A position with nothing before it.
    pub(crate) head: u64,
    /// Entries that have not come to their end.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// The queue's own time in milliseconds, which goes while there are entries and a sender.
    pub(crate) time: u64,
    /// Slots, as long as there are entries.
    pub(crate) slots: u32,
    /// True if the target is known to be down.
    pub(crate) is_down: bool,
}

impl Cursors {
    fn encode(&self, key: &StoreKey) -> [u8; KEY_BYTES + CURSOR_BYTES] {
        let mut value = [0; KEY_BYTES + CURSOR_BYTES];
        let last = u64::from(self.slots) << 1 | u64::from(self.is_down);
        let numbers = [self.next, self.head, self.entries, self.bytes, self.time, last];
        if let Some((place, rest)) = value.split_first_chunk_mut() {
            *place = *key;
            for (chunk, number) in rest.chunks_exact_mut(8).zip(numbers) {
                chunk.copy_from_slice(&number.to_le_bytes());
            }
        }
        value
    }

    fn decode(key: &StoreKey, value: &[u8]) -> Option<Cursors> {
        let mut decoder = Decoder::new(key, value)?;
        let mut number = || decoder.number();
        let (next, head, entries, bytes, time) = (number()?, number()?, number()?, number()?, number()?);
        let last = number()?;
        let slots = u32::try_from(last >> 1).ok().filter(|slots| (1..=MAX_SLOTS).contains(slots))?;
        Some(Cursors { next, head, entries, bytes, time, slots, is_down: last & 1 != 0 })
    }

    /// Returns the cursors with which an empty ring begins in its first slots again, so that no
    /// more of them are used than the longest backlog needs. It has `wanted` slots from then on, if
    /// that is more: one that is not used costs nothing.
    pub(crate) fn rewound(self, wanted: u32) -> Cursors {
        let slots = self.slots.max(wanted);
        // A multiple of both numbers is the first slot of either ring.
        let unit = u64::from(slots);
        let next = self.next.div_ceil(unit) * unit;
        Cursors { next, head: next, entries: 0, bytes: 0, slots, ..self }
    }
}

/// Entries, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Entries.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Amount {
    /// Adds one entry.
    pub(crate) fn add(&mut self, bytes: u32) {
        self.entries += 1;
        self.bytes += u64::from(bytes);
    }
}

/// Why an entry was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendRefusal {
    /// There is no room within the bounds.
    Full,
    /// Every slot is used until the sender moves on: nothing that gives way makes room.
    NoSlot,
    /// The store does not take it.
    Store,
}

/// A ring in a store.
pub(crate) struct Ring {
    store: Rc<dyn Store>,
    keys: Keys,
    /// Bounds of what has not come to its end.
    bounds: Amount,
    /// The cursors as they were seen last.
    last: Cursors,
    tags: fastrand::Rng,
}

impl Ring {
    /// Creates the view of one worker, whose number `owner` is. `bounds` are those of its
    /// configuration.
    pub(crate) fn new(store: Rc<dyn Store>, keys: Keys, bounds: Amount, owner: u64) -> Ring {
        Ring { store, keys, bounds, last: Cursors::default(), tags: fastrand::Rng::with_seed(owner) }
    }

    /// Returns the slots that a ring of these bounds has: twice as many as entries, because some
    /// are used a second time before the entries in the others have come to their end.
    pub(crate) fn wanted_slots(&self) -> u32 {
        let entries = usize::try_from(self.bounds.entries).unwrap_or(usize::MAX);
        let slots = entries.saturating_mul(2).clamp(LEAST_SLOTS, MAX_SLOTS as usize).next_power_of_two();
        u32::try_from(slots).unwrap_or(MAX_SLOTS)
    }

    /// Returns the store.
    pub(crate) fn store(&self) -> &Rc<dyn Store> {
        &self.store
    }

    /// Returns the cursors as they were seen last.
    pub(crate) fn last(&self) -> &Cursors {
        &self.last
    }

    /// Reads the cursors. Returns their version, or `None` if there are none.
    #[inline(never)]
    pub(crate) fn refresh(&mut self) -> Option<u32> {
        let key = self.keys.cursors();
        let (value, version) = self.store.get(&key)?;
        self.last = Cursors::decode(&key, &value)?;
        Some(version)
    }

    /// Changes the cursors, if `change` gives something else for those that it sees, even if
    /// others change them meanwhile. Returns false if the store does not take it.
    #[inline(never)]
    pub(crate) fn update(&mut self, change: &dyn Fn(Cursors) -> Option<Cursors>) -> bool {
        let key = self.keys.cursors();
        for _ in 0..TRIES {
            let Some(version) = self.refresh() else { return false };
            let Some(changed) = change(self.last) else { return true };
            if self.store.replace(&key, &changed.encode(&key), version).is_some() {
                self.last = changed;
                return true;
            }
        }
        false
    }

    /// Creates the cursors: the first ones, or, where a store without room has forgotten them, with
    /// those that were seen last. Returns false if there are some, or the store does not take it.
    #[inline(never)]
    pub(crate) fn create(&mut self) -> bool {
        let key = self.keys.cursors();
        let last = self.last;
        let cursors = match last.slots {
            0 => Cursors { slots: self.wanted_slots(), ..last },
            // A store without room has forgotten them.
            _ => Cursors { next: last.next + UNSEEN, ..last },
        };
        self.store.create(&key, &cursors.encode(&key))
    }

    /// Returns true if the sender of a queue with these cursors finds what is at a position.
    pub(crate) fn covers(&self, position: u64) -> bool {
        (self.last.head..self.last.next).contains(&position)
    }

    /// Brings the cursors up to what a sender knows that has looked at all positions before
    /// `scanned`, the first of those in use at `head`: a store without room has forgotten them.
    /// Others may have begun once more since. Returns false if nothing was ever appended.
    #[inline(never)]
    pub(crate) fn restore(&mut self, head: u64, scanned: u64, live: usize) -> bool {
        if self.last.slots == 0 {
            return false;
        }
        self.create();
        self.update(&|cursors| {
            let next = if cursors.next < scanned { scanned + UNSEEN } else { cursors.next };
            let entries = cursors.entries.max(live as u64);
            Some(Cursors { next, head, entries, ..cursors })
        })
    }

    /// Returns the cursors with one more entry, if there is room for it. `credit` was freed for it
    /// already, and is not taken off yet.
    fn with_one_more(&self, size: u64, credit: Amount) -> Result<Cursors, AppendRefusal> {
        let cursors = self.last;
        if cursors.next.saturating_sub(cursors.head) >= u64::from(cursors.slots) {
            return Err(AppendRefusal::NoSlot);
        }
        let entries = cursors.entries.saturating_sub(credit.entries);
        let bytes = cursors.bytes.saturating_sub(credit.bytes);
        // Where another configuration allowed more, no more is dropped than comes in.
        let fits = entries < self.bounds.entries.max(cursors.entries)
            && bytes.saturating_add(size) <= self.bounds.bytes.max(cursors.bytes);
        match fits {
            true => Ok(Cursors { next: cursors.next + 1, entries: entries + 1, bytes: bytes + size, ..cursors }),
            false => Err(AppendRefusal::Full),
        }
    }

    /// Appends an entry that [`entry::encode`] has made. `head` gets its place in the order, unless
    /// it has one, and `credit` is taken off, which was freed for it. Returns the entry's position.
    #[inline(never)]
    pub(crate) fn append(
        &mut self,
        value: &mut [u8],
        head: &mut EntryHead,
        credit: &mut Amount,
    ) -> Result<u64, AppendRefusal> {
        let (cursors_key, size) = (self.keys.cursors(), u64::from(head.size));
        let keeps_order = head.order != u64::MAX;
        for _ in 0..TRIES {
            let Some(version) = self.refresh() else {
                if !self.create() && self.refresh().is_none() {
                    return Err(AppendRefusal::Store);
                }
                continue;
            };
            let cursors = self.with_one_more(size, *credit)?;
            if self.store.replace(&cursors_key, &cursors.encode(&cursors_key), version).is_none() {
                continue;
            }
            let position = self.last.next;
            self.last = cursors;
            *credit = Amount::default();
            if !keeps_order {
                let tag = self.tags.u64(..) >> (u64::BITS - TAG_BITS);
                head.order = EntryPlace::least_order(position) | tag;
            }
            head.time = cursors.time;
            let key = self.key(position);
            head.write(&key, value);
            if self.store.put(&key, value) {
                return Ok(position);
            }
            self.release(Amount { entries: 1, bytes: size });
            // There is no room, or another value is in the way: then the position stays empty.
            let Some((value, version)) = self.store.get(&key) else { break };
            if EntryHead::read(&key, &value).is_some_and(|head| head.state.is_over()) {
                self.store.remove(&key, version);
            }
        }
        Err(AppendRefusal::Store)
    }

    /// Takes entries off that have come to their end.
    #[inline(never)]
    pub(crate) fn release(&mut self, amount: Amount) -> bool {
        amount == Amount::default()
            || self.update(&|cursors| {
                let entries = cursors.entries.saturating_sub(amount.entries);
                let bytes = cursors.bytes.saturating_sub(amount.bytes);
                Some(Cursors { entries, bytes, ..cursors })
            })
    }

    /// Returns the key of the slot of a position.
    #[inline(never)]
    pub(crate) fn key(&self, position: u64) -> StoreKey {
        let slot = position % u64::from(self.last.slots.max(1));
        self.keys.numbered(u32::try_from(slot).unwrap_or_default())
    }

    /// Reads the entry at a position.
    #[inline(never)]
    pub(crate) fn read(&self, position: u64) -> Option<(EntryHead, Slot)> {
        let key = self.key(position);
        let (value, version) = self.store.get(&key)?;
        let head = EntryHead::read(&key, &value)?;
        Some((head, Slot { key, value, version }))
    }

    /// Reads the entry of a place; `None` if another one is there by now.
    #[inline(never)]
    pub(crate) fn find(&self, place: EntryPlace) -> Option<(EntryHead, Slot)> {
        self.read(place.position).filter(|(head, _)| head.order == place.order)
    }

    /// Writes another head to an entry that was read. Returns the version for the next write.
    #[inline(never)]
    pub(crate) fn rewrite(&self, slot: &mut Slot, head: &EntryHead) -> Option<u32> {
        head.write(&slot.key, &mut slot.value);
        self.store.replace(&slot.key, &slot.value, slot.version)
    }

    /// Empties a slot.
    pub(crate) fn remove(&self, position: u64, version: u32) -> bool {
        self.store.remove(&self.key(position), version)
    }
}

/// The value of a slot, as it was read.
pub(crate) struct Slot {
    pub(crate) key: StoreKey,
    pub(crate) value: Vec<u8>,
    pub(crate) version: u32,
}

impl Slot {
    /// Decodes the event in it.
    #[inline(never)]
    pub(crate) fn event(&self) -> Option<Event> {
        entry::decode(&self.key, &self.value)
    }
}
