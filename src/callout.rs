//! An HTTP call that the host should make for the core, and what came of it.

use std::time::Duration;

/// Whether a callout goes over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP, for local emulators and for hosts that add TLS themselves.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As written in a URL and in the `:scheme` pseudo header.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that a URL of this scheme leaves out.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// One HTTP request for the host to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// The host's name for where it goes: an Envoy cluster, a `host:port` on Kong.
    pub upstream: String,
    /// Becomes `:scheme`.
    pub scheme: Scheme,
    /// Becomes `:method`.
    pub method: &'static str,
    /// Becomes `:authority`; it is what the signature covers as `host`.
    pub authority: String,
    /// Becomes `:path`, with the query string if there is one.
    pub path: String,
    /// All other headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// How long the whole call may take.
    pub timeout: Duration,
}

/// What a host allows of callouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many may be under way at once.
    pub at_once: usize,
    /// After this time one counts as lost that the host has forgotten.
    pub deadline: Duration,
    /// Whether a request that waits for the reply to one may be answered later than that.
    pub retries_captures: bool,
    /// What the log says where the rest of a request does not come.
    pub silent_sender: &'static str,
}

/// The headers of a reply that matter to the core.
pub const REPLY_HEADERS: [&str; 3] = ["date", "retry-after", "x-amz-retry-after"];

/// What came of a callout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The peer answered.
    Response {
        /// HTTP status code.
        status: u16,
        /// Those of [`REPLY_HEADERS`] that it has, unless it is a success, of which nobody asks more.
        headers: Vec<(&'static str, String)>,
        /// The body, whole as far as the host knows.
        body: Vec<u8>,
    },
    /// There was no answer: what the host says of it, for the log.
    NoResponse(String),
}

impl Reply {
    /// A header of the reply; `name` is one of [`REPLY_HEADERS`].
    pub fn header(&self, name: &str) -> Option<&str> {
        let Reply::Response { headers, .. } = self else { return None };
        headers.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value.as_str())
    }
}
