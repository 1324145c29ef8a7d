//! The sender of one target: from its outbox to signed calls, and back from their replies. Does no
//! I/O, and knows nothing of other targets.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use crate::aws::error::{Failure, FailureClass, Outcome, UNSIGNED};
use crate::aws::retry::Retry;
use crate::aws::retry_after::retry_after;
use crate::aws::sign::{SignError, SigningScope};
use crate::aws::signer::{Signature, Signer};
use crate::aws::target::Target;
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::metrics::{CalloutCounts, Metric, Updates};
use crate::publish::dead_letter::{self, DeadLetter, DropReason};
use crate::publish::journal::{Journal, Store};
use crate::publish::orphans::LETTERS;
use crate::publish::outbox::settings::{Batch, Bounds, OutboxSettings};
use crate::publish::outbox::{BatchId, Dropped, Outbox, OutboxCounts};

/// Everything that a sender obeys, whatever its target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderSettings {
    /// How events are packed into calls.
    pub(crate) batch: Batch,
    /// Bounds of what is queued, in amount and age.
    pub(crate) bounds: Bounds,
    /// When an attempt that failed is made again.
    pub(crate) retry: Retry,
    /// How long a call may take, and how long a response waits for its event.
    pub(crate) timeout: Duration,
    /// Limits that the host sets to calls.
    pub(crate) limits: Limits,
    /// True if there are fewer calls at once than targets: a sender whose call failed leaves the
    /// next one to others.
    pub(crate) yields: bool,
}

/// Cargo of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cargo {
    /// Events of exchanges.
    Events,
    /// Dead letters of other senders.
    Letters,
}

/// Everything that publishing to one target needs.
pub(crate) struct Sender {
    target: Target,
    cargo: Cargo,
    scope: SigningScope,
    timeout: Duration,
    /// Bytes that one event may have here.
    max_event_bytes: usize,
    /// The queue of the target. What is asked of it alone is asked here, and not of the sender.
    pub(super) outbox: Outbox,
    /// Signatures of the batches in flight.
    signatures: Vec<(BatchId, Signature)>,
    callouts: CalloutCounts,
}

impl Sender {
    /// Creates a sender of `cargo` to `target` with an empty outbox, and a journal where there is a
    /// `store`. `seed` drives the jitter of its retries, and tells its journal from those of other
    /// workers.
    pub(crate) fn new(
        target: Target,
        cargo: Cargo,
        settings: SenderSettings,
        store: Option<&Rc<dyn Store>>,
        seed: u64,
    ) -> Sender {
        let SenderSettings { batch, bounds, retry, timeout, limits, yields } = settings;
        let protocol = &target.protocol;
        let outbox = OutboxSettings {
            batch: Batch { max_entries: batch.max_entries.min(protocol.max_events()), ..batch },
            bounds,
            retry,
            max_in_flight: limits.at_once,
            max_batch_bytes: protocol.max_bytes(),
            deadline: limits.deadline,
            longest_wait: timeout,
            ordered: protocol.keeps_order(),
            yields,
        };
        let journal = |store: &Rc<dyn Store>| {
            // Dead letters that were left are not taken over as events, which are counted.
            let service = if cargo == Cargo::Letters { LETTERS } else { protocol.service() };
            let names = [protocol.kind().key, service, &target.region, protocol.name()];
            Journal::new(Rc::clone(store), names, fastrand::Rng::with_seed(seed).u64(..))
        };
        Sender {
            outbox: Outbox::new(outbox, store.map(journal), seed),
            scope: target.scope(),
            timeout,
            max_event_bytes: protocol.max_bytes().min(bounds.max_bytes),
            target,
            cargo,
            signatures: Vec::new(),
            callouts: CalloutCounts::default(),
        }
    }

    /// Returns what it carries.
    pub(crate) fn cargo(&self) -> Cargo {
        self.cargo
    }

    /// Returns where its events go.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the bytes that one event may have here, as the target counts them.
    pub(crate) fn max_event_bytes(&self) -> usize {
        self.max_event_bytes
    }

    /// Queues a dead letter.
    pub(crate) fn push_letter(&mut self, letter: Event, now: Timestamp) {
        let size = self.target.protocol.size(&letter);
        self.outbox.push(letter, size, now);
    }

    /// Keeps the journal alive, and takes over some of what a worker that is gone has left.
    pub(crate) fn tend_journal(&mut self, now: Timestamp) {
        let protocol = &self.target.protocol;
        self.outbox.tend_journal(now, |event| protocol.size(event));
    }

    /// Takes over nothing more of workers that may go yet, and all that was begun with.
    pub(crate) fn stop_adopting(&mut self, now: Timestamp) {
        let protocol = &self.target.protocol;
        self.outbox.stop_adopting(now, |event| protocol.size(event));
    }

    /// Returns the next call to make, if one is due. Its reply is owed to [`Sender::handle_reply`],
    /// also when the host could not start it.
    pub(crate) fn poll(&mut self, signer: &Signer, now: Timestamp) -> Option<(BatchId, Callout)> {
        loop {
            let batch = self.outbox.poll(now)?;
            let mut callout = self.callout(batch);
            match signer.sign(&mut callout, &self.scope, now) {
                Ok(signature) => {
                    let outbox = &self.outbox;
                    self.signatures.retain(|(batch, _)| outbox.is_in_flight(*batch));
                    self.signatures.push((batch, signature));
                    return Some((batch, callout));
                }
                Err(error) => {
                    let count = self.outbox.events(batch).len();
                    let class = match error {
                        // The next ones are asked for already.
                        SignError::NoCredentials => FailureClass::Credentials,
                        _ => FailureClass::Denied,
                    };
                    let failure = Failure::new(class, UNSIGNED, &error.to_string());
                    self.outbox.settle(batch, vec![Outcome::Failed(failure); count], None, now);
                }
            }
        }
    }

    fn callout(&self, batch: BatchId) -> Callout {
        let protocol = &self.target.protocol;
        let events = self.outbox.events(batch);
        self.target.callout(protocol.headers(events.len()), protocol.body(&events), self.timeout)
    }

    /// Handles the reply to a batch; ignored after its deadline, when the batch counts as lost.
    pub(crate) fn handle_reply(&mut self, batch: BatchId, reply: &Reply, signer: &mut Signer, now: Timestamp) {
        if !self.outbox.is_in_flight(batch) {
            return;
        }
        self.callouts.count(reply);
        let mut outcomes = self.target.protocol.parse_reply(reply, self.outbox.events(batch).len());
        if let Some((_, signature)) = self.signatures.iter().find(|(candidate, _)| *candidate == batch) {
            if !signer.learn(*signature, &outcomes, reply, now) {
                outcomes.iter_mut().for_each(deny_signature);
            }
        }
        self.outbox.settle(batch, outcomes, retry_after(reply, now), now);
    }

    /// Hands out the events that will not be delivered: each as the letter that tells of it, or,
    /// where letters are what is carried, as the letter that it is.
    pub(crate) fn take_dead_letters(&mut self, now: Timestamp) -> Vec<Event> {
        let dead = self.outbox.take_dead_letters();
        let letter = |dead: DeadLetter| match self.cargo {
            Cargo::Events => dead.into_event(self.address(), now),
            Cargo::Letters => dead.event,
        };
        dead.into_iter().map(letter).collect()
    }

    /// Iterates over the log lines, with this mark, of what is queued or in flight, in case the process
    /// ends now; it stays queued and in flight.
    pub(crate) fn undelivered_lines<'a>(
        &'a self,
        mark: &'a str,
        max_line_bytes: usize,
    ) -> impl Iterator<Item = String> + 'a {
        self.outbox.undelivered().flat_map(move |event| {
            let json = match self.cargo {
                Cargo::Events => Cow::Owned(dead_letter::json(event, DropReason::Shutdown, None, self.address())),
                Cargo::Letters => Cow::Borrowed(event.message.as_str()),
            };
            dead_letter::lines(mark, &event.id, &json, max_line_bytes)
        })
    }

    /// Returns the target as it stands in dead letters.
    fn address(&self) -> dead_letter::Address<'_> {
        let Target { protocol, region, .. } = &self.target;
        dead_letter::Address { key: protocol.kind().key, name: protocol.name(), region }
    }

    /// Reports what was counted since the last visit, under the names of what is carried.
    pub(crate) fn visit_metrics(&mut self, updates: &mut Updates) {
        let counts = self.outbox.take_counts();
        self.callouts.count_lost(counts.lost_calls);
        self.callouts.visit(updates);
        updates.add(Metric::EventsAdopted, counts.adopted);
        updates.add(Metric::JournalFailures, counts.journal_failures);
        updates.add(Metric::RefusedCalls, counts.refused_calls);
        match self.cargo {
            Cargo::Events => report_events(counts, updates),
            Cargo::Letters => updates.add(Metric::DeadLettersStored, counts.acknowledged),
        }
    }
}

/// Makes the refusal of a signature one that somebody has to mend.
fn deny_signature(outcome: &mut Outcome) {
    if let Outcome::Failed(Failure { class: class @ (FailureClass::Credentials | FailureClass::Clock), .. }) = outcome {
        *class = FailureClass::Denied;
    }
}

/// Reports the counts of an outbox that holds events.
fn report_events(counts: OutboxCounts, updates: &mut Updates) {
    let Dropped { queue_full, expired, refused, too_large, withdrawn } = counts.dropped;
    updates.add(Metric::EventsPublished, counts.acknowledged);
    updates.add(Metric::EventsRetried, counts.retried);
    updates.add(Metric::EventsDroppedQueueFull, queue_full);
    updates.add(Metric::EventsDroppedExpired, expired);
    updates.add(Metric::EventsDroppedRefused, refused);
    updates.add(Metric::EventsDroppedTooLarge, too_large);
    updates.add(Metric::EventsDroppedWithdrawn, withdrawn);
    updates.add(Metric::ResponsesUndelivered, counts.undelivered_responses);
    updates.observe(Metric::Delivery, counts.delivery_millis);
}
