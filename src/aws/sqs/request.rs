//! Bodies of `SendMessage` and `SendMessageBatch`.
//!
//! Never cuts or checks a message: whatever makes messages and batches keeps to the limits.

use crate::aws::protocol::{self, AMZ_TARGET};
use crate::event::Attribute;
use crate::json::push_field;
use http::header::{HeaderMap, CONTENT_TYPE};

/// An action of SQS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// One message.
    SendMessage,
    /// Up to ten.
    SendMessageBatch,
}

/// A message for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// The text, of the characters that SQS carries (see [`crate::aws::text::message`]).
    pub(crate) body: &'a str,
    /// The attributes, at most 10.
    pub(crate) attributes: &'a [Attribute],
    /// The group whose order a FIFO queue keeps; it needs one. On a standard queue it makes for
    /// fairness.
    pub(crate) group_id: Option<&'a str>,
    /// The id by which a FIFO queue knows a message that is sent twice within five minutes, and
    /// delivers it once. A standard queue refuses it.
    pub(crate) deduplication_id: Option<&'a str>,
    /// The trace that it belongs to, which does not count towards its bytes.
    pub(crate) trace_header: Option<&'a str>,
}

/// Returns the headers of a request, beside those of the signature.
pub(crate) fn headers(action: Action) -> HeaderMap {
    let target = match action {
        Action::SendMessage => "AmazonSQS.SendMessage",
        Action::SendMessageBatch => "AmazonSQS.SendMessageBatch",
    };
    protocol::headers([(CONTENT_TYPE, "application/x-amz-json-1.0"), (AMZ_TARGET, target)])
}

/// Returns the bytes of a message that count towards [`super::MAX_MESSAGE_BYTES`]: its body, and
/// the names, types and values of its attributes (SQS Developer Guide, "Amazon SQS message
/// quotas").
pub(crate) fn size(body: &str, attributes: &[Attribute]) -> usize {
    let attribute =
        |Attribute { name, data_type, value }: &Attribute| name.len() + data_type.as_str().len() + value.len();
    body.len() + attributes.iter().map(attribute).sum::<usize>()
}

/// Writes the body of a `SendMessage` to the queue of this URL.
pub(crate) fn send_message(queue: &str, message: Message<'_>) -> Vec<u8> {
    let mut json = room_for(&[message]);
    push_message(&mut json, "{\"QueueUrl\":", queue, &message);
    json.into_bytes()
}

/// Writes the body of a `SendMessageBatch` to the queue of this URL. The id of an entry is its
/// position in `messages`, from `0`, and [`super::parse_batch`] relies on that.
pub(crate) fn send_message_batch(queue: &str, messages: &[Message<'_>]) -> Vec<u8> {
    let mut json = room_for(messages);
    push_field(&mut json, "{\"QueueUrl\":", queue);
    json.push_str(",\"Entries\":[");
    for (position, message) in messages.iter().enumerate() {
        let name = if position == 0 { "{\"Id\":" } else { ",{\"Id\":" };
        push_message(&mut json, name, &position.to_string(), message);
    }
    json.push_str("]}");
    json.into_bytes()
}

/// Writes a message, after the field that names its queue or its entry in a batch: `name` begins
/// the object.
fn push_message(json: &mut String, name: &str, value: &str, message: &Message<'_>) {
    let Message { body, attributes, group_id, deduplication_id, trace_header } = *message;
    push_field(json, name, value);
    push_field(json, ",\"MessageBody\":", body);
    for (position, Attribute { name, data_type, value }) in attributes.iter().enumerate() {
        push_field(json, if position == 0 { ",\"MessageAttributes\":{" } else { "," }, name);
        push_field(json, ":{\"DataType\":", data_type.as_str());
        push_field(json, ",\"StringValue\":", value);
        json.push('}');
    }
    if !attributes.is_empty() {
        json.push('}');
    }
    if let Some(trace) = trace_header {
        let name = ",\"MessageSystemAttributes\":{\"AWSTraceHeader\":{\"DataType\":\"String\",\"StringValue\":";
        push_field(json, name, trace);
        json.push_str("}}");
    }
    let ids = [(",\"MessageGroupId\":", group_id), (",\"MessageDeduplicationId\":", deduplication_id)];
    ids.into_iter().filter_map(|(name, id)| Some((name, id?))).for_each(|(name, id)| push_field(json, name, id));
    json.push('}');
}

/// Returns room for a body, and for the quotes that are escaped: about a quarter of a message of
/// JSON.
fn room_for(messages: &[Message<'_>]) -> String {
    let bytes = |Message { body, attributes, .. }: &Message<'_>| {
        size(body, attributes) + body.len() / 4 + 256 + 64 * attributes.len()
    };
    String::with_capacity(256 + messages.iter().map(bytes).sum::<usize>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{json, Value};

    use super::*;
    use crate::event::AttributeType;

    const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";

    fn attribute(name: &str, data_type: AttributeType, value: &str) -> Attribute {
        Attribute { name: name.to_owned().into(), data_type, value: value.into() }
    }

    fn message(body: &str) -> Message<'_> {
        Message { body, attributes: &[], group_id: None, deduplication_id: None, trace_header: None }
    }

    fn parsed(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn one_message_is_sent() {
        let attributes =
            [attribute("a.b", AttributeType::String, "é\n"), attribute("status", AttributeType::Number, "200")];
        let message = Message {
            attributes: &attributes,
            group_id: Some("g"),
            deduplication_id: Some("d"),
            trace_header: Some("Root=1-58406520-a006649127e371903a2de979"),
            ..message("{\"a\":\"é\"}")
        };
        assert_eq!(
            parsed(&send_message(QUEUE, message)),
            json!({
                "QueueUrl": QUEUE,
                "MessageBody": "{\"a\":\"é\"}",
                "MessageAttributes": {
                    "a.b": {"DataType": "String", "StringValue": "é\n"},
                    "status": {"DataType": "Number", "StringValue": "200"},
                },
                "MessageSystemAttributes": {
                    "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-58406520-a006649127e371903a2de979"},
                },
                "MessageGroupId": "g",
                "MessageDeduplicationId": "d",
            })
        );
        assert_eq!(size(message.body, &attributes), 10 + (3 + 6 + 3) + (6 + 6 + 3));
        assert_eq!(headers(Action::SendMessage)["x-amz-target"], "AmazonSQS.SendMessage");
    }

    #[test]
    fn what_is_not_there_is_not_said() {
        let body = send_message_batch(QUEUE, &[message("1"), message("2")]);
        let entries = json!([{"Id": "0", "MessageBody": "1"}, {"Id": "1", "MessageBody": "2"}]);
        assert_eq!(parsed(&body), json!({"QueueUrl": QUEUE, "Entries": entries}));
    }

    #[test]
    fn a_usual_batch_needs_no_second_allocation() {
        let text = r#"{"request":{"method":"PUT","uri":"/profile/42","headers":{"accept":"*/*"}}}"#.repeat(20);
        let attributes = vec![attribute("event_type", AttributeType::String, "profile.updated"); 6];
        let messages = [Message { attributes: &attributes, ..message(&text) }; 10];
        let body = send_message_batch(QUEUE, &messages);
        let reserved = 256 + 10 * (size(&text, &attributes) + text.len() / 4 + 256 + 64 * 6);
        assert_eq!(body.capacity(), reserved, "{} bytes used", body.len());
    }

    proptest! {
        #[test]
        fn a_body_says_what_the_messages_say(
            messages in proptest::collection::vec((any::<String>(), any::<String>(), any::<Option<String>>()), 1..=10),
        ) {
            let attributes: Vec<_> =
                messages.iter().map(|(_, value, _)| [attribute("a", AttributeType::String, value)]).collect();
            let batch: Vec<_> = messages
                .iter()
                .zip(&attributes)
                .map(|((body, _, group), attributes)| Message {
                    attributes, group_id: group.as_deref(), deduplication_id: group.as_deref(), ..message(body)
                })
                .collect();
            let body = parsed(&send_message_batch(QUEUE, &batch));
            for (position, (text, value, group)) in messages.iter().enumerate() {
                let entry = &body["Entries"][position];
                prop_assert_eq!(&entry["Id"], &json!(position.to_string()));
                prop_assert_eq!(&entry["MessageBody"], text);
                prop_assert_eq!(&entry["MessageAttributes"]["a"]["StringValue"], value);
                prop_assert_eq!(entry["MessageGroupId"].as_str(), group.as_deref());
                prop_assert_eq!(entry["MessageDeduplicationId"].as_str(), group.as_deref());
            }
            prop_assert_eq!(body["Entries"].as_array().unwrap().len(), messages.len());
        }
    }
}
