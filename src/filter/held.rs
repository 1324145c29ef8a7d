//! The responses that a worker holds until their events are acknowledged, by their contexts. Knows
//! which are held, and how one is released; never decides when.

use std::cell::{Cell, RefCell};

use proxy_wasm::types::MapType;

use super::gateway::EndWhileHeld;
use super::hostcalls;
use crate::notice::Level;
use crate::publish::outbox::Release;

/// The line for a response that Envoy could not hold.
const OVERFLOWED: &str =
    "a response that waited for its event was larger than the gateway's buffer, and its client got a 500: leave \
     `allow_on_headers_stop_iteration` out of this filter's plugin configuration, or raise `per_connection_buffer_limit_bytes`";

/// The text for a client whose response was refused.
const NOT_DELIVERED: &str = "the event of this request was not delivered";

/// gRPC's status for what may succeed when it is tried again.
const GRPC_UNAVAILABLE: &str = "14";

/// As much of a response as is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldPart {
    /// All of it.
    Whole,
    /// The trailers of a response of gRPC, which have its status. The rest has gone.
    Trailers,
}

/// Responses that are held.
#[derive(Default)]
pub(crate) struct HeldResponses {
    /// Their contexts, in order, with as much of each as is held.
    contexts: RefCell<Vec<(u32, HeldPart)>>,
    /// True once the log says that a response did not wait for its event.
    has_warned_of_unheld: Cell<bool>,
    /// True once the log says that a response was too large to be held.
    has_warned_of_overflow: Cell<bool>,
}

impl HeldResponses {
    /// Notes that the response of a context is held.
    pub(crate) fn add(&self, context: u32, part: HeldPart) {
        if let Err(position) = self.find(context) {
            self.contexts.borrow_mut().insert(position, (context, part));
        }
    }

    /// Notes that the response of a context is not held any more. Returns what was held of it.
    pub(crate) fn remove(&self, context: u32) -> Option<HeldPart> {
        let position = self.find(context).ok()?;
        Some(self.contexts.borrow_mut().remove(position).1)
    }

    /// Returns what is held of the response of a context.
    pub(crate) fn part(&self, context: u32) -> Option<HeldPart> {
        let position = self.find(context).ok()?;
        self.contexts.borrow().get(position).map(|(_, part)| *part)
    }

    fn find(&self, context: u32) -> Result<usize, usize> {
        self.contexts.borrow().binary_search_by_key(&context, |(context, _)| *context)
    }

    /// Looks at the end of an exchange whose response was held to the last. Returns true if the
    /// client got the response all the same.
    pub(crate) fn has_passed(&self, end: EndWhileHeld) -> bool {
        if end == EndWhileHeld::Overflowed && !self.has_warned_of_overflow.replace(true) {
            hostcalls::log(Level::Warn, OVERFLOWED);
        }
        end == EndWhileHeld::Passed
    }

    /// Says, once, why a response did not wait for its event.
    pub(crate) fn warn_of_unheld(&self, why: &str) {
        if !self.has_warned_of_unheld.replace(true) {
            hostcalls::log(Level::Warn, &format!("`delivery: before_response` is not kept: {why}"));
        }
    }
}

/// Releases the response of the context that the host speaks for.
pub(crate) fn release(release: Release, part: HeldPart) {
    match (release, part) {
        (Release::Pass, _) => hostcalls::continue_response(),
        (Release::Refuse, HeldPart::Whole) => {
            hostcalls::refuse(503, "retrohook_event_not_delivered", &format!("{NOT_DELIVERED}\n"))
        }
        (Release::Refuse, HeldPart::Trailers) => {
            deny_in_trailers();
            hostcalls::continue_response();
        }
    }
}

/// Makes the trailers of a response of gRPC a refusal.
pub(crate) fn deny_in_trailers() {
    for (name, value) in [("grpc-status", GRPC_UNAVAILABLE), ("grpc-message", NOT_DELIVERED)] {
        hostcalls::set_header(MapType::HttpResponseTrailers, name, value);
    }
}
