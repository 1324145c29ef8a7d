//! Thousands at once: one callback answers a few dozen and starts a few dozen calls, and what it
//! costs does not grow with what is held.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, Profile, Response};
use retrohook::callout::ANSWERS_AT_ONCE;
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::{config, count, load, put, start, ACCESS_KEY_ID, LONG, SECRET_ACCESS_KEY, TICK};

const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
const SQS: &str = "sqs.us-east-1.amazonaws.com:443";

fn capturing(changes: Value) -> Value {
    let mut config = json!({
        "capture": [{"method": "POST", "matcher": "^/webhook$", "queue_url": QUEUE}],
        "credentials": {
            "source": "static", "access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY,
        },
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

/// A gateway that gives heads and no bodies: every webhook is half-sent.
fn gateway(changes: Value) -> Host {
    let mut host = load(Host::builder(Profile::Envoy).cluster(SQS));
    host.start_plugin(capturing(changes).to_string()).unwrap();
    host.advance(TICK).unwrap();
    host
}

fn half_sent(host: &mut Host, count: usize) {
    let spec = ExchangeSpec::new("POST", "/webhook").request_header("Content-Length", "2").request_body("{}");
    for _ in 0..count {
        assert!(host.exchange(&spec).unwrap().paused_at.is_some());
    }
}

/// A webhook that is whole with its head.
fn whole(host: &mut Host, count: usize) {
    for _ in 0..count {
        assert!(host.exchange(&ExchangeSpec::new("POST", "/webhook")).unwrap().paused_at.is_some());
    }
}

/// Passes one tick at a time, and asserts that each makes a few of these calls, and as few in each
/// callback with the reply to one of the `replies` that may come beside it. Returns how many all of
/// them made.
fn ticks(host: &mut Host, count: usize, call: &str, replies: u64) -> u64 {
    let mut calls = 0;
    for _ in 0..count {
        let (outcome, usage) = host.measure(|host| host.advance(TICK));
        outcome.unwrap();
        let most = ANSWERS_AT_ONCE as u64 * (1 + replies);
        assert!(usage.calls_of(call) <= most, "{} of {call} in one tick", usage.calls_of(call));
        calls += usage.calls_of(call);
    }
    calls
}

#[test]
fn a_tick_costs_the_same_whatever_is_held() {
    let mut host = gateway(json!({}));
    let tick = |host: &mut Host| {
        host.advance(TICK).unwrap();
        host.measure(|host| host.advance(TICK)).1.instructions
    };
    let mut costs = vec![];
    for (more, held) in [(10, 10), (990, 1_000), (4_000, 5_000)] {
        half_sent(&mut host, more);
        costs.push((held, tick(&mut host)));
    }
    println!("webhooks held, instructions of a tick: {costs:?}");
    assert!(costs[2].1 < costs[0].1 + costs[0].1 / 10, "{costs:?}");
}

#[test]
fn a_webhook_costs_the_same_however_many_are_under_way() {
    let mut host = gateway(json!({"max_captures": 10_000}));
    let mut costs = vec![];
    for (more, held) in [(100, 100), (4_900, 5_000)] {
        whole(&mut host, more);
        let cost: u64 = (0..200).map(|_| host.measure(|host| whole(host, 1)).1.instructions).sum();
        costs.push((held, cost / 200));
    }
    println!("webhooks being stored, instructions of one more: {costs:?}");
    assert!(costs[1].1 < costs[0].1 + costs[0].1 / 10, "{costs:?}");
}

#[test]
fn a_crowd_that_falls_silent_is_answered_a_few_dozen_at_a_time() {
    let mut host = gateway(json!({}));
    half_sent(&mut host, 3_000);
    host.advance(Duration::from_millis(4_950)).unwrap();
    assert_eq!(ticks(&mut host, 100, "proxy_send_local_response", 0), 3_000);
    assert_eq!((count(&host, Metric::CapturesRefusedSilent), host.violations()), (3_000, &[][..]));
}

#[test]
fn heads_that_announce_much_hold_room_of_one_queue_and_for_a_time_only() {
    let other = json!({"method": "POST", "matcher": "^/other$", "queue_url": format!("{QUEUE}-2")});
    let one = json!({"method": "POST", "matcher": "^/webhook$", "queue_url": QUEUE});
    // Of 32 MiB, 262,144 bytes and 1,036 beside them for each head: docs/capture.md has these
    // numbers.
    for (captures, places) in [(vec![one.clone()], 127), (vec![one, other], 95)] {
        let shared = captures.len() > 1;
        let mut host = gateway(json!({"capture": captures}));
        let announced = ExchangeSpec::new("POST", "/webhook").request_header("Content-Length", "262144");
        let announced = announced.request_body("{");
        let held = (0..1_000).take_while(|_| host.exchange(&announced).unwrap().paused_at.is_some()).count();
        host.advance(TICK).unwrap();
        assert_eq!((held, count(&host, Metric::CapturesRefusedNoMemory)), (places, 1));
        let of_other = ExchangeSpec::new("POST", "/other");
        assert!(!shared || host.exchange(&of_other).unwrap().paused_at.is_some(), "its own part is free");
        host.advance(Duration::from_secs(6)).unwrap();
        assert_eq!(count(&host, Metric::CapturesRefusedSilent), places as u64);
        assert!(host.exchange(&announced).unwrap().paused_at.is_some(), "they fell silent, and are gone");
    }
}

#[test]
fn a_crowd_that_waits_for_credentials_is_stored_a_few_dozen_at_a_time() {
    let key = json!({"source": "container"});
    let environment = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/keys")];
    let mut host = load(Host::builder(Profile::Envoy).cluster(SQS).cluster("127.0.0.1:80").environment(environment));
    host.start_plugin(capturing(json!({"credentials": key, "max_captures": 2_000, "timeout_ms": 20_000})).to_string())
        .unwrap();
    host.advance(TICK).unwrap();
    let asked = host.take_callouts().remove(0);
    whole(&mut host, 2_000);
    host.advance(Duration::from_secs(2)).unwrap();
    let keys = r#"{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"s","Token":"t","Expiration":"2026-01-02T00:00:00Z"}"#;
    host.respond(asked.token, Response::new(200).body(keys)).unwrap();
    assert_eq!(host.take_callouts().len(), 0, "not in the callback of the credentials");
    let calls = ticks(&mut host, 70, "proxy_http_call", 0);
    assert!((200..=210).contains(&calls), "{calls}: they go ten to a call");
    let entries = |callout: &Callout| {
        let fields: Value = serde_json::from_slice(&callout.body).unwrap();
        fields["Entries"].as_array().map_or(1, Vec::len)
    };
    assert_eq!(host.take_callouts().iter().map(entries).sum::<usize>(), 2_000);
}

#[test]
fn a_crowd_that_no_cluster_serves_is_answered_a_few_dozen_at_a_time() {
    let mut host = load(Host::builder(Profile::Envoy));
    host.start_plugin(capturing(json!({"max_captures": 2_000, "timeout_ms": 1_000})).to_string()).unwrap();
    host.advance(TICK).unwrap();
    whole(&mut host, 2_000);
    host.advance(Duration::from_millis(950)).unwrap();
    // Some have no time for another try, and are answered before.
    ticks(&mut host, 70, "proxy_send_local_response", 0);
    assert_eq!((count(&host, Metric::CapturesRefusedUnstored), host.streams().len()), (2_000, 0));
}

/// As many responses that wait for their events, of a service that does not answer.
fn waiting(on_failure: &str, crowd: usize) -> Host {
    let held = json!({"method": "PUT", "matcher": "/profile", "delivery": "before_response", "on_failure": on_failure});
    let mut host = start(&config(json!({"routes": [held]})));
    for _ in 0..crowd {
        assert!(host.exchange(&put()).unwrap().paused_at.is_some());
    }
    host
}

#[test]
fn a_crowd_whose_events_are_late_goes_on_a_few_dozen_at_a_time() {
    for (on_failure, call) in [("pass", "proxy_continue_stream"), ("fail", "proxy_send_local_response")] {
        let mut host = waiting(on_failure, 1_000);
        host.advance(Duration::from_millis(4_950)).unwrap();
        // Four calls are under way, which the host ends at the same time.
        assert_eq!(ticks(&mut host, 60, call, 4), 1_000, "{on_failure}");
    }
}

#[test]
fn a_crowd_is_let_go_before_a_filter_that_was_replaced_ends() {
    // Their events are withdrawn, so that nothing else is left to do.
    let mut host = waiting("fail", 1_000);
    host.replace_plugin(config(json!({})).to_string()).unwrap();
    host.advance(LONG).unwrap();
    assert!(host.streams().is_empty(), "none waits for a filter that is gone");
}
