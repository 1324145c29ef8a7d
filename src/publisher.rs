//! The publish path of one worker: from an exchange to an event in the outbox, from the outbox to signed calls, and back from
//! their replies. Does no I/O.

use std::time::Duration;

use crate::aws::arn::TopicArn;
use crate::aws::endpoint::Endpoint;
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry_after::retry_after;
use crate::aws::sign::SigningScope;
use crate::aws::sns;
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::dead_letter::{self, Target};
use crate::exchange::Exchange;
use crate::metrics::{Backlog, Metric, Metrics};
use crate::notice::Notice;
use crate::outbox::{BatchId, DropReason, Outbox, Settings};
use crate::record::Recorder;
use crate::route::Route;
use crate::signer::{Signature, Signer};

/// More bytes of dead letters than this do not wait for the next tick: they are beside what `queue.max_bytes` bounds.
const MAX_DEAD_BYTES: usize = 1 << 20;

/// Everything that a worker needs to publish, but for the routes, which are not changed by anything that happens.
pub struct Publisher {
    topic: TopicArn,
    endpoint: Endpoint,
    upstream: String,
    timeout: Duration,
    /// Whether dead letters are written to the log.
    log_dead_letters: bool,
    scope: SigningScope,
    /// What each batch in flight was signed with.
    signed_with: Vec<(BatchId, Signature)>,
    recorder: Recorder,
    outbox: Outbox,
    rng: fastrand::Rng,
}

impl Publisher {
    /// A publisher with an empty queue that keeps to the host's `limits`. `seed` makes the ids of its events and its retries
    /// differ from those of other workers.
    pub fn new(config: &Config, limits: Limits, seed: u64) -> Publisher {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = Settings {
            batch: config.batch,
            queue: config.queue,
            max_in_flight: limits.at_once,
            max_batch_bytes: sns::MAX_BATCH_BYTES,
            deadline: limits.deadline,
            ordered: config.topic.fifo,
        };
        Publisher {
            topic: config.topic.clone(),
            endpoint: config.endpoint.clone(),
            upstream: config.upstream.clone(),
            timeout: config.timeout,
            log_dead_letters: config.dead_letter.log,
            scope: SigningScope { region: config.region.clone(), service: "sns" },
            signed_with: Vec::new(),
            recorder: Recorder::new(config.redact.clone(), config.topic.fifo),
            outbox: Outbox::new(settings, rng.u64(..)),
            rng,
        }
    }

    /// Makes an exchange that matched `route` an event and queues it.
    pub fn accept(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp, metrics: &mut Metrics) {
        metrics.add(Metric::EventsMatched, 1);
        let id = event_id(now, &mut self.rng);
        let event = self.recorder.event(exchange, route, id, now);
        let size = sns::size(&event);
        self.outbox.push(event, size, now, metrics);
    }

    /// The next call to make, if one is due. Its reply is owed to [`Publisher::handle_reply`], also when the host could not start
    /// it.
    pub fn poll(&mut self, signer: &Signer, now: Timestamp, metrics: &mut Metrics) -> Option<(BatchId, Callout)> {
        loop {
            let batch = self.outbox.poll(now, metrics)?;
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
    }

    fn callout(&self, batch: BatchId) -> Callout {
        Callout {
            upstream: self.upstream.clone(),
            scheme: self.endpoint.scheme,
            method: "POST",
            authority: self.endpoint.authority(),
            path: "/".to_owned(),
            headers: vec![("content-type".to_owned(), sns::CONTENT_TYPE.to_owned())],
            body: sns::body(&self.topic, &self.outbox.events(batch)),
            timeout: self.timeout,
        }
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
        let metric = match reply {
            Reply::Response { status: 200, .. } => Metric::CalloutsOk,
            Reply::Response { .. } => Metric::CalloutsError,
            Reply::NoResponse(_) => Metric::CalloutsNoReply,
        };
        metrics.add(metric, 1);
        let outcomes = sns::parse_reply(reply, self.outbox.events(batch).len());
        if let Some((_, signature)) = self.signed_with.iter().find(|(candidate, _)| *candidate == batch) {
            signer.learn(*signature, &outcomes, reply, now);
        }
        self.outbox.settle(batch, outcomes, retry_after(reply, now), now, metrics);
    }

    /// Whether a batch still waits for what came of it.
    pub fn awaits(&self, batch: BatchId) -> bool {
        self.outbox.is_in_flight(batch)
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.outbox.in_flight()
    }

    /// How much is queued and in flight.
    pub fn backlog(&self) -> Backlog {
        self.outbox.backlog()
    }

    /// The dead letters since the last time, each as the lines of a log that has lines of at most `max_line_bytes`; none where
    /// the configuration wants none.
    pub fn take_dead_letter_lines(&mut self, max_line_bytes: usize) -> Vec<String> {
        let letters = self.outbox.take_dead_letters();
        if !self.log_dead_letters {
            return Vec::new();
        }
        let lines = |letter: &dead_letter::DeadLetter| {
            dead_letter::lines(&letter.event.id, &letter.json(self.target()), max_line_bytes)
        };
        letters.iter().flat_map(lines).collect()
    }

    /// Whether so much is dead that it should not wait for the next tick.
    pub fn has_many_dead_letters(&self) -> bool {
        self.outbox.dead_bytes() > MAX_DEAD_BYTES
    }

    /// The lines of what is queued or in flight, for the case that the process ends now; it stays queued and in flight.
    pub fn undelivered_lines(&self, max_line_bytes: usize) -> impl Iterator<Item = String> + '_ {
        let events = self.outbox.undelivered().filter(|_| self.log_dead_letters);
        events.flat_map(move |event| {
            let json = dead_letter::json(event, DropReason::Shutdown, None, self.target());
            dead_letter::lines(&event.id, &json, max_line_bytes)
        })
    }

    fn target(&self) -> Target<'_> {
        Target { kind: "topic_arn", name: &self.topic.text, region: &self.scope.region }
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        self.outbox.take_notices(now)
    }
}

/// A UUID of version 7 (RFC 9562): unique among all workers, and in the order of time.
fn event_id(now: Timestamp, rng: &mut fastrand::Rng) -> String {
    let mut random = [0; 10];
    rng.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid().to_string()
}
