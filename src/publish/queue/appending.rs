//! The way of entries into the queue. Never makes room for one.

use std::rc::Rc;

use super::directory::Directory;
use super::entry::{self, EntryHead, EntryState};
use super::keys::hash;
use super::ring::AppendRefusal;
use super::store::Keeping;
use super::{EntryPlace, TargetQueue};
use crate::clock::Timestamp;
use crate::event::Event;

/// The way in which an entry is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For the sender.
    Queued,
    /// For the sender, which takes it first; this worker watches for its end.
    Urgent,
    /// For this worker itself.
    Own,
}

impl TargetQueue {
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
        // Others strike what a worker has not claimed for a minute; one that leaves never does,
        // and one that stood still has not done.
        let is_claimed = std::mem::replace(&mut self.is_listed, true) && !self.is_leaving && !self.stood_still(now);
        if self.is_shared() && !is_claimed {
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
}
