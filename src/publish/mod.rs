//! The publish path of one worker: from an exchange to an event in the sender of its target, from the dead letters of all senders to
//! where those go, and among the senders, whose turn it is to call. Does no I/O, and signs nothing by itself.

pub mod dead_letter;
pub mod journal;
pub mod outbox;
pub mod record;
pub mod route;
pub mod sender;

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
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::record::Recorder;
use crate::publish::route::Route;
use crate::publish::sender::{Cargo, Sender};

/// More bytes of dead letters than this do not wait for the next tick: they are beside what `queue.max_bytes` bounds.
const MAX_DEAD_BYTES: usize = 1 << 20;

/// Names a batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishCall {
    sender: usize,
    batch: outbox::BatchId,
}

/// Everything that a worker needs to publish, but for the routes, which are not changed by anything that happens.
pub struct Publisher {
    /// One for each target, in the order of the configuration.
    senders: Vec<Sender>,
    /// The one that carries dead letters, if they go to a queue.
    letters: Option<usize>,
    /// The sender that is asked first.
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
        let sender = |(position, target): (usize, &Target)| {
            let cargo = if Some(position) == letters { Cargo::Letters } else { Cargo::Events };
            Sender::new(target.clone(), cargo, config, limits, store, rng.u64(..))
        };
        Publisher {
            senders: config.targets.iter().enumerate().map(sender).collect(),
            letters,
            turn: 0,
            log_dead_letters: config.dead_letter.log,
            recorder: Recorder::new(config.redact.clone()),
            rng,
        }
    }

    /// Makes an exchange that matched `route` an event and queues it.
    pub fn accept(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp, metrics: &mut Metrics) {
        if let Some((sender, event)) = self.event(exchange, route, now, metrics) {
            sender.push(event, now, metrics);
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
        if let Some((sender, event)) = self.event(exchange, route, now, metrics) {
            sender.push_awaited(event, wait, now, metrics);
        }
    }

    /// The event of an exchange, and the sender that it goes to.
    fn event(
        &mut self,
        exchange: Exchange<'_>,
        route: &Route,
        now: Timestamp,
        metrics: &mut Metrics,
    ) -> Option<(&mut Sender, Event)> {
        let sender = self.senders.get_mut(route.target)?;
        metrics.add(Metric::EventsMatched, 1);
        let id = event_id(now, &mut self.rng);
        let protocol = sender.target().protocol.as_ref();
        let event = self.recorder.event(exchange, route, protocol, sender.max_event_bytes(), id, now);
        Some((sender, event))
    }

    /// What is to be done with a response that waits, once that is known.
    pub fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.senders.iter_mut().find_map(|sender| sender.take_release(ticket))
    }

    /// What is to be done with every response of which it is known.
    pub fn take_releases(&mut self) -> Vec<(Ticket, Release)> {
        self.senders.iter_mut().flat_map(Sender::take_releases).collect()
    }

    /// A response that waits is gone.
    pub fn forget_response(&mut self, ticket: Ticket) {
        self.senders.iter_mut().for_each(|sender| sender.forget_response(ticket));
    }

    /// The next call to make, if one is due, where calls of others leave room for `at_once`. Its reply is owed to
    /// [`Publisher::handle_reply`], also when the host could not start it.
    ///
    /// Senders take turns. A sender with a call under way leaves one for every sender that has none, so that a service that is down,
    /// whose calls may hang until their timeout, does not stop the others.
    pub fn poll(
        &mut self,
        signer: &Signer,
        at_once: usize,
        now: Timestamp,
        metrics: &mut Metrics,
    ) -> Option<(PublishCall, Callout)> {
        let in_flight = self.in_flight();
        let without_call = self.senders.iter().filter(|sender| sender.in_flight() == 0).count();
        for _ in 0..self.senders.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.senders.len();
            let Some(sender) = self.senders.get_mut(turn) else { continue };
            let room = if sender.in_flight() == 0 { at_once } else { at_once.saturating_sub(without_call) };
            let call = counted(sender, metrics, |sender, metrics| {
                if in_flight < room {
                    return sender.poll(signer, now, metrics);
                }
                sender.tend(now, metrics);
                None
            });
            if let Some((batch, callout)) = call {
                return Some((PublishCall { sender: turn, batch }, callout));
            }
        }
        None
    }

    fn each_sender(&mut self, metrics: &mut Metrics, work: impl Fn(&mut Sender, &mut Metrics)) {
        self.senders.iter_mut().for_each(|sender| counted(sender, metrics, &work));
    }

    /// What is to be done as time passes, also while nothing may be sent.
    pub fn tend(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.each_sender(metrics, |sender, metrics| sender.tend(now, metrics));
    }

    /// Keeps the journals, at each tick.
    pub fn tend_journal(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.each_sender(metrics, |sender, metrics| sender.tend_journal(now, metrics));
    }

    /// Takes on nothing more of others.
    pub fn stop_adopting(&mut self, now: Timestamp, metrics: &mut Metrics) {
        self.each_sender(metrics, |sender, metrics| sender.stop_adopting(now, metrics));
    }

    /// Writes down what the gauges are about to be told.
    pub fn note_reported(&mut self) {
        self.senders.iter_mut().for_each(Sender::note_reported);
    }

    /// Says what came of a batch; ignored after its deadline, when it counts as lost.
    pub fn handle_reply(
        &mut self,
        PublishCall { sender, batch }: PublishCall,
        reply: &Reply,
        signer: &mut Signer,
        now: Timestamp,
        metrics: &mut Metrics,
    ) {
        if let Some(sender) = self.senders.get_mut(sender) {
            counted(sender, metrics, |sender, metrics| sender.handle_reply(batch, reply, signer, now, metrics));
        }
    }

    /// Whether a batch still waits for what came of it.
    pub fn awaits(&self, PublishCall { sender, batch }: PublishCall) -> bool {
        self.senders.get(sender).is_some_and(|sender| sender.awaits(batch))
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.senders.iter().map(Sender::in_flight).sum()
    }

    /// How much is queued and in flight.
    pub fn backlog(&self) -> Backlog {
        self.senders.iter().map(Sender::backlog).fold(Backlog::default(), |sum, sender| Backlog {
            entries: sum.entries + sender.entries,
            bytes: sum.bytes + sender.bytes,
            oldest: [sum.oldest, sender.oldest].into_iter().flatten().min(),
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
        let of_events = self.senders.iter_mut().filter(|sender| sender.cargo() == Cargo::Events);
        let mut letters: Vec<_> = of_events.flat_map(|sender| sender.take_dead_letters(now, metrics)).collect();
        if let Some(sender) = self.letters.and_then(|letters| self.senders.get_mut(letters)) {
            letters = counted(sender, metrics, |sender, metrics| {
                letters.into_iter().for_each(|letter| sender.push(letter, now, metrics));
                sender.take_dead_letters(now, metrics)
            });
        }
        let lines = |letter: &Event| dead_letter::lines(&letter.id, &letter.message, max_line_bytes);
        let wanted = letters.iter().filter(|_| self.log_dead_letters);
        wanted.flat_map(lines).collect()
    }

    /// Whether so much is dead that it should not wait for the next tick.
    pub fn has_many_dead_letters(&self) -> bool {
        self.senders.iter().map(Sender::dead_bytes).sum::<usize>() > MAX_DEAD_BYTES
    }

    /// The lines of what is queued or in flight, for the case that the process ends now; it stays queued and in flight.
    pub fn undelivered_lines(&self, max_line_bytes: usize) -> impl Iterator<Item = String> + '_ {
        let senders = self.senders.iter().filter(|_| self.log_dead_letters);
        senders.flat_map(move |sender| sender.undelivered_lines(max_line_bytes))
    }

    /// What the operator should read, since the last time. Of several targets each notice names its own.
    pub fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let several = self.senders.len() > 1;
        let notices = self.senders.iter_mut().flat_map(|sender| {
            let notices = sender.take_notices(now);
            let name = sender.target().protocol.name();
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

/// Lets a sender work, and counts what it does as what it carries.
fn counted<T>(sender: &mut Sender, metrics: &mut Metrics, work: impl FnOnce(&mut Sender, &mut Metrics) -> T) -> T {
    match sender.cargo() {
        Cargo::Events => work(sender, metrics),
        Cargo::Letters => metrics.of_letters(|metrics| work(sender, metrics)),
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
