//! The EventBridge JSON protocol (AWS JSON 1.1): bodies of `PutEvents`, their replies, and the limits of what EventBridge takes.
//!
//! Never sends, signs or retries, and never decides what an event says: it writes events that already fit.

pub mod event_bus;
mod reply;
mod request;

use crate::aws::error::Outcome;
use crate::aws::eventbridge::event_bus::EventBus;
use crate::aws::protocol::{self, Protocol};
use crate::callout::Reply;
use crate::event::Event;

pub use reply::parse_reply;
pub use request::{body, size, DEFAULT_DETAIL_TYPE, SOURCE};

/// Bytes of all entries of one `PutEvents`, and so of one: 262,144, counted as in the EventBridge User Guide, "Calculating Amazon
/// EventBridge PutEvents event entry size".
pub const MAX_BATCH_BYTES: usize = 262_144;

/// Characters of a detail type: 128 (EventBridge API Reference, PutEventsRequestEntry).
pub const MAX_DETAIL_TYPE_CHARS: usize = 128;

impl Protocol for EventBus {
    fn key(&self) -> &'static str {
        "event_bus"
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn service(&self) -> &'static str {
        "events"
    }

    fn keeps_order(&self) -> bool {
        false
    }

    fn max_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn size(&self, event: &Event) -> usize {
        size(event)
    }

    fn headers(&self, _: usize) -> Vec<(String, String)> {
        protocol::headers([("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "AWSEvents.PutEvents")])
    }

    fn body(&self, events: &[&Event]) -> Vec<u8> {
        body(self, events)
    }

    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome> {
        parse_reply(reply, events)
    }
}
