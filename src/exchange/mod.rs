//! One observed request and its response, in one form for every host. Everything that a host may
//! not know is optional: what is unknown stays absent, and nothing is guessed.

pub mod body;
pub(crate) mod body_form;
pub(crate) mod long_paths;
pub(crate) mod matcher;
mod plain_text;
pub(crate) mod redact;
pub(crate) mod search;
pub(crate) mod spelling;
pub(crate) mod template;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::clock::Timestamp;
use body::BodySlot;
use template::Variable;

/// Headers in the order in which they came, names in lower case, without pseudo headers (`:path`,
/// …). Names and values borrow from the host's buffer; an `http::HeaderMap` would own them, and
/// hash every name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(pub Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Headers<'a> {
    /// Returns the first value of the header `name` (lower case), which borrows from where the
    /// headers do.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// Returns the values of all lines of the header `name` (lower case).
    pub(crate) fn lines<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Returns the first value of the header `name` (lower case).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}

/// Returns true if `text` can be a method or the name of a header (RFC 9110, 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A route or a service, as the host knows it.
#[derive(Clone, Debug, Default)]
pub struct Entity<'a> {
    /// Its name, if it has one.
    pub name: Option<Cow<'a, str>>,
    /// The whole entity as JSON, where the host tells more than the name.
    pub json: Option<&'a RawValue>,
}

/// The one on whose behalf the request was made, as far as the host has found that out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer<'a> {
    /// The gateway's id of the consumer.
    pub id: Option<Cow<'a, str>>,
    /// Its name.
    pub username: Option<Cow<'a, str>>,
    /// The operator's own id of the consumer.
    pub custom_id: Option<Cow<'a, str>>,
}

/// The TLS session between the client and the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// The version: `TLSv1.2`, `TLSv1.3`.
    pub version: Option<Cow<'a, str>>,
    /// The cipher, by its name in OpenSSL.
    pub cipher: Option<Cow<'a, str>>,
    /// The check of the client's certificate: `SUCCESS`, `NONE` where it showed none, `FAILED:` and
    /// why.
    pub client_verify: Option<Cow<'a, str>>,
}

/// The request, as the client sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRequest<'a> {
    /// The host's id of the request.
    pub id: Option<Cow<'a, str>>,
    /// The method, in upper case.
    pub method: Cow<'a, str>,
    /// The path with the query string, as the client sent it.
    pub target: Cow<'a, str>,
    /// The scheme: `http` or `https`.
    pub scheme: Option<Cow<'a, str>>,
    /// The `Host` header or `:authority`.
    pub host: Option<Cow<'a, str>>,
    /// The port of the gateway that the request came to, where the host tells.
    pub port: Option<u16>,
    /// The headers.
    pub headers: Headers<'a>,
    /// Bytes received, headers included where the host counts them.
    pub size: Option<u64>,
    /// The TLS session, if there is one.
    pub tls: Option<Tls<'a>>,
    /// The body, where it was kept.
    pub body: BodySlot<'a>,
}

impl ClientRequest<'_> {
    /// Returns the path without the query string.
    pub fn path(&self) -> &str {
        split_target(&self.target).0
    }

    /// Returns the query string without its `?`, or the empty text.
    pub fn query(&self) -> &str {
        split_target(&self.target).1
    }

    /// Returns the names and values of the query string, decoded.
    pub(crate) fn parameters(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(self.query().as_bytes())
    }

    /// Returns true if the body is said to be a form.
    pub(crate) fn is_form(&self) -> bool {
        let content_type = self.headers.get("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Returns the names and values of the form that the body is; none if it is none.
    pub(crate) fn fields(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(if self.is_form() { &self.body.bytes } else { &[] })
    }
}

/// Splits a request target into its path and its query string.
pub(crate) fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Returns the path of a request target that is not known to be text.
#[inline]
pub(crate) fn path_of(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or(target)
}

/// The response, as the client got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientResponse<'a> {
    /// The status code as the host gives it, which may be one that `http::StatusCode` refuses.
    pub status: u16,
    /// gRPC's own status, where the response is one of gRPC.
    pub grpc_status: Option<u16>,
    /// True if it broke off, or never began.
    pub broke_off: bool,
    /// The host's own word for how it broke off.
    pub details: Option<Cow<'a, str>>,
    /// The headers.
    pub headers: Headers<'a>,
    /// Bytes sent, headers included where the host counts them.
    pub size: Option<u64>,
    /// The body, where it was kept.
    pub body: BodySlot<'a>,
}

/// Durations in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// The time from the first byte of the request to the last of the response.
    pub request: Option<u64>,
    /// The time that the upstream took; where the host tells [`Latencies::receive`], only until its
    /// response began.
    pub upstream: Option<u64>,
    /// The time from the beginning of the upstream's response to its end.
    pub receive: Option<u64>,
}

/// Names of the event that an exchange becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventNames<'a> {
    /// Its id.
    pub id: Option<&'a str>,
    /// Its type, if its route gives one.
    pub event_type: Option<&'a str>,
}

/// One request and its response.
#[derive(Clone, Debug, Default)]
pub struct Exchange<'a> {
    /// The request, as the client sent it.
    pub request: ClientRequest<'a>,
    /// The response that it got.
    pub response: ClientResponse<'a>,
    /// The time that it took.
    pub latencies: Latencies,
    /// The time at which the request began.
    pub started_at: Option<Timestamp>,
    /// The client's address, without the port.
    pub client_ip: Option<Cow<'a, str>>,
    /// The path that the upstream was asked for.
    pub upstream_uri: Option<Cow<'a, str>>,
    /// The upstream's status; several after retries, `500, 200`.
    pub upstream_status: Option<Cow<'a, str>>,
    /// The maker of the response: `upstream`, or the gateway itself.
    pub source: Option<Cow<'a, str>>,
    /// The gateway's route.
    pub route: Option<Entity<'a>>,
    /// The gateway's service.
    pub service: Option<Entity<'a>>,
    /// The consumer that made the request.
    pub consumer: Option<Consumer<'a>>,
    /// The id of the credential that the request was made with.
    pub credential_id: Option<Cow<'a, str>>,
    /// The id of the gateway's workspace.
    pub workspace: Option<Cow<'a, str>>,
    /// The names of the event that it becomes, once it does.
    pub event: EventNames<'a>,
    /// A number that no other exchange of this worker has, where the host tells enough for one.
    pub fingerprint: Option<u64>,
    /// The parts of the record that the host did not give whole.
    pub incomplete: Vec<&'static str>,
}

impl<'a> Exchange<'a> {
    /// Finds what `variables` name in its bodies, if it has some.
    pub(crate) fn find_in_bodies(&mut self, variables: &'a [Variable]) {
        if let Some(body) = self.request.body.get_mut() {
            body.find(variables.iter().filter_map(Variable::pointer_into_request).collect());
        }
        if let Some(body) = self.response.body.get_mut() {
            body.find(variables.iter().filter_map(Variable::pointer_into_response).collect());
        }
    }
}

impl Exchange<'_> {
    /// Returns true if it has a body that was kept, or was to be.
    pub(crate) fn has_bodies(&self) -> bool {
        self.request.body.get().is_some() || self.response.body.get().is_some()
    }

    /// Returns how many bytes of bodies were kept.
    pub(crate) fn body_bytes(&self) -> usize {
        if self.has_bodies() {
            self.request.body.bytes.len() + self.response.body.bytes.len()
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_and_a_query() {
        assert_eq!(split_target("/a/b?c=d?e"), ("/a/b", "c=d?e"));
        assert_eq!(split_target("/a"), ("/a", ""));
        assert_eq!(split_target(""), ("", ""));
        assert_eq!([path_of(b"/a/b?c=d?e"), path_of(b"/a"), path_of(b"")], [&b"/a/b"[..], b"/a", b""]);
    }
}
