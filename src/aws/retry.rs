//! The delay before a failed entry is tried again: exponential backoff with full jitter, as in the
//! AWS SDKs' standard mode (AWS SDKs and Tools Reference Guide, "Retry behavior"). Never waits
//! itself.

use std::time::Duration;

use crate::aws::error::FailureClass;

/// The bounds of the random delay before an event is tried again. The bound doubles with each
/// attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// The bound before the second attempt.
    pub(crate) initial_delay: Duration,
    /// The largest bound.
    pub(crate) max_delay: Duration,
}

/// The shortest first bound for a service that throttles, whatever the configuration says.
const THROTTLED_BASE: Duration = Duration::from_secs(1);

/// Returns the delay before the next attempt, when `attempts` have failed before this one: `jitter`
/// thousandths of a bound that doubles. With random jitter, the workers of a fleet do not try in
/// step.
pub(crate) fn delay(retry: &Retry, class: FailureClass, attempts: u32, jitter: u32) -> Duration {
    bound(retry, class, attempts).saturating_mul(jitter.min(1_000)) / 1_000
}

/// The first bound, and the largest, of the delay before what is refused is tried again: somebody
/// has to mend something first.
const HELD_BASE: Duration = Duration::from_secs(10);
const HELD_LONGEST: Duration = Duration::from_secs(30);

/// Returns the delay before something is tried again that is refused for what an operator has to
/// mend, when `attempts` have failed before this one: from half of a bound that doubles to all of
/// it, 5 to 30 s.
pub(crate) fn held(attempts: u32, jitter: u32) -> Duration {
    let bound = HELD_BASE.saturating_mul(2u32.saturating_pow(attempts)).min(HELD_LONGEST);
    bound / 2 + (bound / 2).saturating_mul(jitter.min(1_000)) / 1_000
}

fn bound(retry: &Retry, class: FailureClass, attempts: u32) -> Duration {
    let base = match class {
        FailureClass::Transient | FailureClass::BatchTooLarge => retry.initial_delay,
        FailureClass::Throttled
        | FailureClass::Credentials
        | FailureClass::Clock
        | FailureClass::Permanent
        | FailureClass::EntryTooLarge
        | FailureClass::Denied
        | FailureClass::Unclear => retry.initial_delay.max(THROTTLED_BASE),
    };
    base.saturating_mul(2u32.saturating_pow(attempts)).min(retry.max_delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Retry = Retry { initial_delay: Duration::from_millis(50), max_delay: Duration::from_secs(20) };

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds = |class| (0..12).map(|attempts| bound(&DEFAULT, class, attempts).as_millis()).collect::<Vec<_>>();
        assert_eq!(
            bounds(FailureClass::Transient),
            [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 20_000, 20_000, 20_000]
        );
        assert_eq!(bounds(FailureClass::Throttled)[..6], [1_000, 2_000, 4_000, 8_000, 16_000, 20_000]);
        assert_eq!(bound(&DEFAULT, FailureClass::Transient, u32::MAX), DEFAULT.max_delay);
    }

    #[test]
    fn the_configuration_has_the_last_word_on_the_cap_and_the_first_on_the_beginning() {
        let retry = |initial, max| Retry {
            initial_delay: Duration::from_millis(initial),
            max_delay: Duration::from_millis(max),
        };
        let first = |retry, class| bound(&retry, class, 0).as_millis();
        assert_eq!(first(retry(3, 500), FailureClass::Transient), 3);
        assert_eq!(first(retry(3, 500), FailureClass::Throttled), 500);
        assert_eq!(first(retry(4_000, 9_000), FailureClass::Throttled), 4_000);
        assert_eq!(bound(&retry(3, 500), FailureClass::Transient, 8).as_millis(), 500);
    }

    #[test]
    fn what_somebody_has_to_mend_is_tried_again_after_5_to_30_seconds() {
        let held = |attempts| [0, 1_000].map(|jitter| held(attempts, jitter).as_secs());
        assert_eq!([held(0), held(1), held(2), held(u32::MAX)], [[5, 10], [10, 20], [15, 30], [15, 30]]);
    }

    #[test]
    fn the_delay_is_a_share_of_the_bound() {
        let delay = |jitter| delay(&DEFAULT, FailureClass::Throttled, 1, jitter).as_millis();
        assert_eq!([delay(0), delay(250), delay(1_000), delay(7_000)], [0, 500, 2_000, 2_000]);
    }
}
