//! Events: what is published for one exchange, the message and its attributes. Knows nothing of
//! targets.

use crate::clock::Timestamp;

/// Attributes of one message, at most: with more, raw delivery from SNS to SQS discards the message
/// (SNS Developer Guide, "Amazon SNS message attributes").
pub(crate) const MAX_ATTRIBUTES: usize = 10;

/// Attributes that every message may have beside the configured ones, the most important first:
/// `event_id` always, `event_type` where the route has one, and `method`, `status` and `route` as
/// far as [`MAX_ATTRIBUTES`] leaves room.
pub(crate) const BUILT_IN_ATTRIBUTES: [&str; 5] = ["event_id", "event_type", "method", "status", "route"];

/// The type of a message attribute, as SNS and SQS name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttributeType {
    /// Text.
    String,
    /// A number, so that subscribers can filter by range.
    Number,
    /// A JSON list of texts, numbers, booleans and nulls; a filter policy is met by any of them.
    StringArray,
}

impl AttributeType {
    /// Returns the value of `DataType` on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            AttributeType::String => "String",
            AttributeType::Number => "Number",
            // To SQS what stands behind the point is a label of the type String.
            AttributeType::StringArray => "String.Array",
        }
    }
}

/// A message attribute; the value is never empty (SNS refuses empty values).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// Its name.
    pub(crate) name: String,
    /// How its value is read.
    pub(crate) data_type: AttributeType,
    /// Its value.
    pub(crate) value: String,
}

/// One event on its way to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Names the event: unique for each exchange and kept in every retry, so that consumers can
    /// be idempotent.
    pub(crate) id: String,
    /// The JSON text that is published.
    pub(crate) message: String,
    /// Attributes, for subscription filter policies.
    pub(crate) attributes: Vec<Attribute>,
    /// The SNS subject, used by e-mail subscriptions.
    pub(crate) subject: Option<String>,
    /// The group whose order FIFO topics keep.
    pub(crate) group_id: Option<String>,
    /// When the exchange was over.
    pub(crate) at: Timestamp,
}
