//! Configured values with `${…}`: parsed once at start, rendered for each exchange that matches.

mod in_body;
#[cfg(not(target_arch = "wasm32"))]
mod names;

use std::borrow::Cow;
use std::str::FromStr;

use crate::exchange::{is_token, ClientRequest, Exchange};
use crate::json::{pointer, push_string};
use crate::lookup;

/// The part of an exchange that a placeholder takes its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `path.NAME`: a named group of the route's matcher.
    PathGroup(String),
    /// `request.method`.
    RequestMethod,
    /// `request.path`, without the query string.
    RequestPath,
    /// `request.headers.NAME`; the name is kept in lower case.
    RequestHeader(String),
    /// `request.query.NAME`, decoded; of a repeated key the first.
    RequestQuery(String),
    /// `request.id`.
    RequestId,
    /// `request.body`.
    RequestBody,
    /// `request.body./POINTER`: what a JSON pointer finds in the body.
    RequestBodyValue(String),
    /// `request.form.NAME`: a field of the form that the body is; of a repeated one the first. Only
    /// signatures are read from there.
    RequestFormField(String),
    /// `response.body`.
    ResponseBody,
    /// `response.body./POINTER`: what a JSON pointer finds in the body.
    ResponseBodyValue(String),
    /// `response.status`.
    ResponseStatus,
    /// `response.headers.NAME`; the name is kept in lower case.
    ResponseHeader(String),
    /// `route.name`, as the host knows it.
    RouteName,
    /// `service.name`, as the host knows it.
    ServiceName,
    /// `consumer.id`.
    ConsumerId,
    /// `consumer.username`.
    ConsumerUsername,
    /// `client_ip`, without the port.
    ClientIp,
    /// `started_at`, in milliseconds since the epoch.
    StartedAt,
    /// `event.id`.
    EventId,
    /// `event.type`.
    EventType,
}

/// The JSON of a value that is absent.
const NULL: &str = "null";

/// All placeholders, as they are written; `NAME` stands for a name of the operator's.
pub(crate) const VARIABLES: [&str; 16] = [
    "path.NAME",
    "request.method",
    "request.path",
    "request.headers.NAME",
    "request.query.NAME",
    "request.id",
    "response.status",
    "response.headers.NAME",
    "route.name",
    "service.name",
    "consumer.id",
    "consumer.username",
    "client_ip",
    "started_at",
    "event.id",
    "event.type",
];

/// Placeholders of the request's body, which captures keep, and routes that are told to.
pub(crate) const BODY_VARIABLES: [&str; 2] = ["request.body", "request.body./POINTER"];

/// Placeholders of the response's body, which routes keep that are told to.
pub(crate) const RESPONSE_BODY_VARIABLES: [&str; 2] = ["response.body", "response.body./POINTER"];

/// The reason why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A `${` that is never closed.
    #[error("`${{` without a closing `}}`")]
    Unclosed,
    /// A placeholder that names nothing.
    #[error("unknown placeholder `${{{0}}}`")]
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// A text with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

/// The named groups of a matcher, as matched in one path.
pub(crate) trait PathGroups {
    /// Returns the text that the group `name` matched, if it took part in the match.
    fn group(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl FromStr for Variable {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Variable, TemplateError> {
        let named = |prefix: &str| text.strip_prefix(prefix).filter(|name| !name.is_empty());
        Ok(match text {
            "request.method" => Variable::RequestMethod,
            "request.path" => Variable::RequestPath,
            "request.id" => Variable::RequestId,
            "request.body" => Variable::RequestBody,
            "response.body" => Variable::ResponseBody,
            "response.status" => Variable::ResponseStatus,
            "route.name" => Variable::RouteName,
            "service.name" => Variable::ServiceName,
            "consumer.id" => Variable::ConsumerId,
            "consumer.username" => Variable::ConsumerUsername,
            "client_ip" => Variable::ClientIp,
            "started_at" => Variable::StartedAt,
            "event.id" => Variable::EventId,
            "event.type" => Variable::EventType,
            _ => {
                if let Some(name) = named("path.") {
                    Variable::PathGroup(name.to_owned())
                } else if let Some(name) = named("request.headers.").filter(|name| is_token(name)) {
                    Variable::RequestHeader(name.to_ascii_lowercase())
                } else if let Some(name) = named("request.query.") {
                    Variable::RequestQuery(name.to_owned())
                } else if let Some(at) = named("request.body.").filter(|at| pointer::is_pointer(at)) {
                    Variable::RequestBodyValue(at.to_owned())
                } else if let Some(at) = named("response.body.").filter(|at| pointer::is_pointer(at)) {
                    Variable::ResponseBodyValue(at.to_owned())
                } else if let Some(name) = named("response.headers.").filter(|name| is_token(name)) {
                    Variable::ResponseHeader(name.to_ascii_lowercase())
                } else {
                    return Err(TemplateError::Unknown(text.to_owned()));
                }
            }
        })
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        each_piece(text, &mut |text, is_placeholder| {
            pieces.push(if is_placeholder { Piece::Variable(text.parse()?) } else { Piece::Text(text.to_owned()) });
            Ok(())
        })?;
        Ok(Template(pieces))
    }
}

/// Hands every piece of a text with placeholders to `take`: a text, or the name of a placeholder.
///
/// # Errors
/// If a placeholder is not closed, or `take` refuses one.
pub(crate) fn each_piece(
    text: &str,
    take: &mut dyn FnMut(&str, bool) -> Result<(), TemplateError>,
) -> Result<(), TemplateError> {
    let mut rest = text;
    while let Some((before, after)) = lookup::split_once(rest, "${") {
        let (name, tail) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
        if !before.is_empty() {
            take(before, false)?;
        }
        take(name, true)?;
        rest = tail;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        take(rest, false)
    }
}

impl Template {
    /// Returns the placeholders in order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Text(_) => None,
        })
    }

    /// Returns the text, if no placeholder is in it.
    pub(crate) fn constant(&self) -> Option<String> {
        let texts = self.0.iter().map(|segment| match segment {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Variable(_) => None,
        });
        texts.collect()
    }

    /// Returns true if it is one placeholder and nothing else.
    pub(crate) fn is_placeholder(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Variable(_)])
    }

    /// Returns the values of the placeholders for one exchange, in order; none at all if one of
    /// them is absent or empty.
    pub(crate) fn values<'a>(
        &'a self,
        exchange: &'a Exchange<'_>,
        groups: &'a dyn PathGroups,
    ) -> Option<Vec<Cow<'a, str>>> {
        let values = self.variables().map(|variable| variable.value(exchange, groups));
        values.map(|value| value.filter(|value| !value.is_empty())).collect()
    }

    /// Returns the text for one exchange; a placeholder whose value is absent gives the empty text.
    pub(crate) fn render(&self, exchange: &Exchange<'_>, groups: &dyn PathGroups) -> String {
        self.render_cut(exchange, groups, usize::MAX).0
    }

    /// Returns the text, for which each value is cut to `limit` bytes, and true if one was longer.
    #[inline(never)]
    pub(crate) fn render_cut(&self, exchange: &Exchange<'_>, groups: &dyn PathGroups, limit: usize) -> (String, bool) {
        let (mut text, mut is_cut) = (String::new(), false);
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Variable(variable) => {
                    if let Some(value) = variable.value(exchange, groups) {
                        let cut = begin(&value, limit);
                        is_cut |= cut.len() < value.len();
                        text.push_str(cut);
                    }
                }
            }
        }
        (text, is_cut)
    }

    /// Returns the placeholder, if it is one and nothing else.
    pub(crate) fn into_placeholder(self) -> Result<Variable, Template> {
        match <[Piece; 1]>::try_from(self.0) {
            Ok([Piece::Variable(variable)]) => Ok(variable),
            Ok(text) => Err(Template(text.into())),
            Err(pieces) => Err(Template(pieces)),
        }
    }
}

impl Variable {
    /// Returns true if the value is known as soon as the request is, before there is a response.
    pub(crate) fn is_of_request(&self) -> bool {
        match self {
            Variable::PathGroup(_)
            | Variable::RequestMethod
            | Variable::RequestPath
            | Variable::RequestHeader(_)
            | Variable::RequestQuery(_)
            | Variable::RequestId
            | Variable::RequestBody
            | Variable::RequestBodyValue(_)
            | Variable::RequestFormField(_) => true,
            Variable::ResponseStatus
            | Variable::ResponseHeader(_)
            | Variable::ResponseBody
            | Variable::ResponseBodyValue(_)
            | Variable::RouteName
            | Variable::ServiceName
            | Variable::ConsumerId
            | Variable::ConsumerUsername
            | Variable::ClientIp
            | Variable::StartedAt
            | Variable::EventId
            | Variable::EventType => false,
        }
    }

    /// Returns true if it names the event, which is not there before a route has taken the
    /// exchange.
    pub(crate) fn is_of_event(&self) -> bool {
        matches!(self, Variable::EventId | Variable::EventType)
    }

    /// Adds the value to `json`, of its own type and cut to `limit` bytes; null if it is absent.
    /// Returns true if it was longer.
    #[inline(never)]
    pub(crate) fn write_json(
        &self,
        exchange: &Exchange<'_>,
        groups: &dyn PathGroups,
        limit: usize,
        json: &mut String,
    ) -> bool {
        if let Some(body) = self.body(exchange) {
            return self.write_json_of(body, limit, json);
        }
        let Some(value) = self.value(exchange, groups) else {
            json.push_str(NULL);
            return false;
        };
        if matches!(self, Variable::ResponseStatus | Variable::StartedAt) {
            json.push_str(&value);
            return false;
        }
        let cut = begin(&value, limit);
        push_string(json, cut);
        cut.len() < value.len()
    }

    /// Returns the value for one exchange, if it has one.
    #[inline(never)]
    pub(crate) fn value<'a>(&'a self, exchange: &'a Exchange<'_>, groups: &'a dyn PathGroups) -> Option<Cow<'a, str>> {
        match self {
            Variable::PathGroup(name) => groups.group(name),
            Variable::ResponseStatus => Some(Cow::Owned(exchange.response.status.to_string())),
            Variable::ResponseHeader(name) => exchange.response.headers.get(name).map(Cow::Borrowed),
            Variable::ResponseBody => exchange.response.body.placeholder(),
            Variable::ResponseBodyValue(at) => exchange.response.body.scalar(at),
            Variable::RouteName => exchange.route.as_ref()?.name.as_deref().map(Cow::Borrowed),
            Variable::ServiceName => exchange.service.as_ref()?.name.as_deref().map(Cow::Borrowed),
            Variable::ConsumerId => exchange.consumer.as_ref()?.id.as_deref().map(Cow::Borrowed),
            Variable::ConsumerUsername => exchange.consumer.as_ref()?.username.as_deref().map(Cow::Borrowed),
            Variable::ClientIp => exchange.client_ip.as_deref().map(Cow::Borrowed),
            Variable::StartedAt => exchange.started_at.map(|started| Cow::Owned(started.0.to_string())),
            Variable::EventId => exchange.event.id.map(Cow::Borrowed),
            Variable::EventType => exchange.event.event_type.map(Cow::Borrowed),
            _ => self.of_request(&exchange.request),
        }
    }

    /// Returns the value that a request alone gives it, if it does.
    pub(crate) fn of_request<'a>(&'a self, request: &'a ClientRequest<'_>) -> Option<Cow<'a, str>> {
        match self {
            Variable::RequestMethod => Some(Cow::Borrowed(&request.method)),
            Variable::RequestPath => Some(Cow::Borrowed(request.path())),
            Variable::RequestHeader(name) => request.headers.get(name).map(Cow::Borrowed),
            Variable::RequestQuery(name) => request.parameters().find(|(key, _)| key == name).map(|(_, value)| value),
            Variable::RequestFormField(name) => request.fields().find(|(key, _)| key == name).map(|(_, value)| value),
            Variable::RequestId => request.id.as_deref().map(Cow::Borrowed),
            Variable::RequestBody => request.body.placeholder(),
            Variable::RequestBodyValue(at) => request.body.scalar(at),
            Variable::PathGroup(_)
            | Variable::ResponseStatus
            | Variable::ResponseHeader(_)
            | Variable::ResponseBody
            | Variable::ResponseBodyValue(_)
            | Variable::RouteName
            | Variable::ServiceName
            | Variable::ConsumerId
            | Variable::ConsumerUsername
            | Variable::ClientIp
            | Variable::StartedAt
            | Variable::EventId
            | Variable::EventType => None,
        }
    }
}

/// Returns as much of `text` as `limit` bytes have room for, without a part of a character.
fn begin(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::exchange::{ClientResponse, Consumer, Entity, EventNames, Headers};

    struct Groups;

    impl PathGroups for Groups {
        fn group(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "id").then_some(Cow::Borrowed("42"))
        }
    }

    fn exchange() -> Exchange<'static> {
        Exchange {
            request: ClientRequest {
                id: Some("r-1".into()),
                method: "PUT".into(),
                target: "/profile/42?tenant=a%20b&tenant=c".into(),
                headers: Headers(vec![("x-tenant".into(), "acme".into())]),
                body: br#"{"a":{"b":[7]}}"#.as_slice().into(),
                ..ClientRequest::default()
            },
            response: ClientResponse {
                status: 201,
                headers: Headers(vec![("etag".into(), "\"7\"".into())]),
                ..ClientResponse::default()
            },
            route: Some(Entity { name: Some("profiles".into()), json: None }),
            consumer: Some(Consumer { id: Some("c-1".into()), username: Some("ada".into()), custom_id: None }),
            client_ip: Some("192.0.2.7".into()),
            started_at: Some(Timestamp(1_767_268_800_012)),
            event: EventNames { id: Some("e-1"), event_type: Some("order.placed") },
            ..Exchange::default()
        }
    }

    fn render(text: &str) -> String {
        text.parse::<Template>().unwrap().render(&exchange(), &Groups)
    }

    #[test]
    fn every_placeholder_has_a_value() {
        assert_eq!(render("${path.id}"), "42");
        assert_eq!(render("${request.method} ${request.path}"), "PUT /profile/42");
        assert_eq!(render("${request.headers.X-Tenant}"), "acme");
        assert_eq!(render("${request.query.tenant}"), "a b");
        assert_eq!(render("${request.id}/${response.status}"), "r-1/201");
        assert_eq!(render("${response.headers.etag}"), "\"7\"");
        assert_eq!(render("${route.name}"), "profiles");
        assert_eq!(render("${consumer.id}/${consumer.username}"), "c-1/ada");
        assert_eq!(render("${client_ip} ${started_at}"), "192.0.2.7 1767268800012");
        assert_eq!(render("${event.id} ${event.type}"), "e-1 order.placed");
        assert_eq!(render("${request.body}"), r#"{"a":{"b":[7]}}"#);
        assert_eq!(render("${request.body./a/b/0}${request.body./a}"), "7");
    }

    #[test]
    fn what_is_absent_gives_the_empty_text() {
        assert_eq!(render("<${path.nope}${request.headers.nope}${request.query.nope}${service.name}>"), "<>");
    }

    #[test]
    fn values_are_all_there_or_none_is() {
        let values = |text: &str| {
            let template: Template = text.parse().unwrap();
            template
                .values(&exchange(), &Groups)
                .map(|values| values.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(values("<${path.id}:${request.headers.x-tenant}>").unwrap(), ["42", "acme"]);
        assert_eq!(values("<${path.id}:${request.headers.nope}>"), None);
        assert_eq!(values("text").unwrap().len(), 0);
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(render("costs $5 {or} }"), "costs $5 {or} }");
        assert_eq!(render(""), "");
    }

    #[test]
    fn faults_are_named() {
        assert_eq!("a${path.id".parse::<Template>(), Err(TemplateError::Unclosed));
        assert_eq!("${req.path}".parse::<Template>(), Err(TemplateError::Unknown("req.path".into())));
        assert_eq!("${path.}".parse::<Template>(), Err(TemplateError::Unknown("path.".into())));
    }

    #[test]
    fn the_list_of_variables_is_the_parser_s() {
        for name in VARIABLES {
            assert!(name.parse::<Variable>().is_ok_and(|variable| !variable.is_of_body()), "{name}");
        }
        for name in BODY_VARIABLES {
            assert!(name.parse::<Variable>().is_ok_and(|variable| variable.is_of_body()), "{name}");
        }
        for name in RESPONSE_BODY_VARIABLES {
            assert!(name.parse::<Variable>().is_ok_and(|variable| variable.is_of_response_body()), "{name}");
        }
        assert!("request.body.x".parse::<Variable>().is_err() && "response.body.x".parse::<Variable>().is_err());
    }
}
