//! Calls that store webhooks: makes those that are due, and shares a reply out among the webhooks
//! of its call. Decides neither who goes together nor how a sender is answered.

use std::time::Duration;

use super::{CaptureId, CaptureStage, Intake, Reservation};
use crate::aws::error::{Failure, FailureClass, Outcome, UNSIGNED};
use crate::aws::protocol::Stored;
use crate::aws::retry_after::retry_after;
use crate::aws::signer::Signer;
use crate::callout::{Callout, Reply};
use crate::capture::call_table::CallUnderWay;
use crate::capture::storing::{callout, Storing};
use crate::capture::CaptureCall;
use crate::clock::Timestamp;
use crate::event::Event;

impl Intake {
    /// Returns the next call that stores webhooks, if one is due. Its reply is owed to
    /// [`Intake::handle_reply`], also if the host could not start it.
    pub(crate) fn poll_call(&mut self, signer: &Signer, now: Timestamp) -> Option<(CaptureCall, Callout)> {
        if !signer.is_ready(now) {
            return None;
        }
        let steady = self.clock.at(now);
        while let Some((queue, webhooks)) = self.lines.take_next(steady) {
            let call = self.calls.next();
            let timeout = self.begin(call, &webhooks, steady);
            let storings = || webhooks.iter().filter_map(|id| self.storing(call, *id));
            let events: Vec<&Event> = storings().map(|storing| &storing.event).collect();
            let Some(target) = self.room.target(queue) else { continue };
            let mut callout = callout(target, &events, timeout);
            let bytes = storings().map(|storing| storing.size).sum();
            let signed = signer.sign(&mut callout, target.scope.as_ref(), now);
            let mut under_way = CallUnderWay { call, queue, webhooks, bytes, signature: None, left: Vec::new() };
            match signed {
                Ok(signature) => {
                    under_way.signature = Some(signature);
                    self.calls.add(under_way);
                    return Some((call, callout));
                }
                Err(error) => {
                    let failure = Failure::new(FailureClass::Denied, UNSIGNED, &error.to_string());
                    self.end_call(under_way, Err(failure), None, steady);
                }
            }
        }
        None
    }

    /// Begins the tries of the webhooks of a call. Returns how long it may take.
    fn begin(&mut self, call: CaptureCall, webhooks: &[CaptureId], now: Timestamp) -> Duration {
        let mut timeout = Duration::MAX;
        for id in webhooks {
            if let Some(storing) = self.storing_mut(*id) {
                storing.call = Some(call);
                // Nobody waits for longer than the most impatient.
                timeout = timeout.min(storing.attempts.begin(now));
            }
            self.reschedule(*id);
        }
        timeout
    }

    /// Handles the reply to a call; ignored where none is awaited.
    pub(crate) fn handle_reply(&mut self, call: CaptureCall, reply: &Reply, signer: &mut Signer, now: Timestamp) {
        let Some(under_way) = self.calls.take(call) else { return };
        self.counts.replied(reply);
        let outcomes = {
            let event = |id: &CaptureId| self.storing(call, *id).map(|storing| &storing.event);
            let events: Vec<_> = under_way.webhooks.iter().map(event).collect();
            let Some(target) = self.room.target(under_way.queue) else { return };
            target.protocol.parse_stored(reply, &events)
        };
        if let Some(signature) = under_way.signature {
            // A signature that is refused is refused for all.
            let learned = match &outcomes {
                Ok(_) => Outcome::Delivered,
                Err(failure) => Outcome::Failed(failure.clone()),
            };
            signer.learn(signature, &[learned], reply, now);
        }
        let steady = self.clock.at(now);
        self.end_call(under_way, outcomes, retry_after(reply, now), steady);
    }

    /// Ends a call, and the tries of its webhooks. `asked` is the time that the queue wants to be
    /// left alone for.
    fn end_call(
        &mut self,
        ended: CallUnderWay,
        outcomes: Result<Vec<Stored>, Failure>,
        asked: Option<Duration>,
        now: Timestamp,
    ) {
        let CallUnderWay { call, queue, webhooks, bytes, left, .. } = ended;
        self.lines.end(queue);
        left.iter().for_each(|held| self.room.give_back(held));
        let is_shared = webhooks.len() > 1;
        let mut outcomes = outcomes.map(Vec::into_iter);
        for id in webhooks {
            let outcome = match &mut outcomes {
                Ok(outcomes) => outcomes.next(),
                Err(failure) => Some(Err(failure.clone())),
            };
            let Some(outcome) = outcome else { break };
            let jitter = self.rng.u32(0..=1_000);
            let failure = outcome.as_ref().err();
            if is_shared && failure.is_some_and(|failure| failure.class.is_too_large()) {
                self.lines.refuse(queue, bytes);
            }
            let Some(storing) = self.storing_mut(id).filter(|storing| storing.call == Some(call)) else { continue };
            storing.call = None;
            let again = match outcome {
                Err(failure) if is_shared && failure.class.may_be_another_s() => {
                    storing.attempts.part(failure, now);
                    true
                }
                outcome => storing.attempts.settle(outcome, asked, jitter, now),
            };
            if again {
                self.counts.retried();
            }
            self.reschedule(id);
        }
    }

    /// Gives the bytes of a webhook that is forgotten to the call that has it, or all its room
    /// back.
    pub(super) fn leave_call(&mut self, id: CaptureId, stage: &CaptureStage, mut held: Reservation) {
        if let CaptureStage::Storing(storing) = stage {
            if storing.attempts.is_waiting() {
                self.lines.leave(held.queue(), id);
            }
            if let Some(call) = storing.call {
                if self.settings.again {
                    if let Some(under_way) = self.calls.get_mut(call) {
                        self.room.leave(&mut held);
                        under_way.left.push(held);
                        return;
                    }
                }
                // The host ends the call with the request that it is made for.
                if self.calls.take(call).is_some() {
                    self.lines.end(held.queue());
                }
            }
        }
        self.room.give_back(&held);
    }

    /// Returns true if the reply to `call` is still awaited.
    pub(crate) fn awaits(&self, call: CaptureCall) -> bool {
        self.calls.get(call).is_some()
    }

    /// Returns the webhooks of a call that is under way.
    pub(crate) fn webhooks(&self, call: CaptureCall) -> Vec<CaptureId> {
        self.calls.get(call).map_or(Vec::new(), |under_way| under_way.webhooks.clone())
    }

    /// Lets no webhook wait for others from now on: there is nothing left that would wake them.
    pub(crate) fn stop_sharing(&mut self) {
        self.lines.stop_sharing();
    }

    /// Returns a webhook, if it is in this call.
    fn storing(&self, call: CaptureCall, id: CaptureId) -> Option<&Storing> {
        match &self.under_way.get(&id)?.stage {
            CaptureStage::Storing(storing) => Some(&**storing).filter(|storing| storing.call == Some(call)),
            CaptureStage::Receiving { .. } => None,
        }
    }

    fn storing_mut(&mut self, id: CaptureId) -> Option<&mut Storing> {
        match &mut self.under_way.get_mut(&id)?.stage {
            CaptureStage::Storing(storing) => Some(storing),
            CaptureStage::Receiving { .. } => None,
        }
    }

    /// Returns what calls hold for those who have hung up.
    #[cfg(test)]
    pub(super) fn left(&self) -> impl Iterator<Item = &Reservation> {
        self.calls.all().iter().flat_map(|under_way| &under_way.left)
    }
}
