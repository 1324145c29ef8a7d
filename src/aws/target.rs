//! A target that events, dead letters and webhooks go to, and how the host gets there. Never calls
//! it.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method};

use crate::aws::endpoint::Endpoint;
use crate::aws::protocol::{Protocol, TargetKind};
use crate::aws::sign::SigningScope;
use crate::aws::{eventbridge, sns, sqs};
use crate::callout::{self, Callout};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::lookup;

/// Every kind of target in AWS.
pub(crate) const KINDS: [&TargetKind; 3] = [&sns::KIND, &sqs::KIND, &eventbridge::KIND];

/// Bytes of a short name: with the name of a metric before it, Kong takes no more than 256.
const SHORT_NAME_BYTES: usize = 160;

/// Returns the name of a target as metrics have it: without the account and the region, or, of one
/// without a region, host and path; and as much of that as the name of a metric may have.
pub(crate) fn short_name<'a>(region: &str, name: &'a str) -> &'a str {
    let short = match region {
        "" => lookup::split_once(name, "://").map(|(_, rest)| rest),
        _ => name.rsplit([':', '/']).next(),
    };
    let short = short.unwrap_or(name);
    short.get(..SHORT_NAME_BYTES).unwrap_or(short)
}

/// One place that the filter sends to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name, and how it is spoken to.
    pub(crate) protocol: Rc<dyn Protocol>,
    /// The scope that requests are signed for, where it is one of AWS's.
    pub(crate) scope: Option<SigningScope>,
    /// The endpoint of the API.
    pub(crate) endpoint: Endpoint,
    /// The host's name for the endpoint: an Envoy cluster, a `host:port` on Kong.
    pub(crate) upstream: String,
    /// True if the order of the events of a group is kept.
    pub(crate) ordered: bool,
    /// Bytes that one event may have, as the protocol counts them.
    pub(crate) max_message_bytes: usize,
}

impl Target {
    /// Returns the call that brings `body` to its API.
    pub(crate) fn callout(&self, headers: HeaderMap, body: Vec<u8>, timeout: Duration) -> Callout {
        let request = callout::request(Method::POST, self.endpoint.uri().clone(), headers, body);
        Callout { upstream: self.upstream.clone(), request, timeout }
    }

    /// Returns the region that requests are signed for; empty where they are not.
    pub(crate) fn region(&self) -> &str {
        self.scope.as_ref().map_or("", |scope| &scope.region)
    }
}

impl Target {
    /// Returns true if the two have one name and with it one queue, and requests to them differ. No
    /// name of AWS's is that of two.
    pub(crate) fn collides_with(&self, other: &Target) -> bool {
        let name = |target: &Target| (target.protocol.kind().key, target.protocol.name().to_owned());
        let headers = |target: &Target| {
            let nothing = Event::default();
            let mut headers = target.protocol.headers(&[&nothing]);
            target.protocol.sign(&mut headers, &[&nothing], b"", Timestamp(0));
            headers
        };
        let both_signed_by_aws = self.scope.is_some() && other.scope.is_some();
        !both_signed_by_aws
            && name(self) == name(other)
            && (self != other || !headers(self).iter().eq(headers(other).iter()))
    }
}

impl PartialEq for Target {
    /// Returns true if events for the one can travel with events for the other.
    fn eq(&self, other: &Target) -> bool {
        self.protocol.kind().key == other.protocol.kind().key
            && self.protocol.name() == other.protocol.name()
            && self.scope == other.scope
            && self.endpoint == other.endpoint
            && self.upstream == other.upstream
    }
}
