//! Allocations of the core: nothing for a request that matches nothing, and for an event as many
//! blocks as it is copied to. The test host sees only what the host itself allocates.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use std::time::Duration;

use retrohook::agent::Agent;
use retrohook::aws::credentials::keeper;
use retrohook::callout::Limits;
use retrohook::clock::Timestamp;
use retrohook::config::Config;
use retrohook::exchange::{ClientRequest, ClientResponse, Exchange, Headers};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Blocks that have room for an event, of those that were allocated or grew.
    static FOR_EVENTS: Cell<usize> = const { Cell::new(0) };
}

/// Bytes of the event whose copies are counted, at least: nothing else is as large.
const EVENT_BYTES: usize = 2_000;

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    if bytes >= EVENT_BYTES {
        FOR_EVENTS.set(FOR_EVENTS.get() + 1);
    }
}

// SAFETY: hands everything on to the system, and counts in a place of the thread's own that needs
// no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the system's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The module's allocator makes a block smaller where it is.
        if size > layout.size() {
            count(size);
        }
        // SAFETY: the caller's promises are the system's demands.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system's demands.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn a_request_that_matches_nothing_allocates_nothing() {
    for matcher in ["/profile", "^/profile/[0-9]+$"] {
        let config = format!(
            r#"{{"topic_arn": "arn:aws:sns:us-east-1:123456789012:t", "routes": [{{"method": "PUT", "matcher": "{matcher}"}}]}}"#
        );
        let routes = Config::from_json(config.as_bytes()).unwrap().routes;
        let look = || {
            assert!(!routes.want_method(b"GET"));
            assert!(routes.matched(b"PUT", b"/mockbin/account/42?of=/profile/7").is_empty());
        };
        // An expression makes its scratch space once, at its first search.
        look();
        assert_eq!(allocations(look), 0, "{matcher}");
        assert!(allocations(|| drop(vec![0u8; 8])) > 0, "the count can fail");
    }
}

#[test]
fn an_event_is_copied_to_three_blocks_before_it_waits_and_to_three_for_its_call() {
    let config = r#"{
        "topic_arn": "arn:aws:sns:us-east-1:123456789012:t", "routes": [{"method": "PUT", "matcher": "/profile"}],
        "credentials": {"source": "static", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"}
    }"#;
    let config = Config::from_json(config.as_bytes()).unwrap();
    let limits =
        Limits { at_once: 4, deadline: Duration::from_secs(6), retries_captures: true, silent_sender: "silent" };
    let keeper = keeper(&config.credentials, &|_| None, config.timeout, limits.deadline, 7).unwrap();
    let mut agent = Agent::new(&config, keeper, limits, None, 7);
    let texts: Vec<_> = (0..12).map(|n| (format!("x-header-{n}"), "v".repeat(80))).collect();
    let headers = || Headers(texts.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect());
    let mut counted = Vec::new();
    // The first event finds no room in anything that grows.
    for second in [0, 2] {
        let exchange = Exchange {
            request: ClientRequest {
                method: "PUT".into(),
                target: "/profile/42".into(),
                headers: headers(),
                ..ClientRequest::default()
            },
            response: ClientResponse { status: 200, headers: headers(), ..ClientResponse::default() },
            ..Exchange::default()
        };
        let now = Timestamp(1_700_000_000_000) + Duration::from_secs(second);
        let before = FOR_EVENTS.get();
        agent.publishing().accept(exchange, &config.routes.all[0], now);
        let accepted = FOR_EVENTS.get();
        let (_, callout) = agent.poll(now + Duration::from_secs(1)).unwrap();
        counted.push((accepted - before, FOR_EVENTS.get() - accepted));
        assert!(callout.request.body().len() > EVENT_BYTES);
    }
    // The record, its entry and the store's; what the store gives, the event in it and the form.
    assert_eq!(counted.last(), Some(&(3, 3)), "{counted:?}");
}
