//! One request, where the filter runs as an HTTP filter.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::hosts::Host;
use super::worker::Worker;
use super::{envoy, kong};

/// Watches one request for a worker.
pub struct HttpFilter {
    worker: Option<Rc<Worker>>,
    candidate: Option<Candidate>,
}

/// A request that may become an event.
enum Candidate {
    Envoy(envoy::Candidate),
    Kong(Box<kong::Candidate>),
}

impl HttpFilter {
    /// Watches for `worker`; for nobody, where the configuration was refused.
    pub fn new(worker: Option<Rc<Worker>>) -> HttpFilter {
        HttpFilter { worker, candidate: None }
    }
}

impl Context for HttpFilter {}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, count: usize, _: bool) -> Action {
        if let Some(worker) = &self.worker {
            self.candidate = match worker.host {
                Host::Envoy => envoy::Candidate::of_request(worker).map(Candidate::Envoy),
                Host::Kong => kong::Candidate::of_request(worker, count).map(Box::new).map(Candidate::Kong),
            };
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, _: bool) -> Action {
        if let (Some(worker), Some(Candidate::Kong(candidate))) = (&self.worker, &mut self.candidate) {
            if !candidate.see_response(worker, count) {
                self.candidate = None;
            }
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        #[cfg(feature = "trap")]
        super::trap::if_asked();
        match (&self.worker, self.candidate.take()) {
            (Some(worker), Some(Candidate::Envoy(candidate))) => candidate.finish(worker),
            (Some(worker), Some(Candidate::Kong(candidate))) => candidate.finish(worker),
            _ => {}
        }
    }
}
