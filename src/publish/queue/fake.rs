//! The shared data of both gateways, as tests see it: with moments at which other workers act, at
//! which a worker dies, and at which there is no room.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::entry::EntryHead;
use super::store::{Keeping, Store};

/// A gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::publish) enum Gateway {
    Envoy,
    Kong,
}

/// Values and their versions, by key.
type Values = BTreeMap<Vec<u8>, (Vec<u8>, u32)>;

type Act = Box<dyn FnOnce()>;

/// A store that several workers share.
pub(in crate::publish) struct Fake {
    gateway: Gateway,
    values: RefCell<Values>,
    /// The number of the last write of all, as Envoy counts.
    writes: Cell<u32>,
    /// True if no key finds room that has no value.
    pub(in crate::publish) full: Cell<bool>,
    /// Calls until the worker that makes them is dead: what it does then has no effect.
    pub(in crate::publish) life: Cell<Option<u32>>,
    /// Calls until something happens, and that.
    meanwhile: RefCell<Option<(u32, Act)>>,
    /// Calls since the last look.
    pub(in crate::publish) calls: Cell<u32>,
}

impl Fake {
    /// Creates an empty store.
    pub(in crate::publish) fn new(gateway: Gateway) -> Fake {
        Fake {
            gateway,
            values: RefCell::default(),
            writes: Cell::new(0),
            full: Cell::new(false),
            life: Cell::new(None),
            meanwhile: RefCell::new(None),
            calls: Cell::new(0),
        }
    }

    /// Lets `act` happen right after so many calls.
    pub(in crate::publish) fn after(&self, calls: u32, act: impl FnOnce() + 'static) {
        self.meanwhile.replace(Some((calls, Box::new(act))));
    }

    /// Iterates over the keys of entries that have not come to their end.
    fn live(&self) -> Vec<Vec<u8>> {
        let values = self.values.borrow();
        let is_live = |(key, (value, _)): &(&Vec<u8>, &(Vec<u8>, u32))| {
            key.first_chunk().and_then(|key| EntryHead::read(key, value)).is_some_and(|head| !head.state.is_over())
                && !is_word(key)
        };
        values.iter().filter(is_live).map(|(key, _)| key.clone()).collect()
    }

    /// Returns the number of entries that have not come to their end.
    pub(in crate::publish) fn events(&self) -> usize {
        self.live().len()
    }

    /// Returns the number of keys that were ever used, as Envoy keeps them.
    pub(in crate::publish) fn keys(&self) -> usize {
        self.values.borrow().len()
    }

    /// Forgets a value, as a store without room does; of those of entries the one of this rank.
    pub(in crate::publish) fn evict(&self, rank: usize) {
        let live = self.live();
        if let Some(key) = live.get(rank % live.len().max(1)) {
            self.values.borrow_mut().remove(key);
        }
    }

    /// Forgets the value of this rank, of all that there are.
    pub(in crate::publish) fn forget(&self, rank: usize) {
        let mut values = self.values.borrow_mut();
        if let Some(key) = values.keys().nth(rank % values.len().max(1)).cloned() {
            values.remove(&key);
        }
    }

    /// Forgets everything, as a store without room does in the end.
    pub(in crate::publish) fn forget_all(&self) {
        self.values.borrow_mut().clear();
    }

    /// Forgets the words that say where queues end and who sends.
    pub(in crate::publish) fn forget_words(&self) {
        self.values.borrow_mut().retain(|key, _| !is_word(key));
    }

    /// Changes every value of an entry.
    pub(in crate::publish) fn tamper(&self, change: impl Fn(&mut Vec<u8>)) {
        for key in self.live() {
            if let Some((value, _)) = self.values.borrow_mut().get_mut(&key) {
                change(value);
            }
        }
    }

    /// Counts a call. Returns false if the worker that makes it is dead.
    fn call(&self) -> bool {
        self.calls.set(self.calls.get() + 1);
        match self.life.get() {
            Some(0) => false,
            Some(life) => {
                self.life.set(Some(life - 1));
                true
            }
            None => true,
        }
    }

    fn end_call(&self) {
        let mut meanwhile = self.meanwhile.borrow_mut();
        let due = match meanwhile.take() {
            Some((0, act)) => Some(act),
            Some((calls, act)) => {
                *meanwhile = Some((calls - 1, act));
                None
            }
            None => None,
        };
        drop(meanwhile);
        if let Some(act) = due {
            act();
        }
    }

    /// Writes, as the gateway does, if `expected` is the number of the last write.
    fn set(&self, key: &[u8], value: Option<&[u8]>, expected: u32) -> bool {
        if !self.call() {
            return false;
        }
        let mut values = self.values.borrow_mut();
        let current = values.get(key).map(|(_, version)| *version);
        let longer = values.get(key).is_some_and(|(held, _)| value.is_some_and(|value| value.len() > held.len()));
        let done = match self.gateway {
            Gateway::Envoy => {
                let fits = expected == 0 || current.is_none_or(|current| current == expected);
                if fits {
                    self.writes.set(self.writes.get() + 1);
                    values.insert(key.to_vec(), (value.unwrap_or_default().to_vec(), self.writes.get()));
                }
                fits
            }
            Gateway::Kong => {
                let fits = current.unwrap_or(0) == expected && !(self.full.get() && current.is_none());
                match value {
                    Some(value) if fits => {
                        assert!(!longer, "a value is replaced by a longer one");
                        values.insert(key.to_vec(), (value.to_vec(), expected + 1));
                        true
                    }
                    Some(_) => false,
                    None => fits && values.remove(key).is_some(),
                }
            }
        };
        drop(values);
        self.end_call();
        done
    }
}

/// Returns true if a key is that of a control word.
fn is_word(key: &[u8]) -> bool {
    key.ends_with(&[0xff, 0xff, 0xff, 0]) || key.ends_with(&[0xff, 0xff, 0xff, 1])
}

impl Store for Fake {
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        if !self.call() {
            return None;
        }
        let value = self.values.borrow().get(key).cloned().filter(|(value, _)| !value.is_empty());
        self.end_call();
        value
    }

    fn create(&self, key: &[u8], value: &[u8]) -> bool {
        self.set(key, Some(value), if self.gateway == Gateway::Envoy { u32::MAX } else { 0 })
    }

    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> Option<u32> {
        let next = if self.gateway == Gateway::Envoy { 0 } else { version + 1 };
        self.set(key, Some(value), version).then_some(next)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> bool {
        self.set(key, Some(value), 0)
    }

    fn remove(&self, key: &[u8], version: u32) -> bool {
        self.set(key, None, version)
    }

    fn keeping(&self) -> Keeping {
        match self.gateway {
            Gateway::Envoy => Keeping::Process,
            Gateway::Kong => Keeping::Room,
        }
    }
}
