//! Orphans: events in the queue of a target that no worker has any more, because the configuration
//! has another one, or another region or dead-letter queue. Takes them over, and makes each a dead
//! letter. Never sends anything, and leaves a target alone that some worker has had in the last
//! minute.

use std::collections::VecDeque;
use std::rc::Rc;

use super::dead_letter::{Address, DeadLetter, DropReason};
use super::queue::directory::Directory;
use super::queue::{Amount, Claim, Claimed, EntryEnd, FoundEntry, Store, TargetQueue, Tenure, SWEEP_INTERVAL};
use crate::aws::target::short_name;
use crate::clock::{SteadyClock, Timestamp};
use crate::event::Event;
use crate::metrics::{Backlog, BacklogGauges, Metric, Updates};
use crate::notice::{Level, Notice};

/// Stands for the service in the names of a queue whose events are dead letters already.
pub(crate) const LETTERS: &str = "dead-letters";

/// Events, and bytes of their messages, that become letters in one callback: each is a line of the
/// log.
const LETTERS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 1 << 20;

/// A target that nobody has.
struct Orphan {
    queue: TargetQueue,
    /// The target, as metrics name it.
    metric_target: Rc<str>,
    /// Events that became letters since the last visit.
    dropped: u64,
    gauges: BacklogGauges,
    /// Entries that are not read yet.
    found: VecDeque<FoundEntry>,
    /// Entries that were read, and become letters in the same tick.
    read: Vec<(FoundEntry, Claimed)>,
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
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Claims the targets of this worker's own queues, and takes over some of what is left of those
    /// that nobody has.
    #[inline(never)]
    pub(crate) fn tend<'a>(&mut self, own: impl Iterator<Item = &'a TargetQueue> + Clone, now: Timestamp) {
        let steady = self.clock.at(now);
        if steady >= self.next_sweep {
            self.next_sweep = steady + SWEEP_INTERVAL;
            self.sweep(own, steady);
        }
        for Orphan { queue, found, .. } in &mut self.targets {
            let begun = matches!(queue.tend(steady, now), Tenure::Begun { .. });
            if begun && queue.amount().entries > 0 {
                let count = queue.amount().entries;
                let name = parts(queue.name()).map_or("", |[.., name]| name).to_owned();
                let text = format!(
                    "{count} event(s) of a worker that is gone are taken over, but no configuration has {name} any \
                     more: they become dead letters"
                );
                queue.note(Level::Error, text);
            }
            if queue.is_handing_over() {
                // Its target has come back.
                found.clear();
                queue.hand_over(steady);
            }
            found.extend(queue.discover(steady, now));
        }
        self.read(LETTERS_AT_ONCE);
    }

    #[inline(never)]
    fn sweep<'a>(&mut self, own: impl Iterator<Item = &'a TargetQueue> + Clone, steady: Timestamp) {
        let adopts = self.adopts;
        self.directory.sweep(|name| adopts && own.clone().any(|queue| queue.name() == name));
        // A worker that stood still, or that is draining, may find its target gone.
        let unlisted = own.filter(|queue| queue.holds_entries() && !self.directory.has(queue.name()));
        unlisted.for_each(|queue| self.directory.list(queue.name()));
        for Orphan { queue, .. } in self.targets.iter_mut().filter(|orphan| orphan.is_over()) {
            self.directory.strike(queue.name());
        }
        for mut orphan in std::mem::take(&mut self.targets) {
            let is_unclaimed = self.directory.unclaimed().any(|name| name == orphan.queue.name());
            if is_unclaimed || orphan.queue.has_inherited() || !orphan.read.is_empty() || !orphan.gauges.is_clear() {
                self.targets.push(orphan);
            } else {
                orphan.queue.hand_over(steady);
            }
        }
        for name in self.directory.unclaimed().filter(|_| adopts) {
            let Some(names @ [_, _, region, target]) = parts(name) else { continue };
            if !self.targets.iter().any(|orphan| orphan.queue.name() == name) {
                let store = Rc::clone(&self.store);
                let queue = TargetQueue::new(store, names, Amount::default(), false, self.rng.u64(..)).of_last_resort();
                self.targets.push(Orphan {
                    queue,
                    metric_target: short_name(region, target).into(),
                    dropped: 0,
                    gauges: BacklogGauges::default(),
                    found: VecDeque::new(),
                    read: Vec::new(),
                });
            }
        }
    }

    /// Reads so many events at most, and a megabyte of them at most.
    #[inline(never)]
    fn read(&mut self, most: usize) {
        let (mut count, mut bytes) = (0, 0);
        for Orphan { queue, found, read, .. } in &mut self.targets {
            while count < most && bytes < BYTES_AT_ONCE {
                let Some(next) = found.pop_front() else { break };
                if let Claim::Own(claimed) = queue.claim(next.place, next.elsewhere) {
                    count += 1;
                    bytes += claimed.event.message.len();
                    read.push((next, claimed));
                } else {
                    queue.forget(next.place.position);
                }
            }
        }
    }

    /// Begins with no further target, and reads all of what was begun with.
    #[inline(never)]
    pub(crate) fn leave(&mut self, now: Timestamp) {
        self.adopts = false;
        let steady = self.clock.at(now);
        for Orphan { queue, found, .. } in &mut self.targets {
            found.extend(queue.discover_inherited(steady, now));
        }
        while self.targets.iter().any(|orphan| !orphan.found.is_empty()) {
            self.read(usize::MAX);
        }
    }

    /// Hands out the letters of what was read; from now on the caller answers for them.
    #[inline(never)]
    pub(crate) fn take_letters(&mut self, now: Timestamp) -> Vec<Event> {
        let mut letters = Vec::new();
        let steady = self.clock.at(now);
        for Orphan { queue, read, dropped, .. } in &mut self.targets {
            for (found, Claimed { event, version, watched, .. }) in std::mem::take(read) {
                queue.release(found.size);
                if !queue.remove(found.place, version, watched, EntryEnd::Dropped) {
                    queue.not_kept();
                }
                match parts(queue.name()) {
                    Some([key, service, region, name]) if service != LETTERS => {
                        *dropped += 1;
                        let letter = DeadLetter { event, reason: DropReason::Orphaned, failure: None };
                        letters.push(letter.into_event(Address { key, name, region }, now));
                    }
                    _ => letters.push(event),
                }
            }
            queue.flush(steady);
        }
        letters
    }

    /// Returns how many events are known and have no letter yet.
    pub(crate) fn backlog(&self) -> usize {
        self.targets.iter().map(Orphan::count).sum()
    }

    /// Reports what was counted since the last visit. Where gauges are sums, leases note what this
    /// worker has added to them.
    #[inline(never)]
    pub(crate) fn visit_metrics(&mut self, sums_gauges: bool, now: Timestamp, updates: &mut Updates) {
        for orphan in &mut self.targets {
            updates.of(Some(&orphan.metric_target));
            updates.add(Metric::EventsDroppedOrphaned, std::mem::take(&mut orphan.dropped));
            updates.add(Metric::JournalFailures, orphan.queue.take_failures());
            orphan.gauges.inherit(orphan.queue.take_inherited());
            let backlog = Backlog { entries: orphan.count(), ..Backlog::default() };
            if sums_gauges {
                orphan.queue.note_reported(backlog, now);
            }
            orphan.gauges.visit(backlog, false, now, updates);
        }
    }

    /// Returns what the operator should read, since the last time.
    #[inline(never)]
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        self.targets.iter_mut().flat_map(|orphan| orphan.queue.take_notices()).collect()
    }
}

impl Orphan {
    #[inline(never)]
    fn count(&self) -> usize {
        match self.queue.is_sender() {
            true => usize::try_from(self.queue.amount().entries).unwrap_or(usize::MAX),
            false => 0,
        }
    }

    fn is_over(&self) -> bool {
        self.queue.is_deserted() && self.read.is_empty() && !self.queue.has_inherited()
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
