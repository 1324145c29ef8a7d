//! The body of a request or of a response, as far as it was kept. What is not whole, or cannot be
//! read, says so: nobody takes a part for all of it.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use serde_json::value::RawValue;

use super::body_form::{embedded, BodyForm};
use crate::json::pointer;

/// A body as far as it was kept. One that is empty is as good as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body<'a> {
    /// The bytes that were kept, from the first on.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// The content type, where the sender gives one.
    pub(crate) content_type: Option<&'a str>,
    /// The content coding that hides what it says, such as `gzip`.
    pub(crate) compression: Option<&'a str>,
    /// The extent to which it was kept.
    pub(crate) extent: BodyExtent,
    /// True if its end had not come when the event was made.
    pub(crate) is_unended: bool,
    /// The places of what pointers lead to that were looked for, if they lead to something.
    pub(crate) places: Vec<(&'a str, Option<Range<usize>>)>,
    /// The bytes in which those places are, if only a part of them is shown.
    pub(crate) searched: Option<Cow<'a, [u8]>>,
}

/// A body, or none. Nearly no exchange has one, so it takes little room in all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodySlot<'a>(Option<Box<Body<'a>>>);

/// The body of a message that has none.
static NONE: Body<'static> = Body {
    bytes: Cow::Borrowed(&[]),
    content_type: None,
    compression: None,
    extent: BodyExtent::Whole,
    is_unended: false,
    places: Vec::new(),
    searched: None,
};

impl<'a> Deref for BodySlot<'a> {
    type Target = Body<'a>;

    fn deref(&self) -> &Body<'a> {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl<'a> From<Body<'a>> for BodySlot<'a> {
    fn from(body: Body<'a>) -> BodySlot<'a> {
        BodySlot((body != NONE).then(|| Box::new(body)))
    }
}

impl<'a> From<&'a [u8]> for BodySlot<'a> {
    fn from(bytes: &'a [u8]) -> BodySlot<'a> {
        Body::from(bytes).into()
    }
}

impl<'a> BodySlot<'a> {
    /// Returns the body, if there is one.
    pub(crate) fn get(&self) -> Option<&Body<'a>> {
        self.0.as_deref()
    }

    /// Returns the body, to be changed, if there is one.
    pub(crate) fn get_mut(&mut self) -> Option<&mut Body<'a>> {
        self.0.as_deref_mut()
    }
}

/// The extent to which a body was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyExtent {
    /// All of it.
    #[default]
    Whole,
    /// Its beginning: there was more than there is room for.
    Cut,
    /// Its beginning: the end has not come.
    BrokeOff,
    /// Nothing of it.
    LeftOut(Omission),
}

/// The reason why nothing of a body was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omission {
    /// It is a stream of messages: of gRPC, of server-sent events, or of another protocol.
    Streamed,
    /// Too much of other bodies was under way.
    NoRoom,
    /// The gateway did not give it.
    Unreadable,
    /// It was seen by an access logger, which sees no bodies.
    AccessLogger,
    /// It cannot be read, so that nobody knows where the values in it are that have to be redacted.
    Unredacted,
    /// The event would be larger than its target takes.
    TooLarge,
}

impl Omission {
    /// Returns the word for it in events.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Omission::Streamed => "streamed",
            Omission::NoRoom => "no_room",
            Omission::Unreadable => "unreadable",
            Omission::AccessLogger => "access_logger",
            Omission::Unredacted => "unredacted",
            Omission::TooLarge => "too_large",
        }
    }
}

/// A body as it stands in an event.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum BodyValue<'a> {
    /// JSON in JSON, as it was received.
    Json(&'a RawValue),
    /// A string that is all of it.
    Text(&'a str),
    /// A string that is the base64 of it.
    Base64(String),
}

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Body<'a> {
        Body { bytes: Cow::Borrowed(bytes), ..Body::default() }
    }
}

impl<'a> Body<'a> {
    /// Finds what `pointers` lead to, all at once, so that a long body is not walked through for
    /// each of them. What it says must not be changed afterwards.
    pub(crate) fn find(&mut self, pointers: Vec<&'a str>) {
        if pointers.is_empty() {
            return;
        }
        if let Some(json) = self.json() {
            let places = pointer::places(json, &pointers);
            self.places = pointers.into_iter().zip(places).collect();
        }
    }
}

impl Body<'_> {
    /// Returns a body of which nothing is there.
    pub(crate) fn left_out(omission: Omission) -> Body<'static> {
        Body { extent: BodyExtent::LeftOut(omission), ..Body::default() }
    }

    /// Leaves out what is there.
    pub(crate) fn leave_out(&mut self, omission: Omission) {
        *self = Body::left_out(omission);
    }

    /// Returns why nothing of it is there, if there was something.
    pub(crate) fn omission(&self) -> Option<Omission> {
        match self.extent {
            BodyExtent::LeftOut(omission) => Some(omission),
            BodyExtent::Whole | BodyExtent::Cut | BodyExtent::BrokeOff => None,
        }
    }

    /// Cuts it to `limit` bytes; where nothing is to be left, it is left out. Returns true if it
    /// was longer. What was found in it before is found in it still: an event that is too large is
    /// for the same subscribers, and has the same place in its group.
    pub(crate) fn cut(&mut self, limit: usize) -> bool {
        if self.bytes.len() <= limit {
            return false;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let begin = match &bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..limit).unwrap_or(bytes)),
            Cow::Owned(bytes) => Cow::Owned(bytes.get(..limit).unwrap_or(bytes).to_vec()),
        };
        if !self.places.is_empty() {
            self.searched.get_or_insert(bytes);
        }
        if limit == 0 {
            let (places, searched) = (std::mem::take(&mut self.places), self.searched.take());
            *self = Body { places, searched, ..Body::left_out(Omission::TooLarge) };
            return true;
        }
        (self.bytes, self.extent) = (begin, BodyExtent::Cut);
        true
    }

    /// Returns the text that it is, without a character that is cut at its end.
    pub(crate) fn text(&self) -> Option<&str> {
        if self.compression.is_some() || !self.content_type.is_none_or(is_of_utf8) {
            return None;
        }
        match (std::str::from_utf8(&self.bytes), self.extent) {
            (Ok(text), _) => Some(text),
            // What ends amid a character has no length of an error.
            (Err(error), BodyExtent::Cut | BodyExtent::BrokeOff) if error.error_len().is_none() => {
                std::str::from_utf8(self.bytes.get(..error.valid_up_to())?).ok()
            }
            (Err(_), _) => None,
        }
    }

    /// Returns the value in an event; `None` if nothing is there.
    pub(crate) fn value(&self) -> Option<BodyValue<'_>> {
        if self.bytes.is_empty() {
            return None;
        }
        let Some(text) = self.text() else {
            return Some(BodyValue::Base64(BodyForm::base64(&self.bytes)));
        };
        let is_whole = self.extent == BodyExtent::Whole;
        if let Some(json) = embedded(text, self.content_type).filter(|_| is_whole) {
            return Some(BodyValue::Json(json));
        }
        Some(match BodyForm::plain(text) {
            BodyForm::Json(text) | BodyForm::Text(text) => BodyValue::Text(text),
            BodyForm::Base64(text) => BodyValue::Base64(text),
        })
    }

    /// Returns the text for a placeholder. What is not UTF-8 becomes U+FFFD, as in a header.
    pub(crate) fn placeholder(&self) -> Option<Cow<'_, str>> {
        if self.compression.is_some() {
            return None;
        }
        let text = self.text().map(Cow::Borrowed);
        Some(text.unwrap_or_else(|| String::from_utf8_lossy(&self.bytes))).filter(|_| !self.bytes.is_empty())
    }

    /// Returns the text, the number or the truth value that `pointer` leads to in a whole body.
    pub(crate) fn scalar(&self, pointer: &str) -> Option<Cow<'_, str>> {
        pointer::scalar(self.raw(pointer)?)
    }

    /// Returns the value that `pointer` leads to in a whole body, as it is written.
    pub(crate) fn raw(&self, pointer: &str) -> Option<&str> {
        match self.places.iter().find(|(known, _)| *known == pointer) {
            Some((_, place)) => {
                let searched = self.searched.as_ref().unwrap_or(&self.bytes);
                std::str::from_utf8(searched.get(place.clone()?)?).ok()
            }
            None => pointer::raw(self.json()?, pointer),
        }
    }

    fn json(&self) -> Option<&str> {
        if self.extent == BodyExtent::Whole {
            self.text()
        } else {
            None
        }
    }
}

/// Returns true unless a content type says that its text is of another charset than UTF-8, which
/// has all of ASCII in it.
fn is_of_utf8(content_type: &str) -> bool {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.is_none_or(|(_, charset)| {
        let charset = charset.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].into_iter().any(|known| charset.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: Option<&str> = Some("application/json");

    fn body<'a>(bytes: &'a [u8], content_type: Option<&'a str>) -> Body<'a> {
        Body { content_type, ..Body::from(bytes) }
    }

    fn shown(body: &Body<'_>) -> String {
        body.value().map_or_else(|| "none".to_owned(), |value| serde_json::to_string(&value).unwrap())
    }

    #[test]
    fn json_stands_in_an_event_as_it_is_written_and_all_else_is_a_string() {
        let json = br#" {"a": 1.0, "b":1e400, "a":[]} "#;
        assert_eq!(shown(&body(json, JSON)), r#"{"a": 1.0, "b":1e400, "a":[]}"#);
        for (bytes, content_type, expected) in [
            (&b"{\"a\":1}"[..], Some("text/plain"), r#""{\"a\":1}""#),
            (b"{\"a\":1}", None, r#""{\"a\":1}""#),
            (b"{\"a\":", JSON, r#""{\"a\":""#),
            (b"7", JSON, "7"),
            (b"\"text\"", JSON, r#""\"text\"""#),
            (b"", JSON, "none"),
            (b"\xff\xfe", JSON, r#""//4=""#),
            (b"h\0i\0", Some("text/plain; charset=utf-16"), r#""aABpAA==""#),
            (b"{}", Some("application/json; Charset=\"UTF-8\""), "{}"),
            (b"{}", Some("application/vnd.api+json;charset=iso-2022-jp"), r#""e30=""#),
            ("é".as_bytes(), Some("text/plain"), r#""é""#),
            ("\u{ffff}".as_bytes(), Some("text/plain"), r#""77+/""#),
        ] {
            assert_eq!(shown(&body(bytes, content_type)), expected, "{content_type:?}");
        }
        let gzip = Body { compression: Some("gzip"), ..body(b"{}", JSON) };
        assert_eq!((shown(&gzip), gzip.placeholder(), gzip.scalar("/a")), (r#""e30=""#.to_owned(), None, None));
    }

    #[test]
    fn a_part_of_json_is_no_json_and_a_cut_splits_no_character() {
        let mut whole = body("{\"a\":\"é\"}{}".as_bytes(), JSON);
        assert!(!whole.cut(12) && whole.clone().extent == BodyExtent::Whole);
        assert!(whole.cut(7));
        assert_eq!((shown(&whole).as_str(), whole.extent), (r#""{\"a\":\"""#, BodyExtent::Cut));
        let part = Body { extent: BodyExtent::BrokeOff, ..body(b"{\"a\":1}", JSON) };
        assert_eq!((shown(&part).as_str(), part.scalar("/a")), (r#""{\"a\":1}""#, None));
        assert!(whole.cut(0));
        assert_eq!((shown(&whole).as_str(), whole.omission()), ("none", Some(Omission::TooLarge)));
    }

    #[test]
    fn a_pointer_leads_into_it() {
        let json = body(br#"{"price":1.50,"tags":["a"],"name":"\u00e9"}"#, None);
        assert_eq!(json.scalar("/price").as_deref(), Some("1.50"));
        assert_eq!((json.scalar("/name").as_deref(), json.scalar("/tags")), (Some("é"), None));
        assert_eq!(json.raw("/tags"), Some(r#"["a"]"#));
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_can_be_told_from_the_event(bytes: Vec<u8>, limit in 1usize..40) {
            let mut part = body(&bytes, None);
            part.cut(limit);
            let kept = &bytes[..limit.min(bytes.len())];
            match part.value() {
                None => prop_assert!(bytes.is_empty()),
                Some(BodyValue::Json(_)) => prop_assert!(false),
                Some(BodyValue::Text(text)) => {
                    prop_assert!(kept.starts_with(text.as_bytes()) && kept.len() - text.len() < 4);
                    prop_assert!(part.extent == BodyExtent::Cut || text.len() == kept.len());
                }
                Some(BodyValue::Base64(text)) => {
                    prop_assert_eq!(base64_simd::STANDARD.decode_to_vec(text).unwrap(), kept);
                }
            }
        }
    }
}
