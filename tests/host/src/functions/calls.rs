//! `proxy_http_call`: who may call out, when, and what a call needs.

use std::time::Duration;

use crate::callback::Callback;
use crate::callout::{Callout, Pending, Wire};
use crate::error::Violation;
use crate::exchange::nanos;
use crate::guest::{crash, trap, Answer, Guest, Status};
use crate::headers::Headers;
use crate::profile::Profile;
use crate::vm::Vm;

/// What the host says to a callout before it looks at it: the answer, or `Ok` to go on.
fn permitted(vm: &Vm) -> Result<Status, wasmtime::Error> {
    let callback = vm.callback();
    match vm.rules.profile {
        Profile::Envoy => Ok(match callback {
            Callback::Initialize | Callback::VmStart | Callback::Configure => Status::BadArgument,
            _ => Status::Ok,
        }),
        Profile::Kong => match callback {
            Callback::RequestHeaders | Callback::RequestBody | Callback::Tick => Ok(Status::Ok),
            Callback::CallResponse if vm.in_root() => {
                Err(crash("a callout from a root's on_http_call_response (use after free)"))
            }
            Callback::CallResponse => Ok(Status::Ok),
            _ => Err(trap(
                "can only send HTTP dispatch during \"on_request_headers\", \"on_request_body\", \"on_tick\", \
                 \"on_dispatch_response\", \"on_foreign_function\"",
            )),
        },
    }
}

#[allow(clippy::too_many_arguments, reason = "the ABI has them")]
pub(super) fn http_call(
    guest: &mut Guest<'_>,
    upstream: u32,
    upstream_len: u32,
    headers: u32,
    headers_len: u32,
    body: u32,
    body_len: u32,
    trailers: u32,
    trailers_len: u32,
    timeout: u32,
    token_out: u32,
) -> Answer {
    let upstream = guest.read_text(upstream, upstream_len)?;
    let headers = guest.read(headers, headers_len)?;
    let body = guest.read(body, body_len)?;
    guest.read(trailers, trailers_len)?;
    let vm = guest.vm();
    match permitted(vm)? {
        Status::Ok => {}
        refused => return Ok(refused),
    }
    let Some(headers) = Headers::from_wire(&headers) else { return Ok(Status::BadArgument) };
    let absent = |name: &str| headers.get(name).is_none_or(<[u8]>::is_empty);
    match vm.rules.profile {
        Profile::Envoy => {
            let known = vm.rules.clusters.contains(&upstream);
            if !known || absent(":method") || absent(":path") || absent(":authority") {
                return Ok(Status::BadArgument);
            }
        }
        Profile::Kong => {
            for name in [":method", ":path"] {
                if absent(name) {
                    return Err(trap(format!("dispatch failed: no {name}")));
                }
            }
            note_overlap(vm);
        }
    }
    let timeout = Duration::from_millis(u64::from(timeout));
    let token = vm.next_token;
    vm.next_token = vm.next_token.wrapping_add(1);
    let wire = Wire::new(vm.rules.profile, &upstream, &headers, &body);
    let callout =
        Callout { token, context: vm.context_id(), upstream, headers, body, timeout, sent_at: vm.time(), wire };
    let deadline = vm.rules.gives_up_after(timeout).map(|wait| vm.now.saturating_add(nanos(wait)));
    vm.pending.push(Pending { callout, root: vm.root_id(), deadline, answered: false, taken: false });
    vm.dispatched = true;
    guest.write_u32(token_out, token)?;
    Ok(Status::Ok)
}

/// One call in flight per root context is all that Kong's module can do without leaking a
/// connection.
fn note_overlap(vm: &mut Vm) {
    let (id, second) = (vm.context_id(), vm.next_token);
    if vm.in_root() {
        let in_flight = vm.pending.iter().find(|pending| pending.callout.context == id && !pending.answered);
        if let Some(first) = in_flight.map(|pending| pending.callout.token) {
            vm.violations.push(Violation::CalloutsOverlap { first, second });
        }
    }
}
