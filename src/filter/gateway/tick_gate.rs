//! Keeps ticks to their period, however many timers the gateway runs. Never sets a timer itself.

use std::time::Duration;

use crate::clock::Timestamp;

/// Admits one tick in each period. After a trap Kong runs the old timer beside the new one, and one
/// more after each further trap.
#[derive(Debug)]
pub(crate) struct TickGate {
    period: Duration,
    last: Option<Timestamp>,
}

impl TickGate {
    /// Makes a gate for ticks that come every `period`.
    pub(crate) fn new(period: Duration) -> TickGate {
        TickGate { period, last: None }
    }

    /// Sets the period from now on.
    pub(crate) fn set_period(&mut self, period: Duration) {
        self.period = period;
    }

    /// Admits the next tick, whenever it comes.
    pub(crate) fn open(&mut self) {
        self.last = None;
    }

    /// Returns true if it is time again. A tick may be a millisecond early, which is how exact the
    /// clocks are. A clock that was set back does not close the gate.
    pub(crate) fn admits(&mut self, now: Timestamp) -> bool {
        let early = |last: Timestamp| last <= now && now.since(last) + Duration::from_millis(1) < self.period;
        if self.last.is_some_and(early) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_once_in_a_period_whatever_the_number_of_timers() {
        let mut gate = TickGate::new(Duration::from_millis(5));
        let admitted = (0..=100).filter(|millis| gate.admits(Timestamp(1_000 + millis))).count();
        assert_eq!(admitted, 26, "every four milliseconds at most");
        assert!(gate.admits(Timestamp(500)), "the clock was set back");
        assert!(!gate.admits(Timestamp(501)));
    }

    #[test]
    fn ticks_that_are_a_little_early_all_pass() {
        let mut gate = TickGate::new(Duration::from_millis(5));
        for at in [1_000, 1_004, 1_010, 1_014, 1_020] {
            assert!(gate.admits(Timestamp(at)), "{at}");
        }
    }
}
