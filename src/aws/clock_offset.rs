//! The difference between the host's clock and AWS's. A signature has the time in it, and is
//! refused if that is more than minutes off; a reply that refuses it has AWS's own time in its
//! `Date`.

use std::time::SystemTime;

use http::header::DATE;

use crate::callout::Reply;
use crate::clock::Timestamp;
use crate::notice::{Level, Notice};

/// The difference in milliseconds below which two offsets are one: an offset includes the age of
/// the reply that it was learnt from.
const SAME: i64 = 60_000;

/// The start of the year 9000. Signatures end with the year 9999: after a date near that, nothing
/// could be signed any more, and no reply would come to put it right.
const LATEST: i64 = 221_845_392_000_000;

/// The time by which AWS's clock is ahead of the host's; zero until a reply says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockOffset {
    millis: i64,
}

impl ClockOffset {
    /// Returns AWS's time when the host's clock says `now`.
    pub(crate) fn apply(self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.millis))
    }

    /// Learns from a reply that refused a signature for its time. Returns a line for the log if
    /// that changes anything; if not, the time was not what is wrong.
    pub(crate) fn correct(&mut self, reply: &Reply, now: Timestamp) -> Option<Notice> {
        let date = httpdate::parse_http_date(reply.header(&DATE)?).ok()?;
        let aws = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
        let millis = i64::try_from(aws).ok().filter(|aws| *aws < LATEST)?.saturating_sub_unsigned(now.0);
        if self.millis.abs_diff(millis) < SAME.unsigned_abs() {
            return None;
        }
        self.millis = millis;
        let (seconds, way) = (millis.unsigned_abs() / 1_000, if millis < 0 { "ahead of" } else { "behind" });
        let text =
            format!("the clock of this machine is {seconds} s {way} AWS's; requests are signed by AWS's from now on");
        Some(Notice { level: Level::Warn, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::testing::response_with;

    fn refusal(date: &str) -> Reply {
        response_with(403, &[("date", date)], "")
    }

    #[test]
    fn the_offset_is_learnt_once_and_said_once() {
        let mut offset = ClockOffset::default();
        let (aws, host) = (Timestamp(784_111_777_000), Timestamp(784_111_777_000 - 3_600_000));
        assert_eq!(offset.apply(host), host);
        let notice = offset.correct(&refusal("Sun, 06 Nov 1994 08:49:37 GMT"), host).unwrap();
        assert!(notice.text.starts_with("the clock of this machine is 3600 s behind AWS's"), "{notice:?}");
        assert_eq!(offset.apply(host), aws);
        assert_eq!(offset.correct(&refusal("Sun, 06 Nov 1994 08:49:37 GMT"), host), None);
        assert_eq!(offset.correct(&refusal("yesterday"), host), None);
        assert_eq!(offset.correct(&Reply::NoResponse(String::new()), host), None);
        assert_eq!(
            offset.correct(&refusal("Fri, 31 Dec 9999 23:59:59 GMT"), host),
            None,
            "nothing could be signed then"
        );
        assert_eq!(offset.apply(Timestamp(0)), Timestamp(3_600_000));
    }
}
