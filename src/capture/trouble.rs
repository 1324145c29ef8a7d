//! Trouble with storing webhooks, for the log: one line when they cannot be stored, one when they
//! can again. Single refusals get no line: they are counted.

use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// How one queue has done of late.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Timestamp>,
    refused: usize,
    notice: Option<Notice>,
}

impl Trouble {
    /// Notes a webhook that was refused because it could not be stored in `queue`.
    pub(super) fn refused(&mut self, queue: &str, failure: &Failure, now: Timestamp) {
        self.refused += 1;
        if self.since.is_none() {
            self.since = Some(now);
            let Failure { code, message, .. } = failure;
            let text = format!("webhooks for {queue} cannot be stored and are answered 503: {code}: {message}");
            self.notice = Some(Notice { level: Level::Error, text });
        }
    }

    /// Notes a webhook that was stored in `queue`.
    pub(super) fn stored(&mut self, queue: &str, now: Timestamp) {
        let Some(since) = self.since.take() else { return };
        let (refused, seconds) = (std::mem::take(&mut self.refused), now.since(since).as_secs());
        let text = format!("webhooks for {queue} are stored again after {seconds} s; {refused} were answered 503");
        self.notice = Some(Notice { level: Level::Info, text });
    }

    /// Returns the line for what has changed since the last time.
    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        self.notice.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::FailureClass;

    #[test]
    fn a_trouble_has_a_line_when_it_begins_and_one_when_it_ends() {
        let mut trouble = Trouble::default();
        let failure = Failure::new(FailureClass::Transient, "NoReply", "refused");
        let mut lines = vec![];
        trouble.stored("q", Timestamp(0));
        for second in 1..=3 {
            trouble.refused("q", &failure, Timestamp(second * 1_000));
            lines.extend(trouble.take_notice());
        }
        trouble.stored("q", Timestamp(43_000));
        trouble.stored("q", Timestamp(44_000));
        lines.extend(trouble.take_notice());
        let lines: Vec<_> = lines.iter().map(|notice| notice.text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "webhooks for q cannot be stored and are answered 503: NoReply: refused",
                "webhooks for q are stored again after 42 s; 3 were answered 503"
            ]
        );
    }
}
