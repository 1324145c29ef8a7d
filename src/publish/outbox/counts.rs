//! Counts of an outbox between two visits: plain numbers. Which metrics they are, its sender
//! knows.

/// Counts since the last visit.
#[derive(Debug, Default)]
pub(crate) struct OutboxCounts {
    /// Events that the target acknowledged.
    pub(crate) acknowledged: u64,
    /// Milliseconds from the end of an exchange to the acknowledgement of its event, for each.
    pub(crate) delivery_millis: Vec<u64>,
    /// Attempts that failed and are made again, one for each event.
    pub(crate) retried: u64,
    /// Responses that waited, and were released without an acknowledgement.
    pub(crate) undelivered_responses: u64,
    /// Calls that were refused for what somebody has to mend.
    pub(crate) refused_calls: u64,
    /// Calls that were given up at their deadline.
    pub(crate) lost_calls: u64,
    /// Events taken over from workers that are gone.
    pub(crate) adopted: u64,
    /// Events that the journal did not take, or did not keep.
    pub(crate) journal_failures: u64,
    /// Events that will not be delivered.
    pub(crate) dropped: Dropped,
}

/// Events that will not be delivered, by reason.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) queue_full: u64,
    pub(crate) expired: u64,
    pub(crate) refused: u64,
    pub(crate) too_large: u64,
    pub(crate) withdrawn: u64,
}
