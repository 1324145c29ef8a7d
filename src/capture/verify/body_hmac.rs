//! A signature that is nothing but an HMAC of the body, in a header: GitHub's, and those of many others.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::secrets::decode;
use super::{required, Key, Rejection, Verification};
use crate::exchange::Headers;

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, which is still good for an HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How the bytes of a signature are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Two digits for each, in either case.
    Hex,
    /// The standard alphabet, padded.
    Base64,
}

/// Where a signature stands and how it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacScheme {
    /// The header's name, in lower case.
    pub header: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// How it is written.
    pub encoding: Encoding,
    /// What stands before it, such as `sha256=`.
    pub prefix: String,
}

impl Algorithm {
    /// Whether one of `signatures` is that of `parts`, one after the other. What is signed is read once, however many there are.
    pub(super) fn verifies(self, key: &Key, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
        match self {
            Algorithm::Sha1 => verifies::<Hmac<Sha1>>(key, parts, signatures),
            Algorithm::Sha256 => verifies::<Hmac<Sha256>>(key, parts, signatures),
            Algorithm::Sha512 => verifies::<Hmac<Sha512>>(key, parts, signatures),
        }
    }
}

fn verifies<M: Mac + KeyInit + Clone>(key: &Key, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key.reveal()) else { return false };
    for part in parts {
        mac.update(part);
    }
    signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Encoding::Hex => hex::decode(text).ok(),
            Encoding::Base64 => decode(text),
        }
    }
}

impl HmacScheme {
    /// As GitHub signs.
    pub fn github() -> HmacScheme {
        HmacScheme {
            header: "x-hub-signature-256".to_owned(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: "sha256=".to_owned(),
        }
    }

    pub(super) fn check(
        &self,
        verification: &Verification,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<(), Rejection> {
        let text = required(headers, &self.header)?.trim();
        let signature = text.strip_prefix(self.prefix.as_str()).and_then(|text| self.encoding.decode(text));
        let signature = signature.ok_or_else(|| Rejection::Unreadable(self.header.clone()))?;
        verification.matches(self.algorithm, &[body], &[signature])
    }
}
