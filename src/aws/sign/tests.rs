use proptest::prelude::*;
use serde_json::Value;

use super::*;

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

fn request(uri: &str) -> Request<Vec<u8>> {
    Request::post(uri).header("content-type", "text/plain").body(b"body".to_vec()).unwrap()
}

fn scope() -> SigningScope {
    SigningScope { region: "us-east-1".into(), service: "sns" }
}

fn header<'a>(request: &'a Request<Vec<u8>>, name: &str) -> Vec<&'a str> {
    request.headers().get_all(name).into_iter().map(|value| value.to_str().unwrap()).collect()
}

fn signed(mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    sign(&mut request, &credentials(None), &scope(), Timestamp(1_725_021_360_000)).unwrap();
    request
}

/// Signs every case of a file of cases and compares; returns how many there were.
fn check(file: &str) -> usize {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let headers: Vec<(String, String)> = serde_json::from_value(case["headers"].clone()).unwrap();
        let uri = format!("http://{}{}", text("authority"), text("path"));
        let mut request = Request::builder().method(text("method")).uri(uri);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let mut request = request.body(text("body").into()).unwrap();
        let before = request.headers().clone();
        let service = if text("service") == "sns" { "sns" } else { "service" };
        let scope = SigningScope { region: text("region").into(), service };
        let token = case["session_token"].as_str();
        let at = Timestamp(case["at_ms"].as_u64().unwrap() + 999);
        sign(&mut request, &credentials(token), &scope, at).unwrap();

        let name = text("name");
        assert_eq!(header(&request, "authorization"), [text("authorization")], "{name}");
        assert_eq!(header(&request, "x-amz-date").len(), 1, "{name}");
        assert_eq!(header(&request, "x-amz-security-token"), token.as_slice(), "{name}");
        assert!(header(&request, "host").is_empty(), "{name}");
        for key in before.keys() {
            assert_eq!(header(&request, key.as_str()).len(), before.get_all(key).into_iter().count(), "{name}");
        }
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
        for scheme in ["http", "https"] {
            let signed = signed(request(&format!("{scheme}://{authority}/")));
            seen.push(header(&signed, "authorization")[0].to_owned());
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 6, "one signature for each authority, whatever the scheme");
}

#[test]
fn signing_again_replaces_the_signature() {
    let first = signed(request("http://localhost/"));
    let mut again = first.clone();
    again.headers_mut().insert("host", HeaderValue::from_static("elsewhere"));
    again.headers_mut().insert("x-amz-security-token", HeaderValue::from_static("old"));
    assert_eq!(signed(again).headers(), first.headers());
}

#[test]
fn a_session_token_is_not_shown() {
    let mut request = request("http://localhost/");
    sign(&mut request, &credentials(Some("hunter2")), &scope(), Timestamp(0)).unwrap();
    assert_eq!(header(&request, "x-amz-security-token"), ["hunter2"]);
    assert!(!format!("{request:?}").contains("hunter2"));
}

#[test]
fn what_cannot_be_signed_as_it_would_be_sent_is_refused() {
    let refused = |mut request: Request<Vec<u8>>, token, now| {
        let before = request.clone();
        let error = sign(&mut request, &credentials(token), &scope(), now).unwrap_err();
        assert_eq!((request.uri(), request.headers()), (before.uri(), before.headers()));
        let text = format!("{error} {error:?}");
        assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
        error
    };
    let now = Timestamp(0);
    for uri in ["/", "*", "localhost", "http://localhost?a", "http://localhost/é"] {
        assert_eq!(refused(request(uri), None, now), SignError::Uri, "{uri}");
    }
    let mut not_text = request("http://localhost/");
    not_text.headers_mut().insert("x-a", HeaderValue::from_str("hunter2é").unwrap());
    assert_eq!(refused(not_text, None, now), SignError::Header(HeaderName::from_static("x-a")));
    let localhost = || request("http://localhost/");
    assert_eq!(refused(localhost(), Some("hunter2\n"), now), SignError::Header(SECURITY_TOKEN));
    assert_eq!(refused(localhost(), None, END_OF_TIME), SignError::Time(END_OF_TIME));
    assert_eq!(refused(localhost(), None, Timestamp(u64::MAX)), SignError::Time(Timestamp(u64::MAX)));
}

#[test]
fn any_other_time_can_be_signed() {
    for (now, date) in [(0, "19700101T000000Z"), (END_OF_TIME.0 - 1, "99991231T235959Z")] {
        let mut request = request("http://localhost/");
        sign(&mut request, &credentials(None), &scope(), Timestamp(now)).unwrap();
        assert_eq!(header(&request, "x-amz-date"), [date]);
    }
}

/// The `authorization` that AWS's own signer makes.
fn of_aws(request: &Request<Vec<u8>>, token: Option<&str>, now: Timestamp) -> String {
    use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
    let token = token.map(str::to_owned);
    let identity = aws_credential_types::Credentials::new(ACCESS_KEY_ID, SECRET, token, None, "test").into();
    let params = aws_sigv4::sign::v4::SigningParams::builder().identity(&identity).region("us-east-1").name("sns");
    let params = params.time(now.into()).settings(SigningSettings::default()).build().unwrap().into();
    let host = ("host", request.uri().authority().unwrap().as_str());
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).chain([host]);
    let (path, body) = (request.uri().path_and_query().unwrap().as_str(), SignableBody::Bytes(request.body()));
    let signable = SignableRequest::new(request.method().as_str(), path, headers, body).unwrap();
    let instructions = http_request::sign(signable, &params).unwrap().into_parts().0;
    let found = instructions.headers().find(|(name, _)| *name == "authorization");
    found.unwrap().1.to_owned()
}

proptest! {
    #[test]
    fn a_signature_is_what_the_signer_of_aws_makes(
        authority in "[a-z.]{1,9}(:[0-9]{1,4})?",
        path in "(/|/([a-zA-Z0-9._~%=:@-]{0,3}/){0,4}(\\.|\\.\\.|[a-z]{0,3}))(\\?([a-c=&+%.~/-]|%2[0-9]){0,12})?",
        headers in proptest::collection::vec(("x-[ab]|content-type|user-agent|te|x-amzn-trace-id", "[ -~\t]{0,12}"), 0..5),
        body: Vec<u8>,
        token in proptest::option::of("[!-~]{1,20}"),
        now in 0u64..END_OF_TIME.0,
    ) {
        let mut request = Request::post(format!("https://{authority}{path}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let Ok(mut request) = request.body(body) else { return Ok(()) };
        let expected = of_aws(&request, token.as_deref(), Timestamp(now));
        sign(&mut request, &credentials(token.as_deref()), &scope(), Timestamp(now)).unwrap();
        prop_assert_eq!(header(&request, "authorization"), [expected]);
    }

    #[test]
    fn nothing_makes_it_panic(
        uri in prop_oneof!["http://[a-z.:@0-9]{1,9}/[ -~]{0,20}", "[ -~é]{0,20}"],
        name in "[a-z-]{1,9}",
        value in any::<Vec<u8>>(),
        key in any::<String>(),
        token in proptest::option::of(any::<String>()),
        now in any::<u64>(),
    ) {
        let Ok(mut request) = Request::post(uri).header(name, value).body(Vec::new()) else { return Ok(()) };
        let credentials = Credentials { access_key_id: key.clone(), ..credentials(token.as_deref()) };
        let signed = sign(&mut request, &credentials, &scope(), Timestamp(now));
        let begin = format!("AWS4-HMAC-SHA256 Credential={key}/");
        let authorization = request.headers().get("authorization");
        prop_assert_eq!(
            signed.is_ok(),
            authorization.is_some_and(|value| value.as_bytes().starts_with(begin.as_bytes()))
        );
    }
}
