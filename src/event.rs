//! Events: what is published for one exchange, the message and its attributes. Knows nothing of
//! targets.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::json::to_json;

/// Attributes of one message, at most: with more, raw delivery from SNS to SQS discards the message
/// (SNS Developer Guide, "Amazon SNS message attributes").
pub(crate) const MAX_ATTRIBUTES: usize = 10;

/// Attributes that every message may have beside the configured ones, the most important first:
/// `event_id` always, `event_type` where the route has one, and `method`, `status` and `route` as
/// far as [`MAX_ATTRIBUTES`] leaves room.
pub(crate) const BUILT_IN_ATTRIBUTES: [&str; 5] = ["event_id", "event_type", "method", "status", "route"];

/// Attributes that every message of a CloudEvent has beside `event_id`; then, as far as there is
/// room, come `ce-subject`, `ce-time` and the others of [`BUILT_IN_ATTRIBUTES`].
pub(crate) const CLOUD_EVENT_ATTRIBUTES: [&str; 4] = [SPECVERSION, "ce-id", "ce-source", TYPE];

/// Begins the names of attributes of CloudEvents, which are nobody else's.
pub(crate) const CLOUD_EVENT_PREFIX: &str = "ce-";

/// The type of an event whose route gives none, where one is needed: in a CloudEvent, and as detail
/// type.
pub(crate) const DEFAULT_TYPE: &str = "exchange";

const SPECVERSION: &str = "ce-specversion";
const TYPE: &str = "ce-type";

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
    /// Its name: the same text in every event, or a configured one.
    pub(crate) name: Cow<'static, str>,
    /// How its value is read.
    pub(crate) data_type: AttributeType,
    /// Its value.
    pub(crate) value: String,
}

/// One event on its way to its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// The trace that it belongs to, as X-Ray writes it.
    pub(crate) trace_header: Option<String>,
    /// When the exchange was over.
    pub(crate) at: Timestamp,
}

/// The text between the message and its attributes, in the place of the message's last brace.
const SEAM: &str = ",\"attributes\":";

impl Event {
    /// Writes the message, which is a JSON object with entries, with the attributes in it, for a
    /// target that takes none beside it. A CloudEvent has no room for them.
    pub(crate) fn with_attributes(&self) -> String {
        match self.message.strip_suffix('}').filter(|_| !self.is_alone()) {
            Some(open) => [open, SEAM, &attributes(self), "}"].concat(),
            None => self.message.clone(),
        }
    }

    /// Returns the bytes of the message with the attributes in it.
    pub(crate) fn size_with_attributes(&self) -> usize {
        let more = if self.is_alone() { 0 } else { SEAM.len() + attributes(self).len() };
        self.message.len() + more
    }

    /// Returns true if nothing is added to the message.
    fn is_alone(&self) -> bool {
        self.attributes.is_empty() || self.is_cloud_event()
    }

    /// Returns true if the message is a CloudEvent, to which nothing can be added.
    pub(crate) fn is_cloud_event(&self) -> bool {
        self.attribute(SPECVERSION).is_some()
    }

    /// Returns its type, or the one of events that have none.
    pub(crate) fn event_type(&self) -> &str {
        self.attribute("event_type").or_else(|| self.attribute(TYPE)).unwrap_or(DEFAULT_TYPE)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_str())
    }
}

fn attributes(event: &Event) -> String {
    to_json(&InMessage(&event.attributes))
}

/// Attributes as they stand in a message.
struct InMessage<'a>(&'a [Attribute]);

impl Serialize for InMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Attribute { name, data_type, value } in self.0 {
            let json = match data_type {
                AttributeType::String => None,
                // A rule compares numbers with numbers only, and looks into lists.
                AttributeType::Number | AttributeType::StringArray => {
                    serde_json::from_slice::<&RawValue>(value.as_bytes()).ok()
                }
            };
            match json {
                Some(json) => map.serialize_entry(name, json)?,
                None => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}
