//! Secrets, which never show: neither in a log, nor in an error, nor in an event. A secret is a
//! text, or the key that signatures are made with. Knows nothing of where a signature stands.

#[cfg(feature = "ed25519")]
mod ed25519;
mod encoding;
mod key;
mod mac;

use std::fmt;

#[cfg(feature = "ed25519")]
pub(crate) use ed25519::verifies;
pub(crate) use encoding::Encoding;
#[cfg(test)]
pub(crate) use key::KeyError;
pub(crate) use key::{Key, KeyEncoding};
pub(crate) use mac::Algorithm;

/// Holds a secret; [`fmt::Debug`] and [`fmt::Display`] show a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the signer only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_nothing() {
        let secret = Secret::new("wJalrXUtnFEMI");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "[secret] [secret] [secret]");
        assert_eq!(secret.reveal(), "wJalrXUtnFEMI");
    }
}
