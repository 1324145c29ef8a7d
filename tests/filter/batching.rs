//! How events are packed into requests: by count, by bytes and by the time that they have waited,
//! and how many requests are under way at once.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host};
use serde_json::{json, Value};

use crate::support::sns;
use crate::support::{config, deliver, numbered, numbers, run_numbered, start, Way, LONG, MAX_DELAY, TICK};

/// The numbers of the exchanges in each request.
fn packed(callouts: &[Callout]) -> Vec<Vec<usize>> {
    callouts.iter().map(|callout| numbers(&sns::entries(callout))).collect()
}

fn answer(host: &mut Host, callout: &Callout) {
    host.respond(callout.token, sns::accept(callout)).unwrap();
}

#[test]
fn a_batch_closes_by_count_and_the_rest_after_its_delay() {
    for (max_entries, count, full, rest) in [
        (3, 7, vec![vec![0, 1, 2], vec![3, 4, 5]], vec![vec![6]]),
        (10, 10, vec![(0..10).collect()], vec![]),
        (10, 12, vec![(0..10).collect()], vec![vec![10, 11]]),
        (1, 2, vec![vec![0], vec![1]], vec![]),
        (2, 1, vec![], vec![vec![0]]),
    ] {
        let mut host = start(&config(json!({"batch": {"max_entries": max_entries}})));
        run_numbered(&mut host, count);
        host.advance(TICK).unwrap();
        let at_once = host.take_callouts();
        assert_eq!(packed(&at_once), full);
        host.advance(MAX_DELAY - TICK).unwrap();
        let later = host.take_callouts();
        assert_eq!(packed(&later), rest);
        for callout in at_once.iter().chain(&later) {
            let several = sns::entries(callout).len() > 1;
            assert_eq!(sns::action(callout), if several { "PublishBatch" } else { "Publish" });
        }
    }
}

#[test]
fn a_batch_closes_by_bytes() {
    // 20 headers of 5 kB: an event of a good 100 kB, of which two go into the 262,144 bytes that
    // SNS takes.
    let large =
        |number| (0..20).fold(numbered(number), |spec, n| spec.request_header(format!("x-{n}"), "v".repeat(5_000)));
    let mut host = start(&config(json!({})));
    (0..3).for_each(|number| Way::HttpFilter.run(&mut host, &large(number)));
    host.advance(TICK).unwrap();
    let full = host.take_callouts();
    assert_eq!(packed(&full), [[0, 1]]);
    let bytes: usize = sns::entries(&full[0]).iter().map(|entry| entry.message_bytes).sum();
    assert!((200_000..=262_144).contains(&bytes), "{bytes}");
    host.advance(MAX_DELAY - TICK).unwrap();
    assert_eq!(packed(&host.take_callouts()), [[2]]);
}

/// How long an event is alone in the queue before it is sent.
fn wait(batch: Value) -> Duration {
    let mut host = start(&config(json!({"batch": batch})));
    Way::HttpFilter.run(&mut host, &ExchangeSpec::new("PUT", "/profile"));
    let begin = host.now();
    while host.in_flight() == 0 {
        host.advance(Duration::from_millis(1)).unwrap();
    }
    host.now().duration_since(begin).unwrap()
}

#[test]
fn an_event_waits_for_others_as_long_as_configured_and_a_tick() {
    for (batch, expected) in [
        (json!({}), 100),
        (json!({"max_delay_ms": 0}), 1),
        (json!({"max_delay_ms": 10}), 10),
        (json!({"max_delay_ms": 110}), 125),
        (json!({"max_delay_ms": 1000}), 1000),
        (json!({"max_entries": 1}), 25),
    ] {
        assert_eq!(wait(batch.clone()), Duration::from_millis(expected), "{batch}");
    }
}

#[test]
fn no_more_requests_than_configured_are_under_way_and_each_reply_starts_the_next() {
    for max_in_flight in [1, 2, 4] {
        let mut host = start(&config(json!({"batch": {"max_entries": 2}, "max_in_flight": max_in_flight})));
        run_numbered(&mut host, 14);
        host.advance(TICK * 4).unwrap();
        let mut open = host.take_callouts();
        let mut seen = packed(&open).concat();
        for remaining in (0..7 - max_in_flight).rev() {
            assert_eq!(host.in_flight(), max_in_flight);
            answer(&mut host, &open.remove(0));
            let next = host.take_callouts();
            assert_eq!(next.len(), 1, "{remaining} are left");
            seen.extend(packed(&next).concat());
            open.extend(next);
        }
        assert_eq!(seen, (0..14).collect::<Vec<_>>());
        open.iter().for_each(|callout| answer(&mut host, callout));
        assert_eq!((host.in_flight(), deliver(&mut host, LONG).len()), (0, 0));
    }
}
