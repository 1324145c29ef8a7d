//! The EventBridge JSON protocol (AWS JSON 1.1): bodies of `PutEvents`, their replies, and the
//! limits of EventBridge.
//!
//! Never sends, signs or retries, and never decides what is in an event: it writes events that
//! already fit.

mod event_bus;
mod reply;
mod request;

use http::header::{HeaderMap, CONTENT_TYPE};

use crate::aws::error::{Failure, Outcome};
use crate::aws::eventbridge::event_bus::EventBus;
use crate::aws::protocol::{self, Protocol, Stored, TargetKind, AMZ_TARGET};
use crate::callout::Reply;
use crate::event::Event;

pub(crate) use reply::{parse_reply, parse_stored};
pub(crate) use request::{body, size};

/// Bytes that all entries of one `PutEvents`, and so one of them, may have: 1,048,576, counted as
/// in the EventBridge User Guide, "Calculating Amazon EventBridge PutEvents event entry size".
pub(crate) const MAX_BATCH_BYTES: usize = 1_048_576;

/// Characters that a detail type may have: 128 (EventBridge API Reference, PutEventsRequestEntry).
pub(crate) const MAX_DETAIL_TYPE_CHARS: usize = 128;

/// Event buses, by their name or ARN.
pub(crate) static KIND: TargetKind = TargetKind {
    key: "event_bus",
    target: "an event bus",
    name: "an event bus",
    remedy: "give its name, such as `default`, or its ARN",
    parse: if cfg!(feature = "targets") { Some(protocol::parse::<EventBus>) } else { None },
};

impl Protocol for EventBus {
    fn kind(&self) -> &'static TargetKind {
        &KIND
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn service(&self) -> &'static str {
        "events"
    }

    fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    fn keeps_order(&self) -> bool {
        false
    }

    fn takes_group_id(&self) -> bool {
        false
    }

    fn takes_attributes(&self) -> bool {
        false
    }

    fn takes_trace_header(&self) -> bool {
        true
    }

    fn max_event_type_chars(&self) -> Option<usize> {
        Some(MAX_DETAIL_TYPE_CHARS)
    }

    fn max_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn size(&self, event: &Event) -> usize {
        size(event)
    }

    fn headers(&self, _: &[&Event]) -> HeaderMap {
        protocol::headers([(CONTENT_TYPE, "application/x-amz-json-1.1"), (AMZ_TARGET, "AWSEvents.PutEvents")])
    }

    fn body(&self, events: &[&Event]) -> Vec<u8> {
        body(self, events)
    }

    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome> {
        parse_reply(reply, events)
    }

    fn parse_stored(&self, reply: &Reply, events: &[Option<&Event>]) -> Result<Vec<Stored>, Failure> {
        parse_stored(reply, events.len())
    }
}
