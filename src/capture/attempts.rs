//! Attempts to store one webhook while its sender waits: the first at once, more with backoff after
//! failures that may pass, all within the sender's patience. Knows nothing of what is stored, nor
//! of the calls that others share with it.

use std::time::Duration;

use super::schedule::Times;
use crate::aws::error::{Failure, FailureClass};
use crate::aws::retry;
use crate::aws::retry::Retry;
use crate::clock::Timestamp;

/// Shortest time for one try. A try gets half of the time that is left, so that there is time for
/// another.
const SHORTEST_TRY: Duration = Duration::from_secs(1);

/// The tries to store one webhook.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Timestamp,
    /// True if there can be more than one: not where a host lets nothing happen later.
    again: bool,
    retry: Retry,
    failed: u32,
    /// Why the last one failed.
    last: Option<Failure>,
    /// True if the next one may not fail for the sake of another webhook.
    alone: bool,
    state: AttemptState,
}

#[derive(Debug)]
enum AttemptState {
    /// The next try may begin at this time.
    Due(Timestamp),
    /// The next try begins with the call that it waits for.
    Waiting,
    /// A try is under way.
    Trying,
    /// It is stored, under this id.
    Stored(String),
    /// The last try failed in this way.
    Refused(Failure),
}

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for a call, and begin a try with it.
    Join,
    /// Nothing yet.
    Wait,
    /// The webhook is stored, under this id.
    Stored(String),
    /// The webhook is not stored, and will not be.
    Refused(Failure),
}

impl Attempts {
    /// Begins with a first try that is due at once. All end within `patience`; there is only one,
    /// unless `again`.
    pub(super) fn new(patience: Duration, again: bool, retry: Retry, now: Timestamp) -> Attempts {
        Attempts {
            deadline: now + patience,
            again,
            retry,
            failed: 0,
            last: None,
            alone: false,
            state: AttemptState::Due(now),
        }
    }

    /// Returns the next step at `now`; `ready` is true if a try can be signed.
    pub(super) fn poll(&mut self, ready: bool, now: Timestamp) -> Next {
        match &self.state {
            AttemptState::Due(_) | AttemptState::Waiting if now >= self.deadline || !(ready || self.again) => {
                Next::Refused(self.last.take().filter(|_| ready).unwrap_or_else(no_credentials))
            }
            AttemptState::Due(at) if now >= *at && ready => {
                self.state = AttemptState::Waiting;
                Next::Join
            }
            AttemptState::Due(_) | AttemptState::Waiting | AttemptState::Trying => Next::Wait,
            AttemptState::Stored(id) => Next::Stored(id.clone()),
            AttemptState::Refused(failure) => Next::Refused(failure.clone()),
        }
    }

    /// Begins a try. Returns how long it may take.
    pub(super) fn begin(&mut self, now: Timestamp) -> Duration {
        let left = self.deadline.since(now);
        self.state = AttemptState::Trying;
        if self.again {
            (left / 2).max(SHORTEST_TRY).min(left)
        } else {
            left
        }
    }

    /// Returns when the next step may be another than to wait, without a reply: never while a try
    /// is under way, because the host ends it.
    pub(super) fn due(&self) -> Times {
        match &self.state {
            AttemptState::Due(at) => Times { end: Some(self.deadline), attempt: Some(*at) },
            AttemptState::Waiting => Times { end: Some(self.deadline), attempt: None },
            AttemptState::Trying => Times::default(),
            AttemptState::Stored(_) | AttemptState::Refused(_) => {
                Times { end: Some(Timestamp::default()), attempt: None }
            }
        }
    }

    /// Returns true if a try waits for its call.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, AttemptState::Waiting)
    }

    /// Returns true if the next try shares its call with no other.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Ends a try that failed with all that shared its call, and maybe for the sake of one of them.
    /// Nothing is known of this webhook yet, so that its next try is at once, and alone.
    pub(super) fn part(&mut self, failure: Failure, now: Timestamp) {
        self.last = Some(failure);
        self.alone = true;
        self.state = AttemptState::Due(now);
    }

    /// Ends a try. `asked` is the time that the service wants to be left alone for; `jitter`, in
    /// thousandths, spreads the tries. Returns true if there will be another one.
    pub(super) fn settle(
        &mut self,
        outcome: Result<String, Failure>,
        asked: Option<Duration>,
        jitter: u32,
        now: Timestamp,
    ) -> bool {
        let failure = match outcome {
            Ok(id) => {
                self.state = AttemptState::Stored(id);
                return false;
            }
            Err(failure) => failure,
        };
        let delay = match failure.class {
            FailureClass::Transient | FailureClass::Throttled => {
                Some(retry::delay(&self.retry, failure.class, self.failed, jitter))
            }
            // The fault is mended before the next one is signed.
            FailureClass::Credentials | FailureClass::Clock if self.failed < 2 => Some(Duration::ZERO),
            _ => None,
        };
        // A queue that throttles wants fewer calls. Else a call that hangs, or an answer that makes
        // no sense of a batch, is no other webhook's again.
        self.alone |= failure.class == FailureClass::Transient;
        self.failed += 1;
        let due = delay.map(|delay| now + delay.max(asked.unwrap_or_default()));
        match due.filter(|due| self.again && *due < self.deadline) {
            Some(due) => {
                self.last = Some(failure);
                self.state = AttemptState::Due(due);
            }
            None => self.state = AttemptState::Refused(failure),
        }
        matches!(self.state, AttemptState::Due(_))
    }
}

fn no_credentials() -> Failure {
    let why = "there are no credentials to sign with; a line that begins with `credentials:` says why";
    Failure::new(FailureClass::Credentials, "NoCredentials", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const PATIENCE: Duration = Duration::from_secs(5);
    const RETRY: Retry = Retry { initial_delay: Duration::from_millis(50), max_delay: Duration::from_secs(20) };

    fn after(millis: u64) -> Timestamp {
        NOW + Duration::from_millis(millis)
    }

    fn failure(class: FailureClass) -> Failure {
        Failure::new(class, "Code", "message")
    }

    fn attempts() -> Attempts {
        Attempts::new(PATIENCE, true, RETRY, NOW)
    }

    /// Counts the tries until it is given up, when each fails in this way after `each`.
    fn tries(class: FailureClass, each: Duration) -> (usize, Timestamp) {
        let (mut attempts, mut now, mut count) = (attempts(), NOW, 0);
        loop {
            match attempts.poll(true, now) {
                Next::Join => {
                    count += 1;
                    now = now + each.min(attempts.begin(now));
                    attempts.settle(Err(failure(class)), None, 500, now);
                }
                Next::Wait => now = now + Duration::from_millis(25),
                Next::Refused(refused) => {
                    assert_eq!(refused, failure(class));
                    return (count, now);
                }
                Next::Stored(_) => panic!("nothing was stored"),
            }
        }
    }

    #[test]
    fn the_first_try_is_at_once_and_the_only_one_if_it_succeeds() {
        let mut attempts = attempts();
        assert_eq!(attempts.poll(true, NOW), Next::Join);
        assert_eq!((attempts.poll(true, NOW), attempts.begin(NOW)), (Next::Wait, PATIENCE / 2));
        assert!(!attempts.is_waiting());
        assert_eq!(attempts.poll(true, after(20)), Next::Wait);
        assert!(!attempts.settle(Ok("m-1".into()), None, 500, after(20)));
        assert_eq!(attempts.poll(true, after(20)), Next::Stored("m-1".into()));
    }

    #[test]
    fn what_may_pass_is_tried_again_within_the_sender_s_patience() {
        let (count, end) = tries(FailureClass::Transient, Duration::from_millis(5));
        assert!((7..12).contains(&count) && end <= NOW + PATIENCE, "{count} {end:?}");
        let (count, end) = tries(FailureClass::Transient, PATIENCE);
        assert!(
            (4..8).contains(&count) && end <= NOW + PATIENCE,
            "of those that hang, each gets a part: {count} {end:?}"
        );
        let (count, _) = tries(FailureClass::Throttled, Duration::from_millis(5));
        assert!((2..5).contains(&count), "{count}");
    }

    #[test]
    fn what_will_not_pass_is_given_up_at_once() {
        for class in [FailureClass::Permanent, FailureClass::BatchTooLarge] {
            assert_eq!(tries(class, Duration::ZERO), (1, NOW));
        }
        assert_eq!(tries(FailureClass::Clock, Duration::ZERO), (3, NOW), "the clock can be put right");
    }

    #[test]
    fn a_service_that_asks_for_more_time_than_there_is_gets_no_second_try() {
        let mut attempts = attempts();
        attempts.begin(NOW);
        assert!(!attempts.settle(Err(failure(FailureClass::Throttled)), Some(PATIENCE), 0, NOW));
        assert!(matches!(attempts.poll(true, NOW), Next::Refused(_)));
    }

    #[test]
    fn where_nothing_can_happen_later_there_is_one_try() {
        let mut once = Attempts::new(PATIENCE, false, RETRY, NOW);
        assert_eq!((once.poll(true, NOW), once.begin(NOW)), (Next::Join, PATIENCE));
        once.settle(Err(failure(FailureClass::Transient)), None, 0, NOW);
        assert!(matches!(once.poll(true, NOW), Next::Refused(_)));
        let mut unsigned = Attempts::new(PATIENCE, false, RETRY, NOW);
        assert!(matches!(unsigned.poll(false, NOW), Next::Refused(_)));
    }

    #[test]
    fn a_try_that_comes_too_late_is_not_made() {
        let mut attempts = attempts();
        attempts.begin(NOW);
        assert!(attempts.settle(Err(failure(FailureClass::Transient)), None, 1_000, after(4_000)));
        assert_eq!(
            attempts.poll(true, after(5_000)),
            Next::Refused(failure(FailureClass::Transient)),
            "ticks may be late"
        );
    }

    #[test]
    fn credentials_are_waited_for() {
        let mut attempts = attempts();
        assert_eq!(attempts.poll(false, NOW), Next::Wait);
        assert_eq!(attempts.poll(true, after(3_000)), Next::Join);
        attempts.begin(after(3_000));
        attempts.settle(Err(failure(FailureClass::Credentials)), None, 0, after(3_010));
        assert_eq!(attempts.poll(false, after(3_010)), Next::Wait, "until there are others");
        let Next::Refused(refused) = attempts.poll(false, after(5_000)) else { panic!("patience has an end") };
        assert_eq!(refused.code, "NoCredentials");
    }
}
