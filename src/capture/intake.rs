//! The intake of one worker: webhooks under way, from the head of a request to the answer of its
//! sender. Their number and their bytes are bounded, and further senders are told to come again.
//! Its cost grows with what is due, never with what is under way. A state machine without I/O.

mod calls;
#[cfg(test)]
mod histories;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::answers::{refused, stored, Refusal};
use super::attempts::{Attempts, Next};
use super::call_table::CallTable;
use super::counts::IntakeCounts;
use super::delivery_id::Nonce;
use super::distrust::Distrust;
use super::lines::Lines;
use super::room::{Reservation, Room, Size};
use super::schedule::{Schedule, Times};
use super::storing::{storing, Storing};
use super::trouble::Trouble;
use super::verify::OnUnverified;
use super::{Answer, CaptureId, Captures, IntakeSettings};
use crate::aws::error::{Failure, FailureClass};
use crate::aws::signer::Signer;
use crate::clock::{SteadyClock, Timestamp};
use crate::exchange::redact::Redaction;
use crate::exchange::ClientRequest;
use crate::metrics::Updates;
use crate::notice::{Level, Notice};

/// How long a request may take from its head to its end, however busy its sender is: a byte now and
/// then holds no place for ever. A webhook of the largest size takes as long at 35 KB a second.
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

enum CaptureStage {
    /// The request is not whole yet.
    Receiving {
        /// When its head came.
        began: Timestamp,
        /// When its last piece came.
        last: Timestamp,
    },
    /// The request is whole, and a message for its target.
    Storing(Box<Storing>),
}

struct UnderWay {
    /// Position of its capture in the configuration.
    position: usize,
    stage: CaptureStage,
    held: Reservation,
    /// Its times in the schedule.
    times: Times,
}

impl UnderWay {
    /// Returns when something is due for it. A sender may be silent for so long: `patience`.
    fn due(&self, patience: Duration) -> Times {
        match &self.stage {
            CaptureStage::Receiving { began, last } => {
                Times { end: Some((*last + patience).min(*began + LONGEST_REQUEST)), attempt: None }
            }
            CaptureStage::Storing(storing) => storing.attempts.due(),
        }
    }
}

/// Webhooks under way in one worker.
pub struct Intake {
    captures: Rc<Captures>,
    settings: IntakeSettings,
    redaction: Redaction,
    under_way: BTreeMap<CaptureId, UnderWay>,
    room: Room,
    schedule: Schedule,
    /// Webhooks that wait for a call.
    lines: Lines,
    /// Calls that are under way.
    calls: CallTable,
    /// One for each queue, by the number that the room gives it.
    troubles: Vec<Trouble>,
    /// One for each capture.
    distrust: Vec<Distrust>,
    notices: Vec<Notice>,
    /// Refusals that the log explains once, and has explained.
    told: Vec<Refusal>,
    counts: IntakeCounts,
    clock: SteadyClock,
    rng: fastrand::Rng,
}

impl Intake {
    /// Creates an intake with nothing under way; `seed` drives the jitter of the retries.
    pub(crate) fn new(captures: Rc<Captures>, redaction: Redaction, settings: IntakeSettings, seed: u64) -> Intake {
        let room = Room::new(&captures, &settings);
        Intake {
            troubles: room.targets().iter().map(|queue| Trouble::new(queue.protocol.name())).collect(),
            lines: Lines::new(room.targets().len(), settings.again),
            calls: CallTable::default(),
            distrust: captures.all.iter().map(|_| Distrust::default()).collect(),
            room,
            captures,
            settings,
            redaction,
            under_way: BTreeMap::new(),
            schedule: Schedule::default(),
            notices: Vec::new(),
            told: Vec::new(),
            counts: IntakeCounts::default(),
            clock: SteadyClock::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Returns true if nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Takes a request whose head has come and which the capture at `position` wants. Returns the
    /// answer, if it is refused.
    pub fn admit(&mut self, id: CaptureId, position: usize, size: Size, now: Timestamp) -> Option<Answer> {
        self.forget(id);
        let most = self.captures.all.get(position).map_or(0, |capture| capture.max_body_bytes);
        if size.body.is_some_and(|announced| announced > most as u64) {
            return Some(self.refuse(Refusal::TooLarge));
        }
        let held = match self.room.admit(position, size) {
            Ok(held) => held,
            Err(refusal) => return Some(self.refuse(refusal)),
        };
        let now = self.clock.at(now);
        let stage = CaptureStage::Receiving { began: now, last: now };
        self.under_way.insert(id, UnderWay { position, stage, held, times: Times::default() });
        self.reschedule(id);
        None
    }

    /// Notes that a piece of the body has come, and there are `bytes` by now. Returns the answer,
    /// if that is too much.
    pub(crate) fn receive(&mut self, id: CaptureId, bytes: usize, now: Timestamp) -> Option<Answer> {
        let steady = self.clock.at(now);
        let under_way = self.under_way.get_mut(&id)?;
        let CaptureStage::Receiving { last, .. } = &mut under_way.stage else { return None };
        *last = steady;
        let most = self.captures.all.get(under_way.position).map_or(0, |capture| capture.max_body_bytes);
        let refusal =
            if bytes > most { Some(Refusal::TooLarge) } else { self.room.receive(&mut under_way.held, bytes).err() };
        self.reschedule(id);
        refusal.map(|refusal| self.end(id, refusal))
    }

    /// Refuses a request whose path is another spelling of one that a capture takes. Returns the
    /// answer.
    pub(crate) fn misspelled(&mut self) -> Answer {
        let why = "a request was answered 503, because a capture takes another spelling of its path (of case, slashes, \
                   percent-encoding, `;`, or what is at its end), and an application could take it for the same: senders \
                   must use the path that `matcher` matches";
        self.tell_once(Refusal::Misspelled, Level::Warn, why);
        self.refuse(Refusal::Misspelled)
    }

    /// Refuses a webhook whose body of so many bytes has come, and which the host cannot give;
    /// `why` is for the log. Returns the answer: a body that is too large is that, read or not.
    pub(crate) fn cannot_read(&mut self, id: CaptureId, bytes: usize, why: &str) -> Answer {
        let position = self.under_way.get(&id).map(|under_way| under_way.position);
        let capture = position.and_then(|position| self.captures.all.get(position));
        if capture.is_some_and(|capture| bytes > capture.max_body_bytes) {
            return self.end(id, Refusal::TooLarge);
        }
        self.tell_once(Refusal::Unreadable, Level::Error, why);
        self.end(id, Refusal::Unreadable)
    }

    /// Takes the whole request. Returns the answer, if it is refused; else its next
    /// step is to be stored.
    pub fn complete(
        &mut self,
        id: CaptureId,
        request: ClientRequest<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Option<Answer> {
        let IntakeSettings { again, retry, .. } = self.settings;
        let request = ClientRequest { body: body.into(), ..request };
        let nonce = Nonce { random: self.rng.u128(..), at: now };
        let under_way =
            self.under_way.get_mut(&id).filter(|capture| !matches!(capture.stage, CaptureStage::Storing(_)))?;
        let capture = self.captures.all.get(under_way.position)?;
        let attempts = Attempts::new(capture.patience, again, retry, self.clock.at(now));
        let storing = if body.len() > capture.max_body_bytes {
            Err(Refusal::TooLarge)
        } else if !self.room.has_place(&under_way.held) {
            // Nothing is checked or written for a webhook that is sent away.
            Err(Refusal::Busy)
        } else {
            let verify = capture.verify.as_ref();
            let checked = verify.map(|verify| verify.check(&request, now));
            let challenge = capture.challenge(&request);
            // A challenge that nobody signs lacks nothing.
            let is_unsigned = challenge.is_some_and(|challenge| !challenge.verified);
            if let (Some(verify), Some(Err(why)), Some(distrust), false) =
                (verify, &checked, self.distrust.get_mut(under_way.position), is_unsigned)
            {
                let fate = if challenge.is_some() { OnUnverified::Reject } else { verify.on_failure };
                let steady = self.clock.at(now);
                self.notices.extend(distrust.note(&capture.name, why, fate, steady));
            }
            if let Some(challenge) = challenge {
                let answer = challenge.answer(&request, verify, checked.as_ref());
                self.forget(id);
                return Some(self.answer_challenge(answer));
            }
            storing(capture, &self.redaction, request, body, checked.as_ref(), attempts, nonce)
        };
        let taken = storing.and_then(|storing| {
            let queue = self.room.queue(under_way.position, storing.unverified);
            self.room.store(&mut under_way.held, queue, storing.bytes())?;
            Ok(storing)
        });
        match taken {
            Ok(storing) => {
                if storing.unverified {
                    self.counts.unverified();
                }
                under_way.stage = CaptureStage::Storing(Box::new(storing));
                self.reschedule(id);
                None
            }
            Err(refusal) => Some(self.end(id, refusal)),
        }
    }

    /// Returns the answer to a request without a body that the capture at `position` takes for a
    /// challenge only. `None` if it is none.
    pub(crate) fn challenged(
        &mut self,
        position: usize,
        request: &ClientRequest<'_>,
        now: Timestamp,
    ) -> Option<Answer> {
        let capture = self.captures.all.get(position)?;
        let (challenge, verify) = (capture.challenge(request)?, capture.verify.as_ref());
        let checked = verify.filter(|_| challenge.verified).map(|verify| verify.check(request, now));
        let answer = challenge.answer(request, verify, checked.as_ref());
        Some(self.answer_challenge(answer))
    }

    /// Returns the answer to a challenge, which has none of its own if its signature is not good.
    fn answer_challenge(&mut self, answer: Option<Answer>) -> Answer {
        self.counts.challenged();
        answer.unwrap_or_else(|| self.refuse(Refusal::Unverified))
    }

    /// Returns the answer to the sender of a capture, if that is over. Else it waits, maybe for a
    /// call that [`Intake::poll_call`] gives out.
    pub(crate) fn poll(&mut self, id: CaptureId, signer: &Signer, now: Timestamp) -> Option<Answer> {
        let answer = self.step(id, signer, now);
        self.reschedule(id);
        answer
    }

    fn step(&mut self, id: CaptureId, signer: &Signer, now: Timestamp) -> Option<Answer> {
        let steady = self.clock.at(now);
        let under_way = self.under_way.get_mut(&id)?;
        let capture = self.captures.all.get(under_way.position)?;
        let storing = match &mut under_way.stage {
            CaptureStage::Receiving { began, last } => {
                let (began, last) = (*began, *last);
                return self.wait_for_the_rest(id, began, last, capture.patience, steady);
            }
            CaptureStage::Storing(storing) => storing,
        };
        let queue = self.room.queue(under_way.position, storing.unverified);
        match storing.attempts.poll(signer.is_ready(now), steady) {
            Next::Wait => None,
            Next::Join => {
                self.lines.join(queue, id, storing.size, storing.attempts.is_alone(), steady);
                None
            }
            Next::Stored(message_id) => {
                self.counts.stored(now.millis_since(storing.event.at));
                let answer = stored(capture, std::mem::take(&mut storing.body), message_id);
                if let Some(trouble) = self.troubles.get_mut(queue) {
                    trouble.stored();
                }
                self.forget(id);
                Some(answer)
            }
            Next::Refused(failure) => Some(self.give_up(id, queue, &failure, steady)),
        }
    }

    /// Ends a request of which nothing has come for too long, or which takes too long in all.
    fn wait_for_the_rest(
        &mut self,
        id: CaptureId,
        began: Timestamp,
        last: Timestamp,
        patience: Duration,
        now: Timestamp,
    ) -> Option<Answer> {
        let silent = now.since(last) >= patience;
        if !silent && now.since(began) < LONGEST_REQUEST {
            return None;
        }
        // Nothing at all has come where the host keeps bodies from the filter.
        if silent || began == last {
            self.tell_once(Refusal::Silent, Level::Warn, self.settings.silent_sender);
        }
        Some(self.end(id, if silent { Refusal::Silent } else { Refusal::Slow }))
    }

    /// Returns the message of a request that is whole, for those who try a configuration out.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn message(&self, id: CaptureId) -> Option<&Storing> {
        match &self.under_way.get(&id)?.stage {
            CaptureStage::Storing(storing) => Some(storing),
            CaptureStage::Receiving { .. } => None,
        }
    }

    /// Returns true if a request was taken and not answered yet.
    pub(crate) fn is_under_way(&self, id: CaptureId) -> bool {
        self.under_way.contains_key(&id)
    }

    /// Returns how many webhooks wait to be stored, for credentials or for another try.
    pub(crate) fn waiting(&self) -> usize {
        self.schedule.waiting()
    }

    /// Returns the captures that are to be polled because time has passed, or because there are
    /// credentials, if calls can be signed now: `ready`. They are few; what is left out is due
    /// still.
    pub(crate) fn due(&mut self, ready: bool, now: Timestamp) -> Vec<CaptureId> {
        self.schedule.due(ready, self.clock.at(now))
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
    pub(crate) fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let steady = self.clock.at(now);
        let troubles = self.troubles.iter_mut().filter_map(|trouble| trouble.take_notice(steady));
        self.notices.drain(..).chain(troubles).collect()
    }

    fn give_up(&mut self, id: CaptureId, queue: usize, failure: &Failure, now: Timestamp) -> Answer {
        if failure.class == FailureClass::EntryTooLarge {
            // Above the queue's own limit: another try of the sender would fail as well.
            return self.end(id, Refusal::TooLarge);
        }
        if let Some(trouble) = self.troubles.get_mut(queue) {
            trouble.refused(failure, now);
        }
        self.end(id, Refusal::Unstored)
    }

    fn end(&mut self, id: CaptureId, refusal: Refusal) -> Answer {
        self.forget(id);
        self.refuse(refusal)
    }

    fn refuse(&mut self, refusal: Refusal) -> Answer {
        self.counts.refused(refusal);
        refused(refusal)
    }

    /// Writes into the schedule when something is due for a capture, after all that changes it.
    fn reschedule(&mut self, id: CaptureId) {
        if let Some(under_way) = self.under_way.get_mut(&id) {
            let capture = self.captures.all.get(under_way.position);
            let due = under_way.due(capture.map_or(Duration::ZERO, |capture| capture.patience));
            self.schedule.change(id, std::mem::replace(&mut under_way.times, due), due);
        }
    }

    fn forget(&mut self, id: CaptureId) -> bool {
        let Some(UnderWay { stage, held, times, .. }) = self.under_way.remove(&id) else { return false };
        self.schedule.change(id, times, Times::default());
        self.leave_call(id, &stage, held);
        true
    }

    fn tell_once(&mut self, refusal: Refusal, level: Level, text: &str) {
        if !self.told.contains(&refusal) {
            self.told.push(refusal);
            self.notices.push(Notice { level, text: text.to_owned() });
        }
    }
}
