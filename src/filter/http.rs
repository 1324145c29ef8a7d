//! One request, where the filter runs as an HTTP filter: sorts out whether it may become an event,
//! is a webhook, or does not concern the worker. Never reads a value in one gateway's way.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::bodies;
use super::capture::{Begun, CapturedRequest};
use super::events::{self, AwaitedEvent};
use super::gateway::{Candidate, Head, Outlook};
use super::held::{deny_in_trailers, release, HeldPart};
use super::hostcalls::{self, text};
use super::worker::Worker;
use crate::publish::kept_body::KeptBodies;
use crate::publish::outbox::{Release, Ticket};
use crate::publish::route::Matched;

/// Watches one request for a worker.
pub(crate) struct HttpFilter {
    id: u32,
    worker: Rc<Worker>,
    watched: Option<Watched>,
    /// Set once the response waits for its event, or has waited. Nearly no request has this, so it
    /// takes little room in all others.
    waits: Option<Box<AwaitedEvent>>,
}

/// A request that concerns the worker.
enum Watched {
    /// It may become an event, and a route may want its bodies.
    Candidate(Box<dyn Candidate>, Option<Box<KeptBodies>>),
    /// It is stored and answered here.
    Captured(Box<CapturedRequest>),
}

impl HttpFilter {
    /// Watches the request that the host calls `id`.
    pub(super) fn new(id: u32, worker: Rc<Worker>) -> HttpFilter {
        HttpFilter { id, worker, watched: None, waits: None }
    }

    /// Publishes the event that this part of the response waits for, if it waits for one.
    #[inline(never)]
    fn hold(&mut self, part: HeldPart) -> Action {
        let Some(Watched::Candidate(candidate, bodies)) = &mut self.watched else { return Action::Continue };
        let awaited = events::publish_awaited(&self.worker, candidate.as_mut(), bodies.as_deref(), self.id, part);
        candidate.go_on();
        let Some(awaited) = awaited else { return Action::Continue };
        if !awaited.has_others {
            self.watched = None;
        }
        let how = awaited.release;
        self.waits = Some(Box::new(awaited));
        match (how, part) {
            (Some(Release::Pass), _) => Action::Continue,
            (Some(Release::Refuse), HeldPart::Whole) => {
                release(Release::Refuse, part);
                Action::Pause
            }
            (Some(Release::Refuse), HeldPart::Trailers) => {
                deny_in_trailers();
                Action::Continue
            }
            (None, _) => Action::Pause,
        }
    }

    /// Returns what is held of the response.
    #[inline]
    fn held(&self) -> Option<HeldPart> {
        self.waits.as_ref()?;
        self.worker.holds(self.id)
    }

    /// Holds what follows the headers of a response as long as those are held. Where Envoy gives a
    /// filter the body of a message whose headers it holds, headers go along with a body that goes.
    fn hold_along(&self) -> Action {
        match self.held() {
            Some(_) => Action::Pause,
            None => Action::Continue,
        }
    }
}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, header_count: usize, ended: bool) -> Action {
        let worker = &self.worker;
        let Some(method) = hostcalls::header(MapType::HttpRequestHeaders, ":method") else { return Action::Continue };
        if cfg!(feature = "capture") && worker.stores_webhooks && worker.captures.want_method(&method) {
            match CapturedRequest::begin(worker, self.id, &method, header_count, ended) {
                Begun::Held(request, action) => {
                    self.watched = Some(Watched::Captured(request));
                    return action;
                }
                Begun::Answered => return Action::Pause,
                Begun::NotWanted => {}
            }
        }
        if !worker.methods.may_contain(&method) || !worker.routes.want_method(&method) {
            return Action::Continue;
        }
        let Some(target) = worker.rules.target.read() else { return Action::Continue };
        let matched = worker.routes.matched(&method, &target);
        if !matched.is_empty() {
            let head = Head { method: text(method), target: text(target), header_count, ended };
            let bodies = if worker.keeps_bodies { bodies::begin(worker, &head, matched) } else { None };
            self.watched = Some(Watched::Candidate(watch(worker, head, matched), bodies));
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, bytes: usize, ended: bool) -> Action {
        match &mut self.watched {
            Some(Watched::Captured(request)) => request.see_body(bytes, ended),
            Some(Watched::Candidate(_, bodies)) => {
                if let Some(bodies) = bodies {
                    bodies::see_request_body(bodies, bytes, ended);
                }
                Action::Continue
            }
            None => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match &mut self.watched {
            Some(Watched::Captured(request)) => request.read_body(),
            Some(Watched::Candidate(_, bodies)) => {
                if let Some(bodies) = bodies {
                    bodies::see_request_body(bodies, 0, true);
                }
                Action::Continue
            }
            None => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, count: usize, ended: bool) -> Action {
        let worker = &self.worker;
        if cfg!(feature = "capture") && worker.stores_webhooks {
            show_refusal(worker);
        }
        match &mut self.watched {
            None => {}
            Some(Watched::Captured(request)) => request.see_response(),
            Some(Watched::Candidate(candidate, bodies)) => {
                if let Some(bodies) = bodies {
                    bodies::see_response(worker, bodies, ended);
                }
                match candidate.see_response(&worker.routes, count) {
                    Outlook::Wanted => {}
                    Outlook::Unwanted => self.watched = None,
                    Outlook::MayWait => return self.hold(HeldPart::Whole),
                }
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, bytes: usize, ended: bool) -> Action {
        if let Some(Watched::Candidate(candidate, bodies)) = &mut self.watched {
            candidate.see_body(ended);
            if let Some(bodies) = bodies {
                let is_held = self.waits.is_some() && self.worker.holds(self.id).is_some();
                match is_held {
                    false => bodies::see_response_body(bodies, bytes, ended),
                    // What is held is not given piece by piece.
                    true => bodies.lose_response(),
                }
            }
        }
        self.hold_along()
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let Some(Watched::Candidate(candidate, bodies)) = &mut self.watched {
            if let Some(bodies) = bodies {
                bodies::see_response_body(bodies, 0, true);
            }
            // With a part that waits already, the trailers wait along.
            if candidate.see_trailers(&self.worker.routes) == Outlook::MayWait && self.waits.is_none() {
                return self.hold(HeldPart::Trailers);
            }
        }
        self.hold_along()
    }

    fn on_log(&mut self) {
        #[cfg(feature = "trap")]
        super::trap::if_asked();
        if self.held() == Some(HeldPart::Whole) {
            self.worker.see_end_while_held();
        }
        if let Some(Watched::Candidate(candidate, bodies)) = &mut self.watched {
            let done = self.waits.as_ref().map(|awaited| awaited.position);
            events::publish(&self.worker, candidate.as_mut(), bodies.as_deref(), done);
        }
    }
}

impl Context for HttpFilter {
    /// Handles the end of the exchange, of which the host tells Kong's filters before they log it,
    /// and Envoy's afterwards.
    fn on_done(&mut self) -> bool {
        if self.held().is_some() {
            self.worker.forget_response(Ticket(self.id));
        }
        self.waits = None;
        true
    }
}

/// Begins to watch a request that routes have `matched`. Never inlined, so that all others go past
/// less.
#[inline(never)]
fn watch(worker: &Worker, head: Head, matched: Matched) -> Box<dyn Candidate> {
    worker.once.mark();
    let may_wait = worker.can_hold() && worker.routes.may_hold(matched);
    worker.reader.candidate(head, &worker.routes, matched, may_wait)
}

/// Gives a response the status that it has by rights, if the gateway has put a refusal behind a
/// status of success: a sender of webhooks goes by the status alone.
fn show_refusal(worker: &Worker) {
    let Some(status) = worker.reader.hidden_status() else { return };
    let map = MapType::HttpResponseHeaders;
    hostcalls::set_header(map, ":status", &status.to_string());
    for name in ["content-type", "grpc-status", "grpc-message"] {
        hostcalls::remove_header(map, name);
    }
}
