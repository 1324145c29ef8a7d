//! The section `redact`, and the names that a header may have.

use super::fault::Checked;
use super::reader::{each, Section};
use crate::exchange::redact::Redact;

pub(super) fn read(root: &mut Section<'_>) -> Checked<Redact> {
    let mut section = root.section("redact");
    let headers = section.list("headers").and_then(|names| {
        each(names, |field| match field.text()? {
            name if is_token(name) => Ok(name.to_ascii_lowercase()),
            _ => Err(field.fault("is not the name of a header", "give the name alone, such as `x-internal-token`")),
        })
    });
    let query = section.list("query").and_then(|names| {
        each(names, |field| match field.text()? {
            "" => Err(field.fault("is empty", "give the name of a query parameter, such as `token`")),
            name => Ok(name.to_owned()),
        })
    });
    section.finish();
    Ok(Redact { headers: headers?, query: query? })
}

/// Returns true if `text` can be a method or the name of a header (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
