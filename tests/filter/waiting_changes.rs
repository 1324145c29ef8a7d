//! What goes first, where the configuration is a new one: behind a backlog that the old filter has,
//! and at a service that was down.

use std::time::Duration;

use proxy_wasm_test_host::{ExchangeSpec, Exchanged, Host};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::sns;
use crate::support::{count, numbered, start, MAX_DELAY, TICK};
use crate::waiting::{open_circuit, status, waiting, HELD};

/// Delivers all that is sent, each call in 100 ms, until a response is let go; returns its status
/// and how many times 100 ms that took.
fn answered(host: &mut Host, exchanged: &Exchanged) -> (u16, usize) {
    for calls in 0..60 {
        if let Some(status) = status(host, exchanged) {
            return (status, calls);
        }
        let callouts = host.take_callouts();
        host.advance(TICK * 4).unwrap();
        for callout in callouts {
            host.respond(callout.token, sns::accept(&callout)).unwrap();
        }
    }
    panic!("a response waits for ever");
}

#[test]
fn a_backlog_of_the_old_filter_holds_up_no_response_of_the_new_one() {
    let settings = waiting("fail", json!({"timeout_ms": 1_000, "max_in_flight": 1}));
    let mut host = start(&settings);
    for number in 0..3_000 {
        host.exchange(&ExchangeSpec::new("POST", format!("/profile/{number}"))).unwrap();
    }
    host.advance(MAX_DELAY).unwrap();
    let before = host.exchange(&numbered(3_000)).unwrap();
    host.replace_plugin(
        waiting("fail", json!({"timeout_ms": 1_000, "max_in_flight": 1, "attributes": {"of": "new"}})).to_string(),
    )
    .unwrap();
    let after = host.exchange(&numbered(3_001)).unwrap();
    assert_eq!([before.paused_at, after.paused_at], [HELD, HELD]);
    for exchanged in [before, after] {
        let (status, calls) = answered(&mut host, &exchanged);
        assert!(status == 200 && calls <= 3, "{status} after {calls} calls");
    }
    while count(&host, Metric::QueuedEntries) > 0 {
        for callout in host.take_callouts() {
            host.respond(callout.token, sns::accept(&callout)).unwrap();
        }
        host.advance(TICK).unwrap();
    }
    assert_eq!(count(&host, Metric::EventsPublished), 3_002);
    assert_eq!(count(&host, Metric::EventsDroppedWithdrawn), 0);
}

#[test]
fn a_response_is_the_probe_of_a_service_that_was_down_when_the_configuration_came() {
    let settings = |of: &str| waiting("fail", json!({"attributes": {"of": of}}));
    let mut host = start(&settings("old"));
    open_circuit(&mut host);
    host.replace_plugin(settings("new").to_string()).unwrap();
    host.take_callouts();
    host.skip(Duration::from_secs(1));
    let exchanged = host.exchange(&numbered(1)).unwrap();
    let (status, calls) = match exchanged.paused_at {
        HELD => answered(&mut host, &exchanged),
        _ => (exchanged.status, 0),
    };
    assert!(status == 200 && calls <= 2, "{status} after {calls} calls");
}
