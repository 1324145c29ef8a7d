//! Reads an exchange from Envoy: which property and which header means what.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use proxy_wasm::types::MapType;

use super::ending::{grpc_trailer, Ending};
use super::{headers, request_id, RULES};
use crate::clock::Timestamp;
use crate::exchange::{ClientRequest, ClientResponse, Entity, Exchange, Latencies, Tls};
use crate::filter::gateway::{Candidate, EndWhileHeld, Head, Outlook};
use crate::filter::header_pairs::pairs;
use crate::filter::hostcalls::{self, text, text_of};
use crate::filter::once::hash;
use crate::publish::route::{DeliveryMode, Matched, OnFailure, ResponseEnd, Route, Routes};

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
    /// To the headers of a response that waits for the event of the route at this position. Sizes
    /// and times would be those of a part of the exchange.
    Response(usize),
    /// To its end.
    Over,
}

impl EnvoyCandidate {
    /// Takes a request that has just begun.
    pub(super) fn of_request(head: Head, matched: Matched, may_wait: bool) -> EnvoyCandidate {
        EnvoyCandidate {
            method: head.method,
            target: head.target,
            matched,
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
    pub(super) fn of_logged(routes: &Routes, trusts_original_path: bool) -> Option<(EnvoyCandidate, bool)> {
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
            request_headers: Some(headers),
            status: 0,
            ending: OnceCell::new(),
            begun: None,
            in_trailers: None,
            stage: ExchangeStage::Over,
        };
        Some((candidate, disbelieved))
    }

    /// Returns the position of the route that wants the exchange, whose status is known.
    fn position(&self, routes: &Routes, is_over: bool) -> Option<usize> {
        let outcome = EnvoyEnd { status: self.status, ending: &self.ending, in_trailers: self.in_trailers, is_over };
        routes.position(self.matched, &outcome)
    }

    /// Decides whether the response waits, as far as it has come.
    fn wait(&mut self, routes: &Routes) -> Option<OnFailure> {
        let position = self.position(routes, false)?;
        match routes.all.get(position)?.delivery {
            DeliveryMode::BeforeResponse(on_failure) => {
                self.stage = ExchangeStage::Response(position);
                Some(on_failure)
            }
            DeliveryMode::AfterResponse => None,
        }
    }

    /// Returns what follows for the response. If it does not wait, its end may be another than it
    /// seems now.
    fn outlook(&mut self, awaited: Option<OnFailure>) -> Outlook {
        match awaited {
            Some(on_failure) => Outlook::Awaited(on_failure),
            None => {
                self.ending = OnceCell::new();
                Outlook::Wanted
            }
        }
    }
}

/// The outcome of an exchange as far as it has come.
struct EnvoyEnd<'a> {
    status: u16,
    ending: &'a OnceCell<Ending>,
    in_trailers: Option<u16>,
    is_over: bool,
}

impl EnvoyEnd<'_> {
    fn ending(&self) -> &Ending {
        self.ending.get_or_init(|| Ending::read(self.status, self.is_over, self.in_trailers))
    }
}

impl ResponseEnd for EnvoyEnd<'_> {
    fn status(&self) -> u16 {
        self.status
    }

    fn grpc_status(&self) -> Option<u16> {
        self.ending().grpc_status
    }

    fn is_complete(&self) -> bool {
        !self.ending().broke_off
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
        let awaited = self.wait(routes);
        if self.ending.get().is_some_and(Ending::has_status_to_come) {
            self.stage = ExchangeStage::Request;
            self.begun = self.ending.take().map(Box::new);
            return Outlook::Wanted;
        }
        self.outlook(awaited)
    }

    fn see_trailers(&mut self, routes: &Routes) -> Outlook {
        self.in_trailers = grpc_trailer();
        let Some(begun) = self.begun.take() else { return Outlook::Wanted };
        self.ending = OnceCell::from(begun.with_trailers(self.in_trailers));
        let awaited = self.wait(routes);
        self.outlook(awaited)
    }

    /// Envoy tells at the end.
    fn see_body(&mut self, _: bool) {}

    fn route<'r>(&mut self, routes: &'r Routes) -> Option<&'r Route> {
        let position = match self.stage {
            ExchangeStage::Response(position) => position,
            ExchangeStage::Request | ExchangeStage::Over => {
                // There is none if the client left before the response began.
                self.status = u16::try_from(number("response\0code").unwrap_or(0)).ok()?;
                let position = self.position(routes, true)?;
                if self.ending.get().is_some_and(Ending::is_followed) {
                    return None;
                }
                position
            }
        };
        routes.all.get(position)
    }

    fn exchange(&mut self, _: Timestamp) -> Exchange<'_> {
        let is_over = !matches!(self.stage, ExchangeStage::Response(_));
        if self.stage == ExchangeStage::Request {
            self.request_headers = Some(hostcalls::header_map(MapType::HttpRequestHeaders));
        }
        let ending = self.ending.get_or_init(|| Ending::read(self.status, is_over, self.in_trailers));
        let map = self.request_headers.as_deref().unwrap_or_default();
        let (request_headers, status) = (headers(map), self.status);
        let final_number = |property| if is_over { number(property) } else { None };
        let duration = final_number("request\0duration").map(Duration::from_nanos);
        let tls = text_property("connection\0tls_version").map(|version| Tls {
            version: Some(version.into()),
            client_verify: Some(if client_is_verified() { "SUCCESS" } else { "NONE" }.into()),
            cipher: None,
        });
        let (began, client) = (number("request\0time"), text_property("source\0address"));
        Exchange {
            // Envoy begins no two requests of one connection in one microsecond, which is what its
            // clock has.
            fingerprint: began
                .map(|began| hash(&[&began.to_le_bytes(), client.as_deref().unwrap_or_default().as_bytes()])),
            request: ClientRequest {
                id: request_id(&request_headers),
                method: Cow::Borrowed(&self.method),
                target: Cow::Borrowed(&self.target),
                scheme: pseudo(map, b":scheme"),
                host: request_headers.get("host").map(|host| Cow::Owned(host.to_owned())),
                port: None,
                headers: request_headers,
                size: final_number("request\0total_size"),
                tls,
                body: &[],
            },
            response: ClientResponse {
                status,
                grpc_status: ending.grpc_status,
                broke_off: ending.broke_off,
                details: ending.word().map(Cow::Borrowed),
                headers: headers(&ending.headers),
                size: final_number("response\0total_size"),
            },
            latencies: Latencies {
                request: duration.map(millis),
                upstream: ending.upstream_latency.map(millis),
                receive: None,
            },
            started_at: began.map(|nanoseconds| Timestamp(nanoseconds / 1_000_000)),
            client_ip: client.map(without_port).filter(|ip| !ip.is_empty()).map(Cow::Owned),
            upstream_uri: pseudo(map, b":path").filter(|_| ending.is_upstream && is_over),
            upstream_status: ending.is_upstream.then(|| Cow::Owned(status.to_string())),
            source: ending.is_upstream.then_some(Cow::Borrowed("upstream")),
            route: entity("xds\0route_name"),
            service: entity("xds\0cluster_name"),
            consumer: None,
            credential_id: None,
            workspace: None,
            incomplete: Vec::new(),
        }
    }
}

/// Returns how the exchange ended whose response was held to the last. Envoy notes that a response
/// is the upstream's as soon as it comes, and writes over it if the exchange ends in another way.
pub(super) fn end_while_held() -> EndWhileHeld {
    let details = text_property("response\0code_details").unwrap_or_default();
    let is_success = number("response\0code").is_some_and(|status| status < 400);
    let has_body = number("response\0size").is_some_and(|size| size > 0);
    match details.as_str() {
        "response_payload_too_large" => EndWhileHeld::Overflowed,
        _ if is_success && (details == "via_upstream" || has_body) => EndWhileHeld::Passed,
        _ => EndWhileHeld::Unanswered,
    }
}

/// Returns true if the client showed a certificate that Envoy accepted.
fn client_is_verified() -> bool {
    hostcalls::property("connection\0mtls").is_some_and(|mtls| mtls.first() == Some(&1))
}

/// Returns a pseudo header.
fn pseudo<'a>(headers: &'a [u8], wanted: &[u8]) -> Option<Cow<'a, str>> {
    pairs(headers).find(|(name, _)| *name == wanted).map(|(_, value)| text_of(value))
}

fn entity(property: &str) -> Option<Entity<'static>> {
    text_property(property)
        .filter(|name| !name.is_empty())
        .map(|name| Entity { name: Some(Cow::Owned(name)), json: None })
}

/// Reads a number, time or duration (in nanoseconds), which Envoy writes as eight bytes,
/// little-endian.
pub(super) fn number(property: &str) -> Option<u64> {
    let bytes: [u8; 8] = hostcalls::property(property)?.try_into().ok()?;
    u64::try_from(i64::from_le_bytes(bytes)).ok()
}

fn text_property(property: &str) -> Option<String> {
    hostcalls::property(property).map(text)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns `10.0.0.1:80` and `[::1]:80` without port and brackets.
fn without_port(mut address: String) -> String {
    if let Some(end) = address.rfind(':') {
        address.truncate(end);
    }
    address.trim_start_matches('[').trim_end_matches(']').to_owned()
}
