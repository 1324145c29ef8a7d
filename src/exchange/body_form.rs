//! The form in which a body stands in a message: as JSON, as a string, or as base64. What a reader
//! unpacks is byte for byte what was received. Never looks at more of a request than its body and
//! its content type.

use base64_simd::STANDARD;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::json::is_deeper;

/// Deeper JSON is not embedded: readers that parse recursively give up on it, and so on the whole
/// message.
const MAX_DEPTH: usize = 100;

/// Bytes from which a text is base64 where that is shorter than a string: what is nearly all quotes
/// or control characters would be up to six times as long, and the call that stores it escapes it
/// once more. What providers send is never so; for a short text it would not be worth the surprise.
const LONG_TEXT_BYTES: usize = 16 * 1024;

/// How a body stands in a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyForm<'a> {
    /// As it is, white space around it included: JSON in JSON.
    Json(&'a str),
    /// A string that is all of it.
    Text(&'a str),
    /// A string that is the base64 of it.
    Base64(String),
}

impl<'a> BodyForm<'a> {
    /// JSON is embedded, except a string alone: no reader could tell it from a text. And a number,
    /// `true`, `false` and `null` are embedded only where the content type says JSON. What is not
    /// UTF-8, or has a character that SQS does not carry and JSON does not escape, is base64.
    pub(crate) fn of(bytes: &'a [u8], content_type: Option<&str>) -> BodyForm<'a> {
        match std::str::from_utf8(bytes).ok().filter(|text| is_carried(text)) {
            Some(text) if is_embedded(text, content_type) => BodyForm::Json(text),
            Some(text) if is_short_as_string(text) => BodyForm::Text(text),
            _ => BodyForm::Base64(BodyForm::base64(bytes)),
        }
    }

    /// Returns a text as it is, or as base64 where it has a character that SQS does not carry or
    /// would be longer as a string.
    pub(crate) fn plain(text: &'a str) -> BodyForm<'a> {
        if is_carried(text) && is_short_as_string(text) {
            BodyForm::Text(text)
        } else {
            BodyForm::Base64(BodyForm::base64(text.as_bytes()))
        }
    }

    /// Returns the base64 of `bytes`.
    pub(crate) fn base64(bytes: &[u8]) -> String {
        STANDARD.encode_to_string(bytes)
    }
}

/// Returns false for a text with a character that SQS does not carry and JSON does not escape. Most
/// texts have not even the first byte of one, which is looked for in many bytes at once.
fn is_carried(text: &str) -> bool {
    let found = text.bytes().fold(0, |found, byte| found | u8::from(byte == 0xEF));
    found == 0 || !text.contains(['\u{FFFE}', '\u{FFFF}'])
}

/// Returns true if a text is short, or shorter as a string than as base64.
fn is_short_as_string(text: &str) -> bool {
    text.len() < LONG_TEXT_BYTES || escaped_len(text) <= STANDARD.encoded_length(text.len())
}

/// Returns how many bytes a text has in a string of JSON.
fn escaped_len(text: &str) -> usize {
    // So many that the sums fit into bytes, of which the machine adds many at once.
    let chunks = text.as_bytes().chunks(128);
    let more = chunks.map(|chunk| {
        let (escapes, long) = chunk.iter().fold((0u8, 0u8), |(escapes, long), byte| {
            let is_control = *byte < b' ';
            let is_long = is_control & !((0x08..=0x0D).contains(byte) & (*byte != 0x0B));
            let is_escaped = is_control | (*byte == b'"') | (*byte == b'\\');
            (escapes + u8::from(is_escaped), long + u8::from(is_long))
        });
        // `\n`, and `\u0001`.
        usize::from(escapes) + 4 * usize::from(long)
    });
    text.len() + more.sum::<usize>()
}

fn is_embedded(text: &str, content_type: Option<&str>) -> bool {
    let candidate = match text.trim_ascii_start().bytes().next() {
        Some(b'{' | b'[') => true,
        Some(b'"') | None => false,
        Some(_) => content_type.is_some_and(is_json),
    };
    candidate && serde_json::from_slice::<IgnoredAny>(text.as_bytes()).is_ok() && !is_deeper(text, MAX_DEPTH)
}

/// Returns the JSON that a text is, if its content type says that it is JSON. A string alone is
/// none: no reader could tell it from a text.
pub(crate) fn embedded<'a>(text: &'a str, content_type: Option<&str>) -> Option<&'a RawValue> {
    if !content_type.is_some_and(is_json) || text.trim_ascii_start().starts_with('"') {
        return None;
    }
    let json = serde_json::from_str(text).ok()?;
    (is_carried(text) && !is_deeper(text, MAX_DEPTH)).then_some(json)
}

/// `application/json`, `application/cloudevents+json; charset=utf-8`, ….
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::to_json;

    #[test]
    fn json_is_embedded_and_all_else_is_a_string() {
        let json = Some("application/json; charset=utf-8");
        for (body, content_type, embedded) in [
            ("{}", None, true),
            (" [1]\r\n", Some("text/plain"), true),
            ("42", json, true),
            ("null", Some("application/vnd.api+json"), true),
            ("42", Some("text/plain"), false),
            ("\"text\"", json, false),
            ("{", json, false),
            ("{} {}", json, false),
            ("", json, false),
            ("a=1&b=2", Some("application/x-www-form-urlencoded"), false),
            ("\u{feff}{}", json, false),
            ("[\"\\ud800\"]", json, true),
            ("[\"\u{0}\"]", json, false),
        ] {
            assert_eq!(matches!(BodyForm::of(body.as_bytes(), content_type), BodyForm::Json(_)), embedded, "{body:?}");
        }
        let nested = |depth: usize| format!("{}\"[{{\\\"[\"{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_embedded(&nested(MAX_DEPTH), None) && !is_embedded(&nested(MAX_DEPTH + 1), None));
        assert!(!is_embedded(&"[".repeat(1 << 20), None));
    }

    #[test]
    fn a_long_text_is_a_string_unless_base64_is_shorter() {
        let form = |text: &str| match BodyForm::of(text.as_bytes(), None) {
            BodyForm::Json(_) => "json",
            BodyForm::Text(_) => "text",
            BodyForm::Base64(_) => "base64",
        };
        let half_quotes = "\"a".repeat(LONG_TEXT_BYTES / 2);
        assert_eq!([form(&half_quotes), form(half_quotes.trim_start_matches('"'))], ["base64", "text"]);
        let markup = r#"<Item Id="7" Name="Größe L">24 €</Item>"#.repeat(1_000);
        let log = "2026-01-01T12:00:00Z GET /a\tok\r\n".repeat(1_000);
        let cut_json = [r#"{"id":"evt_1","amount":1250,"livemode":true},"#; 1_000].join("");
        assert_eq!([&markup, &log, &cut_json].map(|text| form(text)), ["text"; 3]);
        assert_eq!(form(&format!("[{:?}]", "\"\\".repeat(LONG_TEXT_BYTES))), "json", "JSON stays JSON");
    }

    proptest! {
        #[test]
        fn the_length_of_a_string_is_known_before_it_is_written(text: String, control in "[\0-\u{1f}\"\\\\]{0,300}") {
            for text in [&text, &control] {
                prop_assert_eq!(escaped_len(text) + 2, to_json(text).len());
            }
        }
    }
}
