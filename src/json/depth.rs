//! Tells how deep JSON is. Never checks that it is JSON, and has no stack that a deep one could
//! end.

use crate::bytes::words::{words, Word, WORD};

/// Bits in which brackets differ from one another. With all of them set `y`, `_` and a few others
/// look like a bracket, too: a word that has one is passed byte by byte, which tells them apart.
const BRACKET_BITS: u8 = 0x26;

/// A walk through a text of JSON.
struct DepthScan {
    depth: usize,
    deepest: usize,
    /// True within a string.
    quoted: bool,
    /// True behind a backslash that escapes what follows.
    escaped: bool,
}

/// Returns true if more than `most` objects and lists are in one another, in a text that is JSON.
pub(crate) fn is_deeper(json: &str, most: usize) -> bool {
    let mut scan = DepthScan { depth: 0, deepest: 0, quoted: false, escaped: false };
    let (words, rest) = words(json.as_bytes());
    words.for_each(|word| scan.pass_word(word));
    scan.pass_bytes(rest);
    scan.deepest > most
}

impl DepthScan {
    /// Goes on behind a word. In a string without an end only backslashes at the end of it count,
    /// and where there are no backslashes and no brackets, quotes alone.
    fn pass_word(&mut self, word: Word) {
        let (quotes, backslashes) = (word.equal(b'"'), word.equal(b'\\'));
        if self.quoted && quotes.is_empty() {
            let at_end = backslashes.at_end();
            self.escaped = if at_end == WORD { self.escaped } else { at_end % 2 == 1 };
        } else if self.escaped || !word.equal_with(BRACKET_BITS, b'[' | BRACKET_BITS).or(backslashes).is_empty() {
            self.pass_bytes(&word.0.to_le_bytes());
        } else {
            self.quoted ^= quotes.count() % 2 == 1;
        }
    }

    /// Goes on behind one byte after the other. Never inlined: unrolled for a word it is large.
    #[inline(never)]
    fn pass_bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.pass(*byte));
    }

    fn pass(&mut self, byte: u8) {
        if std::mem::take(&mut self.escaped) {
            return;
        }
        match byte {
            b'"' => self.quoted = !self.quoted,
            b'\\' => self.escaped = true,
            b'{' | b'[' if !self.quoted => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
            b'}' | b']' if !self.quoted => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::to_json;

    proptest! {
        #[test]
        fn what_stands_in_strings_is_not_nested(
            texts in prop::collection::vec("[\\[\\]{}\",:\\\\ a]{0,12}", 1..4), depth in 1usize..6,
        ) {
            let texts: Vec<_> = texts.iter().map(to_json).collect();
            let json = format!("{}{}{}", "[".repeat(depth), texts.join(","), "]".repeat(depth));
            prop_assert!(is_deeper(&json, depth - 1) && !is_deeper(&json, depth), "{}", json);
        }

        #[test]
        fn the_depth_is_that_of_the_value(json in prop::collection::vec("[\\[\\]{}\",:\\\\ 1a]{1,4}", 0..9)) {
            fn depth(value: &serde_json::Value) -> usize {
                match value {
                    serde_json::Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
                    serde_json::Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
                    _ => 0,
                }
            }
            let mut value = serde_json::json!(1);
            for (at, text) in json.into_iter().enumerate() {
                value = if at % 2 == 0 { serde_json::json!([text, value, []]) } else { serde_json::json!({text: value}) };
            }
            let (text, depth) = (value.to_string(), depth(&value));
            prop_assert!(!is_deeper(&text, depth) && (depth == 0 || is_deeper(&text, depth - 1)), "{}", text);
        }
    }
}
