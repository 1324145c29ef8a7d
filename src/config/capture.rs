//! The list `capture`: which requests are stored before they are answered, where, and what their
//! senders get.

use http::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE};
use http::StatusCode;

use super::fault::{borrowed, Checked};
use super::reader::{each, Field, Section};
use super::route::{read_matcher, read_methods};
use super::{target, template, verify};
use crate::capture::{Capture, Captures, Response};
use crate::exchange::template::{Template, Variable};

const MAX_CAPTURES: usize = 100;
const GROUP_KEY: &str = "message_group_id";

/// Headers of an answer that the gateway sets, or that other keys set.
const OWN_HEADERS: [&str; 5] =
    ["content-length", "transfer-encoding", "connection", "content-type", "x-retrohook-message-id"];

pub(super) fn read(root: &mut Section<'_>) -> Checked<Captures> {
    let Some(field) = root.optional("capture") else { return Ok(Captures::default()) };
    let captures = field.items()?;
    if captures.len() > MAX_CAPTURES {
        return Err(field.fault(
            format!("has {} captures, of at most {MAX_CAPTURES}", captures.len()),
            "put several paths into one: `^/webhooks/(stripe|github)$`",
        ));
    }
    let read = |field: Field<'_>| {
        let mut section = field.section()?;
        let capture = read_capture(&mut section);
        section.finish();
        capture
    };
    each(captures, read).map(Captures)
}

fn read_capture(section: &mut Section<'_>) -> Checked<Capture> {
    let (methods, matcher) = (read_methods(section), read_matcher(section));
    let target = target::read_required_queue(section);
    let groups: Option<Vec<&str>> = matcher.as_ref().ok().map(|matcher| matcher.group_names().collect());
    let groups = groups.as_deref();
    let message_group_id = section.optional(GROUP_KEY).map(|field| of_request(&field, groups)).transpose();
    if borrowed(&target).is_ok_and(|queue| queue.protocol.keeps_order()) && message_group_id == Ok(None) {
        section.fault_at(
            GROUP_KEY,
            "is missing, and a FIFO queue needs one",
            "say which webhooks keep their order among each other, such as `${request.path}`",
        );
    }
    // A larger body never fits into a message.
    let max_body_bytes = section.integer("max_body_bytes", 1..=1_048_576, 262_144) as usize;
    let response = read_response(section, groups);
    let verify = verify::read(section);
    Ok(Capture {
        methods: methods?,
        target: target?,
        message_group_id: message_group_id?,
        max_body_bytes,
        response: response?,
        verify: verify?,
        matcher: matcher?,
    })
}

/// Reads a template that is rendered before there is a response.
fn of_request(field: &Field<'_>, groups: Option<&[&str]>) -> Checked<Template> {
    let template = template::required(field, groups)?;
    if !template.variables().all(Variable::is_of_request) {
        return Err(field.fault(
            "has a placeholder of the response, the route or the service, which are not known when a webhook is stored",
            "take what the request has: `path.NAME`, `request.…`",
        ));
    }
    Ok(template)
}

fn read_response(capture: &mut Section<'_>, groups: Option<&[&str]>) -> Checked<Response> {
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
    Ok(Response { status, headers, body: body.unwrap_or_default() })
}

fn header_value(field: &Field<'_>) -> Checked<HeaderValue> {
    let text = field.text()?;
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| is_visible)
        .ok_or_else(|| field.fault("is empty, or has a character that a header does not carry", "give visible ASCII"))
}
