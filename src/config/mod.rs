//! The configuration: one JSON object, checked whole before anything starts.
//!
//! A bad configuration never half-works. Every fault is reported at once, with its place (`routes[1].matcher`), what is
//! wrong, and what would be right.

use std::time::Duration;

use crate::aws::arn::TopicArn;
use crate::aws::endpoint::Endpoint;
use crate::route::Routes;
use crate::secret::Secret;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SNS topic that events go to.
    pub topic: TopicArn,
    /// The region that requests are signed for.
    pub region: String,
    /// Where the API is.
    pub endpoint: Endpoint,
    /// The host's name for the endpoint: an Envoy cluster, a `host:port` on Kong.
    pub upstream: String,
    /// Which exchanges become events.
    pub routes: Routes,
    /// Where credentials come from.
    pub credentials: CredentialSource,
    /// What must not leave the gateway, beside the built-in list.
    pub redact: Redact,
    /// How events are packed into calls.
    pub batch: Batch,
    /// The bounds of the queue.
    pub queue: Queue,
    /// How long one callout may take.
    pub timeout: Duration,
    /// Callouts at once per worker.
    pub max_in_flight: usize,
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// In the configuration itself.
    Static {
        /// The public half of the key.
        access_key_id: String,
        /// The secret half.
        secret_access_key: Secret,
        /// For temporary credentials.
        session_token: Option<Secret>,
    },
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` of the filter's environment.
    Environment,
}

/// What is redacted beside the built-in list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redact {
    /// Header names, in lower case.
    pub headers: Vec<String>,
    /// Names of query parameters.
    pub query: Vec<String>,
}

/// How events are packed into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Events in one call, 1 to 10.
    pub max_entries: usize,
    /// How long an event may wait for others.
    pub max_delay: Duration,
}

/// The bounds of the queue of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
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
