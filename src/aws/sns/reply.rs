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
use crate::aws::protocol::Stored;
use crate::aws::reply::{self, json_error, position, Success, MAX_TEXT_BYTES};
use crate::callout::Reply;

/// Returns the outcome of each of the `events` entries of a request made by [`super::body`], in
/// their order.
///
/// A reply that says nothing certain about an entry is a transient failure of that entry, under a
/// code of our own; see [`crate::aws::reply`]. Of entries named twice the first mention counts; ids
/// that were not sent are ignored.
pub(crate) fn parse_reply(reply: &Reply, events: usize) -> Vec<Outcome> {
    let outcome = |stored: Stored| stored.map_or_else(Outcome::Failed, |_| Outcome::Delivered);
    match read(reply, events).and_then(|success| settle(&success, events, false)) {
        Ok(entries) => entries.into_iter().map(outcome).collect(),
        Err(failure) => vec![Outcome::Failed(failure); events],
    }
}

/// Returns the id that SNS gave to each of the `events` entries, in their order. One that is named
/// twice has none.
///
/// # Errors
/// The failure of all: the call was refused, or the reply is not whole, is one to another action, or
/// has an id that was not sent.
pub(crate) fn parse_stored(reply: &Reply, events: usize) -> Result<Vec<Stored>, Failure> {
    settle(&read(reply, events)?, events, true)
}

fn read(reply: &Reply, events: usize) -> Result<Success<'_>, Failure> {
    // Some of AWS's front ends answer in JSON whatever was asked.
    reply::read("SNS", reply, events, |text| xml_error(text).or_else(|| json_error(text)))
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
    message_id: String,
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

/// Returns the outcomes that a reply with a success status gives. Where somebody is told what it
/// says, it is read in the way that `is_strict`, and may be refused as a whole.
fn settle(success: &Success<'_>, events: usize, is_strict: bool) -> Result<Vec<Stored>, Failure> {
    let mut settled: Vec<Option<Stored>> = vec![None; events];
    let mut is_foreign = false;
    let mut settle_first =
        |position: Option<usize>, stored: Stored| match position.and_then(|position| settled.get_mut(position)) {
            Some(Some(twice)) if is_strict => *twice = Err(success.named_twice()),
            Some(entry) => drop(entry.get_or_insert(stored)),
            None => is_foreign = true,
        };
    let mut root = None;
    let mut message_id = String::new();
    let mut member = Member::default();
    let root_closed = each_closed(success.text, &mut |path, text| match path {
        [Tag::PublishBatchResponse, Tag::PublishBatchResult, list, Tag::Member, rest @ ..] => match (list, rest) {
            (Tag::Successful | Tag::Failed, [Tag::Id]) => member.id = text.to_owned(),
            (Tag::Successful, [Tag::MessageId]) => member.message_id = text.to_owned(),
            (Tag::Failed, [Tag::Code]) => member.code = text.to_owned(),
            (Tag::Failed, [Tag::Message]) => member.message = text.to_owned(),
            (Tag::Failed, [Tag::SenderFault]) => member.sender_fault = text == "true",
            (Tag::Successful | Tag::Failed, []) => {
                let member = std::mem::take(&mut member);
                let stored = match list {
                    Tag::Failed => Err(member.failure()),
                    _ if is_strict && member.message_id.is_empty() => Err(success.without_entry()),
                    _ => Ok(member.message_id),
                };
                settle_first(position(&member.id), stored);
            }
            _ => {}
        },
        [Tag::PublishResponse, Tag::PublishResult, Tag::MessageId] => message_id = text.to_owned(),
        // A reply to Publish names no entry, so it can speak for one only.
        [Tag::PublishResponse, Tag::PublishResult] if !message_id.is_empty() && events == 1 => {
            settle_first(Some(0), Ok(std::mem::take(&mut message_id)));
        }
        [tag @ (Tag::PublishResponse | Tag::PublishBatchResponse)] => root = Some(*tag),
        _ => {}
    });
    let of_action = if events == 1 { Tag::PublishResponse } else { Tag::PublishBatchResponse };
    if is_strict && (is_foreign || !root_closed || root != Some(of_action)) {
        return Err(success.unreadable());
    }
    let is_whole = root_closed && root.is_some();
    let silence = || Err(if is_whole { success.without_entry() } else { success.unreadable() });
    Ok(settled.into_iter().map(|stored| stored.unwrap_or_else(silence)).collect())
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
