//! The queue in the host's shared data: whatever kills the worker that sends, another one or its
//! VM's successor goes on, and nothing overtakes what was queued before.

use std::collections::BTreeSet;
use std::time::Duration;

use proxy_wasm_test_host::{ExchangeSpec, Host, LogLevel, Profile, SharedData};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::sns::{self, Entry};
use crate::support::{
    config, count, deliver, load, logged, numbered, numbers, run_numbered, start, Way, GATEWAYS, LONG, MAX_DELAY, TICK,
};

/// Longer than a lease lives without a renewal, also for a worker without traffic.
pub(crate) const EXPIRY: Duration = Duration::from_secs(13);

/// Lets time pass in all workers at once, and returns what each delivered.
fn deliver_by_all(hosts: &mut [Host], time: Duration) -> Vec<Vec<Entry>> {
    let mut delivered = vec![Vec::new(); hosts.len()];
    for _ in 0..time.as_millis() / TICK.as_millis() {
        for (host, delivered) in hosts.iter_mut().zip(&mut delivered) {
            delivered.extend(deliver(host, TICK));
        }
    }
    delivered
}

/// Returns the number of entries in a store that have not come to their end: those of all queues.
pub(crate) fn events_in(shared: &SharedData) -> usize {
    let is_event = |key: &Vec<u8>| {
        let is_slot = key.starts_with(b"retrohook/4/") && key[key.len() - 4] != 0xff;
        // Queued or claimed, where an entry of the directory has the length of a name.
        is_slot && shared.get(key).is_some_and(|value| matches!(value.get(24), Some(1 | 2)))
    };
    shared.keys().iter().filter(|key| is_event(key)).count()
}

/// Brings numbers into their order: workers that help with a long queue of a topic without one take
/// what is further behind.
fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers
}

/// Returns the store of a worker that is gone and left this many events.
fn left_by_a_worker(count: usize) -> SharedData {
    let shared = SharedData::new();
    let mut gone = Way::HttpFilter.journaled_as(&json!({}), shared.clone(), 1);
    gone.advance(TICK).unwrap();
    run_numbered(&mut gone, count);
    drop(gone);
    shared
}

#[test]
fn a_queue_survives_a_trap_of_its_vm() {
    for way in GATEWAYS {
        let mut host = way.journaled(&json!({}), SharedData::new());
        host.advance(TICK).unwrap();
        for number in 0..25 {
            way.run(&mut host, &numbered(number));
        }
        // On Envoy some are in flight, and their reply goes nowhere. On Kong a reply would come to
        // a VM that knows nothing of it.
        if way != Way::Kong {
            host.advance(MAX_DELAY).unwrap();
            assert!(host.in_flight() > 0);
            host.take_callouts();
        }
        host.revive().unwrap();
        way.run(&mut host, &numbered(25));
        let delivered = deliver(&mut host, EXPIRY);
        assert_eq!(sorted(numbers(&delivered)), (0..26).collect::<Vec<_>>(), "{way:?}");
        assert_eq!(events_in(&host.shared_data()), 0);
        // Of what is beyond two rounds of calls some is sent before anybody takes the queue over.
        let adopted = if way == Way::Kong { 20 } else { 26 };
        assert_eq!((count(&host, Metric::EventsAdopted), count(&host, Metric::QueuedEntries)), (adopted, 0), "{way:?}");
        assert_eq!(deliver(&mut host, LONG), []);
    }
}

#[test]
fn a_queue_survives_its_killed_worker_on_kong() {
    let shared = SharedData::new();
    let mut killed = Way::Kong.journaled_as(&json!({}), shared.clone(), 1);
    let mut other = Way::Kong.journaled_as(&json!({}), shared.clone(), 2);
    for number in 0..5 {
        Way::Kong.run(&mut killed, &numbered(number));
    }
    drop(killed);
    assert_eq!(numbers(&deliver(&mut other, EXPIRY)), [0, 1, 2, 3, 4]);
    assert_eq!(events_in(&shared), 0);
}

#[test]
fn one_of_several_workers_takes_a_queue_over() {
    let shared = SharedData::new();
    let mut hosts: Vec<_> =
        (1..=4).map(|seed| Way::HttpFilter.journaled_as(&json!({}), shared.clone(), seed)).collect();
    run_numbered(&mut hosts[0], 30);
    hosts[0].revive().unwrap();
    let delivered = deliver_by_all(&mut hosts, EXPIRY);
    assert_eq!(delivered.iter().filter(|each| !each.is_empty()).count(), 1, "one worker adopts them all");
    assert_eq!(numbers(delivered.iter().flatten()), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_successor_that_dies_while_it_adopts_loses_nothing() {
    for way in GATEWAYS {
        let shared = SharedData::new();
        let mut first = way.journaled_as(&json!({"max_in_flight": 1}), shared.clone(), 1);
        (0..300).for_each(|number| way.run(&mut first, &numbered(number)));
        drop(first);
        let mut successor = way.journaled_as(&json!({"max_in_flight": 1}), shared.clone(), 2);
        let mut seen: Vec<usize> = Vec::new();
        while seen.len() < 50 {
            seen.extend(numbers(&deliver(&mut successor, TICK)));
        }
        way.run(&mut successor, &numbered(300));
        let left = events_in(&shared);
        assert!(left > 100 && left < 300, "in the middle of it: {left}");
        drop(successor);
        let mut last = way.journaled_as(&json!({}), shared.clone(), 3);
        let rest = numbers(&deliver(&mut last, LONG));
        assert_eq!(rest.len(), left, "{way:?}: no settled event is adopted");
        seen.extend(rest);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (0..=300).collect());
        assert_eq!(events_in(&shared), 0);
    }
}

#[test]
fn a_replaced_filter_that_ends_too_soon_has_a_successor() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 7);
    host.replace_plugin(config(json!({"attributes": {"by": "new"}})).to_string()).unwrap();
    // The VM is brought back without what was draining in it.
    host.revive().unwrap();
    assert_eq!(numbers(&deliver(&mut host, EXPIRY)), (0..7).collect::<Vec<_>>());
}

#[test]
fn on_kong_a_changed_configuration_loses_nothing_where_there_is_a_journal() {
    for journal in ["on", "off"] {
        let changed = |by: &str| config(json!({"attributes": {"by": by}, "queue": {"journal": journal}})).to_string();
        let mut host = load(Way::Kong.builder().shared_data(SharedData::new()));
        host.start_plugin(changed("old")).unwrap();
        (0..7).for_each(|number| Way::Kong.run(&mut host, &numbered(number)));
        host.replace_plugin(changed("new")).unwrap();
        (7..9).for_each(|number| Way::Kong.run(&mut host, &numbered(number)));
        host.collect_replaced_plugins().unwrap();
        Way::Kong.run(&mut host, &numbered(9));
        let mut delivered = numbers(&deliver(&mut host, EXPIRY));
        delivered.sort_unstable();
        let expected: Vec<_> = if journal == "on" { (0..10).collect() } else { vec![9] };
        assert_eq!(delivered, expected, "with the journal {journal}");
    }
}

#[test]
fn on_kong_a_changed_configuration_loses_nothing_where_plans_are_kept() {
    let mut host = Way::Kong.start(&config(json!({})));
    for change in 0..5 {
        (0..7).for_each(|number| Way::Kong.run(&mut host, &numbered(change * 7 + number)));
        host.replace_plugin(config(json!({"attributes": {"by": change.to_string()}})).to_string()).unwrap();
    }
    let mut delivered = numbers(&deliver(&mut host, EXPIRY));
    delivered.sort_unstable();
    assert_eq!(delivered, (0..35).collect::<Vec<_>>());
}

#[test]
fn a_replaced_filter_that_drains_keeps_its_queue() {
    let mut host = start(&config(json!({"timeout_ms": 60_000, "max_in_flight": 1})));
    run_numbered(&mut host, 3);
    host.advance(MAX_DELAY).unwrap();
    let callout = host.take_callouts().remove(0);
    host.replace_plugin(config(json!({})).to_string()).unwrap();
    host.advance(Duration::from_secs(30)).unwrap();
    assert_eq!(host.take_callouts(), [], "its events wait for a slow reply");
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(deliver(&mut host, LONG), []);
    assert_eq!(count(&host, Metric::EventsPublished), 3);
}

#[test]
fn an_adopted_event_keeps_its_id_its_time_and_the_order_of_its_group() {
    let topic = "arn:aws:sns:us-east-1:123456789012:profile-events.fifo";
    let routes = json!([{"method": "PUT", "matcher": "/profile/(?<id>[^/]+)", "message_group_id": "${path.id}"}]);
    let changes = json!({"topic_arn": topic, "routes": routes, "max_in_flight": 1, "queue": {"max_age_seconds": 30}});
    let mut host = Way::HttpFilter.journaled(&changes, SharedData::new());
    for path in ["a/0", "b/0", "a/1", "a/2", "b/1"] {
        Way::HttpFilter.run(&mut host, &ExchangeSpec::new("PUT", format!("/profile/{path}")));
    }
    host.advance(MAX_DELAY).unwrap();
    let before = sns::entries(&host.take_callouts().remove(0));
    host.revive().unwrap();
    let after = deliver(&mut host, EXPIRY);
    let of = |group: &str| {
        let uri = |entry: &Entry| entry.message["request"]["uri"].as_str().unwrap().to_owned();
        after.iter().map(uri).filter(|uri| uri.contains(group)).collect::<Vec<_>>()
    };
    assert_eq!(of("/a/"), ["/profile/a/0", "/profile/a/1", "/profile/a/2"]);
    assert_eq!(of("/b/"), ["/profile/b/0", "/profile/b/1"]);
    let first = |entries: &[Entry]| (entries[0].event_id().to_owned(), entries[0].message.clone());
    assert_eq!(first(&after), first(&before));
    // Its age goes on, except while nobody has it.
    Way::HttpFilter.run(&mut host, &ExchangeSpec::new("PUT", "/profile/c/0"));
    host.advance(Duration::from_secs(20)).unwrap();
    host.take_callouts();
    host.revive().unwrap();
    host.advance(EXPIRY + Duration::from_secs(20)).unwrap();
    assert_eq!(count(&host, Metric::EventsDroppedExpired), 1);
}

#[test]
fn a_smaller_bound_drops_no_more_of_what_was_left_than_comes_in() {
    let shared = left_by_a_worker(40);
    let small = json!({"queue": {"max_entries": 15}, "max_in_flight": 1, "timeout_ms": 60_000});
    let mut successor = Way::HttpFilter.journaled_as(&small, shared, 2);
    run_numbered(&mut successor, 10);
    successor.advance(EXPIRY).unwrap();
    assert_eq!(count(&successor, Metric::QueuedEntries), 40);
    assert_eq!(count(&successor, Metric::EventsDroppedQueueFull), 10);
    let callout = successor.take_callouts().remove(0);
    successor.respond(callout.token, sns::accept(&callout)).unwrap();
    let delivered = [numbers(&sns::entries(&callout)), numbers(&deliver(&mut successor, LONG))].concat();
    let kept = (10..40).chain(0..10).collect();
    assert_eq!(sorted(delivered), sorted(kept), "the oldest have given way");
}

#[test]
fn a_process_that_ends_leaves_letters_of_a_queue_that_was_taken_over() {
    let shared = left_by_a_worker(40);
    let small = json!({"queue": {"max_entries": 15}, "max_in_flight": 1});
    let mut successor = Way::HttpFilter.journaled_as(&small, shared, 2);
    successor.advance(EXPIRY).unwrap();
    successor.take_logs();
    successor.stop().unwrap();
    assert_eq!(crate::dead_letters::written(&mut successor).len(), 40);
}

#[test]
fn gauges_are_right_again_after_a_trap() {
    let mut host = start(&config(json!({"max_in_flight": 1})));
    run_numbered(&mut host, 20);
    host.advance(MAX_DELAY).unwrap();
    host.take_callouts();
    assert_eq!(count(&host, Metric::QueuedEntries), 20);
    run_numbered(&mut host, 3);
    host.revive().unwrap();
    host.advance(MAX_DELAY).unwrap();
    assert_eq!(count(&host, Metric::QueuedEntries), 20, "they are still somewhere");
    assert_eq!(deliver(&mut host, EXPIRY).len(), 23);
    assert_eq!((count(&host, Metric::QueuedEntries), count(&host, Metric::QueuedBytes)), (0, 0));
}

#[test]
fn a_store_that_is_too_small_costs_the_journal_and_nothing_else() {
    let mut host = Way::Kong.journaled(&json!({}), SharedData::with_capacity(4_000));
    (0..20).for_each(|number| Way::Kong.run(&mut host, &numbered(number)));
    let delivered = numbers(&deliver(&mut host, EXPIRY));
    assert_eq!((delivered.len(), delivered.into_iter().collect()), (20, (0..20).collect::<BTreeSet<_>>()));
    assert!(count(&host, Metric::JournalFailures) > 10);
    let lines = logged(&mut host, LogLevel::Warn);
    assert_eq!(lines.iter().filter(|line| line.starts_with("the journal does not keep everything")).count(), 1);
}

#[test]
fn what_another_version_has_written_is_left_alone() {
    let shared = left_by_a_worker(2);
    let older = SharedData::new();
    for key in shared.keys() {
        let mut renamed = key.clone();
        renamed[10] = b'2';
        older.insert(renamed, shared.get(&key).unwrap());
    }
    let before: Vec<_> = older.keys().into_iter().map(|key| (older.get(&key), key)).collect();
    let mut host = Way::HttpFilter.journaled_as(&json!({}), older.clone(), 2);
    run_numbered(&mut host, 1);
    assert_eq!(deliver(&mut host, EXPIRY).len(), 1);
    assert!(before.iter().all(|(value, key)| older.get(key) == *value));
}

#[test]
fn events_of_another_topic_are_left_alone_for_a_minute() {
    let shared = left_by_a_worker(2);
    let other = json!({"topic_arn": "arn:aws:sns:us-east-1:123456789012:other"});
    let mut host = Way::HttpFilter.journaled_as(&other, shared.clone(), 2);
    assert_eq!(deliver(&mut host, EXPIRY), []);
    assert_eq!(events_in(&shared), 2);
}

#[test]
fn a_vm_that_only_tries_a_configuration_touches_nothing() {
    let shared = SharedData::new();
    let mut gone = Way::HttpFilter.journaled_as(&json!({}), shared.clone(), 1);
    run_numbered(&mut gone, 2);
    let keys = shared.keys();
    for _ in 0..10 {
        let mut canary = Way::HttpFilter.journaled_as(&json!({}), shared.clone(), 2);
        canary.stop().unwrap();
        let lines: Vec<&str> = canary.logs().iter().map(|line| line.text.as_str()).collect();
        assert_eq!(lines, [format!("Retrohook {} starts", retrohook::metrics::VERSION)]);
    }
    assert_eq!((shared.keys(), events_in(&shared)), (keys, 2));
}

#[test]
fn without_a_journal_no_shared_data_is_touched() {
    for (profile, journal) in [(Profile::Envoy, "off"), (Profile::Kong, "off"), (Profile::Kong, "auto")] {
        let way = if profile == Profile::Kong { Way::Kong } else { Way::HttpFilter };
        let mut host = load(way.builder().shared_data(SharedData::new()));
        let ((), usage) = host.measure(|host| {
            host.start_plugin(config(json!({"queue": {"journal": journal}})).to_string()).unwrap();
            way.run(host, &numbered(0));
            assert_eq!(deliver(host, Duration::from_secs(3)).len(), 1);
        });
        assert_eq!(usage.calls_of("proxy_set_shared_data") + usage.calls_of("proxy_get_shared_data"), 0, "{profile:?}");
    }
}

#[test]
fn on_kong_a_journal_without_memory_for_it_keeps_the_filter_from_starting() {
    let mut host = load(Host::builder(Profile::Kong));
    let error = host.start_plugin(config(json!({"queue": {"journal": "on"}})).to_string()).unwrap_err();
    assert!(error.to_string().contains("could not resolve namespace"), "{error}");
}
