//! Which routes take an exchange beside its method, path and status: conditions, samples, and
//! routes that let the next ones look as well.

use std::time::Duration;

use proxy_wasm_test_host::{ExchangeSpec, Host, LogLevel, Response};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns::{self, Entry};
use crate::support::{config, count, deliver, logged, numbered, put, Way, ENVOY_WAYS, GATEWAYS, MAX_DELAY, TICK, WAYS};

const AUDIT: &str = "arn:aws:sns:us-east-1:123456789012:audit";

fn typed(event_type: &str, more: Value) -> Value {
    let mut route = json!({"method": "PUT", "matcher": "/profile(/(?<id>[^/]+))?", "event_type": event_type});
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    route
}

fn types(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.attributes["event_type"].1.as_str()).collect()
}

/// The types of the events that an exchange becomes.
fn taken(way: Way, host: &mut Host, spec: &ExchangeSpec) -> Vec<String> {
    way.run(host, spec);
    types(&deliver(host, MAX_DELAY + TICK)).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_route_whose_conditions_do_not_hold_leaves_the_exchange_to_the_next() {
    let routes = json!([
        typed(
            "acme",
            json!({"when": {"request.headers.x-tenant": ["acme", "acme-eu"], "request.query.mode": {"matches": "^(a|b)$"}}})
        ),
        typed("made", json!({"when": {"response.headers.location": {"exists": true}, "response.status": 201}})),
        typed("group", json!({"when": {"path.id": {"matches": "^[0-9]+$"}}})),
        typed("local", json!({"when": {"client_ip": "192.0.2.7"}})),
        typed("anonymous", json!({"when": {"request.headers.authorization": {"exists": false}}})),
        typed("rest", json!({})),
    ]);
    for way in WAYS {
        for message in [Value::Null, json!({"tenant": "${request.headers.x-tenant}"})] {
            let mut host = way.start(&config(json!({"routes": routes, "message": message})));
            let with = |target: &str| {
                ExchangeSpec::new("PUT", target)
                    .client("198.51.100.1", 7)
                    .request_header("authorization", "Bearer s3cret")
            };
            for (spec, expected) in [
                (with("/profile?mode=a").request_header("x-tenant", "acme"), "acme"),
                (with("/profile?mode=b").request_header("x-tenant", "acme-eu"), "acme"),
                (with("/profile?mode=c").request_header("x-tenant", "acme"), "rest"),
                (with("/profile?mode=a").request_header("x-tenant", "other"), "rest"),
                (with("/profile").status(201).response_header("location", "/7"), "made"),
                (with("/profile").status(200).response_header("location", "/7"), "rest"),
                (with("/profile").status(201), "rest"),
                (with("/profile/42"), "group"),
                (with("/profile/me"), "rest"),
                (with("/profile").client("192.0.2.7", 9), "local"),
                (ExchangeSpec::new("PUT", "/profile").client("198.51.100.1", 7), "anonymous"),
            ] {
                assert_eq!(taken(way, &mut host, &spec), [expected], "{way:?} {spec:?}");
            }
        }
    }
}

#[test]
fn a_hostile_value_is_not_searched_for_longer_than_it_is_allowed_to_be() {
    let routes = json!([typed("a", json!({"when": {"request.headers.x-hostile": {"matches": "(a|b|ab)*c$"}}}))]);
    for way in GATEWAYS {
        let mut host = way.start(&config(json!({"routes": routes})));
        let mut cost = |length: usize| {
            let spec = put().request_header("x-hostile", "ab".repeat(length / 2));
            host.measure(|host| host.exchange(&spec).unwrap()).1.instructions
        };
        cost(10);
        let (longest, long) = (cost(2_048), cost(60_000));
        println!("{way:?}: {longest} instructions for 2,048 bytes, {long} for 60,000");
        assert!(longest < 20_000_000 && long < 2_000_000, "{way:?}");
    }
}

#[test]
fn a_sample_is_of_its_size_and_chosen_by_the_ids_that_it_has() {
    for way in WAYS {
        let mut host = way.start(&config(json!({"sample": 0.25})));
        (0..400).for_each(|number| way.run(&mut host, &numbered(number)));
        let entries = deliver(&mut host, MAX_DELAY * 20);
        assert!((60..140).contains(&entries.len()), "{way:?} {}", entries.len());
        for entry in &entries {
            let end = u64::from_str_radix(entry.event_id().get(24..).unwrap(), 16).unwrap();
            assert!(end < (1 << 48) / 4, "{way:?} {}", entry.event_id());
        }
        assert_eq!(count(&host, Metric::EventsMatched), entries.len() as u64, "only what became an event counts");
    }
    for (sample, expected) in [(json!(0), 0), (json!(0.0), 0), (json!(1), 20), (Value::Null, 20)] {
        let route = json!({"method": "PUT", "matcher": "/profile", "sample": sample});
        let rest = json!({"method": "PUT", "matcher": "/"});
        let mut host = Way::HttpFilter.start(&config(json!({"routes": [route, rest]})));
        (0..20).for_each(|number| Way::HttpFilter.run(&mut host, &numbered(number)));
        assert_eq!(
            deliver(&mut host, MAX_DELAY * 2).len(),
            expected,
            "what is not in the sample falls to no other route"
        );
    }
}

#[test]
fn what_two_filters_see_is_in_the_sample_once_or_not_at_all() {
    let mut host = Way::HttpFilter.start(&config(json!({"sample": 0.5})));
    for number in 0..200 {
        Way::HttpFilter.run(&mut host, &numbered(number));
        host.see_again();
        Way::AccessLogger.run(&mut host, &numbered(number));
    }
    let delivered = deliver(&mut host, MAX_DELAY * 10).len();
    assert!((70..130).contains(&delivered), "{delivered}");
}

/// Three routes of one exchange: two targets, and of one of them two events of one type.
fn three_of_one() -> Value {
    config(json!({"routes": [
        typed("changed", json!({"continue": true, "message": {"n": 1}})),
        typed("never", json!({"continue": true, "when": {"request.headers.x-none": {"exists": true}}})),
        typed("changed", json!({"continue": true, "message": {"n": 2}})),
        typed("audited", json!({"topic_arn": AUDIT, "message": {"n": 3}})),
        typed("unreached", json!({})),
    ]}))
}

fn three(entries: &[Entry]) -> bool {
    let mut found: Vec<_> = entries.iter().map(|entry| entry.message["n"].as_u64().unwrap()).collect();
    found.sort_unstable();
    let mut ids: Vec<_> = entries.iter().map(|entry| &entry.attributes["event_id"].1).collect();
    ids.sort_unstable();
    ids.dedup();
    found == [1, 2, 3] && ids.len() == 3
}

#[test]
fn an_exchange_becomes_an_event_of_each_route_that_goes_on_and_of_the_next() {
    for way in WAYS {
        let mut host = way.start(&three_of_one());
        way.run(&mut host, &put());
        let entries = deliver(&mut host, MAX_DELAY + TICK);
        assert!(three(&entries), "{way:?} {entries:?}");
        host.advance(MAX_DELAY).unwrap();
        assert_eq!(count(&host, Metric::EventsPublished), 3, "{way:?}");
    }
}

#[test]
fn of_two_targets_of_one_exchange_one_that_is_down_holds_up_no_other_and_samples_are_each_their_own() {
    let routes = json!([
        typed("down", json!({"continue": true})),
        typed("none", json!({"continue": true, "sample": 0})),
        typed("half", json!({"continue": true, "sample": 0.5, "topic_arn": AUDIT})),
        typed("all", json!({"topic_arn": AUDIT})),
    ]);
    for way in WAYS {
        let mut host = way.start(&config(json!({"routes": routes})));
        (0..100).for_each(|number| way.run(&mut host, &numbered(number)));
        let mut arrived = Vec::new();
        let until = host.now() + MAX_DELAY * 40;
        while host.now() < until {
            host.advance(TICK).unwrap();
            for callout in host.take_callouts() {
                let entries = sns::entries(&callout);
                if types(&entries).contains(&"down") {
                    host.respond(callout.token, Response::new(500)).unwrap();
                } else {
                    arrived.extend(types(&entries).into_iter().map(str::to_owned));
                    host.respond(callout.token, sns::accept(&callout)).unwrap();
                }
            }
        }
        let of = |event_type: &str| arrived.iter().filter(|arrived| *arrived == event_type).count();
        assert_eq!((of("all"), of("none"), of("down")), (100, 0, 0), "{way:?}");
        assert!((25..75).contains(&of("half")), "{way:?} {}", of("half"));
        assert_eq!(count(&host, Metric::EventsMatched), (200 + of("half")) as u64, "{way:?}");
    }
}

#[test]
fn what_both_ways_see_is_each_event_once() {
    for logger_first in [false, true] {
        let mut host = Way::HttpFilter.start(&three_of_one());
        let order = if logger_first { [ENVOY_WAYS[1], ENVOY_WAYS[0]] } else { ENVOY_WAYS };
        for _ in 0..5 {
            order[0].run(&mut host, &put());
            host.see_again();
            order[1].run(&mut host, &put());
            assert!(three(&deliver(&mut host, MAX_DELAY + TICK)), "{logger_first}");
        }
    }
}

/// Runs an exchange whose response waits, and returns the events that were sent before it went on.
fn sent_while_held(host: &mut Host, spec: &ExchangeSpec) -> Vec<Entry> {
    let held = host.exchange(spec).unwrap();
    assert!(held.paused_at.is_some());
    let callouts = host.take_callouts();
    let entries = callouts.iter().flat_map(sns::entries).collect();
    for callout in &callouts {
        host.respond(callout.token, sns::accept(callout)).unwrap();
    }
    host.advance(TICK).unwrap();
    entries
}

#[test]
fn a_response_waits_for_its_own_event_and_the_others_come_after_it() {
    let waits = json!({"delivery": "before_response", "continue": true, "topic_arn": AUDIT});
    for before in [true, false] {
        let mut routes =
            vec![typed("first", json!({"continue": true})), typed("waits", waits.clone()), typed("last", json!({}))];
        if !before {
            routes.remove(0);
        }
        let mut host = Way::HttpFilter.start(&config(json!({"routes": routes})));
        assert_eq!(types(&sent_while_held(&mut host, &put())), ["waits"], "{before}");
        let after = deliver(&mut host, MAX_DELAY + TICK);
        assert_eq!(types(&after), if before { vec!["first", "last"] } else { vec!["last"] });
        let lasting = &after.last().unwrap().message;
        assert!(lasting["latencies"]["request"].is_u64(), "made at the end: {lasting}");
        assert_eq!(count(&host, Metric::ResponsesUnheld), 0);
        assert_eq!(deliver(&mut host, Duration::from_secs(1)).len(), 0);
    }
}

#[test]
fn of_two_routes_that_want_the_response_to_wait_it_waits_for_the_first() {
    let waits = |event_type: &str, goes_on: bool| {
        typed(event_type, json!({"delivery": "before_response", "continue": goes_on}))
    };
    let mut host = Way::HttpFilter.start(&config(json!({"routes": [waits("first", true), waits("second", false)]})));
    assert_eq!(types(&sent_while_held(&mut host, &put())), ["first"]);
    assert_eq!(types(&deliver(&mut host, MAX_DELAY + TICK)), ["second"]);
    assert_eq!(count(&host, Metric::ResponsesUnheld), 1);
    assert!(logged(&mut host, LogLevel::Warn).iter().any(|line| line.contains("a response waits for one event")));
}

#[test]
fn a_response_that_waits_outside_of_the_sample_or_against_a_condition_goes_on_at_once() {
    for more in [json!({"sample": 0}), json!({"when": {"request.headers.x-none": {"exists": true}}})] {
        let mut route = typed("a", more);
        route["delivery"] = json!("before_response");
        let mut host = Way::HttpFilter.start(&config(json!({"routes": [route]})));
        assert!(host.exchange(&put()).unwrap().paused_at.is_none());
        assert_eq!(deliver(&mut host, MAX_DELAY + TICK).len(), 0);
    }
}
