//! Shared data: the store that outlives a VM. A handle to it can be given to the next host, which is how a test
//! plays a restart.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::profile::Profile;

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    cas: u32,
}

#[derive(Debug, Default)]
struct Store {
    entries: BTreeMap<Vec<u8>, Entry>,
    last_cas: u32,
}

/// A handle to one store; clones see the same data.
#[derive(Clone, Debug, Default)]
pub struct SharedData(Rc<RefCell<Store>>);

impl SharedData {
    /// An empty store.
    pub fn new() -> SharedData {
        SharedData::default()
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
        let entry = Entry { value: value.as_ref().to_vec(), cas: store.last_cas };
        store.entries.insert(key.as_ref().to_vec(), entry);
    }

    pub(crate) fn entry(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().entries.get(key).map(|entry| (entry.value.clone(), entry.cas))
    }

    /// Sets or, on Kong, deletes; false is a mismatch of `cas`. On Envoy a `cas` of zero means "whatever is there";
    /// on Kong it means "only if nothing is there".
    pub(crate) fn set(&self, profile: Profile, key: &[u8], value: Option<&[u8]>, cas: u32) -> bool {
        let current = self.entry(key).map(|(_, cas)| cas);
        let matches = match profile {
            Profile::Envoy => cas == 0 || current.is_none_or(|current| current == cas),
            Profile::Kong => cas == current.unwrap_or(0),
        };
        if !matches {
            return false;
        }
        match (profile, value) {
            (Profile::Kong, None) => self.0.borrow_mut().entries.remove(key).is_some(),
            (_, value) => {
                self.insert(key, value.unwrap_or_default());
                true
            }
        }
    }
}
