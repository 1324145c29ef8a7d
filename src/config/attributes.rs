//! The objects `attributes`: names that SNS takes, values of a type, with placeholders, and no more
//! of them than a message may have.

use serde_json::Value;

use super::body::Kept;
use super::fault::{listed, Checked};
use super::reader::{each, Field, Section};
use super::{body, template};
use crate::aws::decimal::Decimal;
use crate::event::{AttributeType, BUILT_IN_ATTRIBUTES, CLOUD_EVENT_PREFIX, MAX_ATTRIBUTES};
use crate::exchange::template::Template;
use crate::lookup;
use crate::publish::attribute::{element, parse_list, Element, TypedAttribute, ValueTemplate};

const KEY: &str = "attributes";
const MAX_NAME_LENGTH: usize = 256;

/// An attribute and where it stands.
pub(super) struct AttributeTemplate<'a> {
    name: &'a str,
    value: ValueTemplate,
    field: Field<'a>,
}

/// Reads the attributes of `section`, which is a route or the whole configuration. An attribute
/// with a fault is reported and left out, so that it hides no fault of another.
pub(super) fn read<'a>(section: &mut Section<'a>) -> Vec<AttributeTemplate<'a>> {
    let entries = section.section(KEY).entries().into_iter();
    entries
        .filter_map(|(name, field)| {
            let named = check_name(name, &field);
            let value = read_value(&field).ok()?;
            named.ok().map(|()| AttributeTemplate { name, value, field })
        })
        .collect()
}

/// Reads a text, or an object with the type and the value.
fn read_value(field: &Field<'_>) -> Checked<ValueTemplate> {
    if !field.value().is_object() {
        return template::read(field).map(ValueTemplate::Text);
    }
    let mut section = field.section()?;
    let types = [AttributeType::String, AttributeType::Number, AttributeType::StringArray];
    let data_type = section.choice("type", &types.map(|data_type| (data_type.as_str(), data_type)));
    let value = section.required("value", "give a text; placeholders fill in what differs between exchanges");
    section.finish();
    let (data_type, value) = (data_type?, value?);
    match data_type {
        AttributeType::String => template::read(&value).map(ValueTemplate::Text),
        AttributeType::Number => {
            let template = template::read(&value)?;
            match template.constant() {
                Some(text) if Decimal::parse(&text).is_none() => {
                    Err(value.fault("is not a number", "give one such as `-12.5`, or a placeholder"))
                }
                _ => Ok(ValueTemplate::Number(template)),
            }
        }
        AttributeType::StringArray => read_list(&value),
    }
}

/// Reads a list, which may be written as JSON in a text, or a placeholder whose value will be one.
/// A text with placeholders between brackets is a list of templates, too: so no value can end an
/// element and begin another.
fn read_list(field: &Field<'_>) -> Checked<ValueTemplate> {
    let remedy = "give a list such as `[\"a\", \"${request.headers.x-role}\"]`, or one placeholder alone";
    if let Value::String(text) = field.value() {
        if let Some(elements) = parse_list(text) {
            return each(elements, |value| match value {
                Value::String(text) => template::parse(field, &text).map(Element::Text),
                constant => Ok(Element::Constant(element(&constant))),
            })
            .map(ValueTemplate::List);
        }
        let template = template::read(field)?;
        return match template.is_placeholder() {
            true => Ok(ValueTemplate::WholeList(template)),
            false => Err(field.fault("is neither a list nor one placeholder", remedy)),
        };
    }
    if !field.value().is_array() {
        return Err(field.fault(format!("{} is not a list", field.shown()), remedy));
    }
    each(field.items()?, |item| match item.value() {
        Value::String(_) => template::read(&item).map(Element::Text),
        Value::Array(_) | Value::Object(_) => Err(item.fault(format!("{} is no element", item.shown()), remedy)),
        constant => Ok(Element::Constant(element(constant))),
    })
    .map(ValueTemplate::List)
}

/// Reads the attributes for every route, which must leave room for the event's id.
pub(super) fn read_shared<'a>(root: &mut Section<'a>) -> Vec<AttributeTemplate<'a>> {
    let attributes = read(root);
    check_count(root, attributes.len(), &["event_id"]);
    attributes
}

/// Checks the groups that attributes name.
pub(super) fn check_groups(attributes: &[AttributeTemplate<'_>], groups: Option<&[&str]>) -> Checked<()> {
    let of_attribute = |attribute: &AttributeTemplate<'_>| {
        let check = |value| template::check_groups(&attribute.field, value, groups);
        each(attribute.value.templates().collect(), check).map(|_| ())
    };
    each(attributes.iter().collect(), of_attribute).map(|_| ())
}

/// Checks that the bodies that attributes name are kept.
pub(super) fn check_bodies(attributes: &[AttributeTemplate<'_>], kept: Kept) -> Checked<()> {
    let of_attribute = |attribute: &AttributeTemplate<'_>| {
        let variables = attribute.value.templates().flat_map(Template::variables);
        body::check(variables, kept, |problem, remedy| attribute.field.fault(problem, remedy))
    };
    each(attributes.iter().collect(), of_attribute).map(|_| ())
}

/// Returns the attributes of a route: `shared`, which every route has, and its own, which replace
/// shared ones of equal name.
pub(super) fn merge(
    route: &Section<'_>,
    shared: &[AttributeTemplate<'_>],
    own: &[AttributeTemplate<'_>],
    always: &[&str],
) -> Vec<TypedAttribute> {
    let mut merged: Vec<&AttributeTemplate<'_>> = Vec::new();
    for attribute in shared.iter().chain(own) {
        let at = merged.partition_point(|earlier| earlier.name < attribute.name);
        match merged.get_mut(at).filter(|earlier| earlier.name == attribute.name) {
            Some(earlier) => *earlier = attribute,
            None => merged.insert(at, attribute),
        }
    }
    // Too many shared attributes are one fault, not one for each route.
    if shared.len() < MAX_ATTRIBUTES {
        check_count(route, merged.len(), always);
    }
    let merged = merged.into_iter();
    merged.map(|each| TypedAttribute { name: each.name.to_owned(), value: each.value.clone() }).collect()
}

/// Checks that so many attributes have room beside those that are `always` there.
fn check_count(section: &Section<'_>, count: usize, always: &[&str]) {
    let room = MAX_ATTRIBUTES - always.len();
    if count <= room {
        return;
    }
    section.fault_at(
        KEY,
        format!(
            "{count} attributes, those for every route included, are too many: a message has at most {MAX_ATTRIBUTES}, \
             {} included (with more, raw delivery from SNS to SQS discards the message)",
            listed(always)
        ),
        format!("give at most {room}"),
    );
}

/// Reports attributes of a route that have no place: neither beside a CloudEvent for `target`, nor
/// in it.
pub(super) fn report_no_room(route: &Section<'_>, target: &str, message: &str) {
    let problem = format!("are given, those for every route included, and {target} has none beside {message}");
    route.fault_at(KEY, problem, "remove them, and let the message say what they say");
}

fn check_name(name: &str, field: &Field<'_>) -> Checked<()> {
    if BUILT_IN_ATTRIBUTES.contains(&name) || name.starts_with(CLOUD_EVENT_PREFIX) {
        let names = listed(&BUILT_IN_ATTRIBUTES);
        let remedy = format!("choose a name that is none of {names}, and does not begin with `{CLOUD_EVENT_PREFIX}`");
        return Err(field.fault("is set by Retrohook itself", remedy));
    }
    let problem = if name.is_empty() || name.len() > MAX_NAME_LENGTH {
        "has a name that is empty or too long"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')) {
        "has a character in its name that SNS does not take"
    } else if name.starts_with('.') || name.ends_with('.') || lookup::contains(name, "..") {
        "has a dot at the beginning or the end of its name, or two in a row"
    } else if is_reserved(name) {
        "has a name that is reserved for AWS"
    } else {
        return Ok(());
    };
    Err(field.fault(
        problem,
        "a name is 1 to 256 of `A-Z a-z 0-9 _ . -`, with single dots inside only, and does not begin with `AWS.` or `Amazon.`",
    ))
}

fn is_reserved(name: &str) -> bool {
    let first = name.split_once('.').map_or("", |(first, _)| first);
    ["aws", "amazon"].iter().any(|reserved| first.eq_ignore_ascii_case(reserved))
}
