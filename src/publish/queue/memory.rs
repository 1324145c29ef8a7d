//! A store in the worker's own memory, for a queue that nobody shares. Keeps nothing beyond its
//! worker.

use std::cell::RefCell;

use super::store::{Keeping, Store};

/// Versions of one worker: nobody competes with it.
const VERSION: u32 = 1;

/// Values of the keys of one queue, by the numbers at the end of those: of slots from zero on, and
/// of control words at the end of all numbers.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    slots: RefCell<Vec<Option<Vec<u8>>>>,
    words: RefCell<Vec<Option<Vec<u8>>>>,
}

impl MemoryStore {
    /// Lets `work` see the place of a key.
    #[inline(never)]
    fn with(&self, key: &[u8], work: &mut dyn FnMut(&mut Option<Vec<u8>>)) {
        let number = key.last_chunk().map_or(0, |number| u32::from_be_bytes(*number));
        let (values, number) = match number.checked_sub(1 << 31) {
            None => (&self.slots, number),
            Some(_) => (&self.words, number & 0xff),
        };
        let number = usize::try_from(number).unwrap_or_default();
        let mut values = values.borrow_mut();
        if values.len() <= number {
            values.resize(number + 1, None);
        }
        values.get_mut(number).into_iter().for_each(work);
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        let mut found = None;
        self.with(key, &mut |value| found.clone_from(value));
        Some((found?, VERSION))
    }

    fn create(&self, key: &[u8], value: &[u8]) -> bool {
        self.put(key, value)
    }

    fn replace(&self, key: &[u8], value: &[u8], _: u32) -> Option<u32> {
        self.put(key, value).then_some(VERSION)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> bool {
        self.with(key, &mut |held| *held = Some(value.to_vec()));
        true
    }

    fn remove(&self, key: &[u8], _: u32) -> bool {
        let mut was_there = false;
        self.with(key, &mut |value| was_there = value.take().is_some());
        was_there
    }

    fn keeping(&self) -> Keeping {
        Keeping::Worker
    }
}
