//! The message and the answer that captures would make of one request, and why other captures would
//! not take it: for those who try a configuration out. Stores nothing; a worker has no use for it.

use std::rc::Rc;

use super::answers::stored;
use super::{Answer, Capture, CaptureId, Captures, Intake, IntakeSettings, Size};
use crate::clock::Timestamp;
use crate::exchange::redact::Redaction;
use crate::exchange::ClientRequest;

/// The id of a message that no service has given.
const NO_MESSAGE_ID: &str = "MESSAGE-ID";

/// The verdict of captures on a request.
#[derive(Debug)]
pub enum WebhookVerdict {
    /// No capture takes it: the reason of each, in their order.
    NotTaken(Vec<String>),
    /// No capture takes it, but one takes another spelling of its path; the sender gets this.
    Misspelled(Answer),
    /// The capture at this position takes it.
    Taken(usize, Box<TakenWebhook>),
}

/// A request that a capture takes.
#[derive(Debug)]
pub struct TakenWebhook {
    /// The name of its capture, a part of all ids.
    pub capture: String,
    /// The check of its signature, where there is one.
    pub checked: Option<SignatureVerdict>,
    /// The message that is stored; `None` for a challenge and for what is refused.
    pub message: Option<WebhookMessage>,
    /// The sender's answer, for a message once it is stored.
    pub answer: Answer,
}

/// The outcome of the check of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// It is good.
    Good,
    /// It is not, for this reason, and with this remedy.
    Bad(String, &'static str),
}

/// A message as it would be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookMessage {
    /// The id of the delivery.
    pub id: String,
    /// The key of the configuration that names its target.
    pub target_key: &'static str,
    /// The target.
    pub target: String,
    /// The message, with attributes in it where the target takes none beside it.
    pub message: String,
    /// Attributes beside the message: name, type and value.
    pub attributes: Vec<(String, &'static str, String)>,
    /// The group whose order is kept.
    pub group_id: Option<String>,
    /// Bytes as the target counts them.
    pub bytes: usize,
    /// Bytes that it may have.
    pub max_bytes: usize,
}

/// Returns what `captures` make of a request that is whole at `now`.
pub(crate) fn verdict(
    captures: &Rc<Captures>,
    redaction: Redaction,
    settings: IntakeSettings,
    request: &ClientRequest<'_>,
    now: Timestamp,
    seed: u64,
) -> WebhookVerdict {
    let (method, target) = (request.method.as_bytes(), request.target.as_bytes());
    let mut intake = Intake::new(Rc::clone(captures), redaction, settings, seed);
    if let Some(position) = captures.position(method, target) {
        if let Some(capture) = captures.all.get(position) {
            let taken = taken(&mut intake, position, capture, request, now);
            return WebhookVerdict::Taken(position, Box::new(taken));
        }
    }
    if let Some(position) = captures.asked(method, target) {
        if let (Some(answer), Some(capture)) = (intake.challenged(position, request, now), captures.all.get(position)) {
            let taken = TakenWebhook { capture: capture.name.clone(), checked: None, message: None, answer };
            return WebhookVerdict::Taken(position, Box::new(taken));
        }
    }
    if captures.know_by_another_spelling(method, target) {
        return WebhookVerdict::Misspelled(intake.misspelled());
    }
    let mismatch = |capture: &Capture| match capture.methods.contain(method) {
        false => format!("`method` is not {}", request.method),
        true => format!("`matcher` ({}) is not found in the path {}", capture.matcher.pattern(), request.path()),
    };
    WebhookVerdict::NotTaken(captures.all.iter().map(mismatch).collect())
}

fn taken(
    intake: &mut Intake,
    position: usize,
    capture: &Capture,
    request: &ClientRequest<'_>,
    now: Timestamp,
) -> TakenWebhook {
    let id = CaptureId(0);
    let body = request.body.bytes.to_vec();
    let checked = capture.verify.as_ref().map(|verify| match verify.check(request, now) {
        Ok(_) => SignatureVerdict::Good,
        Err(why) => SignatureVerdict::Bad(why.to_string(), why.mend()),
    });
    let size = Size { head: request.method.len() + request.target.len(), body: Some(body.len() as u64) };
    let refused = intake.admit(id, position, size, now).or_else(|| intake.complete(id, request.clone(), &body, now));
    let name = capture.name.clone();
    let (message, answer) = match (refused, intake.message(id)) {
        (None, Some(storing)) => {
            let target = capture.target(storing.unverified);
            let (protocol, event) = (target.protocol.as_ref(), &storing.event);
            let has_attributes = protocol.takes_attributes();
            let attributes = event.attributes.iter().filter(|_| has_attributes);
            let message = WebhookMessage {
                id: event.id.clone(),
                target_key: protocol.kind().key,
                target: protocol.name().to_owned(),
                message: if has_attributes { event.message.clone() } else { event.with_attributes() },
                attributes: attributes
                    .map(|each| (each.name.clone().into_owned(), each.data_type.as_str(), each.value.clone()))
                    .collect(),
                group_id: event.group_id.clone(),
                bytes: storing.size,
                max_bytes: protocol.max_bytes(),
            };
            (Some(message), stored(capture, storing.body.clone(), NO_MESSAGE_ID.to_owned()))
        }
        (answer, _) => (None, answer.unwrap_or_default()),
    };
    TakenWebhook { capture: name, checked, message, answer }
}
