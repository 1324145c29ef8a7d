//! The text of a redacted group of the path, wherever else it stands: the path that the service was
//! asked for, a `referer`, a `location`.

use std::ops::Range;

use super::decoded::{decode, Unit};

/// Bytes from which on a text is looked for anywhere. A shorter one, such as the number 7, stands
/// in many places by chance, and is looked for in places of the path's kind.
const LEAST_DISTINCT: usize = 8;

/// The text of a group in the path of one request.
#[derive(Debug)]
pub(super) struct GroupText {
    /// The text, decoded and folded: a service may show an id in another case than it came.
    bytes: Vec<u8>,
    /// For each byte, the length of the longest beginning of the text that ends there, too (Knuth,
    /// Morris and Pratt): no search takes longer than the text that is searched, whatever a client
    /// sends.
    borders: Vec<usize>,
    /// The bytes of the path before and behind it.
    neighbours: (Option<u8>, Option<u8>),
    /// True if it might go on where it is cut.
    goes_on: bool,
}

impl GroupText {
    /// Takes the text at `span` of `path`, which might go on behind that; and what many services
    /// make of it, if that is another: without `;` and what follows, and without spaces around it.
    /// An empty one is left out.
    pub(super) fn all_at(path: &str, span: Range<usize>, goes_on: bool) -> impl Iterator<Item = GroupText> {
        let units = decode(path.get(span.clone()).unwrap_or_default());
        let whole: Vec<u8> = units.iter().map(|unit| unit.byte).collect();
        let plain = whole.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let plain = (plain != whole).then(|| plain.to_vec());
        let before = span.start.checked_sub(1).and_then(|before| path.as_bytes().get(before));
        let neighbours = (before.copied(), path.as_bytes().get(span.end).copied());
        let texts = [Some((whole, goes_on)), plain.map(|plain| (plain, false))];
        texts.into_iter().flatten().filter_map(move |(bytes, goes_on)| GroupText::new(bytes, neighbours, goes_on))
    }

    fn new(mut bytes: Vec<u8>, neighbours: (Option<u8>, Option<u8>), goes_on: bool) -> Option<GroupText> {
        bytes.iter_mut().for_each(|byte| *byte = folded(*byte));
        let mut borders = Vec::with_capacity(bytes.len());
        let mut matched = 0;
        for (position, byte) in bytes.iter().enumerate() {
            matched = if position == 0 { 0 } else { next(&bytes, &borders, matched, *byte) };
            borders.push(matched);
        }
        (!bytes.is_empty()).then_some(GroupText { bytes, borders, neighbours, goes_on })
    }

    /// Returns the positions at which the text stands.
    pub(super) fn positions(&self, units: &[Unit]) -> Vec<Range<usize>> {
        let length = self.bytes.len();
        let mut positions = Vec::new();
        let mut matched = 0;
        for (position, unit) in units.iter().enumerate() {
            matched = next(&self.bytes, &self.borders, matched, folded(unit.byte));
            let end = position + 1;
            if matched == length && self.is_meant(units, end - length..end) {
                positions.push(end - length..if self.goes_on { units.len() } else { end });
            }
        }
        positions
    }

    /// Returns true if it is not there by chance.
    fn is_meant(&self, units: &[Unit], place: Range<usize>) -> bool {
        let byte_at = |position: usize| units.get(position).map(|unit| unit.byte);
        let (before, behind) = (place.start.checked_sub(1).and_then(byte_at), byte_at(place.end));
        let begins = before == self.neighbours.0 || matches!(before, Some(b'/' | b'='));
        let ends = behind == self.neighbours.1 || behind.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        self.bytes.len() >= LEAST_DISTINCT || begins && ends
    }
}

/// Returns one byte for both cases of a letter, in one instruction. Some other bytes share one too,
/// such as `[` and `{`: where only these differ more is hidden.
fn folded(byte: u8) -> u8 {
    byte | 0x20
}

/// Returns how much of the text ends with `byte`, where `matched` bytes of it ended just before.
fn next(bytes: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    loop {
        if bytes.get(matched) == Some(&byte) {
            return matched + 1;
        }
        let Some(border) = matched.checked_sub(1).and_then(|last| borders.get(last)) else { return 0 };
        matched = *border;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn positions(path: &str, span: Range<usize>, text: &str) -> Vec<Range<usize>> {
        let units = decode(text);
        GroupText::all_at(path, span, false).flat_map(|group| group.positions(&units)).collect()
    }

    #[test]
    fn a_long_text_is_found_anywhere_and_a_short_one_as_a_part_of_a_path() {
        let path = "/reset/s3cr3tt0ken/x";
        assert_eq!(positions(path, 7..18, "as3cr3tt0kenb").first(), Some(&(1..12)));
        assert_eq!(positions(path, 7..18, "%733cr3tt0ken").first(), Some(&(0..11)));
        let path = "/profile-7/x";
        for text in ["/profile-7", "https://a/7?b", "?id=7&c", "/a%2F7"] {
            assert_eq!(positions(path, 9..10, text).len(), 1, "{text}");
        }
        for text in ["Mon, 7 Jan", "/77", "q=0.7", ""] {
            assert_eq!(positions(path, 9..10, text).len(), 0, "{text}");
        }
        assert!(GroupText::all_at(path, 3..3, false).next().is_none());
    }

    #[test]
    fn it_is_found_as_a_service_may_show_it() {
        for (path, text, expected) in [
            ("/reset/S3CR3Tt0ken", "/reset/s3cr3tT0KEN", &[(7, 18)][..]),
            ("/reset/s3cr3tt0ken;a=1", "s3cr3tt0ken", &[(0, 11)]),
            ("/reset/%20s3cr3tt0ken%20", "s3cr3tt0ken", &[(0, 11)]),
            // The whole text as well: what follows may be secret, too.
            ("/reset/a;b=s3cr3tt0ken", "/reset/a;b=s3cr3tt0ken", &[(7, 22), (7, 8)][..]),
            ("/reset/;a=1", "/reset/x", &[]),
        ] {
            let found = positions(path, 7..path.len(), text);
            let found: Vec<_> = found.iter().map(|place| (place.start, place.end)).collect();
            assert_eq!(found, expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn it_is_found_wherever_it_stands(text in "[ab]{8,12}", before in "[ab]{0,30}", behind in "[ab]{0,30}") {
            let whole = [before, text.clone(), behind].concat();
            let windows = whole.as_bytes().windows(text.len()).enumerate();
            let expected: Vec<_> = windows.filter(|(_, window)| *window == text.as_bytes()).map(|(start, _)| start).collect();
            let found = positions(&text, 0..text.len(), &whole);
            prop_assert_eq!(found.iter().map(|place| place.start).collect::<Vec<_>>(), expected);
        }
    }
}
