//! From an exchange to an event: what the message and its attributes say, what is redacted, and
//! what is cut when an event would be too large. Never decides which exchange becomes one.

mod message;
mod shrink;

use crate::aws::protocol::Protocol;
use crate::aws::text;
use crate::clock::Timestamp;
use crate::event::{Attribute, AttributeType, Event, MAX_ATTRIBUTES};
use crate::exchange::redact::{Redact, Redaction};
use crate::exchange::template::{PathGroups, Template};
use crate::exchange::{split_target, Exchange};
use crate::publish::attribute::LeftOut;
use crate::publish::route::Route;

/// Turns exchanges into events.
#[derive(Debug)]
pub(crate) struct Recorder {
    redaction: Redaction,
    /// Attributes that events are without since the last visit, because a value does not fit.
    left_out: u64,
}

impl Recorder {
    /// Creates a recorder that redacts what `redact` names beside the built-in list.
    pub(crate) fn new(redact: Redact) -> Recorder {
        Recorder { redaction: Redaction::new(redact), left_out: 0 }
    }

    /// Returns how many attributes were left out since the last time, because a value does not fit.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// Returns the event of an exchange that matched `route`, for a target of this `protocol`, and
    /// its bytes as the target counts them. An event that would have more than `max_bytes` is cut,
    /// and says so in `truncated`.
    pub(crate) fn event(
        &mut self,
        mut exchange: Exchange<'_>,
        route: &Route,
        protocol: &dyn Protocol,
        max_bytes: usize,
        id: String,
        now: Timestamp,
    ) -> (Event, usize) {
        // Groups are those of the path as it was asked for, whatever is hidden of it.
        let target = exchange.request.target.clone();
        let redaction = self.redaction.within(route.groups(split_target(&target).0));
        redaction.redact(&mut exchange);
        let cut = |exchange: &Exchange<'_>, truncated: &[&'static str], limit| {
            let (attributes, left_out) = attributes(exchange, route, &redaction, protocol, &id);
            let mut event = build(exchange, route, &redaction, &id, now, truncated);
            event.attributes = attributes;
            if protocol.keeps_order() {
                // An event that belongs to no group has no order to keep: it is a group of its own.
                event.group_id.get_or_insert_with(|| id.clone());
            }
            event.attributes.retain_mut(|attribute| match attribute.data_type {
                AttributeType::String => {
                    shrink::cut(&mut attribute.value, limit);
                    true
                }
                // A part of one is none.
                AttributeType::Number | AttributeType::StringArray => attribute.value.len() <= limit,
            });
            let size = protocol.size(&event);
            (event, size, left_out)
        };
        let (mut truncated, mut attribute_limit) = (exchange.incomplete.clone(), usize::MAX);
        for limit in shrink::LIMITS {
            // Writing is most of the work. An event that is sure not to fit is cut before it is
            // written: a client that sends a megabyte would hold the worker for a second.
            if shrink::least_size(&exchange) <= max_bytes {
                let (event, size, left_out) = cut(&exchange, &truncated, attribute_limit);
                if size <= max_bytes {
                    self.left_out += left_out;
                    return (event, size);
                }
            }
            truncated = shrink::shrink(&mut exchange, limit);
            attribute_limit = limit;
        }
        let (event, size, left_out) = cut(&exchange, &truncated, attribute_limit);
        self.left_out += left_out;
        (event, size)
    }
}

fn build(
    exchange: &Exchange<'_>,
    route: &Route,
    groups: &dyn PathGroups,
    id: &str,
    now: Timestamp,
    truncated: &[&'static str],
) -> Event {
    let render = |template: &Template| template.render(exchange, groups);
    let mut message = text::message(message::message(exchange, id, route.event_type.as_deref(), truncated));
    // It grew by doubling, and may be queued for long.
    message.shrink_to_fit();
    Event {
        message,
        attributes: Vec::new(),
        subject: route.subject.as_ref().and_then(|template| text::subject(render(template))),
        group_id: route.message_group_id.as_ref().and_then(|template| text::group_id(render(template))),
        at: now,
        id: id.to_owned(),
    }
}

/// Returns the attributes of an event. Those that every subscriber may rely on come first; those
/// that a filter policy can do without give way to the configured ones. Returns, too, how many were
/// left out because their value does not fit.
fn attributes(
    exchange: &Exchange<'_>,
    route: &Route,
    groups: &dyn PathGroups,
    protocol: &dyn Protocol,
    id: &str,
) -> (Vec<Attribute>, u64) {
    let attribute = |name: &str, value: &str| {
        let value = text::attribute_value(value.to_owned())?;
        Some(Attribute { name: name.to_owned(), data_type: AttributeType::String, value })
    };
    let optional = usize::from(route.event_type.is_some()) + usize::from(exchange.route.is_some());
    // As many as there will be, unless a value is empty: then nothing has to move when the rest is
    // given back.
    let mut attributes = Vec::with_capacity(3 + optional + route.attributes.len());
    attributes.extend(attribute("event_id", id));
    attributes.extend(route.event_type.as_deref().and_then(|event_type| attribute("event_type", event_type)));
    let mut left_out = 0;
    for template in &route.attributes {
        match template.render(exchange, groups, protocol) {
            Ok(attribute) => attributes.push(attribute),
            Err(LeftOut::Misfit) => left_out += 1,
            Err(LeftOut::Absent) => {}
        }
    }
    attributes.extend(attribute("method", &exchange.request.method));
    attributes.push(Attribute {
        name: "status".to_owned(),
        data_type: AttributeType::Number,
        value: exchange.response.status.to_string(),
    });
    attributes.extend(exchange.route.as_ref().and_then(|entity| attribute("route", entity.name.as_deref()?)));
    attributes.truncate(MAX_ATTRIBUTES);
    attributes.shrink_to_fit();
    (attributes, left_out)
}

#[cfg(test)]
mod tests;
