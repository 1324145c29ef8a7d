//! From an exchange to its events: asks the routes in their order, and hands out each that takes
//! the exchange. Never decides what an event says.

use super::gateway::Candidate;
use super::held::HeldPart;
use super::hostcalls;
use super::once::OpenExchange;
use super::worker::Worker;
use crate::clock::Timestamp;
use crate::publish::kept_body::{mark_unseen, KeptBodies};
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::route::{DeliveryMode, Route, Routes};

/// A route that takes an exchange.
#[derive(Clone, Copy)]
struct Taken<'r> {
    route: &'r Route,
    position: usize,
    /// Number of routes that have taken the exchange before.
    before: usize,
    /// Number of these whose events have the target and the type of this one's.
    alike: usize,
    /// The time.
    now: Timestamp,
}

/// Hands the routes that take an exchange, as far as it has come, to `take`, until one does not go
/// on or `take` returns false.
#[inline(never)]
fn each_taking(
    routes: &Routes,
    candidate: &mut dyn Candidate,
    bodies: Option<&KeptBodies>,
    take: &mut dyn FnMut(&mut dyn Candidate, Taken<'_>) -> bool,
) {
    let mut earlier: Vec<&Route> = Vec::new();
    let (mut from, mut time) = (0, None);
    while let Some(position) = candidate.position(routes, from) {
        from = position + 1;
        let Some(route) = routes.all.get(position) else { return };
        let now = *time.get_or_insert_with(|| candidate.ended_at().unwrap_or_else(hostcalls::now));
        if !route.when.is_empty() {
            let mut exchange = candidate.exchange(now, route.when.needs());
            if let Some(bodies) = bodies {
                bodies.put_into(&mut exchange, route);
                exchange.find_in_bodies(route.when.needs().parts());
            }
            if !route.when.hold(&exchange, &route.groups(exchange.request.path())) {
                continue;
            }
        }
        let is_like = |other: &&&Route| other.target == route.target && other.event_type == route.event_type;
        let alike = earlier.iter().filter(is_like).count();
        if !take(candidate, Taken { route, position, before: earlier.len(), alike, now }) || !route.continues {
            return;
        }
        earlier.push(route);
    }
}

/// Publishes the events of an exchange that is over, except that of the route at `done`, which was
/// made before the end, and of routes behind it if it does not go on.
#[inline(never)]
pub(super) fn publish(
    worker: &Worker,
    candidate: &mut dyn Candidate,
    bodies: Option<&KeptBodies>,
    done: Option<usize>,
) {
    let done_goes_on = done.and_then(|done| worker.routes.all.get(done)).is_none_or(|route| route.continues);
    each_taking(&worker.routes, candidate, bodies, &mut |candidate, taken| {
        let Taken { route, position, alike, now, .. } = taken;
        if done.is_some_and(|done| position >= done) && !done_goes_on {
            return false;
        }
        if done != Some(position) {
            let mut exchange = candidate.exchange(now, &route.needs);
            if let Some(bodies) = bodies {
                bodies.put_into(&mut exchange, route);
            }
            let is_first = worker.accept(exchange, route, worker.event_hash(position, alike), now);
            if is_first && done.is_some() && route.delivery != DeliveryMode::AfterResponse {
                worker.note_unheld("a response waits for one event, and this one had waited for another");
            }
        }
        true
    });
}

/// Publishes the events of an exchange that an access logger sees, in which no response waits.
#[inline(never)]
pub(super) fn publish_logged(worker: &Worker, candidate: &mut dyn Candidate) {
    each_taking(&worker.routes, candidate, None, &mut |candidate, Taken { route, position, alike, now, .. }| {
        // Sending waits for the tick: Envoy logs before it flushes the response, so a client would
        // wait for the signature.
        let mut exchange = candidate.exchange(now, &route.needs);
        if route.request_body.is_some() || route.response_body.is_some() {
            mark_unseen(&mut exchange, route);
        }
        let is_first = worker.accept(exchange, route, worker.event_hash(position, alike), now);
        // Where an HTTP filter has made the event, the response has waited for it there.
        if is_first && route.delivery != DeliveryMode::AfterResponse {
            worker.note_unheld("an access logger sees a response when it is over; run the filter as an HTTP filter");
        }
        true
    });
}

/// An event that a response waits for, or has waited for.
pub(super) struct AwaitedEvent {
    /// The position of its route.
    pub(super) position: usize,
    /// True if other routes take the exchange, or may take it.
    pub(super) has_others: bool,
    /// Release of the response, if it is known already.
    pub(super) release: Option<Release>,
    /// Set where other filters have to know that the event is made.
    _open: Option<OpenExchange>,
}

/// Publishes the event that a response waits for, of which this `part` has come, if a route lets
/// it wait: the first one that does.
#[inline(never)]
pub(super) fn publish_awaited(
    worker: &Worker,
    candidate: &mut dyn Candidate,
    bodies: Option<&KeptBodies>,
    context: u32,
    part: HeldPart,
) -> Option<AwaitedEvent> {
    let mut awaited = None;
    each_taking(&worker.routes, candidate, bodies, &mut |candidate, taken| {
        let Taken { route, position, before, alike, now } = taken;
        let DeliveryMode::BeforeResponse(on_failure) = route.delivery else { return true };
        let wait = Wait { ticket: Ticket(context), on_failure };
        let mut exchange = candidate.exchange(now, &route.needs);
        if let Some(bodies) = bodies {
            bodies.put_into(&mut exchange, route);
        }
        let (fingerprint, event) = (exchange.fingerprint, worker.event_hash(position, alike));
        let release = worker.accept_awaited(exchange, route, event, wait, part, now);
        awaited = Some(AwaitedEvent {
            position,
            has_others: route.continues || before > 0,
            release,
            _open: fingerprint.and_then(|fingerprint| OpenExchange::of(fingerprint, event)),
        });
        false
    });
    awaited
}
