//! Webhooks that go to a topic or an event bus: as for a queue, none is answered 2xx that the
//! service has not said to have.

use proxy_wasm_test_host::{Callout, Exchanged, FailureKind, Host, Response};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::event_bus;
use crate::support::sns::{self, Entry, Fate};
use crate::support::sqs;
use crate::support::webhooks::{answer, capturing, held, refused, webhook, QUEUE, UPSTREAM};
use crate::support::{answer_every_try, count, load, Way, GATEWAYS, IDLE_TICK, LONG};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:webhooks";
const TOPIC_UPSTREAM: &str = "sns.us-east-1.amazonaws.com:443";
const BUS: &str = "arn:aws:events:us-east-1:123456789012:event-bus/webhooks";
const BUS_UPSTREAM: &str = "events.us-east-1.amazonaws.com:443";

fn gateway(way: Way, capture: Value) -> Host {
    let mut without_queue = json!({"queue_url": Value::Null});
    without_queue.as_object_mut().unwrap().extend(capture.as_object().unwrap().clone());
    let clusters = way.builder().cluster(UPSTREAM).cluster(TOPIC_UPSTREAM).cluster(BUS_UPSTREAM);
    let mut host = load(clusters.bodies_of_held_requests());
    host.start_plugin(capturing(without_queue, json!({})).to_string()).unwrap();
    host.advance(IDLE_TICK).unwrap();
    host
}

/// What a webhook becomes on its way to a target: its entry at SNS or SQS, or as one of those.
fn entries(callout: &Callout) -> Vec<Value> {
    let of_entry = |entry: Entry| entry.message;
    match callout.upstream.as_str() {
        TOPIC_UPSTREAM => sns::entries(callout).into_iter().map(of_entry).collect(),
        BUS_UPSTREAM => event_bus::entries(callout).into_iter().map(|put| put.detail).collect(),
        _ => sqs::messages(callout).1.into_iter().map(of_entry).collect(),
    }
}

fn reply(callout: &Callout, fates: &[Fate]) -> Response {
    match callout.upstream.as_str() {
        TOPIC_UPSTREAM => sns::reply(callout, fates),
        BUS_UPSTREAM => event_bus::reply(fates),
        _ => sqs::reply(callout, fates),
    }
}

fn accept(callout: &Callout) -> Response {
    reply(callout, &vec![Fate::Delivered; entries(callout).len()])
}

#[test]
fn a_webhook_is_answered_when_its_topic_or_its_bus_has_it() {
    for (way, target) in GATEWAYS.into_iter().flat_map(|way| [(way, "topic_arn"), (way, "event_bus")]) {
        let arn = if target == "topic_arn" { TOPIC } else { BUS };
        let mut host = gateway(way, json!({target: arn, "name": "orders"}));
        let spec = webhook("{\"n\": 1.0}").request_header("x-github-delivery", "d-1");
        let (exchange, callout) = held(&mut host, &spec);
        let message = &entries(&callout)[0];
        assert_eq!((&message["body"], &message["path"]), (&json!({"n": 1.0}), &json!("/webhook")), "{way:?}");
        if target == "topic_arn" {
            let [entry] = &sns::entries(&callout)[..] else { panic!("one entry") };
            assert_eq!((entry.attribute("capture"), entry.attribute("event_type")), (Some(("String", "orders")), None));
            assert_eq!((&entry.subject, &entry.group_id, &entry.deduplication_id), (&None, &None, &None));
            assert!(sns::fields(&callout)["Message"].contains(r#","body":{"n": 1.0},"headers":{"#));
        } else {
            let [put] = &event_bus::entries(&callout)[..] else { panic!("one entry") };
            assert_eq!(
                (put.bus.as_str(), put.source.as_str(), put.detail_type.as_str()),
                (BUS, "retrohook", "webhook")
            );
            let attributes = &put.detail["attributes"];
            assert_eq!((&attributes["source"], &attributes["sender_id"]), (&json!("github"), &json!("d-1")));
            assert!(put.time > 1_767_268_800.0);
        }
        host.respond(callout.token, accept(&callout)).unwrap();
        let answer = answer(&mut host, &exchange);
        assert_eq!(answer.status, 200);
        let id = answer.headers.text("x-retrohook-message-id").unwrap();
        assert_eq!(id, if target == "topic_arn" { "m-0" } else { "e-0" });
        host.advance(IDLE_TICK).unwrap();
        assert_eq!((count(&host, Metric::CapturesStored), host.violations()), (1, &[][..]));
    }
}

#[test]
fn nothing_but_the_word_of_the_service_makes_it_a_success() {
    let published = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
    let of_topic = [
        Response::new(200),
        Response::new(200).body("<html>Sign in</html>"),
        Response::new(200).body(published.replace("</PublishResponse>", "")),
        Response::new(200).body(published.replace("<MessageId>m</MessageId>", "<MessageId/>")),
        Response::new(200).body(published.replace("Publish", "Subscribe")),
        Response::new(200).body(sns::batch_reply(&[Fate::Delivered])),
        Response::new(200).body(r#"{"__type":"com.amazonaws.sns#NotFoundException"}"#),
        Response::new(202).body(published),
        Response::new(206).body(published),
        Response::new(302).body(published),
        sns::refusal(200, "InternalError"),
        sns::refusal(404, "NotFound"),
        sns::refusal(403, "AuthorizationError"),
        Response::new(500),
    ];
    let put = r#"{"FailedEntryCount":0,"Entries":[{"EventId":"e"}]}"#;
    let of_bus = [
        Response::new(200),
        Response::new(200).body("{}"),
        Response::new(200).body(r#"{"FailedEntryCount":0,"Entries":[]}"#),
        Response::new(200).body(r#"{"FailedEntryCount":0,"Entries":[{}]}"#),
        Response::new(200).body(r#"{"FailedEntryCount":0,"Entries":[{"EventId":""}]}"#),
        Response::new(200).body(r#"{"FailedEntryCount":0,"Entries":[{"EventId":"e"},{"EventId":"f"}]}"#),
        Response::new(200).body(put.replace("0,", "1,")),
        Response::new(200).body(r#"{"Entries":[{"EventId":"e"}]}"#),
        Response::new(200).body(r#"{"FailedEntryCount":1,"Entries":[{"EventId":"e","ErrorCode":"InternalFailure"}]}"#),
        Response::new(200).body(r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"MalformedDetail"}]}"#),
        Response::new(200).body(put.strip_suffix('}').unwrap()),
        Response::new(200).body(put.replace('{', r#"{"__type":"com.amazonaws.events#InternalException","#)),
        Response::new(201).body(put),
        Response::new(400).body(r#"{"__type":"com.amazonaws.events#AccessDeniedException"}"#),
        Response::new(500),
    ];
    let (topic, bus) = (json!({"topic_arn": TOPIC}), json!({"event_bus": BUS}));
    let all = of_topic.into_iter().map(|reply| (&topic, reply)).chain(of_bus.into_iter().map(|reply| (&bus, reply)));
    for ((target, reply), way) in all.flat_map(|case| GATEWAYS.map(|way| (case.clone(), way))) {
        let mut host = gateway(way, target.clone());
        let (exchange, callout) = held(&mut host, &webhook("{}"));
        host.respond(callout.token, reply.clone()).unwrap();
        answer_every_try(&mut host, &reply);
        let answer = answer(&mut host, &exchange);
        assert_eq!(
            (answer.status, answer.headers.text("retry-after").unwrap()),
            (503, "5".into()),
            "{way:?} {reply:?}"
        );
        host.advance(IDLE_TICK).unwrap();
        assert_eq!((count(&host, Metric::CapturesRefusedUnstored), count(&host, Metric::CapturesStored)), (1, 0));
    }
}

#[test]
fn a_target_that_is_not_there_is_a_503() {
    for (target, kind) in [
        (json!({"topic_arn": TOPIC}), FailureKind::Refused),
        (json!({"event_bus": BUS}), FailureKind::Timeout),
        (json!({"topic_arn": TOPIC}), FailureKind::CutInBody { declared: 500 }),
        (json!({"event_bus": BUS}), FailureKind::Reset),
    ] {
        for way in GATEWAYS {
            let mut host = gateway(way, target.clone());
            let (exchange, callout) = held(&mut host, &webhook("{}"));
            host.fail(callout.token, kind).unwrap();
            host.advance(LONG).unwrap();
            assert_eq!((answer(&mut host, &exchange).status, host.violations()), (503, &[][..]), "{way:?} {kind:?}");
        }
    }
    let mut host = gateway(Way::HttpFilter, json!({"topic_arn": TOPIC, "upstream": "nowhere"}));
    let spec = webhook("{}");
    let exchange = host.exchange(&spec).unwrap();
    host.advance(LONG).unwrap();
    let status = host.take_finished(exchange.stream).map_or(exchange.status, |finished| finished.status);
    assert_eq!(status, 503, "a cluster that nobody has configured");
}

#[test]
fn what_is_above_the_limit_of_its_service_is_413_before_it_is_sent() {
    let large = webhook(&"x".repeat(262_000));
    for (target, takes) in
        [(json!({"queue_url": QUEUE}), true), (json!({"topic_arn": TOPIC}), false), (json!({"event_bus": BUS}), true)]
    {
        for way in GATEWAYS {
            let mut host = gateway(way, target.clone());
            if takes {
                held(&mut host, &large);
                continue;
            }
            let exchange =
                if way == Way::HttpFilter { refused(&mut host, &large) } else { host.exchange(&large).unwrap() };
            assert_eq!(exchange.status, 413, "{way:?} {target}");
            assert_eq!(host.take_callouts(), []);
            host.advance(IDLE_TICK).unwrap();
            assert_eq!(count(&host, Metric::CapturesRefusedTooLarge), 1);
        }
    }
}

#[test]
fn a_fifo_topic_gets_group_and_deduplication_id_and_what_is_unverified_goes_elsewhere() {
    let verify = json!({"scheme": "token", "header": "x-token", "secrets": ["s3cret"]});
    let capture = json!({
        "topic_arn": format!("{TOPIC}.fifo"), "message_group_id": "${request.headers.x-shop}", "verify": verify,
        "unverified": {"event_bus": BUS},
    });
    for way in GATEWAYS {
        let mut host = gateway(way, capture.clone());
        let spec = webhook("{}").request_header("x-shop", "a b").request_header("idempotency-key", "7");
        let (exchange, callout) = held(&mut host, &spec.clone().request_header("x-token", "s3cret"));
        let [entry] = &sns::entries(&callout)[..] else { panic!("one entry") };
        assert_eq!(entry.group_id.as_deref(), Some("a_b"));
        assert_eq!(entry.deduplication_id.as_deref(), entry.message["id"].as_str());
        assert_eq!(entry.message["verified"], true);
        host.respond(callout.token, accept(&callout)).unwrap();
        assert_eq!(answer(&mut host, &exchange).status, 200, "{way:?}");

        let (exchange, callout) = held(&mut host, &spec);
        let [put] = &event_bus::entries(&callout)[..] else { panic!("one entry") };
        assert_eq!(put.detail["attributes"]["verified"], "false");
        host.respond(callout.token, accept(&callout)).unwrap();
        assert_eq!(answer(&mut host, &exchange).status, 200, "{way:?}");
    }
}

/// A gateway that has four calls under way, and the call of the ten webhooks of the numbers 4 to
/// 13.
fn ten(target: Value) -> (Host, Vec<Exchanged>, Callout) {
    let mut host = gateway(Way::HttpFilter, target);
    let come = |number: usize| host.exchange(&webhook(&json!([number]).to_string())).unwrap();
    let mut exchanges: Vec<_> = (0..14).map(come).collect();
    let mut callouts = host.take_callouts();
    assert_eq!(callouts.iter().map(|callout| entries(callout).len()).collect::<Vec<_>>(), [1, 1, 1, 1, 10]);
    let ten = callouts.pop().unwrap();
    let numbers: Vec<_> = entries(&ten).iter().map(|message| message["body"][0].as_u64().unwrap()).collect();
    assert_eq!(numbers, (4..14).collect::<Vec<_>>(), "in the order in which they came");
    (host, exchanges.split_off(4), ten)
}

fn statuses(host: &mut Host, exchanges: &[Exchanged]) -> Vec<u16> {
    exchanges.iter().map(|exchange| host.take_finished(exchange.stream).map_or(0, |finished| finished.status)).collect()
}

#[test]
fn ten_that_share_a_call_have_their_own_answers() {
    for target in [json!({"topic_arn": TOPIC}), json!({"event_bus": BUS})] {
        let (mut host, exchanges, callout) = ten(target.clone());
        let mut fates = vec![Fate::Delivered; 10];
        fates[2] = Fate::Failed("InternalFailure", false);
        fates[5] = Fate::Unmentioned;
        fates[7] = Fate::Failed("AccessDenied", true);
        host.respond(callout.token, reply(&callout, &fates)).unwrap();
        if target.get("event_bus").is_some() {
            // An entry of `PutEvents` is known by its place, so that one without a word has failed:
            // the count of the stand-in has it, too.
            assert_eq!(callout.header("x-amz-target").as_deref(), Some("AWSEvents.PutEvents"));
        } else {
            assert_eq!(sns::action(&callout), "PublishBatch");
        }
        assert_eq!(statuses(&mut host, &exchanges), [200, 200, 0, 200, 200, 0, 200, 503, 200, 200], "{target}");
        host.advance(IDLE_TICK * 6).unwrap();
        let again = host.take_callouts();
        let mut tried: Vec<_> = again.iter().map(|callout| entries(callout)[0]["body"][0].clone()).collect();
        tried.sort_by_key(Value::as_u64);
        assert_eq!(tried, [6, 9], "alone");
        for callout in again {
            host.respond(callout.token, accept(&callout)).unwrap();
        }
        assert_eq!(statuses(&mut host, &exchanges), [0, 0, 200, 0, 0, 200, 0, 0, 0, 0]);
        assert_eq!(host.violations(), []);
    }
}

#[test]
fn a_reply_that_is_not_to_this_very_batch_answers_nobody() {
    let member = |id: &str| sns::member(id, Fate::Delivered);
    let members = |count: usize| (0..count).map(|id| member(&id.to_string())).collect::<String>();
    let of_topic = [
        sns::batch_reply_of(&(members(10) + &member("10")), ""),
        sns::batch_reply_of(&(members(10) + &members(10)), ""),
        sns::batch_reply_of(&members(10), &members(10)),
        "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>".to_owned(),
        sns::batch_reply_of(&members(10), "").replace("</PublishBatchResponse>", ""),
    ];
    let put = |count: usize, failed: usize| {
        json!({"FailedEntryCount": failed, "Entries": vec![json!({"EventId": "e"}); count]}).to_string()
    };
    let of_bus = [put(9, 0), put(11, 0), put(10, 1), put(1, 0)];
    let all = of_topic.into_iter().map(|reply| (json!({"topic_arn": TOPIC}), reply));
    for (target, body) in all.chain(of_bus.into_iter().map(|reply| (json!({"event_bus": BUS}), reply))) {
        let (mut host, exchanges, callout) = ten(target);
        host.respond(callout.token, Response::new(200).body(body.clone())).unwrap();
        assert_eq!(statuses(&mut host, &exchanges), [0; 10], "{body}");
        answer_every_try(&mut host, &Response::new(500));
        assert_eq!(statuses(&mut host, &exchanges), [503; 10], "{body}");
    }
}
