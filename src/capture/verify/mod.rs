//! Checks that a webhook was signed by its sender: the schemes of the providers, and a generic one.
//!
//! Comparisons are made by the crate `hmac`, in constant time. Never changes what was received, and
//! never says more of a secret than that nothing matched.

mod body_hmac;
mod scheme;
mod secrets;
mod standard_webhooks;
mod stripe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::exchange::Headers;
pub(crate) use body_hmac::{Algorithm, BodyHmac, Encoding};
pub(crate) use scheme::{FormSource, IdHeaders, IdSource, Scheme, SignatureForm, SCHEMES};
pub(crate) use secrets::{Key, SecretEncoding};

/// The fate of a webhook whose signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnUnverified {
    /// It is stored, and marked as not verified.
    Mark,
    /// The sender gets a 401.
    Reject,
}

/// The signature checks of one capture.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The scheme that the sender keeps to.
    pub(crate) scheme: &'static Scheme,
    /// The form of its signatures.
    pub(crate) form: SignatureForm,
    /// The secrets; a signature by any one of them is good.
    pub(crate) keys: Vec<Key>,
    /// The distance that the time in a signature, where there is one, may have from now.
    pub(crate) tolerance: Duration,
    /// The fate of a webhook without a good signature.
    pub(crate) on_failure: OnUnverified,
}

/// The reason why a signature is not good, for the reader of the queue and for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// The signature, or a part of it, is missing.
    #[error("there is no header `{0}`")]
    Missing(String),
    /// The header is not of the form that the scheme asks for.
    #[error("the header `{0}` cannot be read")]
    Unreadable(String),
    /// The signature was made too long ago, or is sent again by somebody else.
    #[error("it was signed {} s ago, of at most {}", .age.as_secs(), .tolerance.as_secs())]
    Old {
        /// The age of the signature.
        age: Duration,
        /// The largest age.
        tolerance: Duration,
    },
    /// The signature was made in the future, by the clock of the gateway.
    #[error("it was signed {} s in the future, of at most {}", .by.as_secs(), .tolerance.as_secs())]
    Early {
        /// The distance of its time from now.
        by: Duration,
        /// The largest distance.
        tolerance: Duration,
    },
    /// No secret gives this signature.
    #[error("no signature matches")]
    Mismatch,
}

impl Rejection {
    /// Returns what an operator can do about it, if the webhook is of the provider.
    pub(crate) fn mend(&self) -> &'static str {
        match self {
            Rejection::Missing(_) | Rejection::Unreadable(_) => {
                "unless a stranger sent it, its provider signs in another way: correct `scheme` (of `hmac`: `header`, \
                 `encoding`, `prefix`)"
            }
            Rejection::Old { .. } | Rejection::Early { .. } => {
                "unless somebody sends an old webhook again, set the clock of this machine"
            }
            Rejection::Mismatch => {
                "unless a stranger sent it, give `secrets` that of its provider, and let nothing before the gateway \
                 change bodies"
            }
        }
    }
}

/// A good signature, and what it covers beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The id of the delivery, where it is covered. Headers that are not may say anything.
    pub(crate) id: Option<String>,
}

impl Verification {
    /// Checks that `body`, which came with `headers`, was signed with one of the secrets.
    ///
    /// # Errors
    /// The reason why it is not known to be.
    pub(crate) fn check(&self, headers: &Headers<'_>, body: &[u8], now: Timestamp) -> Result<Signed, Rejection> {
        self.form.check(self, headers, body, now)
    }

    /// Returns the headers that a check reads, in lower case.
    pub(crate) fn headers(&self) -> Vec<&str> {
        self.form.headers()
    }

    /// Returns true if the reader of the queue needs `header` to check again, so that it is never
    /// redacted.
    pub(crate) fn needs(&self, header: &str) -> bool {
        self.headers().contains(&header)
    }

    /// Checks that one of `signatures` signs `parts`, one after the other, with one of the keys.
    fn matches(&self, algorithm: Algorithm, parts: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), Rejection> {
        let good = self.keys.iter().any(|key| algorithm.verifies(key, parts, signatures));
        good.then_some(()).ok_or(Rejection::Mismatch)
    }

    /// Checks that a signature that was made `seconds` after 1970 is neither old nor of the future.
    fn fresh(&self, seconds: u64, now: Timestamp) -> Result<(), Rejection> {
        let (signed, tolerance) = (Timestamp(seconds.saturating_mul(1_000)), self.tolerance);
        let (age, by) = (now.since(signed), signed.since(now));
        if age > tolerance {
            return Err(Rejection::Old { age, tolerance });
        }
        if by > tolerance {
            return Err(Rejection::Early { by, tolerance });
        }
        Ok(())
    }
}

/// Returns the first value of a header that has to be there.
fn required<'a>(headers: &'a Headers<'_>, name: &str) -> Result<&'a str, Rejection> {
    headers.get(name).ok_or_else(|| Rejection::Missing(name.to_owned()))
}

/// Reads seconds since 1970, in digits alone.
fn seconds(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
