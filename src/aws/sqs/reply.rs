//! Reads from a reply of SQS the outcome of each message of a request.
//!
//! Never takes silence for success: a message is stored only if a whole reply says so. A reply may
//! come from anybody on the way, so whatever its bytes are, the work is bounded and every message
//! gets an outcome.

use http::StatusCode;
use serde_json::Value;

use crate::aws::error::{classify, without_namespace, Failure, Outcome};
use crate::aws::reply::{self, json_error, position, text};
use crate::callout::Reply;

pub(super) const SQS: &str = "SQS";

/// Returns the id that SQS gave to the message of a `SendMessage`.
///
/// # Errors
/// The reason why it is not certain that SQS has the message; see [`crate::aws::reply`] for the
/// codes that are not of AWS.
pub(crate) fn parse_sent(reply: &Reply) -> Result<String, Failure> {
    Ok(read_sent(reply)?.0)
}

/// Reads the reply to a `SendMessage`: the id of the message, and everything that SQS says of it.
pub(super) fn read_sent(reply: &Reply) -> Result<(String, Value), Failure> {
    let success = reply::read(SQS, reply, 1, json_error)?;
    let sent = success.json().unwrap_or_default();
    match text(&sent, "MessageId").map(str::to_owned) {
        Some(message_id) => Ok((message_id, sent)),
        None => Err(success.unreadable()),
    }
}

/// Returns the outcome of each of the `entries` messages of a `SendMessageBatch`, in their order.
///
/// Sums of the bodies are not compared, unlike those of webhooks ([`super::stored`]): what AWS
/// takes has the signed body, so that another sum is the word of a stand-in or of a proxy. To
/// believe it would be to store the event once more at each try, for as long as it may be tried.
/// The sender of a webhook still has it and tries a few times; nobody else has the event.
///
/// A reply that says nothing certain about a message is a transient failure of that message; see
/// [`crate::aws::reply`]. Of messages named twice the first mention counts, and a refusal before a
/// success; ids that were not sent are ignored.
pub(crate) fn parse_batch(reply: &Reply, entries: usize) -> Vec<Outcome> {
    let success = match reply::read(SQS, reply, entries, json_error) {
        Ok(success) => success,
        Err(failure) => return vec![Outcome::Failed(failure); entries],
    };
    let batch = success.json().unwrap_or_default();
    let list = |name| batch.get(name).and_then(Value::as_array);
    let (stored, refused) = (list("Successful"), list("Failed"));
    if stored.is_none() && refused.is_none() {
        return vec![Outcome::Failed(success.unreadable()); entries];
    }
    let mut settled: Vec<Option<Outcome>> = vec![None; entries];
    let mut settle_first = |entry: &Value, outcome: Outcome| {
        let position = text(entry, "Id").and_then(position);
        if let Some(place) = position.and_then(|position| settled.get_mut(position)) {
            place.get_or_insert(outcome);
        }
    };
    for entry in refused.into_iter().flatten() {
        settle_first(entry, Outcome::Failed(failure(entry)));
    }
    for entry in stored.into_iter().flatten() {
        settle_first(entry, Outcome::Delivered);
    }
    let silence = || Outcome::Failed(success.without_entry());
    settled.into_iter().map(|outcome| outcome.unwrap_or_else(silence)).collect()
}

/// Returns why a member of `Failed` was refused.
pub(super) fn failure(entry: &Value) -> Failure {
    // An entry has no status of its own; SenderFault tells the first digit of one.
    let sender_fault = entry.get("SenderFault").and_then(Value::as_bool).unwrap_or_default();
    let status = if sender_fault { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
    let code = text(entry, "Code").map_or("Unknown", without_namespace);
    let message = text(entry, "Message").unwrap_or_default();
    Failure::new(classify(status, code, message), code, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aws::error::FailureClass::{
        BatchTooLarge, Credentials, Denied, EntryTooLarge, Permanent, Throttled, Transient,
    };
    use crate::aws::error::Outcome::Delivered;
    use crate::aws::reply::testing::{failed, response};
    use crate::aws::reply::MAX_JSON_BYTES;

    const SENT: &str = r#"{"MD5OfMessageBody":"9a5f","MessageId":"219f8380-5770","SequenceNumber":"1"}"#;
    const BATCH: &str = r#"{"Successful":[{"Id":"0","MessageId":"a","MD5OfMessageBody":"x"},{"Id":"2","MessageId":"b"}],
        "Failed":[{"Id":"1","Code":"InternalError","Message":"try \"again\" \u00e9","SenderFault":false},
        {"Id":"3","Code":"InvalidMessageContents","SenderFault":true}]}"#;

    fn batch(status: u16, body: impl AsRef<[u8]>, entries: usize) -> Vec<Outcome> {
        parse_batch(&response(status, body), entries)
    }

    #[test]
    fn a_stored_message_has_an_id() {
        assert_eq!(parse_sent(&response(200, SENT)).unwrap(), "219f8380-5770");
        for body in ["", "{}", "[]", "<html>", r#"{"MessageId":""}"#, r#"{"MessageId":7}"#, SENT.trim_end_matches('}')]
        {
            assert_eq!(parse_sent(&response(200, body)).unwrap_err().code, "UnreadableReply", "{body}");
        }
        assert_eq!(
            parse_sent(&Reply::NoResponse("timeout".into())),
            Err(Failure::new(Transient, "NoReply", "timeout"))
        );
    }

    #[test]
    fn a_message_above_the_queue_s_own_limit_is_too_large() {
        let body = r#"{"__type":"com.amazon.coral.service#InvalidParameterValueException",
            "message":"One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes."}"#;
        assert_eq!(parse_sent(&response(400, body)).unwrap_err().class, EntryTooLarge);
        let other = body.replace("Message must be shorter than 262144 bytes", "DelaySeconds");
        assert_eq!(parse_sent(&response(400, other)).unwrap_err().class, Permanent);
    }

    #[test]
    fn every_message_of_a_batch_has_its_own_outcome() {
        let missing = failed(Transient, "MissingFromReply", "SQS answered, but not for this entry");
        assert_eq!(
            batch(200, BATCH, 5),
            [
                Delivered,
                failed(Transient, "InternalError", "try \"again\" é"),
                Delivered,
                failed(Permanent, "InvalidMessageContents", ""),
                missing.clone(),
            ]
        );
        assert_eq!(batch(200, r#"{"Failed":null,"Successful":[]}"#, 1), std::slice::from_ref(&missing));
        let odd = r#"{"Successful":[{"Id":"7"},{"Id":"01"},{"Id":"+1"},{"Id":""}]}"#;
        assert_eq!(batch(200, odd, 2), vec![missing; 2]);
        let twice = r#"{"Successful":[{"Id":"0"}],"Failed":[{"Id":"0"}]}"#;
        assert_eq!(batch(200, twice, 1), [failed(Transient, "Unknown", "")]);
    }

    #[test]
    fn a_sum_of_another_body_does_not_store_an_event_again() {
        for sum in [r#""d41d8cd98f00b204e9800998ecf8427e""#, r#""""#, "null", "7", "[]"] {
            let member = format!(r#"{{"Id":"0","MessageId":"a","MD5OfMessageBody":{sum}}}"#);
            assert_eq!(batch(200, format!(r#"{{"Successful":[{member}]}}"#), 1), [Delivered], "{sum}");
            assert_eq!(parse_sent(&response(200, member)).as_deref(), Ok("a"), "{sum}");
        }
    }

    #[test]
    fn a_reply_in_another_encoding_stores_nothing() {
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let with_mark = |text: &str| format!("\u{feff}{text}").into_bytes();
        let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV*.MNN-.V\xb2R".to_vec();
        for body in [utf_16(BATCH), with_mark(BATCH), gzip.clone()] {
            assert!(!batch(200, body, 4).contains(&Delivered));
        }
        for body in [utf_16(SENT), with_mark(SENT), gzip] {
            assert_eq!(parse_sent(&response(200, body)).unwrap_err().code, "UnreadableReply");
        }
    }

    #[test]
    fn errors_are_classified() {
        for (status, code, class) in [
            (400, "com.amazonaws.sqs#QueueDoesNotExist", Denied),
            (403, "com.amazonaws.sqs#RequestThrottled", Throttled),
            (400, "com.amazonaws.sqs#BatchRequestTooLong", BatchTooLarge),
            (403, "com.amazon.coral.service#ExpiredTokenException", Credentials),
            (400, "com.amazon.coral.service#AccessDeniedException", Denied),
            (500, "com.amazonaws.sqs#InternalError", Transient),
        ] {
            let body = format!(r#"{{"__type":"{code}","message":"because"}}"#);
            let bare = code.split('#').next_back().unwrap();
            assert_eq!(batch(status, &body, 2), vec![failed(class, bare, "because"); 2]);
            let class = if class == BatchTooLarge { EntryTooLarge } else { class };
            assert_eq!(parse_sent(&response(status, &body)), Err(Failure::new(class, bare, "because")));
        }
        assert_eq!(batch(503, "no healthy upstream", 1), [failed(Transient, "HTTP 503", "no healthy upstream")]);
    }

    #[test]
    fn a_reply_cut_anywhere_stores_nothing() {
        for end in 0..BATCH.len() {
            let outcomes = batch(200, &BATCH.as_bytes()[..end], 4);
            assert!(!outcomes.contains(&Delivered), "{end}");
        }
        let padded = BATCH.replacen('{', &format!("{{{}", " ".repeat(MAX_JSON_BYTES)), 1);
        assert!(!batch(200, padded, 4).contains(&Delivered));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_store_nothing(
            status in 100u16..1_000,
            body in proptest::collection::vec(any::<u8>(), 0..300),
            entries in 0usize..12,
        ) {
            let outcomes = batch(status, &body, entries);
            prop_assert_eq!(outcomes.len(), entries);
            prop_assert!(!outcomes.contains(&Delivered));
            prop_assert!(parse_sent(&response(status, &body)).is_err());
        }

        #[test]
        fn mutated_replies_are_survived(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            whole in prop_oneof![Just(BATCH), Just(SENT)],
            entries in 0usize..12,
            status in prop_oneof![Just(200u16), Just(500)],
        ) {
            let mut body = whole.as_bytes().to_vec();
            for (index, byte) in changes {
                let index = index.index(body.len());
                body[index] = byte;
            }
            let outcomes = batch(status, &body, entries);
            prop_assert_eq!(outcomes.len(), entries);
            prop_assert!(status == 200 || !outcomes.contains(&Delivered));
            prop_assert!(status == 200 || parse_sent(&response(status, &body)).is_err());
        }
    }
}
