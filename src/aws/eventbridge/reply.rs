//! Reads from a reply of EventBridge the outcome of each event of a request.
//!
//! Never takes silence for success: an event is delivered only if a whole reply says so, in as many
//! entries as were sent, because an entry is known by its position alone.

use http::StatusCode;
use serde_json::Value;

use crate::aws::error::{classify, without_namespace, Failure, Outcome};
use crate::aws::protocol::Stored;
use crate::aws::reply::{self, json_error, text, Success};
use crate::callout::Reply;

/// Returns the outcome of each of the `events` entries of a request made by [`super::body`], in
/// their order.
///
/// A reply that says nothing certain about an entry is a transient failure of that entry; see
/// [`crate::aws::reply`].
pub(crate) fn parse_reply(reply: &Reply, events: usize) -> Vec<Outcome> {
    let outcome = |stored: Stored| stored.map_or_else(Outcome::Failed, |_| Outcome::Delivered);
    match read(reply, events) {
        Ok((_, _, entries)) => entries.into_iter().map(outcome).collect(),
        Err(failure) => vec![Outcome::Failed(failure); events],
    }
}

/// Returns the id of each of the `events` entries, in their order.
///
/// # Errors
/// The failure of all: the call was refused, or the reply counts other failures than it names.
pub(crate) fn parse_stored(reply: &Reply, events: usize) -> Result<Vec<Stored>, Failure> {
    let (success, put, entries) = read(reply, events)?;
    let failed = entries.iter().filter(|entry| entry.is_err()).count();
    match put.get("FailedEntryCount").and_then(Value::as_u64) {
        Some(count) if count == failed as u64 => Ok(entries),
        _ => Err(success.unreadable()),
    }
}

/// Reads a reply: all of it, and what it says of each entry.
fn read(reply: &Reply, events: usize) -> Result<(Success<'_>, Value, Vec<Stored>), Failure> {
    let success = reply::read("EventBridge", reply, events, json_error)?;
    let put = success.json().unwrap_or_default();
    let entries = put.get("Entries").and_then(Value::as_array);
    let Some(entries) = entries.filter(|entries| entries.len() == events) else {
        return Err(success.unreadable());
    };
    let stored = |entry: &Value| match (text(entry, "EventId"), text(entry, "ErrorCode")) {
        (Some(id), None) => Ok(id.to_owned()),
        (_, Some(code)) => {
            let (code, message) = (without_namespace(code), text(entry, "ErrorMessage").unwrap_or_default());
            // An entry has no status of its own; an unknown failure may be gone in a moment.
            Err(Failure::new(classify(StatusCode::INTERNAL_SERVER_ERROR, code, message), code, message))
        }
        (None, None) => Err(success.without_entry()),
    };
    let entries = entries.iter().map(stored).collect();
    Ok((success, put, entries))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aws::error::FailureClass::{Credentials, Denied, Permanent, Throttled, Transient, Unclear};
    use crate::aws::error::Outcome::Delivered;
    use crate::aws::reply::testing::{failed, response};

    const PUT: &str = r#"{"FailedEntryCount":3,"Entries":[{"EventId":"11710aed-b79e"},
        {"ErrorCode":"InternalFailure","ErrorMessage":"Something went wrong"},{"EventId":"d804d26a"},
        {"ErrorCode":"MalformedDetail","ErrorMessage":"Detail is malformed."},{"ErrorCode":"ThrottlingException"},{}]}"#;

    fn parse(status: u16, body: impl AsRef<[u8]>, events: usize) -> Vec<Outcome> {
        parse_reply(&response(status, body), events)
    }

    fn unreadable(outcomes: &[Outcome]) -> bool {
        let code = |outcome: &Outcome| matches!(outcome, Outcome::Failed(failure) if failure.code == "UnreadableReply");
        outcomes.iter().all(code)
    }

    #[test]
    fn every_entry_has_its_own_outcome() {
        assert_eq!(
            parse(200, PUT, 6),
            [
                Delivered,
                failed(Transient, "InternalFailure", "Something went wrong"),
                Delivered,
                failed(Permanent, "MalformedDetail", "Detail is malformed."),
                failed(Throttled, "ThrottlingException", ""),
                failed(Transient, "MissingFromReply", "EventBridge answered, but not for this entry"),
            ]
        );
    }

    #[test]
    fn the_documented_codes_have_their_class() {
        for (class, codes) in [
            (Transient, "InternalFailure SomethingNew"),
            (Throttled, "ThrottlingException"),
            (Permanent, "InvalidArgument MalformedDetail RedactionFailure"),
            (Denied, "AccessDeniedException InvalidAccountIdException ResourceNotFoundException"),
            (Unclear, "NotAuthorizedForDetailTypeException NotAuthorizedForSourceException"),
        ] {
            for code in codes.split(' ') {
                let body = format!(r#"{{"Entries":[{{"ErrorCode":"{code}","EventId":"1"}}]}}"#);
                assert_eq!(parse(200, body, 1), [failed(class, code, "")]);
            }
        }
    }

    #[test]
    fn a_place_counts_only_among_as_many_as_were_sent() {
        for events in [0, 1, 5, 7] {
            assert!(unreadable(&parse(200, PUT, events)));
        }
    }

    #[test]
    fn a_refusal_counts_for_all() {
        let body = r#"{"__type":"ExpiredTokenException","message":"expired"}"#;
        assert_eq!(parse(400, body, 2), vec![failed(Credentials, "ExpiredTokenException", "expired"); 2]);
        assert_eq!(parse(503, "busy", 1), [failed(Transient, "HTTP 503", "busy")]);
    }

    #[test]
    fn a_reply_cut_anywhere_delivers_nothing() {
        for end in 0..PUT.len() {
            let part = PUT.as_bytes().get(..end).unwrap();
            assert!(unreadable(&parse(200, part, 6)), "{end}");
        }
    }

    #[test]
    fn a_sender_is_told_the_id_of_its_own_entry_where_the_counts_agree() {
        let stored = |status, body: &str, events| {
            let stored = parse_stored(&response(status, body), events);
            let stored = stored.unwrap_or_else(|failure| vec![Err(failure); events]).into_iter();
            stored.map(|stored| stored.map_err(|failure| failure.code)).collect::<Vec<_>>()
        };
        let counted = |count: &str| PUT.replace("\"FailedEntryCount\":3", count);
        let [ok, failed] = [|id: &str| Ok(id.to_owned()), |code: &str| Err(code.to_owned())];
        let codes = ["InternalFailure", "MalformedDetail", "ThrottlingException", "MissingFromReply"].map(failed);
        let [internal, malformed, throttled, missing] = codes;
        let entries = [ok("11710aed-b79e"), internal, ok("d804d26a"), malformed, throttled, missing];
        assert_eq!(stored(200, &counted("\"FailedEntryCount\":4"), 6), entries);
        for count in ["3", "0", "6", "-4", "4.0", "\"4\"", "null"] {
            let unreadable = vec![failed("UnreadableReply"); 6];
            assert_eq!(stored(200, &counted(&format!("\"FailedEntryCount\":{count}")), 6), unreadable, "{count}");
        }
        assert_eq!(stored(200, &counted("\"A\":4"), 6), vec![failed("UnreadableReply"); 6]);
        let one = r#"{"FailedEntryCount":0,"Entries":[{"EventId":"e"}]}"#;
        assert_eq!(stored(200, one, 1), [ok("e")]);
        assert_eq!(stored(200, one, 2), vec![failed("UnreadableReply"); 2]);
        assert_eq!(stored(202, one, 1), [failed("HTTP 202")]);
        let odd = one.replacen('{', "{\"__type\":\"com.amazonaws.events#InternalException\",", 1);
        assert_eq!(stored(200, &odd, 1), [failed("InternalException")]);
        for end in 0..one.len() {
            assert!(stored(200, one.get(..end).unwrap(), 1).iter().all(Result::is_err), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_deliver_nothing(
            status in 100u16..1_000,
            body in proptest::collection::vec(any::<u8>(), 0..300),
            events in 0usize..12,
        ) {
            let outcomes = parse(status, &body, events);
            prop_assert_eq!(outcomes.len(), events);
            prop_assert!(!outcomes.contains(&Delivered));
        }

        #[test]
        fn mutated_replies_are_survived(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            status in prop_oneof![Just(200u16), Just(500)],
        ) {
            let mut body = PUT.as_bytes().to_vec();
            for (index, byte) in changes {
                let index = index.index(body.len());
                body[index] = byte;
            }
            let outcomes = parse(status, &body, 6);
            prop_assert_eq!(outcomes.len(), 6);
            prop_assert!(status == 200 || !outcomes.contains(&Delivered));
        }
    }
}
