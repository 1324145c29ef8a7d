//! Signs callouts with credentials that stay fresh, at AWS's time. Learns from AWS's replies what
//! is wrong with its signatures; never sends anything.

use std::cell::RefCell;

use crate::aws::clock_offset::ClockOffset;
use crate::aws::credentials::{CredentialsCall, Generation, Keeper};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::sign::{sign_with_key, SignError, SigningKey, SigningScope};
use crate::callout::{Callout, Reply};
use crate::clock::Timestamp;
use crate::lookup;
use crate::notice::Notice;

/// The credentials, and the clock, that a callout was signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// None if there is no signature, or the host makes it.
    generation: Option<Generation>,
    clock_offset: ClockOffset,
}

/// Signs all that one worker sends to AWS.
pub(crate) struct Signer {
    /// None if the host signs, or nobody.
    keeper: Option<Keeper>,
    /// Keys of today and of the credentials that are used now, one for each scope.
    keys: RefCell<Vec<(Generation, SigningKey)>>,
    clock_offset: ClockOffset,
    clock_notice: Option<Notice>,
}

impl Signer {
    /// Makes a signer that signs with the credentials of `keeper`; without a keeper the host signs,
    /// or nobody.
    pub(crate) fn new(keeper: Option<Keeper>) -> Signer {
        Signer { keeper, keys: RefCell::default(), clock_offset: ClockOffset::default(), clock_notice: None }
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

    /// Returns true if there are credentials to sign with, or none are needed.
    pub(crate) fn is_ready(&self, now: Timestamp) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.current(now).is_some())
    }

    /// Signs `callout` for the moment `now`; one without a scope goes as it is.
    ///
    /// # Errors
    /// When it cannot be signed as it would be sent, or there are no credentials; the callout is
    /// then unchanged.
    pub(crate) fn sign(
        &self,
        callout: &mut Callout,
        scope: Option<&SigningScope>,
        now: Timestamp,
    ) -> Result<Signature, SignError> {
        let clock_offset = self.clock_offset;
        let (Some(keeper), Some(scope)) = (&self.keeper, scope) else {
            return Ok(Signature { generation: None, clock_offset });
        };
        let (generation, credentials) = keeper.current(now).ok_or(SignError::NoCredentials)?;
        let (mut keys, now) = (self.keys.borrow_mut(), clock_offset.apply(now));
        let is_current = |(of, key): &(Generation, SigningKey)| *of == generation && key.is_of_day(now);
        let key = match keys.iter().position(|key| is_current(key) && key.1.is_of_scope(scope)) {
            Some(position) => keys.get(position),
            None => {
                let key = SigningKey::derive(credentials, scope, now)?;
                keys.retain(is_current);
                keys.push((generation, key));
                keys.last()
            }
        };
        let (_, key) = key.ok_or(SignError::NoCredentials)?;
        sign_with_key(&mut callout.request, credentials, key, now)?;
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

    /// Returns the notices for the operator since the last time. So many events and webhooks wait
    /// for credentials.
    pub(crate) fn take_notices(&mut self, now: Timestamp, events: usize, webhooks: usize) -> Vec<Notice> {
        let credentials = self.keeper.as_mut().map_or(Vec::new(), |keeper| keeper.take_notices(now, events, webhooks));
        self.clock_notice.take().into_iter().chain(credentials).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;
    use crate::aws::credentials::{Credentials, Provider, Step, Timing};
    use crate::aws::sign::sign;
    use crate::secret::Secret;

    /// A source whose every answer is another.
    struct Renewed(u32);

    impl Renewed {
        fn credentials(number: u32) -> Credentials {
            Credentials {
                access_key_id: "ASIA".into(),
                secret_access_key: Secret::new(format!("secret {number}")),
                session_token: Some(Secret::new("token")),
                expires_at: None,
            }
        }
    }

    impl Provider for Renewed {
        fn begin(&mut self, _: Timestamp) -> Step {
            self.0 += 1;
            Step::Done(Ok(Renewed::credentials(self.0)))
        }

        fn handle_reply(&mut self, _: &Reply, now: Timestamp) -> Step {
            self.begin(now)
        }
    }

    #[test]
    fn a_kept_key_signs_only_for_its_day_its_scope_and_its_credentials() {
        const DAY: u64 = 86_400_000;
        let mut signer = Signer::new(Some(Keeper::new(Box::new(Renewed(0)), Timing::default(), 7)));
        let scope = |region: &str, service| SigningScope { region: region.to_owned(), service };
        let scopes = [scope("us-east-1", "sns"), scope("us-east-1", "sqs"), scope("eu-west-1", "sns")];
        let mut seen = Vec::new();
        let moments = [DAY, DAY, 2 * DAY - 1, 2 * DAY, 2 * DAY - 1, 9 * DAY];
        for (number, now) in moments.into_iter().enumerate() {
            let now = Timestamp(now);
            assert!(signer.poll(now).is_none(), "the source needs no call");
            for scope in &scopes {
                let request = || Request::post("https://localhost/").body(b"body".to_vec()).unwrap();
                let mut callout = Callout { upstream: "a".into(), request: request(), timeout: Duration::from_secs(1) };
                let signature = signer.sign(&mut callout, Some(scope), now).unwrap();
                let (_, credentials) = signer.keeper.as_ref().unwrap().current(now).unwrap();
                let mut expected = request();
                sign(&mut expected, credentials, scope, now).unwrap();
                assert_eq!(callout.request.headers(), expected.headers(), "{number} {scope:?}");
                seen.push(signature.generation.unwrap());
            }
            assert!(signer.keys.borrow().len() <= scopes.len(), "no key of another day is kept");
            if number == 0 {
                let generation = *seen.last().unwrap();
                signer.keeper.as_mut().unwrap().refused(generation, true, now);
                signer.poll(Timestamp(DAY + 60_000));
            }
        }
        seen.dedup();
        assert!(seen.len() > 1, "the credentials were renewed");
    }
}
