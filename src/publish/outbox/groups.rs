//! Groups of an ordered queue: which entries of each are ready, in order, and which groups are
//! busy, so that none of their entries may be sent. Never holds an entry.

use std::collections::{BTreeMap, VecDeque};

/// One group.
#[derive(Debug, Default)]
struct Group {
    /// Sequences of its ready entries, in order.
    ready: VecDeque<u64>,
    /// True while an entry of it is in flight or waits for another attempt.
    is_busy: bool,
}

/// The groups that have a ready entry or are busy.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<String, Group>);

impl Groups {
    /// Notes an entry that is ready.
    pub(super) fn add(&mut self, name: &str, sequence: u64) {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Group::default());
        }
        if let Some(Group { ready, .. }) = self.0.get_mut(name) {
            let position = ready.partition_point(|other| *other < sequence);
            ready.insert(position, sequence);
        }
    }

    /// Notes that an entry is not ready any more.
    pub(super) fn remove(&mut self, name: &str, sequence: u64) {
        self.change(name, |group| {
            if let Ok(position) = group.ready.binary_search(&sequence) {
                group.ready.remove(position);
            }
        });
    }

    /// Makes a group busy that has a ready entry, or not.
    pub(super) fn set_busy(&mut self, name: &str, is_busy: bool) {
        self.change(name, |group| group.is_busy = is_busy);
    }

    /// Returns the ready entry of a group that may be sent next, if the group is not busy.
    pub(super) fn next(&self, name: &str) -> Option<u64> {
        self.0.get(name).filter(|group| !group.is_busy)?.ready.front().copied()
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Group)) {
        let Some(group) = self.0.get_mut(name) else { return };
        change(group);
        if group.ready.is_empty() && !group.is_busy {
            self.0.remove(name);
        }
    }
}
