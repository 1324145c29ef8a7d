//! Orphans: events in the journal of a target that no worker has any more, because the
//! configuration has another one, or another region or dead-letter queue. Adopts what workers that
//! are gone have left of them, and makes each a dead letter. Never sends anything, and leaves a
//! target alone that some worker has had in the last minute.

use std::rc::Rc;

use super::dead_letter::{Address, DeadLetter, DropReason};
use super::journal::directory::Directory;
use super::journal::{Journal, Slot, Store, SWEEP_INTERVAL};
use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::{Backlog, BacklogGauges, Metric, Updates};
use crate::notice::{Level, Notice};

/// Stands for the service in the names of a journal whose events are dead letters already.
pub(crate) const LETTERS: &str = "dead-letters";

/// Events, and bytes of their messages, that become letters in one callback: each is a line of the
/// log.
const LETTERS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 1 << 20;

/// A target that nobody has.
struct Orphan {
    journal: Journal,
    /// Events that were read, and become letters in the same tick.
    read: Vec<(Event, Slot)>,
}

/// The targets that nobody has, as one worker sees them.
pub(crate) struct Orphans {
    store: Rc<dyn Store>,
    directory: Directory,
    targets: Vec<Orphan>,
    /// False once the host wants to stop this worker.
    adopts: bool,
    clock: SteadyClock,
    next_sweep: Timestamp,
    /// Events that became letters since the last visit.
    dropped: u64,
    rng: fastrand::Rng,
}

impl Orphans {
    /// Creates a view of a store; `seed` differs from that of other workers.
    pub(crate) fn new(store: Rc<dyn Store>, seed: u64) -> Orphans {
        Orphans {
            directory: Directory::new(Rc::clone(&store)),
            store,
            targets: Vec::new(),
            adopts: true,
            clock: SteadyClock::default(),
            next_sweep: Timestamp(0),
            dropped: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Claims the targets of this worker's own journals, and adopts some of what is left of those
    /// that nobody has.
    pub(crate) fn tend<'a>(&mut self, own: impl Iterator<Item = &'a Journal> + Clone, now: Timestamp) {
        let steady = self.clock.at(now);
        if steady >= self.next_sweep {
            self.next_sweep = steady + SWEEP_INTERVAL;
            self.sweep(own);
        }
        for orphan in &mut self.targets {
            orphan.journal.tend(now);
        }
        self.read(LETTERS_AT_ONCE);
    }

    fn sweep<'a>(&mut self, own: impl Iterator<Item = &'a Journal> + Clone) {
        let adopts = self.adopts;
        self.directory.sweep(|name| adopts && own.clone().any(|journal| journal.name() == name));
        // A worker that stood still, or that is draining, may find its target gone.
        let unlisted = own.filter(|journal| journal.is_holding() && !self.directory.has(journal.name()));
        unlisted.for_each(|journal| self.directory.list(journal.name()));
        for Orphan { journal, .. } in &mut self.targets {
            if !self.directory.unclaimed().any(|name| name == journal.name()) {
                journal.stop_adopting();
            } else if !journal.is_holding() && journal.is_deserted() {
                self.directory.strike(journal.name());
                journal.stop_adopting();
            }
        }
        self.targets.retain(|orphan| orphan.journal.is_adopting() || orphan.journal.is_holding());
        for name in self.directory.unclaimed().filter(|_| adopts) {
            let Some(names) = parts(name) else { continue };
            if !self.targets.iter().any(|orphan| orphan.journal.name() == name) {
                let journal = Journal::new(Rc::clone(&self.store), names, self.rng.u64(..));
                self.targets.push(Orphan { journal, read: Vec::new() });
            }
        }
    }

    /// Reads so many events at most, and a megabyte of them at most.
    #[inline(never)]
    fn read(&mut self, most: usize) {
        let (mut count, mut bytes) = (0, 0);
        for Orphan { journal, read } in &mut self.targets {
            while count < most && bytes < BYTES_AT_ONCE {
                let Some((event, slot, _)) = journal.next_adopted() else { break };
                count += 1;
                bytes += event.message.len();
                read.push((event, slot));
            }
        }
    }

    /// Begins with no further segment, and reads all of what was begun with.
    pub(crate) fn stop_adopting(&mut self) {
        self.adopts = false;
        self.targets.iter_mut().for_each(|orphan| orphan.journal.stop_adopting());
        while self.targets.iter().any(|orphan| orphan.journal.is_reading()) {
            self.read(usize::MAX);
        }
    }

    /// Hands out the letters of what was read; from now on the caller answers for them.
    pub(crate) fn take_letters(&mut self, now: Timestamp) -> Vec<Event> {
        let mut letters = Vec::new();
        for Orphan { journal, read } in &mut self.targets {
            for (event, slot) in std::mem::take(read) {
                journal.clear(slot);
                match parts(journal.name()) {
                    Some([key, service, region, name]) if service != LETTERS => {
                        self.dropped += 1;
                        let letter = DeadLetter { event, reason: DropReason::Orphaned, failure: None };
                        letters.push(letter.into_event(Address { key, name, region }, now));
                    }
                    _ => letters.push(event),
                }
            }
        }
        letters
    }

    /// Returns how many events are known and have no letter yet.
    pub(crate) fn backlog(&self) -> usize {
        self.targets.iter().map(Orphan::count).sum()
    }

    /// Reports what was counted since the last visit. Where gauges are sums, journals note what
    /// this worker has added to them.
    pub(crate) fn visit_metrics(&mut self, sums_gauges: bool, gauges: &mut BacklogGauges, updates: &mut Updates) {
        updates.add(Metric::EventsDroppedOrphaned, std::mem::take(&mut self.dropped));
        for orphan in &mut self.targets {
            updates.add(Metric::JournalFailures, orphan.journal.take_failures());
            gauges.inherit(orphan.journal.take_inherited());
            if sums_gauges {
                let entries = orphan.count();
                orphan.journal.note_reported(Backlog { entries, ..Backlog::default() });
            }
        }
    }

    /// Returns what the operator should read, since the last time.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for Orphan { journal, .. } in &mut self.targets {
            for Notice { level, text } in journal.take_notices() {
                let (name, is_adoption) = (parts(journal.name()).map_or("", |[.., name]| name), level == Level::Info);
                notices.push(match is_adoption {
                    true => Notice {
                        level: Level::Error,
                        text: format!("{text}, but no configuration has {name} any more: they become dead letters"),
                    },
                    false => Notice { level, text },
                });
            }
        }
        notices
    }
}

impl Orphan {
    #[inline(never)]
    fn count(&self) -> usize {
        self.journal.unread() + self.read.len()
    }
}

/// Takes the name of a target apart; `None` if another version has written it.
#[inline(never)]
fn parts(name: &str) -> Option<[&str; 4]> {
    let mut parts = name.splitn(4, '/');
    Some([parts.next()?, parts.next()?, parts.next()?, parts.next()?])
}

#[cfg(test)]
mod tests;
