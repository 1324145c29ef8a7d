//! The outbox: what one worker sends of the queue of a target. For most workers that is what their
//! own responses wait for; for the one that holds the lease of the queue it is everything.
//!
//! A state machine without I/O but for the store of the queue. It is handed events, outcomes and
//! the time, and gives out batches; what a batch looks like on the wire is none of its business.
//! Every event ends in one of two ways: it is delivered, or it is dropped. What is dropped is
//! counted by reason, noticed, and handed out as a dead letter. An event stays in the queue until
//! it is delivered or its dead letter is handed out, and no event is in memory but while its batch
//! is made.

mod awaited;
mod circuit;
mod counts;
mod drops;
mod groups;
mod health;
mod index;
mod pace;
mod queueing;
mod refusal;
mod responses;
pub(crate) mod settings;
mod settling;
mod tenure;
mod waits;
mod watermark;

use crate::aws::error::Failure;
use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::Backlog;
use crate::notice::Notice;
use crate::publish::dead_letter::{DeadLetter, DropReason};
use crate::publish::queue::{Amount, Claim, EntryEnd, TargetQueue};

use circuit::Circuit;
pub(crate) use counts::{Dropped, OutboxCounts};
use drops::Drops;
use health::Health;
use index::{BatchLimits, Index, Queued, Row, RowSource};
use pace::Pace;
use refusal::TargetRefusal;
#[cfg(test)]
use settings::Bounds;
use settings::{Batch, OutboxSettings, WhenFull};
use waits::Waits;
pub(crate) use waits::{Release, Ticket, Wait};
use watermark::Watermark;

/// Events that expire in one callback, at most: each becomes a dead letter.
const EXPIRED_AT_ONCE: usize = 256;

/// Batches that come to nothing in one poll, at most: others may have dropped what was in them.
const EMPTY_BATCHES: usize = 8;

/// Names a batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchId(u64);

struct Flight {
    id: BatchId,
    entries: Vec<Queued>,
    since: Timestamp,
    deadline: Timestamp,
}

/// A dead letter that nobody has taken yet, and its entry, which stays in the queue until then.
struct Buried {
    letter: DeadLetter,
    entry: Option<Queued>,
}

/// Entries and bytes, queued and in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    entries: usize,
    bytes: usize,
}

/// What one worker sends to one target.
pub(crate) struct Outbox {
    settings: OutboxSettings,
    /// The queue of the target.
    queue: TargetQueue,
    /// What its store does not take, in this worker's memory.
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

    /// Returns the next batch to send and its events, if one is due and may be sent now. Its entries
    /// are in flight until [`Outbox::settle`] or the deadline. Call it until it gives nothing.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<(BatchId, Vec<Event>)> {
        self.tend(now);
        let now = self.clock.at(now);
        self.index.wake(now);
        let in_flight = self.flights.len();
        self.pace.grow(self.index.oldest().is_some(), now);
        if in_flight >= self.settings.max_in_flight
            || !self.circuit.admits(in_flight, now)
            || !self.pace.admits(in_flight, now)
            || !self.may_begin()
        {
            return None;
        }
        let Batch { max_entries, max_delay } = self.settings.batch;
        let limits = BatchLimits { entries: max_entries, bytes: self.settings.max_batch_bytes };
        for _ in 0..EMPTY_BATCHES {
            let is_due = &|oldest: &Row| now.since(oldest.queued_at) >= max_delay;
            let rows = self.index.take_batch(limits, now, is_due)?;
            let (entries, events) = self.claim_all(rows, now);
            if entries.is_empty() {
                continue;
            }
            self.pace.called(self.rng.u32(0..=1_000), now);
            let id = BatchId(self.next_batch);
            self.next_batch += 1;
            self.flights.push(Flight { id, entries, since: now, deadline: now + self.settings.deadline });
            return Some((id, events));
        }
        None
    }

    /// Claims the entries of a batch. Returns those that are this worker's, and their events.
    #[inline(never)]
    fn claim_all(&mut self, rows: Vec<Queued>, now: Timestamp) -> (Vec<Queued>, Vec<Event>) {
        let (mut entries, mut events, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
        for mut row in rows {
            if row.group != 0 && blocked.contains(&row.group) {
                row.not_before = now;
                self.index.put_back(row);
                continue;
            }
            match self.claim(&mut row) {
                Claim::Own(claimed) if claimed.withdrawn => {
                    self.dropped(row, Some(claimed.event), DropReason::Withdrawn, None);
                }
                Claim::Own(claimed) => {
                    entries.push(row);
                    events.push(claimed.event);
                }
                Claim::Gone => self.gone(row),
                // Its sender has it for as long as this worker did not.
                Claim::Elsewhere if row.source == RowSource::Own => self.gone(row),
                Claim::Elsewhere => {
                    blocked.push(row.group);
                    row.elsewhere = true;
                    row.not_before = now + self.patience();
                    self.index.put_back(row);
                }
            }
        }
        (entries, events)
    }

    /// Claims an entry, and notes that in its row.
    #[inline(never)]
    fn claim(&mut self, row: &mut Row) -> Claim {
        let elsewhere = std::mem::take(&mut row.elsewhere);
        let claim = match (row.source, &mut self.spare) {
            (RowSource::Spare, Some(spare)) => spare.claim(row.place),
            (RowSource::Spare, None) => Claim::Gone,
            _ if elsewhere => self.queue.claim_from_another(row.place),
            _ => self.queue.claim(row.place),
        };
        if let Claim::Own(claimed) = &claim {
            (row.version, row.watched) = (claimed.version, claimed.watched);
        }
        claim
    }

    /// Does what time alone asks for, also while nothing may be sent: finds what was appended, gives
    /// up lost batches, drops what is too old, and releases responses that have waited for too long.
    #[inline(never)]
    pub(crate) fn tend(&mut self, now: Timestamp) {
        let steady = self.clock.at(now);
        self.find_new(steady, now);
        self.give_up_lost_flights(steady);
        self.drop_expired(steady);
        while let Some(ticket) = self.waits.due(steady) {
            self.wait_no_longer(ticket);
        }
        self.flush(steady);
    }

    /// Returns how many batches are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Returns true if a batch still waits for its outcomes.
    pub(crate) fn is_in_flight(&self, id: BatchId) -> bool {
        self.flights.iter().any(|flight| flight.id == id)
    }

    /// Returns how many events are in a batch; none if it is not in flight any more.
    pub(crate) fn batch_len(&self, id: BatchId) -> usize {
        self.flights.iter().find(|flight| flight.id == id).map_or(0, |flight| flight.entries.len())
    }

    /// Takes an entry off the books that is neither queued nor in flight any more.
    #[inline(never)]
    fn ended(&mut self, entry: &mut Row) {
        self.index.settled(entry);
        if entry.aside.is_some() {
            self.refusal.ended();
        }
        match (entry.source, &mut self.spare) {
            (RowSource::Spare, Some(spare)) => spare.release(entry.bytes()),
            (RowSource::Spare, None) => {}
            _ => self.queue.release(entry.bytes()),
        }
    }

    /// Removes an entry that has ended from its queue.
    #[inline(never)]
    fn remove(&mut self, entry: &Row, verdict: EntryEnd) {
        match (entry.source, &mut self.spare) {
            (RowSource::Spare, Some(spare)) => spare.remove(entry.place, entry.version, false, verdict),
            (RowSource::Spare, None) => {}
            _ => self.queue.remove(entry.place, entry.version, entry.watched, verdict),
        }
    }

    /// Reads the event of an entry that this worker has claimed.
    #[inline(never)]
    fn read(&self, entry: &Row) -> Option<Event> {
        match (entry.source, &self.spare) {
            (RowSource::Spare, spare) => spare.as_ref()?.read(entry.place),
            _ => self.queue.read(entry.place),
        }
    }

    /// Takes note that others have ended an entry.
    #[inline(never)]
    fn gone(&mut self, mut row: Queued) {
        self.index.settled(&mut row);
        if row.aside.is_some() {
            self.refusal.ended();
        }
        self.queue.forget(row.place.position);
        if row.ticket.is_some_and(|ticket| self.waits.failed(ticket).is_some()) {
            self.counts.undelivered_responses += 1;
        }
    }

    /// Drops an entry that this worker has claimed. `event` is read if it is not at hand.
    #[inline(never)]
    fn dropped(&mut self, mut entry: Queued, event: Option<Event>, reason: DropReason, failure: Option<&Failure>) {
        self.ended(&mut entry);
        match event.or_else(|| self.read(&entry)) {
            Some(event) => self.bury(event, Some(entry), reason, failure),
            None => self.remove(&entry, EntryEnd::Dropped),
        }
    }

    #[inline(never)]
    fn bury(&mut self, event: Event, entry: Option<Queued>, reason: DropReason, failure: Option<&Failure>) {
        let ticket = entry.as_ref().and_then(|entry| entry.ticket);
        if ticket.is_some_and(|ticket| self.waits.failed(ticket).is_some()) {
            self.counts.undelivered_responses += 1;
        }
        self.drops.record(reason, &event.id, failure);
        self.dead_bytes += event.message.len();
        let letter = DeadLetter { event, reason, failure: failure.cloned() };
        self.dead_letters.push(Buried { letter, entry });
    }

    /// Returns the refusal that holds an entry, which is set aside for one or is not.
    fn refusal_of(&self, is_aside: bool) -> Option<&Failure> {
        self.refusal.last().filter(|_| is_aside || self.circuit.is_refused())
    }

    #[inline(never)]
    fn drop_expired(&mut self, now: Timestamp) {
        let max_age = self.settings.bounds.max_age;
        for _ in 0..EXPIRED_AT_ONCE {
            let is_expired = |oldest: &Row| now.since(oldest.queued_at) >= max_age && !oldest.elsewhere;
            if !self.index.oldest().is_some_and(is_expired) {
                return;
            }
            let Some(mut entry) = self.index.pop_oldest() else { return };
            let refusal = self.refusal_of(entry.aside.is_some()).cloned();
            match self.claim(&mut entry) {
                Claim::Own(claimed) => {
                    self.dropped(entry, Some(claimed.event), DropReason::Expired, refusal.as_ref());
                }
                Claim::Elsewhere if entry.source != RowSource::Own => {
                    entry.elsewhere = true;
                    entry.not_before = now + self.patience();
                    self.index.push_waiting(entry);
                }
                Claim::Elsewhere | Claim::Gone => self.gone(entry),
            }
        }
    }

    /// Hands out the events dropped since the last time; from now on the caller answers for them,
    /// and the queue keeps them no more. They are not within the bounds of the queue, so take them
    /// soon.
    #[inline(never)]
    pub(crate) fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        self.dead_bytes = 0;
        let buried = std::mem::take(&mut self.dead_letters);
        let handed_out = buried.into_iter().map(|Buried { letter, entry }| {
            if let Some(entry) = entry {
                self.remove(&entry, EntryEnd::Dropped);
            }
            letter
        });
        handed_out.collect()
    }

    /// Returns the bytes of the events that [`Outbox::take_dead_letters`] would give.
    pub(crate) fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }

    #[inline(never)]
    fn held(&self) -> Usage {
        let of_queue = if self.queue.is_sender() { self.queue.amount() } else { Amount::default() };
        let of_spare = self.spare.as_ref().map_or(Amount::default(), TargetQueue::amount);
        let sum = |one: u64, other: u64| usize::try_from(one + other).unwrap_or(usize::MAX);
        Usage { entries: sum(of_queue.entries, of_spare.entries), bytes: sum(of_queue.bytes, of_spare.bytes) }
    }

    /// Returns how much is queued and in flight, of what this worker sends.
    #[inline(never)]
    pub(crate) fn backlog(&self) -> Backlog {
        let Usage { entries, bytes } = self.held();
        let in_flight = self.flights.iter().flat_map(|flight| &flight.entries).map(|entry| entry.queued_at);
        let oldest = in_flight.chain(self.index.oldest().map(|entry| entry.queued_at)).min();
        Backlog { entries, bytes, oldest: oldest.map(|steady| self.clock.restore(steady)) }
    }

    /// Returns true if the target refuses its caller, or some of what it is sent, for what somebody
    /// has to mend.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.stands() || self.circuit.is_refused()
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
        let oldest = self.index.oldest().map(|entry| entry.queued_at);
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
mod histories;
#[cfg(test)]
mod priority;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod tests;
