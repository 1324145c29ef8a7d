use proptest::prelude::*;

use super::*;
use crate::aws::error::FailureClass::{
    BatchTooLarge, Clock, Credentials, Denied, EntryTooLarge, Permanent, Throttled, Transient, Unclear,
};
use crate::aws::error::Outcome::Delivered;
use crate::aws::reply::testing::{failed, response};
use crate::aws::reply::{MAX_JSON_BYTES, MAX_REPLY_BYTES};

const PUBLISHED: &str = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
    <PublishResult>
        <MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId>
    </PublishResult>
    <ResponseMetadata>
        <RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId>
    </ResponseMetadata>
</PublishResponse>"#;

const BATCH: &str = r#"<?xml version="1.0"?>
<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
  <PublishBatchResult>
    <Failed>
      <member><Id>1</Id><Code>InternalError</Code><Message>try &lt;again&gt; &#233;</Message><SenderFault>false</SenderFault></member>
      <member><Id>3</Id><Code>InvalidParameter</Code><Message><![CDATA[too <long>]]></Message><SenderFault>true</SenderFault></member>
    </Failed>
    <Successful>
      <member><MessageId>a</MessageId><Id>0</Id></member>
      <member><MessageId>b</MessageId><Id>2</Id><SequenceNumber>10000000000000003000</SequenceNumber></member>
    </Successful>
  </PublishBatchResult>
  <ResponseMetadata><RequestId>f8d5</RequestId></ResponseMetadata>
</PublishBatchResponse>
"#;

fn parse(status: u16, body: impl AsRef<[u8]>, events: usize) -> Vec<Outcome> {
    parse_reply(&response(status, body), events)
}

/// The one failure that all entries of a reply share.
fn shared(outcomes: &[Outcome]) -> Failure {
    match outcomes {
        [Outcome::Failed(first), ..] if outcomes.iter().all(|outcome| *outcome == outcomes[0]) => first.clone(),
        _ => panic!("{outcomes:?}"),
    }
}

/// A batch reply whose members are those of `lists`, for instance `+0 -1`.
fn batch(members: &str) -> String {
    let list = |sign: char| {
        let members = members.split(' ').filter_map(|member| member.strip_prefix(sign));
        members.map(|id| format!("<member><Id>{id}</Id></member>")).collect::<String>()
    };
    format!(
        "<PublishBatchResponse><PublishBatchResult><Failed>{}</Failed><Successful>{}</Successful>\
         </PublishBatchResult></PublishBatchResponse>",
        list('-'),
        list('+')
    )
}

#[test]
fn a_published_event_is_delivered() {
    assert_eq!(parse(200, PUBLISHED, 1), [Delivered]);
}

#[test]
fn every_entry_of_a_batch_has_its_own_outcome() {
    assert_eq!(
        parse(200, BATCH, 5),
        [
            Delivered,
            failed(Transient, "InternalError", "try <again> é"),
            Delivered,
            failed(Permanent, "InvalidParameter", "too <long>"),
            failed(Transient, "MissingFromReply", "SNS answered, but not for this entry"),
        ]
    );
}

#[test]
fn whose_fault_it_was_decides_on_unknown_codes() {
    let reply = |fault: &str| {
        let member = format!("<member><Id>0</Id><Code>New</Code>{fault}</member>");
        shared(&parse(200, batch("-0").replace("<member><Id>0</Id></member>", &member), 1)).class
    };
    assert_eq!(reply("<SenderFault>true</SenderFault>"), Unclear);
    assert_eq!(reply("<SenderFault>false</SenderFault>"), Transient);
    assert_eq!(reply(""), Transient);
}

#[test]
fn ids_that_were_not_sent_and_second_mentions_are_ignored() {
    let missing = failed(Transient, "MissingFromReply", "SNS answered, but not for this entry");
    let unknown = failed(Transient, "Unknown", "");
    assert_eq!(parse(200, batch("+2 +10 +x +-1 ++1 +01 + +99999999999999999999999"), 2), vec![missing; 2]);
    assert_eq!(parse(200, batch("+0 -1 +1 -0"), 2), [unknown.clone(), unknown]);
    assert_eq!(parse(200, batch("+0 +0 +1"), 2), [Delivered, Delivered]);
}

#[test]
fn members_count_only_in_their_place() {
    for body in [
        "<html><member><Id>0</Id></member></html>",
        "<PublishBatchResponse><Successful><member><Id>0</Id></member></Successful></PublishBatchResponse>",
        "<PublishBatchResponse><PublishBatchResult><Other><member><Id>0</Id></member></Other></PublishBatchResult></PublishBatchResponse>",
        "<PublishBatchResponse><PublishBatchResult><Successful><member><x><Id>0</Id></x></member></Successful></PublishBatchResult></PublishBatchResponse>",
        "<PublishResponse><PublishResult/></PublishResponse>",
        "<PublishResponse><PublishResult><MessageId/></PublishResult></PublishResponse>",
        "<PublishResponse><MessageId>a</MessageId></PublishResponse>",
    ] {
        assert_eq!(shared(&parse(200, body, 1)).class, Transient, "{body}");
    }
    assert_eq!(shared(&parse(200, PUBLISHED, 2)).code, "MissingFromReply");
}

#[test]
fn a_success_that_is_no_reply_of_sns_delivers_nothing() {
    for (body, excerpt) in [
        ("", "HTTP 200 with 0 bytes that are no whole reply of SNS:"),
        ("OK", "HTTP 200 with 2 bytes that are no whole reply of SNS: OK"),
        (
            "<html><body>\n<p>Sign in\n</body></html>",
            "HTTP 200 with 38 bytes that are no whole reply of SNS: <html><body> <p>Sign in </body></html>",
        ),
    ] {
        assert_eq!(parse(200, body, 3), vec![failed(Transient, "UnreadableReply", excerpt); 3]);
    }
    for body in
        ["{}", "<a/>", "<a>&b;</a>", "<PublishResponse>", "\u{feff}", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"]
    {
        assert_eq!(shared(&parse(200, body, 3)).code, "UnreadableReply", "{body}");
    }
}

#[test]
fn error_replies_are_classified() {
    let error = |status, code: &str, message: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\n<Error>\n<Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>\n"
        );
        shared(&parse(status, body, 3))
    };
    for (status, code, message, class) in [
        (403, "AuthorizationError", "User: a is not authorized", Denied),
        (403, "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2", Clock),
        (403, "ExpiredToken", "The security token included in the request is expired", Credentials),
        (400, "Throttling", "Rate exceeded", Throttled),
        (400, "BatchRequestTooLong", "The length of all the messages is more than the limit", BatchTooLarge),
        (500, "InternalFailure", "", Transient),
    ] {
        let expected = Failure::new(class, code, message);
        assert_eq!(error(status, code, message), expected);
    }
    let older =
        "<Response><Errors><Error><Code>InvalidClientTokenId</Code><Message>m</Message></Error></Errors></Response>";
    assert_eq!(shared(&parse(403, older, 2)), Failure::new(Credentials, "InvalidClientTokenId", "m"));
    let cut = "<ErrorResponse><Error><Code>NotFound</Code><Message>Topic does n";
    assert_eq!(shared(&parse(404, cut, 2)).code, "NotFound");
}

#[test]
fn json_errors_are_classified() {
    let body = r#"{"__type":"com.amazonaws.sns#ThrottledException","message":"slow"}"#;
    let expected = Failure::new(Throttled, "ThrottledException", "slow");
    assert_eq!(shared(&parse(400, body, 2)), expected);
    assert_eq!(shared(&parse(400, r#"{"code":"AccessDeniedException","Message":"no"}"#, 2)).message, "no");
    assert_eq!(shared(&parse(400, r#"{"message":"no code"}"#, 2)).code, "HTTP 400");
    assert_eq!(shared(&parse(500, "[".repeat(60_000), 2)).code, "HTTP 500");
    let long = format!(r#"{{"code":"AccessDenied","pad":"{}"}}"#, "x".repeat(MAX_JSON_BYTES));
    assert_eq!(shared(&parse(500, long, 2)).code, "HTTP 500");
}

#[test]
fn what_a_proxy_says_is_named_by_its_status() {
    let envoy = "upstream connect error or disconnect/reset before headers. reset reason: connection timeout";
    let expected = Failure::new(Transient, "HTTP 503", envoy);
    assert_eq!(shared(&parse(503, envoy, 2)), expected);
    let nginx = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<hr>\r\n</html>\r\n";
    assert_eq!(shared(&parse(502, nginx, 2)).code, "HTTP 502");
    for (status, class) in [(504, Transient), (429, Throttled), (404, Denied), (413, BatchTooLarge), (301, Transient)] {
        assert_eq!(shared(&parse(status, "", 2)), Failure::new(class, &format!("HTTP {status}"), ""));
    }
}

#[test]
fn a_single_event_cannot_be_split() {
    assert_eq!(shared(&parse(413, "", 1)).class, Unclear, "the limit is not of AWS");
    let body = "<ErrorResponse><Error><Code>BatchRequestTooLong</Code></Error></ErrorResponse>";
    assert_eq!(shared(&parse(400, body, 1)).class, EntryTooLarge);
}

#[test]
fn no_reply_is_transient() {
    let outcomes = parse_reply(&Reply::NoResponse("timeout\n".into()), 2);
    assert_eq!(outcomes, vec![failed(Transient, "NoReply", "timeout"); 2]);
}

#[test]
fn huge_replies_cost_little_and_say_little() {
    let long = "&lt;é".repeat(500_000);
    let body = format!("<ErrorResponse><Error><Code>{long}</Code></Error></ErrorResponse>");
    let failure = shared(&parse(503, body, 10));
    assert_eq!((failure.class, failure.code.as_str()), (Transient, "HTTP 503"));
    assert!(failure.message.chars().count() <= MAX_KEPT_CHARS);

    let padded = format!("<ErrorResponse><Error><Code>{}</Code></Error></ErrorResponse>", "x".repeat(100_000));
    assert!(shared(&parse(503, padded, 10)).code.chars().count() <= MAX_KEPT_CHARS);

    let beyond = batch("+0").replace("<Successful>", &format!("{}<Successful>", " ".repeat(MAX_REPLY_BYTES)));
    assert_eq!(shared(&parse(200, beyond, 1)).code, "UnreadableReply");

    let deep = "<a>".repeat(MAX_REPLY_BYTES / 3);
    assert_eq!(shared(&parse(200, deep, 1)).code, "UnreadableReply");
}

#[test]
fn bytes_that_are_no_text_do_not_undo_what_came_before() {
    let mut body = batch("+0 +1").into_bytes();
    let second = body.windows(4).rposition(|bytes| bytes == b"<Id>").unwrap();
    body[second + 4] = 0xff;
    let outcomes = parse(200, body, 2);
    assert_eq!(outcomes[0], Delivered);
    assert!(matches!(&outcomes[1], Outcome::Failed(failure) if failure.code == "UnreadableReply"));
}

#[test]
fn a_reply_cut_anywhere_delivers_only_what_it_says_to_the_end() {
    for end in 0..=BATCH.len() {
        let part = &BATCH.as_bytes()[..end];
        let outcomes = parse(200, part, 4);
        assert_eq!(outcomes.len(), 4);
        for (position, delivered) in [(0, true), (1, false), (2, true), (3, false)] {
            let id = BATCH.find(&format!("<Id>{position}</Id>")).unwrap();
            let (closing, tag) = BATCH.match_indices("</member>").find(|(at, _)| *at > id).unwrap();
            let closed = closing + tag.len();
            match &outcomes[position] {
                Delivered => assert!(delivered && end >= closed, "{position} at {end}"),
                Outcome::Failed(failure) if failure.code == "UnreadableReply" => assert!(end < closed),
                Outcome::Failed(_) => assert!(!delivered && end >= closed, "{position} at {end}"),
            }
        }
    }
    let closed = PUBLISHED.find("</PublishResult>").unwrap() + "</PublishResult>".len();
    for end in 0..=PUBLISHED.len() {
        assert_eq!(parse(200, &PUBLISHED.as_bytes()[..end], 1) == [Delivered], end >= closed, "{end}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_deliver_nothing(
        status in 100u16..1_000,
        body in proptest::collection::vec(any::<u8>(), 0..300),
        events in 0usize..12,
    ) {
        let outcomes = parse(status, body, events);
        prop_assert_eq!(outcomes.len(), events);
        prop_assert!(!outcomes.contains(&Delivered));
    }

    #[test]
    fn arbitrary_markup_is_survived(
        parts in proptest::collection::vec(prop_oneof![
            Just("<PublishBatchResponse>"), Just("<PublishBatchResult>"), Just("<Successful>"), Just("<member>"),
            Just("<Id>0</Id>"), Just("</member>"), Just("</Successful>"), Just("<Failed>"), Just("</Failed>"),
            Just("<member/>"), Just("&amp;"), Just("&#0;"), Just("&"), Just("<![CDATA["), Just("]]>"), Just("<!--"),
            Just("-->"), Just("<?xml?>"), Just("<ErrorResponse><Error><Code>"), Just("</Code>"), Just("<"), Just(">"),
        ], 0..40),
        status in prop_oneof![Just(200u16), Just(403)],
    ) {
        prop_assert_eq!(parse(status, parts.concat(), 3).len(), 3);
    }

    #[test]
    fn mutated_replies_are_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        whole in prop_oneof![Just(BATCH), Just(PUBLISHED)],
        events in 0usize..12,
        status in prop_oneof![Just(200u16), Just(500)],
    ) {
        let mut body = whole.as_bytes().to_vec();
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        let outcomes = parse(status, body, events);
        prop_assert_eq!(outcomes.len(), events);
        prop_assert!(status == 200 || !outcomes.contains(&Delivered));
    }
}

/// What the ids of a strict reading are, or the codes of what went wrong.
fn stored(status: u16, body: impl AsRef<[u8]>, events: usize) -> Vec<Result<String, String>> {
    let stored = parse_stored(&response(status, body), events);
    let stored = stored.unwrap_or_else(|failure| vec![Err(failure); events]).into_iter();
    stored.map(|stored| stored.map_err(|failure| failure.code)).collect()
}

/// A batch reply whose members have ids of messages.
fn stored_batch(members: &str) -> String {
    batch(members).replace("</Id>", "</Id><MessageId>m</MessageId>")
}

#[test]
fn a_sender_is_told_the_id_of_its_own_entry() {
    assert_eq!(stored(200, PUBLISHED, 1), [Ok("567910cd-659e-55d4-8ccb-5aaf14679dc0".into())]);
    let [ok, failed] = [|id: &str| Ok(id.to_owned()), |code: &str| Err(code.to_owned())];
    let [internal, invalid, missing] = ["InternalError", "InvalidParameter", "MissingFromReply"].map(failed);
    assert_eq!(stored(200, BATCH, 5), [ok("a"), internal, ok("b"), invalid, missing]);
}

#[test]
fn what_could_be_about_other_entries_tells_no_sender_anything() {
    let all = |code: &str, events| vec![Err(code.to_owned()); events];
    for (reply, events) in [
        (PUBLISHED.to_owned(), 2),
        (BATCH.to_owned(), 1),
        (BATCH.to_owned(), 2),
        (stored_batch("+0 +1 +2"), 2),
        (stored_batch("+0 +1 -7"), 2),
        (stored_batch("+0 +01"), 2),
        (stored_batch("+0 +"), 2),
        (PUBLISHED.replace("PublishResponse", "SubscribeResponse"), 1),
        ("<html/>".to_owned(), 1),
        (String::new(), 3),
    ] {
        assert_eq!(stored(200, &reply, events), all("UnreadableReply", events), "{reply}");
    }
    for (members, first) in [("+0 -0 +1", "NamedTwice"), ("+0 +1 +0", "NamedTwice"), ("+1", "MissingFromReply")] {
        assert_eq!(stored(200, stored_batch(members), 2), [Err(first.into()), Ok("m".into())], "{members}");
    }
    assert_eq!(stored(200, batch("+0 +1"), 2), all("MissingFromReply", 2), "without ids of messages");
    let empty = "<PublishResponse><PublishResult><MessageId/></PublishResult></PublishResponse>";
    assert_eq!(stored(200, empty, 1), all("MissingFromReply", 1));
    for status in [201, 202, 204, 206, 299, 302] {
        assert_eq!(stored(status, PUBLISHED, 1), all(&format!("HTTP {status}"), 1));
    }
    for (reply, events) in [(PUBLISHED, 1), (BATCH.trim_end(), 5)] {
        for end in 0..reply.len() {
            assert!(stored(200, &reply.as_bytes()[..end], events).iter().all(Result::is_err), "cut at {end}");
        }
    }
}

proptest! {
    #[test]
    fn only_one_that_is_named_once_is_stored(
        named in prop::collection::vec((0usize..4, any::<bool>()), 0..8),
    ) {
        let members: Vec<String> =
            named.iter().map(|(id, succeeds)| format!("{}{id}", if *succeeds { '+' } else { '-' })).collect();
        let outcomes = stored(200, stored_batch(&members.join(" ")), 3);
        for (position, outcome) in outcomes.iter().enumerate() {
            let mentions: Vec<_> = named.iter().filter(|(id, _)| *id == position).collect();
            let is_stored = matches!(mentions[..], [(_, true)]) && named.iter().all(|(id, _)| *id < 3);
            prop_assert_eq!(outcome.is_ok(), is_stored, "{} {:?}", position, members);
        }
    }
}
