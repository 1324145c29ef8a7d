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
    use super::*;

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
}
