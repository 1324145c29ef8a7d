//! What all contexts of one root share: the routes, the agent, and the loop that drives it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::hosts::{define_metrics, Host, TickGate};
use super::kong::Wanted;
use super::{host, reply};
use crate::agent::{Agent, Call};
use crate::callout::{Callout, Reply};
use crate::capture::{Answer, CaptureId, Captures, Intake, Progress};
use crate::clock::Timestamp;
use crate::exchange::Exchange;
use crate::metrics::Metrics;
use crate::notice::Level;
use crate::route::{Route, Routes};

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
    /// The headers to ask for where there are too many to ask for all.
    pub wanted_headers: Wanted,
    agent: RefCell<Agent>,
    /// The callouts in flight by the host's token; there are never more than the host allows.
    callouts: RefCell<Vec<(u32, Call)>>,
    metric_ids: Vec<Option<u32>>,
    gate: RefCell<TickGate>,
    life: Cell<Life>,
    /// The host could not start a callout, and is not asked again before the next tick: it would refuse every batch of a long
    /// queue, each of which was signed for nothing.
    refused: Cell<bool>,
}

impl Worker {
    /// Starts with an empty queue, woken through `gate`. Defines the metrics.
    pub fn new(host: Host, routes: Routes, captures: Rc<Captures>, agent: Agent, gate: TickGate) -> Worker {
        Worker {
            wanted_headers: Wanted::by(&routes, &captures),
            routes,
            captures,
            host,
            agent: RefCell::new(agent),
            callouts: RefCell::default(),
            metric_ids: define_metrics(host),
            gate: RefCell::new(gate),
            life: Cell::new(Life::Running),
            refused: Cell::new(false),
        }
    }

    /// Makes it known to the others of its VM.
    pub fn register(self: &Rc<Worker>) {
        WORKERS.with_borrow_mut(|workers| workers.push(Rc::downgrade(self)));
    }

    /// Queues the event of an exchange that `route` wants.
    pub fn accept(&self, exchange: Exchange<'_>, route: &Route, now: Timestamp) {
        let many = {
            let mut agent = self.agent.borrow_mut();
            agent.accept(exchange, route, now);
            agent.has_many_dead_letters()
        };
        if many {
            self.write_dead_letters();
        }
    }

    /// Dead letters are errors: an event was lost, and no host leaves errors out unless it was told to.
    fn write_dead_letters(&self) {
        let lines = self.agent.borrow_mut().take_dead_letter_lines(self.host.max_line_bytes());
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

    /// The captures under way, and where they are counted.
    pub fn with_intake<T>(&self, work: impl FnOnce(&mut Intake, &mut Metrics) -> T) -> T {
        let mut agent = self.agent.borrow_mut();
        let (intake, metrics) = agent.intake();
        work(intake, metrics)
    }

    /// Answers those whom time has something to say to. Answers come after all calls: a call belongs to the request that the host
    /// speaks for, and ends with it.
    fn tend_captures(&self, now: Timestamp) {
        let waiting = self.with_intake(|intake, _| intake.waiting());
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
        if !self.gate.borrow_mut().admits(now) {
            return;
        }
        self.refused.set(false);
        self.agent.borrow_mut().tend_journal(now);
        self.send(now);
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
        self.write_dead_letters();
        let (updates, notices) = {
            let mut agent = self.agent.borrow_mut();
            if self.host.sums_gauges() {
                agent.note_reported();
            }
            (agent.take_metric_updates(now), agent.take_notices(now))
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
        self.agent.borrow_mut().stop_adopting(now);
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
        let agent = self.agent.borrow();
        if agent.queued() == 0 {
            return;
        }
        let mut lines = 0;
        // Each is written when it is made, within the borrow, which a log never comes back to: together they may be as much as
        // the queue.
        for line in agent.undelivered_lines(self.host.max_line_bytes()) {
            host::log_whole(Level::Error, &line);
            lines += 1;
        }
        let end = if lines == 0 { "they are lost if the process ends now" } else { "each has a dead letter now" };
        host::log(Level::Warn, &format!("stopping with {} event(s) not delivered: {end}", agent.queued()));
    }
}
