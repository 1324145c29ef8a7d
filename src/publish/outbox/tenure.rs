//! The change of hands: how a worker becomes the sender of a queue and stops to be it, and what it
//! owes before the end. The queue says which worker it is.

use super::row::{self, RowSource};
use super::{rows, Outbox, Usage};
use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::Level;
use crate::publish::dead_letter::{DeadLetter, DropReason};
use crate::publish::queue::{TargetQueue, Tenure};

impl Outbox {
    /// Looks at who sends, and at what this worker watches for. Call it at each tick.
    #[inline(never)]
    pub(crate) fn tend_queue(&mut self, now: Timestamp) {
        // A look at the clock at each tick, also while nothing is sent.
        let steady = self.clock.at(now);
        let tenure = self.queue.tend(steady, now);
        self.change(tenure);
        self.look_elsewhere(steady);
        self.see_verdicts(steady, now);
        self.help(steady, now);
        if self.queue.is_handing_over() && !self.has_queue_in_hand() {
            self.hand_over(steady);
        }
    }

    /// Looks at who sends, if this worker may have stood still. Call it before a reply counts.
    #[inline(never)]
    pub(super) fn check_lease(&mut self, steady: Timestamp, now: Timestamp) {
        let tenure = self.queue.check_lease(steady, now);
        self.change(tenure);
    }

    #[inline(never)]
    fn change(&mut self, tenure: Tenure) {
        match tenure {
            Tenure::Same => {}
            Tenure::Begun { of_one_that_is_gone } => {
                self.adopts = of_one_that_is_gone;
                let count = self.queue.amount().entries;
                if of_one_that_is_gone && count > 0 {
                    let text = format!("{count} event(s) of a worker that is gone are taken over");
                    self.queue.note(Level::Info, text);
                }
            }
            Tenure::Ended => self.lose_queue(),
        }
    }

    /// Forgets what another worker sends from now on. What is this worker's own goes on.
    #[cold]
    fn lose_queue(&mut self) {
        let of_queue = |row: &row::Queued| row.source == RowSource::Queue;
        let (lost, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.entries.iter().any(of_queue));
        self.flights = kept;
        let (lost, own): (Vec<_>, Vec<_>) = lost.into_iter().flat_map(|flight| flight.entries).partition(of_queue);
        own.into_iter().for_each(|row| self.index.put_back(row));
        if !lost.is_empty() {
            let count = lost.len();
            let text = format!("this worker was suspended, and another one sends now: {count} event(s) may come twice");
            self.queue.note(Level::Warn, text);
        }
        self.index.forget_queue();
    }

    /// Returns true if entries of the queue are in flight or have a letter that nobody has taken:
    /// to a successor they would be free.
    #[inline(never)]
    fn has_queue_in_hand(&self) -> bool {
        let buried = self.dead_letters.iter().filter_map(|buried| buried.entry.as_ref());
        rows(&self.flights).chain(buried).any(|row| row.source == RowSource::Queue)
    }

    #[inline(never)]
    fn hand_over(&mut self, steady: Timestamp) {
        self.queue.hand_over(steady);
        self.index.forget_queue();
    }

    /// Returns true if a batch may begin: the order of what there is is known, and nobody else is
    /// about to send.
    pub(super) fn may_begin(&self) -> bool {
        !self.queue.is_handing_over() && (!self.settings.ordered || self.queue.is_caught_up())
    }

    /// Brings the queue's cursors up to date.
    #[inline(never)]
    pub(super) fn flush(&mut self, steady: Timestamp) {
        self.queue.tell_down(self.circuit.is_open());
        self.queue.flush(steady);
        self.spare.iter_mut().for_each(|spare| spare.flush(steady));
        self.watermark.see(self.held(), &self.settings.bounds);
    }

    /// Sends on only for as long as nobody else does: the host wants to stop this worker.
    #[inline(never)]
    pub(crate) fn leave(&mut self, now: Timestamp) {
        let steady = self.clock.at(now);
        self.check_lease(steady, now);
        let tenure = self.queue.leave(steady);
        self.change(tenure);
        if self.queue.is_shared() && self.queue.is_sender() && !self.has_queue_in_hand() {
            self.find_new(steady, now);
            self.flush(steady);
            if self.queue.is_deserted() {
                self.hand_over(steady);
            }
        }
    }

    /// Returns true if nothing is lost when this worker ends.
    #[inline(never)]
    pub(crate) fn is_done(&self) -> bool {
        let Usage { entries, .. } = self.held();
        entries == 0
            && self.flights.is_empty()
            && self.index.is_empty()
            && self.dead_letters.is_empty()
            && !self.queue.is_watching()
            && !self.queue.awaits_heir()
    }

    /// Returns the letters of the events that have not come to their end and have none yet, in case
    /// the process ends now: of all of the queue, where this worker sends and so answers for it.
    pub(crate) fn undelivered(&mut self) -> Box<dyn Iterator<Item = DeadLetter> + '_> {
        let of_queue = self.queue.letters_from().map_or(Vec::new(), |from| self.queue.places_from(from));
        let of_spare = self.spare.as_mut().map_or(Vec::new(), |spare| spare.places_from(0));
        let of_queue = of_queue.into_iter().map(|place| (place, RowSource::Queue));
        let all = of_queue.chain(of_spare.into_iter().map(|place| (place, RowSource::Spare)));
        Box::new(all.filter_map(|(place, source)| {
            let queue = if source == RowSource::Spare { self.spare.as_ref()? } else { &self.queue };
            let event = queue.read(place)?;
            let failure = self.obstacle(row::sequence(place.order, source)).cloned();
            Some(DeadLetter { event, reason: DropReason::Shutdown, failure })
        }))
    }

    /// Returns what keeps an entry from being delivered, as far as the target has said it: the
    /// refusal that holds it, or the last failure while the target takes nothing.
    fn obstacle(&self, sequence: u64) -> Option<&Failure> {
        let is_it = |row: &&row::Queued| row::sequence(row.place.order, row.source) == sequence;
        let flying = || rows(&self.flights).find(is_it);
        // A worker with nothing aside has nothing to look for.
        let is_aside =
            self.refusal.stands() && (self.index.is_aside(sequence) || flying().is_some_and(|row| row.aside.is_some()));
        self.refusal_of(is_aside).or_else(|| self.health.failure())
    }

    /// Returns the queue.
    pub(crate) fn queue(&self) -> &TargetQueue {
        &self.queue
    }

    /// Writes down what the host's gauges are about to say of this queue, so that a worker that
    /// takes it over can take that back.
    pub(crate) fn note_reported(&mut self, now: Timestamp) {
        let backlog = self.backlog();
        self.queue.note_reported(backlog, now);
    }

    /// Takes what other workers have told the gauges of events that are now this worker's to send,
    /// in entries and bytes.
    pub(crate) fn take_inherited(&mut self) -> (i64, i64) {
        self.queue.take_inherited()
    }
}
