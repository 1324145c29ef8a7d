//! Entries that responses wait for, in the order they came. Knows where they stand in the order,
//! and not whether they may be sent.

use super::waits::Ticket;

/// Entries that responses wait for: no more than there are responses that wait.
#[derive(Debug, Default)]
pub(super) struct Awaited(Vec<(Ticket, u64)>);

impl Awaited {
    /// Notes the sequence of an entry that a response waits for.
    pub(super) fn add(&mut self, ticket: Ticket, sequence: u64) {
        self.0.push((ticket, sequence));
    }

    /// Forgets the entry that a response waited for, and returns its sequence.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<u64> {
        let position = self.0.iter().position(|(candidate, _)| *candidate == ticket)?;
        Some(self.0.remove(position).1)
    }

    /// Iterates over the sequences.
    pub(super) fn sequences(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|(_, sequence)| *sequence)
    }
}
