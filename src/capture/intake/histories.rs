//! Random histories of an intake: what it counts is what it has, and what is due is found.

use std::collections::BTreeMap;
use std::time::Duration;

use md5::{Digest, Md5};
use proptest::prelude::*;
use serde_json::{json, Value};

use super::*;
use crate::aws::credentials::keeper;
use crate::callout::{Reply, ANSWERS_AT_ONCE};
use crate::clock::testing::ticks;
use crate::config::Config;

const NOW: Timestamp = Timestamp(1_767_268_800_000);
const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
const PATIENCE: Duration = Duration::from_secs(5);

/// An intake with two queues, of which the second has two captures, and what signs for it.
fn intake(at_once: usize, max_bytes: usize) -> (Intake, Signer) {
    let capture = |queue: &str| {
        format!(r#"{{"method": "POST", "matcher": "^/w$", "queue_url": "{QUEUE}{queue}", "max_body_bytes": 100000}}"#)
    };
    let captures = [capture("1"), capture("2"), capture("2")].join(",");
    let credentials = r#"{"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"}"#;
    let config = format!(r#"{{"capture": [{captures}], "credentials": {credentials}}}"#);
    let config = Config::from_json(config.as_bytes()).unwrap();
    let keeper = keeper(&config.credentials, &|_| None, PATIENCE, PATIENCE, 7).unwrap();
    let mut signer = Signer::new(keeper);
    assert!(signer.poll(NOW).is_none() && signer.is_ready(NOW));
    let settings = IntakeSettings { at_once, max_bytes, again: true, silent_sender: "silent", retry: config.retry };
    let redaction = Redaction::new(config.redact.clone());
    (Intake::new(config.captures, redaction, settings, 7), signer)
}

fn request() -> ClientRequest<'static> {
    ClientRequest { method: "POST".into(), target: "/w".into(), ..ClientRequest::default() }
}

/// Asserts that every count is what a look at everything finds.
fn check(intake: &Intake) {
    let storing = intake.under_way.values().filter(|capture| matches!(capture.stage, CaptureStage::Storing(_))).count();
    let left: Vec<_> = intake.left().map(|held| held.bytes()).collect();
    let bytes = intake.under_way.values().map(|capture| capture.held.bytes()).chain(left.iter().copied()).sum();
    assert_eq!(intake.room.used(), (intake.under_way.len() - storing, storing, bytes));
    let waiting = intake
        .under_way
        .values()
        .filter(|capture| matches!(&capture.stage, CaptureStage::Storing(storing) if storing.attempts.is_waiting()));
    assert_eq!(intake.lines.used(), (waiting.count(), intake.calls.all().len()));
    assert!(storing <= intake.settings.at_once && bytes <= intake.settings.max_bytes);
    let (mut ends, mut attempts) = (vec![], vec![]);
    for (id, capture) in &intake.under_way {
        assert_eq!(capture.times, capture.due(PATIENCE), "the schedule has what its stage says");
        ends.extend(capture.times.end.map(|at| (at, *id)));
        attempts.extend(capture.times.attempt.map(|at| (at, *id)));
    }
    ends.sort_unstable();
    attempts.sort_unstable();
    assert_eq!(intake.schedule.entries(), [ends, attempts]);
}

#[derive(Clone, Debug)]
enum Step {
    Admit { id: u32, position: usize, announced: Option<u64> },
    Receive { id: u32, bytes: usize },
    Complete { id: u32, bytes: usize },
    Reply { call: usize, reply: u16 },
    Abandon { id: u32 },
    Pass { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u32..24;
    prop_oneof![
        4 => (id.clone(), 0usize..3, prop::option::of(0u64..90_000))
            .prop_map(|(id, position, announced)| Step::Admit { id, position, announced }),
        2 => (id.clone(), 0usize..110_000).prop_map(|(id, bytes)| Step::Receive { id, bytes }),
        4 => (id.clone(), 0usize..60_000).prop_map(|(id, bytes)| Step::Complete { id, bytes }),
        4 => (0usize..8, prop::sample::select(vec![200, 206, 400, 403, 413, 429, 500]))
            .prop_map(|(call, reply)| Step::Reply { call, reply }),
        1 => id.prop_map(|id| Step::Abandon { id }),
        2 => (0u64..6_000).prop_map(|millis| Step::Pass { millis }),
    ]
}

proptest! {
    #[test]
    fn what_it_counts_is_what_it_has(steps in prop::collection::vec(step(), 0..150)) {
        let (mut intake, mut signer) = intake(20, 400_000);
        let mut now = NOW;
        // Webhooks that are under way, and since when.
        let mut senders = BTreeMap::new();
        let mut calls = BTreeMap::new();
        for step in steps {
            let answer = match step {
                Step::Admit { id, .. } if senders.contains_key(&id) => None,
                Step::Admit { id, position, announced } => {
                    senders.insert(id, now);
                    intake.admit(CaptureId(id), position, Size { head: 8, body: announced }, now).map(|_| id)
                }
                Step::Receive { id, bytes } => intake.receive(CaptureId(id), bytes, now).map(|_| id),
                Step::Complete { id, bytes } => {
                    let refused = intake.complete(CaptureId(id), request(), &vec![b'"'; bytes], now);
                    let ended = refused.or_else(|| intake.poll(CaptureId(id), &signer, now)).is_some();
                    ended.then_some(id)
                }
                Step::Reply { call, reply } => {
                    let Some(call) = calls.keys().nth(call).copied() else { continue };
                    let reply = reply_to(calls.remove(&call).unwrap(), reply);
                    let webhooks = intake.webhooks(call);
                    intake.handle_reply(call, &reply, &mut signer, now);
                    for id in webhooks {
                        if intake.poll(id, &signer, now).is_some() {
                            senders.remove(&id.0);
                        }
                        check(&intake);
                    }
                    None
                }
                Step::Abandon { id } => {
                    intake.abandon(CaptureId(id));
                    Some(id)
                }
                Step::Pass { millis } => {
                    let end = now + Duration::from_millis(millis);
                    look(&mut intake, now, end);
                    now = end;
                    None
                }
            };
            answer.map(|id| senders.remove(&id));
            check(&intake);
            let ready = signer.is_ready(now);
            for id in intake.due(ready, now) {
                if intake.poll(id, &signer, now).is_some() {
                    senders.remove(&id.0);
                }
                check(&intake);
            }
            while let Some((call, callout)) = intake.poll_call(&signer, now) {
                let fields: Value = serde_json::from_slice(callout.request.body()).unwrap();
                prop_assert!(calls.insert(call, fields).is_none());
                check(&intake);
            }
            prop_assert_eq!(
                intake.under_way.keys().map(|id| id.0).collect::<Vec<_>>(),
                senders.keys().copied().collect::<Vec<_>>()
            );
        }
        // Calls that are under way are the host's, which ends them; everybody else has an answer
        // soon.
        let end = now + LONGEST_REQUEST;
        look(&mut intake, now, end);
        now = end;
        for id in intake.due(signer.is_ready(now), now) {
            intake.poll(id, &signer, now);
        }
        let in_calls: Vec<_> = calls.keys().flat_map(|call| intake.webhooks(*call)).collect();
        prop_assert!(intake.under_way.keys().all(|id| in_calls.contains(id)));
        for (call, fields) in calls {
            intake.handle_reply(call, &reply_to(fields, 200), &mut signer, now);
        }
        prop_assert_eq!(intake.lines.used(), (0, 0));
        for id in intake.under_way.keys().copied().collect::<Vec<_>>() {
            prop_assert_eq!(intake.poll(id, &signer, now).map(|answer| answer.status().as_u16()), Some(200));
        }
        prop_assert_eq!(intake.room.used(), (0, 0, 0));
    }
}

/// Lets time pass in which the intake is asked nothing.
fn look(intake: &mut Intake, from: Timestamp, until: Timestamp) {
    for now in ticks(from, until) {
        intake.clock.at(now);
    }
}

/// The reply to a call with these fields: 206 stands for a batch of which every second entry is
/// refused.
fn reply_to(fields: Value, reply: u16) -> Reply {
    let member = |entry: &Value| {
        let sum = hex::encode(Md5::digest(entry["MessageBody"].as_str().unwrap()));
        json!({"Id": entry["Id"], "MessageId": "m-1", "MD5OfMessageBody": sum})
    };
    let (status, body) = match (reply, fields["Entries"].as_array()) {
        (200 | 206, None) => (200, member(&fields)),
        (200, Some(entries)) => (200, json!({"Successful": entries.iter().map(member).collect::<Vec<_>>()})),
        (206, Some(entries)) => {
            let (taken, refused): (Vec<_>, Vec<_>) =
                entries.iter().map(member).enumerate().partition(|(at, _)| at % 2 == 0);
            let [taken, refused] =
                [taken, refused].map(|members| members.into_iter().map(|(_, member)| member).collect::<Vec<_>>());
            (200, json!({"Successful": taken, "Failed": refused}))
        }
        (status, _) => (status, Value::Null),
    };
    Reply::Response(http::Response::builder().status(status).body(body.to_string().into()).unwrap())
}

#[test]
fn those_who_fall_silent_together_are_answered_a_few_dozen_at_a_time_and_all_of_them() {
    let (mut intake, signer) = intake(6, 1 << 30);
    let admitted = (0..6_000)
        .filter(|id| intake.admit(CaptureId(*id), (id % 2) as usize, Size { head: 8, body: None }, NOW).is_none());
    assert_eq!(admitted.count(), 6_000);
    assert_eq!(intake.admit(CaptureId(9_999), 0, Size { head: 8, body: None }, NOW).unwrap().status(), 503);
    let (mut answered, mut rounds) = (0, 0);
    let mut now = NOW + PATIENCE;
    look(&mut intake, NOW, now);
    loop {
        let due = intake.due(true, now);
        if due.is_empty() {
            break;
        }
        assert!(due.len() <= ANSWERS_AT_ONCE);
        answered += due.into_iter().filter(|id| intake.poll(*id, &signer, now).is_some()).count();
        rounds += 1;
        now = now + Duration::from_millis(25);
    }
    assert!(answered == 6_000 && now.since(NOW) <= 2 * PATIENCE, "{answered} in {rounds} ticks");
    assert!(intake.is_empty());
}

#[test]
fn a_byte_now_and_then_does_not_hold_a_place_for_ever() {
    let (mut intake, signer) = intake(6, 1 << 20);
    let size = Size { head: 8, body: Some(1_000) };
    assert!(intake.admit(CaptureId(1), 0, size, NOW).is_none());
    let mut now = NOW;
    let mut bytes = 0;
    while intake.is_under_way(CaptureId(1)) {
        now = now + Duration::from_millis(750);
        bytes += 1;
        assert!(intake.receive(CaptureId(1), bytes, now).is_none());
        for id in intake.due(true, now) {
            assert_eq!(intake.poll(id, &signer, now).unwrap().status(), 408, "it is over");
        }
    }
    assert_eq!(now.since(NOW), LONGEST_REQUEST);
}

#[test]
fn what_is_announced_is_kept_free_and_what_is_not_counts_as_it_comes() {
    let (mut intake, _) = intake(6, 200_000);
    let size = |body| Size { head: 976, body };
    // Half of it is common; this queue is sure of a quarter.
    assert!(intake.admit(CaptureId(1), 0, size(Some(98_000)), NOW).is_none());
    assert_eq!(intake.admit(CaptureId(2), 0, size(Some(60_000)), NOW).unwrap().status(), 503);
    assert!(intake.admit(CaptureId(3), 0, size(None), NOW).is_none());
    assert!(intake.receive(CaptureId(3), 48_000, NOW).is_none());
    assert_eq!(intake.receive(CaptureId(3), 48_001, NOW).unwrap().status(), 503);
    assert!(intake.admit(CaptureId(4), 1, size(Some(48_000)), NOW).is_none(), "the other queue has its part");
    assert!(!intake.is_under_way(CaptureId(3)));
}
