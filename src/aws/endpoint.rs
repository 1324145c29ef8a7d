//! Where an AWS API is.

use crate::callout::Scheme;

/// The base URL of an API: scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub scheme: Scheme,
    /// A host name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port, the scheme's own if none was given.
    pub port: u16,
}
