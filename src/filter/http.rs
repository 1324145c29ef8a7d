//! One request, where the filter runs as an HTTP filter.
//!
//! The request headers are the only place where the client's own path can be seen: the router may rewrite it. Everything else
//! is read when the exchange is over, and only if the exchange matches.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::host;
use super::worker::Worker;
use crate::exchange::split_target;

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
        self.candidate = self.worker.as_ref().and_then(|worker| {
            let method = host::header(MapType::HttpRequestHeaders, ":method")?;
            let method = std::str::from_utf8(&method).ok().filter(|method| worker.routes.want_method(method))?;
            let target = host::header(MapType::HttpRequestHeaders, ":path")?;
            let target = super::observe::text(target);
            let wanted = worker.routes.want_request(method, split_target(&target).0);
            wanted.then(|| (method.to_owned(), target))
        });
        Action::Continue
    }

    fn on_log(&mut self) {
        if let (Some(worker), Some((method, target))) = (&self.worker, self.candidate.take()) {
            worker.observe(&method, target, None);
        }
    }
}
