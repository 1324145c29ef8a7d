//! Failures of the journal: each event that it should hold and does not is counted, and the log has
//! one line in each episode.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// Time without a failure that ends an episode.
const QUIET: Duration = Duration::from_secs(60);

/// The failures of one journal.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u64,
    quiet_until: Option<Timestamp>,
    notice_due: bool,
}

impl Failures {
    /// Counts a failure.
    pub(crate) fn add(&mut self, now: Timestamp) {
        self.count += 1;
        self.notice_due |= self.quiet_until.is_none_or(|quiet_until| now >= quiet_until);
        self.quiet_until = Some(now + QUIET);
    }

    /// Takes the number of failures since the last time.
    pub(crate) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    /// Takes the line of an episode that has begun since the last time.
    pub(crate) fn take_notice(&mut self) -> Option<Notice> {
        let text = "the journal does not keep everything: the host's shared data is full, or was changed by others. Events are \
                    sent all the same, but lost if this worker is";
        std::mem::take(&mut self.notice_due).then(|| Notice { level: Level::Warn, text: text.to_owned() })
    }
}
