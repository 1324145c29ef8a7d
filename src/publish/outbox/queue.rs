//! Entries of an outbox that are not in flight, in the order they came: ready to be sent, or
//! waiting for another attempt. Those that responses wait for go first. Knows nothing of why an
//! attempt failed.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::journal::Slot;

use super::awaited::Awaited;
use super::groups::MessageGroups;
use super::waits::Ticket;

/// Ready entries that an ordered queue looks at for one batch, so that a long queue costs no more
/// than a short one. Beyond them, entries of free groups wait for those of busy groups before them.
const ORDERED_SCAN: usize = 1_000;

/// Entries that responses wait for of which a queue looks at for one batch: those before them may
/// be in flight, or wait for another attempt.
const AWAITED_SCAN: usize = 1_000;

/// Batches in a row in which entries that responses wait for may overtake others. Of ten batches
/// one goes by age, so that nothing waits for ever, however many responses wait.
const OVERTAKING_BATCHES: u32 = 9;

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
    /// The groups, if order matters: an entry in flight or waiting is not overtaken by its group.
    groups: Option<MessageGroups>,
    awaited: Awaited,
    /// Batches in a row in which entries have overtaken others.
    overtaking: u32,
    next_sequence: u64,
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
            groups: ordered.then(MessageGroups::default),
            awaited: Awaited::default(),
            overtaking: 0,
            next_sequence: 0,
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
        if let Some(ticket) = entry.ticket {
            self.awaited.add(ticket, entry.sequence);
        }
        self.make_ready(entry);
    }

    /// Lets the entry that a response waited for go like any other.
    pub(super) fn await_no_longer(&mut self, ticket: Ticket) {
        self.awaited.remove(ticket);
    }

    /// Takes out the entry that a response waits for, if it is here. The caller gives it to
    /// [`Queue::settled`].
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Queued> {
        let sequence = self.awaited.remove(ticket)?;
        if let Some(position) = position(&self.ready, sequence) {
            return self.take_ready(position);
        }
        self.waiting.remove(position(&self.waiting, sequence)?)
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
                self.make_ready(entry);
            } else {
                self.next_wake = earlier(self.next_wake, entry.not_before);
                self.waiting.push_back(entry);
            }
        }
    }

    /// Takes the next batch out of what is ready, if a response waits for one of its entries, if it
    /// is full, or if `is_due` says of its oldest entry that it has waited for others long enough.
    /// The caller gives each entry to [`Queue::put_back`] or [`Queue::settled`].
    pub(super) fn take_batch(&mut self, limits: BatchLimits, is_due: impl Fn(&Entry) -> bool) -> Option<Vec<Queued>> {
        let ahead = self.ahead(limits.entries);
        let by_age = if ahead.is_empty() || self.overtaking >= OVERTAKING_BATCHES {
            self.due_by_age(limits, is_due)
        } else {
            None
        };
        let positions = match by_age {
            Some(positions) => positions,
            None if ahead.is_empty() => return None,
            None => self.choose(limits, &ahead).0,
        };
        let overtakes = positions.last().is_some_and(|last| *last >= positions.len());
        self.overtaking = if ahead.is_empty() || !overtakes { 0 } else { self.overtaking.saturating_add(1) };
        let from_the_back = positions.into_iter().rev();
        let mut batch: Vec<_> = from_the_back.filter_map(|position| self.take_for_batch(position)).collect();
        batch.reverse();
        Some(batch)
    }

    /// Returns the positions of the entries that are to be sent before all others, so many at most:
    /// those that responses wait for, and where order matters, those before them in their groups.
    #[inline(never)]
    fn ahead(&self, most: usize) -> Vec<usize> {
        let mut ahead = Vec::new();
        for sequence in self.awaited.sequences().take(AWAITED_SCAN) {
            let Some(position) = self.first_of_its_group(sequence).filter(|position| !ahead.contains(position)) else {
                continue;
            };
            ahead.push(position);
            if ahead.len() >= most {
                break;
            }
        }
        ahead
    }

    /// Returns the position of the ready entry with this sequence, or where order matters, of the
    /// one that its group sends next.
    fn first_of_its_group(&self, sequence: u64) -> Option<usize> {
        let own = position(&self.ready, sequence)?;
        match (&self.groups, self.ready.get(own)?.event.group_id.as_deref()) {
            (Some(groups), Some(group)) => position(&self.ready, groups.next(group)?),
            _ => Some(own),
        }
    }

    /// Returns the positions of the next batch by age alone, if it is due.
    fn due_by_age(&self, limits: BatchLimits, is_due: impl Fn(&Entry) -> bool) -> Option<Vec<usize>> {
        let (positions, full) = self.choose(limits, &[]);
        let oldest = positions.first().and_then(|position| self.ready.get(*position))?;
        (full || oldest.attempts > 0 || is_due(oldest)).then_some(positions)
    }

    /// Returns the positions of the entries of the next batch, in order, and whether it is full.
    /// Those at `ahead` are the first that have a place in it.
    #[inline(never)]
    fn choose(&self, limits: BatchLimits, ahead: &[usize]) -> (Vec<usize>, bool) {
        let mut positions = Vec::with_capacity(limits.entries);
        let mut bytes = 0;
        let scan = if self.groups.is_some() { ORDERED_SCAN } else { limits.entries + ahead.len() };
        let others = (0..self.ready.len().min(scan)).filter(|position| !ahead.contains(position));
        for position in ahead.iter().copied().chain(others) {
            let Some(entry) = self.ready.get(position).filter(|entry| self.may_go(entry)) else { continue };
            if !positions.is_empty() && (bytes + entry.size > limits.bytes || entry.alone) {
                return (positions, true);
            }
            // They are a few: a sort is 3 KB of code.
            positions.insert(positions.partition_point(|earlier| *earlier < position), position);
            bytes += entry.size;
            if positions.len() >= limits.entries || entry.alone {
                return (positions, true);
            }
        }
        (positions, false)
    }

    /// Returns true if a ready entry overtakes none of its group.
    fn may_go(&self, entry: &Entry) -> bool {
        match (&self.groups, entry.event.group_id.as_deref()) {
            (Some(groups), Some(group)) => groups.next(group) == Some(entry.sequence),
            _ => true,
        }
    }

    /// Takes a ready entry out, which keeps its group busy from now on.
    fn take_for_batch(&mut self, position: usize) -> Option<Queued> {
        let entry = self.ready.get_mut(position)?;
        if let (Some(groups), Some(group)) = (&mut self.groups, entry.event.group_id.as_deref()) {
            groups.set_busy(group, true);
            entry.holds_group = true;
        }
        self.take_ready(position)
    }

    #[inline(never)]
    fn take_ready(&mut self, position: usize) -> Option<Queued> {
        let entry = self.ready.remove(position)?;
        if let (Some(groups), Some(group)) = (&mut self.groups, entry.event.group_id.as_deref()) {
            groups.remove(group, entry.sequence);
        }
        Some(entry)
    }

    #[inline(never)]
    fn make_ready(&mut self, entry: Queued) {
        if let (Some(groups), Some(group)) = (&mut self.groups, entry.event.group_id.as_deref()) {
            groups.add(group, entry.sequence);
        }
        insert(&mut self.ready, entry);
    }

    /// Lets an entry of a batch wait for another attempt, until its `not_before`.
    pub(super) fn put_back(&mut self, entry: Queued) {
        self.next_wake = earlier(self.next_wake, entry.not_before);
        insert(&mut self.waiting, entry);
    }

    /// Takes note that an entry that was taken out will not come back.
    pub(super) fn settled(&mut self, entry: &mut Entry) {
        self.free_group_of(entry);
        if let Some(ticket) = entry.ticket {
            self.awaited.remove(ticket);
        }
    }

    /// Takes out the entry that came first. The caller gives it to [`Queue::settled`].
    pub(super) fn pop_oldest(&mut self) -> Option<Queued> {
        let sequence = self.oldest()?.sequence;
        if self.ready.front().is_some_and(|entry| entry.sequence == sequence) {
            return self.take_ready(0);
        }
        self.waiting.pop_front()
    }

    #[inline(never)]
    fn free_group_of(&mut self, entry: &mut Entry) {
        let held = std::mem::take(&mut entry.holds_group);
        if let (Some(groups), Some(group), true) = (&mut self.groups, entry.event.group_id.as_deref(), held) {
            groups.set_busy(group, false);
        }
    }
}

fn earlier(time: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(time.map_or(other, |time| time.min(other)))
}

/// Inserts an entry where it belongs in the order.
fn insert(line: &mut Line, entry: Queued) {
    if line.back().is_none_or(|last| last.sequence < entry.sequence) {
        return line.push_back(entry);
    }
    let position = line.partition_point(|other| other.sequence < entry.sequence);
    line.insert(position, entry);
}

/// Returns the position of the entry with this sequence.
#[inline(never)]
fn position(line: &Line, sequence: u64) -> Option<usize> {
    line.binary_search_by_key(&sequence, |entry| entry.sequence).ok()
}
