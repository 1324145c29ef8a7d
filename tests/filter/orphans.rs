//! Events of a target that no configuration has any more: each becomes a dead letter, and gauges
//! come down.

use std::time::Duration;

use proxy_wasm_test_host::{Host, LogLevel, SharedData};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::dead_letters::{refused_by_sns, written};
use crate::journal::{events_in, EXPIRY};
use crate::support::{
    config, count, deliver, logged, numbered, run_numbered, sqs, start, Way, GATEWAYS, MAX_DELAY, TICK, TOPIC,
};

/// Longer than a target goes unclaimed before its events become letters.
const GRACE: Duration = Duration::from_secs(75);

const OTHER: &str = "arn:aws:sns:us-east-1:123456789012:other";
const DEAD_LETTERS: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters";

/// Returns the store of a worker that is gone and left this many events.
fn left(way: Way, count: usize) -> SharedData {
    let shared = SharedData::new();
    let mut gone = way.journaled_as(&json!({}), shared.clone(), 1);
    (0..count).for_each(|number| way.run(&mut gone, &numbered(number)));
    shared
}

fn other() -> Value {
    json!({"topic_arn": OTHER})
}

/// The path and the target in each letter, which is of this reason.
fn orphans(letters: &[Value]) -> Vec<(String, Value)> {
    let orphan = |letter: &Value| {
        assert_eq!(letter["reason"], "orphaned");
        let message: Value = serde_json::from_str(letter["message"].as_str().unwrap()).unwrap();
        let uri = message["request"]["uri"].as_str().unwrap().to_owned();
        (uri, letter["target"].clone())
    };
    letters.iter().map(orphan).collect()
}

#[test]
fn a_change_of_target_and_a_trap_leave_letters_and_the_gauge_comes_down() {
    let mut host = start(&config(json!({"max_in_flight": 1})));
    run_numbered(&mut host, 20);
    host.advance(MAX_DELAY).unwrap();
    assert_eq!(host.take_callouts().len(), 1, "some are in flight");
    host.replace_plugin(config(other()).to_string()).unwrap();
    host.advance(Duration::from_secs(1)).unwrap();
    // The VM is brought back without what was draining in it.
    host.revive().unwrap();
    host.take_callouts();
    assert_eq!(deliver(&mut host, Duration::from_secs(55)), []);
    assert_eq!((count(&host, Metric::QueuedEntries), written(&mut host).len()), (20, 0), "it may be rolled back");
    assert_eq!(deliver(&mut host, GRACE), []);
    let notices = host.logs().iter().filter(|line| line.text.contains("no configuration has")).count();
    assert_eq!(notices, 1);
    let letters = orphans(&written(&mut host));
    let expected = |number| (format!("/mockbin/profile/{number}"), json!({"topic_arn": TOPIC, "region": "us-east-1"}));
    assert_eq!(letters, (0..20).map(expected).collect::<Vec<_>>());
    let gauges = [Metric::QueuedEntries, Metric::QueuedBytes, Metric::EventsDroppedOrphaned];
    assert_eq!(gauges.map(|metric| count(&host, metric)), [0, 0, 20]);
    assert_eq!(events_in(&host.shared_data()), 0);
    assert_eq!(deliver(&mut host, GRACE), []);
    assert_eq!(written(&mut host).len(), 0);
}

#[test]
fn a_change_that_is_rolled_back_within_a_minute_loses_nothing() {
    for way in GATEWAYS {
        let shared = left(way, 5);
        let mut changed = way.journaled_as(&other(), shared.clone(), 2);
        assert_eq!(deliver(&mut changed, Duration::from_secs(55)), []);
        let mut back = way.journaled_as(&json!({}), shared.clone(), 3);
        let mut delivered = 0;
        for _ in 0..GRACE.as_secs() {
            delivered += deliver(&mut back, Duration::from_secs(1)).len();
            assert_eq!(deliver(&mut changed, Duration::from_secs(1)), []);
        }
        assert_eq!((delivered, written(&mut changed).len(), events_in(&shared)), (5, 0, 0), "{way:?}");
    }
}

#[test]
fn another_region_makes_another_target_and_another_role_or_endpoint_does_not() {
    let bus = |region| {
        let route = json!([{"method": "PUT", "matcher": "/profile", "event_type": "profile.put"}]);
        json!({"topic_arn": null, "event_bus": "orders", "region": region, "routes": route})
    };
    let shared = SharedData::new();
    let mut gone = Way::Kong.journaled_as(&bus("us-east-1"), shared.clone(), 1);
    Way::Kong.run(&mut gone, &numbered(0));
    drop(gone);
    let mut moved = Way::Kong.journaled_as(&bus("eu-west-1"), shared.clone(), 2);
    moved.advance(GRACE).unwrap();
    let letters = orphans(&written(&mut moved));
    assert_eq!(letters, [("/mockbin/profile/0".to_owned(), json!({"event_bus": "orders", "region": "us-east-1"}))]);

    let credentials = json!({"source": "static", "access_key_id": "AKIAOTHER", "secret_access_key": "other"});
    let changes = json!({"endpoint": "http://sns.internal:8080", "credentials": credentials});
    let mut same = Way::Kong.journaled_as(&changes, left(Way::Kong, 3), 2);
    assert_eq!(deliver(&mut same, EXPIRY).len(), 3, "with what the configuration has now");
}

#[test]
fn a_dead_letter_queue_that_is_removed_leaves_its_letters_to_the_log() {
    let shared = SharedData::new();
    let with_queue = json!({"dead_letter": {"queue_url": DEAD_LETTERS}, "max_in_flight": 8});
    let mut gone = Way::Kong.journaled_as(&with_queue, shared.clone(), 1);
    (0..3).for_each(|number| Way::Kong.run(&mut gone, &numbered(number)));
    refused_by_sns(&mut gone, |_| sqs::refusal(403, "AccessDenied"));
    assert_eq!((written(&mut gone).len(), events_in(&shared)), (0, 3), "they wait for the queue");
    drop(gone);
    let mut without = Way::Kong.journaled_as(&json!({}), shared.clone(), 2);
    without.advance(GRACE).unwrap();
    let letters = written(&mut without);
    assert_eq!(letters.iter().map(|letter| &letter["reason"]).collect::<Vec<_>>(), ["refused"; 3]);
    assert_eq!((count(&without, Metric::EventsDroppedOrphaned), events_in(&shared)), (0, 0));
}

#[test]
fn letters_of_orphans_go_to_the_dead_letter_queue_where_there_is_one() {
    let with_queue = json!({"topic_arn": OTHER, "dead_letter": {"queue_url": DEAD_LETTERS}});
    let shared = left(Way::Kong, 3);
    let mut host = Way::Kong.journaled_as(&with_queue, shared, 2);
    let mut letters = Vec::new();
    for _ in 0..GRACE.as_secs() {
        host.advance(Duration::from_secs(1)).unwrap();
        letters.extend(refused_by_sns(&mut host, sqs::accept));
    }
    let reasons: Vec<_> = letters.iter().filter_map(|letter| letter.attribute("reason")).collect();
    assert_eq!(reasons, [("String", "orphaned"); 3]);
    assert_eq!((written(&mut host).len(), count(&host, Metric::DeadLettersStored)), (0, 3));
}

#[test]
fn a_crowd_of_orphans_becomes_letters_a_few_at_a_tick_and_one_worker_writes_them() {
    let shared = left(Way::HttpFilter, 500);
    let worker = |seed| Way::HttpFilter.journaled_as(&other(), shared.clone(), seed);
    let mut hosts: Vec<Host> = (2..5).map(worker).collect();
    let mut letters = vec![0; hosts.len()];
    for _ in 0..GRACE.as_millis() / TICK.as_millis() {
        for (host, letters) in hosts.iter_mut().zip(&mut letters) {
            host.advance(TICK).unwrap();
            let written = written(host).len();
            assert!(written <= 64, "{written}");
            *letters += written;
        }
    }
    letters.sort_unstable();
    assert_eq!((letters, events_in(&shared)), (vec![0, 0, 500], 0));
}

#[test]
fn without_letters_in_the_log_orphans_are_counted() {
    let changes = json!({"topic_arn": OTHER, "dead_letter": {"log": false}});
    let mut host = Way::Kong.journaled_as(&changes, left(Way::Kong, 2), 2);
    host.advance(GRACE).unwrap();
    assert_eq!(count(&host, Metric::EventsDroppedOrphaned), 2);
    let errors = logged(&mut host, LogLevel::Error);
    assert!(errors.iter().any(|line| line.contains("2 event(s)") && line.contains(TOPIC)), "{errors:?}");
    assert_eq!(written(&mut host).len(), 0);
}
