//! What all contexts of one root share: the routes, the publisher, and the loop that drives it.

use std::cell::{Cell, RefCell};

use proxy_wasm::types::{BufferType, MapType, MetricType};

use super::{host, observe};
use crate::callout::Reply;
use crate::exchange::split_target;
use crate::metrics::{Kind, Update, DEFINITIONS};
use crate::notice::Level;
use crate::outbox::BatchId;
use crate::publisher::Publisher;
use crate::route::Routes;

/// A reply of AWS is a few kilobytes; more is not read.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// One configured filter in one worker. No borrow of a cell is held across a host call, which may call back.
pub struct Worker {
    /// Which exchanges become events.
    pub routes: Routes,
    publisher: RefCell<Publisher>,
    /// The callouts in flight by the host's token; there are never more than `max_in_flight`.
    callouts: RefCell<Vec<(u32, BatchId)>>,
    metric_ids: Vec<Option<u32>>,
    stopping: Cell<bool>,
    /// The host could not start a callout, and is not asked again before the next tick: it would refuse every batch of a long
    /// queue, each of which was signed for nothing.
    refused: Cell<bool>,
}

impl Worker {
    /// Starts with an empty queue. Defines the metrics.
    pub fn new(routes: Routes, publisher: Publisher) -> Worker {
        let define = |definition: &crate::metrics::Definition| {
            let kind = match definition.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            host::define_metric(kind, definition.name)
        };
        Worker {
            routes,
            publisher: RefCell::new(publisher),
            callouts: RefCell::default(),
            metric_ids: DEFINITIONS.iter().map(define).collect(),
            stopping: Cell::new(false),
            refused: Cell::new(false),
        }
    }

    /// Looks at an exchange that is just over and whose request was wanted; queues its event if the response is, too.
    /// `request_headers` are passed where they have been read. Whether an event was queued.
    pub fn observe(&self, method: &str, target: String, request_headers: Option<Vec<u8>>) -> bool {
        let Some(status) = observe::status() else { return false };
        let Some(route) = self.routes.find(method, split_target(&target).0, status) else { return false };
        let maps = observe::HeaderMaps::read(request_headers);
        let now = host::now();
        let exchange = observe::exchange(method, target, status, &maps, now);
        self.publisher.borrow_mut().accept(exchange, route, now);
        true
    }

    /// Looks at an exchange that is just over and of which nothing is known: the access logger's way.
    pub fn observe_logged(&self) -> bool {
        let Some(method) = host::header(MapType::HttpRequestHeaders, ":method") else { return false };
        if !self.routes.want_method(&method) {
            return false;
        }
        let request_headers = host::header_map(MapType::HttpRequestHeaders);
        let Some(target) = observe::client_target(&request_headers) else { return false };
        self.observe(&observe::text(method), target, Some(request_headers))
    }

    /// Makes the callouts that are due.
    pub fn send(&self) {
        let now = host::now();
        while !self.refused.get() {
            let due = self.publisher.borrow_mut().poll(now);
            let Some((batch, callout)) = due else { break };
            match host::dispatch(&callout) {
                Ok(token) => {
                    let publisher = self.publisher.borrow();
                    let mut callouts = self.callouts.borrow_mut();
                    callouts.retain(|(_, batch)| publisher.awaits(*batch));
                    callouts.push((token, batch));
                }
                Err(status) => {
                    self.refused.set(true);
                    let reason = format!("the host cannot call `{}`: {status:?}", callout.upstream);
                    self.publisher.borrow_mut().handle_reply(batch, &Reply::NoResponse(reason), now);
                }
            }
        }
    }

    /// What is to be done again and again: sends what is due, and tells the host what changed.
    pub fn tick(&self) {
        self.refused.set(false);
        self.send();
        self.report();
        if self.stopping.get() && self.publisher.borrow().is_idle() {
            self.stopping.set(false);
            host::done();
        }
    }

    fn report(&self) {
        let now = host::now();
        let (updates, notices) = {
            let mut publisher = self.publisher.borrow_mut();
            (publisher.take_metric_updates(now), publisher.take_notices(now))
        };
        for update in updates {
            let (Update::Add(metric, _) | Update::Record(metric, _)) = update;
            let Some(Some(id)) = self.metric_ids.get(metric as usize) else { continue };
            match update {
                Update::Add(_, by) => host::increment_metric(*id, by),
                Update::Record(_, value) => host::record_metric(*id, value),
            }
        }
        for notice in notices {
            host::log(notice.level, &notice.text);
        }
    }

    /// Takes the reply to the callout `token` from the host.
    pub fn handle_reply(&self, token: u32, headers: usize, body_size: usize) {
        let Some(batch) = self.forget_callout(token) else { return };
        let reply = read_reply(headers, body_size);
        self.publisher.borrow_mut().handle_reply(batch, &reply, host::now());
        self.send();
    }

    fn forget_callout(&self, token: u32) -> Option<BatchId> {
        let mut callouts = self.callouts.borrow_mut();
        let position = callouts.iter().position(|(candidate, _)| *candidate == token)?;
        Some(callouts.swap_remove(position).1)
    }

    /// The host wants to stop this filter. Whether nothing is left to do; if something is, the host is told when it is done.
    pub fn stop(&self) -> bool {
        // The last chance where nothing is left to do: gauges that are not brought down now stay up for ever.
        self.report();
        let queued = self.publisher.borrow().queued();
        if queued == 0 {
            return true;
        }
        self.stopping.set(true);
        host::log(
            Level::Warn,
            &format!("stopping with {queued} event(s) queued: they are lost if the process ends now"),
        );
        false
    }
}

fn read_reply(headers: usize, body_size: usize) -> Reply {
    if headers == 0 {
        return Reply::NoResponse("no reply".to_owned());
    }
    let map = host::header_map(MapType::HttpCallResponseHeaders);
    let mut headers = Vec::new();
    let mut status = None;
    for (name, value) in host::pairs(&map) {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if name == ":status" {
            status = value.parse().ok();
        } else {
            headers.push((name.to_ascii_lowercase(), value.into_owned()));
        }
    }
    let Some(status) = status else { return Reply::NoResponse("a reply without status".to_owned()) };
    let body = match body_size {
        0 => Some(Vec::new()),
        _ => host::buffer(BufferType::HttpCallResponseBody, MAX_REPLY_BYTES),
    };
    match body {
        Some(body) => Reply::Response { status, headers, body },
        None => Reply::NoResponse("the reply's body was cut off".to_owned()),
    }
}
