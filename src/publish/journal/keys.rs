//! Keys of the journal in the store: numbered segments, and in each of them a lease and numbered
//! slots.
//!
//! Keys cannot be listed, and on Envoy not be removed. So segments and slots are numbered from
//! zero, free ones are used again, and the first segment without a lease ends the list.

/// Segments of one target at most, far more than there are workers.
pub(crate) const MAX_SEGMENTS: u32 = 1 << 12;

/// Slots of one segment at most: a queue has no more entries.
pub(crate) const MAX_SLOTS: u32 = (1 << 20) - 1;

/// The number of a segment's lease, where slots have theirs.
const LEASE: u32 = 0;

/// The keys of one target.
pub(crate) struct Keys(Vec<u8>);

impl Keys {
    /// Creates the keys of the target with these names, or of the directory. Kong takes the part before the first slash
    /// as the name of a zone; `2` is the version of all that is written, so that two versions never
    /// read each other.
    pub(crate) fn new(names: &[&str]) -> Keys {
        Keys(["retrohook/journal/2/", &names.join("/"), "/"].concat().into_bytes())
    }

    /// Returns the key of a segment's lease, or of an entry of the directory.
    pub(crate) fn lease(&self, segment: u32) -> Vec<u8> {
        self.key(segment, LEASE)
    }

    /// Returns the key of a slot. Segments and slots are numbered from zero.
    pub(crate) fn slot(&self, segment: u32, slot: u32) -> Vec<u8> {
        self.key(segment, slot + 1)
    }

    /// Keys of one target differ in their last four bytes only, so that no two of them have the
    /// same CRC-32.
    fn key(&self, segment: u32, number: u32) -> Vec<u8> {
        let last: u32 = segment << 20 | number;
        [self.0.as_slice(), &last.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The checksum of zlib, nginx and Kong.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    #[test]
    fn no_two_keys_of_a_target_are_the_same_to_kong() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let keys = Keys::new(&["sns", "us-east-1", "arn:aws:sns:us-east-1:123456789012:profile-events"]);
        let mut seen = HashSet::new();
        for segment in [0, 1, 2, 3, 255, MAX_SEGMENTS - 1] {
            let slots = (0..10_000).chain([MAX_SLOTS - 1]).map(|slot| keys.slot(segment, slot));
            for key in slots.chain([keys.lease(segment)]) {
                assert!(seen.insert(crc32(&key)), "{key:?}");
            }
        }
    }
}
