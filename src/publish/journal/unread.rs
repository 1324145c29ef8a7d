//! The events of an adopted segment that are still to be read: a scan finds the slots in use, and
//! the oldest is read first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Slots that one scan looks at, so that a long segment does not hold up a tick.
pub(crate) const SLOTS_PER_SCAN: u32 = 256;

/// The slots of a segment that are still to be read.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// The first slot that no scan has reached, and the end of the segment.
    next: u32,
    end: u32,
    /// Sequences of events and their slots, the oldest at the top.
    found: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Unread {
    /// Creates a list of all slots below `end`, none of them scanned.
    pub(crate) fn below(end: u32) -> Unread {
        Unread { next: 0, end, found: BinaryHeap::new() }
    }

    /// Scans the next slots; `sequence_in` returns the sequence of the event in a slot, if there is
    /// one. Returns the number of all events when this call completes the scan.
    pub(crate) fn scan(&mut self, sequence_in: impl Fn(u32) -> Option<u64>) -> Option<usize> {
        if self.is_scanned() {
            return None;
        }
        let end = self.next.saturating_add(SLOTS_PER_SCAN).min(self.end);
        for slot in self.next..end {
            if let Some(sequence) = sequence_in(slot) {
                self.found.push(Reverse((sequence, slot)));
            }
        }
        self.next = end;
        self.is_scanned().then_some(self.found.len())
    }

    fn is_scanned(&self) -> bool {
        self.next >= self.end
    }

    /// Takes the slot of the oldest event; `None` before the scan is complete.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if !self.is_scanned() {
            return None;
        }
        let Reverse((_, slot)) = self.found.pop()?;
        Some(slot)
    }

    /// Puts back the slot that [`Unread::take`] returned last.
    pub(crate) fn put_back(&mut self, slot: u32) {
        self.found.push(Reverse((0, slot)));
    }

    /// Returns true if nothing is left to be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_scanned() && self.found.is_empty()
    }

    /// Returns the number of known events, and at least one before the scan is complete.
    pub(crate) fn count(&self) -> usize {
        self.found.len().max(usize::from(!self.is_scanned()))
    }
}
