//! The outbox: events that wait for delivery, in a queue bounded in entries and bytes.
//!
//! A state machine without I/O. It is handed events, outcomes and the time, and gives out batches; what a batch looks like on
//! the wire is none of its business. Every event ends as delivered or as dropped, and what is dropped is counted by reason and
//! noticed.

mod drops;
mod health;
mod queue;
mod retry;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::clock::Timestamp;
use crate::config;
use crate::event::Event;
use crate::metrics::{Backlog, Metric, Metrics};
use crate::notice::Notice;

pub use drops::DropReason;
use drops::Drops;
use health::Health;
use queue::{Entry, EntryId, Queue};

/// How the outbox works; see [`crate::config`] for the meaning of the parts.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How events are packed.
    pub batch: config::Batch,
    /// The bounds.
    pub queue: config::Queue,
    /// Batches at once.
    pub max_in_flight: usize,
    /// Bytes of events that one batch may hold.
    pub max_batch_bytes: usize,
    /// How long a batch may be in flight before it counts as lost.
    pub deadline: Duration,
    /// Whether the order within a group is to be kept.
    pub ordered: bool,
}

/// Names a batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u64);

struct Flight {
    entries: Vec<EntryId>,
    deadline: Timestamp,
}

/// The queue of one worker and what is in flight from it.
pub struct Outbox {
    settings: Settings,
    queue: Queue,
    flights: BTreeMap<BatchId, Flight>,
    next_batch: u64,
    drops: Drops,
    health: Health,
    rng: fastrand::Rng,
}

impl Outbox {
    /// An empty outbox; `seed` drives the jitter of the retries.
    pub fn new(settings: Settings, seed: u64) -> Outbox {
        Outbox {
            settings,
            queue: Queue::new(settings.ordered),
            flights: BTreeMap::new(),
            next_batch: 0,
            drops: Drops::default(),
            health: Health::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes an event of `size` bytes. Where that breaks a bound, events are dropped as the configuration says.
    pub fn push(&mut self, event: Event, size: usize, now: Timestamp, metrics: &mut Metrics) {
        if size > self.settings.max_batch_bytes {
            return self.drops.record(DropReason::TooLarge, &event.id, metrics);
        }
        while !self.has_room(size) {
            let oldest = match self.settings.queue.when_full {
                config::WhenFull::DropOldest => self.queue.pop_oldest_queued(),
                config::WhenFull::DropNewest => None,
            };
            match oldest {
                Some(dropped) => self.drops.record(DropReason::QueueFull, &dropped.event.id, metrics),
                None => return self.drops.record(DropReason::QueueFull, &event.id, metrics),
            }
        }
        self.queue.push(Entry { event, size, queued_at: now, attempts: 0, alone: false });
    }

    fn has_room(&self, size: usize) -> bool {
        self.queue.len() < self.settings.queue.max_entries && self.queue.bytes() + size <= self.settings.queue.max_bytes
    }

    /// The next batch to send, if one is due and may be sent now. Its entries are in flight until [`Outbox::settle`] or the
    /// deadline. Call it until it gives nothing.
    pub fn poll(&mut self, now: Timestamp, metrics: &mut Metrics) -> Option<BatchId> {
        self.give_up_lost_flights(now, metrics);
        self.drop_expired(now, metrics);
        self.queue.wake(now);
        if self.flights.len() >= self.settings.max_in_flight {
            return None;
        }
        let batch = self.settings.batch;
        let entries = self.queue.take_batch(batch.max_entries, self.settings.max_batch_bytes, |oldest| {
            now.since(oldest.queued_at) >= batch.max_delay
        })?;
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.flights.insert(id, Flight { entries, deadline: now + self.settings.deadline });
        Some(id)
    }

    /// The events of a batch in flight, in order.
    pub fn events(&self, id: BatchId) -> Vec<&Event> {
        let entries = self.flights.get(&id).map_or(&[][..], |flight| &flight.entries);
        entries.iter().filter_map(|entry| self.queue.get(*entry)).map(|entry| &entry.event).collect()
    }

    /// Says what came of each event of a batch, in order. A batch that is not in flight any more is ignored: its deadline has
    /// passed, and its events are queued again.
    pub fn settle(&mut self, id: BatchId, outcomes: Vec<Outcome>, now: Timestamp, metrics: &mut Metrics) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let split = refused_as_one(&outcomes);
        for (entry, outcome) in flight.entries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered => self.delivered(entry, now, metrics),
                Outcome::Failed(failure) => self.failed(entry, failure, split, now, metrics),
            }
        }
    }

    fn delivered(&mut self, id: EntryId, now: Timestamp, metrics: &mut Metrics) {
        let Some(entry) = self.queue.remove(id) else { return };
        metrics.add(Metric::EventsPublished, 1);
        let delay = now.since(entry.event.at);
        metrics.observe(Metric::Delivery, u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        self.health.delivered(now);
    }

    /// `split`: the batch was refused as a whole, so that the fault may be another entry's.
    fn failed(&mut self, id: EntryId, failure: Failure, split: bool, now: Timestamp, metrics: &mut Metrics) {
        let final_reason = match failure.class {
            _ if split => None,
            FailureClass::Permanent => Some(DropReason::Refused),
            FailureClass::BatchTooLarge => Some(DropReason::TooLarge),
            FailureClass::Transient | FailureClass::Throttled | FailureClass::Credentials | FailureClass::Clock => None,
        };
        match final_reason {
            Some(reason) => {
                if let Some(entry) = self.queue.remove(id) {
                    self.drops.record_failure(reason, &entry.event.id, &failure, metrics);
                }
            }
            None => {
                metrics.add(Metric::EventsRetried, 1);
                let rng = &mut self.rng;
                self.queue.put_back(id, |entry| {
                    entry.alone |= split;
                    let delay = if split { Duration::ZERO } else { retry::delay(failure.class, entry.attempts, rng) };
                    entry.attempts += 1;
                    now + delay
                });
                if !split {
                    self.health.failed(&failure, now);
                }
            }
        }
    }

    fn give_up_lost_flights(&mut self, now: Timestamp, metrics: &mut Metrics) {
        let lost = Failure::new(FailureClass::Transient, "NoReply", "no reply before the deadline");
        while let Some((&id, flight)) = self.flights.iter().find(|(_, flight)| flight.deadline <= now) {
            let count = flight.entries.len();
            self.settle(id, vec![Outcome::Failed(lost.clone()); count], now, metrics);
        }
    }

    fn drop_expired(&mut self, now: Timestamp, metrics: &mut Metrics) {
        while let Some(entry) =
            self.queue.pop_oldest_queued_if(|entry| now.since(entry.queued_at) >= self.settings.queue.max_age)
        {
            self.drops.record(DropReason::Expired, &entry.event.id, metrics);
        }
    }

    /// How much is queued and in flight.
    pub fn backlog(&self) -> Backlog {
        Backlog { entries: self.queue.len(), bytes: self.queue.bytes(), oldest: self.queue.oldest() }
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut notices = self.health.take_notices(self.queue.len());
        notices.extend(self.drops.take_notices(now));
        notices
    }
}

/// Whether a batch of several was refused as a whole, for what may be the fault of one of its entries.
fn refused_as_one(outcomes: &[Outcome]) -> bool {
    let mut classes = outcomes.iter().map(|outcome| match outcome {
        Outcome::Failed(failure) => Some((failure.class, failure.code.as_str())),
        Outcome::Delivered => None,
    });
    let Some(Some((class, code))) = classes.next() else { return false };
    outcomes.len() > 1
        && matches!(class, FailureClass::Permanent | FailureClass::BatchTooLarge)
        && classes.all(|other| other == Some((class, code)))
}

#[cfg(test)]
mod tests;
