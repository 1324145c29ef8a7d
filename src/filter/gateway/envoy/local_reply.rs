//! The status of a local reply that Envoy hides.
//!
//! To a request whose content type is `application/grpc` or begins with `application/grpc+`, Envoy
//! makes every local reply a 200 without a body, and says in `grpc-status` what it was; that is
//! settled before any filter runs. A sender of webhooks would read it as success. Here the status
//! is found again; nothing is changed.

use proxy_wasm::types::MapType;

use crate::filter::hostcalls::{self, text};
use crate::lookup;

/// The mark that the filter puts beside its own answers, in front of the status. Envoy has it among
/// the details of a response, which an access log can show, too.
const OWN: &str = "retrohook_answered_";

/// Returns what Envoy notes beside an answer of the filter.
pub(super) fn details(status: u16) -> String {
    format!("{OWN}{status}")
}

/// Returns the status of a local reply that Envoy has made a 200.
pub(super) fn hidden_status() -> Option<u16> {
    let header = |name| hostcalls::header(MapType::HttpResponseHeaders, name).map(text);
    let grpc_status = header("grpc-status")?;
    let details = hostcalls::property("response\0code_details").map(text).unwrap_or_default();
    status_behind(&grpc_status, &details, || header("allow").is_some())
}

/// Returns the status behind a `grpc-status`, if the response is a local reply; it `has_allow` if
/// it names the methods that are allowed.
fn status_behind(grpc_status: &str, details: &str, has_allow: impl Fn() -> bool) -> Option<u16> {
    if let Some(status) = details.strip_prefix(OWN) {
        return status.parse().ok();
    }
    if details == "via_upstream" {
        return None;
    }
    Some(match grpc_status {
        "0" => return None,
        // The other way round in Envoy: HTTP statuses that have a gRPC status of their own.
        "13" => 400,
        "16" => 401,
        "7" => 403,
        "12" => 404,
        "8" => 429,
        "14" => 503,
        "4" => 504,
        // All others are `UNKNOWN`, and only the details tell them apart.
        _ if details == "request_payload_too_large" => 413,
        _ if lookup::contains(details, "timeout") => 408,
        // A 405 has to name the methods that are allowed, and nothing else does.
        _ if has_allow() => 405,
        _ => 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_what_the_reply_was_before_it_became_a_200() {
        for (grpc_status, reply, expected) in [
            ("2", "retrohook_answered_413", Some(413)),
            ("14", "retrohook_answered_503", Some(503)),
            ("2", "retrohook_answered_200", Some(200)),
            ("2", "retrohook_answered_", None),
            ("14", "direct_response", Some(503)),
            ("14", "no_healthy_upstream", Some(503)),
            ("12", "route_not_found", Some(404)),
            ("16", "jwt_authn_access_denied{Jwt_is_missing}", Some(401)),
            ("2", "request_payload_too_large", Some(413)),
            ("2", "request_overall_timeout", Some(408)),
            ("2", "stream_idle_timeout", Some(408)),
            ("2", "direct_response", Some(500)),
            ("14", "", Some(503)),
            ("0", "direct_response", None),
            ("14", "via_upstream", None),
            ("0", "via_upstream", None),
        ] {
            assert_eq!(status_behind(grpc_status, reply, || false), expected, "{grpc_status} {reply}");
        }
        assert_eq!(status_behind("2", "direct_response", || true), Some(405));
        assert_eq!(status_behind("2", &details(202), || false), Some(202));
    }
}
