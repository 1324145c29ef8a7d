//! What the journal asks of a store that outlives the VM: a few calls, each done when it returns. None of them calls back into
//! the filter, so they may be made at any moment.

/// Bytes by key, shared by all workers of a process.
///
/// A key that one worker alone writes to is written with [`Store::put`] and [`Store::remove`]; several compete for a key with
/// [`Store::create`] and [`Store::replace`], of which one wins.
pub trait Store {
    /// The value of `key` and the number of its last write. What was removed has none.
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)>;

    /// Writes to a key that has never had a value; `false` if it has one by now.
    fn create(&self, key: &[u8], value: &[u8]) -> bool;

    /// Replaces the value that [`Store::get`] gave with `number`; `false` if that has been written to since.
    fn replace(&self, key: &[u8], value: &[u8], number: u32) -> bool;

    /// Writes to a key that has no value and that nobody else writes to; `false` if the store does not take it.
    fn put(&self, key: &[u8], value: &[u8]) -> bool;

    /// Takes away what [`Store::put`] wrote; `false` if it was not there any more.
    fn remove(&self, key: &[u8]) -> bool;
}
