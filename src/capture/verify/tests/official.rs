//! What Standard Webhooks' own library signs and refuses, against the same here.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use standardwebhooks::Webhook;

use super::*;

/// A secret, as both take it.
fn secret(bytes: &[u8]) -> String {
    format!("whsec_{}", Encoding::Base64.encode(bytes))
}

/// The library goes by the clock of the machine.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

proptest! {
    #[test]
    fn what_the_official_library_signs_is_good(
        key in proptest::collection::vec(any::<u8>(), 24..64),
        id in "[!-\\-/-~]{1,40}",
        body: String,
        seconds in 0u64..=4_000_000_000,
    ) {
        let secret = secret(&key);
        let signature = Webhook::new(&secret).unwrap().sign(&id, seconds as i64, body.as_bytes()).unwrap();
        let checks = verification(json!({"scheme": "standard-webhooks", "secrets": secret}));
        let time = seconds.to_string();
        for [id_name, time_name, name] in NAMES {
            let sent = [(id_name, &*id), (time_name, &*time), (name, &*signature)];
            prop_assert_eq!(check(&checks, &request(&sent, body.as_bytes()), seconds), signed(&id));
        }
    }

    #[test]
    fn what_the_official_library_refuses_is_not_good(
        change in prop::sample::select(vec!["none", "key", "id", "body", "time", "old", "early", "signature", "version"]),
        body in "[ -~]{0,40}",
        others in proptest::collection::vec("v[12]a?,[A-Za-z0-9+/]{43}=", 0..3),
    ) {
        let (good, another, now) = (secret(&[7; 32]), secret(&[8; 32]), now());
        let at = match change {
            "old" => now - 302,
            "early" => now + 302,
            _ => now,
        };
        let signer = Webhook::new(if change == "key" { &another } else { &good }).unwrap();
        let signature = signer.sign("msg_1", at as i64, body.as_bytes()).unwrap();
        let signature = match change {
            "signature" => signature.replacen(',', ",A", 1),
            "version" => signature.replacen("v1,", "v2,", 1),
            _ => signature,
        };
        let signatures = [others.join(" "), signature].join(" ").trim().to_owned();
        let id = if change == "id" { "msg_2" } else { "msg_1" };
        let time = if change == "time" { at - 1 } else { at }.to_string();
        let body = if change == "body" { body + "x" } else { body };
        let sent = [("webhook-id", id), ("webhook-timestamp", &*time), ("webhook-signature", &*signatures)];
        let headers: HeaderMap = sent.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        }).collect();
        let official = Webhook::new(&good).unwrap().verify(body.as_bytes(), &headers).is_ok();
        let ours = check(&verification(json!({"scheme": "standard-webhooks", "secrets": good})), &request(&sent, body.as_bytes()), now);
        prop_assert_eq!((official, ours.is_ok()), (change == "none", change == "none"), "{}: {:?}", change, ours);
    }
}
