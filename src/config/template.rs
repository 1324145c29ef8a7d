//! Values with `${…}`: checks that they can be parsed, and that a matcher has the groups that they
//! name.

use serde_json::Value;

use super::fault::{excerpt, listed, nearest, Checked, Reported};
use super::reader::{Field, Section};
use crate::exchange::template::{
    Template, TemplateError, Variable, BODY_VARIABLES, RESPONSE_BODY_VARIABLES, VARIABLES,
};

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
    of_those(field, groups, &known_of_routes())
}

/// Reads a template that must not be empty, for a webhook.
pub(super) fn of_webhook(field: &Field<'_>, groups: Option<&[&str]>) -> Checked<Template> {
    of_those(field, groups, &known_of_webhooks())
}

fn of_those(field: &Field<'_>, groups: Option<&[&str]>, known: &[&str]) -> Checked<Template> {
    if field.template()?.is_empty() {
        return Err(field.fault("is empty", "give a text, or leave the key out"));
    }
    let template = field.template()?.parse().map_err(|error| refused(field, &error, known))?;
    check_groups(field, &template, groups)?;
    Ok(template)
}

/// Returns the placeholders that a webhook has values for.
pub(super) fn known_of_webhooks() -> Vec<&'static str> {
    VARIABLES.into_iter().filter(|name| is_of_request(name)).chain(BODY_VARIABLES).collect()
}

/// Returns the placeholders that a route has values for.
pub(super) fn known_of_routes() -> Vec<&'static str> {
    VARIABLES.into_iter().chain(BODY_VARIABLES).chain(RESPONSE_BODY_VARIABLES).collect()
}

fn is_of_request(name: &str) -> bool {
    name.parse().as_ref().is_ok_and(Variable::is_of_request)
}

/// Reads a template; numbers and booleans count as the text that they are written as.
pub(super) fn read(field: &Field<'_>) -> Checked<Template> {
    match field.value() {
        Value::Number(number) => parse(field, &field.exact(number)?),
        Value::Bool(boolean) => parse(field, &boolean.to_string()),
        _ => parse(field, field.template()?),
    }
}

/// Reads a template that stands in `field`, and is of a route.
pub(super) fn parse(field: &Field<'_>, text: &str) -> Checked<Template> {
    text.parse().map_err(|error| refused(field, &error, &known_of_routes()))
}

/// Reads the name of a placeholder, of those that routes have.
pub(super) fn variable(name: &str, field: &Field<'_>) -> Checked<Variable> {
    name.parse().map_err(|error| refused(field, &error, &known_of_routes()))
}

/// Reports that a text is no template. `known` are the placeholders that it may have.
pub(super) fn refused(field: &Field<'_>, error: &TemplateError, known: &[&str]) -> Reported {
    match error {
        TemplateError::Unclosed => field.fault(error.to_string(), "close it, as in `${request.path}`"),
        TemplateError::Unknown(name) => {
            let remedy = match nearest(name, known) {
                Some(variable) => format!("did you mean `${{{variable}}}`? Known are {}", listed(known)),
                None => format!("known are {}", listed(known)),
            };
            field.fault(format!("unknown placeholder `${{{}}}`", excerpt(name)), remedy)
        }
    }
}

/// Checks `${path.NAME}` against the named groups that there are. Without `groups`, the matcher has
/// a fault of its own, and nothing is checked.
pub(super) fn check_groups(field: &Field<'_>, template: &Template, groups: Option<&[&str]>) -> Checked<()> {
    let mut checked = Ok(());
    for variable in template.variables() {
        checked = check_group(field, variable, groups).and(checked);
    }
    checked
}

/// Checks one placeholder against the named groups that there are.
pub(super) fn check_group(field: &Field<'_>, variable: &Variable, groups: Option<&[&str]>) -> Checked<()> {
    let (Variable::PathGroup(name), Some(groups)) = (variable, groups) else { return Ok(()) };
    if groups.contains(&name.as_str()) {
        return Ok(());
    }
    let remedy = match (nearest(name, groups), groups) {
        (Some(group), _) => format!("did you mean `${{path.{group}}}`?"),
        (None, []) => "name a part of the path in the matcher, as in `/profile/(?<id>[^/]+)`".to_owned(),
        (None, _) => format!("its groups are {}", listed(groups)),
    };
    Err(field.fault(format!("`${{path.{}}}` is not a named group of the matcher", excerpt(name)), remedy))
}
