//! The queue of one target: entries in a store that all workers of the process share, in the order
//! in which their exchanges ended. Each worker appends; one of them sends, and what a worker leaves
//! the next sender finds.
//!
//! An append is two writes: one moves the cursor behind the last entry, one fills the slot. Whoever
//! takes an entry out claims it first, by the version of its slot: of several one wins. The sender
//! scans what was appended, and so does its successor, from the first entry that has not come to its
//! end. A worker that only stood still finds its lease taken when it goes on: what it had in flight
//! may then be delivered twice, never not at all.
//!
//! The store is handed in, and nothing here reads a clock or logs. What becomes of an event is not
//! decided here.

pub(crate) mod directory;
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
#[cfg(test)]
mod tests;
mod watch;

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::metrics::Backlog;
use crate::notice::{Level, Notice};

use directory::Directory;
use entry::{EntryHead, EntryState};
use failures::Failures;
use keys::{hash, Keys};
use lease::{Change, Rank, Tenancy};
pub(crate) use ring::{Amount, AppendRefusal};
use ring::{Cursors, Ring};
use scan::Scan;
pub(crate) use store::{Keeping, Store};
pub(crate) use watch::EntryEnd;
use watch::Watch;

/// Time between two looks at the lease.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Age of a renewal, by the host's clock, from which the lease is checked before something is sent
/// or settled: by then it may be another's. A clock that was set costs a check for nothing.
const STALE_MILLIS: u64 = 2_500;

/// Slots that one scan looks at, so that a long queue does not hold up a tick.
const SLOTS_PER_SCAN: usize = 512;

/// Entries that a worker without room looks at to find one that gives way.
const LOOKS_FOR_ROOM: u64 = 256;

/// Entries that a worker looks at to find some that it can send in the sender's place.
const LOOKS_FOR_HELP: u64 = 64;

/// Time without events of its own after which a worker serves no clients.
const QUIET: Duration = Duration::from_secs(60);

/// Milliseconds of the queue's own time below which the host's clock says more of an entry's age.
const COARSE_MILLIS: u64 = 2_000;

/// An empty ring is wound back when so many of its slots are used, or when it is to have more.
const REWOUND_FROM: u64 = 256;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryPlace {
    /// Its position in the ring.
    pub(crate) position: u64,
    /// Its number in the order of the target, which is its own for ever.
    pub(crate) order: u64,
}

/// How an entry is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For the sender.
    Queued,
    /// For the sender, which takes it first; this worker watches for its end.
    Urgent,
    /// For this worker itself.
    Own,
}

/// An entry that the sender has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundEntry {
    /// Where it is.
    pub(crate) place: EntryPlace,
    /// Hash of its group.
    pub(crate) group: u64,
    /// Its bytes.
    pub(crate) size: usize,
    /// The time for which anybody had it.
    pub(crate) age: Duration,
    /// True if a response waits for it.
    pub(crate) urgent: bool,
    /// True if another worker has claimed it, which may be gone.
    pub(crate) elsewhere: bool,
    /// True if this worker has claimed it.
    pub(crate) own: bool,
    /// True if it was appended before this worker became the sender.
    pub(crate) inherited: bool,
}

/// An entry that this worker has claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// The event.
    pub(crate) event: Event,
    /// The version of its slot from now on.
    pub(crate) version: u32,
    /// True if its client was told that it failed.
    pub(crate) withdrawn: bool,
    /// True if some worker watches for its end.
    pub(crate) watched: bool,
}

/// Result of a claim.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is this worker's.
    Own(Claimed),
    /// Another worker has it.
    Elsewhere,
    /// It has come to its end, or was lost.
    Gone,
}

/// How the sender changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// As before.
    Same,
    /// This worker sends from now on; true if the one before did not hand over.
    Begun { of_one_that_is_gone: bool },
    /// This worker does not send any more.
    Ended,
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
    /// When a client of this worker has had an event last.
    served_at: Option<Timestamp>,
    next_look: Timestamp,
    /// The host's time at the last renewal: only that says that this worker stood still.
    renewed_at: Timestamp,
    /// The time up to which the queue's own time was written.
    stamped_at: Timestamp,
    /// Where the search for an entry that gives way goes on.
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
            ring: Ring::new(store, keys, bounds),
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

    fn keeping(&self) -> Keeping {
        self.ring.store().keeping()
    }

    /// Returns what this worker claims entries as: as the sender it is called something else in each
    /// tenure, so that its successor knows what is free.
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

    /// Appends an event of `size` bytes.
    #[inline(never)]
    pub(crate) fn append(
        &mut self,
        event: &Event,
        size: usize,
        mode: Mode,
        now: Timestamp,
    ) -> Result<EntryPlace, AppendRefusal> {
        self.served_at = Some(now);
        if self.is_shared() && !std::mem::replace(&mut self.is_listed, true) {
            Directory::new(Rc::clone(self.ring.store())).list(&self.name);
        }
        let evicts = self.keeping() == Keeping::Room;
        let mut head = EntryHead {
            state: if mode == Mode::Own { EntryState::Claimed } else { EntryState::Queued },
            watched: evicts || mode == Mode::Urgent,
            urgent: mode == Mode::Urgent,
            withdrawn: false,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            holder: if mode == Mode::Own { self.owner } else { 0 },
            order: u64::MAX,
            group: self.group(event),
            time: 0,
            at: event.at,
        };
        let mut value = entry::encode(event);
        let appended = self.ring.append(&mut value, &mut head, &mut self.released);
        match appended {
            Ok(position) => {
                let place = EntryPlace { position, order: head.order };
                if head.watched {
                    self.watch.add(place, evicts.then(|| (size, event.clone())));
                }
                Ok(place)
            }
            Err(refusal) => {
                if refusal == AppendRefusal::Store {
                    self.failures.add(now);
                }
                Err(refusal)
            }
        }
    }

    /// Takes note of an entry that this worker has appended, if it is the sender and has found all
    /// that is before it. Returns true if it has found this one by that.
    pub(crate) fn note_appended(&mut self, place: EntryPlace) -> bool {
        let is_next = self.is_sender() && self.scan.next == place.position;
        if is_next {
            self.scan.note(true);
        }
        is_next
    }

    /// Returns the hash of the group of an event; zero where order does not matter.
    pub(crate) fn group(&self, event: &Event) -> u64 {
        let group = event.group_id.as_deref().filter(|_| self.ordered);
        group.map_or(0, |group| hash(group.as_bytes()).max(1))
    }

    /// Claims the oldest entry that nobody has claimed, to make room. For a worker that does not
    /// send, and so does not know what there is.
    #[inline(never)]
    pub(crate) fn claim_oldest(&mut self) -> Option<(FoundEntry, Claimed)> {
        self.ring.refresh()?;
        let Cursors { head, next, .. } = *self.ring.last();
        let from = self.room_from.clamp(head, next);
        for position in from..next.min(from + LOOKS_FOR_ROOM) {
            self.room_from = position + 1;
            let Some((head, _)) = self.ring.read(position) else { continue };
            if head.state != EntryState::Queued {
                continue;
            }
            let found = self.found(position, &head, head.at);
            if let Claim::Own(claimed) = self.claim(found.place) {
                return Some((found, claimed));
            }
        }
        // What is claimed now may be free when it is looked for again.
        self.room_from = head;
        None
    }

    /// Returns how much is queued, as this worker has seen it last.
    pub(crate) fn last_seen(&self) -> u64 {
        self.ring.last().entries
    }

    /// Claims entries of a long queue for this worker, which is not the sender: so many at most,
    /// and from behind what the sender takes next, which is the first `ahead`. `start` says where, in
    /// thousandths of what is behind.
    #[inline(never)]
    pub(crate) fn claim_some(
        &mut self,
        most: usize,
        ahead: u64,
        start: u64,
        now: Timestamp,
    ) -> Vec<(FoundEntry, Claimed)> {
        let mut some = Vec::new();
        if self.ring.refresh().is_none() || self.ring.last().is_down || self.ring.last().entries <= ahead {
            return some;
        }
        let Cursors { head, next, .. } = *self.ring.last();
        let from = (head + ahead).min(next);
        let from = from + (next - from) * start.min(1_000) / 1_000;
        for position in from..next.min(from + LOOKS_FOR_HELP) {
            let Some((head, _)) = self.ring.read(position) else { continue };
            if head.state != EntryState::Queued || head.urgent {
                continue;
            }
            let found = self.found(position, &head, now);
            if let Claim::Own(claimed) = self.claim(found.place) {
                some.push((found, claimed));
            }
            if some.len() >= most {
                break;
            }
        }
        some
    }

    /// Gives a claimed entry back to the sender.
    #[inline(never)]
    pub(crate) fn give_back(&self, place: EntryPlace) {
        let found = self.ring.read(place.position).filter(|(head, _)| head.order == place.order && self.is_own(head));
        if let Some((mut head, mut slot)) = found {
            (head.state, head.holder) = (EntryState::Queued, 0);
            self.ring.rewrite(&mut slot, &head);
        }
    }

    #[inline(never)]
    fn found(&self, position: u64, head: &EntryHead, now: Timestamp) -> FoundEntry {
        let coarse = self.ring.last().time.saturating_sub(head.time);
        let age = if coarse < COARSE_MILLIS { now.millis_since(head.at).min(coarse + 1_000) } else { coarse };
        FoundEntry {
            place: EntryPlace { position, order: head.order },
            group: head.group,
            size: usize::try_from(head.size).unwrap_or(usize::MAX),
            age: Duration::from_millis(age),
            urgent: head.urgent,
            elsewhere: self.is_elsewhere(head),
            own: self.is_own(head),
            inherited: position < self.scan.inherited,
        }
    }

    /// Looks at the lease, once a second or when it is about to change hands.
    #[inline(never)]
    pub(crate) fn tend(&mut self, steady: Timestamp, now: Timestamp) -> Tenure {
        if !self.is_shared() {
            return Tenure::Same;
        }
        let counts = steady >= self.next_look;
        if !counts && !self.tenancy.is_invited() {
            return Tenure::Same;
        }
        if counts {
            self.next_look = steady + SWEEP_INTERVAL;
        }
        self.look_at_lease(counts, steady, now)
    }

    /// Returns true if this worker still holds the lease, which it looks at if it stood still.
    pub(crate) fn check_lease(&mut self, steady: Timestamp, now: Timestamp) -> Tenure {
        let is_stale = self.tenancy.held().is_some() && now.0.abs_diff(self.renewed_at.0) >= STALE_MILLIS;
        if is_stale {
            self.look_at_lease(true, steady, now)
        } else {
            Tenure::Same
        }
    }

    fn rank(&self, now: Timestamp) -> Rank {
        match self.served_at {
            _ if self.is_leaving => Rank::Leaving,
            Some(served_at) if now.since(served_at) < QUIET => Rank::Serving,
            _ => Rank::Idle,
        }
    }

    #[inline(never)]
    fn look_at_lease(&mut self, counts: bool, steady: Timestamp, now: Timestamp) -> Tenure {
        self.renewed_at = now;
        let held = self.tenancy.held().map(|lease| lease.reported);
        let mut rank = self.rank(now);
        if held.is_none() && rank == Rank::Idle && self.look_if_down() {
            // Whoever sends goes on, so that the log has one line about it.
            rank = Rank::Serving;
        }
        let change = self.tenancy.tend(rank, counts);
        self.changed(change, held, steady)
    }

    #[inline(never)]
    fn changed(&mut self, change: Change, held: Option<Amount>, steady: Timestamp) -> Tenure {
        match change {
            Change::Taken { from, of_one_that_is_gone, reported } => {
                self.inherit(reported, 1);
                self.begin(from, steady);
                Tenure::Begun { of_one_that_is_gone }
            }
            Change::Lost => {
                self.inherit(held.unwrap_or_default(), -1);
                Tenure::Ended
            }
            Change::None => Tenure::Same,
        }
    }

    #[inline(never)]
    fn begin(&mut self, from: u64, steady: Timestamp) {
        self.predecessor = from;
        self.ring.refresh();
        self.scan = Scan::begin(self.ring.last(), steady);
        self.stamped_at = steady;
    }

    /// Hands the lease over to whoever is invited, or to nobody. Call it when nothing is in flight.
    #[inline(never)]
    pub(crate) fn hand_over(&mut self, steady: Timestamp) {
        self.flush(steady);
        if let Some(lease) = self.tenancy.held() {
            // Of an empty queue this worker brings the gauges down itself.
            let reported = if self.amount().entries == 0 { Amount::default() } else { lease.reported };
            self.tenancy.hand_over(reported);
            self.inherit(reported, -1);
        }
    }

    /// Stays the sender, or becomes it if there is none, only for as long as there is something
    /// queued and nobody else to send it.
    #[inline(never)]
    pub(crate) fn leave(&mut self, steady: Timestamp) -> Tenure {
        self.is_leaving = true;
        self.next_look = Timestamp(0);
        if self.is_sender() {
            self.tenancy.renew(Rank::Leaving, &|_| ());
            return Tenure::Same;
        }
        // A worker that only tries a configuration has never looked, and has had nothing.
        if self.renewed_at == Timestamp(0) && self.served_at.is_none() {
            return Tenure::Same;
        }
        let change = self.tenancy.take_forsaken();
        self.changed(change, None, steady)
    }

    /// Returns entries that were appended since the last time, so many at most; the rest comes next
    /// time. For the sender.
    #[inline(never)]
    pub(crate) fn discover(&mut self, steady: Timestamp, now: Timestamp) -> Vec<FoundEntry> {
        let mut found = Vec::new();
        if !self.is_sender() || self.ring.refresh().is_none() {
            return found;
        }
        let end = self.ring.last().next;
        if end == self.scan.next && self.scan.holes.is_empty() {
            return found;
        }
        self.scan.ripen(end, steady);
        for position in std::mem::take(&mut self.scan.holes) {
            match self.ring.read(position) {
                Some((head, _)) if !head.state.is_over() => found.push(self.found(position, &head, now)),
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
                Some((head, _)) if !head.state.is_over() => {
                    found.push(self.found(position, &head, now));
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

    /// Claims an entry for this worker.
    #[inline(never)]
    pub(crate) fn claim(&mut self, place: EntryPlace) -> Claim {
        // Once more if somebody else has written to it meanwhile.
        for _ in 0..3 {
            let Some((mut head, mut slot)) = self.ring.read(place.position) else { break };
            if head.order != place.order || head.state.is_over() {
                break;
            }
            let is_own = !self.is_shared() || self.is_own(&head);
            if !is_own && self.is_elsewhere(&head) {
                return Claim::Elsewhere;
            }
            match self.claim_slot(&mut head, &mut slot, is_own) {
                Some(claimed) => return claimed,
                None => continue,
            }
        }
        Claim::Gone
    }

    /// Claims an entry whose holder has had it for longer than it may.
    #[inline(never)]
    pub(crate) fn claim_from_another(&mut self, place: EntryPlace) -> Claim {
        let Some((mut head, mut slot)) = self.ring.read(place.position) else { return Claim::Gone };
        if head.order != place.order || head.state.is_over() {
            return Claim::Gone;
        }
        self.claim_slot(&mut head, &mut slot, false).unwrap_or(Claim::Elsewhere)
    }

    #[inline(never)]
    fn claim_slot(&mut self, head: &mut EntryHead, slot: &mut ring::Slot, is_own: bool) -> Option<Claim> {
        let mut version = slot.version;
        if !is_own {
            (head.state, head.holder) = (EntryState::Claimed, self.claimant());
            version = self.ring.rewrite(slot, head)?;
        }
        Some(match slot.event() {
            Some(event) => Claim::Own(Claimed { event, version, withdrawn: head.withdrawn, watched: head.watched }),
            None => {
                self.ring.store().remove(&slot.key, version);
                self.release(usize::try_from(head.size).unwrap_or_default());
                self.failures.add(self.stamped_at);
                Claim::Gone
            }
        })
    }

    /// Reads an event that this worker has claimed.
    #[inline(never)]
    pub(crate) fn read(&self, place: EntryPlace) -> Option<Event> {
        let found = self.ring.read(place.position).filter(|(head, _)| head.order == place.order);
        match found {
            Some((_, slot)) => slot.event(),
            None => self.watch.copy(place.order),
        }
    }

    /// Takes an entry off that this worker has claimed, before it is removed; see
    /// [`TargetQueue::flush`].
    pub(crate) fn release(&mut self, size: usize) {
        self.released.add(u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// Takes note that others have removed the entry at a position.
    pub(crate) fn forget(&mut self, position: u64) {
        self.scan.free(position);
    }

    /// Returns the bytes of an entry.
    pub(crate) fn size(&self, place: EntryPlace) -> Option<usize> {
        usize::try_from(self.ring.read(place.position)?.0.size).ok()
    }

    /// Removes an entry that this worker has claimed and released. A worker that watches for its
    /// end finds the verdict in its place.
    #[inline(never)]
    pub(crate) fn remove(&mut self, place: EntryPlace, version: u32, watched: bool, verdict: EntryEnd) {
        self.scan.free(place.position);
        let removed = if watched && !self.watch.end(place.order) {
            let state = if verdict == EntryEnd::Delivered { EntryState::Delivered } else { EntryState::Dropped };
            self.replace(place, version, &|head| head.state = state)
        } else {
            self.ring.remove(place.position, version)
        };
        if !removed {
            self.failures.add(self.stamped_at);
        }
    }

    /// Leaves what `change` makes of an entry's head in its place.
    #[inline(never)]
    fn replace(&self, place: EntryPlace, version: u32, change: &dyn Fn(&mut EntryHead)) -> bool {
        let found = self.ring.read(place.position).filter(|(head, _)| head.order == place.order);
        let Some((mut head, mut slot)) = found else { return false };
        change(&mut head);
        slot.value = entry::verdict(&slot.key, &head);
        slot.version = version;
        self.ring.rewrite(&mut slot, &head).is_some()
    }

    /// Removes a second copy of an entry, which a sender has left that moved it.
    pub(crate) fn discard(&mut self, place: EntryPlace) {
        if let Some((_, slot)) = self.ring.read(place.position).filter(|(head, _)| head.order == place.order) {
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
    #[inline(never)]
    pub(crate) fn relocate(&mut self, place: EntryPlace) -> Option<u64> {
        let (mut head, slot) = self.ring.read(place.position).filter(|(head, _)| head.order == place.order)?;
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

    /// Returns what has become of entries that this worker watches for, by their numbers in the
    /// order; nothing of those that `is_in_flight`.
    pub(crate) fn verdicts(&mut self, is_in_flight: &dyn Fn(u64) -> bool) -> Vec<(u64, EntryEnd)> {
        self.watch.look(&self.ring, is_in_flight)
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

    /// Withdraws an entry that this worker watches for. Returns it if it is this worker's now, to
    /// be dropped; if not, its sender does not try it again.
    #[inline(never)]
    pub(crate) fn withdraw(&mut self, place: EntryPlace) -> Claim {
        for _ in 0..3 {
            let claim = self.claim(place);
            let Claim::Elsewhere = claim else { return claim };
            let Some((mut head, mut slot)) = self.ring.read(place.position) else { return Claim::Gone };
            if head.order != place.order || head.state != EntryState::Claimed {
                continue;
            }
            head.withdrawn = true;
            if self.ring.rewrite(&mut slot, &head).is_some() {
                return Claim::Elsewhere;
            }
        }
        Claim::Gone
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
        let is_worn = last.next % slots >= REWOUND_FROM || (1..wanted).contains(&last.slots);
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

    /// Returns the places of all entries from `position` on that have not come to their end.
    #[inline(never)]
    pub(crate) fn places_from(&mut self, position: u64) -> Vec<EntryPlace> {
        self.ring.refresh();
        let Cursors { head, next, .. } = *self.ring.last();
        let entries = (head.max(position)..next).filter_map(|position| Some((position, self.ring.read(position)?.0)));
        let live = entries.filter(|(_, head)| !head.state.is_over());
        live.map(|(position, head)| EntryPlace { position, order: head.order }).collect()
    }

    /// Returns the position from which on this worker is to write letters, because the process may
    /// be ending; `None` if another one does, or has done, for all that there is.
    #[inline(never)]
    pub(crate) fn letters_from(&mut self) -> Option<u64> {
        if !self.is_shared() {
            return Some(0);
        }
        self.ring.refresh()?;
        self.tenancy.letter(self.ring.last().next)
    }

    /// Returns true if a share of the gauges was not taken yet.
    pub(crate) fn has_inherited(&self) -> bool {
        self.inherited != (0, 0)
    }

    /// Returns true if this worker sends and nothing is left to be sent.
    pub(crate) fn is_deserted(&self) -> bool {
        self.is_sender() && self.is_caught_up() && self.scan.is_empty(self.ring.last().next)
    }

    /// Writes this queue's share of the gauges to the lease, before it is reported: a successor
    /// takes it back.
    #[inline(never)]
    pub(crate) fn note_reported(&mut self, backlog: Backlog, now: Timestamp) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let reported = Amount { entries: number(backlog.entries), bytes: number(backlog.bytes) };
        if self.tenancy.held().is_some_and(|lease| lease.reported != reported) {
            let rank = self.rank(now);
            self.tenancy.renew(rank, &|lease| lease.reported = reported);
        }
    }

    fn inherit(&mut self, reported: Amount, sign: i64) {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX) * sign;
        self.inherited.0 += signed(reported.entries);
        self.inherited.1 += signed(reported.bytes);
    }

    /// Takes the share of the gauges, in entries and bytes, that was taken over or lost since the
    /// last time.
    pub(crate) fn take_inherited(&mut self) -> (i64, i64) {
        std::mem::take(&mut self.inherited)
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
