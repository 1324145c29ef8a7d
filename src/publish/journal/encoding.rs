//! The encoding of values in the store: numbers, and texts behind their lengths, so that JSON in a
//! message is not escaped once more. The version of the encoding is part of the keys.
//!
//! Each value begins with its own key: Kong finds a key by its CRC-32 alone, and may answer with
//! the value of another key.
// By hand, because postcard 1.1.3 took 1,807 instructions for an event of 2 KB instead of 1,465,
// and 2.8 KB more of the module.

use crate::clock::Timestamp;
use crate::event::{Attribute, AttributeType, Event};

/// The length of an absent text.
const ABSENT: u32 = u32::MAX;

/// An encoder of one value.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins the value of `key`, with room for `size` more bytes.
    pub(crate) fn new(key: &[u8], size: usize) -> Encoder {
        let mut encoder = Encoder(Vec::with_capacity(4 + key.len() + size));
        encoder.bytes(key);
        encoder
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Encoder {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn length(&mut self, length: u32) {
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // No text has four gigabytes: the memory of a VM ends there.
        self.length(u32::try_from(bytes.len()).unwrap_or(ABSENT));
        self.0.extend_from_slice(bytes);
    }

    fn optional(&mut self, text: Option<&String>) {
        match text {
            Some(text) => self.bytes(text.as_bytes()),
            None => self.length(ABSENT),
        }
    }

    /// Adds a text, and returns the whole value.
    pub(crate) fn with_text(mut self, text: &str) -> Vec<u8> {
        self.bytes(text.as_bytes());
        self.finish()
    }

    /// Returns the whole value.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A decoder of one value, whose methods return `None` where the value is malformed.
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Begins to read the value of `key`; `None` if it is another key's.
    pub(crate) fn new(key: &[u8], value: &'a [u8]) -> Option<Decoder<'a>> {
        let mut decoder = Decoder(value);
        (decoder.bytes()?? == key).then_some(decoder)
    }

    /// Reads a number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        let length = u32::from_le_bytes(*length);
        if length == ABSENT {
            return Some(None);
        }
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(bytes))
    }

    fn optional(&mut self) -> Option<Option<String>> {
        match self.bytes()? {
            Some(bytes) => Some(Some(String::from_utf8(bytes.to_vec()).ok()?)),
            None => Some(None),
        }
    }

    /// Reads a text that is not absent.
    pub(crate) fn text(&mut self) -> Option<String> {
        self.optional()?
    }
}

/// Encodes an event for `key`; `sequence` is its position in the order of its queue, and
/// `written_at` the time of its segment.
pub(crate) fn encode(key: &[u8], sequence: u64, written_at: Timestamp, event: &Event) -> Vec<u8> {
    let Event { id, message, attributes, subject, group_id, at } = event;
    let of_attributes: usize = attributes.iter().map(|each| each.name.len() + each.value.len() + 16).sum();
    let texts = [subject, group_id].into_iter().flatten().map(String::len).sum::<usize>() + id.len() + message.len();
    let mut encoder = Encoder::new(key, texts + of_attributes + 48);
    encoder.number(sequence).number(written_at.0).number(at.0);
    encoder.bytes(id.as_bytes());
    encoder.bytes(message.as_bytes());
    encoder.optional(subject.as_ref());
    encoder.optional(group_id.as_ref());
    for Attribute { name, data_type, value } in attributes {
        encoder.number(match data_type {
            AttributeType::String => 0,
            AttributeType::Number => 1,
            AttributeType::StringArray => 2,
        });
        encoder.bytes(name.as_bytes());
        encoder.bytes(value.as_bytes());
    }
    encoder.finish()
}

/// Reads the sequence of the event under `key` and nothing else, for sorting.
pub(crate) fn sequence(key: &[u8], value: &[u8]) -> Option<u64> {
    Decoder::new(key, value)?.number()
}

/// Decodes the event under `key`, and when it was written.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<(Event, Timestamp)> {
    let mut decoder = Decoder::new(key, value)?;
    decoder.number()?;
    let written_at = Timestamp(decoder.number()?);
    let at = Timestamp(decoder.number()?);
    let (id, message) = (decoder.text()?, decoder.text()?);
    let (subject, group_id) = (decoder.optional()?, decoder.optional()?);
    let mut attributes = Vec::new();
    while !decoder.0.is_empty() {
        let data_type = match decoder.number()? {
            0 => AttributeType::String,
            1 => AttributeType::Number,
            2 => AttributeType::StringArray,
            _ => return None,
        };
        attributes.push(Attribute { name: decoder.text()?, data_type, value: decoder.text()? });
    }
    Some((Event { id, message, attributes, subject, group_id, at }, written_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_event()(
            texts: (String, String, Option<String>, Option<String>),
            attributes: Vec<(String, Option<bool>, String)>,
            at: u64,
        ) -> Event {
            let attribute = |(name, number, value)| {
                let data_type = match number {
                    Some(true) => AttributeType::Number,
                    Some(false) => AttributeType::StringArray,
                    None => AttributeType::String,
                };
                Attribute { name, data_type, value }
            };
            let attributes = attributes.into_iter().map(attribute).collect();
            let (id, message, subject, group_id) = texts;
            Event { id, message, attributes, subject, group_id, at: Timestamp(at) }
        }
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written_and_only_under_its_key(event in any_event(), order: u64, at: u64, key: Vec<u8>, other: Vec<u8>, cut: usize) {
            let value = encode(&key, order, Timestamp(at), &event);
            prop_assert_eq!(sequence(&key, &value), Some(order));
            prop_assert_eq!(decode(&key, &value), Some((event, Timestamp(at))));
            prop_assume!(key != other);
            prop_assert_eq!(decode(&other, &value), None);
            let cut = cut % value.len();
            // A value that is cut behind an attribute is one with fewer of them.
            if let Some((shorter, at)) = decode(&key, &value[..cut]) {
                prop_assert_eq!(encode(&key, order, at, &shorter), &value[..cut]);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(key: Vec<u8>, value: Vec<u8>) {
            let under_key = [Encoder::new(&key, 0).finish(), value.clone()].concat();
            for value in [value, under_key] {
                sequence(&key, &value);
                decode(&key, &value);
            }
        }
    }
}
