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

    /// Returns the moment that was so long before.
    pub(crate) fn before(self, delay: Duration) -> Timestamp {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_sub(millis))
    }

    /// Reads a time as RFC 3339 writes it, such as `2026-01-01T12:00:00.012Z`; what is less than a
    /// second is left out.
    pub fn from_rfc3339(text: &str) -> Option<Timestamp> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse::<u16>().ok()
        };
        let small = |at: usize| number(at, at + 2).and_then(|number| u8::try_from(number).ok());
        let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
        if marks.iter().any(|(at, mark)| text.get(*at..at + 1) != Some(mark)) {
            return None;
        }
        let date = time::Date::from_calendar_date(number(0, 4)?.into(), small(5)?.try_into().ok()?, small(8)?).ok()?;
        let seconds = date.with_hms(small(11)?, small(14)?, small(17)?).ok()?.assume_utc().unix_timestamp();
        let behind = text.get(19..)?;
        let zone =
            behind.strip_prefix('.').map_or(behind, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        let offset = match zone.as_bytes() {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let at = text.len() - 5;
                let minutes = i64::from(small(at)?) * 60 + i64::from(small(at + 3)?);
                if *sign == b'+' {
                    minutes
                } else {
                    -minutes
                }
            }
            _ => return None,
        };
        u64::try_from(seconds - offset * 60).ok().map(|seconds| Timestamp(seconds * 1_000))
    }

    /// Writes the time in UTC with milliseconds, such as `2026-01-01T12:00:00.012Z` (RFC 3339). A
    /// time beyond the year 9999 gives the epoch.
    pub fn rfc3339(self) -> String {
        let nanoseconds = i128::from(self.0) * 1_000_000;
        let time =
            time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second, millis) = time.to_hms_milli();
        // By hand, because `format!` takes several times as many instructions.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (end, mut number) in [
            (4, year.unsigned_abs()),
            (7, u8::from(month).into()),
            (10, day.into()),
            (13, hour.into()),
            (16, minute.into()),
            (19, second.into()),
            (23, millis.into()),
        ] {
            for digit in text.iter_mut().take(end).rev() {
                if number == 0 {
                    break;
                }
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        String::from_utf8(text.to_vec()).unwrap_or_default()
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

/// The longest that a callback can plausibly come after the one before it. Ticks come every few
/// dozen milliseconds, and all other callbacks count, too. What passes beyond that did not pass for
/// the worker: its clock was set forward, or the worker stood still, and so did all that it has.
const MAX_STEP: Duration = Duration::from_secs(1);

/// The time that passes for a worker, made of a clock that may be set: what is due in a second
/// happens in a second, wherever the other clock goes meanwhile. It begins where the other clock
/// is, stands still while that one is set back, and follows it forward by no more than
/// `MAX_STEP` from one look to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct SteadyClock {
    /// The last look at the other clock, and the steady time then.
    last: Option<(Timestamp, Timestamp)>,
}

impl SteadyClock {
    /// Returns the steady time when the other clock says `now`.
    pub fn at(&mut self, now: Timestamp) -> Timestamp {
        let steady = self.last.map_or(now, |(last, steady)| steady + now.since(last).min(MAX_STEP));
        self.last = Some((now, steady));
        steady
    }

    /// Returns the time by the other clock, as it is set now, at a moment of the steady time.
    pub fn restore(&self, moment: Timestamp) -> Timestamp {
        let Some((last, steady)) = self.last else { return moment };
        let ahead = last.0.saturating_add(moment.0);
        Timestamp(ahead.saturating_sub(steady.0))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Returns the moments after `from` at which something that ticks looks at its clock, as seldom
    /// as is plausible; `until` is the last one.
    pub(crate) fn ticks(from: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let next = move |now: &Timestamp| (*now < until).then(|| until.min(*now + MAX_STEP));
        std::iter::successors(next(&from), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(times: &[u64]) -> Vec<u64> {
        let mut clock = SteadyClock::default();
        times.iter().map(|now| clock.at(Timestamp(*now)).0).collect()
    }

    #[test]
    fn a_time_is_written_with_all_its_digits() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z"),
            (1_767_268_800_120, "2026-01-01T12:00:00.120Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "1970-01-01T00:00:00.000Z"),
            (u64::MAX, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(millis).rfc3339(), expected);
        }
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let noon = Some(Timestamp(1_767_268_800_000));
        for text in [
            "2026-01-01T12:00:00Z",
            "2026-01-01T12:00:00.999999999Z",
            "2026-01-01T04:30:00-07:30",
            "2026-01-01T13:00:00.1+01:00",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), noon, "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T12:00:00",
            "2026-13-01T12:00:00Z",
            "2026-01-01T25:00:00Z",
            "2026-01-01 12:00:00Z",
            "+026-01-01T12:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T12:00:00Zé",
            "é026-01-01T12:00:00Z",
            "x2026-01-01T12:00:00Z",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_steady_clock_follows_one_that_goes() {
        assert_eq!(steady(&[5_000, 5_025, 5_025, 6_025]), [5_000, 5_025, 5_025, 6_025]);
    }

    #[test]
    fn a_clock_that_is_set_makes_a_second_at_most() {
        let hour = 3_600_000;
        assert_eq!(steady(&[hour, 2 * hour, 2 * hour + 25]), [hour, hour + 1_000, hour + 1_025]);
        assert_eq!(steady(&[hour, 0, 25, hour + 50]), [hour, hour, hour + 25, hour + 1_025]);
        let back_and_forth = steady(&[hour, hour + 6_000, hour, hour + 6_000, hour]);
        assert_eq!(back_and_forth, [hour, hour + 1_000, hour + 1_000, hour + 2_000, hour + 2_000]);
    }

    #[test]
    fn a_moment_is_given_by_the_clock_as_it_is_set_now() {
        let mut clock = SteadyClock::default();
        let queued = clock.at(Timestamp(10_000));
        clock.at(Timestamp(10_500));
        assert_eq!(clock.restore(queued), Timestamp(10_000));
        clock.at(Timestamp(3_610_500));
        assert_eq!(clock.restore(queued), Timestamp(3_609_000), "1.5 s ago");
        clock.at(Timestamp(1_000));
        assert_eq!(clock.restore(queued), Timestamp(0), "before the epoch there is nothing");
    }
}
