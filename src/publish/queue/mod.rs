//! The queue of one target: entries in a store that all workers of the process share, in the order
//! in which their exchanges ended. Each worker appends; one of them sends, and what a worker leaves
//! the next sender finds.
//!
//! An append is two writes: one moves the cursor behind the last entry, one fills the slot. A
//! worker that takes an entry out claims it first, by the version of its slot: of several one wins.
//! The sender scans what was appended, and so does its successor, from the first entry that has not
//! come to its end. A worker that only stood still finds its lease taken when it goes on: what it
//! had in flight may then be delivered twice, never not at all.
//!
//! The store is handed in, and nothing here reads a clock or logs. What becomes of an event is not
//! decided here.

mod appending;
mod claiming;
pub(crate) mod directory;
mod discovery;
mod ending;
mod entry;
mod failures;
#[cfg(test)]
pub(super) mod fake;
mod keys;
mod lease;
pub(crate) mod memory;
mod ring;
mod scan;
mod store;
mod succession;
#[cfg(test)]
mod tests;
mod watch;

use std::rc::Rc;

use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

pub(crate) use appending::Mode;
#[cfg(test)]
pub(crate) use claiming::FOUND_BY;
pub(crate) use claiming::{Claim, Claimed, Holding};
pub(crate) use discovery::FoundEntry;
use entry::{EntryHead, EntryState};
use failures::Failures;
use keys::Keys;
use lease::Tenancy;
pub(crate) use ring::{Amount, AppendRefusal};
use ring::{Cursors, Ring};
use scan::Scan;
pub(crate) use store::{Keeping, Store};
pub(crate) use succession::{Tenure, SWEEP_INTERVAL};
pub(crate) use watch::EntryEnd;
use watch::Watch;

/// Bits of an entry's number that no other entry with its first position has: a store that forgets
/// a queue and its entries lets another worker begin with the same positions.
const TAG_BITS: u32 = 20;

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryPlace {
    /// Its position in the ring.
    pub(crate) position: u64,
    /// Its number in the order of the target, which is its own for ever: its first position, and a
    /// tag.
    pub(crate) order: u64,
}

impl EntryPlace {
    /// Returns the least number of an entry that was appended at a position.
    pub(crate) fn least_order(position: u64) -> u64 {
        position << TAG_BITS
    }

    /// Returns true if it is at another position than it was appended at.
    pub(crate) fn has_moved(self) -> bool {
        self.order >> TAG_BITS != self.position
    }
}

/// One worker's view of the queue of a target.
pub(crate) struct TargetQueue {
    /// The target, as the directory has it.
    name: String,
    is_listed: bool,
    ring: Ring,
    tenancy: Tenancy,
    owner: u64,
    /// Entries that it claimed are free: it was the sender before.
    predecessor: u64,
    scan: Scan,
    watch: Watch,
    /// Entries that have come to their end, and are still in the cursors.
    released: Amount,
    /// True if order matters: nothing is scanned behind a position that may be filled yet.
    ordered: bool,
    is_leaving: bool,
    /// The time of the last event of a client of this worker.
    served_at: Option<Timestamp>,
    next_look: Timestamp,
    /// The host's time at the last renewal: only that says that this worker stood still.
    renewed_at: Timestamp,
    /// The time up to which the queue's own time was written.
    stamped_at: Timestamp,
    /// The position from which the search for an entry that gives way goes on.
    room_from: u64,
    failures: Failures,
    /// Difference between this queue's share of the gauges and what it has reported itself.
    inherited: (i64, i64),
    notices: Vec<Notice>,
}

impl TargetQueue {
    /// Opens the queue, in `store`, of the target with these names, of which the first is the key
    /// of the configuration. `owner` is unique and not zero.
    #[inline(never)]
    pub(crate) fn new(
        store: Rc<dyn Store>,
        names: [&str; 4],
        bounds: Amount,
        ordered: bool,
        owner: u64,
    ) -> TargetQueue {
        let [_, service, region, target] = names;
        let (keys, owner) = (Keys::new(&[service, region, target]), owner.max(1));
        TargetQueue {
            name: names.join("/"),
            is_listed: false,
            tenancy: Tenancy::new(Rc::clone(&store), &keys, owner.wrapping_add(1).max(1)),
            ring: Ring::new(store, keys, bounds, owner),
            owner,
            predecessor: 0,
            scan: Scan::default(),
            watch: Watch::default(),
            released: Amount::default(),
            ordered,
            is_leaving: false,
            served_at: None,
            next_look: Timestamp(0),
            renewed_at: Timestamp(0),
            stamped_at: Timestamp(0),
            room_from: 0,
            failures: Failures::default(),
            inherited: (0, 0),
            notices: Vec::new(),
        }
    }

    /// Makes it that of a worker that sends nothing, and takes over only what nobody else does.
    pub(crate) fn of_last_resort(mut self) -> TargetQueue {
        self.is_leaving = true;
        self
    }

    /// Returns true if what is not in its place any more was taken by another worker: the store
    /// forgets nothing.
    pub(crate) fn is_lasting(&self) -> bool {
        self.keeping() == Keeping::Process
    }

    fn keeping(&self) -> Keeping {
        self.ring.store().keeping()
    }

    /// Returns what this worker claims entries as: as the sender it is called something else in
    /// each tenure, so that its successor knows what is free.
    fn claimant(&self) -> u64 {
        self.tenancy.held().map_or(self.owner, |lease| lease.owner)
    }

    /// Returns true if an entry is this worker's.
    fn is_own(&self, head: &EntryHead) -> bool {
        head.state == EntryState::Claimed && (head.holder == self.owner || head.holder == self.claimant())
    }

    /// Returns true if an entry is another worker's, and may still be.
    fn is_elsewhere(&self, head: &EntryHead) -> bool {
        let is_free = self.is_sender() && head.holder == self.predecessor;
        head.state == EntryState::Claimed && !self.is_own(head) && !is_free
    }

    /// Returns true if the host wants to stop this worker.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Returns true if workers share the queue, and it outlives this one.
    pub(crate) fn is_shared(&self) -> bool {
        self.keeping() != Keeping::Worker
    }

    /// Returns the target, as the directory has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if this worker sends what is queued.
    pub(crate) fn is_sender(&self) -> bool {
        !self.is_shared() || self.tenancy.held().is_some()
    }

    /// Returns true if this worker sends what is queued, or waits for the one that does to hand
    /// over.
    pub(crate) fn may_send(&self) -> bool {
        self.is_sender() || self.tenancy.is_invited()
    }

    /// Returns true if this worker begins with nothing more: another one takes over.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.tenancy.is_handing_over()
    }

    /// Returns true if everything was scanned that had been appended when the queue came to this
    /// worker. Before that the order of what it has found is not known.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.scan.next >= self.scan.inherited
    }

    /// Returns how much has not come to its end, as far as this worker, which sends, knows.
    pub(crate) fn amount(&self) -> Amount {
        let Cursors { entries, bytes, .. } = *self.ring.last();
        Amount {
            entries: entries.saturating_sub(self.released.entries),
            bytes: bytes.saturating_sub(self.released.bytes),
        }
    }

    /// Returns true if this worker sends, and something is queued.
    pub(crate) fn holds_entries(&self) -> bool {
        self.is_shared() && self.is_sender() && self.amount().entries > 0
    }

    /// Returns how much is queued, as this worker has seen it last.
    pub(crate) fn last_seen(&self) -> u64 {
        self.ring.last().entries
    }

    /// Takes the number of events that the store did not take, or did not keep, since the last
    /// time.
    pub(crate) fn take_failures(&mut self) -> u64 {
        self.failures.take_count()
    }

    /// Notes a line for the operator.
    pub(crate) fn note(&mut self, level: Level, text: String) {
        self.notices.push(Notice { level, text });
    }

    /// Takes the lines for the operator since the last time.
    #[inline(never)]
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.extend(self.failures.take_notice());
        std::mem::take(&mut self.notices)
    }
}
