//! A stand-in for SNS: reads the requests of the filter as SNS would, and writes its replies.

use std::collections::BTreeMap;

use proxy_wasm_test_host::{Callout, Response};
use serde_json::Value;

/// One message of a `Publish` or a `PublishBatch`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub message: Value,
    pub message_bytes: usize,
    pub subject: Option<String>,
    /// Type and value by name.
    pub attributes: BTreeMap<String, (String, String)>,
    pub group_id: Option<String>,
    pub deduplication_id: Option<String>,
}

impl Entry {
    pub(crate) fn event_id(&self) -> &str {
        self.message["event_id"].as_str().unwrap()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<(&str, &str)> {
        self.attributes.get(name).map(|(data_type, value)| (data_type.as_str(), value.as_str()))
    }
}

/// The fields of the form in a request's body.
pub(crate) fn fields(callout: &Callout) -> BTreeMap<String, String> {
    form_urlencoded::parse(&callout.body).into_owned().collect()
}

pub(crate) fn action(callout: &Callout) -> String {
    fields(callout)["Action"].clone()
}

/// The messages of a request. Fails where SNS would refuse it for its form.
pub(crate) fn entries(callout: &Callout) -> Vec<Entry> {
    let fields = fields(callout);
    if fields["Action"] == "Publish" {
        return vec![entry(&fields, "")];
    }
    assert_eq!(fields["Action"], "PublishBatch");
    let prefix = |position: usize| format!("PublishBatchRequestEntries.member.{}.", position + 1);
    let count = (0..).take_while(|position| fields.contains_key(&format!("{}Id", prefix(*position)))).count();
    assert!((1..=10).contains(&count), "{count} entries in a batch");
    (0..count)
        .map(|position| {
            assert_eq!(fields[&format!("{}Id", prefix(position))], position.to_string());
            entry(&fields, &prefix(position))
        })
        .collect()
}

fn entry(fields: &BTreeMap<String, String>, prefix: &str) -> Entry {
    let field = |name: &str| fields.get(&format!("{prefix}{name}")).cloned();
    let attribute = |number: usize| {
        let part = |name: &str| field(&format!("MessageAttributes.entry.{number}.{name}"));
        Some((part("Name")?, (part("Value.DataType").unwrap(), part("Value.StringValue").unwrap())))
    };
    let attributes: BTreeMap<_, _> = (1..).map_while(attribute).collect();
    assert!(attributes.len() <= 10 && attributes.values().all(|(_, value)| !value.is_empty()), "{attributes:?}");
    let message = field("Message").unwrap();
    Entry {
        message: serde_json::from_str(&message).unwrap(),
        message_bytes: message.len(),
        subject: field("Subject"),
        attributes,
        group_id: field("MessageGroupId"),
        deduplication_id: field("MessageDeduplicationId"),
    }
}

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    /// With a code; by the sender's fault where it is true.
    Failed(&'static str, bool),
    /// The reply does not name it.
    Unmentioned,
}

/// The reply that takes everything.
pub(crate) fn accept(callout: &Callout) -> Response {
    reply(callout, &vec![Fate::Delivered; entries(callout).len()])
}

/// The reply to a request in which each message meets its fate.
pub(crate) fn reply(callout: &Callout, fates: &[Fate]) -> Response {
    let body = if action(callout) == "Publish" { single_reply(fates) } else { batch_reply(fates) };
    Response::new(200).header("Content-Type", "text/xml").header("x-amzn-RequestId", "d74b8436").body(body)
}

fn single_reply(fates: &[Fate]) -> String {
    assert_eq!(fates, [Fate::Delivered], "a single message that is refused gets an error reply");
    "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>m-0</MessageId>\
     </PublishResult><ResponseMetadata><RequestId>d74b8436</RequestId></ResponseMetadata></PublishResponse>"
        .to_owned()
}

/// The body of a reply to a `PublishBatch`.
pub(crate) fn batch_reply(fates: &[Fate]) -> String {
    let members = |wanted: fn(&Fate) -> bool| -> String {
        let chosen = fates.iter().enumerate().filter(|(_, fate)| wanted(fate));
        chosen.map(|(position, fate)| member(&position.to_string(), *fate)).collect()
    };
    let successful = members(|fate| *fate == Fate::Delivered);
    let failed = members(|fate| matches!(fate, Fate::Failed(..)));
    batch_reply_of(&successful, &failed)
}

/// The same with members of any kind.
pub(crate) fn batch_reply_of(successful: &str, failed: &str) -> String {
    format!(
        "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult>\
         <Failed>{failed}</Failed><Successful>{successful}</Successful></PublishBatchResult><ResponseMetadata>\
         <RequestId>d74b8436</RequestId></ResponseMetadata></PublishBatchResponse>"
    )
}

/// A member of one of the two lists of a batch's reply.
pub(crate) fn member(id: &str, fate: Fate) -> String {
    match fate {
        Fate::Failed(code, sender_fault) => format!(
            "<member><Id>{id}</Id><Code>{code}</Code><Message>no</Message><SenderFault>{sender_fault}</SenderFault>\
             </member>"
        ),
        _ => format!("<member><Id>{id}</Id><MessageId>m-{id}</MessageId></member>"),
    }
}

/// The reply that refuses a whole request.
pub(crate) fn refusal(status: u16, code: &str) -> Response {
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>because of {code}</Message></Error><RequestId>d74b8436</RequestId></ErrorResponse>"
    );
    Response::new(status).header("Content-Type", "text/xml").body(body)
}
