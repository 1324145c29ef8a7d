//! The rules of Kong Gateway, and of nginx with Kong's Wasm module.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::aws::credentials::settings::Source;
use crate::aws::target::Target;
use crate::config::Config;
use crate::filter::gateway::metrics::GaugeMode;
use crate::filter::gateway::rules::Place;
use crate::filter::gateway::shared_data::WriteNumbers;
use crate::filter::gateway::Rules;
use crate::filter::hostcalls;
use crate::publish::route::DeliveryMode;

/// The rules of Kong.
pub(in crate::filter::gateway) static RULES: Rules = Rules {
    // `:path` is what nginx has made of the client's path.
    target: Place::Property("ngx.request_uri"),
    normalised_target: Some(Place::RequestHeader(":path")),
    response_status: Place::Property("response.code"),
    abandoned_status: 499,
    // Kong would write them into the status line.
    // Filters of one chain have one instance, unless they have different names.
    mark: None,
    answer_details: |_| String::new(),
    objection,
    // Kong starts its roots when it begins. A root in an instance of the module that Kong makes in
    // the middle of a request is configured only.
    unstarted_root: Some(
        "a request got a new instance of this filter. If a filter has trapped before, what this worker had queued without a \
         journal is lost; if this line comes with every request, so is every event: nginx_http_proxy_wasm_isolation must be \
         `none`",
    ),
    // Of several calls of one root that overlap, Kong leaks a connection each.
    callouts_at_once: |_| 1,
    // Kong applies the timeout to connecting, to sending and to each read, and not to DNS. If the
    // filter gave up before Kong does, its next call would overlap.
    deadline: |timeout| timeout.saturating_mul(3).saturating_add(Duration::from_secs(10)),
    // A wake-up of 30 to 70 µs each. What bounds calls is the tick at once after a reply.
    longest_tick: Duration::from_millis(10),
    // Each tick of an idle worker is a wake-up of 50 to 70 µs.
    longest_idle_tick: Some(Duration::from_millis(50)),
    quiet_tick: None,
    // A call that starts while a reply is handled crashes the worker.
    calls_from_replies: false,
    // Kong lets a request go on as soon as its last call is answered.
    answers_at_ticks: false,
    tells_absence_of_bodies: false,
    max_line_bytes: hostcalls::MAX_LINE_BYTES,
    gauges: GaugeMode::Set,
    // Kong has shared data only where it was given memory for it, and traps where it was not.
    always_shares_data: false,
    order_of_one_worker: "the order of a FIFO target is kept within each nginx worker only, because each has a queue of its \
                          own; for one order of all workers set `nginx_wasm_shm_kv_retrohook = 64m` in kong.conf, and \
                          `queue.journal` to `on`",
    // Zero writes only what is not there. Each key counts its own writes, so one is the first.
    write_numbers: WriteNumbers { create: 0, of_each_key: true },
    unreadable_body: "a webhook's body is not in nginx' memory, and was answered 503: it is larger than \
                      `client_body_buffer_size` (`nginx_http_client_body_buffer_size` in kong.conf), which should be at least \
                      `max_body_bytes`",
    silent_sender: "a webhook was answered 408, because the rest of it did not come for `timeout_ms`",
};

fn objection(config: &Config) -> Option<String> {
    if config.credentials.source == Source::Host {
        return Some(
            "credentials.source: is `host`, and Kong signs nothing; give another one, such as `auto`".to_owned(),
        );
    }
    let held = config.routes.all.iter().position(|route| route.delivery != DeliveryMode::AfterResponse);
    if let Some(route) = held {
        return Some(format!(
            "routes[{route}].delivery: is `before_response`, and Kong lets no filter call out while it has a response in its \
             hands; give `after_response`, or leave it out"
        ));
    }
    let role = config.credentials.assume_role.as_ref();
    let sts = role.map(|role| ("credentials.assume_role.endpoint", "upstreams.sts", &role.endpoint));
    let captures = config.captures.targets().map(|queue| ("capture[].endpoint", "upstream", &queue.endpoint));
    let key = |target: &Target| if target.scope.is_some() { "endpoint" } else { target.protocol.kind().key };
    let targets = config.targets.iter().map(|target| (key(target), "upstream", &target.endpoint));
    let upstreams = config.targets.iter().chain(config.captures.targets()).map(|target| target.upstream.as_str());
    if let Some(cluster) = upstreams.chain(role.map(|role| role.upstream.as_str())).find(|name| is_cluster(name)) {
        return Some(format!(
            "upstream: `{cluster}` has no port, as names of Envoy's clusters have none, and Kong would call port 80 or 443 of a host of \
             that name; give host and port, such as `127.0.0.1:5000`, or leave it out"
        ));
    }
    let mut endpoints = targets.chain(captures).chain(sts);
    let (path, upstream, endpoint) =
        endpoints.find(|(_, _, endpoint)| !endpoint.is_plain() && is_address(endpoint.host()))?;
    Some(format!(
        "{path}: {} is an address, and Kong speaks TLS to names only; give the name that is in the certificate, and the \
         address as `{upstream}`",
        endpoint.host()
    ))
}

/// Returns true if a name to call has neither a scheme nor a port.
fn is_cluster(upstream: &str) -> bool {
    let port = upstream.rsplit(':').next().unwrap_or_default();
    !upstream.contains("://") && (port.len() == upstream.len() || port.ends_with(']'))
}

fn is_address(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    name.parse::<Ipv4Addr>().is_ok() || name.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    fn objection_to(changes: Value) -> Option<String> {
        let mut config = json!({
            "topic_arn": "arn:aws:sns:us-east-1:123456789012:profile-events",
            "routes": [{"method": "PUT", "matcher": "/profile"}],
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        objection(&Config::from_json(config.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn an_objection_names_the_place() {
        let held = json!([
            {"method": "PUT", "matcher": "/a"},
            {"method": "PUT", "matcher": "/b", "delivery": "before_response"},
        ]);
        let capture = |endpoint: &str| {
            json!([{
                "method": "POST", "matcher": "/webhook", "endpoint": endpoint,
                "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
            }])
        };
        for (changes, place) in [
            (json!({"credentials": {"source": "host"}}), Some("credentials.source: ")),
            (json!({"routes": held}), Some("routes[1].delivery: ")),
            (json!({"endpoint": "https://10.0.0.1:4566"}), Some("endpoint: 10.0.0.1 ")),
            (json!({"endpoint": "https://[::1]:4566"}), Some("endpoint: [::1] ")),
            (json!({"capture": capture("https://10.0.0.1")}), Some("capture[].endpoint: 10.0.0.1 ")),
            (
                json!({"endpoint": "http://10.0.0.1:4566", "upstream": "emulator"}),
                Some("upstream: `emulator` has no port"),
            ),
            (json!({"upstream": "[::1]"}), Some("upstream: `[::1]` has no port")),
            (json!({"upstream": "[::1]:4566"}), None),
            (json!({"upstream": "emulator:4566"}), None),
            (json!({"endpoint": "http://10.0.0.1:4566"}), None),
            (json!({"endpoint": "https://localstack:4566"}), None),
            (json!({}), None),
        ] {
            let objection = objection_to(changes.clone());
            match (place, &objection) {
                (Some(place), Some(text)) => assert!(text.starts_with(place), "{changes} {text}"),
                (None, None) => {}
                _ => panic!("{changes} {objection:?}"),
            }
        }
    }
}
