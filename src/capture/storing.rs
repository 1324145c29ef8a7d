//! A webhook on its way into the queue: the message that it becomes, and the call that stores it.
//! Counts nothing, and sends nothing.

use std::time::Duration;

use super::answers::Refusal;
use super::attempts::Attempts;
use super::delivery_id::Delivery;
use super::envelope::Envelope;
use super::verify::{OnFailure, Rejection, Verification};
use super::Capture;
use crate::aws::signer::Signature;
use crate::aws::{sqs, text};
use crate::callout::Callout;
use crate::clock::Timestamp;
use crate::event::Attribute;
use crate::exchange::redact::Redaction;
use crate::exchange::{Exchange, Headers, Request};

/// Headers of one hop (RFC 9110, 7.6.1), and `expect`, which the gateway has answered.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// A message, and how far it is on its way into the queue.
pub(super) struct Storing {
    pub(super) message: String,
    pub(super) attributes: Vec<Attribute>,
    pub(super) group_id: Option<String>,
    pub(super) deduplication_id: Option<String>,
    /// Body of the answer to the sender, when it is stored.
    pub(super) body: String,
    pub(super) attempts: Attempts,
    pub(super) signature: Option<Signature>,
    pub(super) received_at: Timestamp,
}

impl Storing {
    /// Returns the bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        sqs::size(&self.message, &self.attributes) + self.body.len()
    }

    /// Returns the call that stores it, which may take `timeout`.
    pub(super) fn callout(&self, capture: &Capture, timeout: Duration) -> Callout {
        let target = &capture.target;
        let body = sqs::send_message(target.protocol.name(), self.message());
        target.callout(sqs::headers(sqs::Action::SendMessage), body, timeout)
    }

    /// Returns the message as SQS has it.
    pub(super) fn message(&self) -> sqs::Message<'_> {
        sqs::Message {
            body: &self.message,
            attributes: &self.attributes,
            group_id: self.group_id.as_deref(),
            deduplication_id: self.deduplication_id.as_deref(),
        }
    }
}

/// Makes a request a message, unless its signature or its size is against it. Returns true with it
/// if its signature is not good.
pub(super) fn storing(
    capture: &Capture,
    redaction: &Redaction,
    request: Request<'_>,
    body: &[u8],
    attempts: Attempts,
    now: Timestamp,
) -> Result<(Storing, bool), Refusal> {
    let verified = capture.verify.as_ref().map(|verify| verify.check(&request.headers, body, now));
    let unverified = matches!(verified, Some(Err(_)));
    let rejects = capture.verify.as_ref().is_some_and(|verify| verify.on_failure == OnFailure::Reject);
    if unverified && rejects {
        return Err(Refusal::Unverified);
    }
    let delivery = Delivery::of(&request, body, capture.verify.as_ref().map(|verify| verify.scheme));
    let exchange = Exchange { request: kept(request, redaction, capture.verify.as_ref()), ..Exchange::default() };
    let path = exchange.request.path().to_owned();
    let groups = capture.matcher.groups(&path);
    let (message, attributes) = {
        let verified = verified.as_ref();
        let (request, delivery) = (&exchange.request, &delivery);
        let envelope = Envelope { request, body, delivery, received_at: now, verified };
        (envelope.message(), envelope.attributes())
    };
    if sqs::size(&message, &attributes) > sqs::MAX_MESSAGE_BYTES {
        return Err(Refusal::TooLarge);
    }
    let fifo = capture.target.protocol.keeps_order();
    let group_id = capture.message_group_id.as_ref().map(|template| template.render(&exchange, &groups));
    let storing = Storing {
        message,
        attributes,
        group_id: match group_id.and_then(text::group_id) {
            // A FIFO queue takes nothing without a group: a message that has none is a group of its
            // own.
            None if fifo => Some(delivery.id.clone()),
            group_id => group_id,
        },
        deduplication_id: fifo.then(|| deduplication_id(&delivery, verified.as_ref())),
        body: capture.response.body.render(&exchange, &groups),
        attempts,
        signature: None,
        received_at: now,
    };
    Ok((storing, unverified))
}

/// Returns the id by which a FIFO queue tells that it has a message already. A forged webhook may
/// claim the id of a genuine one; it gets another, so that the genuine one is not dropped as its
/// double.
fn deduplication_id(delivery: &Delivery, verified: Option<&Result<(), Rejection>>) -> String {
    match verified {
        Some(Err(_)) => format!("unverified-{}", delivery.id),
        _ => delivery.id.clone(),
    }
}

/// Returns the parts of a request that are stored: neither headers of one hop nor confidential
/// ones, unless a signature needs them.
fn kept<'a>(mut request: Request<'a>, redaction: &Redaction, verify: Option<&Verification>) -> Request<'a> {
    let kept = |name: &str| {
        verify.is_some_and(|verify| verify.needs(name)) || !(HOP_BY_HOP.contains(&name) || redaction.hides(name))
    };
    let mut headers = std::mem::take(&mut request.headers).0;
    headers.retain(|(name, _)| kept(name));
    for (name, value) in &mut headers {
        if !verify.is_some_and(|verify| verify.needs(name)) {
            redaction.redact_url(value);
        }
    }
    redaction.redact_url(&mut request.target);
    request.headers = Headers(headers);
    request
}
