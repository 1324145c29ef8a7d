//! The bodies that a route keeps: the keys `request_body` and `response_body`, and what has a use
//! for them.

use super::fault::{Checked, Reported};
use super::reader::{each, Field, Section};
use crate::exchange::template::Variable;
use crate::publish::body_rule::{BodyRule, MediaRange};

pub(super) const REQUEST_KEY: &str = "request_body";
pub(super) const RESPONSE_KEY: &str = "response_body";

/// The bodies that a route keeps, or any of several routes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) request: bool,
    pub(super) response: bool,
}

/// Reads what a route wants of the body that `key` names.
pub(super) fn read(route: &mut Section<'_>, key: &'static str) -> Checked<Option<BodyRule>> {
    let Some(field) = route.optional(key) else { return Ok(None) };
    let mut section = field.section()?;
    // No target takes more than the most, and four of the default fit into what SNS takes.
    let max_bytes = section.integer("max_bytes", 1..=1_048_576, 65_536) as usize;
    let ranges = section.list("content_types").and_then(|ranges| each(ranges, |range| read_range(&range)));
    section.finish();
    let mut content_types = ranges?;
    if content_types.is_empty() {
        content_types.extend(MediaRange::parse(MediaRange::ANY));
    }
    Ok(Some(BodyRule { max_bytes, content_types }))
}

fn read_range(field: &Field<'_>) -> Checked<MediaRange> {
    MediaRange::parse(field.text()?).ok_or_else(|| {
        let remedy = "give one such as `application/json`, `text/*`, `application/*+json` or `*/*`";
        field.fault("is not a content type without parameters", remedy)
    })
}

/// Returns the fault of a placeholder of a body that is not kept, as a problem and a remedy.
fn misplaced(variable: &Variable, kept: Kept) -> Option<(String, String)> {
    let (message, key) = match () {
        () if variable.is_of_body() && !kept.request => ("request", REQUEST_KEY),
        () if variable.is_of_response_body() && !kept.response => ("response", RESPONSE_KEY),
        () => return None,
    };
    let problem = format!("has a placeholder of the {message}'s body, which is not kept");
    Some((problem, format!("give the route `{key}`, such as `{{\"max_bytes\": 65536}}`")))
}

/// Checks that what a value is filled in with is kept.
pub(super) fn check<'v>(
    mut variables: impl Iterator<Item = &'v Variable>,
    kept: Kept,
    report: impl FnOnce(String, String) -> Reported,
) -> Checked<()> {
    match variables.find_map(|variable| misplaced(variable, kept)) {
        Some((problem, remedy)) => Err(report(problem, remedy)),
        None => Ok(()),
    }
}
