//! The journal of one queue: events that are queued or in flight are also in a store that outlives
//! the VM, so that when this one is gone, another worker or the VM's successor sends them.
//!
//! An event is written when it is accepted and removed when it is settled. A queue writes to a
//! segment of its own and renews the segment's lease every second. Another worker sweeps the leases
//! at the same pace. A lease that five sweeps find unchanged has expired (ten, where that worker
//! has accepted nothing itself): the worker adopts the segment as it is, queues its events, oldest
//! first, and removes what it settles. Sweeps are counted and times are not compared, so that no
//! clock that is set makes a lease expire.
//!
//! A directory of targets tells of segments whose target no worker has any more. A journal for such
//! a target adopts them like any other; what becomes of events that nobody sends is not decided
//! here.
//!
//! A worker that only stood still finds its segment adopted when it goes on. Its events may then be
//! delivered twice, never not at all. The store is handed in, and nothing here reads a clock or
//! logs.

mod adoption;
pub(crate) mod directory;
mod encoding;
mod failures;
#[cfg(test)]
mod histories;
mod keys;
mod lease;
mod segment;
mod store;
#[cfg(test)]
pub(super) mod tests;
mod unread;

use std::rc::Rc;
use std::time::Duration;

use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::Backlog;
use crate::notice::{Level, Notice};

use adoption::Sighting;
use directory::Directory;
use failures::Failures;
use keys::Keys;
use lease::{GaugeShare, Lease, Leases};
use segment::Segment;
pub(crate) use store::Store;
use unread::Unread;

/// Time between two renewals, and between two sweeps.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Age of a renewal, by the host's clock, from which leases are checked before a write: by then
/// this journal may have lost them. A clock that was set costs a check for nothing.
const STALE_MILLIS: u64 = 2_500;

/// Where an event is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    epoch: u32,
    number: u32,
}

/// The journal of one queue.
pub(crate) struct Journal {
    /// The target, as the directory has it.
    name: String,
    /// True if it is listed there for as long as this worker goes on.
    is_listed: bool,
    store: Rc<dyn Store>,
    keys: Rc<Keys>,
    leases: Leases,
    /// The segment that events are written to: from the first event on, until none is left in it.
    own: Option<Segment>,
    adopted: Vec<Segment>,
    sightings: Vec<Sighting>,
    adopts: bool,
    last_epoch: u32,
    next_sequence: u64,
    clock: SteadyClock,
    next_sweep: Timestamp,
    last_renewal: Timestamp,
    /// The host's time then: only that says that this worker stood still.
    renewed_at: Timestamp,
    failures: Failures,
    /// Difference between this queue's share of the gauges and what it has reported to them itself.
    inherited: (i64, i64),
    notices: Vec<Notice>,
}

impl Journal {
    /// Creates a journal in `store` for the target with these names, of which the first is the key
    /// of the configuration: only journals of one target read each other's segments. `owner` is
    /// unique and not zero.
    #[inline(never)]
    pub(crate) fn new(store: Rc<dyn Store>, names: [&str; 4], owner: u64) -> Journal {
        let [_, service, region, target] = names;
        let keys = Rc::new(Keys::new(&[service, region, target]));
        Journal {
            name: names.join("/"),
            is_listed: false,
            leases: Leases::new(Rc::clone(&store), Rc::clone(&keys), owner.max(1)),
            store,
            keys,
            own: None,
            adopted: Vec::new(),
            sightings: Vec::new(),
            adopts: true,
            last_epoch: 0,
            next_sequence: 0,
            clock: SteadyClock::default(),
            next_sweep: Timestamp(0),
            last_renewal: Timestamp(0),
            renewed_at: Timestamp(0),
            failures: Failures::default(),
            inherited: (0, 0),
            notices: Vec::new(),
        }
    }

    /// Writes an event that was accepted. `None` if the store does not take it, which counts as a
    /// failure: the event is then in memory only.
    pub(crate) fn write(&mut self, event: &Event, now: Timestamp) -> Option<Slot> {
        let steady = self.clock.at(now);
        if now.0.abs_diff(self.renewed_at.0) >= STALE_MILLIS {
            self.is_listed = false;
            // Also before a segment is acquired: it may be one that this journal has lost without
            // knowing it yet.
            if self.is_holding() {
                self.renewed_at = now;
                self.renew_all(steady);
            }
        }
        if self.own.is_none() {
            self.renewed_at = now;
        }
        let slot = self.put(event, steady);
        if slot.is_none() {
            self.failures.add(steady);
        }
        slot
    }

    fn put(&mut self, event: &Event, now: Timestamp) -> Option<Slot> {
        if self.own.is_none() {
            self.last_renewal = now;
            // Nobody claims the target of a filter that drains: its entry may be gone.
            if !std::mem::replace(&mut self.is_listed, self.adopts) {
                Directory::new(Rc::clone(&self.store)).list(&self.name);
            }
            let (number, lease) = self.leases.acquire(now)?;
            self.own = Some(Segment::new(number, self.next_epoch(), lease, Unread::default(), now));
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let segment = self.own.as_mut()?;
        let number = take_slot(segment, &self.leases)?;
        let key = self.keys.slot(segment.number, number);
        if !self.store.put(&key, &encoding::encode(&key, sequence, segment.time(now), event)) {
            // The slot is not tried again: its key may be someone else's.
            return None;
        }
        segment.live += 1;
        Some(Slot { epoch: segment.epoch, number })
    }

    fn next_epoch(&mut self) -> u32 {
        self.last_epoch = self.last_epoch.wrapping_add(1);
        self.last_epoch
    }

    /// Returns the target, as the directory has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if this journal holds a segment.
    pub(crate) fn is_holding(&self) -> bool {
        self.own.is_some() || !self.adopted.is_empty()
    }

    /// Returns true if no journal holds a segment of the target.
    pub(crate) fn is_deserted(&self) -> bool {
        self.leases.held().next().is_none()
    }

    /// Removes an event that was settled.
    // Inlined for what is settled: 12 of 383 instructions.
    #[inline(always)]
    pub(crate) fn clear(&mut self, slot: Slot) {
        let mut segments = self.own.iter_mut().chain(&mut self.adopted);
        let Some(segment) = segments.find(|segment| segment.epoch == slot.epoch) else { return };
        segment.live = segment.live.saturating_sub(1);
        if self.store.remove(&self.keys.slot(segment.number, slot.number)) {
            segment.free_slot(slot.number);
        } else {
            self.failures.add(self.last_renewal);
        }
    }

    /// Renews the leases of this journal and sweeps those of others, once a second.
    #[inline(never)]
    pub(crate) fn tend(&mut self, now: Timestamp) {
        let steady = self.clock.at(now);
        if steady < self.next_sweep {
            return;
        }
        self.next_sweep = steady + SWEEP_INTERVAL;
        self.renewed_at = now;
        self.renew_all(steady);
        if self.adopts {
            self.sweep();
        }
    }

    fn renew_all(&mut self, now: Timestamp) {
        self.last_renewal = now;
        self.own = self.own.take().and_then(|segment| self.renew(segment));
        for segment in std::mem::take(&mut self.adopted) {
            let kept = self.renew(segment);
            self.adopted.extend(kept);
        }
    }

    /// Renews a lease, or gives it up if the segment is idle; `None` if the segment is not held any
    /// more.
    fn renew(&mut self, segment: Segment) -> Option<Segment> {
        let idle = segment.is_idle();
        let renewed_at = segment.time(self.last_renewal);
        let lease = if idle { Lease::default() } else { Lease { renewed_at, ..segment.lease } };
        if self.leases.renew(segment.number, lease) {
            return (!idle).then_some(segment);
        }
        let count = segment.count();
        if count > 0 {
            let text = format!(
                "this worker stood still, and another has taken over what it had: {count} event(s) may come twice"
            );
            self.notices.push(Notice { level: Level::Warn, text });
        }
        self.inherit(segment.lease.reported, -1);
        None
    }

    /// Writes this queue's share of the gauges, before they are reported, to the lease of one of
    /// its segments: a successor takes it back.
    #[inline(never)]
    pub(crate) fn note_reported(&mut self, backlog: Backlog) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut reported = GaugeShare { entries: number(backlog.entries), bytes: number(backlog.bytes) };
        for segment in self.own.iter_mut().chain(&mut self.adopted) {
            let lease = Lease { reported: std::mem::take(&mut reported), ..segment.lease };
            if lease != segment.lease && self.leases.renew(segment.number, lease) {
                segment.lease = lease;
            }
        }
    }

    fn inherit(&mut self, reported: GaugeShare, sign: i64) {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX) * sign;
        self.inherited.0 += signed(reported.entries);
        self.inherited.1 += signed(reported.bytes);
    }

    /// Takes the share of the gauges, in entries and bytes, that was adopted or lost since the last
    /// time.
    pub(crate) fn take_inherited(&mut self) -> (i64, i64) {
        std::mem::take(&mut self.inherited)
    }

    /// Takes the number of events that the store did not take, or did not keep, since the last
    /// time.
    pub(crate) fn take_failures(&mut self) -> u64 {
        self.failures.take_count()
    }

    /// Takes the lines for the operator since the last time.
    #[inline(never)]
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.extend(self.failures.take_notice());
        std::mem::take(&mut self.notices)
    }
}

/// Takes a free slot, and writes to the lease beforehand that there are more of them.
fn take_slot(segment: &mut Segment, leases: &Leases) -> Option<u32> {
    if let Some(slot) = segment.take_slot() {
        return Some(slot);
    }
    let lease = segment.lease.grown()?;
    if !leases.renew(segment.number, lease) {
        return None;
    }
    segment.lease = lease;
    segment.take_slot()
}
