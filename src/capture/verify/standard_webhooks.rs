//! Standard Webhooks 1.0 (standardwebhooks.com), symmetric signatures: `v1`, an HMAC of id, time
//! and body. Svix, from which they came, calls the headers by its own name.

use super::secrets::decode;
use super::{required, seconds, Algorithm, Rejection, Signed, Verification};
use crate::clock::Timestamp;
use crate::exchange::Headers;

/// Headers of id, time and signatures, in that order, by either name.
pub(super) const HEADERS: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

pub(super) fn check(
    verification: &Verification,
    headers: &Headers<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Signed, Rejection> {
    let [own, svix] = HEADERS;
    let [id_header, timestamp, signature] =
        if svix.iter().any(|name| headers.get(name).is_some()) && headers.get(own[2]).is_none() { svix } else { own };
    let (id, signed, signatures) =
        (required(headers, id_header)?, required(headers, timestamp)?, (signature, required(headers, signature)?));
    // A dot in the id would let the same signature stand for another id, time and body.
    if id.is_empty() || id.contains('.') {
        return Err(Rejection::Unreadable(id_header.to_owned()));
    }
    let at = seconds(signed).ok_or_else(|| Rejection::Unreadable(timestamp.to_owned()))?;
    // `v1a`, an asymmetric signature, may stand beside.
    let of_v1 = |text: &str| decode(text.strip_prefix("v1,")?);
    let found: Vec<Vec<u8>> = signatures.1.split(' ').filter_map(of_v1).collect();
    if found.is_empty() {
        return Err(Rejection::Unreadable(signatures.0.to_owned()));
    }
    let parts = [id.as_bytes(), b".", signed.as_bytes(), b".", body];
    verification.matches(Algorithm::Sha256, &parts, &found)?;
    verification.fresh(at, now)?;
    Ok(Signed { id: Some(id.to_owned()) })
}
