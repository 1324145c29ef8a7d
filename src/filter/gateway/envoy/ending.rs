//! How a response ended on Envoy: who made it, whether it came whole, and gRPC's own status. Reads
//! what Envoy tells; never decides whether that is a success.
//!
//! What Envoy's details say was read off Envoy 1.40, where a service cut responses off, and clients
//! left, in every way that `tests/envoy/test_endings.py` knows.

use std::borrow::Cow;
use std::time::Duration;

use proxy_wasm::types::MapType;

use super::properties::{ExchangeProperty, Properties};
use crate::filter::gateway::is_grpc;
use crate::filter::header_pairs::pairs;
use crate::filter::hostcalls;
use crate::lookup;

/// What Envoy says of a response that it has from a service, unless something went wrong.
const VIA_UPSTREAM: &str = "via_upstream";

/// Tells whether a response is one of gRPC.
pub(super) const CONTENT_TYPE: &str = "content-type";
const GRPC_STATUS: &str = "grpc-status";

/// Begins what it says of one that the service did not bring to its end.
const UPSTREAM_RESET: &str = "upstream_reset_after_response_started";

/// The header that Envoy's router adds to a service's responses, unless `suppress_envoy_headers`
/// keeps it from that.
const SERVICE_TIME: &[u8] = b"x-envoy-upstream-service-time";

/// The status of a response behind which another protocol begins, such as WebSocket's. It is whole
/// with its head: what ends later, and on which side, is that protocol's.
const SWITCHING: u16 = 101;

/// gRPC's `UNKNOWN`, which a response has that ends without a status.
const UNKNOWN: u16 = 2;

/// The end of a response, or what is known of it while it is under way.
pub(super) struct Ending {
    /// Its headers, as the host serialises them.
    pub(super) headers: Vec<u8>,
    /// Envoy's own word for how it ended.
    details: Option<String>,
    /// True if a service made it.
    pub(super) is_upstream: bool,
    /// True if it broke off, or never began.
    pub(super) broke_off: bool,
    /// The time from the first byte to the service to the last one from it.
    pub(super) upstream_latency: Option<Duration>,
    /// gRPC's own status, if it is one of gRPC.
    pub(super) grpc_status: Option<u16>,
}

impl Ending {
    /// Reads the end of a response with this `status`, which is 0 if there is no response, and
    /// whose trailers had gRPC's status `in_trailers` when they came. If `names` are given, only
    /// these headers are read, and whether it broke off stays unknown.
    pub(super) fn read(
        properties: &Properties,
        status: u16,
        is_over: bool,
        in_trailers: Option<u16>,
        names: Option<&[String]>,
    ) -> Ending {
        let details = properties.text(ExchangeProperty::Details).map(Cow::into_owned);
        let Some(names) = names else {
            let latency = if is_over { properties.number(ExchangeProperty::UpstreamLatency) } else { None };
            return Ending::read_whole(status, is_over, in_trailers, details, latency.map(Duration::from_nanos));
        };
        let mut wanted = vec![CONTENT_TYPE];
        wanted.extend(names.iter().map(String::as_str).filter(|name| *name != CONTENT_TYPE));
        let headers = properties.headers(MapType::HttpResponseHeaders, &wanted);
        let in_head = || hostcalls::header(MapType::HttpResponseHeaders, GRPC_STATUS).map(|status| parsed(&status));
        Ending {
            grpc_status: grpc_status(&headers, || in_head().or(in_trailers).or_else(grpc_trailer)),
            broke_off: false,
            upstream_latency: None,
            is_upstream: false,
            details,
            headers,
        }
    }

    fn read_whole(
        status: u16,
        is_over: bool,
        in_trailers: Option<u16>,
        details: Option<String>,
        latency: Option<Duration>,
    ) -> Ending {
        let headers = hostcalls::header_map(MapType::HttpResponseHeaders);
        let is_upstream = is_upstream(details.as_deref().unwrap_or_default(), status, &headers);
        // A client that resets a stream of HTTP/2 leaves no other trace than that the service's
        // last byte never came.
        let is_whole = details.as_deref() == Some(VIA_UPSTREAM) && (latency.is_some() || !is_over);
        Ending {
            grpc_status: grpc_status(&headers, || in_trailers.or_else(grpc_trailer)),
            broke_off: is_over && (status == 0 || is_upstream && !is_whole && status != SWITCHING),
            upstream_latency: latency,
            is_upstream,
            details,
            headers,
        }
    }

    /// Returns the end of a response of gRPC whose status was to come, with that of its trailers.
    pub(super) fn with_trailers(mut self, in_trailers: Option<u16>) -> Ending {
        self.grpc_status = Some(in_trailers.unwrap_or(UNKNOWN));
        self
    }

    /// Returns true if it is one of gRPC whose status is not in its head.
    pub(super) fn has_status_to_come(&self) -> bool {
        self.grpc_status.is_some() && value(&self.headers, b"grpc-status").is_none()
    }

    /// Returns true if Envoy has followed a redirect in the client's place: the answer that the
    /// client gets is that of another exchange.
    pub(super) fn is_followed(&self) -> bool {
        self.details.as_deref() == Some("internal_redirect")
    }

    /// Returns Envoy's own word for how the response broke off, if it did and Envoy has one.
    pub(super) fn word(&self) -> Option<&str> {
        self.details.as_deref().filter(|details| self.broke_off && *details != VIA_UPSTREAM)
    }
}

/// Returns true if a service made the response, although it may have broken off.
///
/// Once it has, Envoy says why, in the words in which it also says why it answered by itself
/// (`response_timeout`). Its own answers to such ends have statuses from 400 on, and to a client of
/// gRPC a `grpc-status` in the head; and none has the router's header.
fn is_upstream(details: &str, status: u16, headers: &[u8]) -> bool {
    if details == VIA_UPSTREAM || details.starts_with(UPSTREAM_RESET) {
        return true;
    }
    let has = |wanted: &[u8]| value(headers, wanted).is_some();
    has(SERVICE_TIME) || (is_end(details) && (100..400).contains(&status) && !has(b"grpc-status"))
}

/// Returns true if Envoy says so of what was under way when something ended it.
fn is_end(details: &str) -> bool {
    lookup::contains_any(details, &["timeout", "disconnect", "reset", "max_stream_duration", "overload"])
}

/// Reads gRPC's status from the trailers, if they have come and are still there.
pub(super) fn grpc_trailer() -> Option<u16> {
    hostcalls::header(MapType::HttpResponseTrailers, "grpc-status").map(|status| parsed(&status))
}

/// Returns gRPC's own status, if the response is one of gRPC; `trailer` reads the one that comes at
/// its end.
fn grpc_status(headers: &[u8], trailer: impl Fn() -> Option<u16>) -> Option<u16> {
    if !is_grpc(value(headers, CONTENT_TYPE.as_bytes())?) {
        return None;
    }
    Some(value(headers, b"grpc-status").map(parsed).or_else(trailer).unwrap_or(UNKNOWN))
}

/// Returns the number in a field with gRPC's status.
fn parsed(status: &[u8]) -> u16 {
    std::str::from_utf8(status).ok().and_then(|status| status.parse().ok()).unwrap_or(UNKNOWN)
}

fn value<'a>(headers: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    pairs(headers).find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::header_pairs::serialise;

    #[test]
    fn a_response_of_a_service_stays_one_when_it_breaks_off() {
        let from_service = serialise(&[(SERVICE_TIME, &b"3"[..])]);
        let bare = serialise::<&[u8]>(&[]);
        let as_grpc = serialise(&[(&b"grpc-status"[..], &b"14"[..])]);
        for (details, status, headers, expected) in [
            ("via_upstream", 200, &bare, true),
            ("via_upstream", 503, &bare, true),
            ("upstream_reset_after_response_started{protocol_error}", 503, &bare, true),
            ("upstream_reset_before_response_started{connection_failure}", 503, &bare, false),
            ("response_timeout", 200, &bare, true),
            ("response_timeout", 504, &bare, false),
            ("response_timeout", 504, &from_service, true),
            ("response_timeout", 200, &as_grpc, false),
            ("stream_idle_timeout", 200, &bare, true),
            ("max_duration_timeout", 200, &bare, true),
            ("downstream_remote_disconnect", 200, &bare, true),
            ("downstream_remote_disconnect", 0, &bare, false),
            ("direct_response", 200, &bare, false),
            ("", 0, &bare, false),
        ] {
            assert_eq!(is_upstream(details, status, headers), expected, "{details} {status}");
        }
    }

    #[test]
    fn a_status_of_grpc_is_in_the_head_or_at_the_end_and_without_one_it_is_unknown() {
        let head = |pairs: &[(&str, &str)]| serialise(pairs);
        let status = |pairs: &[(&str, &str)], trailer: Option<&str>| {
            grpc_status(&head(pairs), || trailer.map(|text| parsed(text.as_bytes())))
        };
        let of_grpc = ("content-type", "Application/gRPC+proto");
        assert_eq!(status(&[of_grpc, ("grpc-status", "0")], Some("7")), Some(0));
        assert_eq!(status(&[of_grpc], Some("7")), Some(7));
        assert_eq!(status(&[of_grpc], Some("seven")), Some(UNKNOWN));
        assert_eq!(status(&[of_grpc], None), Some(UNKNOWN));
        assert_eq!(status(&[("content-type", "application/json"), ("grpc-status", "7")], Some("7")), None);
        assert_eq!(status(&[], Some("7")), None);
    }
}
