//! The publish path of one worker: from an exchange to an event in the lane of its target, from the dead letters of all lanes to
//! where those go, and among the lanes, whose turn it is to call. Does no I/O, and signs nothing by itself.

pub mod dead_letter;
pub mod journal;
pub mod lane;
pub mod outbox;
pub mod record;
pub mod route;

use std::rc::Rc;

use crate::aws::signer::Signer;
use crate::aws::target::Target;
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::metrics::{Backlog, Metric, Metrics};
use crate::notice::Notice;
use crate::publish::journal::Store;
use crate::publish::lane::{Cargo, Lane};
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::record::Recorder;
use crate::publish::route::Route;

/// More bytes of dead letters than this do not wait for the next tick: they are beside what `queue.max_bytes` bounds.
const MAX_DEAD_BYTES: usize = 1 << 20;

/// Names a batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId {
    lane: usize,
    batch: outbox::BatchId,
}

/// Everything that a worker needs to publish, but for the routes, which are not changed by anything that happens.
pub struct Publisher {
    /// One for each target, in the order of the configuration.
    lanes: Vec<Lane>,
    /// The one that carries dead letters, if they go to a queue.
    letters: Option<usize>,
    /// The lane that is asked first.
    turn: usize,
    /// Whether dead letters are written to the log.
    log_dead_letters: bool,
    recorder: Recorder,
    rng: fastrand::Rng,
}

impl Publisher {
    /// A publisher with empty queues that keeps to the host's `limits`, with journals where there is a `store`. `seed` makes the
    /// ids of its events and its retries differ from those of other workers.
    pub fn new(config: &Config, limits: Limits, store: Option<&Rc<dyn Store>>, seed: u64) -> Publisher {
        let mut rng = fastrand::Rng::with_seed(seed);
        let letters = config.dead_letter.target;
        let lane = |(position, target): (usize, &Target)| {
            let cargo = if Some(position) == letters { Cargo::Letters } else { Cargo::Events };
            Lane::new(target.clone(), cargo, config, limits, store, rng.u64(..))
        };
        Publisher {
            lanes: config.targets.iter().enumerate().map(lane).collect(),
            letters,
            turn: 0,
            log_dead_letters: config.dead_letter.log,
            recorder: Recorder::new(config.redact.clone()),
            rng,
        }
    }

    /// Makes an exchange that matched `route` an event and queues it.
    pub fn accept(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp, metrics: &mut Metrics) {
        if let Some((lane, event)) = self.event(exchange, route, now, metrics) {
            lane.push(event, now, metrics);
        }
    }

    /// The same with an exchange whose response waits for the event. What is to be done with it may be known at once.
    pub fn accept_awaited(
        &mut self,
        exchange: Exchange<'_>,
        route: &Route,
        wait: Wait,
        now: Timestamp,
        metrics: &mut Metrics,
    ) {
        if let Some((lane, event)) = self.event(exchange, route, now, metrics) {
            lane.push_awaited(event, wait, now, metrics);
        }
    }

    /// The event of an exchange, and the lane that it goes to.
    fn event(
        &mut self,
        exchange: Exchange<'_>,
        route: &Route,
        now: Timestamp,
        metrics: &mut Metrics,
    ) -> Option<(&mut Lane, Event)> {
        let lane = self.lanes.get_mut(route.target)?;
        metrics.add(Metric::EventsMatched, 1);
        let id = event_id(now, &mut self.rng);
        let protocol = lane.target().protocol.as_ref();
        let event = self.recorder.event(exchange, route, protocol, lane.max_event_bytes(), id, now);
        Some((lane, event))
    }

    /// What is to be done with a response that waits, once that is known.
    pub fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.lanes.iter_mut().find_map(|lane| lane.take_release(ticket))
    }

    /// What is to be done with every response of which it is known.
    pub fn take_releases(&mut self) -> Vec<(Ticket, Release)> {
        self.lanes.iter_mut().flat_map(Lane::take_releases).collect()
    }

    /// A response that waits is gone.
    pub fn forget_response(&mut self, ticket: Ticket) {
        self.lanes.iter_mut().for_each(|lane| lane.forget_response(ticket));
    }

    /// The next call to make, if one is due, where calls of others leave room for `at_once`. Its reply is owed to
    /// [`Publisher::handle_reply`], also when the host could not start it.
    ///
    /// Lanes take turns. A lane with a call under way leaves one for every lane that has none, so that a service that is down,
    /// whose calls may hang until their timeout, does not stop the others.
    pub fn poll(
        &mut self,
        signer: &Signer,
        at_once: usize,
        now: Timestamp,
        metrics: &mut Metrics,
    ) -> Option<(BatchId, Callout)> {
        let in_flight = self.in_flight();
        let without_call = self.lanes.iter().filter(|lane| lane.in_flight() == 0).count();
        for _ in 0..self.lanes.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.lanes.len();
            let Some(lane) = self.lanes.get_mut(turn) else { continue };
            let room = if lane.in_flight() == 0 { at_once } else { at_once.saturating_sub(without_call) };
            let call = counted(lane, metrics, |lane, metrics| {
                if in_flight < room {
                    return lane.poll(signer, now, metrics);
                }
                lane.tend(now, metrics);
                None
            });
            if let Some((batch, callout)) = call {
                return Some((BatchId { lane: turn, batch }, callout));
            }
        }
        None
    }

    fn each_lane(&mut self, metrics: &mut Metrics, work: impl Fn(&mut Lane, &mut Metrics)) {
        self.lanes.iter_mut().for_each(|lane| counted(lane, metrics, &work));
    }

    /// What is to be done as time passes, also while nothing may be sent.
    pub fn tend(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.each_lane(metrics, |lane, metrics| lane.tend(now, metrics));
    }

    /// Keeps the journals, at each tick.
    pub fn tend_journal(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.each_lane(metrics, |lane, metrics| lane.tend_journal(now, metrics));
    }

    /// Takes on nothing more of others.
    pub fn stop_adopting(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.each_lane(metrics, |lane, metrics| lane.stop_adopting(now, metrics));
    }

    /// Writes down what the gauges are about to be told.
    pub fn note_reported(&mut self) {
        self.lanes.iter_mut().for_each(Lane::note_reported);
    }

    /// Says what came of a batch; ignored after its deadline, when it counts as lost.
    pub fn handle_reply(
        &mut self,
        BatchId { lane, batch }: BatchId,
        reply: &Reply,
        signer: &mut Signer,
        now: Timestamp,
        metrics: &mut Metrics,
    ) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            counted(lane, metrics, |lane, metrics| lane.handle_reply(batch, reply, signer, now, metrics));
        }
    }

    /// Whether a batch still waits for what came of it.
    pub fn awaits(&self, BatchId { lane, batch }: BatchId) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.awaits(batch))
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(Lane::in_flight).sum()
    }

    /// How much is queued and in flight.
    pub fn backlog(&self) -> Backlog {
        self.lanes.iter().map(Lane::backlog).fold(Backlog::default(), |sum, lane| Backlog {
            entries: sum.entries + lane.entries,
            bytes: sum.bytes + lane.bytes,
            oldest: [sum.oldest, lane.oldest].into_iter().flatten().min(),
        })
    }

    /// Sends the dead letters since the last time to their queue. Gives those that have none, or that it did not take, each as
    /// the lines of a log that has lines of at most `max_line_bytes`; nothing where the configuration wants no lines.
    pub fn take_dead_letter_lines(
        &mut self,
        max_line_bytes: usize,
        now: Timestamp,
        metrics: &mut Metrics,
    ) -> Vec<String> {
        let of_events = self.lanes.iter_mut().filter(|lane| lane.cargo() == Cargo::Events);
        let mut letters: Vec<_> = of_events.flat_map(|lane| lane.take_dead_letters(now, metrics)).collect();
        if let Some(lane) = self.letters.and_then(|letters| self.lanes.get_mut(letters)) {
            letters = counted(lane, metrics, |lane, metrics| {
                letters.into_iter().for_each(|letter| lane.push(letter, now, metrics));
                lane.take_dead_letters(now, metrics)
            });
        }
        let lines = |letter: &Event| dead_letter::lines(&letter.id, &letter.message, max_line_bytes);
        let wanted = letters.iter().filter(|_| self.log_dead_letters);
        wanted.flat_map(lines).collect()
    }

    /// Whether so much is dead that it should not wait for the next tick.
    pub fn has_many_dead_letters(&self) -> bool {
        self.lanes.iter().map(Lane::dead_bytes).sum::<usize>() > MAX_DEAD_BYTES
    }

    /// The lines of what is queued or in flight, for the case that the process ends now; it stays queued and in flight.
    pub fn undelivered_lines(&self, max_line_bytes: usize) -> impl Iterator<Item = String> + '_ {
        let lanes = self.lanes.iter().filter(|_| self.log_dead_letters);
        lanes.flat_map(move |lane| lane.undelivered_lines(max_line_bytes))
    }

    /// What the operator should read, since the last time. Of several targets each notice names its own.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let several = self.lanes.len() > 1;
        let notices = self.lanes.iter_mut().flat_map(|lane| {
            let notices = lane.take_notices(now);
            let name = lane.target().protocol.name();
            let named = |Notice { level, text }| Notice { level, text: format!("{name}: {text}") };
            if several {
                notices.into_iter().map(named).collect()
            } else {
                notices
            }
        });
        notices.collect()
    }
}

/// Lets a lane work, and counts what it does as what it carries.
fn counted<T>(lane: &mut Lane, metrics: &mut Metrics, work: impl FnOnce(&mut Lane, &mut Metrics) -> T) -> T {
    match lane.cargo() {
        Cargo::Events => work(lane, metrics),
        Cargo::Letters => metrics.of_letters(|metrics| work(lane, metrics)),
    }
}

/// A UUID of version 7 (RFC 9562): unique among all workers, and in the order of time.
fn event_id(now: Timestamp, rng: &mut fastrand::Rng) -> String {
    let mut random = [0; 10];
    rng.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid().to_string()
}

#[cfg(test)]
mod tests;
