//! Redaction in bodies: values that pointers lead to, and in every text what is hidden elsewhere,
//! too. A body in which nobody can look for it is left out. Whatever is not redacted stays as it is
//! written.

use std::borrow::Cow;

use super::parameter::TextKind;
use super::{RequestRedaction, REDACTED};
use crate::exchange::body::{Body, BodyExtent, Omission};
use crate::json::push_string;
use crate::json::walk::{unquoted, walk, Passed, Pointer, Reach};

/// Hides what is to be hidden of a text.
type Hide<'a> = dyn Fn(&mut Cow<'_, str>) + 'a;

/// Outcome of a look into a body.
enum BodyRedaction {
    /// Nothing in it has to be redacted.
    Same,
    /// This has to take its place.
    Changed(String),
    /// Nobody knows.
    Unknown,
}

impl RequestRedaction<'_> {
    /// Redacts a body.
    pub(super) fn redact_body(&self, body: &mut Body<'_>) {
        let settings = self.settings;
        let hides_texts = self.is_withheld || !self.texts.is_empty() || !settings.query.is_empty();
        if body.bytes.is_empty() || settings.body.is_empty() && !hides_texts {
            return;
        }
        match self.look_into(body, hides_texts) {
            BodyRedaction::Same => {}
            BodyRedaction::Changed(text) => body.bytes = Cow::Owned(text.into_bytes()),
            BodyRedaction::Unknown => body.leave_out(Omission::Unredacted),
        }
    }

    fn look_into(&self, body: &Body<'_>, hides_texts: bool) -> BodyRedaction {
        let settings = self.settings;
        let pointers = &settings.body;
        let is_whole = body.extent == BodyExtent::Whole;
        // A part of what is to be hidden would not be found at the end of a part.
        let needs_all = !pointers.is_empty() || !self.texts.is_empty();
        let Some(text) = body.text().filter(|_| !self.is_withheld && (is_whole || !needs_all)) else {
            return BodyRedaction::Unknown;
        };
        // UTF-16 of ASCII is UTF-8 with zeros, in which nothing would be found; and in a form of
        // parts names stand elsewhere than before an equals sign.
        let has_zeros = || text.bytes().fold(false, |any, byte| any | (byte == 0));
        let has_parts = || !settings.query.is_empty() && body.content_type.is_some_and(is_of_parts);
        if hides_texts && (has_parts() || has_zeros()) {
            return BodyRedaction::Unknown;
        }
        // JSON has spellings of its own for what is hidden, so that it counts as such whatever its
        // content type says.
        if !pointers.is_empty() || text.trim_ascii_start().starts_with(['{', '[', '"']) {
            let hide = |text: &mut Cow<'_, str>| self.redact_text(text);
            return redacted_json(text, pointers, if hides_texts { Some(&hide) } else { None });
        }
        let mut shown = Cow::Borrowed(text);
        self.redact_text_of(&mut shown, TextKind::of_body(text, body.content_type));
        match shown {
            Cow::Borrowed(_) => BodyRedaction::Same,
            Cow::Owned(text) => BodyRedaction::Changed(text),
        }
    }
}

/// Returns true for `multipart/form-data; boundary=…` and its like.
fn is_of_parts(content_type: &str) -> bool {
    const BEGIN: &str = "multipart/";
    content_type.trim_start().get(..BEGIN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(BEGIN))
}

/// Redacts JSON: all that `pointers` lead to, and in keys, strings and numbers what `hide` hides.
#[inline(never)]
fn redacted_json(json: &str, pointers: &[Pointer], hide: Option<&Hide<'_>>) -> BodyRedaction {
    let mut redacted = String::new();
    let mut copied = 0;
    let walked = walk(json, pointers, Reach::Outermost, &mut |passed, range| {
        let written = json.get(range.clone()).unwrap_or_default();
        let shown = match passed {
            Passed::Pointed(_) => Some(Cow::Borrowed(REDACTED)),
            Passed::Key | Passed::Text => hide.and_then(|hide| hidden(unquoted(written), hide)),
            Passed::Other => hide.and_then(|hide| hidden(Cow::Borrowed(written), hide)),
        };
        if let Some(shown) = shown {
            redacted.push_str(json.get(copied..range.start).unwrap_or_default());
            push_string(&mut redacted, &shown);
            copied = range.end;
        }
    });
    match walked {
        None => BodyRedaction::Unknown,
        Some(_) if copied == 0 => BodyRedaction::Same,
        Some(_) => {
            redacted.push_str(json.get(copied..).unwrap_or_default());
            BodyRedaction::Changed(redacted)
        }
    }
}

/// Returns a text of which `hide` hides something.
fn hidden<'t>(text: Cow<'t, str>, hide: &Hide<'_>) -> Option<Cow<'t, str>> {
    let mut shown = Cow::Borrowed(text.as_ref());
    hide(&mut shown);
    match shown {
        Cow::Owned(shown) => Some(Cow::Owned(shown)),
        Cow::Borrowed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{json, Value};

    use super::*;
    use crate::exchange::matcher::Matcher;
    use crate::exchange::redact::{Redact, Redaction, SecretPaths};

    /// Redacts a body with these settings, in a request for `/reset/s3cr3tt0ken/x`.
    fn redacted(redact: Redact, mut body: Body<'_>) -> Body<'_> {
        let matcher = Matcher::new("/reset/(?<token>[^/]+)").unwrap();
        let matchers = std::rc::Rc::new(SecretPaths::new(vec![matcher.clone()]));
        let redaction = Redaction::new(Redact { matchers, ..redact });
        redaction.within(matcher.groups("/reset/s3cr3tt0ken/x")).redact_body(&mut body);
        body
    }

    fn pointers(texts: &[&str]) -> Redact {
        let body = texts.iter().map(|text| Pointer::with_wildcards(text)).collect();
        Redact { body, ..Redact::default() }
    }

    fn shown(redact: Redact, body: &str) -> String {
        let body = redacted(redact, body.as_bytes().into());
        match body.omission() {
            Some(omission) => omission.as_str().to_owned(),
            None => String::from_utf8(body.bytes.into_owned()).unwrap(),
        }
    }

    #[test]
    fn what_pointers_lead_to_is_hidden_and_all_else_stays_as_it_is_written() {
        for (body, expected) in [
            (
                r#"{"password":"a","n": 1.0, "e":1e400,"\u0070assword" : {"b":[]}, "Password":"c"}"#,
                r#"{"password":"REDACTED","n": 1.0, "e":1e400,"\u0070assword" : "REDACTED", "Password":"REDACTED"}"#,
            ),
            (
                r#"{"cards":[{"number":1,"a":2},{"number":null},[7]],"x/y":{"~":3}}"#,
                r#"{"cards":[{"number":"REDACTED","a":2},{"number":"REDACTED"},[7]],"x/y":{"~":"REDACTED"}}"#,
            ),
            (r#" {"a":"password"} "#, r#" {"a":"password"} "#),
            ("{\"password\":", "unredacted"),
            ("password=a", "unredacted"),
            ("\u{feff}{}", "unredacted"),
            (&("[".repeat(500) + &"]".repeat(500)), "unredacted"),
            ("", ""),
        ] {
            assert_eq!(shown(pointers(&["/password", "/cards/*/number", "/x~1y/~0"]), body), expected, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out_where_something_has_to_be_redacted() {
        let unredacted =
            |redact: Redact, body: Body<'_>| redacted(redact, body).omission() == Some(Omission::Unredacted);
        let of = |bytes: &'static [u8]| Body::from(bytes);
        let query = || Redact { query: vec!["token".into()], ..Redact::default() };
        let path = || Redact { path: vec!["token".into()], ..Redact::default() };
        let gzip = || Body { compression: Some("gzip"), ..of(b"{}") };
        let cut = || Body { extent: BodyExtent::Cut, ..of(b"a s3cr3tt0k") };
        let foreign = || Body { content_type: Some("application/json; charset=utf-16"), ..of(b"{}") };
        for redact in [pointers(&["/a"]), query(), path()] {
            assert!(unredacted(redact.clone(), gzip()) && unredacted(redact.clone(), foreign()));
            assert!(unredacted(redact.clone(), of(b"\xff")) && unredacted(redact, of(b"[\"token\\u003d7")));
        }
        assert!(unredacted(pointers(&["/a"]), cut()) && unredacted(path(), cut()) && !unredacted(query(), cut()));
        for body in [gzip(), cut(), foreign(), of(b"\xff")] {
            assert_eq!(redacted(Redact::default(), body.clone()), body);
        }
        let streamed = Body::left_out(Omission::Streamed);
        assert_eq!(redacted(pointers(&["/a"]), streamed.clone()), streamed);
    }

    #[test]
    fn what_is_hidden_elsewhere_is_hidden_in_bodies_in_any_spelling_of_json() {
        let redact = || Redact { query: vec!["token".into()], path: vec!["token".into()], ..pointers(&["/never"]) };
        for (body, expected) in [
            (r#"{"u":"https:\/\/a\/?token\u003dabc&b=c"}"#, r#"{"u":"https://a/?token=REDACTED&b=c"}"#),
            (r#"["s3cr3tt0ken","\u00733cr3tt0ken",{"s3cr3tt0ken":1}]"#, r#"["REDACTED","REDACTED",{"REDACTED":1}]"#),
            (r#"[1.0,"a=b"]"#, r#"[1.0,"a=b"]"#),
        ] {
            assert_eq!(shown(redact(), body), expected, "{body}");
        }
        let of_query = Redact { query: vec!["token".into()], ..Redact::default() };
        assert_eq!(shown(of_query.clone(), "a=b&token=abc&c=d"), "a=b&token=REDACTED&c=d");
        assert_eq!(shown(of_query, "{\"u\":\"?token=abc\"}"), "{\"u\":\"?token=REDACTED\"}");
        let of_path = Redact { path: vec!["token".into()], ..Redact::default() };
        assert_eq!(shown(of_path, "the s3cr3tt0ken"), "the REDACTED");
    }

    #[test]
    fn a_parameter_is_found_however_a_body_says_it() {
        let redact = || Redact { query: vec!["token".into()], path: vec!["token".into()], ..Redact::default() };
        for (body, expected) in [
            // A mark of byte order, a guard against scripts, a script, and JSON in a string of
            // JSON.
            ("\u{feff}{\"u\":\"?token\\u003dabc\"}", "\u{feff}{\"u\":\"?token\\u003dREDACTED\"}"),
            (")]}',\n[\"?token\\u003dabc\"]", ")]}',\n[\"?token\\u003dREDACTED\"]"),
            (r#"call({"u":"\u0074oken=abc"})"#, r#"call({"u":"\u0074oken=REDACTED"})"#),
            (r#"{"a":"{\"u\":\"?token\\u003dabc\"}"}"#, r#"{"a":"{\"u\":\"?token\\u003dREDACTED\"}"}"#),
            (r#"{"a":"{\"u\":\"\\u00733cr3tt0ken\"}"}"#, r#"{"a":"{\"u\":\"REDACTED\"}"}"#),
            // To a service all of it is the value.
            ("a=b&token=my secret \"x\"<y>;d=e,f=g&c=d", "a=b&token=REDACTED&c=d"),
            ("token=my secret", "token=REDACTED"),
            ("the token=abc is mine", "the token=REDACTED is mine"),
            // UTF-16.
            ("\0t\0o\0k\0e\0n\0=\0a", "unredacted"),
            ("t\0o\0k\0e\0n\0=\0a\0", "unredacted"),
        ] {
            assert_eq!(shown(redact(), body), expected, "{body:?}");
        }
        let of_type = |content_type: &'static str, body: &'static str| {
            let body = redacted(redact(), Body { content_type: Some(content_type), ..body.as_bytes().into() });
            body.omission().map_or_else(|| String::from_utf8_lossy(&body.bytes).into_owned(), |it| it.as_str().into())
        };
        let parts = "--b\r\ncontent-disposition: form-data; name=\"token\"\r\n\r\nabc\r\n--b--";
        assert_eq!(of_type("Multipart/Form-Data; boundary=b", parts), "unredacted");
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(of_type(form, "a b=c&token=my secret"), "a b=c&token=REDACTED");
        assert_eq!(of_type("text/plain", "a\0b").as_str(), "unredacted");
    }

    /// JSON whose members and items are named so that pointers meet them.
    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\é\u{1}]{0,4}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-c]|a/b|~", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Redacts a tree as the pointer says, step by step.
    fn redact_tree(value: &mut Value, steps: &[&str]) {
        let Some((step, rest)) = steps.split_first() else {
            *value = json!(REDACTED);
            return;
        };
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Object(map) => {
                map.iter_mut()
                    .filter(|(key, _)| step == "*" || **key == step)
                    .for_each(|(_, value)| redact_tree(value, rest));
            }
            Value::Array(items) => {
                let items = items.iter_mut().enumerate();
                items
                    .filter(|(at, _)| step == "*" || at.to_string() == step)
                    .for_each(|(_, value)| redact_tree(value, rest));
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn it_is_what_walking_down_a_tree_hides(
            tree in tree(), paths in prop::collection::vec("(/(\\*|a|b|0|1|a~1b|~0)){1,3}", 1..4), pretty: bool,
        ) {
            let json = if pretty { serde_json::to_string_pretty(&tree).unwrap() } else { tree.to_string() };
            let mut expected = tree;
            for path in &paths {
                redact_tree(&mut expected, &path.split('/').skip(1).collect::<Vec<_>>());
            }
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let redacted: Value = serde_json::from_str(&shown(pointers(&paths), &json)).unwrap();
            prop_assert_eq!(redacted, expected);
        }

        #[test]
        fn no_spelling_of_a_key_shows_its_value(spelling in "(p|\\\\u0070|\\\\u0070)(w|\\\\u0077)", before: String, number in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?") {
            let json = format!(r#"{{{}:{number},"{spelling}":"t0ps3cret","a":{number}}}"#, json!(before));
            let shown = shown(pointers(&["/pw"]), &json);
            prop_assert!(!shown.contains("t0ps3cret"), "{}", shown);
            prop_assert!(shown.ends_with(&format!(r#""a":{number}}}"#)), "{}", shown);
        }
    }
}
