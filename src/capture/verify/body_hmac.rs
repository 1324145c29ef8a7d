//! Signatures that are nothing but an HMAC of the body, in a header: GitHub signs so, and many
//! others.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::secrets::decode;
use super::{required, Key, Rejection, Signed, Verification};
use crate::exchange::Headers;

/// The hash function of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// SHA-1, which is still good for an HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The form in which the bytes of a signature are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Two digits for each byte, in either case.
    Hex,
    /// Base64 of the standard alphabet, padded.
    Base64,
}

/// An HMAC of the body: where it stands and how it is made.
#[derive(Clone, Debug)]
pub(crate) struct BodyHmac {
    /// The header's name, in lower case.
    pub(crate) header: Cow<'static, str>,
    /// The hash function.
    pub(crate) algorithm: Algorithm,
    /// The form in which it is written.
    pub(crate) encoding: Encoding,
    /// The text before it, such as `sha256=`; may be empty.
    pub(crate) prefix: Cow<'static, str>,
}

impl Algorithm {
    /// Returns true if one of `signatures` signs `parts`, one after the other. The parts are read
    /// once, however many signatures there are.
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

impl BodyHmac {
    pub(super) fn check(
        &self,
        verification: &Verification,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<Signed, Rejection> {
        let text = required(headers, &self.header)?.trim();
        let signature = text.strip_prefix(&*self.prefix).and_then(|text| self.encoding.decode(text));
        let signature = signature.ok_or_else(|| Rejection::Unreadable(self.header.to_string()))?;
        verification.matches(self.algorithm, &[body], &[signature])?;
        Ok(Signed { id: None })
    }
}
