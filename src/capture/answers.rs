//! Answers to senders: that their webhook is stored, or why not. Counts nothing, and sends nothing.

use super::{Answer, Capture};

/// Seconds after which a sender that was sent away should come again.
const RETRY_AFTER: &str = "5";

/// Why a webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Busy,
    TooLarge,
    Silent,
    Unreadable,
    Unverified,
    Unstored,
}

/// Returns the answer to a webhook that is stored under `message_id`.
pub(super) fn stored(capture: &Capture, body: String, message_id: String) -> Answer {
    let mut headers = capture.response.headers.clone();
    // Of a service that gives its ids in another form than AWS, the id is left out.
    if message_id.len() <= 128 && message_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        headers.push(("x-retrohook-message-id".to_owned(), message_id));
    }
    Answer { status: capture.response.status, headers, body }
}

/// Returns the answer to a webhook that is refused.
pub(super) fn refused(refusal: Refusal) -> Answer {
    let (status, text) = match refusal {
        Refusal::Busy => (503, "not stored: too many at once"),
        Refusal::TooLarge => (413, "not stored: too large"),
        Refusal::Silent => (408, "not stored: the request did not come to its end"),
        Refusal::Unreadable => (503, "not stored: the body cannot be read"),
        Refusal::Unverified => (401, "not stored: the signature is not good"),
        // Without a body: a gateway may write one twice, and so hang up, if the answer is made while
        // the reply to a call that failed is handled.
        Refusal::Unstored => (503, ""),
    };
    let mut headers = Vec::new();
    if !text.is_empty() {
        headers.push(("content-type".to_owned(), "text/plain".to_owned()));
    }
    if status == 503 {
        headers.push(("retry-after".to_owned(), RETRY_AFTER.to_owned()));
    }
    Answer { status, headers, body: text.to_owned() }
}
