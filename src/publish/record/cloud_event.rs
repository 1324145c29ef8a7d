//! The envelope of a CloudEvent around a message (CloudEvents 1.0, JSON format, structured mode),
//! and its attributes beside it. Never changes what is in it.

use crate::aws::uri::push_encoded;
use crate::clock::Timestamp;
use crate::event::{CLOUD_EVENT_ATTRIBUTES, DEFAULT_TYPE};
use crate::exchange::{Entity, Exchange};
use crate::json::push_string;

const SPECVERSION: &str = "1.0";

/// Attributes of one CloudEvent.
pub(super) struct CloudEventEnvelope<'a> {
    id: &'a str,
    source: String,
    event_type: &'a str,
    subject: &'a str,
    time: String,
}

impl<'a> CloudEventEnvelope<'a> {
    /// Makes the attributes of the event `id`, which happened `now`.
    #[inline(never)]
    pub(super) fn new(
        exchange: &'a Exchange<'_>,
        id: &'a str,
        event_type: Option<&'a str>,
        now: Timestamp,
    ) -> CloudEventEnvelope<'a> {
        CloudEventEnvelope {
            id,
            source: source(exchange),
            event_type: event_type.unwrap_or(DEFAULT_TYPE),
            subject: exchange.request.path(),
            time: now.rfc3339(),
        }
    }

    /// Writes the CloudEvent whose data is this JSON.
    #[inline(never)]
    pub(super) fn around(&self, data: &str) -> String {
        const FIXED: usize = 256;
        let room = FIXED + data.len() + self.source.len() + self.event_type.len() + 2 * self.subject.len();
        let mut json = String::with_capacity(room);
        let required = CLOUD_EVENT_ATTRIBUTES.into_iter().zip(self.required());
        // An attribute that is empty is none (CloudEvents 1.0, "subject").
        let subject = Some(("ce-subject", self.subject)).filter(|(_, subject)| !subject.is_empty());
        let others = [("ce-time", self.time.as_str()), ("ce-datacontenttype", "application/json")];
        for (name, value) in required.chain(subject).chain(others) {
            json.push_str(if json.is_empty() { "{\"" } else { ",\"" });
            json.push_str(name.trim_start_matches("ce-"));
            json.push_str("\":");
            push_string(&mut json, value);
        }
        json.push_str(",\"data\":");
        json.push_str(data);
        json.push('}');
        json
    }

    /// Returns the values of [`CLOUD_EVENT_ATTRIBUTES`].
    pub(super) fn required(&self) -> [&str; 4] {
        [SPECVERSION, self.id, &self.source, self.event_type]
    }

    /// Returns the attributes that a message has where there is room.
    pub(super) fn optional(&self) -> [(&'static str, &str); 2] {
        [("ce-subject", self.subject), ("ce-time", &self.time)]
    }
}

/// Returns the service and the route as a reference to a URI, which is valid whatever they are
/// called: `/services/orders/routes/orders-v1`; `/` where neither has a name.
fn source(exchange: &Exchange<'_>) -> String {
    let mut source = String::new();
    for (kind, entity) in [("/services/", &exchange.service), ("/routes/", &exchange.route)] {
        let name = entity.as_ref().and_then(|Entity { name, .. }| name.as_deref()).filter(|name| !name.is_empty());
        if let Some(name) = name {
            source.push_str(kind);
            push_encoded(&mut source, name);
        }
    }
    if source.is_empty() {
        source.push('/');
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{json, Value};

    fn exchange(service: Option<&str>, route: Option<&str>, target: &str) -> Exchange<'static> {
        let entity = |name: Option<&str>| Some(Entity { name: name.map(|name| name.to_owned().into()), json: None });
        let mut exchange = Exchange { service: entity(service), route: entity(route), ..Exchange::default() };
        exchange.request.target = target.to_owned().into();
        exchange
    }

    #[test]
    fn an_event_has_what_the_specification_asks_for() {
        let exchange = exchange(Some("shop/eu 1"), Some("é"), "/orders/7?a=1");
        let envelope = CloudEventEnvelope::new(&exchange, "id-1", Some("order.placed"), Timestamp(1_767_268_800_012));
        let event: Value = serde_json::from_str(&envelope.around(r#"{"a":[1]}"#)).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "id-1", "source": "/services/shop%2Feu%201/routes/%C3%A9",
            "type": "order.placed", "subject": "/orders/7", "time": "2026-01-01T12:00:00.012Z",
            "datacontenttype": "application/json", "data": {"a": [1]},
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn what_has_no_name_leaves_a_source_that_is_valid_all_the_same() {
        let source = |service, route| source(&exchange(service, route, "/"));
        assert_eq!(source(None, None), "/");
        assert_eq!([source(Some("a"), None), source(Some(""), Some("b"))], ["/services/a", "/routes/b"]);
        let bare = exchange(None, None, "");
        let event: Value =
            serde_json::from_str(&CloudEventEnvelope::new(&bare, "i", None, Timestamp(0)).around("1")).unwrap();
        assert_eq!((&event["type"], event.get("subject")), (&json!("exchange"), None));
    }

    proptest! {
        #[test]
        fn whatever_things_are_called_it_is_json_with_a_source_of_uri_characters(name in any::<String>(), path in any::<String>()) {
            let exchange = exchange(Some(&name), Some(&name), &path);
            let envelope = CloudEventEnvelope::new(&exchange, "id", None, Timestamp(0));
            let event: Value = serde_json::from_str(&envelope.around("{}")).unwrap();
            let source = event["source"].as_str().unwrap();
            prop_assert!(source.starts_with('/') && !source.starts_with("//"));
            prop_assert!(source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%/".contains(&byte)));
            prop_assert_eq!(event["data"].clone(), json!({}));
        }
    }
}
