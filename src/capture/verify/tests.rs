//! Signatures as the providers document them, in every way in which they may be wrong.

mod borders;
mod fields;
mod forgeries;
mod libraries;
mod nonces;
mod official;

use proptest::prelude::*;
use serde_json::{json, Value};

use super::*;
use crate::config::Config;
use crate::exchange::Headers;
use crate::secret::{Algorithm, Encoding, KeyEncoding, KeyError};

/// Checks as a capture does that has this `verify`.
fn verification(verify: Value) -> Verification {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let capture = json!([{"method": "POST", "matcher": "/", "queue_url": queue, "verify": verify}]);
    let config = Config::from_json(json!({"capture": capture}).to_string().as_bytes());
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    config.captures.all[0].verify.clone().unwrap()
}

fn request<'a>(headers: &[(&'a str, &'a str)], body: &'a [u8]) -> ClientRequest<'a> {
    let headers = Headers(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
    ClientRequest {
        method: "POST".into(),
        target: "/webhook".into(),
        headers,
        body: body.into(),
        ..ClientRequest::default()
    }
}

/// The id that a good signature covers, if any, or the reason why it is not good.
type Checked = Result<Option<String>, Rejection>;

fn check(verification: &Verification, request: &ClientRequest<'_>, seconds: u64) -> Checked {
    verification.check(request, Timestamp(seconds * 1_000)).map(|signed| signed.id)
}

fn signed(id: &str) -> Checked {
    Ok(Some(id.to_owned()))
}

const GOOD: Checked = Ok(None);

fn missing_header(name: &str) -> Checked {
    Err(Rejection::Missing(format!("header `{name}`")))
}

fn unreadable_header(name: &str) -> Checked {
    Err(Rejection::Unreadable(format!("header `{name}`")))
}

/// The HMAC with SHA-256.
fn mac(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let secret = Key::read(&hex::encode(secret), KeyEncoding::Plain(Encoding::Hex)).unwrap();
    Algorithm::Sha256.mac(&secret, parts)
}

/// The example of Svix' documentation ("Verifying webhooks manually") and of its libraries.
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SIGNED_AT: u64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const NAMES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

fn standard() -> Verification {
    let secrets = ["whsec_c29tZW9uZSBlbHNlJ3Mgc2VjcmV0LCBhIGxvbmcgb25l", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    verification(json!({"scheme": "standard-webhooks", "secrets": secrets}))
}

#[test]
fn standard_webhooks_by_either_name_with_any_of_the_secrets() {
    for names in NAMES {
        let signatures = format!("v1a,aGVsbG8= v1,aGVsbG8= {SIGNATURE}");
        let headers = [(names[0], ID), (names[1], "1614265330"), (names[2], &*signatures)];
        assert_eq!(check(&standard(), &request(&headers, BODY), SIGNED_AT), signed(ID));
        assert_eq!(check(&standard(), &request(&headers, b"{}"), SIGNED_AT), Err(Rejection::Mismatch));
        assert!(names.iter().all(|name| standard().needs(name)));
    }
}

#[test]
fn the_time_of_a_signature_has_a_tolerance_in_both_directions() {
    let sent = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", SIGNATURE)];
    let checked = |seconds| check(&standard(), &request(&sent, BODY), seconds);
    assert_eq!([checked(SIGNED_AT + 300), checked(SIGNED_AT - 300)], [signed(ID), signed(ID)]);
    assert_eq!(checked(SIGNED_AT + 301).unwrap_err().to_string(), "it was signed 301 s ago, of at most 300");
    assert_eq!(checked(SIGNED_AT - 301).unwrap_err().to_string(), "it was signed 301 s in the future, of at most 300");
}

#[test]
fn what_is_missing_or_unreadable_is_named() {
    let all = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", SIGNATURE)];
    for missing in 0..all.len() {
        let mut sent = all.to_vec();
        let (name, _) = sent.remove(missing);
        assert_eq!(check(&standard(), &request(&sent, BODY), SIGNED_AT), missing_header(name));
    }
    for (position, value) in
        [(1, "yesterday"), (1, "+1614265330"), (1, ""), (2, ""), (2, "v1,?"), (2, "g0hM9SsE"), (0, ""), (0, "msg.1")]
    {
        let mut sent = all;
        sent[position].1 = value;
        assert_eq!(check(&standard(), &request(&sent, BODY), SIGNED_AT), unreadable_header(all[position].0), "{value}");
    }
}

#[test]
fn one_signature_of_standard_webhooks_is_for_one_id() {
    // The signed text is `msg_1.5.7.body`, which other ids, times and bodies make as well.
    let signature = mac(standard().keys[1].reveal(), &[b"msg_1.", b"1614265330.1614265331", b".body"]);
    let signature = format!("v1,{}", Encoding::Base64.encode(&signature));
    let checked = |id: &str, time: &str, body: &str| {
        let sent = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", &*signature)];
        check(&standard(), &request(&sent, body.as_bytes()), SIGNED_AT)
    };
    assert_eq!(checked("msg_1", "1614265330", "1614265331.body"), signed("msg_1"));
    assert_eq!(checked("msg_1.1614265330", "1614265331", "body"), unreadable_header("webhook-id"));
    assert_eq!(checked("msg_1", "1614265330.1614265331", "body"), unreadable_header("webhook-timestamp"));
}

#[test]
fn a_header_that_is_not_signed_says_nothing() {
    let sent = [("svix-id", ID), ("svix-timestamp", "1614265330"), ("svix-signature", SIGNATURE)];
    let more = [("webhook-id", "msg_VICTIM"), ("webhook-timestamp", "1614265330"), ("stripe-signature", "t=1,v1=00")];
    for position in 0..=3 {
        let mut all = more.to_vec();
        all.splice(position..position, sent);
        assert_eq!(check(&standard(), &request(&all, BODY), SIGNED_AT), signed(ID));
    }
}

#[test]
fn stripe_with_the_secret_as_it_is_written() {
    // Computed with Python's hmac, as Stripe's documentation says ("Verify webhook signatures
    // manually").
    let good = "0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd";
    let body = br#"{"id":"evt_1","object":"event"}"#;
    let stripe = verification(json!({"scheme": "stripe", "secrets": ["old", "whsec_test_secret"]}));
    let checked =
        |signature: &str, seconds| check(&stripe, &request(&[("stripe-signature", signature)], body), seconds);
    let signature = format!("t=1700000000,v1={},v1={good},v0=6ffbb59b", "0".repeat(64));
    assert_eq!(checked(&signature, 1_700_000_300), signed("evt_1"));
    assert!(matches!(checked(&signature, 1_700_000_301), Err(Rejection::Old { .. })));
    assert_eq!(checked(&format!("t=1700000001,v1={good}"), 1_700_000_000), Err(Rejection::Mismatch), "time is signed");
    for unreadable in ["", "v1=00", "t=1700000000", "t=1700000000,v1=0", "t=,v1=00", good.split_at(1).1] {
        assert_eq!(checked(unreadable, 1_700_000_000), unreadable_header("stripe-signature"), "{unreadable}");
    }
    assert_eq!(check(&stripe, &request(&[], body), 0), missing_header("stripe-signature"));
}

#[test]
fn github_as_its_documentation_has_it() {
    // "Validating webhook deliveries", "Testing the webhook payload validation".
    let github = verification(json!({"scheme": "github", "secrets": "It's a Secret to Everybody"}));
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let checked =
        |signature: &str, body: &[u8]| check(&github, &request(&[("x-hub-signature-256", signature)], body), 0);
    assert_eq!(checked(signature, b"Hello, World!"), GOOD);
    assert_eq!(checked(signature, b"Hello, World"), Err(Rejection::Mismatch));
    for text in [signature.split_at(7).1, "sha256=", "sha1=757107"] {
        let expected =
            if text == "sha256=" { Err(Rejection::Mismatch) } else { unreadable_header("x-hub-signature-256") };
        assert_eq!(checked(text, b"Hello, World!"), expected, "{text}");
    }
}

#[test]
fn slack_as_its_documentation_has_it() {
    // "Verifying requests from Slack".
    let slack = verification(json!({"scheme": "slack", "secrets": "8f742231b10e8888abcd99yyyzzz85a5"}));
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
        channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A\
        %2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
        trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let checked = |time: &str, seconds| {
        let sent = [("x-slack-signature", signature), ("x-slack-request-timestamp", time)];
        check(&slack, &request(&sent, body), seconds)
    };
    assert_eq!(checked("1531420618", 1_531_420_618), GOOD);
    assert_eq!(checked("1531420619", 1_531_420_618), Err(Rejection::Mismatch));
    assert!(matches!(checked("1531420618", 1_531_421_000), Err(Rejection::Old { .. })));
}

#[test]
fn twilio_as_its_documentation_has_it() {
    // "Webhooks security", "Validating signatures from Twilio", of today and of before.
    let verify = json!({"scheme": "twilio", "secrets": "12345", "url": "https://mycompany.com"});
    let (twilio, of_host) = (verification(verify), verification(json!({"scheme": "twilio", "secrets": "12345"})));
    let form = "application/x-www-form-urlencoded; charset=UTF-8";
    for (caller, signature) in
        [("%2B12349013030", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="), ("%2B14158675310", "GvWf1cFY/Q7PnoempGyD5oXAezc=")]
    {
        let body = format!(
            "To=%2B18005551212&Digits=1234&From={caller}&Caller={caller}&CallSid=CA1234567890ABCDE&Digits=1234"
        );
        let sent = [("host", "mycompany.com"), ("content-type", form), ("x-twilio-signature", signature)];
        let mut request = request(&sent, body.as_bytes());
        request.target = "/myapp.php?foo=1&bar=2".into();
        assert_eq!([check(&twilio, &request, 0), check(&of_host, &request, 0)], [GOOD, GOOD]);
        request.target = "/myapp.php?foo=1&bar=3".into();
        assert_eq!(check(&twilio, &request, 0), Err(Rejection::Mismatch));
    }
    // A body that is no form has its hash in the URL, which is signed.
    let target = "/hook?bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let key = Key::read("12345", KeyEncoding::Plain(Encoding::Text)).unwrap();
    let sign =
        |url: &str| Encoding::Base64.encode(&Algorithm::Sha1.mac(&key, &[b"https://mycompany.com", url.as_bytes()]));
    for (target, body, expected) in [
        (target, "{}", GOOD),
        (target, "{ }", Err(Rejection::Mismatch)),
        ("/hook", "{}", Err(Rejection::Missing("query parameter `bodySHA256`".into()))),
        ("/hook", "", GOOD),
    ] {
        let signature = sign(target);
        let sent = [("content-type", "application/json"), ("x-twilio-signature", &*signature)];
        let request = ClientRequest { target: target.into(), ..request(&sent, body.as_bytes()) };
        assert_eq!(check(&twilio, &request, 0), expected, "{target} {body}");
    }
}

#[test]
fn all_of_a_form_is_signed_however_it_is_written() {
    let twilio = verification(json!({"scheme": "twilio", "secrets": "12345", "url": "https://mycompany.com"}));
    let key = Key::read("12345", KeyEncoding::Plain(Encoding::Text)).unwrap();
    let signature = Encoding::Base64.encode(&Algorithm::Sha1.mac(&key, &[b"https://mycompany.com/webhook", b"To1"]));
    let many = "To=1&".repeat(512);
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, expected) in [
        (form, "To=1", GOOD),
        ("Application/X-WWW-Form-Urlencoded ; charset=utf-8", "To=1", GOOD),
        (form, &*many, GOOD),
        (form, "To=1&Evil=1", Err(Rejection::Mismatch)),
        // Behind fields that count once, what nobody signed would find no place.
        (form, &*format!("{many}Evil=1"), Err(Rejection::Unreadable("form".into()))),
        (
            "application/x-www-form-urlencoded-not",
            "To=1",
            Err(Rejection::Missing("query parameter `bodySHA256`".into())),
        ),
    ] {
        let sent = [("content-type", content_type), ("x-twilio-signature", &*signature)];
        assert_eq!(check(&twilio, &request(&sent, body.as_bytes()), 0), expected, "{content_type} {}", body.len());
    }
}

#[test]
fn hubspot_signs_a_url_of_which_some_is_decoded() {
    // "Validating requests", v3, whose list of what is decoded this is.
    let hubspot = verification(json!({"scheme": "hubspot", "secrets": "s", "url": "https://www.example.com/base/"}));
    let signature = Encoding::Base64
        .encode(&mac(b"s", &[b"POSThttps://www.example.com/base/a:/?@!$'()*,;%20%26%zz%?b={}1700000000123"]));
    let sent = [("x-hubspot-signature-v3", &*signature), ("x-hubspot-request-timestamp", "1700000000123")];
    let target = "/a%3A%2f%3F%40%21%24%27%28%29%2A%2C%3B%20%26%zz%?b=";
    let request = ClientRequest { target: target.into(), ..request(&sent, b"{}") };
    assert_eq!(check(&hubspot, &request, 1_700_000_000), GOOD);
    assert_eq!(
        check(&hubspot, &ClientRequest { method: "PUT".into(), ..request }, 1_700_000_000),
        Err(Rejection::Mismatch)
    );
}

#[test]
fn any_hmac_in_either_form() {
    // RFC 2202 and RFC 4231, test case 2.
    let body = b"what do ya want for nothing?";
    for (algorithm, encoding, signature) in [
        ("sha1", "hex", "EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79"),
        ("sha1", "base64", "7/zfauXrL6LSdBbV8YTfnCWafHk="),
        ("sha1", "base64", "7_zfauXrL6LSdBbV8YTfnCWafHk"),
        ("sha256", "hex", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ("sha256", "base64", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
        (
            "sha512",
            "base64",
            "Fkt6e/z4GeLjlfvnO1bgo4e9ZCIugx/WECcM1+olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw==",
        ),
    ] {
        for (secret, key_encoding) in [("Jefe", "text"), ("SmVmZQ==", "base64"), ("4a656665", "hex")] {
            let hmac = verification(json!({
                "scheme": "hmac", "secrets": secret, "key_encoding": key_encoding, "header": "X-Signature",
                "algorithm": algorithm, "encoding": encoding,
            }));
            assert_eq!(check(&hmac, &request(&[("x-signature", signature)], body), 0), GOOD);
            assert!(check(&hmac, &request(&[("x-signature", signature)], &body[1..]), 0).is_err());
            let part = request(&[("x-signature", signature.split_at(4).1)], body);
            assert!(check(&hmac, &part, 0).is_err(), "a part is not enough");
            assert!(hmac.needs("x-signature") && !hmac.needs("x-other"));
        }
    }
}

#[test]
fn the_general_form_signs_what_it_is_told_to() {
    let general = verification(json!({
        "scheme": "hmac", "secrets": ["old", "s"], "query": "sig", "separator": "|", "key": "v1",
        "signed": "${request.method} ${request.url} ${request.headers.x-id}.${timestamp}.${request.body./a}",
        "timestamp": {"body": "/at", "unit": "rfc3339"}, "url": "http://127.0.0.1:80/base",
    }));
    let text = |id: &str| {
        let target = "/webhook?a=%20";
        (target, format!("PUT http://127.0.0.1:80/base{target} {id}.2023-11-14T22:13:20Z.150"))
    };
    for (id, expected) in [("7", GOOD), ("7.1", unreadable_header("x-id")), ("", unreadable_header("x-id"))] {
        let (target, text) = text(id);
        // The signature stands in the URL, which cannot sign itself: here it signs the one without.
        let signature = hex::encode(mac(b"s", &[text.as_bytes()]));
        let body = br#"{"a": 150, "at": "2023-11-14T22:13:20Z"}"#;
        let sent = ClientRequest { method: "PUT".into(), target: target.into(), ..request(&[("x-id", id)], body) };
        let mut checked = general.clone();
        checked.forms[0].places = vec![Variable::RequestHeader("x-signature".into())];
        let signatures = format!("v1=00|t=1| V1={signature}");
        let mut sent = sent;
        sent.headers.0.push(("x-signature".into(), signatures.as_str().into()));
        assert_eq!(check(&checked, &sent, 1_700_000_000), expected, "{id}");
        assert!(expected.is_err() || checked.check(&sent, Timestamp(1_700_000_000_000)).unwrap().key == 1);
    }
    let none = check(&general, &request(&[], b"{}"), 0);
    assert_eq!(none.unwrap_err().to_string(), "there is no query parameter `sig`");
}

#[test]
fn a_token_proves_that_its_sender_knows_the_secret() {
    for (verify, good, bad) in [
        (json!({"scheme": "gitlab"}), ("x-gitlab-token", "two"), ("x-gitlab-token", "twoo")),
        (
            json!({"scheme": "telegram"}),
            ("x-telegram-bot-api-secret-token", "one"),
            ("x-telegram-bot-api-secret-token", ""),
        ),
        (
            json!({"scheme": "token", "header": "Authorization", "prefix": "Bearer "}),
            ("authorization", "bearer two"),
            ("authorization", "two"),
        ),
    ] {
        let mut verify = verify;
        verify["secrets"] = json!(["one", "two"]);
        let verification = verification(verify);
        assert_eq!(check(&verification, &request(&[good], b"x"), 0), GOOD);
        assert!(check(&verification, &request(&[bad], b"x"), 0).is_err());
        assert!(check(&verification, &request(&[], b"x"), 0).is_err());
        assert!(verification.is_secret(good.0) && !verification.needs(good.0), "it is never stored");
    }
    let basic = verification(json!({"scheme": "basic", "secrets": "Aladdin:open sesame"}));
    // RFC 7617, 2.
    for (value, expected) in [
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", GOOD),
        ("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", GOOD),
        ("Basic QWxhZGRpbjpvcGVu", Err(Rejection::Mismatch)),
        ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", unreadable_header("authorization")),
    ] {
        assert_eq!(check(&basic, &request(&[("authorization", value)], b""), 0), expected, "{value}");
    }
    let query = verification(json!({"scheme": "token", "secrets": "s e", "query": "Token"}));
    let sent = ClientRequest { target: "/webhook?Token=s+e".into(), ..request(&[], b"") };
    assert_eq!((check(&query, &sent, 0), query.tokens().collect::<Vec<_>>()), (GOOD, vec!["token".to_owned()]));
    let body = verification(json!({"scheme": "token", "secrets": "s", "body": "/value/0/clientState"}));
    assert_eq!(check(&body, &request(&[], br#"{"value":[{"clientState":"s"}]}"#), 0), GOOD);
    assert_eq!(check(&body, &request(&[], br#"{"value":[{"clientState":"t"}]}"#), 0), Err(Rejection::Mismatch));
}

#[cfg(feature = "ed25519")]
#[test]
fn ed25519_as_its_rfc_has_it() {
    // RFC 8032, 7.1, test 3, whose message is two bytes; and the key of small order that is good
    // for everything.
    let key = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                     18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let ed25519 = verification(json!({"scheme": "ed25519", "secrets": key, "header": "x-signature"}));
    let checked = |signature: &str, body: &[u8]| check(&ed25519, &request(&[("x-signature", signature)], body), 0);
    assert_eq!(checked(signature, b"\xaf\x82"), GOOD);
    assert_eq!(checked(signature, b"\xaf\x83"), Err(Rejection::Mismatch));
    assert_eq!(checked(signature.split_at(2).1, b"\xaf\x82"), Err(Rejection::Mismatch));
    // The scalar with the order of the group added, which signs alike by arithmetic alone; and an R
    // of small order.
    let other_scalar = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                        05d391b0a77904e98404ef037747a56e4a7c15e9716ed28dc027beceea1ec41a";
    let small_order = format!("01{}{}", "00".repeat(31), "00".repeat(32));
    for signature in [other_scalar, &small_order] {
        assert_eq!(checked(signature, b"\xaf\x82"), Err(Rejection::Mismatch));
    }
    assert_eq!(ed25519.mac(0, "text"), None);
    let public = KeyEncoding::Public(Encoding::Hex);
    for weak in ["00".repeat(32), "01".to_owned() + &"00".repeat(31), key.split_at(2).1.to_owned()] {
        assert_eq!(Key::read(&weak, public).unwrap_err(), KeyError::Form("a public key of Ed25519"));
    }
}

#[test]
fn a_secret_is_checked_and_never_shown() {
    let text = KeyEncoding::Plain(Encoding::Text);
    assert_eq!(Key::read("", text).unwrap_err(), KeyError::Empty);
    let whsec = |text| Key::read(text, KeyEncoding::Whsec);
    assert_eq!(whsec("whsec_").unwrap_err(), KeyError::Empty);
    assert_eq!(whsec("whsec_not base64").unwrap_err(), KeyError::Form("base64 behind its prefix"));
    assert_eq!(whsec("aHVudGVyMg==").unwrap_err(), KeyError::Short(7));
    let long = "hunter2 hunter2 hunter2 ";
    assert_eq!(whsec("aHVudGVyMi1odW50ZXIyLWh1bnRlcjIt").unwrap(), Key::read(&long.replace(' ', "-"), text).unwrap());
    for surrounded in [" s", "s\n", "\u{a0}s", " ", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"] {
        assert_eq!(Key::read(surrounded, text).unwrap_err(), KeyError::Surrounded);
        assert_eq!(whsec(surrounded).unwrap_err(), KeyError::Surrounded);
    }
    assert!(Key::read("It's a Secret to Everybody", text).is_ok());
    assert_eq!(Key::read("user", KeyEncoding::NameAndPassword).unwrap_err(), KeyError::Form("NAME:PASSWORD"));
    assert_eq!(format!("{:?}", standard().keys), "[[secret], [secret]]");
}

/// A secret that every scheme takes, and a scheme of the configuration has these keys.
fn any_verify(scheme: &Scheme) -> Value {
    let secret = match scheme.name {
        "standard-webhooks" => "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0",
        "basic" | "chargebee" | "postmark" => "user:password",
        "discord" | "ed25519" => "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        _ => "secret",
    };
    let mut verify = json!({"scheme": scheme.name, "secrets": secret});
    if scheme.takes("header") {
        verify["header"] = json!("x-signature");
    }
    verify
}

proptest! {
    #[test]
    fn no_request_stops_anything_and_none_is_good_by_chance(
        signature in "(t=[0-9]{0,20},?)?(v1[,=])?[ -~]{0,80}",
        timestamp in "[0-9]{0,24}|.{0,8}",
        body in prop_oneof![any::<Vec<u8>>(), "\\{\"signature\":\\{[\":,a-z]{0,30}\\}\\}".prop_map(String::into_bytes)],
        target in "/[ -~]{0,40}",
        now: u64,
    ) {
        for scheme in SCHEMES {
            let verification = verification(any_verify(scheme));
            let value = |name: &str| match name.rsplit_once('-') {
                Some((_, "timestamp")) => timestamp.clone(),
                Some((_, "id")) => "1".to_owned(),
                Some(_) | None => signature.clone(),
            };
            let headers = verification.headers().map(|name| (name.into(), value(name).into())).collect();
            let target = target.as_str().into();
            let request = ClientRequest { headers: Headers(headers), target, body: body.as_slice().into(), ..ClientRequest::default() };
            prop_assert!(verification.check(&request, Timestamp(now)).is_err());
        }
    }
}
