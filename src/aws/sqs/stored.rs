//! Reads from a reply of SQS whether it has the very messages of a call: by the ids of the entries,
//! and by the sums that SQS sends back.
//!
//! Never believes a reply that could be about other messages, because a sender is told what it
//! says.

use serde_json::Value;

use super::checksum;
use super::reply::{failure, read_sent, SQS};
use super::request::Message;
use crate::aws::error::{Failure, FailureClass};
use crate::aws::protocol::Stored;
use crate::aws::reply::{self, json_error, position, text, Success};
use crate::callout::Reply;

const BODY_SUM: &str = "MD5OfMessageBody";
const ATTRIBUTES_SUM: &str = "MD5OfMessageAttributes";

/// Returns the id that SQS gave to `message`, if what it stored is that message: SQS sends the MD5
/// of body and attributes back.
///
/// # Errors
/// As [`super::parse_sent`], and if SQS tells of another message.
pub(super) fn parse_stored(reply: &Reply, message: &Message<'_>) -> Stored {
    let (message_id, sent) = read_sent(reply)?;
    // A stand-in for SQS may give no sums; one that it gives has to be right.
    check_sums(&sent, message)?;
    Ok(message_id)
}

/// Returns the outcome of each of the `messages` of a `SendMessageBatch`, in their order. A message
/// that nobody asks for any more is `None`, and becomes a failure.
///
/// A message is stored only if exactly one member of the reply names its entry, as successful and
/// with the sum of its body, which SQS always gives there.
///
/// # Errors
/// The failure of all: the call was refused, or the reply cannot be one to this call.
pub(super) fn parse_stored_batch(reply: &Reply, messages: &[Option<Message<'_>>]) -> Result<Vec<Stored>, Failure> {
    let success = reply::read(SQS, reply, messages.len(), json_error)?;
    let batch = success.json().unwrap_or_default();
    let (Some(stored), Some(refused)) = (members(&batch, "Successful"), members(&batch, "Failed")) else {
        return Err(success.unreadable());
    };
    let mut settled: Vec<Option<Stored>> = vec![None; messages.len()];
    let members = stored.iter().map(|member| (member, true)).chain(refused.iter().map(|member| (member, false)));
    for (member, is_stored) in members {
        let position = text(member, "Id").and_then(position);
        let found = position.and_then(|position| Some((settled.get_mut(position)?, messages.get(position)?)));
        // An id that was not sent: the reply is to another call.
        let Some((place, message)) = found else { return Err(success.unreadable()) };
        *place = Some(match (&place, is_stored, message) {
            (Some(_), ..) => Err(success.named_twice()),
            (None, false, _) => Err(failure(member)),
            (None, true, Some(message)) => message_id(&success, member, message),
            (None, true, None) => Err(success.without_entry()),
        });
    }
    Ok(settled.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(success.without_entry()))).collect())
}

/// Returns the members of a list of a reply, of which there are none if the list is not there;
/// `None` if it is no list.
fn members<'a>(batch: &'a Value, name: &str) -> Option<&'a [Value]> {
    match batch.as_object()?.get(name) {
        None | Some(Value::Null) => Some(&[]),
        Some(list) => list.as_array().map(Vec::as_slice),
    }
}

/// Returns the id of a message that a member of `Successful` is about.
fn message_id(success: &Success<'_>, member: &Value, message: &Message<'_>) -> Stored {
    check_sums(member, message)?;
    match text(member, "MessageId").filter(|_| member.get(BODY_SUM).is_some()) {
        Some(message_id) => Ok(message_id.to_owned()),
        None => Err(success.unreadable()),
    }
}

/// The sum of a part of a message.
type SumOf = fn(&Message<'_>) -> String;

/// Checks the sums that a reply gives of a message.
fn check_sums(sent: &Value, message: &Message<'_>) -> Result<(), Failure> {
    for (name, sum) in [(BODY_SUM, checksum::of_body as SumOf), (ATTRIBUTES_SUM, checksum::of_attributes)] {
        let Some(stored) = sent.get(name) else { continue };
        if !stored.as_str().is_some_and(|stored| stored.eq_ignore_ascii_case(&sum(message))) {
            let text = format!("{name} is not that of what was sent");
            return Err(Failure::new(FailureClass::Transient, "AnotherMessage", &text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::aws::reply::testing::response;
    use crate::event::{Attribute, AttributeType};

    #[test]
    fn only_a_plain_200_about_this_message_is_a_success() {
        let attributes = [];
        let message =
            Message { body: "{}", attributes: &attributes, group_id: None, deduplication_id: None, trace_header: None };
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

    /// Attributes of three messages, which all differ.
    fn attributes() -> [Vec<Attribute>; 3] {
        ["a", "b", "c"]
            .map(|value| vec![Attribute { name: "id".into(), data_type: AttributeType::String, value: value.into() }])
    }

    fn messages(attributes: &[Vec<Attribute>; 3]) -> [Option<Message<'_>>; 3] {
        let [a, b, c] = attributes;
        [("1", a), ("2", b), ("3", c)].map(|(body, attributes)| {
            Some(Message { body, attributes, group_id: None, deduplication_id: None, trace_header: None })
        })
    }

    /// The member of `Successful` about a message, as SQS writes it.
    fn member(messages: &[Option<Message<'_>>], position: usize) -> Value {
        let message = messages[position].unwrap();
        json!({
            "Id": position.to_string(), "MessageId": format!("m-{position}"),
            BODY_SUM: checksum::of_body(&message), ATTRIBUTES_SUM: checksum::of_attributes(&message),
        })
    }

    fn codes(reply: &Reply, messages: &[Option<Message<'_>>]) -> Vec<Result<String, String>> {
        let outcomes = parse_stored_batch(reply, messages);
        let outcomes = outcomes.unwrap_or_else(|failure| vec![Err(failure); messages.len()]).into_iter();
        outcomes.map(|outcome| outcome.map_err(|failure| failure.code)).collect()
    }

    #[test]
    fn each_message_of_a_batch_has_the_outcome_of_its_own_entry() {
        let attributes = attributes();
        let messages = messages(&attributes);
        let of = |reply: Value| codes(&response(200, reply.to_string()), &messages);
        let all = [2, 0, 1].map(|position| member(&messages, position));
        let stored = |position: usize| Ok(format!("m-{position}"));
        assert_eq!(of(json!({"Successful": all})), [stored(0), stored(1), stored(2)], "in any order");
        let failed = json!({"Id": "1", "Code": "InvalidMessageContents", "SenderFault": true, "Message": "no"});
        let reply = json!({"Successful": [member(&messages, 0)], "Failed": [failed]});
        assert_eq!(of(reply), [stored(0), Err("InvalidMessageContents".into()), Err("MissingFromReply".into())]);
        let mut bare = member(&messages, 0);
        bare.as_object_mut().unwrap().remove(ATTRIBUTES_SUM);
        let outcomes = of(json!({"Successful": [bare], "Failed": null}));
        assert_eq!(outcomes[0], stored(0), "SQS need not give the sum of the attributes");
        let [_, second, third] = messages;
        let all = json!({"Successful": all}).to_string();
        let outcomes = codes(&response(200, all), &[None, second, third]);
        assert!(outcomes[0].is_err() && outcomes[1..] == [stored(1), stored(2)], "nobody waits for the first");
    }

    #[test]
    fn what_is_said_of_another_message_or_twice_stores_nothing() {
        let attributes = attributes();
        let messages = messages(&attributes);
        let changed = |name: &str, value: Value| {
            let mut member = member(&messages, 0);
            member[name] = value;
            member
        };
        let without = |name: &str| {
            let mut member = member(&messages, 0);
            member.as_object_mut().unwrap().remove(name);
            member
        };
        let failed = json!({"Id": "0", "Code": "InternalError", "SenderFault": false});
        let sum_of = |position: usize, name: &str| member(&messages, position)[name].clone();
        for (stored, failed, code) in [
            (vec![member(&messages, 0), member(&messages, 0)], vec![], "NamedTwice"),
            (vec![member(&messages, 0)], vec![failed.clone()], "NamedTwice"),
            (vec![member(&messages, 0); 3], vec![failed.clone()], "NamedTwice"),
            (vec![], vec![failed.clone(), failed], "NamedTwice"),
            (vec![changed(BODY_SUM, sum_of(1, BODY_SUM))], vec![], "AnotherMessage"),
            (vec![changed(ATTRIBUTES_SUM, sum_of(1, ATTRIBUTES_SUM))], vec![], "AnotherMessage"),
            (vec![changed(BODY_SUM, Value::Null)], vec![], "AnotherMessage"),
            (vec![changed(ATTRIBUTES_SUM, json!(""))], vec![], "AnotherMessage"),
            (vec![without(BODY_SUM)], vec![], "UnreadableReply"),
            (vec![without("MessageId")], vec![], "UnreadableReply"),
            (vec![changed("MessageId", json!(""))], vec![], "UnreadableReply"),
            (vec![], vec![], "MissingFromReply"),
        ] {
            let mut stored = stored;
            stored.push(member(&messages, 2));
            let reply = json!({"Successful": stored, "Failed": failed});
            let outcomes = codes(&response(200, reply.to_string()), &messages);
            assert_eq!((&outcomes[0], &outcomes[2]), (&Err(code.into()), &Ok("m-2".into())), "{reply}");
        }
        let all = [0, 1, 2].map(|position| member(&messages, position));
        for (reply, code) in [
            (json!({"Successful": [all[0], changed("Id", json!("3"))]}), "UnreadableReply"),
            (json!({"Successful": [all[1], changed("Id", json!("00"))]}), "UnreadableReply"),
            (json!({"Successful": [all[1], changed("Id", json!(0))]}), "UnreadableReply"),
            (json!({"Successful": [all[1], without("Id")]}), "UnreadableReply"),
            (json!({"Successful": all, "Failed": [{"Id": "9"}]}), "UnreadableReply"),
            (json!({"Successful": all, "Failed": [7]}), "UnreadableReply"),
            (json!({"Successful": all, "Failed": "none"}), "UnreadableReply"),
            (json!({"Successful": {"0": all[0]}}), "UnreadableReply"),
            (json!([{"Successful": all}]), "UnreadableReply"),
            (json!({"Successful": all, "__type": "com.amazonaws.sqs#InternalError"}), "InternalError"),
        ] {
            assert_eq!(codes(&response(200, reply.to_string()), &messages), vec![Err(code.into()); 3], "{reply}");
        }
        let reply = json!({"Successful": all}).to_string();
        assert_eq!(codes(&response(202, &reply), &messages), vec![Err("HTTP 202".into()); 3]);
        for end in 0..reply.len() {
            assert!(
                codes(&response(200, &reply.as_bytes()[..end]), &messages).iter().all(Result::is_err),
                "cut at {end}"
            );
        }
    }

    proptest! {
        #[test]
        fn only_one_who_is_named_once_with_its_sum_is_stored(
            named in prop::collection::vec((0usize..4, 0usize..3, any::<bool>(), any::<bool>()), 0..8),
        ) {
            let attributes = attributes();
            let messages = messages(&attributes);
            let (mut stored, mut failed) = (vec![], vec![]);
            for (id, of, succeeds, has_sum) in &named {
                let mut said = member(&messages, *of);
                said["Id"] = json!(id.to_string());
                if !has_sum {
                    said.as_object_mut().unwrap().remove(BODY_SUM);
                }
                if *succeeds { stored.push(said) } else { failed.push(said) }
            }
            let reply = json!({"Successful": stored, "Failed": failed});
            let outcomes = codes(&response(200, reply.to_string()), &messages);
            for (position, outcome) in outcomes.iter().enumerate() {
                let mentions: Vec<_> = named.iter().filter(|(id, ..)| *id == position).collect();
                let is_stored = matches!(mentions[..], [(_, of, true, true)] if *of == position)
                    && named.iter().all(|(id, ..)| *id < 3);
                prop_assert_eq!(outcome.is_ok(), is_stored, "{} {}", position, reply);
            }
        }
    }
}
