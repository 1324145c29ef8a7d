//! The lease of a queue: which worker sends. Never reads or writes an entry.
//!
//! The holder renews the lease every second, and counts that in it. A lease that a few looks find
//! with one count has expired: the worker that looks takes it. Looks are counted and times are
//! not compared, so that no clock that is set makes a lease expire. A worker that serves no clients
//! invites itself to hold what one that does holds: the holder finishes its calls and hands over.

use std::rc::Rc;

use super::entry::{Decoder, Encoder};
use super::keys::{Keys, StoreKey};
use super::ring::Amount;
use super::store::Store;

/// Looks that find a lease unchanged before it has expired, for a worker that serves no clients.
const LOOKS_TO_EXPIRY: u32 = 4;

/// Such looks of a worker that serves clients.
const LOOKS_TO_EXPIRY_WHEN_SERVING: u32 = 5;

/// Looks that find another's invitation unchanged before a worker takes its place: the other one
/// may be gone.
const LOOKS_TO_UNINVITE: u32 = 4;

/// Renewals of a holder that is to go on before another one takes its place: ranks change, and a
/// change of hands costs a pause.
const RENEWALS_BEFORE_INVITATION: u64 = 5;

/// The fitness of a worker to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Its configuration was replaced: it ends when it has nothing left.
    Leaving,
    /// It has events of its own clients.
    Serving,
    /// It has had none of late, as Envoy's main thread.
    Idle,
}

/// The lease as it stands in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The worker that sends; zero if none does.
    pub(crate) owner: u64,
    /// Its renewals.
    renewals: u64,
    /// The rank of that worker.
    rank: Rank,
    /// The worker that it hands over to; zero if there is none.
    invited: u64,
    /// The worker that sent before: what it has claimed is free.
    previous: u64,
    /// Share of the host's gauges that the owner has reported.
    pub(crate) reported: Amount,
    /// The position up to which entries have a letter, because the process may be ending.
    pub(crate) lettered: u64,
}

impl Lease {
    fn of(owner: u64, rank: Rank) -> Lease {
        Lease { owner, renewals: 0, rank, invited: 0, previous: 0, reported: Amount::default(), lettered: 0 }
    }

    fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(key, 64);
        encoder.number(self.owner).number(self.rank as u64).number(self.invited).number(self.previous);
        encoder.number(self.reported.entries).number(self.reported.bytes).number(self.lettered);
        encoder.number(self.renewals);
        encoder.finish()
    }

    fn decode(key: &StoreKey, value: &[u8]) -> Option<Lease> {
        let mut decoder = Decoder::new(key, value)?;
        let mut number = || decoder.number();
        let owner = number()?;
        let rank = match number()? {
            0 => Rank::Leaving,
            1 => Rank::Serving,
            _ => Rank::Idle,
        };
        let (invited, previous) = (number()?, number()?);
        let reported = Amount { entries: number()?, bytes: number()? };
        Some(Lease { owner, rank, invited, previous, reported, lettered: number()?, renewals: number()? })
    }
}

/// The change of the lease that a look found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// This worker holds it from now on. What the one before has claimed is free; the gauges have
    /// its share.
    Taken { from: u64, of_one_that_is_gone: bool, reported: Amount },
    /// Another worker has taken it, because this one stood still.
    Lost,
    /// Nothing that matters.
    None,
}

/// One worker's view of the lease.
pub(crate) struct Tenancy {
    store: Rc<dyn Store>,
    key: StoreKey,
    /// The name of this worker while it holds the lease, each time something else.
    owner: u64,
    /// The lease as this worker has written it last, while it holds it.
    held: Option<Lease>,
    /// The owner and its renewals as the last look found them, how many looks have found that, and
    /// for how many one worker was invited.
    seen: ((u64, u64), u32),
    invited: (u64, u32),
    /// True if a look has found that a worker that goes on has renewed the lease.
    has_heir: bool,
}

impl Tenancy {
    /// Creates the view of a worker that is called by the numbers from `owner` on, which is not
    /// zero.
    pub(crate) fn new(store: Rc<dyn Store>, keys: &Keys, owner: u64) -> Tenancy {
        Tenancy { store, key: keys.lease(), owner, held: None, seen: ((0, 0), 0), invited: (0, 0), has_heir: false }
    }

    /// Returns the lease, if this worker holds it.
    pub(crate) fn held(&self) -> Option<&Lease> {
        self.held.as_ref()
    }

    /// Returns true if this worker is to hand over what it holds.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.held.is_some_and(|lease| lease.invited != 0)
    }

    /// Returns true if this worker waits for what another holds.
    pub(crate) fn is_invited(&self) -> bool {
        self.held.is_none() && self.invited.0 == self.owner
    }

    /// Returns true if a worker that goes on was seen to send since `take_forsaken`.
    pub(crate) fn has_heir(&self) -> bool {
        self.has_heir
    }

    #[inline(never)]
    fn read(&self) -> Option<(Lease, u32)> {
        let (value, version) = self.store.get(&self.key)?;
        Some((Lease::decode(&self.key, &value)?, version))
    }

    #[inline(never)]
    fn write(&self, lease: &Lease, version: Option<u32>) -> bool {
        let value = lease.encode(&self.key);
        match version {
            Some(version) => self.store.replace(&self.key, &value, version).is_some(),
            None => self.store.create(&self.key, &value),
        }
    }

    /// Renews the lease, or takes it if nobody holds it. Call it once a second, and at other times
    /// with a look that does not count. A worker that `stood_still` does not know whether another
    /// one held it before the store forgot it.
    pub(crate) fn tend(&mut self, rank: Rank, counts: bool, stood_still: bool) -> Change {
        match self.held {
            Some(_) if stood_still && self.read().is_none() => {
                self.end();
                Change::Lost
            }
            Some(_) => self.renew(rank, &|_| ()),
            None => self.challenge(rank, counts),
        }
    }

    /// Writes what `change` makes of the lease that this worker holds.
    #[inline(never)]
    pub(crate) fn renew(&mut self, rank: Rank, change: &dyn Fn(&mut Lease)) -> Change {
        let Some(held) = self.held else { return Change::None };
        // Once more if somebody has invited itself meanwhile.
        for _ in 0..3 {
            let found = self.read();
            let (mut lease, version) = match found {
                // A store without room has forgotten it.
                None => (held, None),
                Some((lease, _)) if lease.owner != self.owner => break,
                Some((lease, version)) => (lease, Some(version)),
            };
            lease.rank = rank;
            lease.renewals = lease.renewals.wrapping_add(1);
            change(&mut lease);
            if self.write(&lease, version) {
                self.held = Some(lease);
                if lease.owner != self.owner {
                    self.end();
                }
                return Change::None;
            }
        }
        if self.read().is_some_and(|(lease, _)| lease.owner == self.owner) {
            return Change::None;
        }
        self.end();
        Change::Lost
    }

    fn end(&mut self) {
        self.held = None;
        self.owner = self.owner.wrapping_add(1).max(1);
        self.invited = (0, 0);
    }

    /// Hands over to the worker that is invited, or to nobody, with this share of the gauges.
    pub(crate) fn hand_over(&mut self, reported: Amount) {
        self.renew(Rank::Leaving, &|lease| {
            (lease.previous, lease.owner, lease.invited) = (lease.owner, lease.invited, 0);
            // What it is the next one says at its first renewal: until then nobody invites itself.
            (lease.rank, lease.renewals, lease.reported) = (Rank::Idle, 0, reported);
        });
    }

    #[inline(never)]
    fn challenge(&mut self, rank: Rank, counts: bool) -> Change {
        let Some((lease, version)) = self.read() else {
            let lease = Lease::of(self.owner, rank);
            return match self.write(&lease, None) {
                true => self.taken(lease, false),
                false => Change::None,
            };
        };
        if lease.owner == self.owner {
            // It was handed over to this worker, which may have stood still since: the others are
            // to see that it is there before it sends.
            let renewed = Lease { renewals: lease.renewals.wrapping_add(1), rank, ..lease };
            if !self.write(&renewed, Some(version)) {
                return Change::None;
            }
            self.invited = (0, 0);
            return self.taken(renewed, false);
        }
        let unchanged = self.see(&lease, counts);
        if rank == Rank::Leaving && lease.owner == 0 && self.invited.0 != self.owner {
            // A worker that goes on takes it, if there is one.
            if unchanged < LOOKS_TO_EXPIRY_WHEN_SERVING {
                return Change::None;
            }
        }
        let looks = if rank == Rank::Idle { LOOKS_TO_EXPIRY } else { LOOKS_TO_EXPIRY_WHEN_SERVING };
        if lease.owner == 0 || unchanged >= looks {
            let taken = self.taking(lease, rank);
            return match self.write(&taken, Some(version)) {
                true => self.taken(taken, lease.owner != 0),
                false => Change::None,
            };
        }
        self.invite(lease, version, rank, counts);
        Change::None
    }

    /// Notes the lease as a look has found it. Returns how many looks have found it unrenewed.
    fn see(&mut self, lease: &Lease, counts: bool) -> u32 {
        let found = (lease.owner, lease.renewals);
        let ((owner, _), unchanged) = self.seen;
        let unchanged = if self.seen.0 == found { unchanged + u32::from(counts) } else { 0 };
        let is_alive = self.seen.0 != found && owner == lease.owner && owner != 0;
        self.has_heir |= is_alive && lease.rank != Rank::Leaving;
        self.seen = (found, unchanged);
        unchanged
    }

    /// Invites this worker, if it is better suited than the holder.
    #[inline(never)]
    fn invite(&mut self, lease: Lease, version: u32, rank: Rank, counts: bool) {
        let looks = if self.invited.0 == lease.invited { self.invited.1 + u32::from(counts) } else { 0 };
        self.invited = (lease.invited, looks);
        let is_settled = lease.rank == Rank::Leaving || lease.renewals >= RENEWALS_BEFORE_INVITATION;
        let is_free = lease.invited == 0 || (lease.invited != self.owner && looks >= LOOKS_TO_UNINVITE);
        if rank > lease.rank
            && is_settled
            && is_free
            && self.write(&Lease { invited: self.owner, ..lease }, Some(version))
        {
            self.invited = (self.owner, 0);
        }
    }

    /// Returns a lease as this worker takes it.
    #[inline(never)]
    fn taking(&self, lease: Lease, rank: Rank) -> Lease {
        // If it was handed over to nobody, the one that did so is noted already.
        let previous = if lease.owner == 0 { lease.previous } else { lease.owner };
        Lease { owner: self.owner, renewals: 0, rank, invited: 0, previous, ..lease }
    }

    fn taken(&mut self, lease: Lease, of_one_that_is_gone: bool) -> Change {
        self.held = Some(lease);
        self.seen = ((0, 0), 0);
        Change::Taken { from: lease.previous, of_one_that_is_gone, reported: lease.reported }
    }

    /// Takes the lease if nobody holds it, or if its holder has not renewed it for a while.
    #[inline(never)]
    pub(crate) fn take_forsaken(&mut self) -> Change {
        let found = self.read();
        let (lease, version) = match found {
            None => (Lease::of(self.owner, Rank::Leaving), None),
            Some((lease, version)) => (lease, Some(version)),
        };
        let is_unrenewed = self.seen.0 == (lease.owner, lease.renewals) && self.seen.1 >= 2;
        let is_forsaken = version.is_none() || lease.owner == 0 || is_unrenewed;
        self.see(&lease, false);
        self.has_heir = false;
        let taken = match version {
            Some(_) => self.taking(lease, Rank::Leaving),
            None => lease,
        };
        match is_forsaken && self.write(&taken, version) {
            true => self.taken(taken, version.is_some() && lease.owner != 0),
            false => Change::None,
        }
    }

    /// Marks all entries below `next` as having letters, if others before them have theirs. Returns
    /// the position from which on they have none yet.
    #[inline(never)]
    pub(crate) fn letter(&mut self, next: u64) -> Option<u64> {
        let (lease, version) = self.read()?;
        let from = lease.lettered;
        let begun = lease.owner == self.owner || from > 0;
        let written = begun && from < next && self.write(&Lease { lettered: next, ..lease }, Some(version));
        written.then_some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::queue::fake::{Fake, Gateway};

    #[test]
    fn one_that_stood_still_when_it_was_handed_the_lease_is_seen_before_it_sends() {
        let store: Rc<dyn Store> = Rc::new(Fake::new(Gateway::Envoy));
        let worker = |owner| Tenancy::new(Rc::clone(&store), &Keys::new(&["t"]), owner);
        let (mut before, mut still, mut leaving) = (worker(10), worker(20), worker(30));
        for _ in 0..=RENEWALS_BEFORE_INVITATION {
            before.tend(Rank::Serving, true, false);
        }
        still.tend(Rank::Idle, true, false);
        before.tend(Rank::Serving, true, false);
        assert!(still.is_invited() && before.is_handing_over());
        before.hand_over(Amount::default());
        for _ in 0..3 {
            leaving.tend(Rank::Serving, true, false);
        }
        assert!(matches!(still.tend(Rank::Idle, true, false), Change::Taken { .. }));
        assert_eq!(leaving.take_forsaken(), Change::None, "it is there");
        assert!(still.held().is_some() && leaving.held().is_none());
    }
}
