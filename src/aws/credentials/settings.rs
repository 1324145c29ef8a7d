//! The settings of credentials: where they come from, and which role to assume with them. Never
//! asks for any.

use std::time::Duration;

use crate::aws::endpoint::Endpoint;
use crate::secret::Secret;

/// The section `credentials`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The source of the credentials.
    pub(crate) source: Source,
    /// A role to assume with those of the source.
    pub(crate) assume_role: Option<Role>,
    /// The host's names for the places that are asked for credentials.
    pub(crate) upstreams: Upstreams,
}

/// A source of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment, the container endpoint if the environment names one, else the instance.
    Auto,
    /// The configuration itself.
    Static(StaticKeys),
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` of the filter's
    /// environment.
    Environment,
    /// The container endpoint of ECS.
    Container,
    /// The metadata service of an EC2 instance.
    Instance,
    /// Nowhere: the host signs what the filter sends.
    Host,
    /// Nowhere: nothing goes to AWS.
    Unneeded,
}

/// Keys that stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticKeys {
    /// The public half of the key.
    pub(crate) access_key_id: String,
    /// The secret half.
    pub(crate) secret_access_key: Secret,
    /// The session token, which temporary credentials have.
    pub(crate) session_token: Option<Secret>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub(crate) role_arn: String,
    /// The name of its sessions, 2 to 64 characters.
    pub(crate) session_name: String,
    /// The external id that the role's trust policy may ask for.
    pub(crate) external_id: Option<String>,
    /// The lifetime of a session, 15 minutes to 12 hours.
    pub(crate) duration: Duration,
    /// The region that the request to STS is signed for.
    pub(crate) region: String,
    /// The endpoint of STS.
    pub(crate) endpoint: Endpoint,
    /// The host's name for that endpoint.
    pub(crate) upstream: String,
}

/// The host's names for the places that are asked for credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstreams {
    /// The instance metadata service, by default `169.254.169.254:80`.
    pub(crate) instance: Option<String>,
    /// The container endpoint, by default its host and port.
    pub(crate) container: Option<String>,
}
