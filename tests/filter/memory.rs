//! What an outage does to the memory of a worker: it grows to a plateau, and stays there.
//!
//! RETROHOOK_OUTAGE_EVENTS makes the outage longer; a million takes some ten minutes.

use std::env;

use proxy_wasm_test_host::{ExchangeSpec, FailureKind};
use retrohook::metrics::Metric;
use serde_json::json;

use crate::support::{config, count, numbered, start, Way, TICK};

const MIB: usize = 1 << 20;

/// Bytes that a worker takes beside its queue, and that each queued event adds, where workers share
/// the queue and where it is in the memory of each: as docs/guides/production.md has them.
const FIXED: usize = 4 * MIB;
const FOR_EACH_SHARED: usize = 128;
const FOR_EACH_OWN: usize = 512;

/// Requests whose events have all lengths up to what a service takes, so that what one frees seldom
/// fits another.
fn uneven(number: usize) -> ExchangeSpec {
    let spec = numbered(number).request_header("x-a", "v".repeat(number * 7_919 % 1_500));
    let long = if number.is_multiple_of(100) { number * 31 % 8_000 } else { 0 };
    (0..20).filter(|_| long > 0).fold(spec, |spec, n| spec.request_header(format!("x-{n}"), "w".repeat(long)))
}

#[test]
fn an_outage_takes_the_memory_that_the_documentation_says_and_no_more() {
    let events: usize = env::var("RETROHOOK_OUTAGE_EVENTS").map_or(20_000, |text| text.parse().unwrap());
    let documentation = include_str!("../../docs/guides/production.md");
    assert!(
        documentation.contains(&format!("{} MiB", FIXED / MIB))
            && documentation.contains(&format!("{FOR_EACH_SHARED} bytes"))
            && documentation.contains(&format!("{FOR_EACH_OWN} bytes"))
    );
    for (journal, of_queue, for_each) in [("auto", 0, FOR_EACH_SHARED), ("off", MIB, FOR_EACH_OWN)] {
        outage(events, journal, FIXED + of_queue, for_each);
    }
}

/// Has an outage of so many events with a queue of 1 MiB, and compares what the worker takes with
/// what it may.
fn outage(events: usize, journal: &str, fixed: usize, for_each: usize) {
    let mut host = start(&config(json!({"queue": {"max_bytes": MIB, "journal": journal}})));
    let (mut most_queued, mut grown) = (0, Vec::new());
    for number in 0..events {
        Way::HttpFilter.run(&mut host, &uneven(number));
        if number.is_multiple_of(25) {
            host.advance(TICK).unwrap();
            for callout in host.take_callouts() {
                host.fail(callout.token, FailureKind::Refused).unwrap();
            }
            host.take_logs();
            most_queued = most_queued.max(count(&host, Metric::QueuedEntries) as usize);
            let memory = host.memory_bytes();
            if grown.last().is_none_or(|(_, last)| *last != memory) {
                grown.push((number, memory));
            }
        }
    }
    let (last_growth, plateau) = *grown.last().unwrap();
    println!("{events} events, {most_queued} queued at most, {plateau} bytes from event {last_growth} on: {grown:?}");
    assert!(count(&host, Metric::EventsDroppedQueueFull) as usize > events / 2, "it is full for most of the time");
    let bound = fixed + most_queued * for_each;
    assert!(plateau <= bound, "{plateau} of {bound}: {grown:?}");
    if journal == "off" {
        // What is lost between blocks comes slowly here, within the bound.
        return;
    }
    let at_half = grown.iter().rev().find(|(number, _)| *number <= events / 2).unwrap().1;
    assert!(plateau - at_half <= 2 * 65_536, "it goes on growing: {grown:?}");
}
