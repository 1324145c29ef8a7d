//! Looks for one value in a text of JSON by a pointer (RFC 6901), and builds nothing of the rest. A
//! value is not found whose key, or the key of something around it, stands twice in its object:
//! readers would not agree on which counts.

use std::borrow::Cow;
use std::ops::Range;

use super::walk::{unquoted, walk, Passed, Pointer, Reach, MAX_POINTERS};

/// Steps that a pointer may have.
pub(crate) const MAX_STEPS: usize = 8;

/// Returns where the value stands that each of `pointers` leads to, from as few walks as there can
/// be: what a client has sent may be long.
#[inline(never)]
pub(crate) fn places(json: &str, pointers: &[&str]) -> Vec<Option<Range<usize>>> {
    let mut all = Vec::with_capacity(pointers.len());
    for pointers in pointers.chunks(MAX_POINTERS) {
        let pointers: Vec<Pointer> = pointers.iter().map(|pointer| Pointer::new(pointer)).collect();
        let mut found = vec![None; pointers.len()];
        let walked = walk(json, &pointers, Reach::All, &mut |passed, range| {
            if let Passed::Pointed(bits) = passed {
                let led = found.iter_mut().enumerate().filter(|(position, _)| bits >> position & 1 == 1);
                led.for_each(|(_, found)| *found = Some(range.clone()));
            }
        });
        let unsure = walked.map_or(u64::MAX, |walked| walked.ambiguous);
        all.extend(
            found.into_iter().enumerate().map(|(position, found)| found.filter(|_| unsure >> position & 1 == 0)),
        );
    }
    all
}

/// Returns the value that `pointer` leads to, as it is written.
pub(crate) fn raw<'a>(json: &'a str, pointer: &str) -> Option<&'a str> {
    json.get(places(json, &[pointer]).pop()??)
}

/// Returns the text, the number or the truth value that a value is which is written so: a text
/// without its quotes and escapes, a number as it is written. Anything else counts as absent.
pub(crate) fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => Some(unquoted(raw)),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Returns true if `text` is a pointer that [`places`] follows.
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

    fn found_by<'a>(json: &'a str, pointer: &str) -> Option<Cow<'a, str>> {
        scalar(raw(json, pointer)?)
    }

    #[test]
    fn a_scalar_is_found_where_its_pointer_leads() {
        let json = r#" {"a": {"b/c": ["x", 1.50, true, null, {"~": "\u00e9\n"}]}, "01": 7, "e": 1e400, "n": -7, "": "empty"} "#;
        let found = |pointer: &str| found_by(json, pointer);
        for (pointer, expected) in [
            ("/a/b~1c/0", Some("x")),
            ("/a/b~1c/1", Some("1.50")),
            ("/a/b~1c/2", Some("true")),
            ("/a/b~1c/4/~0", Some("é\n")),
            ("/01", Some("7")),
            ("/e", Some("1e400")),
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
        assert_eq!(found_by("{\"a\": 1, \"a\": 2}", "/a"), None, "it would not be sure which one counts");
        assert_eq!(found_by("{\"a\": 1", "/a"), None);
        assert_eq!(found_by("{\"a\": 1} {}", "/a"), None);
        assert_eq!(found_by("a=1", "/a"), None);
    }

    #[test]
    fn several_are_found_in_one_walk_each_as_if_it_was_alone() {
        let json = r#"{"a":{"b":[1,{"c":2}]},"d":3,"d":4,"e":{"f":5,"f":6,"g":[]}}"#;
        let pointers = ["/a", "/a/b", "/a/b/1/c", "/d", "/e/f", "/e/g", "/e", "/none", "/a/b/0", "/a"];
        let many: Vec<&str> = pointers.iter().copied().cycle().take(3 * MAX_POINTERS + 5).collect();
        let found: Vec<_> = places(json, &many).into_iter().map(|place| json.get(place?)).collect();
        for (pointer, found) in many.iter().zip(&found) {
            assert_eq!(*found, raw(json, pointer), "{pointer}");
        }
        let expected = [Some(r#"{"b":[1,{"c":2}]}"#), Some(r#"[1,{"c":2}]"#), Some("2"), None, None, Some("[]")];
        assert_eq!((found.len(), found.get(..6)), (many.len(), Some(&expected[..])));
        assert_eq!(places("{\"a\":1} x", &["/a", "/b"]), [None, None]);
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
            let found = found_by(&text, &pointer);
            // Where a key stands twice, nothing is found.
            prop_assert!(expected.is_none() || found.is_none() || found.as_deref() == expected);
            prop_assert!(found.is_none() || tree.is_some());
        }
    }
}
