//! The module that is built without features: it publishes to topics of SNS, and says what it
//! cannot do.

use std::time::Duration;

use proxy_wasm_test_host::{artifacts, Host, LogLevel, Module, Profile};
use serde_json::json;

use crate::support::{config, logged, put, UPSTREAM};

/// What the module has, and 1 % of room for another compiler.
const MAX_BYTES: usize = 841_000;

fn start(profile: Profile) -> Host {
    let lean = Module::compile(&artifacts::lean().unwrap()).unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    Host::builder(profile).environment(keys).cluster(UPSTREAM).load(&lean).unwrap()
}

#[test]
fn it_is_no_larger_than_it_is_known_to_be() {
    let bytes = artifacts::lean().unwrap().len();
    println!("{bytes} bytes");
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
}

#[test]
fn it_publishes_to_a_topic() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = start(profile);
        host.start_plugin(config(json!({})).to_string()).unwrap();
        host.exchange(&put()).unwrap();
        host.advance(Duration::from_millis(500)).unwrap();
        let callouts = host.take_callouts();
        assert_eq!(callouts.len(), 1, "{profile:?}");
        assert!(callouts[0].body.starts_with(b"Action=Publish&"), "{profile:?}");
    }
}

#[test]
fn what_it_is_built_without_is_refused_with_the_name_of_the_feature() {
    let url = "https://sqs.us-east-1.amazonaws.com/123456789012/q";
    let capture = json!({"capture": [{"method": "POST", "matcher": "^/webhook$", "queue_url": url}]});
    let elsewhere = |target: serde_json::Value| json!({"topic_arn": null, "routes": [target]});
    let route = |key: &str, value: &str| json!({"method": "PUT", "matcher": "/profile", key: value});
    for (changes, path, feature) in [
        (capture, "capture: ", "feature `capture`"),
        (elsewhere(route("queue_url", url)), "routes[0].queue_url: ", "feature `targets`"),
        (elsewhere(route("event_bus", "default")), "routes[0].event_bus: ", "feature `targets`"),
        (
            elsewhere(route("webhook_url", "https://hooks.example.com/in")),
            "routes[0].webhook_url: ",
            "feature `targets`",
        ),
    ] {
        let mut host = start(Profile::Envoy);
        let error = host.start_plugin(config(changes.clone()).to_string()).unwrap_err();
        assert!(error.cause.is_none(), "refused, and not trapped: {error}");
        let lines = logged(&mut host, LogLevel::Error);
        assert!(lines.iter().any(|line| line.starts_with(path) && line.contains(feature)), "{changes} {lines:#?}");
    }
}
