//! A text with its percent-encoding and the escapes of JSON undone, however often it was encoded: a
//! URL in the query of a URL in a header, `token\u003d7` in JSON in a string of JSON. Each byte
//! remembers where it stood and how often it was encoded, so that what separates one value from the
//! next is told from the same character inside a value.
//!
//! One pass, in time proportional to the text. Never changes a text.

/// A byte of a text whose encoding is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The byte.
    pub(super) byte: u8,
    /// Times that the text has to be decoded until the byte stands there; 255 or more are one.
    pub(super) depth: u8,
    /// The offset in the text at which it begins.
    pub(super) start: usize,
}

/// Bytes of an escape of JSON.
const ESCAPE: usize = 6;

/// Undoes the encoding of `text`.
pub(super) fn decode(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(text.len());
    for (start, byte) in text.bytes().enumerate() {
        units.push(Unit { byte, depth: 0, start });
        // What comes of three bytes may be the last of the next three: `%2541`.
        while let Some(unit) = decoded(&units) {
            units.truncate(units.len() - 2);
            units.last_mut().into_iter().for_each(|percent| *percent = unit);
        }
        if byte.is_ascii_hexdigit() {
            unescape(&mut units);
        }
    }
    units
}

/// Undoes the escape `\u003d` that the last six units are, if they are one. Half of a surrogate
/// pair stays as it is.
fn unescape(units: &mut Vec<Unit>) {
    let Some(escape @ [backslash, letter, digits @ ..]) = units.last_chunk::<ESCAPE>() else { return };
    if backslash.byte != b'\\' || letter.byte != b'u' {
        return;
    }
    let code = digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(digit.byte).to_digit(16)?));
    let Some(character) = code.and_then(char::from_u32) else { return };
    let depth = escape.iter().map(|unit| unit.depth).max().unwrap_or(0).saturating_add(1);
    let start = backslash.start;
    units.truncate(units.len() - ESCAPE);
    units.extend(character.encode_utf8(&mut [0; 4]).bytes().map(|byte| Unit { byte, depth, start }));
}

/// Returns the byte that the last three stand for, if they do.
fn decoded(units: &[Unit]) -> Option<Unit> {
    let [percent, high, low] = units.last_chunk()?;
    if percent.byte != b'%' {
        return None;
    }
    let digit = |unit: &Unit| char::from(unit.byte).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    let depth = percent.depth.max(high.depth).max(low.depth).saturating_add(1);
    Some(Unit { byte, depth, start: percent.start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<(char, u8, usize)> {
        decode(text).iter().map(|unit| (char::from(unit.byte), unit.depth, unit.start)).collect()
    }

    #[test]
    fn a_byte_knows_how_deep_and_where_it_stood() {
        assert_eq!(shown("a%3db"), [('a', 0, 0), ('=', 1, 1), ('b', 0, 4)]);
        assert_eq!(shown("%25253D"), [('=', 3, 0)]);
        assert_eq!(shown("%25%33%44&"), [('=', 2, 0), ('&', 0, 9)], "the digits may be encoded, too");
        assert_eq!(shown("%%3x%2"), [('%', 0, 0), ('%', 0, 1), ('3', 0, 2), ('x', 0, 3), ('%', 0, 4), ('2', 0, 5)]);
    }

    #[test]
    fn an_escape_of_json_is_undone_wherever_and_however_often_it_stands() {
        assert_eq!(shown(r"a\u003db"), [('a', 0, 0), ('=', 1, 1), ('b', 0, 7)]);
        assert_eq!(shown(r"\u00253D"), [('=', 2, 0)]);
        assert_eq!(shown("%5Cu003D"), [('=', 2, 0)]);
        assert_eq!(shown(r"\\u003d").last(), Some(&('=', 1, 1)), "as it is once more escaped");
        let bytes = |text: &str| decode(text).iter().map(|unit| unit.byte).collect::<Vec<_>>();
        assert_eq!(bytes(r"\u00e9\u20ac"), "é€".as_bytes());
        for text in [r"\ud83d", r"\u003", r"\U003d", "u003d"] {
            assert_eq!(bytes(text), text.as_bytes(), "{text}");
        }
    }

    /// Decodes once, as every server does.
    fn once(bytes: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut rest = bytes;
        while let Some((first, tail)) = rest.split_first() {
            let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            match code.filter(|digits| *first == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
                Some(digits) => {
                    decoded.push(u8::from_str_radix(digits, 16).unwrap());
                    rest = &tail[2..];
                }
                None => {
                    decoded.push(*first);
                    rest = tail;
                }
            }
        }
        decoded
    }

    proptest! {
        #[test]
        fn it_is_what_decoding_again_and_again_leads_to(text in "(%|2|5|3|d|é|%25|%3d|%35){0,40}") {
            let mut expected = text.clone().into_bytes();
            while once(&expected) != expected {
                expected = once(&expected);
            }
            let units = decode(&text);
            prop_assert_eq!(units.iter().map(|unit| unit.byte).collect::<Vec<_>>(), expected);
            let mut level = text.clone().into_bytes();
            for depth in 1..=units.iter().map(|unit| unit.depth).max().unwrap_or(0) {
                level = once(&level);
                let there = units.iter().filter(|unit| unit.depth <= depth && !unit.byte.is_ascii_hexdigit()).count();
                let expected = level.iter().filter(|byte| !byte.is_ascii_hexdigit()).count();
                prop_assert!(there <= expected, "what stands there at depth {} stands there", depth);
            }
        }
    }
}
