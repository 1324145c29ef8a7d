//! Reads from a reply of SQS whether it has the very message of a call, by the sums that SQS sends
//! back.
//!
//! Never believes a reply that could be about another message, because a sender is told what it
//! says.

use super::checksum;
use super::reply::read_sent;
use super::request::Message;
use crate::aws::error::{Failure, FailureClass};
use crate::callout::Reply;

const BODY_SUM: &str = "MD5OfMessageBody";
const ATTRIBUTES_SUM: &str = "MD5OfMessageAttributes";

/// Returns the id that SQS gave to `message`, if what it stored is that message: SQS sends the MD5
/// of body and attributes back.
///
/// # Errors
/// As [`super::parse_sent`], and if SQS tells of another message.
pub(crate) fn parse_stored(reply: &Reply, message: &Message<'_>) -> Result<String, Failure> {
    let (message_id, sent) = read_sent(reply)?;
    // A stand-in for SQS may give no sums; one that it gives has to be right.
    let other = |name: &str, sum: fn(&Message<'_>) -> String| {
        sent.get(name)
            .is_some_and(|stored| stored.as_str().is_none_or(|stored| !stored.eq_ignore_ascii_case(&sum(message))))
    };
    for (name, sum) in
        [(BODY_SUM, checksum::of_body as fn(&Message<'_>) -> String), (ATTRIBUTES_SUM, checksum::of_attributes)]
    {
        if other(name, sum) {
            let text = format!("{name} is not that of what was sent");
            return Err(Failure::new(FailureClass::Transient, "AnotherMessage", &text));
        }
    }
    Ok(message_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::reply::testing::response;

    #[test]
    fn only_a_plain_200_about_this_message_is_a_success() {
        let attributes = [];
        let message = Message { body: "{}", attributes: &attributes, group_id: None, deduplication_id: None };
        let sum = "99914b932bd37a50b983c5e7c90ae93b";
        let stored = |status, fields: &str| {
            let body = format!(r#"{{"MessageId":"m-1"{fields}}}"#);
            parse_stored(&response(status, body), &message).map_err(|failure| failure.code)
        };
        assert_eq!(stored(200, ""), Ok("m-1".into()), "a reply without sums is believed");
        assert_eq!(stored(200, &format!(r#","MD5OfMessageBody":"{sum}""#)), Ok("m-1".into()));
        assert_eq!(stored(200, &format!(r#","MD5OfMessageBody":"{}""#, sum.to_uppercase())), Ok("m-1".into()));
        for wrong in ["\"\"", "null", "7", "\"99914b932bd37a50b983c5e7c90ae93c\""] {
            for name in [BODY_SUM, ATTRIBUTES_SUM] {
                assert_eq!(
                    stored(200, &format!(r#","{name}":{wrong}"#)),
                    Err("AnotherMessage".into()),
                    "{name} {wrong}"
                );
            }
        }
        let cut = [br#"{"MessageId":"m-1","MD5OfMessageBody":"0"}"#.as_slice(), b"\xff"].concat();
        let failure = parse_stored(&response(200, cut), &message).unwrap_err();
        assert_eq!(failure.code, "AnotherMessage", "the sums are read where the id is");
        for status in [201, 202, 203, 204, 206, 226, 299, 304] {
            assert_eq!(stored(status, ""), Err(format!("HTTP {status}")));
        }
        assert_eq!(stored(200, r#","__type":"com.amazonaws.sqs#QueueDoesNotExist""#), Err("QueueDoesNotExist".into()));
    }
}
