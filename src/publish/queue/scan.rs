//! The sender's view of a ring: how far it has looked, which positions are
//! still in use, and which may yet be filled by a worker that has reserved them. Never reads the
//! store.

use std::collections::VecDeque;
use std::time::Duration;

use super::ring::Cursors;
use crate::clock::Timestamp;

/// Positions behind which nobody is still writing when a queue changes hands: each worker reserves
/// one at a time.
const UNWRITTEN: u64 = 64;

/// Time after which a position counts as left empty that was reserved before it: a worker that was
/// ended between its two calls never fills it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Empty positions that are looked at again, at most.
pub(super) const MAX_HOLES: usize = 64;

/// Time between two looks at empty positions: a worker fills its own right after it has reserved
/// it, so that what is empty at the second look mostly stays so.
const HOLE_INTERVAL: Duration = Duration::from_millis(50);

/// The sender's view of the ring.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The first position that was not looked at.
    pub(super) next: u64,
    /// The position up to which the queue reached when it came to this sender.
    pub(super) inherited: u64,
    /// Empty positions that may be filled yet.
    pub(super) holes: Vec<u64>,
    next_look: Timestamp,
    /// The first position in use, and for each from there on, whether it is.
    head: u64,
    used: VecDeque<bool>,
    live: usize,
    /// Positions below it stay empty if they are; the next one, and from when on it counts.
    ripe: u64,
    ripens: (u64, Timestamp),
}

impl Scan {
    /// Begins at the head of a queue that comes to this sender.
    #[inline(never)]
    pub(super) fn begin(cursors: &Cursors, now: Timestamp) -> Scan {
        Scan {
            next: cursors.head,
            inherited: cursors.next,
            head: cursors.head,
            ripe: cursors.next.saturating_sub(UNWRITTEN),
            ripens: (cursors.next, now + PATIENCE),
            ..Scan::default()
        }
    }

    /// Takes note of the time, and where the queue ends.
    pub(super) fn ripen(&mut self, end: u64, now: Timestamp) {
        if now >= self.ripens.1 {
            self.ripe = self.ripens.0;
            self.ripens = (end, now + PATIENCE);
        }
    }

    /// Takes the empty positions that may be filled yet, if it is time to look at them again.
    pub(super) fn take_holes(&mut self, now: Timestamp) -> Vec<u64> {
        if self.holes.is_empty() || now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + HOLE_INTERVAL;
        std::mem::take(&mut self.holes)
    }

    /// Returns true if a position that is empty stays empty.
    pub(super) fn is_ripe(&self, position: u64) -> bool {
        position < self.ripe
    }

    /// Returns the first position in use.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Returns how many positions are in use.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Returns true if nothing is in use, and everything up to `end` was looked at.
    pub(super) fn is_empty(&self, end: u64) -> bool {
        self.live == 0 && self.next >= end
    }

    /// Notes the next position, in use or not.
    #[inline(never)]
    pub(super) fn note(&mut self, is_used: bool) {
        self.next += 1;
        if !is_used && self.used.is_empty() {
            self.head = self.next;
            return;
        }
        self.used.push_back(is_used);
        self.live += usize::from(is_used);
    }

    /// Returns true if a position is in use.
    pub(super) fn is_used(&self, position: u64) -> bool {
        let offset = position.checked_sub(self.head).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.used.get(offset)) == Some(&true)
    }

    /// Notes that a position is not in use any more.
    #[inline(never)]
    pub(super) fn free(&mut self, position: u64) {
        if !self.is_used(position) {
            return;
        }
        let offset = usize::try_from(position - self.head).unwrap_or(usize::MAX);
        if let Some(used) = self.used.get_mut(offset) {
            *used = false;
            self.live -= 1;
        }
        while self.used.front() == Some(&false) {
            self.used.pop_front();
            self.head += 1;
        }
    }

    /// Iterates over the positions in use, from the first on.
    pub(super) fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        (self.head..).zip(&self.used).filter(|(_, is_used)| **is_used).map(|(position, _)| position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_the_first_position_in_use() {
        let mut scan = Scan::begin(&Cursors { head: 5, next: 9, ..Cursors::default() }, Timestamp(0));
        for is_used in [false, true, true, false, true] {
            scan.note(is_used);
        }
        assert_eq!((scan.head(), scan.next, scan.positions().collect::<Vec<_>>()), (6, 10, vec![6, 7, 9]));
        scan.free(7);
        assert_eq!((scan.head(), scan.live()), (6, 2));
        scan.free(6);
        scan.free(6);
        assert_eq!((scan.head(), scan.live(), scan.is_used(8), scan.is_used(9)), (9, 1, false, true));
        scan.free(9);
        assert!(scan.is_empty(10) && scan.head() == 10);
    }

    #[test]
    fn a_position_is_empty_for_good_when_it_was_reserved_for_a_while() {
        let mut scan = Scan::begin(&Cursors { head: 0, next: 100, ..Cursors::default() }, Timestamp(0));
        assert!(scan.is_ripe(35) && !scan.is_ripe(36), "a predecessor's are settled, except the last ones");
        scan.ripen(200, Timestamp(2_999));
        assert!(!scan.is_ripe(36));
        scan.ripen(200, Timestamp(3_000));
        assert!(scan.is_ripe(99) && !scan.is_ripe(100));
        scan.ripen(300, Timestamp(6_000));
        assert!(scan.is_ripe(199) && !scan.is_ripe(200));
    }
}
