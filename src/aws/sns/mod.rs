//! The SNS query protocol, version 2010-03-31: bodies of `Publish` and `PublishBatch`, their
//! replies, and the limits of SNS.
//!
//! Never sends, signs or retries, and never decides what is in an event: it writes events that
//! already fit.

mod reply;
mod request;
pub(crate) mod topic_arn;

use http::header::{HeaderMap, CONTENT_TYPE};

use crate::aws::decimal::DecimalRange;
use crate::aws::error::{Failure, Outcome};
use crate::aws::protocol::{self, Protocol, Stored, TargetKind};
use crate::callout::Reply;
use crate::event::Event;
use topic_arn::TopicArn;

pub(crate) use reply::{parse_reply, parse_stored};
pub(crate) use request::{body, size, FORM};

/// Bytes that one message may have with its attributes (names, types, values) in UTF-8, and all
/// messages of one `PublishBatch` together: 262,144.
///
/// SNS API Reference, actions Publish (parameter Message) and PublishBatch. A topic whose
/// `MaximumMessageSize` is raised takes more; every topic that has not lowered it takes this.
pub(crate) const MAX_MESSAGE_BYTES: usize = 262_144;

/// Bytes to which the `MaximumMessageSize` of a topic can be raised (SNS API Reference,
/// SetTopicAttributes).
pub(crate) const MOST_MESSAGE_BYTES: usize = 1_048_576;

/// Numbers that a filter policy compares: from -10^9 to 10^9 (SNS Developer Guide, "Filter policy
/// constraints"). It regards five digits behind the point; that there are more is no fault.
const NUMBERS: DecimalRange = DecimalRange { digits: 38, magnitudes: -128..=8, largest: Some(9) };

/// Topics, by their ARN.
pub(crate) static KIND: TargetKind = TargetKind {
    key: "topic_arn",
    target: "a topic",
    name: "the ARN of a topic",
    remedy: "give the ARN of an SNS topic, such as `arn:aws:sns:us-east-1:123456789012:profile-events`",
    parse: Some(protocol::parse::<TopicArn>),
};

impl Protocol for TopicArn {
    fn kind(&self) -> &'static TargetKind {
        &KIND
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn service(&self) -> &'static str {
        "sns"
    }

    fn region(&self) -> Option<&str> {
        Some(&self.region)
    }

    fn takes_subject(&self) -> bool {
        true
    }

    fn keeps_order(&self) -> bool {
        self.fifo
    }

    fn numbers(&self) -> &'static DecimalRange {
        &NUMBERS
    }

    fn max_bytes(&self) -> usize {
        MAX_MESSAGE_BYTES
    }

    fn most_bytes(&self) -> usize {
        MOST_MESSAGE_BYTES
    }

    fn max_call_bytes(&self, max_message_bytes: usize) -> usize {
        max_message_bytes
    }

    fn size(&self, event: &Event) -> usize {
        size(event)
    }

    fn headers(&self, _: &[&Event]) -> HeaderMap {
        protocol::headers([(CONTENT_TYPE, FORM)])
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
