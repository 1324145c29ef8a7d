//! Reads an exchange from Envoy: which property and which header means what.

use std::borrow::Cow;
use std::time::Duration;

use proxy_wasm::types::MapType;

use super::{headers, request_id, RULES};
use crate::clock::Timestamp;
use crate::exchange::{ClientRequest, ClientResponse, Entity, Exchange, Latencies, Tls};
use crate::filter::gateway::{Candidate, Head, Outlook};
use crate::filter::header_pairs::pairs;
use crate::filter::hostcalls::{self, text};
use crate::publish::route::{DeliveryMode, Matched, OnFailure, Route, Routes};

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
    response_headers: Vec<u8>,
    status: u16,
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
            response_headers: Vec::new(),
            status: 0,
            stage: ExchangeStage::Request,
        }
    }

    /// Takes an exchange that is over and was not seen before, if a route wants its method.
    pub(super) fn of_logged(routes: &Routes) -> Option<EnvoyCandidate> {
        let method = hostcalls::header(MapType::HttpRequestHeaders, ":method")?;
        if !routes.want_method(&method) {
            return None;
        }
        let headers = hostcalls::header_map(MapType::HttpRequestHeaders);
        let target = client_target(&headers)?;
        Some(EnvoyCandidate {
            matched: routes.matched(&method, target),
            method: text(method),
            target: text(target.to_vec()),
            request_headers: Some(headers),
            response_headers: Vec::new(),
            status: 0,
            stage: ExchangeStage::Over,
        })
    }

    /// Returns the position of the route that wants the exchange, whose status is known.
    fn position(&self, routes: &Routes) -> Option<usize> {
        routes.position(self.matched, self.status)
    }

    /// Returns the position of the route that wants the exchange and lets the response wait, whose
    /// headers have come.
    fn awaited_by(&mut self, routes: &Routes) -> Option<(usize, OnFailure)> {
        self.status = RULES.response_status.text()?.parse().ok()?;
        let position = self.position(routes)?;
        match routes.all.get(position)?.delivery {
            DeliveryMode::BeforeResponse(on_failure) => Some((position, on_failure)),
            DeliveryMode::AfterResponse => None,
        }
    }
}

impl Candidate for EnvoyCandidate {
    fn see_response(&mut self, routes: &Routes, _: usize) -> Outlook {
        if self.request_headers.is_none() {
            return Outlook::Wanted;
        }
        let Some((position, on_failure)) = self.awaited_by(routes) else { return Outlook::Wanted };
        self.stage = ExchangeStage::Response(position);
        Outlook::Awaited(on_failure)
    }

    fn route<'r>(&mut self, routes: &'r Routes) -> Option<&'r Route> {
        let position = match self.stage {
            ExchangeStage::Response(position) => position,
            ExchangeStage::Request | ExchangeStage::Over => {
                self.status = u16::try_from(number("response\0code")?).ok()?;
                self.position(routes)?
            }
        };
        routes.all.get(position)
    }

    fn exchange(&mut self, _: Timestamp) -> Exchange<'_> {
        let is_over = !matches!(self.stage, ExchangeStage::Response(_));
        if self.stage == ExchangeStage::Request {
            self.request_headers = Some(hostcalls::header_map(MapType::HttpRequestHeaders));
        }
        self.response_headers = hostcalls::header_map(MapType::HttpResponseHeaders);
        let map = self.request_headers.as_deref().unwrap_or_default();
        let (request_headers, status) = (headers(map), self.status);
        let final_number = |property| if is_over { number(property) } else { None };
        let duration = final_number("request\0duration").map(Duration::from_nanos);
        let via_upstream = hostcalls::property("response\0code_details").is_some_and(|text| text == b"via_upstream");
        let tls = text_property("connection\0tls_version").map(|version| Tls {
            version: Some(version.into()),
            client_verify: Some(if client_is_verified() { "SUCCESS" } else { "NONE" }.into()),
            cipher: None,
        });
        Exchange {
            request: ClientRequest {
                id: request_id(&request_headers),
                method: Cow::Borrowed(&self.method),
                target: Cow::Borrowed(&self.target),
                scheme: text_property("request\0scheme").map(Cow::Owned),
                host: request_headers.get("host").map(|host| Cow::Owned(host.to_owned())),
                port: None,
                headers: request_headers,
                size: final_number("request\0total_size"),
                tls,
            },
            response: ClientResponse {
                status,
                headers: headers(&self.response_headers),
                size: final_number("response\0total_size"),
            },
            latencies: Latencies {
                request: duration.map(millis),
                upstream: final_number("response\0backend_latency").map(Duration::from_nanos).map(millis),
                receive: None,
            },
            started_at: number("request\0time").map(|nanoseconds| Timestamp(nanoseconds / 1_000_000)),
            client_ip: text_property("source\0address").map(without_port).filter(|ip| !ip.is_empty()).map(Cow::Owned),
            upstream_uri: upstream_uri(map).filter(|_| via_upstream && is_over),
            upstream_status: via_upstream.then(|| Cow::Owned(status.to_string())),
            source: via_upstream.then_some(Cow::Borrowed("upstream")),
            route: entity("xds\0route_name"),
            service: entity("xds\0cluster_name"),
            consumer: None,
            credential_id: None,
            workspace: None,
            incomplete: Vec::new(),
        }
    }
}

/// Returns the target that the client asked for: when the router rewrites the path, it keeps the
/// client's in `x-envoy-original-path`.
fn client_target(request_headers: &[u8]) -> Option<&[u8]> {
    let find = |wanted: &[u8]| pairs(request_headers).find(|(name, _)| *name == wanted).map(|(_, value)| value);
    find(b"x-envoy-original-path").or_else(|| find(b":path"))
}

/// Returns true if the client showed a certificate that Envoy accepted.
fn client_is_verified() -> bool {
    hostcalls::property("connection\0mtls").is_some_and(|mtls| mtls.first() == Some(&1))
}

fn upstream_uri(request_headers: &[u8]) -> Option<Cow<'_, str>> {
    pairs(request_headers).find(|(name, _)| *name == b":path").map(|(_, path)| String::from_utf8_lossy(path))
}

fn entity(property: &str) -> Option<Entity<'static>> {
    text_property(property)
        .filter(|name| !name.is_empty())
        .map(|name| Entity { name: Some(Cow::Owned(name)), json: None })
}

/// Reads a number, time or duration (in nanoseconds), which Envoy writes as eight bytes,
/// little-endian.
fn number(property: &str) -> Option<u64> {
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
