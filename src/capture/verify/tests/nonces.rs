//! HMACs that anybody can have, as the answer to a challenge, and what is not good because of them.

use super::*;

/// The captures of senders that ask by GET for the HMAC of what they send: X, and one of LinkedIn's
/// under a name of its own; and a third with a secret of its own.
fn captures(more: Value) -> crate::capture::Captures {
    let crc = |parameter: &str, answer: &str| {
        json!([{
            "verified": false,
            "when": {"request.method": "GET", format!("request.query.{parameter}"): {"exists": true}},
            "response": {"content_type": "application/json", "body": answer},
        }])
    };
    let x = json!({"scheme": "hmac", "secrets": ["new", "old"], "header": "x-s", "prefix": "sha256=", "encoding": "base64"});
    let linked_in = json!({"scheme": "hmac", "secrets": "li", "header": "x-s", "signed": "hmacsha256=${request.body}"});
    let capture = |at: usize, verify: Value, challenges: Value| {
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
        json!({"method": "POST", "matcher": format!("^/{at}$"), "queue_url": queue, "verify": verify, "challenges": challenges})
    };
    let all = json!([
        capture(0, x, crc("crc_token", r#"{"response_token":"sha256=${hmac.request.query.crc_token}"}"#)),
        capture(
            1,
            linked_in,
            crc(
                "challengeCode",
                r#"{"challengeCode":"${request.query.challengeCode}","challengeResponse":"${hmac.request.query.challengeCode}"}"#,
            ),
        ),
        capture(2, more, json!([])),
    ]);
    let config = Config::from_json(json!({"capture": all}).to_string().as_bytes());
    std::rc::Rc::into_inner(config.unwrap_or_else(|faults| panic!("{faults}")).captures).unwrap()
}

/// The answer to a GET that nobody signs, unless it is no challenge.
fn asked(captures: &crate::capture::Captures, at: usize, target: &str) -> Option<String> {
    let request = ClientRequest { method: "GET".into(), target: target.into(), ..request(&[], b"") };
    let capture = &captures.all[at];
    let answer = capture.challenge(&request)?.answer(&request, capture.verify.as_ref(), None)?;
    Some(answer.into_body())
}

#[test]
fn a_nonce_is_answered_with_its_hmac_by_the_newest_secret() {
    let captures = captures(json!({"scheme": "github", "secrets": "s"}));
    let token = "MjBlZTFiYjUtOWM3My00M2U5-_=+/.~";
    let hmac = Encoding::Base64.encode(&mac(b"new", &[token.as_bytes()]));
    let target = format!("/0?nonce=1&crc_token={}", token.replace('+', "%2B"));
    assert_eq!(asked(&captures, 0, &target), Some(format!(r#"{{"response_token":"sha256={hmac}"}}"#)));
    let code = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
    let hmac = hex::encode(mac(b"li", &[code.as_bytes()]));
    let answer = format!(r#"{{"challengeCode":"{code}","challengeResponse":"{hmac}"}}"#);
    assert_eq!(asked(&captures, 1, &format!("/1?challengeCode={code}")), Some(answer));
}

#[test]
fn what_could_be_a_webhook_is_answered_with_nothing() {
    let captures = captures(json!({"scheme": "github", "secrets": "s"}));
    for token in ["%7B%22a%22:1%7D", "a:b", "a%20b", "a%0A", "%22a%22", "a%26b", "[]", "%C3%A9", "", &"a".repeat(257)] {
        assert_eq!(asked(&captures, 0, &format!("/0?crc_token={token}")), None, "{token}");
    }
    assert!(asked(&captures, 0, &format!("/0?crc_token={}", "a".repeat(256))).is_some());
    assert_eq!(asked(&captures, 0, "/0?crc_token=ab&nonce={}").map(|answer| answer.is_empty()), Some(false));
}

#[test]
fn a_signature_that_anybody_can_have_is_not_good_wherever_its_secret_counts() {
    // The third capture has one of X's secrets, an older one.
    let captures = captures(json!({"scheme": "shopify", "secrets": ["another", "old"]}));
    let checked = |at: usize, name: &str, prefix: &str, secret: &str, body: &str| {
        let text = [prefix, &Encoding::Base64.encode(&mac(secret.as_bytes(), &[body.as_bytes()]))].concat();
        let sent = [(name, &*text)];
        check(captures.all[at].verify.as_ref().unwrap(), &request(&sent, body.as_bytes()), 0)
    };
    for body in ["true", "17", "null", "abc", "a=b", "1.5e9"] {
        for secret in ["new", "old"] {
            assert_eq!(checked(0, "x-s", "sha256=", secret, body), Err(Rejection::Nonce), "{body}");
        }
        assert_eq!(checked(2, "x-shopify-hmac-sha256", "", "old", body), Err(Rejection::Nonce), "{body}");
    }
    for body in ["{}", "[1]", "\"a\"", "a=b&c=d", "", "two words", &"a".repeat(257)] {
        assert_eq!(checked(0, "x-s", "sha256=", "new", body), GOOD, "{body}");
        assert_eq!(checked(2, "x-shopify-hmac-sha256", "", "old", body), GOOD, "{body}");
    }
    // A token says nothing of the body, and its secret is no answer.
    let token = self::captures(json!({"scheme": "token", "secrets": "old", "header": "x-s"}));
    assert_eq!(check(token.all[2].verify.as_ref().unwrap(), &request(&[("x-s", "old")], b"true"), 0), GOOD);
    let elsewhere = self::captures(json!({"scheme": "shopify", "secrets": "another"}));
    let text = Encoding::Base64.encode(&mac(b"another", &[b"true"]));
    let sent = [("x-shopify-hmac-sha256", &*text)];
    assert_eq!(check(elsewhere.all[2].verify.as_ref().unwrap(), &request(&sent, b"true"), 0), GOOD, "nobody can ask");
}

proptest! {
    #[test]
    fn no_webhook_is_good_by_an_answer(code in "[ -~]{0,40}", body in "[ -~]{0,40}") {
        let captures = captures(json!({"scheme": "github", "secrets": "s"}));
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("challengeCode", &code).finish();
        let Some(answer) = asked(&captures, 1, &format!("/1?{query}")) else { return Ok(()) };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let signature = answer["challengeResponse"].as_str().unwrap();
        let suffix = code.strip_prefix("hmacsha256=").unwrap_or(&body).to_owned();
        for body in [body, code, suffix] {
            let sent = [("x-s", signature)];
            let checked = check(captures.all[1].verify.as_ref().unwrap(), &request(&sent, body.as_bytes()), 0);
            prop_assert!(checked.is_err(), "{}", body);
        }
    }
}
