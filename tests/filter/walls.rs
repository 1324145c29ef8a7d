//! Refusals of a capture are refusals to every sender, whatever a request calls its content.

use proxy_wasm_test_host::{ExchangeSpec, Response};
use serde_json::json;

use crate::support::webhooks::{answer, capturing, gateway, held, refused, start, stored};
use crate::support::{config, put, Way};

const GRPC: [&str; 2] = ["application/grpc", "application/grpc+json"];

#[test]
fn a_refusal_stays_one_where_envoy_answers_as_to_grpc() {
    for content_type in GRPC {
        let verify = json!({"scheme": "github", "secrets": ["s"], "on_failure": "reject"});
        let mut host = start(Way::HttpFilter, &capturing(json!({"verify": verify, "max_body_bytes": 10}), json!({})));
        let spec = |path: &str, body: &str| {
            let spec = ExchangeSpec::new("POST", path).request_header("Content-Type", content_type);
            spec.request_header("Content-Length", body.len().to_string()).request_body(body)
        };
        for (path, body, status) in [("/webhook", "{}", 401), ("/webhook", "12345678901", 413)] {
            let answer = refused(&mut host, &spec(path, body));
            assert_eq!(answer.status, status, "{content_type} {path}");
            assert!(answer.headers.get("grpc-status").is_none() && answer.headers.get("content-type").is_none());
        }
        let mut host = start(Way::HttpFilter, &capturing(json!({}), json!({"timeout_ms": 300})));
        let (exchange, callout) = held(&mut host, &spec("/webhook", "{}"));
        host.respond(callout.token, Response::new(400)).unwrap();
        assert_eq!(answer(&mut host, &exchange).status, 503);
        let (exchange, callout) = held(&mut host, &spec("/webhook", "{}"));
        host.respond(callout.token, stored()).unwrap();
        let answer = answer(&mut host, &exchange);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers.text("x-retrohook-message-id").unwrap(), "m-1");
    }
}

#[test]
fn only_replies_of_envoy_itself_are_refusals() {
    let grpc = |details: &str, status: &str| {
        let spec = ExchangeSpec::new("POST", "/orders.Orders/Place").request_header("content-type", "application/grpc");
        let spec = spec.response_header("content-type", "application/grpc").response_header("grpc-status", status);
        spec.property("response.code_details", details)
    };
    let mut host = gateway(Way::HttpFilter);
    for (details, grpc_status, expected) in [
        ("via_upstream", "12", 200),
        ("via_upstream", "0", 200),
        ("direct_response", "14", 503),
        ("route_not_found", "12", 404),
        ("request_payload_too_large", "2", 413),
        ("request_overall_timeout", "2", 408),
    ] {
        let exchange = host.exchange(&grpc(details, grpc_status)).unwrap();
        assert_eq!(exchange.status, expected, "{details}");
        assert_eq!(exchange.headers.get("grpc-status").is_some(), expected == 200, "{details}");
    }
    // A gateway that captures nothing has no senders of webhooks.
    let mut publishing = Way::HttpFilter.start(&config(json!({})));
    assert_eq!(publishing.exchange(&grpc("direct_response", "14")).unwrap().status, 200);
    publishing.exchange(&put()).unwrap();
}
