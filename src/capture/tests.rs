//! Webhooks through a whole agent, on a clock made of numbers.

mod batches;
mod ids;

use std::time::Duration;

use serde_json::{json, Value};

use super::*;
use crate::agent::{Agent, Call};
use crate::aws::credentials::keeper;
use crate::callout::testing::{response, response_with};
use crate::callout::{Callout, Limits};
use crate::clock::testing::ticks;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::exchange::{ClientRequest, Headers};
use crate::metrics::{Metric, Update};

const NOW: Timestamp = Timestamp(1_767_268_800_000);
const ID: CaptureId = CaptureId(7);
const LIMITS: Limits =
    Limits { at_once: 4, deadline: Duration::from_secs(6), retries_captures: true, silent_sender: "silent" };

fn agent(capture: Value, changes: Value) -> Agent {
    let mut entry = json!({
        "method": "POST", "matcher": "^/webhook$", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
    });
    entry.as_object_mut().unwrap().extend(capture.as_object().unwrap().clone());
    let mut config = json!({
        "capture": [entry],
        "credentials": {"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"},
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let config = Config::from_json(config.to_string().as_bytes()).unwrap();
    let keeper = keeper(&config.credentials, &|_| None, config.timeout, LIMITS.deadline, 7).unwrap();
    let mut agent = Agent::new(&config, keeper, LIMITS, None, 7);
    assert!(agent.poll(NOW).is_none(), "nothing but the credentials, which are there");
    agent
}

#[test]
fn what_is_signed_is_no_handshake_of_asana_s() {
    let verify = json!({"scheme": "asana", "secrets": ["secret"]});
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let config = json!({"capture": [{"method": "POST", "matcher": "/", "queue_url": queue, "verify": verify}]});
    let captures = Config::from_json(config.to_string().as_bytes()).unwrap().captures;
    for (names, expected) in [
        (&["x-hook-secret"][..], true),
        (&["x-hook-secret", "x-hook-signature"], false),
        (&["x-hook-signature"], false),
        (&[], false),
    ] {
        let headers = Headers(names.iter().map(|name| ((*name).into(), "abc".into())).collect());
        let request = ClientRequest { method: "POST".into(), headers, ..ClientRequest::default() };
        assert_eq!(captures.all[0].challenge(&request).is_some(), expected, "{names:?}");
    }
}

#[test]
fn notifications_are_no_validation_of_microsoft_graph_s() {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
    let capture = json!({"method": "POST", "matcher": "/", "queue_url": queue, "challenges": ["microsoft-graph"]});
    let captures = Config::from_json(json!({"capture": [capture]}).to_string().as_bytes()).unwrap().captures;
    for (target, body, expected) in [
        ("/?validationToken=a", &b""[..], true),
        ("/?validationToken=a", b"{\"value\":[]}", false),
        ("/?validationToken=", b"", false),
        ("/", b"", false),
    ] {
        let request = ClientRequest {
            method: "POST".into(),
            target: target.into(),
            body: body.into(),
            ..ClientRequest::default()
        };
        assert_eq!(captures.all[0].challenge(&request).is_some(), expected, "{target}");
    }
}

#[test]
fn another_spelling_of_a_capture_s_path_or_method_is_known() {
    let captures = |matcher: &str, method: Value| {
        let config = json!({"capture": [{
            "method": method, "matcher": matcher, "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
        }]});
        Config::from_json(config.to_string().as_bytes()).unwrap().captures
    };
    for (matcher, path, expected) in [
        ("^/webhook$", "/webhook/", true),
        ("^/webhook$", "/WEBHOOK?a=/x", true),
        ("^/webhook$", "/webhook.json", true),
        ("^/webhook$", "/x/..;/%77ebhook%2f?a", true),
        ("^/webhook$", "/account", false),
        ("^/webhook$", "/Account/?/webhook", false),
        ("^/webhook$", "/webhook.d/x", false),
        ("^/webhook$", "/webhooks/", false),
        ("^/Webhook$", "/webhook", true),
        ("^/webhook/$", "/webhook", true),
        ("^/webhook/?$", "/webhook//", true),
        ("^/hooks/(a|B)$", "/hooks/b", true),
        ("^/hooks/[^/]+$", "/hooks/a/", true),
        ("/hooks/", "/HOOKS/a", true),
        ("hook", "/Hook", true),
        ("hook", "/book", false),
    ] {
        let captures = captures(matcher, json!("POST"));
        assert!(captures.position(b"POST", path.as_bytes()).is_none(), "{matcher} {path}");
        assert_eq!(captures.know_by_another_spelling(b"POST", path.as_bytes()), expected, "{matcher} {path}");
        assert!(!captures.want_method(b"GET"));
    }
    let too_long = format!("/{}/webhook", ";".repeat(8_192));
    assert!(captures("^/webhook$", json!("POST")).know_by_another_spelling(b"POST", too_long.as_bytes()));
    let (post, any) = (captures("^/webhook$", json!("POST")), captures("^/webhook$", json!("*")));
    assert!(post.want_method(b"post") && post.position(b"post", b"/webhook").is_none());
    assert!(
        post.know_by_another_spelling(b"post", b"/webhook") && !post.know_by_another_spelling(b"post", b"/account")
    );
    assert!(any.know_by_another_spelling(b"GET", b"/webhook/") && !any.know_by_another_spelling(b"GET", b"/account"));
}

fn request(headers: &[(&'static str, &'static str)]) -> ClientRequest<'static> {
    ClientRequest {
        method: "POST".into(),
        target: "/webhook?token=hunter2&a=1".into(),
        headers: Headers(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()),
        ..ClientRequest::default()
    }
}

/// The next step of a capture.
#[derive(Debug)]
enum Progress {
    Call(Call, Callout),
    Wait,
    Answer(Answer),
}

fn progress(agent: &mut Agent, id: CaptureId, now: Timestamp) -> Progress {
    match agent.poll_capture(id, now) {
        Some(answer) => Progress::Answer(answer),
        None => agent.poll_capture_call(now).map_or(Progress::Wait, |(call, callout)| Progress::Call(call, callout)),
    }
}

/// A webhook that has come whole, and what is to be done about it.
fn receive(agent: &mut Agent, id: CaptureId, request: ClientRequest<'static>, body: &[u8], now: Timestamp) -> Progress {
    let intake = agent.capturing();
    let refused = intake.admit(id, 0, Size { head: 8, body: Some(body.len() as u64) }, now);
    let refused = refused.or_else(|| intake.complete(id, request, body, now));
    refused.map_or_else(|| progress(agent, id, now), Progress::Answer)
}

fn call(progress: Progress) -> Callout {
    named(progress).1
}

fn named(progress: Progress) -> (Call, Callout) {
    let Progress::Call(call, callout) = progress else { panic!("{progress:?}") };
    (call, callout)
}

fn answered(progress: Progress) -> u16 {
    let Progress::Answer(answer) = progress else { panic!("{progress:?}") };
    answer.status().as_u16()
}

fn fields(callout: &Callout) -> Value {
    serde_json::from_slice(callout.request.body()).unwrap()
}

#[test]
fn what_is_confidential_or_of_one_hop_is_not_stored_and_a_signature_always_is() {
    let verify = json!({"scheme": "hmac", "secrets": ["s"], "header": "Authorization", "encoding": "base64"});
    let redact = json!({"redact": {"headers": ["x-internal-token"], "query": ["token"]}});
    let mut agent = agent(json!({"verify": verify}), redact);
    let headers = [
        ("authorization", "aHVudGVyMg=="),
        ("cookie", "hunter2"),
        ("x-internal-token", "hunter2"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("referer", "https://example.com/?token=hunter2"),
        ("content-type", "text/plain"),
    ];
    let callout = call(receive(&mut agent, ID, request(&headers), b"x", NOW));
    let message: Value = serde_json::from_str(fields(&callout)["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(message["query"], "token=REDACTED&a=1");
    assert_eq!(
        message["headers"],
        json!({
            "authorization": "aHVudGVyMg==",
            "referer": "https://example.com/?token=REDACTED",
            "content-type": "text/plain",
        })
    );
}

#[test]
fn refused_credentials_are_not_used_again_and_a_wrong_clock_is_put_right() {
    let mut agent = agent(json!({}), json!({}));
    let (first, _) = named(receive(&mut agent, ID, request(&[]), b"{}", NOW));
    let body = r#"{"__type":"com.amazonaws.sqs#RequestExpired","message":"Signature expired"}"#;
    let headers = [("date", "Thu, 01 Jan 2026 13:00:00 GMT")];
    agent.handle_reply(first, &response_with(403, &headers, body), NOW);
    let (second, again) = named(progress(&mut agent, ID, NOW));
    assert_eq!(again.request.headers()["x-amz-date"], "20260101T130000Z");
    let refusal = response(403, r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException"}"#);
    agent.handle_reply(second, &refusal, NOW);
    assert!(matches!(progress(&mut agent, ID, NOW), Progress::Wait), "there are no others yet");
    assert_eq!(agent.capturing().waiting(), 1);
    let late = ticks(NOW, NOW + Duration::from_secs(5)).map(|now| progress(&mut agent, ID, now)).last();
    assert_eq!((answered(late.unwrap()), agent.capturing().waiting()), (503, 0));
    assert!(agent.is_idle());
}

#[test]
fn a_clock_that_is_set_back_holds_no_sender() {
    let mut agent = agent(json!({}), json!({}));
    let hour_before = Timestamp(NOW.0 - 3_600_000);
    let (first, _) = named(receive(&mut agent, ID, request(&[]), b"{}", NOW));
    agent.handle_reply(first, &response(500, ""), hour_before);
    let (second, callout) = named(progress(&mut agent, ID, hour_before + Duration::from_millis(100)));
    assert!(callout.timeout <= Duration::from_millis(2_500));
    let end = hour_before + Duration::from_secs(5);
    ticks(hour_before, end).for_each(|now| drop(agent.due_captures(now)));
    agent.handle_reply(second, &response(500, ""), end);
    assert_eq!(answered(progress(&mut agent, ID, end)), 503);
}

#[test]
fn a_clock_that_is_set_forward_sends_no_sender_away() {
    for step in [6_000, 3_600_000] {
        let mut agent = agent(json!({}), json!({}));
        let (call, _) = named(receive(&mut agent, ID, request(&[]), b"{}", NOW));
        let later = Timestamp(NOW.0 + step);
        assert_eq!(agent.due_captures(later), [], "it may be stored yet");
        agent.handle_reply(call, &response(200, r#"{"MessageId":"m-1"}"#), later);
        assert_eq!(answered(progress(&mut agent, ID, later)), 200);
    }
}

#[test]
fn who_is_gone_is_forgotten_and_a_late_reply_changes_nothing() {
    let mut agent = agent(json!({}), json!({"max_captures": 1}));
    let (first, _) = named(receive(&mut agent, ID, request(&[]), b"{}", NOW));
    assert!(agent.awaits(first) && !agent.is_idle());
    assert_eq!(answered(receive(&mut agent, CaptureId(8), request(&[]), b"{}", NOW)), 503);
    let intake = agent.capturing();
    intake.abandon(ID);
    intake.abandon(CaptureId(8));
    assert!(agent.awaits(first) && agent.is_idle(), "nobody waits, and the host has the call still");
    agent.handle_reply(first, &response(200, r#"{"MessageId":"m-1"}"#), NOW);
    assert!(!agent.awaits(first) && matches!(progress(&mut agent, ID, NOW), Progress::Wait));
    let counted: Vec<_> = agent.take_metric_updates(true, NOW).into_iter().map(|change| change.update).collect();
    assert_eq!(
        counted,
        [
            Update::Add(Metric::CalloutsOk, 1),
            Update::Add(Metric::CapturesRefusedBusy, 1),
            Update::Add(Metric::CapturesAbandoned, 1),
        ],
        "and one that was answered is not counted as gone"
    );
    call(receive(&mut agent, CaptureId(9), request(&[]), b"{}", NOW));
}

#[test]
fn what_a_call_holds_counts_until_its_end_though_the_sender_is_gone() {
    let mut agent = agent(json!({"max_body_bytes": 1_000_000}), json!({"max_capture_bytes": 2_097_152}));
    let body = vec![b'x'; 900_000];
    let (first, _) = named(receive(&mut agent, CaptureId(1), request(&[]), &body, NOW));
    call(receive(&mut agent, CaptureId(2), request(&[]), &body, NOW));
    agent.capturing().abandon(CaptureId(1));
    assert_eq!(answered(receive(&mut agent, CaptureId(3), request(&[]), &body, NOW)), 503);
    agent.handle_reply(first, &response(500, ""), NOW);
    call(receive(&mut agent, CaptureId(4), request(&[]), &body, NOW));
}
