//! Events that responses wait for: how long, and what becomes of both. Decides when a response is
//! released, and never touches one.

use super::row::{Queued, Row, RowSource};
use super::{rows, Outbox, Release, Ticket, Wait};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::dead_letter::DropReason;
use crate::publish::queue::{Claim, EntryEnd, EntryPlace};
use crate::publish::route::OnFailure;

/// A response that waits for an entry that another worker sends.
pub(super) struct Remote {
    pub(super) place: EntryPlace,
    pub(super) ticket: Ticket,
}

impl Outbox {
    /// Takes an event that a response waits for: unlike one of [`Outbox::push`] it waits neither
    /// for company nor behind what came before it, except those of its group where order matters.
    ///
    /// While the circuit is open, only the response waits whose event finds out whether the service
    /// is back, and none for a service that throttles so much that no call is due in time.
    #[inline(never)]
    pub(crate) fn push_awaited(&mut self, event: Event, size: usize, wait: Wait, now: Timestamp) {
        let steady = self.clock.at(now);
        let until = steady + self.settings.longest_wait;
        // A worker that is the first to have something is the sender.
        self.tend_queue(now);
        let is_remote = self.settings.ordered && !self.queue.is_sender();
        let is_admitted = match is_remote {
            true => !self.queue.look_if_down(),
            false => self.circuit.admits(self.flights.len(), steady) && self.pace.admits_before(until),
        };
        if is_admitted {
            self.waits.begin(wait, until);
            return self.add(event, size, Some(wait.ticket), now);
        }
        self.waits.refuse(wait);
        self.counts.undelivered_responses += 1;
        if wait.on_failure == OnFailure::Fail {
            return self.bury(event, None, DropReason::Withdrawn, None);
        }
        self.add(event, size, None, now);
    }

    /// Releases a response whose event was not acknowledged.
    #[inline(never)]
    pub(super) fn wait_no_longer(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(wait) = self.waits.failed(ticket) else { return };
        self.counts.undelivered_responses += 1;
        if wait.on_failure == OnFailure::Pass {
            return self.await_no_longer(ticket);
        }
        if let Some(mut entry) = self.index.remove(ticket) {
            let claim = match entry.source {
                RowSource::Queue => self.queue.withdraw(entry.place),
                RowSource::Own | RowSource::Spare => self.claim(&mut entry),
            };
            return self.withdraw(entry, claim, now);
        }
        if let Some(position) = self.remote.iter().position(|remote| remote.ticket == ticket) {
            let Remote { place, .. } = self.remote.swap_remove(position);
            if let claim @ Claim::Own(_) = self.queue.withdraw(place) {
                self.withdraw(Row::new(place, RowSource::Queue, 0, 0, now), claim, now);
            }
            return;
        }
        // It is under way, and may arrive yet.
        let mut in_flight = self.flights.iter_mut().flat_map(|flight| &mut flight.entries);
        if let Some(entry) = in_flight.find(|entry| entry.ticket == Some(ticket)) {
            entry.withdrawn = true;
        }
    }

    /// Drops an entry whose client was told that it failed. One that another worker has is left to
    /// that one, which may be gone.
    #[inline(never)]
    fn withdraw(&mut self, mut row: Queued, claim: Claim, now: Timestamp) {
        match claim {
            Claim::Own(claimed) => {
                (row.version, row.watched) = (claimed.version, claimed.watched);
                row.size = u32::try_from(claimed.size).unwrap_or(u32::MAX);
                self.dropped(row, Some(claimed.event), DropReason::Withdrawn, None);
            }
            Claim::Elsewhere(version) if row.source == RowSource::Queue => self.leave_to_another(row, version, now),
            Claim::Elsewhere(_) | Claim::Gone => self.gone(row),
        }
    }

    /// Releases the responses whose entries have ended in other workers.
    #[inline(never)]
    pub(super) fn see_verdicts(&mut self, steady: Timestamp, now: Timestamp) {
        let (flights, is_awaited) = (&self.flights, !self.remote.is_empty());
        let is_in_flight = |order| rows(flights).any(|row| row.place.order == order);
        let verdicts = self.queue.verdicts(is_awaited, steady, &is_in_flight);
        for (order, verdict) in verdicts {
            match (verdict, self.take_remote(order)) {
                (EntryEnd::Delivered, Some(ticket)) => self.waits.acknowledged(ticket),
                (EntryEnd::Lost(Some((size, event))), ticket) => {
                    if let Some(row) = self.index.take(order) {
                        self.gone(row);
                    }
                    self.queue.lost(size, now);
                    self.add_to_spare(event, size, ticket, now);
                }
                (EntryEnd::Dropped | EntryEnd::Lost(None), ticket @ Some(_)) => self.fail_response(ticket),
                (_, None) => {}
            }
        }
        if !self.remote.is_empty() && self.queue.look_if_down() {
            let tickets: Vec<_> = self.remote.iter().map(|remote| remote.ticket).collect();
            tickets.into_iter().for_each(|ticket| self.wait_no_longer(ticket, steady));
        }
    }

    /// Takes the response of this worker that waits for an entry which another worker was to send.
    pub(super) fn take_remote(&mut self, order: u64) -> Option<Ticket> {
        let position = self.remote.iter().position(|remote| remote.place.order == order)?;
        Some(self.remote.swap_remove(position).ticket)
    }

    /// Releases the response that waits for an event, if one does: it is not delivered.
    #[inline(never)]
    pub(super) fn fail_response(&mut self, ticket: Option<Ticket>) {
        if ticket.is_some_and(|ticket| self.waits.failed(ticket).is_some()) {
            self.counts.undelivered_responses += 1;
        }
    }

    fn await_no_longer(&mut self, ticket: Ticket) {
        self.index.await_no_longer(ticket);
        self.remote.retain(|remote| remote.ticket != ticket);
    }

    /// Releases every response but the ones whose events are under way: the service is down, and
    /// none waits for it to be back.
    pub(super) fn release_waiting(&mut self, now: Timestamp) {
        let flights = &self.flights;
        let in_flight = |ticket| rows(flights).any(|entry| entry.ticket == Some(ticket));
        let waiting: Vec<_> = self.waits.tickets().filter(|ticket| !in_flight(*ticket)).collect();
        for ticket in waiting {
            self.wait_no_longer(ticket, now);
        }
    }

    /// Returns how a response goes on, once that is known.
    pub(crate) fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.waits.take(ticket)
    }

    /// Returns responses of which it is known how they go on, so many at most.
    pub(crate) fn take_releases(&mut self, most: usize) -> impl Iterator<Item = (Ticket, Release)> + '_ {
        self.waits.take_some(most)
    }

    /// Returns true if a response has not been taken of which it is known how it goes on.
    pub(crate) fn has_releases(&self) -> bool {
        self.waits.has_released()
    }

    /// Forgets a response whose client has left. Its event goes on like any other.
    pub(crate) fn forget_response(&mut self, ticket: Ticket) {
        self.waits.forget(ticket);
        self.await_no_longer(ticket);
    }
}
