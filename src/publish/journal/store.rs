//! The store that outlives the VM, as the journal sees it: a few calls, each complete when it
//! returns. None of them calls back into the filter, so they may be made at any moment.

/// Bytes by key, shared by all workers of a process.
///
/// A key with a single writer is written with [`Store::put`] and [`Store::remove`]; several writers
/// compete for a key with [`Store::create`] and [`Store::replace`], of which one wins.
pub trait Store {
    /// Returns the value of `key` and its version, which changes with each write. A removed value
    /// is absent.
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)>;

    /// Writes to a key that has never had a value; returns `false` if it has one by now.
    fn create(&self, key: &[u8], value: &[u8]) -> bool;

    /// Replaces the value that [`Store::get`] returned with `version`; returns `false` if it was
    /// written to since.
    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> bool;

    /// Writes to a key without a value and without another writer; returns `false` if the store
    /// does not take it.
    fn put(&self, key: &[u8], value: &[u8]) -> bool;

    /// Removes a value that [`Store::put`] wrote; returns `false` if it was gone already.
    fn remove(&self, key: &[u8]) -> bool;
}
