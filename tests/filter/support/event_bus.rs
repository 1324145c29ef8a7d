//! A stand-in for EventBridge: reads the requests of the filter as EventBridge would, and writes
//! its replies.

use proxy_wasm_test_host::{Callout, Response};
use serde_json::{json, Value};

use crate::support::sns::Fate;

/// One entry of a `PutEvents`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Put {
    pub bus: String,
    pub source: String,
    pub detail_type: String,
    pub detail: Value,
    pub time: f64,
}

/// The entries of a request. Fails where EventBridge would refuse it for its form.
pub(crate) fn entries(callout: &Callout) -> Vec<Put> {
    assert_eq!(callout.header("content-type").as_deref(), Some("application/x-amz-json-1.1"));
    assert_eq!(callout.header("x-amz-target").as_deref(), Some("AWSEvents.PutEvents"));
    let body: Value = serde_json::from_slice(&callout.body).unwrap();
    let entries = body["Entries"].as_array().unwrap();
    assert!((1..=10).contains(&entries.len()));
    let put = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        Put {
            bus: text("EventBusName"),
            source: text("Source"),
            detail_type: text("DetailType"),
            detail: serde_json::from_str(&text("Detail")).unwrap(),
            time: entry["Time"].as_f64().unwrap(),
        }
    };
    entries.iter().map(put).collect()
}

/// The reply that takes everything.
pub(crate) fn accept(callout: &Callout) -> Response {
    reply(&vec![Fate::Delivered; entries(callout).len()])
}

/// The reply in which each entry meets its fate.
pub(crate) fn reply(fates: &[Fate]) -> Response {
    let entry = |(position, fate): (usize, &Fate)| match fate {
        Fate::Delivered => json!({"EventId": format!("e-{position}")}),
        Fate::Failed(code, _) => json!({"ErrorCode": code, "ErrorMessage": "no"}),
        Fate::Unmentioned => json!({}),
    };
    let failed = fates.iter().filter(|fate| **fate != Fate::Delivered).count();
    let entries: Vec<Value> = fates.iter().enumerate().map(entry).collect();
    let body = json!({"FailedEntryCount": failed, "Entries": entries});
    Response::new(200).header("Content-Type", "application/x-amz-json-1.1").body(body.to_string())
}
