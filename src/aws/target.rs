//! Where events, dead letters and webhooks go: a topic, a queue or an event bus, and how the host gets there.

use std::rc::Rc;
use std::time::Duration;

use crate::aws::endpoint::Endpoint;
use crate::aws::protocol::Protocol;
use crate::aws::sign::SigningScope;
use crate::callout::Callout;

/// One place that the filter sends to.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is, and how it is spoken to.
    pub protocol: Rc<dyn Protocol>,
    /// The region that requests are signed for.
    pub region: String,
    /// Where the API is.
    pub endpoint: Endpoint,
    /// The host's name for the endpoint: an Envoy cluster, a `host:port` on Kong.
    pub upstream: String,
}

impl Target {
    /// A request to its API.
    pub fn callout(&self, headers: Vec<(String, String)>, body: Vec<u8>, timeout: Duration) -> Callout {
        Callout {
            upstream: self.upstream.clone(),
            scheme: self.endpoint.scheme,
            method: "POST",
            authority: self.endpoint.authority(),
            path: "/".to_owned(),
            headers,
            body,
            timeout,
        }
    }

    /// What requests to it are signed for.
    pub fn scope(&self) -> SigningScope {
        SigningScope { region: self.region.clone(), service: self.protocol.service() }
    }
}

impl PartialEq for Target {
    /// Whether events for the one can travel with events for the other.
    fn eq(&self, other: &Target) -> bool {
        self.protocol.key() == other.protocol.key()
            && self.protocol.name() == other.protocol.name()
            && self.region == other.region
            && self.endpoint == other.endpoint
            && self.upstream == other.upstream
    }
}
