//! Shared data. On Kong it is there only where the operator gave it memory.

use crate::guest::{trap, Answer, Guest, Status};

fn require(guest: &mut Guest<'_>, doing: &str) -> wasmtime::Result<()> {
    match guest.vm().rules.shared_data {
        true => Ok(()),
        false => Err(trap(format!("failed {doing} shm (could not resolve namespace)"))),
    }
}

pub(super) fn get(guest: &mut Guest<'_>, key: u32, key_len: u32, data_out: u32, len_out: u32, cas_out: u32) -> Answer {
    require(guest, "getting value from")?;
    let key = guest.read(key, key_len)?;
    let Some((value, cas)) = guest.vm().shared.entry(&key) else { return Ok(Status::NotFound) };
    guest.write_u32(cas_out, cas)?;
    guest.give(&value, data_out, len_out)
}

pub(super) fn set(guest: &mut Guest<'_>, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32) -> Answer {
    require(guest, "setting value to")?;
    let key = guest.read(key, key_len)?;
    // A null pointer is how the SDK says "no value".
    let value = match value {
        0 => None,
        at => Some(guest.read(at, value_len)?),
    };
    let vm = guest.vm();
    match vm.shared.set(vm.rules.profile, &key, value.as_deref(), cas) {
        true => Ok(Status::Ok),
        false => Ok(Status::CasMismatch),
    }
}
