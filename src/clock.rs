//! Time as the core sees it: a number that is handed in. Nothing here reads a clock.

use std::time::{Duration, SystemTime};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the time that passed since `earlier`; zero if `earlier` is later (clocks are set
    /// back).
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the milliseconds that passed since `earlier`, as [`Timestamp::since`] has them.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Writes the time in UTC with milliseconds, such as `2026-01-01T12:00:00.012Z` (RFC 3339). A
    /// time beyond the year 9999 gives the epoch.
    pub fn rfc3339(self) -> String {
        let nanoseconds = i128::from(self.0) * 1_000_000;
        let time =
            time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second, millis) = time.to_hms_milli();
        format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", u8::from(month))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, delay: Duration) -> Timestamp {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(timestamp.0)
    }
}

/// A clock that is never set back, made of one that may be: what is due in a second happens in a
/// second, wherever the other clock has gone meanwhile. Where that is set forward, this one
/// follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SteadyClock {
    last: Timestamp,
    /// Milliseconds by which the other clock was set back in all.
    behind: u64,
}

impl SteadyClock {
    /// Returns the steady time when the other clock says `now`.
    pub fn at(&mut self, now: Timestamp) -> Timestamp {
        self.behind = self.behind.saturating_add(self.last.0.saturating_sub(now.0));
        self.last = now;
        now + Duration::from_millis(self.behind)
    }

    /// Returns the time by the other clock, as it is set now, at a moment of the steady time.
    pub fn restore(&self, steady: Timestamp) -> Timestamp {
        Timestamp(steady.0.saturating_sub(self.behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_clock_never_goes_back_and_never_stands_still() {
        let mut clock = SteadyClock::default();
        let steady = [5_000, 6_000, 1_000, 2_000, 9_000, 8_999].map(|now| clock.at(Timestamp(now)).0);
        assert_eq!(steady, [5_000, 6_000, 6_000, 7_000, 14_000, 14_000]);
        assert_eq!(clock.restore(Timestamp(14_000)), Timestamp(8_999));
    }
}
