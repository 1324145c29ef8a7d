//! What becomes of the queue when Envoy wants the filter to end: letters where the process may be
//! ending, none where the filter was only replaced.

use std::time::Duration;

use proxy_wasm_test_host::{Callout, Host, LogLevel, Response};
use retrohook::metrics::Metric;
use retrohook::publish::dead_letter::WHOLE;
use serde_json::{json, Value};

use crate::dead_letters::letters;
use crate::support::{
    config, count, deliver, numbered, numbers, run_numbered, sns, start, ENVOY_WAYS, LONG, MAX_DELAY, TICK,
};

/// The ids in the letters and the warnings since the last look at the log.
fn told(host: &mut Host) -> (Vec<String>, Vec<String>) {
    let lines = host.take_logs();
    let texts: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
    let letters = letters(&texts);
    assert!(letters.iter().all(|letter| letter["reason"] == "shutdown"), "{letters:?}");
    let ids = letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect();
    let warnings = lines.into_iter().filter(|line| line.level == LogLevel::Warn).map(|line| line.text).collect();
    (ids, warnings)
}

#[test]
fn a_process_that_ends_leaves_letters_of_what_is_queued_and_in_flight() {
    let mut host = start(&config(json!({"max_in_flight": 1})));
    run_numbered(&mut host, 13);
    host.advance(MAX_DELAY).unwrap();
    assert_eq!(host.in_flight(), 1);
    host.take_logs();
    host.stop().unwrap();
    let (ids, warnings) = told(&mut host);
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 13);
    assert_eq!(warnings, ["stopping with 13 event(s) not delivered: each has a dead letter now"]);
}

/// Lets time pass in which calls are answered so.
fn answer_for(host: &mut Host, time: Duration, answer: fn(&Callout) -> Response) {
    let end = host.now() + time;
    while host.now() < end {
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            host.respond(callout.token, answer(&callout)).unwrap();
        }
    }
}

/// Ends the process. Returns its letters.
fn end(host: &mut Host) -> Vec<Value> {
    host.take_logs();
    host.stop().unwrap();
    let lines = host.take_logs().into_iter().map(|line| line.text);
    let letters = letters(&lines.collect::<Vec<_>>());
    assert!(letters.iter().all(|letter| letter["reason"] == "shutdown"), "{letters:?}");
    letters
}

#[test]
fn a_letter_says_why_its_event_was_held() {
    let second = Duration::from_secs(1);
    for way in ENVOY_WAYS {
        // The caller is refused: of 13 events 3 have never been tried.
        let mut host = way.start(&config(json!({"max_in_flight": 1})));
        (0..13).for_each(|number| way.run(&mut host, &numbered(number)));
        answer_for(&mut host, second, |_| sns::refusal(403, "AuthorizationError"));
        assert_eq!(count(&host, Metric::TargetsRefused), 1);
        let letters = end(&mut host);
        assert_eq!(letters.len(), 13);
        let error = "AuthorizationError: because of AuthorizationError";
        assert!(letters.iter().all(|letter| letter["error"] == error), "{letters:?}");
    }
    // One event is refused for what may be in it, and stands aside; the other is merely queued.
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 1);
    answer_for(&mut host, second, |_| sns::refusal(400, "NeverHeardOf"));
    assert_eq!(count(&host, Metric::TargetsRefused), 1);
    run_numbered(&mut host, 1);
    let letters = end(&mut host);
    let errors: Vec<_> = letters.iter().map(|letter| letter["error"].as_str()).collect();
    assert_eq!(errors, [Some("NeverHeardOf: because of NeverHeardOf"), None]);
    // The service is down.
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 3);
    answer_for(&mut host, 10 * second, |_| Response::new(503));
    let letters = end(&mut host);
    assert_eq!(letters.len(), 3);
    assert!(
        letters.iter().all(|letter| letter["error"].as_str().is_some_and(|error| error.contains("503"))),
        "{letters:?}"
    );
    // Nothing has failed.
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 3);
    let letters = end(&mut host);
    assert_eq!((letters.len(), letters.iter().any(|letter| letter.get("error").is_some())), (3, false), "{letters:?}");
}

#[test]
fn a_process_that_ends_with_nothing_left_says_nothing() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 3);
    assert_eq!(deliver(&mut host, MAX_DELAY + TICK).len(), 3);
    host.stop().unwrap();
    assert_eq!(told(&mut host), (vec![], vec![]));
}

#[test]
fn where_no_letters_are_wanted_the_loss_is_told_of() {
    let mut host = start(&config(json!({"dead_letter": {"log": false}})));
    run_numbered(&mut host, 3);
    host.stop().unwrap();
    let (ids, warnings) = told(&mut host);
    assert_eq!(ids, [""; 0]);
    assert_eq!(warnings, ["stopping with 3 event(s) not delivered: they are lost if the process ends now"]);
}

#[test]
fn a_filter_that_was_replaced_writes_no_letters_and_delivers() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 3);
    host.replace_plugin(config(json!({"attributes": {"by": "new"}})).to_string()).unwrap();
    assert_eq!(told(&mut host), (vec![], vec![]));
    assert_eq!(numbers(&deliver(&mut host, LONG)), [0, 1, 2]);
}

#[test]
fn the_last_filter_of_a_vm_writes_the_letters_of_all_whatever_their_order() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 2);
    host.replace_plugin(config(json!({"attributes": {"by": "new"}})).to_string()).unwrap();
    run_numbered(&mut host, 3);
    // A third, as on another listener, with nothing to do.
    host.start_plugin(config(json!({"attributes": {"by": "third"}})).to_string()).unwrap();
    host.stop().unwrap();
    let (ids, warnings) = told(&mut host);
    assert_eq!((ids.len(), warnings.len()), (5, 1), "one queue: {warnings:?}");
}

#[test]
fn an_event_with_a_letter_is_delivered_all_the_same_where_the_process_goes_on() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 1);
    // The host takes the filter away for good, and lets it drain: nothing tells that from the end
    // of the process.
    let [root] = host.roots()[..] else { panic!("{:?}", host.roots()) };
    host.take_plugin_away().unwrap();
    let (ids, _) = told(&mut host);
    assert_eq!((ids.len(), host.roots()), (1, vec![root]));
    let delivered = deliver(&mut host, MAX_DELAY + TICK);
    assert_eq!(delivered.iter().map(|entry| entry.event_id()).collect::<Vec<_>>(), ids);
    assert_eq!((host.roots(), count(&host, Metric::QueuedEntries)), (vec![], 0));
    assert!(host.logs().iter().all(|line| !line.text.starts_with(WHOLE)));
}
