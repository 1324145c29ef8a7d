//! Reads what the replies of all of AWS's APIs have in common: how much of one is looked at, what
//! it means that there is none, and why one refuses a whole request. Never looks into a success.
//!
//! A failure that AWS did not report has a code of our own. It is transient, except that a status of
//! 4xx is a refusal, and never one of a single entry:
//! - `NoReply`: there was no reply, and the message is the host's;
//! - `HTTP 503` and the like: an error reply without an AWS code, from something between the filter
//!   and AWS;
//! - `MissingFromReply`: the service answered in full and named the entry neither as successful nor
//!   as failed;
//! - `UnreadableReply`: a success status with a body that is no reply of the service, or not a
//!   whole one.

use http::StatusCode;
use serde_json::Value;

use crate::aws::error::{classify, unworded, without_namespace, Failure, FailureClass, MAX_KEPT_CHARS};
use crate::callout::Reply;
use crate::json::tree;
use crate::lookup;

/// Bytes of a reply that are looked at. A reply to ten entries, each with a long error, has less
/// than 10 KiB.
pub(super) const MAX_REPLY_BYTES: usize = 1 << 20;

/// Bytes that a reply may have to be read as JSON: parsed, JSON takes a multiple of its bytes, and
/// no reply of AWS is longer.
pub(super) const MAX_JSON_BYTES: usize = 1 << 16;

/// Bytes of a text in a reply that are kept; no character of UTF-8 has more than four.
pub(super) const MAX_TEXT_BYTES: usize = 4 * MAX_KEPT_CHARS;

/// A reply with a success status.
pub(super) struct Success<'a> {
    service: &'static str,
    status: StatusCode,
    bytes: usize,
    /// The part of the body that can be read: UTF-8, and not more than the limit.
    pub(crate) text: &'a str,
}

/// Reads the reply of `service` to a request of `entries` entries. `error` finds code and message
/// in the text of an error.
///
/// # Errors
/// The failure of every entry, if there was no reply or its status is not that of a success.
pub(super) fn read<'a>(
    service: &'static str,
    reply: &'a Reply,
    entries: usize,
    error: impl Fn(&str) -> Option<(String, String)>,
) -> Result<Success<'a>, Failure> {
    let response = match reply {
        Reply::Response(response) => response,
        Reply::NoResponse(reason) => return Err(Failure::new(FailureClass::Transient, "NoReply", reason)),
    };
    let (status, body) = (response.status(), response.body());
    let text = readable(body);
    // No API of AWS answers with another success: something else did.
    if status == StatusCode::OK && !is_error(text) {
        return Ok(Success { service, status, bytes: body.len(), text });
    }
    let split = entries > 1;
    Err(match error(text) {
        Some((code, message)) => {
            let class = match classify(status, &code, &message) {
                // Nothing is left to split.
                FailureClass::BatchTooLarge if !split => FailureClass::EntryTooLarge,
                class => class,
            };
            Failure::new(class, without_namespace(&code), &message)
        }
        None => {
            let (code, class) = match unworded(status) {
                // The limit is that of something on the way, which may go away.
                (code, FailureClass::BatchTooLarge) if !split => (code, FailureClass::Unclear),
                unworded => unworded,
            };
            Failure::new(class, &code, start(text))
        }
    })
}

impl Success<'_> {
    /// Reads the body as JSON; `None` if it is not, or not to its end.
    pub(crate) fn json(&self) -> Option<Value> {
        json(self.text)
    }

    /// Returns the failure of an entry about which the service says nothing.
    pub(crate) fn without_entry(&self) -> Failure {
        let message = format!("{} answered, but not for this entry", self.service);
        Failure::new(FailureClass::Transient, "MissingFromReply", &message)
    }

    /// Returns the failure of an entry about which the service says two things.
    pub(crate) fn named_twice(&self) -> Failure {
        let message = format!("{} named this entry twice", self.service);
        Failure::new(FailureClass::Transient, "NamedTwice", &message)
    }

    /// Returns the failure of every entry, if something else than the service answered, or its
    /// answer is cut off.
    pub(crate) fn unreadable(&self) -> Failure {
        let Success { service, status, bytes, text } = self;
        let message = format!(
            "HTTP {} with {bytes} bytes that are no whole reply of {service}: {}",
            status.as_u16(),
            start(text)
        );
        Failure::new(FailureClass::Transient, "UnreadableReply", &message)
    }
}

/// Returns true if the text is an error of one of AWS's JSON protocols, whatever its status.
fn is_error(text: &str) -> bool {
    // Looked for before it is parsed, which a success is once more.
    lookup::contains(text, "\"__type\"") && json(text).is_some_and(|reply| reply.get("__type").is_some())
}

fn readable(body: &[u8]) -> &str {
    let body = body.get(..MAX_REPLY_BYTES).unwrap_or(body);
    body.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// Returns the position that the id of an entry stands for: only ids that were sent, so neither
/// `+1` nor `01`.
pub(super) fn position(id: &str) -> Option<usize> {
    let canonical = id.bytes().all(|byte| byte.is_ascii_digit()) && (id.len() == 1 || !id.starts_with('0'));
    id.parse().ok().filter(|_| canonical)
}

/// Returns code and message of an error of one of AWS's JSON protocols.
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
    tree(text.as_bytes()).ok()
}

/// Returns the text under a name in a JSON object, unless it is empty.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Returns as much of a text as can matter for a log line.
fn start(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT_BYTES).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
pub(super) mod testing {
    //! Replies and outcomes for the tests of every protocol.

    use super::*;
    use crate::aws::error::Outcome;

    pub(crate) use crate::callout::testing::response;

    pub(crate) fn failed(class: FailureClass, code: &str, message: &str) -> Outcome {
        Outcome::Failed(Failure::new(class, code, message))
    }
}
