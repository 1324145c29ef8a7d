//! Events that other workers left behind in the journal: how many are taken over at a time, and
//! what of their age they keep. Which workers are gone, the journal finds out.

use std::time::Duration;

use super::queue::Entry;
use super::Outbox;
use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::journal::{Journal, Slot};

/// Events, and bytes of them, that are taken over in one callback: the worker has responses to see
/// meanwhile.
const ADOPTED_AT_ONCE: usize = 64;
const ADOPTED_BYTES_AT_ONCE: usize = 1 << 20;

impl Outbox {
    /// Keeps the journal alive, and takes over some of what a worker that is gone has left, as far
    /// as there is room. `size` gives the bytes of an event.
    pub(crate) fn tend_journal(&mut self, now: Timestamp, size: impl Fn(&Event) -> usize) {
        // A look at the clock at each tick, also while nothing is sent.
        self.clock.at(now);
        if let Some(journal) = &mut self.journal {
            journal.tend(now);
        }
        let mut bytes = 0;
        for _ in 0..ADOPTED_AT_ONCE {
            let Some((event, slot, age)) = self.next_adopted() else { break };
            let size = size(&event);
            bytes += size;
            if bytes > ADOPTED_BYTES_AT_ONCE || !self.has_room(size) {
                self.journal.iter_mut().for_each(|journal| journal.put_back(slot));
                break;
            }
            self.adopt(event, size, slot, age, now);
        }
    }

    /// Begins with no further worker that may be gone, and takes over all that was begun with,
    /// whatever room there is.
    pub(crate) fn stop_adopting(&mut self, now: Timestamp, size: impl Fn(&Event) -> usize) {
        self.journal.iter_mut().for_each(Journal::stop_adopting);
        while self.journal.as_ref().is_some_and(Journal::is_reading) {
            let Some((event, slot, age)) = self.next_adopted() else { continue };
            let size = size(&event);
            self.adopt(event, size, slot, age, now);
        }
    }

    fn next_adopted(&mut self) -> Option<(Event, Slot, Duration)> {
        self.journal.as_mut()?.next_adopted()
    }

    /// Queues an event that another worker had accepted, and that is in the journal at `slot`: its
    /// time goes on, without that in which nobody had it.
    fn adopt(&mut self, event: Event, size: usize, slot: Slot, age: Duration, now: Timestamp) {
        self.counts.adopted += 1;
        let now = self.clock.at(now);
        let mut entry = Entry::new(event, size, now);
        entry.queued_at = now.before(age);
        entry.slot = Some(slot);
        self.enqueue(entry);
    }

    /// Returns the journal, if there is one.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Writes down what the host's gauges are about to say of this queue, so that a worker that
    /// takes it over can take that back.
    pub(crate) fn note_reported(&mut self) {
        let backlog = self.backlog();
        if let Some(journal) = &mut self.journal {
            journal.note_reported(backlog);
        }
    }

    /// Takes what other workers have told the gauges of events that are now this queue's, in
    /// entries and bytes.
    pub(crate) fn take_inherited(&mut self) -> (i64, i64) {
        self.journal.as_mut().map_or((0, 0), Journal::take_inherited)
    }
}
