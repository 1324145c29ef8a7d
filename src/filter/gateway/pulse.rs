//! The pulse of a root: how often it ticks, slower while it has nothing to do. Never decides what
//! there is to do, and calls no host.

use std::time::Duration;

use super::tick_gate::TickGate;
use crate::clock::Timestamp;

/// The ticks of one root.
///
/// Where a period can only be set while there is none, as on Kong, each change takes two timers: at
/// the tick of the one the period is taken away, which ends that timer, and at the tick of the
/// other, due in the same moment, the next is set, which starts one more. A host that has one timer
/// only would then never tick again, so [`Pulse::slows_down`] tells to start two.
#[derive(Debug)]
pub(crate) struct Pulse {
    gate: TickGate,
    /// The period while there is something to do.
    period: Duration,
    /// The period while there is nothing, if it can be changed.
    idle_period: Option<Duration>,
    /// The period that the host is owed, while it has none.
    owed: Option<Duration>,
}

impl Pulse {
    /// Creates a pulse of so many ticks, fewer of them while there is nothing to do if there is an
    /// `idle_period`.
    pub(crate) fn new(period: Duration, idle_period: Option<Duration>) -> Pulse {
        Pulse { gate: TickGate::new(period), period, idle_period, owed: None }
    }

    /// Returns the period to begin with.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    /// Returns true if the host is to start two timers.
    pub(crate) fn slows_down(&self) -> bool {
        self.idle_period.is_some()
    }

    /// Returns the period that the host is owed. The tick was for that alone.
    pub(crate) fn take_owed(&mut self) -> Option<Duration> {
        self.owed.take()
    }

    /// Returns true if it is time to work.
    pub(crate) fn admits(&mut self, now: Timestamp) -> bool {
        self.gate.admits(now)
    }

    /// Ends a tick's work. Returns true if the host is to forget its period.
    pub(crate) fn rest(&mut self, has_nothing_to_do: bool) -> bool {
        let Some(idle_period) = self.idle_period else { return false };
        let period = if has_nothing_to_do { idle_period } else { self.period };
        self.gate.set_period(period);
        self.owed = Some(period);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Duration = Duration::from_millis(5);
    const IDLE: Duration = Duration::from_millis(50);

    #[test]
    fn a_period_is_taken_away_and_the_next_one_owed() {
        let mut pulse = Pulse::new(BUSY, Some(IDLE));
        assert!(pulse.slows_down() && pulse.admits(Timestamp(1_000)) && pulse.rest(true));
        assert_eq!((pulse.take_owed(), pulse.take_owed()), (Some(IDLE), None));
        assert!(!pulse.admits(Timestamp(1_005)) && pulse.admits(Timestamp(1_050)));
        assert!(pulse.rest(false));
        assert_eq!(pulse.take_owed(), Some(BUSY));
        assert!(pulse.admits(Timestamp(1_055)));
    }

    #[test]
    fn one_that_cannot_be_changed_is_left_alone() {
        let mut pulse = Pulse::new(BUSY, None);
        assert!(!pulse.slows_down() && pulse.admits(Timestamp(1_000)) && !pulse.rest(true));
        assert_eq!((pulse.take_owed(), pulse.period()), (None, BUSY));
    }
}
