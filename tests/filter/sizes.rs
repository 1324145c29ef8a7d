//! Bytes of an event and of a call, as the target takes them and the configuration says.

use proxy_wasm_test_host::{Callout, Host, Response};
use serde_json::{json, Value};

use crate::shapes::call;
use crate::support::sns;
use crate::support::{config, load, numbered, put, Way, GATEWAYS, TICK};

const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/q";
const MIB: usize = 1_048_576;
const KIB_256: usize = 262_144;

fn start(way: Way, target: &Value, max_message_bytes: Option<usize>) -> Host {
    let mut changes = target.clone();
    changes["max_message_bytes"] = json!(max_message_bytes);
    let names = ["sqs", "events"].map(|service| format!("{service}.us-east-1.amazonaws.com:443"));
    let [sqs, events] = &names;
    let mut host = load(way.builder().cluster(sqs).cluster(events));
    host.start_plugin(config(changes).to_string()).unwrap();
    host
}

/// The targets, each with the bytes that it takes unless it is told to take others.
fn targets() -> [(Value, usize); 3] {
    [
        (json!({}), KIB_256),
        (json!({"topic_arn": null, "queue_url": QUEUE}), MIB),
        (json!({"topic_arn": null, "event_bus": "b", "region": "us-east-1"}), MIB),
    ]
}

/// The messages of a call, as they were sent.
fn messages(callout: &Callout) -> Vec<String> {
    if callout.upstream.starts_with("sns.") {
        let fields = sns::fields(callout);
        let is_message = |name: &str| name == "Message" || name.ends_with(".Message");
        return fields.into_iter().filter(|(name, _)| is_message(name)).map(|(_, text)| text).collect();
    }
    let body: Value = serde_json::from_slice(&callout.body).unwrap();
    let text = |entry: &Value| {
        let text = ["MessageBody", "Detail"].iter().find_map(|name| entry[*name].as_str());
        text.unwrap().to_owned()
    };
    match body["Entries"].as_array() {
        Some(entries) => entries.iter().map(text).collect(),
        None => vec![text(&body)],
    }
}

#[test]
fn an_event_has_as_many_bytes_as_its_target_takes() {
    for way in GATEWAYS {
        for (target, default) in targets() {
            for (configured, most) in [(None, default), (Some(MIB), MIB), (Some(65_536), 65_536)] {
                for (header, is_whole) in [(most - 8_192, true), (most + 1, false)] {
                    let mut host = start(way, &target, configured);
                    way.run(&mut host, &put().request_header("x-large", "a".repeat(header)));
                    let text = messages(&call(&mut host)).remove(0);
                    let message: Value = serde_json::from_str(&text).unwrap();
                    assert!(text.len() <= most, "{way:?} {target} {configured:?} {}", text.len());
                    assert_eq!(message.get("truncated").is_none(), is_whole, "{way:?} {target} {configured:?}");
                    assert_eq!(text.len() > header, is_whole);
                }
            }
        }
    }
}

#[test]
fn a_call_has_as_many_bytes_as_its_target_takes() {
    for way in GATEWAYS {
        for (target, default) in targets() {
            for configured in [None, Some(MIB), Some(65_536)] {
                // A topic takes as many bytes in a call as in a message; the others always a MiB.
                let is_topic = target == json!({});
                let most = if is_topic { configured.unwrap_or(default) } else { MIB };
                let mut host = start(way, &target, configured);
                (0..10).for_each(|n| way.run(&mut host, &numbered(n).request_header("x-large", "a".repeat(60_000))));
                let mut sent = Vec::new();
                for _ in 0..400 {
                    host.advance(TICK).unwrap();
                    for callout in host.take_callouts() {
                        let messages = messages(&callout);
                        let bytes: usize = messages.iter().map(String::len).sum();
                        assert!(bytes <= most, "{way:?} {target} {configured:?}: {bytes}");
                        sent.push(messages.len());
                        host.respond(callout.token, accept(&callout, messages.len())).unwrap();
                    }
                    if sent.iter().sum::<usize>() == 10 {
                        break;
                    }
                }
                assert_eq!(sent.iter().sum::<usize>(), 10, "{way:?} {target} {configured:?}");
                // An event has a little more than its header.
                let largest = *sent.iter().max().unwrap();
                let is_full = largest == 10 || (largest + 1) * 63_000 > most;
                assert!(largest * 60_000 <= most && is_full, "{way:?} {target} {configured:?}: {largest}");
            }
        }
    }
}

fn accept(callout: &Callout, messages: usize) -> Response {
    if callout.upstream.starts_with("sns.") {
        return sns::accept(callout);
    }
    let all = || 0..messages;
    let body = match (callout.upstream.starts_with("sqs."), messages) {
        (true, 1) => json!({"MessageId": "m"}),
        (true, _) => {
            json!({"Successful": all().map(|n| json!({"Id": n.to_string(), "MessageId": "m"})).collect::<Vec<_>>()})
        }
        (false, _) => {
            json!({"FailedEntryCount": 0, "Entries": all().map(|_| json!({"EventId": "e"})).collect::<Vec<_>>()})
        }
    };
    Response::new(200).body(body.to_string())
}
