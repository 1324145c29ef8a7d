//! The events that responses wait for: how long, and what becomes of both. Says what is to be done with a response, and never
//! touches one.

use super::{Entry, Outbox, Release, Ticket, Wait};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::metrics::{Metric, Metrics};
use crate::publish::dead_letter::DropReason;
use crate::publish::journal::Slot;
use crate::publish::route::OnFailure;

impl Outbox {
    /// [`Outbox::push`] with an event that a response waits for: it does not wait for others, and nor does what came before it.
    ///
    /// While the service is spared, only the response waits whose event finds out whether it is back.
    pub fn push_awaited(
        &mut self,
        event: Event,
        size: usize,
        wait: Wait,
        now: Timestamp,
        metrics: &mut Metrics,
        keep: impl FnOnce(&Event, &mut Metrics) -> Option<Slot>,
    ) {
        let now = self.clock.at(now);
        let mut entry = Entry::new(event, size, now);
        if self.circuit.admits(self.flights.len(), now) {
            entry.ticket = Some(wait.ticket);
            self.waits.begin(wait, now + self.settings.longest_wait);
        } else {
            self.waits.refuse(wait);
            metrics.add(Metric::ResponsesUndelivered, 1);
            if wait.on_failure == OnFailure::Fail {
                return self.bury(*entry, DropReason::Withdrawn, None, metrics);
            }
        }
        self.add(entry, metrics, keep);
        self.queue.hurry();
    }

    /// Lets go of a response whose event was not acknowledged.
    pub(super) fn wait_no_longer(&mut self, ticket: Ticket, metrics: &mut Metrics) {
        let Some(wait) = self.waits.failed(ticket) else { return };
        metrics.add(Metric::ResponsesUndelivered, 1);
        if wait.on_failure == OnFailure::Pass {
            return;
        }
        if let Some(entry) = self.queue.remove(ticket) {
            return self.dropped(entry, DropReason::Withdrawn, None, metrics);
        }
        // It is under way, and may arrive yet.
        let mut in_flight = self.flights.iter_mut().flat_map(|flight| &mut flight.entries);
        if let Some(entry) = in_flight.find(|entry| entry.ticket == Some(ticket)) {
            entry.withdrawn = true;
        }
    }

    /// The service is down: no response waits for it, but those whose events are under way.
    pub(super) fn release_waiting(&mut self, metrics: &mut Metrics) {
        let flights = &self.flights;
        let in_flight =
            |ticket| flights.iter().flat_map(|flight| &flight.entries).any(|entry| entry.ticket == Some(ticket));
        let waiting: Vec<_> = self.waits.tickets().filter(|ticket| !in_flight(*ticket)).collect();
        for ticket in waiting {
            self.wait_no_longer(ticket, metrics);
        }
    }

    /// What is to be done with a response, once that is known.
    pub fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.waits.take(ticket)
    }

    /// What is to be done with every response of which it is known.
    pub fn take_releases(&mut self) -> Vec<(Ticket, Release)> {
        self.waits.take_all()
    }

    /// The response is gone, its client has left. Its event goes on like any other.
    pub fn forget_response(&mut self, ticket: Ticket) {
        self.waits.forget(ticket);
    }
}
