//! HTTP calls that the host makes for the core, and their replies, in the types of the crate
//! `http`. Never calls anybody.

use std::time::Duration;

use http::header::{HeaderName, DATE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, Uri};

/// One HTTP request for the host to send.
#[derive(Clone, Debug)]
pub struct Callout {
    /// The host's name for its destination: an Envoy cluster, a `host:port` on Kong.
    pub upstream: String,
    /// The request. Its URI is whole: scheme, authority and path become pseudo headers, and a
    /// signature covers the authority as `host`.
    pub request: Request<Vec<u8>>,
    /// The longest time that the whole call may take.
    pub timeout: Duration,
}

/// Puts a request together from valid parts, for which the builder of `http` would need an error
/// path.
pub fn request(method: Method, uri: Uri, headers: HeaderMap, body: Vec<u8>) -> Request<Vec<u8>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// The bounds that a host sets to callouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Callouts that may be under way at once.
    pub at_once: usize,
    /// The time after which a callout that the host has forgotten counts as lost.
    pub deadline: Duration,
    /// True if a request that waits for the reply to a callout may be answered in a later callback.
    pub retries_captures: bool,
    /// The line for the log where the rest of a request does not come.
    pub silent_sender: &'static str,
}

/// Requests that one callback answers or lets go on for others, at most, and captures that it makes
/// calls for. Envoy runs what follows from each of them, as from a call that fails at once, inside
/// the one before: with 500 to 700 of them V8's stack ends, and the VM with all that it holds.
pub const ANSWERS_AT_ONCE: usize = 32;

/// The header in which AWS asks, in milliseconds, to be left alone.
pub const AMZ_RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");

/// The headers of a reply that the core reads. It reads none of a success, so the host is not asked
/// for them there.
pub const REPLY_HEADERS: [HeaderName; 3] = [DATE, RETRY_AFTER, AMZ_RETRY_AFTER];

/// The outcome of a callout.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The peer answered. Only the headers [`REPLY_HEADERS`] are here, and the body is whole as far
    /// as the host knows.
    Response(Response<Vec<u8>>),
    /// There was no answer, for the reason that the host gives.
    NoResponse(String),
}

impl Reply {
    /// Returns the text of a header, one of [`REPLY_HEADERS`].
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        match self {
            Reply::Response(response) => response.headers().get(name)?.to_str().ok(),
            Reply::NoResponse(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Replies for the tests of every module.

    use super::*;

    pub(crate) fn response(status: u16, body: impl AsRef<[u8]>) -> Reply {
        response_with(status, &[], body)
    }

    pub(crate) fn response_with(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Reply::Response(response.body(body.as_ref().to_vec()).unwrap())
    }
}
