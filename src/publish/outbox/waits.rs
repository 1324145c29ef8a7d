//! Responses that wait for their events: until when, and how each goes on then. Knows nothing of a
//! response but its name.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::publish::route::OnFailure;

/// Names a response that waits; no name is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u32);

/// How a response waits for its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Names the response.
    pub(crate) ticket: Ticket,
    /// How the response goes on if the event is not acknowledged.
    pub(crate) on_failure: OnFailure,
}

/// How a response goes on that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It goes to the client.
    Pass,
    /// The client gets a 503 instead.
    Refuse,
}

/// Responses that wait, and those released that have not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Waits {
    open: Vec<(Wait, Timestamp)>,
    over: VecDeque<(Ticket, Release)>,
}

impl Waits {
    /// Lets a response wait.
    pub(super) fn begin(&mut self, wait: Wait, until: Timestamp) {
        self.open.push((wait, until));
    }

    /// Releases a response whose event is acknowledged.
    pub(super) fn acknowledged(&mut self, ticket: Ticket) {
        if self.close(ticket).is_some() {
            self.over.push_back((ticket, Release::Pass));
        }
    }

    /// Releases a response whose event will not be acknowledged in time. Returns how it had waited,
    /// if it did.
    pub(super) fn failed(&mut self, ticket: Ticket) -> Option<Wait> {
        let wait = self.close(ticket)?;
        self.refuse(wait);
        Some(wait)
    }

    /// Releases a response that does not wait at all, as one whose event failed.
    pub(super) fn refuse(&mut self, wait: Wait) {
        let release = match wait.on_failure {
            OnFailure::Pass => Release::Pass,
            OnFailure::Fail => Release::Refuse,
        };
        self.over.push_back((wait.ticket, release));
    }

    /// Forgets a response that is gone.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.close(ticket);
        self.over.retain(|(candidate, _)| *candidate != ticket);
    }

    fn close(&mut self, ticket: Ticket) -> Option<Wait> {
        let position = self.open.iter().position(|(wait, _)| wait.ticket == ticket)?;
        Some(self.open.remove(position).0)
    }

    /// Returns a response that has waited for too long.
    pub(super) fn due(&self, now: Timestamp) -> Option<Ticket> {
        self.open.iter().find(|(_, until)| *until <= now).map(|(wait, _)| wait.ticket)
    }

    /// Iterates over the responses that wait.
    pub(super) fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.open.iter().map(|(wait, _)| wait.ticket)
    }

    /// Takes how a response goes on, once that is known.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Release> {
        let position = self.over.iter().position(|(candidate, _)| *candidate == ticket)?;
        Some(self.over.remove(position)?.1)
    }

    /// Takes responses of which that is known, so many at most, those first that have waited for
    /// longest.
    pub(super) fn take_some(&mut self, most: usize) -> impl Iterator<Item = (Ticket, Release)> + '_ {
        self.over.drain(..most.min(self.over.len()))
    }

    /// Returns true if a response has not been taken of which that is known.
    pub(super) fn has_released(&self) -> bool {
        !self.over.is_empty()
    }
}
