//! Shared data: the store that outlives a VM. A handle to it can be given to the next host, which
//! is how a test plays a restart.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::profile::Profile;

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    cas: u32,
    used: u64,
}

#[derive(Debug, Default)]
struct Store {
    entries: BTreeMap<Vec<u8>, Entry>,
    last_cas: u32,
    uses: u64,
    /// Bytes of keys and values that there is memory for; none is no limit.
    capacity: Option<usize>,
}

impl Store {
    fn write(&mut self, key: &[u8], value: &[u8], cas: u32) {
        self.uses += 1;
        self.entries.insert(key.to_vec(), Entry { value: value.to_vec(), cas, used: self.uses });
        let size = |entries: &BTreeMap<Vec<u8>, Entry>| {
            entries.iter().map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>()
        };
        while self.capacity.is_some_and(|capacity| size(&self.entries) > capacity) {
            let Some(least) = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
            else {
                return;
            };
            self.entries.remove(&least);
        }
    }
}

/// A handle to one store; clones see the same data.
#[derive(Clone, Debug, Default)]
pub struct SharedData(Rc<RefCell<Store>>);

impl SharedData {
    /// An empty store.
    pub fn new() -> SharedData {
        SharedData::default()
    }

    /// An empty one with memory for so many bytes of keys and values. As Kong does by default, it
    /// makes room for a new value by forgetting those that were least recently used.
    pub fn with_capacity(bytes: usize) -> SharedData {
        SharedData(Rc::new(RefCell::new(Store { capacity: Some(bytes), ..Store::default() })))
    }

    /// The value under `key`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.entry(key.as_ref()).map(|(value, _)| value)
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.0.borrow().entries.keys().cloned().collect()
    }

    /// Every value's length together.
    pub fn bytes(&self) -> usize {
        self.0.borrow().entries.values().map(|entry| entry.value.len()).sum()
    }

    /// Puts a value in as an earlier instance would have.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let mut store = self.0.borrow_mut();
        store.last_cas = store.last_cas.wrapping_add(1).max(1);
        let cas = store.last_cas;
        store.write(key.as_ref(), value.as_ref(), cas);
    }

    pub(crate) fn entry(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        let mut store = self.0.borrow_mut();
        store.uses += 1;
        let used = store.uses;
        let entry = store.entries.get_mut(key)?;
        entry.used = used;
        Some((entry.value.clone(), entry.cas))
    }

    /// Sets or, on Kong, deletes; false is a mismatch of `cas`. On Envoy a `cas` of zero means
    /// "whatever is there", and all writes are numbered; on Kong it means "only if nothing is
    /// there", and each key counts its own.
    pub(crate) fn set(&self, profile: Profile, key: &[u8], value: Option<&[u8]>, cas: u32) -> bool {
        let current = self.0.borrow().entries.get(key).map(|entry| entry.cas);
        match profile {
            Profile::Envoy => {
                let matches = cas == 0 || current.is_none_or(|current| current == cas);
                if matches {
                    self.insert(key, value.unwrap_or_default());
                }
                matches
            }
            Profile::Kong if cas != current.unwrap_or(0) => false,
            Profile::Kong => {
                let mut store = self.0.borrow_mut();
                match value {
                    Some(value) => {
                        store.write(key, value, cas + 1);
                        true
                    }
                    None => store.entries.remove(key).is_some(),
                }
            }
        }
    }
}
