//! The way out: the next batch, and which are in flight. Settles none.

use super::row::{Queued, Row, RowSource};
use super::settings::{Batch, BatchLimits};
use super::{BatchId, Flight, Outbox};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::dead_letter::DropReason;
use crate::publish::queue::Claim;

/// Batches that come to nothing in one poll, at most: others may have dropped what was in them.
const EMPTY_BATCHES: usize = 8;

impl Outbox {
    /// Returns the next batch to send and its events, if one is due and may be sent now. Its
    /// entries are in flight until [`Outbox::settle`] or the deadline. Call it until it gives
    /// nothing.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<(BatchId, Vec<Event>)> {
        self.tend(now);
        let now = self.clock.at(now);
        self.index.wake(now);
        let in_flight = self.flights.len();
        self.pace.grow(self.index.oldest().is_some(), now);
        if in_flight >= self.settings.max_in_flight
            || !self.circuit.admits(in_flight, now)
            || !self.pace.admits(in_flight, now)
            || !self.may_begin()
        {
            self.give_help_back();
            return None;
        }
        let Batch { max_entries, max_delay } = self.settings.batch;
        let calls = if self.circuit.is_open() { 1 } else { self.pace.room(in_flight) };
        let limits = BatchLimits { entries: max_entries, bytes: self.settings.max_batch_bytes, calls };
        for _ in 0..EMPTY_BATCHES {
            let is_due = &|oldest: &Row| now.since(oldest.queued_at) >= max_delay;
            let rows = self.index.take_batch(limits, now, is_due)?;
            let (entries, events) = self.claim_all(rows, now);
            if entries.is_empty() {
                continue;
            }
            self.pace.called(self.rng.u32(0..=1_000), now);
            let id = BatchId(self.next_batch);
            self.next_batch += 1;
            self.flights.push(Flight { id, entries, since: now, deadline: now + self.settings.deadline });
            return Some((id, events));
        }
        None
    }

    /// Claims the entries of a batch. Returns those that are this worker's, and their events.
    #[inline(never)]
    fn claim_all(&mut self, rows: Vec<Queued>, now: Timestamp) -> (Vec<Queued>, Vec<Event>) {
        let (mut entries, mut events, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
        for mut row in rows {
            if row.group != 0 && blocked.contains(&row.group) {
                row.not_before = now;
                self.index.put_back(row);
                continue;
            }
            match self.claim(&mut row) {
                Claim::Own(claimed) if claimed.withdrawn => {
                    self.dropped(row, Some(claimed.event), DropReason::Withdrawn, None);
                }
                Claim::Own(claimed) => {
                    entries.push(row);
                    events.push(claimed.event);
                }
                Claim::Gone => self.gone(row),
                // Its sender has it for as long as this worker did not.
                Claim::Elsewhere(_) if row.source == RowSource::Own => self.gone(row),
                Claim::Elsewhere(version) => {
                    blocked.push(row.group);
                    self.leave_to_another(row, version, now);
                }
            }
        }
        (entries, events)
    }

    /// Claims an entry, and notes that in its row.
    #[inline(never)]
    pub(super) fn claim(&mut self, row: &mut Row) -> Claim {
        let overdue = std::mem::take(&mut row.elsewhere).then_some(row.version);
        let claim = match (row.source, &mut self.spare) {
            (RowSource::Spare, Some(spare)) => spare.claim(row.place, None),
            (RowSource::Spare, None) => Claim::Gone,
            _ => self.queue.claim(row.place, overdue),
        };
        if let Claim::Own(claimed) = &claim {
            (row.version, row.watched) = (claimed.version, claimed.watched);
        }
        claim
    }

    /// Returns how many batches are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Returns true if a batch still waits for its outcomes.
    pub(crate) fn is_in_flight(&self, id: BatchId) -> bool {
        self.flights.iter().any(|flight| flight.id == id)
    }

    /// Returns how many events are in a batch; none if it is not in flight any more.
    pub(crate) fn batch_len(&self, id: BatchId) -> usize {
        self.flights.iter().find(|flight| flight.id == id).map_or(0, |flight| flight.entries.len())
    }
}
