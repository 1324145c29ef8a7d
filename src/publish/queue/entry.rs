//! An entry of the queue as it stands in its slot: a head of a fixed size, which changes hands, and
//! behind it the event, which never changes.
//!
//! Each value begins with its own key: Kong finds a key by its CRC-32 alone, and may answer with
//! the value of another key. Texts stand behind their lengths, so that JSON in a message is not
//! escaped once more.
// By hand, because postcard 1.1.3 took 1,807 instructions for an event of 2 KB instead of 1,465,
// and 2.8 KB more of the module.

use super::keys::{StoreKey, KEY_BYTES};
use crate::clock::Timestamp;
use crate::event::{Attribute, AttributeType, Event};

/// The length of an absent text.
const ABSENT: u32 = u32::MAX;

/// Bytes of a head.
const HEAD_BYTES: usize = 48;

/// State of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// A worker that may send takes it.
    Queued,
    /// A worker has it: to send it, or to make it a dead letter.
    Claimed,
    /// Its target has it. It stands in for an entry that a worker watches, which removes it.
    Delivered,
    /// It became a dead letter; else like [`EntryState::Delivered`].
    Dropped,
    /// It is elsewhere in the ring, at the position that the head has as its time; else like
    /// [`EntryState::Delivered`].
    Moved,
}

impl EntryState {
    /// Returns true if the entry has come to its end.
    pub(crate) fn is_over(self) -> bool {
        match self {
            EntryState::Delivered | EntryState::Dropped | EntryState::Moved => true,
            EntryState::Queued | EntryState::Claimed => false,
        }
    }
}

/// Head of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHead {
    /// Its state.
    pub(crate) state: EntryState,
    /// True if some worker watches for its end.
    pub(crate) watched: bool,
    /// True if a response waits for it: it goes first.
    pub(crate) urgent: bool,
    /// True if its client was told that it failed: it is not tried again.
    pub(crate) withdrawn: bool,
    /// Its bytes, as its target counts them.
    pub(crate) size: u32,
    /// The worker that has it, if one does.
    pub(crate) holder: u64,
    /// Its number in the order of the target, which is unique.
    pub(crate) order: u64,
    /// Hash of its group; zero where order does not matter.
    pub(crate) group: u64,
    /// The queue's own time when it came.
    pub(crate) time: u64,
    /// The time on the host's clock when it came.
    pub(crate) at: Timestamp,
}

impl EntryHead {
    #[inline(never)]
    fn encode(&self) -> [u8; HEAD_BYTES] {
        let state = match self.state {
            EntryState::Queued => 1,
            EntryState::Claimed => 2,
            EntryState::Delivered => 3,
            EntryState::Dropped => 4,
            EntryState::Moved => 5,
        };
        let flag = |set: bool, bit: u8| u8::from(set) << bit;
        let flags = flag(self.watched, 0) | flag(self.urgent, 1) | flag(self.withdrawn, 2);
        let [a, b, c, d] = self.size.to_le_bytes();
        let mut bytes = [0; HEAD_BYTES];
        let numbers = [
            u64::from_le_bytes([state, flags, 0, 0, a, b, c, d]),
            self.holder,
            self.order,
            self.group,
            self.time,
            self.at.0,
        ];
        for (chunk, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            chunk.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads the head of the entry under `key`; `None` if the value is another key's.
    pub(crate) fn read(key: &StoreKey, value: &[u8]) -> Option<EntryHead> {
        let mut decoder = Decoder::new(key, value)?;
        let [state, flags, _, _, a, b, c, d] = decoder.number()?.to_le_bytes();
        Some(EntryHead {
            state: match state {
                1 => EntryState::Queued,
                2 => EntryState::Claimed,
                3 => EntryState::Delivered,
                4 => EntryState::Dropped,
                5 => EntryState::Moved,
                _ => return None,
            },
            watched: flags & 1 != 0,
            urgent: flags & 2 != 0,
            withdrawn: flags & 4 != 0,
            size: u32::from_le_bytes([a, b, c, d]),
            holder: decoder.number()?,
            order: decoder.number()?,
            group: decoder.number()?,
            time: decoder.number()?,
            at: Timestamp(decoder.number()?),
        })
    }

    /// Writes the head into the value of an entry, under its key.
    #[inline(never)]
    pub(crate) fn write(&self, key: &StoreKey, value: &mut [u8]) {
        // A value has room for both: `encode` has made it.
        let Some((place, rest)) = value.split_first_chunk_mut() else { return };
        *place = *key;
        if let Some(head) = rest.first_chunk_mut() {
            *head = self.encode();
        }
    }
}

/// An encoder of one value.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins the value of `key`, with room for `size` more bytes.
    pub(crate) fn new(key: &[u8], size: usize) -> Encoder {
        let mut bytes = Vec::with_capacity(key.len() + size);
        bytes.extend_from_slice(key);
        Encoder(bytes)
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Encoder {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn length(&mut self, length: u32) {
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    /// Adds a text.
    #[inline(never)]
    pub(crate) fn text(&mut self, text: &str) {
        // No text has four gigabytes: the memory of a VM ends there.
        self.length(u32::try_from(text.len()).unwrap_or(ABSENT));
        self.0.extend_from_slice(text.as_bytes());
    }

    #[inline(never)]
    fn optional(&mut self, text: Option<&String>) {
        match text {
            Some(text) => self.text(text),
            None => self.length(ABSENT),
        }
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
    pub(crate) fn new(key: &StoreKey, value: &'a [u8]) -> Option<Decoder<'a>> {
        let (own, rest) = value.split_first_chunk()?;
        (own == key).then_some(Decoder(rest))
    }

    /// Reads a number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn optional(&mut self) -> Option<Option<String>> {
        let (length, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        let length = u32::from_le_bytes(*length);
        if length == ABSENT {
            return Some(None);
        }
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(String::from_utf8(bytes.to_vec()).ok()?))
    }

    /// Reads a text that is not absent.
    pub(crate) fn text(&mut self) -> Option<String> {
        self.optional()?
    }
}

/// Encodes an event with room for its key and its head, which [`EntryHead::write`] fills.
pub(crate) fn encode(event: &Event) -> Vec<u8> {
    let Event { id, message, attributes, subject, group_id, trace_header, at: _ } = event;
    let of_attributes: usize = attributes.iter().map(|each| each.name.len() + each.value.len() + 16).sum();
    let texts = [subject, group_id, trace_header].into_iter().flatten().map(String::len).sum::<usize>()
        + id.len()
        + message.len();
    let mut encoder = Encoder::new(&[0; KEY_BYTES + HEAD_BYTES], texts + of_attributes + 20);
    encoder.text(id);
    encoder.text(message);
    encoder.optional(subject.as_ref());
    encoder.optional(group_id.as_ref());
    encoder.optional(trace_header.as_ref());
    for Attribute { name, data_type, value } in attributes {
        encoder.number(match data_type {
            AttributeType::String => 0,
            AttributeType::Number => 1,
            AttributeType::StringArray => 2,
        });
        encoder.text(name);
        encoder.text(value);
    }
    encoder.finish()
}

/// Decodes the event in the value under `key`.
pub(crate) fn decode(key: &StoreKey, value: &[u8]) -> Option<Event> {
    let at = EntryHead::read(key, value)?.at;
    let mut decoder = Decoder(value.get(KEY_BYTES + HEAD_BYTES..)?);
    let (id, message) = (decoder.text()?, decoder.text()?);
    let (subject, group_id, trace_header) = (decoder.optional()?, decoder.optional()?, decoder.optional()?);
    let mut attributes = Vec::new();
    while !decoder.0.is_empty() {
        let data_type = match decoder.number()? {
            0 => AttributeType::String,
            1 => AttributeType::Number,
            2 => AttributeType::StringArray,
            _ => return None,
        };
        attributes.push(Attribute { name: decoder.text()?.into(), data_type, value: decoder.text()? });
    }
    Some(Event { id, message, attributes, subject, group_id, trace_header, at })
}

/// Returns the value that stands in for an entry that has come to its end, which is shorter.
pub(crate) fn verdict(key: &StoreKey, head: &EntryHead) -> Vec<u8> {
    [key.as_slice(), &head.encode()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::borrow::Cow;

    prop_compose! {
        fn any_event()(
            texts: (String, String, Option<String>, Option<String>, Option<String>),
            attributes: Vec<(String, Option<bool>, String)>,
            at: u64,
        ) -> Event {
            let attribute = |(name, number, value): (String, _, _)| {
                let data_type = match number {
                    Some(true) => AttributeType::Number,
                    Some(false) => AttributeType::StringArray,
                    None => AttributeType::String,
                };
                Attribute { name: Cow::Owned(name), data_type, value }
            };
            let attributes = attributes.into_iter().map(attribute).collect();
            let (id, message, subject, group_id, trace_header) = texts;
            Event { id, message, attributes, subject, group_id, trace_header, at: Timestamp(at) }
        }
    }

    fn head(numbers: [u64; 4], flags: [bool; 3], at: Timestamp) -> EntryHead {
        let ([holder, order, group, time], [watched, urgent, withdrawn]) = (numbers, flags);
        EntryHead {
            state: EntryState::Claimed,
            watched,
            urgent,
            withdrawn,
            size: order as u32,
            holder,
            order,
            group,
            time,
            at,
        }
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written_and_only_under_its_key(
            event in any_event(), numbers: [u64; 4], flags: [bool; 3], key: [u8; KEY_BYTES], other: [u8; KEY_BYTES], cut: usize
        ) {
            let head = head(numbers, flags, event.at);
            let mut value = encode(&event);
            let length = value.len();
            head.write(&key, &mut value);
            prop_assert_eq!(EntryHead::read(&key, &value), Some(head));
            prop_assert_eq!(decode(&key, &value), Some(event));
            prop_assert!(value.len() == length && verdict(&key, &head).len() <= length);
            prop_assume!(key != other);
            prop_assert_eq!(decode(&other, &value), None);
            let cut = cut % value.len();
            // A value that is cut behind an attribute is one with fewer of them.
            if let Some(shorter) = decode(&key, &value[..cut]) {
                let mut again = encode(&shorter);
                head.write(&key, &mut again);
                prop_assert_eq!(again, &value[..cut]);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(key: [u8; KEY_BYTES], value: Vec<u8>) {
            let under_key = [key.as_slice(), &value].concat();
            for value in [value, under_key] {
                EntryHead::read(&key, &value);
                decode(&key, &value);
            }
        }
    }
}
