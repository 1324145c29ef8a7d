//! The way of events into the queue, and what gives way where there is no room. Sends nothing.

use super::responses::Remote;
use super::row::{sequence, Queued, Row, RowSource};
use super::settings::WhenFull;
use super::{rows, Outbox, Ticket};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::publish::dead_letter::DropReason;
use crate::publish::queue::memory::MemoryStore;
use crate::publish::queue::{Amount, AppendRefusal, Claim, EntryPlace, Mode, TargetQueue};

/// Events that give way to one, at most: what is larger than so many is dropped itself.
const VICTIMS: usize = 1_000;

impl Outbox {
    /// Takes an event of `size` bytes. Where that breaks a bound, events are dropped as the
    /// configuration says.
    pub(crate) fn push(&mut self, event: Event, size: usize, now: Timestamp) {
        self.add(event, size, None, now);
    }

    /// Takes an event, and the response that waits for it.
    #[inline(never)]
    pub(super) fn add(&mut self, event: Event, size: usize, ticket: Option<Ticket>, now: Timestamp) {
        let steady = self.clock.at(now);
        if size > self.settings.max_batch_bytes {
            return self.refuse(event, ticket, DropReason::TooLarge);
        }
        let mode = match ticket {
            None => Mode::Queued,
            Some(_) if self.settings.ordered => Mode::Urgent,
            Some(_) => Mode::Own,
        };
        match self.append(&event, size, mode, now) {
            Ok(place) => {
                // What the sender appends itself it need not look for.
                let is_found = self.queue.note_appended(place);
                if is_found || mode == Mode::Own {
                    let source = if mode == Mode::Own { RowSource::Own } else { RowSource::Queue };
                    let mut row = Row::new(place, source, self.queue.group(&event), size, steady);
                    row.ticket = ticket;
                    self.index.push(row);
                } else if let Some(ticket) = ticket {
                    self.remote.push(Remote { place, ticket });
                }
            }
            Err(AppendRefusal::Full | AppendRefusal::NoSlot) => self.refuse(event, ticket, DropReason::QueueFull),
            Err(AppendRefusal::Store) => self.add_to_spare(event, size, ticket, now),
        }
        self.watermark.see(self.held(), &self.settings.bounds);
    }

    /// Drops an event that is in no queue.
    #[inline(never)]
    fn refuse(&mut self, event: Event, ticket: Option<Ticket>, reason: DropReason) {
        self.fail_response(ticket);
        self.bury(event, None, reason, None);
    }

    #[inline(never)]
    fn append(&mut self, event: &Event, size: usize, mode: Mode, now: Timestamp) -> Result<EntryPlace, AppendRefusal> {
        for _ in 0..VICTIMS {
            match self.queue.append(event, size, mode, now) {
                Err(AppendRefusal::Full) => {}
                appended => return appended,
            }
            let victim = match self.settings.bounds.when_full {
                WhenFull::DropOldest => self.claim_victim(now),
                WhenFull::DropNewest => None,
            };
            let Some((victim, event)) = victim else { break };
            self.dropped(victim, Some(event), DropReason::QueueFull, None);
        }
        Err(AppendRefusal::Full)
    }

    /// Claims the entry that has waited for longest, and that nobody else has claimed.
    #[inline(never)]
    fn claim_victim(&mut self, now: Timestamp) -> Option<(Queued, Event)> {
        let steady = self.clock.at(now);
        if !self.queue.is_sender() {
            let (found, claimed) = self.queue.claim_oldest()?;
            let mut row = Row::new(found.place, RowSource::Queue, 0, found.size, steady);
            (row.version, row.watched) = (claimed.version, claimed.watched);
            row.ticket = self.take_remote(found.place.order);
            return Some((row, claimed.event));
        }
        self.find_new(steady, now);
        while let Some(mut row) = self.index.pop_oldest() {
            match self.claim(&mut row) {
                Claim::Own(claimed) => return Some((row, claimed.event)),
                Claim::Gone => self.gone(row),
                Claim::Elsewhere(_) if row.source == RowSource::Own => self.gone(row),
                Claim::Elsewhere(version) => self.leave_to_another(row, version, steady),
            }
        }
        None
    }

    /// Keeps an event in this worker's memory: the store does not take it.
    #[inline(never)]
    pub(super) fn add_to_spare(&mut self, event: Event, size: usize, ticket: Option<Ticket>, now: Timestamp) {
        let steady = self.clock.at(now);
        let (bounds, ordered) = (self.settings.amount(), self.settings.ordered);
        let spare = self.spare.get_or_insert_with(|| {
            TargetQueue::new(std::rc::Rc::new(MemoryStore::default()), ["", "", "", "spare"], bounds, ordered, 1)
        });
        let Ok(place) = spare.append(&event, size, Mode::Queued, now) else {
            return self.refuse(event, ticket, DropReason::QueueFull);
        };
        let group = spare.group(&event);
        let mut row = Row::new(place, RowSource::Spare, group, size, steady);
        row.ticket = ticket;
        self.index.push(row);
    }

    /// Finds what was appended since the last time, if this worker is the sender.
    #[inline(never)]
    pub(super) fn find_new(&mut self, steady: Timestamp, now: Timestamp) {
        for found in self.queue.discover(steady, now) {
            let known = found.own || found.inherited || found.place.has_moved();
            if known && self.is_known(found.place) {
                continue;
            }
            self.counts.adopted += u64::from(found.inherited && self.adopts);
            let queued_at = steady.before(found.age);
            let mut row = Row::new(found.place, RowSource::Queue, found.group, found.size, queued_at);
            row.urgent = found.urgent;
            row.ticket = self.take_remote(found.place.order);
            match found.elsewhere {
                Some(version) => self.leave_to_another(row, version, steady),
                None => self.index.push(row),
            }
        }
        for position in self.queue.trim() {
            if let Some(row) = self.index.take_at(position) {
                self.gone(row);
            }
        }
        self.move_old();
    }

    /// Takes some of a backlog that is longer than the sender's calls carry, where order does not
    /// matter and the target is not down.
    #[inline(never)]
    pub(super) fn help(&mut self, steady: Timestamp, now: Timestamp) {
        let is_busy = self.flights.len() >= self.settings.max_in_flight || self.index.oldest().is_some();
        if is_busy || !self.may_help() {
            return;
        }
        let start = self.rng.u64(0..=1_000);
        for found in self.queue.claim_some(self.settings.batch.max_entries, self.ahead(), start, now) {
            self.index.push(Row::new(found.place, RowSource::Own, 0, found.size, steady.before(found.age)));
        }
    }

    /// Gives back what this worker was to send in the sender's place, if it may not send now: the
    /// sender takes what another worker has had for longer than a call as left by one that is gone.
    #[inline(never)]
    pub(super) fn give_help_back(&mut self) {
        if self.queue.is_sender() || self.index.is_empty() {
            return;
        }
        let is_help = |row: &Row| row.source == RowSource::Own && row.ticket.is_none();
        for mut row in self.index.take_those(&is_help) {
            self.left(&mut row);
            self.queue.give_back(row.place);
        }
    }

    /// Returns how many events the sender takes by itself.
    fn ahead(&self) -> u64 {
        let calls = u64::try_from(self.settings.max_in_flight * self.settings.batch.max_entries).unwrap_or(u64::MAX);
        calls.saturating_mul(ROUNDS_AHEAD)
    }

    /// Returns true if this worker may take some of what the sender has not come to.
    #[inline(never)]
    pub(crate) fn may_help(&self) -> bool {
        if self.settings.ordered || self.circuit.is_open() || self.pace.is_limited() {
            return false;
        }
        !self.queue.is_sender() && !self.queue.is_leaving() && self.queue.last_seen() > self.ahead()
    }

    /// Returns true if an entry is known; of two copies the later one stays.
    #[inline(never)]
    fn is_known(&mut self, place: EntryPlace) -> bool {
        let in_flight = rows(&self.flights);
        let buried = self.dead_letters.iter().filter_map(|buried| buried.entry.as_ref());
        if in_flight.chain(buried).any(|row| row.source != RowSource::Spare && row.place == place) {
            return true;
        }
        let Some(row) = self.index.find(sequence(place.order, RowSource::Queue)) else { return false };
        let before = std::mem::replace(&mut row.place, place);
        if before != place {
            self.queue.discard(before);
        }
        true
    }

    /// Moves entries that have waited for so long that they hold up the ring, a few at once.
    #[inline(never)]
    fn move_old(&mut self) {
        let Some(below) = self.queue.moves_below() else { return };
        let old: Vec<u64> = self.index.before(below).take(MOVED_AT_ONCE).collect();
        for sequence in old {
            let Some(place) = self.index.find(sequence).map(|row| row.place) else { continue };
            if let Some(position) = self.queue.relocate(place) {
                if let Some(row) = self.index.find(sequence) {
                    row.place.position = position;
                }
            }
        }
    }
}

/// Rounds of the sender's calls that it takes by itself: what is queued beyond them others send,
/// too.
const ROUNDS_AHEAD: u64 = 2;

/// Entries that are moved in one callback.
const MOVED_AT_ONCE: usize = 64;

impl super::OutboxSettings {
    /// Returns the bounds as the queue has them.
    pub(crate) fn amount(&self) -> Amount {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Amount { entries: number(self.bounds.max_entries), bytes: number(self.bounds.max_bytes) }
    }
}
