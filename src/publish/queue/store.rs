//! The store that a queue stands in, as the queue sees it: a few calls, each complete when it
//! returns. None of them calls back into the filter, so they may be made at any moment.

/// The time for which a store keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// For the life of one worker, which alone sees it.
    Worker,
    /// For the life of the process, whose workers share it.
    Process,
    /// For as long as there is room for it; the workers of the process share it.
    Room,
}

/// Bytes by key. Each write gives a value another version, by which several writers compete: of
/// those that name one version, one wins.
///
/// No value is ever replaced by a longer one: Kong before 3.7 writes beyond its memory then.
pub trait Store {
    /// Returns the value of `key` and its version. A removed value is absent.
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)>;

    /// Writes to a key that has never had a value; returns `false` if it has one by now.
    fn create(&self, key: &[u8], value: &[u8]) -> bool;

    /// Replaces the value of this version. Returns the version for the next write of the one that
    /// alone writes the value from now on, or `None` if it was written to since.
    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> Option<u32>;

    /// Writes to a key without a value, where nobody else writes; returns `false` if the store does
    /// not take it.
    fn put(&self, key: &[u8], value: &[u8]) -> bool;

    /// Removes the value of this version; returns `false` if it was written to since, or is gone.
    fn remove(&self, key: &[u8], version: u32) -> bool;

    /// Returns how long it keeps what it has.
    fn keeping(&self) -> Keeping;
}
