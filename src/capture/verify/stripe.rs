//! Stripe's signature: `t=TIME,v1=HEX,v1=HEX`, an HMAC of time and body by the secret as it is
//! written, `whsec_` included; and the id of Stripe's events, which stands in the body alone.

use std::borrow::Cow;

use super::{required, seconds, Algorithm, Rejection, Signed, Verification};
use crate::clock::Timestamp;
use crate::exchange::Headers;
use crate::json::texts;

pub(super) const HEADER: &str = "stripe-signature";

pub(super) fn check(
    verification: &Verification,
    headers: &Headers<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Signed, Rejection> {
    let text = required(headers, HEADER)?;
    let fields = || text.split(',').filter_map(|field| field.trim().split_once('='));
    let signed = fields().find(|(name, _)| *name == "t").map(|(_, value)| value);
    let found: Vec<Vec<u8>> =
        fields().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| hex::decode(value).ok()).collect();
    let unreadable = || Rejection::Unreadable(HEADER.to_owned());
    let signed = signed.ok_or_else(unreadable)?;
    let at = seconds(signed).ok_or_else(unreadable)?;
    if found.is_empty() {
        return Err(unreadable());
    }
    verification.matches(Algorithm::Sha256, &[signed.as_bytes(), b".", body], &found)?;
    verification.fresh(at, now)?;
    Ok(Signed { id: event_id(body).map(Cow::into_owned) })
}

/// Returns the id of an event of Stripe.
pub(super) fn event_id(body: &[u8]) -> Option<Cow<'_, str>> {
    let [id] = texts(body, ["id"])?;
    id.filter(|id| id.starts_with("evt_")).map(Cow::Owned)
}
