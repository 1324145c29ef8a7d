//! What all contexts of one root share: the routes, the agent, and the loop that drives it. Carries between the agent and the
//! host what each has for the other, at the moments at which the host allows it; what that is, the agent decides.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::gateway::envoy;
use super::gateway::kong::{Destinations, Wanted};
use super::gateway::{define_metrics, Host, TickGate};
use super::{hostcalls as host, reply};
use crate::agent::{Agent, Call};
use crate::callout::{Callout, Reply};
use crate::capture::{Answer, CaptureId, Captures, Intake, Progress};
use crate::clock::Timestamp;
use crate::exchange::Exchange;
use crate::notice::Level;
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::route::{Route, Routes};

thread_local! {
    /// All workers of this VM, those included that are stopping.
    static WORKERS: RefCell<Vec<Weak<Worker>>> = const { RefCell::new(Vec::new()) };
}

fn workers() -> Vec<Rc<Worker>> {
    WORKERS.with_borrow_mut(|workers| {
        workers.retain(|worker| worker.strong_count() > 0);
        workers.iter().filter_map(Weak::upgrade).collect()
    })
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// The host wants it to stop, and waits for what it has to be delivered.
    Draining,
    Done,
}

/// One configured filter in one worker. No borrow of a cell is held across a host call, which may call back; but for those of
/// the journal and of the log, which do not.
pub struct Worker {
    /// Which exchanges become events.
    pub routes: Routes,
    /// Where it runs.
    pub host: Host,
    /// Which requests are stored before they are answered.
    pub captures: Rc<Captures>,
    /// Whether some route wants its responses to wait for their events.
    pub holds_responses: bool,
    /// The headers to ask for where there are too many to ask for all.
    pub wanted_headers: Wanted,
    /// Where the gateway sends requests, as far as it was asked.
    pub destinations: Destinations,
    agent: RefCell<Agent>,
    /// The callouts in flight by the host's token; there are never more than the host allows.
    callouts: RefCell<Vec<(u32, Call)>>,
    metric_ids: Vec<Option<u32>>,
    gate: RefCell<TickGate>,
    life: Cell<Life>,
    /// The context of the root; none once it is gone.
    root: Cell<Option<u32>>,
    /// The next tick is a request's, which wants its event sent at once.
    hurried: Cell<bool>,
    /// Whether the log was told that an access logger holds no responses.
    told_of_logger: Cell<bool>,
    /// The host could not start a callout, and is not asked again before the next tick: it would refuse every batch of a long
    /// queue, each of which was signed for nothing.
    refused: Cell<bool>,
}

impl Worker {
    /// Starts with an empty queue, woken through `gate`. Defines the metrics.
    pub fn new(root: u32, host: Host, routes: Routes, captures: Rc<Captures>, agent: Agent, gate: TickGate) -> Worker {
        Worker {
            holds_responses: routes.hold_responses(),
            wanted_headers: Wanted::by(&routes, &captures),
            destinations: Destinations::default(),
            routes,
            captures,
            host,
            agent: RefCell::new(agent),
            callouts: RefCell::default(),
            metric_ids: define_metrics(host),
            gate: RefCell::new(gate),
            life: Cell::new(Life::Running),
            root: Cell::new(Some(root)),
            hurried: Cell::new(false),
            told_of_logger: Cell::new(false),
            refused: Cell::new(false),
        }
    }

    /// Makes it known to the others of its VM.
    pub fn register(self: &Rc<Worker>) {
        WORKERS.with_borrow_mut(|workers| workers.push(Rc::downgrade(self)));
    }

    /// Queues the event of an exchange that `route` wants.
    pub fn accept(&self, exchange: Exchange<'_>, route: &Route, now: Timestamp) {
        self.agent.borrow_mut().publishing().accept(exchange, route, now);
        self.relieve(now);
    }

    /// Sends the event of an exchange whose response waits for it. Gives what is to be done with the response, where that is
    /// known at once; else it is released as soon as it is.
    pub fn accept_awaited(&self, exchange: Exchange<'_>, route: &Route, wait: Wait, now: Timestamp) -> Option<Release> {
        self.agent.borrow_mut().publishing().accept_awaited(exchange, route, wait, now);
        self.relieve(now);
        if let Some(root) = self.root.get() {
            self.hurried.set(true);
            host::tick_root(root);
        }
        self.agent.borrow_mut().publishing().take_release(wait.ticket)
    }

    /// Whether a response can wait: what it waits for comes to the root.
    pub fn can_hold(&self) -> bool {
        self.holds_responses && self.root.get().is_some()
    }

    /// The root is gone.
    pub fn lose_root(&self) {
        self.root.set(None);
    }

    /// A response that waits is gone.
    pub fn forget_response(&self, ticket: Ticket) {
        self.agent.borrow_mut().publishing().forget_response(ticket);
    }

    /// An exchange was seen that was over, and whose response should have waited.
    pub fn seen_too_late(&self) {
        if !self.told_of_logger.replace(true) {
            host::log(
                Level::Warn,
                "`delivery: before_response` is not kept: an access logger sees a response when it is over; run the filter as an \
                 HTTP filter",
            );
        }
    }

    fn relieve(&self, now: Timestamp) {
        if self.agent.borrow_mut().publishing().has_many_dead_letters() {
            self.write_dead_letters(now);
        }
    }

    /// Lets go of the responses that need not wait any more. Afterwards the host speaks for the root again.
    fn release(&self) {
        let releases = self.agent.borrow_mut().publishing().take_releases();
        if releases.is_empty() {
            return;
        }
        for (Ticket(context), release) in releases {
            if host::knows_context(context) {
                envoy::release(release);
            }
        }
        if let Some(root) = self.root.get() {
            host::knows_context(root);
        }
    }

    /// Dead letters are errors: an event was lost, and no host leaves errors out unless it was told to.
    fn write_dead_letters(&self, now: Timestamp) {
        let lines = self.agent.borrow_mut().publishing().take_dead_letter_lines(self.host.max_line_bytes(), now);
        for line in lines {
            host::log_whole(Level::Error, &line);
        }
    }

    /// Makes the callouts that are due.
    pub fn send(&self, now: Timestamp) {
        while !self.refused.get() {
            let due = self.agent.borrow_mut().poll(now);
            let Some((call, callout)) = due else { break };
            if !self.dispatch(call, &callout, now) {
                self.refused.set(true);
            }
        }
    }

    /// Makes a callout. Whether the host has started it; if not, that is its reply.
    fn dispatch(&self, call: Call, callout: &Callout, now: Timestamp) -> bool {
        match host::dispatch(callout) {
            Ok(token) => {
                let agent = self.agent.borrow();
                let mut callouts = self.callouts.borrow_mut();
                callouts.retain(|(_, call)| agent.awaits(*call));
                callouts.push((token, call));
                true
            }
            Err(status) => {
                let reason = format!("the host cannot call `{}`: {status:?}", callout.upstream);
                self.agent.borrow_mut().handle_reply(call, &Reply::NoResponse(reason), now);
                false
            }
        }
    }

    /// Does what is to be done about a capture now; gives the answer that ends it.
    pub fn drive(&self, id: CaptureId, now: Timestamp) -> Option<Answer> {
        loop {
            let progress = self.agent.borrow_mut().poll_capture(id, now);
            let callout = match progress {
                Progress::Call(callout) => callout,
                Progress::Wait => return None,
                Progress::Answer(answer) => return Some(answer),
            };
            self.dispatch(Call::Capture(id), &callout, now);
        }
    }

    /// Lets `work` look at the captures under way.
    pub fn with_intake<T>(&self, work: impl FnOnce(&mut Intake) -> T) -> T {
        work(self.agent.borrow_mut().capturing())
    }

    /// Answers those whom time has something to say to. Answers come after all calls, for each makes the host speak for somebody
    /// else.
    fn tend_captures(&self, now: Timestamp) {
        let waiting = self.with_intake(|intake| intake.waiting());
        let answers: Vec<_> = waiting.into_iter().filter_map(|id| Some((id, self.drive(id, now)?))).collect();
        for (id, answer) in answers {
            if host::knows_context(id.0) {
                host::answer(&answer);
            }
        }
    }

    /// What is to be done again and again: sends what is due, and tells the host what changed.
    pub fn tick(&self) {
        let now = host::now();
        if self.hurried.take() {
            return self.send(now);
        }
        if !self.gate.borrow_mut().admits(now) {
            return;
        }
        self.destinations.refresh(now);
        self.refused.set(false);
        self.agent.borrow_mut().publishing().tend_journals(now);
        self.send(now);
        self.release();
        self.report(now);
        if self.life.get() == Life::Draining && self.agent.borrow().is_idle() {
            self.life.set(Life::Done);
            host::done();
        }
        if self.host.answers_at_ticks() {
            self.tend_captures(now);
        }
    }

    fn report(&self, now: Timestamp) {
        self.write_dead_letters(now);
        let (updates, notices) = {
            let mut agent = self.agent.borrow_mut();
            (agent.take_metric_updates(self.host.sums_gauges(), now), agent.take_notices(now))
        };
        for update in updates {
            if let Some(Some(id)) = self.metric_ids.get(update.metric() as usize) {
                self.host.report(*id, update);
            }
        }
        for notice in notices {
            host::log(notice.level, &notice.text);
        }
    }

    /// Takes the reply to the callout `token` from the host.
    pub fn handle_reply(&self, token: u32, body_size: usize) {
        let Some(call) = self.forget_callout(token) else { return };
        let (reply, now) = (reply::read(body_size), host::now());
        self.agent.borrow_mut().handle_reply(call, &reply, now);
        if let Call::Capture(id) = call {
            // The host speaks for the request by now, unless the call was made at a tick.
            if let Some(answer) = self.drive(id, now).filter(|_| host::knows_context(id.0)) {
                host::answer(&answer);
            }
        } else if self.host.calls_from_replies() {
            self.send(now);
        }
        self.release();
    }

    fn forget_callout(&self, token: u32) -> Option<Call> {
        let mut callouts = self.callouts.borrow_mut();
        let position = callouts.iter().position(|(candidate, _)| *candidate == token)?;
        Some(callouts.swap_remove(position).1)
    }

    /// The host wants to stop this filter. Whether nothing is left to do; if something is, the host is told when it is done.
    ///
    /// While another filter of this VM goes on, this one was replaced, and delivers what it has. If none does, the process may be
    /// about to end: nothing tells that from a filter that was taken away.
    pub fn stop(&self) -> bool {
        let now = host::now();
        self.agent.borrow_mut().publishing().stop_adopting(now);
        // The last chance where nothing is left to do: gauges that are not brought down now stay up for ever.
        self.report(now);
        let idle = self.agent.borrow().is_idle();
        self.life.set(if idle { Life::Done } else { Life::Draining });
        let workers = workers();
        if workers.iter().all(|worker| worker.life.get() != Life::Running) {
            workers.iter().for_each(|worker| worker.write_undelivered());
        }
        idle
    }

    fn write_undelivered(&self) {
        let mut agent = self.agent.borrow_mut();
        let publisher = agent.publishing();
        if publisher.queued() == 0 {
            return;
        }
        let mut lines = 0;
        // Each is written when it is made, within the borrow, which a log never comes back to: together they may be as much as
        // the queue.
        for line in publisher.undelivered_lines(self.host.max_line_bytes()) {
            host::log_whole(Level::Error, &line);
            lines += 1;
        }
        let end = if lines == 0 { "they are lost if the process ends now" } else { "each has a dead letter now" };
        host::log(Level::Warn, &format!("stopping with {} event(s) not delivered: {end}", publisher.queued()));
    }
}
