//! The pulse of a root: how often it ticks, slower while it has nothing to do, and at once where a
//! reply has made room for the next call. Never decides what there is to do, and calls no host.

use std::time::Duration;

use super::tick_gate::TickGate;
use crate::clock::Timestamp;

/// Timers that go on, where a host's period is changed with two of them.
const PAIR: u32 = 2;

/// The time from a reply to the tick that makes the next call.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(1);

/// The ticks of one root.
///
/// Kong takes a period only while it has none. Each time that it is given one it starts a timer
/// more, which goes on until it ticks while there is none. So there are two timers, due in the same
/// moment: at the tick of the one the work is done and the period taken away, which ends that
/// timer, and at the tick of the other the next period is given, which makes them two again. A
/// third one is started when a reply has come, and ends with its tick.
///
/// Counts the timers exactly, because a root whose last timer has ended never ticks again.
#[derive(Debug)]
pub(crate) struct Pulse {
    gate: TickGate,
    /// The period while there is something to do.
    period: Duration,
    /// The period while there is nothing, if it can be changed.
    idle_period: Option<Duration>,
    /// The host's timers.
    timers: u32,
    /// The period that the host is owed, while it has none.
    owed: Option<Duration>,
}

/// What a tick is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// To give the host this period.
    Give(Duration),
    /// To work, if it is time; afterwards the timer ends where the host has no period.
    Work,
}

impl Pulse {
    /// Creates a pulse of so many ticks, fewer of them while there is nothing to do if there is an
    /// `idle_period`. Where there is, the host is to start two timers.
    pub(crate) fn new(period: Duration, idle_period: Option<Duration>) -> Pulse {
        Pulse { gate: TickGate::new(period), period, idle_period, timers: PAIR, owed: None }
    }

    /// Returns the period to begin with.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    /// Returns true if the period is changed, for which the host is to start two timers.
    pub(crate) fn is_changed(&self) -> bool {
        self.idle_period.is_some()
    }

    /// Begins a tick.
    pub(crate) fn beat(&mut self) -> Beat {
        match self.owed {
            None => Beat::Work,
            Some(period) if self.timers <= 1 => {
                self.timers = PAIR;
                self.owed = None;
                Beat::Give(period)
            }
            Some(_) => {
                self.timers -= 1;
                // Nobody ticks again before the last timer does.
                self.gate.set_period(self.period);
                Beat::Work
            }
        }
    }

    /// Returns true if it is time to work.
    pub(crate) fn admits(&mut self, now: Timestamp) -> bool {
        self.gate.admits(now)
    }

    /// Ends a tick's work. Returns true if the host's period is to be taken away.
    pub(crate) fn rest(&mut self, has_nothing_to_do: bool) -> bool {
        let Some(idle_period) = self.idle_period else { return false };
        let period = if has_nothing_to_do { idle_period } else { self.period };
        self.gate.set_period(period);
        // A tick that found no period has ended its timer already.
        let has_period = self.owed.replace(period).is_none();
        self.timers -= u32::from(has_period);
        has_period
    }

    /// Returns true if the host's period is to be taken away, if it has one, and [`AT_ONCE`] given:
    /// a tick at once.
    pub(crate) fn hurry(&mut self) -> bool {
        if self.idle_period.is_none() || self.timers > PAIR {
            return false;
        }
        self.timers += 1;
        self.owed = None;
        self.gate.open();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUSY: Duration = Duration::from_millis(5);
    const IDLE: Duration = Duration::from_millis(50);

    /// nginx with the timers of one root.
    struct Nginx {
        pulse: Pulse,
        now: u64,
        period: u64,
        timers: Vec<u64>,
        worked: Vec<u64>,
    }

    impl Nginx {
        fn start() -> Nginx {
            let pulse = Pulse::new(BUSY, Some(IDLE));
            let mut nginx = Nginx { pulse, now: 1_000, period: 0, timers: vec![], worked: vec![] };
            nginx.set(BUSY);
            nginx.set(Duration::ZERO);
            nginx.set(BUSY);
            nginx
        }

        fn set(&mut self, period: Duration) {
            assert!(period.is_zero() || self.period == 0, "that traps");
            self.period = period.as_millis() as u64;
            if !period.is_zero() {
                self.timers.push(self.now + self.period);
            }
        }

        fn pass(&mut self, millis: u64, is_idle: bool) {
            let until = self.now + millis;
            while let Some(at) = self.timers.iter().copied().filter(|at| *at <= until).min() {
                self.now = self.now.max(at);
                let position = self.timers.iter().position(|timer| *timer == at).unwrap();
                self.timers.remove(position);
                self.tick(is_idle);
                if self.period != 0 {
                    self.timers.push(self.now + self.period);
                }
                let counted = self.pulse.timers as usize;
                assert_eq!(counted, self.timers.len(), "counted exactly");
                assert!((1..=3).contains(&counted));
            }
            self.now = until;
        }

        fn tick(&mut self, is_idle: bool) {
            match self.pulse.beat() {
                Beat::Give(period) => self.set(period),
                Beat::Work => {
                    if self.pulse.admits(Timestamp(self.now)) {
                        self.worked.push(self.now);
                        if self.pulse.rest(is_idle) {
                            self.set(Duration::ZERO);
                        }
                    }
                }
            }
        }

        fn reply(&mut self) {
            if self.pulse.hurry() {
                self.set(Duration::ZERO);
                self.set(AT_ONCE);
            }
        }
    }

    #[test]
    fn ticks_are_few_while_there_is_nothing_to_do() {
        let mut nginx = Nginx::start();
        for (is_idle, expected) in [(true, 20), (false, 200), (true, 20)] {
            nginx.pass(100, is_idle);
            nginx.worked.clear();
            nginx.pass(1_000, is_idle);
            assert_eq!(nginx.worked.len(), expected);
        }
    }

    #[test]
    fn where_it_cannot_be_changed_it_is_left_alone() {
        let mut pulse = Pulse::new(BUSY, None);
        assert!(!pulse.is_changed() && pulse.admits(Timestamp(1_000)) && !pulse.rest(true) && !pulse.hurry());
        assert_eq!((pulse.beat(), pulse.period()), (Beat::Work, BUSY));
    }

    proptest! {
        #[test]
        fn no_history_loses_the_last_timer_or_piles_them_up(
            steps in prop::collection::vec((0..60_u64, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut nginx = Nginx::start();
            for (millis, is_idle, replies) in steps {
                if replies {
                    let at = nginx.now;
                    nginx.reply();
                    nginx.pass(1, is_idle);
                    prop_assert_eq!(nginx.worked.last(), Some(&(at + 1)), "a tick at once");
                }
                nginx.pass(millis, is_idle);
            }
            nginx.worked.clear();
            nginx.pass(200, false);
            prop_assert!(nginx.worked.len() >= 26, "{:?}", nginx.worked);
        }
    }
}
