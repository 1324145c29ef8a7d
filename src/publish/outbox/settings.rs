//! How an outbox works: what an operator says of it, and what its target and the host allow.

use std::time::Duration;

use crate::aws::retry::Retry;

/// How events are packed into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Events in one call, 1 to [`MAX_EVENTS`](crate::aws::protocol::MAX_EVENTS).
    pub(crate) max_entries: usize,
    /// How long an event may wait for others.
    pub(crate) max_delay: Duration,
}

/// The bounds of one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// Entries.
    pub(super) entries: usize,
    /// Bytes of all entries.
    pub(super) bytes: usize,
    /// Calls that may begin now, this one among them.
    pub(super) calls: usize,
}

/// Bounds of the queue of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Events, queued and in flight.
    pub(crate) max_entries: usize,
    /// Bytes of events, queued and in flight.
    pub(crate) max_bytes: usize,
    /// How long an event is tried for.
    pub(crate) max_age: Duration,
    /// The event that gives way when a bound is reached.
    pub(crate) when_full: WhenFull,
}

/// The event that gives way when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The event that has waited longest.
    DropOldest,
    /// The event that is to be added.
    DropNewest,
}

/// Everything that an outbox obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxSettings {
    /// How events are packed.
    pub(crate) batch: Batch,
    /// Bounds of what is held, in amount and age.
    pub(crate) bounds: Bounds,
    /// When an attempt that failed is made again.
    pub(crate) retry: Retry,
    /// Batches at once.
    pub(crate) max_in_flight: usize,
    /// Bytes of events that one batch may hold.
    pub(crate) max_batch_bytes: usize,
    /// How long a batch may be in flight before it counts as lost.
    pub(crate) deadline: Duration,
    /// How long a response waits for its event.
    pub(crate) longest_wait: Duration,
    /// True if the order within a group is kept.
    pub(crate) ordered: bool,
    /// True if others wait while a call is under way: a call that failed is then followed by a
    /// pause as long as it took.
    pub(crate) yields: bool,
}
