//! Signs callouts with credentials that stay fresh, at AWS's time. Learns from AWS's replies what
//! is wrong with its signatures; never sends anything.

use crate::aws::clock_offset::ClockOffset;
use crate::aws::credentials::{CredentialsCall, Generation, Keeper};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::sign::{sign, SignError, SigningScope};
use crate::callout::{Callout, Reply};
use crate::clock::Timestamp;
use crate::lookup;
use crate::notice::Notice;

/// The credentials, and the clock, that a callout was signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// None if the host signs.
    generation: Option<Generation>,
    clock_offset: ClockOffset,
}

/// Signs all that one worker sends to AWS.
pub(crate) struct Signer {
    /// None if the host signs.
    keeper: Option<Keeper>,
    clock_offset: ClockOffset,
    clock_notice: Option<Notice>,
}

impl Signer {
    /// Makes a signer that signs with the credentials of `keeper`; without a keeper the host signs.
    pub(crate) fn new(keeper: Option<Keeper>) -> Signer {
        Signer { keeper, clock_offset: ClockOffset::default(), clock_notice: None }
    }

    /// Returns the call for credentials, if one is due. Its reply is owed to
    /// [`Signer::handle_reply`], also if the host could not start it.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<(CredentialsCall, Callout)> {
        self.keeper.as_mut()?.poll(now)
    }

    /// Handles the outcome of a call for credentials; ignored after its deadline.
    pub(crate) fn handle_reply(&mut self, call: CredentialsCall, reply: &Reply, now: Timestamp) {
        if let Some(keeper) = &mut self.keeper {
            keeper.handle_reply(call, reply, now);
        }
    }

    /// Returns true if the reply to `call` is still awaited.
    pub(crate) fn awaits(&self, call: CredentialsCall) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.awaits(call))
    }

    /// Returns true if a call for credentials is under way.
    pub(crate) fn is_asking(&self) -> bool {
        self.keeper.as_ref().is_some_and(Keeper::is_asking)
    }

    /// Returns true if a call for credentials is due or under way.
    pub(crate) fn is_busy(&self, now: Timestamp) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.is_busy(now))
    }

    /// Returns true if there are credentials to sign with, or the host signs.
    pub(crate) fn is_ready(&self, now: Timestamp) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.current(now).is_some())
    }

    /// Signs `callout` for the moment `now`.
    ///
    /// # Errors
    /// When it cannot be signed as it would be sent, or there are no credentials; the callout is
    /// then unchanged.
    pub(crate) fn sign(
        &self,
        callout: &mut Callout,
        scope: &SigningScope,
        now: Timestamp,
    ) -> Result<Signature, SignError> {
        let clock_offset = self.clock_offset;
        let Some(keeper) = &self.keeper else { return Ok(Signature { generation: None, clock_offset }) };
        let (generation, credentials) = keeper.current(now).ok_or(SignError::NoCredentials)?;
        sign(&mut callout.request, credentials, scope, clock_offset.apply(now))?;
        Ok(Signature { generation: Some(generation), clock_offset })
    }

    /// Looks at the outcome of a callout that was signed with `signature`: credentials that AWS
    /// refuses are not used again, and a clock that AWS finds wrong is corrected.
    ///
    /// Returns false if the signature was refused and the next one will be no better: there are no
    /// other credentials, or the clock is not what was wrong.
    pub(crate) fn learn(&mut self, signature: Signature, outcomes: &[Outcome], reply: &Reply, now: Timestamp) -> bool {
        let refusal = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(failure) => {
                Some(failure).filter(|failure| matches!(failure.class, FailureClass::Clock | FailureClass::Credentials))
            }
            Outcome::Delivered => None,
        });
        match (refusal, signature, &mut self.keeper) {
            (None, ..) => true,
            (Some(Failure { class: FailureClass::Clock, .. }), Signature { clock_offset, .. }, Some(_)) => {
                self.clock_notice = self.clock_offset.correct(reply, now).or(self.clock_notice.take());
                self.clock_offset != clock_offset
            }
            (Some(Failure { code, .. }), Signature { generation: Some(generation), .. }, Some(keeper)) => {
                keeper.refused(generation, lookup::contains(code, "ExpiredToken"), now)
            }
            (Some(_), ..) => false,
        }
    }

    /// Returns the notices for the operator since the last time; `waiting` events wait for
    /// credentials.
    pub(crate) fn take_notices(&mut self, now: Timestamp, waiting: usize) -> Vec<Notice> {
        let credentials = self.keeper.as_mut().map_or(Vec::new(), |keeper| keeper.take_notices(now, waiting));
        self.clock_notice.take().into_iter().chain(credentials).collect()
    }
}
