//! The outbox: events that wait for delivery, in a queue bounded in entries and bytes.
//!
//! A state machine without I/O. It is handed events, outcomes and the time, and gives out batches; what a batch looks like on
//! the wire is none of its business. Every event ends as delivered or as dropped; what is dropped is counted by reason, noticed,
//! and handed out as a dead letter.

mod circuit;
mod drops;
mod health;
mod queue;
mod responses;
pub mod settings;
mod settling;
mod waits;
mod watermark;

use std::time::Duration;

use crate::aws::error::Failure;
use crate::aws::retry::Retry;
use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::{Backlog, Metric, Metrics};
use crate::notice::Notice;
use crate::publish::dead_letter::{DeadLetter, DropReason};
use crate::publish::journal::Slot;

use circuit::Circuit;
use drops::Drops;
use health::Health;
use queue::{Entry, Queue, Queued, Room};
use settings::{Batch, WhenFull};
use waits::Waits;
pub use waits::{Release, Ticket, Wait};
use watermark::Watermark;

/// How the outbox works.
#[derive(Clone, Copy, Debug)]
pub struct OutboxSettings {
    /// How events are packed.
    pub batch: Batch,
    /// The bounds.
    pub queue: settings::Bounds,
    /// When what failed is tried again.
    pub retry: Retry,
    /// Batches at once.
    pub max_in_flight: usize,
    /// Bytes of events that one batch may hold.
    pub max_batch_bytes: usize,
    /// How long a batch may be in flight before it counts as lost.
    pub deadline: Duration,
    /// How long a response waits for its event.
    pub longest_wait: Duration,
    /// Whether the order within a group is to be kept.
    pub ordered: bool,
    /// Whether others wait while a call is under way. A call that failed is then followed by a pause as long as it took.
    pub yields: bool,
}

/// Names a batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId(u64);

struct Flight {
    id: BatchId,
    entries: Vec<Queued>,
    since: Timestamp,
    deadline: Timestamp,
}

/// The queue of one worker and what is in flight from it.
pub struct Outbox {
    settings: OutboxSettings,
    queue: Queue,
    flights: Vec<Flight>,
    /// Of everything queued and in flight.
    entries: usize,
    bytes: usize,
    next_batch: u64,
    circuit: Circuit,
    waits: Waits,
    drops: Drops,
    watermark: Watermark,
    /// What was dropped and has not been taken yet, and its bytes.
    dead_letters: Vec<DeadLetter>,
    dead_bytes: usize,
    /// Where in the journal what has come to its end was: what is not to be kept any more, and what is to be kept until its dead
    /// letter is taken.
    settled: Vec<Slot>,
    buried: Vec<Slot>,
    health: Health,
    /// All times in here are of this clock, so that nothing waits for hours where the host's is set back by hours.
    clock: SteadyClock,
    rng: fastrand::Rng,
}

impl Outbox {
    /// An empty outbox; `seed` drives the jitter of the retries.
    pub fn new(settings: OutboxSettings, seed: u64) -> Outbox {
        Outbox {
            settings,
            queue: Queue::new(settings.ordered),
            flights: Vec::new(),
            entries: 0,
            bytes: 0,
            next_batch: 0,
            circuit: Circuit::new(),
            waits: Waits::default(),
            drops: Drops::default(),
            watermark: Watermark::default(),
            dead_letters: Vec::new(),
            dead_bytes: 0,
            settled: Vec::new(),
            buried: Vec::new(),
            health: Health::default(),
            clock: SteadyClock::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes an event of `size` bytes, and lets `keep` write it to the journal. Where that breaks a bound, events are dropped as
    /// the configuration says.
    pub fn push(
        &mut self,
        event: Event,
        size: usize,
        now: Timestamp,
        metrics: &mut Metrics,
        keep: impl FnOnce(&Event, &mut Metrics) -> Option<Slot>,
    ) {
        let now = self.clock.at(now);
        self.add(Entry::new(event, size, now), metrics, keep);
    }

    fn add(
        &mut self,
        mut entry: Queued,
        metrics: &mut Metrics,
        keep: impl FnOnce(&Event, &mut Metrics) -> Option<Slot>,
    ) {
        if entry.size > self.settings.max_batch_bytes {
            return self.bury(*entry, DropReason::TooLarge, None, metrics);
        }
        while !self.has_room(entry.size) {
            let oldest = match self.settings.queue.when_full {
                WhenFull::DropOldest => self.queue.pop_oldest(),
                WhenFull::DropNewest => None,
            };
            match oldest {
                Some(dropped) => self.dropped(dropped, DropReason::QueueFull, None, metrics),
                None => return self.bury(*entry, DropReason::QueueFull, None, metrics),
            }
        }
        entry.slot = keep(&entry.event, metrics);
        self.enqueue(entry);
    }

    /// Takes an event that another worker had accepted, and that is in the journal at `slot`: its time goes on. Whoever has an
    /// outbox asks [`Outbox::has_room`] before.
    pub fn adopt(&mut self, event: Event, size: usize, slot: Slot, now: Timestamp) {
        let age = u64::try_from(now.since(event.at).as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.at(now);
        let mut entry = Entry::new(event, size, now);
        entry.queued_at = Timestamp(now.0.saturating_sub(age));
        entry.slot = Some(slot);
        self.enqueue(entry);
    }

    fn enqueue(&mut self, entry: Queued) {
        self.entries += 1;
        self.bytes += entry.size;
        self.queue.push(entry);
        self.watermark.see(self.backlog(), &self.settings.queue);
    }

    /// Whether there is room for an event of `size` bytes beside the others.
    pub fn has_room(&self, size: usize) -> bool {
        self.entries < self.settings.queue.max_entries && self.bytes + size <= self.settings.queue.max_bytes
    }

    /// The next batch to send, if one is due and may be sent now. Its entries are in flight until [`Outbox::settle`] or the
    /// deadline. Call it until it gives nothing.
    pub fn poll(&mut self, now: Timestamp, metrics: &mut Metrics) -> Option<BatchId> {
        self.tend(now, metrics);
        let now = self.clock.at(now);
        self.queue.wake(now);
        let in_flight = self.flights.len();
        if in_flight >= self.settings.max_in_flight || !self.circuit.admits(in_flight, now) {
            return None;
        }
        let Batch { max_entries, max_delay } = self.settings.batch;
        let room = Room { entries: max_entries, bytes: self.settings.max_batch_bytes };
        let entries = self.queue.take_batch(room, |oldest| now.since(oldest.queued_at) >= max_delay)?;
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.flights.push(Flight { id, entries, since: now, deadline: now + self.settings.deadline });
        Some(id)
    }

    /// What is to be done as time passes, also while nothing may be sent: gives up lost batches, drops what is too old, and lets
    /// go of responses that have waited for too long.
    pub fn tend(&mut self, now: Timestamp, metrics: &mut Metrics) {
        let now = self.clock.at(now);
        self.give_up_lost_flights(now, metrics);
        self.drop_expired(now, metrics);
        while let Some(ticket) = self.waits.due(now) {
            self.wait_no_longer(ticket, metrics);
        }
    }

    /// How many batches are in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The events of a batch in flight, in order; none if it is not in flight any more.
    pub fn events(&self, id: BatchId) -> Vec<&Event> {
        let flight = self.flights.iter().find(|flight| flight.id == id);
        flight.map_or(Vec::new(), |flight| flight.entries.iter().map(|entry| &entry.event).collect())
    }

    fn dropped(&mut self, mut entry: Queued, reason: DropReason, failure: Option<&Failure>, metrics: &mut Metrics) {
        self.ended(&mut entry);
        self.buried.extend(entry.slot);
        self.bury(*entry, reason, failure, metrics);
    }

    fn bury(&mut self, entry: Entry, reason: DropReason, failure: Option<&Failure>, metrics: &mut Metrics) {
        let Entry { event, size, ticket, .. } = entry;
        if ticket.is_some_and(|ticket| self.waits.failed(ticket).is_some()) {
            metrics.add(Metric::ResponsesUndelivered, 1);
        }
        match failure {
            Some(failure) => self.drops.record_failure(reason, &event.id, failure, metrics),
            None => self.drops.record(reason, &event.id, metrics),
        }
        self.dead_bytes += size;
        self.dead_letters.push(DeadLetter { event, reason, failure: failure.cloned() });
    }

    /// What was dropped since the last time. Whoever has an outbox takes them soon: they are not within its bounds.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        self.dead_bytes = 0;
        self.settled.append(&mut self.buried);
        std::mem::take(&mut self.dead_letters)
    }

    /// Bytes of the events that [`Outbox::take_dead_letters`] would give.
    pub fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }

    /// Where in the journal the events were that have come to their end since the last time.
    pub fn take_settled(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.settled)
    }

    /// Every event that is queued or in flight: first those in flight, then the others in the order in which they came.
    pub fn undelivered(&self) -> impl Iterator<Item = &Event> {
        let in_flight = self.flights.iter().flat_map(|flight| &flight.entries);
        in_flight.chain(self.queue.iter()).map(|entry| &entry.event)
    }

    /// An entry has come to its end, whatever that is.
    fn ended(&mut self, entry: &mut Entry) {
        self.queue.settled(entry);
        self.entries -= 1;
        self.bytes -= entry.size;
    }

    fn drop_expired(&mut self, now: Timestamp, metrics: &mut Metrics) {
        let max_age = self.settings.queue.max_age;
        while self.queue.oldest().is_some_and(|oldest| now.since(oldest.queued_at) >= max_age) {
            if let Some(entry) = self.queue.pop_oldest() {
                self.dropped(entry, DropReason::Expired, None, metrics);
            }
        }
    }

    /// How much is queued and in flight.
    pub fn backlog(&self) -> Backlog {
        let in_flight = self.flights.iter().flat_map(|flight| &flight.entries).map(|entry| entry.queued_at);
        let oldest = in_flight.chain(self.queue.oldest().map(|entry| entry.queued_at)).min();
        let oldest = oldest.map(|steady| self.clock.restore(steady));
        Backlog { entries: self.entries, bytes: self.bytes, oldest }
    }

    /// Whether a batch still waits for what came of it.
    pub fn is_in_flight(&self, id: BatchId) -> bool {
        self.flights.iter().any(|flight| flight.id == id)
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let backlog = self.backlog();
        let steady = self.clock.at(now);
        let oldest = self.queue.oldest().map(|entry| entry.queued_at);
        let health = self.health.take_notice(backlog.entries, oldest, steady);
        let watermark = self.watermark.take_notice(backlog, &self.settings.queue);
        health.into_iter().chain(watermark).chain(self.drops.take_notices(steady)).collect()
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
