//! One request, where the filter runs as an HTTP filter: whom its callbacks concern. What is read of it on which host is in
//! [`super::envoy`] and [`super::kong`], and how one is stored in [`super::capture`]; this never holds a request by itself.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::capture::CapturedRequest;
use super::gateway::envoy::Held;
use super::gateway::Host;
use super::gateway::{envoy, kong};
use super::hostcalls;
use super::worker::Worker;
use crate::publish::outbox::{Release, Ticket};

/// Watches one request for a worker.
pub struct HttpFilter {
    id: u32,
    worker: Option<Rc<Worker>>,
    candidate: Option<Candidate>,
    /// Its response waits for its event, or has.
    waits: bool,
}

/// A request that concerns the worker.
enum Candidate {
    /// It may become an event.
    Envoy(Box<envoy::Candidate>),
    /// The same.
    Kong(Box<kong::Candidate>),
    /// It is stored and answered here.
    Captured(Box<CapturedRequest>),
}

impl HttpFilter {
    /// Watches the request that the host calls `id` for `worker`; for nobody, where the configuration was refused.
    pub fn new(id: u32, worker: Option<Rc<Worker>>) -> HttpFilter {
        HttpFilter { id, worker, candidate: None, waits: false }
    }

    /// Queues the event of a response that waits for it.
    fn hold(&mut self, worker: &Worker, candidate: envoy::Candidate) -> Action {
        match candidate.hold(worker, Ticket(self.id)) {
            Held::NotWanted(candidate) => self.candidate = Some(Candidate::Envoy(Box::new(candidate))),
            Held::Released(Release::Pass) => {}
            Held::Released(release @ Release::Refuse) => {
                envoy::release(release);
                return Action::Pause;
            }
            Held::Waiting => {
                self.waits = true;
                return Action::Pause;
            }
        }
        Action::Continue
    }
}

impl Context for HttpFilter {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        if let Some(worker) = &self.worker {
            worker.handle_reply(token, body_size);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(worker) = self.worker.as_ref().filter(|_| self.waits) {
            worker.forget_response(Ticket(self.id));
        }
        true
    }
}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, count: usize, ended: bool) -> Action {
        let Some(worker) = &self.worker else { return Action::Continue };
        let Some(method) = hostcalls::header(MapType::HttpRequestHeaders, ":method") else { return Action::Continue };
        if worker.captures.want_method(&method) {
            if let Some((request, action)) = CapturedRequest::of_request(worker, self.id, &method, count, ended) {
                self.candidate = Some(Candidate::Captured(request));
                return action;
            }
        }
        if worker.routes.want_method(&method) {
            self.candidate = match worker.host {
                Host::Envoy => envoy::Candidate::of_request(worker, method).map(Box::new).map(Candidate::Envoy),
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
        if self.candidate.is_none() {
            return Action::Continue;
        }
        let (Some(candidate), Some(worker)) = (self.candidate.take(), self.worker.clone()) else {
            return Action::Continue;
        };
        match candidate {
            Candidate::Captured(request) => {
                request.see_response();
                self.candidate = Some(Candidate::Captured(request));
            }
            Candidate::Kong(mut candidate) => {
                if candidate.see_response(&worker, count) {
                    self.candidate = Some(Candidate::Kong(candidate));
                }
            }
            Candidate::Envoy(candidate) if worker.holds_responses => return self.hold(&worker, *candidate),
            candidate => self.candidate = Some(candidate),
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
