//! Replies to calls of an earlier instance of the module. Keeps them from the SDK, which panics on
//! a token that it does not know.
//!
//! After a trap Kong goes on with the calls that were under way, and gives their replies to the
//! instance that has taken the place of the one that made them. A panic would end that one, too,
//! with all that it has queued and holds.

use std::cell::Cell;

/// Half of all tokens: what is further ahead is behind.
const HALF: u32 = u32::MAX / 2;

thread_local! {
    /// The token of the first call that this instance has made.
    static FIRST: Cell<Option<u32>> = const { Cell::new(None) };
}

extern "C" {
    /// The SDK's own export, which hands a reply to the context that made the call.
    fn proxy_on_http_call_response(context: u32, token: u32, headers: usize, body: usize, trailers: usize);
}

/// Notes the token of a call that was made.
pub(super) fn note(token: u32) {
    FIRST.set(FIRST.get().or(Some(token)));
}

/// Returns true if the call of this token was made after the first one of this instance, or is that
/// one. Hosts count tokens up as long as the worker lives, whatever becomes of instances.
fn is_own(first: Option<u32>, token: u32) -> bool {
    first.is_some_and(|first| token.wrapping_sub(first) <= HALF)
}

/// Takes the place of the SDK's export: `scripts/own_exports.py` gives it that name.
#[no_mangle]
extern "C" fn retro_on_http_call_response(context: u32, token: u32, headers: usize, body: usize, trailers: usize) {
    if is_own(FIRST.get(), token) {
        // SAFETY: takes numbers, as the host gave them.
        unsafe { proxy_on_http_call_response(context, token, headers, body, trailers) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_from_the_first_one_on_are_own() {
        for token in [0, 7, 1_000_000] {
            assert!(!is_own(None, token));
        }
        for (first, own, earlier) in [(0, [0, 1], [u32::MAX, u32::MAX - 9]), (100, [100, 5_000], [99, 0])] {
            assert!(own.into_iter().all(|token| is_own(Some(first), token)), "{first}");
            assert!(earlier.into_iter().all(|token| !is_own(Some(first), token)), "{first}");
        }
        assert!(is_own(Some(u32::MAX - 1), 3), "tokens begin again");
    }
}
