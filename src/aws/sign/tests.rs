use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::callout::Scheme;

const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn credentials(token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: ACCESS_KEY_ID.into(),
        secret_access_key: Secret::new(SECRET),
        session_token: token.map(Secret::new),
        expires_at: None,
    }
}

fn callout(authority: &str, path: &str) -> Callout {
    Callout {
        upstream: "sns".into(),
        scheme: Scheme::Http,
        method: "POST",
        authority: authority.into(),
        path: path.into(),
        headers: vec![("content-type".into(), "text/plain".into())],
        body: b"body".to_vec(),
        timeout: Duration::from_secs(5),
    }
}

fn scope() -> SigningScope {
    SigningScope { region: "us-east-1".into(), service: "sns" }
}

fn header<'a>(callout: &'a Callout, name: &str) -> Vec<&'a str> {
    callout.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

fn signed(mut callout: Callout) -> Callout {
    sign(&mut callout, &credentials(None), &scope(), Timestamp(1_725_021_360_000)).unwrap();
    callout
}

/// Signs every case of a file of cases and compares; returns how many there were.
fn check(file: &str) -> usize {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let mut callout = Callout {
            method: if text("method") == "GET" { "GET" } else { "POST" },
            headers: serde_json::from_value(case["headers"].clone()).unwrap(),
            body: text("body").into(),
            ..callout(text("authority"), text("path"))
        };
        let before = callout.headers.clone();
        let service = if text("service") == "sns" { "sns" } else { "service" };
        let scope = SigningScope { region: text("region").into(), service };
        let token = case["session_token"].as_str();
        let at = Timestamp(case["at_ms"].as_u64().unwrap() + 999);
        sign(&mut callout, &credentials(token), &scope, at).unwrap();

        let name = text("name");
        assert_eq!(header(&callout, "authorization"), [text("authorization")], "{name}");
        assert_eq!(header(&callout, "x-amz-date").len(), 1, "{name}");
        assert_eq!(header(&callout, "x-amz-security-token"), token.as_slice(), "{name}");
        assert!(header(&callout, "host").is_empty(), "{name}");
        assert_eq!(callout.headers[..before.len()], before, "{name}");
    }
    cases.len()
}

#[test]
fn signs_as_the_official_test_suite_does() {
    assert_eq!(check(include_str!("../../../tests/data/sigv4_suite.json")), 27);
}

/// botocore computed these signatures, for requests as this filter makes them.
#[test]
fn signs_as_botocore_does() {
    assert_eq!(check(include_str!("../../../tests/data/sigv4_botocore.json")), 7);
}

#[test]
fn the_host_is_signed_as_it_is_sent() {
    let mut seen = vec![];
    for authority in ["localhost", "localhost:80", "localhost:443", "[::1]", "[::1]:80", "LOCALHOST"] {
        for scheme in [Scheme::Http, Scheme::Https] {
            let signed = signed(Callout { scheme, ..callout(authority, "/") });
            seen.push(header(&signed, "authorization")[0].to_owned());
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 6, "one signature for each authority, whatever the scheme");
}

#[test]
fn signing_again_replaces_the_signature() {
    let first = signed(callout("localhost", "/"));
    let mut again = first.clone();
    again.headers.push(("host".into(), "elsewhere".into()));
    again.headers.push(("x-amz-security-token".into(), "old".into()));
    assert_eq!(signed(again), first);
}

#[test]
fn what_cannot_be_signed_as_it_would_be_sent_is_refused() {
    let refused = |mut callout: Callout, token, now| {
        let before = callout.clone();
        let error = sign(&mut callout, &credentials(token), &scope(), now).unwrap_err();
        assert_eq!(callout, before);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
        error
    };
    let now = Timestamp(0);
    let with_header =
        |name: &str, value: &str| Callout { headers: vec![(name.into(), value.into())], ..callout("localhost", "/") };
    for path in ["", "*", "x", "http://localhost/", "/#a", "/a b", "/\n", "/é"] {
        assert_eq!(refused(callout("localhost", path), None, now), SignError::Path, "{path}");
    }
    assert_eq!(refused(with_header("x-a", "hunter2\n"), None, now), SignError::Header("x-a".into()));
    assert_eq!(refused(with_header("x-a", "hunter2\0é"), None, now), SignError::Header("x-a".into()));
    assert!(matches!(refused(with_header("x a", "hunter2"), None, now), SignError::Refused(_)));
    assert_eq!(refused(callout("a\r\nb", "/"), None, now), SignError::Header("host".into()));
    let token = Some("hunter2\n");
    assert_eq!(refused(callout("a", "/"), token, now), SignError::Header("x-amz-security-token".into()));
    assert_eq!(refused(callout("a", "/"), None, END_OF_TIME), SignError::Time(END_OF_TIME));
    assert_eq!(refused(callout("a", "/"), None, Timestamp(u64::MAX)), SignError::Time(Timestamp(u64::MAX)));
}

#[test]
fn any_other_time_can_be_signed() {
    for (now, date) in [(0, "19700101T000000Z"), (END_OF_TIME.0 - 1, "99991231T235959Z")] {
        let mut callout = callout("localhost", "/");
        sign(&mut callout, &credentials(None), &scope(), Timestamp(now)).unwrap();
        assert_eq!(header(&callout, "x-amz-date"), [date]);
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        path in prop_oneof!["/[ -~]{0,20}", any::<String>()],
        authority in any::<String>(),
        name in prop_oneof!["[a-z-]{1,9}", any::<String>()],
        value in prop_oneof!["[ -~]{0,20}", any::<String>()],
        token in proptest::option::of(any::<String>()),
        now in any::<u64>(),
    ) {
        let headers = vec![(name, value)];
        let mut callout = Callout { headers, ..callout(&authority, &path) };
        let signed = sign(&mut callout, &credentials(token.as_deref()), &scope(), Timestamp(now));
        prop_assert_eq!(signed.is_ok(), callout.headers.iter().any(|(name, value)| {
            name == "authorization" && value.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        }));
    }
}
