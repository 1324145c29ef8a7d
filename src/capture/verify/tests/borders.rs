//! What is signed in several lines of a header, or without a border between one part and the next.

use super::*;

#[test]
fn several_lines_of_a_header_have_all_their_signatures_looked_at_and_no_more_than_eight() {
    let zeros = "0".repeat(64);
    for (scheme, name, line) in
        [("circleci", "circleci-signature", "v1="), ("github", "x-hub-signature-256", "sha256=")]
    {
        let checks = verification(json!({"scheme": scheme, "secrets": "s"}));
        let good = format!("{line}{}", hex::encode(mac(b"s", &[b"{}"])));
        let bad = format!("{line}{zeros}");
        for before in [0, 1, 7, 8] {
            let mut lines = vec![(name, bad.as_str()); before];
            lines.push((name, &good));
            let expected = if before < 8 { GOOD } else { Err(Rejection::Mismatch) };
            assert_eq!(check(&checks, &request(&lines, b"{}"), 0), expected, "{scheme} {before}");
        }
    }
    let stripe = verification(json!({"scheme": "stripe", "secrets": "s"}));
    let good = format!("v1={}", hex::encode(mac(b"s", &[b"1700000000.{}"])));
    let lines = [("stripe-signature", "t=1700000000"), ("stripe-signature", &*good)];
    assert_eq!(check(&stripe, &request(&lines, b"{}"), 1_700_000_000), GOOD);
    let lines =
        [("stripe-signature", "t=1700000001"), ("stripe-signature", "t=1700000000"), ("stripe-signature", &*good)];
    assert_eq!(
        check(&stripe, &request(&lines, b"{}"), 1_700_000_000),
        Err(Rejection::Mismatch),
        "the first time counts"
    );
}

#[test]
fn a_signed_header_that_came_several_times_is_refused() {
    let all = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", SIGNATURE)];
    for (name, value) in [("webhook-id", ID), ("webhook-id", "other"), ("webhook-timestamp", "1614265330")] {
        for position in 0..=3 {
            let mut sent = all.to_vec();
            sent.insert(position, (name, value));
            assert_eq!(check(&standard(), &request(&sent, BODY), SIGNED_AT), unreadable_header(name), "{value}");
        }
    }
    let twice = [all[0], all[1], ("webhook-signature", "v1,aGVsbG8="), all[2]];
    assert_eq!(check(&standard(), &request(&twice, BODY), SIGNED_AT), signed(ID));
}

/// A signature of each sender that signs URL and body without anything between them.
fn of_url_and_body(url: &str, body: &str) -> [(Value, &'static str, String); 3] {
    let key = Key::read("s", KeyEncoding::Plain(Encoding::Text)).unwrap();
    let [url, body] = [url, body].map(str::as_bytes);
    let encode = |bytes: Vec<u8>| Encoding::Base64.encode(&bytes);
    let time: &[u8] = b"1700000000123";
    [
        ("square", "x-square-hmacsha256-signature", encode(mac(b"s", &[url, body]))),
        ("hubspot", "x-hubspot-signature-v3", encode(mac(b"s", &[b"POST", url, body, time]))),
        ("trello", "x-trello-webhook", encode(Algorithm::Sha1.mac(&key, &[body, url]))),
    ]
    .map(|(scheme, header, signature)| {
        (json!({"scheme": scheme, "secrets": "s", "url": "https://a.example"}), header, signature)
    })
}

#[test]
fn no_other_border_between_url_and_body_has_the_same_signature() {
    let base = "https://a.example";
    for (target, body) in [
        ("/hook?a=b", r#"{"a":[1],"u":"https://a.example/x"}"#),
        ("/hook", r#"[{"a":1},{"b":"?"}]"#),
        ("/hook?r=https://a.example/y", "{}"),
        ("/hook?a", ""),
    ] {
        for (verify, header, signature) in of_url_and_body(&format!("{base}{target}"), body) {
            let (scheme, checks) = (verify["scheme"].clone(), verification(verify));
            let sent = [(header, &*signature), ("x-hubspot-request-timestamp", "1700000000123")];
            let checked = |target: &str, body: &str| {
                let request = ClientRequest { target: target.to_owned().into(), ..request(&sent, body.as_bytes()) };
                check(&checks, &request, 1_700_000_000)
            };
            assert_eq!(checked(target, body), GOOD, "{scheme} {target} {body}");
            let whole = if scheme == "trello" { format!("{body}{base}{target}") } else { format!("{target}{body}") };
            for (border, _) in whole.char_indices() {
                let (first, second) = whole.split_at(border);
                let other = match second.strip_prefix(base) {
                    Some(target) if scheme == "trello" => (target, first),
                    _ if scheme == "trello" => continue,
                    _ => (first, second),
                };
                if other != (target, body) {
                    assert!(checked(other.0, other.1).is_err(), "{scheme} {other:?}");
                }
            }
        }
    }
}

#[test]
fn where_something_stands_between_url_and_body_that_no_url_has_any_body_will_do() {
    let signed = "${request.method} ${request.url}\n${request.body}";
    let verify =
        json!({"scheme": "hmac", "secrets": "s", "header": "x-s", "signed": signed, "url": "https://a.example"});
    let signature = hex::encode(mac(b"s", &[b"POST https://a.example/webhook\nany text"]));
    assert_eq!(check(&verification(verify), &request(&[("x-s", &signature)], b"any text"), 0), GOOD);
}

#[test]
fn docusign_has_a_header_for_each_of_its_keys() {
    let docusign = verification(json!({"scheme": "docusign", "secrets": ["old", "new"]}));
    let [of_other, of_new] = [&b"other"[..], b"new"].map(|key| Encoding::Base64.encode(&mac(key, &[b"{}"])));
    for header in ["x-docusign-signature-1", "x-docusign-signature-2", "x-docusign-signature-4"] {
        let sent = [("x-docusign-signature-3", &*of_other), (header, &*of_new)];
        assert_eq!(check(&docusign, &request(&sent, b"{}"), 0), GOOD, "{header}");
    }
    assert_eq!(check(&docusign, &request(&[], b"{}"), 0), missing_header("x-docusign-signature-1"));
}
