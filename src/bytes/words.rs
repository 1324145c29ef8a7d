//! Eight bytes at once: finds those that mean something with arithmetic on one word, where one byte
//! after the other would take several times as long. Knows nothing of what they mean.

/// Bytes of a word.
pub(crate) const WORD: usize = 8;

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7F * ONES;

/// Eight bytes, the first of which is the lowest.
#[derive(Clone, Copy)]
pub(crate) struct Word(pub(crate) u64);

/// Bytes of a word: the highest bit of each that is among them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundBytes(u64);

impl Word {
    /// Returns all bytes that are `byte`.
    pub(crate) fn equal(self, byte: u8) -> FoundBytes {
        let zero_where_equal = self.0 ^ (u64::from(byte) * ONES);
        // No carry leaves its byte, so that no byte is found because of the one before it.
        FoundBytes(!(((zero_where_equal & LOW_BITS) + LOW_BITS) | zero_where_equal | LOW_BITS))
    }

    /// Returns all bytes that are `byte` where they have the bits of `mask` set as well.
    pub(crate) fn equal_with(self, mask: u8, byte: u8) -> FoundBytes {
        Word(self.0 | (u64::from(mask) * ONES)).equal(byte)
    }

    /// Returns true if a byte is one that a string of JSON escapes: a quote, a backslash, or below
    /// 32. Where such bytes stand it does not tell, which takes half of the instructions: a borrow
    /// leaves its byte only where one is found anyway.
    pub(crate) fn has_escaped(self) -> bool {
        let borrows_at = |byte: u8| (self.0 ^ (u64::from(byte) * ONES)).wrapping_sub(ONES);
        let borrowed = self.0.wrapping_sub(0x20 * ONES) | borrows_at(b'"') | borrows_at(b'\\');
        borrowed & !self.0 & (0x80 * ONES) != 0
    }

    /// Returns all bytes that are below 32.
    pub(crate) fn controls(self) -> FoundBytes {
        Word(self.0 & (0xE0 * ONES)).equal(0)
    }
}

impl FoundBytes {
    pub(crate) fn or(self, other: FoundBytes) -> FoundBytes {
        FoundBytes(self.0 | other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns how many bytes come before the first.
    pub(crate) fn before_first(self) -> usize {
        self.0.trailing_zeros() as usize / WORD
    }

    /// Returns how many are at the end, with no other byte between or behind them.
    pub(crate) fn at_end(self) -> usize {
        (!self.0 & (0x80 * ONES)).leading_zeros() as usize / WORD
    }

    /// Returns what is left without the first.
    pub(crate) fn without_first(self) -> FoundBytes {
        FoundBytes(self.0 & self.0.wrapping_sub(1))
    }
}

/// Cuts bytes into words, and less than a word that is left.
pub(crate) fn words(bytes: &[u8]) -> (impl Iterator<Item = Word> + '_, &[u8]) {
    let (words, rest) = bytes.as_chunks::<WORD>();
    (words.iter().map(|word| Word(u64::from_le_bytes(*word))), rest)
}

/// Returns true if all of `bytes` are fine, as `is_fine` says of eight at once; spaces stand where
/// there are fewer.
pub(crate) fn all_words(bytes: &[u8], is_fine: impl Fn(Word) -> bool) -> bool {
    const SPACES: u64 = 0x20 * ONES;
    match bytes.last_chunk() {
        // The last word may have bytes of the one before it, so that none is looked at alone.
        Some(last) => is_fine(Word(u64::from_le_bytes(*last))) && words(bytes).0.all(is_fine),
        None => is_fine(Word(bytes.iter().fold(SPACES, |word, byte| word << 8 | u64::from(*byte)))),
    }
}

/// Returns true if all of `bytes` are ASCII.
#[inline(never)]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    all_words(bytes, |word| word.0 & (0x80 * ONES) == 0)
}

/// Returns where `byte` stands in `bytes`, in order.
pub(crate) fn positions(bytes: &[u8], byte: u8) -> impl Iterator<Item = usize> + '_ {
    let (words, rest) = words(bytes);
    let mut last = [!byte; WORD];
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    let mut words = words.chain([Word(u64::from_le_bytes(last))]);
    let (mut found, mut next) = (FoundBytes(0), 0);
    std::iter::from_fn(move || {
        while found.is_empty() {
            found = words.next()?.equal(byte);
            next += WORD;
        }
        let position = next - WORD + found.before_first();
        found = found.without_first();
        Some(position)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all_of(mut found: FoundBytes) -> Vec<usize> {
        let mut positions = Vec::new();
        while !found.is_empty() {
            positions.push(found.before_first());
            found = found.without_first();
        }
        positions
    }

    proptest! {
        #[test]
        fn ascii_is_what_the_standard_library_says_it_is(mut bytes in prop::collection::vec(0u8..128, 0..40), at: usize) {
            prop_assert!(is_ascii(&bytes));
            prop_assume!(!bytes.is_empty());
            let at = at % bytes.len();
            bytes[at] |= 0x80;
            prop_assert!(!is_ascii(&bytes));
        }

        #[test]
        fn positions_are_those_of_one_byte_after_the_other(bytes in prop::collection::vec(0u8..3, 0..40), byte in 0u8..3) {
            let expected: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == byte).collect();
            prop_assert_eq!(positions(&bytes, byte).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn all_bytes_are_found_and_no_others(bytes: [u8; WORD], byte: u8, mask: u8, near in prop::bool::ANY) {
            // Differences of one bit are where carries would show.
            let bytes = if near { bytes.map(|other| byte ^ (other & 1)) } else { bytes };
            let word = Word(u64::from_le_bytes(bytes));
            let is = |wanted: &dyn Fn(u8) -> bool| (0..WORD).filter(|at| wanted(bytes[*at])).collect::<Vec<_>>();
            prop_assert_eq!(all_of(word.equal(byte)), is(&|other| other == byte));
            prop_assert_eq!(all_of(word.equal_with(mask, byte)), is(&|other| other | mask == byte));
            prop_assert_eq!(all_of(word.controls()), is(&|other| other < b' '));
            let at_end = bytes.iter().rev().take_while(|other| **other == byte).count();
            prop_assert_eq!(word.equal(byte).at_end(), at_end);
            prop_assert_eq!(word.controls().count() as usize, is(&|other| other < b' ').len());
            let is_escaped = |other| matches!(other, 0..b' ' | b'"' | b'\\');
            prop_assert_eq!(word.has_escaped(), bytes.iter().any(|other| is_escaped(*other)));
            let beside = bytes.map(|other| if is_escaped(other) { other + 1 } else { other });
            let has_others = beside.iter().any(|other| is_escaped(*other));
            prop_assert_eq!(Word(u64::from_le_bytes(beside)).has_escaped(), has_others);
        }
    }
}
