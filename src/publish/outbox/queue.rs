//! Entries of an outbox that are not in flight, in the order they came: ready to be sent, or
//! waiting for another attempt. Knows nothing of why an attempt failed.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::journal::Slot;

use super::waits::Ticket;

/// Ready entries that an ordered queue looks at for one batch, so that a long queue costs no more
/// than a short one. Beyond them, entries of free groups wait for those of busy groups before them.
const ORDERED_SCAN: usize = 1_000;

/// An event on its way.
#[derive(Debug)]
pub(super) struct Entry {
    /// The event itself.
    pub(super) event: Event,
    /// Its bytes.
    pub(super) size: usize,
    /// When it was queued.
    pub(super) queued_at: Timestamp,
    /// Attempts that have failed.
    pub(super) attempts: u32,
    /// True if it is sent in a batch of its own.
    pub(super) alone: bool,
    /// Where it was refused for what somebody has to mend, the calls that the target had taken
    /// before that. It then waits for its own time, whatever becomes of others.
    pub(super) aside: Option<u64>,
    /// When it may be sent at the earliest.
    pub(super) not_before: Timestamp,
    /// Where it is in the journal.
    pub(super) slot: Option<Slot>,
    /// The response that waits for it.
    pub(super) ticket: Option<Ticket>,
    /// True if its client got a 503 instead of its response: it is not tried again.
    pub(super) withdrawn: bool,
    /// Its position in the order.
    sequence: u64,
    /// True if later entries of its group wait for it.
    holds_group: bool,
}

/// An entry in a box, so that a move between lines and batches is the move of a pointer.
pub(super) type Queued = Box<Entry>;

impl Entry {
    /// Makes an entry that may be sent at once.
    pub(super) fn new(event: Event, size: usize, now: Timestamp) -> Queued {
        Box::new(Entry {
            event,
            size,
            queued_at: now,
            attempts: 0,
            alone: false,
            aside: None,
            not_before: now,
            slot: None,
            ticket: None,
            withdrawn: false,
            sequence: 0,
            holds_group: false,
        })
    }
}

/// Entries in order.
type Line = VecDeque<Queued>;

/// Entries that are not in flight.
#[derive(Debug)]
pub(super) struct Queue {
    ready: Line,
    waiting: Line,
    /// When the first entry stops waiting.
    next_wake: Option<Timestamp>,
    /// Groups with an entry in flight or waiting, whose later entries must not overtake it. Empty
    /// if order does not matter.
    busy_groups: Vec<String>,
    ordered: bool,
    next_sequence: u64,
    /// Entries with a lower sequence do not wait for company.
    due_before: u64,
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// Entries.
    pub(super) entries: usize,
    /// Bytes of all entries.
    pub(super) bytes: usize,
}

impl Queue {
    /// Creates an empty queue; `ordered` if it keeps the order within a group.
    pub(super) fn new(ordered: bool) -> Queue {
        Queue {
            ready: Line::new(),
            waiting: Line::new(),
            next_wake: None,
            busy_groups: Vec::new(),
            ordered,
            next_sequence: 0,
            due_before: 0,
        }
    }

    /// Returns the entry that came first.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        let (ready, waiting) = (self.ready.front(), self.waiting.front());
        ready.into_iter().chain(waiting).min_by_key(|entry| entry.sequence).map(AsRef::as_ref)
    }

    /// Iterates over all entries in the order they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        let (mut ready, mut waiting) = (self.ready.iter().peekable(), self.waiting.iter().peekable());
        std::iter::from_fn(move || match (ready.peek(), waiting.peek()) {
            (Some(one), Some(other)) if other.sequence < one.sequence => waiting.next(),
            (Some(_), _) => ready.next(),
            (None, _) => waiting.next(),
        })
    }

    /// Adds an entry, ready to be sent.
    pub(super) fn push(&mut self, mut entry: Queued) {
        entry.sequence = self.next_sequence;
        self.next_sequence += 1;
        self.ready.push_back(entry);
    }

    /// Lets nothing that is queued by now wait for company.
    pub(super) fn hurry(&mut self) {
        self.due_before = self.next_sequence;
    }

    /// Takes out the entry that a response waits for, if it is here. The caller gives it to
    /// [`Queue::settled`].
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Queued> {
        let place = |line: &Line| line.iter().position(|entry| entry.ticket == Some(ticket));
        if let Some(position) = place(&self.ready) {
            return self.ready.remove(position);
        }
        self.waiting.remove(place(&self.waiting)?)
    }

    /// Makes the entries ready whose time has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        if self.next_wake.is_some_and(|next_wake| next_wake <= now) {
            self.wake_those(|entry| entry.not_before <= now);
        }
    }

    /// Makes all entries ready, however long they were to wait.
    pub(super) fn wake_all(&mut self) {
        self.wake_those(|_| true);
    }

    /// Makes all entries ready but those set aside.
    pub(super) fn wake_the_others(&mut self) {
        self.wake_those(|entry| entry.aside.is_none());
    }

    fn wake_those(&mut self, is_woken: impl Fn(&Entry) -> bool) {
        self.next_wake = None;
        for mut entry in std::mem::take(&mut self.waiting) {
            if is_woken(&entry) {
                self.free_group_of(&mut entry);
                insert(&mut self.ready, entry);
            } else {
                self.next_wake = earlier(self.next_wake, entry.not_before);
                self.waiting.push_back(entry);
            }
        }
    }

    /// Takes the next batch out of what is ready, if it is full, or if `is_due` says of its oldest
    /// entry that it has waited for others long enough. The caller gives each entry to
    /// [`Queue::put_back`] or [`Queue::settled`].
    pub(super) fn take_batch(&mut self, limits: BatchLimits, is_due: impl Fn(&Entry) -> bool) -> Option<Vec<Queued>> {
        let (positions, full) = self.choose(limits);
        let oldest = positions.first().and_then(|position| self.ready.get(*position))?;
        let hurried = oldest.sequence < self.due_before;
        if !full && !hurried && oldest.attempts == 0 && !is_due(oldest) {
            return None;
        }
        let from_the_back = positions.into_iter().rev();
        let mut batch: Vec<_> = from_the_back.filter_map(|position| self.ready.remove(position)).collect();
        batch.reverse();
        if self.ordered {
            self.busy_groups.extend(batch.iter().filter_map(|entry| entry.event.group_id.clone()));
            batch.iter_mut().for_each(|entry| entry.holds_group = true);
        }
        Some(batch)
    }

    /// Returns the positions of the entries of the next batch, and whether it is full.
    fn choose(&self, limits: BatchLimits) -> (Vec<usize>, bool) {
        let mut positions = Vec::with_capacity(limits.entries);
        let mut groups: Vec<&str> = Vec::new();
        let mut bytes = 0;
        let scan = if self.ordered { ORDERED_SCAN } else { limits.entries };
        for (position, entry) in self.ready.iter().enumerate().take(scan) {
            if let Some(group) = entry.event.group_id.as_deref().filter(|_| self.ordered) {
                if groups.contains(&group) || self.busy_groups.iter().any(|busy| busy == group) {
                    continue;
                }
                groups.push(group);
            }
            if !positions.is_empty() && (bytes + entry.size > limits.bytes || entry.alone) {
                return (positions, true);
            }
            positions.push(position);
            bytes += entry.size;
            if positions.len() >= limits.entries || entry.alone {
                return (positions, true);
            }
        }
        (positions, false)
    }

    /// Lets an entry of a batch wait for another attempt, until its `not_before`.
    pub(super) fn put_back(&mut self, entry: Queued) {
        self.next_wake = earlier(self.next_wake, entry.not_before);
        insert(&mut self.waiting, entry);
    }

    /// Frees the group of an entry that was taken out and will not come back.
    pub(super) fn settled(&mut self, entry: &mut Entry) {
        self.free_group_of(entry);
    }

    /// Takes out the entry that came first. The caller gives it to [`Queue::settled`].
    pub(super) fn pop_oldest(&mut self) -> Option<Queued> {
        let sequence = self.oldest()?.sequence;
        if self.ready.front().is_some_and(|entry| entry.sequence == sequence) {
            return self.ready.pop_front();
        }
        self.waiting.pop_front()
    }

    fn free_group_of(&mut self, entry: &mut Entry) {
        if !std::mem::take(&mut entry.holds_group) {
            return;
        }
        let group = entry.event.group_id.as_deref();
        if let Some(position) = self.busy_groups.iter().position(|busy| Some(busy.as_str()) == group) {
            self.busy_groups.swap_remove(position);
        }
    }
}

fn earlier(time: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(time.map_or(other, |time| time.min(other)))
}

/// Inserts an entry where it belongs in the order.
fn insert(line: &mut Line, entry: Queued) {
    let position = line.partition_point(|other| other.sequence < entry.sequence);
    line.insert(position, entry);
}
