//! Signatures that somebody makes, or moves to another text, who does not know the secret.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::*;

/// A capture with this `verify` and this challenge, as far as it has faults.
fn faults(verify: Value, challenge: Option<Value>) -> String {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let challenges = challenge.map_or(json!([]), |challenge| json!([challenge]));
    let capture = json!([{
        "method": "POST", "matcher": "/", "queue_url": queue, "verify": verify, "challenges": challenges,
    }]);
    match Config::from_json(json!({"capture": capture}).to_string().as_bytes()) {
        Ok(config) => config.warnings.iter().map(ToString::to_string).collect(),
        Err(faults) => faults.to_string(),
    }
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PUBLIC: &str = "whpk_/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=";

#[test]
fn a_public_key_is_never_the_key_of_an_hmac() {
    // Behind its prefix it is base64 of 36 bytes, so that everybody would know a secret.
    let secrets = [json!([SECRET, PUBLIC]), json!([PUBLIC, SECRET]), json!(["whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])];
    for secrets in secrets {
        let found = faults(json!({"scheme": "standard-webhooks", "secrets": secrets}), None);
        assert!(found.contains("it is a key of Ed25519"), "{secrets}: {found}");
    }
    for key_encoding in ["text", "base64"] {
        let verify = json!({"scheme": "hmac", "secrets": PUBLIC, "header": "x-s", "key_encoding": key_encoding});
        assert!(faults(verify, None).contains("it is a key of Ed25519"));
    }
    let alone = faults(json!({"scheme": "standard-webhooks", "secrets": PUBLIC}), None);
    assert_eq!(alone.is_empty(), cfg!(feature = "ed25519"), "{alone}");
    let nobody = faults(json!({"scheme": "basic", "secrets": ":"}), None);
    assert!(nobody.contains("it is not NAME:PASSWORD"), "{nobody}");
}

#[test]
fn no_answer_has_an_hmac_of_what_nobody_signed() {
    let answer = |value: &str| {
        let when = json!({"request.body./type": "ping"});
        Some(json!({"when": when, "response": {"body": format!("${{hmac.request.{value}}}")}}))
    };
    let zoom = json!({"scheme": "zoom", "secrets": "s"});
    assert_eq!(faults(zoom.clone(), answer("body./payload/plainToken")), "");
    let of_query =
        json!({"scheme": "hmac", "secrets": "s", "header": "x-s", "signed": "${request.url}${request.form}"});
    assert_eq!(faults(of_query, answer("query.crc_token")), "");
    // One webhook of Mailgun would be enough to send any body, and GitLab makes no HMAC at all.
    for (verify, value) in [
        (json!({"scheme": "mailgun", "secrets": "s"}), "body./token"),
        (json!({"scheme": "gitlab", "secrets": "s"}), "body./token"),
        (zoom.clone(), "query.token"),
        (zoom, "headers.token"),
    ] {
        let found = faults(verify, answer(value));
        assert!(found.contains("something that no HMAC covers"), "{value}: {found}");
    }
}

#[test]
fn a_parameter_that_is_signed_is_there_once_however_its_name_is_written() {
    // Mercado Pago signs one parameter, two headers and nothing of the body.
    let checks = verification(json!({
        "scheme": "hmac", "secrets": "s", "header": "x-signature", "separator": ",", "key": "v1",
        "signed": "id:${request.query.data.id};ts:${timestamp};", "timestamp": {"query": "ts"},
    }));
    let signature = format!("v1={}", hex::encode(mac(b"s", &[b"id:1;ts:1700000000;"])));
    let sent = [("x-signature", &*signature)];
    for (target, expected) in [
        ("/webhook?data.id=1&ts=1700000000", GOOD),
        ("/webhook?data.id=1&ts=1700000000&data.id=2", Err(Rejection::Unreadable("query parameter `data.id`".into()))),
        (
            "/webhook?%64ata.id=1&data.id=2&ts=1700000000",
            Err(Rejection::Unreadable("query parameter `data.id`".into())),
        ),
        ("/webhook?data.id=1&ts=1700000000&t%73=2", Err(Rejection::Unreadable("query parameter `ts`".into()))),
        ("/webhook?data.id=2&ts=1700000000", Err(Rejection::Mismatch)),
    ] {
        let request = ClientRequest { target: target.into(), ..request(&sent, b"{}") };
        assert_eq!(check(&checks, &request, 1_700_000_000), expected, "{target}");
    }
}

/// Asserts that one way at most to divide the signed text of a request into the header `a` and a
/// body is taken. It is the sender's own if `is_taken`.
fn assert_one_border(signed: &str, a: &str, body: &str, is_taken: bool) {
    let verify = json!({"scheme": "hmac", "secrets": "s", "header": "x-s", "signed": signed});
    let checks = verification(verify);
    let filled = |a: &str, body: &str| signed.replace("${request.headers.a}", a).replace("${request.body}", body);
    let whole = filled(a, body);
    let signature = hex::encode(mac(b"s", &[whole.as_bytes()]));
    let mut taken = vec![];
    let characters: Vec<char> = whole.chars().collect();
    let ends = |from: usize| (from..=characters.len()).map(move |to| (from, to));
    let spans = (0..=characters.len()).flat_map(ends);
    let texts: BTreeSet<String> = spans.map(|(from, to)| characters[from..to].iter().collect()).collect();
    for first in &texts {
        for second in &texts {
            let sent = [("a", &**first), ("x-s", &*signature)];
            if filled(first, second) == whole && check(&checks, &request(&sent, second.as_bytes()), 0).is_ok() {
                taken.push((first.clone(), second.clone()));
            }
        }
    }
    assert!(taken.len() <= 1, "{signed} {taken:?}");
    assert_eq!(taken.contains(&(a.to_owned(), body.to_owned())), is_taken, "{signed} {a} {body}");
}

#[test]
fn the_end_of_one_signed_part_is_never_the_beginning_of_another() {
    for (signed, a, body, is_taken) in [
        ("${request.headers.a}.${request.body}", "7", "a.b.c", true),
        ("${request.headers.a}.${request.body}", "7.8", "a.b", false),
        ("${request.body}.${request.headers.a}", "7", "a.b.c", true),
        ("${request.body}.${request.headers.a}", "7.8", "a.b", false),
        // A border of two characters may begin with the end of what stands before it.
        ("${request.headers.a}--${request.body}", "7", "-a--b", true),
        ("${request.headers.a}--${request.body}", "7-", "a", false),
        ("${request.body}--${request.headers.a}", "7", "a--b-", true),
        ("${request.body}--${request.headers.a}", "-7", "a", false),
        ("${request.headers.a}${request.body}", "7", r#"{"a":[1]}"#, true),
        ("${request.body}${request.headers.a}", "7", r#"[{"a":1}]"#, true),
        ("${request.headers.a}${request.body}", "7", "a=1", false),
        ("${request.headers.a}${request.body}", "7{", "{}", false),
    ] {
        assert_one_border(signed, a, body, is_taken);
    }
    let both = "${request.headers.a}${request.headers.b}.${request.body}";
    let verify = json!({"scheme": "hmac", "secrets": "s", "header": "x-s", "signed": both});
    assert!(faults(verify, None).contains("nothing between them"));
    let method_and_path = "${request.method}${request.path}${request.body}";
    let verify = json!({"scheme": "hmac", "secrets": "s", "header": "x-s", "signed": method_and_path});
    assert_eq!(faults(verify.clone(), None), "");
    let checks = verification(verify);
    let signature = hex::encode(mac(b"s", &[br#"POST/webhook/1{"a":1}"#]));
    for (target, body, is_good) in [
        ("/webhook/1", r#"{"a":1}"#, true),
        ("/webhook/1?b={}", r#"{"a":1}"#, true),
        ("/webhook/1{\"a\":1}", "", false),
        ("/webhook", r#"/1{"a":1}"#, false),
    ] {
        let sent = [("x-s", &*signature)];
        let request = ClientRequest { target: target.into(), ..request(&sent, body.as_bytes()) };
        assert_eq!(check(&checks, &request, 0).is_ok(), is_good, "{target} {body}");
    }
}

#[test]
fn a_time_has_no_zero_before_it() {
    let signed = json!({
        "scheme": "hmac", "secrets": "s", "header": "x-s", "signed": "${request.body}${timestamp}",
        "timestamp": {"header": "x-at"},
    });
    let signature = hex::encode(mac(b"s", &[b"a=1001700000000"]));
    let checks = verification(signed);
    for (body, time, is_good) in [("a=100", "1700000000", true), ("a=10", "01700000000", false)] {
        let sent = [("x-s", &*signature), ("x-at", time)];
        assert_eq!(check(&checks, &request(&sent, body.as_bytes()), 1_700_000_000).is_ok(), is_good, "{body}");
    }
    let slack = verification(json!({"scheme": "slack", "secrets": "s"}));
    for time in [
        "0",
        "-1700000000",
        "+1700000000",
        " 1700000000",
        "1700000000 ",
        "1.7e9",
        "1700000000.0",
        "1700000000000",
        "0x6553f100",
        "99999999999999999999",
        "18446744073709551615",
        "١٧٠٠٠٠٠٠٠٠",
    ] {
        let signature = format!("v0={}", hex::encode(mac(b"s", &[b"v0:", time.as_bytes(), b":{}"])));
        let sent = [("x-slack-signature", &*signature), ("x-slack-request-timestamp", time)];
        assert!(check(&slack, &request(&sent, b"{}"), 1_700_000_000).is_err(), "{time}");
    }
}

#[test]
fn a_form_is_the_hash_in_the_url_only_where_that_is_signed() {
    let body = br#"{"evil":1}"#;
    let target = format!("/webhook?bodySHA256={}", hex::encode(Sha256::digest(body)));
    let checks = verification(json!({"scheme": "hmac", "secrets": "s", "header": "x-s", "signed": "${request.form}"}));
    let of_nothing = hex::encode(mac(b"s", &[b""]));
    let sent = [("x-s", &*of_nothing), ("content-type", "application/json")];
    let sent = ClientRequest { target: target.into(), ..request(&sent, body) };
    assert_eq!(check(&checks, &sent, 0), Err(Rejection::Unreadable("form".into())));
    let of_form = hex::encode(mac(b"s", &[b"a1"]));
    let sent = [("x-s", &*of_form), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(check(&checks, &request(&sent, b"a=1"), 0), GOOD);
}

#[test]
fn a_preset_takes_no_other_spelling_of_its_signature() {
    let good = hex::encode(mac(b"s", &[b"{}"]));
    let github = verification(json!({"scheme": "github", "secrets": ["old", "s"]}));
    let checked = |lines: &[&str]| {
        let sent: Vec<_> = lines.iter().map(|line| ("x-hub-signature-256", *line)).collect();
        check(&github, &request(&sent, b"{}"), 0).is_ok()
    };
    let [own, upper] = [format!("sha256={good}"), format!("SHA256={}", good.to_uppercase())];
    assert!(checked(&[&own]) && checked(&[&upper]) && checked(&["sha256=00", &own]) && checked(&[&own, ""]));
    for wrong in [
        &good,
        "sha256=",
        "",
        &format!("sha256={good}00"),
        &format!("sha256= {good}"),
        &format!("sha256={good},sha256={good}"),
        &format!("sha256=sha256={good}"),
        &format!("sha1={good}"),
        &format!("sha256={}", good.split_at(62).0),
    ] {
        assert!(!checked(&[wrong]), "{wrong}");
    }
}
