//! A stand-in for SQS: reads the requests of the filter as SQS would, and writes its replies.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use proxy_wasm_test_host::{Callout, Response};
use serde_json::{json, Value};

use crate::support::sns::{Entry, Fate};

const SEND_MESSAGE: &str = "AmazonSQS.SendMessage";

fn is_batch(callout: &Callout) -> bool {
    callout.header("x-amz-target").unwrap() != SEND_MESSAGE
}

/// The messages of a request, and the queue that they are for. Fails where SQS would refuse it for
/// its form.
pub(crate) fn messages(callout: &Callout) -> (String, Vec<Entry>) {
    assert_eq!(callout.header("content-type").as_deref(), Some("application/x-amz-json-1.0"));
    assert!(callout
        .header("authorization")
        .unwrap()
        .contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target"));
    let body: Value = serde_json::from_slice(&callout.body).unwrap();
    let queue = body["QueueUrl"].as_str().unwrap().to_owned();
    if !is_batch(callout) {
        return (queue, vec![message(&body)]);
    }
    assert_eq!(callout.header("x-amz-target").unwrap(), "AmazonSQS.SendMessageBatch");
    let entries = body["Entries"].as_array().unwrap();
    assert!((1..=10).contains(&entries.len()));
    for (position, entry) in entries.iter().enumerate() {
        assert_eq!(entry["Id"], json!(position.to_string()));
    }
    (queue, entries.iter().map(message).collect())
}

fn message(entry: &Value) -> Entry {
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    let attributes = entry["MessageAttributes"].as_object().into_iter().flatten();
    let attributes: BTreeMap<_, _> = attributes
        .map(|(name, value)| {
            let part = |part: &str| value[part].as_str().unwrap().to_owned();
            (name.clone(), (part("DataType"), part("StringValue")))
        })
        .collect();
    assert!(attributes.len() <= 10 && attributes.values().all(|(_, value)| !value.is_empty()), "{attributes:?}");
    let body = text("MessageBody").unwrap();
    Entry {
        message: serde_json::from_str(&body).unwrap(),
        message_bytes: body.len(),
        subject: text("Subject"),
        attributes,
        group_id: text("MessageGroupId"),
        deduplication_id: text("MessageDeduplicationId"),
    }
}

/// The reply that takes everything.
pub(crate) fn accept(callout: &Callout) -> Response {
    reply(callout, &vec![Fate::Delivered; messages(callout).1.len()])
}

/// The reply to a request in which each message meets its fate.
pub(crate) fn reply(callout: &Callout, fates: &[Fate]) -> Response {
    let body: Value = serde_json::from_slice(&callout.body).unwrap();
    let sum_of = |entry: &Value| md5(entry["MessageBody"].as_str().unwrap());
    let body = if is_batch(callout) {
        let with_ids = || fates.iter().enumerate().map(|(position, fate)| (position.to_string(), fate));
        let successful: Vec<Value> = with_ids()
            .zip(body["Entries"].as_array().unwrap())
            .filter(|((_, fate), _)| **fate == Fate::Delivered)
            .map(
                |((id, _), entry)| json!({"Id": id, "MessageId": format!("m-{id}"), "MD5OfMessageBody": sum_of(entry)}),
            )
            .collect();
        let failed: Vec<Value> = with_ids()
            .filter_map(|(id, fate)| match fate {
                Fate::Failed(code, fault) => {
                    Some(json!({"Id": id, "Code": code, "SenderFault": fault, "Message": "no"}))
                }
                _ => None,
            })
            .collect();
        json!({"Successful": successful, "Failed": failed})
    } else {
        assert_eq!(fates, [Fate::Delivered], "a single message that is refused gets an error reply");
        json!({"MessageId": "m-0", "MD5OfMessageBody": sum_of(&body)})
    };
    Response::new(200).header("Content-Type", "application/x-amz-json-1.0").body(body.to_string())
}

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

/// The reply that refuses a whole request.
pub(crate) fn refusal(status: u16, code: &str) -> Response {
    let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": format!("because of {code}")});
    Response::new(status).header("Content-Type", "application/x-amz-json-1.0").body(body.to_string())
}
