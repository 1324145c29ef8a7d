//! Entries whose end this worker watches for, because a response waits for it, or because the store
//! may forget them: then their events are here, too. Decides nothing.

use std::collections::VecDeque;

use super::entry::EntryState;
use super::ring::Ring;
use super::EntryPlace;
use crate::event::Event;

/// Entries that one look is at, so that a long queue does not hold up a tick.
const LOOKED_AT: usize = 64;

/// The end of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryEnd {
    /// Its target has it.
    Delivered,
    /// It became a dead letter.
    Dropped,
    /// The store has forgotten it. Here are its bytes and its event, if this worker has kept it.
    Lost(Option<(usize, Event)>),
}

/// An entry, and its bytes and its event where the store may forget it.
struct WatchedEntry {
    place: EntryPlace,
    copy: Option<(usize, Event)>,
}

/// The entries that a worker watches for, in the order in which it appended them.
#[derive(Default)]
pub(super) struct Watch {
    entries: VecDeque<WatchedEntry>,
    /// The index at which the next look begins.
    next: usize,
}

impl Watch {
    /// Begins to watch for an entry.
    pub(super) fn add(&mut self, place: EntryPlace, copy: Option<(usize, Event)>) {
        self.entries.push_back(WatchedEntry { place, copy });
    }

    /// Ends to watch for an entry. Returns true if this worker did.
    #[inline(never)]
    pub(super) fn end(&mut self, order: u64) -> bool {
        let Some(position) = self.entries.iter().position(|watched| watched.place.order == order) else { return false };
        self.entries.remove(position);
        true
    }

    /// Returns the event of an entry that the store has forgotten.
    pub(super) fn copy(&self, order: u64) -> Option<Event> {
        let watched = self.entries.iter().find(|watched| watched.place.order == order)?;
        watched.copy.as_ref().map(|(_, event)| event.clone())
    }

    /// Returns true if this worker watches for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks at the next few entries. Returns those that have ended, by their numbers in the order;
    /// nothing of those that `is_in_flight`.
    #[inline(never)]
    pub(super) fn look(&mut self, ring: &Ring, is_in_flight: &dyn Fn(u64) -> bool) -> Vec<(u64, EntryEnd)> {
        let mut ended = Vec::new();
        for _ in 0..self.entries.len().min(LOOKED_AT) {
            if self.next >= self.entries.len() {
                self.next = 0;
            }
            let Some(WatchedEntry { place, copy }) = self.entries.get_mut(self.next) else { break };
            if is_in_flight(place.order) {
                self.next += 1;
                continue;
            }
            let found = ring.find(*place);
            let verdict = match &found {
                None => Some(EntryEnd::Lost(copy.take())),
                Some((head, _)) => match head.state {
                    EntryState::Queued | EntryState::Claimed => None,
                    EntryState::Delivered => Some(EntryEnd::Delivered),
                    EntryState::Dropped => Some(EntryEnd::Dropped),
                    EntryState::Moved => {
                        place.position = head.time;
                        None
                    }
                },
            };
            let Some(verdict) = verdict else {
                self.next += 1;
                continue;
            };
            if let Some((_, slot)) = found {
                ring.remove(place.position, slot.version);
            }
            ended.push((place.order, verdict));
            self.entries.remove(self.next);
        }
        ended
    }
}
