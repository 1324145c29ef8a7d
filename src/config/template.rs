//! Values with `${…}`: checks that they can be parsed, and that a matcher has the groups that they
//! name.

use serde_json::Value;

use super::fault::{excerpt, listed, nearest, Checked};
use super::reader::{Field, Section};
use crate::exchange::template::{Template, TemplateError, Variable, VARIABLES};

/// Reads a template that, unlike an attribute's, is of no use when it is empty.
pub(super) fn optional(
    section: &mut Section<'_>,
    key: &'static str,
    groups: Option<&[&str]>,
) -> Checked<Option<Template>> {
    let Some(field) = section.optional(key) else { return Ok(None) };
    required(&field, groups).map(Some)
}

/// Reads a template that must not be empty.
pub(super) fn required(field: &Field<'_>, groups: Option<&[&str]>) -> Checked<Template> {
    if field.template()?.is_empty() {
        return Err(field.fault("is empty", "give a text, or leave the key out"));
    }
    let template = read(field)?;
    check_groups(field, &template, groups)?;
    Ok(template)
}

/// Reads a template; numbers and booleans count as the text that they are written as.
pub(super) fn read(field: &Field<'_>) -> Checked<Template> {
    match field.value() {
        Value::Number(number) => parse(field, &number.to_string()),
        Value::Bool(boolean) => parse(field, &boolean.to_string()),
        _ => parse(field, field.template()?),
    }
}

/// Reads a template that stands in `field`.
pub(super) fn parse(field: &Field<'_>, text: &str) -> Checked<Template> {
    text.parse().map_err(|error| match error {
        TemplateError::Unclosed => field.fault(error.to_string(), "close it, as in `${request.path}`"),
        TemplateError::Unknown(name) => {
            let remedy = match nearest(&name, &VARIABLES) {
                Some(variable) => format!("did you mean `${{{variable}}}`? Known are {}", listed(&VARIABLES)),
                None => format!("known are {}", listed(&VARIABLES)),
            };
            field.fault(format!("unknown placeholder `${{{}}}`", excerpt(&name)), remedy)
        }
    })
}

/// Checks `${path.NAME}` against the named groups that there are. Without `groups`, the matcher has
/// a fault of its own, and nothing is checked.
pub(super) fn check_groups(field: &Field<'_>, template: &Template, groups: Option<&[&str]>) -> Checked<()> {
    let Some(groups) = groups else { return Ok(()) };
    let mut checked = Ok(());
    for variable in template.variables() {
        let Variable::PathGroup(name) = variable else { continue };
        if groups.contains(&name.as_str()) {
            continue;
        }
        let remedy = match (nearest(name, groups), groups) {
            (Some(group), _) => format!("did you mean `${{path.{group}}}`?"),
            (None, []) => "name a part of the path in the matcher, as in `/profile/(?<id>[^/]+)`".to_owned(),
            (None, _) => format!("its groups are {}", listed(groups)),
        };
        checked =
            Err(field.fault(format!("`${{path.{}}}` is not a named group of the matcher", excerpt(name)), remedy));
    }
    checked
}
