//! What becomes of the queue when Envoy wants the filter to end: letters where the process may be
//! ending, none where the filter was only replaced.

use proxy_wasm_test_host::{Host, LogLevel};
use retrohook::metrics::Metric;
use retrohook::publish::dead_letter::WHOLE;
use serde_json::json;

use crate::dead_letters::letters;
use crate::support::{config, count, deliver, numbers, run_numbered, start, LONG, MAX_DELAY, TICK};

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
