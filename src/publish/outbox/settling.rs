//! What the outcomes of a call mean for its events and for its service: which events are done,
//! which are tried again and when, and which are dropped. Never sends anything.

use std::time::Duration;

use super::row::{Queued, Row, RowSource};
use super::{BatchId, Flight, Outbox};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry;
use crate::clock::Timestamp;
use crate::publish::dead_letter::DropReason;
use crate::publish::queue::EntryEnd;

/// Throttled calls in a row that are worth a line in the log: fewer are how a worker finds its
/// share of what AWS gives. Who throttles in the place of AWS is worth one at once.
const THROTTLED_FOR_LONG: u32 = 5;

/// Time after a call of which some was taken, and some was not, in which a call has one entry of a
/// group at most.
const CAUTION: Duration = Duration::from_secs(60);

impl Outbox {
    /// Settles a batch: `outcomes` has one for each event, in order, and `retry_after` is the time
    /// that the service wants to be left alone for, where it said so. A batch that is not in flight
    /// any more is ignored: its deadline has passed, and its events are queued again.
    #[inline(never)]
    pub(crate) fn settle(
        &mut self,
        id: BatchId,
        outcomes: Vec<Outcome>,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) {
        let steady = self.clock.at(now);
        self.check_lease(steady, now);
        if let Some(retry_after) = retry_after.filter(|_| self.is_in_flight(id)) {
            self.circuit.hold(steady + retry_after);
        }
        self.settle_at(id, outcomes, steady);
    }

    #[inline(never)]
    fn settle_at(&mut self, id: BatchId, outcomes: Vec<Outcome>, now: Timestamp) {
        let Some(position) = self.flights.iter().position(|flight| flight.id == id) else { return };
        let flight = self.flights.swap_remove(position);
        let split = refused_as_one(&outcomes);
        let (aside, mended) = self.see_aside(&flight, &outcomes);
        // Events that failed together wait together, so that they are one batch again and not one
        // call for each.
        let jitter = self.rng.u32(0..=1_000);
        // What others have lent to this worker goes back to the sender, which says how that went.
        let tells = !flight.entries.iter().all(|entry| self.only_helps_with(entry));
        if !aside {
            self.judge(&outcomes, jitter, flight.since, tells, now);
        }
        if mended {
            self.refusal.hurry();
            self.index.wake_all();
        }
        let again = Again {
            jitter,
            aside_until: self.note_refusal(&flight, &outcomes, split || !tells, jitter, now),
            taken_before: self.taken_calls,
        };
        self.taken_calls = self.taken_calls.saturating_add(u32::from(outcomes.contains(&Outcome::Delivered)));
        self.see_partial_failure(&outcomes, now);
        for (entry, outcome) in flight.entries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered => self.delivered(entry, now),
                Outcome::Failed(_) if split => self.split_off(entry, now),
                Outcome::Failed(failure) => self.failed(entry, &failure, &again, now),
            }
        }
        if self.circuit.is_open() {
            self.release_waiting(now);
        }
        self.flush(now);
    }

    /// Sends one entry of each group in a call for a while, if some of a call were taken and others
    /// were not.
    fn see_partial_failure(&mut self, outcomes: &[Outcome], now: Timestamp) {
        let passes = |outcome: &Outcome| failure(outcome).is_some_and(|failure| is_passing(failure.class));
        if outcomes.contains(&Outcome::Delivered) && outcomes.iter().any(passes) {
            self.index.be_cautious(now + CAUTION);
        }
    }

    /// Compares the outcomes of a call with what was set aside of its entries. Returns whether that
    /// leaves the target out of it, because it has taken others since it first refused these; and
    /// whether it takes again what it had refused.
    #[inline(never)]
    fn see_aside(&self, flight: &Flight, outcomes: &[Outcome]) -> (bool, bool) {
        let known = |entry: &Queued| entry.aside.is_some_and(|before| before < self.taken_calls);
        let refused = outcomes.iter().all(|outcome| refusal(outcome).is_some());
        let known = refused && flight.entries.iter().all(known);
        let mut pairs = flight.entries.iter().zip(outcomes);
        (known, pairs.any(|(entry, outcome)| entry.aside.is_some() && *outcome == Outcome::Delivered))
    }

    /// Notes if entries of a call were refused for what somebody has to mend, unless others are to
    /// say so: `passes_on`. Returns until when they are set aside.
    #[inline(never)]
    fn note_refusal(
        &mut self,
        flight: &Flight,
        outcomes: &[Outcome],
        passes_on: bool,
        jitter: u32,
        now: Timestamp,
    ) -> Timestamp {
        let Some(failure) = outcomes.iter().find_map(refusal) else { return now };
        self.counts.refused_calls += 1;
        if passes_on {
            return now;
        }
        let attempts = flight.entries.iter().map(|entry| entry.attempts).min().unwrap_or_default();
        self.refusal.refused(failure, retry::held(attempts, jitter), now)
    }

    /// Keeps an entry that was refused for what may not be in it.
    #[inline(never)]
    fn set_aside(&mut self, mut entry: Queued, again: &Again) {
        match entry.aside {
            None => self.refusal.set_aside(),
            // The target takes others: if it is this one after all, no other suffers for it.
            Some(taken_before) => entry.alone |= taken_before < again.taken_before,
        }
        entry.aside.get_or_insert(again.taken_before);
        entry.attempts += 1;
        self.retry(entry, again.aside_until);
    }

    /// Tells the circuit what the outcomes of a call say of the service: one that takes an event,
    /// or refuses one for good, works. The log has it, if this worker `tells`.
    #[inline(never)]
    fn judge(&mut self, outcomes: &[Outcome], jitter: u32, begun: Timestamp, tells: bool, now: Timestamp) {
        let denied = outcomes.iter().find_map(refusal).filter(|failure| failure.class == FailureClass::Denied);
        let failure = denied.or_else(|| outcomes.iter().find_map(failure));
        let works = |outcome: &Outcome| match outcome {
            Outcome::Delivered => true,
            Outcome::Failed(failure) => denied.is_none() && !is_passing(failure.class),
        };
        match failure {
            Some(failure) if !outcomes.iter().any(works) => {
                if failure.class == FailureClass::Throttled {
                    self.throttled(failure, jitter, begun, tells, now);
                } else {
                    self.circuit.failed(failure.class, jitter, now);
                }
                if self.settings.yields {
                    self.circuit.hold(now + now.since(begun));
                }
                if self.circuit.is_open() {
                    self.pace.begin();
                    if tells && !self.circuit.is_refused() {
                        self.health.failed(failure, now);
                    }
                    // From now on the circuit says when to try again, not the entries.
                    self.index.wake_the_others();
                }
            }
            _ => {
                let refused = self.circuit.is_refused();
                let closed = self.circuit.succeeded(now).is_some();
                self.pace.taken(self.settings.max_in_flight, now);
                if closed || !self.pace.is_limited() || self.index.oldest().is_none() {
                    self.health.recovered(now);
                }
                if refused {
                    self.refusal.hurry();
                    self.index.wake_all();
                }
            }
        }
    }

    /// Slows down before a service that throttles; it is not down.
    fn throttled(&mut self, failure: &Failure, jitter: u32, begun: Timestamp, tells: bool, now: Timestamp) {
        self.circuit.answered(now);
        let in_a_row = self.pace.throttled(begun, jitter, now);
        if tells && (in_a_row >= THROTTLED_FOR_LONG || failure.is_unworded()) {
            self.health.failed(failure, now);
        }
    }

    #[inline(never)]
    fn delivered(&mut self, mut entry: Queued, now: Timestamp) {
        self.ended(&mut entry, EntryEnd::Delivered);
        if let Some(ticket) = entry.ticket {
            self.waits.acknowledged(ticket);
        }
        self.counts.acknowledged += 1;
        self.counts.delivery_millis.push(now.millis_since(entry.queued_at));
    }

    /// Has an entry tried alone, at once: its batch was refused as a whole, and the fault may be
    /// another entry's.
    fn split_off(&mut self, mut entry: Queued, now: Timestamp) {
        if entry.withdrawn {
            return self.dropped(entry, None, DropReason::Withdrawn, None);
        }
        entry.alone = true;
        self.retry(entry, now);
    }

    #[inline(never)]
    fn failed(&mut self, mut entry: Queued, failure: &Failure, again: &Again, now: Timestamp) {
        let reason = match failure.class {
            FailureClass::BatchTooLarge | FailureClass::EntryTooLarge => DropReason::TooLarge,
            FailureClass::Permanent => DropReason::Refused,
            _ if entry.withdrawn => DropReason::Withdrawn,
            FailureClass::Denied | FailureClass::Unclear => return self.set_aside(entry, again),
            FailureClass::Transient | FailureClass::Throttled | FailureClass::Credentials | FailureClass::Clock => {
                let delay = retry::delay(&self.settings.retry, failure.class, entry.attempts, again.jitter);
                entry.attempts += 1;
                let paced = failure.class == FailureClass::Throttled && self.pace.is_limited();
                let delay = if self.circuit.is_open() || paced { Duration::ZERO } else { delay };
                return self.retry(entry, now + delay);
            }
        };
        self.dropped(entry, None, reason, Some(failure));
    }

    /// Returns true if an entry is the sender's, and goes back to it if a try fails.
    fn only_helps_with(&self, entry: &Row) -> bool {
        entry.source == RowSource::Own && entry.ticket.is_none() && !self.queue.is_sender()
    }

    fn retry(&mut self, mut entry: Queued, not_before: Timestamp) {
        self.counts.retried += 1;
        if self.only_helps_with(&entry) {
            self.left(&mut entry);
            return self.queue.give_back(entry.place);
        }
        entry.not_before = not_before;
        self.index.put_back(entry);
    }

    #[inline(never)]
    pub(super) fn give_up_lost_flights(&mut self, now: Timestamp) {
        while let Some(flight) = self.flights.iter().find(|flight| flight.deadline <= now) {
            let (id, count) = (flight.id, flight.entries.len());
            let lost = Failure::new(FailureClass::Transient, "NoReply", "no reply before the deadline");
            self.counts.lost_calls += 1;
            self.settle_at(id, vec![Outcome::Failed(lost); count], now);
        }
    }
}

/// How entries of one call are tried again.
struct Again {
    /// Thousandths of the longest delay.
    jitter: u32,
    /// The next try of those set aside.
    aside_until: Timestamp,
    /// Calls of which the target had taken something before this one.
    taken_before: u32,
}

fn failure(outcome: &Outcome) -> Option<&Failure> {
    match outcome {
        Outcome::Failed(failure) => Some(failure),
        Outcome::Delivered => None,
    }
}

/// Returns the failure of an entry that is held for it.
fn refusal(outcome: &Outcome) -> Option<&Failure> {
    failure(outcome).filter(|failure| failure.class.is_held())
}

/// Returns true if another try may not meet the failure.
fn is_passing(class: FailureClass) -> bool {
    match class {
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Credentials
        | FailureClass::Clock
        | FailureClass::Denied
        | FailureClass::Unclear => true,
        FailureClass::BatchTooLarge | FailureClass::EntryTooLarge | FailureClass::Permanent => false,
    }
}

/// Returns true if a batch of several was refused as a whole, for what may be the fault of one of
/// its entries.
fn refused_as_one(outcomes: &[Outcome]) -> bool {
    let mut classes =
        outcomes.iter().map(|outcome| failure(outcome).map(|failure| (failure.class, failure.code.as_str())));
    let Some(Some((class, code))) = classes.next() else { return false };
    outcomes.len() > 1 && class.may_be_another_s() && classes.all(|other| other == Some((class, code)))
}
