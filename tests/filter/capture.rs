//! Webhooks that are stored before they are answered, on both gateways: none is answered 2xx that
//! SQS has not said to have, none is stored empty, and none ever reaches the upstream.

use std::time::Duration;

use proxy_wasm_test_host::{Callback, ExchangeSpec, FailureKind, Host, LogLevel, Profile, Response};
use retrohook::metrics::{Metric, DEFINITIONS};
use serde_json::{json, Value};

use crate::support::webhooks::{
    answer, capturing, fields, gateway, held, message, refused, start, stored, webhook, QUEUE, UPSTREAM,
};
use crate::support::{config, count, load, logged, put, Way, GATEWAYS, IDLE_TICK, LONG};

#[test]
fn a_webhook_is_answered_when_sqs_has_it() {
    let response = json!({"status": 202, "body": "{}", "content_type": "application/json", "headers": {"X-A": "b"}});
    for way in GATEWAYS {
        let mut host = start(way, &capturing(json!({"response": response}), json!({})));
        let spec =
            webhook("{\"n\": 1.0}").request_header("Authorization", "Bearer hunter2").request_header("TE", "trailers");
        let (exchange, callout) = held(&mut host, &spec);
        assert_eq!((callout.upstream.as_str(), callout.wire.host.as_str()), (UPSTREAM, "sqs.us-east-1.amazonaws.com"));
        assert!(callout.header("authorization").unwrap().contains("/us-east-1/sqs/aws4_request"));
        let body = fields(&callout);
        assert_eq!(body["QueueUrl"], QUEUE);
        assert!(body["MessageBody"].as_str().unwrap().contains(r#","body":{"n": 1.0},"headers":{"#), "{way:?} {body}");
        let message = message(&callout);
        assert_eq!((&message["path"], &message["query"]), (&json!("/webhook"), &json!("a=1")));
        assert_eq!(message["received_at"], "2026-01-01T12:00:00.025Z");
        assert_eq!(message["headers"]["host"], "api.example.com", "{way:?}");
        assert!(message["headers"].get("authorization").is_none() && message["headers"].get("te").is_none());

        host.respond(callout.token, stored()).unwrap();
        let answer = answer(&mut host, &exchange);
        assert_eq!((answer.status, answer.body.as_slice()), (202, &b"{}"[..]));
        let header = |name: &str| answer.headers.text(name);
        assert_eq!(header("x-retrohook-message-id").unwrap(), "m-1");
        assert_eq!([header("content-type").unwrap(), header("x-a").unwrap()], ["application/json", "b"]);
        host.advance(IDLE_TICK).unwrap();
        assert_eq!((count(&host, Metric::CapturesStored), count(&host, Metric::CapturesAbandoned)), (1, 0));
        assert_eq!(host.violations(), []);
    }
}

#[test]
fn nothing_but_the_word_of_sqs_makes_it_a_success() {
    let replies = [
        Response::new(200),
        Response::new(200).body("{}"),
        Response::new(200).body("<html>Sign in</html>"),
        Response::new(200).body(r#"{"MessageId":""#),
        Response::new(201).body(r#"{"MessageId":"m-0"}"#),
        Response::new(206).body(r#"{"MessageId":"m-0"}"#),
        Response::new(200).body(r#"{"MessageId":"m-0","__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#),
        Response::new(200).body(r#"{"MessageId":"m-0","MD5OfMessageBody":"d41d8cd98f00b204e9800998ecf8427e"}"#),
        Response::new(200).body(r#"{"MessageId":"m-0","MD5OfMessageAttributes":"d41d8cd98f00b204e9800998ecf8427e"}"#),
        Response::new(302),
        Response::new(400).body(r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}"#),
        Response::new(500),
    ];
    for (way, reply) in GATEWAYS.into_iter().flat_map(|way| replies.clone().map(|reply| (way, reply))) {
        let mut host = gateway(way);
        let (exchange, callout) = held(&mut host, &webhook("{}"));
        host.respond(callout.token, reply.clone()).unwrap();
        host.advance(LONG).unwrap();
        let answer = answer(&mut host, &exchange);
        assert_eq!(answer.status, 503, "{way:?} {reply:?}");
        assert_eq!(answer.headers.text("retry-after").unwrap(), "5");
        host.advance(IDLE_TICK).unwrap();
        assert_eq!(count(&host, Metric::CapturesRefusedUnstored), 1);
        let lines = logged(&mut host, LogLevel::Error);
        assert!(lines.len() == 1 && lines[0].contains("cannot be stored and are answered 503"), "{lines:?}");
    }
}

#[test]
fn a_message_above_the_limit_of_its_queue_is_413_at_once() {
    for way in GATEWAYS {
        let mut host = gateway(way);
        let (exchange, callout) = held(&mut host, &webhook("{}"));
        let reason = "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.";
        let body = format!(r#"{{"__type":"com.amazonaws.sqs#InvalidParameterValueException","message":"{reason}"}}"#);
        host.respond(callout.token, Response::new(400).body(body)).unwrap();
        assert_eq!(answer(&mut host, &exchange).status, 413, "{way:?}");
        host.advance(IDLE_TICK).unwrap();
        assert_eq!(count(&host, Metric::CapturesRefusedTooLarge), 1);
    }
}

#[test]
fn no_kind_of_failure_is_a_success() {
    let kinds = [
        FailureKind::Refused,
        FailureKind::Timeout,
        FailureKind::Resolver,
        FailureKind::TlsHandshake,
        FailureKind::ClosedWithoutReply,
        FailureKind::CutInBody { declared: 500 },
        FailureKind::NotHttp,
        FailureKind::Reset,
    ];
    for (way, kind) in GATEWAYS.into_iter().flat_map(|way| kinds.map(|kind| (way, kind))) {
        let mut host = gateway(way);
        let (exchange, callout) = held(&mut host, &webhook("{}"));
        host.fail(callout.token, kind).unwrap();
        host.advance(LONG).unwrap();
        let answer = answer(&mut host, &exchange);
        assert_eq!((answer.status, host.violations()), (503, &[][..]), "{way:?} {kind:?}");
    }
}

#[test]
fn on_envoy_a_failure_that_passes_is_not_seen_by_the_sender() {
    let mut host = gateway(Way::HttpFilter);
    let (exchange, mut callout) = held(&mut host, &webhook("{}"));
    let first = callout.body.clone();
    for reply in [Response::new(500), Response::new(503)] {
        host.respond(callout.token, reply).unwrap();
        assert_eq!(host.take_callouts(), [], "not at once");
        host.advance(Duration::from_millis(300)).unwrap();
        callout = host.take_callouts().remove(0);
        assert_eq!(callout.body, first, "the same message, with the same id");
    }
    assert!(callout.timeout < Duration::from_millis(2_500), "what is left of the sender's patience");
    host.respond(callout.token, stored()).unwrap();
    assert_eq!(answer(&mut host, &exchange).status, 200);
    host.advance(IDLE_TICK).unwrap();
    assert_eq!((count(&host, Metric::CapturesRetried), count(&host, Metric::CapturesStored)), (2, 1));
}

#[test]
fn on_kong_there_is_one_try_and_the_request_goes_nowhere_else() {
    let mut host = gateway(Way::Kong);
    let (exchange, callout) = held(&mut host, &webhook("{}"));
    host.respond(callout.token, Response::new(500)).unwrap();
    assert_eq!(answer(&mut host, &exchange).status, 503);
    assert_eq!((host.take_callouts(), host.dead()), (vec![], None));
}

#[test]
fn on_kong_many_at_once_have_a_call_each() {
    let mut host = gateway(Way::Kong);
    let waiting: Vec<_> = (0..50).map(|_| held(&mut host, &webhook("{}"))).collect();
    for (exchange, callout) in waiting.iter().rev() {
        host.respond(callout.token, stored()).unwrap();
        assert_eq!(answer(&mut host, exchange).status, 200);
    }
    assert_eq!(host.violations(), []);
}

#[test]
fn the_body_may_come_in_pieces_or_not_at_all() {
    for way in GATEWAYS {
        let mut host = gateway(way);
        let spec = |pieces: &[&str]| {
            let spec = ExchangeSpec::new("POST", "/webhook").request_header("Transfer-Encoding", "chunked");
            spec.request_chunks(pieces)
        };
        let (_, callout) = held(&mut host, &spec(&["[1,", " 2", "]"]));
        assert!(fields(&callout)["MessageBody"].as_str().unwrap().contains(r#""body":[1, 2],"#), "{way:?}");
        let (_, callout) = held(&mut host, &webhook(""));
        assert_eq!(message(&callout)["body"], "", "{way:?}");
        let (_, callout) = held(&mut host, &ExchangeSpec::new("POST", "/webhook"));
        assert_eq!(message(&callout)["body"], "", "{way:?}");
    }
}

#[test]
fn on_kong_a_body_that_turns_out_to_be_empty_is_at_least_no_success() {
    // nginx calls nobody for it, and the request goes on.
    let mut host = gateway(Way::Kong);
    let spec = ExchangeSpec::new("POST", "/webhook").request_header("Transfer-Encoding", "chunked").status(201);
    let exchange = host.exchange(&spec).unwrap();
    assert_eq!((exchange.local, exchange.status), (false, 503));
}

#[test]
fn a_body_in_a_file_is_never_stored_empty() {
    let mut host = gateway(Way::Kong);
    let answer = refused(&mut host, &webhook(&"x".repeat(20_000)).spilled_to_disk());
    assert_eq!(answer.status, 503);
    host.advance(IDLE_TICK).unwrap();
    let lines = logged(&mut host, LogLevel::Error);
    assert!(lines.len() == 1 && lines[0].contains("nginx_http_client_body_buffer_size"), "{lines:?}");
    refused(&mut host, &webhook(&"x".repeat(20_000)).spilled_to_disk());
    host.advance(IDLE_TICK).unwrap();
    assert_eq!(count(&host, Metric::CapturesRefusedUnreadable), 2);
    assert_eq!(logged(&mut host, LogLevel::Error), Vec::<String>::new(), "it is told of once");
}

#[test]
fn a_body_in_a_file_is_too_large_where_it_is() {
    let mut host = start(Way::Kong, &capturing(json!({"max_body_bytes": 20_000}), json!({})));
    let unannounced = |bytes: usize| {
        let spec = ExchangeSpec::new("POST", "/webhook").request_header("Transfer-Encoding", "chunked");
        spec.request_body("x".repeat(bytes)).spilled_to_disk()
    };
    assert_eq!(refused(&mut host, &unannounced(20_001)).status, 413, "a sender's retry would end in the same way");
    assert_eq!(logged(&mut host, LogLevel::Error), Vec::<String>::new(), "no setting of nginx mends that");
    assert_eq!(refused(&mut host, &unannounced(20_000)).status, 503);
    host.advance(IDLE_TICK).unwrap();
    assert_eq!(count(&host, Metric::CapturesRefusedTooLarge), 1);
    assert_eq!(count(&host, Metric::CapturesRefusedUnreadable), 1);
}

#[test]
fn what_is_too_large_is_refused() {
    for way in GATEWAYS {
        let mut host = start(way, &capturing(json!({"max_body_bytes": 10}), json!({})));
        assert_eq!(refused(&mut host, &webhook("[1, 2, 3, 4]")).status, 413, "{way:?}");
        let unannounced = ExchangeSpec::new("POST", "/webhook").request_header("Transfer-Encoding", "chunked");
        assert_eq!(refused(&mut host, &unannounced.request_chunks(["123456", "789012", "3"])).status, 413, "{way:?}");
        let mut host = start(way, &capturing(json!({"max_body_bytes": 1_048_576}), json!({})));
        let binary = ExchangeSpec::new("POST", "/webhook").request_body([vec![0xff; 800_000]].concat());
        let binary = binary.request_header("Content-Length", "800000");
        assert_eq!(refused(&mut host, &binary).status, 413, "base64 makes it larger than SQS takes, {way:?}");
    }
}

#[test]
fn what_cannot_be_verified_is_marked_or_rejected() {
    for (way, on_failure) in GATEWAYS.into_iter().flat_map(|way| ["mark", "reject"].map(|what| (way, what))) {
        let verify = json!({"scheme": "github", "secrets": ["It's a Secret to Everybody"], "on_failure": on_failure});
        let mut host =
            start(way, &capturing(json!({"verify": verify}), json!({"redact": {"headers": ["x-hub-signature-256"]}})));
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signed = |body: &str| webhook(body).request_header("X-Hub-Signature-256", signature);
        let (_, callout) = held(&mut host, &signed("Hello, World!"));
        assert_eq!(message(&callout)["verified"], true);
        assert_eq!(message(&callout)["headers"]["x-hub-signature-256"], signature, "to check it again");
        if on_failure == "reject" {
            assert_eq!(refused(&mut host, &signed("Hello, World?")).status, 401);
            continue;
        }
        let (_, callout) = held(&mut host, &signed("Hello, World?"));
        assert_eq!(message(&callout)["verify_error"], "no signature matches");
        assert_eq!(fields(&callout)["MessageAttributes"]["verified"]["StringValue"], "false");
    }
}

#[test]
fn a_fifo_queue_gets_group_and_deduplication_id() {
    let queue = json!({"queue_url": format!("{QUEUE}.fifo"), "message_group_id": "${request.headers.x-account}"});
    for way in GATEWAYS {
        let mut host = start(way, &capturing(queue.clone(), json!({})));
        let spec = webhook("{}").request_header("Webhook-Id", "w-1");
        let (_, callout) = held(&mut host, &spec.clone().request_header("X-Account", "a 7"));
        let body = fields(&callout);
        assert_eq!(
            (&body["MessageGroupId"], &body["MessageDeduplicationId"]),
            (&json!("a_7"), &message(&callout)["id"])
        );
        assert_eq!(message(&callout)["sender_id"], "w-1");
        let (_, callout) = held(&mut host, &spec);
        assert_eq!(fields(&callout)["MessageGroupId"], message(&callout)["id"], "a group of its own");
    }
}

#[test]
fn so_many_are_stored_at_once_and_those_who_hang_up_free_their_places() {
    for way in GATEWAYS {
        let mut host = start(way, &capturing(json!({}), json!({"max_captures": 2})));
        let (first, lost) = held(&mut host, &webhook("{}"));
        let (second, callout) = held(&mut host, &webhook("{}"));
        let busy = refused(&mut host, &webhook("{}"));
        assert_eq!((busy.status, busy.headers.text("retry-after").unwrap().as_str()), (503, "5"));
        host.abandon_exchange(first.stream).unwrap();
        if way == Way::Kong {
            refused(&mut host, &webhook("{}"));
        }
        // On Envoy it comes to nobody; Kong learns with it that the sender is gone.
        host.respond(lost.token, stored()).unwrap();
        held(&mut host, &webhook("{}"));
        host.respond(callout.token, stored()).unwrap();
        assert_eq!(answer(&mut host, &second).status, 200);
        host.advance(IDLE_TICK).unwrap();
        let counts = [Metric::CapturesRefusedBusy, Metric::CapturesAbandoned, Metric::CapturesStored];
        let expected = if way == Way::Kong { [2, 0, 2] } else { [1, 1, 1] };
        assert_eq!(counts.map(|metric| count(&host, metric)), expected, "{way:?}");
    }
}

#[test]
fn without_credentials_nobody_is_told_that_it_is_stored() {
    for way in GATEWAYS {
        let mut host = start(way, &capturing(json!({}), json!({"credentials": {"source": "instance"}})));
        let exchange = host.exchange(&webhook("{}")).unwrap();
        host.advance(Duration::from_secs(6)).unwrap();
        let answer = if way == Way::Kong { exchange } else { answer(&mut host, &exchange) };
        assert_eq!((answer.status, answer.local), (503, true), "{way:?}");
        assert!(host.take_callouts().iter().all(|callout| callout.upstream != UPSTREAM));
        let lines = logged(&mut host, LogLevel::Error);
        for says in
            ["cannot be stored and are answered 503: NoCredentials", "credentials: there are none, and it will be"]
        {
            assert!(lines.iter().any(|line| line.contains(says)), "{says}: {lines:?}");
        }
    }
}

#[test]
fn without_bodies_of_held_requests_envoy_s_senders_are_sent_away_and_the_log_says_why() {
    let mut host = load(Host::builder(Profile::Envoy).cluster(UPSTREAM));
    host.start_plugin(capturing(json!({}), json!({})).to_string()).unwrap();
    let exchange = host.exchange(&webhook("{}")).unwrap();
    assert_eq!(exchange.paused_at, Some(Callback::RequestHeaders));
    host.advance(Duration::from_secs(6)).unwrap();
    assert_eq!(answer(&mut host, &exchange).status, 408);
    let lines = logged(&mut host, LogLevel::Warn);
    assert!(lines.len() == 1 && lines[0].contains("allow_on_headers_stop_iteration"), "{lines:?}");
}

#[test]
fn an_upstream_that_does_not_exist_is_a_503() {
    let mut host = load(Host::builder(Profile::Envoy).bodies_of_held_requests());
    host.start_plugin(capturing(json!({}), json!({"timeout_ms": 300})).to_string()).unwrap();
    host.advance(IDLE_TICK).unwrap();
    let exchange = host.exchange(&webhook("{}")).unwrap();
    host.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(answer(&mut host, &exchange).status, 503);
    assert!(logged(&mut host, LogLevel::Error)[0].contains(&format!("the host cannot call `{UPSTREAM}`")));
}

#[test]
fn every_counter_of_webhooks_counts_what_it_says() {
    let capture = |verify: Value, more: Value| {
        let mut capture = json!({"max_body_bytes": 20, "verify": {"scheme": "github", "secrets": ["s"]}});
        capture["verify"].as_object_mut().unwrap().extend(verify.as_object().unwrap().clone());
        start(Way::HttpFilter, &capturing(capture, more))
    };
    let mut marking = capture(json!({}), json!({"max_captures": 1}));
    let (exchange, callout) = held(&mut marking, &webhook("{}"));
    refused(&mut marking, &webhook("{}"));
    marking.respond(callout.token, Response::new(500)).unwrap();
    marking.advance(Duration::from_millis(200)).unwrap();
    let callout = marking.take_callouts().remove(0);
    marking.respond(callout.token, stored()).unwrap();
    answer(&mut marking, &exchange);
    let (exchange, callout) = held(&mut marking, &webhook("{}"));
    marking.respond(callout.token, Response::new(404)).unwrap();
    answer(&mut marking, &exchange);
    let (exchange, _) = held(&mut marking, &webhook("{}"));
    marking.abandon_exchange(exchange.stream).unwrap();
    refused(&mut marking, &webhook("123456789012345678901"));
    marking.advance(IDLE_TICK).unwrap();

    let mut rejecting = capture(json!({"on_failure": "reject"}), json!({}));
    refused(&mut rejecting, &webhook("{}"));
    rejecting.advance(IDLE_TICK).unwrap();

    let mut silent = load(Host::builder(Profile::Envoy).cluster(UPSTREAM));
    silent.start_plugin(capturing(json!({}), json!({"timeout_ms": 200})).to_string()).unwrap();
    silent.exchange(&webhook("{}")).unwrap();
    silent.advance(Duration::from_secs(1)).unwrap();

    let mut slow = load(Host::builder(Profile::Envoy).cluster(UPSTREAM));
    slow.start_plugin(capturing(json!({}), json!({"timeout_ms": 60_000})).to_string()).unwrap();
    slow.exchange(&webhook("{}")).unwrap();
    slow.advance(Duration::from_secs(31)).unwrap();

    let mut kong = gateway(Way::Kong);
    refused(&mut kong, &webhook("{}").spilled_to_disk());
    refused(&mut kong, &ExchangeSpec::new("POST", "/webhook/"));
    kong.advance(IDLE_TICK).unwrap();

    let mut large = start(
        Way::HttpFilter,
        &capturing(json!({"max_body_bytes": 1_048_576}), json!({"max_capture_bytes": 2_097_152})),
    );
    let body = "x".repeat(1_000_000);
    held(&mut large, &webhook(&body));
    held(&mut large, &webhook(&body));
    refused(&mut large, &webhook(&body));
    large.advance(IDLE_TICK).unwrap();

    let mut crowded = load(Host::builder(Profile::Envoy).cluster(UPSTREAM));
    crowded.start_plugin(capturing(json!({}), json!({})).to_string()).unwrap();
    for _ in 0..6_000 {
        assert!(crowded.exchange(&webhook("{}")).unwrap().paused_at.is_some());
    }
    refused(&mut crowded, &webhook("{}"));
    crowded.advance(IDLE_TICK).unwrap();

    let when = json!({"request.method": ["GET", "POST"], "request.query.a": "1"});
    let asking = json!([{"when": when, "verified": false, "response": {"status": 204}}]);
    for way in GATEWAYS {
        let mut asked = start(way, &capturing(json!({"challenges": asking.clone()}), json!({})));
        assert_eq!(refused(&mut asked, &webhook("{}")).status, 204);
        assert_eq!(refused(&mut asked, &ExchangeSpec::new("GET", "/webhook?a=1")).status, 204);
        let other = asked.exchange(&ExchangeSpec::new("GET", "/webhook?a=2").status(201)).unwrap();
        assert_eq!(
            (other.status, other.local, asked.violations()),
            (201, false, &[][..]),
            "as if there were no capture"
        );
        asked.advance(IDLE_TICK).unwrap();
        assert_eq!(count(&asked, Metric::CapturesChallenged), 2);
    }
    let mut asked = start(Way::HttpFilter, &capturing(json!({"challenges": asking}), json!({})));
    refused(&mut asked, &webhook("{}"));
    asked.advance(IDLE_TICK).unwrap();

    let cases = [
        (Metric::CapturesChallenged, &asked, 1),
        (Metric::CapturesStored, &marking, 1),
        (Metric::CapturesUnverified, &marking, 3),
        (Metric::CapturesRetried, &marking, 1),
        (Metric::CapturesRefusedUnstored, &marking, 1),
        (Metric::CapturesRefusedBusy, &marking, 1),
        (Metric::CapturesRefusedTooLarge, &marking, 1),
        (Metric::CapturesAbandoned, &marking, 1),
        (Metric::CapturesRefusedUnverified, &rejecting, 1),
        (Metric::CapturesRefusedSilent, &silent, 1),
        (Metric::CapturesRefusedSlow, &slow, 1),
        (Metric::CapturesRefusedNoMemory, &large, 1),
        (Metric::CapturesRefusedCrowded, &crowded, 1),
        (Metric::CapturesRefusedUnreadable, &kong, 1),
        (Metric::CapturesRefusedMisspelled, &kong, 1),
    ];
    for (metric, host, expected) in &cases {
        assert_eq!(count(host, *metric), *expected, "{metric:?}");
    }
    for definition in DEFINITIONS.iter().filter(|definition| definition.name.starts_with("retrohook_captures")) {
        assert!(cases.iter().any(|(metric, ..)| *metric == definition.metric), "{} has no case", definition.name);
    }
    let [millis] = marking.observations(DEFINITIONS[Metric::Capture as usize].name)[..] else { panic!("one") };
    assert!((1..=200).contains(&millis), "{millis}");
}

#[test]
fn routes_go_on_beside_captures() {
    for way in GATEWAYS {
        let capture = capturing(json!({}), json!({}))["capture"].clone();
        let mut host = start(way, &config(json!({"capture": capture})));
        assert!(!host.exchange(&put()).unwrap().local);
        held(&mut host, &webhook("{}"));
        host.advance(Duration::from_millis(200)).unwrap();
        assert_eq!(host.take_callouts()[0].upstream, "sns.us-east-1.amazonaws.com:443", "{way:?}");
    }
}
