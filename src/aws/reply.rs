//! What the replies of all of AWS's APIs have in common: how much of one is looked at, what it means that there is none, and why
//! one refuses a whole request. Knows nothing of what a success looks like.
//!
//! What was not said by AWS has a code of our own, and is transient but for what a status says:
//! - `NoReply`: there was no reply, and the message is what the host says;
//! - `HTTP 503` and the like: an error reply without an AWS code, from something between the filter and AWS;
//! - `MissingFromReply`: the service answered in full and named the entry neither as successful nor as failed;
//! - `UnreadableReply`: a success status with a body that is not, or not to its end, a reply of the service.

use serde_json::Value;

use crate::aws::error::{classify, without_namespace, Failure, FailureClass, MAX_KEPT_CHARS};
use crate::callout::Reply;

/// Bytes of a reply that are looked at. A reply to ten entries, each with a long error, has less than 10 KiB.
pub(super) const MAX_REPLY_BYTES: usize = 1 << 20;

/// Bytes of a reply that is read as JSON: parsed, JSON takes a multiple of its bytes, and what is longer is none of AWS's.
pub(super) const MAX_JSON_BYTES: usize = 1 << 16;

/// Bytes of a text in a reply that are kept; no character of UTF-8 has more than four.
pub(super) const MAX_TEXT_BYTES: usize = 4 * MAX_KEPT_CHARS;

/// A reply with a success status.
pub(super) struct Success<'a> {
    service: &'static str,
    status: u16,
    bytes: usize,
    /// The part of the body that can be read: UTF-8, and not more than the limit.
    pub text: &'a str,
}

/// Reads the reply of `service` to a request of `entries` entries. `error` finds code and message in the text of an error.
///
/// # Errors
/// Where there was no reply, or one with another status than that of a success.
pub(super) fn read<'a>(
    service: &'static str,
    reply: &'a Reply,
    entries: usize,
    error: impl Fn(&str) -> Option<(String, String)>,
) -> Result<Success<'a>, Failure> {
    let (status, body) = match reply {
        Reply::Response { status, body, .. } => (*status, body),
        Reply::NoResponse(reason) => return Err(Failure::new(FailureClass::Transient, "NoReply", reason)),
    };
    let text = readable(body);
    if (200..300).contains(&status) {
        return Ok(Success { service, status, bytes: body.len(), text });
    }
    let (code, message) = match error(text) {
        Some((code, message)) => (without_namespace(&code).to_owned(), message),
        None => (format!("HTTP {status}"), start(text).to_owned()),
    };
    let class = match classify(status, &code, &message) {
        // Nothing is left to split.
        FailureClass::BatchTooLarge if entries <= 1 => FailureClass::Permanent,
        class => class,
    };
    Err(Failure::new(class, &code, &message))
}

impl Success<'_> {
    /// The whole body, where it is JSON.
    pub fn json(&self) -> Option<Value> {
        json(self.text)
    }

    /// The service answered, and did not say what became of an entry.
    pub fn without_entry(&self) -> Failure {
        let message = format!("{} answered, but not for this entry", self.service);
        Failure::new(FailureClass::Transient, "MissingFromReply", &message)
    }

    /// Whoever answered, it was not the service, or its answer is not whole.
    pub fn unreadable(&self) -> Failure {
        let Success { service, status, bytes, text } = self;
        let message = format!("HTTP {status} with {bytes} bytes that are no whole reply of {service}: {}", start(text));
        Failure::new(FailureClass::Transient, "UnreadableReply", &message)
    }
}

fn readable(body: &[u8]) -> &str {
    let body = body.get(..MAX_REPLY_BYTES).unwrap_or(body);
    body.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// The position that the id of an entry stands for: only what was sent, so neither `+1` nor `01`.
pub(super) fn position(id: &str) -> Option<usize> {
    let canonical = id.bytes().all(|byte| byte.is_ascii_digit()) && (id.len() == 1 || !id.starts_with('0'));
    id.parse().ok().filter(|_| canonical)
}

/// Code and message of an error of one of AWS's JSON protocols.
pub(super) fn json_error(body: &str) -> Option<(String, String)> {
    let reply = json(body)?;
    let field = |names: &[&str]| names.iter().find_map(|name| text(&reply, name)).map(start);
    let code = field(&["__type", "code", "Code"])?;
    Some((code.to_owned(), field(&["message", "Message"]).unwrap_or_default().to_owned()))
}

fn json(text: &str) -> Option<Value> {
    if text.len() > MAX_JSON_BYTES {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The text under a name in a JSON object, unless it is empty.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// As much of a text as can matter for a log line.
fn start(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT_BYTES).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
pub(super) mod testing {
    //! What the tests of every protocol's replies say.

    use super::*;
    use crate::aws::error::Outcome;

    pub fn response(status: u16, body: impl AsRef<[u8]>) -> Reply {
        Reply::Response { status, headers: vec![], body: body.as_ref().to_vec() }
    }

    pub fn failed(class: FailureClass, code: &str, message: &str) -> Outcome {
        Outcome::Failed(Failure::new(class, code, message))
    }
}
