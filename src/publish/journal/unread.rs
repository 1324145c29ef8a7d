//! What is still to be read of a place that was taken over: first which of its slots have events, then these, the oldest first.

/// Slots that are looked at in one go, while others wait.
pub const LISTED_AT_ONCE: u32 = 256;

/// The slots of a place that are still to be read.
#[derive(Debug, Default)]
pub struct Unread {
    /// Slots from here to the end have not been looked at.
    next: u32,
    end: u32,
    /// Sequences of events and their slots; the oldest is last, once all slots have been looked at.
    found: Vec<(u64, u32)>,
}

impl Unread {
    /// All of the slots below `end`.
    pub fn below(end: u32) -> Unread {
        Unread { next: 0, end, found: Vec::new() }
    }

    /// Looks at the next slots, where `sequence_in` gives the sequence of the event in a slot that has one. How many events
    /// there are in all, when that is known by now and was not before.
    pub fn look(&mut self, sequence_in: impl Fn(u32) -> Option<u64>) -> Option<usize> {
        if self.is_listed() {
            return None;
        }
        let end = self.next.saturating_add(LISTED_AT_ONCE).min(self.end);
        self.found.extend((self.next..end).filter_map(|slot| Some((sequence_in(slot)?, slot))));
        self.next = end;
        if !self.is_listed() {
            return None;
        }
        self.found.sort_unstable_by(|one, other| other.cmp(one));
        Some(self.found.len())
    }

    fn is_listed(&self) -> bool {
        self.next >= self.end
    }

    /// The slot of the oldest event; none also while not all have been looked at.
    pub fn take(&mut self) -> Option<u32> {
        if !self.is_listed() {
            return None;
        }
        Some(self.found.pop()?.1)
    }

    /// Takes back what [`Unread::take`] gave, to give it again.
    pub fn put_back(&mut self, slot: u32) {
        self.found.push((0, slot));
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.is_listed() && self.found.is_empty()
    }

    /// How many events are known of; at least one, as long as not all slots have been looked at.
    pub fn count(&self) -> usize {
        self.found.len().max(usize::from(!self.is_listed()))
    }
}
