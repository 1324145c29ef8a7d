//! A webhook of an operator's own: one plain HTTP POST for each event, signed as Standard Webhooks
//! say (<https://www.standardwebhooks.com>). It is a target beside those of AWS, and needs nothing
//! of AWS.
//!
//! Never sends or retries, and follows no redirect. No secret, no value of a header of an
//! operator's own and nothing that a receiver answers reaches an error.

mod reply;
mod signature;
mod url;

use std::fmt;

use http::header::{HeaderMap, HeaderValue, CONTENT_TYPE};

use crate::aws::error::{Failure, Outcome};
use crate::aws::protocol::{Protocol, Stored, TargetKind};
use crate::callout::Reply;
use crate::clock::Timestamp;
use crate::event::Event;
use crate::secret::Key;

pub(crate) use signature::is_of_signature;
pub(crate) use url::WebhookUrl;

/// The largest body: 1,048,576 bytes, as SQS and with it every target at most takes. No receiver
/// has to take as much; one that does not answers 413.
pub(crate) const MAX_BODY_BYTES: usize = 1_048_576;

/// The type of a body that is a CloudEvent (CloudEvents, "HTTP Protocol Binding", 3.2).
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// Webhooks, by their URL.
pub(crate) static KIND: TargetKind = TargetKind {
    key: "webhook_url",
    target: "a webhook",
    name: "the URL of a webhook",
    remedy: "give scheme, host and path, such as `https://hooks.example.com/in`",
    // Its secrets stand beside it, so that the URL alone gives no target.
    parse: None,
};

/// One receiver of events.
pub(crate) struct WebhookTarget {
    /// Its address.
    pub(crate) url: WebhookUrl,
    /// The secrets that signatures are made with, one signature each; none: nothing is signed.
    pub(crate) secrets: Vec<Key>,
    /// Headers of an operator's own.
    pub(crate) headers: HeaderMap,
}

impl fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebhookTarget").field(&self.url.name).finish()
    }
}

impl Protocol for WebhookTarget {
    fn kind(&self) -> &'static TargetKind {
        &KIND
    }

    fn name(&self) -> &str {
        &self.url.name
    }

    fn service(&self) -> &'static str {
        "webhook"
    }

    fn region(&self) -> Option<&str> {
        None
    }

    fn keeps_order(&self) -> bool {
        false
    }

    fn may_keep_order(&self) -> bool {
        true
    }

    fn takes_attributes(&self) -> bool {
        false
    }

    fn takes_own_message_alone(&self) -> bool {
        true
    }

    fn max_events(&self) -> usize {
        1
    }

    fn max_bytes(&self) -> usize {
        MAX_BODY_BYTES
    }

    fn size(&self, event: &Event) -> usize {
        event.size_with_attributes()
    }

    fn headers(&self, events: &[&Event]) -> HeaderMap {
        let mut headers = self.headers.clone();
        if !headers.contains_key(CONTENT_TYPE) {
            let is_cloud_event = events.iter().any(|event| event.is_cloud_event());
            let content_type = if is_cloud_event { CLOUD_EVENT } else { "application/json" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        headers
    }

    fn body(&self, events: &[&Event]) -> Vec<u8> {
        events.iter().map(|event| event.with_attributes()).collect::<String>().into_bytes()
    }

    fn sign(&self, headers: &mut HeaderMap, events: &[&Event], body: &[u8], now: Timestamp) {
        events.iter().for_each(|event| signature::sign(headers, &self.secrets, &event.id, body, now));
    }

    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome> {
        vec![reply::outcome(reply); events]
    }

    fn parse_stored(&self, reply: &Reply, events: &[Option<&Event>]) -> Result<Vec<Stored>, Failure> {
        match reply::outcome(reply) {
            // A receiver gives no ids: the event has its own.
            Outcome::Delivered => {
                Ok(events.iter().map(|event| Ok(event.map_or(String::new(), |event| event.id.clone()))).collect())
            }
            Outcome::Failed(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::callout::testing::response;
    use crate::event::{Attribute, AttributeType};
    use crate::secret::KeyEncoding;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn webhook(headers: &[(&'static str, &'static str)], secrets: &[&str]) -> WebhookTarget {
        let url = WebhookUrl::read("https://hooks.example.com/in", "https://hooks.example.com/in").unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let secrets = secrets.iter().map(|secret| Key::read(secret, KeyEncoding::Whsec).unwrap());
        WebhookTarget { url, secrets: secrets.collect(), headers: headers.collect() }
    }

    fn event() -> Event {
        Event {
            id: "e-1".into(),
            message: r#"{"event_id":"e-1"}"#.into(),
            attributes: vec![Attribute {
                name: "status".into(),
                data_type: AttributeType::Number,
                value: "204".into(),
            }],
            subject: None,
            group_id: None,
            trace_header: None,
            at: Timestamp(0),
        }
    }

    #[test]
    fn a_cloud_event_is_the_body_as_it_is_and_says_so() {
        let attribute =
            Attribute { name: "ce-specversion".into(), data_type: AttributeType::String, value: "1.0".into() };
        let event = Event { message: r#"{"id":"e-1"}"#.into(), attributes: vec![attribute], ..event() };
        for (own, content_type) in [(&[][..], "application/cloudevents+json"), (&[("content-type", "a/b")], "a/b")] {
            let webhook = webhook(own, &[]);
            let mut headers = webhook.headers(&[&event]);
            let body = webhook.body(&[&event]);
            webhook.sign(&mut headers, &[&event], &body, Timestamp(0));
            assert_eq!(
                (body.as_slice(), headers[CONTENT_TYPE].as_bytes()),
                (&br#"{"id":"e-1"}"#[..], content_type.as_bytes())
            );
            assert_eq!(webhook.size(&event), body.len());
        }
    }

    #[test]
    fn the_body_is_one_event_with_its_attributes() {
        let (webhook, event) = (webhook(&[], &[]), event());
        let body = webhook.body(&[&event]);
        let parsed: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(parsed, json!({"event_id": "e-1", "attributes": {"status": 204}}));
        assert_eq!(webhook.size(&event), body.len());
        assert_eq!(webhook.max_events(), 1);
    }

    #[test]
    fn headers_of_one_s_own_go_along_and_may_say_another_content_type() {
        assert_eq!(webhook(&[], &[]).headers(&[&event()])["content-type"], "application/json");
        let headers =
            webhook(&[("content-type", "application/x"), ("authorization", "Bearer t")], &[]).headers(&[&event()]);
        assert!(headers["content-type"] == "application/x" && headers["authorization"] == "Bearer t");
    }

    #[test]
    fn nothing_confidential_shows() {
        let shown = format!("{:?}", webhook(&[("authorization", "Bearer t")], &[SECRET]));
        assert_eq!(shown, r#"WebhookTarget("https://hooks.example.com/in")"#);
    }

    #[test]
    fn what_is_stored_has_the_id_of_its_event() {
        let (webhook, event) = (webhook(&[], &[]), event());
        assert_eq!(webhook.parse_stored(&response(202, ""), &[Some(&event)]), Ok(vec![Ok("e-1".to_owned())]));
        assert!(webhook.parse_stored(&response(500, ""), &[Some(&event)]).is_err());
        assert_eq!(webhook.parse_reply(&response(204, ""), 1), [Outcome::Delivered]);
    }
}
