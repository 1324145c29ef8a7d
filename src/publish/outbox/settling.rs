//! What the outcomes of a call mean for its events and for its service: which events are done,
//! which are tried again and when, and which are dropped. Never sends anything.

use std::time::Duration;

use super::queue::Queued;
use super::{BatchId, Outbox};
use crate::aws::error::{Failure, FailureClass, Outcome};
use crate::aws::retry;
use crate::clock::Timestamp;
use crate::publish::dead_letter::DropReason;

impl Outbox {
    /// Settles a batch: `outcomes` has one for each event, in order, and `retry_after` is the time
    /// that the service wants to be left alone for, where it said so. A batch that is not in flight
    /// any more is ignored: its deadline has passed, and its events are queued again.
    pub(crate) fn settle(
        &mut self,
        id: BatchId,
        outcomes: Vec<Outcome>,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) {
        let steady = self.clock.at(now);
        if let Some(retry_after) = retry_after.filter(|_| self.is_in_flight(id)) {
            self.circuit.hold(steady + retry_after);
        }
        self.settle_at(id, outcomes, steady);
    }

    fn settle_at(&mut self, id: BatchId, outcomes: Vec<Outcome>, now: Timestamp) {
        let Some(position) = self.flights.iter().position(|flight| flight.id == id) else { return };
        let flight = self.flights.swap_remove(position);
        let split = refused_as_one(&outcomes);
        // Events that failed together wait together, so that they are one batch again and not one
        // call for each.
        let jitter = self.rng.u32(0..=1_000);
        let took = now.since(flight.since);
        self.judge(&outcomes, jitter, took, now);
        for (entry, outcome) in flight.entries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered => self.delivered(entry, now),
                Outcome::Failed(_) if split => self.split_off(entry, now),
                Outcome::Failed(failure) => self.failed(entry, &failure, jitter, now),
            }
        }
        if self.circuit.is_open() {
            self.release_waiting();
        }
        self.watermark.see(self.held, &self.settings.bounds);
    }

    /// Tells the circuit what the outcomes of a call say of the service: one that takes an event,
    /// or refuses one for good, works.
    fn judge(&mut self, outcomes: &[Outcome], jitter: u32, took: Duration, now: Timestamp) {
        let failure = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Delivered => None,
        });
        let works = |outcome: &Outcome| match outcome {
            Outcome::Delivered => true,
            Outcome::Failed(failure) => !is_passing(failure.class),
        };
        match failure {
            Some(failure) if !outcomes.iter().any(works) => {
                self.circuit.failed(failure.class, jitter, now);
                if self.settings.yields {
                    self.circuit.hold(now + took);
                }
                if self.circuit.is_open() {
                    self.health.failed(failure, now);
                    // From now on the circuit says when to try again, not the entries.
                    self.queue.wake_all();
                }
            }
            _ => {
                if self.circuit.succeeded(now).is_some() {
                    self.health.recovered(now);
                }
            }
        }
    }

    fn delivered(&mut self, mut entry: Queued, now: Timestamp) {
        self.ended(&mut entry);
        self.clear(entry.slot);
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
            return self.dropped(entry, DropReason::Withdrawn, None);
        }
        entry.alone = true;
        self.retry(entry, now);
    }

    fn failed(&mut self, mut entry: Queued, failure: &Failure, jitter: u32, now: Timestamp) {
        let reason = match failure.class {
            FailureClass::BatchTooLarge | FailureClass::EntryTooLarge => DropReason::TooLarge,
            FailureClass::Permanent => DropReason::Refused,
            _ if entry.withdrawn => DropReason::Withdrawn,
            FailureClass::Transient | FailureClass::Throttled | FailureClass::Credentials | FailureClass::Clock => {
                let delay = retry::delay(&self.settings.retry, failure.class, entry.attempts, jitter);
                entry.attempts += 1;
                let delay = if self.circuit.is_open() { Duration::ZERO } else { delay };
                return self.retry(entry, now + delay);
            }
        };
        self.dropped(entry, reason, Some(failure));
    }

    fn retry(&mut self, mut entry: Queued, not_before: Timestamp) {
        self.counts.retried += 1;
        entry.not_before = not_before;
        self.queue.put_back(entry);
    }

    pub(super) fn give_up_lost_flights(&mut self, now: Timestamp) {
        while let Some(flight) = self.flights.iter().find(|flight| flight.deadline <= now) {
            let (id, count) = (flight.id, flight.entries.len());
            let lost = Failure::new(FailureClass::Transient, "NoReply", "no reply before the deadline");
            self.counts.lost_calls += 1;
            self.settle_at(id, vec![Outcome::Failed(lost); count], now);
        }
    }
}

/// Returns true if another try may not meet the failure.
fn is_passing(class: FailureClass) -> bool {
    match class {
        FailureClass::Transient | FailureClass::Throttled | FailureClass::Credentials | FailureClass::Clock => true,
        FailureClass::BatchTooLarge | FailureClass::EntryTooLarge | FailureClass::Permanent => false,
    }
}

/// Returns true if a batch of several was refused as a whole, for what may be the fault of one of
/// its entries.
fn refused_as_one(outcomes: &[Outcome]) -> bool {
    let mut classes = outcomes.iter().map(|outcome| match outcome {
        Outcome::Failed(failure) => Some((failure.class, failure.code.as_str())),
        Outcome::Delivered => None,
    });
    let Some(Some((class, code))) = classes.next() else { return false };
    outcomes.len() > 1
        && matches!(class, FailureClass::Permanent | FailureClass::BatchTooLarge | FailureClass::EntryTooLarge)
        && classes.all(|other| other == Some((class, code)))
}
