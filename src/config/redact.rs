//! The section `redact`.

use std::rc::Rc;

use super::fault::{listed, nearest, Checked};
use super::reader::{each, Field, Section};
use crate::exchange::is_token;
use crate::exchange::matcher::Matcher;
use crate::exchange::redact::{is_parameter_name, Redact, SecretPaths};
use crate::json::pointer::{is_pointer, MAX_STEPS};
use crate::json::walk::{Pointer, MAX_POINTERS};

const PARAMETER_REMEDY: &str = "give the name alone and not encoded, such as `token`";

/// Reads the names. Each of `path` is a group of one of `matchers`; without those one of them has a
/// fault of its own, and nothing is compared.
pub(super) fn read(root: &mut Section<'_>, matchers: Option<&[&Matcher]>) -> Checked<Redact> {
    let groups = matchers.map(|matchers| matchers.iter().flat_map(|matcher| matcher.group_names()).collect::<Vec<_>>());
    let groups = groups.as_deref();
    let mut section = root.section("redact");
    let headers = section.list("headers").and_then(|names| {
        each(names, |field| match field.text()? {
            name if is_token(name) => Ok(name.to_ascii_lowercase()),
            _ => Err(field.fault("is not the name of a header", "give the name alone, such as `x-internal-token`")),
        })
    });
    let query = section.list("query").and_then(|names| {
        each(names, |field| match field.text()? {
            name if is_parameter_name(name) => Ok(name.to_ascii_lowercase()),
            "" => Err(field.fault("is empty", PARAMETER_REMEDY)),
            _ => Err(field.fault("is not the name of a parameter as its service reads it", PARAMETER_REMEDY)),
        })
    });
    let path = section.list("path").and_then(|names| {
        each(names, |field| {
            let name = field.text()?;
            let Some(groups) = groups.filter(|groups| !groups.contains(&name)) else { return Ok(name.to_owned()) };
            let remedy = match (nearest(name, groups), groups) {
                (Some(group), _) => format!("did you mean `{group}`?"),
                (None, []) => "name a part of the path in a matcher, as in `/reset/(?<token>[^/]+)`".to_owned(),
                (None, _) => format!("groups are {}", listed(groups)),
            };
            Err(field.fault("is not a named group of any matcher", remedy))
        })
    });
    let body = section.list("body").and_then(|pointers| read_pointers(&pointers));
    section.finish();
    let path = path?;
    let has_one = |matcher: &&&Matcher| matcher.group_names().any(|group| path.iter().any(|name| name == group));
    let having = matchers.unwrap_or_default().iter().filter(has_one).map(|matcher| (*matcher).clone()).collect();
    let matchers = Rc::new(SecretPaths::new(having));
    Ok(Redact { headers: headers?, query: query?, path, body: body?, matchers })
}

/// Reads pointers into bodies.
fn read_pointers(fields: &[Field<'_>]) -> Checked<Vec<Pointer>> {
    if let Some(field) = fields.get(MAX_POINTERS) {
        let problem = format!("is one more than the {MAX_POINTERS} that are possible");
        return Err(field.fault(problem, "use `*` for all members or items: `/cards/*/number`"));
    }
    each(fields.to_vec(), |field| match field.text()? {
        text if is_pointer(text) => Ok(Pointer::with_wildcards(text)),
        _ => {
            let remedy = format!("give one of at most {MAX_STEPS} steps, such as `/password` or `/cards/*/number`");
            Err(field.fault("is not a JSON pointer", remedy))
        }
    })
}
