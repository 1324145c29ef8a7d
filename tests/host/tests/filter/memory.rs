//! What an outage does to the memory of a worker: it grows to a plateau and stays there.

use std::time::Instant;

use proxy_wasm_test_host::{ExchangeSpec, FailureKind, Host};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::{config, count, numbered, start, Way, TICK};

fn one(number: usize) -> ExchangeSpec {
    let length = number * 7_919 % 1_500;
    let spec = numbered(number).request_header("x-a", "v".repeat(length));
    if number % 500 == 0 {
        (0..20).fold(spec, |spec, n| spec.request_header(format!("x-{n}"), "w".repeat(number * 31 % 8_000)))
    } else {
        spec
    }
}

#[test]
fn measure() {
    for log in [false, true] {
        let mut host = start(&config(json!({"queue": {"max_bytes": 1_048_576}, "dead_letter": {"log": log}})));
        let begin = Instant::now();
        let empty = host.memory_bytes();
        let mut pages = vec![];
        for number in 0..60_000 {
            Way::HttpFilter.run(&mut host, &one(number));
            if number % 25 == 0 {
                host.advance(TICK).unwrap();
                for callout in host.take_callouts() {
                    host.fail(callout.token, FailureKind::Refused).unwrap();
                }
                host.take_logs();
            }
            if number % 5_000 == 0 {
                pages.push((number, host.memory_bytes()));
            }
        }
        println!(
            "log {log}: empty {empty} {pages:?} {:?} queued {} bytes {}",
            begin.elapsed(),
            count(&host, Metric::QueuedEntries),
            count(&host, Metric::QueuedBytes)
        );
    }
}
