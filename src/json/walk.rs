//! Walks once through a text of JSON and says where what pointers lead to stands in it. Builds
//! nothing of it and changes nothing in it, so that numbers stay as they are written, and has a
//! stack of its own that a deep text cannot end.

use std::borrow::Cow;
use std::ops::Range;

use crate::lookup::contains;

/// Objects and lists in one another, at most. In a deeper text nothing is found.
const MAX_DEPTH: usize = 128;

/// Pointers that one walk follows, at most: it keeps a bit for each.
pub(crate) const MAX_POINTERS: usize = 32;

/// A JSON pointer (RFC 6901), without its escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<PointerStep>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum PointerStep {
    /// The member or the item of this name.
    Named(String),
    /// The member or the item of this name in any case, as many services read the names of members:
    /// the libraries of Go and .NET.
    InAnyCase(String),
    /// Any of them.
    Any,
}

impl Pointer {
    /// Takes the text of a pointer, in which `*` is a name like any other.
    pub(crate) fn new(text: &str) -> Pointer {
        let unescaped = |step: &str| match contains(step, "~") {
            true => step.replace("~1", "/").replace("~0", "~"),
            false => step.to_owned(),
        };
        Pointer(text.split('/').skip(1).map(|step| PointerStep::Named(unescaped(step))).collect())
    }

    /// Takes the text of a pointer, in which `*` stands for every member and every item, and names
    /// are of any case.
    pub(crate) fn with_wildcards(text: &str) -> Pointer {
        let steps = Pointer::new(text).0.into_iter().map(|step| match step {
            PointerStep::Named(name) if name == "*" => PointerStep::Any,
            PointerStep::Named(name) => PointerStep::InAnyCase(name),
            other => other,
        });
        Pointer(steps.collect())
    }
}

/// A piece of JSON that a walk passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// A value that pointers lead to, with all that is in it: a bit for each, by its position.
    Pointed(u64),
    /// The name of a member, in its quotes.
    Key,
    /// A string, in its quotes.
    Text,
    /// A number, `true`, `false` or `null`.
    Other,
}

/// The end of a walk through a text that is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The pointers on whose way a name stands twice in its object: readers would not agree on
    /// which counts.
    pub(crate) ambiguous: u64,
}

/// The depth to which pointers are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Down to a value that one of them leads to: what is in it goes with it.
    Outermost,
    /// Into such values, too, because others lead to what is in them.
    All,
}

/// Walks through all of `json`, and hands over each value that one of `pointers` leads to and, of
/// what is outside of these, each key and each value that has nothing in it. Returns `None` if it
/// is not JSON, or too deep.
#[inline(never)]
pub(crate) fn walk(
    json: &str,
    pointers: &[Pointer],
    reach: Reach,
    pass: &mut dyn FnMut(Passed, Range<usize>),
) -> Option<Walked> {
    let mut walk = Walk { json, at: 0, frames: Vec::new(), ambiguous: 0 };
    // The pointers whose beginning leads to the value that is next.
    let mut live = (1u64 << pointers.len().min(MAX_POINTERS)) - 1;
    // Number of values around it that pointers lead to.
    let mut around = 0;
    loop {
        walk.skip_space();
        let start = walk.at;
        let pointed = leading(pointers, live, walk.frames.len());
        match walk.byte()? {
            open @ (b'{' | b'[') => {
                if walk.frames.len() == MAX_DEPTH {
                    return None;
                }
                around += usize::from(pointed != 0);
                let live = if pointed != 0 && reach == Reach::Outermost { 0 } else { live };
                walk.frames.push(Frame { is_list: open == b'[', items: 0, live, seen: 0, start, pointed });
                walk.at += 1;
            }
            first => {
                let passed = if first == b'"' { Passed::Text } else { Passed::Other };
                walk.pass_scalar(first)?;
                if pointed != 0 {
                    pass(Passed::Pointed(pointed), start..walk.at);
                } else if around == 0 {
                    pass(passed, start..walk.at);
                }
            }
        }
        // All that ends here.
        while let Some(ended) = walk.pass_end()? {
            if ended.pointed != 0 {
                around -= 1;
                pass(Passed::Pointed(ended.pointed), ended.start..walk.at);
            }
        }
        if walk.frames.is_empty() {
            walk.skip_space();
            return (walk.at == json.len()).then_some(Walked { ambiguous: walk.ambiguous });
        }
        let key = walk.pass_key()?;
        if let Some(key) = key.clone().filter(|_| around == 0) {
            pass(Passed::Key, key);
        }
        live = walk.live_below(pointers, key)?;
    }
}

/// Returns those of the `live` pointers that end `depth` steps below the top.
fn leading(pointers: &[Pointer], live: u64, depth: usize) -> u64 {
    if live == 0 {
        return 0;
    }
    let ending = numbered(pointers).filter(|(bit, pointer)| live & bit != 0 && pointer.0.len() == depth);
    ending.fold(0, |all, (bit, _)| all | bit)
}

/// Returns each pointer with its bit.
fn numbered(pointers: &[Pointer]) -> impl Iterator<Item = (u64, &Pointer)> {
    pointers.iter().take(MAX_POINTERS).enumerate().map(|(position, pointer)| (1 << position, pointer))
}

/// An object or a list that has begun.
struct Frame {
    is_list: bool,
    /// Members or items that have begun.
    items: usize,
    /// The pointers whose beginning leads here.
    live: u64,
    /// Pointers whose next step has been found in it.
    seen: u64,
    /// The place at which it begins.
    start: usize,
    /// The pointers that lead to it.
    pointed: u64,
}

/// A walk through a text.
struct Walk<'a> {
    json: &'a str,
    at: usize,
    frames: Vec<Frame>,
    ambiguous: u64,
}

impl Walk<'_> {
    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// Takes the next byte if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.byte() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Passes the end of the innermost object or list, if that is next, and returns it; else the
    /// comma before its next item.
    fn pass_end(&mut self) -> Option<Option<Frame>> {
        let Some(frame) = self.frames.last() else { return Some(None) };
        let (close, has_items) = (if frame.is_list { b']' } else { b'}' }, frame.items > 0);
        self.skip_space();
        if self.take(close) {
            return Some(self.frames.pop());
        }
        (!has_items || self.take(b',')).then_some(None)
    }

    /// Passes the name of the next member and its colon; in a list there is none.
    fn pass_key(&mut self) -> Option<Option<Range<usize>>> {
        if self.frames.last()?.is_list {
            return Some(None);
        }
        self.skip_space();
        let start = self.at;
        self.byte().filter(|byte| *byte == b'"')?;
        self.pass_string()?;
        let key = start..self.at;
        self.skip_space();
        self.take(b':').then_some(Some(key))
    }

    /// Returns the pointers whose beginning leads to the next member, which has this name, or to
    /// the next item.
    fn live_below(&mut self, pointers: &[Pointer], key: Option<Range<usize>>) -> Option<u64> {
        let steps = self.frames.len();
        let frame = self.frames.last_mut()?;
        let position = frame.items;
        frame.items += 1;
        if frame.live == 0 {
            return Some(0);
        }
        let name = match key {
            Some(key) => unquoted(self.json.get(key)?),
            None => Cow::Owned(position.to_string()),
        };
        let is_next = |pointer: &Pointer| match pointer.0.get(steps - 1) {
            Some(PointerStep::Named(step)) => *step == name,
            Some(PointerStep::InAnyCase(step)) => *step == name || is_alike(step, &name),
            Some(PointerStep::Any) => true,
            None => false,
        };
        let found = numbered(pointers).filter(|(bit, pointer)| frame.live & bit != 0 && is_next(pointer));
        let found = found.fold(0, |found, (bit, _)| found | bit);
        self.ambiguous |= frame.seen & found;
        frame.seen |= found;
        Some(found)
    }

    fn pass_scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.pass_string(),
            b'-' | b'0'..=b'9' => self.pass_number(),
            _ => {
                let rest = self.json.as_bytes().get(self.at..)?;
                let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    /// Passes a string, whose quote is next.
    fn pass_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let byte = self.byte()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => {
                    let escape = self.byte()?;
                    self.at += 1;
                    let digits = match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
                        b'u' => 4,
                        _ => return None,
                    };
                    for _ in 0..digits {
                        self.byte().filter(u8::is_ascii_hexdigit)?;
                        self.at += 1;
                    }
                }
                0..b' ' => return None,
                _ => {}
            }
        }
    }

    fn pass_number(&mut self) -> Option<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.pass_digits()?;
        }
        if self.take(b'.') {
            self.pass_digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.pass_digits()?;
        }
        Some(())
    }

    fn pass_digits(&mut self) -> Option<()> {
        self.byte().filter(u8::is_ascii_digit)?;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Some(())
    }
}

/// Returns true if two names are equal except in the case of their letters. Most names are others,
/// which takes one look.
#[inline]
fn is_alike(step: &str, name: &str) -> bool {
    let (Some(one), Some(other)) = (step.as_bytes().first(), name.as_bytes().first()) else { return false };
    let begins_alike = (one ^ other) & !0x20 == 0 || !other.is_ascii();
    begins_alike && is_alike_in_full(step, name)
}

#[inline(never)]
fn is_alike_in_full(step: &str, name: &str) -> bool {
    let folded = |letter: char| match letter {
        // Two letters in lower case that are also `s` and `σ` to a reader that takes any case.
        'ſ' => 's',
        'ς' => 'σ',
        ascii if ascii.is_ascii() => ascii.to_ascii_lowercase(),
        other => other.to_lowercase().next().unwrap_or(other),
    };
    step.chars().map(folded).eq(name.chars().map(folded))
}

/// Returns what a string says that stands in its quotes. Half a surrogate, which is no character,
/// becomes U+FFFD.
pub(crate) fn unquoted(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !contains(inner, "\\") {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    // Units of UTF-16 that have not become text.
    let mut units: Vec<u16> = Vec::new();
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        if !before.is_empty() {
            push_units(&mut text, &mut units);
            text.push_str(before);
        }
        let unit = after.strip_prefix('u').and_then(|digits| Some((digits.get(..4)?, digits.get(4..)?)));
        match unit.and_then(|(digits, behind)| Some((u16::from_str_radix(digits, 16).ok()?, behind))) {
            Some((unit, behind)) => {
                units.push(unit);
                rest = behind;
            }
            None => {
                push_units(&mut text, &mut units);
                let mut escaped = after.chars();
                text.extend(escaped.next().map(|escape| match escape {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                }));
                rest = escaped.as_str();
            }
        }
    }
    push_units(&mut text, &mut units);
    text.push_str(rest);
    Cow::Owned(text)
}

fn push_units(text: &mut String, units: &mut Vec<u16>) {
    let characters = char::decode_utf16(units.drain(..));
    text.extend(characters.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;
    use crate::json::to_json;

    fn passed<'a>(json: &'a str, pointers: &[&str]) -> Option<Vec<(Passed, &'a str)>> {
        let pointers: Vec<Pointer> = pointers.iter().map(|text| Pointer::with_wildcards(text)).collect();
        let mut all = Vec::new();
        walk(json, &pointers, Reach::Outermost, &mut |passed, range| all.push((passed, json.get(range).unwrap())))?;
        Some(all)
    }

    fn pointed<'a>(json: &'a str, pointers: &[&str]) -> Vec<&'a str> {
        let all = passed(json, pointers).unwrap();
        all.into_iter().filter(|(passed, _)| matches!(passed, Passed::Pointed(_))).map(|(_, text)| text).collect()
    }

    #[test]
    fn what_is_passed_is_as_it_is_written() {
        use Passed::{Key, Other, Pointed, Text};
        let json = r#" {"a" : [1.0, "x\"y" , null,{}], "b":{"c":1e400,"d":[[ ]]}} "#;
        let all = passed(json, &["/b"]).unwrap();
        let expected = [
            (Key, "\"a\""),
            (Other, "1.0"),
            (Text, r#""x\"y""#),
            (Other, "null"),
            (Key, "\"b\""),
            (Pointed(1), r#"{"c":1e400,"d":[[ ]]}"#),
        ];
        assert_eq!(all, expected);
        assert_eq!(passed("7", &[""]).unwrap(), [(Pointed(1), "7")]);
    }

    #[test]
    fn a_pointer_leads_to_members_items_and_all_of_them() {
        let json = r#"{"a":{"b/c":1,"~":2,"":3,"\u0070w":4},"l":[{"x":5},{"x":6,"y":7},[8]],"0":9}"#;
        for (pointers, expected) in [
            (&["/a/b~1c"][..], &["1"][..]),
            (&["/a/~0", "/a/"], &["2", "3"]),
            (&["/a/pw"], &["4"]),
            (&["/l/*/x"], &["5", "6"]),
            (&["/l/1/*", "/l/2/0", "/l/00"], &["6", "7", "8"]),
            (&["/0", "/x", "/0/x"], &["9"]),
            (&["/*"], &[r#"{"b/c":1,"~":2,"":3,"\u0070w":4}"#, r#"[{"x":5},{"x":6,"y":7},[8]]"#, "9"]),
            (&["/l", "/l/*/x"], &[r#"[{"x":5},{"x":6,"y":7},[8]]"#]),
        ] {
            assert_eq!(pointed(json, pointers), expected, "{pointers:?}");
        }
        assert_eq!(pointed(r#"{"a":1,"\u0061":2}"#, &["/a"]), ["1", "2"], "each that could be meant");
        let in_any_case = r#"{"task":1,"TASK":2,"ta\u017fK":3,"ta\u017f\u212a":4,"tas":5,"tasks":6,"täsk":7}"#;
        assert_eq!(pointed(in_any_case, &["/Task"]), ["1", "2", "3", "4"]);
        let beyond_ascii = r#"{"Größe":1,"GRÖẞE":2,"gr\u00f6sse":3,"ПАРОЛЬ":4,"пароль":5,"ΚΩΔΙΚΌΣ":6,"κωδικός":7}"#;
        for (pointer, expected) in [("/größe", ["1", "2"]), ("/Пароль", ["4", "5"]), ("/Κωδικόσ", ["6", "7"])]
        {
            assert_eq!(pointed(beyond_ascii, &[pointer]), expected, "{pointer}");
        }
        let many: Vec<String> = (0..MAX_POINTERS - 1).map(|n| format!("/{n}")).collect();
        assert_eq!(pointed("[1,2]", &many.iter().map(String::as_str).collect::<Vec<_>>()), ["1", "2"]);
    }

    #[test]
    fn a_deep_text_is_not_walked_and_ends_no_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(passed(&nested(MAX_DEPTH), &[]).is_some() && passed(&nested(MAX_DEPTH + 1), &[]).is_none());
        assert!(passed(&"[{\"a\":".repeat(100_000), &[]).is_none());
    }

    proptest! {
        #[test]
        fn what_serde_json_takes_is_walked_and_nothing_else(
            text in "[\\[\\]{}\",:0-9a.eE+ -]{0,24}|\\[(-?(0|[1-9][0-9]?)(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,3})?|tru|true|false|null|nul|\"[a\\\\u0-9bnx\"\u{1}]{0,9}\")(,1)?\\]|(\\{\"a\":(\\[|\\{|\"\",?|1,?){1,4}[\\]}]{0,5})",
        ) {
            let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(passed(&text, &["/a", "/0/*"]).is_some(), expected, "{}", text);
        }

        #[test]
        fn a_string_says_what_serde_json_reads(text: String, escapes in "(\\\\u(00e9|d83d\\\\ude00|0041)|\\\\[nrtbf/\"\\\\]|é|x){0,9}") {
            for quoted in [to_json(&text), format!("\"{escapes}\"")] {
                prop_assert_eq!(unquoted(&quoted), serde_json::from_str::<String>(&quoted).unwrap());
            }
        }

        #[test]
        fn a_pointer_leads_to_where_serde_json_finds_it(
            text in "[\\[\\]{}\",:01ab ]{0,40}|\\{\"a\":[\\[\\]{}\",:01ab ]{0,30}\\}", pointer in "(/[ab01]?){1,3}",
        ) {
            if let Ok(tree) = serde_json::from_str::<Value>(&text) {
                let found = pointed(&text, &[&pointer]);
                let expected = tree.pointer(&pointer).map(Value::to_string);
                // Of two under one key serde_json keeps the last.
                let last = found.last().map(|found| serde_json::from_str::<Value>(found).unwrap().to_string());
                prop_assert!(expected.is_none() || last == expected || found.len() > 1, "{:?}", found);
                prop_assert!(expected.is_some() || text.matches('"').count() > 4 || found.is_empty(), "{:?}", found);
            }
        }
    }
}
