//! How an exchange ends, and what a route and an event make of it: gRPC's own status, responses
//! that break off, clients that leave.

use proxy_wasm_test_host::ExchangeSpec;
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::{config, count, deliver, published, put, Way, ENVOY_WAYS, MAX_DELAY, WAYS};

/// A configuration with one route for every `PUT` to a profile, and with `changes` to that route.
fn routed(changes: Value) -> Value {
    let mut route = json!({"method": "PUT", "matcher": "/profile"});
    route.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config(json!({"routes": [route]}))
}

fn grpc() -> ExchangeSpec {
    put().response_header("Content-Type", "application/grpc").response_body("\0\0\0\0\0")
}

fn in_trailers(status: &str) -> ExchangeSpec {
    grpc().response_trailer("grpc-status", status)
}

fn in_head(status: &str) -> ExchangeSpec {
    grpc().response_header("grpc-status", status)
}

/// How many events the exchanges become.
fn events(way: Way, config: &Value, specs: &[ExchangeSpec]) -> usize {
    let mut host = way.start(config);
    specs.iter().for_each(|spec| way.run(&mut host, spec));
    deliver(&mut host, MAX_DELAY).len()
}

#[test]
fn of_grpc_only_status_0_is_a_success_unless_the_route_says_otherwise() {
    let not_grpc = put().response_header("content-type", "application/json").response_trailer("grpc-status", "7");
    let cases = [
        ("0 in the trailers", in_trailers("0"), [1, 0, 1]),
        ("0 in the head", in_head("0"), [1, 0, 1]),
        ("7 in the trailers", in_trailers("7"), [0, 1, 1]),
        ("7 in the head", in_head("7"), [0, 1, 1]),
        ("no status at all", grpc(), [0, 0, 1]),
        ("no number", in_trailers("seven"), [0, 0, 1]),
        ("cut off", grpc().cut_off("upstream_reset_after_response_started{remote_reset}"), [0, 0, 1]),
        ("another status of HTTP", in_trailers("0").status(503), [0, 0, 0]),
        ("not of gRPC", not_grpc, [1, 1, 1]),
    ];
    let configs = [routed(json!({})), routed(json!({"grpc_status": [7, 5]})), routed(json!({"grpc_status": "*"}))];
    for way in WAYS {
        for (case, spec, expected) in &cases {
            let found = configs.each_ref().map(|config| events(way, config, std::slice::from_ref(spec)));
            assert_eq!(found, *expected, "{way:?} {case}");
        }
        let message = published(way, &mut way.start(&configs[2]), &in_trailers("7")).message;
        assert_eq!(message["response"]["grpc_status"], 7, "{way:?}");
    }
}

#[test]
fn an_event_of_a_response_that_broke_off_says_so_and_a_route_may_want_whole_ones_only() {
    let spec = |details: &str| put().response_chunks(["ha", "lf"]).cut_off(details);
    for way in WAYS {
        for details in [
            "upstream_reset_after_response_started{protocol_error}",
            "response_timeout",
            "stream_idle_timeout",
            "downstream_remote_disconnect",
            // A stream that the client has reset.
            "via_upstream",
        ] {
            let spec = spec(details);
            let message = published(way, &mut way.start(&routed(json!({}))), &spec).message;
            assert_eq!(message["response"]["complete"], false, "{way:?} {details}");
            assert_eq!(
                (&message["source"], &message["upstream_status"]),
                (&json!("upstream"), &json!("200")),
                "{way:?}"
            );
            let word = if way == Way::Kong || details == "via_upstream" { Value::Null } else { json!(details) };
            assert_eq!(message["response"].get("details").cloned().unwrap_or_default(), word, "{way:?}");
            let proxied = message["latencies"].get("proxy").cloned().unwrap_or_default();
            let expected = if way == Way::Kong { json!(6) } else { Value::Null };
            assert_eq!(proxied, expected, "{way:?} {details}: a time that is not known is no time without a service");
            assert_eq!(events(way, &routed(json!({"response_complete": true})), &[spec]), 0, "{way:?} {details}");
        }
        for whole in [put(), put().response_body("whole"), put().status(204), ExchangeSpec::new("PUT", "/profile/7")] {
            let config = routed(json!({"response_complete": true}));
            let message = published(way, &mut way.start(&config), &whole).message;
            assert_eq!(
                (message["response"].get("complete"), message["response"].get("details")),
                (None, None),
                "{way:?}"
            );
        }
    }
}

#[test]
fn what_envoy_answers_by_itself_is_whole_and_nobody_s_but_its_own() {
    for way in ENVOY_WAYS {
        for details in ["response_timeout", "direct_response"] {
            let spec = put().upstream(None).status(504).property("response.code_details", details);
            let message = published(way, &mut way.start(&routed(json!({"status": "*"}))), &spec).message;
            assert_eq!(message["response"].get("complete"), None, "{way:?} {details}");
            assert_eq!((message.get("source"), message["latencies"]["proxy"].as_i64()), (None, Some(-1)), "{way:?}");
        }
    }
}

#[test]
fn an_exchange_whose_client_left_is_an_event_where_a_route_asks_for_it() {
    let left = || put().left_by_client();
    for way in WAYS {
        let status = if way == Way::Kong { 499 } else { 0 };
        for config in [routed(json!({})), routed(json!({"status": [0, 499], "response_complete": true}))] {
            assert_eq!(events(way, &config, &[left()]), 0, "{way:?} {config}");
        }
        let config = routed(json!({"status": ["2xx", status]}));
        let message = published(way, &mut way.start(&config), &left()).message;
        assert_eq!(message["response"]["status"], status, "{way:?}");
        assert_eq!(message["response"]["complete"], false, "{way:?}");
        assert_eq!(message["request"]["uri"], "/mockbin/profile", "{way:?}");
        let details = message["response"].get("details").cloned();
        assert_eq!(details, (way != Way::Kong).then(|| json!("downstream_remote_disconnect")));
        assert_eq!(events(way, &routed(json!({"status": "*"})), &[left()]), usize::from(way == Way::Kong));
    }
}

#[test]
fn a_redirect_that_envoy_follows_in_the_client_s_place_is_no_answer() {
    for way in ENVOY_WAYS {
        let mut host = way.start(&routed(json!({"status": "*"})));
        way.run(&mut host, &put().status(307).property("response.code_details", "internal_redirect"));
        way.run(&mut host, &put());
        let events = deliver(&mut host, MAX_DELAY);
        assert_eq!(events.iter().map(|event| event.message["response"]["status"].clone()).collect::<Vec<_>>(), [200]);
        assert_eq!(count(&host, Metric::EventsMatched), 1, "{way:?}");
    }
}
