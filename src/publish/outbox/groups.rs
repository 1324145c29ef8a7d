//! Groups of an ordered queue: which entries of each are ready, in order, and which groups are
//! busy, so that none of their entries may be sent. Never holds an entry.

/// One group.
#[derive(Debug)]
struct MessageGroup {
    name: String,
    /// Sequences of its ready entries, in order.
    ready: Vec<u64>,
    /// True while an entry of it is in flight or waits for another attempt.
    is_busy: bool,
}

/// The groups that have a ready entry or are busy, by name. Boxes, because a group that comes or
/// goes moves those behind it; a map would be 10 KB of the module.
#[derive(Debug, Default)]
pub(super) struct MessageGroups(#[allow(clippy::vec_box)] Vec<Box<MessageGroup>>);

impl MessageGroups {
    /// Notes an entry that is ready.
    pub(super) fn add(&mut self, name: &str, sequence: u64) {
        let position = self.find(name).unwrap_or_else(|position| {
            let group = MessageGroup { name: name.to_owned(), ready: Vec::new(), is_busy: false };
            self.0.insert(position, Box::new(group));
            position
        });
        if let Some(group) = self.0.get_mut(position) {
            let position = group.ready.partition_point(|other| *other < sequence);
            group.ready.insert(position, sequence);
        }
    }

    /// Notes that an entry is not ready any more.
    pub(super) fn remove(&mut self, name: &str, sequence: u64) {
        self.change(name, |group| group.ready.retain(|other| *other != sequence));
    }

    /// Makes a group busy that has a ready entry, or not.
    pub(super) fn set_busy(&mut self, name: &str, is_busy: bool) {
        self.change(name, |group| group.is_busy = is_busy);
    }

    /// Returns the ready entry of a group that is sent next, if the group is not busy.
    pub(super) fn next(&self, name: &str) -> Option<u64> {
        let group = self.0.get(self.find(name).ok()?)?;
        group.ready.first().copied().filter(|_| !group.is_busy)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|group| group.name.as_str().cmp(name))
    }

    #[inline(never)]
    fn change(&mut self, name: &str, change: impl FnOnce(&mut MessageGroup)) {
        let Ok(position) = self.find(name) else { return };
        let Some(group) = self.0.get_mut(position) else { return };
        change(group);
        if group.ready.is_empty() && !group.is_busy {
            self.0.remove(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_sends_its_entries_in_order_and_none_while_it_is_busy() {
        let mut groups = MessageGroups::default();
        for (name, sequence) in [("b", 3), ("a", 1), ("b", 2)] {
            groups.add(name, sequence);
        }
        assert_eq!([groups.next("a"), groups.next("b"), groups.next("c")], [Some(1), Some(2), None]);
        groups.set_busy("b", true);
        groups.remove("b", 2);
        assert_eq!(groups.next("b"), None);
        groups.add("b", 2);
        groups.set_busy("b", false);
        assert_eq!(groups.next("b"), Some(2), "an entry that comes back goes before those behind it");
        for (name, sequence) in [("b", 3), ("a", 1), ("b", 2)] {
            groups.remove(name, sequence);
        }
        assert!(groups.0.is_empty(), "nothing is left of groups without entries");
    }
}
