//! The host's shared data as the store of the journal. Knows nothing of what is stored.

use crate::filter::hostcalls;
use crate::publish::journal::Store;

/// The numbers by which a gateway's shared data tells one kind of write from another. A write
/// names the number of the write before it; some numbers have a meaning of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteNumbers {
    /// Writes only a key that does not exist.
    pub(crate) create: u32,
    /// Writes a key that has no value and that no other worker writes.
    pub(crate) put: u32,
    /// Removes a key, or empties it.
    pub(crate) remove: u32,
}

/// Shared data, which several workers see: on Envoy all that share a `vm_id`, on Kong all.
pub(crate) struct SharedData {
    numbers: WriteNumbers,
}

impl SharedData {
    /// Opens the shared data with one read. Kong traps if there is none; in `on_configure` that
    /// keeps it from starting, which is better than a trap under traffic.
    pub(crate) fn open(numbers: WriteNumbers) -> SharedData {
        hostcalls::shared_data(b"retrohook/probe");
        SharedData { numbers }
    }
}

impl Store for SharedData {
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        hostcalls::shared_data(key).filter(|(value, _)| !value.is_empty())
    }

    fn create(&self, key: &[u8], value: &[u8]) -> bool {
        hostcalls::set_shared_data(key, Some(value), self.numbers.create)
    }

    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> bool {
        hostcalls::set_shared_data(key, Some(value), version)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> bool {
        hostcalls::set_shared_data(key, Some(value), self.numbers.put)
    }

    fn remove(&self, key: &[u8]) -> bool {
        hostcalls::set_shared_data(key, None, self.numbers.remove)
    }
}
