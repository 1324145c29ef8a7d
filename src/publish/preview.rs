//! The events that routes would make of one exchange, and why other routes would make none: for
//! those who try a configuration out. Queues nothing; a worker has no use for it.

use std::rc::Rc;

use super::kept_body::{BodyHead, BodyRoom, KeptBodies};
use super::record::Recorder;
use super::route::{DeliveryMode, ResponseEnd, Route, Routes};
use super::sample::Sample;
use crate::aws::target::Target;
use crate::clock::Timestamp;
use crate::exchange::redact::Redact;
use crate::exchange::template::Variable;
use crate::exchange::{Exchange, Headers};

/// The verdict of one route on an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteVerdict {
    /// It takes the exchange, which becomes this event.
    Takes(Box<EventPreview>),
    /// It does not, for this reason.
    Leaves(String),
}

/// An event as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPreview {
    /// The id that it would have; another exchange has another.
    pub id: String,
    /// The key of the configuration that names its target.
    pub target_key: &'static str,
    /// The target.
    pub target: String,
    /// The message, with attributes in it where the target takes none beside it.
    pub message: String,
    /// Attributes beside the message: name, type and value.
    pub attributes: Vec<(String, &'static str, String)>,
    /// Attributes that are left out, because the target does not take their values.
    pub left_out: u64,
    /// The subject.
    pub subject: Option<String>,
    /// The group whose order is kept.
    pub group_id: Option<String>,
    /// The trace that travels beside it, as X-Ray writes it.
    pub trace_header: Option<String>,
    /// Bytes as the target counts them.
    pub bytes: usize,
    /// Bytes that it may have.
    pub max_bytes: usize,
    /// True if only a part of such exchanges becomes events.
    pub is_sampled: bool,
    /// True if the response waits for it.
    pub holds_response: bool,
}

/// The part of a configuration that events depend on.
pub(crate) struct EventRules<'c> {
    /// The routes.
    pub(crate) routes: &'c Routes,
    /// Targets, in the order of the configuration.
    pub(crate) targets: &'c [Target],
    /// Names of confidential values.
    pub(crate) redact: &'c Redact,
    /// Bytes of a queue, of which no event has more.
    pub(crate) max_bytes: usize,
    /// Bytes of bodies that may be kept.
    pub(crate) max_kept_body_bytes: usize,
}

/// Outcome of the exchange that is looked at.
struct EndOf<'e>(&'e Exchange<'e>);

impl ResponseEnd for EndOf<'_> {
    fn status(&self) -> u16 {
        self.0.response.status
    }

    fn grpc_status(&self) -> Option<u16> {
        self.0.response.grpc_status
    }

    fn is_complete(&self) -> bool {
        !self.0.response.broke_off
    }
}

impl EventRules<'_> {
    /// Returns the verdict of each route on `exchange`, whose bodies are whole, in their order.
    pub(crate) fn verdicts(&self, exchange: &Exchange<'_>, now: Timestamp, seed: u64) -> Vec<RouteVerdict> {
        let (method, target) = (exchange.request.method.as_bytes(), exchange.request.target.as_bytes());
        let matched = self.routes.matched(method, target);
        let room = Rc::new(BodyRoom::new(self.max_kept_body_bytes));
        let mut bodies = KeptBodies::of(self.routes, matched, &room);
        if let Some(bodies) = &mut bodies {
            see_bodies(bodies, self.routes, exchange);
        }
        let mut recorder = Recorder::new(self.redact.clone());
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut taken_by = None;
        let verdict = |(position, route): (usize, &Route)| {
            if let Some(earlier) = taken_by {
                return RouteVerdict::Leaves(format!("`routes[{earlier}]` takes it, and does not go on (`continue`)"));
            }
            if self.routes.position(matched, &EndOf(exchange), position) != Some(position) {
                return RouteVerdict::Leaves(self.mismatch(route, exchange));
            }
            let mut exchange = exchange.clone();
            if let Some(bodies) = &bodies {
                bodies.put_into(&mut exchange, route);
            }
            if let Some(failing) = route.when.failing(&exchange, &route.groups(exchange.request.path())) {
                return RouteVerdict::Leaves(format!("`when` does not hold: {failing}"));
            }
            leave_out_unread(&mut exchange, route);
            taken_by = (!route.continues).then_some(position);
            match self.event(exchange, route, &mut recorder, super::event_id(now, &mut rng), now) {
                Some(event) => RouteVerdict::Takes(Box::new(event)),
                None => RouteVerdict::Leaves("it has no target".to_owned()),
            }
        };
        self.routes.all.iter().enumerate().map(verdict).collect()
    }

    /// Returns why a route does not want an exchange, the cheapest question first.
    fn mismatch(&self, route: &Route, exchange: &Exchange<'_>) -> String {
        let (request, response) = (&exchange.request, &exchange.response);
        if !route.methods.contain(request.method.as_bytes()) {
            return format!("`method` is not {}", request.method);
        }
        if self.routes.matched(request.method.as_bytes(), request.target.as_bytes()).is_empty()
            && route.matcher.regex(false).is_match(request.path())
        {
            return "the path is longer than `max_path_bytes`".to_owned();
        }
        if !route.matcher.regex(false).is_match(request.path()) {
            return format!("`matcher` ({}) is not found in the path {}", route.matcher.pattern(), request.path());
        }
        if !route.statuses.contain(response.status) {
            return format!("`status` has no {}", response.status);
        }
        match response.grpc_status.filter(|status| !route.grpc_statuses.contain(*status)) {
            Some(status) => format!("`grpc_status` has no {status}"),
            None => "`response_complete` wants a whole response, and this one broke off".to_owned(),
        }
    }

    fn event(
        &self,
        exchange: Exchange<'_>,
        route: &Route,
        recorder: &mut Recorder,
        id: String,
        now: Timestamp,
    ) -> Option<EventPreview> {
        let target = self.targets.get(route.target)?;
        let protocol = target.protocol.as_ref();
        let max_bytes = target.max_message_bytes.min(self.max_bytes);
        let (event, bytes) = recorder.event(exchange, route, protocol, max_bytes, id, now);
        let has_attributes = protocol.takes_attributes();
        let message = if has_attributes { event.message.clone() } else { event.with_attributes() };
        let attributes = event.attributes.into_iter().filter(|_| has_attributes);
        Some(EventPreview {
            id: event.id,
            target_key: protocol.kind().key,
            target: protocol.name().to_owned(),
            message,
            attributes: attributes.map(|each| (each.name.into_owned(), each.data_type.as_str(), each.value)).collect(),
            left_out: recorder.take_left_out(),
            subject: event.subject,
            group_id: event.group_id,
            trace_header: event.trace_header,
            bytes,
            max_bytes,
            is_sampled: route.sample != Sample::ALL,
            holds_response: route.delivery != DeliveryMode::AfterResponse,
        })
    }
}

/// Takes out what a gateway is not asked for, where the message is not the whole record: attributes
/// would show it.
fn leave_out_unread(exchange: &mut Exchange<'_>, route: &Route) {
    if !route.needs.has(&Variable::RouteName) {
        exchange.route = None;
    }
    // For an event that a response waits for, all headers are read at once.
    if !route.needs.is_record() && route.delivery == DeliveryMode::AfterResponse {
        exchange.request.headers.0.retain(|(name, _)| route.needs.request_headers().any(|needed| needed == name));
    }
}

/// Shows the bodies of an exchange to those who keep them.
fn see_bodies(bodies: &mut KeptBodies, routes: &Routes, exchange: &Exchange<'_>) {
    let head = |headers: &Headers<'_>, is_all| BodyHead {
        content_type: headers.get("content-type").map(str::to_owned),
        content_encoding: headers.get("content-encoding").map(str::to_owned),
        is_tunnel: exchange.request.method == "CONNECT",
        is_all,
        tells_absence: true,
    };
    let (request, response) = (&exchange.request.body.bytes, &exchange.response.body.bytes);
    let status = exchange.response.status;
    bodies.begin_request(routes, head(&exchange.request.headers, request.is_empty()));
    bodies.take_request(request.len(), true, |bytes| request.get(..bytes).map(<[u8]>::to_vec));
    if bodies.see_status(routes, status) {
        bodies.begin_response(routes, status, head(&exchange.response.headers, response.is_empty()));
        bodies.take_response(response.len(), true, |bytes| response.get(..bytes).map(<[u8]>::to_vec));
    }
}
