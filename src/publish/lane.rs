//! One target's part of the publish path: its outbox and its journal, from the outbox to signed calls, and back from their
//! replies. Does no I/O, and knows nothing of other targets.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry_after::retry_after;
use crate::aws::sign::SigningScope;
use crate::aws::signer::{Signature, Signer};
use crate::aws::target::Target;
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::Event;
use crate::metrics::{Backlog, Metric, Metrics};
use crate::notice::Notice;
use crate::publish::dead_letter::{self, DeadLetter};
use crate::publish::journal::{Counts, Journal, Store};
use crate::publish::outbox::{BatchId, DropReason, Outbox, Release, Settings, Ticket, Wait};

/// Events, and bytes of them, that are taken over at a time: who does so has responses to see meanwhile.
const ADOPTED_AT_ONCE: usize = 64;
const ADOPTED_BYTES_AT_ONCE: usize = 1 << 20;

/// Everything that publishing to one target needs.
pub struct Lane {
    target: Target,
    cargo: Cargo,
    scope: SigningScope,
    timeout: Duration,
    /// Bytes that one event may have here.
    max_event_bytes: usize,
    outbox: Outbox,
    journal: Option<Journal>,
    /// What each batch in flight was signed with.
    signed_with: Vec<(BatchId, Signature)>,
}

/// What a lane carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cargo {
    /// Events of exchanges.
    Events,
    /// Dead letters of other lanes.
    Letters,
}

impl Lane {
    /// A lane for `cargo` to `target` with an empty outbox that keeps to the host's `limits`, and a journal where there is a
    /// `store`. `seed` drives the jitter of its retries, and tells its journal from those of other workers.
    pub fn new(
        target: Target,
        cargo: Cargo,
        config: &Config,
        limits: Limits,
        store: Option<&Rc<dyn Store>>,
        seed: u64,
    ) -> Lane {
        let protocol = &target.protocol;
        let settings = Settings {
            batch: config.batch,
            queue: config.queue,
            retry: config.retry,
            max_in_flight: limits.at_once,
            max_batch_bytes: protocol.max_bytes(),
            deadline: limits.deadline,
            longest_wait: config.timeout,
            ordered: protocol.keeps_order(),
            yields: config.targets.len() > limits.at_once,
        };
        let journal = |store: &Rc<dyn Store>| {
            // Dead letters that were left are not taken over as events, which are counted.
            let service = if cargo == Cargo::Letters { "dead-letters" } else { protocol.service() };
            let names = [service, &target.region, protocol.name()];
            Journal::new(Rc::clone(store), names, fastrand::Rng::with_seed(seed).u64(..))
        };
        Lane {
            journal: store.map(journal),
            scope: target.scope(),
            timeout: config.timeout,
            max_event_bytes: protocol.max_bytes().min(config.queue.max_bytes),
            target,
            cargo,
            outbox: Outbox::new(settings, seed),
            signed_with: Vec::new(),
        }
    }

    /// What it carries.
    pub fn cargo(&self) -> Cargo {
        self.cargo
    }

    /// Where its events go.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Bytes that one event may have here, as the target counts them.
    pub fn max_event_bytes(&self) -> usize {
        self.max_event_bytes
    }

    /// Queues an event.
    pub fn push(&mut self, event: Event, now: Timestamp, metrics: &mut Metrics) {
        let size = self.target.protocol.size(&event);
        let journal = &mut self.journal;
        self.outbox.push(event, size, now, metrics, |event, _| journal.as_mut()?.write(event, now));
        self.clear_settled(metrics);
    }

    /// Queues an event that a response waits for, and that goes out at once.
    pub fn push_awaited(&mut self, event: Event, wait: Wait, now: Timestamp, metrics: &mut Metrics) {
        let size = self.target.protocol.size(&event);
        let journal = &mut self.journal;
        let keep = |event: &Event, _: &mut Metrics| journal.as_mut()?.write(event, now);
        self.outbox.push_awaited(event, size, wait, now, metrics, keep);
        self.clear_settled(metrics);
    }

    /// Takes from the journal what has come to its end.
    fn clear_settled(&mut self, metrics: &mut Metrics) {
        let settled = self.outbox.take_settled();
        if let Some(journal) = &mut self.journal {
            settled.into_iter().for_each(|slot| journal.clear(slot));
        }
        self.count_journal(metrics);
    }

    /// Adds what the journal has counted.
    fn count_journal(&mut self, metrics: &mut Metrics) {
        let Some(journal) = &mut self.journal else { return };
        let Counts { failures } = journal.take_counts();
        metrics.add(Metric::JournalFailures, usize::try_from(failures).unwrap_or(usize::MAX));
    }

    /// Keeps the journal alive, and takes over some of what a worker that is gone has left, as far as there is room.
    pub fn tend_journal(&mut self, now: Timestamp, metrics: &mut Metrics) {
        let Some(journal) = &mut self.journal else { return };
        journal.tend(now);
        metrics.inherit(journal.take_inherited());
        let mut bytes = 0;
        for _ in 0..ADOPTED_AT_ONCE {
            let Some((event, slot)) = journal.next_adopted() else { break };
            let size = self.target.protocol.size(&event);
            bytes += size;
            if bytes > ADOPTED_BYTES_AT_ONCE || !self.outbox.has_room(size) {
                journal.put_back(slot);
                break;
            }
            metrics.add(Metric::EventsAdopted, 1);
            self.outbox.adopt(event, size, slot, now);
        }
        self.count_journal(metrics);
    }

    /// Adopts nothing more of workers that may go yet, but all that has been begun with, whatever room there is.
    pub fn stop_adopting(&mut self, now: Timestamp, metrics: &mut Metrics) {
        let Some(journal) = &mut self.journal else { return };
        journal.stop_adopting();
        while journal.is_reading() {
            let Some((event, slot)) = journal.next_adopted() else { continue };
            metrics.add(Metric::EventsAdopted, 1);
            let size = self.target.protocol.size(&event);
            self.outbox.adopt(event, size, slot, now);
        }
        self.count_journal(metrics);
    }

    /// Writes down what the gauges are about to be told, so that whoever takes the queue over can take it back.
    pub fn note_reported(&mut self) {
        let backlog = self.backlog();
        if let Some(journal) = &mut self.journal {
            journal.note_reported(backlog);
        }
    }

    /// What is to be done with a response that waits, once that is known.
    pub fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.outbox.take_release(ticket)
    }

    /// What is to be done with every response of which it is known.
    pub fn take_releases(&mut self) -> Vec<(Ticket, Release)> {
        self.outbox.take_releases()
    }

    /// A response that waits is gone.
    pub fn forget_response(&mut self, ticket: Ticket) {
        self.outbox.forget_response(ticket);
    }

    /// The next call to make, if one is due. Its reply is owed to [`Lane::handle_reply`], also when the host could not start it.
    pub fn poll(&mut self, signer: &Signer, now: Timestamp, metrics: &mut Metrics) -> Option<(BatchId, Callout)> {
        loop {
            let batch = self.outbox.poll(now, metrics);
            self.clear_settled(metrics);
            let batch = batch?;
            let mut callout = self.callout(batch);
            match signer.sign(&mut callout, &self.scope, now) {
                Ok(signature) => {
                    let outbox = &self.outbox;
                    self.signed_with.retain(|(batch, _)| outbox.is_in_flight(*batch));
                    self.signed_with.push((batch, signature));
                    return Some((batch, callout));
                }
                Err(error) => {
                    let count = self.outbox.events(batch).len();
                    let failure = Failure::new(FailureClass::Permanent, "Unsigned", &error.to_string());
                    self.outbox.settle(batch, vec![Outcome::Failed(failure); count], None, now, metrics);
                }
            }
        }
    }

    /// What is to be done as time passes, also while nothing may be sent.
    pub fn tend(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.outbox.tend(now, metrics);
        self.clear_settled(metrics);
    }

    fn callout(&self, batch: BatchId) -> Callout {
        let protocol = &self.target.protocol;
        let events = self.outbox.events(batch);
        self.target.callout(protocol.headers(events.len()), protocol.body(&events), self.timeout)
    }

    /// Says what came of a batch; ignored after its deadline, when it counts as lost.
    pub fn handle_reply(
        &mut self,
        batch: BatchId,
        reply: &Reply,
        signer: &mut Signer,
        now: Timestamp,
        metrics: &mut Metrics,
    ) {
        if !self.outbox.is_in_flight(batch) {
            return;
        }
        metrics.count_reply(reply);
        let outcomes = self.target.protocol.parse_reply(reply, self.outbox.events(batch).len());
        if let Some((_, signature)) = self.signed_with.iter().find(|(candidate, _)| *candidate == batch) {
            signer.learn(*signature, &outcomes, reply, now);
        }
        self.outbox.settle(batch, outcomes, retry_after(reply, now), now, metrics);
        self.clear_settled(metrics);
    }

    /// Whether a batch still waits for what came of it.
    pub fn awaits(&self, batch: BatchId) -> bool {
        self.outbox.is_in_flight(batch)
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.outbox.in_flight()
    }

    /// How much is queued and in flight, with what is about to be taken over.
    pub fn backlog(&self) -> Backlog {
        let backlog = self.outbox.backlog();
        let unread = self.journal.as_ref().map_or(0, Journal::unread);
        Backlog { entries: backlog.entries + unread, ..backlog }
    }

    /// The dead letters since the last time, as [`DeadLetter::into_event`] makes them. What carries letters gives back those that
    /// it could not deliver.
    pub fn take_dead_letters(&mut self, now: Timestamp, metrics: &mut Metrics) -> Vec<Event> {
        let letters = self.outbox.take_dead_letters();
        self.clear_settled(metrics);
        let event = |letter: DeadLetter| match self.cargo {
            Cargo::Events => letter.into_event(self.address(), now),
            Cargo::Letters => letter.event,
        };
        letters.into_iter().map(event).collect()
    }

    /// Bytes of the events that [`Lane::take_dead_letters`] would give.
    pub fn dead_bytes(&self) -> usize {
        self.outbox.dead_bytes()
    }

    /// The lines of what is queued or in flight, for the case that the process ends now; it stays queued and in flight.
    pub fn undelivered_lines(&self, max_line_bytes: usize) -> impl Iterator<Item = String> + '_ {
        self.outbox.undelivered().flat_map(move |event| {
            let json = match self.cargo {
                Cargo::Events => Cow::Owned(dead_letter::json(event, DropReason::Shutdown, None, self.address())),
                Cargo::Letters => Cow::Borrowed(event.message.as_str()),
            };
            dead_letter::lines(&event.id, &json, max_line_bytes)
        })
    }

    /// The target as it stands in dead letters.
    fn address(&self) -> dead_letter::Target<'_> {
        let Target { protocol, region, .. } = &self.target;
        dead_letter::Target { kind: protocol.key(), name: protocol.name(), region }
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut notices = self.outbox.take_notices(now);
        notices.extend(self.journal.iter_mut().flat_map(Journal::take_notices));
        notices
    }
}
