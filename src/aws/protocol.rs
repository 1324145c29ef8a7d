//! What differs from one service that takes events to the next.

use std::fmt::Debug;

use crate::aws::error::Outcome;
use crate::callout::Reply;
use crate::event::Event;

/// Events in one call: SNS, SQS and EventBridge take the same.
///
/// SNS API Reference, action PublishBatch; SQS API Reference, action SendMessageBatch; EventBridge API Reference, action
/// PutEvents.
pub const MAX_EVENTS: u32 = 10;

/// How events are said to a topic, a queue or an event bus, and how it answers. Never sends, signs or retries.
pub trait Protocol: Debug {
    /// The key of the configuration that names such a target.
    fn key(&self) -> &'static str;

    /// What stands under that key.
    fn name(&self) -> &str;

    /// What the service is called in signatures and in the names of its endpoints.
    fn service(&self) -> &'static str;

    /// Whether the order of the events of a group is kept, if it is kept here.
    fn keeps_order(&self) -> bool;

    /// Bytes that one call may carry, and so that one event may have, as [`Protocol::size`] counts them.
    fn max_bytes(&self) -> usize;

    /// The bytes of an event as the service counts them.
    fn size(&self, event: &Event) -> usize;

    /// The headers of a request of so many events, beside those of the signature.
    fn headers(&self, events: usize) -> Vec<(String, String)>;

    /// The body of the request that delivers `events`: 1 to [`MAX_EVENTS`], of together [`Protocol::max_bytes`].
    fn body(&self, events: &[&Event]) -> Vec<u8>;

    /// The outcome of each of the `events` events of a request made by [`Protocol::body`], in their order.
    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome>;
}

/// Headers from what they are written as.
pub(super) fn headers<const COUNT: usize>(headers: [(&str, &str); COUNT]) -> Vec<(String, String)> {
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
