//! Redaction of what must not leave the gateway. Applied to the exchange before anything else sees
//! it, so that the message, the attributes and every `${…}` are redacted alike. Never changes what
//! is not named.

mod body;
mod decoded;
mod group;
mod hidden;
mod parameter;

use std::borrow::Cow;
use std::iter;
use std::ops::Range;
use std::rc::Rc;

use crate::exchange::body::BodySlot;
use crate::exchange::matcher::{Groups, Matcher, MAX_PATH_BYTES};
use crate::exchange::search::{PathMatches, PathSearch};
use crate::exchange::template::PathGroups;
use crate::exchange::{Exchange, Headers};
use crate::json::walk::Pointer;
use decoded::{decode, Unit};
use group::GroupText;
use hidden::Hidden;
pub(crate) use parameter::is_parameter_name;
use parameter::{Names, TextKind};

/// The text in place of a redacted value, as in Kong's own logs.
pub(crate) const REDACTED: &str = "REDACTED";

/// Headers that are redacted without configuration.
pub(crate) const HEADERS: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "apikey", "x-amz-security-token"];

/// Bytes of paths in which groups of other matchers than the route's own are looked for in one
/// request. A search takes 2,000 instructions a byte at worst, and a client chooses how many
/// matchers find something in its path.
const MAX_SEARCHED_BYTES: usize = 16_384;

/// Groups of other matchers whose text is looked for in all that a client and a service send: each
/// is a pass over it.
const MAX_OTHER_GROUPS: usize = 8;

/// Names of what is redacted beside the built-in list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redact {
    /// Header names, in lower case.
    pub(crate) headers: Vec<String>,
    /// Names of parameters, in lower case.
    pub(crate) query: Vec<String>,
    /// Named groups of matchers.
    pub(crate) path: Vec<String>,
    /// Pointers into bodies.
    pub(crate) body: Vec<Pointer>,
    /// The matchers that have one of them.
    pub(crate) matchers: Rc<SecretPaths>,
}

/// Matchers of paths that have something to redact.
#[derive(Debug, Default)]
pub(crate) struct SecretPaths {
    /// The matchers.
    pub(crate) all: Vec<Matcher>,
    search: PathSearch,
}

impl SecretPaths {
    /// Takes `matchers`, of which several may have one pattern.
    pub(crate) fn new(matchers: Vec<Matcher>) -> SecretPaths {
        let mut all: Vec<Matcher> = Vec::new();
        for matcher in matchers {
            if !all.iter().any(|other| other.pattern() == matcher.pattern()) {
                all.push(matcher);
            }
        }
        let search = PathSearch::new(&all.iter().collect::<Vec<_>>(), MAX_PATH_BYTES, false);
        SecretPaths { all, search }
    }

    /// Returns the positions of those that find something in `path`.
    fn found(&self, path: &str) -> PathMatches {
        self.search.find(path.as_bytes()).unwrap_or_default()
    }
}

/// The headers, parameters, groups of the path and values of bodies to redact.
#[derive(Debug)]
pub(crate) struct Redaction {
    /// In lower case, with `-` for each `_`.
    headers: Vec<String>,
    query: Names,
    path: Vec<String>,
    body: Vec<Pointer>,
    matchers: Rc<SecretPaths>,
}

impl Redaction {
    /// Redacts what `configured` names, beside [`HEADERS`].
    pub(crate) fn new(configured: Redact) -> Redaction {
        let Redact { headers: more, query, path, body, matchers } = configured;
        let mut headers: Vec<String> = HEADERS.map(str::to_owned).into();
        headers.extend(more.iter().map(|name| name.replace("_", "-")));
        Redaction { headers, query: Names::new(query), path, body, matchers }
    }

    /// Returns true if the header `name` (lower case) is redacted. Many services take `_` in a name
    /// for `-`, whichever of the two the configuration has.
    pub(crate) fn hides(&self, name: &str) -> bool {
        let equal = |(one, other): (u8, u8)| one == other || one == b'_' && other == b'-';
        // Few have the length of one, and of these few its last letter.
        let is_as_long = |redacted: &&String| redacted.len() == name.len();
        let is_like = |redacted: &String| name.bytes().rev().zip(redacted.bytes().rev()).all(equal);
        self.headers.iter().filter(is_as_long).any(is_like)
    }

    /// Returns the redaction of a request in whose path a matcher has found `groups`. What another
    /// one has in that path is redacted, too: a path is no less secret where a request has another
    /// method, or its response another status, than the route that names the secret wants. Where
    /// that would take too long, everything is.
    pub(crate) fn within<'a>(&'a self, groups: Groups<'a>) -> RequestRedaction<'a> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        let mut is_withheld = false;
        self.add_spans(&groups, &mut spans);
        let most_spans = spans.len() + MAX_OTHER_GROUPS;
        let is_other = |matcher: &&Matcher| !groups.are_of(matcher);
        // A path in which the only one has been found needs no other look.
        if self.matchers.all.iter().any(|matcher| is_other(&matcher)) {
            let found = self.matchers.found(groups.path()).positions();
            let mut matchers = found.filter_map(|position| self.matchers.all.get(position)).filter(is_other);
            for matcher in matchers.by_ref().take(MAX_SEARCHED_BYTES / groups.path().len().max(1)) {
                self.add_spans(&matcher.groups(groups.path()), &mut spans);
                is_withheld |= spans.len() > most_spans;
                if is_withheld {
                    spans.clear();
                    break;
                }
            }
            is_withheld |= matchers.next().is_some();
        }
        let texts_at = |span: &Range<usize>| GroupText::all_at(groups.path(), span.clone(), groups.may_go_on(span.end));
        let texts = spans.iter().flat_map(texts_at).collect();
        let mut redaction =
            RequestRedaction { settings: self, spans, texts, groups, is_withheld, hidden: Hidden::default() };
        redaction.hidden = redaction.hidden_in_path_or_target(redaction.groups.path());
        redaction
    }

    /// Adds the places of the redacted ones among `groups`.
    fn add_spans(&self, groups: &Groups<'_>, spans: &mut Vec<Range<usize>>) {
        for span in self.path.iter().filter_map(|name| groups.span(name)) {
            if !spans.contains(&span) {
                spans.push(span);
            }
        }
    }
}

/// Redaction of all that belongs to one request, the groups of its path included.
pub(crate) struct RequestRedaction<'a> {
    settings: &'a Redaction,
    groups: Groups<'a>,
    /// Places of the redacted groups in the path.
    spans: Vec<Range<usize>>,
    texts: Vec<GroupText>,
    /// True if more matchers find something in the path than can be looked at: nothing is shown.
    is_withheld: bool,
    /// All that is hidden in the path.
    hidden: Hidden,
}

impl PathGroups for RequestRedaction<'_> {
    fn group(&self, name: &str) -> Option<Cow<'_, str>> {
        Some(self.hidden.show(self.groups.path(), self.groups.span(name)?))
    }
}

impl RequestRedaction<'_> {
    /// Redacts every text of an exchange that a client or a service has a say in, except bodies.
    pub(crate) fn redact(&self, exchange: &mut Exchange<'_>) {
        self.redact_headers(&mut exchange.request.headers);
        self.redact_headers(&mut exchange.response.headers);
        self.redact_target(&mut exchange.request.target);
        if let Some(uri) = &mut exchange.upstream_uri {
            self.redact_text(uri);
        }
        // The host has found these in headers.
        let (request, consumer) = (&mut exchange.request, exchange.consumer.as_mut());
        let of_consumer = consumer.map(|consumer| {
            let names = ["x-consumer-id", "x-consumer-username", "x-consumer-custom-id"];
            names.into_iter().zip([&mut consumer.id, &mut consumer.username, &mut consumer.custom_id])
        });
        let found = [
            ("host", &mut request.host),
            ("x-request-id", &mut request.id),
            ("x-credential-identifier", &mut exchange.credential_id),
        ];
        for (header, value) in found.into_iter().chain(of_consumer.into_iter().flatten()) {
            if let Some(value) = value {
                self.redact_header(header, value);
            }
        }
    }

    /// Redacts the bodies of an exchange.
    #[inline(never)]
    pub(crate) fn redact_bodies(&self, exchange: &mut Exchange<'_>) {
        let bodies = [&mut exchange.request.body, &mut exchange.response.body];
        bodies.into_iter().filter_map(BodySlot::get_mut).for_each(|body| self.redact_body(body));
    }

    fn redact_headers(&self, headers: &mut Headers<'_>) {
        headers.0.iter_mut().for_each(|(name, value)| self.redact_header(name, value));
    }

    fn redact_header(&self, name: &str, value: &mut Cow<'_, str>) {
        if self.settings.hides(name) {
            *value = Cow::Borrowed(REDACTED);
        } else {
            self.redact_text(value);
        }
    }

    /// Redacts the target of the request, which begins with the path.
    pub(crate) fn redact_target(&self, target: &mut Cow<'_, str>) {
        replace(target, &self.hidden_in_path_or_target(target));
    }

    /// Redacts what a text has of parameters and of groups.
    pub(crate) fn redact_text(&self, text: &mut Cow<'_, str>) {
        // Nearly every text of a record comes here, and has nothing to redact.
        if self.is_withheld || !self.texts.is_empty() || !self.settings.query.is_empty() {
            self.redact_text_of(text, TextKind::of(text));
        }
    }

    fn redact_text_of(&self, text: &mut Cow<'_, str>, kind: TextKind) {
        replace(text, &Hidden::new(text.len(), &self.parts(text, kind)));
    }

    fn hidden_in_path_or_target(&self, text: &str) -> Hidden {
        let mut parts = self.parts(text, TextKind::Target);
        // Where a group might go on behind what is searched of the path, nothing behind it is
        // shown.
        let whole = |span: &Range<usize>| match self.groups.may_go_on(span.end) {
            true => span.start..text.len(),
            false => span.clone(),
        };
        parts.extend(self.spans.iter().map(whole));
        Hidden::new(text.len(), &parts)
    }

    /// Returns the parts of a text that are not to be shown, in any order.
    fn parts(&self, text: &str, kind: TextKind) -> Vec<Range<usize>> {
        if self.is_withheld {
            return iter::once(0..text.len()).collect();
        }
        let names = &self.settings.query;
        let may_have_parameters = !names.is_empty() && text.bytes().any(|byte| matches!(byte, b'=' | b'%' | b'\\'));
        if !may_have_parameters && self.texts.is_empty() {
            return Vec::new();
        }
        let units = decode(text);
        let mut places = parameter::values(&units, names, kind);
        places.extend(self.texts.iter().flat_map(|group| group.positions(&units)));
        places.into_iter().map(|place| span(text, &units, place)).collect()
    }
}

/// Returns where the units of `place` stand in `text`, between characters.
fn span(text: &str, units: &[Unit], place: Range<usize>) -> Range<usize> {
    let offset = |position: usize| units.get(position).map_or(text.len(), |unit| unit.start);
    let (start, end) = (offset(place.start), offset(place.end));
    let start = (0..=start).rev().find(|start| text.is_char_boundary(*start)).unwrap_or(0);
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    start..end
}

fn replace(text: &mut Cow<'_, str>, hidden: &Hidden) {
    if !hidden.is_empty() {
        *text = Cow::Owned(hidden.show(text, 0..text.len()).into_owned());
    }
}

#[cfg(test)]
mod tests;
