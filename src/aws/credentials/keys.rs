//! Credentials as a signature needs them. Knows nothing of their sources.

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Credentials that a request is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The public half of the key.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// The session token, which temporary credentials have.
    pub session_token: Option<Secret>,
    /// Their end, if their source tells it; without one they live until they are refused.
    pub expires_at: Option<Timestamp>,
}
