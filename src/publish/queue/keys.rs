//! Keys of a queue in the store: numbered slots and a few control words.
//!
//! Keys cannot be listed, and on Envoy not be removed: their memory stays for the life of the
//! process. So they are short, and used again.

/// The number of the control word that says where the queue begins and ends.
const CURSORS: u32 = 0xffff_ff00;
/// The number of the control word that says who sends.
const LEASE: u32 = 0xffff_ff01;

/// Slots of one queue at most.
pub(crate) const MAX_SLOTS: u32 = 1 << 21;

/// Bytes of a key, of which the last four are its number.
pub(crate) const KEY_BYTES: usize = 24;

/// A key.
pub(crate) type StoreKey = [u8; KEY_BYTES];

/// The keys of one target, or of the directory.
#[derive(Clone, Debug)]
pub(crate) struct Keys(StoreKey);

impl Keys {
    /// Creates the keys of the target with these names. Kong takes the part before the first slash
    /// as the name of a zone; the number is the version of all that is written, so that two
    /// versions never read each other.
    pub(crate) fn new(names: &[&str]) -> Keys {
        let mut key = [0; KEY_BYTES];
        let (zone, name) = (b"retrohook/4/", hash(names.join("/").as_bytes()).to_be_bytes());
        key.iter_mut().zip(zone.iter().chain(&name)).for_each(|(place, byte)| *place = *byte);
        Keys(key)
    }

    /// Returns the key of the word that says where the queue begins and ends.
    pub(crate) fn cursors(&self) -> StoreKey {
        self.numbered(CURSORS)
    }

    /// Returns the key of the word that says who sends.
    pub(crate) fn lease(&self) -> StoreKey {
        self.numbered(LEASE)
    }

    /// Returns the key of a slot, or of an entry of the directory.
    ///
    /// Keys of one target differ in their last four bytes only, so that no two of them have the
    /// same CRC-32, which is all that Kong goes by.
    pub(crate) fn numbered(&self, number: u32) -> StoreKey {
        let mut key = self.0;
        if let Some(place) = key.last_chunk_mut() {
            *place = number.to_be_bytes();
        }
        key
    }
}

/// Returns the FNV-1a hash of a name (Fowler, Noll and Vo), which is the same in every worker.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
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
        let slots = (0..50_000).chain([MAX_SLOTS - 1]).map(|slot| keys.numbered(slot));
        let mut seen = HashSet::new();
        for key in slots.chain([keys.cursors(), keys.lease()]) {
            assert!(seen.insert(crc32(&key)), "{key:?}");
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!((hash(b""), hash(b"a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
    }
}
