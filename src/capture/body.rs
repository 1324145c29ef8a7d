//! The form in which a body stands in a message: as JSON, as a string, or as base64. What a reader
//! unpacks is byte for byte what was received. Never looks at more of a request than its body and
//! its content type.

use base64_simd::STANDARD;
use serde_json::value::RawValue;

/// Deeper JSON is not embedded: readers that parse recursively give up on it, and so on the whole
/// message.
const MAX_DEPTH: usize = 100;

/// How a body stands in a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EnvelopeBody<'a> {
    /// As it is, white space around it included: JSON in JSON.
    Json(&'a str),
    /// A string that is all of it.
    Text(&'a str),
    /// A string that is the base64 of it.
    Base64(String),
}

impl<'a> EnvelopeBody<'a> {
    /// JSON is embedded, but for a string alone: no reader could tell it from a text. And a number,
    /// `true`, `false` and `null` are embedded only where the content type says JSON. What is not
    /// UTF-8, or has a character that SQS does not carry and JSON does not escape, is base64.
    pub(super) fn of(bytes: &'a [u8], content_type: Option<&str>) -> EnvelopeBody<'a> {
        let carried = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(['\u{FFFE}', '\u{FFFF}']));
        match carried {
            Some(text) if is_embedded(text, content_type) => EnvelopeBody::Json(text),
            Some(text) => EnvelopeBody::Text(text),
            None => EnvelopeBody::Base64(STANDARD.encode_to_string(bytes)),
        }
    }
}

fn is_embedded(text: &str, content_type: Option<&str>) -> bool {
    let candidate = match text.trim_ascii_start().bytes().next() {
        Some(b'{' | b'[') => true,
        Some(b'"') | None => false,
        Some(_) => content_type.is_some_and(is_json),
    };
    candidate && serde_json::from_str::<&RawValue>(text).is_ok() && depth(text) <= MAX_DEPTH
}

/// `application/json`, `application/cloudevents+json; charset=utf-8`, ….
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

/// How many objects and lists are in one another, in a text that is JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(
                matches!(EnvelopeBody::of(body.as_bytes(), content_type), EnvelopeBody::Json(_)),
                embedded,
                "{body:?}"
            );
        }
        let nested = |depth: usize| format!("{}\"[{{\\\"[\"{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_embedded(&nested(MAX_DEPTH), None) && !is_embedded(&nested(MAX_DEPTH + 1), None));
        assert!(!is_embedded(&"[".repeat(1 << 20), None));
    }
}
