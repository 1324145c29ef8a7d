//! A segment that a journal holds: its lease, its free slots, and how much is in it. Never reads or
//! writes the store.

use super::lease::{GaugeShare, Lease};
use super::unread::Unread;

/// A segment that this journal holds.
pub(crate) struct Segment {
    /// Its number in the store.
    pub(crate) number: u32,
    /// Distinguishes this tenure from every other one of this journal: a segment that was lost and
    /// acquired again has another.
    pub(crate) epoch: u32,
    /// The lease as it was written last.
    pub(crate) lease: Lease,
    /// Events that are queued or in flight.
    pub(crate) live: usize,
    /// Events of its previous owner that are still to be read.
    pub(crate) unread: Unread,
    /// The first slot that this journal has not used, and the free ones below it.
    next: u32,
    free: Vec<u32>,
}

impl Segment {
    /// Creates a segment whose slots this journal has not used yet.
    pub(crate) fn new(number: u32, epoch: u32, lease: Lease, unread: Unread) -> Segment {
        Segment { number, epoch, lease, live: 0, unread, next: 0, free: Vec::new() }
    }

    /// Takes a free slot; `None` if the lease has to grow first.
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.next;
        (slot < self.lease.slots).then(|| {
            self.next += 1;
            slot
        })
    }

    /// Makes a slot free again.
    pub(crate) fn free_slot(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Returns the number of events in it, read or unread.
    pub(crate) fn count(&self) -> usize {
        self.live + self.unread.count()
    }

    /// Returns true if the lease can be given up: no event is in it, and no gauge has a share of
    /// it.
    pub(crate) fn is_idle(&self) -> bool {
        self.live == 0 && self.unread.is_empty() && self.lease.reported == GaugeShare::default()
    }
}
