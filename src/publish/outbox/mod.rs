//! The outbox: events that wait for delivery, in a queue bounded in entries and bytes, and in a
//! journal where there is one.
//!
//! A state machine without I/O. It is handed events, outcomes and the time, and gives out batches;
//! what a batch looks like on the wire is none of its business. Every event ends in one of two
//! ways: it is delivered, or it is dropped. What is dropped is counted by reason, noticed, and
//! handed out as a dead letter. An event stays in the journal until it is delivered or its dead
//! letter is handed out.

mod adopting;
mod awaited;
mod circuit;
mod counts;
mod drops;
mod groups;
mod health;
mod pace;
mod queue;
mod refusal;
mod responses;
pub(crate) mod settings;
mod settling;
mod waits;
mod watermark;

use crate::aws::error::Failure;
use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::Backlog;
use crate::notice::Notice;
use crate::publish::dead_letter::{DeadLetter, DropReason};
use crate::publish::journal::{Journal, Slot};

use circuit::Circuit;
pub(crate) use counts::{Dropped, OutboxCounts};
use drops::Drops;
use health::Health;
use pace::Pace;
use queue::{BatchLimits, Entry, Queue, Queued};
use refusal::TargetRefusal;
use settings::{Batch, Bounds, OutboxSettings, WhenFull};
use waits::Waits;
pub(crate) use waits::{Release, Ticket, Wait};
use watermark::Watermark;

/// Names a batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchId(u64);

struct Flight {
    id: BatchId,
    entries: Vec<Queued>,
    since: Timestamp,
    deadline: Timestamp,
}

/// A dead letter that nobody has taken yet, and where its event is in the journal until then.
struct Buried {
    letter: DeadLetter,
    slot: Option<Slot>,
}

/// Entries and bytes of an outbox, queued and in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    entries: usize,
    bytes: usize,
}

/// The queue of one worker and what is in flight from it.
pub(crate) struct Outbox {
    settings: OutboxSettings,
    queue: Queue,
    flights: Vec<Flight>,
    held: Usage,
    /// Keeps what is queued and in flight beyond the life of this worker.
    journal: Option<Journal>,
    next_batch: u64,
    circuit: Circuit,
    pace: Pace,
    waits: Waits,
    drops: Drops,
    watermark: Watermark,
    health: Health,
    refusal: TargetRefusal,
    /// Calls of which the target took something.
    taken_calls: u64,
    dead_letters: Vec<Buried>,
    dead_bytes: usize,
    counts: OutboxCounts,
    /// Gives all times in here, so that nothing waits for hours where the host's clock is set back
    /// by hours.
    clock: SteadyClock,
    rng: fastrand::Rng,
}

impl Outbox {
    /// Creates an empty outbox; `seed` drives the jitter of the retries.
    pub(crate) fn new(settings: OutboxSettings, journal: Option<Journal>, seed: u64) -> Outbox {
        Outbox {
            settings,
            queue: Queue::new(settings.ordered),
            flights: Vec::new(),
            held: Usage::default(),
            journal,
            next_batch: 0,
            circuit: Circuit::new(),
            pace: Pace::new(settings.max_in_flight),
            waits: Waits::default(),
            drops: Drops::default(),
            watermark: Watermark::default(),
            health: Health::default(),
            refusal: TargetRefusal::default(),
            taken_calls: 0,
            dead_letters: Vec::new(),
            dead_bytes: 0,
            counts: OutboxCounts::default(),
            clock: SteadyClock::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes an event of `size` bytes. Where that breaks a bound, events are dropped as the
    /// configuration says.
    pub(crate) fn push(&mut self, event: Event, size: usize, now: Timestamp) {
        let steady = self.clock.at(now);
        self.add(Entry::new(event, size, steady), now);
    }

    fn add(&mut self, mut entry: Queued, now: Timestamp) {
        if entry.size > self.settings.max_batch_bytes {
            return self.bury(*entry, DropReason::TooLarge, None);
        }
        while !self.has_room(entry.size) {
            let oldest = match self.settings.bounds.when_full {
                WhenFull::DropOldest => self.queue.pop_oldest(),
                WhenFull::DropNewest => None,
            };
            match oldest {
                Some(oldest) => self.dropped(oldest, DropReason::QueueFull, None),
                None => return self.bury(*entry, DropReason::QueueFull, None),
            }
        }
        entry.slot = self.journal.as_mut().and_then(|journal| journal.write(&entry.event, now));
        self.enqueue(entry);
    }

    fn enqueue(&mut self, entry: Queued) {
        self.held.entries += 1;
        self.held.bytes += entry.size;
        self.queue.push(entry);
        self.watermark.see(self.held, &self.settings.bounds);
    }

    /// Returns true if there is room for an event of `size` bytes beside the others.
    fn has_room(&self, size: usize) -> bool {
        let Bounds { max_entries, max_bytes, .. } = self.settings.bounds;
        self.held.entries < max_entries && self.held.bytes + size <= max_bytes
    }

    /// Returns the next batch to send, if one is due and may be sent now. Its entries are in flight
    /// until [`Outbox::settle`] or the deadline. Call it until it gives nothing.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<BatchId> {
        self.tend(now);
        let now = self.clock.at(now);
        self.queue.wake(now);
        let in_flight = self.flights.len();
        self.pace.grow(self.queue.oldest().is_some(), now);
        if in_flight >= self.settings.max_in_flight
            || !self.circuit.admits(in_flight, now)
            || !self.pace.admits(in_flight, now)
        {
            return None;
        }
        let Batch { max_entries, max_delay } = self.settings.batch;
        let limits = BatchLimits { entries: max_entries, bytes: self.settings.max_batch_bytes };
        let entries = self.queue.take_batch(limits, |oldest| now.since(oldest.queued_at) >= max_delay)?;
        self.pace.called(self.rng.u32(0..=1_000), now);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.flights.push(Flight { id, entries, since: now, deadline: now + self.settings.deadline });
        Some(id)
    }

    /// Does what time alone asks for, also while nothing may be sent: gives up lost batches, drops
    /// what is too old, and releases responses that have waited for too long.
    pub(crate) fn tend(&mut self, now: Timestamp) {
        let now = self.clock.at(now);
        self.give_up_lost_flights(now);
        self.drop_expired(now);
        while let Some(ticket) = self.waits.due(now) {
            self.wait_no_longer(ticket);
        }
    }

    /// Returns how many batches are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Returns true if a batch still waits for its outcomes.
    pub(crate) fn is_in_flight(&self, id: BatchId) -> bool {
        self.flights.iter().any(|flight| flight.id == id)
    }

    /// Returns the events of a batch in flight, in order; none if it is not in flight any more.
    pub(crate) fn events(&self, id: BatchId) -> Vec<&Event> {
        let flight = self.flights.iter().find(|flight| flight.id == id);
        flight.map_or(Vec::new(), |flight| flight.entries.iter().map(|entry| &entry.event).collect())
    }

    /// Takes an entry off the books that is neither queued nor in flight any more.
    fn ended(&mut self, entry: &mut Entry) {
        self.queue.settled(entry);
        if entry.aside.is_some() {
            self.refusal.ended();
        }
        self.held.entries -= 1;
        self.held.bytes -= entry.size;
    }

    /// Takes an event out of the journal: nobody is to send it again.
    fn clear(&mut self, slot: Option<Slot>) {
        if let (Some(journal), Some(slot)) = (&mut self.journal, slot) {
            journal.clear(slot);
        }
    }

    fn dropped(&mut self, mut entry: Queued, reason: DropReason, failure: Option<&Failure>) {
        self.ended(&mut entry);
        self.bury(*entry, reason, failure);
    }

    fn bury(&mut self, entry: Entry, reason: DropReason, failure: Option<&Failure>) {
        let Entry { event, size, ticket, slot, .. } = entry;
        if ticket.is_some_and(|ticket| self.waits.failed(ticket).is_some()) {
            self.counts.undelivered_responses += 1;
        }
        self.drops.record(reason, &event.id, failure);
        self.dead_bytes += size;
        let letter = DeadLetter { event, reason, failure: failure.cloned() };
        self.dead_letters.push(Buried { letter, slot });
    }

    fn drop_expired(&mut self, now: Timestamp) {
        let max_age = self.settings.bounds.max_age;
        while self.queue.oldest().is_some_and(|oldest| now.since(oldest.queued_at) >= max_age) {
            let Some(entry) = self.queue.pop_oldest() else { return };
            let held = entry.aside.is_some() || self.circuit.is_refused();
            let refusal = self.refusal.last().filter(|_| held).cloned();
            self.dropped(entry, DropReason::Expired, refusal.as_ref());
        }
    }

    /// Hands out the events dropped since the last time; from now on the caller answers for them,
    /// and the journal keeps them no more. They are not within the bounds of the queue, so take
    /// them soon.
    pub(crate) fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        self.dead_bytes = 0;
        let buried = std::mem::take(&mut self.dead_letters);
        let handed_out = buried.into_iter().map(|Buried { letter, slot }| {
            self.clear(slot);
            letter
        });
        handed_out.collect()
    }

    /// Returns the bytes of the events that [`Outbox::take_dead_letters`] would give.
    pub(crate) fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }

    /// Iterates over the events that are queued or in flight: first those in flight, then the
    /// others in the order they came.
    pub(crate) fn undelivered(&self) -> impl Iterator<Item = &Event> {
        let in_flight = self.flights.iter().flat_map(|flight| &flight.entries);
        in_flight.chain(self.queue.iter()).map(|entry| &entry.event)
    }

    /// Returns how much is queued and in flight, with what is about to be taken over.
    pub(crate) fn backlog(&self) -> Backlog {
        let Usage { entries, bytes } = self.held;
        let unread = self.journal.as_ref().map_or(0, Journal::unread);
        let in_flight = self.flights.iter().flat_map(|flight| &flight.entries).map(|entry| entry.queued_at);
        let oldest = in_flight.chain(self.queue.oldest().map(|entry| entry.queued_at)).min();
        Backlog { entries: entries + unread, bytes, oldest: oldest.map(|steady| self.clock.restore(steady)) }
    }

    /// Returns true if the target refuses its caller, or some of what it is sent, for what somebody
    /// has to mend.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.stands() || self.circuit.is_refused()
    }

    /// Takes what was counted since the last visit.
    pub(crate) fn take_counts(&mut self) -> OutboxCounts {
        let dropped = self.drops.take_counts();
        let journal_failures = self.journal.as_mut().map_or(0, Journal::take_failures);
        OutboxCounts { dropped, journal_failures, ..std::mem::take(&mut self.counts) }
    }

    /// Returns what the operator should read, since the last time; `name` is that of the target.
    pub(crate) fn take_notices(&mut self, name: &str, now: Timestamp) -> Vec<Notice> {
        let steady = self.clock.at(now);
        let oldest = self.queue.oldest().map(|entry| entry.queued_at);
        let mut notices = Vec::new();
        let refused = self.is_refused();
        notices.extend(self.refusal.take_notice(name, refused, self.held.entries, &self.settings.bounds, steady));
        notices.extend(self.health.take_notice(self.held.entries, oldest, steady));
        notices.extend(self.watermark.take_notice(self.held, &self.settings.bounds));
        notices.extend(self.drops.take_notices(steady));
        if let Some(journal) = &mut self.journal {
            notices.extend(journal.take_notices());
        }
        notices
    }
}

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod priority;
#[cfg(test)]
mod tests;
