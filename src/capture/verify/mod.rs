//! Whether a webhook was signed by its sender: the schemes of the providers, and a generic one.
//!
//! Comparisons take the same time wherever a signature is wrong; they are those of the crate `hmac`. Never changes what was
//! received, and never says more of a secret than that nothing matched.

mod body_hmac;
mod secrets;
mod standard_webhooks;
mod stripe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::exchange::Headers;
pub use body_hmac::{Algorithm, Encoding, HmacScheme};
pub use secrets::{Key, KeyError};

/// How the webhooks of a capture are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks, and Svix, from which it came.
    StandardWebhooks,
    /// Stripe's `stripe-signature`.
    Stripe,
    /// An HMAC of the body in a header.
    Hmac(HmacScheme),
}

/// What is done with a webhook whose signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is stored, and says so.
    Mark,
    /// The sender gets a 401.
    Reject,
}

/// The signature checks of one capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// What messages call the sender.
    pub source: &'static str,
    /// How they are signed.
    pub scheme: Scheme,
    /// A signature by any one of them is good.
    pub keys: Vec<Key>,
    /// How far the time in a signature may be from now, where there is one.
    pub tolerance: Duration,
    /// What follows where nothing is good.
    pub on_failure: OnFailure,
}

/// Why a signature is not good, for the reader of the queue and for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is none, or a part of it is not there.
    #[error("there is no header `{0}`")]
    Missing(String),
    /// It is not of the form that the scheme asks for.
    #[error("the header `{0}` cannot be read")]
    Unreadable(String),
    /// It was made too long ago, or somebody sends it again.
    #[error("it was signed {} s ago, of at most {}", .age.as_secs(), .tolerance.as_secs())]
    Old {
        /// How long ago.
        age: Duration,
        /// What is allowed.
        tolerance: Duration,
    },
    /// It was made in the future, by the clock of the gateway.
    #[error("it was signed {} s in the future, of at most {}", .by.as_secs(), .tolerance.as_secs())]
    Early {
        /// By how much.
        by: Duration,
        /// What is allowed.
        tolerance: Duration,
    },
    /// No secret gives this signature.
    #[error("no signature matches")]
    Mismatch,
}

impl Verification {
    /// Whether `body`, which came with `headers`, was signed with one of the secrets.
    ///
    /// # Errors
    /// Why it is not known to be.
    pub fn check(&self, headers: &Headers<'_>, body: &[u8], now: Timestamp) -> Result<(), Rejection> {
        match &self.scheme {
            Scheme::StandardWebhooks => standard_webhooks::check(self, headers, body, now),
            Scheme::Stripe => stripe::check(self, headers, body, now),
            Scheme::Hmac(scheme) => scheme.check(self, headers, body),
        }
    }

    /// The headers that a check needs, in lower case.
    pub fn headers(&self) -> Vec<String> {
        match &self.scheme {
            Scheme::StandardWebhooks => standard_webhooks::HEADERS.iter().flatten().map(ToString::to_string).collect(),
            Scheme::Stripe => vec![stripe::HEADER.to_owned()],
            Scheme::Hmac(scheme) => vec![scheme.header.clone()],
        }
    }

    /// Whether a header is needed to check once more, and so is never redacted.
    pub fn needs(&self, header: &str) -> bool {
        self.headers().iter().any(|name| name == header)
    }

    /// Whether one of `signatures` is that of `parts`, one after the other, by one of the keys.
    fn matches(&self, algorithm: Algorithm, parts: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), Rejection> {
        let good = self.keys.iter().any(|key| algorithm.verifies(key, parts, signatures));
        good.then_some(()).ok_or(Rejection::Mismatch)
    }

    /// Whether a signature that was made `seconds` after 1970 is neither old nor of the future.
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

/// The first value of a header that has to be there.
fn required<'a>(headers: &'a Headers<'_>, name: &str) -> Result<&'a str, Rejection> {
    headers.get(name).ok_or_else(|| Rejection::Missing(name.to_owned()))
}

/// Seconds since 1970, in digits alone.
fn seconds(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
