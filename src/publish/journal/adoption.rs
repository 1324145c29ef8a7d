//! Adoption: a journal sweeps the leases of others, takes over the segments of those that are gone,
//! and hands out what is in them. Copies nothing: an adopted segment stays where it is, so that a
//! successor that dies has a successor.

use std::time::Duration;

use crate::event::Event;
use crate::notice::{Level, Notice};

use super::lease::Lease;
use super::segment::Segment;
use super::unread::Unread;
use super::{encoding, Journal, Slot};

/// Sweeps that find a lease unchanged before it counts as expired.
pub(crate) const SWEEPS_TO_EXPIRY: u32 = 5;

/// Such sweeps of a journal without events of its own. Envoy's main thread has one: it leaves
/// adoption to the workers where there are any.
pub(crate) const SWEEPS_TO_EXPIRY_WHEN_IDLE: u32 = 10;

/// A lease of another journal, as the last sweep found it.
pub(crate) struct Sighting {
    segment: u32,
    version: u32,
    /// Sweeps that found this version again.
    unchanged: u32,
}

impl Journal {
    /// Sweeps the leases of other journals, and adopts a segment whose lease has expired.
    pub(super) fn sweep(&mut self) {
        let before = std::mem::take(&mut self.sightings);
        let needed = if self.next_sequence == 0 { SWEEPS_TO_EXPIRY_WHEN_IDLE } else { SWEEPS_TO_EXPIRY };
        let held: Vec<_> = self.leases.held().filter(|(segment, ..)| !self.holds(*segment)).collect();
        for (segment, lease, version) in held {
            let seen = before.iter().find(|sighting| sighting.segment == segment && sighting.version == version);
            let unchanged = seen.map_or(0, |sighting| sighting.unchanged + 1);
            if unchanged < needed || self.is_reading() || !self.adopt(segment, lease, version) {
                self.sightings.push(Sighting { segment, version, unchanged });
            }
        }
    }

    fn holds(&self, segment: u32) -> bool {
        self.own.iter().chain(&self.adopted).any(|held| held.number == segment)
    }

    fn adopt(&mut self, segment: u32, lease: Lease, version: u32) -> bool {
        let Some(lease) = self.leases.take_over(segment, lease, version) else { return false };
        self.inherit(lease.reported, 1);
        let segment = Segment::new(segment, self.next_epoch(), lease, Unread::below(lease.slots), self.last_renewal);
        self.adopted.push(segment);
        true
    }

    /// Ends adoption: the segments of others stay theirs from now on.
    pub(crate) fn stop_adopting(&mut self) {
        self.adopts = false;
        self.is_listed = false;
    }

    /// Returns true if segments of others may still become this journal's.
    pub(crate) fn is_adopting(&self) -> bool {
        self.adopts
    }

    /// Returns true if adopted segments have events that [`Journal::next_adopted`] has not returned
    /// yet.
    #[inline(never)]
    pub(crate) fn is_reading(&self) -> bool {
        !self.adopted.iter().all(|segment| segment.unread.is_empty())
    }

    /// Returns the next event of an adopted segment, in the order in which its previous owner
    /// accepted them, and its age: the time for which anybody had it. `None` also if another call is needed to find out: a long segment is scanned
    /// in portions.
    #[inline(never)]
    pub(crate) fn next_adopted(&mut self) -> Option<(Event, Slot, Duration)> {
        let segment = self.adopted.iter_mut().find(|segment| !segment.unread.is_empty())?;
        let (store, keys, number) = (&self.store, &self.keys, segment.number);
        let sequence_in = |slot| {
            let key = keys.slot(number, slot);
            encoding::sequence(&key, &store.get(&key)?.0)
        };
        if let Some(count) = segment.unread.scan(sequence_in).filter(|count| *count > 0) {
            let text = format!("{count} event(s) of a worker that is gone are taken over");
            self.notices.push(Notice { level: Level::Info, text });
        }
        while let Some(slot) = segment.unread.take() {
            let key = keys.slot(number, slot);
            if let Some((event, written_at)) = store.get(&key).and_then(|(value, _)| encoding::decode(&key, &value)) {
                segment.live += 1;
                let age = segment.age(written_at, self.last_renewal);
                return Some((event, Slot { epoch: segment.epoch, number: slot }, age));
            }
            store.remove(&key);
            self.failures.add(self.last_renewal);
        }
        None
    }

    /// Puts back the event that [`Journal::next_adopted`] returned last, for which there was no
    /// room.
    pub(crate) fn put_back(&mut self, slot: Slot) {
        let segment = self.adopted.iter_mut().find(|segment| segment.epoch == slot.epoch);
        if let Some(segment) = segment {
            segment.live = segment.live.saturating_sub(1);
            segment.unread.put_back(slot.number);
        }
    }

    /// Returns the number of events in adopted segments that are known and not read yet.
    #[inline(never)]
    pub(crate) fn unread(&self) -> usize {
        self.adopted.iter().map(|segment| segment.unread.count()).sum()
    }
}
