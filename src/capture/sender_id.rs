//! Ids that senders give their deliveries: which senders there are, and where each puts its id.
//!
//! An id that is found here says what its sender claims. Never decides what it is good for.

use std::borrow::Cow;

use super::verify::{IdHeaders, IdSource, Scheme, SCHEMES};
use super::{Capture, IdRule};
use crate::exchange::template::PathGroups;
use crate::exchange::{Exchange, Headers};

/// The source of a delivery whose sender its headers do not tell.
pub(super) const UNKNOWN: &str = "unknown";

/// Senders whose signatures have no scheme here, and their headers. A key that any sender may use
/// is the last.
static OTHERS: [(&str, IdHeaders); 4] = [
    ("sns", IdHeaders { needed: &["x-amz-sns-message-id"], also: &["x-amz-sns-subscription-arn"] }),
    ("google", IdHeaders { needed: &["x-goog-message-number", "x-goog-channel-id"], also: &["x-goog-resource-id"] }),
    ("cloudevents", IdHeaders { needed: &["ce-id", "ce-source"], also: &[] }),
    (UNKNOWN, IdHeaders { needed: &["idempotency-key"], also: &[] }),
];

/// The place in which an id was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The part of the request that the signature covers.
    Signed,
    /// The body, and nobody has signed it.
    Body,
    /// These headers.
    Headers(&'static IdHeaders),
    /// The placeholders of `capture[].id`.
    Configured,
}

/// A sender's own id of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SenderId<'a> {
    /// The place in which it was found.
    pub(super) origin: Origin,
    /// The sender, as far as the place tells.
    pub(super) sender: &'static str,
    /// Everything that belongs to it, each with its name.
    pub(super) parts: Vec<(&'static str, Cow<'a, str>)>,
    /// The id alone.
    text: Cow<'a, str>,
}

impl<'a> SenderId<'a> {
    /// Finds the id of a request. `signed` is the id that its signature covers.
    pub(super) fn find(
        capture: &'a Capture,
        exchange: &'a Exchange<'_>,
        groups: &'a dyn PathGroups,
        body: &'a [u8],
        signed: Option<&'a str>,
    ) -> Option<SenderId<'a>> {
        let scheme = capture.verify.as_ref().map(|verify| verify.scheme);
        let found = match &capture.id {
            IdRule::BodyHash => None,
            IdRule::Template(template) => {
                let values = template.values(exchange, groups)?;
                Some(SenderId {
                    origin: Origin::Configured,
                    sender: UNKNOWN,
                    parts: values.into_iter().map(|value| ("", value)).collect(),
                    text: Cow::Owned(template.render(exchange, groups)),
                })
            }
            IdRule::Sender => match signed {
                Some(id) => Some(SenderId::alone(Origin::Signed, UNKNOWN, Cow::Borrowed(id))),
                None => claimed(scheme, &exchange.request.headers, body),
            },
        };
        // A text that the host could not give as such may have been anything.
        found.filter(|id| id.parts.iter().all(|(_, value)| !value.contains(char::REPLACEMENT_CHARACTER)))
    }

    fn alone(origin: Origin, sender: &'static str, id: Cow<'a, str>) -> SenderId<'a> {
        SenderId { origin, sender, parts: vec![("", id.clone())], text: id }
    }

    fn in_headers(sender: &'static str, names: &'static IdHeaders, headers: &'a Headers<'_>) -> Option<SenderId<'a>> {
        let mut parts = Vec::new();
        for name in names.needed {
            parts.push((*name, value(headers, name)?));
        }
        parts.extend(names.also.iter().filter_map(|name| Some((*name, value(headers, name)?))));
        let text = parts.first()?.1.clone();
        Some(SenderId { origin: Origin::Headers(names), sender, parts, text })
    }

    /// Returns the id as the sender wrote it.
    pub(super) fn into_text(self) -> String {
        self.text.into_owned()
    }
}

/// Returns the id that nobody has signed. A scheme that knows the place of its ids knows no other.
fn claimed<'a>(scheme: Option<&Scheme>, headers: &'a Headers<'_>, body: &'a [u8]) -> Option<SenderId<'a>> {
    let own = |known: &'static Scheme| match known.id {
        IdSource::Unknown => None,
        IdSource::Headers(places) => places.iter().find_map(|names| SenderId::in_headers(known.name, names, headers)),
        IdSource::Body(_, read) => Some(SenderId::alone(Origin::Body, known.name, read(body)?)),
    };
    let known = SCHEMES.iter().find(|known| scheme.is_some_and(|scheme| std::ptr::eq(scheme, *known)));
    if let Some(known) = known.filter(|known| !matches!(known.id, IdSource::Unknown)) {
        return own(known);
    }
    // An id in a body is looked for where the sender's signature stands in the headers.
    let is_sender = |known: &&'static Scheme| matches!(known.id, IdSource::Headers(_)) || known.is_named_in(headers);
    let of_schemes = SCHEMES.iter().filter(is_sender).find_map(own);
    of_schemes.or_else(|| OTHERS.iter().find_map(|(sender, names)| SenderId::in_headers(sender, names, headers)))
}

/// Returns a header that is not empty. One that came several times is its values in a list, as
/// RFC 9110, 5.3 has it.
fn value<'a>(headers: &'a Headers<'_>, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_ref());
    let first = values.next()?;
    let rest: Vec<&str> = values.collect();
    let all = if rest.is_empty() { Cow::Borrowed(first) } else { [&[first], &*rest].concat().join(", ").into() };
    Some(all).filter(|value| value.bytes().any(|byte| !b" \t,".contains(&byte)))
}

/// Returns the headers that may belong to an id.
pub(super) fn headers() -> impl Iterator<Item = &'static str> {
    let of_schemes = SCHEMES.iter().flat_map(|scheme| match scheme.id {
        IdSource::Headers(places) => places,
        IdSource::Unknown | IdSource::Body(..) => &[],
    });
    let all = of_schemes.chain(OTHERS.iter().map(|(_, names)| names));
    all.flat_map(|names| names.needed.iter().chain(names.also)).copied()
}
