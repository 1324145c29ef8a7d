//! Reads an exchange from Envoy: which property and which header means what.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use proxy_wasm::types::MapType;

use super::ending::{grpc_trailer, Ending, CONTENT_TYPE};
use super::properties::{headers_of_question, ExchangeProperty, NamedHeader, Properties};
use super::{headers, request_id, Questions, RULES};
use crate::clock::Timestamp;
use crate::exchange::body::BodySlot;
use crate::exchange::template::Variable;
use crate::exchange::{ClientRequest, ClientResponse, Entity, EventNames, Exchange, Latencies, Tls};
use crate::filter::gateway::{Candidate, EndWhileHeld, Head, Outlook};
use crate::filter::header_pairs::{pairs, pseudo};
use crate::filter::hostcalls::{self, text, text_of};
use crate::filter::once::hash;
use crate::publish::needs::Needs;
use crate::publish::route::{Matched, ResponseEnd, Route, Routes};

/// A request that may become an event.
///
/// The client's own path is certain only in the request's head, because the router may rewrite it.
/// All else is read when the exchange is over, and only if a route wants it.
pub(super) struct EnvoyCandidate {
    method: String,
    target: String,
    matched: Matched,
    /// The request's headers, as far as they were read: where the response may wait, as they came,
    /// because Envoy has them at the head and at the end, and not in between.
    request_headers: Option<Vec<u8>>,
    /// Names of the headers of the response that its routes ask for, unless one asks for all.
    response_headers: Option<Vec<String>>,
    properties: Properties,
    status: u16,
    ending: OnceCell<Ending>,
    /// The head of a response of gRPC that may wait, and whose status comes in its trailers: Envoy
    /// has no headers any more then.
    begun: Option<Box<Ending>>,
    /// gRPC's status as the trailers had it when they came: Envoy's filter for gRPC-Web moves them
    /// into the body, and at the end they are gone.
    in_trailers: Option<u16>,
    stage: ExchangeStage,
}

/// Stages of an exchange, as far as the candidate has followed it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExchangeStage {
    /// To the head of its request. When the event is made, the exchange is over, and the request's
    /// headers are read again: the router changes them.
    Request,
    /// To the headers of a response that may wait for its event. Sizes and times would be those of
    /// a part of the exchange.
    Response,
    /// To its end.
    Over,
}

/// The longest exchange whose end is taken from its begin and its duration, in nanoseconds. During
/// a longer one the clock may have been set, or have gone another way than the one for durations.
const LONGEST_NANOS: u64 = 60_000_000_000;

impl EnvoyCandidate {
    /// Takes a request that has just begun.
    pub(super) fn of_request(
        head: Head,
        routes: &Routes,
        matched: Matched,
        may_wait: bool,
        questions: &Questions,
    ) -> EnvoyCandidate {
        EnvoyCandidate {
            properties: properties(questions, routes, matched),
            method: head.method,
            target: head.target,
            matched,
            response_headers: if may_wait { None } else { response_headers(routes, matched) },
            request_headers: may_wait.then(|| hostcalls::header_map(MapType::HttpRequestHeaders)),
            status: 0,
            ending: OnceCell::new(),
            begun: None,
            in_trailers: None,
            stage: ExchangeStage::Request,
        }
    }

    /// Takes an exchange that is over and was not seen before, if a route wants its method. Also
    /// returns true if a route would want it if `x-envoy-original-path` were believed.
    pub(super) fn of_logged(
        routes: &Routes,
        trusts_original_path: bool,
        questions: &Questions,
    ) -> Option<(EnvoyCandidate, bool)> {
        let method = hostcalls::header(MapType::HttpRequestHeaders, ":method")?;
        if !routes.want_method(&method) {
            return None;
        }
        let headers = hostcalls::header_map(MapType::HttpRequestHeaders);
        let find = |wanted: &[u8]| pairs(&headers).find(|(name, _)| *name == wanted).map(|(_, value)| value);
        // When the router rewrites the path, it keeps the client's in this header. When it does
        // not, the header may be of the client's own making.
        let (own, original) = (find(b":path"), find(b"x-envoy-original-path"));
        let target = if trusts_original_path { original.or(own) } else { own }?;
        let matched = routes.matched(&method, target);
        let is_wanted = |target: &[u8]| !routes.matched(&method, target).is_empty();
        let disbelieved = !trusts_original_path && matched.is_empty() && original.is_some_and(is_wanted);
        let target = text(target.to_vec());
        let candidate = EnvoyCandidate {
            method: text(method),
            target,
            matched,
            properties: properties(questions, routes, matched),
            response_headers: response_headers(routes, matched),
            request_headers: Some(headers),
            status: 0,
            ending: OnceCell::new(),
            begun: None,
            in_trailers: None,
            stage: ExchangeStage::Over,
        };
        Some((candidate, disbelieved))
    }

    fn ending(&self, is_over: bool) -> &Ending {
        let names = self.response_headers.as_deref();
        let read = || Ending::read(&self.properties, self.status, is_over, self.in_trailers, names);
        self.ending.get_or_init(read)
    }

    /// Returns true if a route wants the exchange as far as its response, whose status is known,
    /// has come.
    fn is_wanted(&mut self, routes: &Routes) -> bool {
        self.stage = ExchangeStage::Response;
        self.position(routes, 0).is_some()
    }

    /// Returns what follows for a response that a route wants, or none.
    fn outlook(&mut self, is_wanted: bool) -> Outlook {
        if is_wanted {
            return Outlook::MayWait;
        }
        self.go_on();
        Outlook::Wanted
    }
}

/// The outcome of an exchange as far as it has come.
struct EnvoyEnd<'a> {
    candidate: &'a EnvoyCandidate,
    is_over: bool,
}

impl ResponseEnd for EnvoyEnd<'_> {
    fn status(&self) -> u16 {
        self.candidate.status
    }

    fn grpc_status(&self) -> Option<u16> {
        self.candidate.ending(self.is_over).grpc_status
    }

    fn is_complete(&self) -> bool {
        !self.candidate.ending(self.is_over).broke_off
    }
}

impl Candidate for EnvoyCandidate {
    fn see_response(&mut self, routes: &Routes, _: usize) -> Outlook {
        if self.request_headers.is_none() {
            return Outlook::Wanted;
        }
        let Some(status) = RULES.response_status.text().and_then(|status| status.parse().ok()) else {
            return Outlook::Wanted;
        };
        self.status = status;
        let is_wanted = self.is_wanted(routes);
        if self.ending.get().is_some_and(Ending::has_status_to_come) {
            self.begun = self.ending.take().map(Box::new);
            return self.outlook(false);
        }
        self.outlook(is_wanted)
    }

    fn see_trailers(&mut self, routes: &Routes) -> Outlook {
        self.in_trailers = grpc_trailer();
        let Some(begun) = self.begun.take() else { return Outlook::Wanted };
        self.ending = OnceCell::from(begun.with_trailers(self.in_trailers));
        let is_wanted = self.is_wanted(routes);
        self.outlook(is_wanted)
    }

    /// Envoy tells at the end.
    fn see_body(&mut self, _: bool) {}

    fn go_on(&mut self) {
        self.stage = ExchangeStage::Request;
        self.ending = OnceCell::new();
    }

    fn position(&mut self, routes: &Routes, from: usize) -> Option<usize> {
        let is_over = self.stage != ExchangeStage::Response;
        if is_over && from == 0 {
            self.properties.ask();
            // There is none if the client left before the response began.
            self.status = u16::try_from(self.properties.number(ExchangeProperty::Status).unwrap_or(0)).ok()?;
        }
        let position = routes.position(self.matched, &EnvoyEnd { candidate: self, is_over }, from)?;
        let is_followed = is_over && self.ending.get().is_some_and(Ending::is_followed);
        (!is_followed).then_some(position)
    }

    /// An exchange is logged as soon as it is over.
    fn ended_at(&self) -> Option<Timestamp> {
        let told = |property| self.properties.told(property);
        let (began, duration) = (told(ExchangeProperty::Began)?, told(ExchangeProperty::Duration)?);
        let is_told = self.stage != ExchangeStage::Response && duration <= LONGEST_NANOS;
        is_told.then(|| Timestamp(began.saturating_add(duration) / 1_000_000))
    }

    fn exchange(&mut self, _: Timestamp, needs: &Needs) -> Exchange<'_> {
        let is_over = self.stage != ExchangeStage::Response;
        if self.stage == ExchangeStage::Request {
            let map = MapType::HttpRequestHeaders;
            self.request_headers = Some(match needs {
                Needs::Record => hostcalls::header_map(map),
                Needs::Parts(_) => self.properties.headers(map, &request_headers(needs)),
            });
        }
        let ending = self.ending(is_over);
        let map = self.request_headers.as_deref().unwrap_or_default();
        let (request_headers, status) = (headers(map), self.status);
        let for_record = needs.is_record();
        let [scheme, path] = pseudo(map, [":scheme", ":path"]).map(|text| text.map(text_of));
        let properties = &self.properties;
        let number = |property| if is_over && for_record { properties.number(property) } else { None };
        let duration = number(ExchangeProperty::Duration).map(Duration::from_nanos);
        let tls_version = if for_record { properties.text(ExchangeProperty::TlsVersion) } else { None };
        let client_verify = || if properties.is_true(ExchangeProperty::ClientVerified) { "SUCCESS" } else { "NONE" };
        let tls = tls_version.map(|version| Tls {
            version: Some(version),
            client_verify: Some(client_verify().into()),
            cipher: None,
        });
        let entity = |property, variable: &Variable| {
            let name = if for_record || needs.has(variable) { properties.text(property) } else { None };
            name.map(|name| Entity { name: Some(name), json: None })
        };
        let (began, client) = (properties.number(ExchangeProperty::Began), properties.text(ExchangeProperty::Client));
        Exchange {
            // Envoy begins no two requests of one connection in one microsecond, which is what its
            // clock has.
            fingerprint: began
                .map(|began| hash(&[&began.to_le_bytes(), client.as_deref().unwrap_or_default().as_bytes()])),
            request: ClientRequest {
                id: request_id(&request_headers),
                method: Cow::Borrowed(&self.method),
                target: Cow::Borrowed(&self.target),
                scheme,
                host: request_headers.text("host"),
                port: None,
                headers: request_headers,
                size: number(ExchangeProperty::RequestSize),
                tls,
                body: BodySlot::default(),
            },
            response: ClientResponse {
                status,
                grpc_status: ending.grpc_status,
                broke_off: ending.broke_off,
                details: ending.word().map(Cow::Borrowed),
                headers: headers(&ending.headers),
                size: number(ExchangeProperty::ResponseSize),
                body: BodySlot::default(),
            },
            latencies: Latencies {
                request: duration.map(millis),
                upstream: ending.upstream_latency.map(millis),
                receive: None,
            },
            started_at: began.map(|nanoseconds| Timestamp(nanoseconds / 1_000_000)),
            client_ip: client.map(client_ip).filter(|ip| !ip.is_empty()),
            upstream_uri: path.filter(|_| ending.is_upstream && is_over),
            upstream_status: ending.is_upstream.then(|| Cow::Owned(status.to_string())),
            source: ending.is_upstream.then_some(Cow::Borrowed("upstream")),
            route: entity(ExchangeProperty::RouteName, &Variable::RouteName),
            service: entity(ExchangeProperty::ClusterName, &Variable::ServiceName),
            event: EventNames::default(),
            consumer: None,
            credential_id: None,
            workspace: None,
            incomplete: Vec::new(),
        }
    }
}

/// Returns the names of the headers of the request that are needed, as Envoy has them.
fn request_headers(needs: &Needs) -> Vec<&str> {
    let id = needs.has(&Variable::RequestId).then_some("x-request-id");
    let own = needs.request_headers().map(|name| if name == "host" { ":authority" } else { name });
    let mut names: Vec<&str> = Vec::new();
    for name in own.chain(id) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Returns the names of the headers of the response that the routes which `matched` ask for; `None`
/// if one asks for all, or for how the response ended, which all of them tell.
fn response_headers(routes: &Routes, matched: Matched) -> Option<Vec<String>> {
    if routes.of(matched).any(asks_for_all) {
        return None;
    }
    let needs = routes.of(matched).flat_map(|route| [&route.needs, route.when.needs()]);
    let named = needs.flat_map(Needs::response_headers);
    Some(named.map(str::to_owned).collect())
}

/// Returns the headers that the events of a route may need, and what tells whether it wants the
/// exchange, where its question should have them.
pub(super) fn headers_of(route: &Route) -> Vec<NamedHeader> {
    let needs = [&route.needs, route.when.needs()];
    let of_request = needs.iter().flat_map(|needs| request_headers(needs));
    let of_response = needs.iter().flat_map(|needs| needs.response_headers()).chain([CONTENT_TYPE]);
    headers_of_question([
        (MapType::HttpRequestHeaders, of_request.collect()),
        (MapType::HttpResponseHeaders, of_response.collect()),
    ])
}

/// Returns true if a route asks for all that Envoy tells of an exchange, or for how it ended.
pub(super) fn asks_for_all(route: &Route) -> bool {
    route.needs.is_record() || route.complete_only
}

/// Returns the properties of an exchange, all that the first of the routes which `matched` may need
/// of them in one question.
fn properties(questions: &Questions, routes: &Routes, matched: Matched) -> Properties {
    Properties::new(match routes.of(matched).any(asks_for_all) {
        true => questions.of_records.clone(),
        false => matched.first().and_then(|first| questions.of_others.get(first)?.clone()),
    })
}

/// Returns how the exchange ended whose response was held to the last. Envoy notes that a response
/// is the upstream's as soon as it comes, and writes over it if the exchange ends in another way.
pub(super) fn end_while_held() -> EndWhileHeld {
    let properties = Properties::new(None);
    let details = properties.text(ExchangeProperty::Details).unwrap_or_default();
    let is_success = properties.number(ExchangeProperty::Status).is_some_and(|status| status < 400);
    let has_body = properties.number(ExchangeProperty::BodySize).is_some_and(|size| size > 0);
    match details.as_ref() {
        "response_payload_too_large" => EndWhileHeld::Overflowed,
        _ if is_success && (details == "via_upstream" || has_body) => EndWhileHeld::Passed,
        _ => EndWhileHeld::Unanswered,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the address of a client without its port. It borrows from where `address` does.
fn client_ip(address: Cow<'_, str>) -> Cow<'_, str> {
    match address {
        Cow::Borrowed(address) => Cow::Borrowed(without_port(address)),
        Cow::Owned(address) => Cow::Owned(without_port(&address).to_owned()),
    }
}

/// Returns `10.0.0.1:80` and `[::1]:80` without port and brackets.
fn without_port(address: &str) -> &str {
    let end = address.bytes().rposition(|byte| byte == b':');
    let host = end.and_then(|end| address.get(..end)).unwrap_or(address);
    host.trim_start_matches('[').trim_end_matches(']')
}
