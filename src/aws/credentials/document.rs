//! Reads the JSON document in which the container endpoint and the instance metadata service hand
//! out credentials, and the times in it. Never puts a value of it into an error.

use serde_json::Value;
use time::{Date, Month};

use super::{plausible, Credentials};
use crate::clock::Timestamp;
use crate::json::tree;
use crate::secret::Secret;

/// Bytes of a document that are looked at. A document has about 2 KB.
const MAX_BYTES: usize = 1 << 16;

/// The reason why a document has no credentials, worded as what was answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    /// Something else than JSON.
    #[error("a body that is not its JSON")]
    NotJson,
    /// An error code of AWS.
    #[error("the code `{0}`")]
    Code(String),
    /// A part of the credentials that is missing or cannot be right.
    #[error("credentials without a usable {0}")]
    Part(&'static str),
    /// An end that is no time.
    #[error("credentials with an Expiration that is no time")]
    Expiration,
}

/// Returns the credentials in `body`.
///
/// # Errors
/// [`DocumentError`], if there are none.
pub(super) fn read(body: &[u8]) -> Result<Credentials, DocumentError> {
    let body = body.get(..MAX_BYTES).unwrap_or(body);
    let document = tree(body).map_err(|_| DocumentError::NotJson)?;
    let text = |name| document.get(name).and_then(Value::as_str);
    if let Some(code) = text("Code").filter(|code| *code != "Success") {
        return Err(DocumentError::Code(word(code)));
    }
    let owned = |name| text(name).map(str::to_owned);
    credentials(owned("AccessKeyId"), owned("SecretAccessKey"), owned("Token"), text("Expiration"))
}

/// Makes temporary credentials of their parts.
///
/// # Errors
/// [`DocumentError::Part`] or [`DocumentError::Expiration`] for the part that is missing or cannot
/// be right.
pub(super) fn credentials(
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<&str>,
) -> Result<Credentials, DocumentError> {
    let part = |value: Option<String>, name| value.filter(|text| plausible(text)).ok_or(DocumentError::Part(name));
    let expires_at = match expiration {
        Some(text) => Some(time(text).ok_or(DocumentError::Expiration)?),
        None => None,
    };
    Ok(Credentials {
        access_key_id: part(access_key_id, "AccessKeyId")?,
        secret_access_key: Secret::new(part(secret_access_key, "SecretAccessKey")?),
        session_token: Some(Secret::new(part(token, "token")?)),
        expires_at,
    })
}

/// Makes a code of a peer fit for the log. The codes of AWS have letters and digits only.
fn word(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '?' }).collect()
}

/// Reads `2026-01-31T23:59:59Z`, with or without a fraction of a second: RFC 3339 in UTC, the only
/// form that AWS writes. The crate `time` reads every form of RFC 3339, for 7 KB more.
fn time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let [month, day, hour, minute] = [u8::try_from(month), u8::try_from(day), u8::try_from(hour), u8::try_from(minute)];
    let date = Date::from_calendar_date(year.into(), Month::try_from(month.ok()?).ok()?, day.ok()?).ok()?;
    // A leap second is taken for the one before it.
    let second = u8::try_from(second).ok().filter(|second| *second <= 60)?.min(59);
    let time = date.with_hms(hour.ok()?, minute.ok()?, second).ok()?.assume_utc();
    u64::try_from(time.unix_timestamp()).ok()?.checked_mul(1_000).map(Timestamp)
}

fn numbers(text: &str, separator: char) -> Option<[u16; 3]> {
    let (mut found, mut parts) = ([0; 3], text.split(separator));
    for number in &mut found {
        let part = parts.next().filter(|part| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
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
            ("2016-12-31T23:59:60Z", 1_483_228_799),
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
            "2026-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
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
            let error = read(body.as_bytes()).unwrap_err().to_string();
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
