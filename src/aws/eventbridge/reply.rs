//! Reads from a reply of EventBridge the outcome of each event of a request.
//!
//! Never takes silence for success: an event is delivered only if a whole reply says so, in as many
//! entries as were sent, because an entry is known by its position alone.

use http::StatusCode;
use serde_json::Value;

use crate::aws::error::{classify, without_namespace, Failure, Outcome};
use crate::aws::reply::{self, json_error, text};
use crate::callout::Reply;

/// Returns the outcome of each of the `events` entries of a request made by [`super::body`], in
/// their order.
///
/// A reply that says nothing certain about an entry is a transient failure of that entry; see
/// [`crate::aws::reply`].
pub(crate) fn parse_reply(reply: &Reply, events: usize) -> Vec<Outcome> {
    let success = match reply::read("EventBridge", reply, events, json_error) {
        Ok(success) => success,
        Err(failure) => return vec![Outcome::Failed(failure); events],
    };
    let put = success.json().unwrap_or_default();
    let entries = put.get("Entries").and_then(Value::as_array);
    let Some(entries) = entries.filter(|entries| entries.len() == events) else {
        return vec![Outcome::Failed(success.unreadable()); events];
    };
    let outcome = |entry: &Value| match (text(entry, "EventId"), text(entry, "ErrorCode")) {
        (Some(_), None) => Outcome::Delivered,
        (_, Some(code)) => {
            let (code, message) = (without_namespace(code), text(entry, "ErrorMessage").unwrap_or_default());
            // An entry has no status of its own; an unknown failure may be gone in a moment.
            Outcome::Failed(Failure::new(classify(StatusCode::INTERNAL_SERVER_ERROR, code, message), code, message))
        }
        (None, None) => Outcome::Failed(success.without_entry()),
    };
    entries.iter().map(outcome).collect()
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
