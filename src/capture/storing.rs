//! A webhook on its way to its target: the message that it becomes, and the call that stores it,
//! alone or with others.
//! Counts nothing, and sends nothing.

use std::time::Duration;

use super::answers::Refusal;
use super::attempts::Attempts;
use super::delivery_id::{id_and_body_hash, Delivery, Nonce, Trust};
use super::envelope::Envelope;
use super::sender_id::{Origin, SenderId, UNKNOWN};
use super::verify::{OnUnverified, Rejection, Signed};
use super::{Capture, CaptureCall};
use crate::aws::target::Target;
use crate::aws::text;
use crate::callout::Callout;
use crate::event::Event;
use crate::exchange::redact::{Redaction, RequestRedaction};
use crate::exchange::{ClientRequest, Exchange, Headers};

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

/// A message, and how far it is on its way to its target.
pub(super) struct Storing {
    /// The message, which a target that knows what it has had already knows by the delivery's id.
    pub(super) event: Event,
    /// Bytes of it as the target counts them.
    pub(super) size: usize,
    /// Body of the answer to the sender, when it is stored.
    pub(super) body: String,
    pub(super) attempts: Attempts,
    /// The call that has it, while one is under way.
    pub(super) call: Option<CaptureCall>,
    /// True if its signature is not good.
    pub(super) unverified: bool,
}

impl Storing {
    /// Returns the bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.size + self.body.len()
    }
}

/// Returns the call that stores these webhooks in one target, which may take `timeout`.
pub(super) fn callout(target: &Target, webhooks: &[&Event], timeout: Duration) -> Callout {
    target.callout(target.protocol.headers(webhooks), target.protocol.body(webhooks), timeout)
}

/// Makes a request, whose signature was `checked` if it has to have one, a message, unless its
/// signature or its size is against it.
pub(super) fn storing(
    capture: &Capture,
    redaction: &Redaction,
    request: ClientRequest<'_>,
    body: &[u8],
    checked: Option<&Result<Signed, Rejection>>,
    attempts: Attempts,
    nonce: Nonce,
) -> Result<Storing, Refusal> {
    let now = nonce.at;
    let verify = capture.verify.as_ref();
    let trust = match checked {
        None => Trust::Unchecked,
        Some(Ok(_)) => Trust::Verified,
        Some(Err(_)) => Trust::Unverified,
    };
    if trust == Trust::Unverified && verify.is_some_and(|verify| verify.on_failure == OnUnverified::Reject) {
        return Err(Refusal::Unverified);
    }
    let path = request.path().to_owned();
    let groups = capture.matcher.groups(&path);
    let signed = checked.and_then(|checked| checked.as_ref().ok()?.id.as_deref());
    let mut exchange = Exchange { request, ..Exchange::default() };
    let (origin, own_text, source, (id, body_sha256)) = {
        let found = SenderId::find(capture, &exchange, &groups, body, signed);
        let source = verify.map(|verify| verify.scheme.name).or(found.as_ref().map(|id| id.sender));
        let hashes = id_and_body_hash(capture, &exchange.request, body, trust, found.as_ref(), nonce);
        let origin = found.as_ref().map(|id| id.origin);
        (origin, found.map(SenderId::into_text), source.unwrap_or(UNKNOWN), hashes)
    };
    let groups = redaction.within(groups);
    exchange.request = kept(std::mem::take(&mut exchange.request), redaction, &groups, capture);
    let sender_id = match origin {
        // Nothing of these is redacted.
        None | Some(Origin::Signed | Origin::Body) => own_text,
        // Of an id that was found in something confidential, nothing is shown.
        Some(Origin::Headers(_) | Origin::Configured) => SenderId::find(capture, &exchange, &groups, body, signed)
            .filter(|id| Some(id.origin) == origin)
            .map(SenderId::into_text),
    };
    let delivery = Delivery { id, sender_id, source, body_sha256 };
    let unverified = trust == Trust::Unverified;
    let protocol = &capture.target(unverified).protocol;
    let (message, attributes) = {
        let (request, delivery, capture, verified) = (&exchange.request, &delivery, &capture.name, checked);
        let envelope = Envelope { request, body, delivery, capture, received_at: now, verified };
        (envelope.message(), envelope.attributes(protocol.max_event_type_chars().is_some()))
    };
    let body = capture.response.body.render(&exchange, &groups);
    let group_id = match &capture.message_group_id {
        // Anybody can send it: it is never before a webhook of a sender's.
        Some(_) if unverified => Some(delivery.id.clone()),
        Some(template) => text::group_id(template.render(&exchange, &groups)),
        None => None,
    };
    let event = Event { id: delivery.id, message, attributes, subject: None, group_id, trace_header: None, at: now };
    let size = protocol.size(&event);
    if size > protocol.max_bytes() {
        return Err(Refusal::TooLarge);
    }
    Ok(Storing { event, size, body, attempts, call: None, unverified })
}

/// Returns the parts of a request that are stored: neither headers of one hop nor confidential
/// ones, unless a signature needs them or the operator wants them.
fn kept<'a>(
    mut request: ClientRequest<'a>,
    redaction: &Redaction,
    groups: &RequestRedaction<'_>,
    capture: &Capture,
) -> ClientRequest<'a> {
    let verify = capture.verify.as_ref();
    let is_hidden = |name: &str| redaction.hides(name) || verify.is_some_and(|verify| verify.is_secret(name));
    let is_kept = |name: &str| capture.kept_headers.iter().any(|kept| kept == name);
    let kept = |name: &str| {
        verify.is_some_and(|verify| verify.needs(name))
            || is_kept(name)
            || !(HOP_BY_HOP.contains(&name) || is_hidden(name))
    };
    let mut headers = std::mem::take(&mut request.headers).0;
    headers.retain(|(name, _)| kept(name));
    for (name, value) in &mut headers {
        if !is_kept(name) && !verify.is_some_and(|verify| verify.needs(name)) {
            groups.redact_text(value);
        }
    }
    groups.redact_target(&mut request.target);
    request.headers = Headers(headers);
    request
}
