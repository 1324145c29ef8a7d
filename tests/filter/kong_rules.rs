//! Kong's rules: calls start at ticks, one at a time, gauges are set, and what the host forgets or
//! brings back late stops nothing. And how the filter knows that it is there.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use proxy_wasm_test_host::{Callback, Callout, FailureKind, Host, LogLevel, Profile, Response, SharedData};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns;
use crate::support::{
    config, count, deliver, load, logged, numbered, numbers, of_target, put, run_numbered, Way, GATEWAYS, IDLE_TICK,
    LONG, MAX_DELAY, UPSTREAM,
};

/// How often the filter asks to be woken on Kong while there is something to do, unless the delay
/// of batches is short.
const TICK: Duration = Duration::from_millis(10);

fn start(changes: Value) -> Host {
    Way::Kong.start(&config(changes))
}

#[test]
fn one_call_is_under_way_at_a_time_and_each_starts_at_a_tick() {
    let mut host = start(json!({"max_in_flight": 4}));
    run_numbered(&mut host, 35);
    for size in [10, 10, 10, 5] {
        assert_eq!(host.take_callouts(), []);
        host.advance(if size == 10 { TICK } else { MAX_DELAY }).unwrap();
        let [callout] = &host.take_callouts()[..] else { panic!("one call") };
        assert_eq!(sns::entries(callout).len(), size);
        host.advance(TICK * 10).unwrap();
        host.respond(callout.token, sns::accept(callout)).unwrap();
    }
    assert_eq!((count(&host, Metric::QueuedEntries), host.violations()), (5, &[][..]), "the reply is not yet reported");
    host.advance(TICK).unwrap();
    assert_eq!(count(&host, Metric::QueuedEntries), 0);
}

#[test]
fn one_call_at_a_time_carries_1500_events_a_second() {
    let mut host = start(json!({}));
    run_numbered(&mut host, 5_000);
    let mut carried = 0;
    for _ in 0..1_000 {
        host.advance(Duration::from_millis(1)).unwrap();
        for callout in host.take_callouts() {
            // Answered within the millisecond, as SNS in the same region is not; twenty calls of 5
            // ms would still fit.
            carried += sns::entries(&callout).len();
            host.respond(callout.token, sns::accept(&callout)).unwrap();
        }
    }
    assert!(carried >= 1_500, "{carried}");
    assert_eq!(host.violations(), []);
}

#[test]
fn a_call_that_is_never_answered_frees_its_place_and_a_late_reply_is_ignored() {
    // Kong 3.8 and older do not tell that a call has failed.
    let mut host = load(Host::builder(Profile::Kong).silent_failures());
    host.start_plugin(config(json!({"timeout_ms": 2_000})).to_string()).unwrap();
    run_numbered(&mut host, 3);
    host.advance(MAX_DELAY).unwrap();
    let lost = host.take_callouts().remove(0);
    host.fail(lost.token, FailureKind::Refused).unwrap();
    host.advance(Duration::from_secs(16) - MAX_DELAY).unwrap();
    assert_eq!(host.take_callouts(), [], "longer than Kong may take for connecting, sending and reading");
    host.advance(Duration::from_secs(2)).unwrap();
    let again = host.take_callouts().remove(0);
    host.respond(lost.token, sns::accept(&lost)).unwrap();
    assert_eq!(count(&host, Metric::EventsPublished), 0, "the late reply counts for nothing");
    host.respond(again.token, sns::accept(&again)).unwrap();
    deliver(&mut host, LONG);
    assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::EventsRetried)), (3, 3));
    assert_eq!(count(&host, Metric::CalloutsNoReply), 1);
}

#[test]
fn a_reply_to_an_earlier_instance_is_ignored() {
    let mut host = start(json!({}));
    run_numbered(&mut host, 3);
    host.advance(MAX_DELAY).unwrap();
    let lost = host.take_callouts().remove(0);
    host.revive().unwrap();
    host.respond(lost.token, sns::accept(&lost)).unwrap();
    run_numbered(&mut host, 2);
    host.advance(MAX_DELAY).unwrap();
    let own = host.take_callouts().remove(0);
    host.respond(lost.token, sns::accept(&lost)).unwrap();
    host.respond(own.token, sns::accept(&own)).unwrap();
    deliver(&mut host, LONG);
    assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::QueuedEntries)), (2, 0));
}

#[test]
fn a_failed_call_is_told_of_in_kong_s_words() {
    for (kind, says) in [
        (FailureKind::Refused, "broken connection"),
        (FailureKind::Resolver, "resolver failure"),
        (FailureKind::TlsHandshake, "tls handshake failure"),
        (FailureKind::ClosedWithoutReply, "the connection was closed without a reply"),
        (FailureKind::CutInBody { declared: 500 }, "the reply's body was cut off"),
    ] {
        let mut host = start(json!({}));
        run_numbered(&mut host, 1);
        host.advance(MAX_DELAY).unwrap();
        // One failed call is no news; so many in a row are.
        for _ in 0..5 {
            let token = host.take_callouts()[0].token;
            host.fail(token, kind).unwrap();
            host.advance(Duration::from_secs(2)).unwrap();
        }
        let lines = logged(&mut host, proxy_wasm_test_host::LogLevel::Warn);
        assert!(lines.len() == 1 && lines[0].ends_with(says), "{lines:?}");
    }
}

#[test]
fn a_reply_without_any_header_is_a_reply() {
    let mut host = start(json!({}));
    run_numbered(&mut host, 1);
    host.advance(MAX_DELAY).unwrap();
    let token = host.take_callouts()[0].token;
    host.respond(token, Response::new(500)).unwrap();
    host.advance(TICK).unwrap();
    assert_eq!((count(&host, Metric::CalloutsError), count(&host, Metric::CalloutsNoReply)), (1, 0));
}

#[test]
fn gauges_are_set_and_begin_at_nothing() {
    let mut host = start(json!({}));
    let delivery = &of_target(Metric::Delivery, "profile-events");
    run_numbered(&mut host, 3);
    host.advance(MAX_DELAY).unwrap();
    assert_eq!(count(&host, Metric::QueuedEntries), 3);
    let callout = host.take_callouts().remove(0);
    host.advance(Duration::from_secs(3)).unwrap();
    assert_eq!(count(&host, Metric::OldestEntryAge), 3);
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    host.advance(TICK).unwrap();
    let gauges = [Metric::QueuedEntries, Metric::QueuedBytes, Metric::OldestEntryAge];
    assert_eq!(gauges.map(|gauge| count(&host, gauge)), [0, 0, 0]);
    assert_eq!(host.observations(delivery), [3_100; 3]);
    run_numbered(&mut host, 2);
    host.advance(IDLE_TICK).unwrap();
    assert_eq!(count(&host, Metric::QueuedEntries), 2);
    host.revive().unwrap();
    assert_eq!(gauges.map(|gauge| count(&host, gauge)), [0, 0, 0], "what a trap took is not shown for ever");
}

#[test]
fn an_instance_that_a_request_had_to_make_is_told_of() {
    let mut host = start(json!({}));
    host.replace_plugin(config(json!({"timeout_ms": 4_000})).to_string()).unwrap();
    assert_eq!(logged(&mut host, LogLevel::Error), [""; 0]);
    host.revive().unwrap();
    let [line, _] = &logged(&mut host, LogLevel::Error)[..] else { panic!("a line of each root") };
    assert!(line.contains("nginx_http_proxy_wasm_isolation must be `none`"), "{line}");
    let mut host = Way::HttpFilter.start(&config(json!({})));
    host.revive().unwrap();
    assert_eq!(logged(&mut host, LogLevel::Error), [""; 0]);
}

#[test]
fn more_timers_after_a_trap_are_no_more_work() {
    let ticks = |host: &mut Host| {
        let (_, usage) = host.measure(|host| host.advance(Duration::from_secs(10)).unwrap());
        (usage.callbacks, usage.instructions_in[&Callback::Tick])
    };
    let mut host = start(json!({}));
    // From now on the period stays as it is.
    host.revive().unwrap();
    let (three_timers, work) = ticks(&mut host);
    assert_eq!(three_timers, 3_000);
    for _ in 0..3 {
        host.revive().unwrap();
    }
    let (six_timers, work_of_six) = ticks(&mut host);
    assert_eq!(six_timers, 6_000);
    println!("instructions of a tick that is not its time {}", (work_of_six - work) / 3_000);
    assert!(work_of_six < 2 * work, "{work_of_six} {work}");
    run_numbered(&mut host, 12);
    let mut found = numbers(&deliver(&mut host, LONG));
    found.sort_unstable();
    assert_eq!(found, (0..12).collect::<Vec<_>>());
}

#[test]
fn an_idle_tick_asks_for_the_time_and_sets_the_next() {
    let mut host = start(json!({}));
    host.advance(IDLE_TICK).unwrap();
    let (_, usage) = host.measure(|host| host.advance(IDLE_TICK * 1_000).unwrap());
    // Two timers each: the one's tick takes the period away, the other's gives the next.
    assert_eq!((usage.callbacks, usage.total_host_calls(), usage.memory_grown_bytes), (2_000, 3_000, 0));
}

#[test]
fn ticks_are_few_while_nothing_is_queued_and_an_event_is_sent_as_soon_as_ever() {
    let callbacks = |host: &mut Host, time| host.measure(|host| host.advance(time).unwrap()).1.callbacks;
    let mut host = start(json!({}));
    for millis in (0..50).map(|round| 1_000 + round * 37 % 100) {
        host.advance(Duration::from_millis(millis)).unwrap();
        assert_eq!(callbacks(&mut host, Duration::from_secs(1)), 2 * 20, "neither timer is lost, and none is added");
        let begun = host.now();
        run_numbered(&mut host, 3);
        host.advance(MAX_DELAY + TICK).unwrap();
        let [callout] = &host.take_callouts()[..] else { panic!("it is not late") };
        assert!(callout.sent_at.duration_since(begun).unwrap() >= MAX_DELAY);
        // While a call is under way, ticks are many.
        assert_eq!(callbacks(&mut host, Duration::from_secs(1)), 2 * 100);
        host.respond(callout.token, sns::accept(callout)).unwrap();
    }
    assert_eq!(host.violations(), []);
}

#[test]
fn a_reply_is_followed_by_the_next_full_call_at_once_and_no_timer_is_left_of_it() {
    let mut host = start(json!({}));
    run_numbered(&mut host, 1_000);
    host.advance(IDLE_TICK).unwrap();
    for calls_left in (0..100_u64).rev() {
        let [callout] = &host.take_callouts()[..] else { panic!("one call") };
        // Replies come between any two ticks.
        host.advance(Duration::from_micros(calls_left * 370)).unwrap();
        host.respond(callout.token, sns::accept(callout)).unwrap();
        host.advance(Duration::from_millis(1)).unwrap();
    }
    host.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(count(&host, Metric::EventsPublished), 1_000);
    let (_, usage) = host.measure(|host| host.advance(Duration::from_secs(1)).unwrap());
    assert_eq!((usage.callbacks, host.violations()), (2 * 20, &[][..]));
}

#[test]
fn the_host_is_recognised_or_chosen() {
    // Where a reply starts the next call at once, it is Envoy's rules.
    let calls_from_reply = |way: Way, host: Value| {
        let mut gateway = way.start(&config(json!({"host": host, "max_in_flight": 1})));
        run_numbered(&mut gateway, 20);
        gateway.advance(Duration::from_millis(25)).unwrap();
        let callout = gateway.take_callouts().remove(0);
        gateway.respond(callout.token, sns::accept(&callout)).map(|()| gateway.take_callouts().len())
    };
    for way in GATEWAYS {
        let expected = usize::from(way == Way::HttpFilter);
        for host in [json!(null), json!("auto")] {
            assert_eq!(calls_from_reply(way, host).unwrap(), expected, "{way:?}");
        }
    }
    assert_eq!(calls_from_reply(Way::Kong, json!("kong")).unwrap(), 0);
    assert_eq!(calls_from_reply(Way::HttpFilter, json!("envoy")).unwrap(), 1);
    for (way, other) in [(Way::HttpFilter, "kong"), (Way::Kong, "envoy")] {
        let mut gateway = way.start(&config(json!({"host": other, "queue": {"journal": "off"}})));
        run_numbered(&mut gateway, 20);
        assert_eq!(deliver(&mut gateway, LONG), [], "the other host's properties tell nothing here");
    }
}

#[test]
fn the_signed_host_is_the_one_that_is_sent() {
    let proxy = Some("http://127.0.0.1:8099");
    for (endpoint, given, upstream, host, tls) in [
        (None, None, UPSTREAM, "sns.us-east-1.amazonaws.com", true),
        (Some("https://sns.example.com"), None, "sns.example.com:443", "sns.example.com", true),
        (Some("https://sns.example.com:8443"), None, "sns.example.com:8443", "sns.example.com:8443", true),
        (Some("http://sns.example.com"), None, "sns.example.com:80", "sns.example.com", false),
        (Some("http://127.0.0.1:5000"), None, "127.0.0.1:5000", "127.0.0.1:5000", false),
        (Some("http://[::1]:5000"), None, "[::1]:5000", "[::1]:5000", false),
        // A proxy on the way speaks TLS in the filter's place, and is not what is signed.
        (None, proxy, "127.0.0.1:8099", "sns.us-east-1.amazonaws.com", false),
        (Some("https://sns.example.com:8443"), proxy, "127.0.0.1:8099", "sns.example.com:8443", false),
    ] {
        let mut gateway = start(json!({"endpoint": endpoint, "upstream": given}));
        Way::Kong.run(&mut gateway, &put());
        gateway.advance(MAX_DELAY).unwrap();
        let callout = gateway.take_callouts().remove(0);
        let found = (callout.upstream.as_str(), callout.wire.host.as_str(), callout.wire.tls);
        assert_eq!(found, (upstream, host, Some(tls)));
        assert_eq!(callout.header(":authority").as_deref(), Some(host));
        for own in ["host", "connection"] {
            assert_eq!(callout.header(own), None, "Kong drops it, and a signature of it would not fit");
        }
    }
}

#[test]
fn tls_to_an_address_is_refused_where_the_host_cannot_do_it() {
    let queue = |origin: &str| {
        let own =
            json!({"queue_url": format!("{origin}/1/q"), "region": "us-east-1", "method": "PUT", "matcher": "/a"});
        json!({"routes": [{"method": "PUT", "matcher": "/profile"}, own]})
    };
    for (changes, refused) in [
        (json!({"endpoint": "https://127.0.0.1:8443"}), true),
        (json!({"endpoint": "https://[::1]"}), true),
        (json!({"endpoint": "http://127.0.0.1:5000"}), false),
        (json!({"endpoint": "https://localhost:8443"}), false),
        (json!({"endpoint": "https://127.0.0.1:8443", "upstream": "http://127.0.0.1:8099"}), false),
        (queue("https://127.0.0.1:8443"), true),
        (queue("http://127.0.0.1:5000"), false),
        (queue("https://localhost:8443"), false),
    ] {
        let config = config(changes).to_string();
        let mut kong = load(Host::builder(Profile::Kong));
        let outcome = kong.start_plugin(&config);
        assert_eq!(outcome.is_err(), refused, "{config}");
        if let Err(error) = outcome {
            assert!(error.cause.is_none() && error.to_string().contains("is an address, and Kong"), "{error}");
        }
        load(Host::builder(Profile::Envoy)).start_plugin(&config).unwrap();
    }
}

#[test]
fn a_replaced_configuration_delivers_what_it_has_and_goes_on_ticking() {
    let mut host = start(json!({}));
    run_numbered(&mut host, 12);
    host.replace_plugin(config(json!({"attributes": {"by": "new"}})).to_string()).unwrap();
    Way::Kong.run(&mut host, &numbered(12));
    let mut found = numbers(&deliver(&mut host, LONG));
    found.sort_unstable();
    assert_eq!(found, (0..13).collect::<Vec<_>>());
    assert_eq!(host.roots().len(), 2, "Kong never tells a root that it is done");
}

#[test]
fn where_workers_share_no_queue_a_line_says_that_each_has_an_order_of_its_own() {
    let topic = |name: &str| format!("arn:aws:sns:us-east-1:123456789012:{name}");
    let route =
        |topic: String| json!({"method": "PUT", "matcher": "/profile", "topic_arn": topic, "message_group_id": "g"});
    let routes = |names: &[&str]| names.iter().map(|name| route(topic(name))).collect::<Value>();
    let cases = [
        (Way::Kong, "auto", routes(&["a.fifo"]), 1, "nginx_wasm_shm_kv_retrohook = 64m"),
        (Way::Kong, "off", routes(&["standard", "a.fifo", "b.fifo"]), 1, "`queue.journal` to `on`"),
        (Way::Kong, "on", routes(&["a.fifo"]), 0, ""),
        (Way::Kong, "auto", routes(&["standard"]), 0, ""),
        (Way::HttpFilter, "auto", routes(&["a.fifo"]), 0, ""),
        (Way::HttpFilter, "off", routes(&["a.fifo"]), 1, "leave `queue.journal` out"),
    ];
    for (way, journal, routes, lines, mend) in cases {
        let config = config(json!({"topic_arn": null, "routes": routes, "queue": {"journal": journal}}));
        let builder = way.builder();
        let mut host = load(if journal == "on" { builder.shared_data(SharedData::new()) } else { builder });
        host.start_plugin(config.to_string()).unwrap();
        let warnings = logged(&mut host, LogLevel::Warn);
        let of_order: Vec<_> = warnings.iter().filter(|line| line.contains("order of a FIFO target")).collect();
        assert_eq!(of_order.len(), lines, "{way:?} {journal} {warnings:?}");
        assert!(of_order.iter().all(|line| line.contains(mend)), "{way:?} {journal} {warnings:?}");
        host.advance(LONG).unwrap();
        assert_eq!(logged(&mut host, LogLevel::Warn), [""; 0], "it is said at the start, and once");
    }
}

#[test]
fn a_sender_without_traffic_sends_what_others_have_queued_beside_them() {
    let on = json!({"queue": {"journal": "on"}});
    let sender = json!({"role": "sender", "routes": null, "queue": {"journal": "on"}});
    let mut host = load(Host::builder(Profile::Kong).shared_data(SharedData::new()));
    let gateway = host.start_plugin(config(on).to_string()).unwrap();
    let senders = [0, 1].map(|_| host.start_plugin(config(sender.clone()).to_string()).unwrap());
    host.choose_plugin(gateway);
    run_numbered(&mut host, 300);
    let (mut most, mut by, mut found) = (0, BTreeSet::new(), Vec::new());
    let mut under_way = VecDeque::new();
    while found.len() < 300 {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            let of_root = under_way.iter().filter(|(_, other): &&(_, Callout)| other.context == callout.context);
            assert_eq!(of_root.count(), 0, "a root has one call under way");
            by.insert(callout.context);
            under_way.push_back((host.now() + Duration::from_millis(30), callout));
            most = most.max(under_way.len());
        }
        while under_way.front().is_some_and(|(at, _)| *at <= host.now()) {
            let (_, callout) = under_way.pop_front().unwrap();
            found.extend(numbers(&sns::entries(&callout)));
            host.respond(callout.token, sns::accept(&callout)).unwrap();
        }
    }
    assert_eq!((most, by), (3, BTreeSet::from_iter([gateway, senders[0], senders[1]])));
    found.sort_unstable();
    assert_eq!(found, (0..300).collect::<Vec<_>>(), "each once");
    assert_eq!(host.violations(), []);
}
