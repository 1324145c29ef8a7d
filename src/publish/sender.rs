//! The sender of one target: from its outbox to signed calls, and back from their replies. Does no
//! I/O, and knows nothing of other targets.

use std::rc::Rc;
use std::time::Duration;

use crate::aws::error::{Failure, FailureClass, Outcome, UNSIGNED};
use crate::aws::retry::Retry;
use crate::aws::retry_after::retry_after;
use crate::aws::sign::SignError;
use crate::aws::signer::{Signature, Signer};
use crate::aws::target::{short_name, Target};
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::metrics::{BacklogGauges, CalloutCounts, Metric, Updates};
use crate::publish::dead_letter::{self, DeadLetter};
use crate::publish::orphans::LETTERS;
use crate::publish::outbox::settings::{Batch, Bounds, OutboxSettings};
use crate::publish::outbox::{BatchId, Dropped, Outbox, OutboxCounts};
use crate::publish::queue::memory::MemoryStore;
use crate::publish::queue::{Store, TargetQueue};

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
    timeout: Duration,
    /// Bytes that one event may have here.
    max_event_bytes: usize,
    /// The queue of the target. What is asked of it alone is asked here, and not of the sender.
    pub(super) outbox: Outbox,
    /// Signatures of the batches in flight.
    signatures: Vec<(BatchId, Signature)>,
    callouts: CalloutCounts,
    /// The target, as metrics name it.
    metric_target: Rc<str>,
    /// Exchanges that became events of it since the last visit.
    matched: u64,
    gauges: BacklogGauges,
}

impl Sender {
    /// Creates a sender of `cargo` to `target`, whose queue is in `store`, or in memory where there
    /// is none. `seed` drives the jitter of its retries, and tells this worker from others.
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
            max_batch_bytes: protocol.max_call_bytes(target.max_message_bytes),
            deadline: limits.deadline,
            longest_wait: timeout,
            ordered: target.ordered,
            yields,
        };
        // Dead letters that were left are not taken over as events, which are counted.
        let service = if cargo == Cargo::Letters { LETTERS } else { protocol.service() };
        let names = [protocol.kind().key, service, target.region(), protocol.name()];
        let store = store.cloned().unwrap_or_else(|| Rc::new(MemoryStore::default()));
        let owner = fastrand::Rng::with_seed(seed).u64(..);
        let queue = TargetQueue::new(store, names, outbox.amount(), outbox.ordered, owner);
        Sender {
            outbox: Outbox::new(outbox, queue, seed),
            timeout,
            max_event_bytes: target.max_message_bytes.min(bounds.max_bytes),
            metric_target: short_name(target.region(), protocol.name()).into(),
            matched: 0,
            gauges: BacklogGauges::default(),
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

    /// Returns true if it cannot send without credentials.
    pub(crate) fn needs_credentials(&self) -> bool {
        self.target.scope.is_some()
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

    /// Returns the next call to make, if one is due. Its reply is owed to [`Sender::handle_reply`],
    /// also when the host could not start it.
    #[inline(never)]
    pub(crate) fn poll(&mut self, signer: &Signer, now: Timestamp) -> Option<(BatchId, Callout)> {
        loop {
            let (batch, events) = self.outbox.poll(now)?;
            let mut callout = self.callout(&events, now);
            match signer.sign(&mut callout, self.target.scope.as_ref(), now) {
                Ok(signature) => {
                    let outbox = &self.outbox;
                    self.signatures.retain(|(batch, _)| outbox.is_in_flight(*batch));
                    self.signatures.push((batch, signature));
                    return Some((batch, callout));
                }
                Err(error) => {
                    let count = events.len();
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

    #[inline(never)]
    fn callout(&self, events: &[Event], now: Timestamp) -> Callout {
        let protocol = &self.target.protocol;
        let events: Vec<&Event> = events.iter().collect();
        let (mut headers, body) = (protocol.headers(&events), protocol.body(&events));
        protocol.sign(&mut headers, &events, &body, now);
        self.target.callout(headers, body, self.timeout)
    }

    /// Handles the reply to a batch; ignored after its deadline, when the batch counts as lost.
    #[inline(never)]
    pub(crate) fn handle_reply(&mut self, batch: BatchId, reply: &Reply, signer: &mut Signer, now: Timestamp) {
        if !self.outbox.is_in_flight(batch) {
            return;
        }
        self.callouts.count(reply);
        let mut outcomes = self.target.protocol.parse_reply(reply, self.outbox.batch_len(batch));
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
            Cargo::Events => dead.into_event(address(&self.target), now),
            Cargo::Letters => dead.event,
        };
        dead.into_iter().map(letter).collect()
    }

    /// Iterates over the letters of what is queued or in flight, each with the id of its event, in
    /// case the process ends now.
    pub(crate) fn undelivered(&mut self) -> impl Iterator<Item = (String, String)> + '_ {
        let (cargo, target) = (self.cargo, &self.target);
        self.outbox.undelivered().map(move |DeadLetter { event, reason, failure }| {
            let json = match cargo {
                Cargo::Events => dead_letter::json(&event, reason, failure.as_ref(), address(target)),
                Cargo::Letters => event.message,
            };
            (event.id, json)
        })
    }

    /// Returns the target as metrics name it.
    pub(crate) fn metric_target(&self) -> &Rc<str> {
        &self.metric_target
    }

    /// Counts an exchange that became an event.
    pub(crate) fn note_match(&mut self) {
        self.matched += 1;
    }

    /// Reports what was counted since the last visit, under the names of what is carried, and the
    /// gauges. Where those are sums that workers add to, the queue notes what this one has added: a
    /// worker that is gone cannot take it back, and the one that takes over its events does.
    #[inline(never)]
    pub(crate) fn visit_metrics(&mut self, sums_gauges: bool, now: Timestamp, updates: &mut Updates) {
        updates.of(Some(&self.metric_target));
        updates.add(Metric::EventsMatched, std::mem::take(&mut self.matched));
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
        self.gauges.inherit(self.outbox.take_inherited());
        if sums_gauges {
            self.outbox.note_reported(now);
        }
        self.gauges.visit(self.outbox.backlog(), self.outbox.reports_refusal(), now, updates);
    }
}

/// Returns a target as it stands in dead letters.
fn address(target: &Target) -> dead_letter::Address<'_> {
    let protocol = &target.protocol;
    dead_letter::Address { key: protocol.kind().key, name: protocol.name(), region: target.region() }
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
