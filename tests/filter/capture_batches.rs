//! Webhooks that share calls to SQS, on Envoy: which go together, what each sender is told, and
//! what all of it costs, counted.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Exchanged, FailureKind, Host, Response};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::capture_cost::like_a_provider;
use crate::support::sns::{Entry, Fate};
use crate::support::sqs::{accept, messages, refusal, reply};
use crate::support::webhooks::{answer, capturing, gateway, start, webhook, QUEUE};
use crate::support::{answer_every_try, count, Way, TICK};

/// A webhook with its number.
fn numbered(number: usize) -> ExchangeSpec {
    webhook(&json!([number]).to_string())
}

/// Webhooks of these numbers, whose senders wait.
fn come(host: &mut Host, numbers: std::ops::Range<usize>) -> Vec<Exchanged> {
    let come = |number| {
        let exchange = host.exchange(&numbered(number)).unwrap();
        assert!(exchange.paused_at.is_some(), "{exchange:?}");
        exchange
    };
    numbers.map(come).collect()
}

/// The numbers of the webhooks in a call.
fn numbers(callout: &Callout) -> Vec<usize> {
    let number = |entry: &Entry| usize::try_from(entry.message["body"][0].as_u64().unwrap()).unwrap();
    messages(callout).1.iter().map(number).collect()
}

/// A gateway that has four calls under way, and the call of ten webhooks, of the numbers 4 to 13.
fn ten(capture: Value) -> (Host, Vec<Exchanged>, Callout) {
    let mut host = start(Way::HttpFilter, &capturing(capture, json!({})));
    let mut exchanges = come(&mut host, 0..14);
    let mut callouts = host.take_callouts();
    let sizes: Vec<_> = callouts.iter().map(|callout| numbers(callout).len()).collect();
    assert_eq!(sizes, [1, 1, 1, 1, 10], "four find a call that is free, and the others go together");
    let ten = callouts.pop().unwrap();
    assert_eq!(numbers(&ten), (4..14).collect::<Vec<_>>(), "in the order in which they came");
    (host, exchanges.split_off(4), ten)
}

fn statuses(host: &mut Host, exchanges: &[Exchanged]) -> Vec<u16> {
    exchanges.iter().map(|exchange| host.take_finished(exchange.stream).map_or(0, |finished| finished.status)).collect()
}

#[test]
fn one_that_finds_a_free_call_goes_at_once_and_the_others_share_the_next() {
    let mut host = gateway(Way::HttpFilter);
    let exchanges = come(&mut host, 0..7);
    let callouts = host.take_callouts();
    assert_eq!(callouts.iter().map(numbers).collect::<Vec<_>>(), [[0], [1], [2], [3]]);
    host.respond(callouts[0].token, accept(&callouts[0])).unwrap();
    assert_eq!(answer(&mut host, &exchanges[0]).status, 200);
    let [next] = &host.take_callouts()[..] else { panic!("one call") };
    assert_eq!(numbers(next), [4, 5, 6], "in the callback of the reply");
    host.respond(next.token, accept(next)).unwrap();
    for (position, exchange) in exchanges[4..7].iter().enumerate() {
        let message_id = answer(&mut host, exchange).headers.text("x-retrohook-message-id").unwrap();
        assert_eq!(message_id, format!("m-{position}"), "each its own");
    }
    assert_eq!(host.violations(), []);
}

#[test]
fn calls_that_hang_hold_up_nobody_for_more_than_a_tick() {
    let mut host = gateway(Way::HttpFilter);
    let exchanges = come(&mut host, 0..9);
    assert_eq!(host.take_callouts().len(), 4);
    host.advance(2 * TICK).unwrap();
    let [next] = &host.take_callouts()[..] else { panic!("one call") };
    host.respond(next.token, accept(next)).unwrap();
    assert_eq!(statuses(&mut host, &exchanges), [0, 0, 0, 0, 200, 200, 200, 200, 200]);
}

#[test]
fn an_entry_that_fails_is_its_own_sender_s_and_is_tried_again() {
    let (mut host, exchanges, callout) = ten(json!({}));
    let mut fates = vec![Fate::Delivered; 10];
    fates[2] = Fate::Failed("InternalError", false);
    fates[5] = Fate::Unmentioned;
    fates[7] = Fate::Failed("AccessDenied", true);
    host.respond(callout.token, reply(&callout, &fates)).unwrap();
    assert_eq!(statuses(&mut host, &exchanges), [200, 200, 0, 200, 200, 0, 200, 503, 200, 200]);
    host.advance(Duration::from_millis(300)).unwrap();
    let again = host.take_callouts();
    let mut tried: Vec<_> = again.iter().map(numbers).collect();
    tried.sort();
    assert_eq!(tried, [[6], [9]], "alone");
    for callout in again {
        host.respond(callout.token, accept(&callout)).unwrap();
    }
    assert_eq!(statuses(&mut host, &exchanges), [0, 0, 200, 0, 0, 200, 0, 0, 0, 0]);
    host.advance(TICK).unwrap();
    assert_eq!((count(&host, Metric::CapturesStored), count(&host, Metric::CapturesRetried)), (9, 2));
    assert_eq!(host.violations(), []);
}

#[test]
fn one_that_hangs_up_while_its_entry_is_under_way_takes_nothing_from_the_others() {
    let (mut host, exchanges, callout) = ten(json!({}));
    // The first of them, whose callback made the call, and the last.
    for gone in [0, 4, 9] {
        host.abandon_exchange(exchanges[gone].stream).unwrap();
    }
    host.respond(callout.token, accept(&callout)).unwrap();
    assert_eq!(statuses(&mut host, &exchanges[1..4]), [200; 3]);
    assert_eq!(statuses(&mut host, &exchanges[5..9]), [200; 4]);
    host.advance(TICK).unwrap();
    assert_eq!((count(&host, Metric::CapturesAbandoned), count(&host, Metric::CapturesStored)), (3, 7));
    assert_eq!(host.violations(), []);
}

#[test]
fn a_call_whose_senders_are_all_gone_ends_and_frees_what_it_holds() {
    let changes = json!({"max_capture_bytes": 2_097_152, "max_captures": 10_000});
    let mut host = start(Way::HttpFilter, &capturing(json!({}), changes));
    // Nobody fills the memory by coming and going: what a call holds counts until its end. One of
    // this size waits for no other.
    let large = webhook(&"x".repeat(100_000));
    let mut calls = vec![];
    let mut refused = 0;
    for _ in 0..100 {
        let exchange = host.exchange(&large).unwrap();
        match exchange.paused_at {
            Some(_) => host.abandon_exchange(exchange.stream).unwrap(),
            None => refused += 1,
        }
        calls.extend(host.take_callouts());
    }
    let bytes: usize = calls.iter().map(|callout| callout.body.len()).sum();
    assert!(refused > 0 && bytes < 2_300_000, "{refused} refused, {bytes} bytes in calls");
    for callout in calls {
        host.fail(callout.token, FailureKind::Timeout).unwrap();
    }
    assert!(host.exchange(&large).unwrap().paused_at.is_some());
    assert_eq!(host.violations(), []);
}

#[test]
fn credentials_that_are_refused_fail_nobody_who_can_wait_for_others() {
    let credentials = json!({"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s"});
    for (code, status) in [("AccessDenied", 503), ("InvalidClientTokenId", 0)] {
        let mut host =
            start(Way::HttpFilter, &capturing(json!({}), json!({"credentials": credentials, "timeout_ms": 1_000})));
        let exchanges = come(&mut host, 0..14);
        let ten = host.take_callouts().pop().unwrap();
        host.respond(ten.token, refusal(403, code)).unwrap();
        assert_eq!(statuses(&mut host, &exchanges[4..]), [status; 10], "{code}");
        // Keys that are refused are tried once more, and nobody is answered but with a 503.
        for _ in 0..50 {
            host.advance(TICK).unwrap();
            for callout in host.take_callouts() {
                host.respond(callout.token, refusal(403, code)).unwrap();
            }
        }
        let last = statuses(&mut host, &exchanges[4..]);
        assert!(last.iter().all(|last| *last == 503 - status), "{code}: {last:?}");
    }
}

#[test]
fn a_batch_that_is_too_large_for_the_queue_s_own_limit_is_parted() {
    for code in ["BatchRequestTooLong", "TooManyEntriesInBatchRequest"] {
        let (mut host, exchanges, callout) = ten(json!({}));
        host.respond(callout.token, refusal(400, code)).unwrap();
        assert_eq!(statuses(&mut host, &exchanges), [0; 10], "{code}: nobody is told that it is too large");
        let alone = host.take_callouts();
        assert_eq!(
            alone.iter().map(numbers).collect::<Vec<_>>(),
            (4..14).map(|number| vec![number]).collect::<Vec<_>>()
        );
        for callout in alone {
            host.respond(callout.token, accept(&callout)).unwrap();
        }
        assert_eq!(statuses(&mut host, &exchanges), [200; 10], "{code}");
    }
}

#[test]
fn a_fifo_queue_gets_a_group_in_the_order_in_which_it_came() {
    let capture = json!({"queue_url": format!("{QUEUE}.fifo"), "message_group_id": "all"});
    let (mut host, exchanges, callout) = ten(capture);
    let entries = messages(&callout).1;
    assert!(entries.iter().all(|entry| entry.group_id.as_deref() == Some("all")));
    assert!(entries.iter().all(|entry| entry.deduplication_id.as_deref() == entry.message["id"].as_str()));
    host.respond(callout.token, accept(&callout)).unwrap();
    assert_eq!(statuses(&mut host, &exchanges), [200; 10]);
}

#[test]
fn no_reply_but_that_of_its_own_entry_makes_it_a_success() {
    let sums = |callout: &Callout| -> Vec<Value> {
        let whole: Value = serde_json::from_slice(&accept(callout).body).unwrap();
        whole["Successful"].as_array().unwrap().clone()
    };
    let odd: [fn(Vec<Value>) -> Value; 5] = [
        |members| json!({"Successful": members, "Failed": [{"Id": "10", "Code": "InternalError"}]}),
        |mut members| {
            members.rotate_left(1);
            let ids = members.iter().enumerate().map(|(id, member)| {
                let mut member = member.clone();
                member["Id"] = json!(id.to_string());
                member
            });
            json!({"Successful": ids.collect::<Vec<_>>()})
        },
        |members| json!({"Successful": members, "Failed": members}),
        |members| json!({"Successful": ([members.clone(), members].concat())}),
        |members| members[0].clone(),
    ];
    for (position, odd) in odd.into_iter().enumerate() {
        let (mut host, exchanges, callout) = ten(json!({}));
        let body = odd(sums(&callout)).to_string();
        host.respond(callout.token, Response::new(200).body(body)).unwrap();
        assert_eq!(statuses(&mut host, &exchanges), [0; 10], "{position}");
        answer_every_try(&mut host, &Response::new(500));
        assert_eq!(statuses(&mut host, &exchanges), [503; 10], "{position}");
    }
}

#[test]
fn a_hundred_that_come_together_are_few_calls_and_cost_a_part_of_what_each_would_alone() {
    let body = like_a_provider(1_024);
    let mut host = gateway(Way::HttpFilter);
    let crowd = |host: &mut Host| {
        let exchanges: Vec<_> = (0..100).map(|_| host.exchange(&webhook(&body)).unwrap()).collect();
        let mut calls = 0;
        loop {
            let callouts = host.take_callouts();
            if callouts.is_empty() {
                break;
            }
            calls += callouts.len();
            for callout in callouts {
                host.respond(callout.token, accept(&callout)).unwrap();
            }
        }
        assert!(exchanges.iter().all(|exchange| answer(host, exchange).status == 200));
        calls
    };
    crowd(&mut host);
    let (calls, usage) = host.measure(crowd);
    let (instructions, host_calls) = (usage.instructions / 100, usage.total_host_calls() / 100);
    println!(
        "100 webhooks of 1 KB together: {calls} calls; {instructions} instructions and {host_calls} host calls each"
    );
    assert!(calls <= 14 && instructions < 430_000 && host_calls <= 9, "{calls} {instructions} {host_calls}");
}
