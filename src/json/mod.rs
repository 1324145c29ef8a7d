//! Writes what the crate makes as JSON: records, messages, letters and bodies of calls. Reads what
//! others give it as JSON.
//!
//! Writing fails only for a map whose keys are not texts, or for a type whose own serialisation
//! gives up. The crate has neither, so that nobody has to say what follows if it did.

mod depth;
pub(crate) mod object;
pub(crate) mod pointer;
mod string;
mod tree;
pub(crate) mod walk;

pub(crate) use depth::is_deeper;
pub(crate) use string::{is_plain, push_field, push_string};
pub(crate) use tree::{texts, tree, tree_of_single_keys, JsonPath};

use serde::Serialize;

/// Returns `value` as a text of JSON.
pub(crate) fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns `value` as the bytes of JSON, written into room for `capacity` of them, so that a long
/// value is not moved while it grows.
pub(crate) fn to_json_bytes(value: &(impl Serialize + ?Sized), capacity: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(capacity);
    if serde_json::to_writer(&mut json, value).is_err() {
        json.clear();
    }
    json
}
