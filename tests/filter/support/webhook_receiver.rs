//! A stand-in for the receiver of a webhook: reads a request as one would that checks signatures
//! with the official library.

use proxy_wasm_test_host::Callout;
use serde_json::{json, Value};
use standardwebhooks::Webhook;

use crate::support::config;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const URL: &str = "https://hooks.example.com/in";
pub(crate) const UPSTREAM: &str = "hooks.example.com:443";

/// An event as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub id: String,
    /// Seconds since the epoch.
    pub at: i64,
    pub event: Value,
}

impl Received {
    /// The number behind the last slash of the path that its exchange was for.
    pub(crate) fn number(&self) -> usize {
        self.event["request"]["uri"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap()
    }
}

/// Reads a request that is signed with `secrets`. Fails where a receiver would refuse it.
pub(crate) fn received_with(callout: &Callout, secrets: &[&str]) -> Received {
    assert_eq!((callout.wire.method.as_str(), callout.upstream.as_str()), ("POST", UPSTREAM));
    assert_eq!(callout.wire.host, "hooks.example.com");
    let (id, at) = id_and_time(callout);
    assert!(is_signed_with(callout, secrets));
    let event: Value = serde_json::from_slice(&callout.body).unwrap();
    assert_eq!((&event["event_id"], &event["attributes"]["event_id"]), (&json!(id), &json!(id)));
    Received { id, at, event }
}

fn id_and_time(callout: &Callout) -> (String, i64) {
    let header = |name: &str| callout.header(name).unwrap_or_else(|| panic!("no {name}"));
    (header("webhook-id"), header("webhook-timestamp").parse().unwrap())
}

/// Returns true if a request has a signature with each of `secrets`, in this order, and no other.
pub(crate) fn is_signed_with(callout: &Callout, secrets: &[&str]) -> bool {
    let (id, at) = id_and_time(callout);
    let sign = |secret: &&str| Webhook::new(secret).unwrap().sign(&id, at, &callout.body).unwrap();
    let expected: Vec<String> = secrets.iter().map(sign).collect();
    callout.header("webhook-signature").unwrap_or_default() == expected.join(" ")
}

/// Reads a request that is signed with the one secret of [`to_webhook`].
pub(crate) fn received(callout: &Callout) -> Received {
    received_with(callout, &[SECRET])
}

/// A configuration whose events go to the webhook, without credentials, and with changes.
pub(crate) fn to_webhook(changes: Value) -> Value {
    let mut all = json!({
        "topic_arn": null, "credentials": null, "webhook_url": URL, "webhook": {"secrets": [SECRET]},
    });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config(all)
}
