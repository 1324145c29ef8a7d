//! The publishing wing of one worker: from an exchange to an event in the outbox of its target,
//! from the dead letters of all outboxes to where those go, and whose turn it is to call. Does no
//! I/O, and signs nothing by itself.

pub(crate) mod attribute;
pub(crate) mod body_rule;
pub(crate) mod condition;
pub mod dead_letter;
pub(crate) mod kept_body;
mod letter_budget;
pub(crate) mod message_template;
pub(crate) mod needs;
mod orphans;
pub(crate) mod outbox;
#[cfg(not(target_arch = "wasm32"))]
pub mod preview;
pub(crate) mod queue;
mod record;
pub mod route;
pub(crate) mod sample;
mod sender;
mod trace;

use std::rc::Rc;
use std::time::Duration;

use crate::aws::retry::Retry;
use crate::aws::signer::Signer;
use crate::aws::target::Target;
use crate::callout::{Callout, Limits, Reply};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::exchange::redact::Redact;
use crate::exchange::Exchange;
use crate::lookup;
use crate::metrics::{Backlog, Metric, Updates};
use crate::notice::Notice;
use dead_letter::DeadLetterSettings;
use kept_body::BodyRoom;
use letter_budget::LetterBudget;
use orphans::Orphans;
use outbox::settings::{Batch, Bounds};
use outbox::{BatchId, Release, Ticket, Wait};
use queue::Store;
use record::Recorder;
use route::Route;
use sender::{Cargo, Sender, SenderSettings};

/// Bytes of dead letters beyond which they do not wait for the next tick: they are not within
/// `queue.max_bytes`.
const MAX_DEAD_BYTES: usize = 1 << 20;

/// Names a call of the publishing wing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishCall {
    /// Position of the sender whose call it is.
    sender: usize,
    batch: BatchId,
}

/// Everything that a publisher obeys.
#[derive(Clone, Debug)]
pub(crate) struct PublisherSettings {
    /// Where events go; a route names its target by the position in here.
    pub(crate) targets: Vec<Target>,
    /// Where dead letters go.
    pub(crate) dead_letter: DeadLetterSettings,
    /// Headers and query parameters that events must not show, beside the built-in list.
    pub(crate) redact: Redact,
    /// Bytes of bodies of exchanges that are not over.
    pub(crate) max_kept_body_bytes: usize,
    /// How events are packed into calls.
    pub(crate) batch: Batch,
    /// Bounds of the queue of each target.
    pub(crate) bounds: Bounds,
    /// When an attempt that failed is made again.
    pub(crate) retry: Retry,
    /// How long a call may take, and how long a response waits for its event.
    pub(crate) timeout: Duration,
    /// Limits that the host sets to calls.
    pub(crate) limits: Limits,
}

/// Publishes what exchanges become; the routes are not in here, because nothing that happens
/// changes them.
pub struct Publisher {
    /// One for each target, in the order of the settings.
    senders: Vec<Sender>,
    /// Position of the sender that carries dead letters, if they go to a queue.
    letters: Option<usize>,
    /// Events whose target nobody has, where workers share a store.
    orphans: Option<Orphans>,
    /// Position of the sender that is asked first.
    turn: usize,
    /// True if dead letters are written to the log.
    log_dead_letters: bool,
    /// Room for them there.
    letter_budget: LetterBudget,
    /// The word that their lines bear.
    letter_mark: String,
    recorder: Recorder,
    /// Room for bodies of exchanges that are not over.
    body_room: Rc<BodyRoom>,
    /// Events that got a letter since the last visit because this worker ends; `None` while it
    /// goes on.
    ended: Option<u64>,
    /// Responses that did not wait for their events, although their routes want it, since the last
    /// visit.
    unheld: u64,
    rng: fastrand::Rng,
}

impl Publisher {
    /// Creates a publisher, whose queues are in `store`, or in memory where there is none. `seed`
    /// makes the ids of its events and its retries differ from those of other workers.
    pub(crate) fn new(settings: PublisherSettings, store: Option<&Rc<dyn Store>>, seed: u64) -> Publisher {
        let PublisherSettings {
            targets,
            dead_letter,
            redact,
            max_kept_body_bytes,
            batch,
            bounds,
            retry,
            timeout,
            limits,
        } = settings;
        let yields = targets.len() > limits.at_once;
        let settings = SenderSettings { batch, bounds, retry, timeout, limits, yields };
        let mut rng = fastrand::Rng::with_seed(seed);
        let letters = dead_letter.target;
        let sender = |(position, target): (usize, Target)| {
            let cargo = if Some(position) == letters { Cargo::Letters } else { Cargo::Events };
            Sender::new(target, cargo, settings, store, rng.u64(..))
        };
        Publisher {
            senders: targets.into_iter().enumerate().map(sender).collect(),
            letters,
            orphans: store.map(|store| Orphans::new(Rc::clone(store), seed)),
            turn: 0,
            log_dead_letters: dead_letter.log,
            letter_budget: LetterBudget::new(),
            letter_mark: dead_letter.mark,
            recorder: Recorder::new(redact),
            body_room: Rc::new(BodyRoom::new(max_kept_body_bytes)),
            ended: None,
            unheld: 0,
            rng,
        }
    }

    /// Makes an exchange that matched `route` an event and queues it.
    pub fn accept(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp) {
        let has_ended = self.has_ended();
        let Some((sender, event, size)) = self.event(exchange, route, now) else { return };
        if has_ended {
            sender.outbox.bury_at_end(event);
            self.count_ended(1);
        } else {
            sender.outbox.push(event, size, now);
        }
    }

    /// Notes that the host ends this worker and lets it send no more: what is not delivered gets
    /// its letter with [`Publisher::write_undelivered`], and each event to come at once.
    pub(crate) fn end(&mut self) {
        self.ended = self.ended.or(Some(0));
    }

    /// Returns true if the host has ended this worker.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    fn count_ended(&mut self, events: usize) {
        if let Some(count) = &mut self.ended {
            *count += u64::try_from(events).unwrap_or(u64::MAX);
        }
    }

    /// Makes an exchange whose response waits for the event an event, and queues it. How the
    /// response goes on may be known at once. Returns false if there is no event to wait for.
    pub(crate) fn accept_awaited(&mut self, exchange: Exchange<'_>, route: &Route, wait: Wait, now: Timestamp) -> bool {
        let Some((sender, event, size)) = self.event(exchange, route, now) else { return false };
        sender.outbox.push_awaited(event, size, wait, now);
        true
    }

    /// Returns the event of an exchange with its bytes, and the sender that it goes to; `None` if
    /// it is not in the route's sample.
    fn event(&mut self, exchange: Exchange<'_>, route: &Route, now: Timestamp) -> Option<(&mut Sender, Event, usize)> {
        let sender = self.senders.get_mut(route.target)?;
        let id = event_id(now, &mut self.rng);
        if !route.sample.has(&id) {
            return None;
        }
        sender.note_match();
        let protocol = sender.target().protocol.as_ref();
        let (event, size) = self.recorder.event(exchange, route, protocol, sender.max_event_bytes(), id, now);
        Some((sender, event, size))
    }

    /// Returns the room for bodies of exchanges that are not over.
    pub(crate) fn body_room(&self) -> Rc<BodyRoom> {
        Rc::clone(&self.body_room)
    }

    /// Counts a response that went to its client and should have waited for its event.
    pub(crate) fn note_unheld(&mut self) {
        self.unheld += 1;
    }

    /// Returns the name of the target that the events of a route go to.
    pub(crate) fn target_of(&self, route: &Route) -> &str {
        self.senders.get(route.target).map_or("", |sender| sender.target().protocol.name())
    }

    /// Returns how a response goes on that waits, once that is known.
    pub(crate) fn take_release(&mut self, ticket: Ticket) -> Option<Release> {
        self.senders.iter_mut().find_map(|sender| sender.outbox.take_release(ticket))
    }

    /// Returns responses of which it is known how they go on, so many at most; the rest stays.
    pub(crate) fn take_releases(&mut self, most: usize) -> Vec<(Ticket, Release)> {
        let mut releases = Vec::new();
        for sender in &mut self.senders {
            releases.extend(sender.outbox.take_releases(most - releases.len()));
        }
        releases
    }

    /// Returns true if a response has not been taken of which it is known how it goes on.
    pub(crate) fn has_releases(&self) -> bool {
        self.senders.iter().any(|sender| sender.outbox.has_releases())
    }

    /// Forgets a response whose client has left.
    pub(crate) fn forget_response(&mut self, ticket: Ticket) {
        self.senders.iter_mut().for_each(|sender| sender.outbox.forget_response(ticket));
    }

    /// Returns the next call to make, if one is due, where calls of others leave room for
    /// `at_once`. Its reply is owed to [`Publisher::handle_reply`], also when the host could not
    /// start it.
    ///
    /// A sender whose calls are signed with credentials waits until there are some. Senders take
    /// turns. One with a call under way leaves one for every sender that has none, so
    /// that a service that is down, whose calls may hang until their timeout, does not stop the
    /// others.
    pub(crate) fn poll(&mut self, signer: &Signer, at_once: usize, now: Timestamp) -> Option<(PublishCall, Callout)> {
        let (in_flight, has_credentials) = (self.in_flight(), signer.is_ready(now));
        let without_call = self.senders.iter().filter(|sender| sender.outbox.in_flight() == 0).count();
        for _ in 0..self.senders.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.senders.len();
            let Some(sender) = self.senders.get_mut(turn) else { continue };
            let busy = sender.outbox.in_flight() > 0;
            let room = if busy { at_once.saturating_sub(without_call) } else { at_once };
            if in_flight >= room || !has_credentials && sender.needs_credentials() {
                sender.outbox.tend(now);
            } else if let Some((batch, callout)) = sender.poll(signer, now) {
                return Some((PublishCall { sender: turn, batch }, callout));
            }
        }
        None
    }

    /// Does what time alone asks for, also while nothing may be sent.
    pub(crate) fn tend(&mut self, now: Timestamp) {
        self.senders.iter_mut().for_each(|sender| sender.outbox.tend(now));
    }

    /// Looks at which worker sends what is queued, and takes over where none does. Call it at each
    /// tick.
    pub(crate) fn tend_queues(&mut self, now: Timestamp) {
        self.senders.iter_mut().for_each(|sender| sender.outbox.tend_queue(now));
        if let Some(orphans) = &mut self.orphans {
            orphans.tend(self.senders.iter().map(|sender| sender.outbox.queue()), now);
        }
    }

    /// Leaves what is queued to other workers, where there are any: the host wants to stop this
    /// one.
    pub(crate) fn leave(&mut self, now: Timestamp) {
        self.senders.iter_mut().for_each(|sender| sender.outbox.leave(now));
        self.orphans.iter_mut().for_each(|orphans| orphans.leave(now));
    }

    /// Returns true if nothing is lost when this worker ends.
    pub(crate) fn is_done(&self) -> bool {
        self.senders.iter().all(|sender| sender.outbox.is_done())
    }

    /// Handles the reply to a call; ignored after its deadline, when the call counts as lost.
    pub(crate) fn handle_reply(&mut self, call: PublishCall, reply: &Reply, signer: &mut Signer, now: Timestamp) {
        if let Some(sender) = self.senders.get_mut(call.sender) {
            sender.handle_reply(call.batch, reply, signer, now);
        }
    }

    /// Returns true if the reply to a call is still awaited.
    pub(crate) fn awaits(&self, call: PublishCall) -> bool {
        self.senders.get(call.sender).is_some_and(|sender| sender.outbox.is_in_flight(call.batch))
    }

    /// Returns how many calls are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.senders.iter().map(|sender| sender.outbox.in_flight()).sum()
    }

    /// Returns how many events are queued or in flight.
    pub fn queued(&self) -> usize {
        self.backlog().entries
    }

    /// Returns how many events are queued or in flight that need credentials.
    pub(crate) fn waiting_for_credentials(&self) -> usize {
        let waiting = self.senders.iter().filter(|sender| sender.needs_credentials());
        waiting.map(|sender| sender.outbox.backlog().entries).sum()
    }

    /// Returns true if nothing is queued or in flight that this worker sends, or could help with.
    pub(crate) fn has_nothing_to_send(&self) -> bool {
        let Backlog { entries, oldest, .. } = self.backlog();
        entries == 0 && oldest.is_none() && !self.senders.iter().any(|sender| sender.outbox.may_help())
    }

    /// Returns true if this worker neither sends what others append, nor is about to, nor could
    /// help.
    pub(crate) fn sends_for_nobody(&self) -> bool {
        let may_send = |sender: &Sender| sender.outbox.queue().may_send() || sender.outbox.may_help();
        self.orphans.as_ref().is_none_or(|orphans| orphans.backlog() == 0) && !self.senders.iter().any(may_send)
    }

    /// Returns true if what is queued fills a call, for this worker to make or to help with.
    pub(crate) fn has_full_batch(&self) -> bool {
        self.senders.iter().any(|sender| sender.outbox.has_full_batch() || sender.outbox.may_help())
    }

    fn backlog(&self) -> Backlog {
        let orphans = Backlog { entries: self.orphans.as_ref().map_or(0, Orphans::backlog), ..Backlog::default() };
        self.senders.iter().map(|sender| sender.outbox.backlog()).fold(orphans, |sum, backlog| Backlog {
            entries: sum.entries + backlog.entries,
            bytes: sum.bytes + backlog.bytes,
            oldest: [sum.oldest, backlog.oldest].into_iter().flatten().min(),
        })
    }

    /// Sends the dead letters since the last time to their queue. Returns the others, which have no
    /// queue or were not taken by it, as far as there is room, each as lines of at most
    /// `max_line_bytes` for the log; nothing where the configuration wants no lines.
    pub(crate) fn take_dead_letter_lines(&mut self, max_line_bytes: usize, now: Timestamp) -> Vec<String> {
        let of_events = self.senders.iter_mut().filter(|sender| sender.cargo() == Cargo::Events);
        let mut letters: Vec<_> = of_events.flat_map(|sender| sender.take_dead_letters(now)).collect();
        letters.extend(self.orphans.iter_mut().flat_map(|orphans| orphans.take_letters(now)));
        let letters_sender = self.letters.filter(|_| self.ended.is_none());
        if let Some(sender) = letters_sender.and_then(|letters| self.senders.get_mut(letters)) {
            letters.into_iter().for_each(|letter| sender.push_letter(letter, now));
            letters = sender.take_dead_letters(now);
        }
        let lines = |letter: &Event| dead_letter::lines(&self.letter_mark, &letter.id, &letter.message, max_line_bytes);
        let budget = &mut self.letter_budget;
        let wanted = letters.iter().filter(|letter| self.log_dead_letters && budget.admits(letter, now));
        wanted.flat_map(lines).collect()
    }

    /// Returns true if so much is dead that it should not wait for the next tick.
    pub(crate) fn has_many_dead_letters(&self) -> bool {
        self.senders.iter().map(|sender| sender.outbox.dead_bytes()).sum::<usize>() > MAX_DEAD_BYTES
    }

    /// Has the log lines written of what is queued or in flight, in case the process ends now; it
    /// stays queued and in flight. Returns how many events that are, and how many lines.
    pub(crate) fn write_undelivered(&mut self, max_line_bytes: usize, mut write: impl FnMut(&str)) -> (usize, usize) {
        let (mut events, mut lines) = (0, 0);
        for sender in &mut self.senders {
            for (id, json) in sender.undelivered() {
                events += 1;
                if self.log_dead_letters {
                    for line in dead_letter::lines(&self.letter_mark, &id, &json, max_line_bytes) {
                        write(&line);
                        lines += 1;
                    }
                }
            }
        }
        self.count_ended(events);
        (events, lines)
    }

    /// Iterates over the targets as metrics name them.
    pub fn metric_targets(&self) -> impl Iterator<Item = Rc<str>> + '_ {
        self.senders.iter().map(|sender| Rc::clone(sender.metric_target()))
    }

    /// Reports what was counted since the last visit, and the gauges, which are sums that workers
    /// add to or are not.
    pub(crate) fn visit_metrics(&mut self, sums_gauges: bool, now: Timestamp, updates: &mut Updates) {
        updates.add(Metric::ResponsesUnheld, std::mem::take(&mut self.unheld));
        updates.add(Metric::EventsDroppedShutdown, self.ended.as_mut().map_or(0, std::mem::take));
        self.letter_budget.visit_metrics(updates);
        self.body_room.visit_metrics(updates);
        updates.add(Metric::AttributesLeftOut, self.recorder.take_left_out());
        self.senders.iter_mut().for_each(|sender| sender.visit_metrics(sums_gauges, now, updates));
        if let Some(orphans) = &mut self.orphans {
            orphans.visit_metrics(sums_gauges, now, updates);
        }
        updates.of(None);
    }

    /// Returns what the operator should read, since the last time. Of several targets each notice
    /// names its own.
    pub(crate) fn take_notices(&mut self, now: Timestamp) -> Vec<Notice> {
        let several = self.senders.len() > 1;
        let mut notices = self.orphans.as_mut().map_or(Vec::new(), Orphans::take_notices);
        notices.extend(self.letter_budget.take_notice(now));
        for sender in &mut self.senders {
            let name = sender.target().protocol.name().to_owned();
            for Notice { level, text } in sender.outbox.take_notices(&name, now) {
                let text = if several && !lookup::contains(&text, &name) { format!("{name}: {text}") } else { text };
                notices.push(Notice { level, text });
            }
        }
        notices
    }
}

/// Makes a UUID of version 7 (RFC 9562): unique among all workers, and in the order of time.
fn event_id(now: Timestamp, rng: &mut fastrand::Rng) -> String {
    let mut random = [0; 10];
    rng.fill(&mut random);
    let uuid = uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid();
    uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned()
}

#[cfg(test)]
mod tests;
