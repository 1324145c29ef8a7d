//! The sender's search for what was appended. It keeps the ring short: entries that wait for long
//! move to its end. Claims nothing for a call.

use std::time::Duration;

use super::entry::{EntryHead, EntryState};
use super::ring::{Amount, Cursors};
use super::store::Keeping;
use super::{scan, EntryPlace, TargetQueue};
use crate::clock::Timestamp;

/// Slots that one scan looks at, so that a long queue does not hold up a tick.
const SLOTS_PER_SCAN: usize = 512;

/// Milliseconds of the queue's own time below which the host's clock says more of an entry's age.
const COARSE_MILLIS: u64 = 2_000;

/// An entry that the sender has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundEntry {
    /// The place of the entry.
    pub(crate) place: EntryPlace,
    /// Hash of its group.
    pub(crate) group: u64,
    /// Its bytes.
    pub(crate) size: usize,
    /// The time for which anybody had it.
    pub(crate) age: Duration,
    /// True if a response waits for it.
    pub(crate) urgent: bool,
    /// The version of its slot, if another worker has claimed it, which may be gone.
    pub(crate) elsewhere: Option<u32>,
    /// True if this worker has claimed it.
    pub(crate) own: bool,
    /// True if it was appended before this worker became the sender.
    pub(crate) inherited: bool,
}

impl TargetQueue {
    #[inline(never)]
    pub(super) fn found(&self, position: u64, head: &EntryHead, version: u32, now: Timestamp) -> FoundEntry {
        let coarse = self.ring.last().time.saturating_sub(head.time);
        let age = if coarse < COARSE_MILLIS { now.millis_since(head.at).min(coarse + 1_000) } else { coarse };
        FoundEntry {
            place: EntryPlace { position, order: head.order },
            group: head.group,
            size: usize::try_from(head.size).unwrap_or(usize::MAX),
            age: Duration::from_millis(age),
            urgent: head.urgent,
            elsewhere: self.is_elsewhere(head).then_some(version),
            own: self.is_own(head),
            inherited: position < self.scan.inherited,
        }
    }

    /// Returns entries that were appended since the last time, so many at most; the rest comes next
    /// time. For the sender.
    #[inline(never)]
    pub(crate) fn discover(&mut self, steady: Timestamp, now: Timestamp) -> Vec<FoundEntry> {
        let mut found = Vec::new();
        if !self.is_sender() || !self.see_end() {
            return found;
        }
        let end = self.ring.last().next;
        if end == self.scan.next && self.scan.holes.is_empty() {
            return found;
        }
        self.scan.ripen(end, steady);
        for position in self.scan.take_holes(steady) {
            match self.ring.read(position) {
                Some((head, slot)) if !head.state.is_over() => {
                    found.push(self.found(position, &head, slot.version, now));
                }
                None if !self.scan.is_ripe(position) => self.scan.holes.push(position),
                _ => self.scan.free(position),
            }
        }
        for _ in 0..SLOTS_PER_SCAN {
            let position = self.scan.next;
            if position >= end {
                break;
            }
            match self.ring.read(position) {
                Some((head, slot)) if !head.state.is_over() => {
                    found.push(self.found(position, &head, slot.version, now));
                    self.scan.note(true);
                }
                None if !self.scan.is_ripe(position) => {
                    if self.ordered || self.scan.holes.len() >= scan::MAX_HOLES {
                        break;
                    }
                    self.scan.holes.push(position);
                    self.scan.note(true);
                }
                _ => self.scan.note(false),
            }
        }
        found
    }

    /// Looks where the queue ends. Returns false if there is none.
    fn see_end(&mut self) -> bool {
        let is_there = self.ring.refresh().is_some();
        if self.keeping() != Keeping::Room || is_there && self.ring.last().next >= self.scan.next {
            return is_there;
        }
        self.ring.restore(self.scan.head(), self.scan.next, self.scan.live())
    }

    /// Returns the entries that had been appended when the queue came to this worker and were not
    /// found yet, as far as the store has kept them. For the sender.
    #[inline(never)]
    pub(crate) fn discover_inherited(&mut self, steady: Timestamp, now: Timestamp) -> Vec<FoundEntry> {
        let (mut found, mut before) = (Vec::new(), None);
        // A store that has forgotten where the queue ends shows nothing more.
        while self.is_sender() && !self.is_caught_up() && before.replace(self.scan.next) != Some(self.scan.next) {
            found.extend(self.discover(steady, now));
        }
        found
    }

    /// Returns positions from the front whose entries others have dropped. For the sender.
    #[inline(never)]
    pub(crate) fn trim(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        let known = u64::try_from(self.scan.live()).unwrap_or(u64::MAX);
        if !self.is_shared() || known <= self.amount().entries {
            return gone;
        }
        for position in self.scan.positions().take(SLOTS_PER_SCAN) {
            match self.ring.read(position) {
                None if !self.scan.holes.contains(&position) => gone.push(position),
                Some((head, _)) if head.state == EntryState::Queued => break,
                _ => {}
            }
        }
        gone.iter().for_each(|position| self.scan.free(*position));
        gone
    }

    /// Removes a second copy of an entry, which a sender has left that moved it.
    pub(crate) fn discard(&mut self, place: EntryPlace) {
        if let Some((_, slot)) = self.ring.find(place) {
            self.ring.remove(place.position, slot.version);
        }
        self.scan.free(place.position);
    }

    /// Returns the position below which entries are to move, so that those that wait for long do
    /// not hold up the ring.
    pub(crate) fn moves_below(&self) -> Option<u64> {
        let Cursors { next, slots, .. } = *self.ring.last();
        let half = u64::from(slots / 2);
        (self.scan.head() + half < next).then(|| next - half)
    }

    /// Moves an entry to the end of the ring; its number in the order stays. Returns its position.
    /// One that another worker has stays until three quarters of the ring are behind it: what is
    /// moved out of a call comes twice, which is better than a ring that takes no more.
    #[inline(never)]
    pub(crate) fn relocate(&mut self, place: EntryPlace) -> Option<u64> {
        let (mut head, slot) = self.ring.find(place)?;
        let Cursors { next, slots, .. } = *self.ring.last();
        let is_pressed = place.position + u64::from(slots / 4 * 3) < next;
        if self.is_elsewhere(&head) && !is_pressed {
            return None;
        }
        let watched = head.watched;
        (head.state, head.holder) = (EntryState::Claimed, self.claimant());
        let mut credit = Amount::default();
        credit.add(head.size);
        let mut value = slot.value.clone();
        let position = self.ring.append(&mut value, &mut head, &mut credit).ok()?;
        if watched {
            self.replace(place, slot.version, &|head| (head.state, head.time) = (EntryState::Moved, position));
        } else {
            self.ring.remove(place.position, slot.version);
        }
        self.scan.free(place.position);
        Some(position)
    }

    /// Returns the places of all entries from `position` on that have not come to their end.
    #[inline(never)]
    pub(crate) fn places_from(&mut self, position: u64) -> Vec<EntryPlace> {
        self.ring.refresh();
        let Cursors { head, next, .. } = *self.ring.last();
        let entries = (head.max(position)..next).filter_map(|position| Some((position, self.ring.read(position)?.0)));
        let live = entries.filter(|(_, head)| !head.state.is_over());
        live.map(|(position, head)| EntryPlace { position, order: head.order }).collect()
    }

    /// Returns true if this worker sends and nothing is left to be sent.
    pub(crate) fn is_deserted(&self) -> bool {
        self.is_sender() && self.is_caught_up() && self.scan.is_empty(self.ring.last().next)
    }
}
