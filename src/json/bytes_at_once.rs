//! Eight bytes at once: finds those that mean something in JSON with arithmetic on one word, where
//! one byte after the other would take several times as long. Knows nothing of JSON.

/// Bytes of a word.
pub(super) const WORD: usize = 8;

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7F * ONES;

/// Eight bytes, the first of which is the lowest.
#[derive(Clone, Copy)]
pub(super) struct Word(pub(super) u64);

/// Bytes of a word: the highest bit of each that is among them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundBytes(u64);

impl Word {
    /// Returns all bytes that are `byte`.
    pub(super) fn equal(self, byte: u8) -> FoundBytes {
        let zero_where_equal = self.0 ^ (u64::from(byte) * ONES);
        // No carry leaves its byte, so that no byte is found because of the one before it.
        FoundBytes(!(((zero_where_equal & LOW_BITS) + LOW_BITS) | zero_where_equal | LOW_BITS))
    }

    /// Returns all bytes that are `byte` where they have the bits of `mask` set as well.
    pub(super) fn equal_with(self, mask: u8, byte: u8) -> FoundBytes {
        Word(self.0 | (u64::from(mask) * ONES)).equal(byte)
    }

    /// Returns all bytes that are below 32.
    pub(super) fn controls(self) -> FoundBytes {
        Word(self.0 & (0xE0 * ONES)).equal(0)
    }
}

impl FoundBytes {
    pub(super) fn or(self, other: FoundBytes) -> FoundBytes {
        FoundBytes(self.0 | other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns how many bytes come before the first.
    pub(super) fn before_first(self) -> usize {
        self.0.trailing_zeros() as usize / WORD
    }

    /// Returns how many are at the end, with no other byte between or behind them.
    pub(super) fn at_end(self) -> usize {
        (!self.0 & (0x80 * ONES)).leading_zeros() as usize / WORD
    }

    /// Returns what is left without the first.
    pub(super) fn without_first(self) -> FoundBytes {
        FoundBytes(self.0 & self.0.wrapping_sub(1))
    }
}

/// Cuts bytes into words, and less than a word that is left.
pub(super) fn words(bytes: &[u8]) -> (impl Iterator<Item = Word> + '_, &[u8]) {
    let (words, rest) = bytes.as_chunks::<WORD>();
    (words.iter().map(|word| Word(u64::from_le_bytes(*word))), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions(mut found: FoundBytes) -> Vec<usize> {
        let mut positions = Vec::new();
        while !found.is_empty() {
            positions.push(found.before_first());
            found = found.without_first();
        }
        positions
    }

    proptest! {
        #[test]
        fn all_bytes_are_found_and_no_others(bytes: [u8; WORD], byte: u8, mask: u8, near in prop::bool::ANY) {
            // Differences of one bit are where carries would show.
            let bytes = if near { bytes.map(|other| byte ^ (other & 1)) } else { bytes };
            let word = Word(u64::from_le_bytes(bytes));
            let is = |wanted: &dyn Fn(u8) -> bool| (0..WORD).filter(|at| wanted(bytes[*at])).collect::<Vec<_>>();
            prop_assert_eq!(positions(word.equal(byte)), is(&|other| other == byte));
            prop_assert_eq!(positions(word.equal_with(mask, byte)), is(&|other| other | mask == byte));
            prop_assert_eq!(positions(word.controls()), is(&|other| other < b' '));
            let at_end = bytes.iter().rev().take_while(|other| **other == byte).count();
            prop_assert_eq!(word.equal(byte).at_end(), at_end);
            prop_assert_eq!(word.controls().count() as usize, is(&|other| other < b' ').len());
        }
    }
}
