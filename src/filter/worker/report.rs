//! All that a worker tells the host: dead letters and notices for the log, and metrics. Decides
//! nothing of what they say.

use super::Worker;
use crate::clock::Timestamp;
use crate::filter::hostcalls;
use crate::notice::Level;

impl Worker {
    /// Writes dead letters to the log. They are errors: an event was lost, and hosts write errors
    /// unless they are configured not to.
    pub(super) fn write_dead_letters(&self, now: Timestamp) {
        let max_line_bytes = self.rules.max_line_bytes;
        let lines = self.agent.borrow_mut().publishing().take_dead_letter_lines(max_line_bytes, now);
        for line in lines {
            hostcalls::log_whole(Level::Error, &line);
        }
    }

    /// Writes dead letters and notices to the log, and brings metrics to the host.
    pub(super) fn report(&self, now: Timestamp) {
        self.write_dead_letters(now);
        let (updates, notices) = {
            let mut agent = self.agent.borrow_mut();
            agent.note_long_paths(self.routes.take_too_long() + self.captures.take_too_long());
            (agent.take_metric_updates(self.rules.gauges.are_sums(), now), agent.take_notices(now))
        };
        self.metrics.borrow_mut().report(updates);
        for notice in notices {
            hostcalls::log(notice.level, &notice.text);
        }
        if let Some(warning) = self.reader.warning().filter(|_| !self.has_warned.replace(true)) {
            hostcalls::log(Level::Warn, warning);
        }
    }

    /// Reports at once where no tick is to come.
    pub(super) fn report_at_end(&self, now: Timestamp) {
        let has_ended = self.agent.borrow_mut().publishing().has_ended();
        if has_ended {
            self.report(now);
        }
    }

    /// Writes to the log what is not delivered yet, in case that the process ends.
    pub(super) fn write_undelivered(&self) {
        // Each line is written as soon as it is made, because all of them may be as large as the
        // queue. The agent stays borrowed meanwhile; from a log the host does not call back.
        let write = |line: &str| hostcalls::log_whole(Level::Error, line);
        let mut agent = self.agent.borrow_mut();
        let (events, lines) = agent.publishing().write_undelivered(self.rules.max_line_bytes, write);
        if events > 0 {
            let end = if lines == 0 { "they are lost if the process ends now" } else { "each has a dead letter now" };
            hostcalls::log(Level::Warn, &format!("stopping with {events} event(s) not delivered: {end}"));
        }
    }
}
