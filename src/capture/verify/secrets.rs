//! The secrets that signatures are made with, as bytes.

use std::fmt;

use base64_simd::{Out, STANDARD};

/// What stands before a secret of Standard Webhooks, which is base64.
const PREFIX: &str = "whsec_";

/// A secret; [`fmt::Debug`] shows a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// Why a text is not a secret of its scheme. The text itself is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// A secret of Standard Webhooks that is no base64.
    #[error("it is not base64 behind `whsec_`")]
    Base64,
}

impl Key {
    /// A secret that is its own text.
    ///
    /// # Errors
    /// An empty one, with which everybody can sign.
    pub fn of_text(text: &str) -> Result<Key, KeyError> {
        Key::of_bytes(text.as_bytes().to_vec())
    }

    /// A secret of Standard Webhooks: base64, with `whsec_` before it or not.
    ///
    /// # Errors
    /// What is not of that form, or empty.
    pub fn of_base64(text: &str) -> Result<Key, KeyError> {
        Key::of_bytes(decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok_or(KeyError::Base64)?)
    }

    fn of_bytes(bytes: Vec<u8>) -> Result<Key, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Key(bytes))
    }

    /// The secret itself, for the arithmetic only.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Base64 of the standard alphabet, padded.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; STANDARD.estimated_decoded_length(text.len())];
    Some(STANDARD.decode(text.as_bytes(), Out::from_slice(&mut buffer)).ok()?.to_vec())
}
