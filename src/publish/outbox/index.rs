//! The index of what an outbox sends: a row for each entry that is not in flight, in the order of
//! the target, ready to be sent or waiting for another attempt. Those that responses wait for go
//! first. Has no event, and knows nothing of why an attempt failed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::publish::queue::EntryPlace;

use super::awaited::Awaited;
use super::groups::MessageGroups;
use super::row::{Queued, Row, RowSource};
use super::settings::BatchLimits;
use super::waits::Ticket;

/// Entries that responses wait for of which a queue looks at for one batch: those before them may
/// be in flight, or wait for another attempt.
const AWAITED_SCAN: usize = 1_000;

/// Batches in a row in which entries that responses wait for may overtake others. Of ten batches
/// one goes by age, so that nothing waits for ever, however many responses wait.
const OVERTAKING_BATCHES: u32 = 9;

/// Entries in order.
type Line = VecDeque<Queued>;

/// Rows of entries that are not in flight.
#[derive(Debug)]
pub(super) struct Index {
    ready: Line,
    waiting: Line,
    /// Entries that other workers have claimed.
    elsewhere: Line,
    /// The next look at those, and the first of them that it has not come to.
    next_look: (Timestamp, u64),
    /// The time when the first entry stops waiting.
    next_wake: Option<Timestamp>,
    /// The groups, if order matters: an entry in flight or waiting is not overtaken by its group.
    groups: Option<MessageGroups>,
    awaited: Awaited,
    /// Batches in a row in which entries have overtaken others.
    overtaking: u32,
    /// Until then a call has one entry of a group at most: one had failed, and a later one had not.
    cautious_until: Timestamp,
}

impl Index {
    /// Creates an empty index; `ordered` if it keeps the order within a group.
    pub(super) fn new(ordered: bool) -> Index {
        Index {
            ready: Line::new(),
            waiting: Line::new(),
            elsewhere: Line::new(),
            next_look: (Timestamp(0), 0),
            next_wake: None,
            groups: ordered.then(MessageGroups::default),
            awaited: Awaited::default(),
            overtaking: 0,
            cautious_until: Timestamp(0),
        }
    }

    /// Returns the entry that came first, of those that no other worker has.
    #[inline(never)]
    pub(super) fn oldest(&self) -> Option<&Row> {
        let (ready, waiting) = (self.ready.front(), self.waiting.front());
        ready.into_iter().chain(waiting).min_by_key(|entry| entry.sequence).map(AsRef::as_ref)
    }

    /// Adds an entry, ready to be sent.
    #[inline(never)]
    pub(super) fn push(&mut self, entry: Queued) {
        if entry.urgent || entry.ticket.is_some() {
            self.awaited.add(entry.ticket, entry.sequence);
        }
        self.make_ready(entry);
    }

    /// Leaves an entry to the worker that has claimed it, and its group with it.
    #[inline(never)]
    pub(super) fn leave_to_another(&mut self, mut entry: Queued) {
        if let (Some(groups), group @ 1.., false) = (&mut self.groups, entry.group, entry.holds_group) {
            groups.set_busy(group, true);
            entry.holds_group = true;
        }
        insert(&mut self.elsewhere, entry);
    }

    /// Returns the numbers of entries that other workers have and that it is time to look at, so
    /// many at most. Each comes once in an `interval`.
    #[inline(never)]
    pub(super) fn due_elsewhere(&mut self, most: usize, interval: Duration, now: Timestamp) -> Vec<u64> {
        let (due, from) = self.next_look;
        if now < due {
            return Vec::new();
        }
        let begin = self.elsewhere.partition_point(|entry| entry.sequence < from);
        let some: Vec<u64> = self.elsewhere.iter().skip(begin).take(most).map(|entry| entry.sequence).collect();
        self.next_look = match some.last() {
            Some(last) if some.len() == most => (due, last + 1),
            _ => (now + interval, 0),
        };
        some
    }

    /// Makes an entry ready that was another worker's.
    #[inline(never)]
    pub(super) fn bring_back(&mut self, sequence: u64) {
        if let Some(mut entry) = take(&mut self.elsewhere, sequence) {
            self.free_group_of(&mut entry);
            self.make_ready(entry);
        }
    }

    /// Returns the time when the first of all entries was queued.
    #[inline(never)]
    pub(super) fn first_queued_at(&self) -> Option<Timestamp> {
        let elsewhere = self.elsewhere.front().map(AsRef::as_ref);
        self.oldest().into_iter().chain(elsewhere).min_by_key(|entry| entry.sequence).map(|entry| entry.queued_at)
    }

    /// Returns true if there is no entry at all.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty() && self.elsewhere.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = &Queued> {
        self.ready.iter().chain(&self.waiting).chain(&self.elsewhere)
    }

    /// Returns the row with this number in the order.
    #[inline(never)]
    pub(super) fn find(&mut self, sequence: u64) -> Option<&mut Row> {
        for line in [&mut self.ready, &mut self.waiting, &mut self.elsewhere] {
            if let Some(position) = position(line, sequence) {
                return line.get_mut(position).map(AsMut::as_mut);
            }
        }
        None
    }

    /// Returns true if the row with this number in the order was refused for what somebody has to
    /// mend.
    pub(super) fn is_aside(&self, sequence: u64) -> bool {
        let mut lines = [&self.ready, &self.waiting, &self.elsewhere].into_iter();
        lines.find_map(|line| line.get(position(line, sequence)?)).is_some_and(|row| row.aside.is_some())
    }

    /// Takes out the row with this number in the order. The caller gives it to [`Index::settled`].
    #[inline(never)]
    pub(super) fn take(&mut self, sequence: u64) -> Option<Queued> {
        match position(&self.ready, sequence) {
            Some(position) => self.take_ready(position),
            None => take(&mut self.waiting, sequence).or_else(|| take(&mut self.elsewhere, sequence)),
        }
    }

    /// Takes out the rows that `is_taken` says yes to. The caller gives each to [`Index::settled`].
    #[inline(never)]
    pub(super) fn take_those(&mut self, is_taken: &dyn Fn(&Row) -> bool) -> Vec<Queued> {
        let sequences: Vec<u64> = self.rows().filter(|row| is_taken(row)).map(|row| row.sequence).collect();
        sequences.into_iter().filter_map(|sequence| self.take(sequence)).collect()
    }

    /// Takes out the row of the entry at a position of the queue.
    #[inline(never)]
    pub(super) fn take_at(&mut self, at: u64) -> Option<Queued> {
        let is_there = |row: &&Queued| row.place.position == at && row.source != RowSource::Spare;
        // Where it has never moved, its number begins with its position.
        let least = EntryPlace::least_order(at);
        let lines = [&self.ready, &self.waiting, &self.elsewhere].into_iter();
        let unmoved = lines.filter_map(|line| line.get(line.partition_point(|row| row.sequence < least)));
        let sequence = unmoved.chain(self.rows()).find(is_there)?.sequence;
        self.take(sequence)
    }

    /// Forgets every row of the queue that is not this worker's own.
    #[inline(never)]
    pub(super) fn forget_queue(&mut self) {
        let (ready, waiting) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.waiting));
        self.elsewhere.clear();
        self.groups = self.groups.as_ref().map(|_| MessageGroups::default());
        self.awaited = Awaited::default();
        let rows = ready.into_iter().chain(waiting).filter(|row| row.source != RowSource::Queue);
        for mut row in rows {
            row.holds_group = false;
            self.push(row);
        }
    }

    /// Iterates over rows that have not moved for so long that they are before `position`.
    pub(super) fn before(&self, position: u64) -> impl Iterator<Item = u64> + '_ {
        self.rows()
            .filter(move |row| row.source == RowSource::Queue && row.place.position < position)
            .map(|row| row.sequence)
    }

    /// Sends one entry of each group in a call until then.
    pub(super) fn be_cautious(&mut self, until: Timestamp) {
        self.cautious_until = until;
    }

    /// Lets the entry that a response waited for go like any other.
    pub(super) fn await_no_longer(&mut self, ticket: Ticket) {
        self.awaited.remove(ticket);
    }

    /// Takes out the entry that a response waits for, if it is here. The caller gives it to
    /// [`Index::settled`].
    #[inline(never)]
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Queued> {
        let sequence = self.awaited.remove(ticket)?;
        self.take(sequence)
    }

    /// Makes the entries ready whose time has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        if self.next_wake.is_some_and(|next_wake| next_wake <= now) {
            self.wake_those(&|entry| entry.not_before <= now);
        }
    }

    /// Makes all entries ready, however long they were to wait, but those that another worker has:
    /// it may have them under way.
    pub(super) fn wake_all(&mut self) {
        self.wake_those(&|_| true);
    }

    /// Makes all entries ready but those set aside, and those that another worker has.
    pub(super) fn wake_the_others(&mut self) {
        self.wake_those(&|entry| entry.aside.is_none());
    }

    #[inline(never)]
    fn wake_those(&mut self, is_woken: &dyn Fn(&Row) -> bool) {
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
    /// The caller gives each entry to [`Index::put_back`] or [`Index::settled`].
    #[inline(never)]
    pub(super) fn take_batch(
        &mut self,
        limits: BatchLimits,
        now: Timestamp,
        is_due: &dyn Fn(&Row) -> bool,
    ) -> Option<Vec<Queued>> {
        let ahead = self.ahead(limits.entries);
        let by_age = if ahead.is_empty() || self.overtaking >= OVERTAKING_BATCHES {
            self.due_by_age(limits, now, is_due)
        } else {
            None
        };
        let positions = match by_age {
            Some(positions) => positions,
            None if ahead.is_empty() => return None,
            None => self.choose(limits, &ahead, now).0,
        };
        let overtakes = positions.last().is_some_and(|last| *last >= positions.len());
        self.overtaking = if ahead.is_empty() || !overtakes { 0 } else { self.overtaking.saturating_add(1) };
        let from_the_back = positions.into_iter().rev();
        let mut batch: Vec<_> = from_the_back.filter_map(|position| self.take_for_batch(position)).collect();
        batch.reverse();
        self.groups.iter_mut().for_each(MessageGroups::note_batch);
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
        match (&self.groups, self.ready.get(own)?.group) {
            (Some(groups), group) if group != 0 => position(&self.ready, groups.next(group)?),
            _ => Some(own),
        }
    }

    /// Returns the positions of the next batch by age alone, if it is due.
    fn due_by_age(&self, limits: BatchLimits, now: Timestamp, is_due: &dyn Fn(&Row) -> bool) -> Option<Vec<usize>> {
        let (positions, full) = self.choose(limits, &[], now);
        let oldest = positions.first().and_then(|position| self.ready.get(*position))?;
        (full || oldest.attempts > 0 || is_due(oldest)).then_some(positions)
    }

    /// Returns the positions of the entries of the next batch, in order, and whether it is full.
    /// Those at `ahead` are the first that have a place in it.
    #[inline(never)]
    fn choose(&self, limits: BatchLimits, ahead: &[usize], now: Timestamp) -> (Vec<usize>, bool) {
        let mut positions = Vec::with_capacity(limits.entries);
        let mut bytes = 0;
        let others: Vec<usize> = match &self.groups {
            Some(groups) => {
                let sequences = groups.next_of_some(limits, ahead.len(), now >= self.cautious_until);
                sequences.into_iter().filter_map(|sequence| position(&self.ready, sequence)).collect()
            }
            None => (0..self.ready.len().min(limits.entries + ahead.len())).collect(),
        };
        let others = others.into_iter().filter(|position| !ahead.contains(position));
        for position in ahead.iter().copied().chain(others) {
            let Some(entry) = self.ready.get(position).filter(|entry| !self.is_busy(entry)) else { continue };
            if !positions.is_empty() && (bytes + entry.bytes() > limits.bytes || entry.alone) {
                return (positions, true);
            }
            // They are a few: a sort is 3 KB of code.
            positions.insert(positions.partition_point(|earlier| *earlier < position), position);
            bytes += entry.bytes();
            if positions.len() >= limits.entries || entry.alone {
                return (positions, true);
            }
        }
        (positions, false)
    }

    /// Returns true if a ready entry waits for one of its group.
    fn is_busy(&self, entry: &Row) -> bool {
        self.groups.as_ref().is_some_and(|groups| entry.group != 0 && groups.next(entry.group).is_none())
    }

    /// Takes a ready entry out, which keeps its group busy from now on.
    fn take_for_batch(&mut self, position: usize) -> Option<Queued> {
        let entry = self.ready.get_mut(position)?;
        if let (Some(groups), group @ 1..) = (&mut self.groups, entry.group) {
            groups.set_busy(group, true);
            entry.holds_group = true;
        }
        self.take_ready(position)
    }

    #[inline(never)]
    fn take_ready(&mut self, position: usize) -> Option<Queued> {
        let entry = self.ready.remove(position)?;
        if let (Some(groups), group @ 1..) = (&mut self.groups, entry.group) {
            groups.remove(group, entry.sequence);
        }
        Some(entry)
    }

    #[inline(never)]
    fn make_ready(&mut self, entry: Queued) {
        if let (Some(groups), group @ 1..) = (&mut self.groups, entry.group) {
            groups.add(group, entry.sequence);
        }
        insert(&mut self.ready, entry);
    }

    /// Lets an entry of a batch wait for another attempt, until its `not_before`.
    #[inline(never)]
    pub(super) fn put_back(&mut self, entry: Queued) {
        self.next_wake = earlier(self.next_wake, entry.not_before);
        insert(&mut self.waiting, entry);
    }

    /// Takes note that an entry that was taken out will not come back.
    #[inline(never)]
    pub(super) fn settled(&mut self, entry: &mut Row) {
        self.free_group_of(entry);
        if entry.urgent || entry.ticket.is_some() {
            self.awaited.end(entry.sequence);
        }
    }

    /// Takes out the entry that came first. The caller gives it to [`Index::settled`].
    #[inline(never)]
    pub(super) fn pop_oldest(&mut self) -> Option<Queued> {
        let sequence = self.oldest()?.sequence;
        if self.ready.front().is_some_and(|entry| entry.sequence == sequence) {
            return self.take_ready(0);
        }
        self.waiting.pop_front()
    }

    #[inline(never)]
    fn free_group_of(&mut self, entry: &mut Row) {
        let held = std::mem::take(&mut entry.holds_group);
        if let (Some(groups), group @ 1.., true) = (&mut self.groups, entry.group, held) {
            groups.set_busy(group, false);
        }
    }
}

fn earlier(time: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(time.map_or(other, |time| time.min(other)))
}

/// Inserts an entry where it belongs in the order.
#[inline(never)]
fn insert(line: &mut Line, entry: Queued) {
    if line.back().is_none_or(|last| last.sequence < entry.sequence) {
        return line.push_back(entry);
    }
    let position = line.partition_point(|other| other.sequence < entry.sequence);
    line.insert(position, entry);
}

/// Takes the entry with this sequence out of a line of entries that are not ready.
#[inline(never)]
fn take(line: &mut Line, sequence: u64) -> Option<Queued> {
    line.remove(position(line, sequence)?)
}

/// Returns the position of the entry with this sequence.
#[inline(never)]
fn position(line: &Line, sequence: u64) -> Option<usize> {
    line.binary_search_by_key(&sequence, |entry| entry.sequence).ok()
}
