//! What senders are answered: that their webhook is stored, or why not.

use super::{Answer, Capture};
use crate::metrics::{Metric, Metrics};

/// When a sender that was sent away should come again, in seconds.
const RETRY_AFTER: &str = "5";

/// Why a sender is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Busy,
    TooLarge,
    Silent,
    Unreadable,
    Unverified,
    Unstored,
}

/// It is stored, under this id.
pub(super) fn stored(capture: &Capture, body: String, message_id: String) -> Answer {
    let mut headers = capture.response.headers.clone();
    // Of a service that gives its ids in another form than AWS, the id is left out.
    if message_id.len() <= 128 && message_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        headers.push(("x-retrohook-message-id".to_owned(), message_id));
    }
    Answer { status: capture.response.status, headers, body }
}

/// It is not, and that is counted.
pub(super) fn refuse(refusal: Refusal, metrics: &mut Metrics) -> Answer {
    let (metric, status, text) = match refusal {
        Refusal::Busy => (Metric::CapturesRefusedBusy, 503, "not stored: too many at once"),
        Refusal::TooLarge => (Metric::CapturesRefusedTooLarge, 413, "not stored: too large"),
        Refusal::Silent => (Metric::CapturesRefusedSilent, 408, "not stored: the request did not come to its end"),
        Refusal::Unreadable => (Metric::CapturesRefusedUnreadable, 503, "not stored: the body cannot be read"),
        Refusal::Unverified => (Metric::CapturesRefusedUnverified, 401, "not stored: the signature is not good"),
        // Without a body: a gateway may write one twice, and so hang up, if the answer is made while
        // the reply to a call that failed is handled.
        Refusal::Unstored => (Metric::CapturesRefusedUnstored, 503, ""),
    };
    metrics.add(metric, 1);
    let mut headers = Vec::new();
    if !text.is_empty() {
        headers.push(("content-type".to_owned(), "text/plain".to_owned()));
    }
    if status == 503 {
        headers.push(("retry-after".to_owned(), RETRY_AFTER.to_owned()));
    }
    Answer { status, headers, body: text.to_owned() }
}
