//! The host's callbacks, in place of the SDK's dispatcher: finds the root or the request that one
//! is for, and calls what the SDK's traits have for it. Never decides what follows from it.
//!
//! The SDK's boxes every request and looks for it in a hash map at each callback, which is most of
//! what a request costs that matches nothing; and it panics on a context or a reply that it does
//! not know. `scripts/own_exports.py` gives `retro_on_…` the names of its exports.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::context_table::ContextTable;
use super::http::HttpFilter;
use super::root::{self, Root};
use super::worker::Worker;

thread_local! {
    /// The roots of this VM.
    static ROOTS: RefCell<ContextTable<Root>> = const { RefCell::new(ContextTable::new()) };
    /// The requests that are under way. They stay borrowed during a callback, as the SDK has it: no
    /// host makes one of a request within another.
    static REQUESTS: RefCell<ContextTable<HttpFilter>> = const { RefCell::new(ContextTable::new()) };
}

/// Lets a root handle a callback. Returns `None` if there is no such root.
fn with_root<T>(context: u32, handle: impl FnOnce(&mut Root) -> T) -> Option<T> {
    ROOTS.with(|roots| roots.try_borrow_mut().ok()?.get_mut(context).map(handle))
}

/// Returns the worker of a root. None is borrowed while it works.
fn worker_of(root: u32) -> Option<Rc<Worker>> {
    with_root(root, |root| root.worker())?
}

/// Lets a request handle a callback. Returns `None` if there is no such request.
#[inline(always)]
fn with_request<T>(context: u32, handle: impl FnOnce(&mut HttpFilter) -> T) -> Option<T> {
    REQUESTS.with(|requests| requests.try_borrow_mut().ok()?.get_mut(context).map(handle))
}

/// Lets a request say what follows on a part of it. What nobody knows passes.
#[inline(always)]
fn action(context: u32, handle: impl FnOnce(&mut HttpFilter) -> Action) -> Action {
    with_request(context, handle).unwrap_or(Action::Continue)
}

#[no_mangle]
extern "C" fn retro_on_context_create(context: u32, root: u32) {
    if root == 0 {
        return ROOTS.with_borrow_mut(|roots| roots.insert(context, Root::new(context)));
    }
    // Without a worker, which is so where the configuration was refused, everything passes.
    let Some(worker) = worker_of(root) else { return };
    REQUESTS.with(|requests| {
        if let Ok(mut requests) = requests.try_borrow_mut() {
            requests.insert(context, HttpFilter::new(context, worker));
        }
    });
}

#[no_mangle]
extern "C" fn retro_on_vm_start(root: u32, _: usize) -> bool {
    with_root(root, Root::on_start).is_some()
}

#[no_mangle]
extern "C" fn retro_on_configure(root: u32, bytes: usize) -> bool {
    with_root(root, |root| root.on_configure(bytes)).unwrap_or(false)
}

#[no_mangle]
extern "C" fn retro_on_tick(root: u32) {
    if let Some(worker) = worker_of(root) {
        worker.tick();
    }
}

#[no_mangle]
extern "C" fn retro_on_request_headers(context: u32, count: usize, ended: bool) -> Action {
    action(context, |request| request.on_http_request_headers(count, ended))
}

#[no_mangle]
extern "C" fn retro_on_request_body(context: u32, bytes: usize, ended: bool) -> Action {
    action(context, |request| request.on_http_request_body(bytes, ended))
}

#[no_mangle]
extern "C" fn retro_on_request_trailers(context: u32, count: usize) -> Action {
    action(context, |request| request.on_http_request_trailers(count))
}

#[no_mangle]
extern "C" fn retro_on_response_headers(context: u32, count: usize, ended: bool) -> Action {
    action(context, |request| request.on_http_response_headers(count, ended))
}

#[no_mangle]
extern "C" fn retro_on_response_body(context: u32, bytes: usize, ended: bool) -> Action {
    action(context, |request| request.on_http_response_body(bytes, ended))
}

#[no_mangle]
extern "C" fn retro_on_response_trailers(context: u32, count: usize) -> Action {
    action(context, |request| request.on_http_response_trailers(count))
}

/// Handles the end of a request, or one that an access logger sees, which is the root's.
#[no_mangle]
extern "C" fn retro_on_log(context: u32) {
    if with_request(context, HttpFilter::on_log).is_none() {
        if let Some(worker) = worker_of(context) {
            root::log(&worker);
        }
    }
}

#[no_mangle]
extern "C" fn retro_on_done(context: u32) -> bool {
    let is_done = with_request(context, HttpFilter::on_done);
    is_done.unwrap_or_else(|| worker_of(context).is_none_or(|worker| worker.stop()))
}

#[no_mangle]
extern "C" fn retro_on_delete(context: u32) {
    let request = REQUESTS.with(|requests| requests.try_borrow_mut().ok()?.remove(context));
    if request.is_none() {
        // It is dropped when none is borrowed.
        let root = ROOTS.with(|roots| roots.try_borrow_mut().ok()?.remove(context));
        drop(root);
    }
}

/// Hands a reply to the worker of its root, which both gateways name, also where the call was a
/// request's. The worker knows by the token whether the call is its own: after a trap Kong gives
/// the replies to calls of the earlier instance to the one that has taken its place.
#[no_mangle]
extern "C" fn retro_on_http_call_response(root: u32, token: u32, _: usize, body_bytes: usize, _: usize) {
    if let Some(worker) = worker_of(root) {
        worker.handle_reply(token, body_bytes);
    }
}
