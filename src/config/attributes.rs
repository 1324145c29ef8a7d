//! The objects `attributes`: names that SNS takes, values with placeholders, and no more of them than a message may have.

use std::collections::BTreeMap;

use super::fault::{listed, Checked};
use super::reader::{each, Field, Section};
use super::template;
use crate::event::{BUILT_IN_ATTRIBUTES, MAX_ATTRIBUTES};
use crate::template::Template;

const KEY: &str = "attributes";
const MAX_NAME_LENGTH: usize = 256;

/// An attribute and where it stands.
pub(super) struct Attribute<'a> {
    name: &'a str,
    template: Template,
    field: Field<'a>,
}

/// The attributes of `section`, which is a route or the whole configuration.
pub(super) fn read<'a>(section: &mut Section<'a>) -> Checked<Vec<Attribute<'a>>> {
    each(section.section(KEY).entries(), |(name, field)| {
        let checked = check_name(name, &field);
        let template = template::read(&field)?;
        checked.map(|()| Attribute { name, template, field })
    })
}

/// The attributes of every route, which alone must leave room for the event's id.
pub(super) fn read_shared<'a>(root: &mut Section<'a>) -> Checked<Vec<Attribute<'a>>> {
    let attributes = read(root)?;
    check_count(root, attributes.len(), false)?;
    Ok(attributes)
}

/// Checks the groups that attributes name.
pub(super) fn check_groups(attributes: &[Attribute<'_>], groups: Option<&[&str]>) -> Checked<()> {
    each(attributes.iter().collect(), |attribute| template::check_groups(&attribute.field, &attribute.template, groups))
        .map(|_| ())
}

/// The attributes of a route: those of every route, and its own, which replace them.
pub(super) fn merge(
    route: &Section<'_>,
    shared: &[Attribute<'_>],
    own: &[Attribute<'_>],
    has_event_type: bool,
) -> Checked<Vec<(String, Template)>> {
    let merged: BTreeMap<&str, &Template> =
        shared.iter().chain(own).map(|attribute| (attribute.name, &attribute.template)).collect();
    check_count(route, merged.len(), has_event_type)?;
    Ok(merged.into_iter().map(|(name, template)| (name.to_owned(), template.clone())).collect())
}

fn check_count(section: &Section<'_>, count: usize, has_event_type: bool) -> Checked<()> {
    let (taken, room) = if has_event_type {
        ("`event_id` and `event_type` are two", MAX_ATTRIBUTES - 2)
    } else {
        ("`event_id` is one", MAX_ATTRIBUTES - 1)
    };
    if count <= room {
        return Ok(());
    }
    Err(section.fault_at(
        KEY,
        format!(
            "{count} attributes, those for every route included, are too many: a message has at most {MAX_ATTRIBUTES}, of \
             which {taken} (with more, raw delivery from SNS to SQS discards the message)"
        ),
        format!("give at most {room}"),
    ))
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
