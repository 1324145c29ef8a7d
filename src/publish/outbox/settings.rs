//! What an operator says of a queue: how events are packed into calls, its bounds, and what gives way when one is reached.

use std::time::Duration;

/// How events are packed into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Events in one call, 1 to [`MAX_EVENTS`](crate::aws::protocol::MAX_EVENTS).
    pub max_entries: usize,
    /// How long an event may wait for others.
    pub max_delay: Duration,
}

/// The bounds of the queue of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events, queued and in flight.
    pub max_entries: usize,
    /// Bytes of events, queued and in flight.
    pub max_bytes: usize,
    /// How long an event is tried for.
    pub max_age: Duration,
    /// What gives way when a bound is reached.
    pub when_full: WhenFull,
}

/// What gives way when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event that has waited longest.
    DropOldest,
    /// The event that is to be added.
    DropNewest,
}
