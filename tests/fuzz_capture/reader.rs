//! A reader of the queue, who knows docs/capture.md and nothing of the crate.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit > group.len() { '=' } else { char::from(ALPHABET[value]) });
        }
    }
    text
}

pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0);
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|other| *other == digit).expect("a digit");
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    assert_eq!(base64(&bytes), text, "in the only form that there is");
    bytes
}

pub(crate) fn is_carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// The members of a message, each as its text; a name that comes twice would be one that readers
/// take differently.
pub(crate) fn members(message: &str) -> BTreeMap<String, &RawValue> {
    struct Members<'a>(BTreeMap<String, &'a RawValue>);
    impl<'de> serde::Deserialize<'de> for Members<'de> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members<'de>;
                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a message")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut members = BTreeMap::new();
                    while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                        assert!(members.insert(name.clone(), value).is_none(), "{name} twice");
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Members<'_>>(message).expect("a message").0
}

/// The body in a message, by the place of its value in the text: white space up to the colon and
/// the comma is the sender's.
pub(crate) fn unpacked(message: &str, members: &BTreeMap<String, &RawValue>) -> Vec<u8> {
    let body = members["body"].get();
    if body.starts_with('"') {
        let text: String = serde_json::from_str(body).expect("a string");
        return match members.get("encoding").map(|encoding| encoding.get()) {
            Some("\"base64\"") => from_base64(&text),
            None => text.into_bytes(),
            other => panic!("{other:?}"),
        };
    }
    let start = body.as_ptr() as usize - message.as_ptr() as usize;
    let begin = message[..start].rfind(':').unwrap() + 1;
    let end = start + body.len() + message[start + body.len()..].find(',').unwrap();
    message.as_bytes()[begin..end].to_vec()
}

/// How many objects and lists are in one another, in what is JSON.
pub(crate) fn depth(json: &str) -> usize {
    let (mut open, mut deepest) = (0, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    (byte == b'\\').then(|| bytes.next());
                }
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// What readers are promised as JSON in JSON, whatever its content type.
pub(crate) fn is_to_be_embedded(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.trim_ascii_start().starts_with(['{', '['])
        && !text.contains(['\u{FFFE}', '\u{FFFF}'])
        && serde_json::from_str::<&RawValue>(text).is_ok()
        && depth(text) <= 100
}
