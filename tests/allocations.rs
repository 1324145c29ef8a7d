//! What a request that matches nothing allocates in the core: nothing. The test host sees only what
//! the host itself allocates.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use retrohook::config::Config;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system, and counts in a place of the thread's own that needs
// no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system's demands.
        unsafe { System.alloc(layout) }
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
