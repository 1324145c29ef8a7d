//! Signatures as the providers document them, in every way in which they may be wrong.

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::secrets::KeyError;
use super::*;

/// Checks by the scheme of this name; one that the configuration describes has the form
/// `described`.
fn verification(name: &str, described: Option<SignatureForm>, secrets: &[&str]) -> Verification {
    let scheme = SCHEMES.iter().find(|scheme| scheme.name == name).unwrap();
    let form = match &scheme.form {
        FormSource::Fixed(form) => form.clone(),
        FormSource::HmacKeys => described.unwrap(),
    };
    let keys = secrets.iter().map(|secret| Key::read(secret, scheme.secrets).unwrap()).collect();
    Verification { scheme, form, keys, tolerance: Duration::from_secs(300), on_failure: OnUnverified::Mark }
}

fn headers<'a>(pairs: &[(&'a str, &'a str)]) -> Headers<'a> {
    Headers(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

/// Returns the result for a good signature that covers this id.
fn signed(id: Option<&str>) -> Result<Signed, Rejection> {
    Ok(Signed { id: id.map(str::to_owned) })
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

/// The example of Svix' documentation ("Verifying webhooks manually") and of its libraries.
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SIGNED_AT: u64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const BODY: &[u8] = br#"{"test": 2432232314}"#;

fn standard() -> Verification {
    let secrets = ["whsec_c29tZW9uZSBlbHNlJ3Mgc2VjcmV0LCBhIGxvbmcgb25l", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    verification("standard-webhooks", None, &secrets)
}

#[test]
fn standard_webhooks_by_either_name_with_any_of_the_secrets() {
    for names in standard_webhooks::HEADERS {
        let signatures = format!("v1a,aGVsbG8= v1,aGVsbG8= {SIGNATURE}");
        let sent = headers(&[(names[0], ID), (names[1], "1614265330"), (names[2], &signatures)]);
        assert_eq!(standard().check(&sent, BODY, at(SIGNED_AT)), signed(Some(ID)));
        assert_eq!(standard().check(&sent, b"{}", at(SIGNED_AT)), Err(Rejection::Mismatch));
        assert!(names.iter().all(|name| standard().needs(name)));
    }
}

#[test]
fn the_time_of_a_signature_has_a_tolerance_in_both_directions() {
    let sent = headers(&[("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", SIGNATURE)]);
    let checked = |seconds| standard().check(&sent, BODY, at(seconds));
    assert_eq!([checked(SIGNED_AT + 300), checked(SIGNED_AT - 300)], [signed(Some(ID)), signed(Some(ID))]);
    assert_eq!(checked(SIGNED_AT + 301).unwrap_err().to_string(), "it was signed 301 s ago, of at most 300");
    assert_eq!(checked(SIGNED_AT - 301).unwrap_err().to_string(), "it was signed 301 s in the future, of at most 300");
}

#[test]
fn what_is_missing_or_unreadable_is_named() {
    let all = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", SIGNATURE)];
    for missing in 0..all.len() {
        let mut sent = all.to_vec();
        let (name, _) = sent.remove(missing);
        let rejected = standard().check(&headers(&sent), BODY, at(SIGNED_AT)).unwrap_err();
        assert_eq!(rejected, Rejection::Missing(name.into()));
    }
    for (position, value) in
        [(1, "yesterday"), (1, "+1614265330"), (1, ""), (2, ""), (2, "v1,?"), (2, "g0hM9SsE"), (0, ""), (0, "msg.1")]
    {
        let mut sent = all;
        sent[position].1 = value;
        let rejected = standard().check(&headers(&sent), BODY, at(SIGNED_AT)).unwrap_err();
        assert_eq!(rejected, Rejection::Unreadable(all[position].0.into()), "{value}");
    }
}

#[test]
fn one_signature_of_standard_webhooks_is_for_one_id() {
    // The signed text is `msg_1.5.7.body`, which other ids, times and bodies make as well.
    let sign = |parts: [&[u8]; 3]| {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(standard().keys[1].reveal()).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        format!("v1,{}", base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes()))
    };
    let signature = sign([b"msg_1.", b"1614265330.1614265331", b".body"]);
    let check = |id: &str, time: &str, body: &str| {
        let sent = headers(&[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", &signature)]);
        standard().check(&sent, body.as_bytes(), at(SIGNED_AT))
    };
    assert_eq!(check("msg_1", "1614265330", "1614265331.body"), signed(Some("msg_1")));
    assert_eq!(check("msg_1.1614265330", "1614265331", "body"), Err(Rejection::Unreadable("webhook-id".into())));
    assert_eq!(check("msg_1", "1614265330.1614265331", "body"), Err(Rejection::Unreadable("webhook-timestamp".into())));
}

#[test]
fn a_header_that_is_not_signed_says_nothing() {
    let sent = [("svix-id", ID), ("svix-timestamp", "1614265330"), ("svix-signature", SIGNATURE)];
    let more = [("webhook-id", "msg_VICTIM"), ("webhook-timestamp", "1614265330"), ("stripe-signature", "t=1,v1=00")];
    for position in 0..=3 {
        let mut all = more.to_vec();
        all.splice(position..position, sent);
        assert_eq!(standard().check(&headers(&all), BODY, at(SIGNED_AT)), signed(Some(ID)));
    }
}

#[test]
fn stripe_with_the_secret_as_it_is_written() {
    // Computed with Python's hmac, as Stripe's documentation says ("Verify webhook signatures
    // manually").
    let good = "0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd";
    let body = br#"{"id":"evt_1","object":"event"}"#;
    let stripe = verification("stripe", None, &["old", "whsec_test_secret"]);
    let check =
        |signature: &str, seconds| stripe.check(&headers(&[("stripe-signature", signature)]), body, at(seconds));
    let signature = format!("t=1700000000,v1={},v1={good},v0=6ffbb59b", "0".repeat(64));
    assert_eq!(check(&signature, 1_700_000_300), signed(Some("evt_1")));
    assert!(matches!(check(&signature, 1_700_000_301), Err(Rejection::Old { .. })));
    assert_eq!(
        check(&format!("t=1700000001,v1={good}"), 1_700_000_000),
        Err(Rejection::Mismatch),
        "the time is signed"
    );
    for unreadable in ["", "v1=00", "t=1700000000", "t=1700000000,v1=0", "t=,v1=00", good.split_at(1).1] {
        assert_eq!(
            check(unreadable, 1_700_000_000),
            Err(Rejection::Unreadable("stripe-signature".into())),
            "{unreadable}"
        );
    }
    assert_eq!(stripe.check(&headers(&[]), body, at(0)), Err(Rejection::Missing("stripe-signature".into())));
}

#[test]
fn github_as_its_documentation_has_it() {
    // "Validating webhook deliveries", "Testing the webhook payload validation".
    let github = verification("github", None, &["It's a Secret to Everybody"]);
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let check =
        |signature: &str, body: &[u8]| github.check(&headers(&[("x-hub-signature-256", signature)]), body, at(0));
    assert_eq!(check(signature, b"Hello, World!"), signed(None));
    assert_eq!(check(signature, b"Hello, World"), Err(Rejection::Mismatch));
    let unreadable = Err(Rejection::Unreadable("x-hub-signature-256".into()));
    for text in [signature.split_at(7).1, "sha256=", "sha1=757107"] {
        let expected = if text == "sha256=" { Err(Rejection::Mismatch) } else { unreadable.clone() };
        assert_eq!(check(text, b"Hello, World!"), expected, "{text}");
    }
}

#[test]
fn any_hmac_in_either_form() {
    // RFC 2202 and RFC 4231, test case 2.
    let body = b"what do ya want for nothing?";
    for (algorithm, encoding, signature) in [
        (Algorithm::Sha1, Encoding::Hex, "EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79"),
        (Algorithm::Sha1, Encoding::Base64, "7/zfauXrL6LSdBbV8YTfnCWafHk="),
        (Algorithm::Sha256, Encoding::Hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (Algorithm::Sha256, Encoding::Base64, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
        (
            Algorithm::Sha512,
            Encoding::Base64,
            "Fkt6e/z4GeLjlfvnO1bgo4e9ZCIugx/WECcM1+olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw==",
        ),
    ] {
        let form = BodyHmac { header: "x-signature".into(), algorithm, encoding, prefix: "".into() };
        let hmac = verification("hmac", Some(SignatureForm::BodyHmac(form)), &["Jefe"]);
        assert_eq!(hmac.check(&headers(&[("x-signature", signature)]), body, at(0)), signed(None));
        assert!(hmac.check(&headers(&[("x-signature", signature)]), &body[1..], at(0)).is_err());
        assert!(
            hmac.check(&headers(&[("x-signature", signature.split_at(4).1)]), body, at(0)).is_err(),
            "a part is not enough"
        );
        assert!(hmac.needs("x-signature") && !hmac.needs("x-other"));
    }
}

#[test]
fn a_secret_is_checked_and_never_shown() {
    assert_eq!(Key::read("", SecretEncoding::Text).unwrap_err(), KeyError::Empty);
    let whsec = |text| Key::read(text, SecretEncoding::Whsec);
    assert_eq!(whsec("whsec_").unwrap_err(), KeyError::Empty);
    assert_eq!(whsec("whsec_not base64").unwrap_err(), KeyError::Base64);
    assert_eq!(whsec("aHVudGVyMg==").unwrap_err(), KeyError::Short(7));
    let long = "hunter2 hunter2 hunter2 ";
    assert_eq!(
        whsec("aHVudGVyMi1odW50ZXIyLWh1bnRlcjIt").unwrap(),
        Key::read(&long.replace(' ', "-"), SecretEncoding::Text).unwrap()
    );
    for surrounded in [" s", "s\n", "\u{a0}s", " ", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"] {
        assert_eq!(Key::read(surrounded, SecretEncoding::Text).unwrap_err(), KeyError::Surrounded);
        assert_eq!(whsec(surrounded).unwrap_err(), KeyError::Surrounded);
    }
    assert!(Key::read("It's a Secret to Everybody", SecretEncoding::Text).is_ok());
    assert_eq!(format!("{:?}", standard().keys), "[[secret], [secret]]");
}

proptest! {
    #[test]
    fn no_header_stops_anything_and_none_is_good_by_chance(
        signature in "(t=[0-9]{0,20},?)?(v1[,=])?[ -~]{0,80}",
        timestamp in "[0-9]{0,24}|.{0,8}",
        body: Vec<u8>,
        now: u64,
    ) {
        for scheme in &SCHEMES {
            let FormSource::Fixed(form) = &scheme.form else { continue };
            let value = |name: &str| match name.rsplit_once('-') {
                Some((_, "timestamp")) => timestamp.clone(),
                Some((_, "id")) => "1".to_owned(),
                Some(_) | None => signature.clone(),
            };
            let sent = Headers(form.headers().into_iter().map(|name| (name.into(), value(name).into())).collect());
            let verification = verification(scheme.name, None, &["c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"]);
            prop_assert!(verification.check(&sent, &body, Timestamp(now)).is_err());
        }
    }
}
