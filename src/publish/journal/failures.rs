//! Events that are not in the journal although they should be: each is counted, and the log has one line in each episode of them.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// An episode is over after so long without a failure.
const QUIET: Duration = Duration::from_secs(60);

/// The failures of one journal.
#[derive(Debug, Default)]
pub struct Failures {
    count: u64,
    quiet_until: Option<Timestamp>,
    untold: bool,
}

impl Failures {
    /// One more.
    pub fn add(&mut self, now: Timestamp) {
        self.count += 1;
        self.untold |= self.quiet_until.is_none_or(|quiet_until| now >= quiet_until);
        self.quiet_until = Some(now + QUIET);
    }

    /// Takes how many there have been since the last time.
    pub fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    /// The line, if an episode has begun since the last time.
    pub fn take_notice(&mut self) -> Option<Notice> {
        let text = "the journal does not keep everything: the host's shared data is full, or was changed by others. Events are \
                    sent all the same, but lost if this worker is";
        std::mem::take(&mut self.untold).then(|| Notice { level: Level::Warn, text: text.to_owned() })
    }
}
