//! Header maps: which can be read when, and changed when.

use crate::callback::Callback;
use crate::contexts::Context;
use crate::error::Violation;
use crate::guest::{crash, Answer, Guest, Status};
use crate::headers::Headers;
use crate::vm::Vm;

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;
const CALL_RESPONSE_HEADERS: u32 = 6;

/// What the host finds under a map's number.
enum Map<'a> {
    There(&'a Headers),
    /// There is such a map, but not now.
    Missing,
    /// Kong looks for a request where there is none.
    Crash,
}

fn find(vm: &Vm, map: u32) -> Map<'_> {
    let kong = vm.rules.is_kong();
    let callback = vm.callback();
    if map == CALL_RESPONSE_HEADERS {
        return match vm.reply.as_ref().filter(|reply| reply.has_map) {
            Some(reply) => Map::There(&reply.headers),
            None => Map::Missing,
        };
    }
    if !matches!(map, REQUEST_HEADERS | RESPONSE_HEADERS | RESPONSE_TRAILERS) {
        return Map::Missing;
    }
    let Some(exchange) = vm.context().and_then(Context::exchange) else {
        return if kong { Map::Crash } else { Map::Missing };
    };
    if map == RESPONSE_TRAILERS {
        // Kong has no trailers.
        let is_shown = !kong && callback == Callback::Log;
        return if is_shown { Map::There(&exchange.spec.response_trailers) } else { Map::Missing };
    }
    let headers = if map == REQUEST_HEADERS { &exchange.request } else { &exchange.response };
    let held = match vm.stream() {
        Some(stream) if map == REQUEST_HEADERS => stream.request_headers_held,
        Some(stream) => stream.response_headers_held,
        None => true,
    };
    match kong || held || callback == Callback::Log {
        true => Map::There(headers),
        false => Map::Missing,
    }
}

fn no_request() -> wasmtime::Error {
    crash("a header map of a request, read in a root context")
}

pub(super) fn pairs(guest: &mut Guest<'_>, map: u32, data_out: u32, len_out: u32) -> Answer {
    let vm = guest.vm();
    let (kong, max) = (vm.rules.is_kong(), vm.rules.max_pairs());
    if let Map::There(headers) = find(vm, map) {
        let own = headers.0.iter().filter(|(name, _)| !name.starts_with(b":")).count();
        if own > vm.rules.max_safe_headers() {
            vm.violations.push(Violation::HeaderMapOverrun { headers: own });
        }
    }
    let vm = guest.vm();
    let wire = match find(vm, map) {
        Map::There(headers) if headers.is_empty() && !kong => Vec::new(),
        Map::There(headers) => headers.to_wire(max),
        Map::Missing if kong => return Ok(Status::BadArgument),
        Map::Missing => Vec::new(),
        Map::Crash => return Err(no_request()),
    };
    guest.give(&wire, data_out, len_out)
}

pub(super) fn value(guest: &mut Guest<'_>, map: u32, key: u32, key_len: u32, data_out: u32, len_out: u32) -> Answer {
    let key = guest.read(key, key_len)?;
    let vm = guest.vm();
    let kong = vm.rules.is_kong();
    let value = match find(vm, map) {
        Map::There(headers) => headers.get(&key).map(<[u8]>::to_vec),
        Map::Missing if kong || vm.callback() == Callback::Log => None,
        Map::Missing => return Ok(Status::BadArgument),
        Map::Crash => return Err(no_request()),
    };
    match value {
        Some(value) => guest.give(&value, data_out, len_out),
        None => Ok(Status::NotFound),
    }
}

/// Changes a map that the module still holds; one that has gone on its way cannot be changed.
fn change(guest: &mut Guest<'_>, map: u32, change: impl FnOnce(&mut Headers)) -> Answer {
    let vm = guest.vm();
    let (id, callback) = (vm.context_id(), vm.callback());
    let Some(stream) = vm.stream_mut(id) else { return Ok(Status::BadArgument) };
    let headers = match (map, callback) {
        (REQUEST_HEADERS, Callback::RequestHeaders | Callback::RequestBody) => &mut stream.exchange.request,
        (RESPONSE_HEADERS, Callback::ResponseHeaders) => &mut stream.exchange.response,
        _ => return Ok(Status::BadArgument),
    };
    change(headers);
    Ok(Status::Ok)
}

pub(super) fn set_pairs(guest: &mut Guest<'_>, map: u32, at: u32, len: u32) -> Answer {
    let wire = guest.read(at, len)?;
    match Headers::from_wire(&wire) {
        Some(new) => change(guest, map, |headers| *headers = new),
        None => Ok(Status::BadArgument),
    }
}

pub(super) fn add(guest: &mut Guest<'_>, map: u32, key: u32, key_len: u32, value: u32, value_len: u32) -> Answer {
    let (key, value) = (guest.read(key, key_len)?, guest.read(value, value_len)?);
    change(guest, map, |headers| headers.add(key, value))
}

pub(super) fn replace(guest: &mut Guest<'_>, map: u32, key: u32, key_len: u32, value: u32, value_len: u32) -> Answer {
    let (key, value) = (guest.read(key, key_len)?, guest.read(value, value_len)?);
    change(guest, map, |headers| headers.replace(&key, &value))
}

pub(super) fn remove(guest: &mut Guest<'_>, map: u32, key: u32, key_len: u32) -> Answer {
    let key = guest.read(key, key_len)?;
    change(guest, map, |headers| headers.remove(&key))
}
