//! What the message of an event looks like: the keys `format` and `message`, of a route or of all.

use serde_json::Value;

use super::body::{self, Kept};
use super::fault::Checked;
use super::reader::{each, Field, Section};
use super::template;
use crate::aws::protocol::Protocol;
use crate::exchange::template::Variable;
use crate::lookup;
use crate::publish::message_template::{MessageTemplate, MessageValue, TRUNCATED};
use crate::publish::route::{sends_message_alone, Format};

const FORMAT_KEY: &str = "format";
const MESSAGE_KEY: &str = "message";

/// The member in which attributes stand where they do not travel beside a message.
const ATTRIBUTES: &str = "attributes";

/// Placeholders in one message, at most: cut to 64 bytes each, their values fit wherever an event
/// goes.
const MAX_PLACEHOLDERS: usize = 100;

/// Bytes of a message as it is configured, at most; they are in each event.
const MAX_MESSAGE_BYTES: usize = 16_384;

const MESSAGE_REMEDY: &str = "give an object, such as `{\"id\": \"${path.id}\", \"status\": \"${response.status}\"}`";

/// The shape that messages have unless their routes say otherwise.
pub(super) struct Shape<'a> {
    pub(super) format: Format,
    pub(super) message: Option<(MessageTemplate, Field<'a>)>,
}

/// Reads the shape of all messages.
pub(super) fn read_shared<'a>(root: &mut Section<'a>) -> Checked<Shape<'a>> {
    let (format, message) = (read_format(root), read_message(root));
    Ok(Shape { format: format?, message: message? })
}

/// Reads the shape of the messages of a route, whose matcher has these groups and whose events go
/// to a target of this protocol.
pub(super) fn read(
    route: &mut Section<'_>,
    shared: Checked<&Shape<'_>>,
    groups: Option<&[&str]>,
    kept: Kept,
    protocol: Option<&dyn Protocol>,
) -> Checked<(Format, Option<MessageTemplate>)> {
    let own_format = route.optional(FORMAT_KEY).is_some();
    let (format, own_message) = (read_format(route), read_message(route));
    let format = if own_format { format } else { shared.map(|shared| shared.format) };
    let own_message = own_message?;
    let message = match &own_message {
        Some(own) => Some(own),
        None => shared?.message.as_ref(),
    };
    let Some((message, field)) = message else { return Ok((format?, None)) };
    let mut checked = Ok(());
    message.visit(&mut |variable: &Variable| {
        let check_body = || body::check([variable].into_iter(), kept, |problem, remedy| field.fault(problem, remedy));
        checked = checked.and_then(|()| template::check_group(field, variable, groups)).and_then(|()| check_body());
    });
    let has_attributes_inside =
        |protocol: &dyn Protocol| !protocol.takes_attributes() && !sends_message_alone(Format::Kong, true, protocol);
    if format == Ok(Format::Kong) && protocol.is_some_and(has_attributes_inside) {
        check_name_is_free(field, message, ATTRIBUTES)?;
    }
    checked?;
    Ok((format?, Some(message.clone())))
}

fn read_format(section: &mut Section<'_>) -> Checked<Format> {
    section.choice(FORMAT_KEY, &[("kong", Format::Kong), ("cloudevents", Format::CloudEvents)])
}

fn read_message<'a>(section: &mut Section<'a>) -> Checked<Option<(MessageTemplate, Field<'a>)>> {
    let Some(field) = section.optional(MESSAGE_KEY) else { return Ok(None) };
    let is_empty = field.value().as_array().is_some_and(Vec::is_empty);
    if is_empty || field.value().as_object().is_some_and(serde_json::Map::is_empty) {
        return Err(field.fault("is empty", MESSAGE_REMEDY));
    }
    if !field.value().is_object() {
        return Err(field.fault(format!("{} is not an object", field.shown()), MESSAGE_REMEDY));
    }
    let message = read_object(&field)?;
    check_name_is_free(&field, &message, TRUNCATED)?;
    let mut placeholders = 0;
    message.visit(&mut |_| placeholders += 1);
    let bytes = bytes(field.value());
    if placeholders > MAX_PLACEHOLDERS || bytes > MAX_MESSAGE_BYTES {
        let problem = format!(
            "has {placeholders} placeholders and {bytes} bytes, of at most {MAX_PLACEHOLDERS} and {MAX_MESSAGE_BYTES}"
        );
        return Err(field.fault(problem, "leave `message` out for an event that says all there is"));
    }
    Ok(Some((message, field)))
}

/// Returns the bytes of all names, texts and other values, each with the marks around it. To write
/// the whole is 30 KB of code.
fn bytes(value: &Value) -> usize {
    const MARKS: usize = 4;
    MARKS
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + MARKS + bytes(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => MARKS,
        }
}

fn check_name_is_free(field: &Field<'_>, message: &MessageTemplate, name: &str) -> Checked<()> {
    if message.0.iter().any(|(own, _)| own == name) {
        return Err(
            field.fault(format!("has a member `{name}`, which Retrohook itself sets"), "call it something else")
        );
    }
    Ok(())
}

fn read_object(field: &Field<'_>) -> Checked<MessageTemplate> {
    let members = field.section()?.members();
    each(members, |(name, field)| {
        if lookup::contains(name, "${") {
            let problem = "has a placeholder in its name, and none is filled in there";
            return Err(field.fault(problem, "give the name itself"));
        }
        Ok((name.to_owned(), read_value(&field)?))
    })
    .map(MessageTemplate)
}

fn read_value(field: &Field<'_>) -> Checked<MessageValue> {
    Ok(match field.value() {
        Value::Null => MessageValue::Written("null".to_owned()),
        Value::Bool(boolean) => MessageValue::Written(boolean.to_string()),
        Value::Number(number) => MessageValue::Written(field.exact(number)?),
        Value::String(_) => match template::read(field)?.into_placeholder() {
            Ok(variable) => MessageValue::Value(variable),
            Err(text) => MessageValue::Text(text),
        },
        Value::Array(_) => MessageValue::List(each(field.items()?, |item| read_value(&item))?),
        Value::Object(_) => MessageValue::Object(read_object(field)?),
    })
}
