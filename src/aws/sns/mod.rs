//! The SNS query protocol, version 2010-03-31: bodies of `Publish` and `PublishBatch`, their replies, and the limits of
//! what SNS takes.
//!
//! Never sends, signs or retries, and never decides what an event says: it writes events that already fit, and offers
//! the functions that make texts fit.

mod form;
mod reply;
mod request;
mod text;

pub use reply::parse_reply;
pub use request::{body, size, CONTENT_TYPE};
pub use text::{attribute_value, group_id, message, subject};

/// Bytes of one message with its attributes (names, types, values), in UTF-8, not in characters: 262,144.
///
/// SNS API Reference, action Publish, parameter Message. A topic whose `MaximumMessageSize` is raised takes more; the
/// default is what every topic takes.
pub const MAX_MESSAGE_BYTES: usize = 262_144;

/// Bytes of all messages of one `PublishBatch` with their attributes: 262,144, the same as for one message.
///
/// SNS API Reference, action PublishBatch.
pub const MAX_BATCH_BYTES: usize = 262_144;

/// Messages in one `PublishBatch`: 10.
///
/// SNS API Reference, action PublishBatch; one more gives `TooManyEntriesInBatchRequest`.
pub const MAX_BATCH_ENTRIES: usize = 10;

/// Characters of a subject: 99.
///
/// SNS API Reference, action Publish, parameter Subject: "less than 100 characters long".
pub const MAX_SUBJECT_CHARS: usize = 99;

/// Characters of a message group id, and of a deduplication id: 128.
///
/// SNS API Reference, action Publish, parameters MessageGroupId and MessageDeduplicationId.
pub const MAX_GROUP_ID_CHARS: usize = 128;
