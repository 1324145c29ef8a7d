//! `proxy_get_property` and `proxy_set_property`.

use crate::guest::{crash, trap, Answer, Guest, Status};
use crate::properties::{self, Property};

fn dotted(path: &[u8]) -> String {
    String::from_utf8_lossy(path).replace('\0', ".")
}

pub(super) fn get(guest: &mut Guest<'_>, path: u32, path_len: u32, data_out: u32, len_out: u32) -> Answer {
    let path = dotted(&guest.read(path, path_len)?);
    match properties::find(guest.vm(), &path) {
        Property::Value(value) => guest.give(&value, data_out, len_out),
        Property::Absent => Ok(Status::NotFound),
        Property::Trap(why) => Err(trap(why)),
        Property::Crash(why) => Err(crash(why)),
    }
}

/// Sets it on the exchange, so that a later `get` finds it: Envoy's filter state, nginx's
/// variables.
pub(super) fn set(guest: &mut Guest<'_>, path: u32, path_len: u32, value: u32, value_len: u32) -> Answer {
    let path = dotted(&guest.read(path, path_len)?);
    let value = guest.read(value, value_len)?;
    let vm = guest.vm();
    let (id, kong) = (vm.context_id(), vm.rules.is_kong());
    match vm.stream_mut(id) {
        Some(stream) => {
            stream.exchange.spec.properties.insert(path, Some(value));
            Ok(Status::Ok)
        }
        None if kong => Err(crash(format!("property \"{path}\" set in a root context"))),
        None => Ok(Status::NotFound),
    }
}
