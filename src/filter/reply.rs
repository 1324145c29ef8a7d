//! Reads the reply to a callout. Never panics, whatever a host or a peer does to the reply.

use http::{HeaderValue, Response, StatusCode};
use proxy_wasm::types::{BufferType, MapType};

use super::hostcalls;
use crate::callout::{Reply, REPLY_HEADERS};

/// Bytes of a body that are read. A reply of AWS has a few kilobytes.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// Reads the reply that the host announces now.
///
/// Its headers are read by name, because Kong may write more of a long map than it has asked memory
/// for. Their announced number does not help, because Kong does not count the status.
pub(crate) fn read(body_size: usize) -> Reply {
    let header = |name: &str| hostcalls::header(MapType::HttpCallResponseHeaders, name);
    let Some(status) = header(":status").map(hostcalls::text).and_then(|status| status.parse().ok()) else {
        // Kong's word for what happened. It is "ok" if the peer closed the connection without a
        // reply.
        return Reply::NoResponse(match header(":dispatch_status").map(hostcalls::text).as_deref() {
            Some("ok") => "the connection was closed without a reply".to_owned(),
            Some(what) => what.to_owned(),
            None => "no reply".to_owned(),
        });
    };
    let body = match body_size {
        0 => Some(Vec::new()),
        _ => hostcalls::buffer(BufferType::HttpCallResponseBody, MAX_REPLY_BYTES),
    };
    match body {
        Some(body) => {
            let mut response = Response::new(body);
            // A number that is no status is an error of something on the way.
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            // Each header costs a call into the host, and a success needs none.
            if !response.status().is_success() {
                for name in REPLY_HEADERS {
                    if let Some(value) = header(name.as_str()).and_then(|value| HeaderValue::try_from(value).ok()) {
                        response.headers_mut().insert(name, value);
                    }
                }
            }
            Reply::Response(response)
        }
        None => Reply::NoResponse("the reply's body was cut off".to_owned()),
    }
}
