//! Webhooks that share a call: which go together, and that each sender's answer is that of its own
//! entry, whatever becomes of the others.

use hex::encode;
use md5::{Digest, Md5};

use super::*;
use crate::callout::Reply;

const SECOND: Duration = Duration::from_secs(1);

/// An agent whose queue has four calls under way, so that those who come now wait for each other.
fn busy(capture: Value) -> (Agent, Vec<Call>) {
    let mut agent = agent(capture, json!({}));
    let busy = (0..4).map(|id| named(receive(&mut agent, CaptureId(id), request(&[]), b"{}", NOW)).0).collect();
    (agent, busy)
}

/// Webhooks of these ids, which come at once. Returns the call of those that fill one.
fn crowd(agent: &mut Agent, ids: std::ops::Range<u32>) -> Option<(Call, Callout)> {
    ids.filter_map(|id| match receive(agent, CaptureId(id), request(&[]), format!("[{id}]").as_bytes(), NOW) {
        Progress::Call(call, callout) => Some((call, callout)),
        Progress::Wait => None,
        Progress::Answer(answer) => panic!("{answer:?}"),
    })
    .last()
}

/// The call of ten webhooks, of the ids 10 to 19.
fn ten(capture: Value) -> (Agent, Call, Callout) {
    let (mut agent, _) = busy(capture);
    let (call, callout) = crowd(&mut agent, 10..20).unwrap();
    assert_eq!(callout.request.headers()["x-amz-target"], "AmazonSQS.SendMessageBatch");
    (agent, call, callout)
}

fn bodies(callout: &Callout) -> Vec<u32> {
    let fields = fields(callout);
    let alone = vec![fields.clone()];
    let number = |entry: &Value| {
        let message: Value = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        u32::try_from(message["body"][0].as_u64().unwrap()).unwrap()
    };
    fields["Entries"].as_array().unwrap_or(&alone).iter().map(number).collect()
}

/// The members of `Successful` about all entries of a call, as SQS writes them.
fn successful(callout: &Callout) -> Vec<Value> {
    let member = |entry: &Value| {
        let sum = encode(Md5::digest(entry["MessageBody"].as_str().unwrap()));
        json!({"Id": entry["Id"], "MessageId": format!("m-{}", entry["Id"].as_str().unwrap()), "MD5OfMessageBody": sum})
    };
    fields(callout)["Entries"].as_array().unwrap().iter().map(member).collect()
}

fn reply(successful: &[Value], failed: Value) -> Reply {
    response(200, json!({"Successful": successful, "Failed": failed}).to_string())
}

fn failed(position: usize, code: &str, sender_fault: bool) -> Value {
    json!({"Id": position.to_string(), "Code": code, "SenderFault": sender_fault, "Message": "no"})
}

/// The fate of the ten: the status of an answer, or 0 for one that waits.
fn answers(agent: &mut Agent, now: Timestamp) -> Vec<u16> {
    let answer = |id| agent.poll_capture(CaptureId(id), now).map_or(0, |answer| answer.status().as_u16());
    (10..20).map(answer).collect()
}

/// Answers of those who wait until their patience ends, while every further call fails.
fn answers_at_last(agent: &mut Agent) -> Vec<u16> {
    let mut last = answers(agent, NOW);
    for now in ticks(NOW, NOW + 6 * SECOND) {
        for id in agent.due_captures(now) {
            let answer = agent.poll_capture(id, now).map_or(0, |answer| answer.status().as_u16());
            if let (Some(place), true) = (last.get_mut(id.0.wrapping_sub(10) as usize), answer > 0) {
                *place = answer;
            }
        }
        while let Some((call, _)) = agent.poll_capture_call(now) {
            agent.handle_reply(call, &response(500, ""), now);
        }
    }
    last
}

#[test]
fn each_is_answered_with_its_own_message_s_id() {
    let (mut agent, call, callout) = ten(json!({}));
    let mut members = successful(&callout);
    members.reverse();
    agent.handle_reply(call, &reply(&members, json!([])), NOW);
    for position in 0..10 {
        let answer = agent.poll_capture(CaptureId(10 + position), NOW).unwrap();
        assert!(answer.status() == 200 && answer.headers()["x-retrohook-message-id"] == format!("m-{position}"));
    }
}

#[test]
fn who_fails_does_so_alone_and_as_one_who_came_alone() {
    let (mut agent, call, callout) = ten(json!({}));
    let mut members = successful(&callout);
    let refused = json!([
        failed(1, "InternalError", false),
        failed(2, "InvalidMessageContents", true),
        failed(3, "KmsDisabled", true),
        failed(4, "RequestThrottled", false),
        failed(5, "InvalidParameterValue", true),
    ]);
    // The sixth is named twice, the seventh not at all, and the eighth has another sum.
    let twice = members[6].clone();
    members[8]["MD5OfMessageBody"] = json!("0".repeat(32));
    members.push(twice);
    let members: Vec<_> =
        members.into_iter().filter(|member| !"12345 7".contains(member["Id"].as_str().unwrap())).collect();
    agent.handle_reply(call, &reply(&members, refused), NOW);
    assert_eq!(answers(&mut agent, NOW), [200, 0, 0, 503, 0, 0, 0, 0, 0, 200], "the key of the queue is every try's");
    // The message itself may be what was refused: it is tried alone, at once, to know it.
    let mut alone = vec![];
    while let Some((call, callout)) = agent.poll_capture_call(NOW) {
        alone.extend(bodies(&callout));
        let refusal = json!({"__type": "com.amazonaws.sqs#InvalidParameterValue", "message": "Message must be shorter than 1024 bytes"});
        agent.handle_reply(call, &response(400, refusal.to_string()), NOW);
    }
    assert_eq!(alone, [12, 15]);
    assert_eq!(answers(&mut agent, NOW), [0, 0, 413, 0, 0, 413, 0, 0, 0, 0], "those two are over");
    let last = answers_at_last(&mut agent);
    assert_eq!([1, 4, 6, 7, 8].map(|position| last[position]), [503; 5], "never 2xx for those who are not certain");
}

#[test]
fn a_reply_to_another_call_stores_none() {
    for odd in [
        json!({"Successful": [{"Id": "10", "MessageId": "m"}]}),
        json!({"MessageId": "m-1"}),
        json!({"Successful": "all"}),
        json!([]),
    ] {
        let (mut agent, call, callout) = ten(json!({}));
        let mut odd = odd;
        if let Some(list) = odd.get_mut("Successful").and_then(Value::as_array_mut) {
            list.extend(successful(&callout));
        }
        agent.handle_reply(call, &response(200, odd.to_string()), NOW);
        assert_eq!(answers(&mut agent, NOW), [0; 10], "{odd}");
        assert_eq!(answers_at_last(&mut agent), [503; 10]);
    }
}

#[test]
fn a_call_that_fails_as_a_whole_is_answered_as_that_of_one() {
    let denied = response(403, r#"{"__type":"com.amazonaws.sqs#AccessDenied"}"#);
    let (mut agent, call, _) = ten(json!({}));
    agent.handle_reply(call, &denied, NOW);
    assert_eq!(answers(&mut agent, NOW), [503; 10]);
    let (mut agent, call, _) = ten(json!({}));
    agent.handle_reply(call, &Reply::NoResponse("timeout".into()), NOW);
    assert_eq!(answers(&mut agent, NOW), [0; 10]);
    let mut again = vec![];
    for now in ticks(NOW, NOW + SECOND) {
        agent.due_captures(now).into_iter().for_each(|id| assert!(agent.poll_capture(id, now).is_none()));
        while let Some((_, callout)) = agent.poll_capture_call(now) {
            again.push(bodies(&callout));
        }
    }
    assert!(again.len() == 10 && again.iter().all(|bodies| bodies.len() == 1), "each alone, spread: {again:?}");
}

#[test]
fn credentials_that_are_refused_are_those_of_all() {
    let expired = response(403, r#"{"__type":"com.amazon.coral.service#ExpiredTokenException"}"#);
    let (mut agent, call, _) = ten(json!({}));
    agent.handle_reply(call, &expired, NOW);
    assert_eq!(answers(&mut agent, NOW), [0; 10]);
    assert!(agent.poll_capture_call(NOW).is_none(), "there are no others yet");
    assert_eq!(answers_at_last(&mut agent), [503; 10]);
    let late = [("date", "Thu, 01 Jan 2026 13:00:00 GMT")];
    let skewed =
        response_with(403, &late, r#"{"__type":"com.amazonaws.sqs#RequestExpired","message":"Signature expired"}"#);
    let (mut agent, call, _) = ten(json!({}));
    agent.handle_reply(call, &skewed, NOW);
    assert_eq!(answers(&mut agent, NOW), [0; 10]);
    let (_, again) = agent.poll_capture_call(NOW).unwrap();
    assert_eq!(
        (bodies(&again).len(), again.request.headers()["x-amz-date"].to_str().unwrap()),
        (10, "20260101T130000Z")
    );
}

#[test]
fn a_batch_that_is_too_large_for_its_queue_is_parted_and_the_next_ones_are_smaller() {
    for (status, code, message) in [
        (400, "BatchRequestTooLong", "Batch requests cannot be longer than 1024 bytes."),
        (
            400,
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.",
        ),
        (400, "InvalidParameterValue", "something of one of them"),
        (413, "", ""),
    ] {
        let (mut agent, call, callout) = ten(json!({}));
        let size = fields(&callout)["Entries"].to_string().len();
        let refusal = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": message});
        agent.handle_reply(
            call,
            &response(status, if code.is_empty() { String::new() } else { refusal.to_string() }),
            NOW,
        );
        assert_eq!(answers(&mut agent, NOW), [0; 10], "nobody is told that it is too large: {code}");
        for id in 10..20 {
            let (call, callout) = agent.poll_capture_call(NOW).unwrap();
            assert_eq!(bodies(&callout), [id], "{code}");
            agent.handle_reply(call, &response(200, r#"{"MessageId":"m-1"}"#), NOW);
        }
        assert_eq!(answers(&mut agent, NOW), [200; 10], "{code}");
        let next = crowd(&mut agent, 30..40).map(|(_, callout)| bodies(&callout).len());
        let is_about_size = message != "something of one of them";
        assert!(
            if is_about_size { next.is_some_and(|next| next < 6) } else { next == Some(10) },
            "{code}: {next:?} of {size}"
        );
    }
}

#[test]
fn one_that_hangs_up_takes_nothing_from_the_others() {
    let (mut agent, call, callout) = ten(json!({}));
    agent.capturing().abandon(CaptureId(10));
    agent.capturing().abandon(CaptureId(14));
    // The same number may come back as another request.
    call_again(&mut agent, CaptureId(14));
    agent.handle_reply(call, &reply(&successful(&callout), json!(null)), NOW);
    let answers = answers(&mut agent, NOW);
    assert_eq!(answers, [0, 200, 200, 200, 0, 200, 200, 200, 200, 200]);
    let (mut agent, _) = busy(json!({}));
    assert!(crowd(&mut agent, 10..14).is_none());
    agent.capturing().abandon(CaptureId(11));
    let (_, callout) = agent.poll_capture_call(NOW + Duration::from_millis(25)).unwrap();
    assert_eq!(bodies(&callout), [10, 12, 13], "who hung up before the call is in none");
}

fn call_again(agent: &mut Agent, id: CaptureId) {
    assert!(matches!(receive(agent, id, request(&[]), b"[99]", NOW), Progress::Wait));
}

#[test]
fn a_fifo_queue_gets_those_of_a_group_in_the_order_in_which_they_came() {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks.fifo";
    let (mut agent, call, callout) = ten(json!({"queue_url": queue, "message_group_id": "g"}));
    assert_eq!(bodies(&callout), (10..20).collect::<Vec<_>>());
    let entries = fields(&callout)["Entries"].as_array().unwrap().clone();
    assert!(entries.iter().all(|entry| entry["MessageGroupId"] == "g"));
    let ids: std::collections::BTreeSet<_> =
        entries.iter().map(|entry| entry["MessageDeduplicationId"].to_string()).collect();
    assert_eq!(ids.len(), 10);
    // What SQS has said of each is so, also where one before it in its group failed.
    let members = &successful(&callout)[3..];
    let refused = json!([
        failed(0, "InternalError", false),
        failed(1, "InternalError", false),
        failed(2, "InternalError", false)
    ]);
    agent.handle_reply(call, &reply(members, refused), NOW);
    assert_eq!(answers(&mut agent, NOW), [0, 0, 0, 200, 200, 200, 200, 200, 200, 200]);
}

#[test]
fn webhooks_of_two_queues_never_share_a_call() {
    let verify = json!({"scheme": "github", "secrets": ["s"]});
    let elsewhere = json!({"queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/unverified"});
    let (mut agent, _) = busy(json!({"verify": verify, "unverified": elsewhere}));
    let (_, callout) = crowd(&mut agent, 10..20).unwrap();
    assert_eq!(fields(&callout)["QueueUrl"], "https://sqs.us-east-1.amazonaws.com/123456789012/unverified");
}

#[test]
fn what_is_large_goes_alone_and_ten_of_ten_kilobytes_do_not_share_one_call() {
    let (mut agent, _) = busy(json!({}));
    let large = format!("[\"{}\"]", "1".repeat(70_000));
    let callout = call(receive(&mut agent, CaptureId(9), request(&[]), large.as_bytes(), NOW));
    assert_eq!(callout.request.headers()["x-amz-target"], "AmazonSQS.SendMessage");
    let some = format!("[7,\"{}\"]", "1".repeat(10_000));
    let calls: Vec<_> = (10..20)
        .filter_map(|id| match receive(&mut agent, CaptureId(id), request(&[]), some.as_bytes(), NOW) {
            Progress::Call(_, callout) => Some(bodies(&callout).len()),
            _ => None,
        })
        .collect();
    assert_eq!(calls, [6], "60 KB, when the seventh came");
}
