//! One request, where the filter runs as an HTTP filter.
//!
//! The request headers are the only place where the client's own path can be seen: the router may rewrite it. Everything else
//! is read when the exchange is over, and only if the exchange matches.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::host;
use super::observe::text;
use super::worker::Worker;
use crate::exchange::path_of;

/// Watches one request for a worker.
pub struct HttpFilter {
    worker: Option<Rc<Worker>>,
    /// Method and target of a request that may become an event.
    candidate: Option<(String, String)>,
}

impl HttpFilter {
    /// Watches for `worker`; for nobody, where the configuration was refused.
    pub fn new(worker: Option<Rc<Worker>>) -> HttpFilter {
        HttpFilter { worker, candidate: None }
    }
}

impl Context for HttpFilter {}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(worker) = &self.worker {
            self.candidate = candidate(worker);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let (Some(worker), Some((method, target))) = (&self.worker, self.candidate.take()) {
            worker.observe(&method, target, None);
        }
    }
}

/// Method and target of the request, if a route may want it: the cheapest question first.
fn candidate(worker: &Worker) -> Option<(String, String)> {
    let method = host::header(MapType::HttpRequestHeaders, ":method")?;
    if !worker.routes.want_method(&method) {
        return None;
    }
    let target = host::header(MapType::HttpRequestHeaders, ":path")?;
    if !worker.routes.want_request(&method, path_of(&target)) {
        return None;
    }
    Some((text(method), text(target)))
}
