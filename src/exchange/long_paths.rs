//! Paths that are too long to be looked at, for the metrics and the log: each is counted, and a
//! line says so at most once a minute. Decides nothing.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::metrics::{Metric, Updates};
use crate::notice::{Level, Notice};

/// Time between two lines.
const SUMMARY: Duration = Duration::from_secs(60);

/// The paths that were too long.
#[derive(Debug)]
pub(crate) struct LongPaths {
    max_path_bytes: usize,
    /// Those since the last visit.
    unreported: u64,
    /// Those since the last line.
    untold: u64,
    last_line: Option<Timestamp>,
}

impl LongPaths {
    /// Begins with none. Paths may have `max_path_bytes`.
    pub(crate) fn new(max_path_bytes: usize) -> LongPaths {
        LongPaths { max_path_bytes, unreported: 0, untold: 0, last_line: None }
    }

    /// Notes `count` more.
    pub(crate) fn add(&mut self, count: u64) {
        self.unreported += count;
        self.untold += count;
    }

    /// Reports what was counted since the last visit.
    pub(crate) fn visit_metrics(&mut self, updates: &mut Updates) {
        updates.add(Metric::PathsTooLong, std::mem::take(&mut self.unreported));
    }

    /// Returns the line that is due.
    pub(crate) fn take_notice(&mut self, now: Timestamp) -> Option<Notice> {
        let is_due = self.last_line.is_none_or(|last| now.since(last) >= SUMMARY);
        if self.untold == 0 || !is_due {
            return None;
        }
        self.last_line = Some(now);
        let (count, most) = (std::mem::take(&mut self.untold), self.max_path_bytes);
        let text = format!(
            "{count} request(s) had a path of more than {most} bytes (`max_path_bytes`), which matches no route and no capture"
        );
        Some(Notice { level: Level::Warn, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_and_a_minute_has_one_line() {
        let (mut paths, mut lines, mut counted) = (LongPaths::new(2_048), Vec::new(), 0);
        for second in 0..150 {
            paths.add(2);
            let mut updates = Updates::default();
            paths.visit_metrics(&mut updates);
            counted += updates.into_vec().len();
            lines.extend(paths.take_notice(Timestamp(second * 1_000)).map(|notice| notice.text));
        }
        assert_eq!(counted, 150);
        let counts: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(counts, ["2", "120", "120"]);
        assert!(LongPaths::new(2_048).take_notice(Timestamp(0)).is_none());
    }
}
