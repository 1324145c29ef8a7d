//! The tempo of a root whose host takes another period at any time: few ticks while nothing of its
//! worker waits, and the worker sends for nobody. Never decides what there is to do, and calls no
//! host.

use std::cell::Cell;
use std::time::Duration;

/// The periods of one root.
#[derive(Debug)]
pub(crate) struct Tempo {
    quick: Duration,
    /// The period while nothing waits, if the host lets it be changed and it is a longer one.
    slow: Option<Duration>,
    is_slow: Cell<bool>,
}

impl Tempo {
    /// Makes the tempo of a root that begins with the period `quick`.
    pub(crate) fn new(quick: Duration, slow: Option<Duration>) -> Tempo {
        Tempo { quick, slow: slow.filter(|slow| *slow > quick), is_slow: Cell::new(false) }
    }

    /// Returns the period to give to the host, if it is another one from now on. `is_quiet` is
    /// asked only where that matters.
    pub(crate) fn change(&self, is_quiet: impl FnOnce() -> bool) -> Option<Duration> {
        let slow = self.slow?;
        let is_slow = is_quiet();
        let period = if is_slow { slow } else { self.quick };
        (self.is_slow.replace(is_slow) != is_slow).then_some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_given_when_it_changes() {
        let [quick, slow] = [25, 100].map(Duration::from_millis);
        let tempo = Tempo::new(quick, Some(slow));
        let given = [false, true, true, false, false].map(|is_quiet| tempo.change(|| is_quiet));
        assert_eq!(given, [None, Some(slow), None, Some(quick), None]);
        for longest in [None, Some(quick)] {
            assert_eq!(Tempo::new(quick, longest).change(|| true), None);
        }
    }
}
