//! Ids of deliveries: one id for all of a sender's tries, so that a reader can tell that it has
//! seen the webhook. Which senders there are, and where each puts its id, is known to [`SCHEMES`].

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::verify::{IdSource, Scheme, SCHEMES};
use crate::exchange::Request;

/// Longer ids are not taken from a sender: a FIFO queue takes 128 characters, and some are ours.
pub(crate) const MAX_ID_CHARS: usize = 100;

/// The source of a delivery whose sender its headers do not tell.
pub(crate) const UNKNOWN: &str = "unknown";

/// Headers with ids of deliveries whose signatures have no scheme here, and the senders.
const UNSIGNED: [(&str, &str); 2] = [("x-shopify-webhook-id", "shopify"), ("idempotency-key", UNKNOWN)];

/// A delivery's id and its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// 1 to [`MAX_ID_CHARS`] visible ASCII characters.
    pub(crate) id: String,
    /// `stripe`, `github`, …, or [`UNKNOWN`].
    pub(crate) source: &'static str,
}

impl Delivery {
    /// Names the delivery that `request` is, with this body; `scheme` is known where the
    /// configuration says who signs.
    ///
    /// A sender's own id is taken where there is one. Without one it is a hash of method, path,
    /// query and body: a retry changes headers, but none of these.
    pub(crate) fn of(request: &Request<'_>, body: &[u8], scheme: Option<&Scheme>) -> Delivery {
        let (found, seen) = claimed(request, body, scheme);
        let id = found.filter(|id| is_usable(id)).map_or_else(|| hash(request, body), Cow::into_owned);
        let source = scheme.map(|scheme| scheme.name).or(seen).unwrap_or(UNKNOWN);
        Delivery { id, source }
    }
}

/// Returns the id that a sender gives, and the sender by its headers. An id in a body that only one
/// sender writes goes before those in headers, which any sender may set.
fn claimed<'a>(
    request: &'a Request<'_>,
    body: &'a [u8],
    scheme: Option<&Scheme>,
) -> (Option<Cow<'a, str>>, Option<&'static str>) {
    for known in &SCHEMES {
        let is_sender =
            || scheme.is_some_and(|scheme| std::ptr::eq(scheme, known)) || known.is_named_in(&request.headers);
        match known.id {
            IdSource::Body(read) if is_sender() => return (read(body), Some(known.name)),
            IdSource::Body(_) | IdSource::Headers(_) => {}
        }
    }
    let mut named = headers().filter_map(|(name, sender)| Some((request.headers.get(name)?, sender)));
    named.next().map_or((None, None), |(id, sender)| (Some(Cow::Borrowed(id)), Some(sender)))
}

/// Returns the headers that senders put ids of deliveries in, each with its sender.
pub(super) fn headers() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_schemes = SCHEMES.iter().flat_map(|scheme| {
        let names = match scheme.id {
            IdSource::Headers(names) => names,
            IdSource::Body(_) => &[],
        };
        names.iter().map(|name| (*name, scheme.name))
    });
    of_schemes.chain(UNSIGNED)
}

fn is_usable(id: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn hash(request: &Request<'_>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [request.method.as_bytes(), request.path().as_bytes(), request.query().as_bytes(), body] {
        // With its length before it, so that no other parts have the same bytes.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Headers;

    fn request(headers: &[(&'static str, &str)]) -> Request<'static> {
        Request {
            method: "POST".into(),
            target: "/webhook?a=1".into(),
            headers: Headers(
                headers.iter().map(|(name, value)| ((*name).into(), (*value).to_owned().into())).collect(),
            ),
            ..Request::default()
        }
    }

    fn of(headers: &[(&'static str, &str)], body: &str, scheme: Option<&str>) -> (String, &'static str) {
        let scheme = scheme.map(|name| SCHEMES.iter().find(|scheme| scheme.name == name).unwrap());
        let Delivery { id, source } = Delivery::of(&request(headers), body.as_bytes(), scheme);
        (id, source)
    }

    #[test]
    fn a_sender_s_own_id_is_taken() {
        let expected = [
            ("webhook-id", "standard-webhooks"),
            ("svix-id", "standard-webhooks"),
            ("x-github-delivery", "github"),
            ("x-shopify-webhook-id", "shopify"),
            ("idempotency-key", UNKNOWN),
        ];
        assert_eq!(headers().collect::<Vec<_>>(), expected, "the first that is there is taken");
        for (header, source) in expected {
            assert_eq!(of(&[(header, "d-1")], "{}", None), ("d-1".into(), source));
        }
        let event = r#"{"object":"event","id":"evt_1","data":{"id":"no"}}"#;
        assert_eq!(of(&[("stripe-signature", "t=1")], event, None), ("evt_1".into(), "stripe"));
        assert_eq!(of(&[], event, Some("stripe")), ("evt_1".into(), "stripe"));
        assert_eq!(of(&[("x-shopify-webhook-id", "7")], event, Some("hmac")), ("7".into(), "hmac"));
    }

    #[test]
    fn without_one_it_is_a_hash_of_what_a_retry_does_not_change() {
        let (first, source) = of(&[("date", "now")], "a", None);
        assert_eq!((first.len(), source), (64, UNKNOWN));
        assert_eq!(of(&[("date", "later")], "a", None).0, first);
        assert_ne!(of(&[], "b", None).0, first);
        let other = |change: fn(&mut Request<'static>)| {
            let mut request = request(&[]);
            change(&mut request);
            Delivery::of(&request, b"a", None).id
        };
        assert_ne!(other(|request| request.method = "PUT".into()), first);
        assert_ne!(other(|request| request.target = "/webhook?a=2".into()), first);
        assert_ne!(other(|request| request.target = "/webhook/?a=1".into()), first);
    }

    #[test]
    fn an_id_that_a_queue_would_not_take_is_not_taken() {
        let hashed = of(&[], "{}", None).0;
        for id in ["", "a b", "é", &"x".repeat(MAX_ID_CHARS + 1)] {
            assert_eq!(of(&[("x-github-delivery", id)], "{}", None), (hashed.clone(), "github"), "{id}");
        }
        for body in ["", "{}", r#"{"id":7}"#, r#"{"id":"cus_1"}"#, "[1]"] {
            assert_eq!(of(&[("stripe-signature", "")], body, None).0.len(), 64, "{body}");
        }
    }
}
