//! Any JSON and any bytes as a configuration, and valid ones with some values replaced.

use std::fs;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{data, walk};
use crate::config::Config;

const KEYS: [&str; 33] = [
    "topic_arn",
    "queue_url",
    "event_bus",
    "region",
    "endpoint",
    "sns_endpoint",
    "upstream",
    "routes",
    "method",
    "matcher",
    "status",
    "event_type",
    "attributes",
    "subject",
    "message_group_id",
    "credentials",
    "source",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "redact",
    "headers",
    "query",
    "batch",
    "max_entries",
    "max_delay_ms",
    "queue",
    "max_bytes",
    "max_age_seconds",
    "when_full",
    "timeout_ms",
    "max_in_flight",
    "host",
];

const TEXTS: [&str; 18] = [
    "https://sqs.us-east-1.amazonaws.com/123456789012/q.fifo",
    "default",
    "arn:aws:sns:us-east-1:123456789012:t",
    "arn:aws:sns:us-east-1:123456789012:t.fifo",
    "us-east-1",
    "http://[::1]:80/",
    "https://a",
    "*",
    "PUT",
    "2xx",
    "200-204",
    "9xx",
    "/(?<id>.)",
    "(",
    "${path.id}",
    "${",
    "static",
    "drop_newest",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..700u32).prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let key = prop_oneof![9 => prop::sample::select(&KEYS[..]).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..10)
                .prop_map(|entries| Value::from(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Gives valid configurations with some values replaced.
fn nearly_valid() -> impl Strategy<Value = Value> {
    let full: Value = serde_json::from_slice(&fs::read(data("valid/full.json")).unwrap()).unwrap();
    let mut pointers = Vec::new();
    walk(&full, "", &mut pointers);
    prop::collection::vec((prop::sample::select(pointers), any_json()), 0..4).prop_map(move |changes| {
        let mut config = full.clone();
        for (pointer, value) in changes {
            if let Some(place) = config.pointer_mut(&pointer) {
                *place = value;
            }
        }
        config
    })
}

proptest! {
    #[test]
    fn any_json_is_a_configuration_or_has_faults(value in prop_oneof![any_json(), nearly_valid()]) {
        match Config::from_json(value.to_string().as_bytes()) {
            Ok(config) => {
                prop_assert!((1..=100).contains(&config.routes.all.len()));
                prop_assert!(config.routes.all.iter().all(|route| route.target < config.targets.len()));
                prop_assert!(config.routes.all.iter().all(|route| route.attributes.len() <= 9));
            }
            Err(faults) => {
                prop_assert!(faults.iter().count() > 0);
                prop_assert_eq!(faults.to_string().lines().count(), faults.iter().count());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_configuration_or_have_faults(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(faults) = Config::from_json(&bytes) {
            prop_assert!(faults.iter().count() > 0);
        }
    }
}
