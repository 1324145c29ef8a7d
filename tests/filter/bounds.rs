//! The bounds of the queue: what gives way when it is full, how old an event may become, and that
//! each loss is counted and logged.

use std::time::Duration;

use proxy_wasm_test_host::{ExchangeSpec, FailureKind, Host, LogLevel, Response};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns;
use crate::support::{
    config, count, deliver, logged, numbered, numbers, run_numbered, start, Way, LONG, MAX_DELAY, TICK,
};

fn with_queue(queue: Value) -> Host {
    start(&config(json!({"queue": queue})))
}

/// An exchange whose event has a good 100 kB.
fn large(number: usize) -> ExchangeSpec {
    (0..20).fold(numbered(number), |spec, n| spec.request_header(format!("x-{n}"), "v".repeat(5_000)))
}

#[test]
fn a_full_queue_drops_what_the_configuration_says() {
    let small: fn(usize) -> ExchangeSpec = numbered;
    let entries = json!({"max_entries": 5});
    let bytes = json!({"max_bytes": 262_144});
    for (mut queue, spec, room) in [(entries, small, 5), (bytes, large, 2)] {
        for (when_full, kept) in [("drop_oldest", 8 - room..8), ("drop_newest", 0..room)] {
            queue["when_full"] = json!(when_full);
            let mut host = with_queue(queue.clone());
            (0..8).for_each(|number| Way::HttpFilter.run(&mut host, &spec(number)));
            let delivered = deliver(&mut host, LONG);
            assert_eq!(numbers(&delivered), kept.collect::<Vec<_>>(), "{queue}");
            assert_eq!(count(&host, Metric::EventsDroppedQueueFull), 8 - room as u64, "{queue}");
            let lines = logged(&mut host, LogLevel::Error);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let says =
                format!("{} event(s) lost, the queue is full (queue.max_entries, queue.max_bytes): event 0", 8 - room);
            assert!(lines[0].starts_with(&says), "{lines:?}");
        }
    }
}

#[test]
fn what_is_under_way_counts_for_the_bound_and_is_never_dropped() {
    for when_full in ["drop_oldest", "drop_newest"] {
        let mut host = with_queue(json!({"max_entries": 3, "when_full": when_full}));
        run_numbered(&mut host, 3);
        host.advance(MAX_DELAY).unwrap();
        let callout = host.take_callouts().remove(0);
        Way::HttpFilter.run(&mut host, &numbered(3));
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        assert_eq!(deliver(&mut host, LONG), [], "{when_full}");
        assert_eq!(count(&host, Metric::EventsPublished), 3);
        assert_eq!(count(&host, Metric::EventsDroppedQueueFull), 1);
    }
}

#[test]
fn a_flood_of_losses_is_no_flood_of_lines_and_none_is_left_out() {
    let mut host = with_queue(json!({"max_entries": 1, "when_full": "drop_newest"}));
    for _ in 0..50 {
        run_numbered(&mut host, 20);
        host.advance(Duration::from_millis(1)).unwrap();
    }
    host.advance(Duration::from_secs(11)).unwrap();
    let lines = logged(&mut host, LogLevel::Error);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let lost = |line: &String| line.split(' ').next()?.parse::<u64>().ok();
    assert_eq!(lines.iter().filter_map(lost).sum::<u64>(), 999);
    assert_eq!(count(&host, Metric::EventsDroppedQueueFull), 999);
}

#[test]
fn an_outage_of_thousands_of_events_is_a_handful_of_lines() {
    let mut host = with_queue(json!({"max_entries": 1_000}));
    let mut lines = Vec::new();
    let mut note = |host: &mut Host| {
        let others = host.take_logs().into_iter().filter(|line| !line.text.starts_with("retrohook-dead-letter"));
        lines.extend(others.map(|line| (line.level, line.text)));
    };
    // 3,000 events in 30 s, of which 2,000 find no room.
    for second in 0..30 {
        (0..100).for_each(|number| Way::HttpFilter.run(&mut host, &numbered(second * 100 + number)));
        for _ in 0..10 {
            host.advance(Duration::from_millis(100)).unwrap();
            for callout in host.take_callouts() {
                host.fail(callout.token, FailureKind::Refused).unwrap();
            }
        }
        note(&mut host);
    }
    assert_eq!(deliver(&mut host, LONG).len(), 1_000);
    note(&mut host);
    let count = |level, text: &str| lines.iter().filter(|(found, line)| *found == level && line.contains(text)).count();
    assert_eq!(count(LogLevel::Info, "starts"), 1);
    assert_eq!(count(LogLevel::Warn, "delivery fails and will be tried again"), 1);
    assert_eq!(count(LogLevel::Warn, "the queue is more than 80 % full"), 1);
    assert_eq!(count(LogLevel::Info, "delivery succeeds again"), 1);
    assert_eq!(count(LogLevel::Info, "the queue has drained"), 1);
    // At once, and every ten seconds of the twenty in which it was full.
    let losses = count(LogLevel::Error, "event(s) lost, the queue is full");
    assert!((2..=4).contains(&losses), "{lines:?}");
    assert_eq!(lines.len(), 5 + losses, "{lines:?}");
}

#[test]
fn an_event_is_tried_for_as_long_as_configured_and_then_lost() {
    let mut host = with_queue(json!({"max_age_seconds": 3}));
    run_numbered(&mut host, 2);
    let mut attempts = 0;
    for _ in 0..3_000 / 25 - 1 {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            attempts += 1;
            host.respond(callout.token, Response::new(500)).unwrap();
        }
    }
    assert!(attempts >= 4, "{attempts}");
    assert_eq!(count(&host, Metric::EventsDroppedExpired), 0);
    host.advance(TICK).unwrap();
    for callout in host.take_callouts() {
        host.respond(callout.token, Response::new(500)).unwrap();
    }
    assert_eq!(deliver(&mut host, LONG), []);
    assert_eq!(count(&host, Metric::EventsDroppedExpired), 2);
    let lines = logged(&mut host, LogLevel::Error);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("2 event(s) lost, not delivered within queue.max_age_seconds: event 0"), "{lines:?}");
}

#[test]
fn an_event_that_is_acknowledged_after_its_time_is_not_lost() {
    let mut host = start(&config(json!({"queue": {"max_age_seconds": 1}})));
    run_numbered(&mut host, 1);
    host.advance(MAX_DELAY).unwrap();
    let callout = host.take_callouts().remove(0);
    host.advance(Duration::from_secs(2)).unwrap();
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    host.advance(TICK).unwrap();
    assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::EventsDroppedExpired)), (1, 0));
}
