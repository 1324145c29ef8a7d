//! The metrics: each is there under its name and with its kind, and counts what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy_wasm_test_host::{
    Callout, ExchangeSpec, FailureKind, Host, MetricKind as HostKind, Profile, Response, SharedData,
};
use retrohook::metrics::{Metric, MetricKind, Series, DEFINITIONS};
use serde_json::json;

use crate::dead_letters::{refused_by_sns, with_dead_letter_queue};
use crate::support::sns::{self, Fate};
use crate::support::sqs;
use crate::support::{
    config, count, deliver, load, numbered, of_target, run_numbered, start, worker_ends, Way, MAX_DELAY, TICK,
};

#[test]
fn every_metric_is_defined_with_its_kind() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(Host::builder(profile));
        assert_eq!(host.metrics(), []);
        host.start_plugin(config(json!({})).to_string()).unwrap();
        let expected = DEFINITIONS.iter().map(|definition| {
            let kind = match definition.kind {
                MetricKind::Counter => HostKind::Counter,
                MetricKind::Gauge => HostKind::Gauge,
                MetricKind::Histogram => HostKind::Histogram,
            };
            let name = match definition.series {
                Series::One => definition.name.to_owned(),
                Series::Targets => of_target(definition.metric, "profile-events"),
                Series::Version => version_series(),
            };
            (name, kind)
        });
        let sorted = |metrics: Vec<(String, HostKind)>| metrics.into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(sorted(host.metrics()), sorted(expected.collect()), "{profile:?}");
    }
}

fn version_series() -> String {
    format!("retrohook_build_info.version.{}", retrohook::metrics::VERSION)
}

/// Also of a configuration with a fault, where the first question is which version says so.
#[test]
fn the_first_line_and_a_metric_say_which_version_runs() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let mut host = load(Host::builder(profile));
        let first = format!("Retrohook {} starts", retrohook::metrics::VERSION);
        assert!(host.start_plugin("{}").is_err());
        assert_eq!(host.take_logs()[0].text, first, "{profile:?}");
        let mut host = load(Host::builder(profile));
        host.start_plugin(config(json!({})).to_string()).unwrap();
        assert_eq!(host.take_logs()[0].text, first, "{profile:?}");
        let shown = |host: &Host| host.metric(&version_series());
        assert_eq!(shown(&host), Some(1), "{profile:?}");
        host.advance(TICK).unwrap();
        host.replace_plugin(config(json!({})).to_string()).unwrap();
        assert_eq!(shown(&host), Some(1), "{profile:?}: two filters of one version");
    }
}

/// Each target has its own series: what is down, what is queued for it and what it has taken. A
/// trap, a reload and the loss of a target leave the gauges true.
#[test]
fn of_several_targets_each_has_its_own_series_across_a_trap_and_a_reload() {
    for way in [Way::HttpFilter, Way::Kong] {
        let orders = "arn:aws:sns:us-east-1:123456789012:orders";
        let routes = json!([
            {"method": "PUT", "matcher": "/profile"},
            {"method": "PUT", "matcher": "/order", "topic_arn": orders},
        ]);
        let changes = json!({"routes": routes});
        let mut config = config(changes.clone());
        config["queue"]["journal"] = json!("on");
        let mut host = way.journaled(&changes, SharedData::new());
        let order = |host: &mut Host| way.run(host, &ExchangeSpec::new("PUT", "/order"));
        (0..2).for_each(|number| way.run(&mut host, &numbered(number)));
        (0..3).for_each(|_| order(&mut host));
        forbid_orders(&mut host, 2);
        let of = |host: &Host, metric, target| host.metric(&of_target(metric, target)).unwrap_or_default();
        let gauges = |host: &Host| {
            ["profile-events", "orders"].map(|target| {
                let of = |metric| of(host, metric, target);
                (of(Metric::EventsPublished), of(Metric::QueuedEntries), of(Metric::TargetsRefused))
            })
        };
        assert_eq!(gauges(&host), [(2, 0, 0), (0, 3, 1)], "{way:?}");
        host.replace_plugin(config.to_string()).unwrap();
        forbid_orders(&mut host, 8);
        assert_eq!(gauges(&host), [(2, 0, 0), (0, 3, 1)], "{way:?} after a reload");
        host.revive().unwrap();
        forbid_orders(&mut host, 40);
        assert_eq!(gauges(&host), [(2, 0, 0), (0, 3, 1)], "{way:?} after a trap");
    }
}

/// Lets seconds pass in which SNS takes all but what is for the topic `orders`.
fn forbid_orders(host: &mut Host, seconds: u32) {
    for _ in 0..seconds * 40 {
        for callout in host.take_callouts() {
            let is_order = String::from_utf8_lossy(&callout.body).contains("%3Aorders");
            let response = if is_order { Response::new(403) } else { sns::accept(&callout) };
            host.respond(callout.token, response).unwrap();
        }
        host.advance(Duration::from_millis(25)).unwrap();
    }
}

fn send(host: &mut Host, events: usize) -> Callout {
    run_numbered(host, events);
    host.advance(MAX_DELAY).unwrap();
    host.take_callouts().remove(0)
}

fn respond(host: &mut Host, callout: &Callout, response: Response) {
    host.respond(callout.token, response).unwrap();
    host.advance(TICK).unwrap();
}

/// What counts after each of the things that can happen.
#[test]
fn every_counter_counts_what_it_says() {
    let limits = json!({"queue": {"max_entries": 4, "max_age_seconds": 60}, "max_in_flight": 1});
    let busy = || start(&config(limits.clone()));
    let settled = |response: fn(&Callout) -> Response| {
        let mut host = busy();
        let callout = send(&mut host, 4);
        respond(&mut host, &callout, response(&callout));
        host
    };
    let all = settled(sns::accept);
    let partly = settled(|callout| {
        let failed = |code| Fate::Failed(code, true);
        let fates = [Fate::Delivered, failed("Throttled"), failed("InvalidParameter"), failed("BatchRequestTooLong")];
        sns::reply(callout, &fates)
    });
    let error = settled(|_| Response::new(500));
    let refused = settled(|_| Response::new(403));
    let mut reset = busy();
    let callout = send(&mut reset, 4);
    reset.fail(callout.token, FailureKind::Reset).unwrap();
    reset.advance(TICK).unwrap();
    let mut full = busy();
    run_numbered(&mut full, 7);
    full.advance(TICK).unwrap();
    let mut expired = busy();
    send(&mut expired, 4);
    expired.advance(Duration::from_secs(70)).unwrap();
    let mut adopted = busy();
    adopted.advance(TICK).unwrap();
    run_numbered(&mut adopted, 3);
    adopted.revive().unwrap();
    adopted.advance(Duration::from_secs(13)).unwrap();
    let mut orphaned = busy();
    run_numbered(&mut orphaned, 2);
    orphaned.advance(TICK).unwrap();
    let other = json!({"topic_arn": "arn:aws:sns:us-east-1:123456789012:other"});
    orphaned.replace_plugin(config(other).to_string()).unwrap();
    orphaned.revive().unwrap();
    orphaned.advance(Duration::from_secs(75)).unwrap();
    let mut forgetful = Way::Kong.journaled(&json!({}), SharedData::with_capacity(4_000));
    (0..9).for_each(|number| Way::Kong.run(&mut forgetful, &numbered(number)));
    deliver(&mut forgetful, MAX_DELAY * 2);
    let held = json!({"method": "PUT", "matcher": "/profile", "delivery": "before_response", "on_failure": "fail"});
    let mut unheld = Way::AccessLogger.start(&config(json!({"routes": [held.clone()]})));
    (0..2).for_each(|number| Way::AccessLogger.run(&mut unheld, &numbered(number)));
    unheld.advance(TICK).unwrap();
    let mut waited = start(&config(json!({"routes": [held], "max_in_flight": 1})));
    run_numbered(&mut waited, 2);
    let callout = waited.take_callouts().remove(0);
    waited.advance_without_timeouts(Duration::from_secs(5)).unwrap();
    respond(&mut waited, &callout, Response::new(500));
    let mut lettered = with_dead_letter_queue(Way::HttpFilter);
    run_numbered(&mut lettered, 2);
    refused_by_sns(&mut lettered, sqs::accept);
    let mut ended = Way::Kong.start(&config(json!({})));
    run_numbered(&mut ended, 2);
    ended.begin_to_end(worker_ends()).unwrap();
    // Ten letters of a quarter of a megabyte, of which five are more than one.
    let mut flooded = busy();
    let long = numbered(0).request_header("x-long", "x".repeat(250_000));
    (0..14).for_each(|_| Way::HttpFilter.run(&mut flooded, &long));
    flooded.advance(TICK).unwrap();
    let mut hostile = busy();
    (0..3).for_each(|_| Way::HttpFilter.run(&mut hostile, &ExchangeSpec::new("PUT", "/profile".repeat(300))));
    hostile.advance(TICK).unwrap();
    let keeping = json!({"method": "PUT", "matcher": "/profile", "request_body": {"max_bytes": 1_048_576}});
    let mut crowded = start(&config(json!({"routes": [keeping], "max_kept_body_bytes": 1_048_576})));
    let large = numbered(0).request_body("x".repeat(600_000)).left_open();
    (0..3).for_each(|_| Way::HttpFilter.run(&mut crowded, &large));
    crowded.advance(TICK).unwrap();
    let path = json!({"type": "Number", "value": "${request.path}"});
    let route = json!({"method": "PUT", "matcher": "/profile", "attributes": {"a": path, "b": path}});
    let mut mistyped = start(&config(json!({"routes": [route]})));
    let callout = send(&mut mistyped, 3);
    assert!(sns::entries(&callout).iter().all(|entry| !entry.attributes.contains_key("a")));
    let cases = [
        (Metric::PathsTooLong, vec![(&all, 0), (&hostile, 3)]),
        (Metric::BodiesLeftOut, vec![(&all, 0), (&crowded, 2)]),
        (Metric::AttributesLeftOut, vec![(&all, 0), (&mistyped, 6)]),
        (Metric::EventsDroppedWithdrawn, vec![(&all, 0), (&error, 0), (&waited, 2)]),
        (Metric::ResponsesUndelivered, vec![(&all, 0), (&error, 0), (&waited, 2)]),
        (Metric::ResponsesUnheld, vec![(&all, 0), (&waited, 0), (&unheld, 2)]),
        (Metric::EventsMatched, vec![(&all, 4), (&full, 7)]),
        (Metric::EventsPublished, vec![(&all, 4), (&partly, 1), (&error, 0), (&full, 0)]),
        (Metric::EventsRetried, vec![(&all, 0), (&partly, 1), (&error, 4), (&reset, 4)]),
        (Metric::EventsDroppedQueueFull, vec![(&all, 0), (&full, 3)]),
        (Metric::EventsDroppedExpired, vec![(&all, 0), (&expired, 4)]),
        (Metric::EventsDroppedRefused, vec![(&all, 0), (&partly, 1), (&error, 0)]),
        (Metric::EventsDroppedTooLarge, vec![(&all, 0), (&partly, 1)]),
        (Metric::EventsDroppedOrphaned, vec![(&all, 0), (&adopted, 0), (&orphaned, 2)]),
        (Metric::EventsDroppedShutdown, vec![(&all, 0), (&ended, 2)]),
        (Metric::DeadLettersLeftOut, vec![(&all, 0), (&full, 0), (&flooded, 5)]),
        (Metric::DeadLettersStored, vec![(&all, 0), (&partly, 0), (&lettered, 2)]),
        (Metric::EventsAdopted, vec![(&all, 0), (&adopted, 3)]),
        (Metric::JournalFailures, vec![(&all, 0), (&adopted, 0), (&forgetful, 5)]),
        (Metric::CalloutsOk, vec![(&all, 1), (&partly, 1), (&error, 0), (&reset, 0)]),
        (Metric::CalloutsError, vec![(&all, 0), (&error, 1), (&reset, 0)]),
        (Metric::RefusedCalls, vec![(&all, 0), (&partly, 0), (&error, 0), (&refused, 1)]),
        (Metric::TargetsRefused, vec![(&all, 0), (&error, 0), (&refused, 1)]),
        (Metric::CalloutsNoReply, vec![(&all, 0), (&error, 0), (&reset, 1)]),
        (Metric::QueuedEntries, vec![(&all, 0), (&partly, 1), (&error, 4), (&full, 4)]),
    ];
    for (metric, expectations) in &cases {
        for (position, (host, expected)) in expectations.iter().enumerate() {
            assert_eq!(count(host, *metric), *expected, "{metric:?} {position}");
        }
    }
    let counters = DEFINITIONS.iter().filter(|definition| definition.kind == MetricKind::Counter);
    // Those of captured webhooks are with their tests.
    for definition in counters.filter(|definition| !definition.name.starts_with("retrohook_captures")) {
        assert!(cases.iter().any(|(metric, _)| *metric == definition.metric), "{} has no case", definition.name);
    }
}

#[test]
fn the_gauges_follow_the_queue_and_the_histogram_the_deliveries() {
    let mut host = start(&config(json!({"max_in_flight": 1})));
    let delivery = &of_target(Metric::Delivery, "profile-events");
    Way::HttpFilter.run(&mut host, &numbered(0));
    assert_eq!(count(&host, Metric::QueuedEntries), 0, "a request does not pay for metrics");
    host.advance(MAX_DELAY).unwrap();
    let callout = host.take_callouts().remove(0);
    let entry = &sns::entries(&callout)[0];
    let attributes: usize =
        entry.attributes.iter().map(|(name, (kind, value))| name.len() + kind.len() + value.len()).sum();
    assert_eq!(count(&host, Metric::QueuedBytes), (entry.message_bytes + attributes) as u64);
    assert_eq!(count(&host, Metric::OldestEntryAge), 0);
    host.advance(Duration::from_millis(2_900)).unwrap();
    Way::HttpFilter.run(&mut host, &numbered(1));
    host.advance(Duration::from_millis(100)).unwrap();
    assert_eq!((count(&host, Metric::OldestEntryAge), count(&host, Metric::QueuedEntries)), (3, 2));
    respond(&mut host, &callout, sns::accept(&callout));
    assert_eq!((count(&host, Metric::OldestEntryAge), count(&host, Metric::QueuedEntries)), (0, 1));
    assert_eq!(host.observations(delivery), [3_100]);
    let callout = host.take_callouts().remove(0);
    respond(&mut host, &callout, sns::accept(&callout));
    assert_eq!((count(&host, Metric::QueuedBytes), count(&host, Metric::QueuedEntries)), (0, 0));
    assert_eq!(host.observations(delivery), [3_100, 125]);
}
