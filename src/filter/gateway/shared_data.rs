//! The host's shared data as the store of queues. Knows nothing of what is stored.

use crate::filter::hostcalls;
use crate::publish::queue::{Keeping, Store};

/// The numbers by which a gateway's shared data tells one kind of write from another. A write
/// names the number of the write before it; some numbers have a meaning of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteNumbers {
    /// Writes only a key that does not exist.
    pub(crate) create: u32,
    /// True if each key counts its own writes, and what there is no room for makes the host forget
    /// others. If not, all writes are counted together, and nothing is forgotten.
    pub(crate) of_each_key: bool,
}

/// Writes a key that no other worker writes: on Envoy whatever there is, on Kong if there is
/// nothing.
const PUT: u32 = 0;

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

    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> Option<u32> {
        let next = if self.numbers.of_each_key { version.wrapping_add(1) } else { PUT };
        hostcalls::set_shared_data(key, Some(value), version).then_some(next)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> bool {
        hostcalls::set_shared_data(key, Some(value), PUT)
    }

    fn remove(&self, key: &[u8], version: u32) -> bool {
        hostcalls::set_shared_data(key, None, version)
    }

    fn keeping(&self) -> Keeping {
        if self.numbers.of_each_key {
            Keeping::Room
        } else {
            Keeping::Process
        }
    }
}
