//! Credentials: what requests are signed with, and where they come from.
//!
//! Each source is a state machine without I/O, a [`Provider`]: it gives out callouts, is handed the replies, and ends with
//! credentials or with a [`SourceError`]. The [`Keeper`] asks one whenever it has to. Nothing here reads the environment by
//! itself (it is handed in), reads a clock, or puts a secret into an error.

mod assume_role;
mod chain;
mod container;
mod document;
mod environment;
mod instance;
mod refresh;
pub mod settings;
#[cfg(test)]
mod tests;

pub use chain::{keeper, StartError};
pub use environment::CredentialsError;
pub use refresh::{CredentialsCall, Generation, Keeper, Timing};

use crate::callout::{Callout, Reply};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// What a request is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The public half of the key.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
    /// When they end, as their source says; without one they live until they are refused.
    pub expires_at: Option<Timestamp>,
}

/// What a provider wants next.
#[derive(Debug)]
pub enum Step {
    /// This call; its reply goes to [`Provider::handle_reply`].
    Call(Callout),
    /// Nothing more: this is what came of it.
    Done(Result<Credentials, SourceError>),
}

impl From<SourceError> for Step {
    fn from(error: SourceError) -> Step {
        Step::Done(Err(error))
    }
}

/// A source of credentials. It is asked from the beginning each time; one call is under way at most.
pub trait Provider {
    /// Begins to ask, whatever it did before.
    fn begin(&mut self, now: Timestamp) -> Step;

    /// Goes on with the reply to the call that it wanted last.
    fn handle_reply(&mut self, reply: &Reply, now: Timestamp) -> Step;
}

/// Why a source gave no credentials. Built from statuses, error codes and names only, never from what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked}: {answered}; {check}")]
pub struct SourceError {
    /// Which source was asked, and for what.
    pub asked: String,
    /// What it answered.
    pub answered: String,
    /// What to look at.
    pub check: String,
}

impl SourceError {
    fn new(asked: impl Into<String>, answered: impl Into<String>, check: impl Into<String>) -> SourceError {
        SourceError { asked: asked.into(), answered: answered.into(), check: check.into() }
    }
}

/// Whether a text can be a part of credentials. The id and the token travel in headers, where a line break would start a header
/// of its own.
fn plausible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b','))
}
