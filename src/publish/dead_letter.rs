//! Dead letters: events that will not be delivered, written out whole, so that someone can send
//! them after all.
//!
//! A letter is one JSON object. This module says what is in it and how it stands in a log; it never
//! writes to one, and never decides which event is dead. An event was redacted when it was made, so
//! that a letter shows nothing that its target would not have had.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::aws::error::Failure;
use crate::clock::Timestamp;
use crate::event::{Attribute, AttributeType, Event};
use crate::json::to_json;
use crate::lookup;

/// Begins a line that has a whole letter; the mark of the configuration follows, if there is one.
pub const WHOLE: &str = "retrohook-dead-letter ";

/// Begins a line that has a part of a letter; the mark follows here, too.
pub const PART: &str = "retrohook-dead-letter-part ";

/// Follows the letter or the part: hosts add to their lines, nginx also behind the text.
pub const END: &str = " retrohook-end";

/// The begin of the marks above, and how a text inside a letter has it: readers of JSON see no
/// difference.
const MARK: (&str, &str) = ("retrohook-", "retrohook\\u002d");

/// Bytes of the shortest lines that parts are made for: there is room for some text between the
/// marks.
const LEAST_LINE_BYTES: usize = 512;

/// Why an event will never be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// The queue was full.
    QueueFull,
    /// It was tried for as long as the configuration allows.
    Expired,
    /// AWS refused it for good.
    Refused,
    /// It is larger than the service takes.
    TooLarge,
    /// Its client got a 503 instead of the response that it tells of.
    Withdrawn,
    /// Its worker is gone, and no configuration has its target any more.
    Orphaned,
    /// The process ends while it is queued or in flight. Never counted: if the process lives on
    /// after all, it is sent.
    Shutdown,
}

impl DropReason {
    /// Returns the reason as it stands in a letter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::Expired => "expired",
            DropReason::Refused => "refused",
            DropReason::TooLarge => "too_large",
            DropReason::Withdrawn => "withdrawn",
            DropReason::Orphaned => "orphaned",
            DropReason::Shutdown => "shutdown",
        }
    }
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetterSettings {
    /// True if they are written to the host's log; of those that go to a queue, the ones that it
    /// does not take.
    pub(crate) log: bool,
    /// Position of the queue that they go to, among the targets.
    pub(crate) target: Option<usize>,
    /// The word that their lines bear, and that no client knows: what a client sends may stand in
    /// the same log. Empty if there is none.
    pub(crate) mark: String,
}

/// An event that will not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// The event, whole.
    pub(crate) event: Event,
    /// Why it will not be delivered.
    pub(crate) reason: DropReason,
    /// The last thing that AWS or the host said of it, where that is the reason.
    pub(crate) failure: Option<Failure>,
}

/// Where an event was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// The key of the configuration that names it, such as `topic_arn`.
    pub(crate) key: &'a str,
    /// The value of that key, such as the topic's ARN.
    pub(crate) name: &'a str,
    /// The region that requests are signed for; empty where they are not.
    pub(crate) region: &'a str,
}

impl Serialize for Address<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_region = !self.region.is_empty();
        let mut map = serializer.serialize_map(Some(1 + usize::from(has_region)))?;
        map.serialize_entry(self.key, self.name)?;
        if has_region {
            map.serialize_entry("region", self.region)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Letter<'a> {
    id: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    at: String,
    target: Address<'a>,
    message: &'a str,
    attributes: LetterAttributes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_header: Option<&'a str>,
}

struct LetterAttributes<'a>(&'a [Attribute]);

impl Serialize for LetterAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Value<'a> {
            r#type: &'static str,
            value: &'a str,
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Attribute { name, data_type, value } in self.0 {
            map.serialize_entry(name, &Value { r#type: data_type.as_str(), value })?;
        }
        map.end()
    }
}

impl DeadLetter {
    /// Makes the letter an event on a way of its own: its message is the letter as JSON. It keeps
    /// the id and the group of the event that is dead, and happened `now`.
    #[inline(never)]
    pub(crate) fn into_event(self, target: Address<'_>, now: Timestamp) -> Event {
        let text = |name: &'static str, value: &str| Attribute {
            name: Cow::Borrowed(name),
            data_type: AttributeType::String,
            value: value.to_owned(),
        };
        Event {
            message: json(&self.event, self.reason, self.failure.as_ref(), target),
            attributes: vec![text("event_id", &self.event.id), text("reason", self.reason.name())],
            subject: None,
            group_id: self.event.group_id,
            trace_header: None,
            at: now,
            id: self.event.id,
        }
    }
}

/// Returns the letter of an event as JSON, in one line that no log changes: every character that
/// some reader takes for a line break or a control is escaped, and so is a text that would look
/// like the begin or the end of a letter.
pub(crate) fn json(event: &Event, reason: DropReason, failure: Option<&Failure>, target: Address<'_>) -> String {
    let letter = Letter {
        id: &event.id,
        reason: reason.name(),
        error: failure.map(|failure| format!("{}: {}", failure.code, failure.message)),
        at: event.at.rfc3339(),
        target,
        message: &event.message,
        attributes: LetterAttributes(&event.attributes),
        subject: event.subject.as_deref(),
        group_id: event.group_id.as_deref(),
        trace_header: event.trace_header.as_deref(),
    };
    let json = to_json(&letter);
    let json = if lookup::contains(&json, MARK.0) { json.replace(MARK.0, MARK.1) } else { json };
    if json.is_ascii() && !json.contains('\u{7f}') {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Returns the log lines of the letter `json` of the event `id`, each with the `mark` (which may be
/// empty) and of at most `max_bytes`: one line, or as many parts as it takes. The pieces of all
/// parts, joined in their order, are the JSON.
pub(crate) fn lines(mark: &str, id: &str, json: &str, max_bytes: usize) -> Vec<String> {
    let space = if mark.is_empty() { "" } else { " " };
    if WHOLE.len() + mark.len() + space.len() + json.len() + END.len() <= max_bytes {
        return vec![format!("{WHOLE}{mark}{space}{json}{END}")];
    }
    // Two numbers, the slash and the spaces: more than nine digits of parts are more than any event
    // has.
    let around = PART.len() + mark.len() + space.len() + id.len() + END.len() + 21;
    let pieces = pieces(json, max_bytes.max(LEAST_LINE_BYTES).saturating_sub(around));
    let count = pieces.len();
    let line = |(number, piece): (usize, &str)| format!("{PART}{mark}{space}{id} {}/{count} {piece}{END}", number + 1);
    pieces.into_iter().enumerate().map(line).collect()
}

/// Cuts `text` into pieces of at most `max_bytes`, between characters.
fn pieces(mut text: &str, max_bytes: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let end = (1..=max_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        let (piece, rest) = text.split_at(end.unwrap_or(text.len()));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::FailureClass;
    use proptest::prelude::*;
    use serde_json::{json, Value};

    const ADDRESS: Address<'_> = Address { key: "topic_arn", name: "arn:aws:sns:us-east-1:1:t", region: "us-east-1" };

    fn event(message: &str) -> Event {
        Event {
            id: "0199b7d4-0000-7000-8000-000000000000".into(),
            message: message.into(),
            attributes: vec![Attribute {
                name: "status".into(),
                data_type: AttributeType::Number,
                value: "200".into(),
            }],
            subject: None,
            group_id: None,
            trace_header: None,
            at: Timestamp(1_767_268_800_012),
        }
    }

    #[test]
    fn a_letter_has_everything_that_sending_it_again_takes() {
        let failure = Failure::new(FailureClass::Permanent, "AuthorizationError", "not yours");
        let event = Event { subject: Some("s".into()), group_id: Some("g".into()), ..event("{\"a\":1}") };
        let letter = DeadLetter { event, reason: DropReason::Refused, failure: Some(failure) };
        let event = letter.into_event(ADDRESS, Timestamp(1_767_268_900_000));
        assert_eq!((event.id.as_str(), event.group_id.as_deref()), ("0199b7d4-0000-7000-8000-000000000000", Some("g")));
        assert_eq!(event.attributes[1].value, "refused");
        let value: Value = serde_json::from_str(&event.message).unwrap();
        assert_eq!(
            value,
            json!({
                "id": "0199b7d4-0000-7000-8000-000000000000",
                "reason": "refused",
                "error": "AuthorizationError: not yours",
                "at": "2026-01-01T12:00:00.012Z",
                "target": {"topic_arn": "arn:aws:sns:us-east-1:1:t", "region": "us-east-1"},
                "message": "{\"a\":1}",
                "attributes": {"status": {"type": "Number", "value": "200"}},
                "subject": "s",
                "group_id": "g",
            })
        );
    }

    /// Reads lines as a reader of logs does: whole letters, and parts joined.
    fn read(mark: &str, lines: &[String]) -> String {
        let marked = |begin: &str| if mark.is_empty() { begin.to_owned() } else { format!("{begin}{mark} ") };
        if let [line] = lines {
            if let Some(rest) = line.strip_prefix(&marked(WHOLE)) {
                return rest.strip_suffix(END).unwrap().to_owned();
            }
        }
        let piece = |(number, line): (usize, &String)| {
            let rest = line.strip_prefix(&marked(PART)).unwrap().strip_suffix(END).unwrap();
            let [_, place, piece] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{rest}") };
            assert_eq!(place, format!("{}/{}", number + 1, lines.len()));
            piece.to_owned()
        };
        lines.iter().enumerate().map(piece).collect()
    }

    proptest! {
        #[test]
        fn what_is_read_from_the_lines_is_what_was_written(
            message in "(retrohook-end |retrohook-dead-letter |\\PC|[\u{0}-\u{a0}]|\u{2028}|😀){0,400}",
            max_bytes in 512usize..5_000,
            mark in "|[A-Za-z0-9_-]{16,128}",
        ) {
            prop_assume!(!mark.contains("retrohook-"));
            let event = event(&message);
            let json = json(&event, DropReason::QueueFull, None, ADDRESS);
            let lines = lines(&mark, &event.id, &json, max_bytes);
            for line in &lines {
                prop_assert!(line.len() <= max_bytes && line.chars().all(|c| !c.is_control()), "{}", line);
                prop_assert_eq!(line.matches("retrohook-").count(), 2, "{}", line);
            }
            prop_assert_eq!(&read(&mark, &lines), &json);
            let value: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["message"].as_str(), Some(message.as_str()));
        }
    }
}
