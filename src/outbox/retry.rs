//! When a failed entry is tried again: exponential backoff with full jitter, the way the AWS SDKs' standard mode does it.
//! (AWS SDKs and Tools Reference Guide, "Retry behavior".)

use std::time::Duration;

use crate::aws::error::FailureClass;

const TRANSIENT_BASE: Duration = Duration::from_millis(50);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(20);

/// How long to wait before the next attempt, when `attempts` have failed before this one: `jitter` thousandths of a bound that
/// doubles. Where the jitter is random, the workers of a fleet do not try in step.
pub fn delay(class: FailureClass, attempts: u32, jitter: u32) -> Duration {
    bound(class, attempts).saturating_mul(jitter.min(1_000)) / 1_000
}

fn bound(class: FailureClass, attempts: u32) -> Duration {
    let base = match class {
        FailureClass::Transient | FailureClass::BatchTooLarge => TRANSIENT_BASE,
        FailureClass::Throttled | FailureClass::Credentials | FailureClass::Clock | FailureClass::Permanent => {
            THROTTLED_BASE
        }
    };
    base.saturating_mul(2u32.saturating_pow(attempts)).min(CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds = |class| (0..12).map(|attempts| bound(class, attempts).as_millis()).collect::<Vec<_>>();
        assert_eq!(
            bounds(FailureClass::Transient),
            [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 20_000, 20_000, 20_000]
        );
        assert_eq!(bounds(FailureClass::Throttled)[..6], [1_000, 2_000, 4_000, 8_000, 16_000, 20_000]);
        assert_eq!(bound(FailureClass::Transient, u32::MAX), CAP);
    }

    #[test]
    fn the_delay_is_a_share_of_the_bound() {
        let delay = |jitter| delay(FailureClass::Throttled, 1, jitter).as_millis();
        assert_eq!([delay(0), delay(250), delay(1_000), delay(7_000)], [0, 500, 2_000, 2_000]);
    }
}
