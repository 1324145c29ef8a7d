//! The JSON document in which the container endpoint and the instance metadata service hand out credentials, and the times in it.

use serde_json::Value;

use super::{plausible, Credentials};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Bytes of a document that are looked at; one has about 2 KB.
const MAX_BYTES: usize = 1 << 16;

/// The credentials in `body`.
///
/// # Errors
/// What is wrong with it, without any of its values but the `Code`, an error code of AWS.
pub(super) fn read(body: &[u8]) -> Result<Credentials, String> {
    let body = body.get(..MAX_BYTES).unwrap_or(body);
    let document: Value = serde_json::from_slice(body).map_err(|_| "a body that is not its JSON".to_owned())?;
    let text = |name| document.get(name).and_then(Value::as_str);
    if let Some(code) = text("Code").filter(|code| *code != "Success") {
        return Err(format!("the code `{}`", word(code)));
    }
    let owned = |name| text(name).map(str::to_owned);
    credentials(owned("AccessKeyId"), owned("SecretAccessKey"), owned("Token"), text("Expiration"))
}

/// Credentials of these parts, all of which temporary credentials have.
///
/// # Errors
/// Which part is missing or cannot be right.
pub(super) fn credentials(
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<&str>,
) -> Result<Credentials, String> {
    let part = |value: Option<String>, name: &str| {
        value.filter(|text| plausible(text)).ok_or_else(|| format!("credentials without a usable {name}"))
    };
    let expires_at = match expiration {
        Some(text) => Some(time(text).ok_or("credentials with an Expiration that is no time")?),
        None => None,
    };
    Ok(Credentials {
        access_key_id: part(access_key_id, "AccessKeyId")?,
        secret_access_key: Secret::new(part(secret_access_key, "SecretAccessKey")?),
        session_token: Some(Secret::new(part(token, "token")?)),
        expires_at,
    })
}

/// A word of a peer that is fit for the log: an error code is of letters and digits.
fn word(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '?' }).collect()
}

/// `2026-01-31T23:59:59Z`, with or without a fraction of a second: RFC 3339 in UTC, the only form that AWS writes.
fn time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    // Years begin in March here, so that the day that comes and goes is the last one (Howard Hinnant, "days_from_civil").
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let since_1970 = days.checked_sub(719_469)?;
    sane.then_some(Timestamp((((since_1970 * 24 + hour) * 60 + minute) * 60 + second) * 1_000))
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| digits)
    });
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2024-12-31T23:59:59Z", 1_735_689_599),
            ("2026-11-24T15:13:06.123Z", 1_795_533_186),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(time(text), Some(Timestamp(seconds * 1_000)), "{text}");
        }
        for text in [
            "",
            "Z",
            "2026-11-24",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "1-1-1T0:0:0Z",
            "2026-01-01T24:00:00Z",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_shown() {
        for (body, says) in [
            ("", "not its JSON"),
            ("7", "AccessKeyId"),
            ("{}", "AccessKeyId"),
            (r#"{"AccessKeyId":"AKID","SecretAccessKey":"hunter2\n","Token":"hunter2"}"#, "SecretAccessKey"),
            (r#"{"AccessKeyId":"AKID","SecretAccessKey":"hunter2"}"#, "token"),
            (r#"{"AccessKeyId":"AKID","SecretAccessKey":"hunter2","Token":"t","Expiration":"hunter2"}"#, "Expiration"),
            (r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"hunter2"}"#, "`AssumeRoleUnauthorizedAccess`"),
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, text: String) {
            let _ = (read(&body), time(&text));
        }
    }
}
