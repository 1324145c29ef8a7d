//! What SNS says became of each event of a request.
//!
//! Never takes silence for success: an entry is delivered only where the reply says so in an element that was received
//! to its end. A reply may come from anybody on the way (a proxy, a captive portal, a broken peer), so whatever its
//! bytes are, the work is bounded and every entry gets an outcome.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event as Xml;
use quick_xml::Reader;

use crate::aws::error::{classify, without_namespace, Failure, FailureClass, Outcome, MAX_KEPT_CHARS};
use crate::callout::Reply;

/// Bytes of a reply that are looked at. A reply to ten entries, each with a long error, has less than 10 KiB.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// Bytes of an error reply that is read as JSON.
const MAX_JSON_BYTES: usize = 1 << 16;

/// Bytes of an element's text that are collected; no character of UTF-8 has more than four.
const MAX_TEXT_BYTES: usize = 4 * MAX_KEPT_CHARS;

/// The outcome of each of the `events` entries of a request made by [`super::body`], in their order.
///
/// A reply that says nothing certain about an entry is a transient failure of that entry, under a code of our own:
/// - `NoReply`: there was no reply, and the message is what the host says;
/// - `HTTP 503` and the like: an error reply without an AWS code, from something between the filter and AWS;
/// - `MissingFromReply`: SNS answered in full and named the entry neither as successful nor as failed;
/// - `UnreadableReply`: a success status with a body that is not, or not to its end, a reply of SNS.
///
/// Of entries named twice the first mention counts; ids that were not sent are ignored. Looks at the first MiB.
pub fn parse_reply(reply: &Reply, events: usize) -> Vec<Outcome> {
    let (status, body) = match reply {
        Reply::Response { status, body, .. } => (*status, body),
        Reply::NoResponse(reason) => {
            let failure = Failure::new(FailureClass::Transient, "NoReply", reason);
            return vec![Outcome::Failed(failure); events];
        }
    };
    let text = readable(body);
    if (200..300).contains(&status) {
        settle(status, body.len(), text, events)
    } else {
        vec![Outcome::Failed(refusal(status, text, events)); events]
    }
}

/// The part of a body that can be read: UTF-8, and not more than the limit.
fn readable(body: &[u8]) -> &str {
    let body = body.get(..MAX_REPLY_BYTES).unwrap_or(body);
    body.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// The elements that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    PublishResponse,
    PublishResult,
    PublishBatchResponse,
    PublishBatchResult,
    Successful,
    Failed,
    Member,
    Id,
    MessageId,
    Error,
    Code,
    Message,
    SenderFault,
    Other,
}

impl Tag {
    fn of(name: &str) -> Tag {
        match name {
            "PublishResponse" => Tag::PublishResponse,
            "PublishResult" => Tag::PublishResult,
            "PublishBatchResponse" => Tag::PublishBatchResponse,
            "PublishBatchResult" => Tag::PublishBatchResult,
            "Successful" => Tag::Successful,
            "Failed" => Tag::Failed,
            "member" => Tag::Member,
            "Id" => Tag::Id,
            "MessageId" => Tag::MessageId,
            "Error" => Tag::Error,
            "Code" => Tag::Code,
            "Message" => Tag::Message,
            "SenderFault" => Tag::SenderFault,
            _ => Tag::Other,
        }
    }
}

/// Reads `xml` and hands over each element when it closes, with its path from the root and the start of its text.
/// Returns whether the root closed; stops there, at the first fault, or where the text ends.
fn each_closed(xml: &str, closed: &mut dyn FnMut(&[Tag], &str)) -> bool {
    let mut reader = Reader::from_str(xml);
    let mut path = Vec::new();
    let mut text = String::new();
    loop {
        let ended = match reader.read_event() {
            Ok(Xml::Start(start)) => {
                path.push(Tag::of(start.local_name().as_ref()));
                text.clear();
                false
            }
            Ok(Xml::Empty(element)) => {
                path.push(Tag::of(element.local_name().as_ref()));
                text.clear();
                true
            }
            Ok(Xml::End(_)) => true,
            Ok(Xml::Text(part)) => {
                append(&mut text, &part);
                false
            }
            Ok(Xml::CData(part)) => {
                append(&mut text, &part);
                false
            }
            Ok(Xml::GeneralRef(entity)) => {
                if let Ok(Some(c)) = entity.resolve_char_ref() {
                    append(&mut text, c.encode_utf8(&mut [0; 4]));
                } else {
                    append(&mut text, resolve_xml_entity(&entity).unwrap_or("?"));
                }
                false
            }
            Ok(Xml::Eof) | Err(_) => return false,
            Ok(_) => false,
        };
        if ended {
            closed(&path, text.trim());
            text.clear();
            path.pop();
            if path.is_empty() {
                return true;
            }
        }
    }
}

fn append(text: &mut String, part: &str) {
    if text.len() < MAX_TEXT_BYTES {
        text.extend(part.chars().take(MAX_KEPT_CHARS));
    }
}

/// A member of one of the two lists of a batch reply.
#[derive(Default)]
struct Member {
    id: String,
    code: String,
    message: String,
    sender_fault: bool,
}

impl Member {
    fn failure(&self) -> Failure {
        // A member has no status of its own; SenderFault says what the first digit of one would.
        let status = if self.sender_fault { 400 } else { 500 };
        let code = if self.code.is_empty() { "Unknown" } else { without_namespace(&self.code) };
        Failure::new(classify(status, code, &self.message), code, &self.message)
    }
}

/// The position that an id stands for: only what was sent, so neither `+1` nor `01`.
fn position(id: &str) -> Option<usize> {
    let canonical = id.bytes().all(|byte| byte.is_ascii_digit()) && (id.len() == 1 || !id.starts_with('0'));
    id.parse().ok().filter(|_| canonical)
}

/// The outcomes that a reply with a success status gives.
fn settle(status: u16, bytes: usize, text: &str, events: usize) -> Vec<Outcome> {
    let mut settled: Vec<Option<Outcome>> = vec![None; events];
    let mut settle_first = |position: Option<usize>, outcome: Outcome| {
        if let Some(entry) = position.and_then(|position| settled.get_mut(position)) {
            entry.get_or_insert(outcome);
        }
    };
    let mut known_root = false;
    let mut has_message_id = false;
    let mut member = Member::default();
    let root_closed = each_closed(text, &mut |path, text| match path {
        [Tag::PublishBatchResponse, Tag::PublishBatchResult, list, Tag::Member, rest @ ..] => match (list, rest) {
            (Tag::Successful | Tag::Failed, [Tag::Id]) => member.id = text.to_owned(),
            (Tag::Failed, [Tag::Code]) => member.code = text.to_owned(),
            (Tag::Failed, [Tag::Message]) => member.message = text.to_owned(),
            (Tag::Failed, [Tag::SenderFault]) => member.sender_fault = text == "true",
            (Tag::Successful | Tag::Failed, []) => {
                let member = std::mem::take(&mut member);
                let delivered = *list == Tag::Successful;
                let outcome = if delivered { Outcome::Delivered } else { Outcome::Failed(member.failure()) };
                settle_first(position(&member.id), outcome);
            }
            _ => {}
        },
        [Tag::PublishResponse, Tag::PublishResult, Tag::MessageId] => has_message_id = !text.is_empty(),
        // A reply to Publish names no entry, so it can speak for one only.
        [Tag::PublishResponse, Tag::PublishResult] if has_message_id && events == 1 => {
            settle_first(Some(0), Outcome::Delivered);
        }
        [Tag::PublishResponse | Tag::PublishBatchResponse] => known_root = true,
        _ => {}
    });
    let silence = || {
        Outcome::Failed(if root_closed && known_root {
            Failure::new(FailureClass::Transient, "MissingFromReply", "SNS answered, but not for this entry")
        } else {
            let message = format!("HTTP {status} with {bytes} bytes that are no whole reply of SNS: {}", start(text));
            Failure::new(FailureClass::Transient, "UnreadableReply", &message)
        })
    };
    settled.into_iter().map(|outcome| outcome.unwrap_or_else(silence)).collect()
}

/// Why a reply with any other status refuses the whole request.
fn refusal(status: u16, text: &str, events: usize) -> Failure {
    let (code, message) = match xml_error(text).or_else(|| json_error(text)) {
        Some((code, message)) => (without_namespace(&code).to_owned(), message),
        None => (format!("HTTP {status}"), start(text).to_owned()),
    };
    let class = match classify(status, &code, &message) {
        // Nothing is left to split.
        FailureClass::BatchTooLarge if events <= 1 => FailureClass::Permanent,
        class => class,
    };
    Failure::new(class, &code, &message)
}

/// Code and message of `<ErrorResponse><Error>…`, or of the older `<Response><Errors><Error>…`.
fn xml_error(text: &str) -> Option<(String, String)> {
    let (mut code, mut message) = (String::new(), String::new());
    each_closed(text, &mut |path, text| match path {
        [_, Tag::Error, Tag::Code] | [_, _, Tag::Error, Tag::Code] if code.is_empty() => code = text.to_owned(),
        [_, Tag::Error, Tag::Message] | [_, _, Tag::Error, Tag::Message] if message.is_empty() => {
            message = text.to_owned();
        }
        _ => {}
    });
    Some((code, message)).filter(|(code, _)| !code.is_empty())
}

/// Code and message of a reply of one of AWS's JSON protocols, which some of its front ends speak whatever was asked.
fn json_error(text: &str) -> Option<(String, String)> {
    // Parsed, JSON takes a multiple of its bytes, and an error that is longer is none of AWS's.
    if text.len() > MAX_JSON_BYTES {
        return None;
    }
    let reply: serde_json::Value = serde_json::from_str(text).ok()?;
    let field = |names: &[&str]| names.iter().find_map(|name| reply.get(name)?.as_str()).map(start);
    let code = field(&["__type", "code", "Code"]).filter(|code| !code.is_empty())?;
    Some((code.to_owned(), field(&["message", "Message"]).unwrap_or_default().to_owned()))
}

/// As much of a text as can matter for a log line.
fn start(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT_BYTES).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
