//! Where events go: a topic, a queue or an event bus, and how the host gets there.

use std::rc::Rc;

use crate::aws::endpoint::Endpoint;
use crate::aws::protocol::Protocol;

/// One place that events go to.
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
