//! The text that is signed, with placeholders: parsed once, filled in with the bytes of each
//! webhook. Never decides whether they were signed.

use std::borrow::Cow;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::{missing, only, Rejection};
use crate::exchange::template::{each_piece, TemplateError, Variable};
use crate::exchange::ClientRequest;
use crate::lookup;

/// The placeholders that only `signed` has.
pub(crate) const VARIABLES: [&str; 4] = ["request.url", "request.url_decoded", "request.form", "timestamp"];

/// The parameter of Twilio's with which a body is signed that is no form.
const BODY_HASH: &str = "bodySHA256";

/// Fields of the largest form; Twilio sends a few dozen.
const MAX_FIELDS: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
enum SignedPart {
    Text(String),
    Request(Variable),
    /// `request.url`: the URL as the sender has it.
    Url,
    /// `request.url_decoded`: the same with the marks decoded that HubSpot decodes.
    DecodedUrl,
    /// `request.form`: the names and values of a form, sorted, as Twilio signs them.
    Form,
    /// `timestamp`: the time of the signature, as it is written.
    Timestamp,
}

/// A text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content(Vec<SignedPart>);

impl FromStr for Content {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Content, TemplateError> {
        let mut parts = Vec::new();
        each_piece(text, &mut |text, is_placeholder| {
            parts.push(match text {
                _ if !is_placeholder => SignedPart::Text(text.to_owned()),
                "request.url" => SignedPart::Url,
                "request.url_decoded" => SignedPart::DecodedUrl,
                "request.form" => SignedPart::Form,
                "timestamp" => SignedPart::Timestamp,
                name => SignedPart::Request(name.parse()?),
            });
            Ok(())
        })?;
        Ok(Content(parts))
    }
}

impl Content {
    /// Returns the body alone, which most senders sign.
    pub(crate) fn body() -> Content {
        Content(vec![SignedPart::Request(Variable::RequestBody)])
    }

    /// Returns true if there is no placeholder.
    pub(crate) fn is_constant(&self) -> bool {
        self.0.iter().all(|part| matches!(part, SignedPart::Text(_)))
    }

    /// Returns the placeholders of requests.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            SignedPart::Request(variable) => Some(variable),
            _ => None,
        })
    }

    /// Returns true if the URL is signed.
    pub(crate) fn has_url(&self) -> bool {
        self.0.iter().any(|part| matches!(part, SignedPart::Url | SignedPart::DecodedUrl))
    }

    /// Returns true if the time is signed as it is written.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&SignedPart::Timestamp)
    }

    /// Returns true if all of the body is signed.
    pub(crate) fn has_body(&self) -> bool {
        self.0.contains(&SignedPart::Form) || self.variables().any(|variable| *variable == Variable::RequestBody)
    }

    /// Returns the signed bytes of a request to `base` and its target; `timestamp` is the time as
    /// it is written.
    pub(super) fn of<'a>(
        &'a self,
        request: &'a ClientRequest<'_>,
        base: Option<&str>,
        timestamp: &'a str,
    ) -> Result<Vec<Cow<'a, [u8]>>, Rejection> {
        if self.joins_url_and_body() && !is_border_plain(request) {
            return Err(Rejection::Unreadable("border between URL and body".to_owned()));
        }
        let mut values = Vec::with_capacity(self.0.len());
        for (position, part) in self.0.iter().enumerate() {
            let value = match part {
                SignedPart::Text(text) => Cow::Borrowed(text.as_bytes()),
                SignedPart::Request(Variable::RequestBody) => Cow::Borrowed(request.body),
                SignedPart::Request(variable) => bytes(self.alone(position, variable, request)?),
                SignedPart::Url => Cow::Owned(url(request, base).into_bytes()),
                SignedPart::DecodedUrl => Cow::Owned(decoded(&url(request, base)).into_bytes()),
                SignedPart::Form => Cow::Owned(form(request)?),
                SignedPart::Timestamp => Cow::Borrowed(timestamp.as_bytes()),
            };
            values.push(value);
        }
        Ok(values)
    }

    /// Returns true if the URL and the body are signed with nothing between them that no URL has,
    /// so that the end of one could be taken for the beginning of the other.
    fn joins_url_and_body(&self) -> bool {
        let (mut first, mut is_apart) = (None, false);
        for part in &self.0 {
            let is_url = match part {
                SignedPart::Url | SignedPart::DecodedUrl => true,
                SignedPart::Request(Variable::RequestBody) => false,
                SignedPart::Text(text) => {
                    is_apart |= text.bytes().any(|byte| byte <= b' ');
                    continue;
                }
                SignedPart::Request(_) | SignedPart::Form | SignedPart::Timestamp => continue,
            };
            match first {
                Some(first) if first != is_url => return !is_apart,
                _ => (first, is_apart) = (Some(is_url), false),
            }
        }
        false
    }

    /// Returns the value of a placeholder, in which the text behind it does not stand: `id.time`
    /// with a dot in the id would have a signature that is good for another id and time.
    fn alone<'a>(
        &self,
        position: usize,
        variable: &'a Variable,
        request: &'a ClientRequest<'_>,
    ) -> Result<Cow<'a, str>, Rejection> {
        let value = only(variable, request)?;
        let runs_on = match self.0.get(position + 1) {
            Some(SignedPart::Text(behind)) => lookup::contains(&value, behind),
            _ => false,
        };
        if runs_on || value.is_empty() {
            return Err(Rejection::Unreadable(super::described(variable)));
        }
        Ok(value)
    }
}

/// Returns true if a URL and the body behind or before it can be told apart in the text that they
/// make together: JSON begins and ends with brackets, which a URL has encoded.
fn is_border_plain(request: &ClientRequest<'_>) -> bool {
    let body = request.body.trim_ascii_end();
    let is_json = matches!((body.first(), body.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
    !request.target.bytes().any(|byte| b"{}[]".contains(&byte)) && (is_json || request.body.is_empty())
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn url(request: &ClientRequest<'_>, base: Option<&str>) -> String {
    let host = request.headers.get("host").unwrap_or_default();
    match base {
        Some(base) => [base, &request.target].concat(),
        None => ["https://", host, &request.target].concat(),
    }
}

/// Decodes the marks that HubSpot decodes before it signs, and no others.
fn decoded(url: &str) -> String {
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, behind)) = rest.split_once('%') {
        decoded.push_str(before);
        let code = behind.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.map(char::from).filter(|mark| ":/?@!$'()*,;".contains(*mark)) {
            Some(mark) => {
                decoded.push(mark);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push('%');
                rest = behind;
            }
        }
    }
    decoded + rest
}

/// Returns the fields of a form, each as name and value, sorted and each once. Of a body that is no
/// form nothing: then the URL, which is signed, has to have its hash.
fn form(request: &ClientRequest<'_>) -> Result<Vec<u8>, Rejection> {
    let content_type = request.headers.get("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_form = media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let hash = Variable::RequestQuery(BODY_HASH.to_owned());
    match hash.of_request(request) {
        Some(sum) if sum.eq_ignore_ascii_case(&hex::encode(Sha256::digest(request.body))) => {}
        None if is_form || request.body.is_empty() => {}
        Some(_) => return Err(Rejection::Mismatch),
        None => return Err(missing(&hash)),
    }
    if !is_form {
        return Ok(Vec::new());
    }
    let unreadable = || Rejection::Unreadable("form".to_owned());
    let mut fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (position, field) in form_urlencoded::parse(request.body).enumerate() {
        // What is not looked at would not be signed.
        if position >= MAX_FIELDS {
            return Err(unreadable());
        }
        if let Err(at) = fields.binary_search(&field) {
            fields.insert(at, field);
        }
    }
    let text = fields.iter().flat_map(|(name, value)| [&**name, &**value]).collect::<String>();
    // What is not UTF-8 could have been anything.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(unreadable());
    }
    Ok(text.into_bytes())
}
