//! Webhooks of one capture whose signature is not good, for the log: a line with the reason for the
//! first, and then one an hour at most, because anybody can send them. Never decides their fate.

use std::time::Duration;

use super::verify::{OnUnverified, Rejection};
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// Time between two lines: somebody who only wants to fill the log writes one an hour.
const PAUSE: Duration = Duration::from_secs(3_600);

/// The webhooks since the last line.
#[derive(Debug, Default)]
pub(super) struct Distrust {
    line_at: Option<Timestamp>,
    count: usize,
}

impl Distrust {
    /// Notes a webhook of the capture that is called `name`. Returns the line, if it is time for
    /// one.
    pub(super) fn note(&mut self, name: &str, why: &Rejection, fate: OnUnverified, now: Timestamp) -> Option<Notice> {
        self.count += 1;
        if self.line_at.is_some_and(|at| now.since(at) < PAUSE) {
            return None;
        }
        self.line_at = Some(now);
        let count = std::mem::take(&mut self.count);
        let fate = match fate {
            OnUnverified::Mark => "stored with `verified: false`",
            OnUnverified::Reject => "answered 401",
        };
        let text =
            format!("capture `{name}`: {count} webhook(s) without a good signature, {fate}: {why}; {}", why.mend());
        Some(Notice { level: Level::Warn, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_has_a_line_with_reason_and_mend_and_a_flood_one_an_hour() {
        let mut distrust = Distrust::default();
        let mut lines = vec![];
        for second in 0..2 * 3_600 {
            let now = Timestamp(1_000_000 + second * 1_000);
            lines.extend(distrust.note("orders", &Rejection::Mismatch, OnUnverified::Reject, now));
        }
        let lines: Vec<_> = lines.iter().map(|notice| notice.text.as_str()).collect();
        let says = "answered 401: no signature matches; unless a stranger sent it, give `secrets` that of its provider";
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("capture `orders`: 1 webhook(s)") && lines[0].contains(says), "{lines:?}");
        assert!(lines[1].starts_with("capture `orders`: 3600 webhook(s)"), "{lines:?}");
    }
}
