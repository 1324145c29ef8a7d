//! What is published of an exchange on Kong: its own log's record, as far as a filter can know it.

use std::time::Duration;

use proxy_wasm_test_host::ExchangeSpec;
use serde_json::{json, Value};

use crate::support::{config, numbered, published, put, Way, NOON};

const REQUEST_ID: &str = "6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1";
const CREDENTIAL: &str = "0b6e1d0c-3d1f-4a53-8c53-1f0a54e4a8b2";
const ROUTE: &str =
    r#"{"id":"r-1","name":"profiles","paths":["\/mockbin"],"ws_id":"w-1","tags":{},"regex_priority":0}"#;
const SERVICE: &str = r#"{"id":"s-1","name":"mockbin","host":"10.0.0.5","port":8080,"protocol":"http","ws_id":"w-1"}"#;

/// An exchange of which everything is known.
fn full() -> ExchangeSpec {
    ExchangeSpec::new("PUT", "/mockbin//profile/%7Ejo?a=1&a=2&flag&b=x%20y")
        .tls("TLSv1.3", "api.example.com", true)
        .authority(Some("api.example.com"))
        .request_header("Content-Type", "application/json")
        .request_header("X-Twice", "one")
        .request_header("x-twice", "two")
        .request_header("Authorization", "Bearer hunter2")
        .request_header("X-Consumer-ID", "c-1")
        .request_header("X-Consumer-Username", "alice")
        .request_header("X-Consumer-Custom-ID", "7")
        .request_header("X-Credential-Identifier", CREDENTIAL)
        .response_header("Content-Type", "text/plain")
        .response_header("Set-Cookie", "session=hunter2")
        .response_body("ok")
        .rewritten_to("/profile/~jo?a=1&a=2&flag&b=x%20y")
        .route(ROUTE)
        .service(SERVICE)
        .property("ngx.request_length", "321")
        .property("ngx.bytes_sent", "123")
}

/// The variable of the shipped file that has many values.
const TOGETHER: &str = "ngx.retrohook_exchange";

fn message(spec: &ExchangeSpec) -> Value {
    published(Way::Kong, &mut Way::Kong.start(&config(json!({}))), spec).message
}

#[test]
fn a_matching_exchange_is_published_as_kong_s_own_log_has_it() {
    let mut host = Way::Kong.start(&config(json!({})));
    let mut entry = published(Way::Kong, &mut host, &full());
    entry.message.as_object_mut().unwrap().remove("event_id").unwrap();
    let expected = json!({
        "request": {
            "id": REQUEST_ID,
            "method": "PUT",
            "uri": "/mockbin//profile/%7Ejo?a=1&a=2&flag&b=x%20y",
            "url": "https://api.example.com:8000/mockbin//profile/%7Ejo?a=1&a=2&flag&b=x%20y",
            "size": 321,
            "querystring": {"a": ["1", "2"], "flag": true, "b": "x y"},
            "headers": {
                "host": "api.example.com",
                "content-type": "application/json",
                "x-twice": ["one", "two"],
                "authorization": "REDACTED",
                "x-consumer-id": "c-1",
                "x-consumer-username": "alice",
                "x-consumer-custom-id": "7",
                "x-credential-identifier": CREDENTIAL,
            },
            "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "client_verify": "SUCCESS"},
        },
        "response": {
            "status": 200,
            "size": 123,
            "headers": {"content-type": "text/plain", "set-cookie": "REDACTED"},
        },
        "latencies": {"kong": 3, "proxy": 6, "request": 12, "receive": 3},
        "route": serde_json::from_str::<Value>(ROUTE).unwrap(),
        "service": serde_json::from_str::<Value>(SERVICE).unwrap(),
        "consumer": {"id": "c-1", "username": "alice", "custom_id": "7"},
        "authenticated_entity": {"id": CREDENTIAL},
        "workspace": "w-1",
        "client_ip": "192.0.2.7",
        "started_at": NOON - 12,
        "upstream_uri": "/profile/~jo?a=1&a=2&flag&b=x%20y",
        "upstream_status": "200",
        "source": "upstream",
    });
    assert_eq!(entry.message, expected);
    assert_eq!(entry.attribute("route"), Some(("String", "profiles")));
}

#[test]
fn each_route_has_its_own_service_and_a_change_shows_within_a_second() {
    let mut host = Way::Kong.start(&config(json!({})));
    let mut service_of = |route: &str, service: &str| {
        let message = published(Way::Kong, &mut host, &put().route(route).service(service)).message;
        let name = |entity: &str| message[entity]["name"].as_str().unwrap().to_owned();
        assert_eq!(name("route"), serde_json::from_str::<Value>(route).unwrap()["name"]);
        name("service")
    };
    const OTHER_ROUTE: &str = r#"{"id":"r-2","name":"accounts"}"#;
    const CHANGED: &str = r#"{"id":"s-1","name":"changed"}"#;
    assert_eq!(service_of(ROUTE, SERVICE), "mockbin");
    assert_eq!(service_of(OTHER_ROUTE, r#"{"id":"s-2","name":"other"}"#), "other");
    let mut last = String::new();
    // An event takes an eighth of a second to be published.
    for _ in 0..9 {
        last = service_of(ROUTE, CHANGED);
    }
    assert_eq!(last, "changed");
}

#[test]
fn what_is_unknown_is_absent() {
    let unknown = ["ngx.remote_addr", "request.time", "ngx.request_length", "ngx.bytes_sent", "ngx.upstream_uri"];
    let spec = unknown.iter().fold(put(), |spec, name| spec.without_property(name));
    let spec = spec.authority(None).request_id(None).upstream(None);
    let without_id = |message: &mut Value| message.as_object_mut().unwrap().remove("event_id");
    let mut together = message(&spec.clone().without_property("ngx.msec"));
    let mut message = message(&spec.without_property(TOGETHER));
    without_id(&mut together);
    without_id(&mut message);
    assert_eq!(together, message);
    let expected = json!({
        "request": {"method": "PUT", "uri": "/mockbin/profile", "querystring": {}, "headers": {}},
        "response": {"status": 200, "headers": {}},
        "latencies": {"proxy": -1},
    });
    assert_eq!(message, expected, "without a host there is no URL");
}

#[test]
fn single_fields_follow_the_exchange() {
    let retried =
        || put().property("ngx.upstream_status", "500, 200").property("ngx.upstream_header_time", "0.900, 0.004");
    const CONTENT_TYPE: &str = "ngx.sent_http_content_type";
    let typed = |name: &str| put().response_header("Content-Type", name);
    let text = || typed("text/plain").property(CONTENT_TYPE, "text/plain; charset=UTF-8");
    let json_type = || typed("application/json").property(CONTENT_TYPE, "is not asked for");
    let bodiless = |status| put().status(status).response_header("Transfer-Encoding", "chunked");
    let cases: Vec<(&str, ExchangeSpec, &str, Value)> = vec![
        ("IPv6 client", put().client("2001:db8::7", 443), "/client_ip", json!("2001:db8::7")),
        ("its own port", put().authority(Some("h:80")), "/request/url", json!("http://h:8000/mockbin/profile")),
        ("an address", put().authority(Some("[::1]:80")), "/request/url", json!("http://[::1]:8000/mockbin/profile")),
        ("no TLS", put(), "/request/tls", Value::Null),
        ("no client cert", put().tls("TLSv1.2", "h", false), "/request/tls/client_verify", json!("NONE")),
        ("slow", put().duration(Duration::from_secs(90)), "/latencies/request", json!(90_000)),
        ("a retry", retried(), "/upstream_status", json!("500, 200")),
        ("a retry", retried(), "/latencies/proxy", json!(4)),
        ("a retry", retried(), "/source", json!("upstream")),
        ("another status than the upstream's", retried().status(201), "/source", Value::Null),
        ("direct response", put().upstream(None), "/source", Value::Null),
        ("direct response", put().upstream(None), "/upstream_status", Value::Null),
        ("no client", put(), "/consumer", Value::Null),
        ("a key", put().request_header("x-credential-identifier", "k"), "/authenticated_entity", Value::Null),
        (
            "a host in capitals",
            put().authority(Some("API.example")),
            "/request/url",
            json!("http://api.example:8000/mockbin/profile"),
        ),
        ("a host in capitals", put().authority(Some("API.example")), "/request/headers/host", json!("API.example")),
        ("a charset", text(), "/response/headers/content-type", json!("text/plain; charset=UTF-8")),
        (
            "no charset",
            text().without_property("ngx.sent_http_content_type"),
            "/response/headers/content-type",
            json!("text/plain"),
        ),
        ("no text", json_type(), "/response/headers/content-type", json!("application/json")),
        ("no body", bodiless(204), "/response/headers", json!({})),
        ("a body", bodiless(200), "/response/headers/transfer-encoding", json!("chunked")),
        (
            "no names",
            ExchangeSpec::new("PUT", "/profile?=v&=&a&b="),
            "/request/querystring",
            json!({"a": true, "b": ""}),
        ),
        ("an anonymous route", put().route(r#"{"id":"r","name":null}"#), "/route/id", json!("r")),
        ("a broken route", put().route("{"), "/route", Value::Null),
        ("no route", put(), "/route", Value::Null),
        ("nothing cut", put(), "/truncated", Value::Null),
    ];
    let mut host = Way::Kong.start(&config(json!({})));
    for (case, spec, field, expected) in &cases {
        for spec in [spec.clone(), spec.clone().without_property(TOGETHER)] {
            let message = published(Way::Kong, &mut host, &spec).message;
            assert_eq!(message.pointer(field).cloned().unwrap_or_default(), *expected, "{case} {field}");
            host = Way::Kong.start(&config(json!({})));
        }
    }
}

#[test]
fn an_event_is_the_same_whether_nginx_gives_its_values_together_or_one_by_one() {
    for spec in [full(), put(), put().upstream(None), full().rewritten_to("/a%0Ab")] {
        let of = |spec: &ExchangeSpec| {
            let mut message = message(spec);
            message.as_object_mut().unwrap().remove("event_id");
            message
        };
        assert_eq!(of(&spec), of(&spec.clone().without_property(TOGETHER)));
    }
    // What is no list of all of them, as of another version, counts for nothing.
    let odd = message(&full().property(TOGETHER, "1\n2"));
    assert_eq!((odd["client_ip"].clone(), odd["response"]["size"].clone()), (json!("192.0.2.7"), json!(123)));
}

#[test]
fn what_is_found_in_a_redacted_header_is_redacted_too() {
    let redact = json!({"headers": ["X-Consumer-Username", "x-credential-identifier"]});
    let message = published(Way::Kong, &mut Way::Kong.start(&config(json!({"redact": redact}))), &full()).message;
    assert_eq!(message["consumer"], json!({"id": "c-1", "username": "REDACTED", "custom_id": "7"}));
    assert_eq!(message["authenticated_entity"], json!({"id": "REDACTED"}));
}

#[test]
fn of_many_headers_only_some_are_read_and_one_by_one() {
    let routes = json!([{
        "method": "PUT",
        "matcher": "/profile",
        "attributes": {"tenant": "${request.headers.x-tenant}", "version": "${response.headers.x-version}"},
    }]);
    let config = config(json!({"routes": routes}));
    // `host` and the two that are added here count, too.
    for (requested, answered, truncated) in [
        (93, 0, json!(null)),
        (94, 0, json!(["request.headers"])),
        (5_000, 0, json!(["request.headers"])),
        (0, 88, json!(null)),
        (0, 89, json!(["response.headers"])),
        (200, 200, json!(["request.headers", "response.headers"])),
    ] {
        let spec = numbered(1).request_header("X-Tenant", "acme").request_header("User-Agent", "curl");
        let spec = spec.response_header("X-Version", "7").response_header("Content-Type", "text/plain");
        let spec = (0..requested).fold(spec, |spec, n| spec.request_header(format!("a{n}"), "b"));
        let spec = (0..answered).fold(spec, |spec, n| spec.response_header(format!("r{n}"), "b"));
        let mut host = Way::Kong.start(&config);
        let entry = published(Way::Kong, &mut host, &spec);
        let case = format!("{requested} {answered}");
        assert_eq!(host.violations(), [], "{case}");
        let message = &entry.message;
        assert_eq!(message.get("truncated").cloned().unwrap_or_default(), truncated, "{case}");
        let whole = |part: &str| !truncated.to_string().contains(part);
        let headers = |part: &str| message[part]["headers"].as_object().unwrap().len();
        assert_eq!(headers("request"), if whole("request.headers") { requested + 3 } else { 3 }, "{case}");
        assert_eq!(headers("response"), if whole("response.headers") { answered + 2 } else { 2 }, "{case}");
        assert_eq!(entry.attribute("tenant"), Some(("String", "acme")), "{case}");
        assert_eq!(entry.attribute("version"), Some(("String", "7")), "{case}");
    }
}

#[test]
fn a_route_that_is_too_large_for_an_event_leaves_its_name() {
    let route = format!(r#"{{"name":"profiles","tags":["{}"]}}"#, "t".repeat(300_000));
    let message = message(&put().route(&route));
    assert_eq!(message["route"], json!({"name": "profiles"}));
    assert_eq!(message["truncated"], json!(["route"]));
}
