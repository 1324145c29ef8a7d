//! Signatures of Ed25519, by the crate `ed25519-dalek`. Takes no key of small order, with which one
//! signature would be good for every text.

use ed25519_dalek::{Signature, VerifyingKey};

/// Returns true if the 32 bytes are a public key.
pub(super) fn is_public_key(bytes: &[u8]) -> bool {
    read(bytes).is_some_and(|key| !key.is_weak())
}

/// Returns true if `signature` signs `parts`, one after the other, by the secret of this public
/// key.
pub(crate) fn verifies(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    let (Some(key), Ok(signature)) = (read(key), Signature::from_slice(signature)) else { return false };
    key.verify_strict(&parts.concat(), &signature).is_ok()
}

fn read(bytes: &[u8]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()
}
