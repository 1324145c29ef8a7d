//! The message that a webhook becomes: the body, and all that a reader needs to handle it once and
//! to check it again.
//!
//! What a reader unpacks is byte for byte what was received: see [`BodyForm`]. Never decides
//! whether a webhook is good.

use std::borrow::Cow;

use super::delivery_id::Delivery;
use super::verify::{Rejection, Signed};
use crate::aws::text;
use crate::clock::Timestamp;
use crate::event::{Attribute, AttributeType};
use crate::exchange::body_form::BodyForm;
use crate::exchange::{ClientRequest, Headers};
use crate::json::{push_field, push_string};

/// The type of an event that is a webhook.
const EVENT_TYPE: &str = "webhook";

/// A webhook that is to be stored. Of the request, the headers and the query are what may be stored
/// of them.
#[derive(Clone, Debug)]
pub(super) struct Envelope<'a> {
    /// What was asked for.
    pub request: &'a ClientRequest<'a>,
    /// What came with it.
    pub body: &'a [u8],
    /// Its ids and its sender.
    pub delivery: &'a Delivery,
    /// The name of its capture.
    pub capture: &'a str,
    /// When it was whole.
    pub received_at: Timestamp,
    /// What came of the signature check, if there was one.
    pub verified: Option<&'a Result<Signed, Rejection>>,
}

impl Envelope<'_> {
    /// The message: `{"id":"…","body":…,"headers":{…},…}`. The body begins behind the first
    /// `","body":`, which no id can have in it.
    pub(super) fn message(&self) -> String {
        let content_type = self.request.headers.get("content-type");
        let body = BodyForm::of(self.body, content_type);
        let rest = text::message(self.rest(matches!(body, BodyForm::Base64(_))));
        let bytes = match &body {
            BodyForm::Json(text) => text.len(),
            BodyForm::Text(text) => text.len() + text.len() / 4,
            BodyForm::Base64(text) => text.len(),
        };
        let mut message = String::with_capacity(bytes + rest.len() + 128);
        push_field(&mut message, "{\"id\":", &self.delivery.id);
        message.push_str(",\"body\":");
        match &body {
            BodyForm::Json(raw) => message.push_str(raw),
            BodyForm::Text(text) => push_string(&mut message, text),
            BodyForm::Base64(text) => message.extend(["\"", text, "\""]),
        }
        message.push_str(&rest);
        message
    }

    /// All that comes behind the body.
    fn rest(&self, is_base64: bool) -> String {
        let request = self.request;
        let headers: usize = request.headers.0.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        let mut rest = String::with_capacity(headers + request.target.len() + 256);
        if is_base64 {
            push_field(&mut rest, ",\"encoding\":", "base64");
        }
        rest.push_str(",\"headers\":");
        push_headers(&mut rest, &request.headers);
        push_field(&mut rest, ",\"received_at\":", &self.received_at.rfc3339());
        push_field(&mut rest, ",\"method\":", &request.method);
        push_field(&mut rest, ",\"path\":", request.path());
        push_field(&mut rest, ",\"query\":", request.query());
        if let Some(sender_id) = &self.delivery.sender_id {
            push_field(&mut rest, ",\"sender_id\":", sender_id);
        }
        push_field(&mut rest, ",\"body_sha256\":", &self.delivery.body_sha256);
        match self.verified {
            None => {}
            Some(Ok(_)) => rest.push_str(",\"verified\":true"),
            Some(Err(why)) => {
                rest.push_str(",\"verified\":false");
                push_field(&mut rest, ",\"verify_error\":", &why.to_string());
            }
        }
        rest.push('}');
        rest
    }

    /// What travels beside the message, for those who look before they read. Where a target has
    /// types of events, one of them is the type.
    pub(super) fn attributes(&self, has_event_types: bool) -> Vec<Attribute> {
        let verified = self.verified.map(|verified| if verified.is_ok() { "true" } else { "false" });
        let carried = |text: &str| text::attribute_value(text.to_owned()).map(Cow::Owned);
        let values = [
            ("event_type", has_event_types.then_some(Cow::Borrowed(EVENT_TYPE))),
            ("id", Some(Cow::Borrowed(self.delivery.id.as_str()))),
            ("source", Some(Cow::Borrowed(self.delivery.source))),
            ("verified", verified.map(Cow::Borrowed)),
            ("capture", carried(self.capture)),
            ("sender_id", self.delivery.sender_id.as_deref().and_then(carried)),
            ("content_type", self.request.headers.get("content-type").and_then(carried)),
        ];
        let attribute = |(name, value): (&'static str, Option<Cow<'_, str>>)| {
            let (name, value) = (Cow::Borrowed(name), value?.into_owned());
            Some(Attribute { name, data_type: AttributeType::String, value })
        };
        values.into_iter().filter_map(attribute).collect()
    }
}

/// Writes headers as an object: a name that came several times has a list.
fn push_headers(json: &mut String, headers: &Headers<'_>) {
    let all = &headers.0;
    json.push('{');
    for (position, (name, value)) in all.iter().enumerate() {
        if all.iter().take(position).any(|(earlier, _)| earlier == name) {
            continue;
        }
        // The first header is never left out.
        push_field(json, if position == 0 { "" } else { "," }, name);
        json.push(':');
        let mut others = all.iter().skip(position + 1).filter(|(other, _)| other == name).peekable();
        if others.peek().is_none() {
            push_string(json, value);
            continue;
        }
        push_field(json, "[", value);
        others.for_each(|(_, value)| push_field(json, ",", value));
        json.push(']');
    }
    json.push('}');
}

#[cfg(test)]
mod tests {
    use base64_simd::STANDARD;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use serde_json::{json, Value};

    use super::*;
    use crate::json::to_json;

    fn request(content_type: Option<&str>) -> ClientRequest<'static> {
        let headers = content_type.map(|value| ("content-type".into(), value.to_owned().into()));
        ClientRequest {
            method: "POST".into(),
            target: "/webhook?a=1".into(),
            headers: Headers(headers.into_iter().collect()),
            ..ClientRequest::default()
        }
    }

    fn delivery(source: &'static str, sender_id: Option<&str>) -> Delivery {
        let sender_id = sender_id.map(str::to_owned);
        Delivery { id: "d-1".into(), sender_id, source, body_sha256: "5e".into() }
    }

    const SIGNED: Result<Signed, Rejection> = Ok(Signed { id: None, key: 0 });

    fn message(body: &[u8], content_type: Option<&str>, verified: Option<&Result<Signed, Rejection>>) -> String {
        let delivery = delivery("unknown", None);
        let request = request(content_type);
        let received_at = Timestamp(1_767_268_800_012);
        let capture = "hooks";
        Envelope { request: &request, body, delivery: &delivery, capture, received_at, verified }.message()
    }

    #[derive(serde::Deserialize)]
    struct Parts<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
        encoding: Option<String>,
    }

    /// What a reader makes of a message, as docs/capture.md says it.
    fn unpacked(message: &str) -> Vec<u8> {
        let Parts { body, encoding } = serde_json::from_str(message).unwrap();
        match serde_json::from_str::<String>(body.get()) {
            Ok(text) if encoding.as_deref() == Some("base64") => STANDARD.decode_to_vec(text).unwrap(),
            Ok(text) => text.into_bytes(),
            Err(_) => {
                let raw = message.split_once("\",\"body\":").unwrap().1;
                let value = raw.len() - raw.trim_ascii_start().len() + body.get().len();
                let space = raw.as_bytes()[value..].iter().position(|byte| *byte == b',').unwrap();
                raw.as_bytes()[..value + space].to_vec()
            }
        }
    }

    #[test]
    fn a_message_has_all_that_a_reader_needs() {
        let rejected = Err(Rejection::Mismatch);
        let text = message(b"{\"b\":1.0,\"a\":1e400, \"b\":2}", Some("application/json"), Some(&rejected));
        assert_eq!(
            text,
            "{\"id\":\"d-1\",\"body\":{\"b\":1.0,\"a\":1e400, \"b\":2},\"headers\":{\"content-type\":\"application/json\"},\
             \"received_at\":\"2026-01-01T12:00:00.012Z\",\"method\":\"POST\",\"path\":\"/webhook\",\"query\":\"a=1\",\"body_sha256\":\"5e\",\"verified\":false,\
             \"verify_error\":\"no signature matches\"}"
        );
        let plain: Value = serde_json::from_str(&message(b"\xff", None, None)).unwrap();
        assert_eq!((&plain["body"], &plain["encoding"]), (&json!("/w=="), &json!("base64")));
        assert!(plain.get("verified").is_none() && plain.get("verify_error").is_none());
        assert_eq!(serde_json::from_str::<Value>(&message(b"", None, Some(&SIGNED))).unwrap()["verified"], true);
    }

    #[test]
    fn a_header_that_came_several_times_is_a_list() {
        let headers = [("a", "1"), ("b", "2"), ("a", "3")].map(|(name, value)| (name.into(), value.into()));
        let mut json = String::new();
        push_headers(&mut json, &Headers(headers.into()));
        assert_eq!(json, r#"{"a":["1","3"],"b":"2"}"#);
    }

    #[test]
    fn attributes_are_for_those_who_look_before_they_read() {
        let attributes = |content_type, verified, sender_id, has_event_types| {
            let (request, delivery) = (request(content_type), delivery("github", sender_id));
            let (received_at, capture) = (Timestamp(0), "hooks");
            let envelope =
                Envelope { request: &request, body: b"", delivery: &delivery, capture, received_at, verified };
            let attributes = envelope.attributes(has_event_types).into_iter();
            attributes.map(|attribute| format!("{}={}", attribute.name, attribute.value)).collect::<Vec<_>>()
        };
        assert_eq!(attributes(None, None, None, false), ["id=d-1", "source=github", "capture=hooks"]);
        assert_eq!(
            attributes(Some("a/b"), Some(&SIGNED), Some("7\0"), false),
            ["id=d-1", "source=github", "verified=true", "capture=hooks", "sender_id=7\u{FFFD}", "content_type=a/b"]
        );
        assert_eq!(
            attributes(Some(""), Some(&Err(Rejection::Mismatch)), None, false)[2..],
            ["verified=false", "capture=hooks"]
        );
        assert_eq!(attributes(None, None, None, true)[..2], ["event_type=webhook", "id=d-1"]);
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("1e400".to_owned()),
            Just("-0.10".to_owned()),
            any::<String>().prop_map(|text| to_json(&text)),
        ];
        let spaced = (leaf, "[ \t\r\n]{0,2}").prop_map(|(leaf, space)| format!("{space}{leaf}{space}"));
        spaced.prop_recursive(4, 32, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}] ", items.join(",")));
            let pairs = prop::collection::vec((any::<String>(), inner), 0..4);
            let object = pairs.prop_map(|pairs| {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{} :{value}", to_json(key))).collect();
                format!(" {{{}}}", pairs.join(","))
            });
            prop_oneof![list, object]
        })
    }

    fn is_carried(c: char) -> bool {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
    }

    proptest! {
        #[test]
        fn what_a_reader_unpacks_is_what_was_received(
            body in prop_oneof![any_json().prop_map(String::into_bytes), any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)],
            content_type in prop::option::of(prop_oneof![Just("application/json".to_owned()), any::<String>()]),
        ) {
            let message = message(&body, content_type.as_deref(), None);
            prop_assert_eq!(unpacked(&message), body);
            prop_assert!(message.chars().all(is_carried), "SQS would refuse {:?}", message);
            let end = r#""method":"POST","path":"/webhook","query":"a=1","body_sha256":"5e"}"#;
            prop_assert!(message.ends_with(end));
        }
    }
}
