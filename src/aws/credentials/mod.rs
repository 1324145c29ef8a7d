//! Credentials to sign requests with, and the sources that they come from.
//!
//! Each source is a state machine without I/O, a [`Provider`]: it gives out callouts, is handed the
//! replies, and ends with credentials or with a [`SourceError`]. The [`Keeper`] asks one whenever
//! it has to. Nothing here reads the environment by itself (it is handed in), reads a clock, or
//! puts a secret into an error.

mod assume_role;
mod chain;
mod container;
mod document;
mod environment;
mod instance;
mod keys;
mod refresh;
pub mod settings;
#[cfg(test)]
mod tests;

pub use chain::{keeper, warning, StartError};
pub use environment::CredentialsError;
pub use keys::Credentials;
pub use refresh::{CredentialsCall, Generation, Keeper, Timing};

use http::HeaderValue;

use crate::callout::{Callout, Reply};
use crate::clock::Timestamp;

/// The next step of a provider.
#[derive(Debug)]
pub enum Step {
    /// A call to make; its reply goes to [`Provider::handle_reply`].
    Call(Callout),
    /// The end, with its outcome.
    Done(Result<Credentials, SourceError>),
}

impl From<SourceError> for Step {
    fn from(error: SourceError) -> Step {
        Step::Done(Err(error))
    }
}

/// A source of credentials. It is asked from the beginning each time, and has at most one call
/// under way.
pub trait Provider {
    /// Begins from the start, whatever it did before.
    fn begin(&mut self, now: Timestamp) -> Step;

    /// Goes on with the reply to its last call.
    fn handle_reply(&mut self, reply: &Reply, now: Timestamp) -> Step;
}

/// The reason why a source gave no credentials. Made of statuses, error codes and names only, never
/// of what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked}: {answered}; {check}")]
pub struct SourceError {
    /// The source that was asked, and for what.
    pub asked: String,
    /// Its answer.
    pub answered: String,
    /// Where to look for the cause.
    pub check: String,
}

impl SourceError {
    fn new(asked: impl Into<String>, answered: impl Into<String>, check: impl Into<String>) -> SourceError {
        SourceError { asked: asked.into(), answered: answered.into(), check: check.into() }
    }
}

/// Returns `text` as the value of a header that never shows, unless it has a character that a
/// header does not carry.
fn confidential(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok().filter(|_| !text.chars().any(char::is_control))?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns true if a text can be a part of credentials. The id and the token travel in headers,
/// where a line break would start another header.
fn plausible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b','))
}
