//! One request, where the filter runs as an HTTP filter.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::envoy::Held;
use super::hosts::Host;
use super::worker::Worker;
use super::{envoy, kong};
use crate::outbox::{Release, Ticket};

/// Watches one request for a worker.
pub struct HttpFilter {
    id: u32,
    worker: Option<Rc<Worker>>,
    candidate: Option<Candidate>,
    /// Its response waits for its event, or has.
    waits: bool,
}

/// A request that may become an event.
enum Candidate {
    Envoy(Box<envoy::Candidate>),
    Kong(Box<kong::Candidate>),
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
    fn on_done(&mut self) -> bool {
        if let Some(worker) = self.worker.as_ref().filter(|_| self.waits) {
            worker.forget_response(Ticket(self.id));
        }
        true
    }
}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, count: usize, _: bool) -> Action {
        if let Some(worker) = &self.worker {
            self.candidate = match worker.host {
                Host::Envoy => envoy::Candidate::of_request(worker).map(Box::new).map(Candidate::Envoy),
                Host::Kong => kong::Candidate::of_request(worker, count).map(Box::new).map(Candidate::Kong),
            };
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, _: bool) -> Action {
        let Some(candidate) = self.candidate.take() else { return Action::Continue };
        let Some(worker) = self.worker.clone() else { return Action::Continue };
        match candidate {
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
        match (&self.worker, self.candidate.take()) {
            (Some(worker), Some(Candidate::Envoy(candidate))) => candidate.finish(worker),
            (Some(worker), Some(Candidate::Kong(candidate))) => candidate.finish(worker),
            _ => {}
        }
    }
}
