//! The SNS query protocol, version 2010-03-31: bodies of `Publish` and `PublishBatch`, their replies, and the limits of
//! what SNS takes.
//!
//! Never sends, signs or retries, and never decides what an event says: it writes events that already fit.

mod reply;
mod request;
pub mod topic_arn;

use crate::aws::error::Outcome;
use crate::aws::protocol::{self, Protocol};
use crate::callout::Reply;
use crate::event::Event;
use topic_arn::TopicArn;

pub use reply::parse_reply;
pub use request::{body, size, CONTENT_TYPE};

/// Bytes of one message with its attributes (names, types, values), in UTF-8, not in characters: 262,144.
///
/// SNS API Reference, action Publish, parameter Message. A topic whose `MaximumMessageSize` is raised takes more; the
/// default is what every topic takes.
pub const MAX_MESSAGE_BYTES: usize = 262_144;

/// Bytes of all messages of one `PublishBatch` with their attributes: 262,144, the same as for one message.
///
/// SNS API Reference, action PublishBatch.
pub const MAX_BATCH_BYTES: usize = 262_144;

impl Protocol for TopicArn {
    fn key(&self) -> &'static str {
        "topic_arn"
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn service(&self) -> &'static str {
        "sns"
    }

    fn keeps_order(&self) -> bool {
        self.fifo
    }

    fn max_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn size(&self, event: &Event) -> usize {
        size(event)
    }

    fn headers(&self, _: usize) -> Vec<(String, String)> {
        protocol::headers([("content-type", CONTENT_TYPE)])
    }

    fn body(&self, events: &[&Event]) -> Vec<u8> {
        body(self, events)
    }

    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome> {
        parse_reply(reply, events)
    }
}
