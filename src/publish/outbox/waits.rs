//! Responses that wait for their events: until when, and what is to come of them. Knows nothing of a response but its name.

use crate::clock::Timestamp;
use crate::publish::route::OnFailure;

/// Names a response that waits. None is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub u32);

/// How a response waits for its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Its name.
    pub ticket: Ticket,
    /// What happens if the event is not acknowledged.
    pub on_failure: OnFailure,
}

/// What is to be done with a response that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It goes to the client.
    Pass,
    /// The client gets a 503 instead.
    Refuse,
}

/// Those that wait, and those that need not any more and do not know it yet.
#[derive(Debug, Default)]
pub struct Waits {
    open: Vec<(Wait, Timestamp)>,
    over: Vec<(Ticket, Release)>,
}

impl Waits {
    /// A response begins to wait.
    pub fn begin(&mut self, wait: Wait, until: Timestamp) {
        self.open.push((wait, until));
    }

    /// The event is acknowledged.
    pub fn acknowledged(&mut self, ticket: Ticket) {
        if self.close(ticket).is_some() {
            self.over.push((ticket, Release::Pass));
        }
    }

    /// The event is not acknowledged and will not be in time. Gives how the response had waited, if it did.
    pub fn failed(&mut self, ticket: Ticket) -> Option<Wait> {
        let wait = self.close(ticket)?;
        self.refuse(wait);
        Some(wait)
    }

    /// The response is not to wait at all.
    pub fn refuse(&mut self, wait: Wait) {
        let release = match wait.on_failure {
            OnFailure::Pass => Release::Pass,
            OnFailure::Fail => Release::Refuse,
        };
        self.over.push((wait.ticket, release));
    }

    /// The response is gone.
    pub fn forget(&mut self, ticket: Ticket) {
        self.close(ticket);
        self.over.retain(|(candidate, _)| *candidate != ticket);
    }

    fn close(&mut self, ticket: Ticket) -> Option<Wait> {
        let position = self.open.iter().position(|(wait, _)| wait.ticket == ticket)?;
        Some(self.open.remove(position).0)
    }

    /// One that has waited for too long.
    pub fn due(&self, now: Timestamp) -> Option<Ticket> {
        self.open.iter().find(|(_, until)| *until <= now).map(|(wait, _)| wait.ticket)
    }

    /// All that wait.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.open.iter().map(|(wait, _)| wait.ticket)
    }

    /// What is to be done with this one, once that is known.
    pub fn take(&mut self, ticket: Ticket) -> Option<Release> {
        let position = self.over.iter().position(|(candidate, _)| *candidate == ticket)?;
        Some(self.over.swap_remove(position).1)
    }

    /// What is to be done with all of which it is known.
    pub fn take_all(&mut self) -> Vec<(Ticket, Release)> {
        std::mem::take(&mut self.over)
    }
}
