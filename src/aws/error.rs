//! What an error of AWS means for the event that met it.

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Likely gone in a moment: try again soon.
    Transient,
    /// Too many requests: try again more slowly.
    Throttled,
    /// The credentials have expired or are unknown: another try needs new ones.
    Credentials,
    /// The signature's time is off: another try needs the right time.
    Clock,
    /// The batch is too large: try again in smaller parts.
    BatchTooLarge,
    /// Another try would fail the same way.
    Permanent,
}

/// Why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub class: FailureClass,
    /// The error code of AWS, or a word for what happened instead of a reply.
    pub code: String,
    /// What AWS or the host says, for the log.
    pub message: String,
}
