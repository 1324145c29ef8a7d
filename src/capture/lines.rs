//! Webhooks that wait for a call to their queue: which go together, and when. Knows their ids and
//! sizes, and nothing else of them.
//!
//! While few calls to a queue are under way, a webhook goes at once, alone. Above that, webhooks go
//! together: as soon as they fill a call, when a call comes back, or when the first has waited for
//! [`LONGEST_WAIT`], so that a call that hangs holds up nobody.

use std::time::Duration;

use super::CaptureId;
use crate::aws::protocol::MAX_EVENTS;
use crate::clock::Timestamp;

/// Calls to one queue below which nobody waits for company. With one, the median of four senders
/// was twice what it is alone, at a queue that answers in 10 ms; with sixteen, 200 senders made
/// half as many calls again (`bench/capture_rate.py`).
const FREE_CALLS: usize = 4;

/// The longest time that a webhook waits for company: a tick. Most wait for less, because calls
/// come back sooner.
const LONGEST_WAIT: Duration = Duration::from_millis(25);

/// Bytes of the messages that go together, at most. AWS bills a call by 64 KiB, so that more of
/// them in one call saves nothing; and a call takes no longer to make than that of one webhook of
/// that size.
const MOST_BYTES: usize = 65_536;

/// The lines of all queues.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<WaitingLine>,
    free_calls: usize,
}

/// Webhooks that wait for a call to one queue.
#[derive(Debug)]
struct WaitingLine {
    /// Webhooks that go alone, and at once, before others that may go together; both in the order
    /// in which they came.
    waiting: Vec<Waiting>,
    /// Calls that are under way.
    calls: usize,
    /// Bytes that the queue takes in one call, as far as is known.
    most_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    id: CaptureId,
    bytes: usize,
    since: Timestamp,
    alone: bool,
}

impl Lines {
    /// Creates empty lines for so many queues, which are called by their numbers. Unless webhooks
    /// `share` calls, each goes alone.
    pub(super) fn new(queues: usize, share: bool) -> Lines {
        let line = || WaitingLine { waiting: Vec::new(), calls: 0, most_bytes: MOST_BYTES };
        let free_calls = if share { FREE_CALLS } else { usize::MAX };
        Lines { lines: std::iter::repeat_with(line).take(queues).collect(), free_calls }
    }

    /// Lets no webhook wait for company from now on.
    pub(super) fn stop_sharing(&mut self) {
        self.free_calls = usize::MAX;
    }

    /// Adds a webhook whose message has so many bytes. It goes `alone` if it must.
    pub(super) fn join(&mut self, queue: usize, id: CaptureId, bytes: usize, alone: bool, now: Timestamp) {
        let Some(line) = self.lines.get_mut(queue) else { return };
        let alone = alone || bytes > line.most_bytes;
        let position = line.waiting.partition_point(|waiting| waiting.alone || !alone);
        line.waiting.insert(position, Waiting { id, bytes, since: now, alone });
    }

    /// Removes a webhook that waits no more.
    pub(super) fn leave(&mut self, queue: usize, id: CaptureId) {
        if let Some(line) = self.lines.get_mut(queue) {
            line.waiting.retain(|waiting| waiting.id != id);
        }
    }

    /// Takes the webhooks out that go next, and the number of their queue. Their call is under way
    /// from now on, and [`Lines::end`] ends it.
    pub(super) fn take_next(&mut self, now: Timestamp) -> Option<(usize, Vec<CaptureId>)> {
        let free_calls = self.free_calls;
        self.lines.iter_mut().enumerate().find_map(|(queue, line)| Some((queue, line.take_next(free_calls, now)?)))
    }

    /// Ends a call to a queue.
    pub(super) fn end(&mut self, queue: usize) {
        if let Some(line) = self.lines.get_mut(queue) {
            line.calls = line.calls.saturating_sub(1);
        }
    }

    /// Notes that so many bytes together were too many for a queue, which takes less than others.
    pub(super) fn refuse(&mut self, queue: usize, bytes: usize) {
        if let Some(line) = self.lines.get_mut(queue) {
            line.most_bytes = line.most_bytes.min(bytes / 2);
        }
    }

    /// Returns how many webhooks wait, and how many calls are under way.
    #[cfg(test)]
    pub(super) fn used(&self) -> (usize, usize) {
        let waiting = self.lines.iter().map(|line| line.waiting.len()).sum();
        (waiting, self.lines.iter().map(|line| line.calls).sum())
    }
}

impl WaitingLine {
    fn take_next(&mut self, free_calls: usize, now: Timestamp) -> Option<Vec<CaptureId>> {
        let first = self.waiting.first()?;
        let (count, is_full) = self.group();
        if self.calls >= free_calls && !is_full && now.since(first.since) < LONGEST_WAIT {
            return None;
        }
        self.calls += 1;
        let rest = self.waiting.split_off(count);
        let next = std::mem::replace(&mut self.waiting, rest);
        Some(next.iter().map(|waiting| waiting.id).collect())
    }

    /// Returns how many of the first go together, and true if no other can go with them.
    fn group(&self) -> (usize, bool) {
        let (mut count, mut bytes) = (0, 0);
        for waiting in &self.waiting {
            bytes += waiting.bytes;
            // The first one goes, whatever the queue has been found to take since it came.
            if count > 0 && (bytes > self.most_bytes || count == MAX_EVENTS as usize) {
                return (count, true);
            }
            count += 1;
            if waiting.alone {
                return (1, true);
            }
        }
        (count, count == MAX_EVENTS as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<CaptureId> {
        numbers.into_iter().map(CaptureId).collect()
    }

    /// Adds webhooks of a kilobyte, and takes out what goes after each.
    fn join(lines: &mut Lines, numbers: std::ops::Range<u32>) -> Vec<Vec<CaptureId>> {
        numbers
            .filter_map(|number| {
                lines.join(0, CaptureId(number), 1_024, false, NOW);
                Some(lines.take_next(NOW)?.1)
            })
            .collect()
    }

    /// Lines of one queue with all free calls taken.
    fn busy() -> Lines {
        let mut lines = Lines::new(1, true);
        let gone = join(&mut lines, 0..4);
        assert_eq!(gone, [ids([0]), ids([1]), ids([2]), ids([3])], "one that finds a free call goes at once, alone");
        lines
    }

    #[test]
    fn above_a_few_calls_ten_go_together_and_a_call_that_comes_back_takes_who_waits() {
        let mut lines = busy();
        assert_eq!(join(&mut lines, 4..23), [ids(4..14)]);
        lines.end(0);
        assert_eq!(lines.take_next(NOW), None, "as many are under way as before the ten");
        lines.end(0);
        assert_eq!(lines.take_next(NOW), Some((0, ids(14..23))));
        assert_eq!(lines.used(), (0, 4));
    }

    #[test]
    fn calls_that_hang_hold_up_nobody_for_more_than_a_tick() {
        let mut lines = busy();
        assert_eq!(join(&mut lines, 4..7), Vec::<Vec<_>>::new());
        assert_eq!(lines.take_next(NOW + Duration::from_millis(24)), None);
        assert_eq!(lines.take_next(NOW + LONGEST_WAIT), Some((0, ids(4..7))));
    }

    #[test]
    fn where_nobody_shares_each_goes_at_once() {
        let mut lines = Lines::new(1, false);
        assert_eq!(join(&mut lines, 0..50).len(), 50);
        let mut lines = busy();
        assert!(join(&mut lines, 4..7).is_empty());
        lines.stop_sharing();
        assert_eq!(lines.take_next(NOW), Some((0, ids(4..7))));
        assert_eq!(join(&mut lines, 7..9), [ids([7]), ids([8])]);
    }

    #[test]
    fn what_is_large_goes_alone_and_a_queue_that_takes_less_gets_less() {
        let mut lines = busy();
        lines.join(0, CaptureId(9), MOST_BYTES + 1, false, NOW);
        assert_eq!(lines.take_next(NOW), Some((0, ids([9]))));
        for (number, bytes) in [(10, 40_000), (11, 20_000), (12, 6_000)] {
            assert_eq!(lines.take_next(NOW), None);
            lines.join(0, CaptureId(number), bytes, false, NOW);
        }
        assert_eq!(lines.take_next(NOW), Some((0, ids([10, 11]))), "66,000 bytes are too many for one call");
        lines.refuse(0, 60_000);
        lines.join(0, CaptureId(13), 30_001, false, NOW);
        assert_eq!(lines.take_next(NOW), Some((0, ids([13]))));
        lines.refuse(0, 1_000);
        assert_eq!(lines.take_next(NOW + LONGEST_WAIT), Some((0, ids([12]))), "it came before that was known");
    }

    #[test]
    fn who_leaves_is_in_no_call_and_queues_do_not_wait_for_each_other() {
        let mut lines = Lines::new(2, true);
        join(&mut lines, 0..4);
        lines.join(0, CaptureId(4), 1, false, NOW);
        lines.join(0, CaptureId(5), 1, false, NOW);
        lines.join(0, CaptureId(6), 1, true, NOW);
        lines.join(1, CaptureId(7), 1, false, NOW);
        lines.leave(0, CaptureId(4));
        lines.leave(0, CaptureId(6));
        assert_eq!(lines.take_next(NOW), Some((1, ids([7]))));
        assert_eq!(lines.take_next(NOW), None);
        lines.end(0);
        assert_eq!(lines.take_next(NOW), Some((0, ids([5]))));
    }

    proptest! {
        #[test]
        fn in_order_within_the_bounds_and_never_left_waiting(
            steps in prop::collection::vec((0u8..4, 1usize..40_000, 0u64..30), 0..200),
        ) {
            let mut lines = Lines::new(1, true);
            let (mut now, mut came, mut calls, mut waiting) = (NOW, 0u32, 0usize, VecDeque::new());
            for (step, bytes, millis) in steps {
                match step {
                    0 | 1 => {
                        lines.join(0, CaptureId(came), bytes, false, now);
                        waiting.push_back((CaptureId(came), bytes, now));
                        came += 1;
                    }
                    2 if calls > 0 => {
                        lines.end(0);
                        calls -= 1;
                    }
                    _ => now = now + Duration::from_millis(millis),
                }
                while let Some((_, next)) = lines.take_next(now) {
                    let expected: Vec<_> = waiting.drain(..next.len()).collect();
                    prop_assert_eq!(&next, &expected.iter().map(|(id, ..)| *id).collect::<Vec<_>>());
                    let bytes: usize = expected.iter().map(|(_, bytes, _)| bytes).sum();
                    prop_assert!(next.len() <= 10 && bytes <= MOST_BYTES);
                    calls += 1;
                }
                prop_assert!(waiting.is_empty() || calls >= FREE_CALLS, "somebody waits, and a call is free");
                prop_assert!(waiting.len() < 10);
                prop_assert!(waiting.front().is_none_or(|(.., since)| now.since(*since) < LONGEST_WAIT));
                prop_assert_eq!(lines.used(), (waiting.len(), calls));
            }
        }
    }
}
