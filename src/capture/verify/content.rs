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
pub(crate) const VARIABLES: [&str; 6] =
    ["request.url", "request.url_decoded", "request.url_other_port", "request.form", "request.form.NAME", "timestamp"];

/// The parameter of Twilio's with which a body is signed that is no form.
const BODY_HASH: &str = "bodySHA256";

/// Fields of the largest form; Twilio sends a few dozen.
const MAX_FIELDS: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
enum SignedPart {
    Text(String),
    Request(Variable),
    /// The URL as the sender has it.
    Url(Spelling),
    /// `request.form`: the names and values of a form, sorted, as Twilio signs them.
    Form,
    /// `timestamp`: the time of the signature, as it is written.
    Timestamp,
}

/// The way in which a sender writes its URL before it signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// `request.url`: as it is.
    Plain,
    /// `request.url_decoded`: with the marks decoded that HubSpot decodes.
    Decoded,
    /// `request.url_other_port`: without its port where it has one, and else with that of its
    /// scheme.
    OtherPort,
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
                "request.url" => SignedPart::Url(Spelling::Plain),
                "request.url_decoded" => SignedPart::Url(Spelling::Decoded),
                "request.url_other_port" => SignedPart::Url(Spelling::OtherPort),
                "request.form" => SignedPart::Form,
                "timestamp" => SignedPart::Timestamp,
                name => SignedPart::Request(match name.strip_prefix("request.form.") {
                    Some(field) if !field.is_empty() => Variable::RequestFormField(field.to_owned()),
                    _ => name.parse()?,
                }),
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
        self.0.iter().any(|part| matches!(part, SignedPart::Url(_)))
    }

    /// Returns true if the time is signed as it is written.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&SignedPart::Timestamp)
    }

    /// Returns true if all of the body is signed.
    pub(crate) fn has_body(&self) -> bool {
        self.0.contains(&SignedPart::Form) || self.variables().any(|variable| *variable == Variable::RequestBody)
    }

    /// Returns true if nobody can change the value of `variable` without the secret.
    pub(crate) fn covers(&self, variable: &Variable) -> bool {
        let is_in_signed_part = match variable {
            Variable::RequestBodyValue(_) | Variable::RequestFormField(_) => self.has_body(),
            Variable::RequestPath | Variable::RequestQuery(_) => self.has_url(),
            _ => false,
        };
        is_in_signed_part || self.variables().any(|signed| signed == variable)
    }

    /// Returns true if two parts of a request stand side by side, so that nothing tells where the
    /// one ends and the other begins. A body beside another part is not such a pair: what it may be
    /// is bounded.
    pub(crate) fn runs_together(&self) -> bool {
        self.has_pair(&|first, second| {
            first.is_free() && second.is_free() && *first != SignedPart::Request(Variable::RequestMethod)
        })
    }

    /// Returns true if two parts side by side are such a pair.
    fn has_pair(&self, is_one: &dyn Fn(&SignedPart, &SignedPart) -> bool) -> bool {
        self.0.windows(2).any(|pair| matches!(pair, [first, second] if is_one(first, second)))
    }

    /// Returns the signed bytes of a request to `base` and its target; `timestamp` is the time as
    /// it is written.
    pub(super) fn of<'a>(
        &'a self,
        request: &'a ClientRequest<'_>,
        base: Option<&str>,
        timestamp: &'a str,
    ) -> Result<Vec<Cow<'a, [u8]>>, Rejection> {
        let joins_url = self.joins_url_and_body();
        let is_open = (joins_url || self.has_part_at_body()) && !is_enclosed(&request.body.bytes);
        if is_open || joins_url && has_brackets(&request.target) {
            return Err(Rejection::Unreadable("border of the body".to_owned()));
        }
        let mut values = Vec::with_capacity(self.0.len());
        for (position, part) in self.0.iter().enumerate() {
            let value = match part {
                SignedPart::Text(text) => Cow::Borrowed(text.as_bytes()),
                SignedPart::Request(Variable::RequestBody) => Cow::Borrowed(&*request.body.bytes),
                SignedPart::Request(variable) => bytes(self.alone(position, variable, request)?),
                SignedPart::Url(spelling) => Cow::Owned(spelling.write(url(request, base)).into_bytes()),
                SignedPart::Form => Cow::Owned(form(request, self.has_url())?),
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
                SignedPart::Url(_) => true,
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

    /// Returns true if a header, a parameter or the path is signed beside the body, and nothing
    /// stands between them.
    fn has_part_at_body(&self) -> bool {
        self.has_pair(&|first, second| first.is_body() && second.is_free() || first.is_free() && second.is_body())
    }

    /// Returns the value of a placeholder whose ends are plain. `id.time` with a dot in the id
    /// would have a signature that is good for another id and time, and so would `body.id`; a body
    /// beside it has to begin or end with a bracket, which the value must not have.
    fn alone<'a>(
        &self,
        position: usize,
        variable: &'a Variable,
        request: &'a ClientRequest<'_>,
    ) -> Result<Cow<'a, str>, Rejection> {
        let value = only(variable, request)?;
        let part = |distance: usize| position.checked_sub(distance).and_then(|at| self.0.get(at));
        let (before, behind) = (part(1), self.0.get(position + 1));
        // A border of several characters may begin in front of the value, or end behind it.
        let border_before = match (part(2), before) {
            (Some(first), Some(SignedPart::Text(text))) if first.is_of_any_text() => text,
            _ => "",
        };
        let border_behind = if let Some(SignedPart::Text(text)) = behind { text } else { "" };
        let (mut rest, mut end) = (border_before.chars(), border_behind.chars());
        rest.next();
        end.next_back();
        let whole = [rest.as_str(), &value, end.as_str()].concat();
        let has = |border: &str| !border.is_empty() && lookup::contains(&whole, border);
        let is_at_body = [before, behind].into_iter().flatten().any(SignedPart::is_body);
        let is_border = has(border_before) || has(border_behind) || is_at_body && has_brackets(&value);
        if is_border || value.is_empty() {
            return Err(Rejection::Unreadable(super::described(variable)));
        }
        Ok(value)
    }
}

impl SignedPart {
    fn is_body(&self) -> bool {
        *self == SignedPart::Request(Variable::RequestBody)
    }

    /// Returns true if it may have any text in it, and no check bounds which.
    fn is_of_any_text(&self) -> bool {
        self.is_body() || matches!(self, SignedPart::Url(_) | SignedPart::Form)
    }

    /// Returns true if it is a part of a request that ends nowhere by itself. A time does: with a
    /// digit more it is of another year.
    fn is_free(&self) -> bool {
        match self {
            SignedPart::Request(variable) => *variable != Variable::RequestBody,
            SignedPart::Url(_) => true,
            SignedPart::Text(_) | SignedPart::Form | SignedPart::Timestamp => false,
        }
    }
}

/// Returns true if a body can be told from a text without brackets before or behind it, in the text
/// that they make together: JSON begins and ends with brackets, which a URL has encoded.
fn is_enclosed(body: &[u8]) -> bool {
    let ends = body.trim_ascii_end();
    body.is_empty() || matches!((ends.first(), ends.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
}

fn has_brackets(text: &str) -> bool {
    text.bytes().any(|byte| b"{}[]".contains(&byte))
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

impl Spelling {
    fn write(self, url: String) -> String {
        match self {
            Spelling::Plain => url,
            Spelling::Decoded => decoded(&url),
            Spelling::OtherPort => with_other_port(&url),
        }
    }
}

/// Returns the URL without its port where it has one, and else with that of its scheme.
fn with_other_port(url: &str) -> String {
    let (scheme, behind) = url.split_once("://").unwrap_or_default();
    let (authority, target) = behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // The colons of an IPv6 address stand in brackets.
    let named = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let (authority, port) = match named {
        Some((_, port)) => (authority.get(..authority.len() - port.len() - 1).unwrap_or_default(), ""),
        None if scheme == "http" => (authority, ":80"),
        None => (authority, ":443"),
    };
    [scheme, "://", authority, port, target].concat()
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
/// form nothing: then the URL has to have its hash, and to be signed.
fn form(request: &ClientRequest<'_>, is_url_signed: bool) -> Result<Vec<u8>, Rejection> {
    let is_form = request.is_form();
    let hash = Variable::RequestQuery(BODY_HASH.to_owned());
    let unreadable = || Rejection::Unreadable("form".to_owned());
    match hash.of_request(request).filter(|_| is_url_signed) {
        Some(sum) if sum.eq_ignore_ascii_case(&hex::encode(Sha256::digest(&request.body.bytes))) => {}
        None if is_form || request.body.bytes.is_empty() => {}
        Some(_) => return Err(Rejection::Mismatch),
        None if is_url_signed => return Err(missing(&hash)),
        None => return Err(unreadable()),
    }
    if !is_form {
        return Ok(Vec::new());
    }
    let mut fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (position, field) in request.fields().enumerate() {
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
