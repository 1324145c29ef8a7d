//! A segment that a journal holds: its lease, its free slots, and how much is in it. Never reads or
//! writes the store.

use std::time::Duration;

use crate::clock::Timestamp;

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
    /// Milliseconds by which the segment's own time is behind its holder's; wraps where it is ahead.
    behind: u64,
    /// Events that are queued or in flight.
    pub(crate) live: usize,
    /// Events of its previous owner that are still to be read.
    pub(crate) unread: Unread,
    /// The first slot that this journal has not used, and the free ones below it.
    next: u32,
    free: Vec<u32>,
}

impl Segment {
    /// Creates a segment whose slots this journal has not used yet. The segment's own time goes on
    /// from the last renewal of its lease: nobody knows how long it was without a holder.
    pub(crate) fn new(number: u32, epoch: u32, lease: Lease, unread: Unread, now: Timestamp) -> Segment {
        let behind = now.0.wrapping_sub(lease.renewed_at.0);
        Segment { number, epoch, lease, behind, live: 0, unread, next: 0, free: Vec::new() }
    }

    /// Returns the segment's own time, which goes while the segment has a holder, whatever the
    /// clocks of its holders say.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.wrapping_sub(self.behind))
    }

    /// Returns the age of an event that was written at `written_at` by the segment's own time.
    pub(crate) fn age(&self, written_at: Timestamp, now: Timestamp) -> Duration {
        self.time(now).since(written_at)
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
