//! What an operator says of credentials: where they come from, and which role to assume with them.

use std::time::Duration;

use crate::aws::endpoint::Endpoint;
use crate::secret::Secret;

/// The section `credentials`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where credentials come from.
    pub source: Source,
    /// A role to assume with them.
    pub assume_role: Option<AssumeRole>,
    /// The host's names for where they are asked for.
    pub upstreams: Upstreams,
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment, the container endpoint if the environment names one, else the instance.
    Auto,
    /// The configuration itself.
    Static(StaticKeys),
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` of the filter's environment.
    Environment,
    /// The container endpoint of ECS.
    Container,
    /// The metadata service of an EC2 instance.
    Instance,
    /// Nowhere: the host signs what the filter sends.
    Host,
}

/// Keys that stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticKeys {
    /// The public half of the key.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRole {
    /// Its ARN.
    pub role_arn: String,
    /// What its sessions are called, 2 to 64 characters.
    pub session_name: String,
    /// What the role's trust policy may ask for.
    pub external_id: Option<String>,
    /// How long a session lasts, 15 minutes to 12 hours.
    pub duration: Duration,
    /// The region that the request is signed for.
    pub region: String,
    /// Where STS is.
    pub endpoint: Endpoint,
    /// The host's name for it.
    pub upstream: String,
}

/// The host's names for the places that credentials come from; without one, host and port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstreams {
    /// The instance metadata service, by default `169.254.169.254:80`.
    pub instance: Option<String>,
    /// The container endpoint, by default as the environment has it.
    pub container: Option<String>,
}
