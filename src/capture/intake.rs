//! The intake of one worker: webhooks under way, from the head of a request to the answer of its
//! sender. Their number is bounded, and further senders are told to come again. A state machine
//! without I/O.

use std::rc::Rc;
use std::time::Duration;

use super::answers::{refused, stored, Refusal};
use super::attempts::{Attempts, Next};
use super::counts::Counts;
use super::storing::{storing, Storing};
use super::trouble::Trouble;
use super::{Answer, Captures};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry::Retry;
use crate::aws::retry_after::retry_after;
use crate::aws::signer::Signer;
use crate::aws::sqs;
use crate::callout::{Callout, Reply};
use crate::clock::{SteadyClock, Timestamp};
use crate::exchange::redact::Redaction;
use crate::exchange::Request;
use crate::metrics::Updates;
use crate::notice::{Level, Notice};

/// Names a capture: the host's id of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureId(pub u32);

/// Everything that an intake obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeSettings {
    /// Webhooks in the middle of being stored, at most.
    pub(crate) at_once: usize,
    /// How long a sender waits at most, once it has sent all, and how long it may keep the gateway
    /// waiting before.
    pub(crate) patience: Duration,
    /// True if the host lets something happen to a request while it waits.
    pub(crate) again: bool,
    /// The line for the log where the rest of a request does not come.
    pub(crate) silent_sender: &'static str,
    /// When an attempt that failed is made again.
    pub(crate) retry: Retry,
}

/// The next step of a capture.
#[derive(Debug)]
pub enum Progress {
    /// Make this call; its reply is owed to the agent.
    Call(Box<Callout>),
    /// Nothing yet.
    Wait,
    /// Answer the sender. The capture is over.
    Answer(Answer),
}

enum Stage {
    /// The request is not whole yet; its last piece came at this time.
    Receiving(Timestamp),
    /// The request is whole, and a message for SQS.
    Storing(Box<Storing>),
}

struct UnderWay {
    id: CaptureId,
    /// Position of its capture in the configuration.
    position: usize,
    stage: Stage,
}

/// Webhooks under way in one worker.
pub struct Intake {
    captures: Rc<Captures>,
    settings: IntakeSettings,
    redaction: Redaction,
    under_way: Vec<UnderWay>,
    /// One for each capture, in the order of the configuration.
    troubles: Vec<Trouble>,
    notices: Vec<Notice>,
    /// Refusals that the log explains once, and has explained.
    told: Vec<Refusal>,
    counts: Counts,
    clock: SteadyClock,
    rng: fastrand::Rng,
}

impl Intake {
    /// Creates an intake with nothing under way; `seed` drives the jitter of the retries.
    pub(crate) fn new(captures: Rc<Captures>, redaction: Redaction, settings: IntakeSettings, seed: u64) -> Intake {
        Intake {
            troubles: captures.0.iter().map(|_| Trouble::default()).collect(),
            captures,
            settings,
            redaction,
            under_way: Vec::new(),
            notices: Vec::new(),
            told: Vec::new(),
            counts: Counts::default(),
            clock: SteadyClock::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Returns true if nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Returns true if no other webhook may be stored now. Only storing is bounded: until a request
    /// is whole, the host has it.
    fn is_full(&self) -> bool {
        let storing = self.under_way.iter().filter(|capture| matches!(capture.stage, Stage::Storing(_)));
        storing.count() >= self.settings.at_once
    }

    /// Takes a request whose head has come and which the capture at `position` wants; `announced`
    /// is the length of its body, where the sender says it. Returns the answer, if it is refused.
    pub fn admit(&mut self, id: CaptureId, position: usize, announced: Option<u64>, now: Timestamp) -> Option<Answer> {
        if self.is_full() {
            return Some(self.refuse(Refusal::Busy));
        }
        let most = self.captures.0.get(position).map_or(0, |capture| capture.max_body_bytes);
        if announced.is_some_and(|announced| announced > most as u64) {
            return Some(self.refuse(Refusal::TooLarge));
        }
        let stage = Stage::Receiving(self.clock.at(now));
        self.under_way.push(UnderWay { id, position, stage });
        None
    }

    /// Notes that a piece of the body has come, and there are `bytes` by now. Returns the answer,
    /// if that is too much.
    pub(crate) fn receive(&mut self, id: CaptureId, bytes: usize, now: Timestamp) -> Option<Answer> {
        let steady = self.clock.at(now);
        let capture = self.under_way.iter_mut().find(|capture| capture.id == id)?;
        capture.stage = Stage::Receiving(steady);
        let most = self.captures.0.get(capture.position).map_or(0, |capture| capture.max_body_bytes);
        if bytes <= most {
            return None;
        }
        Some(self.end(id, Refusal::TooLarge))
    }

    /// Refuses a webhook whose body has come, and which the host cannot give; `why` is for the log.
    /// Returns the answer.
    pub(crate) fn cannot_read(&mut self, id: CaptureId, why: &str) -> Answer {
        self.tell_once(Refusal::Unreadable, Level::Error, why);
        self.end(id, Refusal::Unreadable)
    }

    /// Takes the whole request. Returns the answer, if it is refused; else its next
    /// step is to be stored.
    pub fn complete(&mut self, id: CaptureId, request: Request<'_>, body: &[u8], now: Timestamp) -> Option<Answer> {
        let position = self.under_way.iter().find(|capture| capture.id == id)?.position;
        let attempts =
            Attempts::new(self.settings.patience, self.settings.again, self.settings.retry, self.clock.at(now));
        let capture = self.captures.0.get(position)?;
        let storing = if body.len() > capture.max_body_bytes {
            Err(Refusal::TooLarge)
        } else if self.is_full() {
            Err(Refusal::Busy)
        } else {
            storing(capture, &self.redaction, request, body, attempts, now)
        };
        match storing {
            Ok((storing, unverified)) => {
                if unverified {
                    self.counts.unverified();
                }
                if let Some(capture) = self.under_way.iter_mut().find(|capture| capture.id == id) {
                    capture.stage = Stage::Storing(Box::new(storing));
                }
                None
            }
            Err(refusal) => Some(self.end(id, refusal)),
        }
    }

    /// Returns the next step of a capture.
    pub(crate) fn poll(&mut self, id: CaptureId, signer: &Signer, now: Timestamp) -> Progress {
        let steady = self.clock.at(now);
        let Some(under_way) = self.under_way.iter_mut().find(|capture| capture.id == id) else {
            return Progress::Wait;
        };
        let Some(capture) = self.captures.0.get(under_way.position) else { return Progress::Wait };
        let position = under_way.position;
        let storing = match &mut under_way.stage {
            Stage::Receiving(last) if steady.since(*last) < self.settings.patience => return Progress::Wait,
            Stage::Receiving(_) => {
                self.tell_once(Refusal::Silent, Level::Warn, self.settings.silent_sender);
                return Progress::Answer(self.end(id, Refusal::Silent));
            }
            Stage::Storing(storing) => storing,
        };
        match storing.attempts.poll(signer.is_ready(now), steady) {
            Next::Wait => Progress::Wait,
            Next::Try(time) => {
                let mut callout = storing.callout(capture, time);
                match signer.sign(&mut callout, &capture.target.scope(), now) {
                    Ok(signature) => {
                        storing.signature = Some(signature);
                        Progress::Call(Box::new(callout))
                    }
                    Err(error) => {
                        let failure = Failure::new(FailureClass::Permanent, "Unsigned", &error.to_string());
                        self.give_up(id, position, &failure, now)
                    }
                }
            }
            Next::Stored(message_id) => {
                self.counts.stored(now.millis_since(storing.received_at));
                let answer = stored(capture, std::mem::take(&mut storing.body), message_id);
                if let Some(trouble) = self.troubles.get_mut(position) {
                    trouble.stored(capture.target.protocol.name(), now);
                }
                self.forget(id);
                Progress::Answer(answer)
            }
            Next::Refused(failure) => self.give_up(id, position, &failure, now),
        }
    }

    /// Handles the reply to the call for a capture; ignored where none is awaited.
    pub(crate) fn handle_reply(&mut self, id: CaptureId, reply: &Reply, signer: &mut Signer, now: Timestamp) {
        let steady = self.clock.at(now);
        let jitter = self.rng.u32(0..=1_000);
        let Some(storing) = self.storing(id).filter(|storing| storing.attempts.is_trying()) else { return };
        let outcome = sqs::parse_stored(reply, &storing.message());
        if let Some(signature) = storing.signature.take() {
            let learned = match &outcome {
                Ok(_) => Outcome::Delivered,
                Err(failure) => Outcome::Failed(failure.clone()),
            };
            signer.learn(signature, [&learned], reply, now);
        }
        let again = storing.attempts.settle(outcome, retry_after(reply, now), jitter, steady);
        self.counts.replied(reply);
        if again {
            self.counts.retried();
        }
    }

    /// Returns true if a request was taken and not answered yet.
    pub(crate) fn is_under_way(&self, id: CaptureId) -> bool {
        self.under_way.iter().any(|capture| capture.id == id)
    }

    /// Returns true if a call for this capture is under way.
    pub(crate) fn awaits(&self, id: CaptureId) -> bool {
        self.under_way.iter().any(|capture| {
            capture.id == id && matches!(&capture.stage, Stage::Storing(storing) if storing.attempts.is_trying())
        })
    }

    /// Returns the captures whose next step may depend on the time.
    pub(crate) fn waiting(&self) -> Vec<CaptureId> {
        self.under_way.iter().map(|capture| capture.id).filter(|id| !self.awaits(*id)).collect()
    }

    /// Forgets a request that is gone: its sender has hung up, unless it was answered before.
    pub fn abandon(&mut self, id: CaptureId) {
        if self.forget(id) {
            self.counts.abandoned();
        }
    }

    /// Reports what was counted since the last visit.
    pub(crate) fn visit_metrics(&mut self, updates: &mut Updates) {
        self.counts.visit(updates);
    }

    /// Returns what the operator should read, since the last time.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        let troubles = self.troubles.iter_mut().filter_map(Trouble::take_notice);
        self.notices.drain(..).chain(troubles).collect()
    }

    fn storing(&mut self, id: CaptureId) -> Option<&mut Storing> {
        match &mut self.under_way.iter_mut().find(|capture| capture.id == id)?.stage {
            Stage::Storing(storing) => Some(storing),
            Stage::Receiving(_) => None,
        }
    }

    fn give_up(&mut self, id: CaptureId, position: usize, failure: &Failure, now: Timestamp) -> Progress {
        if failure.class == FailureClass::EntryTooLarge {
            // Above the queue's own limit: another try of the sender would fail as well.
            return Progress::Answer(self.end(id, Refusal::TooLarge));
        }
        if let (Some(trouble), Some(capture)) = (self.troubles.get_mut(position), self.captures.0.get(position)) {
            trouble.refused(capture.target.protocol.name(), failure, now);
        }
        Progress::Answer(self.end(id, Refusal::Unstored))
    }

    fn end(&mut self, id: CaptureId, refusal: Refusal) -> Answer {
        self.forget(id);
        self.refuse(refusal)
    }

    fn refuse(&mut self, refusal: Refusal) -> Answer {
        self.counts.refused(refusal);
        refused(refusal)
    }

    fn forget(&mut self, id: CaptureId) -> bool {
        let position = self.under_way.iter().position(|capture| capture.id == id);
        position.map(|position| self.under_way.swap_remove(position)).is_some()
    }

    fn tell_once(&mut self, refusal: Refusal, level: Level, text: &str) {
        if !self.told.contains(&refusal) {
            self.told.push(refusal);
            self.notices.push(Notice { level, text: text.to_owned() });
        }
    }
}
