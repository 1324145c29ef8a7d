//! Groups of an ordered index: which entries of each are ready, in order, and which groups are
//! busy, so that none of their entries may be sent. Never holds an entry.

use std::collections::VecDeque;

use super::settings::BatchLimits;

/// Entries of a group from which on several of them go in one call: it would wait for too long
/// otherwise. If some of a call fail, a later one may be before an earlier one.
const LONG_LINE: usize = 10;

/// Batches in a row that may leave groups to other calls. One of ten takes all it can: where fewer
/// calls come about than could, no group waits for those that have more.
const LEAVING_BATCHES: u32 = 9;

/// One group.
#[derive(Debug)]
struct MessageGroup {
    /// Hash of its name. Two names with one hash are one group: the order of both is kept.
    hash: u64,
    /// Sequences of its ready entries, in order.
    ready: VecDeque<u64>,
    /// Entries of it that are in flight or wait for another attempt.
    busy: u32,
}

/// The groups that have a ready entry or are busy, by their hashes. Boxes, because a group that
/// comes or goes moves those behind it; a map would be 10 KB of the module.
#[derive(Debug, Default)]
pub(super) struct MessageGroups {
    #[allow(clippy::vec_box)]
    groups: Vec<Box<MessageGroup>>,
    /// The first ready entry of each group that is not busy, and its group, in order.
    free: VecDeque<(u64, u64)>,
    /// Batches in a row that have left groups to other calls.
    leaving: u32,
}

impl MessageGroups {
    /// Notes an entry that is ready.
    pub(super) fn add(&mut self, hash: u64, sequence: u64) {
        self.begin(hash);
        self.change(hash, &|group| {
            let position = group.ready.partition_point(|other| *other < sequence);
            group.ready.insert(position, sequence);
        });
    }

    /// Notes that an entry is not ready any more.
    pub(super) fn remove(&mut self, hash: u64, sequence: u64) {
        self.change(hash, &|group| {
            if let Ok(position) = group.ready.binary_search(&sequence) {
                group.ready.remove(position);
            }
        });
    }

    /// Notes that one more entry of a group is in flight or waits, or one less.
    pub(super) fn set_busy(&mut self, hash: u64, is_busy: bool) {
        if is_busy {
            self.begin(hash);
        }
        self.change(hash, &|group| {
            group.busy = if is_busy { group.busy + 1 } else { group.busy.saturating_sub(1) };
        });
    }

    /// Returns the ready entry of a group that is sent next, if the group is not busy.
    pub(super) fn next(&self, hash: u64) -> Option<u64> {
        self.groups.get(self.find(hash).ok()?)?.next()
    }

    /// Iterates over the ready entries of each group that is not busy, the group first whose entry
    /// has waited for longest.
    fn free(&self) -> impl Iterator<Item = &VecDeque<u64>> {
        self.free.iter().filter_map(|(_, hash)| Some(&self.groups.get(self.find(*hash).ok()?)?.ready))
    }

    /// Returns what groups send next in one call, where `ahead` entries are in it already: one of
    /// each that is free, or of so many that they fill the call if there are calls for the others;
    /// and then more of those that have many, if `several` of a group may go.
    #[inline(never)]
    pub(super) fn next_of_some(&self, limits: BatchLimits, ahead: usize, several: bool) -> Vec<u64> {
        let most = limits.entries + ahead;
        let is_long = |line: &VecDeque<u64>| several && line.len() > LONG_LINE;
        let calls = if self.leaving < LEAVING_BATCHES { limits.calls.max(1) } else { 1 };
        let share = self.free.len().div_ceil(calls);
        let (mut lines, mut entries) = (Vec::new(), 0);
        for line in self.free().take(most) {
            if lines.len() >= share && entries >= limits.entries {
                break;
            }
            entries += if is_long(line) { line.len() } else { 1 };
            lines.push(line);
        }
        let mut sequences: Vec<u64> = lines.iter().filter_map(|line| line.front().copied()).collect();
        for line in lines.iter().filter(|line| is_long(line)) {
            let room = most - sequences.len();
            sequences.extend(line.iter().skip(1).take(room));
        }
        sequences
    }

    /// Notes that a batch was taken.
    pub(super) fn note_batch(&mut self) {
        self.leaving = if self.free.is_empty() { 0 } else { self.leaving.saturating_add(1) };
    }

    fn begin(&mut self, hash: u64) {
        if let Err(position) = self.find(hash) {
            self.groups.insert(position, Box::new(MessageGroup { hash, ready: VecDeque::new(), busy: 0 }));
        }
    }

    fn find(&self, hash: u64) -> Result<usize, usize> {
        self.groups.binary_search_by_key(&hash, |group| group.hash)
    }

    #[inline(never)]
    fn change(&mut self, hash: u64, change: &dyn Fn(&mut MessageGroup)) {
        let Ok(position) = self.find(hash) else { return };
        let Some(group) = self.groups.get_mut(position) else { return };
        let before = group.next();
        change(group);
        let after = group.next();
        if group.ready.is_empty() && group.busy == 0 {
            self.groups.remove(position);
        }
        if before == after {
            return;
        }
        if let Some(Ok(position)) = before.map(|next| self.free.binary_search(&(next, hash))) {
            self.free.remove(position);
        }
        if let Some(next) = after {
            let position = self.free.partition_point(|other| *other < (next, hash));
            self.free.insert(position, (next, hash));
        }
    }
}

impl MessageGroup {
    fn next(&self) -> Option<u64> {
        self.ready.front().copied().filter(|_| self.busy == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::settings::{Batch, Bounds, OutboxSettings};
    use super::super::tests::{settings, Bench};
    use super::*;
    use crate::aws::error::Outcome;

    #[test]
    fn a_group_sends_its_entries_in_order_and_none_while_it_is_busy() {
        let (a, b, c) = (1, 2, 3);
        let mut groups = MessageGroups::default();
        for (group, sequence) in [(b, 3), (a, 1), (b, 2)] {
            groups.add(group, sequence);
        }
        assert_eq!([groups.next(a), groups.next(b), groups.next(c)], [Some(1), Some(2), None]);
        (0..2).for_each(|_| groups.set_busy(b, true));
        groups.remove(b, 2);
        groups.set_busy(b, false);
        assert_eq!(groups.next(b), None, "one of two is left");
        groups.add(b, 2);
        groups.set_busy(b, false);
        assert_eq!(groups.next(b), Some(2), "an entry that comes back goes before those behind it");
        for (group, sequence) in [(b, 3), (a, 1), (b, 2)] {
            groups.remove(group, sequence);
        }
        assert!(groups.groups.is_empty(), "nothing is left of groups without entries");
    }

    #[test]
    fn the_group_that_has_waited_for_longest_is_first_and_a_busy_one_in_nobody_s_way() {
        let mut groups = MessageGroups::default();
        for (group, sequence) in [(7, 1), (7, 2), (3, 3), (5, 4), (7, 5)] {
            groups.add(group, sequence);
        }
        let free =
            |groups: &MessageGroups| groups.free().map(|line| line.iter().copied().collect()).collect::<Vec<Vec<_>>>();
        assert_eq!(free(&groups), [vec![1, 2, 5], vec![3], vec![4]]);
        groups.set_busy(7, true);
        groups.remove(7, 1);
        assert_eq!(free(&groups), [[3], [4]]);
        groups.remove(3, 3);
        groups.set_busy(7, false);
        assert_eq!(free(&groups), [vec![2, 5], vec![4]]);
    }

    /// An outbox of an ordered target with four calls of ten events, and so many events of each of
    /// these groups.
    fn with_groups(lines: &[(&str, usize)]) -> Bench {
        let bounds = Bounds { max_entries: 10_000, max_bytes: 1 << 30, ..settings().bounds };
        let batch = Batch { max_entries: 10, max_delay: Duration::from_millis(100) };
        let settings =
            OutboxSettings { ordered: true, max_in_flight: 4, max_batch_bytes: 100_000, batch, bounds, ..settings() };
        let mut bench = Bench::new(settings);
        for (group, count) in lines {
            (0..*count).for_each(|number| bench.push_sized(&format!("{group}{number}"), Some(group), 50));
        }
        bench
    }

    fn groups_of(ids: &[String]) -> BTreeSet<&str> {
        ids.iter().map(|id| id.trim_end_matches(|letter: char| letter.is_ascii_digit())).collect()
    }

    #[test]
    fn a_few_groups_with_many_events_use_all_calls_at_once_and_none_is_in_two() {
        let mut bench = with_groups(&[("a", 100), ("b", 100), ("c", 100), ("d", 100), ("e", 100)]);
        let (mut sent, mut calls, mut rounds) = (vec![], 0, 0);
        while sent.len() < 500 {
            let flights: Vec<_> = std::iter::from_fn(|| bench.poll()).collect();
            assert!(flights.len() == 4 || sent.len() > 300, "{} calls after {}", flights.len(), sent.len());
            let groups: Vec<_> = flights.iter().flat_map(|(_, ids)| groups_of(ids)).collect();
            assert_eq!(groups.iter().collect::<BTreeSet<_>>().len(), groups.len(), "{groups:?}");
            calls += flights.len();
            rounds += 1;
            for (batch, ids) in flights {
                bench.settle(batch, vec![Outcome::Delivered; ids.len()]);
                sent.extend(ids);
            }
            bench.wait(Duration::from_millis(100));
        }
        // One call at a time, each with a part of every group, would be fifty rounds or more. The
        // last ten of a group go one by one.
        assert!(calls <= 70 && rounds <= 30, "{calls} calls, in {rounds} rounds, for 500 events");
        for group in ["a", "b", "c", "d", "e"] {
            let numbers = sent.iter().filter_map(|id| id.strip_prefix(group)).map(|number| number.parse().unwrap());
            assert_eq!(numbers.collect::<Vec<usize>>(), (0..100).collect::<Vec<_>>());
        }
    }

    /// Others have the other calls, so each of this outbox is its only one: the groups behind the
    /// long ones are not left again and again.
    #[test]
    fn no_group_waits_for_long_ones_however_few_calls_there_are() {
        let mut bench = with_groups(&[("a", 500), ("b", 500), ("c", 500), ("d", 500), ("z", 1)]);
        bench.wait(Duration::from_millis(100));
        let position = (0..20).position(|_| {
            let (batch, ids) = bench.poll().unwrap();
            bench.settle(batch, vec![Outcome::Delivered; ids.len()]);
            groups_of(&ids).contains("z")
        });
        assert!(position.is_some_and(|calls| calls < 10), "{position:?}");
    }
}
