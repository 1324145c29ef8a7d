//! Clocks that are set, and gateways that stand still: what is queued, in flight or held goes on by
//! the time that the worker saw pass.

use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm_test_host::{Callback, Callout, Host, SharedData};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::sns;
use crate::support::{
    config, count, deliver, numbered, numbers, of_target, run_numbered, start, Way, GATEWAYS, LONG, MAX_DELAY, TICK,
};

const HOUR: i64 = 3_600_000;

/// Every way in which the clock may be set, in milliseconds.
const STEPS: [i64; 6] = [HOUR, 6_000, -6_000, -HOUR, 24 * HOUR, -24 * HOUR];

fn call(host: &mut Host) -> Callout {
    let mut callouts = host.take_callouts();
    assert_eq!(callouts.len(), 1);
    callouts.remove(0)
}

/// What the signature of a call says of its time, and what the host's clock says.
fn times(host: &Host, callout: &Callout) -> (String, u64) {
    let signed = callout.header("x-amz-date").unwrap();
    (signed, host.now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

#[test]
fn a_step_expires_nothing_and_sends_nothing_twice() {
    for (way, step) in GATEWAYS.into_iter().flat_map(|way| STEPS.map(|step| (way, step))) {
        let mut host = way.start(&config(json!({"max_in_flight": 1})));
        (0..30).for_each(|number| way.run(&mut host, &numbered(number)));
        host.advance(MAX_DELAY).unwrap();
        let callout = call(&mut host);
        host.set_clock(step);
        host.advance(Duration::from_secs(1)).unwrap();
        assert_eq!(host.take_callouts().len(), 0, "{way:?} {step}: the first call may be answered yet");
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        assert_eq!(numbers(&deliver(&mut host, LONG)), (10..30).collect::<Vec<_>>(), "{way:?} {step}");
        assert_eq!((count(&host, Metric::EventsDroppedExpired), count(&host, Metric::EventsPublished)), (0, 30));
        let slowest = host.observations(&of_target(Metric::Delivery, "profile-events")).into_iter().max().unwrap();
        assert!(slowest < 10_000, "{way:?} {step}: {slowest} ms");
    }
}

#[test]
fn a_step_beside_a_new_configuration_and_amid_a_call_loses_nothing() {
    let settings = |changes: &str| config(json!({"max_in_flight": 1, "attributes": {"of": changes}}));
    for ((way, step), is_first) in [Way::HttpFilter, Way::AccessLogger]
        .into_iter()
        .flat_map(|way| STEPS.map(|step| (way, step)))
        .flat_map(|both| [(both, true), (both, false)])
    {
        let mut host = way.start(&settings("old"));
        (0..30).for_each(|number| way.run(&mut host, &numbered(number)));
        host.advance(MAX_DELAY).unwrap();
        let callout = call(&mut host);
        if is_first {
            host.set_clock(step);
        }
        host.replace_plugin(settings("new").to_string()).unwrap();
        if !is_first {
            host.advance(TICK).unwrap();
            host.set_clock(step);
        }
        (30..40).for_each(|number| way.run(&mut host, &numbered(number)));
        let mut sent = deliver(&mut host, Duration::from_secs(1));
        assert!(numbers(&sent).iter().all(|number| *number >= 10), "{way:?} {step}: what is under way is sent twice");
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        sent.extend(deliver(&mut host, LONG));
        let mut all = numbers(&sent);
        all.sort_unstable();
        assert_eq!(all, (10..40).collect::<Vec<_>>(), "{way:?} {step} {is_first}");
        let counts = [Metric::EventsDroppedExpired, Metric::EventsPublished, Metric::QueuedEntries];
        assert_eq!(counts.map(|metric| count(&host, metric)), [0, 40, 0], "{way:?} {step} {is_first}");
    }
}

#[test]
fn what_fails_is_tried_again_and_expires_in_its_time_under_any_step() {
    for step in STEPS {
        let mut host = start(&config(json!({"queue": {"max_age_seconds": 20}})));
        run_numbered(&mut host, 3);
        host.advance(MAX_DELAY).unwrap();
        host.set_clock(step);
        let failing = |host: &mut Host, seconds: u32| {
            let mut attempts = 0;
            for _ in 0..seconds * 40 {
                for callout in host.take_callouts() {
                    attempts += 1;
                    host.respond(callout.token, sns::refusal(500, "InternalError")).unwrap();
                }
                host.advance(TICK).unwrap();
            }
            attempts
        };
        let attempts = failing(&mut host, 18);
        assert!((10..100).contains(&attempts), "{step}: {attempts} attempts");
        assert_eq!(count(&host, Metric::EventsDroppedExpired), 0, "{step}");
        failing(&mut host, 3);
        assert_eq!(count(&host, Metric::EventsDroppedExpired), 3, "{step}");
    }
}

#[test]
fn a_signature_has_the_host_s_time() {
    let mut host = start(&config(json!({})));
    for step in [0, HOUR] {
        host.set_clock(step);
        run_numbered(&mut host, 1);
        host.advance(MAX_DELAY).unwrap();
        let callout = call(&mut host);
        let (signed, now) = times(&host, &callout);
        let hour = format!("T{:02}0000Z", now / 3_600 % 24);
        assert!(signed.ends_with(&hour), "{signed} at {now}");
        host.respond(callout.token, sns::accept(&callout)).unwrap();
    }
}

#[test]
fn a_gateway_that_stood_still_sends_what_it_had() {
    for still in [Duration::from_secs(6), Duration::from_secs(8 * 3_600)] {
        let mut host = start(&config(json!({"max_in_flight": 1})));
        run_numbered(&mut host, 30);
        host.advance(MAX_DELAY).unwrap();
        let callout = call(&mut host);
        host.skip(still);
        // The reply had come meanwhile.
        host.respond(callout.token, sns::accept(&callout)).unwrap();
        assert_eq!(numbers(&deliver(&mut host, LONG)), (10..30).collect::<Vec<_>>());
        assert_eq!(count(&host, Metric::EventsDroppedExpired), 0);
    }
}

#[test]
fn ticks_that_come_seldom_under_load_hold_nothing_up() {
    let mut host = start(&config(json!({})));
    run_numbered(&mut host, 100);
    let mut delivered = 0;
    for _ in 0..20 {
        host.skip(Duration::from_secs(3));
        host.advance(TICK).unwrap();
        for callout in host.take_callouts() {
            delivered += sns::entries(&callout).len();
            host.respond(callout.token, sns::accept(&callout)).unwrap();
        }
    }
    assert_eq!(delivered, 100);
}

#[test]
fn a_held_response_waits_for_its_timeout_under_any_step() {
    for step in STEPS {
        let held = json!({"method": "PUT", "matcher": "/", "delivery": "before_response", "on_failure": "fail"});
        let mut host = start(&config(json!({"routes": [held]})));
        let exchanged = host.exchange(&numbered(1)).unwrap();
        assert_eq!(exchanged.paused_at, Some(Callback::ResponseHeaders));
        host.set_clock(step);
        host.advance(Duration::from_millis(3_900)).unwrap();
        assert!(host.take_finished(exchanged.stream).is_none(), "{step}");
        host.advance(Duration::from_millis(1_200)).unwrap();
        assert_eq!(host.take_finished(exchanged.stream).unwrap().status, 503, "{step}");
    }
}

#[test]
fn an_event_is_not_older_for_a_step_between_its_worker_and_the_next() {
    for step in STEPS {
        let changes = json!({"queue": {"max_age_seconds": 30}});
        let mut host = Way::HttpFilter.journaled(&changes, SharedData::new());
        run_numbered(&mut host, 3);
        host.advance(TICK).unwrap();
        host.set_clock(step);
        host.advance(Duration::from_secs(2)).unwrap();
        host.take_callouts();
        host.revive().unwrap();
        assert_eq!(numbers(&deliver(&mut host, Duration::from_secs(20))), [0, 1, 2], "{step}");
        assert_eq!(count(&host, Metric::EventsDroppedExpired), 0, "{step}");
    }
}
