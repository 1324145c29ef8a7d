//! Entries whose end this worker watches for, because a response waits for it, or because the store
//! may forget them: then their events are here, too. Decides nothing.

use std::collections::VecDeque;
use std::time::Duration;

use super::entry::EntryState;
use super::ring::Ring;
use super::EntryPlace;
use crate::clock::Timestamp;
use crate::event::Event;

/// Entries that one look is at, so that a long queue does not hold up a tick.
const LOOKED_AT: usize = 64;

/// Time between two looks at one entry that no response waits for: each is a value that the host
/// copies, and what the store forgets is sent from the copy in here, later by no more.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

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
    /// Entries that this round of looks has not come to.
    left: usize,
    /// The time at which the next round begins.
    next_round: Timestamp,
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

    /// Looks at the next few entries, if it is time again or a response waits: `is_awaited`.
    /// Returns those that have ended, by their numbers in the order; nothing of those that
    /// `is_in_flight`.
    #[inline(never)]
    pub(super) fn look(
        &mut self,
        ring: &mut Ring,
        is_awaited: bool,
        steady: Timestamp,
        is_in_flight: &dyn Fn(u64) -> bool,
    ) -> Vec<(u64, EntryEnd)> {
        let mut ended = Vec::new();
        if is_awaited || self.left == 0 && steady >= self.next_round {
            self.left = self.entries.len();
            self.next_round = steady + LOOK_INTERVAL;
            if self.left > 0 && ring.refresh().is_none() {
                // The worker that sends may never have seen them.
                ring.create();
            }
        }
        let looks = self.left.min(LOOKED_AT);
        self.left -= looks;
        for _ in 0..looks {
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
                    // No sender comes to what is beyond the cursors, which a store without room had
                    // forgotten.
                    EntryState::Queued | EntryState::Claimed if copy.is_some() && !ring.covers(place.position) => {
                        Some(EntryEnd::Lost(copy.take()))
                    }
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
