//! The secrets that signatures are made with, as bytes.

use std::fmt;

use super::Encoding;

/// Bytes of a secret of Standard Webhooks, at least (specification, "Signature scheme").
const MIN_WHSEC_BYTES: usize = 24;

/// Prefixes of the keys of Ed25519 in Standard Webhooks, a public one and a secret one.
const KEY_PREFIXES: [&str; 2] = ["whpk_", "whsk_"];

/// A secret; [`fmt::Debug`] shows a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Vec<u8>);

/// The form in which a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyEncoding {
    /// Bytes in this form.
    Plain(Encoding),
    /// Base64 of 24 bytes at least, with `whsec_` or `v1,whsec_` before it or not: Standard
    /// Webhooks.
    Whsec,
    /// A public key of Ed25519 in this form, with `whpk_` before it or not.
    #[cfg(feature = "ed25519")]
    Public(Encoding),
    /// A name and a password, with `:` between them.
    NameAndPassword,
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
    /// The text is not of the form.
    #[error("it is not {0}")]
    Form(&'static str),
    /// The text is a key of Ed25519, and the others are secrets. Everybody may know it: an HMAC by
    /// it would prove nothing.
    #[error("it is a key of Ed25519, which goes with others of its kind alone")]
    Foreign,
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
    pub(crate) fn read(text: &str, encoding: KeyEncoding) -> Result<Key, KeyError> {
        if text.trim() != text {
            return Err(KeyError::Surrounded);
        }
        let is_public = match encoding {
            KeyEncoding::Plain(_) | KeyEncoding::Whsec | KeyEncoding::NameAndPassword => false,
            #[cfg(feature = "ed25519")]
            KeyEncoding::Public(_) => true,
        };
        if !is_public && KEY_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(KeyError::Foreign);
        }
        let (prefix, form) = match encoding {
            KeyEncoding::Plain(form) => ("", form),
            KeyEncoding::Whsec => ("whsec_", Encoding::Base64),
            #[cfg(feature = "ed25519")]
            KeyEncoding::Public(form) => ("whpk_", form),
            KeyEncoding::NameAndPassword => ("", Encoding::Text),
        };
        let name = match form {
            Encoding::Hex => "hexadecimal",
            Encoding::Base64 if prefix.is_empty() => "base64",
            Encoding::Base64 => "base64 behind its prefix",
            Encoding::Text => "text",
        };
        let versionless = if encoding == KeyEncoding::Whsec { text.strip_prefix("v1,") } else { None };
        let text = versionless.unwrap_or(text);
        let bytes = form.decode(text.strip_prefix(prefix).unwrap_or(text)).ok_or(KeyError::Form(name))?;
        match encoding {
            _ if bytes.is_empty() => Err(KeyError::Empty),
            KeyEncoding::Whsec if bytes.len() < MIN_WHSEC_BYTES => Err(KeyError::Short(bytes.len())),
            KeyEncoding::NameAndPassword if !bytes.contains(&b':') || bytes.len() == 1 => {
                Err(KeyError::Form("NAME:PASSWORD"))
            }
            #[cfg(feature = "ed25519")]
            KeyEncoding::Public(_) if !super::ed25519::is_public_key(&bytes) => {
                Err(KeyError::Form("a public key of Ed25519"))
            }
            _ => Ok(Key(bytes)),
        }
    }

    /// Returns the secret itself, for the arithmetic only.
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
