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
use crate::publish::route::Route;

/// Turns exchanges into events.
#[derive(Debug)]
pub(crate) struct Recorder {
    redaction: Redaction,
}

impl Recorder {
    /// Creates a recorder that redacts what `redact` names beside the built-in list.
    pub(crate) fn new(redact: Redact) -> Recorder {
        Recorder { redaction: Redaction::new(redact) }
    }

    /// Returns the event of an exchange that matched `route`, for a target of this `protocol`, and
    /// its bytes as the target counts them. An event that would have more than `max_bytes` is cut,
    /// and says so in `truncated`.
    pub(crate) fn event(
        &self,
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
            let mut event = build(exchange, route, &redaction, &id, now, truncated);
            if protocol.keeps_order() {
                // An event that belongs to no group has no order to keep: it is a group of its own.
                event.group_id.get_or_insert_with(|| id.clone());
            }
            for attribute in &mut event.attributes {
                shrink::cut(&mut attribute.value, limit);
            }
            let size = protocol.size(&event);
            (event, size)
        };
        let (mut truncated, mut attribute_limit) = (exchange.incomplete.clone(), usize::MAX);
        for limit in shrink::LIMITS {
            // Writing is most of the work. An event that is sure not to fit is cut before it is
            // written: a client that sends a megabyte would hold the worker for a second.
            if shrink::least_size(&exchange) <= max_bytes {
                let (event, size) = cut(&exchange, &truncated, attribute_limit);
                if size <= max_bytes {
                    return (event, size);
                }
            }
            truncated = shrink::shrink(&mut exchange, limit);
            attribute_limit = limit;
        }
        cut(&exchange, &truncated, attribute_limit)
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
        attributes: attributes(exchange, route, groups, id),
        subject: route.subject.as_ref().and_then(|template| text::subject(render(template))),
        group_id: route.message_group_id.as_ref().and_then(|template| text::group_id(render(template))),
        at: now,
        id: id.to_owned(),
    }
}

/// Returns the attributes of an event. Those that every subscriber may rely on come first; those
/// that a filter policy can do without give way to the configured ones.
fn attributes(exchange: &Exchange<'_>, route: &Route, groups: &dyn PathGroups, id: &str) -> Vec<Attribute> {
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
    let configured = route.attributes.iter();
    attributes.extend(configured.filter_map(|(name, template)| attribute(name, &template.render(exchange, groups))));
    attributes.extend(attribute("method", &exchange.request.method));
    attributes.push(Attribute {
        name: "status".to_owned(),
        data_type: AttributeType::Number,
        value: exchange.response.status.to_string(),
    });
    attributes.extend(exchange.route.as_ref().and_then(|entity| attribute("route", entity.name.as_deref()?)));
    attributes.truncate(MAX_ATTRIBUTES);
    attributes.shrink_to_fit();
    attributes
}

#[cfg(test)]
mod tests;
