//! The section `credentials`. Nothing that stands in it is ever quoted in a fault.

use std::time::Duration;

use super::fault::{borrowed, Checked};
use super::reader::{Field, Section};
use super::target::{read_upstream, way_to};
use crate::aws::credentials::settings::{Role, Settings, Source, StaticKeys, Upstreams};
use crate::aws::endpoint::Endpoint;
use crate::aws::names::is_region;
use crate::secret::Secret;

/// A name of a source.
#[derive(Clone, Copy, PartialEq)]
enum Name {
    Auto,
    Static,
    Environment,
    Container,
    Instance,
    Host,
}

const NAMES: [(&str, Name); 6] = [
    ("auto", Name::Auto),
    ("static", Name::Static),
    ("environment", Name::Environment),
    ("container", Name::Container),
    ("instance", Name::Instance),
    ("host", Name::Host),
];

/// Reads the section. `region` is where the first target is, for a role without a region of its
/// own.
pub(super) fn read(root: &mut Section<'_>, region: Checked<&str>) -> Checked<Settings> {
    let mut section = root.confidential_section("credentials");
    let name = section.choice("source", &NAMES);
    let source = read_source(&mut section, name);
    let mut upstreams = section.section("upstreams");
    let [instance, container, sts] = ["instance", "container", "sts"].map(|name| upstreams.optional(name));
    let [instance, container] = [instance, container].map(|field| field.as_ref().map(read_plain_upstream).transpose());
    upstreams.finish();
    let assume_role = section.optional("assume_role").map(|field| {
        if name == Ok(Name::Host) {
            return Err(field.fault("is given, but the host signs", "let the host assume the role, or remove it"));
        }
        let mut role = field.section()?;
        let read = read_role(&mut role, region, sts.as_ref());
        role.finish();
        read
    });
    // The name of STS is read with the role, whose endpoint it is.
    let sts = sts.filter(|_| assume_role.is_none()).as_ref().map(read_upstream).transpose();
    section.finish();
    sts?;
    Ok(Settings {
        source: source?,
        assume_role: assume_role.transpose()?,
        upstreams: Upstreams { instance: instance?, container: container? },
    })
}

/// Reads the section where nothing goes to AWS, so that nobody is asked for credentials.
pub(super) fn read_unneeded(root: &mut Section<'_>) -> Checked<Settings> {
    if let Some(field) = root.confidential_optional("credentials") {
        field.warn("is given, and nothing goes to AWS", "remove it, or name a target in AWS");
    }
    Ok(Settings { source: Source::Unneeded, assume_role: None, upstreams: Upstreams::default() })
}

fn read_source(section: &mut Section<'_>, name: Checked<Name>) -> Checked<Source> {
    let given = ["access_key_id", "secret_access_key", "session_token"].map(|name| (name, section.optional(name)));
    let any_given = given.iter().any(|(_, field)| field.is_some());
    let [access_key_id, secret_access_key, session_token] =
        given.map(|(name, field)| (name, field.map(|field| key(&field)).transpose()));
    let needed = |(name, key): (&str, Checked<Option<String>>)| {
        key?.ok_or_else(|| {
            section.fault_at(name, "is missing", "the source `static` needs it; give it, or another source")
        })
    };
    let elsewhere = match name? {
        Name::Static => {
            let (access_key_id, secret_access_key) = (needed(access_key_id), needed(secret_access_key));
            return Ok(Source::Static(StaticKeys {
                access_key_id: access_key_id?,
                secret_access_key: Secret::new(secret_access_key?),
                session_token: session_token.1?.map(Secret::new),
            }));
        }
        Name::Auto => Source::Auto,
        Name::Environment => Source::Environment,
        Name::Container => Source::Container,
        Name::Instance => Source::Instance,
        Name::Host => Source::Host,
    };
    // Keys that are not used would show only as denied access, or as the access of someone else.
    if any_given {
        let remedy = "set `source: static`, or take the keys out";
        return Err(section.fault_at("source", "is not `static`, but keys are given", remedy));
    }
    Ok(elsewhere)
}

/// Reads the host's name for a service that is always called in the clear.
fn read_plain_upstream(field: &Field<'_>) -> Checked<String> {
    let name = read_upstream(field)?;
    if name.contains("://") {
        let remedy =
            "give it without a scheme: host and port, such as `169.254.170.2:80`, or Envoy's name of a cluster";
        return Err(field.fault("is a URL", remedy));
    }
    Ok(name)
}

/// Reads a role to assume, within the lengths and characters of the STS API Reference,
/// "AssumeRole".
fn read_role(role: &mut Section<'_>, region: Checked<&str>, upstream: Option<&Field<'_>>) -> Checked<Role> {
    let role_arn = read_role_arn(role);
    let session_name = text(role, "session_name", 2..=64, "=,.@-");
    let external_id = text(role, "external_id", 2..=1_224, "=,.@:/-");
    let seconds = role.integer("duration_seconds", 900..=43_200, 3_600);
    let region = match role.optional("region") {
        Some(field) => field.text().and_then(|text| match is_region(text) {
            true => Ok(text.to_owned()),
            false => Err(field.fault("does not look like a region", "give one such as `us-east-1`, or leave it out")),
        }),
        None => region.map(str::to_owned),
    };
    let endpoint = match role.optional("endpoint") {
        Some(field) => field.text().and_then(|text| {
            text.parse::<Endpoint>().map_err(|error| {
                let remedy = "give scheme and host, such as `https://sts.us-east-1.amazonaws.com`, or leave it out";
                field.fault(format!("is not an endpoint: {error}"), remedy)
            })
        }),
        None => borrowed(&region).and_then(|region| {
            Endpoint::of_service("sts", region)
                .map_err(|error| role.fault_at("region", format!("makes no endpoint: {error}"), "give `endpoint`"))
        }),
    };
    let (endpoint, upstream) = way_to(endpoint, upstream)?;
    Ok(Role {
        role_arn: role_arn?,
        session_name: session_name?.unwrap_or_else(|| "retrohook".to_owned()),
        external_id: external_id?,
        duration: Duration::from_secs(seconds.into()),
        region: region?,
        upstream,
        endpoint,
    })
}

fn read_role_arn(role: &mut Section<'_>) -> Checked<String> {
    let remedy = "give the ARN of a role, such as `arn:aws:iam::123456789012:role/publisher`";
    let field = role.required("role_arn", remedy)?;
    let text = field.text()?;
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_role = match parts.as_slice() {
        ["arn", partition, "iam", "", account, name] => {
            let name = name.strip_prefix("role/").unwrap_or_default();
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&byte))
        }
        _ => false,
    };
    match is_role {
        true => Ok(text.to_owned()),
        false => Err(field.fault("is not the ARN of a role", remedy)),
    }
}

/// Reads a text of letters, digits, `_`, `+` and `more`.
fn text(
    role: &mut Section<'_>,
    name: &'static str,
    length: std::ops::RangeInclusive<usize>,
    more: &str,
) -> Checked<Option<String>> {
    let Some(field) = role.optional(name) else { return Ok(None) };
    let text = field.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+".contains(c) || more.contains(c);
    if length.contains(&text.len()) && text.chars().all(allowed) {
        return Ok(Some(text.to_owned()));
    }
    Err(field.fault(
        format!("is not {} to {} letters, digits or any of `_+{more}`", length.start(), length.end()),
        "give such a text, or leave it out",
    ))
}

fn key(field: &Field<'_>) -> Checked<String> {
    let text = field.secret()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(field.fault(
            "is empty, or has a space, a line break or a character that is not ASCII",
            "give the key as AWS shows it, with nothing around it",
        ));
    }
    Ok(text)
}
