//! Webhooks that are captured: a gateway that stores them, a webhook, and what became of it.

use proxy_wasm_test_host::{Callout, ExchangeSpec, Exchanged, Host, Response};
use serde_json::{json, Value};

use super::{load, Way, ACCESS_KEY_ID, SECRET_ACCESS_KEY, TICK};

pub(crate) const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
pub(crate) const UPSTREAM: &str = "sqs.us-east-1.amazonaws.com:443";

/// A configuration that stores every `POST` to `/webhook`, with `capture` and `changes` to its top
/// level.
pub(crate) fn capturing(capture: Value, changes: Value) -> Value {
    let mut entry = json!({"method": "POST", "matcher": "^/webhook$", "queue_url": QUEUE});
    entry.as_object_mut().unwrap().extend(capture.as_object().unwrap().clone());
    let mut config = json!({
        "capture": [entry],
        "credentials": {
            "source": "static", "access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY,
        },
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

pub(crate) fn start(way: Way, config: &Value) -> Host {
    let mut host = load(way.builder().cluster(UPSTREAM).bodies_of_held_requests());
    host.start_plugin(config.to_string()).unwrap();
    // The credentials are there from the first tick on.
    host.advance(TICK).unwrap();
    host
}

pub(crate) fn gateway(way: Way) -> Host {
    start(way, &capturing(json!({}), json!({})))
}

/// A webhook with this body, for an upstream that would say 201 to anything.
pub(crate) fn webhook(body: &str) -> ExchangeSpec {
    let spec = ExchangeSpec::new("POST", "/webhook?a=1").status(201).request_header("Content-Type", "application/json");
    let spec = spec.request_header("Content-Length", body.len().to_string());
    if body.is_empty() {
        spec
    } else {
        spec.request_body(body)
    }
}

/// The call that stores a webhook, which is held meanwhile.
pub(crate) fn held(host: &mut Host, spec: &ExchangeSpec) -> (Exchanged, Callout) {
    let exchange = host.exchange(spec).unwrap();
    assert!(exchange.paused_at.is_some(), "{exchange:?}");
    let [callout] = &host.take_callouts()[..] else { panic!("one call") };
    (exchange, callout.clone())
}

pub(crate) fn fields(callout: &Callout) -> Value {
    serde_json::from_slice(&callout.body).unwrap()
}

pub(crate) fn message(callout: &Callout) -> Value {
    serde_json::from_str(fields(callout)["MessageBody"].as_str().unwrap()).unwrap()
}

pub(crate) fn stored() -> Response {
    Response::new(200).header("content-type", "application/x-amz-json-1.0").body(r#"{"MessageId":"m-1"}"#)
}

/// The answer that the sender got, which must be the filter's own.
pub(crate) fn answer(host: &mut Host, exchange: &Exchanged) -> Exchanged {
    let finished = host.take_finished(exchange.stream).unwrap();
    assert!(finished.local, "{finished:?}");
    finished
}

pub(crate) fn refused(host: &mut Host, spec: &ExchangeSpec) -> Exchanged {
    let exchange = host.exchange(spec).unwrap();
    assert!(exchange.paused_at.is_none() && exchange.local, "{exchange:?}");
    assert_eq!(host.take_callouts(), []);
    exchange
}
