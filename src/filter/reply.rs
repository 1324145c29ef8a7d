//! Reads the reply to a callout. Nothing that a host or a peer may do to one stops the filter.

use proxy_wasm::types::{BufferType, MapType};

use super::hostcalls;
use crate::callout::{Reply, REPLY_HEADERS};

/// A reply of AWS is a few kilobytes; more is not read.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// The reply that the host announces now.
///
/// Its headers are asked for by name: Kong may write more of a long map than it has asked memory for. And their announced number
/// tells nothing, for Kong does not count the status.
pub fn read(body_size: usize) -> Reply {
    let header = |name| hostcalls::header(MapType::HttpCallResponseHeaders, name).map(hostcalls::text);
    let Some(status) = header(":status").and_then(|status| status.parse().ok()) else {
        // Kong's word for what happened. It is "ok" where the peer closed the connection instead of replying.
        return Reply::NoResponse(match header(":dispatch_status").as_deref() {
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
            // Each is a call into the host, and a success has nothing to say.
            let asked = if status == 200 { &[] } else { REPLY_HEADERS.as_slice() };
            let headers = asked.iter().filter_map(|name| Some((*name, header(name)?))).collect();
            Reply::Response { status, headers, body }
        }
        None => Reply::NoResponse("the reply's body was cut off".to_owned()),
    }
}
