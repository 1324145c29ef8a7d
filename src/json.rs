//! Writes JSON. Of the values that this crate writes none can fail: only a map whose keys are not
//! texts could, or an error of a type's own, and there are neither.

use serde::Serialize;

/// Returns `value` as JSON.
pub(crate) fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns `value` as JSON, written into room for `capacity` bytes.
pub(crate) fn to_json_with_capacity(value: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(capacity);
    // See above: what cannot fail has no other outcome.
    let _ = serde_json::to_writer(&mut json, value);
    json
}
