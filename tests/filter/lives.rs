//! What the filter does over time: a configuration that is replaced, groups whose order is kept,
//! and idleness that costs nothing.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, Response, SharedData};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns::{self, Entry};
use crate::support::{config, count, deliver, numbers, put, run_numbered, start, Way, LONG, MAX_DELAY, TICK};

#[test]
fn a_replaced_filter_still_delivers_what_it_has() {
    for in_flight_at_change in [false, true] {
        let mut host = start(&config(json!({})));
        run_numbered(&mut host, 12);
        if in_flight_at_change {
            host.advance(TICK).unwrap();
        }
        let [old] = host.roots()[..] else { panic!("{:?}", host.roots()) };
        let new = host.replace_plugin(config(json!({"attributes": {"by": "new"}})).to_string()).unwrap();
        assert_eq!(host.roots(), [old, new], "until the new one has taken over");
        run_numbered(&mut host, 1);
        let delivered = deliver(&mut host, MAX_DELAY + TICK);
        let by_new = |entry: &&Entry| entry.attribute("by").is_some();
        let (of_new, of_old): (Vec<_>, Vec<_>) = delivered.iter().partition(by_new);
        assert_eq!(numbers(of_old), (0..12).collect::<Vec<_>>());
        assert_eq!(numbers(of_new), [0]);
        // Two looks at the lease show that the new one sends.
        host.advance(Duration::from_secs(2)).unwrap();
        assert_eq!(host.roots(), [new], "the old one goes when it has nothing left");
        assert_eq!(count(&host, Metric::QueuedEntries), 0);
        assert_eq!(count(&host, Metric::EventsPublished), 13);
    }
}

#[test]
fn a_replaced_filter_with_nothing_left_goes_at_once_and_leaves_its_counts() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 1);
    host.advance(MAX_DELAY).unwrap();
    let callout = host.take_callouts().remove(0);
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    let new = host.replace_plugin(config(json!({})).to_string()).unwrap();
    assert_eq!(host.roots(), [new]);
    assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::QueuedEntries)), (1, 0));
}

#[test]
fn a_refused_configuration_leaves_the_old_filter_as_it_is() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 1);
    host.replace_plugin("{}").unwrap_err();
    assert_eq!(host.roots().len(), 1);
    run_numbered(&mut host, 1);
    assert_eq!(deliver(&mut host, MAX_DELAY).len(), 2);
}

const FIFO_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:profile-events.fifo";

fn fifo(group: Value) -> Host {
    let routes = json!([{"method": "PUT", "matcher": "/profile/(?<id>[^/]+)", "message_group_id": group}]);
    start(&config(json!({"topic_arn": FIFO_TOPIC, "routes": routes})))
}

fn run_paths(host: &mut Host, paths: &[&str]) {
    for path in paths {
        Way::HttpFilter.run(host, &ExchangeSpec::new("PUT", format!("/profile/{path}")));
    }
}

/// The one request that is sent after the usual delay.
fn sent(host: &mut Host) -> (Callout, Vec<Entry>) {
    host.advance(MAX_DELAY).unwrap();
    let mut callouts = host.take_callouts();
    assert_eq!(callouts.len(), 1);
    let callout = callouts.remove(0);
    let entries = sns::entries(&callout);
    (callout, entries)
}

fn paths(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry.message["request"]["uri"].as_str().unwrap().trim_start_matches("/profile/"))
        .collect()
}

#[test]
fn a_fifo_topic_gets_groups_in_order_one_message_of_each_at_a_time() {
    let mut host = fifo(json!("${path.id}"));
    run_paths(&mut host, &["a/0", "a/1", "b/2", "a/3", "b/4", "c/5"]);
    let mut order = Vec::new();
    for expected in [vec!["a/0", "b/2", "c/5"], vec!["a/1", "b/4"], vec!["a/3"]] {
        let (callout, entries) = sent(&mut host);
        assert_eq!(paths(&entries), expected);
        for entry in &entries {
            assert_eq!(entry.deduplication_id.as_deref(), Some(entry.event_id()));
            assert_eq!(entry.group_id.as_deref(), paths(std::slice::from_ref(entry))[0].split('/').next());
        }
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        order.extend(entries);
    }
    assert_eq!(order.len(), 6);
    assert_eq!(deliver(&mut host, LONG), []);
}

#[test]
fn a_message_that_failed_is_not_overtaken_by_its_group_and_keeps_its_ids() {
    let mut host = fifo(json!("${path.id}"));
    run_paths(&mut host, &["a/0", "a/1", "b/2"]);
    let (callout, first) = sent(&mut host);
    assert_eq!(paths(&first), ["a/0", "b/2"]);
    host.respond(callout.token, Response::new(500)).unwrap();
    let delivered = deliver(&mut host, LONG);
    let of_a: Vec<_> = paths(&delivered).into_iter().filter(|path| path.starts_with('a')).map(str::to_owned).collect();
    assert_eq!(of_a, ["a/0", "a/1"]);
    let again = delivered.iter().find(|entry| paths(std::slice::from_ref(entry)) == ["a/0"]).unwrap();
    assert_eq!(again.deduplication_id, first[0].deduplication_id);
    assert_eq!(delivered.len(), 3);
}

#[test]
fn an_event_without_a_group_is_a_group_of_its_own() {
    let mut host = fifo(json!("${request.headers.x-group}"));
    run_paths(&mut host, &["a", "b"]);
    let (_, entries) = sent(&mut host);
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(entry.group_id.as_deref(), Some(entry.event_id()));
    }
}

#[test]
fn an_idle_filter_asks_for_the_time_and_once_a_second_for_others_that_are_gone() {
    let ticks = 400;
    let mut host = start(&config(json!({})));
    host.advance(Duration::from_secs(1)).unwrap();
    for busy_before in [false, true] {
        if busy_before {
            Way::HttpFilter.run(&mut host, &put());
            assert_eq!(deliver(&mut host, LONG).len(), 1);
        }
        let (_, usage) = host.measure(|host| host.advance(TICK * ticks).unwrap());
        assert_eq!(usage.callbacks, u64::from(ticks));
        assert_eq!(usage.calls_of("proxy_get_current_time_nanoseconds"), u64::from(ticks));
        // The end of the queue at each tick; and once a second the lease, and one record, or the
        // end of the list, in the list of targets.
        let looks = u64::from(ticks) + if busy_before { 10 + 20 } else { 10 + 10 };
        assert_eq!(usage.calls_of("proxy_get_shared_data"), looks);
        // The lease is renewed, and the target in that list is claimed again now and then.
        let claims = usage.calls_of("proxy_set_shared_data");
        assert_eq!(claims, 10 + u64::from(busy_before));
        assert_eq!(usage.total_host_calls(), u64::from(ticks) + looks + claims, "{:?}", usage.host_calls);
        assert_eq!((usage.memory_grown_bytes, host.take_callouts().len()), (0, 0));
    }
}

/// Lets time pass for workers of one process, and answers their calls to SNS. Returns how often
/// each was woken, and which events came when, in the time from now.
fn pass(hosts: &mut [Host], time: Duration) -> (Vec<u64>, Vec<(usize, Duration)>) {
    let (mut callbacks, mut arrivals) = (vec![0; hosts.len()], vec![]);
    let mut passed = Duration::ZERO;
    while passed < time {
        passed += TICK;
        for (callbacks, host) in callbacks.iter_mut().zip(hosts.iter_mut()) {
            let (_, usage) = host.measure(|host| host.advance(TICK).unwrap());
            *callbacks += usage.callbacks;
            for callout in host.take_callouts() {
                let entries = sns::entries(&callout);
                arrivals.extend(numbers(&entries).into_iter().map(|number| (number, passed)));
                host.respond(callout.token, sns::accept(&callout)).unwrap();
            }
        }
    }
    (callbacks, arrivals)
}

#[test]
fn a_worker_that_sends_for_nobody_is_woken_ten_times_a_second_and_nothing_is_late() {
    let route = |method: &str| json!({"method": method, "matcher": "/profile", "message_group_id": "all"});
    let mut waits = route("PUT");
    waits.as_object_mut().unwrap().extend([("delivery".to_owned(), json!("before_response"))]);
    let topic = "arn:aws:sns:us-east-1:123456789012:profiles.fifo";
    let changes = json!({"topic_arn": topic, "routes": [waits, route("POST")]});
    let shared = SharedData::new();
    let worker = |seed| Way::HttpFilter.journaled_as(&changes, shared.clone(), seed);
    let mut hosts = vec![worker(1), worker(2)];
    let second = Duration::from_secs(1);
    pass(&mut hosts, 3 * second);
    let (callbacks, _) = pass(&mut hosts, 10 * second);
    assert_eq!(callbacks, [400, 100], "the first one sends");

    let post = ExchangeSpec::new("POST", "/profile/0");
    hosts[1].exchange(&post).unwrap();
    let (callbacks, arrivals) = pass(&mut hosts, second);
    assert!(matches!(arrivals[..], [(_, after)] if after <= MAX_DELAY + 2 * TICK), "{arrivals:?}");
    assert!(callbacks[1] <= 11, "it has nothing to do with it: {callbacks:?}");

    // Another worker sends what this response waits for.
    let held = hosts[1].exchange(&put()).unwrap();
    let mut passed = Duration::ZERO;
    while hosts[1].take_finished(held.stream).is_none() {
        pass(&mut hosts, TICK);
        passed += TICK;
        assert!(passed <= 4 * TICK, "it is released by the next tick but one");
    }
    pass(&mut hosts, second);
    assert_eq!(pass(&mut hosts, second).0, [40, 10]);

    // The other worker is gone, and this one takes over as soon as if it had not been slow.
    hosts[1].exchange(&post).unwrap();
    hosts.remove(0);
    let (_, arrivals) = pass(&mut hosts, 10 * second);
    assert!(matches!(arrivals[..], [(_, after)] if after <= 6 * second + MAX_DELAY + TICK), "{arrivals:?}");
    assert_eq!(pass(&mut hosts, second).0, [40]);
}

#[test]
fn waiting_for_replies_makes_no_calls_either() {
    let mut host = start(&config(json!({"timeout_ms": 60_000})));
    run_numbered(&mut host, 50);
    host.advance(MAX_DELAY).unwrap();
    assert_eq!(host.take_callouts().len(), 4);
    let (_, usage) = host.measure(|host| host.advance(Duration::from_secs(30)).unwrap());
    assert_eq!(usage.calls_of("proxy_http_call"), 0);
    assert_eq!(usage.calls_of("proxy_record_metric"), 30, "the age of the oldest, once a second");
}
