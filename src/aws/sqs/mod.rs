//! The SQS JSON protocol (AWS JSON 1.0): bodies of `SendMessage` and `SendMessageBatch`, their replies, and the limits of what
//! SQS takes.
//!
//! Never sends, signs or retries, and never decides what a message says: it writes messages that already fit.

pub mod queue_url;
mod reply;
mod request;

use crate::aws::error::Outcome;
use crate::aws::protocol::Protocol;
use crate::aws::sqs::queue_url::QueueUrl;
use crate::callout::Reply;
use crate::event::Event;

pub use reply::{parse_batch, parse_sent};
pub use request::{headers, send_message, send_message_batch, size, Action, Message};

/// Bytes of one message with its attributes (names, types, values), in UTF-8: 1,048,576.
///
/// SQS API Reference, action SendMessage. A queue whose `MaximumMessageSize` is lower takes less.
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Bytes of all messages of one `SendMessageBatch` with their attributes: 1,048,576, the same as for one message.
///
/// SQS API Reference, action SendMessageBatch.
pub const MAX_BATCH_BYTES: usize = 1_048_576;

impl Protocol for QueueUrl {
    fn key(&self) -> &'static str {
        "queue_url"
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn service(&self) -> &'static str {
        "sqs"
    }

    fn keeps_order(&self) -> bool {
        self.fifo
    }

    fn max_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn size(&self, event: &Event) -> usize {
        size(&event.message, &event.attributes)
    }

    fn headers(&self, events: usize) -> Vec<(String, String)> {
        headers(if events == 1 { Action::SendMessage } else { Action::SendMessageBatch })
    }

    fn body(&self, events: &[&Event]) -> Vec<u8> {
        match events {
            [event] => send_message(&self.text, message_of(event, self.fifo)),
            _ => {
                let messages: Vec<_> = events.iter().map(|event| message_of(event, self.fifo)).collect();
                send_message_batch(&self.text, &messages)
            }
        }
    }

    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome> {
        match events {
            1 => vec![parse_sent(reply).map_or_else(Outcome::Failed, |_| Outcome::Delivered)],
            _ => parse_batch(reply, events),
        }
    }
}

/// An event as a message. On a FIFO queue its id is the deduplication id, so that an event that is sent twice within five
/// minutes is delivered once; and an event without group is a group of its own.
fn message_of(event: &Event, fifo: bool) -> Message<'_> {
    Message {
        body: &event.message,
        attributes: &event.attributes,
        group_id: event.group_id.as_deref().or(fifo.then_some(&event.id)),
        deduplication_id: fifo.then_some(&event.id),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::aws::error::FailureClass;
    use crate::clock::Timestamp;

    fn event(id: &str, group_id: Option<&str>) -> Event {
        Event {
            id: id.into(),
            message: "{}".into(),
            attributes: vec![],
            subject: Some("SQS has none".into()),
            group_id: group_id.map(str::to_owned),
            at: Timestamp(0),
        }
    }

    fn body(queue: &str, events: &[&Event]) -> Value {
        let queue: QueueUrl = format!("http://localhost/1/{queue}").parse().unwrap();
        serde_json::from_slice(&queue.body(events)).unwrap()
    }

    #[test]
    fn a_fifo_queue_gets_groups_and_deduplication_ids() {
        let (own, none) = (event("e-1", Some("g")), event("e-2", None));
        assert_eq!(
            body("q.fifo", &[&own, &none])["Entries"],
            json!([
                {"Id": "0", "MessageBody": "{}", "MessageGroupId": "g", "MessageDeduplicationId": "e-1"},
                {"Id": "1", "MessageBody": "{}", "MessageGroupId": "e-2", "MessageDeduplicationId": "e-2"},
            ])
        );
        assert_eq!(
            body("q", &[&own, &none])["Entries"],
            json!([{"Id": "0", "MessageBody": "{}", "MessageGroupId": "g"}, {"Id": "1", "MessageBody": "{}"}])
        );
        assert_eq!(body("q", &[&none]), json!({"QueueUrl": "http://localhost/1/q", "MessageBody": "{}"}));
    }

    #[test]
    fn one_event_is_a_message_and_more_are_a_batch() {
        let queue: QueueUrl = "http://localhost/1/q".parse().unwrap();
        let reply = |body: &str| Reply::Response { status: 200, headers: vec![], body: body.into() };
        for (events, action, body) in [
            (1, "AmazonSQS.SendMessage", r#"{"MessageId":"m"}"#),
            (2, "AmazonSQS.SendMessageBatch", r#"{"Successful":[{"Id":"0"},{"Id":"1"}]}"#),
        ] {
            assert!(queue.headers(events).contains(&("x-amz-target".to_owned(), action.to_owned())));
            assert_eq!(queue.parse_reply(&reply(body), events), vec![Outcome::Delivered; events]);
        }
        let refused = queue.parse_reply(&reply(r#"{"Successful":[{"Id":"0"}]}"#), 1);
        assert!(matches!(&refused[..], [Outcome::Failed(failure)] if failure.class == FailureClass::Transient));
    }
}
