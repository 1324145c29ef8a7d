//! Whether deliveries succeed, for the log: one line when they begin to fail, one when they succeed again.

use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// Turns single outcomes into changes of state.
#[derive(Debug, Default)]
pub struct Health {
    failing_since: Option<Timestamp>,
    first_failure: Option<String>,
    recovered_after: Option<u64>,
}

impl Health {
    /// An event was not delivered, for now.
    pub fn failed(&mut self, failure: &Failure, now: Timestamp) {
        if self.failing_since.is_none() {
            self.failing_since = Some(now);
            self.first_failure = Some(format!("{}: {}", failure.code, failure.message));
        }
    }

    /// An event was delivered.
    pub fn delivered(&mut self, now: Timestamp) {
        if let Some(since) = self.failing_since.take() {
            self.recovered_after = Some(now.since(since).as_secs());
        }
    }

    /// The changes since the last time; `queued` is how much waits now.
    pub fn take_notices(&mut self, queued: usize) -> Vec<Notice> {
        let failed = self.first_failure.take().map(|failure| Notice {
            level: Level::Warn,
            text: format!("delivery fails and will be tried again, {queued} event(s) queued: {failure}"),
        });
        let recovered = self.recovered_after.take().map(|seconds| Notice {
            level: Level::Info,
            text: format!("delivery succeeds again after {seconds} s, {queued} event(s) queued"),
        });
        failed.into_iter().chain(recovered).collect()
    }
}
