//! All that one worker does, without I/O: exchanges, webhooks and replies in; callouts, answers, metrics, notices and dead
//! letters out. It shares out the callouts that the host allows among credentials and events; the call of a webhook is beside
//! those, for it belongs to a request of its own.

use std::rc::Rc;

use crate::aws::credentials::{CredentialsCall, Keeper};
use crate::aws::signer::Signer;
use crate::callout::{Callout, Limits, Reply};
use crate::capture::{CaptureId, Intake, Progress, Settings};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::redact::Redaction;
use crate::exchange::Exchange;
use crate::metrics::{Metrics, Update};
use crate::notice::Notice;
use crate::publish::journal::Store;
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::route::Route;
use crate::publish::{BatchId, Publisher};

/// Names a callout, so that its reply finds its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Events.
    Batch(BatchId),
    /// Credentials.
    Credentials(CredentialsCall),
    /// A webhook.
    Capture(CaptureId),
}

/// The work of one worker, but for the routes, which are not changed by anything that happens.
pub struct Agent {
    signer: Signer,
    publisher: Publisher,
    intake: Intake,
    metrics: Metrics,
    at_once: usize,
}

impl Agent {
    /// An agent with nothing to do that keeps to the host's `limits`, and signs with what `keeper` has; without one nothing is
    /// signed. Where there is a `store`, its queue outlives it there. `seed` makes the ids of its events and its retries differ
    /// from those of other workers.
    pub fn new(
        config: &Config,
        keeper: Option<Keeper>,
        limits: Limits,
        store: Option<&Rc<dyn Store>>,
        seed: u64,
    ) -> Agent {
        let settings = Settings {
            at_once: config.max_captures,
            patience: config.timeout,
            again: limits.retries_captures,
            silent_sender: limits.silent_sender,
            retry: config.retry,
        };
        let redaction = Redaction::new(config.redact.clone());
        Agent {
            signer: Signer::new(keeper),
            publisher: Publisher::new(config, limits, store, seed),
            intake: Intake::new(config.captures.clone(), redaction, settings, seed),
            metrics: Metrics::default(),
            at_once: limits.at_once,
        }
    }

    /// Makes an exchange that matched `route` an event and queues it.
    pub fn accept(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp) {
        self.publisher.accept(exchange, route, now, &mut self.metrics);
    }

    /// The same with an exchange whose response waits for the event. What is to be done with it may be known at once.
    pub fn accept_awaited(&mut self, exchange: Exchange<'_>, route: &Route, wait: Wait, now: Timestamp) {
        self.publisher.accept_awaited(exchange, route, wait, now, &mut self.metrics);
    }

    /// What is to be done with a response that waits, once that is known.
    pub fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.publisher.take_release(ticket)
    }

    /// What is to be done with every response of which it is known.
    pub fn take_releases(&mut self) -> Vec<(Ticket, Release)> {
        self.publisher.take_releases()
    }

    /// A response that waits is gone.
    pub fn forget_response(&mut self, ticket: Ticket) {
        self.publisher.forget_response(ticket);
    }

    /// The next callout to make, if one is due. Its reply is owed to [`Agent::handle_reply`], also when the host could not start
    /// it. What asks for credentials goes before all else.
    pub fn poll(&mut self, now: Timestamp) -> Option<(Call, Callout)> {
        if self.signer.is_asking() || self.publisher.in_flight() < self.at_once {
            if let Some((call, callout)) = self.signer.poll(now) {
                return Some((Call::Credentials(call), callout));
            }
        }
        let at_once = self.at_once.saturating_sub(usize::from(self.signer.is_busy(now)));
        if self.publisher.in_flight() >= at_once || !self.signer.is_ready(now) {
            self.publisher.tend(now, &mut self.metrics);
            return None;
        }
        let (batch, callout) = self.publisher.poll(&self.signer, at_once, now, &mut self.metrics)?;
        Some((Call::Batch(batch), callout))
    }

    /// Keeps the journal, at each tick.
    pub fn tend_journal(&mut self, now: Timestamp) {
        self.publisher.tend_journal(now, &mut self.metrics);
    }

    /// The host wants to stop this worker: takes on nothing more of others.
    pub fn stop_adopting(&mut self, now: Timestamp) {
        self.publisher.stop_adopting(now, &mut self.metrics);
    }

    /// Says what came of a callout; ignored after its deadline, when it counts as lost.
    pub fn handle_reply(&mut self, call: Call, reply: &Reply, now: Timestamp) {
        match call {
            Call::Credentials(call) => self.signer.handle_reply(call, reply, now),
            Call::Capture(id) => self.intake.handle_reply(id, reply, &mut self.signer, now, &mut self.metrics),
            Call::Batch(batch) => {
                self.publisher.handle_reply(batch, reply, &mut self.signer, now, &mut self.metrics);
            }
        }
    }

    /// Whether the reply to `call` is still awaited.
    pub fn awaits(&self, call: Call) -> bool {
        match call {
            Call::Batch(batch) => self.publisher.awaits(batch),
            Call::Credentials(call) => self.signer.awaits(call),
            Call::Capture(id) => self.intake.awaits(id),
        }
    }

    /// What is to be done about a capture now.
    pub fn poll_capture(&mut self, id: CaptureId, now: Timestamp) -> Progress {
        self.intake.poll(id, &self.signer, now, &mut self.metrics)
    }

    /// The captures under way, and where they are counted.
    pub fn intake(&mut self) -> (&mut Intake, &mut Metrics) {
        (&mut self.intake, &mut self.metrics)
    }

    /// Whether nothing is queued, nothing is in flight, and no sender waits.
    pub fn is_idle(&self) -> bool {
        self.queued() == 0 && self.intake.is_empty()
    }

    /// How many events are queued or in flight.
    pub fn queued(&self) -> usize {
        self.publisher.backlog().entries
    }

    /// The dead letters since the last time that are for the log, each as lines of at most `max_line_bytes`; those for a queue
    /// are on their way.
    pub fn take_dead_letter_lines(&mut self, max_line_bytes: usize, now: Timestamp) -> Vec<String> {
        self.publisher.take_dead_letter_lines(max_line_bytes, now, &mut self.metrics)
    }

    /// The lines of what is queued or in flight, in case that the process ends now; see [`Agent::take_dead_letter_lines`].
    pub fn undelivered_lines(&self, max_line_bytes: usize) -> impl Iterator<Item = String> + '_ {
        self.publisher.undelivered_lines(max_line_bytes)
    }

    /// Whether so much is dead that it should not wait for the next tick.
    pub fn has_many_dead_letters(&self) -> bool {
        self.publisher.has_many_dead_letters()
    }

    /// Writes down what the gauges are about to be told, where they are the sum of what workers add to them: what a worker that
    /// is gone has added, its heir takes back.
    pub fn note_reported(&mut self) {
        self.publisher.note_reported();
    }

    /// What changed in the metrics since the last time.
    pub fn take_metric_updates(&mut self, now: Timestamp) -> Vec<Update> {
        self.metrics.take_updates(self.publisher.backlog(), now)
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut notices = self.signer.take_notices(now, self.queued());
        notices.extend(self.publisher.take_notices(now));
        notices.extend(self.intake.take_notices());
        notices
    }
}
