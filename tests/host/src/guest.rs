//! A host function's view of the module that called it: its memory, its allocator, and how to stop
//! it.

use wasmtime::{Caller, Extern, Memory};

use crate::error::TrapKind;
use crate::profile::Profile;
use crate::vm::Vm;

/// The result of a host function, as the ABI numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    CasMismatch = 8,
    InternalFailure = 10,
}

pub(crate) type Answer = wasmtime::Result<Status>;

/// Why the host stopped the module.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Stop {
    pub kind: TrapKind,
    pub message: String,
}

/// The host refuses to go on with this module.
pub(crate) fn trap(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Stop { kind: TrapKind::Host, message: message.into() })
}

/// The real worker would have died here.
pub(crate) fn crash(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Stop { kind: TrapKind::WorkerCrash, message: message.into() })
}

pub(crate) struct Guest<'a>(pub Caller<'a, Vm>);

impl Guest<'_> {
    pub(crate) fn vm(&mut self) -> &mut Vm {
        self.0.data_mut()
    }

    fn memory(&mut self) -> wasmtime::Result<Memory> {
        if let Some(memory) = self.0.data().memory {
            return Ok(memory);
        }
        self.0.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| trap("the module exports no memory"))
    }

    pub(crate) fn read(&mut self, at: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
        let memory = self.memory()?;
        let end = (at as usize).saturating_add(len as usize);
        let bytes = memory.data(&self.0).get(at as usize..end);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| trap("pointer out of the module's memory"))
    }

    pub(crate) fn read_text(&mut self, at: u32, len: u32) -> wasmtime::Result<String> {
        Ok(String::from_utf8_lossy(&self.read(at, len)?).into_owned())
    }

    pub(crate) fn read_u32(&mut self, at: u32) -> wasmtime::Result<u32> {
        let bytes = self.read(at, 4)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let memory = self.memory()?;
        memory.write(&mut self.0, at as usize, bytes).map_err(|_| trap("pointer out of the module's memory"))
    }

    pub(crate) fn write_u32(&mut self, at: u32, number: u32) -> wasmtime::Result<()> {
        self.write(at, &number.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, at: u32, number: u64) -> wasmtime::Result<()> {
        self.write(at, &number.to_le_bytes())
    }

    /// Hands a value over in a block that the module allocates. Envoy makes no block for an empty
    /// value: the module finds a null pointer.
    pub(crate) fn give(&mut self, value: &[u8], pointer_at: u32, len_at: u32) -> Answer {
        let pointer = if value.is_empty() && self.vm().rules.profile == Profile::Envoy {
            0
        } else {
            let pointer = self.allocate(value.len() as u32)?;
            self.write(pointer, value)?;
            pointer
        };
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(len_at, value.len() as u32)?;
        Ok(Status::Ok)
    }

    fn allocate(&mut self, len: u32) -> wasmtime::Result<u32> {
        let export = ["proxy_on_memory_allocate", "malloc"].into_iter().find_map(|name| self.0.get_export(name));
        let Some(function) = export.and_then(Extern::into_func) else {
            return Err(trap("the module exports no proxy_on_memory_allocate"));
        };
        let usage = &mut self.vm().usage;
        usage.host_allocations += 1;
        usage.host_allocated_bytes += u64::from(len);
        function.typed::<u32, u32>(&self.0)?.call(&mut self.0, len)
    }
}
