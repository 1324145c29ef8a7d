//! The SQS JSON protocol (AWS JSON 1.0): bodies of `SendMessage` and `SendMessageBatch`, their replies, and the limits of what
//! SQS takes.
//!
//! Never sends, signs or retries, and never decides what a message says: it writes messages that already fit.

mod reply;
mod request;

pub use reply::{parse_batch, parse_sent};
pub use request::{headers, send_message, send_message_batch, size, Action, Message};

/// Bytes of one message with its attributes (names, types, values), in UTF-8: 1,048,576.
///
/// SQS API Reference, action SendMessage. A queue whose `MaximumMessageSize` is lower takes less.
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Bytes of all messages of one `SendMessageBatch` with their attributes: 1,048,576, the same as for one message.
///
/// SQS API Reference, action SendMessageBatch.
pub const MAX_BATCH_BYTES: usize = 1_048_576;
