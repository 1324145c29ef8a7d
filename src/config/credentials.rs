//! The section `credentials`. Nothing that stands in it is ever quoted in a fault.

use super::fault::Checked;
use super::reader::{Field, Section};
use super::CredentialSource;
use crate::secret::Secret;

const STATIC: &str = "static";

/// The first is the default: it looks wherever there is something to find, which so far is the environment.
const SOURCES: [&str; 3] = ["auto", STATIC, "environment"];

pub(super) fn read(root: &mut Section<'_>) -> Checked<CredentialSource> {
    let mut section = root.confidential_section("credentials");
    let source = section.choice("source", &SOURCES);
    let given = ["access_key_id", "secret_access_key", "session_token"].map(|name| (name, section.optional(name)));
    let any_given = given.iter().any(|(_, field)| field.is_some());
    let [access_key_id, secret_access_key, session_token] =
        given.map(|(name, field)| (name, field.map(|field| key(&field)).transpose()));
    let needed = |(name, key): (&str, Checked<Option<&str>>)| {
        key?.map(str::to_owned).ok_or_else(|| {
            section.fault_at(name, "is missing", "the source `static` needs it; give it, or another source")
        })
    };
    let credentials = match source {
        Ok(STATIC) => {
            let (access_key_id, secret_access_key) = (needed(access_key_id), needed(secret_access_key));
            access_key_id.and_then(|access_key_id| {
                Ok(CredentialSource::Static {
                    access_key_id,
                    secret_access_key: Secret::new(secret_access_key?),
                    session_token: session_token.1?.map(Secret::new),
                })
            })
        }
        // Keys that are not used would show only as denied access, or as the access of someone else.
        Ok(_) if any_given => Err(section.fault_at(
            "source",
            "is not `static`, but keys are given",
            "set `source: static`, or take the keys out",
        )),
        source => source.map(|_| CredentialSource::Environment),
    };
    section.finish();
    credentials
}

fn key<'a>(field: &Field<'a>) -> Checked<&'a str> {
    let text = field.text()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(field.fault(
            "is empty, or has a space, a line break or a character that is not ASCII",
            "give the key as AWS shows it, with nothing around it",
        ));
    }
    Ok(text)
}
