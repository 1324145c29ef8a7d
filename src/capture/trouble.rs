//! Trouble with one queue, for the log: a line with the reason when webhooks begin to be refused,
//! one a minute while they are, and one when they are stored again. Single refusals get no line:
//! they are counted.

use std::time::Duration;

use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// A queue that takes one now and then is not back: it is when none was refused for this long.
const STEADY: Duration = Duration::from_secs(5);

/// Time between two lines of one trouble.
const SUMMARY: Duration = Duration::from_secs(60);

/// How one queue has done of late.
#[derive(Debug)]
pub(super) struct Trouble {
    /// Its name, for the log.
    queue: String,
    episode: Option<Episode>,
}

/// A time in which webhooks were refused again and again.
#[derive(Debug)]
struct Episode {
    since: Timestamp,
    /// When the last one was refused, and why.
    last: Timestamp,
    reason: String,
    refused: usize,
    /// True if one was stored after that.
    is_over: bool,
    /// The last line of it, if there is one yet.
    line: Option<LogLine>,
}

/// A line in the log, and what happened since.
#[derive(Debug)]
struct LogLine {
    at: Timestamp,
    refused: usize,
    stored: usize,
}

impl LogLine {
    fn new(at: Timestamp) -> LogLine {
        LogLine { at, refused: 0, stored: 0 }
    }
}

impl Trouble {
    /// Creates the record of a queue that is called so, and has no trouble.
    pub(super) fn new(queue: &str) -> Trouble {
        Trouble { queue: queue.to_owned(), episode: None }
    }

    /// Notes a webhook that was refused because it could not be stored.
    pub(super) fn refused(&mut self, failure: &Failure, now: Timestamp) {
        let episode = self.episode.get_or_insert_with(|| Episode {
            since: now,
            last: now,
            reason: String::new(),
            refused: 0,
            is_over: false,
            line: None,
        });
        episode.last = now;
        episode.is_over = false;
        episode.refused += 1;
        episode.reason = failure.explained();
        if let Some(line) = &mut episode.line {
            line.refused += 1;
        }
    }

    /// Notes a webhook that was stored.
    pub(super) fn stored(&mut self) {
        let Some(episode) = &mut self.episode else { return };
        episode.is_over = true;
        if let Some(line) = &mut episode.line {
            line.stored += 1;
        }
    }

    /// Returns the line for what has changed since the last time.
    pub(super) fn take_notice(&mut self, now: Timestamp) -> Option<Notice> {
        let (queue, episode) = (&self.queue, self.episode.as_mut()?);
        let Episode { since, last, reason, refused, is_over, line } = episode;
        let Some(line) = line else {
            *line = Some(LogLine::new(now));
            let text = format!("webhooks for {queue} cannot be stored and are answered 503: {reason}");
            return Some(Notice { level: Level::Error, text });
        };
        if *is_over && now.since(*last) >= STEADY {
            let seconds = last.since(*since).as_secs();
            let text = format!("webhooks for {queue} are stored again after {seconds} s; {refused} were answered 503");
            self.episode = None;
            return Some(Notice { level: Level::Info, text });
        }
        if now.since(line.at) < SUMMARY || line.refused == 0 {
            return None;
        }
        let LogLine { at, refused, stored } = std::mem::replace(line, LogLine::new(now));
        let seconds = now.since(at).as_secs();
        let text = format!(
            "webhooks for {queue}: in {seconds} s {refused} could not be stored and were answered 503, and {stored} \
             were stored: {reason}"
        );
        Some(Notice { level: Level::Error, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::FailureClass;

    fn failure() -> Failure {
        Failure::new(FailureClass::Transient, "NoReply", "refused")
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp(1_000_000 + millis)
    }

    #[test]
    fn a_trouble_has_a_line_when_it_begins_and_one_when_it_ends() {
        let mut trouble = Trouble::new("q");
        let mut lines = vec![];
        trouble.stored();
        for second in 1..=3 {
            trouble.refused(&failure(), at(second * 1_000));
            lines.extend(trouble.take_notice(at(second * 1_000)));
        }
        trouble.stored();
        lines.extend(trouble.take_notice(at(7_999)));
        assert_eq!(lines.len(), 1, "not yet");
        lines.extend(trouble.take_notice(at(8_000)));
        lines.extend(trouble.take_notice(at(9_000)));
        let lines: Vec<_> = lines.iter().map(|notice| notice.text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "webhooks for q cannot be stored and are answered 503: NoReply: refused",
                "webhooks for q are stored again after 2 s; 3 were answered 503"
            ]
        );
    }

    #[test]
    fn the_reason_is_in_the_log_although_the_next_one_was_stored_at_once() {
        let mut trouble = Trouble::new("q");
        trouble.refused(&failure(), at(0));
        trouble.stored();
        let line = trouble.take_notice(at(20_000)).unwrap();
        assert_eq!(line.text, "webhooks for q cannot be stored and are answered 503: NoReply: refused");
        assert!(trouble.take_notice(at(20_025)).unwrap().text.contains("are stored again"));
    }

    #[test]
    fn what_somebody_has_to_mend_is_named_with_the_mend() {
        for (class, code, words) in [
            (FailureClass::Denied, "QueueDoesNotExist", "correct its name"),
            (FailureClass::Denied, "AccessDenied", "sqs:SendMessage"),
            (FailureClass::Unclear, "SomethingNew", "API reference"),
            (FailureClass::Credentials, "InvalidClientTokenId", "give access keys"),
        ] {
            let mut trouble = Trouble::new("q");
            trouble.refused(&Failure::new(class, code, "why"), at(0));
            let line = trouble.take_notice(at(0)).unwrap().text;
            assert!(line.contains(&format!("503: {code}: why; ")) && line.contains(words), "{line}");
        }
    }

    #[test]
    fn a_queue_that_fails_now_and_then_has_a_line_a_minute() {
        let mut trouble = Trouble::new("q");
        let mut lines = vec![];
        for tick in 0..40 * 180 {
            if tick % 10 == 0 {
                trouble.refused(&failure(), at(tick * 25));
            }
            trouble.stored();
            lines.extend(trouble.take_notice(at(tick * 25)));
        }
        assert_eq!(lines.len(), 3, "{lines:?}");
        let summary = "webhooks for q: in 60 s 240 could not be stored and were answered 503, and 2400 were stored: \
                       NoReply: refused";
        assert_eq!(lines[1].text, summary);
    }

    #[test]
    fn while_nobody_sends_anything_there_is_nothing_to_say() {
        let mut trouble = Trouble::new("q");
        trouble.refused(&failure(), at(0));
        assert!(trouble.take_notice(at(0)).is_some());
        assert!((1..1_000).all(|second| trouble.take_notice(at(second * 1_000)).is_none()));
    }
}
