//! Requests that nobody should send: each is a clean event or none, never a trap, and the next one
//! is served as ever.

use proxy_wasm_test_host::ExchangeSpec;
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns::Entry;
use crate::support::{config, count, deliver, put, Way, MAX_DELAY, WAYS};

/// What SNS takes for one message with its attributes.
const MAX_MESSAGE_BYTES: usize = 262_144;

fn of(method: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> ExchangeSpec {
    ExchangeSpec::new(method, path)
}

fn many_headers(count: usize, bytes: usize) -> ExchangeSpec {
    (0..count).fold(put(), |spec, n| spec.request_header(format!("x-{n}"), "v".repeat(bytes)))
}

/// A name, an exchange, and the field of its message that tells the most with what it says; none
/// where there is no event.
type Case = (&'static str, ExchangeSpec, Option<(&'static str, Value)>);

fn cases() -> Vec<Case> {
    let headers_cut = || Some(("/truncated/0", json!("request.headers")));
    let is = |pointer: &'static str, value: Value| Some((pointer, value));
    vec![
        ("no path", of("PUT", "").without_path(), None),
        ("CONNECT without a path", of("CONNECT", "").without_path(), None),
        ("an empty path", of("PUT", ""), None),
        ("an empty method", of("", "/profile"), None),
        ("a method of a megabyte", of("PUT".repeat(350_000), "/profile"), None),
        ("a method that is no text", of(b"PUT\xff", "/profile"), None),
        ("a method with a line break", of("PUT\r\n", "/profile"), None),
        ("a path that is no text", of("PUT", b"/profile/\xff\xfe?\x80"), is("/request/uri", json!("/profile/��?�"))),
        ("a path of a megabyte", of("PUT", "/profile/".repeat(1 << 17)), None),
        (
            "a query of a megabyte",
            of("PUT", "/profile?".to_owned() + &"a=1&".repeat(1 << 18)),
            is("/truncated/0", json!("request.uri")),
        ),
        (
            "an odd query",
            of("PUT", "/profile?&&=&=x&%zz&%ff=%00&a=b=c?d#e"),
            is("/request/querystring/%zz", json!(true)),
        ),
        ("zero bytes in the path", of("PUT", b"/profile/\0x"), is("/request/uri", json!("/profile/\0x"))),
        ("a header that is no text", put().request_header("x", b"a\xffb"), is("/request/headers/x", json!("a�b"))),
        ("a header name that is no text", put().request_header(b"x\xff", "a"), is("/request/headers/x�", json!("a"))),
        (
            "control characters",
            put().request_header("x", "\0\x01\x1b\u{fffe}"),
            is("/request/headers/x", json!("\0\x01\x1b�")),
        ),
        ("an empty header", put().request_header("", ""), is("/request/headers/", json!(""))),
        (
            "a response header that is no text",
            put().response_header("x", b"\x80"),
            is("/response/headers/x", json!("�")),
        ),
        ("a header of a megabyte", many_headers(1, 1 << 20), headers_cut()),
        ("a header of 256 kB that is no text", put().request_header("x", b"\xff".repeat(1 << 18)), headers_cut()),
        ("a thousand headers of a kilobyte", many_headers(1_000, 1_000), headers_cut()),
        ("30,000 headers", many_headers(30_000, 1), headers_cut()),
        (
            "a response header of a megabyte",
            put().response_header("x", "v".repeat(1 << 20)),
            is("/truncated/0", json!("response.headers")),
        ),
        ("a host of a megabyte", put().authority(Some(&"h".repeat(1 << 20))), is("/request/method", json!("PUT"))),
        (
            "a request id of a megabyte",
            put().request_id(Some(&"i".repeat(1 << 20))),
            is("/request/method", json!("PUT")),
        ),
        ("no host", put().authority(None), is("/request/url", Value::Null)),
    ]
}

/// What only Envoy can be asked, or tells as it is.
fn envoy_cases() -> Vec<Case> {
    let number = |value: i64| value.to_le_bytes();
    let is = |pointer: &'static str, value: Value| Some((pointer, value));
    vec![
        ("5,000 headers", many_headers(5_000, 1), is("/request/headers/x-4999", json!("v"))),
        (
            "a client without a port",
            put().property("source.address", "/run/client"),
            is("/client_ip", json!("/run/client")),
        ),
        ("no address", put().property("source.address", ""), is("/client_ip", Value::Null)),
        ("a negative time", put().property("request.time", number(-1)), is("/started_at", Value::Null)),
        ("a negative duration", put().property("request.duration", number(-1)), is("/latencies/request", Value::Null)),
        (
            "the longest duration",
            put().property("request.duration", number(i64::MAX)),
            is("/latencies/request", json!(9_223_372_036_854u64)),
        ),
        ("a size of three bytes", put().property("request.total_size", [1, 2, 3]), is("/request/size", Value::Null)),
        ("a status of three bytes", put().property("response.code", [200, 0, 0]), None),
        ("a status past all", put().property("response.code", number(1 << 40)), None),
        (
            "a TLS version that is no text",
            put().property("connection.tls_version", b"\xff"),
            is("/request/tls/version", json!("�")),
        ),
    ]
}

fn assert_fits(case: &str, entry: &Entry) {
    let attributes: usize =
        entry.attributes.iter().map(|(name, (kind, value))| name.len() + kind.len() + value.len()).sum();
    assert!(entry.message_bytes + attributes <= MAX_MESSAGE_BYTES, "{case}: {} + {attributes}", entry.message_bytes);
}

#[test]
fn a_strange_request_is_a_clean_event_or_none_and_harms_no_other() {
    for way in WAYS {
        let mut host = way.start(&config(json!({})));
        let of_envoy = if way == Way::Kong { Vec::new() } else { envoy_cases() };
        for (case, spec, expected) in cases().into_iter().chain(of_envoy) {
            way.run(&mut host, &spec);
            let entries = deliver(&mut host, MAX_DELAY);
            assert_eq!(entries.len(), usize::from(expected.is_some()), "{way:?}: {case}");
            for (entry, (pointer, value)) in entries.iter().zip(expected) {
                assert_fits(case, entry);
                let found = entry.message.pointer(pointer).cloned().unwrap_or_default();
                assert_eq!(found, value, "{way:?}: {case}");
            }
            way.run(&mut host, &put());
            assert_eq!(deliver(&mut host, MAX_DELAY).len(), 1, "{way:?}: after {case}");
        }
        assert_eq!(count(&host, Metric::EventsDroppedTooLarge), 0);
    }
}

#[test]
fn whatever_the_routes_a_request_without_a_path_or_status_is_no_event() {
    let everything = json!({"routes": [{"method": "*", "matcher": "", "status": "*"}]});
    for way in WAYS {
        let mut host = way.start(&config(everything.clone()));
        for spec in [of("CONNECT", "").without_path(), of("GET", "/").without_property("response.code")] {
            way.run(&mut host, &spec);
            assert_eq!(deliver(&mut host, MAX_DELAY), []);
        }
        for spec in [
            of("", ""),
            of("M".repeat(1 << 20), "/"),
            of("OPTIONS", "*"),
            of("GET", "http://h/"),
            of("GET", "/").status(599),
        ] {
            way.run(&mut host, &spec);
            assert_eq!(deliver(&mut host, MAX_DELAY).len(), 1, "{way:?} {spec:?}");
        }
    }
}

#[test]
fn long_values_of_attributes_are_cut_with_the_message() {
    let route = json!({
        "method": "PUT",
        "matcher": "/profile(?<rest>.*)",
        "subject": "${request.headers.x-0}",
        "attributes": {"big": "${request.headers.x-0}", "query": "${request.query.q}", "path": "${path.rest}"},
    });
    for way in WAYS {
        let mut host = way.start(&config(json!({"routes": [route]})));
        // A path of more than 2,048 bytes is no event.
        let long_path = "/profile".to_owned() + &"é/".repeat(600) + "?q=" + &"é".repeat(200_000);
        for spec in [many_headers(1, 1 << 20), of("PUT", long_path)] {
            way.run(&mut host, &spec);
            let entries = deliver(&mut host, MAX_DELAY);
            assert_fits("attributes", &entries[0]);
            assert!(entries[0].message["truncated"].is_array());
        }
    }
}
