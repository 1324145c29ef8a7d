//! One request, where the filter runs as an HTTP filter: sorts out whether it may become an event,
//! is a webhook, or does not concern the worker. Never reads a value in one gateway's way.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::capture::{Begun, CapturedRequest};
use super::gateway::{Candidate, Head, Outlook};
use super::held::HeldPart;
use super::hostcalls::{self, text};
use super::once::OpenExchange;
use super::worker::{deny_in_trailers, release, Worker};
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::route::OnFailure;

/// Watches one request for a worker.
pub(crate) struct HttpFilter {
    id: u32,
    worker: Option<Rc<Worker>>,
    watched: Option<Watched>,
    /// Set once the response waits for its event, or has waited. Other filters then know that the
    /// event is made, where the exchange can be told from others. Nearly no request has this, so it
    /// takes little room in all others.
    waits: Option<Box<Option<OpenExchange>>>,
}

/// A request that concerns the worker.
enum Watched {
    /// It may become an event.
    Candidate(Box<dyn Candidate>),
    /// It is stored and answered here.
    Captured(Box<CapturedRequest>),
}

impl HttpFilter {
    /// Watches the request that the host calls `id`. Without a worker, which is so where the
    /// configuration was refused, it lets everything pass.
    pub(crate) fn new(id: u32, worker: Option<Rc<Worker>>) -> HttpFilter {
        HttpFilter { id, worker, watched: None, waits: None }
    }

    /// Publishes the event that this part of the response waits for.
    fn hold(&mut self, on_failure: OnFailure, part: HeldPart) -> Action {
        let (Some(Watched::Candidate(mut candidate)), Some(worker)) = (self.watched.take(), &self.worker) else {
            return Action::Continue;
        };
        let Some(route) = candidate.route(&worker.routes) else { return Action::Continue };
        let (wait, now) = (Wait { ticket: Ticket(self.id), on_failure }, hostcalls::now());
        let exchange = candidate.exchange(now);
        let fingerprint = exchange.fingerprint;
        let how = worker.accept_awaited(exchange, route, wait, part, now);
        self.waits = Some(Box::new(fingerprint.and_then(|fingerprint| worker.remember(fingerprint, route))));
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

    /// Returns the worker, if it holds the response, and what it holds of it.
    #[inline]
    fn holder(&self) -> Option<(&Worker, HeldPart)> {
        self.waits.as_ref()?;
        let worker = self.worker.as_deref()?;
        Some((worker, worker.holds(self.id)?))
    }

    /// Holds what follows the headers of a response as long as those are held. Where Envoy gives a
    /// filter the body of a message whose headers it holds, headers go along with a body that goes.
    fn hold_along(&self) -> Action {
        match self.holder() {
            Some(_) => Action::Pause,
            None => Action::Continue,
        }
    }
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

impl Context for HttpFilter {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        if let Some(worker) = &self.worker {
            worker.handle_reply(token, body_size);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some((worker, _)) = self.holder() {
            worker.forget_response(Ticket(self.id));
        }
        self.waits = None;
        true
    }
}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, header_count: usize, ended: bool) -> Action {
        let Some(worker) = &self.worker else { return Action::Continue };
        let Some(method) = hostcalls::header(MapType::HttpRequestHeaders, ":method") else { return Action::Continue };
        if worker.stores_webhooks && worker.captures.want_method(&method) {
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
            let may_wait = worker.can_hold() && worker.routes.may_hold(matched);
            let head = Head { method: text(method), target: text(target), header_count, ended };
            self.watched = Some(Watched::Candidate(worker.reader.candidate(head, matched, may_wait)));
            worker.once.mark();
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, bytes: usize, ended: bool) -> Action {
        match &mut self.watched {
            Some(Watched::Captured(request)) => request.see_body(bytes, ended),
            Some(Watched::Candidate(_)) | None => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match &self.watched {
            Some(Watched::Captured(request)) => request.read_body(),
            Some(Watched::Candidate(_)) | None => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, count: usize, _: bool) -> Action {
        let Some(worker) = &self.worker else { return Action::Continue };
        if worker.stores_webhooks {
            show_refusal(worker);
        }
        match &mut self.watched {
            None => {}
            Some(Watched::Captured(request)) => request.see_response(),
            Some(Watched::Candidate(candidate)) => match candidate.see_response(&worker.routes, count) {
                Outlook::Wanted => {}
                Outlook::Unwanted => self.watched = None,
                Outlook::Awaited(on_failure) => return self.hold(on_failure, HeldPart::Whole),
            },
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, ended: bool) -> Action {
        if let Some(Watched::Candidate(candidate)) = &mut self.watched {
            candidate.see_body(ended);
        }
        self.hold_along()
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let (Some(Watched::Candidate(candidate)), Some(worker)) = (&mut self.watched, &self.worker) {
            if let Outlook::Awaited(on_failure) = candidate.see_trailers(&worker.routes) {
                return self.hold(on_failure, HeldPart::Trailers);
            }
        }
        self.hold_along()
    }

    fn on_log(&mut self) {
        #[cfg(feature = "trap")]
        super::trap::if_asked();
        if let Some((worker, HeldPart::Whole)) = self.holder() {
            worker.see_end_while_held();
        }
        if let (Some(Watched::Candidate(candidate)), Some(worker)) = (&mut self.watched, &self.worker) {
            if let Some(route) = candidate.route(&worker.routes) {
                let now = hostcalls::now();
                worker.accept(candidate.exchange(now), route, now);
            }
        }
    }
}
