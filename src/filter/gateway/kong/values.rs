//! Values as Kong and nginx write them: every property is text. Knows nothing of what they mean to
//! an exchange.

use crate::filter::hostcalls::{self, text};

/// Reads a number.
pub(super) fn number<N: std::str::FromStr>(property: &str) -> Option<N> {
    text_property(property)?.parse().ok()
}

/// Reads a text. A variable of nginx that has no value is empty, and counts as absent.
pub(super) fn text_property(property: &str) -> Option<String> {
    hostcalls::property(property).map(text).filter(|text| !text.is_empty())
}

/// Reads milliseconds from seconds such as `1767268800.012`.
pub(super) fn millis(seconds: &str) -> Option<u64> {
    let seconds = seconds.as_bytes();
    let Some(point) = seconds.iter().position(|byte| *byte == b'.') else { return Some(digits(seconds)? * 1_000) };
    let (whole, decimals) = (seconds.get(..point)?, seconds.get(point + 1..)?);
    let (thousandths, rest) = decimals.split_at_checked(3).unwrap_or((decimals, &[]));
    let unit = [1_000, 100, 10, 1].get(thousandths.len())?;
    let is_number = rest.iter().all(u8::is_ascii_digit);
    is_number.then_some(digits(whole)? * 1_000 + digits(thousandths)? * unit)
}

/// Reads a number that is no longer than one of seconds: what is made of it has 64 bits.
fn digits(text: &[u8]) -> Option<u64> {
    const MOST: usize = 15;
    let digit = |number: u64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'));
    if text.is_empty() || text.len() > MOST {
        return None;
    }
    text.iter().try_fold(0, digit)
}

/// Returns the last value of a list. nginx gives one for each server that it tried, as in
/// `0.005, 0.012`, with ` : ` between them where it redirected the request internally.
pub(super) fn last(list: &str) -> Option<&str> {
    let last = match list.bytes().rposition(|byte| matches!(byte, b',' | b':')) {
        Some(at) => list.get(at + 1..),
        None => Some(list),
    };
    last.map(str::trim_ascii).filter(|text| !text.is_empty() && *text != "-")
}

/// Returns true if `text` is a hyphenated UUID.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_nginx_writes_them() {
        for (text, expected) in [
            ("0.012", Some(12)),
            ("1767268800.000", Some(1_767_268_800_000)),
            ("90.5", Some(90_500)),
            ("3", Some(3_000)),
            ("0.0129", Some(12)),
            ("", None),
            ("-", None),
            ("-1.000", None),
            ("0.", None),
            ("0.é", None),
            ("18446744073709551615.000", None),
            ("999999999999999.999", Some(999_999_999_999_999_999)),
            ("9999999999999999", None),
            ("0.012x", None),
            (".5", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn of_several_attempts_the_last_one_counts() {
        for (list, expected) in [
            ("0.005", Some("0.005")),
            ("500, 200", Some("200")),
            ("0.001, 0.002 : 0.003", Some("0.003")),
            ("0.005, -", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(last(list), expected, "{list}");
        }
    }

    #[test]
    fn only_an_id_counts_as_one() {
        assert!(is_uuid("6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1"));
        for other in ["alice", "6d1f1f0e7d0e4a539c533f0a54e4a8a1", "{6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1}"] {
            assert!(!is_uuid(other), "{other}");
        }
    }
}
