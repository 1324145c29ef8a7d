//! The end of a worker of Kong: no tick comes any more, and each event that is not delivered has a
//! dead letter, whatever ends after that.

use std::collections::BTreeMap;

use proxy_wasm_test_host::{Host, SharedData};
use retrohook::metrics::Metric;
use serde_json::{json, Value};

use crate::dead_letters::letters;
use crate::support::{
    config, count, deliver, logged, numbered, run_numbered, sns, worker_ends, Way, LONG, MAX_DELAY, TICK,
};

/// Letters since the last look at the logs of these workers, by the numbers of their exchanges.
fn lettered(hosts: &mut [&mut Host]) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for host in hosts {
        let lines: Vec<_> = host.take_logs().into_iter().map(|line| line.text).collect();
        for letter in letters(&lines) {
            assert_eq!(letter["reason"], "shutdown", "{letter}");
            let message: Value = serde_json::from_str(letter["message"].as_str().unwrap()).unwrap();
            let number = message["request"]["uri"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

/// Each of so many exchanges, once.
fn each_once(count: usize) -> BTreeMap<usize, usize> {
    (0..count).map(|number| (number, 1)).collect()
}

#[test]
fn what_is_queued_in_flight_or_still_to_come_has_a_letter_each() {
    let queue_of_letters = json!({"queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/letters"});
    for changes in [json!({}), json!({"dead_letter": queue_of_letters})] {
        for journal in [false, true] {
            let mut host = match journal {
                true => Way::Kong.journaled(&changes, SharedData::new()),
                false => Way::Kong.start(&config(changes.clone())),
            };
            run_numbered(&mut host, 12);
            host.advance(MAX_DELAY).unwrap();
            let callouts = host.take_callouts();
            assert_eq!(callouts.len(), 1);
            let open = host.exchange(&numbered(12).left_open()).unwrap();
            host.begin_to_end(worker_ends()).unwrap();
            let warnings = host.logs().iter().filter(|line| line.text.contains("12 event(s) not delivered")).count();
            assert_eq!((warnings, lettered(&mut [&mut host])), (1, each_once(12)), "{changes} {journal}");
            // A request that ends now, one that begins now, and the reply to the last call.
            host.finish_exchange(open.stream).unwrap();
            Way::Kong.run(&mut host, &numbered(13));
            assert_eq!(lettered(&mut [&mut host]), [(12, 1), (13, 1)].into());
            host.respond(callouts[0].token, sns::accept(&callouts[0])).unwrap();
            host.advance(LONG).unwrap();
            assert_eq!((host.in_flight(), host.violations()), (0, [].as_slice()));
            assert_eq!(lettered(&mut [&mut host]), BTreeMap::new());
            let counted = [Metric::EventsMatched, Metric::EventsDroppedShutdown, Metric::EventsPublished];
            // Those ten of the last call were delivered after all.
            assert_eq!(counted.map(|metric| count(&host, metric)), [14, 14, 10]);
            host.stop().unwrap();
        }
    }
}

#[test]
fn workers_that_end_together_write_each_letter_once_whatever_their_order() {
    for order in [[0, 1], [1, 0]] {
        let shared = SharedData::new();
        let mut hosts = [1, 2].map(|seed| Way::Kong.journaled_as(&json!({}), shared.clone(), seed));
        // The first one becomes the sender.
        hosts.iter_mut().for_each(|host| host.advance(TICK).unwrap());
        for (position, host) in hosts.iter_mut().enumerate() {
            (0..5).for_each(|number| Way::Kong.run(host, &numbered(position * 5 + number)));
        }
        for position in order {
            hosts[position].begin_to_end(worker_ends()).unwrap();
        }
        let [first, second] = &mut hosts;
        assert_eq!(lettered(&mut [first, second]), each_once(10), "{order:?}");
    }
}

#[test]
fn a_worker_that_ends_with_nothing_left_says_nothing() {
    let mut host = Way::Kong.start(&config(json!({})));
    run_numbered(&mut host, 3);
    assert_eq!(deliver(&mut host, MAX_DELAY + TICK).len(), 3);
    host.take_logs();
    host.begin_to_end(worker_ends()).unwrap();
    assert_eq!(host.take_logs(), []);
    assert_eq!(count(&host, Metric::EventsDroppedShutdown), 0);
}

#[test]
fn where_no_letters_are_wanted_the_loss_is_told_of_and_counted() {
    let mut host = Way::Kong.start(&config(json!({"dead_letter": {"log": false}})));
    run_numbered(&mut host, 3);
    host.begin_to_end(worker_ends()).unwrap();
    let line = "stopping with 3 event(s) not delivered: they are lost if the process ends now";
    assert_eq!(logged(&mut host, proxy_wasm_test_host::LogLevel::Warn), [line]);
    assert_eq!(count(&host, Metric::EventsDroppedShutdown), 3);
}
