//! A place in the store: the numbered keys that one queue writes its events to, and the record that says whose they are.
//!
//! Keys can neither be listed nor, on Envoy, be taken away. So places are numbered from zero, and so are the slots of a place;
//! what is free is used again, and the first number without a record ends the list.

use super::encoding::{Reader, Writer};

/// Places of one target at most, far more than there are workers.
pub const MAX_PLACES: u32 = 1 << 12;

/// Slots of one place at most: there are no more entries in a queue.
pub const MAX_SLOTS: u32 = (1 << 20) - 1;

/// The number in the place of a slot's that the record has.
const RECORD: u32 = 0;

/// The keys of one target.
pub struct Keys(Vec<u8>);

impl Keys {
    /// Those of the target that has these names. What comes before the first slash is the name that Kong looks for among its
    /// zones; `1` is the version of all that is written.
    pub fn new(names: [&str; 3]) -> Keys {
        Keys(format!("retrohook/journal/1/{}/", names.join("/")).into_bytes())
    }

    /// The key of the record of a place.
    pub fn record(&self, place: u32) -> Vec<u8> {
        self.key(place, RECORD)
    }

    /// The key of a slot of a place, both counted from zero.
    pub fn slot(&self, place: u32, slot: u32) -> Vec<u8> {
        self.key(place, slot + 1)
    }

    /// Keys of one target differ in their last four bytes only, so that no two of them have the same CRC-32.
    fn key(&self, place: u32, number: u32) -> Vec<u8> {
        let last: u32 = place << 20 | number;
        [self.0.as_slice(), &last.to_be_bytes()].concat()
    }
}

/// Who has a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The journal that has it; zero if it is free.
    pub owner: u64,
    /// The events are in slots below this.
    pub slots: u32,
    /// What its owner has told the host's gauges of its queue.
    pub reported: Reported,
}

/// What a queue has added to gauges that are sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Events.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Record {
    /// The value under `key`.
    pub fn encode(self, key: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(key, 32);
        writer.number(self.owner).number(self.slots.into());
        writer.number(self.reported.entries).number(self.reported.bytes);
        writer.finish()
    }

    /// Reads it; `None` if it is the value of another key.
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Record> {
        let mut reader = Reader::new(key, value)?;
        let (owner, slots) = (reader.number()?, u32::try_from(reader.number()?).ok()?);
        let reported = Reported { entries: reader.number()?, bytes: reader.number()? };
        Some(Record { owner, slots: slots.min(MAX_SLOTS), reported })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// As zlib, nginx and Kong reckon it.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    #[test]
    fn no_two_keys_of_a_target_are_the_same_to_kong() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let keys = Keys::new(["sns", "us-east-1", "arn:aws:sns:us-east-1:123456789012:profile-events"]);
        let mut seen = HashSet::new();
        for place in [0, 1, 2, 3, 255, MAX_PLACES - 1] {
            let slots = (0..10_000).chain([MAX_SLOTS - 1]).map(|slot| keys.slot(place, slot));
            for key in slots.chain([keys.record(place)]) {
                assert!(seen.insert(crc32(&key)), "{key:?}");
            }
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_under_its_key() {
        let record = Record { owner: 7, slots: 64, reported: Reported { entries: 3, bytes: 300 } };
        let value = record.encode(b"key");
        assert_eq!(Record::decode(b"key", &value), Some(record));
        assert_eq!((Record::decode(b"other", &value), Record::decode(b"key", b"")), (None, None));
    }
}
