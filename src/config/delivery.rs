//! The sections `batch`, `queue`, `retry` and `dead_letter`: how events are kept until they are
//! delivered, and what becomes of those that are not.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::fault::Checked;
use super::reader::{Field, Section};
use super::role::{self, Part};
use super::{milliseconds, target, JournalChoice};
use crate::aws::protocol::MAX_EVENTS;
use crate::aws::retry::Retry;
use crate::aws::target::Target;
use crate::publish::outbox::settings::{Batch, Bounds, WhenFull};

/// Lengths of the mark of dead letters: too long to be guessed, and short beside the shortest line.
const MARK_LENGTHS: RangeInclusive<usize> = 16..=128;

pub(super) fn read_batch(root: &mut Section<'_>) -> Batch {
    let mut section = root.section("batch");
    let batch = Batch {
        max_entries: section.integer("max_entries", 1..=MAX_EVENTS, MAX_EVENTS) as usize,
        max_delay: milliseconds(section.integer("max_delay_ms", 0..=60_000, 100)),
    };
    section.finish();
    batch
}

/// Reads the bounds of the queue, and the choice of a journal, which goes with the role.
pub(super) fn read_queue(root: &mut Section<'_>, role: Checked<Part>) -> Checked<(Bounds, JournalChoice)> {
    let mut section = root.section("queue");
    let max_entries = section.integer("max_entries", 1..=1_000_000, 10_000) as usize;
    // A queue has room for one event of the largest size that SNS takes.
    let max_bytes = section.integer("max_bytes", 262_144..=268_435_456, 16_777_216) as usize;
    let max_age = Duration::from_secs(section.integer("max_age_seconds", 1..=4 * 86_400, 3_600).into());
    let victims = [("drop_oldest", WhenFull::DropOldest), ("drop_newest", WhenFull::DropNewest)];
    let when_full = section.choice("when_full", &victims);
    let journals = [("auto", JournalChoice::Auto), ("on", JournalChoice::On), ("off", JournalChoice::Off)];
    let choice = section.choice("journal", &journals);
    let journal = role::journal(&section, role, choice);
    section.finish();
    Ok((Bounds { max_entries, max_bytes, max_age, when_full: when_full? }, journal?))
}

pub(super) fn read_retry(root: &mut Section<'_>) -> Checked<Retry> {
    let mut section = root.section("retry");
    let initial_delay = section.integer("initial_delay_ms", 1..=60_000, 50);
    let max_delay = section.integer("max_delay_ms", 100..=300_000, 20_000);
    let checked = if initial_delay > max_delay {
        Err(section.fault_at(
            "initial_delay_ms",
            format!("{initial_delay} is more than max_delay_ms, which is {max_delay}"),
            "give a smaller one, or a larger max_delay_ms",
        ))
    } else {
        Ok(Retry { initial_delay: milliseconds(initial_delay), max_delay: milliseconds(max_delay) })
    };
    section.finish();
    checked
}

/// Reads the two places that dead letters may go to, the log and a queue, and the mark that they
/// bear in the log.
pub(super) fn read_dead_letter(root: &mut Section<'_>) -> Checked<(bool, Option<Target>, String)> {
    let mut section = root.section("dead_letter");
    let (log, queue) = (section.flag("log", true), target::read_queue(&mut section));
    let mark = section.confidential_optional("mark").map_or_else(|| Ok(String::new()), |field| read_mark(&field));
    section.finish();
    Ok((log, queue?, mark?))
}

fn read_mark(field: &Field<'_>) -> Checked<String> {
    let mark = field.secret()?;
    let is_word = mark.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !is_word || !MARK_LENGTHS.contains(&mark.len()) {
        let (least, most) = MARK_LENGTHS.into_inner();
        return Err(field.fault(
            format!("is not {least} to {most} of the characters A-Z a-z 0-9 _ -"),
            "give a word that nobody can guess, such as `openssl rand -hex 16` makes one",
        ));
    }
    Ok(mark)
}
