//! Reads an exchange from Kong: which property and which header means what, and when each can be
//! read.

use std::borrow::Cow;
use std::rc::Rc;

use super::destination::{Destination, Known};
use super::header_map::{HeaderNames, KongHeaders};
use super::values::{is_uuid, last, millis, number, text_property};
use crate::clock::Timestamp;
use crate::exchange::{ClientRequest, ClientResponse, Consumer, Exchange, Headers, Latencies, Tls};
use crate::filter::gateway::{Candidate, Head, Outlook};
use crate::publish::route::{Matched, Route, Routes};

/// A request that may become an event, and what had to be read while it was under way.
pub(super) struct KongCandidate {
    method: String,
    target: String,
    matched: Matched,
    headers: KongHeaders,
    destination: Rc<Destination>,
    names: Rc<HeaderNames>,
    response: Option<ResponseHead>,
}

/// The head of a response, and the position of the route that wants it.
struct ResponseHead {
    status: u16,
    headers: KongHeaders,
    position: usize,
}

impl KongCandidate {
    /// Takes a request that has just begun and goes to `destination`. Reads the headers of `names`
    /// where there are too many to read all.
    pub(super) fn of_request(
        head: Head,
        matched: Matched,
        names: &Rc<HeaderNames>,
        destination: Rc<Destination>,
    ) -> KongCandidate {
        KongCandidate {
            headers: KongHeaders::of_request(head.header_count, names),
            method: head.method,
            target: head.target,
            matched,
            destination,
            names: Rc::clone(names),
            response: None,
        }
    }

    fn response(&self, routes: &Routes, count: usize) -> Option<ResponseHead> {
        let headers = KongHeaders::of_response(count, &self.names);
        let status = match headers.pseudo(":status") {
            Some(status) => status.parse().ok(),
            None => number("response.code"),
        };
        let status = status?;
        let position = routes.position(self.matched, status)?;
        Some(ResponseHead { status, headers, position })
    }
}

impl Candidate for KongCandidate {
    fn see_response(&mut self, routes: &Routes, count: usize) -> Outlook {
        self.response = self.response(routes, count);
        match self.response {
            Some(_) => Outlook::Wanted,
            None => Outlook::Unwanted,
        }
    }

    fn route<'r>(&mut self, routes: &'r Routes) -> Option<&'r Route> {
        routes.all.get(self.response.as_ref()?.position)
    }

    fn exchange(&mut self, now: Timestamp) -> Exchange<'_> {
        let Some(response) = &self.response else { return Exchange::default() };
        let headers = self.headers.headers();
        let header = |name: &str| headers.get(name).map(|value| Cow::Owned(value.to_owned()));
        let Destination { route, service } = &*self.destination;
        let started_at = text_property("request.time").as_deref().and_then(millis).map(Timestamp);
        let upstream_status = text_property("ngx.upstream_status");
        // The last one is what the client got, unless the gateway put another response in its
        // place.
        let from_upstream = upstream_status.as_deref().and_then(last).and_then(|status| status.parse().ok());
        let incomplete = [("request.headers", &self.headers), ("response.headers", &response.headers)];
        let mut exchange = Exchange {
            consumer: consumer(&header),
            // The header has the id of the credential only after some plugins; after others it is a
            // user name or a key.
            credential_id: header("x-credential-identifier").filter(|id| is_uuid(id)),
            request: ClientRequest {
                id: request_id(),
                method: Cow::Borrowed(&self.method),
                target: Cow::Borrowed(&self.target),
                scheme: match self.headers.pseudo(":scheme") {
                    Some(scheme) => Some(Cow::Borrowed(scheme)),
                    None => text_property("ngx.scheme").map(Cow::Owned),
                },
                host: header("host"),
                port: self.port(),
                headers: Headers::default(),
                size: number("ngx.request_length"),
                tls: None,
            },
            response: ClientResponse {
                status: response.status,
                headers: response.headers.headers(),
                size: number("ngx.bytes_sent"),
            },
            latencies: latencies(started_at, now),
            started_at,
            client_ip: text_property("ngx.remote_addr").map(Cow::Owned),
            upstream_uri: text_property("ngx.upstream_uri").map(Cow::Owned),
            upstream_status: upstream_status.map(Cow::Owned),
            source: (from_upstream == Some(response.status)).then_some(Cow::Borrowed("upstream")),
            route: route.as_ref().map(Known::entity),
            service: service.as_ref().map(Known::entity),
            workspace: route.as_ref().and_then(|route| route.workspace.as_deref()).map(Cow::Borrowed),
            incomplete: incomplete.into_iter().filter(|(_, map)| map.is_cut()).map(|(part, _)| part).collect(),
        };
        exchange.request.headers = headers;
        exchange.request.tls = tls(exchange.request.scheme.as_deref());
        exchange
    }
}

impl KongCandidate {
    /// Returns the port that Kong listens at. It is in `:authority`, which is Kong's own name and
    /// port here, not what the client has sent.
    fn port(&self) -> Option<u16> {
        let own = self.headers.pseudo(":authority").and_then(|authority| authority.rsplit_once(':'));
        own.and_then(|(_, port)| port.parse().ok()).or_else(|| number("ngx.server_port"))
    }
}

/// Returns Kong's id of the request. `ngx.request_id` changes each time that it is read.
pub(super) fn request_id() -> Option<Cow<'static, str>> {
    text_property("ngx.kong_request_id").map(Cow::Owned)
}

/// Returns the consumer that Kong's authentication plugins name in headers for the service.
fn consumer<'a>(header: &dyn Fn(&str) -> Option<Cow<'a, str>>) -> Option<Consumer<'a>> {
    let id = header("x-consumer-id")?;
    let (username, custom_id) = (header("x-consumer-username"), header("x-consumer-custom-id"));
    Some(Consumer { id: Some(id), username, custom_id })
}

/// Returns latencies as Kong counts them: the upstream's ends where its response begins, and the
/// request's ends `now`.
fn latencies(started_at: Option<Timestamp>, now: Timestamp) -> Latencies {
    let last_millis = |property| text_property(property).as_deref().and_then(last).and_then(millis);
    let upstream = last_millis("ngx.upstream_header_time");
    let whole = last_millis("ngx.upstream_response_time");
    Latencies {
        request: started_at.and_then(|started_at| u64::try_from(now.since(started_at).as_millis()).ok()),
        upstream,
        receive: whole.zip(upstream).map(|(whole, until_headers)| whole.saturating_sub(until_headers)),
    }
}

/// Returns the session with the client, whose variables exist for TLS only.
fn tls(scheme: Option<&str>) -> Option<Tls<'static>> {
    if scheme != Some("https") {
        return None;
    }
    let property = |name| text_property(name).map(Cow::Owned);
    Some(Tls {
        version: property("ngx.ssl_protocol"),
        cipher: property("ngx.ssl_cipher"),
        client_verify: property("ngx.ssl_client_verify"),
    })
}
