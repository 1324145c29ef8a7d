//! The secrets that signatures are made with, as bytes.

use std::fmt;

use base64_simd::{Out, STANDARD};

/// The prefix of a secret of Standard Webhooks, which is base64.
const PREFIX: &str = "whsec_";

/// Bytes of a secret of Standard Webhooks, at least (specification, "Signature scheme").
const MIN_WHSEC_BYTES: usize = 24;

/// A secret; [`fmt::Debug`] shows a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Vec<u8>);

/// The form in which a scheme's secrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretEncoding {
    /// The text itself is the secret.
    Text,
    /// Base64, with `whsec_` before it or not: Standard Webhooks.
    Whsec,
}

/// The reason why a text is not a secret of its scheme. The text itself is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// The text begins or ends with white space.
    #[error("it has white space around it")]
    Surrounded,
    /// The text is not base64.
    #[error("it is not base64 behind `whsec_`")]
    Base64,
    /// The secret is shorter than Standard Webhooks allow.
    #[error("it has {0} bytes, of at least {MIN_WHSEC_BYTES}")]
    Short(usize),
}

impl Key {
    /// Reads a secret.
    ///
    /// # Errors
    /// If the text is not of that form, or the secret is empty or too short, so that others can
    /// sign with it.
    pub(crate) fn read(text: &str, encoding: SecretEncoding) -> Result<Key, KeyError> {
        if text.trim() != text {
            return Err(KeyError::Surrounded);
        }
        let bytes = match encoding {
            SecretEncoding::Text => text.as_bytes().to_vec(),
            SecretEncoding::Whsec => decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok_or(KeyError::Base64)?,
        };
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if encoding == SecretEncoding::Whsec && bytes.len() < MIN_WHSEC_BYTES {
            return Err(KeyError::Short(bytes.len()));
        }
        Ok(Key(bytes))
    }

    /// Returns the secret itself, for the arithmetic only.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Decodes base64 of the standard alphabet, padded.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; STANDARD.estimated_decoded_length(text.len())];
    Some(STANDARD.decode(text.as_bytes(), Out::from_slice(&mut buffer)).ok()?.to_vec())
}
