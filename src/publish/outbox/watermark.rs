//! The watermark of the queue, for the log: one line when the queue is nearly full, and none again
//! before it has emptied by half.

use super::settings::Bounds;
use super::Usage;
use crate::notice::{Level, Notice};

/// Share of a bound, in hundredths, from which on the operator is warned.
const HIGH: usize = 80;
/// Share of both bounds below which an episode is over.
const LOW: usize = 50;

/// Remembers whether there was a warning in this episode.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    warned: bool,
    due: bool,
}

impl Watermark {
    /// Looks at the queue after it has grown or shrunk.
    pub(super) fn see(&mut self, held: Usage, bounds: &Bounds) {
        let reached = |share: usize| {
            held.entries >= share_of(bounds.max_entries, share) || held.bytes >= share_of(bounds.max_bytes, share)
        };
        if self.warned {
            self.warned = reached(LOW);
        } else if reached(HIGH) {
            (self.warned, self.due) = (true, true);
        }
    }

    /// Returns the warning, if it has not been given in this episode.
    pub(super) fn take_notice(&mut self, held: Usage, bounds: &Bounds) -> Option<Notice> {
        std::mem::take(&mut self.due).then(|| Notice {
            level: Level::Warn,
            text: format!(
                "the queue is more than {HIGH} % full: {} of {} event(s), {} of {} bytes; what finds no room is lost \
                 (queue.when_full)",
                held.entries, bounds.max_entries, held.bytes, bounds.max_bytes
            ),
        })
    }
}

fn share_of(bound: usize, share: usize) -> usize {
    // The bounds are far below the largest number; rounded up, so that a bound of one is reached by
    // one.
    bound.saturating_mul(share).div_ceil(100)
}

#[cfg(test)]
mod tests {
    use super::super::settings::WhenFull;
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_warning_in_an_episode() {
        let bounds = Bounds {
            max_entries: 10,
            max_bytes: 1_000,
            max_age: Duration::from_secs(1),
            when_full: WhenFull::DropOldest,
        };
        let mut watermark = Watermark::default();
        let mut warned = |entries, bytes| {
            let held = Usage { entries, bytes };
            watermark.see(held, &bounds);
            watermark.take_notice(held, &bounds).is_some()
        };
        let episode = [(7, 799), (8, 0), (9, 900), (6, 600), (10, 0), (4, 499), (1, 800), (1, 801)];
        let lines = episode.map(|(entries, bytes)| warned(entries, bytes));
        assert_eq!(lines, [false, true, false, false, false, false, true, false]);
    }
}
