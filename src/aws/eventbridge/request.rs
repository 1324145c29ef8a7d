//! Bodies of `PutEvents`.
//!
//! EventBridge has no message attributes: they stand in the detail, beside what the message says,
//! where rules can match them. A CloudEvent is the detail as it is, because it has no room for
//! more.

use serde::Serialize;

use crate::aws::eventbridge::event_bus::EventBus;
use crate::event::Event;
use crate::json::to_json_bytes;

/// The source of every entry, for rules to match.
pub(crate) const SOURCE: &str = "retrohook";

/// Bytes that a time counts for, whatever it is (EventBridge User Guide, "Calculating Amazon
/// EventBridge PutEvents event entry size").
const TIME_BYTES: usize = 14;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents<'a> {
    entries: Vec<PutEventsRequestEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutEventsRequestEntry<'a> {
    source: &'static str,
    detail_type: &'a str,
    detail: String,
    event_bus_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_header: Option<&'a str>,
    /// Seconds since the epoch, with a fraction.
    time: f64,
}

/// Returns the bytes of an event that count towards [`super::MAX_BATCH_BYTES`].
pub(crate) fn size(event: &Event) -> usize {
    TIME_BYTES + SOURCE.len() + event.event_type().len() + event.size_with_attributes()
}

/// Writes the body of the request that puts `events` on `bus`.
pub(crate) fn body(bus: &EventBus, events: &[&Event]) -> Vec<u8> {
    let entries: Vec<PutEventsRequestEntry<'_>> = events
        .iter()
        .map(|event| PutEventsRequestEntry {
            source: SOURCE,
            detail_type: event.event_type(),
            detail: event.with_attributes(),
            event_bus_name: &bus.text,
            trace_header: event.trace_header.as_deref(),
            time: event.at.0 as f64 / 1_000.0,
        })
        .collect();
    // The quotes that are escaped are about a quarter of a detail.
    let bytes = entries.iter().map(|entry| entry.detail.len() * 5 / 4 + 512).sum();
    to_json_bytes(&PutEvents { entries }, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{json, Value};

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Attribute, AttributeType};

    fn attribute(name: &str, data_type: AttributeType, value: &str) -> Attribute {
        Attribute { name: name.to_owned().into(), data_type, value: value.into() }
    }

    fn event(message: &str, attributes: Vec<Attribute>) -> Event {
        Event {
            id: "e-1".into(),
            message: message.into(),
            attributes,
            subject: None,
            group_id: None,
            trace_header: None,
            at: Timestamp(1_767_268_800_012),
        }
    }

    fn entries(events: &[&Event]) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&body(&"orders".parse().unwrap(), events)).unwrap();
        body["Entries"].as_array().unwrap().clone()
    }

    fn detail_of(entry: &Value) -> Value {
        serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_detail_is_the_message_and_its_attributes() {
        let attributes = vec![
            attribute("event_type", AttributeType::String, "order.placed"),
            attribute("status", AttributeType::Number, "201"),
            attribute("number", AttributeType::String, "7"),
            attribute("price", AttributeType::Number, "-1.50e3"),
            attribute("tags", AttributeType::StringArray, r#"["a",1,null]"#),
        ];
        let (typed, bare) = (event(r#"{"event_id":"é\n"}"#, attributes), event(r#"{"event_id":"b"}"#, vec![]));
        let entries = entries(&[&typed, &bare]);
        assert_eq!(
            detail_of(&entries[0]),
            json!({
                "event_id": "é\n",
                "attributes": {"event_type": "order.placed", "status": 201, "number": "7", "price": -1500.0, "tags": ["a", 1, null]},
            })
        );
        let mut first = entries[0].clone();
        first.as_object_mut().unwrap().remove("Detail");
        assert_eq!(
            first,
            json!({
                "Source": "retrohook", "DetailType": "order.placed", "EventBusName": "orders", "Time": 1_767_268_800.012,
            })
        );
        assert_eq!(detail_of(&entries[1]), json!({"event_id": "b"}));
        assert_eq!(entries[1]["DetailType"], "exchange");
    }

    #[test]
    fn a_trace_stands_beside_the_detail_and_does_not_count() {
        let bare = event(r#"{"event_id":"a"}"#, vec![]);
        let traced = Event { trace_header: Some("Root=1-58406520-a006649127e371903a2de979".into()), ..bare.clone() };
        let entries = entries(&[&bare, &traced]);
        assert_eq!(entries[0].get("TraceHeader"), None);
        assert_eq!(entries[1]["TraceHeader"], "Root=1-58406520-a006649127e371903a2de979");
        assert_eq!(size(&traced), size(&bare));
    }

    #[test]
    fn a_cloud_event_is_the_detail_as_it_is() {
        let given = |name: &str, value: &str| attribute(name, AttributeType::String, value);
        let event = event(r#"{"id":"e-1"}"#, vec![given("ce-specversion", "1.0"), given("ce-type", "order.placed")]);
        let entry = entries(&[&event]).remove(0);
        assert_eq!((&entry["Detail"], &entry["DetailType"]), (&json!(event.message), &json!("order.placed")));
        assert_eq!(size(&event), 14 + "retrohook".len() + "order.placed".len() + event.message.len());
    }

    proptest! {
        #[test]
        fn the_size_is_that_of_what_is_sent(
            text in any::<String>(),
            values in proptest::collection::vec((any::<String>(), any::<bool>()), 0..10),
        ) {
            let number = |is_number| if is_number { AttributeType::Number } else { AttributeType::String };
            let attributes = values.iter().map(|(value, is_number)| attribute("a", number(*is_number), value));
            let event = event(&json!({"event_id": text}).to_string(), attributes.collect());
            let entry = entries(&[&event]).remove(0);
            let length = |key: &str| entry[key].as_str().unwrap().len();
            prop_assert_eq!(size(&event), 14 + length("Source") + length("DetailType") + length("Detail"));
            prop_assert_eq!(&detail_of(&entry)["event_id"], &text);
        }
    }
}
