//! Search for a plain text in paths, on the request's time.
//!
//! Paths are short, and most do not have the text. `memmem` of the crate memchr, which is made for
//! long texts, took 725 instructions more for a path of 19 bytes (counted by
//! `tests/filter/cost.rs`) than this, which is Horspool's algorithm: with a text of eight bytes it
//! looks at every eighth.

/// A text, and the distance that the search may skip for each byte that stands where the text would
/// end.
#[derive(Clone, Debug)]
pub(crate) struct PlainText {
    text: Vec<u8>,
    skips: Box<[u8; 256]>,
}

impl PlainText {
    /// Prepares the search for `text`.
    pub(crate) fn new(text: &str) -> PlainText {
        let text = text.as_bytes().to_vec();
        // A skip that is too short only makes the search slower.
        let skip = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
        let mut skips = Box::new([skip(text.len()); 256]);
        for (distance, byte) in text.iter().rev().enumerate().skip(1).rev() {
            if let Some(entry) = skips.get_mut(usize::from(*byte)) {
                *entry = skip(distance);
            }
        }
        PlainText { text, skips }
    }

    /// Returns true if the text is part of `path`.
    pub(crate) fn is_in(&self, path: &[u8]) -> bool {
        let Some(last) = self.text.last() else { return true };
        let mut start = 0;
        while let Some(window) = path.get(start..start + self.text.len()) {
            let Some(end) = window.last() else { break };
            if end == last && window == self.text {
                return true;
            }
            start += usize::from(*self.skips.get(usize::from(*end)).unwrap_or(&1));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_longer_than_a_skip_can_be_is_found() {
        let long = "ab".repeat(400);
        assert!(PlainText::new(&long).is_in(format!("/x{long}").as_bytes()));
        assert!(!PlainText::new(&long).is_in(&long.as_bytes()[1..]));
    }

    proptest! {
        #[test]
        fn a_text_is_found_where_the_standard_library_finds_it(text in "[ab/]{0,6}", path in "[ab/é]{0,30}") {
            prop_assert_eq!(PlainText::new(&text).is_in(path.as_bytes()), path.contains(&text), "{} in {}", text, path);
        }
    }
}
