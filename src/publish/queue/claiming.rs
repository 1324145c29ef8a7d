//! Claims: a worker makes an entry its own, by the version of its slot, and gives it up again. Ends
//! none.

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
            let claimed = self.claim_queued(position, true, Timestamp(0));
            if claimed.is_some() {
                return claimed;
            }
        }
        // What is claimed now may be free when it is looked for again.
        self.room_from = head;
        None
    }

    /// Claims entries of a long queue for this worker, which is not the sender: so many at most,
    /// and from behind what the sender takes next, which is the first `ahead`. `start` says where,
    /// in thousandths of what is behind.
    #[inline(never)]
    pub(crate) fn claim_some(&mut self, most: usize, ahead: u64, start: u64, now: Timestamp) -> Vec<FoundEntry> {
        let mut some = Vec::new();
        if self.ring.refresh().is_none() || self.ring.last().is_down || self.ring.last().entries <= ahead {
            return some;
        }
        let Cursors { head, next, .. } = *self.ring.last();
        let from = (head + ahead).min(next);
        let from = from + (next - from) * start.min(1_000) / 1_000;
        for position in from..next.min(from + LOOKS_FOR_HELP) {
            some.extend(self.claim_queued(position, false, now).map(|(found, _)| found));
            if some.len() >= most {
                break;
            }
        }
        some
    }

    /// Claims the entry at a position, if nobody has claimed it; one that goes first, only if
    /// `urgent_too`.
    #[inline(never)]
    fn claim_queued(&mut self, position: u64, urgent_too: bool, now: Timestamp) -> Option<(FoundEntry, Claimed)> {
        let (head, _) = self.ring.read(position)?;
        if head.state != EntryState::Queued || head.urgent && !urgent_too {
            return None;
        }
        let found = self.found(position, &head, now);
        match self.claim(found.place) {
            Claim::Own(claimed) => Some((found, claimed)),
            Claim::Elsewhere | Claim::Gone => None,
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

    /// Claims an entry for this worker.
    #[inline(never)]
    pub(crate) fn claim(&mut self, place: EntryPlace) -> Claim {
        // Once more if somebody else has written to it meanwhile.
        for _ in 0..3 {
            let Some((mut head, mut slot)) = self.find_live(place) else { break };
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

    fn find_live(&self, place: EntryPlace) -> Option<(EntryHead, Slot)> {
        self.ring.find(place).filter(|(head, _)| !head.state.is_over())
    }

    /// Claims an entry whose holder has had it for longer than it may.
    #[inline(never)]
    pub(crate) fn claim_from_another(&mut self, place: EntryPlace) -> Claim {
        let Some((mut head, mut slot)) = self.find_live(place) else { return Claim::Gone };
        self.claim_slot(&mut head, &mut slot, false).unwrap_or(Claim::Elsewhere)
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
            let claim = self.claim(place);
            let Claim::Elsewhere = claim else { return claim };
            let Some((mut head, mut slot)) = self.find_live(place) else { continue };
            if head.state != EntryState::Claimed {
                continue;
            }
            head.withdrawn = true;
            if self.ring.rewrite(&mut slot, &head).is_some() {
                return Claim::Elsewhere;
            }
        }
        Claim::Gone
    }
}
