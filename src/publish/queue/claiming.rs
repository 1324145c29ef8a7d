//! Claims: a worker makes an entry its own, by the version of its slot, and gives it up again. Ends
//! none.

use std::time::Duration;

use super::discovery::FoundEntry;
use super::entry::{EntryHead, EntryState};
use super::ring::{Cursors, Slot};
use super::{EntryPlace, TargetQueue};
use crate::clock::Timestamp;
use crate::event::Event;

/// Entries that a worker without room looks at to find one that gives way.
const LOOKS_FOR_ROOM: u64 = 256;

/// Entries that a worker looks at to find some that it can send in the sender's place.
const LOOKS_FOR_HELP: u64 = 64;

/// Age from which a worker that is not the sender takes an entry: by then the sender has found it,
/// and what is gone before it was found is an empty position that the sender has to look at again.
pub(crate) const FOUND_BY: Duration = Duration::from_millis(30);

/// An entry that this worker has claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// The event.
    pub(crate) event: Event,
    /// Its bytes.
    pub(crate) size: usize,
    /// The version of its slot from now on.
    pub(crate) version: u32,
    /// True if its client was told that it failed.
    pub(crate) withdrawn: bool,
    /// True if some worker watches for its end.
    pub(crate) watched: bool,
}

/// State of an entry: in a worker's hands, free or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Nobody, or this worker.
    Free,
    /// Another worker, at this version of its slot.
    Elsewhere(u32),
    /// It has come to its end, or was lost.
    Gone,
}

/// Result of a claim.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is this worker's.
    Own(Claimed),
    /// Another worker has it, at this version of its slot.
    Elsewhere(u32),
    /// It has come to its end, or was lost.
    Gone,
}

impl TargetQueue {
    /// Claims the oldest entry that nobody has claimed, to make room. For a worker that does not
    /// send, and so does not know what there is.
    #[inline(never)]
    pub(crate) fn claim_oldest(&mut self) -> Option<(FoundEntry, Claimed)> {
        self.ring.refresh()?;
        let Cursors { head, next, .. } = *self.ring.last();
        let from = self.room_from.clamp(head, next);
        for position in from..next.min(from + LOOKS_FOR_ROOM) {
            self.room_from = position + 1;
            let Some((head, slot)) = self.ring.read(position) else { continue };
            let claimed = self.claim_queued(position, &head, slot.version, Timestamp(0));
            if claimed.is_some() {
                return claimed;
            }
        }
        // What is claimed now may be free when it is looked for again.
        self.room_from = head;
        None
    }

    /// Claims entries of a long queue for this worker, which is not the sender: so many at most,
    /// none that the sender may not have found, and from behind what the sender takes next, which
    /// is the first `ahead`. `start` says where, in thousandths of what is behind.
    #[inline(never)]
    pub(crate) fn claim_some(&mut self, most: usize, ahead: u64, start: u64, now: Timestamp) -> Vec<FoundEntry> {
        let mut some = Vec::new();
        if self.ring.refresh().is_none() || self.ring.last().is_down || self.ring.last().entries <= ahead {
            return some;
        }
        let Cursors { head, next, .. } = *self.ring.last();
        let first = (head + ahead).min(next);
        let from = first + (next - first) * start.min(1_000) / 1_000;
        // Behind one that is too young are younger ones.
        let mut looks = LOOKS_FOR_HELP;
        for range in [from..next, first..from] {
            for position in range {
                if looks == 0 || some.len() >= most {
                    return some;
                }
                looks -= 1;
                match self.ring.read(position) {
                    Some((head, _)) if now.since(head.at) < FOUND_BY => break,
                    Some((head, slot)) if !head.urgent => {
                        some.extend(self.claim_queued(position, &head, slot.version, now).map(|(found, _)| found));
                    }
                    _ => {}
                }
            }
        }
        some
    }

    /// Claims the entry at a position, which was read with this head, if nobody has claimed it.
    #[inline(never)]
    fn claim_queued(
        &mut self,
        position: u64,
        head: &EntryHead,
        version: u32,
        now: Timestamp,
    ) -> Option<(FoundEntry, Claimed)> {
        if head.state != EntryState::Queued {
            return None;
        }
        let found = self.found(position, head, version, now);
        match self.claim(found.place, None) {
            Claim::Own(claimed) => Some((found, claimed)),
            Claim::Elsewhere(_) | Claim::Gone => None,
        }
    }

    /// Gives a claimed entry back to the sender.
    #[inline(never)]
    pub(crate) fn give_back(&self, place: EntryPlace) {
        let found = self.ring.find(place).filter(|(head, _)| self.is_own(head));
        if let Some((mut head, mut slot)) = found {
            (head.state, head.holder) = (EntryState::Queued, 0);
            self.ring.rewrite(&mut slot, &head);
        }
    }

    /// Returns who has an entry.
    #[inline(never)]
    pub(crate) fn holding(&self, place: EntryPlace) -> Holding {
        match self.find_live(place) {
            Some((head, slot)) if self.is_elsewhere(&head) => Holding::Elsewhere(slot.version),
            Some(_) => Holding::Free,
            None => Holding::Gone,
        }
    }

    /// Claims an entry for this worker; from another worker only if that one claimed it at the
    /// version `overdue`, and has had it for longer than it may.
    #[inline(never)]
    pub(crate) fn claim(&mut self, place: EntryPlace, overdue: Option<u32>) -> Claim {
        // Once more if somebody else has written to it meanwhile.
        for _ in 0..3 {
            let Some((mut head, mut slot)) = self.find_live(place) else { break };
            let is_own = !self.is_shared() || self.is_own(&head);
            if !is_own && self.is_elsewhere(&head) && overdue != Some(slot.version) {
                return Claim::Elsewhere(slot.version);
            }
            match self.claim_slot(&mut head, &mut slot, is_own) {
                Some(claimed) => return claimed,
                None => continue,
            }
        }
        Claim::Gone
    }

    fn find_live(&self, place: EntryPlace) -> Option<(EntryHead, Slot)> {
        self.ring.find(place).filter(|(head, _)| !head.state.is_over())
    }

    #[inline(never)]
    fn claim_slot(&mut self, head: &mut EntryHead, slot: &mut Slot, is_own: bool) -> Option<Claim> {
        let mut version = slot.version;
        if !is_own {
            (head.state, head.holder) = (EntryState::Claimed, self.claimant());
            version = self.ring.rewrite(slot, head)?;
        }
        let EntryHead { withdrawn, watched, .. } = *head;
        let size = usize::try_from(head.size).unwrap_or_default();
        Some(match slot.event() {
            Some(event) => Claim::Own(Claimed { event, size, version, withdrawn, watched }),
            None => {
                self.ring.store().remove(&slot.key, version);
                self.release(size);
                self.failures.add(self.stamped_at);
                Claim::Gone
            }
        })
    }

    /// Reads an event that this worker has claimed.
    #[inline(never)]
    pub(crate) fn read(&self, place: EntryPlace) -> Option<Event> {
        let found = self.ring.find(place);
        match found {
            Some((_, slot)) => slot.event(),
            None => self.watch.copy(place.order),
        }
    }

    /// Withdraws an entry that this worker watches for. Returns it if it is this worker's now, to
    /// be dropped; if not, its sender does not try it again.
    #[inline(never)]
    pub(crate) fn withdraw(&mut self, place: EntryPlace) -> Claim {
        for _ in 0..3 {
            let claim = self.claim(place, None);
            let Claim::Elsewhere(_) = claim else { return claim };
            let Some((mut head, mut slot)) = self.find_live(place) else { continue };
            if head.state != EntryState::Claimed {
                continue;
            }
            head.withdrawn = true;
            if self.ring.rewrite(&mut slot, &head).is_some() {
                return claim;
            }
        }
        Claim::Gone
    }
}
