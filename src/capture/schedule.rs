//! The schedule of an intake: when something may happen to a webhook without its host's doing, in
//! order, so that what is due is found without a look at the rest. Decides nothing about it.

use std::collections::BTreeSet;

use super::CaptureId;
use crate::callout::ANSWERS_AT_ONCE;
use crate::clock::Timestamp;

/// When something is due for one webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// It ends, whether it can be stored or not.
    pub(super) end: Option<Timestamp>,
    /// It can be tried to store it, if a call can be signed.
    pub(super) attempt: Option<Timestamp>,
}

/// The times of all webhooks under way.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    ends: BTreeSet<(Timestamp, CaptureId)>,
    attempts: BTreeSet<(Timestamp, CaptureId)>,
}

impl Schedule {
    /// Replaces the times of one webhook.
    pub(super) fn change(&mut self, id: CaptureId, before: Times, after: Times) {
        replace(&mut self.ends, id, before.end, after.end);
        replace(&mut self.attempts, id, before.attempt, after.attempt);
    }

    /// Returns what is due at `now`, those first that have waited for longest, and no more than
    /// [`ANSWERS_AT_ONCE`]: the rest stays due. Attempts are due only if a call can be signed:
    /// `ready`. Half of the places are for them, if there are so many, whatever else ends.
    pub(super) fn due(&self, ready: bool, now: Timestamp) -> Vec<CaptureId> {
        let attempts: Vec<_> = first(&self.attempts, now).filter(|_| ready).collect();
        let for_attempts = attempts.len().min(ANSWERS_AT_ONCE / 2);
        let mut due: Vec<_> = first(&self.ends, now).take(ANSWERS_AT_ONCE - for_attempts).collect();
        for id in attempts {
            if due.len() < ANSWERS_AT_ONCE && !due.contains(&id) {
                due.push(id);
            }
        }
        due
    }

    /// Returns how many wait for a try.
    pub(super) fn waiting(&self) -> usize {
        self.attempts.len()
    }

    /// Returns every end and every attempt, in order.
    #[cfg(test)]
    pub(super) fn entries(&self) -> [Vec<(Timestamp, CaptureId)>; 2] {
        [&self.ends, &self.attempts].map(|table| table.iter().copied().collect())
    }
}

fn replace(
    table: &mut BTreeSet<(Timestamp, CaptureId)>,
    id: CaptureId,
    before: Option<Timestamp>,
    after: Option<Timestamp>,
) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        table.remove(&(before, id));
    }
    if let Some(after) = after {
        table.insert((after, id));
    }
}

fn first(table: &BTreeSet<(Timestamp, CaptureId)>, now: Timestamp) -> impl Iterator<Item = CaptureId> + '_ {
    table.iter().take_while(move |(at, _)| *at <= now).take(ANSWERS_AT_ONCE).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(end: Option<u64>, attempt: Option<u64>) -> Times {
        Times { end: end.map(Timestamp), attempt: attempt.map(Timestamp) }
    }

    #[test]
    fn the_oldest_are_due_first_a_few_dozen_at_a_time() {
        let mut schedule = Schedule::default();
        for number in 0..1_000 {
            schedule.change(CaptureId(number), Times::default(), at(Some(2_000 - u64::from(number)), None));
        }
        assert_eq!(schedule.due(true, Timestamp(1_000)), []);
        assert_eq!(schedule.due(true, Timestamp(1_002)), [CaptureId(999), CaptureId(998)]);
        let due = schedule.due(true, Timestamp(9_000));
        assert_eq!((due.len(), due[0]), (ANSWERS_AT_ONCE, CaptureId(999)));
        for id in due {
            schedule.change(id, at(Some(2_000 - u64::from(id.0)), None), Times::default());
        }
        assert_eq!(schedule.due(true, Timestamp(9_000))[0], CaptureId(999 - 32), "the rest stays due");
    }

    #[test]
    fn attempts_wait_for_credentials_and_not_for_those_who_are_silent() {
        let mut schedule = Schedule::default();
        for number in 0..100 {
            schedule.change(CaptureId(number), Times::default(), at(Some(1), None));
            schedule.change(CaptureId(100 + number), Times::default(), at(Some(5), Some(2)));
        }
        let attempts = |due: &[CaptureId]| due.iter().filter(|id| id.0 >= 100).count();
        let due = schedule.due(false, Timestamp(4));
        assert_eq!((due.len(), attempts(&due)), (ANSWERS_AT_ONCE, 0));
        let due = schedule.due(true, Timestamp(4));
        assert_eq!((due.len(), attempts(&due)), (ANSWERS_AT_ONCE, ANSWERS_AT_ONCE / 2));
        for number in 0..100 {
            schedule.change(CaptureId(number), at(Some(1), None), Times::default());
        }
        assert_eq!(attempts(&schedule.due(true, Timestamp(4))), ANSWERS_AT_ONCE, "if nothing else is due");
    }

    #[test]
    fn what_ends_and_could_be_tried_is_due_once() {
        let mut schedule = Schedule::default();
        schedule.change(CaptureId(1), Times::default(), at(Some(5), Some(2)));
        assert_eq!(schedule.due(true, Timestamp(5)), [CaptureId(1)]);
        schedule.change(CaptureId(1), at(Some(5), Some(2)), at(None, None));
        assert_eq!(schedule.due(true, Timestamp(5)), []);
    }
}
