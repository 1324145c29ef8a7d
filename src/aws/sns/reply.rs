//! Reads from a reply of SNS the outcome of each event of a request.
//!
//! Never takes silence for success: an entry is delivered only if the reply says so in an element
//! that was received to its end. A reply may come from anybody on the way (a proxy, a captive
//! portal, a broken peer), so whatever its bytes are, the work is bounded and every entry gets an
//! outcome.

use http::StatusCode;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event as Xml;
use quick_xml::Reader;

use crate::aws::error::{classify, without_namespace, Failure, Outcome, MAX_KEPT_CHARS};
use crate::aws::reply::{self, json_error, position, Success, MAX_TEXT_BYTES};
use crate::callout::Reply;

/// Returns the outcome of each of the `events` entries of a request made by [`super::body`], in
/// their order.
///
/// A reply that says nothing certain about an entry is a transient failure of that entry, under a
/// code of our own; see [`crate::aws::reply`]. Of entries named twice the first mention counts; ids
/// that were not sent are ignored.
pub(crate) fn parse_reply(reply: &Reply, events: usize) -> Vec<Outcome> {
    // Some of AWS's front ends answer in JSON whatever was asked.
    match reply::read("SNS", reply, events, |text| xml_error(text).or_else(|| json_error(text))) {
        Ok(success) => settle(&success, events),
        Err(failure) => vec![Outcome::Failed(failure); events],
    }
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

/// Reads `xml` and hands over each element when it closes, with its path from the root and the
/// start of its text. Stops where the root closes, at the first fault, or where the text ends;
/// returns true if the root closed.
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
        // A member has no status of its own; SenderFault tells the first digit of one.
        let status = if self.sender_fault { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
        let code = if self.code.is_empty() { "Unknown" } else { without_namespace(&self.code) };
        Failure::new(classify(status, code, &self.message), code, &self.message)
    }
}

/// Returns the outcomes that a reply with a success status gives.
fn settle(success: &Success<'_>, events: usize) -> Vec<Outcome> {
    let mut settled: Vec<Option<Outcome>> = vec![None; events];
    let mut settle_first = |position: Option<usize>, outcome: Outcome| {
        if let Some(entry) = position.and_then(|position| settled.get_mut(position)) {
            entry.get_or_insert(outcome);
        }
    };
    let mut known_root = false;
    let mut has_message_id = false;
    let mut member = Member::default();
    let root_closed = each_closed(success.text, &mut |path, text| match path {
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
        let whole = root_closed && known_root;
        Outcome::Failed(if whole { success.without_entry() } else { success.unreadable() })
    };
    settled.into_iter().map(|outcome| outcome.unwrap_or_else(silence)).collect()
}

/// Returns code and message of `<ErrorResponse><Error>…`, or of the older
/// `<Response><Errors><Error>…`.
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

#[cfg(test)]
mod tests;
