//! MD5 sums of a message, as SQS sends them back (SQS Developer Guide, "Calculating the MD5 message
//! digest for message attributes"). They tell that SQS has this message; they protect nothing.

use md5::{Digest, Md5};

use super::request::Message;
use crate::bytes::hex::hex_text;
use crate::event::Attribute;

/// The mark of a value that is a text and not bytes.
const TEXT: [u8; 1] = [1];

/// Returns the sum of a body, in hex.
pub(super) fn of_body(message: &Message<'_>) -> String {
    let mut sum = Md5::new();
    sum.update(message.body);
    in_hex(sum)
}

/// Returns the sum of the attributes, in hex.
pub(super) fn of_attributes(message: &Message<'_>) -> String {
    // A message has ten at most.
    let mut attributes: Vec<&Attribute> = Vec::with_capacity(message.attributes.len());
    for attribute in message.attributes {
        attributes.insert(attributes.partition_point(|earlier| earlier.name <= attribute.name), attribute);
    }
    let mut sum = Md5::new();
    for attribute in attributes {
        add(&mut sum, &attribute.name);
        add(&mut sum, attribute.data_type.as_str());
        sum.update(TEXT);
        add(&mut sum, &attribute.value);
    }
    in_hex(sum)
}

#[inline(never)]
fn in_hex(sum: Md5) -> String {
    hex_text(&sum.finalize())
}

/// Adds a text with its length before it.
fn add(sum: &mut Md5, text: &str) {
    // No text has four gigabytes: memory has no more.
    sum.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    sum.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AttributeType;

    #[test]
    fn the_sums_are_those_of_sqs() {
        // Computed by moto 5, whose sums botocore checks.
        let attribute = |name: &str, data_type, value: &str| Attribute {
            name: name.to_owned().into(),
            data_type,
            value: value.into(),
        };
        let attributes = [
            attribute("source", AttributeType::String, "github"),
            attribute("id", AttributeType::String, "é"),
            attribute("status", AttributeType::Number, "200"),
        ];
        let message = Message {
            body: "{\"a\":\"é\"}",
            attributes: &attributes,
            group_id: None,
            deduplication_id: None,
            trace_header: None,
        };
        assert_eq!(of_body(&message), "110df10b56b83299182f70164879d203");
        assert_eq!(of_attributes(&message), "468c41cfb9960db80863f57c7c80d904");
    }
}
