//! The trace that a request belongs to: where the target has a place for it, and only if it is one.

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, Response};
use serde_json::{json, Value};

use crate::shapes::call;
use crate::support::sns;
use crate::support::{config, load, logged, put, Way, GATEWAYS, LONG, WAYS};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OF_PARENT: &str = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";
const OWN: &str = "Root=1-58406520-a006649127e371903a2de979;Sampled=0";
const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/q";

fn start(way: Way, changes: &Value) -> Host {
    let names = ["sqs", "events"].map(|service| format!("{service}.us-east-1.amazonaws.com:443"));
    let [sqs, events] = &names;
    let mut host = load(way.builder().cluster(sqs).cluster(events));
    host.start_plugin(config(changes.clone()).to_string()).unwrap();
    host
}

fn sent(way: Way, changes: &Value, spec: &ExchangeSpec) -> Callout {
    let mut host = start(way, changes);
    way.run(&mut host, spec);
    call(&mut host)
}

fn body(callout: &Callout) -> Value {
    serde_json::from_slice(&callout.body).unwrap()
}

/// Returns the traces that a queue and an event bus get, and the attribute that a topic gets.
fn traces(way: Way, more: &Value, spec: &ExchangeSpec) -> [Option<String>; 3] {
    let with = |target: Value| {
        let mut changes = target;
        changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sent(way, &changes, spec)
    };
    let message = body(&with(json!({"topic_arn": null, "queue_url": QUEUE})));
    let system = &message["MessageSystemAttributes"];
    assert!(
        system.is_null() || system.as_object().unwrap().len() == 1 && system["AWSTraceHeader"]["DataType"] == "String"
    );
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of_queue = text(&system["AWSTraceHeader"]["StringValue"]);
    let entry = body(&with(json!({"topic_arn": null, "event_bus": "b", "region": "us-east-1"})))["Entries"][0].clone();
    let of_topic = sns::entries(&with(json!({}))).remove(0);
    let parent = of_topic.attribute("traceparent").map(|(_, value)| value.to_owned());
    assert_eq!(text(&message["MessageAttributes"]["traceparent"]["StringValue"]), parent);
    [of_queue, text(&entry["TraceHeader"]), parent]
}

#[test]
fn a_valid_trace_goes_along_and_anything_else_does_not() {
    let found = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned));
    for way in WAYS {
        let parent = put().request_header("traceparent", PARENT);
        let none = json!({});
        assert_eq!(traces(way, &none, &parent), found([Some(OF_PARENT), Some(OF_PARENT), Some(PARENT)]), "{way:?}");
        let both = parent.clone().request_header("x-amzn-trace-id", OWN);
        assert_eq!(traces(way, &none, &both), found([Some(OWN), Some(OWN), Some(PARENT)]), "{way:?}");
        let hidden = json!({"redact": {"headers": ["traceparent", "x-amzn-trace-id"]}});
        assert_eq!(traces(way, &hidden, &both), found([None; 3]), "{way:?}");
        for garbage in ["", "00-0-0-0", "\u{e9}\"\\", &PARENT.to_uppercase(), &"0".repeat(5_000)] {
            let spec = put().request_header("traceparent", garbage).request_header("x-amzn-trace-id", garbage);
            assert_eq!(traces(way, &none, &spec), found([None; 3]), "{way:?} {garbage}");
        }
    }
}

#[test]
fn in_a_batch_each_entry_has_its_own_trace() {
    for way in GATEWAYS {
        for (target, of_entry) in [
            (json!({"topic_arn": null, "queue_url": QUEUE}), "/MessageSystemAttributes/AWSTraceHeader/StringValue"),
            (json!({"topic_arn": null, "event_bus": "b", "region": "us-east-1"}), "/TraceHeader"),
        ] {
            let mut host = start(way, &target);
            way.run(&mut host, &put().request_header("traceparent", PARENT));
            way.run(&mut host, &put());
            way.run(&mut host, &put().request_header("x-amzn-trace-id", OWN));
            let sent = body(&call(&mut host));
            let found: Vec<_> = sent["Entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry.pointer(of_entry).and_then(Value::as_str))
                .collect();
            assert_eq!(found, [Some(OF_PARENT), None, Some(OWN)], "{way:?} {sent}");
        }
    }
}

#[test]
fn a_message_of_one_s_own_has_the_trace_that_it_names() {
    for way in GATEWAYS {
        let spec = put().request_header("traceparent", PARENT);
        let unnamed = json!({"message": {"a": 1}});
        assert_eq!(traces(way, &unnamed, &spec), [None, None, None], "{way:?}");
        let named = json!({"message": {"trace": "${request.headers.traceparent}"}});
        assert_eq!(traces(way, &named, &spec)[0].as_deref(), Some(OF_PARENT), "{way:?}");
    }
}

#[test]
fn an_attribute_of_that_name_and_ten_others_go_before_a_trace() {
    for way in GATEWAYS {
        let spec = put().request_header("traceparent", PARENT);
        let own = sent(way, &json!({"attributes": {"traceparent": "mine"}}), &spec);
        assert_eq!(sns::entries(&own).remove(0).attribute("traceparent"), Some(("String", "mine")));
        let nine: Value = (0..9).map(|n| (format!("a{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        let entry = sns::entries(&sent(way, &json!({"attributes": nine}), &spec)).remove(0);
        assert_eq!((entry.attributes.len(), entry.attribute("traceparent")), (10, None));
    }
}

#[test]
fn a_dead_letter_keeps_the_trace() {
    let changes = json!({"topic_arn": null, "queue_url": QUEUE, "queue": {"max_age_seconds": 1}});
    let mut host = start(Way::HttpFilter, &changes);
    Way::HttpFilter.run(&mut host, &put().request_header("traceparent", PARENT));
    let callout = call(&mut host);
    host.respond(callout.token, Response::new(500)).unwrap();
    host.advance(LONG).unwrap();
    let lines = host.take_logs();
    let letter = lines.iter().find(|line| line.text.starts_with("retrohook-dead-letter ")).unwrap();
    assert!(letter.text.contains(&format!("\"trace_header\":\"{OF_PARENT}\"")), "{}", letter.text);
    assert!(logged(&mut host, proxy_wasm_test_host::LogLevel::Error).is_empty());
}
