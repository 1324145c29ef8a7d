//! Reads an exchange from Kong: which property and which header means what, and when each can be
//! read.

use std::borrow::Cow;
use std::rc::Rc;

use super::destination::{Destination, Known};
use super::header_map::{lower_case, HeaderNames, KongHeaders};
use super::values::{is_uuid, last, millis, number, text_property};
use super::variables::{NginxVariable, Together, Variables};
use crate::clock::Timestamp;
use crate::exchange::body::BodySlot;
use crate::exchange::template::Variable;
use crate::exchange::{ClientRequest, ClientResponse, Consumer, EventNames, Exchange, Headers, Latencies, Tls};
use crate::filter::gateway::{is_grpc, Candidate, Head, Outlook};
use crate::filter::once::hash;
use crate::publish::needs::Needs;
use crate::publish::route::{Matched, ResponseEnd, Routes};

/// A request that may become an event, and what had to be read while it was under way.
pub(super) struct KongCandidate {
    method: String,
    target: String,
    matched: Matched,
    headers: KongHeaders,
    destination: Rc<Destination>,
    names: Rc<HeaderNames>,
    together: Rc<Together>,
    /// The variables of nginx, as they were read for the event that was made last.
    variables: Variables,
    response: Option<ResponseHead>,
    body: BodyProgress,
}

/// The head of a response.
struct ResponseHead {
    status: u16,
    /// gRPC's own status, if the response is one of gRPC and has told it.
    grpc_status: Option<u16>,
    headers: KongHeaders,
}

/// How far the body of the response has come. Of one that a service does not bring to its end,
/// nginx never shows the last part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyProgress {
    /// No part has come, and none ever does where there is no body.
    None,
    Begun,
    Ended,
}

/// nginx's status of an exchange whose client left before the response began.
const CLIENT_LEFT: u16 = 499;

/// Statuses of responses that have no body.
const BODILESS_STATUSES: [u16; 2] = [204, 304];

/// How content types begin that nginx gives a charset: its `charset_types`, unless configured.
const CHARSET_TYPES: [&str; 3] = ["text/", "application/javascript", "application/rss+xml"];

/// gRPC's `UNKNOWN`, which a response has that ends without a status.
const UNKNOWN: u16 = 2;

impl KongCandidate {
    /// Takes a request that has just begun, has these `headers` and goes to `destination`. Of a
    /// response with too many headers those of `names` are read.
    pub(super) fn of_request(
        head: Head,
        headers: KongHeaders,
        matched: Matched,
        names: &Rc<HeaderNames>,
        together: &Rc<Together>,
        destination: Rc<Destination>,
    ) -> KongCandidate {
        KongCandidate {
            headers,
            method: head.method,
            target: head.target,
            matched,
            destination,
            names: Rc::clone(names),
            together: Rc::clone(together),
            variables: Variables::default(),
            response: None,
            body: BodyProgress::None,
        }
    }

    fn wanting(&self, routes: &Routes, from: usize) -> Option<usize> {
        let outcome = KongEnd { response: self.response.as_ref()?, broke_off: self.broke_off() };
        routes.position(self.matched, &outcome, from)
    }

    /// Returns true if the response has begun and is not at its end, or never began. While it is
    /// under way, no part of the body has come when this is asked.
    fn broke_off(&self) -> bool {
        self.body == BodyProgress::Begun || self.response.as_ref().is_some_and(|head| head.status == CLIENT_LEFT)
    }
}

impl ResponseHead {
    /// Reads the head that has come, which has `count` headers.
    fn read(count: usize, names: &HeaderNames) -> Option<ResponseHead> {
        let headers = KongHeaders::of_response(count, names);
        let status = match headers.pseudo([":status"]) {
            [Some(status)] => status.parse().ok(),
            [None] => number("response.code"),
        };
        let grpc_status = if is_of_grpc(&headers) { own_grpc_status(&headers) } else { None };
        Some(ResponseHead { status: status?, grpc_status, headers })
    }

    /// Returns what stands for a head that never came, if the client left before it.
    fn of_client_that_left() -> Option<ResponseHead> {
        let status = number("response.code").filter(|status| *status == CLIENT_LEFT)?;
        Some(ResponseHead { status, grpc_status: None, headers: KongHeaders::none() })
    }

    /// Returns the headers as nginx has sent them. The filter saw them before nginx added the
    /// charset of a text; and the module says `transfer-encoding` of all that has no length.
    fn sent_headers(&self, needs: &Needs) -> Headers<'_> {
        let mut headers = self.headers.headers();
        if !needs.is_record() && !needs.response_headers().any(|name| name == "content-type") {
            return headers;
        }
        if BODILESS_STATUSES.contains(&self.status) {
            headers.0.retain(|(name, _)| name != "transfer-encoding");
        }
        if let Some((_, value)) = headers.0.iter_mut().find(|(name, _)| name == "content-type") {
            if CHARSET_TYPES.iter().any(|begin| value.starts_with(begin)) {
                if let Some(sent) = text_property("ngx.sent_http_content_type") {
                    *value = Cow::Owned(sent);
                }
            }
        }
        headers
    }

    /// Takes gRPC's own status from the end of the response, if it was not in the head.
    fn end(&mut self) {
        if self.grpc_status.is_none() && is_of_grpc(&self.headers) {
            self.grpc_status = number("ngx.upstream_trailer_grpc_status").or(Some(UNKNOWN));
        }
    }
}

fn is_of_grpc(headers: &KongHeaders) -> bool {
    headers.value("content-type").is_some_and(is_grpc)
}

fn own_grpc_status(headers: &KongHeaders) -> Option<u16> {
    std::str::from_utf8(headers.value("grpc-status")?).ok()?.parse().ok()
}

/// The outcome of an exchange as far as it has come.
struct KongEnd<'a> {
    response: &'a ResponseHead,
    broke_off: bool,
}

impl ResponseEnd for KongEnd<'_> {
    fn status(&self) -> u16 {
        self.response.status
    }

    fn grpc_status(&self) -> Option<u16> {
        self.response.grpc_status
    }

    fn is_complete(&self) -> bool {
        !self.broke_off
    }
}

impl Candidate for KongCandidate {
    fn see_response(&mut self, routes: &Routes, count: usize) -> Outlook {
        self.response = ResponseHead::read(count, &self.names);
        match self.wanting(routes, 0) {
            Some(_) => Outlook::Wanted,
            None => Outlook::Unwanted,
        }
    }

    fn see_body(&mut self, ended: bool) {
        self.body = if ended { BodyProgress::Ended } else { BodyProgress::Begun };
    }

    fn position(&mut self, routes: &Routes, from: usize) -> Option<usize> {
        match &mut self.response {
            Some(response) => response.end(),
            None => self.response = ResponseHead::of_client_that_left(),
        }
        self.wanting(routes, from)
    }

    fn exchange(&mut self, now: Timestamp, needs: &Needs) -> Exchange<'_> {
        let for_record = needs.is_record();
        let has = |variable: &Variable| for_record || needs.has(variable);
        let (has_start, has_client) = (has(&Variable::StartedAt), has(&Variable::ClientIp));
        // A few values cost less one by one.
        self.variables = if for_record { self.together.read() } else { Variables::default() };
        let Some(response) = &self.response else { return Exchange::default() };
        let variables = &self.variables;
        let headers = self.headers.headers();
        let header = |name: &str| headers.text(name);
        let Destination { route, service } = &*self.destination;
        let text_of = |variable, is_needed: bool| if is_needed { variables.text(variable) } else { None };
        let started_at = if has_start { started_at(variables) } else { None };
        let upstream_status = text_of(NginxVariable::UpstreamStatus, for_record);
        // The last one is what the client got, unless the gateway put another response in its
        // place.
        let from_upstream = upstream_status.as_deref().and_then(last).and_then(|status| status.parse().ok());
        let incomplete = [("request.headers", &self.headers), ("response.headers", &response.headers)];
        let [scheme, authority] = self.headers.pseudo([":scheme", ":authority"]);
        let id = variables.text(NginxVariable::RequestId);
        let mut exchange = Exchange {
            fingerprint: id.as_ref().map(|id| hash(&[id.as_bytes()])),
            consumer: consumer(&header),
            // The header has the id of the credential only after some plugins; after others it is a
            // user name or a key.
            credential_id: header("x-credential-identifier").filter(|id| is_uuid(id)),
            request: ClientRequest {
                id,
                method: Cow::Borrowed(&self.method),
                target: Cow::Borrowed(&self.target),
                scheme: match scheme {
                    Some(scheme) => Some(Cow::Borrowed(scheme)),
                    None if for_record => text_property("ngx.scheme").map(Cow::Owned),
                    None => None,
                },
                // nginx has it so for Kong's log, too.
                host: header("host").map(lower_case),
                port: if for_record { port(authority) } else { None },
                headers: Headers::default(),
                size: if for_record { variables.number(NginxVariable::RequestLength) } else { None },
                tls: None,
                body: BodySlot::default(),
            },
            response: ClientResponse {
                status: response.status,
                grpc_status: response.grpc_status,
                broke_off: self.broke_off(),
                details: None,
                headers: response.sent_headers(needs),
                size: if for_record { variables.number(NginxVariable::BytesSent) } else { None },
                body: BodySlot::default(),
            },
            latencies: if for_record { latencies(variables, started_at, now) } else { Latencies::default() },
            started_at,
            client_ip: text_of(NginxVariable::RemoteAddress, has_client),
            upstream_uri: text_of(NginxVariable::UpstreamUri, for_record),
            upstream_status,
            source: (from_upstream == Some(response.status)).then_some(Cow::Borrowed("upstream")),
            route: route.as_ref().map(Known::entity),
            service: service.as_ref().map(Known::entity),
            event: EventNames::default(),
            workspace: route.as_ref().and_then(|route| route.workspace.as_deref()).map(Cow::Borrowed),
            incomplete: incomplete
                .into_iter()
                .filter(|(_, map)| for_record && map.is_cut())
                .map(|(part, _)| part)
                .collect(),
        };
        exchange.request.headers = headers;
        exchange.request.tls = if for_record { tls(exchange.request.scheme.as_deref()) } else { None };
        exchange
    }
}

/// Returns the port that Kong listens at. It is in `:authority`, which is Kong's own name and port
/// here, not what the client has sent.
fn port(authority: Option<&str>) -> Option<u16> {
    let own = authority.and_then(|authority| authority.rsplit_once(':'));
    own.and_then(|(_, port)| port.parse().ok()).or_else(|| number("ngx.server_port"))
}

/// Returns Kong's id of the request. `ngx.request_id` changes each time that it is read.
pub(super) fn request_id() -> Option<Cow<'static, str>> {
    text_property("ngx.kong_request_id").map(Cow::Owned)
}

/// Returns the time at which the request began, which is no variable of nginx.
fn started_at(variables: &Variables) -> Option<Timestamp> {
    if !variables.are_together() {
        return text_property("request.time").as_deref().and_then(millis).map(Timestamp);
    }
    let millis = |variable| variables.text(variable).as_deref().and_then(millis);
    Some(Timestamp(millis(NginxVariable::Now)?.checked_sub(millis(NginxVariable::Duration)?)?))
}

/// Returns the consumer that Kong's authentication plugins name in headers for the service.
fn consumer<'a>(header: &dyn Fn(&str) -> Option<Cow<'a, str>>) -> Option<Consumer<'a>> {
    let id = header("x-consumer-id")?;
    let (username, custom_id) = (header("x-consumer-username"), header("x-consumer-custom-id"));
    Some(Consumer { id: Some(id), username, custom_id })
}

/// Returns latencies as Kong counts them: the upstream's ends where its response begins, and the
/// request's ends `now`.
fn latencies(variables: &Variables, started_at: Option<Timestamp>, now: Timestamp) -> Latencies {
    let last_millis = |variable| variables.text(variable).as_deref().and_then(last).and_then(millis);
    let upstream = last_millis(NginxVariable::UpstreamHeaderTime);
    let whole = last_millis(NginxVariable::UpstreamResponseTime);
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
