//! A circuit breaker: a retry quota, and one probe at a time once it is used up.
//!
//! Failed calls take tokens out of a bucket, as in the AWS SDKs' standard retry mode (AWS SDKs and
//! Tools Reference Guide, "Retry behavior"). An SDK gives a call up when the bucket is empty; a
//! queue keeps its events, so here the circuit opens instead: a service that is down gets one call
//! at a time to find out whether it is back, and everything else waits. Knows nothing of events.

use std::time::Duration;

use crate::aws::error::FailureClass;
use crate::aws::retry;
use crate::clock::Timestamp;

/// Tokens of a full bucket.
const CAPACITY: u32 = 500;
/// Cost of a failed call; one that succeeds gives as much back.
const FAILED_COST: u32 = 14;
/// Failed calls in a row that open the circuit whatever the bucket holds: at a low rate it would
/// take hours to empty.
const STREAK: u32 = 5;

/// Time until the first probe of an open circuit; it doubles with each further one.
const FIRST_PROBE: Duration = Duration::from_millis(100);
/// Longest time between probes: a service that is back has the whole traffic again within a second.
const LONGEST_PROBE: Duration = Duration::from_millis(900);

/// How a service has done of late, and when it may be called.
#[derive(Debug)]
pub(super) struct Circuit {
    tokens: u32,
    streak: u32,
    open: Option<Open>,
    /// The service asked for silence until then.
    silent_until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    probes: u32,
    next_probe: Timestamp,
    /// True if somebody has to mend something before a call can succeed.
    refused: bool,
}

impl Circuit {
    /// Creates a closed circuit with a full bucket.
    pub(super) fn new() -> Circuit {
        Circuit { tokens: CAPACITY, streak: 0, open: None, silent_until: Timestamp(0) }
    }

    /// Returns true if a call may be made now, while `in_flight` calls are under way.
    pub(super) fn admits(&self, in_flight: usize, now: Timestamp) -> bool {
        now >= self.silent_until && self.open.is_none_or(|open| in_flight == 0 && now >= open.next_probe)
    }

    /// Returns true if calls are probes.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns true if it is open because the target refuses its caller.
    pub(super) fn is_refused(&self) -> bool {
        self.open.is_some_and(|open| open.refused)
    }

    /// Notes a failed call whose events are tried again, unless it was throttled. `jitter`, in thousandths, spreads the
    /// probes of a fleet.
    pub(super) fn failed(&mut self, class: FailureClass, jitter: u32, now: Timestamp) {
        self.tokens = self.tokens.saturating_sub(FAILED_COST);
        self.streak = self.streak.saturating_add(1);
        let refused = class.is_held();
        let opens = class == FailureClass::Denied || self.tokens < FAILED_COST || self.streak >= STREAK;
        let (since, probes) = match self.open {
            // Not a probe: it was under way when the circuit opened.
            Some(open) if open.refused && refused && now < open.next_probe => return,
            Some(open) if open.refused == refused => (open.since, open.probes.saturating_add(1)),
            Some(open) => (open.since, 0),
            None if opens => (now, 0),
            None => return,
        };
        let delay = if refused {
            retry::held(probes, jitter)
        } else {
            let bound = FIRST_PROBE.saturating_mul(2u32.saturating_pow(probes)).min(LONGEST_PROBE);
            bound.saturating_mul(500 + jitter.min(1_000) / 2) / 1_000
        };
        self.open = Some(Open { since, probes, next_probe: now + delay, refused });
    }

    /// Notes an answer of a service that works. Returns how long the circuit was open, if that
    /// closes it.
    pub(super) fn succeeded(&mut self, now: Timestamp) -> Option<Duration> {
        self.silent_until = Timestamp(0);
        self.answered(now)
    }

    /// Notes an answer of a service that is there. Returns how long the circuit was open, if that
    /// closes it.
    pub(super) fn answered(&mut self, now: Timestamp) -> Option<Duration> {
        self.streak = 0;
        let closed = self.open.take().map(|open| now.since(open.since));
        self.tokens = if closed.is_some() { CAPACITY } else { (self.tokens + FAILED_COST).min(CAPACITY) };
        closed
    }

    /// Makes no call before `until`, as the service has asked.
    pub(super) fn hold(&mut self, until: Timestamp) {
        self.silent_until = self.silent_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{Denied, Transient, Unclear};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn millis(millis: u64) -> Timestamp {
        NOW + Duration::from_millis(millis)
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_closes_it() {
        let mut circuit = Circuit::new();
        for _ in 0..STREAK - 1 {
            circuit.failed(Transient, 1_000, NOW);
            assert!(circuit.admits(3, NOW));
        }
        circuit.failed(Transient, 1_000, NOW);
        assert!(!circuit.admits(0, millis(99)), "before the first probe");
        assert!(circuit.admits(0, millis(100)) && !circuit.admits(1, millis(100)), "one probe at a time");
        assert_eq!(circuit.succeeded(millis(43_000)), Some(Duration::from_secs(43)));
        assert!(circuit.admits(3, millis(43_000)));
        assert_eq!(circuit.succeeded(millis(43_001)), None);
    }

    #[test]
    fn probes_come_at_least_every_second_however_long_it_lasts() {
        let mut circuit = Circuit::new();
        let mut now = NOW;
        for _ in 0..1_000 {
            circuit.failed(Transient, 1_000, now);
            now = now + Duration::from_millis(900);
            assert!(circuit.admits(0, now));
        }
    }

    #[test]
    fn a_service_that_fails_now_and_then_empties_the_bucket() {
        let mut circuit = Circuit::new();
        let calls = (1..).find(|call| {
            match call % 3 {
                0 => drop(circuit.succeeded(NOW)),
                _ => circuit.failed(Transient, 0, NOW),
            }
            circuit.is_open()
        });
        assert_eq!(calls, Some(101), "two failures for each success take 14 tokens in three calls");
    }

    #[test]
    fn one_refusal_opens_it_and_it_is_probed_slowly_until_somebody_has_mended_it() {
        let mut circuit = Circuit::new();
        circuit.failed(Denied, 0, NOW);
        assert!(circuit.is_refused() && !circuit.admits(0, millis(4_999)) && circuit.admits(0, millis(5_000)));
        // Replies to what was under way are no probes.
        (0..8).for_each(|_| circuit.failed(Denied, 0, NOW));
        assert!(circuit.admits(0, millis(5_000)));
        circuit.failed(Denied, 1_000, millis(5_000));
        assert!(!circuit.admits(0, millis(24_999)) && circuit.admits(0, millis(25_000)));
        (0..9).for_each(|probe| circuit.failed(Denied, 1_000, millis(25_000 + 30_000 * probe)));
        assert!(!circuit.admits(0, millis(294_999)) && circuit.admits(0, millis(295_000)));
        circuit.failed(Transient, 1_000, millis(295_000));
        assert!(!circuit.is_refused() && circuit.admits(0, millis(295_100)), "and something else is found soon");
    }

    #[test]
    fn a_refusal_that_may_be_of_one_event_opens_it_only_if_it_is_repeated() {
        let mut circuit = Circuit::new();
        (1..STREAK).for_each(|_| circuit.failed(Unclear, 0, NOW));
        assert!(!circuit.is_open());
        circuit.failed(Unclear, 0, NOW);
        assert!(circuit.is_refused() && !circuit.admits(0, millis(4_999)));
    }

    #[test]
    fn the_service_is_left_alone_for_as_long_as_it_asks() {
        let mut circuit = Circuit::new();
        circuit.hold(millis(3_000));
        circuit.hold(millis(2_000));
        assert!(!circuit.admits(0, millis(2_999)) && circuit.admits(0, millis(3_000)));
    }
}
