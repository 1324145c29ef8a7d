//! Contexts, timers, buffers, and going on with a request or answering it.

use crate::callback::Callback;
use crate::callout::{Reply, Response};
use crate::contexts::Context;
use crate::error::Violation;
use crate::guest::{trap, Answer, Guest, Status};
use crate::headers::Headers;
use crate::vm::Vm;

const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_RESPONSE_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;

pub(super) fn set_tick_period(guest: &mut Guest<'_>, millis: u32) -> Answer {
    let vm = guest.vm();
    let (kong, now, in_root) = (vm.rules.is_kong(), vm.now, vm.in_root());
    if kong && !in_root {
        return Err(trap("can only set tick_period in root context"));
    }
    if kong && vm.exiting {
        return Err(trap("process exiting"));
    }
    let id = vm.root_id();
    let Some(root) = vm.root_mut(id) else { return Ok(Status::BadArgument) };
    if kong && root.tick != 0 && millis != 0 {
        return Err(trap("tick_period already set"));
    }
    root.tick = u64::from(millis) * 1_000_000;
    let next = (millis != 0).then_some(now + root.tick);
    match kong {
        // nginx starts a timer more and forgets none.
        true => root.timers.extend(next),
        false => root.timers = next.into_iter().collect(),
    }
    Ok(Status::Ok)
}

/// Kong says yes and does nothing.
pub(super) fn set_effective_context(guest: &mut Guest<'_>, context: u32) -> Answer {
    let vm = guest.vm();
    if vm.rules.is_kong() {
        return Ok(Status::Ok);
    }
    if !vm.contexts.contains_key(&context) {
        return Ok(Status::BadArgument);
    }
    if let Some(active) = &mut vm.active {
        active.effective = context;
    }
    Ok(Status::Ok)
}

pub(super) fn done(guest: &mut Guest<'_>) -> Answer {
    let vm = guest.vm();
    if vm.rules.is_kong() {
        return Err(trap("proxy_done is not there on Kong"));
    }
    let draining = match vm.context() {
        Some(Context::Root(root)) => root.draining,
        Some(Context::Stream(stream)) => stream.draining,
        None => false,
    };
    if !draining {
        return Ok(Status::NotFound);
    }
    let id = vm.context_id();
    vm.done.push(id);
    Ok(Status::Ok)
}

pub(super) fn continue_stream(guest: &mut Guest<'_>, kind: u32) -> Answer {
    let vm = guest.vm();
    let id = vm.context_id();
    match vm.stream_mut(id) {
        Some(stream) if kind <= 1 => {
            stream.continued = true;
            Ok(Status::Ok)
        }
        _ => Ok(Status::BadArgument),
    }
}

pub(super) fn close_stream(guest: &mut Guest<'_>, _kind: u32) -> Answer {
    match guest.vm().rules.is_kong() {
        true => Err(trap("proxy_close_stream is not there on Kong")),
        false => Err(trap("the test host does not close streams")),
    }
}

#[allow(clippy::too_many_arguments, reason = "the ABI has them")]
pub(super) fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    details: u32,
    details_len: u32,
    body: u32,
    body_len: u32,
    headers: u32,
    headers_len: u32,
    _grpc: u32,
) -> Answer {
    let (details, body) = (guest.read(details, details_len)?, guest.read(body, body_len)?);
    let headers = Headers::from_wire(&guest.read(headers, headers_len)?);
    let vm = guest.vm();
    let (id, kong) = (vm.context_id(), vm.rules.is_kong());
    let too_late = matches!(vm.callback(), Callback::Log | Callback::Done | Callback::Delete);
    let bodiless = |reply: &Reply| reply.body.as_ref().is_none_or(Vec::is_empty);
    if kong && !body.is_empty() && vm.reply.as_ref().is_some_and(bodiless) {
        vm.violations.push(Violation::AnsweredTwice { stream: id });
    }
    let (Some(headers), Some(stream)) = (headers, vm.stream_mut(id)) else { return Ok(Status::BadArgument) };
    if kong && too_late {
        return Err(trap("response already sent"));
    }
    if kong && stream.local_response.is_some() {
        return Err(trap("local response already stashed"));
    }
    stream.exchange.spec.properties.insert("response.code_details".into(), Some(details));
    stream.local_response = Some(Response { status: status as u16, headers, body, close_delimited: false });
    stream.continued = true;
    Ok(Status::Ok)
}

/// What a buffer's number stands for now; `Err` is the status instead of it.
fn buffer(vm: &Vm, kind: u32) -> wasmtime::Result<Result<Vec<u8>, Status>> {
    let (kong, callback) = (vm.rules.is_kong(), vm.callback());
    let body = |whole: &[Vec<u8>]| if whole.is_empty() { Err(Status::NotFound) } else { Ok(whole.concat()) };
    let held = match (kind, callback) {
        (VM_CONFIGURATION, _) => Ok(Vec::new()),
        (PLUGIN_CONFIGURATION, _) if kong || callback == Callback::Configure => {
            let id = vm.root_id();
            let root = vm.contexts.get(&id).and_then(Context::as_root);
            root.map(|root| root.configuration.to_vec()).ok_or(Status::NotFound)
        }
        (CALL_RESPONSE_BODY, Callback::CallResponse) => match &vm.reply {
            Some(reply) => reply.body.clone().ok_or(if kong { Status::BadArgument } else { Status::NotFound }),
            None => Err(Status::NotFound),
        },
        (CALL_RESPONSE_BODY, _) if kong => {
            return Err(trap("can only get dispatch response body during \"on_http_dispatch_response\""))
        }
        (REQUEST_BODY, Callback::RequestHeaders | Callback::RequestBody | Callback::Log | Callback::Done)
            if kong && vm.stream().is_some_and(|stream| stream.exchange.spec.spilled) =>
        {
            Err(Status::NotFound)
        }
        (REQUEST_BODY, Callback::RequestBody) | (RESPONSE_BODY, Callback::ResponseBody) => {
            vm.stream().map(|stream| stream.body_in_view.clone()).ok_or(Status::NotFound)
        }
        (REQUEST_BODY, Callback::RequestHeaders | Callback::Log | Callback::Done) if kong => {
            vm.stream().map_or(Err(Status::NotFound), |stream| body(&stream.exchange.spec.request_body))
        }
        (REQUEST_BODY, _) if kong => {
            return Err(trap("can only get request body during \"on_request_body\", \"on_log\""))
        }
        (RESPONSE_BODY, _) if kong => return Err(trap("can only get response body during \"on_response_body\"")),
        _ if kong => Err(Status::BadArgument),
        _ => Err(Status::NotFound),
    };
    Ok(held)
}

pub(super) fn get_buffer(
    guest: &mut Guest<'_>,
    kind: u32,
    start: u32,
    len: u32,
    data_out: u32,
    len_out: u32,
) -> Answer {
    let vm = guest.vm();
    let kong = vm.rules.is_kong();
    let held = match buffer(vm, kind)? {
        Ok(held) => held,
        Err(status) => return Ok(status),
    };
    if start.checked_add(len).is_none() && !kong {
        return Ok(Status::BadArgument);
    }
    // Kong ignores the start.
    let from = if kong { 0 } else { (start as usize).min(held.len()) };
    let to = from.saturating_add(len as usize).min(held.len());
    match held.get(from..to) {
        // Neither host touches the module's pointers then.
        None | Some([]) => Ok(Status::Ok),
        Some(part) => guest.give(part, data_out, len_out),
    }
}

pub(super) fn set_buffer(guest: &mut Guest<'_>, kind: u32, start: u32, len: u32, at: u32, at_len: u32) -> Answer {
    let new = guest.read(at, at_len)?;
    let vm = guest.vm();
    let (id, callback) = (vm.context_id(), vm.callback());
    let Some(stream) = vm.stream_mut(id) else { return Ok(Status::BadArgument) };
    if !matches!((kind, callback), (REQUEST_BODY, Callback::RequestBody) | (RESPONSE_BODY, Callback::ResponseBody)) {
        return Ok(Status::BadArgument);
    }
    let view = &mut stream.body_in_view;
    let from = (start as usize).min(view.len());
    let to = from.saturating_add(len as usize).min(view.len());
    view.splice(from..to, new);
    Ok(Status::Ok)
}
