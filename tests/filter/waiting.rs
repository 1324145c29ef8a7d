//! `delivery: before_response`: a response that waits for its event, how long, and what the client
//! gets.

use std::time::Duration;

use proxy_wasm_test_host::{Callback, Callout, ExchangeSpec, Exchanged, FailureKind, Host, LogLevel, SharedData};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::sns;
use crate::support::{
    config, count, deliver, load, logged, numbered, numbers, put, start, Way, LONG, MAX_DELAY, TICK, UPSTREAM,
};

const TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const HELD: Option<Callback> = Some(Callback::ResponseHeaders);
const FIFO_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:profile-events.fifo";

/// A configuration whose `PUT`s wait and whose `POST`s do not, with changes.
pub(crate) fn waiting(on_failure: &str, changes: Value) -> Value {
    let held = json!({"method": "PUT", "matcher": "/profile", "delivery": "before_response", "on_failure": on_failure});
    let mut config = config(json!({"routes": [held, {"method": "POST", "matcher": "/profile"}]}));
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

/// Runs an exchange to where it waits, and gives the call that it waits for.
fn held(host: &mut Host, spec: &ExchangeSpec) -> (Exchanged, Callout) {
    let exchanged = host.exchange(spec).unwrap();
    assert_eq!(exchanged.paused_at, HELD);
    let mut callouts = host.take_callouts();
    assert_eq!(callouts.len(), 1, "its event is sent in the same callback");
    (exchanged, callouts.remove(0))
}

pub(crate) fn status(host: &mut Host, exchanged: &Exchanged) -> Option<u16> {
    host.take_finished(exchanged.stream).map(|finished| finished.status)
}

/// Lets the service fail until it is taken to be down.
pub(crate) fn open_circuit(host: &mut Host) {
    host.exchange(&ExchangeSpec::new("POST", "/profile")).unwrap();
    while count(host, Metric::EventsRetried) < 5 {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            host.fail(callout.token, FailureKind::Refused).unwrap();
        }
    }
}

#[test]
fn a_response_goes_when_its_event_is_acknowledged_and_at_once() {
    let mut host = start(&waiting("pass", json!({})));
    let spec = put().rewritten_to("/profile").response_header("x-version", "2").request_header("x-tenant", "acme");
    let (exchanged, callout) = held(&mut host, &spec);
    host.advance(TICK * 10).unwrap();
    assert_eq!(status(&mut host, &exchanged), None);
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(status(&mut host, &exchanged), Some(200), "in the callback of the reply");
    let event = &sns::entries(&callout)[0].message;
    assert_eq!(event["request"]["uri"], "/mockbin/profile");
    assert_eq!(event["request"]["headers"]["x-tenant"], "acme");
    assert_eq!(event["response"]["headers"]["x-version"], "2");
    assert_eq!(event["latencies"], json!({}));
    for part in ["/request/size", "/response/size", "/upstream_uri"] {
        assert_eq!(event.pointer(part), None, "{part} is not known yet");
    }
    assert_eq!(deliver(&mut host, LONG), [], "one event for one exchange");
    assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::ResponsesUndelivered)), (1, 0));
}

/// Forms of a response that is not empty.
fn with_body() -> [ExchangeSpec; 2] {
    [put().response_body("whole"), put().response_chunks(["in", "many", "pieces"])]
}

#[test]
fn a_body_waits_with_its_head_also_where_the_host_gives_it_to_the_filter() {
    for (on_failure, expected) in [("pass", 200), ("fail", 503)] {
        for (spec, gives_bodies) in with_body().iter().flat_map(|spec| [(spec, false), (spec, true)]) {
            let builder = Way::HttpFilter.builder();
            let mut host = load(if gives_bodies { builder.bodies_of_held_requests() } else { builder });
            host.start_plugin(waiting(on_failure, json!({})).to_string()).unwrap();
            let held = |host: &mut Host| {
                let exchanged = host.exchange(spec).unwrap();
                let paused_at = if gives_bodies { Callback::ResponseBody } else { Callback::ResponseHeaders };
                assert_eq!(exchanged.paused_at, Some(paused_at));
                (exchanged, host.take_callouts().remove(0))
            };
            let (exchanged, callout) = held(&mut host);
            host.respond(callout.token, sns::accept(&callout)).unwrap();
            let finished = host.take_finished(exchanged.stream).unwrap();
            assert_eq!((finished.status, finished.body), (200, exchanged.body));

            let (exchanged, _) = held(&mut host);
            host.advance(TIMEOUT + TICK).unwrap();
            assert_eq!(status(&mut host, &exchanged), Some(expected));
            assert_eq!(count(&host, Metric::ResponsesUnheld), 0);
        }
    }
}

#[test]
fn a_response_that_the_host_lets_go_is_counted_and_logged() {
    for spec in [put()].into_iter().chain(with_body()) {
        let mut host = start(&waiting("fail", json!({})));
        for number in 1..=3 {
            let (exchanged, callout) = held(&mut host, &spec);
            host.let_go(exchanged.stream).unwrap();
            host.respond(callout.token, sns::accept(&callout)).unwrap();
            host.advance(TICK).unwrap();
            assert_eq!(count(&host, Metric::ResponsesUnheld), number);
        }
        let lines = logged(&mut host, LogLevel::Warn);
        assert!(matches!(&lines[..], [line] if line.contains("`delivery: before_response` is not kept")), "{lines:?}");
    }
}

#[test]
fn what_is_not_to_wait_does_not() {
    let mut host = start(&waiting("fail", json!({})));
    let (exchanged, callout) = held(&mut host, &put());
    for spec in [put().status(404), ExchangeSpec::new("GET", "/profile"), ExchangeSpec::new("POST", "/profile")] {
        assert_eq!(host.exchange(&spec).unwrap().paused_at, None, "{spec:?}");
    }
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(status(&mut host, &exchanged), Some(200));
    assert_eq!(deliver(&mut host, LONG).len(), 1);
}

#[test]
fn several_that_wait_share_the_calls_that_may_be_under_way() {
    let mut host = start(&waiting("pass", json!({"max_in_flight": 1})));
    let (first, callout) = held(&mut host, &numbered(0));
    let others: Vec<_> = (1..8).map(|number| host.exchange(&numbered(number)).unwrap()).collect();
    assert_eq!(host.take_callouts(), []);
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(status(&mut host, &first), Some(200));
    let batch = host.take_callouts().remove(0);
    assert_eq!(numbers(&sns::entries(&batch)), (1..8).collect::<Vec<_>>());
    host.respond(batch.token, sns::reply(&batch, &[sns::Fate::Failed("InternalError", false); 7])).unwrap();
    assert!(others.iter().all(|other| status(&mut host, other).is_none()), "it may yet succeed in time");
    assert_eq!(deliver(&mut host, LONG).len(), 7);
    assert!(others.iter().all(|other| status(&mut host, other) == Some(200)));
}

#[test]
fn what_was_queued_before_goes_along_and_in_order() {
    let mut host = start(&waiting("pass", json!({})));
    host.exchange(&ExchangeSpec::new("POST", "/profile/0")).unwrap();
    let (_, callout) = held(&mut host, &numbered(1));
    assert_eq!(numbers(&sns::entries(&callout)), [0, 1]);
}

#[test]
fn a_backlog_of_thousands_holds_up_no_response() {
    let queue = json!({"max_entries": 20_000, "max_bytes": 64 << 20});
    let mut host = start(&waiting("fail", json!({"queue": queue, "timeout_ms": 1_000, "max_in_flight": 1})));
    for number in 0..10_000 {
        host.exchange(&ExchangeSpec::new("POST", format!("/profile/{number}"))).unwrap();
    }
    host.advance(MAX_DELAY).unwrap();
    let mut delivered = 0;
    for number in 10_000..10_100 {
        // A call is under way, and takes 100 ms.
        let exchanged = host.exchange(&numbered(number)).unwrap();
        assert_eq!(exchanged.paused_at, HELD);
        for _ in 0..3 {
            host.advance(TICK * 4).unwrap();
            for callout in host.take_callouts() {
                delivered += sns::entries(&callout).len();
                host.respond(callout.token, sns::accept(&callout)).unwrap();
            }
        }
        assert_eq!(status(&mut host, &exchanged), Some(200), "{number}");
    }
    assert!(delivered > 2_000, "{delivered}: calls are full, and what waited before goes along");
    assert_eq!(count(&host, Metric::ResponsesUndelivered), 0);
}

#[test]
fn a_response_waits_no_longer_than_configured() {
    for (on_failure, expected, published, withdrawn) in [("pass", 200, 1, 0), ("fail", 503, 0, 1)] {
        let mut host = start(&waiting(on_failure, json!({})));
        let (exchanged, _) = held(&mut host, &put());
        // The host gives up on the call at the same moment.
        host.advance(TIMEOUT - TICK).unwrap();
        assert_eq!(status(&mut host, &exchanged), None);
        host.advance(TICK * 2).unwrap();
        assert_eq!(status(&mut host, &exchanged), Some(expected), "{on_failure}");
        assert_eq!(deliver(&mut host, LONG).len(), published);
        assert_eq!(count(&host, Metric::EventsDroppedWithdrawn), withdrawn);
        assert_eq!((count(&host, Metric::ResponsesUndelivered), count(&host, Metric::QueuedEntries)), (1, 0));
    }
}

#[test]
fn what_is_withdrawn_while_it_is_under_way_may_arrive_and_is_never_tried_again() {
    for (arrives, published, withdrawn) in [(true, 1, 0), (false, 0, 1)] {
        let mut host = start(&waiting("fail", json!({})));
        let (exchanged, callout) = held(&mut host, &put());
        // The filter is woken, and the host has not given up on the call.
        host.advance_without_timeouts(TIMEOUT).unwrap();
        let (_, other) = held(&mut host, &numbered(1));
        host.respond(other.token, sns::accept(&other)).unwrap();
        assert_eq!(status(&mut host, &exchanged), Some(503));
        let reply = if arrives { sns::accept(&callout) } else { sns::refusal(503, "ServiceUnavailable") };
        host.respond(callout.token, reply).unwrap();
        assert_eq!(deliver(&mut host, LONG), []);
        assert_eq!(count(&host, Metric::EventsPublished), 1 + published);
        assert_eq!(count(&host, Metric::EventsDroppedWithdrawn), withdrawn);
    }
}

#[test]
fn what_can_not_be_delivered_is_not_waited_for() {
    for (on_failure, expected) in [("pass", 200), ("fail", 503)] {
        let mut host = start(&waiting(on_failure, json!({})));
        let (exchanged, callout) = held(&mut host, &put());
        host.respond(callout.token, sns::refusal(400, "InvalidParameter")).unwrap();
        assert_eq!(status(&mut host, &exchanged), Some(expected), "refused for good");
        host.advance(TICK).unwrap();
        assert_eq!(count(&host, Metric::EventsDroppedRefused), 1);

        let mut host = start(&waiting(on_failure, json!({})));
        let (_, callout) = held(&mut host, &put());
        host.respond(callout.token, sns::refusal(403, "AuthorizationError")).unwrap();
        let next = host.exchange(&put()).unwrap();
        assert_eq!((next.paused_at, next.status), (None, expected), "refused until somebody has mended it");

        let queue = json!({"queue": {"max_entries": 1, "when_full": "drop_newest"}});
        let mut host = start(&waiting(on_failure, queue));
        let (first, callout) = held(&mut host, &put());
        let second = host.exchange(&put()).unwrap();
        assert_eq!((second.paused_at, second.status), (None, expected), "no room");
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        assert_eq!(status(&mut host, &first), Some(200));
    }
}

#[test]
fn nothing_waits_for_a_service_that_is_known_to_be_down_but_for_the_probe() {
    for (on_failure, expected, later) in [("pass", 200, 11), ("fail", 503, 1)] {
        let mut host = start(&waiting(on_failure, json!({})));
        open_circuit(&mut host);
        for _ in 0..9 {
            let exchanged = host.exchange(&put()).unwrap();
            assert_eq!((exchanged.paused_at, exchanged.status), (None, expected));
        }
        host.skip(Duration::from_secs(1));
        let (probe, callout) = held(&mut host, &put());
        host.fail(callout.token, FailureKind::Refused).unwrap();
        assert_eq!(status(&mut host, &probe), Some(expected), "its failure is enough");
        assert_eq!(deliver(&mut host, LONG).len(), later);
        let (exchanged, callout) = held(&mut host, &put());
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        assert_eq!(status(&mut host, &exchanged), Some(200));
        let withdrawn = if on_failure == "fail" { 10 } else { 0 };
        assert_eq!(count(&host, Metric::EventsDroppedWithdrawn), withdrawn);
        assert_eq!(count(&host, Metric::EventsMatched), count(&host, Metric::EventsPublished) + withdrawn);
    }
}

#[test]
fn a_route_that_alone_would_keep_the_circuit_open_closes_it() {
    let mut host = start(&waiting("fail", json!({"queue": {"max_age_seconds": 1}})));
    open_circuit(&mut host);
    while count(&host, Metric::EventsDroppedExpired) == 0 {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            host.fail(callout.token, FailureKind::Refused).unwrap();
        }
    }
    let statuses: Vec<_> = (0..200)
        .map(|_| {
            let exchanged = host.exchange(&put()).unwrap();
            deliver(&mut host, TICK);
            status(&mut host, &exchanged).unwrap_or(exchanged.status)
        })
        .collect();
    assert!(statuses.ends_with(&[200; 100]), "{statuses:?}");
}

#[test]
fn a_client_that_leaves_takes_nothing_with_it() {
    let mut host = start(&waiting("fail", json!({})));
    let (exchanged, callout) = held(&mut host, &put());
    host.abandon_exchange(exchanged.stream).unwrap();
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    host.advance(TICK).unwrap();
    assert_eq!((count(&host, Metric::EventsPublished), count(&host, Metric::QueuedEntries)), (1, 0));

    // Also where the service does not answer: the event stays, for nobody was told that it failed.
    let (exchanged, callout) = held(&mut host, &put());
    host.abandon_exchange(exchanged.stream).unwrap();
    host.fail(callout.token, FailureKind::Timeout).unwrap();
    assert_eq!(deliver(&mut host, LONG).len(), 1);
    assert_eq!(count(&host, Metric::EventsDroppedWithdrawn), 0);

    let cycle = |host: &mut Host| {
        for _ in 0..200 {
            let (exchanged, callout) = held(host, &put());
            host.abandon_exchange(exchanged.stream).unwrap();
            host.respond(callout.token, sns::accept(&callout)).unwrap();
        }
        host.advance(TICK).unwrap();
    };
    cycle(&mut host);
    let (_, usage) = host.measure(|host| (0..5).for_each(|_| cycle(host)));
    assert_eq!(usage.memory_grown_bytes, 0);
}

#[test]
fn a_group_keeps_its_order_while_it_is_waited_for() {
    let mut host = start(&waiting(
        "pass",
        json!({"topic_arn": FIFO_TOPIC, "routes": [{
            "method": "PUT", "matcher": "/profile/(?<id>[0-9]+)", "message_group_id": "one", "delivery": "before_response",
        }]}),
    ));
    let (first, callout) = held(&mut host, &numbered(0));
    let second = host.exchange(&numbered(1)).unwrap();
    assert_eq!((second.paused_at, host.take_callouts().len()), (HELD, 0), "it must not overtake");
    host.fail(callout.token, FailureKind::Reset).unwrap();
    assert_eq!(numbers(&deliver(&mut host, LONG)), [0, 1]);
    assert_eq!([first, second].map(|each| status(&mut host, &each)), [Some(200), Some(200)]);
}

#[test]
fn a_filter_that_is_replaced_still_lets_go_of_what_it_holds() {
    let mut host = start(&waiting("fail", json!({})));
    let (exchanged, callout) = held(&mut host, &put());
    host.replace_plugin(waiting("fail", json!({})).to_string()).unwrap();
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(status(&mut host, &exchanged), Some(200));
    host.advance(TICK).unwrap();
    assert_eq!(host.roots().len(), 1);
    let (exchanged, callout) = held(&mut host, &put());
    host.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(status(&mut host, &exchanged), Some(200));
}

#[test]
fn an_upstream_that_the_host_does_not_know_is_waited_for_until_the_timeout_at_most() {
    let mut host = load(proxy_wasm_test_host::Host::builder(proxy_wasm_test_host::Profile::Envoy));
    host.start_plugin(waiting("pass", json!({})).to_string()).unwrap();
    let exchanged = host.exchange(&put()).unwrap();
    assert_eq!(exchanged.paused_at, HELD);
    host.advance(TIMEOUT).unwrap();
    assert_eq!(status(&mut host, &exchanged), Some(200));
    host.add_cluster(UPSTREAM);
    assert_eq!(deliver(&mut host, LONG).len(), 1);
}

#[test]
fn an_access_logger_says_once_that_it_cannot_wait() {
    let mut host = Way::AccessLogger.start(&waiting("pass", json!({})));
    (0..3).for_each(|number| Way::AccessLogger.run(&mut host, &numbered(number)));
    assert_eq!(deliver(&mut host, MAX_DELAY + TICK).len(), 3);
    let lines = logged(&mut host, LogLevel::Warn);
    assert!(matches!(&lines[..], [line] if line.contains("run the filter as an HTTP filter")), "{lines:?}");
    assert_eq!(count(&host, Metric::ResponsesUnheld), 3);
}

#[test]
fn on_kong_it_is_refused_with_the_reason() {
    let mut host = load(Way::Kong.builder());
    host.start_plugin(waiting("pass", json!({})).to_string()).unwrap_err();
    let lines = logged(&mut host, LogLevel::Error);
    assert!(
        matches!(&lines[..], [line] if line.starts_with("routes[0].delivery: ") && line.contains("Kong")),
        "{lines:?}"
    );
}

#[test]
fn a_configuration_in_which_nothing_waits_pays_nothing_for_it() {
    let mut host = start(&config(json!({})));
    let usage = host.measure(|host| host.exchange(&put()).unwrap()).1;
    assert_eq!(usage.calls_of("proxy_get_header_map_pairs"), 2);
    // The SDK's own part is the most of it.
    assert!(usage.instructions_in[&Callback::ResponseHeaders] < 250, "{:?}", usage.instructions_in);
}

#[test]
fn on_an_ordered_target_a_worker_that_does_not_send_answers_within_the_timeout() {
    let held = json!({"method": "PUT", "matcher": "/profile", "delivery": "before_response", "on_failure": "fail",
                      "message_group_id": "g"});
    let changes = json!({"topic_arn": FIFO_TOPIC, "routes": [held]});
    let shared = SharedData::new();
    let mut sender = Way::HttpFilter.journaled_as(&changes, shared.clone(), 1);
    let mut other = Way::HttpFilter.journaled_as(&changes, shared, 2);
    let until = |sender: &mut Host, other: &mut Host, exchanged: &Exchanged, answers: bool| {
        let mut waited = Duration::ZERO;
        loop {
            for callout in sender.take_callouts() {
                if answers {
                    sender.respond(callout.token, sns::accept(&callout)).unwrap();
                }
            }
            assert_eq!(other.take_callouts(), [], "only one worker sends");
            if let Some(status) = status(other, exchanged) {
                return (status, waited);
            }
            assert!(waited <= TIMEOUT + TICK, "it waits for longer than it may");
            sender.advance(TICK).unwrap();
            other.advance(TICK).unwrap();
            waited += TICK;
        }
    };
    // The first that has something sends.
    let (exchanged, callout) = self::held(&mut sender, &put());
    sender.respond(callout.token, sns::accept(&callout)).unwrap();
    assert_eq!(status(&mut sender, &exchanged), Some(200));
    let exchanged = other.exchange(&put()).unwrap();
    let (answer, waited) = until(&mut sender, &mut other, &exchanged, true);
    assert!(answer == 200 && waited <= MAX_DELAY, "{answer} after {waited:?}");
    let exchanged = other.exchange(&put()).unwrap();
    let (answer, waited) = until(&mut sender, &mut other, &exchanged, false);
    assert!(answer == 503 && waited >= TIMEOUT, "{answer} after {waited:?}");
}
