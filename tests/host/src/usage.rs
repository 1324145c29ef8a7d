//! What a module costs, counted since the last [`crate::Host::reset_usage`].

use std::collections::BTreeMap;

use crate::callback::Callback;

/// Costs of everything that ran in a window.
///
/// **Instructions** are the WebAssembly instructions that were executed, as the engine's fuel
/// counts them: one for each, but none for `nop`, `drop`, `block`, `loop`, `else`, `end`, `return`
/// and `unreachable`, which are no work. A bulk instruction (`memory.copy`) counts as one whatever
/// its length. What the host does is not in it; what the module does on the host's behalf (its
/// allocator, when the host hands it a value) is. The number depends on the module's bytes and on
/// the input alone, not on the machine, so it can be compared and bounded in a test.
///
/// **Allocations** are those that the host asks of the module (`proxy_on_memory_allocate`), one for
/// each value handed over. The module's own cannot be seen from outside: its allocator is an
/// internal function. What can be seen is how far its memory grew. Count a core's allocations in a
/// native test instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Host functions called, by name.
    pub host_calls: BTreeMap<&'static str, u64>,
    /// Instructions executed.
    pub instructions: u64,
    /// Instructions by the callback that they were executed in.
    pub instructions_in: BTreeMap<Callback, u64>,
    /// Blocks that the host asked of the module.
    pub host_allocations: u64,
    /// Their bytes.
    pub host_allocated_bytes: u64,
    /// Callbacks into the module.
    pub callbacks: u64,
    /// The size of the module's memory at the end of the window.
    pub memory_bytes: usize,
    /// How much of it is new.
    pub memory_grown_bytes: usize,
}

impl Usage {
    /// All host calls together.
    pub fn total_host_calls(&self) -> u64 {
        self.host_calls.values().sum()
    }

    /// Calls of one host function.
    pub fn calls_of(&self, name: &str) -> u64 {
        self.host_calls.get(name).copied().unwrap_or(0)
    }
}
