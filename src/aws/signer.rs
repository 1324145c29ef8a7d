//! Signs callouts with credentials that stay fresh, at a time that is AWS's. Learns from what AWS says of its signatures; never
//! sends anything.

use crate::aws::clock_offset::ClockOffset;
use crate::aws::credentials::{CredentialsCall, Generation, Keeper};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::sign::{sign, SignError, SigningScope};
use crate::callout::{Callout, Reply};
use crate::clock::Timestamp;
use crate::notice::Notice;

/// What a callout was signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(Option<Generation>);

/// Signs for everything in one worker that calls AWS.
pub struct Signer {
    /// None where the host signs.
    keeper: Option<Keeper>,
    clock_offset: ClockOffset,
    clock_notice: Option<Notice>,
}

impl Signer {
    /// Signs with what `keeper` has; without one nothing is signed, for the host does it.
    pub fn new(keeper: Option<Keeper>) -> Signer {
        Signer { keeper, clock_offset: ClockOffset::default(), clock_notice: None }
    }

    /// The call for credentials, if one is due. Its reply is owed to [`Signer::handle_reply`], also when the host could not start
    /// it.
    pub fn poll(&mut self, now: Timestamp) -> Option<(CredentialsCall, Callout)> {
        self.keeper.as_mut()?.poll(now)
    }

    /// Says what came of a call for credentials; ignored after its deadline.
    pub fn handle_reply(&mut self, call: CredentialsCall, reply: &Reply, now: Timestamp) {
        if let Some(keeper) = &mut self.keeper {
            keeper.handle_reply(call, reply, now);
        }
    }

    /// Whether the reply to `call` is still awaited.
    pub fn awaits(&self, call: CredentialsCall) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.awaits(call))
    }

    /// Whether a call for credentials is under way.
    pub fn is_asking(&self) -> bool {
        self.keeper.as_ref().is_some_and(Keeper::is_asking)
    }

    /// Whether a call for credentials is due or under way.
    pub fn is_busy(&self, now: Timestamp) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.is_busy(now))
    }

    /// Whether there is something to sign with, or nothing to sign.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.current(now).is_some())
    }

    /// Signs `callout` for the moment `now`.
    ///
    /// # Errors
    /// When it cannot be signed as it would be sent, or there is nothing to sign with; the callout is then unchanged.
    pub fn sign(&self, callout: &mut Callout, scope: &SigningScope, now: Timestamp) -> Result<Signature, SignError> {
        let Some(keeper) = &self.keeper else { return Ok(Signature(None)) };
        let (generation, credentials) = keeper.current(now).ok_or(SignError::NoCredentials)?;
        sign(callout, credentials, scope, self.clock_offset.apply(now))?;
        Ok(Signature(Some(generation)))
    }

    /// Looks at what came of a callout that was signed with `signature`: credentials that AWS refuses are not used again, and a
    /// clock that AWS finds wrong is corrected.
    pub fn learn<'a>(
        &mut self,
        signature: Signature,
        outcomes: impl IntoIterator<Item = &'a Outcome>,
        reply: &Reply,
        now: Timestamp,
    ) {
        let refusal = outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Failed(failure) => {
                Some(failure).filter(|failure| matches!(failure.class, FailureClass::Clock | FailureClass::Credentials))
            }
            Outcome::Delivered => None,
        });
        match (refusal, signature, &mut self.keeper) {
            (Some(Failure { class: FailureClass::Clock, .. }), _, _) => {
                self.clock_notice = self.clock_offset.correct(reply, now).or(self.clock_notice.take());
            }
            (Some(Failure { code, .. }), Signature(Some(generation)), Some(keeper)) => {
                keeper.refused(generation, code.contains("ExpiredToken"), now);
            }
            _ => {}
        }
    }

    /// What the operator should read, since the last time; `waiting` is how many events wait for credentials.
    pub fn take_notices(&mut self, now: Timestamp, waiting: usize) -> Vec<Notice> {
        let credentials = self.keeper.as_mut().map_or(Vec::new(), |keeper| keeper.take_notices(now, waiting));
        self.clock_notice.take().into_iter().chain(credentials).collect()
    }
}
