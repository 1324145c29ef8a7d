//! Ids of deliveries: of requests that look alike, which are one delivery and which are several.

mod tries;

use std::collections::BTreeSet;

use base64_simd::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;
use crate::capture::attempts::Attempts;
use crate::capture::delivery_id::Nonce;
use crate::capture::storing::storing;
use crate::exchange::redact::{Redact, Redaction};

const WHSEC: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECRET: &str = "It's a Secret to Everybody";

/// A request: target, headers and body.
#[derive(Clone, Debug)]
struct Sent(String, Vec<(&'static str, String)>, String);

fn sent<const COUNT: usize>(target: &str, headers: [(&'static str, &str); COUNT], body: &str) -> Sent {
    Sent(target.to_owned(), headers.map(|(name, value)| (name, value.to_owned())).into(), body.to_owned())
}

impl Sent {
    fn and(mut self, name: &'static str, value: &str) -> Sent {
        self.1.push((name, value.to_owned()));
        self
    }

    fn before(mut self, name: &'static str, value: &str) -> Sent {
        self.1.insert(0, (name, value.to_owned()));
        self
    }
}

/// What is stored of one request.
#[derive(Debug)]
struct Stored {
    message: Value,
    attributes: Vec<(String, String)>,
    queue: String,
    group: Option<String>,
    deduplication: Option<String>,
}

impl Stored {
    fn id(&self) -> String {
        self.message["id"].as_str().unwrap().to_owned()
    }

    fn sender_id(&self) -> Option<&str> {
        self.message["sender_id"].as_str()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

fn fifo(capture: &Value) -> Value {
    let mut capture = capture.clone();
    capture["queue_url"] = json!("https://sqs.us-east-1.amazonaws.com/123456789012/webhooks.fifo");
    capture["message_group_id"] = json!("orders");
    capture
}

/// Stores requests one after the other, as a worker does whose random numbers begin at `seed`.
fn stored_by(seed: u64, capture: &Value, requests: &[Sent]) -> Vec<Stored> {
    let mut entry = json!({
        "method": "POST", "matcher": "/webhook", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
    });
    entry.as_object_mut().unwrap().extend(capture.as_object().unwrap().clone());
    let config = Config::from_json(json!({"capture": [entry]}).to_string().as_bytes()).unwrap();
    let capture = &config.captures.all[0];
    let redaction =
        Redaction::new(Redact { headers: vec!["x-hidden".into()], query: vec!["token".into()], ..Redact::default() });
    let mut rng = fastrand::Rng::with_seed(seed);
    let store = |Sent(target, headers, body): &Sent| {
        let request = ClientRequest {
            method: "POST".into(),
            target: target.as_str().into(),
            headers: Headers(headers.iter().map(|(name, value)| ((*name).into(), value.as_str().into())).collect()),
            body: body.as_bytes().into(),
            ..ClientRequest::default()
        };
        let attempts = Attempts::new(Duration::from_secs(5), true, config.retry, NOW);
        let nonce = Nonce { random: rng.u128(..), at: NOW };
        let verify = capture.verify.as_ref();
        let checked = verify.map(|verify| verify.check(&request, NOW));
        let storing =
            storing(capture, &redaction, request, body.as_bytes(), checked.as_ref(), attempts, nonce).unwrap();
        let protocol = &capture.target(storing.unverified).protocol;
        let sent: Value = serde_json::from_slice(&protocol.body(&[&storing.event])).unwrap();
        let sent = |name: &str| sent.get(name).map(|value| value.as_str().unwrap().to_owned());
        Stored {
            message: serde_json::from_str(&storing.event.message).unwrap(),
            queue: protocol.name().to_owned(),
            group: sent("MessageGroupId"),
            deduplication: sent("MessageDeduplicationId"),
            attributes: storing
                .event
                .attributes
                .into_iter()
                .map(|attribute| (attribute.name.into_owned(), attribute.value))
                .collect(),
        }
    };
    requests.iter().map(store).collect()
}

fn stored(capture: &Value, requests: &[Sent]) -> Vec<Stored> {
    stored_by(7, capture, requests)
}

fn count<T: Ord>(values: impl IntoIterator<Item = T>) -> usize {
    values.into_iter().collect::<BTreeSet<T>>().len()
}

/// Checks that requests are as many deliveries as there are, each of which is the same when it is
/// tried again, on a standard queue and on a FIFO queue.
fn are_different(capture: &Value, requests: &[Sent]) {
    for capture in [capture.clone(), fifo(capture)] {
        let (first, again) = (stored_by(1, &capture, requests), stored_by(2, &capture, requests));
        assert_eq!(count(first.iter().map(Stored::id)), requests.len(), "{requests:#?}");
        for (first, again) in first.iter().zip(&again) {
            assert_eq!(first.id(), again.id(), "a true retry is one");
            assert_eq!(first.deduplication, again.deduplication);
            assert!(first.deduplication.as_ref().is_none_or(|id| *id == first.id() && id.len() == 64));
        }
    }
}

fn hex_of(secret: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

fn by_github(target: &str, delivery: &str, body: &str) -> Sent {
    let signature = format!("sha256={}", hex::encode(hex_of(SECRET.as_bytes(), &[body])));
    sent(target, [("x-github-delivery", delivery), ("x-hub-signature-256", &signature)], body)
}

fn by_stripe(target: &str, body: &str) -> Sent {
    let time = (NOW.0 / 1_000).to_string();
    let signature = hex::encode(hex_of(SECRET.as_bytes(), &[&time, ".", body]));
    sent(target, [("stripe-signature", &*format!("t={time},v1={signature}"))], body)
}

fn by_svix(target: &str, id: &str, body: &str) -> Sent {
    let time = (NOW.0 / 1_000).to_string();
    let secret = STANDARD.decode_to_vec(WHSEC).unwrap();
    let signature = format!("v1,{}", STANDARD.encode_to_string(hex_of(&secret, &[id, ".", &time, ".", body])));
    sent(target, [("svix-id", id), ("svix-timestamp", &time), ("svix-signature", &signature)], body)
}

fn verify(scheme: &str) -> Value {
    let secret = if scheme == "standard-webhooks" { WHSEC } else { SECRET };
    json!({"verify": {"scheme": scheme, "secrets": [secret]}})
}

#[test]
fn what_shares_an_id_and_is_another_delivery_has_an_id_of_its_own() {
    let event = r#"{"id":"evt_1","object":"event"}"#;
    let long = |end: &str| format!("{}{end}", "x".repeat(10_000));
    let key = |key: &str| sent("/webhook", [("idempotency-key", key)], "{}");
    let cases = [
        (verify("github"), vec![by_github("/webhook", "d-1", "{}"), by_github("/webhook", "d-1", "[]")]),
        (
            verify("github"),
            vec![
                by_github("/webhook", "d-1", "{}").and("x-github-hook-id", "1"),
                by_github("/webhook", "d-1", "{}").and("x-github-hook-id", "2"),
            ],
        ),
        (
            json!({}),
            vec![
                sent("/a/webhook", [("idempotency-key", "7")], "{}"),
                sent("/b/webhook", [("idempotency-key", "7")], "{}"),
                sent("/a/webhook?tenant=b", [("idempotency-key", "7")], "{}"),
                sent("/a/webhook/", [("idempotency-key", "7")], "{}"),
                sent("/a/webhook", [("idempotency-key", "7"), ("host", "b.example.com")], "{}"),
                sent("/a/webhook", [("webhook-id", "7")], "{}"),
                sent("/a/webhook", [("svix-id", "7")], "{}"),
            ],
        ),
        (verify("stripe"), vec![by_stripe("/webhook/a", event), by_stripe("/webhook/b", event)]),
        (verify("standard-webhooks"), vec![by_svix("/webhook/a", "m", "{}"), by_svix("/webhook/b", "m", "{}")]),
        (
            json!({}),
            ["1", "2", "3"]
                .map(|number| sent("/webhook", [("x-goog-channel-id", "c"), ("x-goog-message-number", number)], ""))
                .into(),
        ),
        (
            json!({}),
            [("/s", "1"), ("/s", "2"), ("/t", "1")]
                .map(|(source, id)| sent("/webhook", [("ce-source", source), ("ce-id", id)], r#"{"a":1}"#))
                .into(),
        ),
        (
            json!({}),
            ["/s", "/t"]
                .map(|arn| sent("/webhook", [("x-amz-sns-message-id", "m"), ("x-amz-sns-subscription-arn", arn)], "{}"))
                .into(),
        ),
        // Ids of any length and of any characters, in either case, and in several headers of one
        // name.
        (
            json!({}),
            vec![
                key("7"),
                key("7é"),
                key("7É"),
                key("a"),
                key("A"),
                key(&long("a")),
                key(&long("b")),
                key("7").and("idempotency-key", "8"),
                key("7").and("idempotency-key", "9"),
            ],
        ),
        (
            json!({"id": "${request.headers.a}-${request.headers.b}"}),
            vec![
                sent("/webhook", [("a", "1-2"), ("b", "3")], "{}"),
                sent("/webhook", [("a", "1"), ("b", "2-3")], "{}"),
                sent("/webhook", [("a", "1"), ("b", "2-3")], "[]"),
            ],
        ),
        (
            json!({"id": "body_hash"}),
            vec![sent("/webhook", [], "{}"), sent("/webhook", [], "[]"), sent("/webhook?a", [], "{}")],
        ),
    ];
    for (capture, requests) in cases {
        are_different(&capture, &requests);
    }
}

#[test]
fn without_an_id_every_request_is_a_delivery_of_its_own() {
    let absent = [
        sent("/webhook", [], "{}"),
        sent("/webhook", [("idempotency-key", "")], "{}"),
        sent("/webhook", [("idempotency-key", " , ")], "{}"),
        // Nobody knows what it was.
        sent("/webhook", [("idempotency-key", "7\u{FFFD}")], "{}"),
        sent("/webhook?\u{FFFD}", [("idempotency-key", "7")], "{}"),
        sent("/webhook", [("x-goog-message-number", "7")], ""),
        sent("/webhook", [("ce-id", "7")], "{}"),
        // Only of Stripe is an id in a body an id.
        sent("/webhook", [], r#"{"id":"evt_1"}"#),
        sent("/webhook", [("stripe-signature", "t=1")], r#"{"id":"cus_1"}"#),
        sent("/webhook", [("stripe-signature", "t=1")], r#"{"id":"evt_1","id":"evt_2"}"#),
    ];
    let configured = json!({"id": "acme-${request.headers.x-acme-delivery}"});
    let rejected = sent("/webhook", [("x-acme-delivery", "")], "{}");
    let cases = absent.map(|request| (json!({}), request));
    for (capture, request) in cases.into_iter().chain([(configured, rejected)]) {
        for capture in [capture.clone(), fifo(&capture)] {
            let twice = stored(&capture, &[request.clone(), request.clone()]);
            assert_eq!(count(twice.iter().map(Stored::id)), 2, "{request:?}");
            let is_exact = !request.0.contains('\u{FFFD}');
            assert!(!is_exact || twice.iter().all(|stored| stored.sender_id().is_none()));
            assert!(twice.iter().all(|stored| stored.deduplication.as_ref().is_none_or(|id| *id == stored.id())));
        }
    }
    let twice = [sent("/webhook", [], ""), sent("/webhook", [], "")];
    assert_eq!(count(stored(&json!({"id": "body_hash"}), &twice).iter().map(Stored::id)), 1, "unless asked for");
}

#[test]
fn a_message_shows_the_sender_s_id_its_body_s_hash_and_who_sent_it() {
    let event = r#"{"id":"evt_1","object":"event"}"#;
    let headers = |name, value| sent("/webhook", [(name, value)], "{}");
    for (capture, request, sender_id, source) in [
        (verify("github"), by_github("/webhook", "d-1", "{}"), "d-1", "github"),
        (verify("stripe"), by_stripe("/webhook", event), "evt_1", "stripe"),
        (verify("standard-webhooks"), by_svix("/webhook", "m-1", "{}"), "m-1", "standard-webhooks"),
        (json!({}), by_github("/webhook", "d-1", "{}"), "d-1", "github"),
        (json!({}), by_stripe("/webhook", event), "evt_1", "stripe"),
        (json!({}), by_svix("/webhook", "m-1", "{}"), "m-1", "standard-webhooks"),
        (json!({}), headers("x-shopify-webhook-id", "7"), "7", "shopify"),
        (json!({}), headers("x-gitlab-event-uuid", "7"), "7", "gitlab"),
        (json!({}), headers("i-twilio-idempotency-token", "7"), "7", "twilio"),
        (json!({}), headers("idempotency-key", "7").and("idempotency-key", "8"), "7, 8", "unknown"),
        (json!({}), headers("ce-id", "7").and("ce-source", "/s"), "7", "cloudevents"),
        (json!({"id": "acme:${request.headers.x-a}"}), headers("x-a", "7").and("webhook-id", "8"), "acme:7", "unknown"),
    ] {
        let [stored] = stored(&capture, std::slice::from_ref(&request)).try_into().unwrap();
        assert_eq!(stored.sender_id(), Some(sender_id), "{request:?}");
        let hash = hex::encode(<Sha256 as sha2::Digest>::digest(request.2.as_bytes()));
        assert_eq!(stored.message["body_sha256"], hash);
        let id = stored.id();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(stored.message.get("verified"), capture.get("verify").map(|_| &Value::Bool(true)));
        let shown = ["id", "sender_id", "source", "capture"].map(|name| stored.attribute(name).unwrap());
        assert_eq!(shown, [&id, sender_id, source, "POST /webhook"]);
    }
}

#[test]
fn of_an_id_in_something_confidential_nothing_is_shown() {
    for (id, request) in [
        ("${request.headers.x-hidden}", sent("/webhook", [("x-hidden", "hunter2")], "{}")),
        ("${request.query.token}", sent("/webhook?token=hunter2", [], "{}")),
    ] {
        let capture = json!({"id": id});
        let mut other = request.clone();
        other.0 = other.0.replace("hunter2", "hunter3");
        other.1.iter_mut().for_each(|(_, value)| *value = value.replace("hunter2", "hunter3"));
        let all = stored(&capture, &[request.clone(), request, other]);
        assert_eq!(all[0].id(), all[1].id());
        assert_ne!(all[0].id(), all[2].id());
        assert!(!all[0].message.to_string().contains("hunter2"), "{}", all[0].message);
    }
}

#[test]
fn ids_are_of_one_capture() {
    let request = sent("/webhook", [("idempotency-key", "7")], "{}");
    let id = |capture: Value| stored(&capture, std::slice::from_ref(&request))[0].id();
    let derived = id(json!({}));
    assert_eq!(derived, id(json!({"max_body_bytes": 7, "response": {"status": 202}})), "a reload keeps them");
    assert_eq!(derived, id(json!({"method": ["POST", "POST"]})));
    assert_eq!(id(json!({"method": ["POST", "PUT"]})), id(json!({"method": ["PUT", "POST"]})));
    let others = [
        json!({"name": "orders"}),
        json!({"name": "bills"}),
        json!({"matcher": "^/webhook$"}),
        json!({"method": "*"}),
        json!({"method": ["POST", "PUT"]}),
    ];
    assert_eq!(count(others.map(id).into_iter().chain([derived])), 6);
    let name = json!({"name": "orders"});
    let renamed = json!({"name": "orders", "matcher": "^/web", "method": "*"});
    assert_eq!(id(name), id(renamed), "a name outlives what a capture takes");
}

#[test]
fn verified_is_what_was_signed_under_that_id() {
    let svix = by_svix("/webhook", "msg_1", "{}");
    let capture = verify("standard-webhooks");
    let plain = stored(&capture, std::slice::from_ref(&svix)).remove(0);
    for changed in [
        svix.clone().before("webhook-id", "msg_VICTIM"),
        svix.clone().and("webhook-id", "msg_VICTIM"),
        svix.clone().before("stripe-signature", "t=1,v1=00"),
        svix.clone().before("x-github-delivery", "d-1"),
        svix.clone().before("idempotency-key", "7"),
    ] {
        let stored = stored(&capture, std::slice::from_ref(&changed)).remove(0);
        assert_eq!((stored.id(), stored.sender_id()), (plain.id(), Some("msg_1")), "{changed:?}");
        assert_eq!(stored.message["verified"], true);
    }
    let event = r#"{"id":"evt_1","object":"event"}"#;
    let stripe = by_stripe("/webhook", event);
    let forged = [stripe.clone(), stripe.before("webhook-id", "evt_2").before("idempotency-key", "evt_2")];
    assert_eq!(count(stored(&verify("stripe"), &forged).iter().map(Stored::id)), 1);
}

#[test]
fn nobody_puts_something_else_in_the_place_of_a_webhook_that_is_to_come() {
    let event = r#"{"id":"evt_1","object":"event"}"#;
    let unsigned = |mut request: Sent| {
        request.1.iter_mut().filter(|(name, _)| name.contains("signature")).for_each(|(_, value)| value.push('0'));
        request
    };
    for (scheme, real) in [
        ("github", by_github("/webhook", "d-1", "{}")),
        ("stripe", by_stripe("/webhook", event)),
        ("standard-webhooks", by_svix("/webhook", "m-1", "{}")),
    ] {
        let forged = unsigned(real.clone());
        let capture = fifo(&verify(scheme));
        let [real, forged] = stored(&capture, &[real, forged]).try_into().unwrap();
        assert_eq!((&real.message["verified"], &forged.message["verified"]), (&json!(true), &json!(false)), "{scheme}");
        assert_eq!(real.sender_id(), forged.sender_id(), "it is still what it says it is");
        assert_ne!(real.id(), forged.id());
        assert_ne!(real.deduplication, forged.deduplication);
    }
    // A body that was signed long ago, under the id of a delivery that is to come.
    let replayed = by_github("/webhook", "d-2", "{\"old\":1}");
    let real = by_github("/webhook", "d-2", "{\"new\":1}");
    are_different(&verify("github"), &[replayed, real]);
}

#[test]
fn what_is_not_verified_holds_up_nothing_else() {
    let forged = sent("/webhook", [("x-github-delivery", "d-1")], "{}");
    let requests = [by_github("/webhook", "d-1", "{}"), forged.clone(), forged, sent("/webhook", [], "{}")];
    let in_groups = stored(&fifo(&verify("github")), &requests);
    assert_eq!(in_groups[0].group.as_deref(), Some("orders"));
    assert_eq!(in_groups[1].group, in_groups[2].group, "one id, one group");
    for stored in &in_groups[1..] {
        assert_eq!(stored.group, Some(stored.id()));
        assert!(stored.queue.ends_with("/webhooks.fifo"));
    }

    let elsewhere = |queue: &str| {
        let mut capture = fifo(&verify("github"));
        capture["unverified"] =
            json!({"queue_url": format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{queue}")});
        stored(&capture, &requests)
    };
    let standard = elsewhere("unverified");
    assert!(standard[0].queue.ends_with("/webhooks.fifo") && standard[0].deduplication.is_some());
    assert!(standard[1..].iter().all(|each| each.queue.ends_with("/unverified") && each.deduplication.is_none()));
    let fifo = elsewhere("unverified.fifo");
    assert!(fifo[1..].iter().all(|each| each.deduplication == Some(each.id()) && each.group == Some(each.id())));
}

#[test]
fn a_call_for_what_is_not_verified_is_for_its_queue() {
    let mut entry = verify("github");
    entry["unverified"] = json!({
        "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/unverified", "upstream": "elsewhere",
    });
    let mut agent = agent(entry, json!({}));
    let (call, callout) = named(receive(&mut agent, ID, request(&[]), b"{}", NOW));
    assert_eq!(callout.upstream, "elsewhere");
    let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/unverified";
    assert_eq!(fields(&callout)["QueueUrl"], queue);
    let authorization = callout.request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains("/eu-west-1/sqs/"), "{authorization}");
    agent.handle_reply(call, &response(400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#), NOW);
    assert_eq!(answered(progress(&mut agent, ID, NOW)), 503);
    let lines = agent.take_notices(NOW);
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("capture `POST ^/webhook$`: 1 webhook(s) without a good signature, stored"),
        "{lines:?}"
    );
    assert!(lines[1].contains(queue) && lines[1].contains("correct its name"), "{lines:?}");
}

#[test]
fn the_log_says_what_becomes_of_a_challenge_without_a_good_signature() {
    let body = br#"{"type":"url_verification","challenge":"abc"}"#;
    let mut named = verify("slack");
    named["name"] = json!("orders");
    let mut refused = agent(named, json!({}));
    assert_eq!(answered(receive(&mut refused, ID, request(&[]), body, NOW)), 401);
    let lines = refused.take_notices(NOW);
    let says = "capture `orders`: 1 webhook(s) without a good signature, answered 401: ";
    assert!(lines.len() == 1 && lines[0].text.starts_with(says), "{lines:?}");
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let target = prop::sample::select(vec!["/webhook", "/webhook?", "/webhook?a", "/webhook/"]);
    let header = (
        prop::sample::select(vec![
            "idempotency-key",
            "webhook-id",
            "x-github-delivery",
            "x-github-hook-id",
            "host",
            "date",
        ]),
        prop::sample::select(vec!["", "1", "2", "1, 2", "é"]),
    );
    let headers = prop::collection::vec(header, 0..4);
    (target, headers, prop::sample::select(vec!["", "{}", "1"])).prop_map(|(target, headers, body)| {
        let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        Sent(target.to_owned(), headers, body.to_owned())
    })
}

proptest! {
    #[test]
    fn two_requests_are_one_delivery_only_if_a_retry_could_be_both(first in any_sent(), second in any_sent()) {
        let [one, other] = stored(&json!({}), &[first.clone(), second.clone()]).try_into().unwrap();
        let kept = |Sent(target, headers, body): &Sent| {
            let all = |name: &str| {
                let values = headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.as_str());
                values.collect::<Vec<_>>().join(", ")
            };
            let host = headers.iter().find(|(name, _)| *name == "host").map(|(_, value)| value.clone());
            (target.clone(), body.clone(), host.unwrap_or_default(), all("idempotency-key"), all("webhook-id"), all("x-github-delivery"))
        };
        if one.id() == other.id() {
            prop_assert!(one.sender_id().is_some(), "nothing else is deduplicated");
            prop_assert_eq!(one.sender_id(), other.sender_id());
            let (one, other) = (kept(&first), kept(&second));
            prop_assert_eq!((one.0, one.1, one.2), (other.0, other.1, other.2));
        }
        let [again, retried] = stored_by(9, &json!({}), &[first.clone(), first]).try_into().unwrap();
        prop_assert_eq!(again.id() == retried.id(), again.sender_id().is_some());
        prop_assert_eq!(again.id() == one.id(), again.sender_id().is_some());
    }
}
