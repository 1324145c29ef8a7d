//! Nothing walks around a capture, and its refusals are refusals to every sender, on both gateways:
//! however a path is spelled, and whatever a request calls its content.

use proxy_wasm_test_host::{ExchangeSpec, LogLevel, Response};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::webhooks::{answer, capturing, fields, gateway, held, message, refused, start, stored, webhook};
use crate::support::{config, count, logged, put, Way, GATEWAYS, IDLE_TICK};

/// Spellings of `/webhook` that nginx takes for it. Envoy has normalised a path before a
/// filter sees it, or does not.
const NORMALISED: [&str; 12] = [
    "//webhook",
    "/webhook?x",
    "/%77ebhook",
    "/./webhook",
    "/x/../webhook",
    "/x/%2e%2e/webhook",
    "/x/..%2fwebhook",
    "/x%2F..%2fwebhook",
    "/%2fwebhook",
    "/webhook%3fx",
    "/webhook#x",
    "///./x/..//webhook?/y",
];

/// Spellings that only an application may take for it.
const OTHERS: [&str; 17] = [
    "/webhook/",
    "/webhook//",
    "/webhook/.",
    "/webhook%2f",
    "/webhook%5c",
    "/webhook%252f",
    "/webhook;a",
    "/;a/webhook",
    "/x/..;/webhook",
    "/%2577ebhook",
    "/WEBHOOK",
    "/webhook%00",
    "/webhook%20",
    "/webhook%23x",
    "/webhook.",
    "/webhook.json",
    "\\webhook",
];

fn spelled(path: &str) -> ExchangeSpec {
    ExchangeSpec::new("POST", path).status(201).request_header("Content-Length", "2").request_body("{}")
}

#[test]
fn on_kong_the_path_that_nginx_has_made_of_it_counts_too() {
    let mut host = gateway(Way::Kong);
    for path in NORMALISED {
        let (exchange, callout) = held(&mut host, &spelled(path));
        let path_in_message = message(&callout)["path"].clone();
        assert!(path_in_message == "/webhook" || path_in_message == *path, "{path}: {path_in_message}");
        host.respond(callout.token, stored()).unwrap();
        assert_eq!(answer(&mut host, &exchange).status, 200, "{path}");
    }
}

#[test]
fn named_groups_are_found_in_the_path_that_matches() {
    let capture = json!({
        "matcher": "^/hooks/(?<who>[a-z]+)$", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks.fifo",
        "message_group_id": "${path.who}",
    });
    let mut host = start(Way::Kong, &capturing(capture, json!({})));
    for path in ["/hooks/acme", "/hooks//acme", "/hooks/%61cme"] {
        let (_, callout) = held(&mut host, &spelled(path));
        assert_eq!(fields(&callout)["MessageGroupId"], "acme", "{path}");
    }
}

#[test]
fn another_spelling_is_refused_and_goes_to_no_upstream() {
    for way in GATEWAYS {
        let mut host = gateway(way);
        // Where Envoy does not normalise paths, these are other spellings, too.
        let normalised: &[&str] = if way == Way::Kong { &[] } else { &NORMALISED };
        let others = OTHERS.iter().chain(normalised).filter(|path| **path != "/webhook?x");
        let mut refusals = 0;
        for path in others {
            let answer = refused(&mut host, &spelled(path));
            assert_eq!(
                (answer.status, answer.headers.text("retry-after").unwrap().as_str()),
                (503, "5"),
                "{way:?} {path}"
            );
            refusals += 1;
        }
        for path in ["/webhooks", "/account/webhook", "/Account/", "/webhook/x", "/webhook.d/x;y"] {
            let exchange = host.exchange(&spelled(path)).unwrap();
            assert_eq!((exchange.local, exchange.status), (false, 201), "{way:?} {path}");
        }
        // Another method is not for the capture.
        let get = host.exchange(&ExchangeSpec::new("GET", "/webhook/")).unwrap();
        assert!(!get.local);
        host.advance(IDLE_TICK).unwrap();
        assert_eq!(count(&host, Metric::CapturesRefusedMisspelled), refusals, "{way:?}");
        let lines = logged(&mut host, LogLevel::Warn);
        assert!(lines.len() == 1 && lines[0].contains("another spelling of its path"), "{lines:?}");
        assert_eq!(host.violations(), [], "{way:?}");
    }
}

#[test]
fn a_path_that_is_too_long_to_tell_is_refused_where_a_capture_has_its_method() {
    for way in GATEWAYS {
        let mut host = start(way, &capturing(json!({"matcher": "^/hooks/"}), json!({})));
        for path in [format!("/hooks/{}", "x".repeat(2_048)), format!("/{}/hooks/", ";".repeat(60_000))] {
            assert_eq!(refused(&mut host, &spelled(&path)).status, 503, "{way:?}");
            let get = host.exchange(&ExchangeSpec::new("GET", &path)).unwrap();
            assert!(!get.local, "{way:?}");
        }
        host.advance(IDLE_TICK).unwrap();
        assert_eq!(count(&host, Metric::PathsTooLong), 2, "{way:?}");
        assert_eq!(count(&host, Metric::CapturesRefusedMisspelled), 2, "{way:?}");
    }
}

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
        for (path, body, status) in
            [("/webhook", "{}", 401), ("/webhook", "12345678901", 413), ("/webhook/", "{}", 503)]
        {
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

#[test]
fn a_method_in_another_case_is_another_spelling() {
    let mut host = gateway(Way::HttpFilter);
    assert_eq!(refused(&mut host, &ExchangeSpec::new("post", "/webhook")).status, 503);
    assert!(!host.exchange(&ExchangeSpec::new("post", "/account")).unwrap().local);
    let (_, callout) = held(&mut host, &webhook("{}"));
    assert_eq!(message(&callout)["path"], "/webhook");
}
