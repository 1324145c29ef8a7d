//! Signatures of Standard Webhooks, version 1: HMAC-SHA256 of the id, the time and the body, with a
//! signature for each secret, so that a receiver may change to a new one at its own time
//! (specification, "Signature scheme" and "Webhook headers"). Reads no clock.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Timestamp;
use crate::secret::{Algorithm, Encoding, Key};

/// Begins the names of all headers of the specification.
const PREFIX: &str = "webhook-";

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Returns true if a header belongs to signatures, and is nobody else's.
pub(crate) fn is_of_signature(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// Adds the headers of a request that brings the event `id` at `now`: its id, which is the same in
/// every try, the time of this one, and a signature with each of `secrets`.
pub(super) fn sign(headers: &mut HeaderMap, secrets: &[Key], id: &str, body: &[u8], now: Timestamp) {
    let seconds = (now.0 / 1_000).to_string();
    let content = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    let signature = |secret| format!("v1,{}", Encoding::Base64.encode(&Algorithm::Sha256.mac(secret, &content)));
    let signatures: Vec<String> = secrets.iter().map(signature).collect();
    let values = [(ID, id.to_owned()), (TIMESTAMP, seconds.clone()), (SIGNATURE, signatures.join(" "))];
    for (name, value) in values.into_iter().filter(|(_, value)| !value.is_empty()) {
        // An id is a UUID, and the others are digits and base64: each is fit for a header.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use standardwebhooks::Webhook as Verifier;

    use super::*;
    use crate::secret::KeyEncoding;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signed(secrets: &[&str], id: &str, body: &[u8], now: Timestamp) -> HeaderMap {
        let secrets: Vec<Key> = secrets.iter().map(|secret| Key::read(secret, KeyEncoding::Whsec).unwrap()).collect();
        let mut headers = HeaderMap::new();
        sign(&mut headers, &secrets, id, body, now);
        headers
    }

    #[test]
    fn the_signature_of_the_documentation() {
        let headers =
            signed(&[SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#, Timestamp(1_614_265_330_999));
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_makes_a_signature_and_without_one_there_is_none() {
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let [both, old, new] = [&[SECRET, other][..], &[SECRET], &[other]].map(|secrets| {
            signed(secrets, "e", b"{}", Timestamp(1_000))["webhook-signature"].to_str().unwrap().to_owned()
        });
        assert_eq!(both, format!("{old} {new}"));
        let unsigned = signed(&[], "e", b"{}", Timestamp(1_000));
        assert_eq!(
            (&unsigned["webhook-id"], &unsigned["webhook-timestamp"]),
            (&"e".parse().unwrap(), &"1".parse().unwrap())
        );
        assert!(!unsigned.contains_key("webhook-signature"));
    }

    #[test]
    fn its_headers_are_known() {
        for (name, is_known) in [("webhook-id", true), ("webhook-other", true), ("x-webhook-id", false)] {
            assert_eq!(is_of_signature(&HeaderName::from_static(name)), is_known, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_official_library_verifies_what_is_signed(
            body in any::<String>(),
            secret in proptest::collection::vec(any::<u8>(), 24..=64),
            id in "[0-9a-f-]{1,40}",
        ) {
            let secret = format!("whsec_{}", Encoding::Base64.encode(&secret));
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let now = Timestamp(u64::try_from(now.as_millis()).unwrap());
            let headers = signed(&[SECRET, &secret], &id, body.as_bytes(), now);
            prop_assert!(Verifier::new(&secret).unwrap().verify(body.as_bytes(), &headers).is_ok());
            let changed = format!("{body} ");
            prop_assert!(Verifier::new(&secret).unwrap().verify(changed.as_bytes(), &headers).is_err());
        }
    }
}
