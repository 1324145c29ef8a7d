//! The host's shared data as the store of the journal.

use crate::filter::gateway::Host;
use crate::filter::hostcalls as host;
use crate::publish::journal::Store;

/// On Envoy the number of a write that has never been: with it, only what is not there can be written. Each write takes the next
/// number, of four billion.
const NEVER: u32 = u32::MAX;

/// On Envoy, whatever is there.
const ANY: u32 = 0;

/// On Kong, nothing.
const NOTHING: u32 = 0;

/// On Kong each key counts its own writes.
const FIRST: u32 = 1;

/// The shared data of Envoy, which all VMs with the same `vm_id` see, or of Kong, which all workers see.
pub struct SharedData {
    host: Host,
}

impl SharedData {
    /// Kong traps where there is none: better in a callback in which that keeps it from starting.
    pub fn of(host: Host) -> SharedData {
        host::shared_data(b"retrohook/probe");
        SharedData { host }
    }
}

impl Store for SharedData {
    fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        host::shared_data(key).filter(|(value, _)| !value.is_empty())
    }

    fn create(&self, key: &[u8], value: &[u8]) -> bool {
        let write = match self.host {
            Host::Envoy => NEVER,
            Host::Kong => NOTHING,
        };
        host::set_shared_data(key, Some(value), write)
    }

    fn replace(&self, key: &[u8], value: &[u8], version: u32) -> bool {
        host::set_shared_data(key, Some(value), version)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> bool {
        let write = match self.host {
            Host::Envoy => ANY,
            Host::Kong => NOTHING,
        };
        host::set_shared_data(key, Some(value), write)
    }

    fn remove(&self, key: &[u8]) -> bool {
        let write = match self.host {
            Host::Envoy => ANY,
            Host::Kong => FIRST,
        };
        host::set_shared_data(key, None, write)
    }
}
