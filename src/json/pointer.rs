//! Looks for one value in a text of JSON by a pointer (RFC 6901), and builds nothing of the rest. A
//! value is not found whose key, or the key of something around it, stands twice in its object:
//! readers would not agree on which counts.

use std::borrow::Cow;

use serde_json::Value;

use super::tree::at;
use crate::lookup::contains;

/// Steps that a pointer may have.
pub(crate) const MAX_STEPS: usize = 8;

/// Returns the text, the whole number or the truth value that `pointer` leads to: a text without
/// its quotes and escapes. Anything else counts as absent.
pub(crate) fn scalar(json: &[u8], pointer: &str) -> Option<String> {
    let unescaped = |step| {
        if contains(step, "~") {
            step.replace("~1", "/").replace("~0", "~").into()
        } else {
            Cow::Borrowed(step)
        }
    };
    let steps: Vec<Cow<'_, str>> = pointer.split('/').skip(1).map(unescaped).collect();
    match at(json, &steps)? {
        Value::String(text) => Some(text),
        Value::Bool(truth) => Some(if truth { "true" } else { "false" }.to_owned()),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Some(number.to_string()),
            (None, Some(number)) => Some(number.to_string()),
            (None, None) => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns true if `text` is a pointer that [`scalar`] follows.
pub(crate) fn is_pointer(text: &str) -> bool {
    let mut bytes = text.bytes().peekable();
    let mut steps = 0;
    if bytes.peek() != Some(&b'/') {
        return false;
    }
    while let Some(byte) = bytes.next() {
        steps += usize::from(byte == b'/');
        if byte == b'~' && !matches!(bytes.peek(), Some(b'0' | b'1')) {
            return false;
        }
    }
    steps <= MAX_STEPS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_scalar_is_found_where_its_pointer_leads() {
        let json = r#" {"a": {"b/c": ["x", 1.50, true, null, {"~": "\u00e9\n"}]}, "01": 7, "n": -7, "": "empty"} "#;
        let found = |pointer: &str| scalar(json.as_bytes(), pointer);
        for (pointer, expected) in [
            ("/a/b~1c/0", Some("x")),
            ("/a/b~1c/1", None),
            ("/a/b~1c/2", Some("true")),
            ("/a/b~1c/4/~0", Some("é\n")),
            ("/01", Some("7")),
            ("/n", Some("-7")),
            ("/", Some("empty")),
            ("/a/b~1c/3", None),
            ("/a/b~1c/4", None),
            ("/a/b~1c/00", None),
            ("/a/b~1c/9", None),
            ("/a", None),
            ("/a/x", None),
            ("/01/x", None),
        ] {
            assert_eq!(found(pointer).as_deref(), expected, "{pointer}");
        }
        assert_eq!(scalar(b"{\"a\": 1, \"a\": 2}", "/a"), None, "it would not be sure which one counts");
        assert_eq!(scalar(b"{\"a\": 1", "/a"), None);
        assert_eq!(scalar(b"{\"a\": 1} {}", "/a"), None);
        assert_eq!(scalar(b"a=1", "/a"), None);
    }

    #[test]
    fn a_pointer_has_a_slash_and_no_loose_tilde() {
        assert!(["/a", "/", "/a~0b/~1", "/a/b/c/d/e/f/g/h"].iter().all(|text| is_pointer(text)));
        assert!(!["", "a", "/a~", "/a~2", "/a/b/c/d/e/f/g/h/i"].iter().any(|text| is_pointer(text)));
    }

    proptest! {
        #[test]
        fn a_text_is_found_where_serde_json_finds_it(
            text in "[\\[\\]{}\",:01ab ]{0,40}|\\{\"a\":[\\[\\]{}\",:01ab ]{0,30}\\}", pointer in "(/[ab01]?){1,3}",
        ) {
            let tree = serde_json::from_str::<Value>(&text).ok();
            let expected = tree.as_ref().and_then(|tree| tree.pointer(&pointer)).and_then(Value::as_str);
            let found = scalar(text.as_bytes(), &pointer);
            // Where a key stands twice, nothing is found.
            prop_assert!(expected.is_none() || found.is_none() || found.as_deref() == expected);
            prop_assert!(found.is_none() || tree.is_some());
        }
    }
}
