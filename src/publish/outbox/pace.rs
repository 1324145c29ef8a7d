//! The pace of calls to a service that throttles, and how many may be under way at once.
//!
//! A throttling service tells a worker nothing but that it was one call too many; how many others
//! call it, nobody knows. So each worker finds its share by itself: it calls more and more often
//! while it is not throttled, and less often by a factor when it is (additive increase,
//! multiplicative decrease: D.-M. Chiu and R. Jain, 1989). The rate grows with time and not with
//! success, so that luck gives nobody more, and a throttled worker is next a little sooner. Where
//! nothing was throttled there is no rate. Knows nothing of events, and of no failure but throttling.

use std::time::Duration;

use crate::clock::Timestamp;

/// Calls a second after the first throttled call, if no more were taken before it.
const FIRST_RATE: f64 = 0.25;
/// Calls a second up to which a rate at least doubles with each call that is taken, until the next
/// is throttled.
const DOUBLED: f64 = 1.0;
/// Calls a second at least: 450 workers at this rate get all of 30 calls a second, and one finds out
/// within 15 s that a service has stopped to throttle.
const LEAST_RATE: f64 = 1.0 / 15.0;
/// Calls a second beyond which a rate bounds nothing any more: no worker makes more.
const HIGHEST_RATE: f64 = 1_000.0;
/// Growth of a rate of one call a second, in calls a second for each second. Others grow by this
/// times their power of 1.5: a high one is found again in less time than with a line, and of two
/// workers the slower one still gains on the other, because throttling costs in proportion.
const GROWTH: f64 = 0.04;
/// Factor of a throttled call.
const THROTTLED: f64 = 0.5;
/// Throttled calls in a row after which the service is taken to have given nothing, and the rate
/// doubles again at first.
const NOTHING: u32 = 4;
/// Share of the interval for which a worker waits that was throttled.
const SOONER: f64 = 0.5;
/// Calls that were due for longer are not made up for.
const LATEST: Duration = Duration::from_millis(100);
/// Time over which it is counted how many calls were taken.
const COUNTED: Duration = Duration::from_secs(1);

/// How often the service of one worker is called.
#[derive(Debug)]
pub(super) struct Pace {
    window: usize,
    /// Calls that were taken in this period, and in the one before.
    taken: [u32; 2],
    counted_since: Timestamp,
    rate: Option<Rate>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    grown_at: Timestamp,
    cut_at: Timestamp,
    next_call: Timestamp,
    /// Throttled calls in a row.
    throttled: u32,
    /// The rate doubles with each call that is taken, up to this.
    doubles_to: f64,
}

impl Pace {
    /// Creates the pace of a worker that may have so many calls under way, and knows nothing of its
    /// service.
    pub(super) fn new(most: usize) -> Pace {
        Pace { window: most, taken: [0; 2], counted_since: Timestamp(0), rate: None }
    }

    /// Returns true if a call may be made now, while `in_flight` calls are under way.
    pub(super) fn admits(&self, in_flight: usize, now: Timestamp) -> bool {
        in_flight < self.window && self.rate.is_none_or(|rate| rate.next_call <= now)
    }

    /// Returns how many calls may begin now, while `in_flight` calls are under way.
    pub(super) fn room(&self, in_flight: usize) -> usize {
        if self.is_limited() {
            1
        } else {
            self.window.saturating_sub(in_flight)
        }
    }

    /// Returns true if the next call may be made before `until`, others under way or not.
    pub(super) fn admits_before(&self, until: Timestamp) -> bool {
        self.rate.is_none_or(|rate| rate.next_call < until)
    }

    /// Returns true if calls are made less often than they could be.
    pub(super) fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Lets the rate grow for the time since the last look; only while there is something to call
    /// for, or it would say nothing of the service.
    pub(super) fn grow(&mut self, is_wanted: bool, now: Timestamp) {
        let Some(rate) = &mut self.rate else { return };
        let seconds = now.since(rate.grown_at).as_secs_f64();
        rate.grown_at = now;
        if is_wanted {
            rate.per_second += GROWTH * seconds * rate.per_second * rate.per_second.sqrt();
        }
        if rate.per_second >= HIGHEST_RATE {
            self.rate = None;
        }
    }

    /// Notes that a call is made. `jitter`, in thousandths, spreads the calls of a fleet.
    pub(super) fn called(&mut self, jitter: u32, now: Timestamp) {
        if let Some(rate) = &mut self.rate {
            let due = rate.next_call.max(Timestamp(now.0.saturating_sub(millis(LATEST))));
            rate.next_call = due + interval(rate.per_second, 500 + jitter);
        }
    }

    /// Notes a call that was taken; `most` may be under way at once.
    pub(super) fn taken(&mut self, most: usize, now: Timestamp) {
        self.window = (self.window + 1).min(most.max(1));
        self.count(now);
        self.taken[0] = self.taken[0].saturating_add(1);
        if let Some(rate) = &mut self.rate {
            rate.throttled = 0;
            rate.per_second = rate.per_second.max(rate.doubles_to.min(2.0 * rate.per_second));
        }
    }

    /// Notes a call that was begun at `begun` and throttled. Returns how many in a row were.
    pub(super) fn throttled(&mut self, begun: Timestamp, jitter: u32, now: Timestamp) -> u32 {
        self.window = 1;
        self.count(now);
        let Some(rate) = &mut self.rate else {
            let before = f64::from(self.taken[1]) / COUNTED.as_secs_f64();
            let per_second = FIRST_RATE.max(THROTTLED * before);
            // In a period that is not over luck counts for much: who calls first gets what there
            // is. So that is not where it begins, but how far it doubles.
            let so_far = f64::from(self.taken[0]) / COUNTED.as_secs_f64();
            let doubles_to = DOUBLED.max(THROTTLED * so_far);
            // Those that were throttled together come back one after the other.
            let next_call = now + interval(per_second, jitter);
            let rate = Rate { per_second, grown_at: now, cut_at: now, next_call, throttled: 1, doubles_to };
            self.rate = Some(rate);
            return 1;
        };
        // One that was under way at the last cut says nothing new.
        if begun >= rate.cut_at {
            rate.per_second = LEAST_RATE.max(THROTTLED * rate.per_second);
            rate.throttled = rate.throttled.saturating_add(1);
            rate.doubles_to = if rate.throttled >= NOTHING { DOUBLED } else { 0.0 };
            rate.cut_at = now;
            rate.next_call = now + interval(rate.per_second, 500 + jitter).mul_f64(SOONER);
        }
        rate.throttled
    }

    /// Begins with one call at a time, for the service was away.
    pub(super) fn begin(&mut self) {
        self.window = 1;
    }

    fn count(&mut self, now: Timestamp) {
        match now.since(self.counted_since) {
            since if since < COUNTED => return,
            since if since < 2 * COUNTED => self.taken = [0, self.taken[0]],
            _ => self.taken = [0, 0],
        }
        self.counted_since = now;
    }
}

/// Returns so many thousandths of the time between two calls.
fn interval(per_second: f64, thousandths: u32) -> Duration {
    Duration::from_secs_f64(f64::from(thousandths) / 1_000.0 / per_second.max(LEAST_RATE))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    /// Calls that are made within `duration`, each answered at once with what `is_taken` says.
    fn calls(pace: &mut Pace, now: &mut Timestamp, duration: Duration, is_taken: bool) -> u32 {
        let (end, mut calls) = (*now + duration, 0);
        while *now < end {
            pace.grow(true, *now);
            while calls < 1_000_000 && pace.admits(0, *now) && pace.is_limited() {
                pace.called(500, *now);
                calls += 1;
                match is_taken {
                    true => pace.taken(4, *now),
                    false => drop(pace.throttled(*now, 500, *now)),
                }
            }
            *now = *now + Duration::from_millis(25);
        }
        calls
    }

    #[test]
    fn where_nothing_was_throttled_there_is_no_rate_and_more_at_once_after_each_success() {
        let mut pace = Pace::new(2);
        assert!(pace.admits(1, NOW) && !pace.admits(2, NOW));
        (0..9).for_each(|_| pace.taken(4, NOW));
        assert!(pace.admits(3, NOW) && !pace.admits(4, NOW) && !pace.is_limited());
        pace.begin();
        assert!(pace.admits(0, NOW) && !pace.admits(1, NOW), "after a pause one at a time");
        pace.taken(4, NOW);
        assert!(pace.admits(1, NOW) && !pace.admits(2, NOW));
    }

    #[test]
    fn it_goes_on_from_what_was_taken_before_and_calls_that_were_throttled_together_count_once() {
        let mut pace = Pace::new(2);
        (0..200).for_each(|call| pace.taken(4, NOW + Duration::from_millis(10 * call)));
        let now = NOW + 2 * SECOND;
        for _ in 0..4 {
            assert_eq!(pace.throttled(NOW, 0, now), 1);
        }
        let (mut now, begun) = (now, now);
        let taken = calls(&mut pace, &mut now, SECOND, true);
        assert!((45..70).contains(&taken), "it had 100 a second: {taken}");
        assert_eq!(pace.throttled(begun, 0, now), 1);
    }

    #[test]
    fn a_service_that_gives_nothing_is_called_seldom_and_one_that_is_back_has_everything_in_two_minutes() {
        let mut pace = Pace::new(2);
        pace.throttled(NOW, 500, NOW);
        let mut now = NOW;
        let throttled = calls(&mut pace, &mut now, 300 * SECOND, false);
        assert!((30..60).contains(&throttled), "{throttled} calls in five minutes");
        assert!(!pace.admits_before(now) && pace.admits_before(now + 15 * SECOND));
        calls(&mut pace, &mut now, 120 * SECOND, true);
        assert!(!pace.is_limited());
    }

    #[test]
    fn a_rate_that_nobody_uses_does_not_grow() {
        let mut pace = Pace::new(2);
        pace.throttled(NOW, 500, NOW);
        let rate = |pace: &Pace| pace.rate.map(|rate| rate.per_second);
        let before = rate(&pace);
        pace.grow(false, NOW + 1_000 * SECOND);
        assert_eq!(rate(&pace), before);
        pace.grow(true, NOW + 1_001 * SECOND);
        assert!(rate(&pace) > before);
    }
}
