//! The publish path of one worker: exchanges in, callouts to SNS out. Ties the recorder, the outbox and the protocol of AWS
//! together, and does no I/O.

use crate::aws::clock_offset::ClockOffset;
use crate::aws::credentials::{CredentialsCall, Generation, Keeper};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry_after::retry_after;
use crate::aws::sign::{sign, SignError, SigningScope};
use crate::aws::sns;
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::dead_letter::{self, Target};
use crate::exchange::Exchange;
use crate::metrics::{Metric, Metrics, Update};
use crate::notice::Notice;
use crate::outbox::{BatchId, DropReason, Outbox, Settings};
use crate::record::Recorder;
use crate::route::Route;

/// Names a callout, so that its reply finds its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Events.
    Batch(BatchId),
    /// Credentials.
    Credentials(CredentialsCall),
}

/// More bytes of dead letters than this do not wait for the next tick: they are beside what `queue.max_bytes` bounds.
const MAX_DEAD_BYTES: usize = 1 << 20;

/// Everything that a worker needs to publish, but for the routes, which are not changed by anything that happens.
pub struct Publisher {
    config: Config,
    /// None where the host signs.
    keeper: Option<Keeper>,
    /// What each batch in flight was signed with.
    signed_with: Vec<(BatchId, Generation)>,
    at_once: usize,
    scope: SigningScope,
    clock_offset: ClockOffset,
    clock_notice: Option<Notice>,
    recorder: Recorder,
    outbox: Outbox,
    metrics: Metrics,
    rng: fastrand::Rng,
}

impl Publisher {
    /// A publisher with an empty queue that keeps to the host's `limits`, and signs with what `keeper` has; without one nothing
    /// is signed. `seed` makes the ids of its events and its retries differ from those of other workers.
    pub fn new(config: Config, keeper: Option<Keeper>, limits: Limits, seed: u64) -> Publisher {
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
            scope: SigningScope { region: config.region.clone(), service: "sns" },
            clock_offset: ClockOffset::default(),
            clock_notice: None,
            recorder: Recorder::new(config.redact.clone(), config.topic.fifo),
            outbox: Outbox::new(settings, rng.u64(..)),
            metrics: Metrics::default(),
            config,
            keeper,
            signed_with: Vec::new(),
            at_once: limits.at_once,
            rng,
        }
    }

    /// Makes an exchange that matched `route` an event and queues it.
    pub fn accept(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp) {
        self.metrics.add(Metric::EventsMatched, 1);
        let id = event_id(now, &mut self.rng);
        let event = self.recorder.event(exchange, route, id, now);
        let size = sns::size(&event);
        self.outbox.push(event, size, now, &mut self.metrics);
    }

    /// The next callout to make, if one is due. Its reply is owed to [`Publisher::handle_reply`], also when the host could not
    /// start it.
    pub fn poll(&mut self, now: Timestamp) -> Option<(Call, Callout)> {
        if let Some((call, callout)) = self.poll_keeper(now) {
            return Some((Call::Credentials(call), callout));
        }
        if !self.may_send(now) {
            self.outbox.tend(now, &mut self.metrics);
            return None;
        }
        loop {
            let batch = self.outbox.poll(now, &mut self.metrics)?;
            let mut callout = self.callout(batch);
            match self.sign(batch, &mut callout, now) {
                Ok(()) => return Some((Call::Batch(batch), callout)),
                Err(error) => {
                    let count = self.outbox.events(batch).len();
                    let failure = Failure::new(FailureClass::Permanent, "Unsigned", &error.to_string());
                    self.outbox.settle(batch, vec![Outcome::Failed(failure); count], None, now, &mut self.metrics);
                }
            }
        }
    }

    /// The call for credentials, if one is due and there is room: it goes before every batch.
    fn poll_keeper(&mut self, now: Timestamp) -> Option<(CredentialsCall, Callout)> {
        let keeper = self.keeper.as_mut()?;
        if keeper.is_asking() || self.outbox.in_flight() < self.at_once {
            return keeper.poll(now);
        }
        None
    }

    /// Whether there is room for a batch, and something to sign it with.
    fn may_send(&self, now: Timestamp) -> bool {
        let Some(keeper) = &self.keeper else { return true };
        let under_way = self.outbox.in_flight() + usize::from(keeper.is_busy(now));
        under_way < self.at_once && keeper.current(now).is_some()
    }

    fn sign(&mut self, batch: BatchId, callout: &mut Callout, now: Timestamp) -> Result<(), SignError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let (generation, credentials) = keeper.current(now).ok_or(SignError::NoCredentials)?;
        sign(callout, credentials, &self.scope, self.clock_offset.apply(now))?;
        let outbox = &self.outbox;
        self.signed_with.retain(|(batch, _)| outbox.is_in_flight(*batch));
        self.signed_with.push((batch, generation));
        Ok(())
    }

    fn callout(&self, batch: BatchId) -> Callout {
        Callout {
            upstream: self.config.upstream.clone(),
            scheme: self.config.endpoint.scheme,
            method: "POST",
            authority: self.config.endpoint.authority(),
            path: "/".to_owned(),
            headers: vec![("content-type".to_owned(), sns::CONTENT_TYPE.to_owned())],
            body: sns::body(&self.config.topic, &self.outbox.events(batch)).into_bytes(),
            timeout: self.config.timeout,
        }
    }

    /// Says what came of a callout; ignored after its deadline, when it counts as lost.
    pub fn handle_reply(&mut self, call: Call, reply: &Reply, now: Timestamp) {
        match call {
            Call::Credentials(call) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.handle_reply(call, reply, now);
                }
            }
            Call::Batch(batch) => self.handle_batch_reply(batch, reply, now),
        }
    }

    fn handle_batch_reply(&mut self, batch: BatchId, reply: &Reply, now: Timestamp) {
        if !self.outbox.is_in_flight(batch) {
            return;
        }
        let metric = match reply {
            Reply::Response { status: 200, .. } => Metric::CalloutsOk,
            Reply::Response { .. } => Metric::CalloutsError,
            Reply::NoResponse(_) => Metric::CalloutsNoReply,
        };
        self.metrics.add(metric, 1);
        let outcomes = sns::parse_reply(reply, self.outbox.events(batch).len());
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(Failure { class: FailureClass::Clock, .. })))
        {
            self.clock_notice = self.clock_offset.correct(reply, now).or(self.clock_notice.take());
        }
        self.tell_keeper(batch, &outcomes, now);
        self.outbox.settle(batch, outcomes, retry_after(reply, now), now, &mut self.metrics);
    }

    /// Credentials that AWS refuses are not used again.
    fn tell_keeper(&mut self, batch: BatchId, outcomes: &[Outcome], now: Timestamp) {
        let refusal = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(failure) if failure.class == FailureClass::Credentials => Some(failure),
            _ => None,
        });
        let signed_with = self.signed_with.iter().find(|(candidate, _)| *candidate == batch);
        if let (Some(keeper), Some(failure), Some((_, generation))) = (&mut self.keeper, refusal, signed_with) {
            keeper.refused(*generation, failure.code.contains("ExpiredToken"), now);
        }
    }

    /// Whether the reply to `call` is still awaited.
    pub fn awaits(&self, call: Call) -> bool {
        match call {
            Call::Batch(batch) => self.outbox.is_in_flight(batch),
            Call::Credentials(call) => self.keeper.as_ref().is_some_and(|keeper| keeper.awaits(call)),
        }
    }

    /// Whether nothing is queued and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.queued() == 0
    }

    /// How many events are queued or in flight.
    pub fn queued(&self) -> usize {
        self.outbox.backlog().entries
    }

    /// The dead letters since the last time, each as the lines of a log that has lines of at most `max_line_bytes`; none where
    /// the configuration wants none.
    pub fn take_dead_letter_lines(&mut self, max_line_bytes: usize) -> Vec<String> {
        let letters = self.outbox.take_dead_letters();
        if !self.config.dead_letter.log {
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
        let events = self.outbox.undelivered().filter(|_| self.config.dead_letter.log);
        events.flat_map(move |event| {
            let json = dead_letter::json(event, DropReason::Shutdown, None, self.target());
            dead_letter::lines(&event.id, &json, max_line_bytes)
        })
    }

    fn target(&self) -> Target<'_> {
        Target { kind: "topic_arn", name: &self.config.topic.text, region: &self.config.region }
    }

    /// What changed in the metrics since the last time.
    pub fn take_metric_updates(&mut self, now: Timestamp) -> Vec<Update> {
        self.metrics.take_updates(self.outbox.backlog(), now)
    }

    /// What the operator should read, since the last time.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let waiting = self.queued();
        let mut notices: Vec<_> = self.clock_notice.take().into_iter().collect();
        let credentials = self.keeper.as_mut().map_or(Vec::new(), |keeper| keeper.take_notices(now, waiting));
        notices.extend(credentials);
        notices.extend(self.outbox.take_notices(now));
        notices
    }
}

/// A UUID of version 7 (RFC 9562): unique among all workers, and in the order of time.
fn event_id(now: Timestamp, rng: &mut fastrand::Rng) -> String {
    let mut random = [0; 10];
    rng.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid().to_string()
}
