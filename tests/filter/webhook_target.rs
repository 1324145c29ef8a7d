//! A webhook as target: what a receiver gets, what its answers do to an event, and what never
//! shows.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm_test_host::{Callout, ExchangeSpec, FailureKind, Host, LogLevel, Profile, Response, SharedData};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::dead_letters::written;
use crate::support::sns;
use crate::support::webhook_receiver::{
    is_signed_with, received, received_with, to_webhook, Received, SECRET, UPSTREAM, URL,
};
use crate::support::{
    config, count, load, logged, numbered, of_target, put, run_numbered, Way, GATEWAYS, LONG, MAX_DELAY, TICK, WAYS,
};

const NEW_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn start(way: Way, config: &Value) -> Host {
    let builder = way.builder().cluster(UPSTREAM).shared_data(SharedData::new());
    let mut host = load(builder.env("HOOK_TOKEN", "hunter2"));
    host.start_plugin(config.to_string()).unwrap();
    host
}

fn started(way: Way, changes: Value) -> Host {
    start(way, &to_webhook(changes))
}

/// Lets so much time pass at most, until the filter calls, and gives the calls.
fn calls_within(host: &mut Host, time: Duration) -> Vec<Callout> {
    let until = host.now() + time;
    while host.now() < until {
        let callouts = host.take_callouts();
        if !callouts.is_empty() {
            return callouts;
        }
        host.advance(TICK).unwrap();
    }
    host.take_callouts()
}

fn call(host: &mut Host) -> Callout {
    calls_within(host, LONG).remove(0)
}

fn answer(host: &mut Host, callout: &Callout, status: u16) {
    host.respond(callout.token, Response::new(status)).unwrap();
}

/// Answers every call with 204 for so long, and gives what came.
fn take(host: &mut Host, time: Duration) -> Vec<Received> {
    let until = host.now() + time;
    let mut taken = Vec::new();
    while host.now() < until {
        for callout in host.take_callouts() {
            taken.push(received(&callout));
            answer(host, &callout, 204);
        }
        host.advance(TICK).unwrap();
    }
    assert_eq!(host.violations(), []);
    taken
}

fn numbers(received: &[Received]) -> Vec<usize> {
    received.iter().map(Received::number).collect()
}

#[test]
fn an_event_is_one_signed_request_and_nobody_is_asked_for_credentials() {
    for way in WAYS {
        let mut host = started(
            way,
            json!({
                "webhook": {"secrets": [SECRET], "headers": {"Authorization": "Bearer ${env.HOOK_TOKEN}"}},
                "routes": [{"method": "PUT", "matcher": "/profile", "event_type": "profile.updated", "attributes": {"site": "eu"}}],
            }),
        );
        way.run(&mut host, &put());
        way.run(&mut host, &put());
        let mut first = Vec::new();
        let mut ids = BTreeSet::new();
        while ids.len() < 2 {
            let callout = call(&mut host);
            assert_eq!(callout.header("content-type").as_deref(), Some("application/json"));
            assert_eq!(callout.header("authorization").as_deref(), Some("Bearer hunter2"), "and none of AWS's");
            assert_eq!((callout.wire.path.as_str(), callout.header("x-amz-date")), ("/in", None));
            let Received { id, at, event } = received(&callout);
            assert_eq!(at as u64, callout.sent_at.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(
                (&event["event_type"], &event["request"]["uri"]),
                (&json!("profile.updated"), &json!("/mockbin/profile"))
            );
            let attributes = &event["attributes"];
            assert_eq!((&attributes["site"], &attributes["status"]), (&json!("eu"), &json!(200)));
            answer(&mut host, &callout, 202);
            ids.insert(id);
            first.push(callout);
        }
        host.advance(TICK).unwrap();
        assert_eq!(host.metric(&of_target(Metric::EventsPublished, "hooks.example.com/in")), Some(2), "{way:?}");
        assert_eq!(count(&host, Metric::CalloutsOk), 2);
        assert!(take(&mut host, LONG).is_empty() && host.violations().is_empty());
        assert_eq!(logged(&mut host, LogLevel::Warn), [""; 0], "{way:?}");
    }
}

#[test]
fn a_try_has_its_own_time_and_every_try_one_id() {
    for way in GATEWAYS {
        let mut host = started(way, json!({}));
        way.run(&mut host, &put());
        let first = call(&mut host);
        host.fail(first.token, FailureKind::ClosedWithoutReply).unwrap();
        host.advance(Duration::from_secs(3)).unwrap();
        let mut second = call(&mut host);
        answer(&mut host, &second, 503);
        let third = loop {
            let callout = call(&mut host);
            if received(&callout).at > received(&second).at {
                break callout;
            }
            answer(&mut host, &callout, 500);
            second = callout;
        };
        assert_eq!(received(&first).id, received(&third).id, "{way:?}");
        assert!(received(&first).at < received(&third).at && first.body == third.body);
        answer(&mut host, &third, 200);
        host.advance(TICK).unwrap();
        assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::QueuedEntries)), (1, 0));
    }
}

#[test]
fn while_a_secret_is_changed_there_is_a_signature_with_each() {
    for way in GATEWAYS {
        let mut host = started(way, json!({"webhook": {"secrets": [NEW_SECRET, SECRET]}}));
        way.run(&mut host, &put());
        received_with(&call(&mut host), &[NEW_SECRET, SECRET]);
        let mut unsigned = started(way, json!({"webhook": null}));
        assert!(logged(&mut unsigned, LogLevel::Warn).iter().any(|line| line.contains("`webhook.secrets`")));
        way.run(&mut unsigned, &put());
        received_with(&call(&mut unsigned), &[]);
        let mut meant = started(way, json!({"webhook": {"secrets": []}}));
        assert_eq!(logged(&mut meant, LogLevel::Warn), [""; 0]);
    }
}

#[test]
fn retry_after_is_respected() {
    for way in GATEWAYS {
        for status in [429, 503] {
            let mut host = started(way, json!({}));
            way.run(&mut host, &put());
            let callout = call(&mut host);
            host.respond(callout.token, Response::new(status).header("retry-after", "7")).unwrap();
            assert!(calls_within(&mut host, Duration::from_millis(6_900)).is_empty(), "{way:?} {status}");
            // Workers that were throttled come back one after the other.
            assert_eq!(take(&mut host, Duration::from_secs(12)).len(), 1, "{way:?} {status}");
        }
    }
}

#[test]
fn a_receiver_that_is_gone_holds_everything_and_is_asked_seldom() {
    for (way, status) in GATEWAYS.into_iter().flat_map(|way| [410, 401, 302, 404].map(|status| (way, status))) {
        let mut host = started(way, json!({"queue": {"max_age_seconds": 120}}));
        (0..5).for_each(|number| way.run(&mut host, &numbered(number)));
        let begin = host.now();
        let mut tries = 0;
        while host.now() < begin + Duration::from_secs(60) {
            for callout in host.take_callouts() {
                tries += 1;
                let elsewhere = Response::new(status).header("location", "https://elsewhere.example.com/");
                host.respond(callout.token, elsewhere.body("Bearer hunter2")).unwrap();
            }
            host.advance(TICK).unwrap();
        }
        assert!((3..=12).contains(&tries), "{way:?} {status}: {tries} in a minute");
        let lines = logged(&mut host, LogLevel::Error);
        let [line] = &lines[..] else { panic!("{way:?} {status}: {lines:?}") };
        assert!(line.starts_with(&format!("calls to {URL} are refused, and ")) && !line.contains("hunter2"), "{line}");
        assert!(line.contains(&format!("Status {status}: ")), "{line}");
        assert_eq!(line.contains("it wants no more events"), status == 410, "{line}");
        assert_eq!(host.metric(&of_target(Metric::TargetsRefused, "hooks.example.com/in")), Some(1));
        // It is back: nothing was lost.
        let mut back = numbers(&take(&mut host, Duration::from_secs(40)));
        back.sort_unstable();
        assert_eq!(back, [0, 1, 2, 3, 4], "{way:?} {status}");
        assert_eq!(count(&host, Metric::TargetsRefused), 0);
        assert!(written(&mut host).is_empty());
    }
}

#[test]
fn what_is_held_for_too_long_is_a_dead_letter() {
    for way in GATEWAYS {
        let mut host = started(way, json!({"queue": {"max_age_seconds": 30}}));
        way.run(&mut host, &put());
        for _ in 0..60 * 40 {
            host.take_callouts().iter().for_each(|callout| answer(&mut host, callout, 410));
            host.advance(TICK).unwrap();
        }
        let [letter] = written(&mut host).try_into().unwrap();
        assert_eq!(
            (&letter["reason"], &letter["target"]),
            (&json!("expired"), &json!({"webhook_url": URL})),
            "{way:?}"
        );
        assert!(letter["error"].as_str().unwrap().contains("Status 410"));
    }
}

#[test]
fn only_an_event_that_cannot_be_taken_is_buried_and_others_go_on() {
    for (way, status, reason) in GATEWAYS.into_iter().flat_map(|way| [(way, 422, "refused"), (way, 413, "too_large")]) {
        let mut host = started(way, json!({}));
        (0..4).for_each(|number| way.run(&mut host, &numbered(number)));
        let mut taken = Vec::new();
        for _ in 0..400 {
            for callout in host.take_callouts() {
                let number = received(&callout).number();
                answer(&mut host, &callout, if number == 1 { status } else { 200 });
                taken.push(number);
            }
            host.advance(TICK).unwrap();
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3], "{way:?}: each is tried once");
        let [letter] = written(&mut host).try_into().unwrap();
        assert_eq!((&letter["reason"], &letter["attributes"]["status"]["value"]), (&json!(reason), &json!("200")));
        assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::TargetsRefused)), (3, 0));
    }
}

#[test]
fn a_400_may_be_of_the_signature_and_holds_the_event_without_holding_up_others() {
    for way in GATEWAYS {
        let mut host = started(way, json!({}));
        (0..3).for_each(|number| way.run(&mut host, &numbered(number)));
        let mut taken = BTreeSet::new();
        for _ in 0..60 * 40 {
            for callout in host.take_callouts() {
                let number = received(&callout).number();
                answer(&mut host, &callout, if number == 0 { 400 } else { 204 });
                taken.extend(Some(number).filter(|number| *number != 0));
            }
            host.advance(TICK).unwrap();
        }
        assert_eq!(taken, BTreeSet::from([1, 2]), "{way:?}");
        assert_eq!((count(&host, Metric::QueuedEntries), written(&mut host).len()), (1, 0));
        assert_eq!(numbers(&take(&mut host, LONG)), [0], "{way:?}: the secret is corrected");
    }
}

#[test]
fn the_order_of_a_group_is_kept_where_a_route_gives_one() {
    for way in GATEWAYS {
        let matcher = "/(?<group>[ab])/profile";
        let route = json!({"method": "PUT", "matcher": matcher, "message_group_id": "${path.group}"});
        let mut host = started(way, json!({"routes": [route], "queue": {"journal": "on"}}));
        host.advance(TICK).unwrap();
        for number in 0..8 {
            let group = if number % 2 == 0 { "a" } else { "b" };
            way.run(&mut host, &ExchangeSpec::new("PUT", format!("/{group}/profile/{number}")));
        }
        // Every first try fails.
        let (mut order, mut tried) = (Vec::new(), BTreeSet::new());
        let begin = host.now();
        while order.len() < 8 && host.now() < begin + 5 * LONG {
            for callout in host.take_callouts() {
                let number = received(&callout).number();
                let fails = tried.insert(number);
                answer(&mut host, &callout, if fails { 500 } else { 200 });
                order.extend(Some(number).filter(|_| !fails));
            }
            host.advance(TICK).unwrap();
        }
        let of_group = |rest: usize| order.iter().copied().filter(|number| number % 2 == rest).collect::<Vec<_>>();
        assert_eq!((of_group(0), of_group(1)), (vec![0, 2, 4, 6], vec![1, 3, 5, 7]), "{way:?}");
    }
}

#[test]
fn a_trap_and_another_secret_find_what_is_queued() {
    for way in GATEWAYS {
        let shared = SharedData::new();
        let mut configured = to_webhook(json!({"queue": {"journal": "on"}}));
        let mut host = load(way.builder().cluster(UPSTREAM).shared_data(shared.clone()));
        host.start_plugin(configured.to_string()).unwrap();
        host.advance(TICK).unwrap();
        (0..6).for_each(|number| way.run(&mut host, &numbered(number)));
        // On Kong a reply would come to a VM that knows nothing of it.
        if way != Way::Kong {
            host.advance(MAX_DELAY).unwrap();
            assert!(!host.take_callouts().is_empty());
        }
        host.revive().unwrap();
        let mut taken = numbers(&take(&mut host, Duration::from_secs(20)));
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5], "{way:?}");

        (6..9).for_each(|number| way.run(&mut host, &numbered(number)));
        configured["webhook"]["secrets"] = json!([NEW_SECRET]);
        host.replace_plugin(configured.to_string()).unwrap();
        let (mut all, begin) = (BTreeSet::new(), host.now());
        while all.len() < 3 && host.now() < begin + LONG {
            for callout in host.take_callouts() {
                // The old configuration still signs with the old secret.
                let is_new = is_signed_with(&callout, &[NEW_SECRET]);
                all.insert(received_with(&callout, &[if is_new { NEW_SECRET } else { SECRET }]).number());
                answer(&mut host, &callout, 200);
            }
            host.advance(TICK).unwrap();
        }
        assert_eq!(all, BTreeSet::from([6, 7, 8]), "{way:?}");
        way.run(&mut host, &numbered(9));
        // On Kong the old configuration, which nobody tells that it is over, may still be the one
        // that sends.
        let last = call(&mut host);
        assert!(way == Way::Kong || is_signed_with(&last, &[NEW_SECRET]), "{way:?}");
    }
}

#[test]
fn a_response_waits_for_the_receiver() {
    for (status, on_failure, expected) in [(204, "fail", 200), (410, "fail", 503), (410, "pass", 200)] {
        let route =
            json!({"method": "PUT", "matcher": "/profile", "delivery": "before_response", "on_failure": on_failure});
        let mut host = started(Way::HttpFilter, json!({"routes": [route]}));
        let exchanged = host.exchange(&put()).unwrap();
        let callout = host.take_callouts().remove(0);
        assert_eq!(host.take_finished(exchanged.stream).map(|finished| finished.status), None);
        answer(&mut host, &callout, status);
        host.advance(Duration::from_secs(6)).unwrap();
        assert_eq!(host.take_finished(exchanged.stream).map(|finished| finished.status), Some(expected), "{status}");
    }
}

#[test]
fn events_for_a_webhook_do_not_wait_for_credentials() {
    for way in GATEWAYS {
        let routes = json!([
            {"method": "PUT", "matcher": "/profile", "webhook_url": URL, "webhook": {"secrets": [SECRET]}},
            {"method": "PUT", "matcher": "/orders"},
        ]);
        let credentials = json!({"source": "instance"});
        let mut host = start(way, &config(json!({"routes": routes, "credentials": credentials})));
        way.run(&mut host, &ExchangeSpec::new("PUT", "/orders/1"));
        way.run(&mut host, &numbered(7));
        let (mut taken, begin) = (Vec::new(), host.now());
        while host.now() < begin + Duration::from_secs(20) {
            for callout in host.take_callouts() {
                match callout.upstream.as_str() {
                    UPSTREAM => {
                        taken.push(received(&callout).number());
                        answer(&mut host, &callout, 200);
                    }
                    other => {
                        assert!(other.starts_with("169.254."), "{other}");
                        host.fail(callout.token, FailureKind::Refused).unwrap();
                    }
                }
            }
            host.advance(TICK).unwrap();
        }
        assert_eq!(taken, [7], "{way:?}");
        let waiting = logged(&mut host, LogLevel::Error).into_iter().filter(|line| line.contains("credentials"));
        assert!(
            waiting.clone().next().is_some_and(|line| line.contains("1 event")),
            "{:?}",
            waiting.collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_webhook_and_a_topic_each_get_their_own() {
    for way in GATEWAYS {
        let routes = json!([
            {"method": "PUT", "matcher": "/profile", "webhook_url": URL, "webhook": {"secrets": [SECRET]}},
            {"method": "PUT", "matcher": "/orders"},
        ]);
        let mut host = start(way, &config(json!({"routes": routes})));
        way.run(&mut host, &ExchangeSpec::new("PUT", "/orders/1"));
        way.run(&mut host, &numbered(7));
        let (mut webhooks, mut topics) = (Vec::new(), 0);
        while webhooks.len() + topics < 2 {
            for callout in calls_within(&mut host, LONG) {
                if callout.upstream == UPSTREAM {
                    assert_eq!(callout.header("authorization"), None);
                    webhooks.push(received(&callout).number());
                    answer(&mut host, &callout, 200);
                } else {
                    topics += sns::entries(&callout).len();
                    host.respond(callout.token, sns::accept(&callout)).unwrap();
                }
            }
        }
        assert_eq!((webhooks, topics), (vec![7], 1), "{way:?}");
    }
}

#[test]
fn a_message_of_one_s_own_is_all_that_a_receiver_gets() {
    let message =
        json!({"records": [{"value": {"uri": "${request.path}", "id": "${event.id}"}}], "attributes": "mine"});
    for way in WAYS {
        let mut host = started(way, json!({"message": message}));
        way.run(&mut host, &put());
        let callout = call(&mut host);
        assert!(is_signed_with(&callout, &[SECRET]));
        let id = callout.header("webhook-id").unwrap();
        let expected = json!({"records": [{"value": {"uri": "/mockbin/profile", "id": id}}], "attributes": "mine"});
        assert_eq!(serde_json::from_slice::<Value>(&callout.body).unwrap(), expected, "{way:?}");
        answer(&mut host, &callout, 204);
        host.advance(MAX_DELAY).unwrap();
        assert_eq!(count(&host, Metric::EventsPublished), 1, "{way:?}");
    }
}

#[test]
fn nothing_secret_shows_whatever_happens() {
    let secrets = ["hunter2", SECRET.trim_start_matches("whsec_"), "s3cret-query", "T0PATH"];
    for way in GATEWAYS {
        let url = "https://hooks.example.com/${env.HOOK_PATH}?key=s3cret-query";
        let changes = json!({
            "webhook_url": url, "queue": {"max_age_seconds": 5},
            "webhook": {"secrets": [SECRET], "headers": {"authorization": "Bearer ${env.HOOK_TOKEN}", "x-key": "hunter2"}},
        });
        let builder = way.builder().cluster(UPSTREAM).env("HOOK_TOKEN", "hunter2").env("HOOK_PATH", "T0PATH");
        let mut host = load(builder);
        host.start_plugin(to_webhook(changes.clone()).to_string()).unwrap();
        let mut paths = BTreeSet::new();
        for status in [200, 302, 400, 401, 410, 413, 422, 429, 500, 503] {
            way.run(&mut host, &put());
            for _ in 0..20 * 40 {
                for callout in host.take_callouts() {
                    paths.insert(callout.wire.path.clone());
                    // A receiver that repeats all that it was sent.
                    let echo = callout.headers.0.iter().map(|(name, value)| [&name[..], b": ", &value[..]].concat());
                    let body = echo.collect::<Vec<_>>().join(&b"\n"[..]);
                    host.respond(callout.token, Response::new(status).body(body)).unwrap();
                }
                host.advance(TICK).unwrap();
            }
        }
        assert_eq!(paths, BTreeSet::from(["/T0PATH?key=s3cret-query".to_owned()]));
        let mut shown: Vec<String> = host.take_logs().into_iter().map(|line| line.text).collect();
        assert!(
            shown.iter().filter(|line| line.contains("https://hooks.example.com/${env.HOOK_PATH}")).count() > 2,
            "{shown:?}"
        );
        shown.extend(host.metrics().into_iter().map(|(name, _)| name));
        for line in &shown {
            assert!(!secrets.iter().any(|secret| line.contains(secret)), "{way:?} {line}");
        }
        // Nor a fault.
        let mut faulty = to_webhook(changes);
        faulty["webhook"]["headers"] = json!({"authorization": "hunter2 ", "webhook-id": "hunter2", "x": 5});
        faulty["webhook"]["secrets"] = json!(["hunter2", SECRET]);
        faulty["region"] = json!("us-east-1");
        assert!(host.start_plugin(faulty.to_string()).is_err());
        for line in host.take_logs() {
            assert!(!secrets.iter().any(|secret| line.text.contains(secret)), "{}", line.text);
        }
    }
}

#[test]
fn on_kong_tls_and_port_are_those_of_the_url() {
    for (url, upstream, tls) in [
        ("https://hooks.example.com/in", "hooks.example.com:443", true),
        ("http://hooks.example.com:8080/in", "hooks.example.com:8080", false),
    ] {
        let mut host = load(Host::builder(Profile::Kong));
        host.start_plugin(to_webhook(json!({"webhook_url": url})).to_string()).unwrap();
        Way::Kong.run(&mut host, &put());
        let callout = call(&mut host);
        assert_eq!((callout.upstream.as_str(), callout.wire.tls), (upstream, Some(tls)));
    }
}

#[test]
fn a_receiver_that_hangs_has_each_call_for_its_time_and_all_others_for_theirs() {
    let mut host = started(Way::HttpFilter, json!({"timeout_ms": 1_000, "max_in_flight": 2}));
    run_numbered(&mut host, 6);
    host.advance(MAX_DELAY + TICK).unwrap();
    let hanging = host.take_callouts();
    assert_eq!(hanging.len(), 2, "one event a call");
    assert_eq!(hanging[0].timeout, Duration::from_secs(1));
    host.advance(Duration::from_millis(1_100)).unwrap();
    let mut taken = numbers(&take(&mut host, LONG));
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
}
