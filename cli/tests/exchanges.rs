//! `retrohook event`, `webhook` and `sign`, from the outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail so")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{json, Value};
use support::{Desk, Done};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:profile-events";
const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";

/// Runs a command on a configuration and a request, and returns its code and its JSON.
fn run(name: &str, command: &str, config: &Value, request: &Value) -> (i32, Value) {
    let desk = Desk::new(name);
    desk.write("config.json", &config.to_string());
    desk.write("request.json", &request.to_string());
    let Done { code, out, err } = desk.run(&[command, "config.json", "--request", "request.json", "--json"]);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
}

/// Returns the code and the verdict of the only configuration on a webhook.
fn of_webhook(name: &str, config: &Value, request: &Value) -> (i32, Value) {
    let (code, verdicts) = run(name, "webhook", config, request);
    assert_eq!(verdicts["configurations"].as_array().unwrap().len(), 1);
    (code, verdicts["configurations"][0].clone())
}

#[test]
fn each_configuration_of_a_file_counts_its_own_routes_and_captures() {
    let desk = Desk::new("files");
    let filter = |name: &str, config: Value| {
        json!({"name": name, "vm_config": {}, "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string(),
        }})
    };
    let route = |matcher: &str| json!({"method": "PUT", "matcher": matcher});
    let capture = |status: u16| json!({"method": "POST", "matcher": "^/hook$", "queue_url": QUEUE, "response": {"status": status}});
    let filters = [
        filter("retrohook", json!({"capture": [capture(202)]})),
        filter("retrohook-a", json!({"topic_arn": TOPIC, "routes": [route("^/b$"), route("^/a$")]})),
        filter("retrohook-b", json!({"topic_arn": TOPIC, "routes": [route("^/a$")], "capture": [capture(201)]})),
    ];
    desk.write("envoy.json", &format!("{:#}", json!({"static_resources": filters})));
    desk.write("put.json", &json!({"method": "PUT", "path": "/a"}).to_string());
    desk.write("hook.json", &json!({"method": "POST", "path": "/hook", "body": "x"}).to_string());
    let done = desk.run(&["event", "envoy.json", "--request", "put.json", "--json"]);
    let verdicts: Value = serde_json::from_str(&done.out).unwrap();
    let found = |verdict: &Value| (verdict["route"].as_u64().unwrap(), verdict["takes"] == true);
    let found: Vec<_> = verdicts["routes"].as_array().unwrap().iter().map(found).collect();
    assert_eq!(found, [(0, false), (1, true), (0, true)], "{done:?}");
    let text = desk.run(&["event", "envoy.json", "--request", "put.json"]).out;
    assert_eq!(text.matches("configuration of line ").count(), 2, "{text}");
    assert!(text.contains(", Wasm plugin `retrohook-b`:\nroutes[0] takes it"), "{text}");
    let done = desk.run(&["webhook", "envoy.json", "--request", "hook.json", "--json"]);
    let verdicts: Value = serde_json::from_str(&done.out).unwrap();
    let answers: Vec<&Value> =
        verdicts["configurations"].as_array().unwrap().iter().map(|it| &it["answer"]["status"]).collect();
    assert_eq!((done.code, answers), (0, vec![&json!(202)]), "one request has one answer");
    let done = desk.run(&["webhook", "envoy.json", "--request", "put.json"]);
    assert_eq!((done.code, done.out.matches("capture[0] does not take it").count()), (1, 2), "{done:?}");
}

#[test]
fn each_route_that_takes_it_has_an_event_and_each_other_has_a_reason() {
    let route = |more: Value| {
        let mut route = json!({"method": "PUT", "matcher": "^/profile/(?<id>[0-9]+)$"});
        route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        route
    };
    let routes = [
        (route(json!({"method": "PATCH"})), "`method` is not PUT"),
        (route(json!({"matcher": "^/account"})), "`matcher` (^/account) is not found in the path /profile/42"),
        (route(json!({"status": 404})), "`status` has no 200"),
        (route(json!({"when": {"request.headers.x-tenant": "b"}})), "`when` does not hold: request.headers.x-tenant"),
        (
            route(json!({"when": {"request.body./kind": "b"}, "request_body": {}})),
            "`when` does not hold: request.body./kind",
        ),
        (route(json!({"continue": true, "subject": "s ${path.id}"})), ""),
        (route(json!({"event_bus": "default", "region": "us-east-1", "sample": 0.5})), ""),
        (route(json!({})), "`routes[6]` takes it, and does not go on (`continue`)"),
    ];
    let config = json!({"topic_arn": TOPIC, "routes": routes.iter().map(|(route, _)| route).collect::<Vec<_>>()});
    let request = json!({
        "method": "PUT", "path": "/profile/42", "headers": {"X-Tenant": "a", "Content-Type": "application/json"},
        "body": {"kind": "a"},
    });
    let (code, verdicts) = run("routes", "event", &config, &request);
    assert_eq!(code, 0);
    for ((_, reason), verdict) in routes.iter().zip(verdicts["routes"].as_array().unwrap()) {
        assert_eq!(verdict["takes"], json!(reason.is_empty()), "{verdict}");
        assert_eq!(verdict["reason"].as_str().unwrap_or_default(), *reason);
    }
    let [topic, bus] = [5, 6].map(|position| &verdicts["routes"][position]);
    assert_eq!((&topic["subject"], &topic["attributes"]["status"]["value"]), (&json!("s 42"), &json!("200")));
    let detail: Value = serde_json::from_str(bus["message"].as_str().unwrap()).unwrap();
    assert_eq!((&detail["attributes"]["status"], &bus["attributes"]), (&json!(200), &json!({})));
    assert!(bus["sampled"] == true && topic["sampled"] == false && topic["id"] != bus["id"]);
    let (code, verdicts) = run("none", "event", &config, &json!({"method": "GET", "path": "/profile/42"}));
    assert!(code == 1 && verdicts["routes"].as_array().unwrap().iter().all(|verdict| verdict["takes"] == false));
}

#[test]
fn nothing_that_is_shown_moves_the_terminal() {
    let desk = Desk::new("escapes");
    let key = "a\u{1b}]0;title\u{7}";
    let config = json!({"queue_url": QUEUE, "routes": [{"method": "PUT", "matcher": "/", "attributes": {"x": "${request.headers.x}"}}],
        "capture": [{"method": "POST", "matcher": "^/h$", "queue_url": QUEUE, "response": {"body": "${request.query.a}"}}]});
    desk.write("config.json", &config.to_string());
    desk.write("wrong.json", &json!({"topic_arn": TOPIC, key: 1}).to_string());
    desk.write(
        "request.json",
        &json!({"method": "PUT", "path": "/\u{1b}[2J", "headers": {"x": "\u{9b}31m"}}).to_string(),
    );
    desk.write("webhook.json", &json!({"method": "POST", "path": "/h?a=%1b%5b31m"}).to_string());
    for arguments in [
        &["check", "wrong.json"][..],
        &["event", "config.json", "--request", "request.json"],
        &["webhook", "config.json", "--request", "webhook.json"],
    ] {
        let done = desk.run(arguments);
        let text = format!("{}{}", done.out, done.err);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("\\u{1b}") || text.contains("\\u001b"), "{text}");
    }
}

#[test]
fn bodies_are_kept_as_the_route_wants_them() {
    let config = json!({"topic_arn": TOPIC, "routes": [{
        "method": "PUT", "matcher": "/", "request_body": {"max_bytes": 3}, "response_body": {"content_types": ["text/*"]},
    }]});
    let request = json!({"method": "PUT", "path": "/", "body": "abcdef", "response": {
        "headers": {"content-type": "text/plain"}, "body_base64": "aGk=",
    }});
    let (_, verdicts) = run("bodies", "event", &config, &request);
    let message: Value = serde_json::from_str(verdicts["routes"][0]["message"].as_str().unwrap()).unwrap();
    assert_eq!((&message["request"]["body"], &message["response"]["body"]), (&json!("abc"), &json!("hi")));
    assert_eq!(message["truncated"], json!(["request.body"]));
}

#[test]
fn a_webhook_has_the_answer_that_its_sender_gets() {
    let verify = |fate: &str| json!({"scheme": "slack", "secrets": ["shared"], "on_failure": fate});
    let config = json!({"capture": [
        {"method": "POST", "matcher": "^/reject$", "queue_url": QUEUE, "verify": verify("reject")},
        {"method": "POST", "matcher": "^/mark$", "queue_url": QUEUE, "verify": verify("mark"), "max_body_bytes": 100,
         "challenges": [{"when": {"request.body./ping": {"exists": true}}, "verified": false, "response": {"body": "pong"}}]},
        {"method": "POST", "matcher": "^/open$", "queue_url": QUEUE, "response": {"status": 202, "body": "got ${request.path}"}},
    ]});
    let sent = |path: &str, body: Value| json!({"method": "POST", "path": path, "body": body});
    for (name, request, code, status, stored) in [
        ("reject", sent("/reject", json!({})), 1, 401, false),
        ("mark", sent("/mark", json!({})), 0, 200, true),
        ("large", sent("/mark", json!("x".repeat(101))), 1, 413, false),
        ("ping", sent("/mark", json!({"ping": 1})), 0, 200, false),
        ("open", sent("/open", json!({})), 0, 202, true),
        ("misspelled", sent("/open/", json!({})), 1, 503, false),
    ] {
        let (found, verdict) = of_webhook(name, &config, &request);
        assert_eq!((found, &verdict["answer"]["status"]), (code, &json!(status)), "{name}: {verdict}");
        assert_eq!(verdict["stored"].is_object(), stored, "{name}");
    }
    let (_, verdict) = of_webhook("open", &config, &sent("/open", json!({})));
    assert_eq!(verdict["answer"]["body"], "got /open");
    let (_, verdict) = of_webhook("mark", &config, &sent("/mark", json!({})));
    assert_eq!(
        (&verdict["verified"], &verdict["verify_error"]),
        (&json!(false), &json!("there is no header `x-slack-signature`"))
    );
    let (code, verdict) = of_webhook("elsewhere", &config, &sent("/elsewhere", json!({})));
    assert_eq!((code, verdict["reasons"].as_array().unwrap().len()), (1, 3));
}

#[test]
fn what_is_signed_is_verified_at_its_own_time_and_no_other() {
    let desk = Desk::new("signed");
    desk.write("config.json", &json!({"capture": [
        {"method": "POST", "matcher": "^/a$", "queue_url": QUEUE},
        {"method": "POST", "matcher": "^/b$", "queue_url": QUEUE, "verify": {"scheme": "stripe", "secrets": ["${env.SECRET}"]}},
    ]}).to_string());
    let secret = [("SECRET", "hunter2")];
    let sign = |more: &[&str]| {
        let arguments = [&["sign", "config.json", "--url", "https://a.example.com/b"][..], more].concat();
        desk.run_with(&secret, &arguments)
    };
    let webhook = sign(&["--capture", "1", "--at", "2026-01-01T12:00:00Z", "--json"]);
    assert!(webhook.code == 0 && !webhook.out.contains("hunter2"), "{webhook:?}");
    desk.write("webhook.json", &webhook.out);
    let check = |variables: &[(&str, &str)], at: &str| {
        let done =
            desk.run_with(variables, &["webhook", "config.json", "--request", "webhook.json", "--json", "--at", at]);
        let verdict: Value = serde_json::from_str(&done.out).unwrap();
        verdict["configurations"][0]["verified"].clone()
    };
    assert_eq!(check(&secret, "2026-01-01T12:04:59Z"), json!(true));
    assert_eq!(check(&secret, "2026-01-01T12:05:01Z"), json!(false));
    assert_eq!(check(&[("SECRET", "other")], "1767268800"), json!(false));
    assert_eq!(check(&[], "1767268800"), json!(null));
    for (more, says) in [
        (&["--capture", "0"][..], "has no `verify`"),
        (&["--capture", "9"], "no such capture"),
        (&["--at", "noon"], "is no time"),
    ] {
        let done = sign(more);
        assert!(done.code == 2 && done.err.contains(says), "{done:?}");
    }
    let done = desk.run(&["sign", "config.json", "--capture", "1"]);
    assert!(done.code == 2 && done.err.contains("nothing is signed without its secret"), "{done:?}");
    let done = desk.run_with(&secret, &["sign", "--scheme", "standard-webhooks", "--secret-env", "SECRET"]);
    assert!(done.code == 2 && !done.err.contains("hunter2"), "{done:?}");
    desk.write("secret", "shared\n");
    let of_file = desk.run(&["sign", "--scheme", "github", "--secret-file", "secret"]).out;
    assert_eq!(of_file, desk.run_with(&[("S", "shared")], &["sign", "--scheme", "github", "--secret-env", "S"]).out);
}

/// Answers one request, and returns its path and its body.
fn one_request(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut request, mut part) = (Vec::new(), [0; 65_536]);
    loop {
        let end = request.windows(4).position(|at| at == b"\r\n\r\n");
        let head = String::from_utf8_lossy(&request[..end.unwrap_or(0)]).to_lowercase();
        let length =
            head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        if end.is_some_and(|end| request.len() >= end + 4 + length) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap().to_owned();
            return (path, request.split_off(end.unwrap() + 4));
        }
        if head.contains("expect: 100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "curl ends before the request does");
        request.extend(&part[..read]);
    }
}

#[test]
fn the_command_of_curl_sends_the_body_that_is_signed_whatever_it_begins_with() {
    let desk = Desk::new("curl");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let large = "@\\n%s'é".repeat(20_000);
    desk.write("secret.txt", "what a body that begins with @ must not send\n");
    let bodies: [&[u8]; 9] = [
        b"{}",
        b"",
        b"@secret.txt",
        b"it's \"$HOME\" `id` !! \\ %s\n\nend\n",
        b"a\0b\xff\xfe'\\%d",
        b"-n\t\r\n",
        "\u{1f600}[a]{b}".as_bytes(),
        large.as_bytes(),
        b"\0",
    ];
    for (number, body) in bodies.iter().enumerate() {
        std::fs::write(desk.folder().join("body"), body).unwrap();
        let url = format!("{origin}/a/../{{b}}?c=[1-2]&n={number}");
        let sign = ["sign", "--scheme", "github", "--secret-env", "S", "--data", "body", "--curl", "--url", &url];
        let line = desk.run_with(&[("S", "shared")], &sign).out;
        std::fs::write(desk.folder().join("line.sh"), &line).unwrap();
        let mut shell =
            Command::new("sh").arg("line.sh").current_dir(desk.folder()).stderr(Stdio::null()).spawn().unwrap();
        let (path, sent) = one_request(&listener);
        assert_eq!(path, format!("/a/../{{b}}?c=[1-2]&n={number}"));
        assert!(sent == *body, "{number}: {line:.200}");
        assert!(shell.wait().unwrap().success());
    }
    for url in ["ftp://a/b", "http://", "http://name:password@a/", "http://a/b c", "http://a/é"] {
        let done = desk.run_with(&[("S", "s")], &["sign", "--scheme", "github", "--secret-env", "S", "--url", url]);
        assert!(done.code == 2 && done.err.contains("is no URL such as"), "{url}: {done:?}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused_by_its_name_and_without_the_secret() {
    let desk = Desk::new("unsigned");
    desk.write("secret", "hunter2 \n");
    for (arguments, says) in [
        (["--scheme", "githup", "--secret-env", "S"], "--scheme githup: is not known here"),
        (["--scheme", "discord", "--secret-env", "S"], "error: S: is not a secret of this scheme"),
        (["--scheme", "github", "--secret-file", "secret"], "error: secret: is not a secret of this scheme"),
    ] {
        let done = desk.run_with(&[("S", "hunter2")], &[&["sign"][..], &arguments].concat());
        assert!(done.code == 2 && done.err.contains(says) && !done.err.contains("hunter2"), "{done:?}");
    }
}

#[test]
fn a_request_that_is_none_is_refused_with_what_is_wrong() {
    let desk = Desk::new("requests");
    desk.write("config.yaml", &format!("topic_arn: {TOPIC}\nroutes: [{{method: PUT, matcher: /}}]\n"));
    for (request, says) in [
        ("{", "request.json:1: "),
        ("[]", "is no object"),
        (r#"{"method": "PUT"}"#, "`path` is missing"),
        (r#"{"method": "PUT", "path": "a"}"#, "does not begin with `/`"),
        (r#"{"method": "PUT", "path": "/", "header": {}}"#, "`header` is not known"),
        (r#"{"method": "PUT", "path": "/", "response": {"status": "200"}}"#, "is not a number such as 200"),
        (r#"{"method": "PUT", "path": "/", "response": {"code": 200}}"#, "`code` is not known"),
        (r#"{"method": "PUT", "path": "/", "body_base64": "?"}"#, "is no base64"),
    ] {
        desk.write("request.json", request);
        let done = desk.run(&["event", "config.yaml", "--request", "request.json"]);
        assert!(done.code == 2 && done.err.contains(says), "{request}: {done:?}");
    }
    let config = format!("topic_arn: {TOPIC}\nroutes: [{{method: PUT, matcher: /}}]\n");
    let done = desk.run_on(&config, &["event", "-", "--request", "-"]);
    assert!(done.code == 2 && done.err.contains("standard input can be one file"), "{done:?}");
    desk.write("request.yaml", "method: PUT\npath: /\nheaders: {x-n: 1}\n");
    assert_eq!(desk.run(&["event", "config.yaml", "--request", "request.yaml"]).code, 0);
}
