//! Bytes, several at once: looked for, and written as digits.

pub(crate) mod hex;
pub(crate) mod words;
