//! A topic, a queue or an event bus that events, dead letters and webhooks go to, and how the host
//! gets there. Never calls it.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method};

use crate::aws::endpoint::Endpoint;
use crate::aws::protocol::{Protocol, TargetKind};
use crate::aws::sign::SigningScope;
use crate::aws::{eventbridge, sns, sqs};
use crate::callout::{self, Callout};

/// Every kind of target.
pub(crate) const KINDS: [&TargetKind; 3] = [&sns::KIND, &sqs::KIND, &eventbridge::KIND];

/// Bytes of a short name: with the name of a metric before it, Kong takes no more than 256.
const SHORT_NAME_BYTES: usize = 160;

/// Returns the name of a topic, a queue or an event bus without the account and the region, or as
/// much of it as the name of a metric may have.
pub(crate) fn short_name(name: &str) -> &str {
    let short = name.rsplit([':', '/']).next().unwrap_or(name);
    short.get(..SHORT_NAME_BYTES).unwrap_or(short)
}

/// One place that the filter sends to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name, and how it is spoken to.
    pub(crate) protocol: Rc<dyn Protocol>,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// The endpoint of the API.
    pub(crate) endpoint: Endpoint,
    /// The host's name for the endpoint: an Envoy cluster, a `host:port` on Kong.
    pub(crate) upstream: String,
}

impl Target {
    /// Returns the call that brings `body` to its API.
    pub(crate) fn callout(&self, headers: HeaderMap, body: Vec<u8>, timeout: Duration) -> Callout {
        let request = callout::request(Method::POST, self.endpoint.uri().clone(), headers, body);
        Callout { upstream: self.upstream.clone(), request, timeout }
    }

    /// Returns the scope of the signatures of requests to it.
    pub(crate) fn scope(&self) -> SigningScope {
        SigningScope { region: self.region.clone(), service: self.protocol.service() }
    }
}

impl PartialEq for Target {
    /// Returns true if events for the one can travel with events for the other.
    fn eq(&self, other: &Target) -> bool {
        self.protocol.kind().key == other.protocol.kind().key
            && self.protocol.name() == other.protocol.name()
            && self.region == other.region
            && self.endpoint == other.endpoint
            && self.upstream == other.upstream
    }
}
