//! The way of entries out of the queue, and of its cursors, which all workers see, behind them.
//! Never decides that an entry has ended.

use super::entry::{self, EntryHead, EntryState};
use super::ring::{Amount, Cursors};
use super::scan::Scan;
use super::store::Keeping;
use super::watch::EntryEnd;
use super::{EntryPlace, TargetQueue};
use crate::clock::Timestamp;

/// An empty ring is wound back when so many of its slots are used, or when it is to have more.
const REWOUND_FROM: u64 = 256;

/// The number of slots where each entry leaves a verdict in its own, which the next entry there
/// removes: the worker that watches for it has seen it long before.
const REWOUND_FROM_WITH_VERDICTS: u64 = 4_096;

impl TargetQueue {
    /// Takes an entry off that this worker has claimed, before it is removed; see
    /// [`TargetQueue::flush`].
    pub(crate) fn release(&mut self, size: usize) {
        self.released.add(u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// Takes note that others have removed the entry at a position.
    pub(crate) fn forget(&mut self, position: u64) {
        self.scan.free(position);
    }

    /// Removes an entry that this worker has claimed. A worker that watches for its end finds the
    /// verdict in its place. Returns false if it is not there any more as it was claimed.
    #[inline(never)]
    pub(crate) fn remove(&mut self, place: EntryPlace, version: u32, watched: bool, verdict: EntryEnd) -> bool {
        self.scan.free(place.position);
        if watched && !self.watch.end(place.order) {
            let state = if verdict == EntryEnd::Delivered { EntryState::Delivered } else { EntryState::Dropped };
            self.replace(place, version, &|head| head.state = state)
        } else {
            self.ring.remove(place.position, version)
        }
    }

    /// Notes that the store has not kept an entry as this worker had claimed it.
    pub(crate) fn not_kept(&mut self) {
        self.failures.add(self.stamped_at);
    }

    /// Leaves what `change` makes of an entry's head in its place.
    #[inline(never)]
    pub(super) fn replace(&self, place: EntryPlace, version: u32, change: &dyn Fn(&mut EntryHead)) -> bool {
        let found = self.ring.find(place);
        let Some((mut head, mut slot)) = found else { return false };
        // The worker that watches for its end may have withdrawn it since, which is a write, too.
        if !self.is_own(&head) {
            slot.version = version;
        }
        change(&mut head);
        slot.value = entry::verdict(&slot.key, &head);
        self.ring.rewrite(&mut slot, &head).is_some()
    }

    /// Returns what has become of entries that this worker watches for, by their numbers in the
    /// order; nothing of those that `is_in_flight`. Looks for it at once if a response waits for
    /// one: `is_awaited`.
    pub(crate) fn verdicts(
        &mut self,
        is_awaited: bool,
        steady: Timestamp,
        is_in_flight: &dyn Fn(u64) -> bool,
    ) -> Vec<(u64, EntryEnd)> {
        self.watch.look(&mut self.ring, is_awaited, steady, is_in_flight)
    }

    /// Notes that the store has forgotten an entry, which its worker goes on with.
    pub(crate) fn lost(&mut self, size: usize, now: Timestamp) {
        self.release(size);
        self.failures.add(now);
    }

    /// Returns true if this worker watches for the end of an entry.
    pub(crate) fn is_watching(&self) -> bool {
        !self.watch.is_empty()
    }

    /// Returns true if the target is known to be down, as its sender says.
    pub(crate) fn look_if_down(&mut self) -> bool {
        self.ring.refresh().is_some() && self.ring.last().is_down
    }

    /// Tells other workers that the target is down, or is not any more.
    #[inline(never)]
    pub(crate) fn tell_down(&mut self, is_down: bool) {
        if self.is_sender() && self.is_shared() && self.ring.last().slots != 0 && self.ring.last().is_down != is_down {
            self.ring.update(&|cursors| Some(Cursors { is_down, ..cursors }));
        }
    }

    /// Brings the cursors up to date, if something has changed.
    #[inline(never)]
    pub(crate) fn flush(&mut self, steady: Timestamp) {
        let (released, head) = (self.released, self.scan.head());
        let is_sender = self.is_sender();
        let last = *self.ring.last();
        let elapsed = steady.millis_since(self.stamped_at);
        if last.entries == 0 {
            // The queue's own time stands still.
            self.stamped_at = steady;
        }
        let is_stamped = is_sender && last.entries > 0 && elapsed >= 1_000;
        let is_moved = is_sender && head > last.head && (released.entries > 0 || head - last.head >= 32);
        let is_empty = is_sender && self.scan.is_empty(last.next) && self.scan.holes.is_empty();
        let is_leaked = is_empty && last.entries > released.entries;
        let (slots, wanted) = (u64::from(last.slots.max(1)), self.ring.wanted_slots());
        let rewound_from = match self.keeping() {
            Keeping::Room => REWOUND_FROM_WITH_VERDICTS,
            Keeping::Worker | Keeping::Process => REWOUND_FROM,
        };
        let is_worn = last.next % slots >= rewound_from || (1..wanted).contains(&last.slots);
        let is_rewound = is_empty && is_worn && last.entries == released.entries;
        if released == Amount::default() && !is_stamped && !is_moved && !is_leaked && !is_rewound {
            return;
        }
        let scanned = self.scan.next;
        let written = self.ring.update(&|cursors| {
            let mut changed = Cursors {
                entries: cursors.entries.saturating_sub(released.entries),
                bytes: cursors.bytes.saturating_sub(released.bytes),
                ..cursors
            };
            if is_sender {
                changed.head = cursors.head.max(head);
            }
            if is_stamped {
                changed.time += elapsed;
            }
            // Nobody has appended since: nothing is left, whatever the cursors say.
            if is_empty && cursors.next == scanned {
                (changed.entries, changed.bytes) = (0, 0);
                if is_rewound {
                    changed = changed.rewound(wanted);
                }
            }
            Some(changed)
        });
        if !written {
            return;
        }
        self.released = Amount::default();
        if is_stamped {
            self.stamped_at = steady;
        }
        if is_rewound && self.ring.last().head > scanned {
            let cursors = *self.ring.last();
            self.scan = Scan::begin(&Cursors { next: cursors.head, ..cursors }, steady);
        }
    }
}
