//! What is published of one exchange: the request to SNS, the message in it, and its attributes.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, LogLevel, Profile};
use retrohook::aws::credentials::Credentials;
use retrohook::aws::sign::{sign, SigningScope};
use retrohook::clock::Timestamp;
use retrohook::secret::Secret;
use serde_json::{json, Value};

use crate::support::sns::{self, Entry};
use crate::support::{
    config, deliver, load, logged, published, put, start, Way, ACCESS_KEY_ID, ENVOY_WAYS, GATEWAYS, MAX_DELAY, NOON,
    SECRET_ACCESS_KEY, TICK, TOPIC, UPSTREAM, WAYS,
};

const REQUEST_ID: &str = "6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1";

/// An exchange of which everything is known.
fn full() -> ExchangeSpec {
    ExchangeSpec::new("PUT", "/mockbin/profile?a=1&a=2&flag&b=x%20y")
        .tls("TLSv1.3", "api.example.com", true)
        .request_header("Content-Type", "application/json")
        .request_header("X-Twice", "one")
        .request_header("x-twice", "two")
        .request_header("Authorization", "Bearer hunter2")
        .request_header("x-envoy-expected-rq-timeout-ms", "15000")
        .request_body("{}")
        .response_header("Content-Type", "text/plain")
        .response_header("Set-Cookie", "session=hunter2")
        .response_body("ok")
        .route("profile-route")
        .service("profile-service")
        .property("request.total_size", 321u64.to_le_bytes())
        .property("response.total_size", 123u64.to_le_bytes())
}

#[test]
fn a_matching_exchange_is_published_with_all_that_envoy_knows() {
    for way in ENVOY_WAYS {
        let mut entry = published(way, &mut start(&config(json!({}))), &full());
        let event_id = entry.message.as_object_mut().unwrap().remove("event_id").unwrap();
        let expected = json!({
            "request": {
                "id": REQUEST_ID,
                "method": "PUT",
                "uri": "/mockbin/profile?a=1&a=2&flag&b=x%20y",
                "url": "https://api.example.com:443/mockbin/profile?a=1&a=2&flag&b=x%20y",
                "size": 321,
                "querystring": {"a": ["1", "2"], "flag": true, "b": "x y"},
                "headers": {
                    "host": "api.example.com",
                    "x-request-id": REQUEST_ID,
                    "content-type": "application/json",
                    "x-twice": ["one", "two"],
                    "authorization": "REDACTED",
                },
                "tls": {"version": "TLSv1.3", "client_verify": "SUCCESS"},
            },
            "response": {
                "status": 200,
                "size": 123,
                "headers": {"content-type": "text/plain", "set-cookie": "REDACTED"},
            },
            "latencies": {"kong": 3, "proxy": 9, "request": 12},
            "route": {"name": "profile-route"},
            "service": {"name": "profile-service"},
            "client_ip": "192.0.2.7",
            "started_at": NOON - 12,
            "upstream_uri": "/mockbin/profile?a=1&a=2&flag&b=x%20y",
            "upstream_status": "200",
            "source": "upstream",
        });
        assert_eq!(entry.message, expected, "{way:?}");
        let attributes = [
            ("event_id", "String", event_id.as_str().unwrap()),
            ("method", "String", "PUT"),
            ("route", "String", "profile-route"),
            ("status", "Number", "200"),
        ];
        let found: Vec<_> = entry.attributes.iter().map(|(name, (kind, value))| (&**name, &**kind, &**value)).collect();
        assert_eq!(found, attributes, "{way:?}");
        assert_eq!((entry.subject, entry.group_id, entry.deduplication_id), (None, None, None));
    }
}

#[test]
fn what_is_unknown_is_absent() {
    let unknown = put()
        .authority(None)
        .request_id(None)
        .upstream(None)
        .without_property("source.address")
        .without_property("request.time")
        .without_property("request.duration")
        .without_property("request.total_size")
        .without_property("response.total_size")
        .without_property("request.scheme");
    for way in ENVOY_WAYS {
        let mut entry = published(way, &mut start(&config(json!({}))), &unknown);
        let message = entry.message.as_object_mut().unwrap();
        message.remove("event_id");
        message.remove("upstream_uri");
        let expected = json!({
            "request": {"method": "PUT", "uri": "/mockbin/profile", "querystring": {}, "headers": {}},
            "response": {"status": 200, "headers": {}},
            "latencies": {"proxy": -1},
        });
        assert_eq!(entry.message, expected, "{way:?}");
        assert_eq!(entry.attribute("route"), None);
    }
}

#[test]
fn single_fields_follow_the_exchange() {
    let cases: Vec<(&str, ExchangeSpec, &str, Value)> = vec![
        ("IPv6 client", put().client("[2001:db8::7]", 443), "/client_ip", json!("2001:db8::7")),
        ("IPv4 client", put().client("198.51.100.1", 1), "/client_ip", json!("198.51.100.1")),
        ("plain HTTP", put(), "/request/url", json!("http://api.example.com:80/mockbin/profile")),
        ("own port", put().authority(Some("h:8443")), "/request/url", json!("http://h:8443/mockbin/profile")),
        ("no TLS", put(), "/request/tls", Value::Null),
        ("no client cert", put().tls("TLSv1.2", "h", false), "/request/tls/client_verify", json!("NONE")),
        ("slow upstream", put().duration(Duration::from_secs(90)), "/latencies/request", json!(90_000)),
        ("created", put().status(201), "/upstream_status", json!("201")),
        ("direct response", put().upstream(None), "/source", Value::Null),
        ("direct response", put().upstream(None), "/upstream_status", Value::Null),
        ("direct response", put().upstream(None), "/response/status", json!(200)),
        ("no truncation", put(), "/truncated", Value::Null),
    ];
    for way in ENVOY_WAYS {
        let mut host = start(&config(json!({})));
        for (case, spec, field, expected) in &cases {
            let message = published(way, &mut host, spec).message;
            let found = message.pointer(field).cloned().unwrap_or_default();
            assert_eq!(found, *expected, "{way:?} {case} {field}");
        }
    }
}

#[test]
fn a_rewriting_router_does_not_hide_what_the_client_asked_for() {
    let spec = ExchangeSpec::new("PUT", "/mockbin/profile/7?x=1").rewritten_to("/internal/v2/7");
    for way in ENVOY_WAYS {
        let config = config(json!({"trust_original_path": true}));
        let message = published(way, &mut start(&config), &spec).message;
        assert_eq!(message["request"]["uri"], "/mockbin/profile/7?x=1", "{way:?}");
        assert_eq!(message["request"]["querystring"], json!({"x": "1"}), "{way:?}");
        assert_eq!(message["upstream_uri"], "/internal/v2/7", "{way:?}");
        assert_eq!(message["request"]["headers"].get("x-envoy-original-path"), None, "{way:?}");
    }
}

/// A request whose client has made up the path that a router would keep.
fn forged(path: &str, original: &str) -> ExchangeSpec {
    ExchangeSpec::new("PUT", path).request_header("x-envoy-original-path", original)
}

#[test]
fn an_original_path_counts_only_where_no_client_can_send_it() {
    const WARNING: &str = "a request has a path in x-envoy-original-path that a route wants";
    let (hides, pretends, changes) =
        (forged("/profile/1", "/other"), forged("/other", "/profile/2"), forged("/profile/3", "/profile/4"));
    for way in ENVOY_WAYS {
        let mut host = way.start(&config(json!({})));
        way.run(&mut host, &hides);
        way.run(&mut host, &changes);
        host.advance(TICK).unwrap();
        assert_eq!(logged(&mut host, LogLevel::Warn), Vec::<String>::new(), "{way:?}: what is an event needs no word");
        (0..3).for_each(|_| way.run(&mut host, &pretends));
        let uris: Vec<_> =
            deliver(&mut host, MAX_DELAY).iter().map(|event| event.message["request"]["uri"].clone()).collect();
        assert_eq!(uris, ["/profile/1", "/profile/3"], "{way:?}");
        let warnings = logged(&mut host, LogLevel::Warn);
        let expected = usize::from(way == Way::AccessLogger);
        assert_eq!(warnings.iter().filter(|line| line.starts_with(WARNING)).count(), expected, "{way:?} {warnings:?}");
    }
}

#[test]
fn configured_values_are_filled_in() {
    let config = config(json!({
        "routes": [{
            "method": "PUT",
            "matcher": "/profile/(?<id>[0-9]+)",
            "event_type": "profile.updated",
            "attributes": {"profile_id": "${path.id}", "tenant": "${request.headers.x-tenant}"},
            "subject": "Profile ${path.id}",
        }],
        "attributes": {"gateway": "edge"},
    }));
    for way in WAYS {
        let spec = ExchangeSpec::new("PUT", "/profile/42").request_header("X-Tenant", "acme");
        let entry = published(way, &mut way.start(&config), &spec);
        assert_eq!(entry.message["event_type"], "profile.updated");
        assert_eq!(entry.subject.as_deref(), Some("Profile 42"));
        for (name, value) in
            [("event_type", "profile.updated"), ("profile_id", "42"), ("tenant", "acme"), ("gateway", "edge")]
        {
            assert_eq!(entry.attribute(name), Some(("String", value)), "{way:?}");
        }
    }
}

/// When an event was made, as its id has it.
fn id_time(entry: &Entry) -> u64 {
    let first_48_bits: String = entry.event_id().replace('-', "").chars().take(12).collect();
    u64::from_str_radix(&first_48_bits, 16).unwrap()
}

#[test]
fn the_event_id_is_a_uuid_of_version_7_that_no_other_event_has() {
    let mut host = start(&config(json!({})));
    (0..3).for_each(|_| Way::HttpFilter.run(&mut host, &put()));
    let mut entries = deliver(&mut host, MAX_DELAY);
    // A worker of the same gateway starts at the same time with the same clock.
    let mut other = load(Host::builder(Profile::Envoy).cluster(UPSTREAM).seed(7));
    other.start_plugin(config(json!({})).to_string()).unwrap();
    entries.push(published(Way::HttpFilter, &mut other, &put()));
    for entry in &entries {
        let id = entry.event_id();
        assert_eq!(id.len(), 36);
        let groups: Vec<&str> = id.split('-').collect();
        assert!(groups[2].starts_with('7') && groups[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        assert_eq!(id_time(entry), NOON);
        assert_eq!(entry.attribute("event_id"), Some(("String", id)));
    }
    let mut ids: Vec<_> = entries.iter().map(Entry::event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

fn one_callout(host: &mut Host) -> Callout {
    Way::HttpFilter.run(host, &put());
    assert_eq!(host.take_callouts(), []);
    host.advance(MAX_DELAY).unwrap();
    let mut callouts = host.take_callouts();
    assert_eq!(callouts.len(), 1);
    callouts.remove(0)
}

#[test]
fn the_request_to_sns_goes_where_it_should_and_is_signed_as_it_is_sent() {
    let token = "AQoDYXdzEJr";
    for session_token in [None, Some(token)] {
        let mut credentials = config(json!({}))["credentials"].clone();
        credentials["session_token"] = json!(session_token);
        for way in GATEWAYS {
            signed_as_sent(way, &credentials, session_token);
        }
    }
}

fn signed_as_sent(way: Way, credentials: &Value, session_token: Option<&str>) {
    let callout = one_callout(&mut way.start(&config(json!({"credentials": credentials, "timeout_ms": 2500}))));
    assert_eq!(callout.upstream, UPSTREAM);
    assert_eq!(callout.timeout, Duration::from_millis(2500));
    for (name, value) in [
        (":method", "POST"),
        (":path", "/"),
        (":scheme", "https"),
        (":authority", "sns.us-east-1.amazonaws.com"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-amz-date", "20260101T120000Z"),
    ] {
        assert_eq!(callout.header(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(callout.header("x-amz-security-token").as_deref(), session_token);
    let fields = sns::fields(&callout);
    assert_eq!((&*fields["Action"], &*fields["Version"], &*fields["TopicArn"]), ("Publish", "2010-03-31", TOPIC));
    let authorization = callout.header("authorization").unwrap();
    let scope = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20260101/us-east-1/sns/aws4_request, ");
    assert!(authorization.starts_with(&scope), "{authorization}");
    assert_eq!(authorization, expected_authorization(&callout, session_token));
}

/// The signature of what went over the wire, whatever the filter meant to send.
fn expected_authorization(sent: &Callout, session_token: Option<&str>) -> String {
    let wire = &sent.wire;
    let mut request = http::Request::post(format!("https://{}{}", wire.host, wire.path))
        .header("content-type", wire.headers.text("content-type").unwrap())
        .body(sent.body.clone())
        .unwrap();
    let credentials = Credentials {
        access_key_id: ACCESS_KEY_ID.into(),
        secret_access_key: Secret::new(SECRET_ACCESS_KEY),
        session_token: session_token.map(Secret::new),
        expires_at: None,
    };
    let scope = SigningScope { region: "us-east-1".into(), service: "sns" };
    let at = Timestamp(NOON + u64::try_from(MAX_DELAY.as_millis()).unwrap());
    sign(&mut request, &credentials, &scope, at).unwrap();
    request.headers()["authorization"].to_str().unwrap().to_owned()
}

#[test]
fn endpoint_and_upstream_can_be_named() {
    let mut host = load(Host::builder(Profile::Envoy).cluster("moto"));
    let changes = json!({"endpoint": "http://localhost:5000", "upstream": "moto"});
    host.start_plugin(config(changes).to_string()).unwrap();
    let callout = one_callout(&mut host);
    assert_eq!((callout.upstream.as_str(), callout.wire.host.as_str()), ("moto", "localhost:5000"));
    assert_eq!(callout.header(":scheme").as_deref(), Some("http"));
    assert!(callout.header("authorization").unwrap().contains("/us-east-1/sns/aws4_request"));
}
