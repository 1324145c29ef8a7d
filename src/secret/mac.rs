//! HMACs: of texts by a secret, with one of three hash functions. Knows nothing of where they
//! stand.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::Key;

/// The hash function of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-1, which is still good for an HMAC.
    Sha1,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Returns the length of an HMAC.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    /// Returns the HMAC of `parts`, one after the other.
    pub(crate) fn mac(self, key: &Key, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Algorithm::Sha1 => mac::<Hmac<Sha1>>(key, parts),
            Algorithm::Sha256 => mac::<Hmac<Sha256>>(key, parts),
            Algorithm::Sha512 => mac::<Hmac<Sha512>>(key, parts),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &Key, parts: &[&[u8]]) -> Vec<u8> {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key.reveal()) else { return Vec::new() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}
