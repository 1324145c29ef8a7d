//! Entries that responses wait for, in the order they came. Knows where they stand in the order,
//! and not whether they may be sent.

use super::waits::Ticket;

/// Entries that responses wait for: no more than there are responses that wait.
#[derive(Debug, Default)]
pub(super) struct Awaited(Vec<(Option<Ticket>, u64)>);

impl Awaited {
    /// Notes the sequence of an entry that a response waits for; it has no ticket where that is in
    /// another worker.
    pub(super) fn add(&mut self, ticket: Option<Ticket>, sequence: u64) {
        self.0.push((ticket, sequence));
    }

    /// Forgets the entry that a response waited for, and returns its sequence.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<u64> {
        let position = self.0.iter().position(|(candidate, _)| *candidate == Some(ticket))?;
        Some(self.0.remove(position).1)
    }

    /// Forgets an entry.
    pub(super) fn end(&mut self, sequence: u64) {
        self.0.retain(|(_, candidate)| *candidate != sequence);
    }

    /// Iterates over the sequences.
    pub(super) fn sequences(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|(_, sequence)| *sequence)
    }
}
