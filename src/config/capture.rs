//! The list `capture`: which requests are stored before they are answered, where, and what their
//! senders get.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE};
use http::StatusCode;

use super::fault::{borrowed, Checked};
use super::reader::{each, Field, Section};
use super::route::{read_matcher, read_methods};
use super::target::{GROUP_KEY, WHOLE_MODULE};
use super::{milliseconds, target, template, verify};
use crate::aws::target::Target;
use crate::capture::challenge::Challenge;
use crate::capture::verify::{OnUnverified, Verification};
use crate::capture::{AnswerTemplate, Capture, Captures, IdRule};
use crate::exchange::is_token;
use crate::exchange::matcher::{Matcher, Methods};
use crate::exchange::template::{Template, Variable};

pub(super) const KEY: &str = "capture";
pub(super) const MAX_CAPTURES: usize = 100;
const NAME_KEY: &str = "name";
pub(super) const MAX_NAME_CHARS: usize = 64;

/// The value of `id` with which equal bodies are one delivery.
const BODY_HASH: &str = "body_hash";

/// Headers of an answer that the gateway sets, or that other keys set.
pub(super) const OWN_HEADERS: [&str; 5] =
    ["content-length", "transfer-encoding", "connection", "content-type", "x-retrohook-message-id"];

/// Reads the captures, whose senders wait for `patience` unless something else is known of them.
pub(super) fn read(root: &mut Section<'_>, max_path_bytes: usize, patience: Duration) -> Checked<Captures> {
    let Some(field) = root.optional(KEY) else { return Ok(Captures::default()) };
    if !cfg!(feature = "capture") {
        return Err(field.fault("is given, and this module was built without the feature `capture`", WHOLE_MODULE));
    }
    let captures = field.items()?;
    if captures.len() > MAX_CAPTURES {
        return Err(field.fault(
            format!("has {} captures, of at most {MAX_CAPTURES}", captures.len()),
            "put several paths into one: `^/webhooks/(stripe|github)$`",
        ));
    }
    let read = |field: Field<'_>| {
        let mut section = field.section()?;
        let capture = read_capture(&mut section, patience);
        section.finish();
        capture
    };
    check_names(&captures);
    each(captures, read).map(|captures| Captures::new(captures, max_path_bytes))
}

/// Reports a name that several captures have.
fn check_names(captures: &[Field<'_>]) {
    let name = |field: &Field<'_>| field.value().get(NAME_KEY)?.as_str().map(str::to_owned);
    let names: Vec<Option<String>> = captures.iter().map(name).collect();
    for (position, (field, name)) in captures.iter().zip(&names).enumerate() {
        let first = names.iter().take(position).position(|other| name.is_some() && other == name);
        if let (Some(first), Ok(section)) = (first, field.section()) {
            let problem = format!("is the name of `capture[{first}]`, too");
            section.fault_at(NAME_KEY, problem, "give each capture a name of its own: it is a part of all ids");
        }
    }
}

fn read_capture(section: &mut Section<'_>, usual_patience: Duration) -> Checked<Capture> {
    let (methods, matcher) = (read_methods(section), read_matcher(section));
    let name = read_name(section, &methods, &matcher);
    let target = target::read_required(section);
    let groups: Option<Vec<&str>> = matcher.as_ref().ok().map(|matcher| matcher.group_names().collect());
    let groups = groups.as_deref();
    let message_group_id = section.optional(GROUP_KEY).map(|field| of_request(&field, groups)).transpose();
    if let Ok(target) = borrowed(&target) {
        target::check_group(section, target.protocol.as_ref(), &message_group_id, "webhooks", "remove it");
    }
    let id = read_id(section, groups);
    // A larger body never fits into a message.
    let max_body_bytes = section.integer("max_body_bytes", 1..=1_048_576, 262_144) as usize;
    let response = read_response(section, groups);
    let is_given = section.optional("timeout_ms").is_some();
    let timeout = milliseconds(section.integer("timeout_ms", 100..=60_000, 5_000));
    let timeout = is_given.then_some(timeout);
    let kept_headers = section.list("keep_headers").and_then(|names| each(names, |name| read_header_name(&name)));
    let sender = verify::read(section);
    let unverified = read_unverified(section, borrowed(&sender).map(|sender| sender.verification.as_ref()));
    let (methods, sender) = (methods?, sender?);
    Ok(Capture {
        name: name?,
        id: id?,
        unverified: unverified?,
        target: target?,
        message_group_id: message_group_id?,
        max_body_bytes,
        response: response?,
        kept_headers: kept_headers?,
        patience: timeout.unwrap_or_else(|| sender.patience.unwrap_or(usual_patience).min(usual_patience)),
        verify: sender.verification,
        asked_by: asked_by(&methods, &sender.challenges),
        challenges: sender.challenges,
        methods,
        matcher: matcher?,
    })
}

/// Returns the methods that challenges have and webhooks have not.
fn asked_by(methods: &Methods, challenges: &[Challenge]) -> Methods {
    let all = challenges.iter().flat_map(Challenge::methods);
    Methods::OneOf(all.filter(|method| !methods.contain(method.as_bytes())).cloned().collect())
}

fn read_header_name(field: &Field<'_>) -> Checked<String> {
    match field.text()? {
        name if is_token(name) => Ok(name.to_ascii_lowercase()),
        _ => Err(field.fault("is not the name of a header", "give the name alone, such as `authorization`")),
    }
}

/// Reads the name. Without one it is derived from what the capture takes, which every replica knows
/// and a new configuration keeps.
fn read_name(section: &mut Section<'_>, methods: &Checked<Methods>, matcher: &Checked<Matcher>) -> Checked<String> {
    let Some(field) = section.optional(NAME_KEY) else {
        let methods = match borrowed(methods)? {
            Methods::Any => "*".to_owned(),
            Methods::OneOf(methods) => {
                let mut sorted: Vec<&str> = Vec::new();
                for method in methods {
                    if let Err(at) = sorted.binary_search(&method.as_str()) {
                        sorted.insert(at, method);
                    }
                }
                sorted.join(",")
            }
        };
        return Ok(format!("{methods} {}", borrowed(matcher)?.pattern()));
    };
    let name = field.text()?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !(1..=MAX_NAME_CHARS).contains(&name.len()) || !name.bytes().all(is_allowed) {
        let problem = format!("is not 1 to {MAX_NAME_CHARS} of `A-Z a-z 0-9 _ . -`");
        return Err(field.fault(problem, "give such a name, such as `orders`, or leave it out"));
    }
    Ok(name.to_owned())
}

fn read_id(section: &mut Section<'_>, groups: Option<&[&str]>) -> Checked<IdRule> {
    let Some(field) = section.optional("id") else { return Ok(IdRule::Sender) };
    if field.value().as_str() == Some(BODY_HASH) {
        return Ok(IdRule::BodyHash);
    }
    let template = of_request(&field, groups)?;
    if template.variables().next().is_none() {
        return Err(field.fault(
            "has no placeholder, so that all webhooks would have one id",
            format!(
                "say where the sender puts its id, such as `${{request.headers.x-acme-delivery}}`, or `{BODY_HASH}`"
            ),
        ));
    }
    Ok(IdRule::Template(template))
}

fn read_unverified(section: &mut Section<'_>, verify: Checked<Option<&Verification>>) -> Checked<Option<Target>> {
    let Some(field) = section.optional("unverified") else { return Ok(None) };
    let mut unverified = field.section()?;
    let target = target::read_required(&mut unverified);
    unverified.finish();
    if !verify?.is_some_and(|verify| verify.on_failure == OnUnverified::Mark) {
        let remedy = "leave it out, or give `verify` with `on_failure: mark`";
        return Err(field.fault("is given, and nothing is stored that is not verified", remedy));
    }
    target.map(Some)
}

/// Reads a template that is rendered before there is a response.
fn of_request(field: &Field<'_>, groups: Option<&[&str]>) -> Checked<Template> {
    let template = template::of_webhook(field, groups)?;
    if !template.variables().all(Variable::is_of_request) {
        return Err(field.fault(
            "has a placeholder of the response, the route or the service, which are not known when a webhook is stored",
            "take what the request has: `path.NAME`, `request.…`",
        ));
    }
    Ok(template)
}

fn read_response(capture: &mut Section<'_>, groups: Option<&[&str]>) -> Checked<AnswerTemplate> {
    let mut section = capture.section("response");
    let status = section.integer("status", 200..=299, 200);
    let body = match section.optional("body").filter(|field| field.value().as_str() != Some("")) {
        Some(field) => of_request(&field, groups).and_then(|body| match status {
            204 | 205 => Err(field.fault(
                format!("is given, and a {status} has no body"),
                "leave it out, or give another `status`, such as 200",
            )),
            _ => Ok(Some(body)),
        }),
        None => Ok(None),
    };
    let content_type = section.optional("content_type").map(|field| header_value(&field)).transpose();
    let headers = section.section("headers").entries();
    let headers = each(headers, |(name, field)| match HeaderName::try_from(name) {
        Ok(name) if !OWN_HEADERS.contains(&name.as_str()) => Ok((name, header_value(&field)?)),
        _ => Err(field.fault(
            "is not the name of a header that can be set here",
            "give another one, such as `x-webhook-accepted` (the content type is `content_type`)",
        )),
    });
    section.finish();
    let (body, content_type, given) = (body?, content_type?, headers?);
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.append(name, value);
    }
    if body.is_some() || content_type.is_some() {
        headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("text/plain")));
    }
    let status = StatusCode::from_u16(status as u16).unwrap_or_default();
    Ok(AnswerTemplate { status, headers, body: body.unwrap_or_default() })
}

fn header_value(field: &Field<'_>) -> Checked<HeaderValue> {
    let text = field.text()?;
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| is_visible)
        .ok_or_else(|| field.fault("is empty, or has a character that a header does not carry", "give visible ASCII"))
}
