//! Copies the bodies of an exchange while they pass the HTTP filter, as far as a route may want
//! them. Never holds or changes a message, and never decides what is kept.

use proxy_wasm::types::{BufferType, MapType};

use super::gateway::Head;
use super::hostcalls::{self, text};
use super::worker::Worker;
use crate::publish::kept_body::{BodyHead, KeptBodies};
use crate::publish::route::Matched;

/// Begins with the head of a request that has `matched`, if a route may want a body of the
/// exchange.
#[inline(never)]
pub(super) fn begin(worker: &Worker, request: &Head, matched: Matched) -> Option<Box<KeptBodies>> {
    let mut bodies = KeptBodies::of(&worker.routes, matched, &worker.body_room)?;
    let mut head = BodyHead::default();
    if bodies.want_request(&worker.routes) {
        head = read_head(MapType::HttpRequestHeaders, worker, request.ended);
    }
    head.is_tunnel = request.method == "CONNECT";
    bodies.begin_request(&worker.routes, head);
    Some(Box::new(bodies))
}

/// Looks at the head of the response. `ended` says that it has no body.
#[inline(never)]
pub(super) fn see_response(worker: &Worker, bodies: &mut KeptBodies, ended: bool) {
    let status = worker.rules.response_status.text().and_then(|status| status.parse().ok());
    let Some(status) = status else { return };
    if bodies.see_status(&worker.routes, status) {
        let head = read_head(MapType::HttpResponseHeaders, worker, ended);
        bodies.begin_response(&worker.routes, status, head);
    }
}

fn read_head(map: MapType, worker: &Worker, is_all: bool) -> BodyHead {
    let header = |name| hostcalls::header(map, name).map(text);
    BodyHead {
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
        is_tunnel: false,
        is_all,
        tells_absence: worker.rules.tells_absence_of_bodies,
    }
}

/// Copies a piece of the request's body.
#[inline(never)]
pub(super) fn see_request_body(bodies: &mut KeptBodies, bytes: usize, ended: bool) {
    bodies.take_request(bytes, ended, |bytes| hostcalls::buffer(BufferType::HttpRequestBody, bytes));
}

/// Copies a piece of the response's body.
#[inline(never)]
pub(super) fn see_response_body(bodies: &mut KeptBodies, bytes: usize, ended: bool) {
    bodies.take_response(bytes, ended, |bytes| hostcalls::buffer(BufferType::HttpResponseBody, bytes));
}
