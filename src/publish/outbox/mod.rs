//! The outbox: what one worker sends of the queue of a target. For most workers that is what their
//! own responses wait for; for the one that holds the lease of the queue it is everything.
//!
//! A state machine whose only I/O is the store of the queue. It is handed events, outcomes and
//! the time, and gives out batches; what a batch looks like on the wire is none of its business.
//! Every event ends in one of two ways: it is delivered, or it is dropped. What is dropped is
//! counted by reason, noticed, and handed out as a dead letter. An event stays in the queue until
//! it is delivered or its dead letter is handed out, and no event is in memory but while its batch
//! is made.

mod awaited;
mod burial;
mod circuit;
mod counts;
mod drops;
mod elsewhere;
mod groups;
mod health;
mod index;
mod pace;
mod queueing;
mod refusal;
mod responses;
mod row;
mod sending;
pub(crate) mod settings;
mod settling;
mod tenure;
mod waits;
mod watermark;

use crate::clock::{SteadyClock, Timestamp};
use crate::metrics::Backlog;
use crate::notice::Notice;
use crate::publish::queue::{Amount, TargetQueue};

use burial::Buried;
use circuit::Circuit;
pub(crate) use counts::{Dropped, OutboxCounts};
use drops::Drops;
use health::Health;
use index::Index;
use pace::Pace;
use refusal::TargetRefusal;
use row::Queued;
#[cfg(test)]
use settings::Bounds;
use settings::OutboxSettings;
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

/// Iterates over the rows of flights.
fn rows(flights: &[Flight]) -> impl Iterator<Item = &Queued> {
    flights.iter().flat_map(|flight| &flight.entries)
}

/// Entries and bytes, queued and in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    entries: usize,
    bytes: usize,
}

/// The work of one worker for one target.
pub(crate) struct Outbox {
    settings: OutboxSettings,
    /// The queue of the target.
    queue: TargetQueue,
    /// Entries that its store does not take, in this worker's memory.
    spare: Option<TargetQueue>,
    index: Index,
    flights: Vec<Flight>,
    next_batch: u64,
    circuit: Circuit,
    pace: Pace,
    waits: Waits,
    /// Responses that wait for entries that another worker sends.
    remote: Vec<responses::Remote>,
    drops: Drops,
    watermark: Watermark,
    health: Health,
    refusal: TargetRefusal,
    /// True if what was queued when this worker became the sender came from one that is gone.
    adopts: bool,
    /// Calls of which the target took something.
    taken_calls: u32,
    dead_letters: Vec<Buried>,
    dead_bytes: usize,
    counts: OutboxCounts,
    /// Gives all times in here, so that nothing waits for hours where the host's clock is set back
    /// by hours.
    clock: SteadyClock,
    rng: fastrand::Rng,
}

impl Outbox {
    /// Creates the outbox of a queue; `seed` drives the jitter of the retries.
    pub(crate) fn new(settings: OutboxSettings, queue: TargetQueue, seed: u64) -> Outbox {
        Outbox {
            settings,
            queue,
            spare: None,
            index: Index::new(settings.ordered),
            flights: Vec::new(),
            next_batch: 0,
            circuit: Circuit::new(),
            pace: Pace::new(settings.max_in_flight),
            waits: Waits::default(),
            remote: Vec::new(),
            drops: Drops::default(),
            watermark: Watermark::default(),
            health: Health::default(),
            refusal: TargetRefusal::default(),
            adopts: false,
            taken_calls: 0,
            dead_letters: Vec::new(),
            dead_bytes: 0,
            counts: OutboxCounts::default(),
            clock: SteadyClock::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Does what time alone asks for, also while nothing may be sent: finds what was appended,
    /// gives up lost batches, drops what is too old, and releases responses that have waited for
    /// too long.
    #[inline(never)]
    pub(crate) fn tend(&mut self, now: Timestamp) {
        let steady = self.clock.at(now);
        self.find_new(steady, now);
        self.give_up_lost_flights(steady);
        self.drop_expired(steady);
        while let Some(ticket) = self.waits.due(steady) {
            self.wait_no_longer(ticket, steady);
        }
        self.flush(steady);
    }

    #[inline(never)]
    fn held(&self) -> Usage {
        let of_queue = if self.queue.is_sender() { self.queue.amount() } else { Amount::default() };
        let of_spare = self.spare.as_ref().map_or(Amount::default(), TargetQueue::amount);
        let sum = |one: u64, other: u64| usize::try_from(one + other).unwrap_or(usize::MAX);
        Usage { entries: sum(of_queue.entries, of_spare.entries), bytes: sum(of_queue.bytes, of_spare.bytes) }
    }

    /// Returns true if what is queued and in flight fills a call.
    #[inline(never)]
    pub(crate) fn has_full_batch(&self) -> bool {
        self.held().entries >= self.settings.batch.max_entries
    }

    /// Returns how much is queued and in flight, of what this worker sends.
    #[inline(never)]
    pub(crate) fn backlog(&self) -> Backlog {
        let Usage { entries, bytes } = self.held();
        let in_flight = rows(&self.flights).map(|entry| entry.queued_at);
        let oldest = in_flight.chain(self.index.first_queued_at()).min();
        Backlog { entries, bytes, oldest: oldest.map(|steady| self.clock.restore(steady)) }
    }

    /// Returns true if the target refuses its caller, or some of what it is sent, for what somebody
    /// has to mend.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.stands() || self.circuit.is_refused()
    }

    /// Returns true if that is for this worker to report: one that sends no more does not hear when
    /// it is mended.
    pub(crate) fn reports_refusal(&self) -> bool {
        self.queue.is_sender() && self.is_refused()
    }

    /// Takes what was counted since the last visit.
    #[inline(never)]
    pub(crate) fn take_counts(&mut self) -> OutboxCounts {
        let dropped = self.drops.take_counts();
        let journal_failures = self.queue.take_failures();
        OutboxCounts { dropped, journal_failures, ..std::mem::take(&mut self.counts) }
    }

    /// Returns what the operator should read, since the last time; `name` is that of the target.
    pub(crate) fn take_notices(&mut self, name: &str, now: Timestamp) -> Vec<Notice> {
        let steady = self.clock.at(now);
        let oldest = self.index.first_queued_at();
        let mut notices = Vec::new();
        let (refused, held, bounds) = (self.is_refused(), self.held(), self.settings.bounds);
        notices.extend(self.refusal.take_notice(name, refused, held.entries, &bounds, steady));
        notices.extend(self.health.take_notice(held.entries, oldest, steady));
        notices.extend(self.watermark.take_notice(held, &bounds));
        notices.extend(self.drops.take_notices(steady));
        notices.extend(self.queue.take_notices());
        notices
    }
}

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod forgetting;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod priority;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod withdrawing;
