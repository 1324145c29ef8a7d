//! The entries of an outbox, in the order they came: ready to be sent, waiting for another attempt, or in flight. Knows nothing
//! of why an attempt failed.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::event::Event;

/// How many ready entries an ordered queue looks at for one batch. Beyond it entries of free groups wait for those of busy
/// groups before them, and a long queue does not cost more than a short one.
const ORDERED_SCAN: usize = 1_000;

/// Names an entry; later entries have larger ids.
pub type EntryId = u64;

/// An event in the queue.
#[derive(Debug)]
pub struct Entry {
    /// What is to be delivered.
    pub event: Event,
    /// Its bytes.
    pub size: usize,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// How many attempts have failed.
    pub attempts: u32,
    /// Whether it must be sent in a batch of its own.
    pub alone: bool,
}

#[derive(Debug)]
enum State {
    Ready,
    Waiting(Timestamp),
    InFlight,
}

/// The entries that are not settled yet.
#[derive(Debug)]
pub struct Queue {
    entries: BTreeMap<EntryId, (Entry, State)>,
    ready: BTreeSet<EntryId>,
    waiting: BTreeSet<(Timestamp, EntryId)>,
    /// Groups with an entry in flight or waiting, whose later entries must not overtake it. Empty if order does not matter.
    busy_groups: BTreeSet<String>,
    ordered: bool,
    bytes: usize,
    next_id: EntryId,
}

impl Queue {
    /// An empty queue; `ordered` if the order within a group is to be kept.
    pub fn new(ordered: bool) -> Queue {
        Queue {
            entries: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            busy_groups: BTreeSet::new(),
            ordered,
            bytes: 0,
            next_id: 0,
        }
    }

    /// Entries in every state.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest entry was queued.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|(_, (entry, _))| entry.queued_at)
    }

    /// The entry `id`, if it is not settled.
    pub fn get(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id).map(|(entry, _)| entry)
    }

    /// Adds an entry, ready to be sent.
    pub fn push(&mut self, entry: Entry) {
        let id = self.next_id;
        self.next_id += 1;
        self.bytes += entry.size;
        self.entries.insert(id, (entry, State::Ready));
        self.ready.insert(id);
    }

    /// Makes the entries ready whose time has come.
    pub fn wake(&mut self, now: Timestamp) {
        while let Some(&(due, id)) = self.waiting.first() {
            if due > now {
                break;
            }
            self.waiting.pop_first();
            self.ready.insert(id);
            if let Some((entry, state)) = self.entries.get_mut(&id) {
                *state = State::Ready;
                if let Some(group) = &entry.event.group_id {
                    self.busy_groups.remove(group);
                }
            }
        }
    }

    /// Takes the next batch out of what is ready, if it is full, or if `is_due` says of its oldest entry that it has waited
    /// for others long enough. The entries are in flight then.
    pub fn take_batch(
        &mut self,
        max_entries: usize,
        max_bytes: usize,
        is_due: impl Fn(&Entry) -> bool,
    ) -> Option<Vec<EntryId>> {
        let mut batch = Vec::new();
        let mut groups = BTreeSet::new();
        let mut bytes = 0;
        let mut full = false;
        let scan = if self.ordered { ORDERED_SCAN } else { usize::MAX };
        for &id in self.ready.iter().take(scan) {
            let Some((entry, _)) = self.entries.get(&id) else { continue };
            let group = entry.event.group_id.as_deref().filter(|_| self.ordered);
            if group.is_some_and(|group| self.busy_groups.contains(group) || groups.contains(group)) {
                continue;
            }
            if !batch.is_empty() && (bytes + entry.size > max_bytes || entry.alone) {
                full = true;
                break;
            }
            batch.push(id);
            bytes += entry.size;
            groups.extend(group);
            if batch.len() >= max_entries || entry.alone {
                full = true;
                break;
            }
        }
        let oldest = batch.first().and_then(|id| self.get(*id))?;
        if !full && oldest.attempts == 0 && !is_due(oldest) {
            return None;
        }
        let groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        self.busy_groups.extend(groups);
        for id in &batch {
            self.ready.remove(id);
            if let Some((_, state)) = self.entries.get_mut(id) {
                *state = State::InFlight;
            }
        }
        Some(batch)
    }

    /// Lets an entry in flight wait for another attempt, until the time that `until` gives.
    pub fn put_back(&mut self, id: EntryId, until: impl FnOnce(&mut Entry) -> Timestamp) {
        if let Some((entry, state @ State::InFlight)) = self.entries.get_mut(&id) {
            let due = until(entry);
            *state = State::Waiting(due);
            self.waiting.insert((due, id));
        }
    }

    /// Takes an entry out for good.
    pub fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let (entry, state) = self.entries.remove(&id)?;
        self.bytes -= entry.size;
        match state {
            State::Ready => {
                self.ready.remove(&id);
                return Some(entry);
            }
            State::Waiting(due) => {
                self.waiting.remove(&(due, id));
            }
            State::InFlight => {}
        }
        if let Some(group) = &entry.event.group_id {
            self.busy_groups.remove(group);
        }
        Some(entry)
    }

    /// Takes out the oldest entry that is not in flight.
    pub fn pop_oldest_queued(&mut self) -> Option<Entry> {
        self.pop_oldest_queued_if(|_| true)
    }

    /// Takes out the oldest entry that is not in flight, if `condition` holds for it.
    pub fn pop_oldest_queued_if(&mut self, condition: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let id = self
            .entries
            .iter()
            .find(|(_, (_, state))| !matches!(state, State::InFlight))
            .filter(|(_, (entry, _))| condition(entry))
            .map(|(id, _)| *id)?;
        self.remove(id)
    }
}
