//! From an exchange to an event: what the message and its attributes say, what is redacted, and
//! what is cut when an event would be too large. Never decides which exchange becomes one.

mod cloud_event;
mod message;
mod shrink;

use std::borrow::Cow;

use crate::aws::protocol::Protocol;
use crate::aws::text;
use crate::clock::Timestamp;
use crate::event::{Attribute, AttributeType, Event, CLOUD_EVENT_ATTRIBUTES, MAX_ATTRIBUTES};
use crate::exchange::redact::{Redact, Redaction};
use crate::exchange::template::{PathGroups, Template};
use crate::exchange::{split_target, EventNames, Exchange};
use crate::json::to_json;
use crate::publish::attribute::LeftOut;
use crate::publish::message_template::{MessageSource, MessageTemplate, TRUNCATED};
use crate::publish::route::{Format, Route};
use crate::publish::trace::{self, TRACEPARENT};
use cloud_event::CloudEventEnvelope;

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
        exchange: Exchange<'_>,
        route: &Route,
        protocol: &dyn Protocol,
        max_bytes: usize,
        id: String,
        now: Timestamp,
    ) -> (Event, usize) {
        let mut exchange: Exchange<'_> = exchange;
        exchange.event = EventNames { id: Some(&id), event_type: route.event_type.as_deref() };
        // Groups are those of the path as it was asked for, whatever is hidden of it.
        let target = exchange.request.target.clone();
        let redaction = self.redaction.within(route.groups(split_target(&target).0));
        redaction.redact(&mut exchange);
        if exchange.has_bodies() {
            redaction.redact_bodies(&mut exchange);
            exchange.find_in_bodies(&route.body_values);
            shrink::note_bodies(&mut exchange);
        }
        let cut = |exchange: &Exchange<'_>, truncated: &[&'static str], limit| {
            let envelope = match route.format {
                Format::Kong => None,
                Format::CloudEvents => Some(CloudEventEnvelope::new(exchange, &id, route.event_type.as_deref(), now)),
            };
            let (attributes, left_out) = match route.sends_message_alone(protocol) {
                true => (Vec::new(), 0),
                false => attributes(exchange, route, &redaction, protocol, &id, envelope.as_ref()),
            };
            // The last is the smallest there can be.
            let most = if limit == shrink::LEAST { usize::MAX } else { max_bytes };
            let extent = Cut { truncated, limit, most };
            let mut event = build(exchange, route, &redaction, &id, now, envelope.as_ref(), extent);
            event.attributes = attributes;
            if protocol.takes_trace_header() {
                event.trace_header = trace::x_ray_header(&exchange.request.headers);
            }
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
        let mut is_other = true;
        // What a message names of a body may be small, and the body is not in it.
        let has_bodies = exchange.has_bodies() && shrink::least_size(&exchange, route.message.as_ref()) > 0;
        for &(limit, is_of_bodies) in &shrink::STEPS {
            // Writing is most of the work. An event that is sure not to fit is cut before it is
            // written: a client that sends a megabyte would hold the worker for a second.
            if is_other && shrink::least_size(&exchange, route.message.as_ref()) <= max_bytes {
                let (event, size, left_out) = cut(&exchange, &truncated, attribute_limit);
                if size <= max_bytes {
                    self.left_out += left_out;
                    return (event, size);
                }
            }
            if is_of_bodies {
                is_other = has_bodies && shrink::shrink_bodies(&mut exchange, limit);
                truncated.clone_from(&exchange.incomplete);
            } else {
                is_other = true;
                truncated = shrink::shrink(&mut exchange, limit);
                attribute_limit = limit;
            }
        }
        let (event, size, left_out) = cut(&exchange, &truncated, attribute_limit);
        self.left_out += left_out;
        (event, size)
    }
}

/// The extent to which an event is cut.
#[derive(Clone, Copy)]
struct Cut<'a> {
    /// The parts of the exchange that are not whole.
    truncated: &'a [&'static str],
    /// Bytes that each value of a message may have.
    limit: usize,
    /// Bytes that a message of the operator's own may have; a larger one is not written to its end.
    most: usize,
}

#[inline(never)]
fn build(
    exchange: &Exchange<'_>,
    route: &Route,
    groups: &dyn PathGroups,
    id: &str,
    now: Timestamp,
    envelope: Option<&CloudEventEnvelope<'_>>,
    Cut { truncated, limit, most }: Cut<'_>,
) -> Event {
    let render = |template: &Template| template.render(exchange, groups);
    let content = match &route.message {
        Some(template) => own_message(template, &MessageSource { exchange, groups, limit, most }, truncated),
        None => message::message(exchange, id, route.event_type.as_deref(), truncated),
    };
    let mut message = text::message(match envelope {
        Some(envelope) => envelope.around(&content),
        None => content,
    });
    // It grew by doubling, and may be queued for long.
    message.shrink_to_fit();
    Event {
        message,
        attributes: Vec::new(),
        subject: route.subject.as_ref().and_then(|template| text::subject(render(template))),
        trace_header: None,
        group_id: route.message_group_id.as_ref().and_then(|template| text::group_id(render(template))),
        at: now,
        id: id.to_owned(),
    }
}

/// Writes a message in the operator's own form. What is not whole says so in its last member.
#[inline(never)]
fn own_message(template: &MessageTemplate, source: &MessageSource<'_>, truncated: &[&'static str]) -> String {
    let mut json = String::new();
    let is_cut = template.write_open(source, &mut json);
    let parts: Vec<&str> = truncated.iter().copied().chain(is_cut.then_some("message")).collect();
    if !parts.is_empty() {
        json.push_str(",\"");
        json.push_str(TRUNCATED);
        json.push_str("\":");
        json.push_str(&to_json(&parts));
    }
    json.push('}');
    json
}

/// Returns the attributes of an event. Those that every subscriber may rely on come first; those
/// that a filter policy can do without give way to the configured ones. Returns, too, how many were
/// left out because their value does not fit.
#[inline(never)]
fn attributes(
    exchange: &Exchange<'_>,
    route: &Route,
    groups: &dyn PathGroups,
    protocol: &dyn Protocol,
    id: &str,
    envelope: Option<&CloudEventEnvelope<'_>>,
) -> (Vec<Attribute>, u64) {
    let attribute = |(name, value): (&'static str, &str)| {
        let value = text::attribute_value(value.to_owned())?;
        Some(Attribute { name: Cow::Borrowed(name), data_type: AttributeType::String, value })
    };
    let event_type = route.event_type.as_deref().map(|event_type| ("event_type", event_type));
    let of_envelope = if envelope.is_some() { CLOUD_EVENT_ATTRIBUTES.len() + 2 } else { 0 };
    let optional = usize::from(event_type.is_some()) + usize::from(exchange.route.is_some()) + of_envelope;
    // As many as there will be, unless a value is empty: then nothing has to move when the rest is
    // given back.
    let mut attributes = Vec::with_capacity(3 + optional + route.attributes.len());
    attributes.extend(attribute(("event_id", id)));
    match envelope {
        Some(envelope) => {
            attributes.extend(CLOUD_EVENT_ATTRIBUTES.into_iter().zip(envelope.required()).filter_map(attribute));
        }
        None => attributes.extend(event_type.and_then(attribute)),
    }
    let mut left_out = 0;
    for template in &route.attributes {
        match template.render(exchange, groups, protocol) {
            Ok(attribute) => attributes.push(attribute),
            Err(LeftOut::Misfit) => left_out += 1,
            Err(LeftOut::Absent) => {}
        }
    }
    if let Some(envelope) = envelope {
        attributes.extend(envelope.optional().into_iter().chain(event_type).filter_map(attribute));
    }
    attributes.extend(attribute(("method", &exchange.request.method)));
    attributes.push(Attribute {
        name: Cow::Borrowed("status"),
        data_type: AttributeType::Number,
        value: exchange.response.status.to_string(),
    });
    attributes.extend(exchange.route.as_ref().and_then(|entity| attribute(("route", entity.name.as_deref()?))));
    let traceparent = trace::traceparent(&exchange.request.headers).map(|parent| (TRACEPARENT, parent));
    let is_free = || attributes.iter().all(|attribute| attribute.name != TRACEPARENT);
    if let Some(traceparent) = traceparent.filter(|_| is_free()) {
        attributes.extend(attribute(traceparent));
    }
    attributes.truncate(MAX_ATTRIBUTES);
    attributes.shrink_to_fit();
    (attributes, left_out)
}

#[cfg(test)]
mod tests;
