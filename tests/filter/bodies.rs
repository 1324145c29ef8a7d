//! Bodies in events: of every kind, on every way in, and what stands in their place where there is
//! none to show.

use proxy_wasm_test_host::{ExchangeSpec, Host, LogLevel, Response};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns::Entry;
use crate::support::{config, count, deliver, logged, published, put, Way, GATEWAYS, LONG, MAX_DELAY, TICK};

/// One route with these keys, and these changes to the top level.
fn keeping(route: Value, changes: Value) -> Value {
    let mut whole = json!({"method": "PUT", "matcher": "/profile"});
    whole.as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
    let mut all = json!({"routes": [whole]});
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config(all)
}

fn both() -> Value {
    json!({"request_body": {"max_bytes": 1000}, "response_body": {"max_bytes": 1000}})
}

fn of_type(content_type: &str) -> ExchangeSpec {
    put().request_header("Content-Type", content_type).response_header("Content-Type", content_type)
}

/// The part of an event about a body.
fn said(entry: &Entry, message: &str) -> Value {
    let part = &entry.message[message];
    let keys = ["body", "body_encoding", "body_compression", "body_left_out", "complete"];
    let mut said: serde_json::Map<_, _> =
        keys.into_iter().filter_map(|key| Some((key.to_owned(), part.get(key)?.clone()))).collect();
    let name = format!("{message}.body");
    if entry.message["truncated"].as_array().is_some_and(|parts| parts.contains(&json!(name))) {
        said.insert("truncated".into(), json!(true));
    }
    Value::Object(said)
}

#[test]
fn a_body_of_every_kind_is_in_the_event_or_says_why_not() {
    let json = "application/json; charset=utf-8";
    let pieces = |bytes: &str| bytes.as_bytes().chunks(7).map(<[u8]>::to_vec).collect::<Vec<_>>();
    for way in GATEWAYS {
        let mut host = way.start(&keeping(both(), json!({})));
        for (content_type, bytes, expected) in [
            (json, &br#"{"a":[1.0],"a":"\u00e9"}"#[..], json!({"body": {"a": "é"}})),
            (json, b"{\"a\":", json!({"body": "{\"a\":"})),
            ("text/plain", "é\n\0".as_bytes(), json!({"body": "é\n\0"})),
            ("image/png", b"\x89PNG\xff", json!({"body": "iVBOR/8=", "body_encoding": "base64"})),
            ("text/plain", &[b'a'; 1_001], json!({"body": "a".repeat(1_000), "truncated": true})),
            ("text/event-stream", b"data: 1\n\n", json!({"body_left_out": "streamed", "truncated": true})),
            ("application/grpc+proto", b"\0\0\0\0\0", json!({"body_left_out": "streamed", "truncated": true})),
        ] {
            let text = String::from_utf8_lossy(bytes).into_owned();
            // What is in pieces is whole again.
            let is_text = text.as_bytes() == bytes;
            let chunks = if is_text { pieces(&text) } else { vec![bytes.to_vec()] };
            let spec = of_type(content_type).request_chunks(&chunks).response_chunks(&chunks);
            let spec = if content_type.contains("grpc") { spec.response_trailer("grpc-status", "0") } else { spec };
            let spec = if content_type.contains("grpc") && way == Way::Kong {
                spec.property("ngx.upstream_trailer_grpc_status", "0")
            } else {
                spec
            };
            let entry = published(way, &mut host, &spec);
            assert_eq!(said(&entry, "request"), expected, "{way:?} {content_type} {text:?}");
            assert_eq!(said(&entry, "response"), expected, "{way:?} {content_type} {text:?}");
        }
        let gzip = of_type(json).request_header("content-encoding", "gzip").request_body("{}");
        let expected = json!({"body": "e30=", "body_encoding": "base64", "body_compression": "gzip"});
        assert_eq!(said(&published(way, &mut host, &gzip), "request"), expected);
        let empty = published(way, &mut host, &of_type(json));
        assert_eq!([said(&empty, "request"), said(&empty, "response")], [json!({}), json!({})], "{way:?}");
    }
}

#[test]
fn numbers_and_double_keys_stand_in_the_message_as_they_were_received() {
    for way in GATEWAYS {
        let mut host = way.start(&keeping(both(), json!({})));
        way.run(&mut host, &of_type("application/json").request_body(r#"{"a": 1.0, "a":1e400}"#));
        host.advance(MAX_DELAY + TICK).unwrap();
        let sent: String = host.take_callouts().iter().map(|callout| callout.body_text()).collect();
        let decoded = form_urlencoded::parse(sent.as_bytes()).map(|(_, value)| value.into_owned());
        assert!(decoded.into_iter().any(|value| value.contains(r#""body":{"a": 1.0, "a":1e400}"#)), "{sent}");
    }
}

#[test]
fn what_broke_off_says_so() {
    for way in GATEWAYS {
        let mut host = way.start(&keeping(both(), json!({})));
        let spec = of_type("text/plain").request_body("whole").response_chunks(["a", "b"]).cut_off("reset");
        let entry = published(way, &mut host, &spec);
        assert_eq!(said(&entry, "request"), json!({"body": "whole"}));
        assert_eq!(said(&entry, "response"), json!({"body": "ab", "complete": false, "truncated": true}), "{way:?}");
    }
}

#[test]
fn a_body_that_nginx_has_written_to_a_file_is_marked() {
    let mut host = Way::Kong.start(&keeping(both(), json!({})));
    let entry = published(Way::Kong, &mut host, &of_type("text/plain").request_body("a").spilled_to_disk());
    assert_eq!(said(&entry, "request"), json!({"body_left_out": "unreadable", "truncated": true}));
}

#[test]
fn an_access_logger_marks_its_events_and_says_so_once() {
    let way = Way::AccessLogger;
    let mut host = way.start(&keeping(json!({"request_body": {"content_types": ["text/*"]}}), json!({})));
    // The first exchange of any kind shows what it is: before that nothing does.
    way.run(&mut host, &ExchangeSpec::new("GET", "/other"));
    let lines = logged(&mut host, LogLevel::Error);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("run the filter as an HTTP filter"), "{lines:?}");
    for _ in 0..2 {
        let entry = published(way, &mut host, &of_type("text/plain").request_body("a"));
        assert_eq!(said(&entry, "request"), json!({"body_left_out": "access_logger", "truncated": true}));
    }
    let other = published(way, &mut host, &of_type("image/png").request_body("a"));
    assert_eq!(said(&other, "request"), json!({}));
    assert_eq!(logged(&mut host, LogLevel::Error), [""; 0]);
}

#[test]
fn what_no_route_wants_is_not_copied() {
    let routes = json!([
        {"method": "PUT", "matcher": "/profile", "request_body": {"content_types": ["text/*"]}, "status": [200]},
        {"method": "PUT", "matcher": "/profile"},
    ]);
    for way in GATEWAYS {
        let mut host = way.start(&config(json!({"routes": routes})));
        let text = |spec: ExchangeSpec| spec.request_header("content-type", "text/plain").request_body("a");
        for (spec, copies) in [
            (text(ExchangeSpec::new("GET", "/profile")), 0),
            (text(ExchangeSpec::new("PUT", "/other")), 0),
            (put().request_header("content-type", "image/png").request_body("a"), 0),
            (text(put()).response_header("content-type", "text/plain").response_body("b"), 1),
        ] {
            host.exchange(&spec).unwrap();
            let (_, usage) = host.measure(|host| host.exchange(&spec).unwrap());
            assert_eq!(usage.calls_of("proxy_get_buffer_bytes"), copies, "{way:?}");
        }
        let entry = deliver(&mut host, LONG).pop().unwrap();
        assert_eq!([said(&entry, "request"), said(&entry, "response")], [json!({"body": "a"}), json!({})]);
        let entry = published(way, &mut host, &text(put()).status(204));
        assert_eq!(said(&entry, "request"), json!({}), "the second route takes it");
    }
}

#[test]
fn what_is_redacted_is_in_no_event_no_letter_and_no_line() {
    let secret = "t0ps3cret";
    let json = format!(
        r#"{{"passw\u006frd":"{secret}","cards":[{{"number":"{secret}"}}],"url":"https:\/\/a\/?token\u003d{secret}","a":1}}"#
    );
    let redact = json!({"body": ["/password", "/cards/*/number"], "query": ["token"]});
    let route = json!({
        "request_body": {"max_bytes": 1000}, "response_body": {"max_bytes": 1000},
        "attributes": {"a": "${request.body}", "b": "${response.body./password}"},
        "subject": "${response.body}",
    });
    for way in GATEWAYS {
        let mut host = way.start(&keeping(route.clone(), json!({"redact": redact})));
        let unreadable =
            [json.replace("\"a\"", ""), json.trim_end_matches('}').to_owned(), format!("password={secret}")];
        let mut sent = String::new();
        for body in unreadable.iter().chain([&json]) {
            let spec = of_type("application/json").request_body(body).response_body(body);
            let gzip = spec.clone().request_header("content-encoding", "gzip");
            for spec in [spec, gzip, of_type("text/plain").request_body(body).response_body(body)] {
                way.run(&mut host, &spec);
                host.advance(MAX_DELAY + TICK).unwrap();
                for callout in host.take_callouts() {
                    sent.extend(
                        form_urlencoded::parse(callout.body_text().as_bytes()).map(|(_, value)| value.into_owned()),
                    );
                    let refused = "<ErrorResponse><Error><Code>InvalidParameter</Code></Error></ErrorResponse>";
                    host.respond(callout.token, Response::new(400).body(refused)).unwrap();
                }
            }
        }
        let lines: String = host.take_logs().into_iter().map(|line| line.text).collect();
        assert!(lines.contains("retrohook-dead-letter") && lines.contains("unredacted"), "{way:?}");
        assert!(sent.contains("REDACTED") && !sent.contains(secret) && !lines.contains(secret), "{way:?} {sent}");
        // Nor in base64.
        assert!(!sent.contains("dDBwczNjcmV0") && !lines.contains("dDBwczNjcmV0"), "{way:?}");
    }
}

#[test]
fn a_parameter_or_a_group_of_the_path_is_in_no_body_however_that_is_written() {
    let secret = "t0ps3cret";
    let redact = json!({"query": ["token"], "path": ["key"]});
    let mut route = both();
    route["matcher"] = json!("/profile/(?<key>[^/]+)");
    route["message"] = json!({"all": "${request.body}", "text": "<${response.body}>"});
    let utf_16 = format!("{{\"u\":\"?token={secret}\"}}").encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let parts = format!("--b\r\ncontent-disposition: form-data; name=\"token\"\r\n\r\n{secret}\r\n--b--\r\n");
    for way in GATEWAYS {
        let mut host = way.start(&keeping(route.clone(), json!({"redact": redact})));
        let mut shown = 0;
        for (content_type, body) in [
            ("application/json", format!("\u{feff}{{\"u\":\"?token\\u003d{secret}\"}}").into_bytes()),
            ("application/json", format!(r#"{{"a":"{{\"u\":\"?t\\u006fken=a{secret}\"}}"}}"#).into_bytes()),
            ("application/x-ndjson", format!("{{\"a\":1}}\n{{\"u\":\"?token={secret}\"}}\n").into_bytes()),
            ("application/javascript", format!("call({{\"u\":\"?token\\u003d{secret}\"}})").into_bytes()),
            ("application/x-www-form-urlencoded", format!("a=b&token=my {secret}").into_bytes()),
            ("text/plain", format!("token=my \"{secret}").into_bytes()),
            ("text/plain", format!("in /profile/{secret}?").into_bytes()),
            ("multipart/form-data; boundary=b", parts.clone().into_bytes()),
            ("application/json", utf_16.clone()),
        ] {
            let spec = ExchangeSpec::new("PUT", format!("/profile/{secret}"));
            let spec = spec.request_header("content-type", content_type).response_header("content-type", content_type);
            let spec = spec.request_chunks([&body]).response_chunks([&body]);
            let entry = published(way, &mut host, &spec);
            let said = format!("{}{:?}", entry.message, entry.attributes);
            assert!(!said.replace("\\u0000", "").contains(secret), "{way:?} {content_type} {said}");
            shown += usize::from(said.contains("REDACTED"));
        }
        assert_eq!(shown, 6, "{way:?}: the others are left out");
    }
}

#[test]
fn bodies_under_way_are_bounded_and_what_finds_no_room_is_marked_and_counted() {
    let route = json!({"request_body": {"max_bytes": 1_048_576}});
    for way in GATEWAYS {
        let mut host = way.start(&keeping(route.clone(), json!({"max_kept_body_bytes": 1_048_576})));
        let body = "a".repeat(300_000);
        let open =
            |host: &mut Host| host.exchange(&of_type("text/plain").request_body(&body).left_open()).unwrap().stream;
        let streams: Vec<u32> = (0..5).map(|_| open(&mut host)).collect();
        for stream in streams {
            host.finish_exchange(stream).unwrap();
        }
        let entries = deliver(&mut host, LONG);
        let left_out = entries.iter().filter(|entry| said(entry, "request")["body_left_out"] == "no_room").count();
        assert_eq!((entries.len(), left_out), (5, 3), "{way:?}: 524,288 bytes of memory for each");
        assert_eq!(count(&host, Metric::BodiesLeftOut), 3, "{way:?}");
        let later = published(way, &mut host, &of_type("text/plain").request_body(&body));
        assert!(said(&later, "request").get("body_left_out").is_none(), "{way:?}: all of it has come back");
    }
}

#[test]
fn conditions_and_placeholders_look_into_bodies() {
    let paid = json!({
        "method": "PUT", "matcher": "/profile", "event_type": "paid", "request_body": {},
        "when": {"request.body./order/status": "paid"},
        "attributes": {"price": {"type": "Number", "value": "${request.body./order/price}"}},
        "message": {"order": "${request.body./order}"},
    });
    let rest = json!({"method": "PUT", "matcher": "/profile", "event_type": "rest"});
    for way in GATEWAYS {
        let mut host = way.start(&config(json!({"routes": [paid, rest]})));
        let send = |status: &str| {
            of_type("application/json").request_body(format!(r#"{{"order":{{"status":"{status}","price":1.50}}}}"#))
        };
        let entry = published(way, &mut host, &send("paid"));
        assert_eq!(entry.message, json!({"order": {"status": "paid", "price": 1.50}}));
        assert_eq!(entry.attributes["price"], ("Number".to_owned(), "1.5".to_owned()));
        assert_eq!(published(way, &mut host, &send("open")).message["event_type"], "rest");
    }
}

#[test]
fn a_response_that_waits_has_the_body_of_its_request_in_its_event() {
    let route = json!({"request_body": {}, "delivery": "before_response"});
    let mut host = Way::HttpFilter.start(&keeping(route, json!({})));
    let stream =
        host.exchange(&of_type("application/json").request_body("{\"a\":1}").response_body("{}")).unwrap().stream;
    let entries = deliver(&mut host, MAX_DELAY);
    assert_eq!(said(&entries[0], "request"), json!({"body": {"a": 1}}));
    assert!(host.take_finished(stream).is_some());
}
