//! Bodies of `Publish` and `PublishBatch`.
//!
//! Never cuts or checks an event: whatever makes events and batches keeps to the limits.

use std::borrow::Cow;

use crate::aws::form::Form;
use crate::aws::sns::topic_arn::TopicArn;
use crate::event::{Attribute, AttributeType, Event};
use crate::json::is_plain;

/// The `content-type` of a request.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Returns the bytes of an event that count towards [`super::MAX_MESSAGE_BYTES`].
///
/// AWS counts the message and the names, types and values of the attributes (SNS API Reference,
/// MessageAttributeValue). The subject is counted too, to be on the safe side.
pub(crate) fn size(event: &Event) -> usize {
    let attribute = |attribute: &Attribute| {
        attribute.name.len() + attribute.data_type.as_str().len() + string_value(attribute).len()
    };
    event.message.len()
        + event.subject.as_ref().map_or(0, String::len)
        + event.attributes.iter().map(attribute).sum::<usize>()
}

/// Writes the body of the request that publishes `events` to `topic`: `Publish` for one event,
/// `PublishBatch` for several.
///
/// SNS refuses more than [`protocol::MAX_EVENTS`](crate::aws::protocol::MAX_EVENTS) events, and
/// more than [`super::MAX_MESSAGE_BYTES`] bytes (see [`size`]). The id of an entry is its position
/// in `events`, from `0`, and [`super::parse_reply`] relies on that.
///
/// On a FIFO topic the event's id is the deduplication id (at most 128 characters of ASCII letters,
/// digits and punctuation), so that an event that is sent twice within five minutes is delivered
/// once. An event without a group is a group of its own there, because SNS refuses an entry without
/// one and there is no order to keep.
pub(crate) fn body(topic: &TopicArn, events: &[&Event]) -> Vec<u8> {
    // JSON grows by half to its double when it is percent-encoded, and the names of an entry's or
    // an attribute's fields take 256 bytes. While the last value is encoded, it may take its
    // triple.
    let entry_bytes = |event: &&Event| 2 * size(event) + 256 * (1 + event.attributes.len());
    let entries: usize = events.iter().map(entry_bytes).sum();
    let largest = events.iter().map(|event| size(event)).max().unwrap_or(0);
    let action = match events {
        [_] => "Action=Publish&Version=2010-03-31",
        _ => "Action=PublishBatch&Version=2010-03-31",
    };
    let mut form = Form::new(action, 256 + entries + largest);
    form.field("", "TopicArn", &topic.text);
    if let [event] = events {
        add_entry(&mut form, "", topic, event);
    } else {
        for (position, event) in events.iter().enumerate() {
            let prefix = format!("PublishBatchRequestEntries.member.{}.", position + 1);
            form.field(&prefix, "Id", &position.to_string());
            add_entry(&mut form, &prefix, topic, event);
        }
    }
    form.into_bytes()
}

/// Returns the value of an attribute as a filter policy reads it: in a text, quotes and backslashes
/// are escaped as in JSON. With one that is not, a message is not delivered where a subscription has
/// a filter policy (SNS Developer Guide, "Filter policy constraints").
fn string_value(attribute: &Attribute) -> Cow<'_, str> {
    let value = &attribute.value;
    if attribute.data_type != AttributeType::String || is_plain(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', r"\\").replace('"', "\\\""))
}

fn add_entry(form: &mut Form, prefix: &str, topic: &TopicArn, event: &Event) {
    form.field(prefix, "Message", &event.message);
    if let Some(subject) = &event.subject {
        form.field(prefix, "Subject", subject);
    }
    for (position, attribute) in event.attributes.iter().enumerate() {
        let prefix = format!("{prefix}MessageAttributes.entry.{}.", position + 1);
        form.field(&prefix, "Name", &attribute.name);
        form.field(&prefix, "Value.DataType", attribute.data_type.as_str());
        form.field(&prefix, "Value.StringValue", &string_value(attribute));
    }
    let own_group = topic.fifo.then_some(&event.id);
    if let Some(group) = event.group_id.as_ref().or(own_group) {
        form.field(prefix, "MessageGroupId", group);
    }
    if topic.fifo {
        form.field(prefix, "MessageDeduplicationId", &event.id);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;

    pub(crate) fn topic(fifo: bool) -> TopicArn {
        let name = if fifo { "events.fifo" } else { "events" };
        TopicArn { text: format!("arn:aws:sns:us-east-1:123456789012:{name}"), region: "us-east-1".into(), fifo }
    }

    fn attribute(name: &str, data_type: AttributeType, value: &str) -> Attribute {
        Attribute { name: name.to_owned().into(), data_type, value: value.into() }
    }

    pub(crate) fn event(id: &str, message: &str) -> Event {
        Event {
            id: id.into(),
            message: message.into(),
            attributes: vec![],
            subject: None,
            group_id: None,
            trace_header: None,
            at: Timestamp(0),
        }
    }

    /// What the fields of a body should be, said in another way than the code says it.
    fn expected(topic: &TopicArn, events: &[&Event]) -> Vec<(String, String)> {
        let mut fields = vec![];
        let mut add = |name: String, value: &str| fields.push((name, value.to_owned()));
        let batch = events.len() != 1;
        add("Action".into(), if batch { "PublishBatch" } else { "Publish" });
        add("Version".into(), "2010-03-31");
        add("TopicArn".into(), &topic.text);
        for (i, event) in events.iter().enumerate() {
            let key = |name: &str| match batch {
                true => format!("PublishBatchRequestEntries.member.{}.{name}", i + 1),
                false => name.to_owned(),
            };
            if batch {
                add(key("Id"), &format!("{i}"));
            }
            add(key("Message"), &event.message);
            if let Some(subject) = &event.subject {
                add(key("Subject"), subject);
            }
            for (n, attribute) in event.attributes.iter().enumerate() {
                add(key(&format!("MessageAttributes.entry.{}.Name", n + 1)), &attribute.name);
                let data_type = match attribute.data_type {
                    AttributeType::String => "String",
                    AttributeType::Number => "Number",
                    AttributeType::StringArray => "String.Array",
                };
                add(key(&format!("MessageAttributes.entry.{}.Value.DataType", n + 1)), data_type);
                let escaped = |c| ['\\', c].into_iter().skip(usize::from(!matches!(c, '"' | '\\')));
                let value = match attribute.data_type {
                    AttributeType::String => attribute.value.chars().flat_map(escaped).collect(),
                    _ => attribute.value.clone(),
                };
                add(key(&format!("MessageAttributes.entry.{}.Value.StringValue", n + 1)), &value);
            }
            match (&event.group_id, topic.fifo) {
                (Some(group), _) => add(key("MessageGroupId"), group),
                (None, true) => add(key("MessageGroupId"), &event.id),
                (None, false) => {}
            }
            if topic.fifo {
                add(key("MessageDeduplicationId"), &event.id);
            }
        }
        fields
    }

    fn decoded(body: &[u8]) -> Vec<(String, String)> {
        form_urlencoded::parse(body).into_owned().collect()
    }

    #[test]
    fn one_event_is_published() {
        let event = Event {
            attributes: vec![
                attribute("event_type", AttributeType::String, "profile.updated"),
                attribute("status", AttributeType::Number, "200"),
            ],
            subject: Some("Hello & goodbye".into()),
            group_id: Some("42".into()),
            ..event("e-1", r#"{"id":"é"}"#)
        };
        assert_eq!(
            String::from_utf8(body(&topic(false), &[&event])).unwrap(),
            "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Aevents\
             &Message=%7B%22id%22%3A%22%C3%A9%22%7D&Subject=Hello+%26+goodbye\
             &MessageAttributes.entry.1.Name=event_type&MessageAttributes.entry.1.Value.DataType=String\
             &MessageAttributes.entry.1.Value.StringValue=profile.updated\
             &MessageAttributes.entry.2.Name=status&MessageAttributes.entry.2.Value.DataType=Number\
             &MessageAttributes.entry.2.Value.StringValue=200&MessageGroupId=42"
        );
    }

    #[test]
    fn several_events_are_a_batch() {
        let (first, second) = (event("e-1", "1"), event("e-2", "2"));
        assert_eq!(
            String::from_utf8(body(&topic(true), &[&first, &second])).unwrap(),
            "Action=PublishBatch&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Aevents.fifo\
             &PublishBatchRequestEntries.member.1.Id=0&PublishBatchRequestEntries.member.1.Message=1\
             &PublishBatchRequestEntries.member.1.MessageGroupId=e-1\
             &PublishBatchRequestEntries.member.1.MessageDeduplicationId=e-1\
             &PublishBatchRequestEntries.member.2.Id=1&PublishBatchRequestEntries.member.2.Message=2\
             &PublishBatchRequestEntries.member.2.MessageGroupId=e-2\
             &PublishBatchRequestEntries.member.2.MessageDeduplicationId=e-2"
        );
    }

    #[test]
    fn the_size_counts_what_sns_counts_and_the_subject() {
        let event = Event {
            attributes: vec![attribute("ab", AttributeType::Number, "7")],
            subject: Some("xyz".into()),
            group_id: Some("not counted".into()),
            ..event("not counted", "é")
        };
        assert_eq!(size(&event), 2 + 3 + 2 + "Number".len() + 1);
    }

    #[test]
    fn a_usual_batch_needs_no_second_allocation() {
        let message = r#"{"request":{"method":"PUT","uri":"/profile/42","headers":{"accept":"*/*"}}}"#.repeat(20);
        let event = Event {
            attributes: vec![attribute("event_type", AttributeType::String, "profile.updated"); 6],
            ..event("e-1", &message)
        };
        let body = body(&topic(false), &[&event; 10]);
        assert!(body.len() <= body.capacity());
        let reserved = 256 + 10 * (2 * size(&event) + 256 * 7) + size(&event);
        assert_eq!(body.capacity(), reserved, "{} bytes used", body.len());
    }

    prop_compose! {
        fn any_event()(
            id in "[!-~]{1,128}",
            message in any::<String>(),
            attributes in proptest::collection::vec(("[A-Za-z0-9_.-]{1,20}", any::<bool>(), any::<String>()), 0..4),
            subject in proptest::option::of(any::<String>()),
            group_id in proptest::option::of("[!-~]{1,20}"),
        ) -> Event {
            let attributes = attributes.iter().map(|(name, number, value)| {
                attribute(name, if *number { AttributeType::Number } else { AttributeType::String }, value)
            });
            Event { attributes: attributes.collect(), subject, group_id, ..event(&id, &message) }
        }
    }

    proptest! {
        #[test]
        fn a_body_says_what_the_events_say(
            events in proptest::collection::vec(any_event(), 1..=10),
            fifo in any::<bool>(),
        ) {
            let (topic, events) = (topic(fifo), events.iter().collect::<Vec<_>>());
            prop_assert_eq!(decoded(&body(&topic, &events)), expected(&topic, &events));
        }
    }
}
