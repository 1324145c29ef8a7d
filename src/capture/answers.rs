//! Answers to senders: that their webhook is stored, or why not. Counts nothing, and sends nothing.

use http::header::{self, HeaderName, HeaderValue, CONTENT_TYPE};
use http::StatusCode;

use super::{Answer, Capture};

/// The header that has the id of the stored message.
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-retrohook-message-id");

/// Seconds after which a sender that was sent away should come again.
const RETRY_AFTER: &str = "5";

/// Why a webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// So many are stored already.
    Busy,
    /// So many are not whole yet.
    Crowded,
    /// So many bytes are under way.
    NoMemory,
    TooLarge,
    /// Nothing more comes.
    Silent,
    /// The rest takes too long.
    Slow,
    Unreadable,
    Unverified,
    Unstored,
    Misspelled,
}

/// Returns the answer to a webhook that is stored under `message_id`.
pub(super) fn stored(capture: &Capture, body: String, message_id: String) -> Answer {
    let mut answer = Answer::new(body);
    *answer.status_mut() = capture.response.status;
    *answer.headers_mut() = capture.response.headers.clone();
    // Of a service that gives its ids in another form than AWS, the id is left out.
    if message_id.len() <= 128 && message_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        if let Ok(message_id) = HeaderValue::try_from(message_id) {
            answer.headers_mut().insert(MESSAGE_ID, message_id);
        }
    }
    answer
}

/// Returns the answer to a webhook that is refused.
pub(super) fn refused(refusal: Refusal) -> Answer {
    let (status, text) = match refusal {
        Refusal::Busy | Refusal::Crowded | Refusal::NoMemory => {
            (StatusCode::SERVICE_UNAVAILABLE, "not stored: too many at once")
        }
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "not stored: too large"),
        Refusal::Silent | Refusal::Slow => {
            (StatusCode::REQUEST_TIMEOUT, "not stored: the rest of the request did not come")
        }
        Refusal::Unreadable => (StatusCode::SERVICE_UNAVAILABLE, "not stored: the body cannot be read"),
        Refusal::Unverified => (StatusCode::UNAUTHORIZED, "not stored: the signature is not good"),
        // Without a body: a gateway may write one twice, and so hang up, if the answer is made
        // while the reply to a call that failed is handled.
        Refusal::Unstored => (StatusCode::SERVICE_UNAVAILABLE, ""),
        // The sender tries again, and the operator may have mended the matcher until then.
        Refusal::Misspelled => (StatusCode::SERVICE_UNAVAILABLE, "not stored: another spelling of this path is stored"),
    };
    let mut answer = Answer::new(text.to_owned());
    *answer.status_mut() = status;
    if !text.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    answer
}
