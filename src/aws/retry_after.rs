//! The time for which a service asks to be left alone, in the headers `x-amz-retry-after` and
//! `Retry-After` of a reply that is not a success.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;

use crate::callout::{Reply, AMZ_RETRY_AFTER};
use crate::clock::Timestamp;

/// The longest time that is granted. It is also the longest delay between two tries of our own, and
/// a proxy on the way that asks for an hour does not know what waits here.
pub(crate) const LONGEST: Duration = Duration::from_secs(20);

/// Returns the time that a reply asks for, at most [`LONGEST`], or `None` if it asks for none or
/// for one that cannot be read.
///
/// `x-amz-retry-after` is in milliseconds (AWS SDKs and Tools Reference Guide, "Retry behavior")
/// and goes first; `Retry-After` is in seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let millis = reply.header(&AMZ_RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_millis);
    let asked = millis.or_else(|| {
        let text = reply.header(&RETRY_AFTER)?.trim();
        let seconds = text.parse().ok().map(Duration::from_secs);
        seconds.or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::from(now)).ok())
    });
    asked.map(|asked| asked.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::testing::response_with;

    #[test]
    fn the_forms_of_both_headers() {
        let now = Timestamp(784_111_777_000);
        let asked = |headers: &[(&str, &str)]| {
            retry_after(&response_with(503, headers, ""), now).map(|delay| delay.as_millis())
        };
        assert_eq!(asked(&[("retry-after", "3")]), Some(3_000));
        assert_eq!(asked(&[("x-amz-retry-after", "1500"), ("retry-after", "3")]), Some(1_500));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")]), Some(3_000));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")]), None, "in the past");
        assert_eq!(asked(&[("retry-after", "86400")]), Some(20_000));
        assert_eq!(asked(&[("x-amz-retry-after", "soon"), ("retry-after", "-1")]), None);
        assert_eq!(asked(&[]), None);
        assert_eq!(retry_after(&Reply::NoResponse(String::new()), now), None);
    }
}
