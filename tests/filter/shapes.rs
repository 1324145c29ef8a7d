//! What messages look like where the configuration gives them another shape than Kong's: as a
//! CloudEvent, or in a form of the operator's own.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host};
use serde_json::{json, Value};

use crate::support::event_bus;
use crate::support::{config, deliver, load, published, put, Way, GATEWAYS, MAX_DELAY, TICK, WAYS};

const BUS_UPSTREAM: &str = "events.us-east-1.amazonaws.com:443";

/// Routes of Kong are whole entities; those of Envoy are names.
fn on_route(way: Way, spec: ExchangeSpec) -> ExchangeSpec {
    match way {
        Way::Kong => spec.route(r#"{"id":"r-1","name":"profiles é","ws_id":"w-1"}"#),
        Way::HttpFilter | Way::AccessLogger => spec.route("profiles é"),
    }
}

/// Lets time pass until the filter calls, and gives the call.
pub(crate) fn call(host: &mut Host) -> Callout {
    for _ in 0..400 {
        host.advance(Duration::from_millis(5)).unwrap();
        if let Some(callout) = host.take_callouts().pop() {
            return callout;
        }
    }
    panic!("no call");
}

#[test]
fn a_cloud_event_has_the_usual_message_as_its_data() {
    for way in WAYS {
        let typed = json!({"method": "PUT", "matcher": "/profile", "event_type": "com.example.updated"});
        let mut bare = config(json!({"routes": [typed]}));
        let spec = on_route(way, put());
        let plain = published(way, &mut way.start(&bare), &spec);
        bare["format"] = json!("cloudevents");
        let entry = published(way, &mut way.start(&bare), &spec);
        let event = entry.message.as_object().unwrap();
        let names: Vec<_> = event.keys().map(String::as_str).collect();
        assert_eq!(names, ["data", "datacontenttype", "id", "source", "specversion", "subject", "time", "type"]);
        let shape = |message: &Value| {
            let mut message = message.clone();
            message["event_id"].take();
            message
        };
        assert_eq!(shape(&event["data"]), shape(&plain.message), "{way:?}");
        assert_eq!(event["id"], event["data"]["event_id"]);
        assert!(event["source"].as_str().unwrap().ends_with("/routes/profiles%20%C3%A9"), "{}", event["source"]);
        assert_eq!((&event["type"], &event["subject"]), (&json!("com.example.updated"), &json!("/mockbin/profile")));
        for name in ["id", "source", "specversion", "type", "subject", "time"] {
            assert_eq!(entry.attribute(&format!("ce-{name}")), Some(("String", event[name].as_str().unwrap())));
        }
        assert_eq!(entry.attribute("event_id"), entry.attribute("ce-id"));
        assert_eq!(entry.attribute("method"), Some(("String", "PUT")), "as far as there is room for ten");
    }
}

#[test]
fn a_route_may_have_another_format_than_the_others() {
    let routes = json!([
        {"method": "PUT", "matcher": "/profile"},
        {"method": "POST", "matcher": "/profile", "format": "kong"},
    ]);
    for way in GATEWAYS {
        let mut host = way.start(&config(json!({"format": "cloudevents", "routes": routes})));
        way.run(&mut host, &put());
        way.run(&mut host, &ExchangeSpec::new("POST", "/profile"));
        let entries = deliver(&mut host, MAX_DELAY + TICK);
        let versions: Vec<_> = entries.iter().map(|entry| entry.message.get("specversion").is_some()).collect();
        assert_eq!(versions, [true, false], "{way:?}");
        assert_eq!(entries[0].message["type"], "exchange");
        assert_eq!(entries[1].attribute("ce-id"), None);
    }
}

#[test]
fn the_detail_of_an_event_bus_is_the_cloud_event_alone() {
    for way in GATEWAYS {
        let mut host = load(way.builder().cluster(BUS_UPSTREAM));
        let changes =
            json!({"topic_arn": null, "event_bus": "default", "region": "us-east-1", "format": "cloudevents"});
        host.start_plugin(config(changes).to_string()).unwrap();
        way.run(&mut host, &put());
        let entry = event_bus::entries(&call(&mut host)).remove(0);
        assert_eq!((entry.detail_type.as_str(), &entry.detail["specversion"]), ("exchange", &json!("1.0")));
        assert_eq!(entry.detail.get("attributes"), None, "which no CloudEvent has");
        assert_eq!(entry.detail["data"]["request"]["uri"], "/mockbin/profile");
    }
}

#[test]
fn a_message_has_the_members_of_the_configuration_each_of_its_type() {
    let message = json!({
        "id": "${path.id}", "status": "${response.status}", "who": ["${consumer.username}", "${consumer.id}"],
        "text": "${request.method} ${request.path} gave ${response.status}", "at": "${started_at}", "fixed": [1.5, true, null],
        "event": {"id": "${event.id}", "type": "${event.type}"}, "secret": "${request.headers.authorization}",
        "mode": "${request.query.mode}", "none": "${request.headers.x-none}", "from": "${client_ip}",
    });
    let route =
        json!({"method": "PUT", "matcher": "/profile/(?<id>[^/]+)", "event_type": "updated", "message": message});
    for way in WAYS {
        let spec = ExchangeSpec::new("PUT", "/profile/s3cr3t-id?mode=a%22b&token=t0ken")
            .client("192.0.2.7", 4711)
            .request_header("authorization", "Bearer s3cret")
            .request_header("x-consumer-id", "c-1")
            .request_header("x-consumer-username", "ada");
        for redacts in [false, true] {
            let redact = if redacts { json!({"path": ["id"], "query": ["mode"]}) } else { json!({}) };
            let config = config(json!({"routes": [route], "redact": redact}));
            let entry = published(way, &mut way.start(&config), &spec);
            let mut message = entry.message;
            assert!(message["at"].take().is_u64(), "{way:?}");
            let who = if way == Way::Kong { json!(["ada", "c-1"]) } else { json!([null, null]) };
            let (id, mode) = if redacts { ("REDACTED", "REDACTED") } else { ("s3cr3t-id", "a\"b") };
            let expected = json!({
                "id": id, "status": 200, "who": who, "text": format!("PUT /profile/{id} gave 200"), "at": null,
                "fixed": [1.5, true, null], "secret": "REDACTED", "mode": mode, "none": null, "from": "192.0.2.7",
                "event": {"id": entry.attributes["event_id"].1, "type": "updated"},
            });
            assert_eq!(message, expected, "{way:?}");
        }
    }
}

/// A question to Envoy shows all lines of a header as one.
#[test]
fn a_header_in_a_message_is_its_first_line_however_it_is_read() {
    let names = ["host", "x-one", "x-two", "x-comma", "x-empty", "x-none", "x-it's"];
    for count in [2, 5, names.len()] {
        let names = &names[names.len() - count..];
        let mut message: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!(format!("${{request.headers.{name}}}")))).collect();
        message.insert("etag".to_owned(), json!("${response.headers.etag}"));
        for way in WAYS {
            let headers =
                [("x-one", "1"), ("x-two", "a"), ("x-two", "b"), ("x-comma", "a, b"), ("x-empty", ""), ("x-it's", "c")];
            let spec = headers.into_iter().fold(put(), |spec, (name, value)| spec.request_header(name, value));
            let spec = spec.response_header("etag", "7").response_header("etag", "8");
            let entry = published(way, &mut way.start(&config(json!({"message": message}))), &spec);
            let mut expected =
                json!({"x-one": "1", "x-two": "a", "x-comma": "a, b", "x-empty": "", "x-none": null, "x-it's": "c"});
            let expected = expected.as_object_mut().unwrap();
            expected.retain(|name, _| names.contains(&name.as_str()));
            expected.insert("etag".to_owned(), json!("7"));
            let mut message = entry.message;
            assert_eq!(message.as_object_mut().unwrap().remove("host").is_some(), names.contains(&"host"), "{way:?}");
            assert_eq!(message.as_object(), Some(&*expected), "{way:?}, {count}");
        }
    }
}

#[test]
fn what_a_message_has_no_room_for_is_cut_and_named() {
    let message = json!({"tenant": "${request.headers.x-tenant}", "path": "${request.path}"});
    for way in WAYS {
        let tenant = "\u{e9}".repeat(200_000);
        let config = config(json!({"message": message}));
        let entry = published(way, &mut way.start(&config), &put().request_header("x-tenant", &tenant));
        assert_eq!(entry.message["truncated"], json!(["request.headers"]), "{way:?}");
        assert_eq!(entry.message["tenant"].as_str().unwrap().len(), 16_384);
        assert_eq!(entry.message["path"], "/mockbin/profile");
    }
}

#[test]
fn a_message_is_the_data_of_a_cloud_event_and_a_detail_with_attributes() {
    for way in GATEWAYS {
        let changes = json!({"format": "cloudevents", "message": {"status": "${response.status}"}});
        let spec = on_route(way, put());
        let entry = published(way, &mut way.start(&config(changes)), &spec);
        assert_eq!(entry.message["data"], json!({"status": 200}));
        assert!(entry.message["source"].as_str().unwrap().ends_with("/routes/profiles%20%C3%A9"), "{way:?}");
        let mut host = load(way.builder().cluster(BUS_UPSTREAM));
        let message = json!({"status": "${response.status}"});
        let changes = json!({"topic_arn": null, "event_bus": "default", "region": "us-east-1", "message": message});
        host.start_plugin(config(changes).to_string()).unwrap();
        way.run(&mut host, &put());
        let entry = event_bus::entries(&call(&mut host)).remove(0);
        assert_eq!((&entry.detail["status"], &entry.detail["attributes"]["method"]), (&json!(200), &json!("PUT")));
    }
}
