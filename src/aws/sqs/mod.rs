//! The SQS JSON protocol (AWS JSON 1.0): bodies of `SendMessage` and `SendMessageBatch`, their
//! replies, and the limits of SQS.
//!
//! Never sends, signs or retries, and never decides what is in a message: it writes messages that
//! already fit.

mod checksum;
mod queue_url;
mod reply;
mod request;
mod stored;

use http::HeaderMap;

use crate::aws::endpoint::Endpoint;
use crate::aws::error::{Failure, Outcome};
use crate::aws::protocol::{self, Protocol, Stored, TargetKind};
use crate::aws::sqs::queue_url::QueueUrl;
use crate::callout::Reply;
use crate::event::Event;

use reply::{parse_batch, parse_sent};
use request::{headers, send_message, send_message_batch, size, Action, Message};
use stored::{parse_stored, parse_stored_batch};

/// Bytes that one message may have with its attributes (names, types, values) in UTF-8, and all
/// messages of one `SendMessageBatch` together: 1,048,576.
///
/// SQS API Reference, actions SendMessage and SendMessageBatch. A queue whose `MaximumMessageSize`
/// is lower takes less.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Queues, by their URL.
pub(crate) static KIND: TargetKind = TargetKind {
    key: "queue_url",
    target: "a queue",
    name: "the URL of a queue",
    remedy: "give the URL of an SQS queue, such as `https://sqs.us-east-1.amazonaws.com/123456789012/profile-events`",
    parse: if cfg!(any(feature = "targets", feature = "capture")) { Some(protocol::parse::<QueueUrl>) } else { None },
};

impl Protocol for QueueUrl {
    fn kind(&self) -> &'static TargetKind {
        &KIND
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn service(&self) -> &'static str {
        "sqs"
    }

    fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    fn keeps_order(&self) -> bool {
        self.fifo
    }

    fn takes_trace_header(&self) -> bool {
        true
    }

    fn max_bytes(&self) -> usize {
        MAX_MESSAGE_BYTES
    }

    fn size(&self, event: &Event) -> usize {
        size(&event.message, &event.attributes)
    }

    fn headers(&self, events: &[&Event]) -> HeaderMap {
        headers(if events.len() == 1 { Action::SendMessage } else { Action::SendMessageBatch })
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

    fn parse_stored(&self, reply: &Reply, events: &[Option<&Event>]) -> Result<Vec<Stored>, Failure> {
        let messages: Vec<_> = events.iter().map(|event| event.map(|event| message_of(event, self.fifo))).collect();
        match messages.as_slice() {
            [Some(message)] => parse_stored(reply, message).map(|id| vec![Ok(id)]),
            [None] => parse_sent(reply).map(|id| vec![Ok(id)]),
            _ => parse_stored_batch(reply, &messages),
        }
    }
}

/// Makes an event a message. On a FIFO queue its id is the deduplication id, so that an event that
/// is sent twice within five minutes is delivered once; and an event without a group is a group of
/// its own.
fn message_of(event: &Event, fifo: bool) -> Message<'_> {
    Message {
        body: &event.message,
        attributes: &event.attributes,
        group_id: event.group_id.as_deref().or(fifo.then_some(&event.id)),
        deduplication_id: fifo.then_some(&event.id),
        trace_header: event.trace_header.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::aws::error::FailureClass;
    use crate::callout::testing::response;
    use crate::clock::Timestamp;

    fn event(id: &str, group_id: Option<&str>) -> Event {
        Event {
            id: id.into(),
            message: "{}".into(),
            attributes: vec![],
            subject: Some("SQS has none".into()),
            group_id: group_id.map(str::to_owned),
            trace_header: None,
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
        for (events, action, body) in [
            (1, "AmazonSQS.SendMessage", r#"{"MessageId":"m"}"#),
            (2, "AmazonSQS.SendMessageBatch", r#"{"Successful":[{"Id":"0"},{"Id":"1"}]}"#),
        ] {
            assert!(queue.headers(&vec![&Event::default(); events])["x-amz-target"] == action);
            assert_eq!(queue.parse_reply(&response(200, body), events), vec![Outcome::Delivered; events]);
        }
        let refused = queue.parse_reply(&response(200, r#"{"Successful":[{"Id":"0"}]}"#), 1);
        assert!(matches!(&refused[..], [Outcome::Failed(failure)] if failure.class == FailureClass::Transient));
    }
}
