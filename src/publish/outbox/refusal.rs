//! A target that refuses its caller, for what an operator has to mend: how much is set aside for
//! it, and one line in the log when that begins and one when it ends. Knows nothing of when the
//! target is called.

use std::time::Duration;

use super::settings::Bounds;
use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// Time between entries that are set aside and tried again, call for call: however many there are,
/// they cost a call a second.
const SPACING: Duration = Duration::from_secs(1);

/// Entries set aside, and what the log has of it.
#[derive(Debug, Default)]
pub(super) struct TargetRefusal {
    aside: usize,
    last: Option<Failure>,
    since: Timestamp,
    told: bool,
    next_try: Timestamp,
}

impl TargetRefusal {
    /// Notes that entries were refused, and returns when they are tried again, which is to be after
    /// `delay` at the earliest.
    pub(super) fn refused(&mut self, failure: &Failure, delay: Duration, now: Timestamp) -> Timestamp {
        if self.last.is_none() {
            self.since = now;
        }
        self.last = Some(failure.clone());
        let earliest = now + delay;
        let ahead = SPACING.saturating_mul(u32::try_from(self.aside).unwrap_or(u32::MAX));
        self.next_try = (self.next_try + SPACING).min(earliest + ahead).max(earliest);
        self.next_try
    }

    /// Notes that one more entry is set aside.
    pub(super) fn set_aside(&mut self) {
        self.aside += 1;
    }

    /// Notes that an entry that was set aside has come to its end.
    pub(super) fn ended(&mut self) {
        self.aside = self.aside.saturating_sub(1);
    }

    /// Notes that what is set aside is tried at once.
    pub(super) fn hurry(&mut self) {
        self.next_try = Timestamp(0);
    }

    /// Returns true if something is set aside.
    pub(super) fn stands(&self) -> bool {
        self.aside > 0
    }

    /// Returns the last refusal, until it is over.
    pub(super) fn last(&self) -> Option<&Failure> {
        self.last.as_ref()
    }

    /// Returns the line for what has changed since the last time. `name` is the target's, `stands`
    /// true while it refuses, and `queued` how much waits for it.
    pub(super) fn take_notice(
        &mut self,
        name: &str,
        stands: bool,
        queued: usize,
        bounds: &Bounds,
        now: Timestamp,
    ) -> Option<Notice> {
        let failure = self.last.as_ref()?;
        if stands && !self.told {
            self.told = true;
            let seconds = bounds.max_age.as_secs();
            let text = format!(
                "calls to {name} are refused, and {queued} event(s) held, each for {seconds} s at most \
                 (queue.max_age_seconds): {}",
                failure.explained()
            );
            return Some(Notice { level: Level::Error, text });
        }
        if stands {
            return None;
        }
        self.last = None;
        let seconds = now.since(self.since).as_secs();
        std::mem::take(&mut self.told).then(|| Notice {
            level: Level::Info,
            text: format!("calls to {name} are accepted again after {seconds} s, {queued} event(s) queued"),
        })
    }
}

#[cfg(test)]
mod tests;
