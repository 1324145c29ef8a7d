//! One request, where the filter runs as an HTTP filter.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::capture::CapturedRequest;
use super::hosts::Host;
use super::worker::Worker;
use super::{envoy, host, kong};

/// Watches one request for a worker.
pub struct HttpFilter {
    worker: Option<Rc<Worker>>,
    context: u32,
    candidate: Option<Candidate>,
}

/// A request that concerns the worker.
enum Candidate {
    /// It may become an event.
    Envoy(envoy::Candidate),
    /// The same.
    Kong(Box<kong::Candidate>),
    /// It is stored and answered here.
    Captured(Box<CapturedRequest>),
}

impl HttpFilter {
    /// Watches for `worker`, in this context; for nobody, where the configuration was refused.
    pub fn new(worker: Option<Rc<Worker>>, context: u32) -> HttpFilter {
        HttpFilter { worker, context, candidate: None }
    }
}

impl Context for HttpFilter {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        if let Some(worker) = &self.worker {
            worker.handle_reply(token, body_size);
        }
    }
}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, count: usize, ended: bool) -> Action {
        let Some(worker) = &self.worker else { return Action::Continue };
        let Some(method) = host::header(MapType::HttpRequestHeaders, ":method") else { return Action::Continue };
        if worker.captures.want_method(&method) {
            if let Some((request, action)) = CapturedRequest::of_request(worker, self.context, &method, count, ended) {
                self.candidate = Some(Candidate::Captured(request));
                return action;
            }
        }
        if worker.routes.want_method(&method) {
            self.candidate = match worker.host {
                Host::Envoy => envoy::Candidate::of_request(worker, method).map(Candidate::Envoy),
                Host::Kong => kong::Candidate::of_request(worker, method, count).map(Box::new).map(Candidate::Kong),
            };
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, bytes: usize, ended: bool) -> Action {
        match &mut self.candidate {
            Some(Candidate::Captured(request)) => request.see_body(bytes, ended),
            _ => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match &self.candidate {
            Some(Candidate::Captured(request)) => request.read_body(),
            _ => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, count: usize, _: bool) -> Action {
        match (&self.worker, &mut self.candidate) {
            (_, None | Some(Candidate::Envoy(_))) => {}
            (_, Some(Candidate::Captured(request))) => request.see_response(),
            (Some(worker), Some(Candidate::Kong(candidate))) => {
                if !candidate.see_response(worker, count) {
                    self.candidate = None;
                }
            }
            (None, _) => {}
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        #[cfg(feature = "trap")]
        super::trap::if_asked();
        // Most requests are no candidates, and are not to pay for taking one.
        if self.candidate.is_none() {
            return;
        }
        match (&self.worker, self.candidate.take()) {
            (Some(worker), Some(Candidate::Envoy(candidate))) => candidate.finish(worker),
            (Some(worker), Some(Candidate::Kong(candidate))) => candidate.finish(worker),
            _ => {}
        }
    }
}
