//! Kinds of targets, and how each is spoken to. Whatever differs between the services that take
//! events is asked here.
//!
//! A new kind of target is a folder beside this file with a [`TargetKind`] and a [`Protocol`], and a
//! row in [`KINDS`](super::target::KINDS).

use std::error::Error;
use std::fmt::Debug;
use std::rc::Rc;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::aws::decimal::DecimalRange;
use crate::aws::endpoint::Endpoint;
use crate::aws::error::{Failure, Outcome};
use crate::callout::Reply;
use crate::clock::Timestamp;
use crate::event::Event;

/// Events that one call may carry, whatever the target: SNS, SQS and EventBridge all take ten.
///
/// SNS API Reference, action PublishBatch; SQS API Reference, action SendMessageBatch; EventBridge
/// API Reference, action PutEvents.
pub(crate) const MAX_EVENTS: u32 = 10;

/// Numbers that SQS takes: of 38 digits, and between 10^-128 and 10^126 (SQS Developer Guide, "Amazon
/// SQS message attributes"). To EventBridge a number is one of JSON, and these are.
const NUMBERS: DecimalRange = DecimalRange { digits: 38, magnitudes: -128..=125, largest: None };

/// A kind of target, as the configuration names one.
pub(crate) struct TargetKind {
    /// The key of the configuration that names such a target.
    pub(crate) key: &'static str,
    /// A target of this kind in the text of a fault: `an event bus`.
    pub(crate) target: &'static str,
    /// A value of the key in the text of a fault: `the ARN of a topic`.
    pub(crate) name: &'static str,
    /// The remedy for a wrong value.
    pub(crate) remedy: &'static str,
    /// Reads the value of the key, where that alone makes a target.
    pub(crate) parse: Option<fn(&str) -> Parsed>,
}

/// A target, or the reason why its name is none of its kind.
pub(crate) type Parsed = Result<Rc<dyn Protocol>, Box<dyn Error>>;

/// The id that a service gave to a message, or why it is not certain that the service has it.
pub(crate) type Stored = Result<String, Failure>;

/// Reads the name of a target of one kind, for [`TargetKind::parse`].
///
/// # Errors
/// The reason why it is no such name.
pub(crate) fn parse<P>(name: &str) -> Parsed
where
    P: Protocol + FromStr<Err: Error + 'static> + 'static,
{
    Ok(Rc::new(name.parse::<P>()?))
}

/// The protocol of one target: how events are written for it, and how its replies are read. Never
/// sends, retries, or signs with the credentials of AWS.
pub(crate) trait Protocol: Debug {
    /// The kind of target.
    fn kind(&self) -> &'static TargetKind;

    /// The name of the target, as the configuration has it.
    fn name(&self) -> &str;

    /// The service in the name of its queue, and where it is one of AWS's in signatures and in the
    /// names of its endpoints.
    fn service(&self) -> &'static str;

    /// The region, if the name of the target tells it.
    fn region(&self) -> Option<&str>;

    /// The endpoint, if the name of the target tells it.
    fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    /// Returns true if the order of the events of a group is kept. Every event then needs a group.
    fn keeps_order(&self) -> bool;

    /// Returns true if the order of the events of a group is kept where a route gives them one.
    fn may_keep_order(&self) -> bool {
        self.keeps_order()
    }

    /// Returns true if an event may belong to a group, whether its order is kept or not.
    fn takes_group_id(&self) -> bool {
        true
    }

    /// Returns true if an event may have a subject.
    fn takes_subject(&self) -> bool {
        false
    }

    /// Returns true if a message has attributes beside it; else they are written into it.
    fn takes_attributes(&self) -> bool {
        true
    }

    /// Returns true if a message in an operator's own form is all that is sent: its receiver may
    /// take nothing else.
    fn takes_own_message_alone(&self) -> bool {
        false
    }

    /// Returns true if a trace travels beside a message.
    fn takes_trace_header(&self) -> bool {
        false
    }

    /// Characters that the type of an event may have, if the service bounds them.
    fn max_event_type_chars(&self) -> Option<usize> {
        None
    }

    /// Numbers that the service takes as an attribute, and that can be filtered by.
    fn numbers(&self) -> &'static DecimalRange {
        &NUMBERS
    }

    /// Events that one call may carry.
    fn max_events(&self) -> usize {
        MAX_EVENTS as usize
    }

    /// Bytes that one event may have unless the target is told to take others, as
    /// [`Protocol::size`] counts them; and so one call.
    fn max_bytes(&self) -> usize;

    /// Bytes that one event may have where the target takes as many as it can be told to.
    fn most_bytes(&self) -> usize {
        self.max_bytes()
    }

    /// Bytes that one call may carry to a target that takes so many in one message.
    fn max_call_bytes(&self, _: usize) -> usize {
        self.max_bytes()
    }

    /// Returns the bytes of an event as the service counts them.
    fn size(&self, event: &Event) -> usize;

    /// Returns the headers of the request that delivers `events`, beside those of the signature.
    fn headers(&self, events: &[&Event]) -> HeaderMap;

    /// Writes the body of the request that delivers `events`: 1 to [`Protocol::max_events`], of
    /// together [`Protocol::max_call_bytes`].
    fn body(&self, events: &[&Event]) -> Vec<u8>;

    /// Adds the headers of a signature that the target itself asks for, to a request of `body` at
    /// `now`. One of AWS's asks for none but that of its credentials.
    fn sign(&self, _headers: &mut HeaderMap, _events: &[&Event], _body: &[u8], _now: Timestamp) {}

    /// Returns the outcome of each of the `events` events of a request made by [`Protocol::body`],
    /// in their order.
    fn parse_reply(&self, reply: &Reply, events: usize) -> Vec<Outcome>;

    /// Returns the id that the service gave to each of the events of a request made by
    /// [`Protocol::body`], in their order. One that nobody asks for any more is `None`.
    ///
    /// Never believes a reply that could be about other events, because somebody is told what it
    /// says: an event is stored only if a whole reply, to this very call as far as it shows, names
    /// it exactly once, as stored and with an id.
    ///
    /// # Errors
    /// The failure of all: the call was refused, or the reply cannot be one to this call.
    fn parse_stored(&self, reply: &Reply, events: &[Option<&Event>]) -> Result<Vec<Stored>, Failure>;
}

/// The header in which AWS's JSON protocols name the action.
pub(super) const AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Makes a map of headers whose values are constants.
pub(super) fn headers<const COUNT: usize>(headers: [(HeaderName, &'static str); COUNT]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name, HeaderValue::from_static(value));
    }
    map
}
