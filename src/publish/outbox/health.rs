//! How deliveries go, for the log: one line when they begin to fail, one when they succeed again,
//! one when what had gathered is delivered. Single failures get no line: they are counted.

use std::time::Duration;

use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// A service that answers now and then is not back: it is when it has not failed for this long.
const STEADY: Duration = Duration::from_secs(2);

/// How the service is doing, as the log has it.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Good,
    /// The first failure is not in the log yet.
    Failed {
        since: Timestamp,
    },
    Bad {
        since: Timestamp,
    },
    /// It succeeds again, and may fail once more.
    Better {
        since: Timestamp,
        from: Timestamp,
    },
    /// Events that were queued before `from` are being delivered.
    CatchingUp {
        from: Timestamp,
    },
}

/// Turns the states of a circuit into lines.
#[derive(Debug, Default)]
pub(super) struct Health {
    phase: Phase,
    /// The last failure of a service that does not deliver.
    failure: Option<Failure>,
}

impl Health {
    /// Notes that the service is taken for unable to deliver.
    pub(super) fn failed(&mut self, failure: &Failure, now: Timestamp) {
        self.failure = Some(failure.clone());
        self.phase = match std::mem::take(&mut self.phase) {
            Phase::Good | Phase::CatchingUp { .. } => Phase::Failed { since: now },
            Phase::Better { since, .. } => Phase::Bad { since },
            phase => phase,
        };
    }

    /// Notes that the service delivers again.
    pub(super) fn recovered(&mut self, now: Timestamp) {
        self.failure = None;
        self.phase = match std::mem::take(&mut self.phase) {
            // It was never in the log.
            Phase::Failed { .. } => Phase::Good,
            Phase::Bad { since } => Phase::Better { since, from: now },
            phase => phase,
        };
    }

    /// Returns the last failure, while the service is taken for unable to deliver.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Returns the line for what has changed since the last time; `queued` is how much waits now,
    /// and `oldest` since when.
    pub(super) fn take_notice(&mut self, queued: usize, oldest: Option<Timestamp>, now: Timestamp) -> Option<Notice> {
        let (phase, level, text) = match &self.phase {
            Phase::Failed { since } => {
                let Failure { code, message, .. } = self.failure.as_ref()?;
                let text =
                    format!("delivery fails and will be tried again, {queued} event(s) queued: {code}: {message}");
                (Phase::Bad { since: *since }, Level::Warn, text)
            }
            Phase::Better { since, from } if now.since(*from) >= STEADY => (
                Phase::CatchingUp { from: *from },
                Level::Info,
                format!("delivery succeeds again after {} s, {queued} event(s) queued", from.since(*since).as_secs()),
            ),
            Phase::CatchingUp { from } if oldest.is_none_or(|oldest| oldest > *from) => {
                (Phase::Good, Level::Info, "the queue has drained: everything that had waited is settled".to_owned())
            }
            _ => return None,
        };
        self.phase = phase;
        Some(Notice { level, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::FailureClass;

    #[test]
    fn a_flapping_service_is_one_episode() {
        let mut health = Health::default();
        let failure = Failure::new(FailureClass::Transient, "NoReply", "refused");
        let seconds = |seconds| Timestamp(1_000_000) + Duration::from_secs(seconds);
        let mut lines = vec![];
        for second in 0..=30 {
            match second {
                1 | 4 | 7 => health.failed(&failure, seconds(second)),
                3 | 5 | 8 => health.recovered(seconds(second)),
                _ => {}
            }
            let oldest = (second < 20).then_some(seconds(1));
            lines.extend(health.take_notice(7, oldest, seconds(second)).map(|notice| (second, notice.text)));
        }
        assert_eq!(
            lines,
            [
                (1, "delivery fails and will be tried again, 7 event(s) queued: NoReply: refused".to_owned()),
                (10, "delivery succeeds again after 7 s, 7 event(s) queued".to_owned()),
                (20, "the queue has drained: everything that had waited is settled".to_owned()),
            ]
        );
    }
}
