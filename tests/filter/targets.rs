//! Where events go: queues and event buses beside topics, several at once, and one that is down
//! beside others that are not.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, ExchangeSpec, Host, LogLevel};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::support::event_bus;
use crate::support::sns::{self, Entry, Fate};
use crate::support::sqs;
use crate::support::{
    config, count, load, logged, numbered, numbers, put, Way, GATEWAYS, MAX_DELAY, NOON, TICK, UPSTREAM,
};

const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/profile-events";
const QUEUE_UPSTREAM: &str = "sqs.us-east-1.amazonaws.com:443";
const BUS_UPSTREAM: &str = "events.us-east-1.amazonaws.com:443";

/// A gateway that reaches all three services.
fn start(way: Way, config: &Value) -> Host {
    let mut host = load(way.builder().cluster(QUEUE_UPSTREAM).cluster(BUS_UPSTREAM));
    host.start_plugin(config.to_string()).unwrap();
    host
}

/// The usual configuration with another target.
fn config_for(target: Value) -> Value {
    let mut changes = target;
    changes["topic_arn"] = Value::Null;
    config(changes)
}

/// A topic for profiles, a queue for orders, a bus for prices.
fn three_targets() -> Value {
    config(json!({"routes": [
        {"method": "PUT", "matcher": "/profile"},
        {"method": "PUT", "matcher": "/orders", "queue_url": QUEUE},
        {"method": "PUT", "matcher": "/prices", "event_bus": "prices", "event_type": "price.set"},
    ]}))
}

fn run(way: Way, host: &mut Host, paths: &[&str]) {
    paths
        .iter()
        .enumerate()
        .for_each(|(number, path)| way.run(host, &ExchangeSpec::new("PUT", format!("{path}/{number}"))));
}

/// Lets time pass until the filter calls, and gives the calls.
fn calls(host: &mut Host) -> Vec<Callout> {
    for _ in 0..400 {
        host.advance(Duration::from_millis(5)).unwrap();
        let callouts = host.take_callouts();
        if !callouts.is_empty() {
            return callouts;
        }
    }
    panic!("no call");
}

fn accept(host: &mut Host, callout: &Callout) {
    let reply = match callout.upstream.as_str() {
        QUEUE_UPSTREAM => sqs::accept(callout),
        BUS_UPSTREAM => event_bus::accept(callout),
        _ => sns::accept(callout),
    };
    host.respond(callout.token, reply).unwrap();
}

#[test]
fn a_queue_gets_what_a_topic_would_get() {
    for way in GATEWAYS {
        let spec = put().request_header("x-tenant", "acme");
        let attributes = json!({"tenant": "${request.headers.x-tenant}"});
        let routes = json!([{"method": "PUT", "matcher": "/profile", "event_type": "t", "attributes": attributes}]);
        let sent = |configured: &Value| {
            let mut host = start(way, configured);
            way.run(&mut host, &spec);
            let callout = calls(&mut host).remove(0);
            accept(&mut host, &callout);
            host.advance(TICK).unwrap();
            assert_eq!(count(&host, Metric::EventsPublished), 1);
            callout
        };
        let of_topic = sns::entries(&sent(&config(json!({"routes": routes})))).remove(0);
        let callout = sent(&config_for(json!({"queue_url": QUEUE, "routes": routes})));
        assert_eq!((callout.upstream.as_str(), callout.wire.path.as_str()), (QUEUE_UPSTREAM, "/"));
        let (queue, mut messages) = sqs::messages(&callout);
        let of_queue = messages.remove(0);
        assert_eq!(queue, QUEUE);
        let shape = |entry: &Entry| {
            let (mut message, mut attributes) = (entry.message.clone(), entry.attributes.clone());
            assert_eq!(attributes.remove("event_id").unwrap().1, entry.event_id());
            message["event_id"].take();
            (message, attributes)
        };
        assert_eq!(shape(&of_topic), shape(&of_queue), "{way:?}");
        assert_eq!((of_queue.group_id, of_queue.deduplication_id, of_queue.subject), (None, None, None));
    }
}

#[test]
fn an_event_bus_gets_the_attributes_in_the_detail() {
    for way in GATEWAYS {
        let mut host = start(
            way,
            &config_for(json!({"event_bus": "default", "region": "us-east-1", "routes": [
                {"method": "PUT", "matcher": "/profile", "event_type": "profile.updated", "attributes": {"site": "eu"}},
                {"method": "POST", "matcher": "/profile"},
            ]})),
        );
        way.run(&mut host, &put());
        way.run(&mut host, &ExchangeSpec::new("POST", "/profile"));
        let callout = calls(&mut host).remove(0);
        assert_eq!(callout.upstream, BUS_UPSTREAM);
        let [typed, bare] = event_bus::entries(&callout).try_into().unwrap();
        assert_eq!((typed.bus.as_str(), typed.source.as_str()), ("default", "retrohook"));
        assert_eq!((typed.detail_type.as_str(), bare.detail_type.as_str()), ("profile.updated", "exchange"));
        assert!((typed.time - NOON as f64 / 1e3).abs() < 1.0, "{}", typed.time);
        let detail = &typed.detail;
        assert_eq!(detail["request"]["uri"], "/mockbin/profile");
        let attributes = &detail["attributes"];
        assert_eq!(attributes["event_id"], detail["event_id"]);
        assert_eq!((&attributes["status"], &attributes["site"]), (&json!(200), &json!("eu")));
        accept(&mut host, &callout);
        host.advance(TICK).unwrap();
        assert_eq!(count(&host, Metric::EventsPublished), 2);
    }
}

#[test]
fn targets_batch_separately() {
    for way in GATEWAYS {
        let mut host = start(way, &three_targets());
        run(way, &mut host, &["/profile", "/orders", "/prices", "/orders", "/profile", "/orders"]);
        let mut sent = std::collections::BTreeMap::new();
        while sent.len() < 3 {
            for callout in calls(&mut host) {
                let events = match callout.upstream.as_str() {
                    QUEUE_UPSTREAM => numbers(&sqs::messages(&callout).1),
                    BUS_UPSTREAM => event_bus::entries(&callout).iter().map(|_| 2).collect(),
                    _ => numbers(&sns::entries(&callout)),
                };
                accept(&mut host, &callout);
                sent.insert(callout.upstream, events);
            }
        }
        assert_eq!(sent.into_values().collect::<Vec<_>>(), [vec![2], vec![0, 4], vec![1, 3, 5]], "{way:?}");
        host.advance(TICK).unwrap();
        assert_eq!(count(&host, Metric::EventsPublished), 6);
        assert_eq!(host.violations(), []);
    }
}

#[test]
fn only_what_failed_is_sent_again() {
    const FATES: [Fate; 4] = [
        Fate::Delivered,
        Fate::Failed("ThrottlingException", false),
        Fate::Failed("InternalFailure", false),
        Fate::Unmentioned,
    ];
    for way in GATEWAYS {
        let mut host = start(way, &config_for(json!({"queue_url": QUEUE})));
        (0..4).for_each(|number| way.run(&mut host, &numbered(number)));
        let first = calls(&mut host).remove(0);
        host.respond(first.token, sqs::reply(&first, &FATES)).unwrap();
        let mut again = Vec::new();
        while again.len() < 3 {
            for callout in calls(&mut host) {
                again.extend(numbers(&sqs::messages(&callout).1));
                accept(&mut host, &callout);
            }
        }
        again.sort_unstable();
        assert_eq!(again, [1, 2, 3], "{way:?}");

        let mut host = start(way, &config_for(json!({"event_bus": "b", "region": "us-east-1"})));
        (0..4).for_each(|number| way.run(&mut host, &numbered(number)));
        let first = calls(&mut host).remove(0);
        host.respond(first.token, event_bus::reply(&FATES)).unwrap();
        let mut again = Vec::new();
        while again.len() < 3 {
            for callout in calls(&mut host) {
                again.extend(event_bus::entries(&callout).iter().map(|put| put.detail["request"]["uri"].clone()));
                accept(&mut host, &callout);
            }
        }
        again.sort_unstable_by_key(Value::to_string);
        assert_eq!(again, ["/mockbin/profile/1", "/mockbin/profile/2", "/mockbin/profile/3"], "{way:?}");
    }
}

#[test]
fn a_fifo_queue_keeps_the_order_of_a_group_over_retries() {
    for way in GATEWAYS {
        let queue = format!("{QUEUE}.fifo");
        let routes =
            json!([{"method": "PUT", "matcher": "/(?<group>[ab])/profile", "message_group_id": "${path.group}"}]);
        let mut host = start(way, &config_for(json!({"queue_url": queue, "routes": routes})));
        for number in 0..6 {
            let group = if number % 2 == 0 { "a" } else { "b" };
            way.run(&mut host, &ExchangeSpec::new("PUT", format!("/{group}/profile/{number}")));
        }
        let first = calls(&mut host).remove(0);
        let sent = sqs::messages(&first).1;
        assert_eq!(numbers(&sent), [0, 1], "one of a group");
        assert_eq!(sent[1].group_id.as_deref(), Some("b"));
        assert!(sent.iter().all(|entry| entry.deduplication_id.as_deref() == Some(entry.event_id())));
        host.respond(first.token, sqs::reply(&first, &[Fate::Failed("InternalError", false), Fate::Delivered]))
            .unwrap();
        let mut order = vec![1];
        while order.len() < 6 {
            for callout in calls(&mut host) {
                order.extend(numbers(&sqs::messages(&callout).1));
                accept(&mut host, &callout);
            }
        }
        let of_group = |rest: usize| order.iter().copied().filter(|number| number % 2 == rest).collect::<Vec<_>>();
        assert_eq!((of_group(0), of_group(1)), (vec![0, 2, 4], vec![1, 3, 5]), "{way:?}");
    }
}

#[test]
fn a_target_that_never_answers_does_not_hold_up_the_others() {
    let way = Way::HttpFilter;
    let mut configured = three_targets();
    configured["max_in_flight"] = json!(1);
    let mut host = start(way, &configured);
    for round in 0..20 {
        run(way, &mut host, &["/profile", "/orders", "/prices"]);
        host.advance(MAX_DELAY + TICK).unwrap();
        let callouts = host.take_callouts();
        let answered: Vec<&Callout> = callouts.iter().filter(|callout| callout.upstream != UPSTREAM).collect();
        assert_eq!(answered.len(), 2, "round {round}");
        answered.into_iter().for_each(|callout| accept(&mut host, callout));
    }
    assert_eq!(count(&host, Metric::EventsPublished), 38, "those of the last round are counted at the next tick");
    assert!(host.in_flight() <= 1);
}

#[test]
fn on_kong_a_target_that_never_answers_leaves_the_others_half_of_the_time() {
    let way = Way::Kong;
    let mut host = start(way, &three_targets());
    // Nobody answers the calls to SNS, so that the host ends them after `timeout_ms`.
    let (seconds, mut called) = (120, 0);
    for _ in 0..seconds * 5 {
        run(way, &mut host, &["/profile", "/orders"]);
        host.advance(Duration::from_millis(200)).unwrap();
        let callouts = host.take_callouts();
        called += usize::from(callouts.iter().any(|callout| callout.upstream == QUEUE_UPSTREAM));
        for callout in callouts.iter().filter(|callout| callout.upstream == QUEUE_UPSTREAM) {
            accept(&mut host, callout);
        }
    }
    let (share, published) = (called * 100 / (seconds * 5), count(&host, Metric::EventsPublished));
    assert!(share >= 45, "in {share} % of the time");
    assert!(published > 500, "{published} of {}", seconds * 5);
    assert_eq!(host.violations(), []);
}

#[test]
fn what_a_target_says_names_it_where_there_are_several() {
    for way in GATEWAYS {
        let mut host = start(way, &three_targets());
        run(way, &mut host, &["/orders"]);
        let callout = calls(&mut host).remove(0);
        host.respond(callout.token, sqs::refusal(400, "QueueDoesNotExist")).unwrap();
        host.advance(TICK).unwrap();
        let lines = logged(&mut host, LogLevel::Error);
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("calls to {QUEUE} are refused")), "{lines:?}");
        assert!(lines[0].contains("QueueDoesNotExist"), "{lines:?}");
    }
}
