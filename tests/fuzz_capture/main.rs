//! Webhooks as nobody would send them, through all that makes messages of them: nothing panics,
//! what a reader unpacks is byte for byte what was received, SQS takes every message, and no
//! signature is good that is not.
//!
//! It goes on for `RETROHOOK_FUZZ_SECONDS`, 20 if that is not set. The reader, the base64 and the
//! signatures here are written apart from those of the crate.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)]

mod bodies;
mod reader;
mod webhook;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use retrohook::agent::Agent;
use retrohook::aws::credentials::keeper;
use retrohook::callout::{Callout, Limits, Reply};
use retrohook::capture::{CaptureId, Size};
use retrohook::config::Config;
use serde_json::{json, Value};

use crate::reader::{depth, is_carried, is_to_be_embedded, members, unpacked};
use crate::webhook::{now, webhook, Scheme, Webhook};

const ID: CaptureId = CaptureId(1);

fn check_message(webhook: &Webhook, headers: &[(String, String)], callout: &Callout) -> Result<Stored, TestCaseError> {
    let fields: Value = serde_json::from_slice(callout.request.body()).unwrap();
    let message = fields["MessageBody"].as_str().unwrap();
    prop_assert!(message.chars().all(is_carried), "SQS would refuse it");
    let members = members(message);
    prop_assert_eq!(unpacked(message, &members), webhook.body.as_slice());
    let embedded = !members["body"].get().starts_with('"');
    prop_assert!(embedded || !is_to_be_embedded(&webhook.body), "it is JSON, and stands as a text");
    prop_assert!(!embedded || depth(members["body"].get()) <= 100, "readers that parse recursively give up on it");
    prop_assert!(!embedded || !members.contains_key("encoding"));
    for name in members.keys() {
        let known = [
            "id",
            "body",
            "encoding",
            "headers",
            "received_at",
            "method",
            "path",
            "query",
            "sender_id",
            "body_sha256",
            "verified",
            "verify_error",
        ];
        prop_assert!(known.contains(&name.as_str()), "{name}");
    }
    let text = |name: &str| serde_json::from_str::<String>(members[name].get()).unwrap();
    let id = text("id");
    for hash in [&id, &text("body_sha256")] {
        prop_assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    }
    let is_of_sender = members.contains_key("sender_id");

    let verified = members.get("verified").map(|verified| verified.get() == "true");
    prop_assert_eq!(verified.is_some(), webhook.scheme != Scheme::None);
    prop_assert_eq!(members.contains_key("verify_error"), verified == Some(false));
    let verified = verified.unwrap_or_default();
    if verified {
        prop_assert!(webhook.is_signed_by(headers) && webhook.is_in_time(), "it is not signed");
    }

    let attributes = fields["MessageAttributes"].as_object().unwrap();
    prop_assert_eq!(&attributes["id"]["StringValue"], &id);
    for (name, attribute) in attributes {
        let value = attribute["StringValue"].as_str().unwrap();
        prop_assert!(!value.is_empty() && value.chars().all(is_carried), "{name}");
    }
    for name in ["MessageGroupId", "MessageDeduplicationId"] {
        prop_assert_eq!(fields.get(name).is_some(), webhook.fifo, "{}", name);
        if let Some(value) = fields.get(name) {
            let value = value.as_str().unwrap();
            prop_assert!((1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
    let seen = match (embedded, members.contains_key("encoding")) {
        (true, _) => Seen::Embedded,
        (_, true) => Seen::Base64,
        _ => Seen::Text,
    };
    Ok(Stored { id, is_of_sender, seen, verified })
}

/// The stored form of a webhook.
struct Stored {
    id: String,
    is_of_sender: bool,
    seen: Seen,
    verified: bool,
}

/// A worker of a gateway that captures it.
fn gateway(webhook: &Webhook) -> Agent {
    let suffix = if webhook.fifo { ".fifo" } else { "" };
    let mut capture = json!({
        "method": "POST",
        "matcher": "^/webhook",
        "queue_url": format!("https://sqs.us-east-1.amazonaws.com/123456789012/webhooks{suffix}"),
        "max_body_bytes": 1_048_576,
    });
    let more = [
        ("verify", webhook.verify()),
        ("message_group_id", webhook.fifo.then(|| json!("${request.headers.x-forwarded-for}"))),
    ];
    for (key, value) in more {
        capture.as_object_mut().unwrap().extend(value.map(|value| (key.to_owned(), value)));
    }
    let config = json!({
        "capture": [capture],
        "credentials": {"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"},
    });
    let config = Config::from_json(config.to_string().as_bytes()).unwrap();
    let limits =
        Limits { at_once: 4, deadline: Duration::from_secs(6), retries_captures: true, silent_sender: "silent" };
    let keeper = keeper(&config.credentials, &|_| None, config.timeout, limits.deadline, 7).unwrap();
    let mut agent = Agent::new(&config, keeper, limits, None, 7);
    assert!(agent.poll(now()).is_none());
    agent
}

/// What is seen of it, to know that all of it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Embedded,
    Text,
    Base64,
    Verified,
    Unverified,
    Rejected,
    TooLarge,
}

fn check(webhook: &Webhook) -> Result<Vec<Seen>, TestCaseError> {
    let headers = webhook.sent_headers();
    let is_good = webhook.is_good();
    let mut agent = gateway(webhook);
    let send = |agent: &mut Agent, headers: &[(String, String)]| {
        let intake = agent.capturing();
        let refused = intake.admit(ID, 0, Size { head: 8, body: Some(webhook.body.len() as u64) }, now());
        let refused = refused.or_else(|| intake.complete(ID, webhook.request(headers), &webhook.body, now()));
        let refused = refused.or_else(|| agent.poll_capture(ID, now()));
        (refused, agent.poll_capture_call(now()))
    };
    let (call, callout) = match send(&mut agent, &headers) {
        (None, Some(call)) => call,
        (Some(answer), _) if answer.status() == 413 => {
            prop_assert!(webhook.body.len() > 100_000, "{} bytes are not too large", webhook.body.len());
            return Ok(vec![Seen::TooLarge]);
        }
        (Some(answer), _) => {
            prop_assert_eq!(answer.status(), 401);
            prop_assert!(webhook.rejects && !is_good);
            return Ok(vec![Seen::Rejected]);
        }
        (None, None) => return Err(TestCaseError::fail("nothing to wait for")),
    };
    let Stored { id, is_of_sender, seen, verified } = check_message(webhook, &headers, &callout)?;
    prop_assert!(!is_good || verified, "a good signature is not taken");

    let reply = Reply::Response(http::Response::new(br#"{"MessageId":"m-1"}"#.to_vec()));
    agent.handle_reply(call, &reply, now());
    let Some(answer) = agent.poll_capture(ID, now()) else { return Err(TestCaseError::fail("no answer")) };
    prop_assert_eq!(answer.status(), 200);
    prop_assert!(agent.is_idle());

    // The sender tries again.
    let again = [headers, vec![("date".to_owned(), "later".to_owned())]].concat();
    let (None, Some((_, callout))) = send(&mut agent, &again) else { return Err(TestCaseError::fail("no call")) };
    let is_same = check_message(webhook, &again, &callout)?.id == id;
    prop_assert_eq!(is_same, is_of_sender && !webhook.is_garbled(), "one id for all tries, if the sender gives one");

    Ok(vec![seen, if verified { Seen::Verified } else { Seen::Unverified }])
}

fn fuzz<T: Debug>(strategy: &impl Strategy<Value = T>, check: impl Fn(T) -> Result<(), TestCaseError>) -> u32 {
    let seconds = std::env::var("RETROHOOK_FUZZ_SECONDS").map_or(20, |text| text.parse().expect("whole seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let config = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    let mut cases = 0;
    while cases == 0 || Instant::now() < end {
        // Each with a seed of its own.
        TestRunner::new(config.clone()).run(strategy, &check).unwrap_or_else(|failure| panic!("{failure}"));
        cases += config.cases;
    }
    cases
}

#[test]
fn what_a_reader_unpacks_is_what_was_received_and_no_signature_is_good_by_chance() {
    let seen = std::cell::RefCell::new(BTreeMap::<Seen, usize>::new());
    let cases = fuzz(&webhook(), |webhook| {
        for each in check(&webhook)? {
            *seen.borrow_mut().entry(each).or_default() += 1;
        }
        Ok(())
    });
    let seen = seen.into_inner();
    println!("{cases} webhooks: {seen:?}");
    let usual = [Seen::Embedded, Seen::Text, Seen::Base64, Seen::Verified, Seen::Unverified, Seen::Rejected];
    assert!(cases < 1_000 || usual.iter().all(|each| seen.contains_key(each)), "not all was tried: {seen:?}");
}
