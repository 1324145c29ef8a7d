//! State that all contexts of one root share: the routes, the agent, and the loop that drives it.
//! Carries callouts, replies, answers and metrics between the agent and the host, when the host
//! allows it. Never decides what they are.

mod report;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use proxy_wasm::types::Status;

use super::callouts::Callouts;
use super::gateway::metrics::GatewayMetrics;
use super::gateway::pulse::{Beat, Pulse, AT_ONCE};
use super::gateway::tempo::Tempo;
use super::gateway::{GatewayReader, Rules};
use super::held::{release, HeldPart, HeldResponses};
use super::once::{hash, name_of_vm, Once};
use super::{hostcalls, reply};
use crate::agent::{Agent, Call};
use crate::callout::{Callout, Reply, ANSWERS_AT_ONCE};
use crate::capture::{Answer, CaptureId, Captures, Intake};
use crate::clock::Timestamp;
use crate::exchange::matcher::MethodSketch;
use crate::exchange::Exchange;
use crate::notice::Level;
use crate::publish::kept_body::BodyRoom;
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::route::{Route, Routes};
use crate::publish::Publisher;

/// Responses that are let go on between two ticks, at most. Replies may follow from each other
/// inside one call of the host, as where its circuit breaker fails them at once; a tick never does.
const RELEASES_BETWEEN_TICKS: usize = 256;

thread_local! {
    /// All workers of this VM, also the ones that are stopping.
    static WORKERS: RefCell<Vec<Weak<Worker>>> = const { RefCell::new(Vec::new()) };
}

fn workers() -> Vec<Rc<Worker>> {
    WORKERS.with_borrow_mut(|workers| {
        workers.retain(|worker| worker.strong_count() > 0);
        workers.iter().filter_map(Weak::upgrade).collect()
    })
}

/// Ends all workers of this VM, where the host says once that there are no more ticks, and nothing
/// afterwards.
#[inline(never)]
pub(super) fn end_all() {
    let workers = workers();
    workers.iter().for_each(|worker| worker.agent.borrow_mut().publishing().end());
    for worker in &workers {
        worker.stop();
    }
    workers.iter().for_each(|worker| worker.report(hostcalls::now()));
}

/// How near a worker is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// The host wants it to stop, and waits until it has delivered what it has.
    Draining,
    Done,
}

/// The line for the log where an access logger is to keep bodies.
const UNSEEN_BODIES: &str =
    "`request_body` and `response_body` are not kept: an access logger sees an exchange when its bodies \
                             are gone; run the filter as an HTTP filter";

/// The remedy if the host does not know the upstream.
const NO_CLUSTER: &str = "; (Envoy) there is no cluster of that name: add one, or name an existing one beside its \
                          target, `\"upstream\": \"NAME\"`";

/// One configured filter in one worker. No borrow of a cell is held across a host call, because the
/// host may call back; except calls for the journal, the log and the metrics, from which it does
/// not.
pub(crate) struct Worker {
    /// Which exchanges become events.
    pub(crate) routes: Routes,
    /// The methods of the routes.
    pub(crate) methods: MethodSketch,
    /// Which requests are stored before they are answered.
    pub(crate) captures: Rc<Captures>,
    /// The rules of the gateway.
    pub(crate) rules: &'static Rules,
    /// The reader of requests, in the gateway's way.
    pub(crate) reader: Box<dyn GatewayReader>,
    /// True if there is a capture.
    pub(crate) stores_webhooks: bool,
    /// True if a route lets responses wait for their events.
    holds_responses: bool,
    agent: RefCell<Agent>,
    /// The room for bodies of exchanges that are not over.
    pub(crate) body_room: Rc<BodyRoom>,
    /// True if a route keeps bodies.
    pub(crate) keeps_bodies: bool,
    /// True once the log says that nobody sees bodies.
    has_warned_of_bodies: Cell<bool>,
    /// The callouts in flight.
    callouts: RefCell<Callouts>,
    /// The responses that are held.
    held: HeldResponses,
    /// Responses that may still be let go on before the next tick.
    releases_left: Cell<usize>,
    metrics: RefCell<GatewayMetrics>,
    pulse: RefCell<Pulse>,
    tempo: Tempo,
    life: Cell<Life>,
    /// The context of the root, until the root is gone.
    root: Cell<Option<u32>>,
    /// True once the log has the warning of the reader.
    has_warned: Cell<bool>,
    /// This filter among others that may see the same exchanges.
    pub(crate) once: Once,
    /// A hash for each route of what its events are to those.
    events: Vec<u64>,
    /// True if the host could not start a callout. It is not asked again before the next tick: it
    /// would refuse every batch of a long queue, each of which would be signed for nothing.
    refused: Cell<bool>,
}

impl Worker {
    /// Makes the worker of the root that the host calls `root`. Defines the metrics.
    pub(crate) fn new(
        root: u32,
        rules: &'static Rules,
        reader: Box<dyn GatewayReader>,
        routes: Routes,
        captures: Rc<Captures>,
        mut agent: Agent,
        pulse: Pulse,
    ) -> Worker {
        let metrics = GatewayMetrics::new(rules.gauges, agent.publishing().metric_targets());
        let events: Vec<u64> = routes.all.iter().map(|route| event_hash(agent.publishing(), route)).collect();
        Worker {
            once: Once::new(rules.mark, events.iter().copied(), name_of_vm()),
            events,
            has_warned: Cell::new(false),
            stores_webhooks: cfg!(feature = "capture") && !captures.all.is_empty(),
            holds_responses: routes.hold_responses(),
            keeps_bodies: routes.keep_bodies(),
            has_warned_of_bodies: Cell::new(false),
            body_room: agent.publishing().body_room(),
            methods: MethodSketch::of(routes.all.iter().map(|route| &route.methods)),
            reader,
            routes,
            captures,
            rules,
            agent: RefCell::new(agent),
            callouts: RefCell::default(),
            held: HeldResponses::default(),
            releases_left: Cell::new(RELEASES_BETWEEN_TICKS),
            metrics: RefCell::new(metrics),
            tempo: Tempo::new(pulse.period(), rules.quiet_tick),
            pulse: RefCell::new(pulse),
            life: Cell::new(Life::Running),
            root: Cell::new(Some(root)),
            refused: Cell::new(false),
        }
    }

    /// Makes the worker known to the others of its VM.
    pub(crate) fn register(self: &Rc<Worker>) {
        WORKERS.with_borrow_mut(|workers| workers.push(Rc::downgrade(self)));
    }

    /// Has the host tick. Returns false if it refuses.
    pub(crate) fn start_ticks(&self) -> bool {
        let (period, is_changed) = {
            let pulse = self.pulse.borrow();
            (pulse.period(), pulse.is_changed())
        };
        let is_ticking = hostcalls::set_tick_period(period);
        if is_changed && is_ticking {
            // The second timer, see `Pulse`.
            hostcalls::set_tick_period(Duration::ZERO);
            return hostcalls::set_tick_period(period);
        }
        is_ticking
    }

    /// Queues the event of an exchange that `route` takes. Other filters know it by its hash,
    /// `event`. Returns false if one of them has made it.
    pub(crate) fn accept(&self, exchange: Exchange<'_>, route: &Route, event: u64, now: Timestamp) -> bool {
        let is_first = self.once.admits(exchange.fingerprint, exchange.started_at, event);
        if is_first {
            self.agent.borrow_mut().publishing().accept(exchange, route, now);
            self.relieve(now);
            self.report_at_end(now);
        }
        is_first
    }

    /// Sends the event of an exchange whose response waits for it. Returns what to do with the
    /// response, if that is known at once; if not, the response is released as soon as it is.
    pub(crate) fn accept_awaited(
        &self,
        exchange: Exchange<'_>,
        route: &Route,
        event: u64,
        wait: Wait,
        part: HeldPart,
        now: Timestamp,
    ) -> Option<Release> {
        let is_first = self.once.admits(exchange.fingerprint, exchange.started_at, event);
        if !is_first || !self.agent.borrow_mut().publishing().accept_awaited(exchange, route, wait, now) {
            return Some(Release::Pass);
        }
        self.relieve(now);
        if self.root.get().is_some() {
            self.send(now);
        }
        let release = self.agent.borrow_mut().publishing().take_release(wait.ticket);
        if release.is_none() {
            self.held.add(wait.ticket.0, part);
            self.wake();
        }
        release
    }

    /// Returns what is held of the response of this context.
    pub(crate) fn holds(&self, context: u32) -> Option<HeldPart> {
        self.held.part(context)
    }

    /// Returns a hash of what the event of the route at `position` is to other filters, where
    /// `alike` events of the exchange have its target and type already.
    pub(crate) fn event_hash(&self, position: usize, alike: usize) -> u64 {
        self.events.get(position).copied().unwrap_or_default() ^ alike as u64
    }

    /// Returns true if a response can wait. The reply that it waits for comes to the root.
    pub(crate) fn can_hold(&self) -> bool {
        self.holds_responses && self.root.get().is_some()
    }

    /// Notes that the root is gone.
    pub(crate) fn lose_root(&self) {
        self.root.set(None);
        // Nothing wakes a webhook that waits for others.
        self.with_intake(Intake::stop_sharing);
    }

    /// Notes that a response that waits is gone.
    pub(crate) fn forget_response(&self, ticket: Ticket) {
        self.held.remove(ticket.0);
        self.agent.borrow_mut().publishing().forget_response(ticket);
    }

    /// Looks at the end of an exchange whose response was held to the last.
    pub(crate) fn see_end_while_held(&self) {
        if self.held.has_passed(self.reader.end_while_held()) {
            self.note_unheld("the gateway let a response go that the filter held; please report this");
        }
    }

    /// Counts a response that should have waited for its event and did not, and says so once.
    pub(crate) fn note_unheld(&self, why: &str) {
        self.agent.borrow_mut().publishing().note_unheld();
        self.held.warn_of_unheld(why);
    }

    /// Says, once, that events are without the bodies that their routes want. Nothing that the host
    /// tells before the first exchange is over says that it runs the filter as an access logger.
    pub(crate) fn warn_of_unseen_bodies(&self) {
        if !self.has_warned_of_bodies.replace(true) {
            hostcalls::log(Level::Error, UNSEEN_BODIES);
        }
    }

    /// Writes dead letters at once where there are too many to keep until the next tick.
    fn relieve(&self, now: Timestamp) {
        if self.agent.borrow_mut().publishing().has_many_dead_letters() {
            self.write_dead_letters(now);
        }
    }

    /// Releases responses that need not wait any more, a few dozen at once; the others at the next
    /// reply or tick. Afterwards the host speaks for the root again.
    fn release_responses(&self) {
        let left = self.releases_left.get();
        let releases = self.agent.borrow_mut().publishing().take_releases(left.min(ANSWERS_AT_ONCE));
        if releases.is_empty() {
            return;
        }
        self.releases_left.set(left.saturating_sub(releases.len()));
        for (Ticket(context), how) in releases {
            let part = self.held.remove(context).unwrap_or(HeldPart::Whole);
            if hostcalls::speak_for(context) {
                release(how, part);
            }
        }
        if let Some(root) = self.root.get() {
            hostcalls::speak_for(root);
        }
    }

    /// Makes the callouts that are due.
    fn send(&self, now: Timestamp) {
        while !self.refused.get() {
            let due = self.agent.borrow_mut().poll(now);
            let Some((call, callout)) = due else { break };
            if !self.dispatch(call, &callout, now) {
                self.refused.set(true);
            }
        }
    }

    /// Makes a callout. Returns false if the host could not start it; that is its reply then.
    fn dispatch(&self, call: Call, callout: &Callout, now: Timestamp) -> bool {
        match hostcalls::dispatch(callout) {
            Ok(token) => {
                let agent = self.agent.borrow();
                self.callouts.borrow_mut().add(token, call, |call| agent.awaits(call));
                true
            }
            Err(status) => {
                let mut reason = format!("the host cannot call `{}`: {status:?}", callout.upstream);
                // Who has no credentials is told so, with more.
                if status == Status::BadArgument && !matches!(call, Call::Credentials(_)) {
                    reason.push_str(NO_CLUSTER);
                    if self.callouts.borrow_mut().is_news(&callout.upstream) {
                        hostcalls::log(Level::Error, &reason);
                    }
                }
                self.agent.borrow_mut().handle_reply(call, &Reply::NoResponse(reason), now);
                false
            }
        }
    }

    /// Drives the capture of the request that the host speaks for as far as it goes now. Returns
    /// the answer, if that ends it.
    pub(crate) fn drive(&self, id: CaptureId, now: Timestamp) -> Option<Answer> {
        let answer = self.agent.borrow_mut().poll_capture(id, now);
        if answer.is_some() {
            return answer;
        }
        self.store(now);
        // The call may have failed at once.
        self.agent.borrow_mut().poll_capture(id, now)
    }

    /// Makes the calls that store webhooks, a few dozen at once; the others at the next reply or
    /// tick.
    fn store(&self, now: Timestamp) {
        for _ in 0..ANSWERS_AT_ONCE {
            let due = self.agent.borrow_mut().poll_capture_call(now);
            let Some((call, callout)) = due else { break };
            self.dispatch(call, &callout, now);
        }
    }

    /// Lets `work` look at the captures under way.
    pub(crate) fn with_intake<T>(&self, work: impl FnOnce(&mut Intake) -> T) -> T {
        work(self.agent.borrow_mut().capturing())
    }

    /// Answers the request that the host speaks for.
    pub(crate) fn answer(&self, answer: &Answer) {
        hostcalls::answer(answer, &(self.rules.answer_details)(answer.status().as_u16()));
    }

    /// Drives these captures as far as they go now; they are a few dozen at most. Answers come
    /// after all calls, because each makes the host speak for another request.
    fn drive_all(&self, captures: Vec<CaptureId>, now: Timestamp) {
        let answer = |id: CaptureId| Some((id, self.agent.borrow_mut().poll_capture(id, now)?));
        let answers: Vec<_> = captures.into_iter().filter_map(answer).collect();
        if self.rules.calls_from_replies {
            self.store(now);
        }
        for (id, answer) in answers {
            if hostcalls::speak_for(id.0) {
                self.answer(&answer);
            }
        }
    }

    /// Sends what is due, and brings the host what has changed. Called at each tick.
    pub(crate) fn tick(&self) {
        let beat = self.pulse.borrow_mut().beat();
        if let Beat::Give(period) = beat {
            hostcalls::set_tick_period(period);
            return;
        }
        let now = hostcalls::now();
        if !self.pulse.borrow_mut().admits(now) {
            return;
        }
        self.work(now);
        let has_nothing_to_do = self.agent.borrow_mut().has_nothing_to_send(now);
        if self.pulse.borrow_mut().rest(has_nothing_to_do) {
            hostcalls::set_tick_period(Duration::ZERO);
        }
        let is_quiet = || self.life.get() == Life::Running && self.agent.borrow().is_quiet();
        self.set_tempo(is_quiet);
    }

    /// Has the host tick often again: something of this worker waits.
    #[inline(never)]
    pub(crate) fn wake(&self) {
        self.set_tempo(|| false);
    }

    /// Has the host tick more often or less, if that is to change.
    fn set_tempo(&self, is_quiet: impl FnOnce() -> bool) {
        if let Some(period) = self.tempo.change(is_quiet) {
            hostcalls::set_tick_period(period);
        }
    }

    fn work(&self, now: Timestamp) {
        self.reader.refresh(now);
        self.once.refresh(now);
        self.refused.set(false);
        self.releases_left.set(RELEASES_BETWEEN_TICKS);
        self.agent.borrow_mut().publishing().tend_queues(now);
        self.send(now);
        self.release_responses();
        self.report(now);
        if self.life.get() == Life::Draining && self.agent.borrow().is_idle() {
            self.life.set(Life::Done);
            hostcalls::done();
        }
        if self.rules.answers_at_ticks {
            let due = self.agent.borrow_mut().due_captures(now);
            self.drive_all(due, now);
        }
    }

    /// Takes the reply to the callout `token` from the host.
    pub(crate) fn handle_reply(&self, token: u32, body_size: usize) {
        let Some(call) = self.callouts.borrow_mut().take(token) else { return };
        let (reply, now) = (reply::read(body_size), hostcalls::now());
        let captures = match call {
            Call::Capture(call) => Some(self.with_intake(|intake| intake.webhooks(call))),
            Call::Batch(_) | Call::Credentials(_) => None,
        };
        self.agent.borrow_mut().handle_reply(call, &reply, now);
        if let Some(captures) = captures {
            return self.drive_all(captures, now);
        }
        if self.rules.calls_from_replies {
            self.send(now);
        } else if self.agent.borrow_mut().publishing().has_full_batch() && self.pulse.borrow_mut().hurry() {
            hostcalls::set_tick_period(Duration::ZERO);
            hostcalls::set_tick_period(AT_ONCE);
        }
        self.release_responses();
        self.report_at_end(now);
    }

    /// Begins to stop, as the host wants it. Returns true if nothing is left to do; if not, the
    /// host learns later that the worker is done.
    ///
    /// While another filter of this VM goes on, this one was replaced, and delivers what it has. If
    /// none goes on, the process may be about to end, or the filter was removed: nothing tells one
    /// from the other.
    pub(crate) fn stop(&self) -> bool {
        let now = hostcalls::now();
        self.agent.borrow_mut().publishing().leave(now);
        self.wake();
        // If nothing is left to do, this is the last chance to bring gauges down, which stay up for
        // ever otherwise.
        self.report(now);
        let idle = self.agent.borrow().is_idle();
        self.life.set(if idle { Life::Done } else { Life::Draining });
        let workers = workers();
        if workers.iter().all(|worker| worker.life.get() != Life::Running) {
            workers.iter().for_each(|worker| worker.write_undelivered());
        }
        idle
    }
}

/// Returns what tells the events of `route` from others: where they go, and their type.
fn event_hash(publisher: &Publisher, route: &Route) -> u64 {
    let event_type = route.event_type.as_deref().unwrap_or_default();
    hash(&[publisher.target_of(route).as_bytes(), event_type.as_bytes()])
}
