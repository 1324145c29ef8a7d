//! Ids of deliveries, which readers and FIFO queues tell webhooks apart by.
//!
//! An id names one delivery of one hook to one place: what a retry keeps goes into it, and
//! everything that two hooks may not share. Equal content is no reason for equal ids, unless the
//! operator says so.

use sha2::{Digest, Sha256};

use super::sender_id::{Origin, SenderId};
use super::{Capture, IdRule};
use crate::bytes::hex::hex_text;
use crate::clock::Timestamp;
use crate::exchange::ClientRequest;

/// The result of the signature check, as far as ids depend on it: nothing that is less trusted ever
/// has the id of something that is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// No signature is checked.
    Unchecked,
    /// The signature is good.
    Verified,
    /// The signature is not good.
    Unverified,
}

/// Something that no other request has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nonce {
    /// Random bits of this worker.
    pub(super) random: u128,
    /// When the request was whole.
    pub(super) at: Timestamp,
}

/// A delivery's id and its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    /// The id that the sender gives it, where it may be shown.
    pub(super) sender_id: Option<String>,
    /// `stripe`, `github`, …, or `unknown`.
    pub(super) source: &'static str,
    /// SHA-256 of the body, in hexadecimal digits.
    pub(super) body_sha256: String,
}

/// Returns the id of a request to `capture`, and the hash of its body. `sender_id` is its sender's
/// own id, if it has one.
pub(super) fn id_and_body_hash(
    capture: &Capture,
    request: &ClientRequest<'_>,
    body: &[u8],
    trust: Trust,
    sender_id: Option<&SenderId<'_>>,
    nonce: Nonce,
) -> (String, String) {
    let body_hash = Sha256::digest(body);
    let host = request.headers.get("host").unwrap_or_default().to_ascii_lowercase();
    let mut parts = Parts(Sha256::new());
    for part in [&capture.name, trust.name(), &request.method, &host, &request.target] {
        parts.add(part.as_bytes());
    }
    // A text that the host could not give as such may have been anything.
    let is_exact = ![&host, &*request.target].iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER));
    match (&capture.id, sender_id) {
        (IdRule::BodyHash, _) if is_exact => {
            parts.add(b"body");
            parts.add(&body_hash);
        }
        (_, Some(sender_id)) if is_exact => {
            parts.add(b"sender");
            for (name, value) in &sender_id.parts {
                parts.add(name.as_bytes());
                parts.add(value.as_bytes());
            }
            // Anybody can send the id again with another body.
            if sender_id.origin != Origin::Signed {
                parts.add(b"body");
                parts.add(&body_hash);
            }
        }
        (IdRule::BodyHash | IdRule::Sender | IdRule::Template(_), _) => {
            parts.add(b"request");
            parts.add(request.id.as_deref().unwrap_or_default().as_bytes());
            parts.add(&nonce.random.to_le_bytes());
            parts.add(&nonce.at.0.to_le_bytes());
            parts.add(&body_hash);
        }
    }
    (hex_text(&parts.0.finalize()), hex_text(&body_hash))
}

impl Trust {
    fn name(self) -> &'static str {
        match self {
            Trust::Unchecked => "unchecked",
            Trust::Verified => "verified",
            Trust::Unverified => "unverified",
        }
    }
}

/// A hash of texts, each with its length before it, so that no other texts have the same bytes.
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }
}
