//! The objects `attributes`: names that SNS takes, values with placeholders, and no more of them
//! than a message may have.

use super::fault::{listed, Checked};
use super::reader::{each, Field, Section};
use super::template;
use crate::event::{BUILT_IN_ATTRIBUTES, MAX_ATTRIBUTES};
use crate::exchange::template::Template;

const KEY: &str = "attributes";
const MAX_NAME_LENGTH: usize = 256;

/// An attribute and where it stands.
pub(super) struct AttributeTemplate<'a> {
    name: &'a str,
    template: Template,
    field: Field<'a>,
}

/// Reads the attributes of `section`, which is a route or the whole configuration. An attribute
/// with a fault is reported and left out, so that it hides no fault of another.
pub(super) fn read<'a>(section: &mut Section<'a>) -> Vec<AttributeTemplate<'a>> {
    let entries = section.section(KEY).entries().into_iter();
    entries
        .filter_map(|(name, field)| {
            let named = check_name(name, &field);
            let template = template::read(&field).ok()?;
            named.ok().map(|()| AttributeTemplate { name, template, field })
        })
        .collect()
}

/// Reads the attributes for every route, which must leave room for the event's id.
pub(super) fn read_shared<'a>(root: &mut Section<'a>) -> Vec<AttributeTemplate<'a>> {
    let attributes = read(root);
    check_count(root, attributes.len(), false);
    attributes
}

/// Checks the groups that attributes name.
pub(super) fn check_groups(attributes: &[AttributeTemplate<'_>], groups: Option<&[&str]>) -> Checked<()> {
    let check =
        |attribute: &AttributeTemplate<'_>| template::check_groups(&attribute.field, &attribute.template, groups);
    each(attributes.iter().collect(), check).map(|_| ())
}

/// Returns the attributes of a route: `shared`, which every route has, and its own, which replace
/// shared ones of equal name.
pub(super) fn merge(
    route: &Section<'_>,
    shared: &[AttributeTemplate<'_>],
    own: &[AttributeTemplate<'_>],
    has_event_type: bool,
) -> Vec<(String, Template)> {
    let mut merged: Vec<&AttributeTemplate<'_>> = Vec::new();
    for attribute in shared.iter().chain(own) {
        let at = merged.partition_point(|earlier| earlier.name < attribute.name);
        match merged.get_mut(at).filter(|earlier| earlier.name == attribute.name) {
            Some(earlier) => *earlier = attribute,
            None => merged.insert(at, attribute),
        }
    }
    // Too many shared attributes are one fault, not one for each route.
    if shared.len() <= room(false) {
        check_count(route, merged.len(), has_event_type);
    }
    merged.into_iter().map(|attribute| (attribute.name.to_owned(), attribute.template.clone())).collect()
}

/// Returns the number of attributes that a message has room for beside the built-in ones that are
/// always there.
fn room(has_event_type: bool) -> usize {
    MAX_ATTRIBUTES - if has_event_type { 2 } else { 1 }
}

fn check_count(section: &Section<'_>, count: usize, has_event_type: bool) {
    let room = room(has_event_type);
    if count <= room {
        return;
    }
    let taken = if has_event_type { "`event_id` and `event_type` are two" } else { "`event_id` is one" };
    section.fault_at(
        KEY,
        format!(
            "{count} attributes, those for every route included, are too many: a message has at most {MAX_ATTRIBUTES}, of \
             which {taken} (with more, raw delivery from SNS to SQS discards the message)"
        ),
        format!("give at most {room}"),
    );
}

fn check_name(name: &str, field: &Field<'_>) -> Checked<()> {
    if BUILT_IN_ATTRIBUTES.contains(&name) {
        return Err(field.fault(
            "is set by Retrohook itself",
            format!("choose a name that is none of {}", listed(&BUILT_IN_ATTRIBUTES)),
        ));
    }
    let problem = if name.is_empty() || name.len() > MAX_NAME_LENGTH {
        "has a name that is empty or too long"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')) {
        "has a character in its name that SNS does not take"
    } else if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
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
