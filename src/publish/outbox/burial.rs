//! The end of entries: off the books, and into a dead letter where they are dropped. Writes none.

use super::row::{Queued, Row, RowSource};
use super::Outbox;
use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::dead_letter::{DeadLetter, DropReason};
use crate::publish::queue::{Claim, EntryEnd, Holding};

/// Events that expire in one callback, at most: each becomes a dead letter.
const EXPIRED_AT_ONCE: usize = 256;

/// A dead letter that nobody has taken yet, and its entry, which stays in the queue until then.
pub(super) struct Buried {
    pub(super) letter: DeadLetter,
    pub(super) entry: Option<Queued>,
}

impl Outbox {
    /// Takes an entry off the books that is neither queued nor in flight any more.
    #[inline(never)]
    fn release(&mut self, entry: &Row) {
        match (entry.source, &mut self.spare) {
            (RowSource::Spare, Some(spare)) => spare.release(entry.bytes()),
            (RowSource::Spare, None) => {}
            _ => self.queue.release(entry.bytes()),
        }
    }

    /// Notes that this worker has an entry no more that it had taken out of its index.
    pub(super) fn left(&mut self, entry: &mut Row) {
        self.index.settled(entry);
        if entry.aside.is_some() {
            self.refusal.ended();
        }
    }

    /// Removes an entry that has ended from its queue. Returns false if another worker has taken it
    /// from this one, which stood still, and answers for it.
    #[inline(never)]
    fn remove(&mut self, entry: &Row, verdict: EntryEnd) -> bool {
        let was_there = match (entry.source, &mut self.spare) {
            (RowSource::Spare, Some(spare)) => spare.remove(entry.place, entry.version, false, verdict),
            (RowSource::Spare, None) => true,
            _ => self.queue.remove(entry.place, entry.version, entry.watched, verdict),
        };
        if was_there {
            return true;
        }
        let is_taken = entry.source == RowSource::Own && self.queue.is_lasting();
        if !is_taken {
            self.queue.not_kept();
        }
        !is_taken
    }

    /// Ends an entry that this worker has no more to do with.
    #[inline(never)]
    pub(super) fn ended(&mut self, entry: &mut Row, verdict: EntryEnd) {
        self.left(entry);
        if self.remove(entry, verdict) {
            self.release(entry);
        }
    }

    /// Reads the event of an entry that this worker has claimed.
    #[inline(never)]
    fn read(&self, entry: &Row) -> Option<Event> {
        match (entry.source, &self.spare) {
            (RowSource::Spare, spare) => spare.as_ref()?.read(entry.place),
            _ => self.queue.read(entry.place),
        }
    }

    /// Returns true if another worker has taken an entry from this one, which stood still.
    #[inline(never)]
    fn is_taken(&self, entry: &Row) -> bool {
        entry.source == RowSource::Own && matches!(self.queue.holding(entry.place), Holding::Elsewhere(_))
    }

    /// Takes note that others have ended an entry.
    #[inline(never)]
    pub(super) fn gone(&mut self, mut row: Queued) {
        self.left(&mut row);
        self.queue.forget(row.place.position);
        self.fail_response(row.ticket);
    }

    /// Drops an entry that this worker has claimed. `event` is read if it is not at hand.
    #[inline(never)]
    pub(super) fn dropped(
        &mut self,
        mut entry: Queued,
        event: Option<Event>,
        reason: DropReason,
        failure: Option<&Failure>,
    ) {
        if event.is_none() && self.is_taken(&entry) {
            // That one answers for it, and this one still keeps its event where the store may not.
            self.left(&mut entry);
            return self.fail_response(entry.ticket);
        }
        let Some(event) = event.or_else(|| self.read(&entry)) else {
            self.ended(&mut entry, EntryEnd::Dropped);
            return self.fail_response(entry.ticket);
        };
        self.left(&mut entry);
        self.release(&entry);
        self.bury(event, Some(entry), reason, failure);
    }

    #[inline(never)]
    pub(super) fn bury(&mut self, event: Event, entry: Option<Queued>, reason: DropReason, failure: Option<&Failure>) {
        self.fail_response(entry.as_ref().and_then(|entry| entry.ticket));
        self.drops.record(reason, &event.id, failure);
        self.dead_bytes += event.message.len();
        let letter = DeadLetter { event, reason, failure: failure.cloned() };
        self.dead_letters.push(Buried { letter, entry });
    }

    /// Takes an event that nobody will send, because this worker ends: it is a letter at once.
    pub(crate) fn bury_at_end(&mut self, event: Event) {
        self.bury(event, None, DropReason::Shutdown, None);
    }

    /// Returns the refusal that holds an entry, which is set aside for one or is not.
    pub(super) fn refusal_of(&self, is_aside: bool) -> Option<&Failure> {
        self.refusal.last().filter(|_| is_aside || self.circuit.is_refused())
    }

    #[inline(never)]
    pub(super) fn drop_expired(&mut self, now: Timestamp) {
        let max_age = self.settings.bounds.max_age;
        for _ in 0..EXPIRED_AT_ONCE {
            let is_expired = |oldest: &Row| now.since(oldest.queued_at) >= max_age;
            if !self.index.oldest().is_some_and(is_expired) {
                return;
            }
            let Some(mut entry) = self.index.pop_oldest() else { return };
            let refusal = self.refusal_of(entry.aside.is_some()).cloned();
            match self.claim(&mut entry) {
                Claim::Own(claimed) => {
                    self.dropped(entry, Some(claimed.event), DropReason::Expired, refusal.as_ref());
                }
                Claim::Elsewhere(version) if entry.source != RowSource::Own => {
                    self.leave_to_another(entry, version, now);
                }
                Claim::Elsewhere(_) | Claim::Gone => self.gone(entry),
            }
        }
    }

    /// Hands out the events dropped since the last time; from now on the caller answers for them,
    /// and the queue keeps them no more. They are not within the bounds of the queue, so take them
    /// soon.
    #[inline(never)]
    pub(crate) fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        self.dead_bytes = 0;
        let buried = std::mem::take(&mut self.dead_letters);
        let handed_out = buried.into_iter().map(|Buried { letter, entry }| {
            if let Some(entry) = entry {
                self.remove(&entry, EntryEnd::Dropped);
            }
            letter
        });
        handed_out.collect()
    }

    /// Returns the bytes of the events that [`Outbox::take_dead_letters`] would give.
    pub(crate) fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }
}
