//! When a failed entry is tried again: exponential backoff with full jitter, the way the AWS SDKs' standard mode does it.
//! (AWS SDKs and Tools Reference Guide, "Retry behavior".)

use std::time::Duration;

use crate::aws::error::FailureClass;

const TRANSIENT_BASE: Duration = Duration::from_millis(50);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(20);

/// How long to wait before the next attempt, when `attempts` have failed before this one. Anything from zero to the bound is as
/// likely, so that the workers of a fleet do not try in step.
pub fn delay(class: FailureClass, attempts: u32, rng: &mut fastrand::Rng) -> Duration {
    let bound = bound(class, attempts);
    Duration::from_millis(rng.u64(0..=u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
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
    fn the_delay_is_spread_over_the_whole_bound() {
        let mut rng = fastrand::Rng::with_seed(7);
        let delays: Vec<_> = (0..1_000).map(|_| delay(FailureClass::Throttled, 0, &mut rng).as_millis()).collect();
        assert!(delays.iter().all(|delay| *delay <= 1_000));
        assert!(delays.iter().any(|delay| *delay < 100) && delays.iter().any(|delay| *delay > 900));
    }
}
