//! Bounds of what dead letters take of the host's log, so that overload is no flood of lines.
//!
//! A letter in the log is the last copy of an event, so what a queue can hold is written whole when
//! it dies. Overload has no such end: a full queue drops as fast as clients send. What is left out
//! is counted, and a line says how much. Never decides which letters go to a queue.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::metrics::{Metric, Updates};
use crate::notice::{Level, Notice};
use crate::publish::dead_letter::DropReason;

/// Bytes a second that each kind of letter may take in the long run: about a hundred letters.
const BYTES_PER_SECOND: i64 = 256 << 10;

/// Bytes at once of what a full queue dropped: enough to see what is dropped.
const OVERLOAD_BYTES: i64 = 1 << 20;

/// Bytes at once of all other letters: a whole queue of the default size.
const OTHER_BYTES: i64 = 16 << 20;

/// Time between two lines about what was left out.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes that may be written, and when that was so. A letter may take more than is left, and the
/// next ones wait until that is made up for.
#[derive(Debug)]
struct Allowance {
    most: i64,
    left: i64,
    at: Timestamp,
}

impl Allowance {
    const fn new(most: i64) -> Allowance {
        Allowance { most, left: most, at: Timestamp(0) }
    }

    /// Takes so many bytes, unless nothing is left.
    fn take(&mut self, bytes: usize, now: Timestamp) -> bool {
        let millis = i64::try_from(now.since(self.at).as_millis()).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(millis.saturating_mul(BYTES_PER_SECOND) / 1_000).min(self.most);
        self.at = now;
        let admits = self.left > 0;
        if admits {
            self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        admits
    }
}

/// Room in the log for the letters of one worker.
#[derive(Debug)]
pub(super) struct LetterBudget {
    overload: Allowance,
    others: Allowance,
    /// Letters left out since the last visit, and since the last line about them.
    left_out: u64,
    untold: u64,
    silent_until: Timestamp,
}

impl LetterBudget {
    /// Creates the budget of a worker that has written nothing.
    pub(super) fn new() -> LetterBudget {
        LetterBudget {
            overload: Allowance::new(OVERLOAD_BYTES),
            others: Allowance::new(OTHER_BYTES),
            left_out: 0,
            untold: 0,
            silent_until: Timestamp(0),
        }
    }

    /// Returns true if there is room for a letter; counts it if there is none. What dies with its
    /// process has room always.
    #[inline(never)]
    pub(super) fn admits(&mut self, letter: &Event, now: Timestamp) -> bool {
        let is = |reason: DropReason| letter.attributes.iter().any(|attribute| attribute.value == reason.name());
        if is(DropReason::Shutdown) {
            return true;
        }
        let allowance = if is(DropReason::QueueFull) { &mut self.overload } else { &mut self.others };
        let admitted = allowance.take(letter.message.len(), now);
        if !admitted {
            self.left_out += 1;
            self.untold += 1;
        }
        admitted
    }

    /// Reports what was counted since the last visit.
    pub(super) fn visit_metrics(&mut self, updates: &mut Updates) {
        updates.add(Metric::DeadLettersLeftOut, std::mem::take(&mut self.left_out));
    }

    /// Returns the line about what was left out, if it is due.
    pub(super) fn take_notice(&mut self, now: Timestamp) -> Option<Notice> {
        if self.untold == 0 || now < self.silent_until {
            return None;
        }
        self.silent_until = now + NOTICE_INTERVAL;
        let text = format!(
            "{} dead letter(s) are not in the log, which takes 256 KiB of them a second: they are lost, and counted only; with \
             `dead_letter.queue_url` they go to a queue",
            std::mem::take(&mut self.untold)
        );
        Some(Notice { level: Level::Error, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::dead_letter::{Address, DeadLetter};

    fn letter(reason: DropReason, bytes: usize) -> Event {
        let address = Address { key: "topic_arn", name: "t", region: "us-east-1" };
        let (id, message, at) = (String::new(), "x".repeat(bytes), Timestamp(0));
        let event =
            Event { id, message, at, attributes: Vec::new(), subject: None, group_id: None, trace_header: None };
        DeadLetter { event, reason, failure: None }.into_event(address, Timestamp(0))
    }

    /// Counts how many of `count` letters have room.
    fn admitted(budget: &mut LetterBudget, letter: &Event, count: usize, now: u64) -> usize {
        (0..count).filter(|_| budget.admits(letter, Timestamp(now))).count()
    }

    #[test]
    fn a_flood_of_overload_is_a_megabyte_and_then_so_much_a_second_and_the_rest_is_counted() {
        let mut budget = LetterBudget::new();
        let letter = letter(DropReason::QueueFull, 2_400);
        let bytes = i64::try_from(letter.message.len()).unwrap();
        let first = admitted(&mut budget, &letter, 10_000, 1_000_000);
        assert_eq!(first as i64, OVERLOAD_BYTES / bytes + 1);
        let mut later = 0;
        for tick in 0..1_000 {
            later += admitted(&mut budget, &letter, 20, 1_000_010 + tick * 10);
        }
        let expected = 10 * BYTES_PER_SECOND / bytes;
        assert!((later as i64).abs_diff(expected) <= 10, "{later} {expected}");
        let left_out = 10_000 + 20_000 - first - later;
        let line = budget.take_notice(Timestamp(1_020_000)).unwrap();
        assert!(line.text.starts_with(&format!("{left_out} dead letter(s)")), "{}", line.text);
        assert_eq!(budget.left_out, left_out as u64);
        assert_eq!(budget.take_notice(Timestamp(1_040_000)), None, "nothing was left out since");
    }

    #[test]
    fn a_whole_queue_that_dies_has_room_beside_overload_and_so_has_what_ends_with_its_process() {
        let mut budget = LetterBudget::new();
        assert!(admitted(&mut budget, &letter(DropReason::QueueFull, 1_000), 5_000, 1) < 5_000);
        let expired = letter(DropReason::Expired, 1_400);
        assert_eq!(admitted(&mut budget, &expired, 10_000, 1), 10_000, "10,000 events, the default bound");
        assert!(admitted(&mut budget, &expired, 10_000, 1) < 10_000);
        assert_eq!(admitted(&mut budget, &letter(DropReason::Shutdown, 1_400), 50_000, 1), 50_000);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing_for_longer_than_it_takes_to_fill() {
        let mut budget = LetterBudget::new();
        let letter = letter(DropReason::QueueFull, 2_000_000);
        assert!(budget.admits(&letter, Timestamp(9_000_000)));
        assert!(!budget.admits(&letter, Timestamp(5_000)), "an hour earlier");
        assert!(budget.admits(&letter, Timestamp(9_000)));
    }
}
