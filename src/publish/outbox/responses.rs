//! Events that responses wait for: how long, and what becomes of both. Decides when a response is
//! released, and never touches one.

use super::queue::Entry;
use super::{Outbox, Release, Ticket, Wait};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::dead_letter::DropReason;
use crate::publish::route::OnFailure;

impl Outbox {
    /// Takes an event that a response waits for: unlike one of [`Outbox::push`] it waits neither for
    /// company nor behind what came before it, but for those of its group where order matters.
    ///
    /// While the circuit is open, only the response waits whose event finds out whether the service
    /// is back, and none for a service that throttles so much that no call is due in time.
    pub(crate) fn push_awaited(&mut self, event: Event, size: usize, wait: Wait, now: Timestamp) {
        let steady = self.clock.at(now);
        let mut entry = Entry::new(event, size, steady);
        let until = steady + self.settings.longest_wait;
        if self.circuit.admits(self.flights.len(), steady) && self.pace.admits_before(until) {
            entry.ticket = Some(wait.ticket);
            self.waits.begin(wait, until);
        } else {
            self.waits.refuse(wait);
            self.counts.undelivered_responses += 1;
            if wait.on_failure == OnFailure::Fail {
                return self.bury(*entry, DropReason::Withdrawn, None);
            }
        }
        self.add(entry, now);
    }

    /// Releases a response whose event was not acknowledged.
    pub(super) fn wait_no_longer(&mut self, ticket: Ticket) {
        let Some(wait) = self.waits.failed(ticket) else { return };
        self.counts.undelivered_responses += 1;
        if wait.on_failure == OnFailure::Pass {
            return self.queue.await_no_longer(ticket);
        }
        if let Some(entry) = self.queue.remove(ticket) {
            return self.dropped(entry, DropReason::Withdrawn, None);
        }
        // It is under way, and may arrive yet.
        let mut in_flight = self.flights.iter_mut().flat_map(|flight| &mut flight.entries);
        if let Some(entry) = in_flight.find(|entry| entry.ticket == Some(ticket)) {
            entry.withdrawn = true;
        }
    }

    /// Releases every response but the ones whose events are under way: the service is down, and
    /// none waits for it to be back.
    pub(super) fn release_waiting(&mut self) {
        let flights = &self.flights;
        let in_flight =
            |ticket| flights.iter().flat_map(|flight| &flight.entries).any(|entry| entry.ticket == Some(ticket));
        let waiting: Vec<_> = self.waits.tickets().filter(|ticket| !in_flight(*ticket)).collect();
        for ticket in waiting {
            self.wait_no_longer(ticket);
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
        self.queue.await_no_longer(ticket);
    }
}
