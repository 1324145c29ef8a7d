//! Reads exchanges from Envoy: which property and which header means what.

use std::borrow::Cow;
use std::time::Duration;

use proxy_wasm::types::MapType;

use crate::clock::Timestamp;
use crate::exchange::{split_target, Entity, Exchange, Headers, Latencies, Request, Response, Tls};
use crate::filter::header_pairs::pairs;
use crate::filter::hostcalls::{self, text};
use crate::filter::worker::Worker;
use crate::publish::outbox::{Release, Ticket, Wait};
use crate::publish::route::{Delivery, Route};

/// Headers that Envoy adds for its own use, beside the client's.
const ENVOY_INTERNAL: [&str; 3] =
    ["x-envoy-original-path", "x-envoy-expected-rq-timeout-ms", "x-envoy-decorator-operation"];

/// A request that may become an event.
///
/// The request headers are the only place where the client's own path can be seen for sure: the router may rewrite it. All
/// else is read when the exchange is over, and only if it matches.
pub struct Candidate {
    method: String,
    target: String,
    /// The request's headers, where the response may wait: Envoy does not have them in between, only now and in the end.
    headers: Option<Vec<u8>>,
}

impl Candidate {
    /// The request that just began, if a route may want it: some want its method.
    pub fn of_request(worker: &Worker, method: Vec<u8>) -> Option<Candidate> {
        let target = target()?;
        if !worker.routes.want_request(&method, &target) {
            return None;
        }
        let may_wait = worker.can_hold() && worker.routes.may_hold(&method, &target);
        let headers = may_wait.then(|| hostcalls::header_map(MapType::HttpRequestHeaders));
        Some(Candidate { method: text(method), target: text(target), headers })
    }

    /// Looks at the headers of the response, for a route that lets it wait for its event.
    pub fn hold(mut self, worker: &Worker, ticket: Ticket) -> Held {
        let Some(headers) = self.headers.take() else { return Held::NotWanted(self) };
        let status = hostcalls::header(MapType::HttpResponseHeaders, ":status");
        let Some(status) = status.and_then(|status| text(status).parse().ok()) else { return Held::NotWanted(self) };
        let route = worker.routes.find(&self.method, split_target(&self.target).0, status);
        let Some((route, on_failure)) = route.and_then(|route| match route.delivery {
            Delivery::BeforeResponse(on_failure) => Some((route, on_failure)),
            Delivery::AfterResponse => None,
        }) else {
            return Held::NotWanted(self);
        };
        let maps = HeaderMaps::read(Some(headers));
        let exchange = exchange(&self.method, self.target, status, &maps, Progress::Headers);
        let wait = Wait { ticket, on_failure };
        worker.accept_awaited(exchange, route, wait, hostcalls::now()).map_or(Held::Waiting, Held::Released)
    }

    /// Queues the event of the exchange that is just over, if its response is wanted, too.
    pub fn finish(self, worker: &Worker) {
        observe(worker, &self.method, self.target, None);
    }
}

/// The client's own path, while the request's head is there.
pub fn target() -> Option<Vec<u8>> {
    hostcalls::header(MapType::HttpRequestHeaders, ":path")
}

/// A request that has come, as far as a webhook is concerned; `map` are its headers as they were read.
pub fn received<'a>(method: &'a str, target: &'a str, map: &'a [u8]) -> Request<'a> {
    let headers = headers(map);
    Request {
        id: headers.get("x-request-id").map(|id| Cow::Owned(id.to_owned())),
        method: Cow::Borrowed(method),
        target: Cow::Borrowed(target),
        headers,
        ..Request::default()
    }
}

/// What became of a response whose headers were looked at.
pub enum Held {
    /// No route wants it to wait.
    NotWanted(Candidate),
    /// It waits until it is released.
    Waiting,
    /// It is known already what is to be done with it.
    Released(Release),
}

/// Does with the response of the context that the host speaks for what is to be done with it.
pub fn release(release: Release) {
    match release {
        Release::Pass => hostcalls::continue_response(),
        Release::Refuse => {
            hostcalls::refuse(503, "retrohook_event_not_delivered", "the event of this request was not delivered\n")
        }
    }
}

/// How far an exchange has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// To the headers of its response: sizes and times would be those of a part of it, and the request's headers are those that
    /// came, before the router changed them.
    Headers,
    /// To its end.
    Over,
}

/// Looks at an exchange that is just over and of which nothing is known: the access logger's way.
pub fn observe_logged(worker: &Worker) {
    let Some(method) = hostcalls::header(MapType::HttpRequestHeaders, ":method") else { return };
    if !worker.routes.want_method(&method) {
        return;
    }
    let request_headers = hostcalls::header_map(MapType::HttpRequestHeaders);
    let Some(target) = client_target(&request_headers) else { return };
    let route = observe(worker, &text(method), target, Some(request_headers));
    if route.is_some_and(|route| route.delivery != Delivery::AfterResponse) {
        worker.seen_too_late();
    }
}

/// Queues the event of an exchange whose request was wanted, if its response is, too, and gives the route that wants it.
/// `request_headers` are passed where they have been read.
fn observe<'a>(
    worker: &'a Worker,
    method: &str,
    target: String,
    request_headers: Option<Vec<u8>>,
) -> Option<&'a Route> {
    let status = status()?;
    let route = worker.routes.find(method, split_target(&target).0, status)?;
    let maps = HeaderMaps::read(request_headers);
    let now = hostcalls::now();
    worker.accept(exchange(method, target, status, &maps, Progress::Over), route, now);
    Some(route)
}

/// The status of the response, as far as there is one.
fn status() -> Option<u16> {
    u16::try_from(number("response\0code")?).ok()
}

/// The header maps of a finished exchange, as the host serialises them.
struct HeaderMaps {
    request: Vec<u8>,
    response: Vec<u8>,
}

impl HeaderMaps {
    /// Asks the host for what has not been read yet.
    fn read(request: Option<Vec<u8>>) -> HeaderMaps {
        HeaderMaps {
            request: request.unwrap_or_else(|| hostcalls::header_map(MapType::HttpRequestHeaders)),
            response: hostcalls::header_map(MapType::HttpResponseHeaders),
        }
    }
}

/// The target that the client asked for, among request headers: the router keeps it in `x-envoy-original-path` when it
/// rewrites the path.
fn client_target(request_headers: &[u8]) -> Option<String> {
    let find = |wanted: &[u8]| pairs(request_headers).find(|(name, _)| *name == wanted).map(|(_, value)| value);
    find(b"x-envoy-original-path").or_else(|| find(b":path")).map(|target| text(target.to_vec()))
}

/// The exchange as far as it is known. `method` and `target` are the client's own, and already known.
fn exchange<'a>(
    method: &'a str,
    target: String,
    status: u16,
    maps: &'a HeaderMaps,
    progress: Progress,
) -> Exchange<'a> {
    let request_headers = headers(&maps.request);
    let final_number = |property| if progress == Progress::Over { number(property) } else { None };
    let duration = final_number("request\0duration").map(Duration::from_nanos);
    let via_upstream = hostcalls::property("response\0code_details").is_some_and(|details| details == b"via_upstream");
    let tls = text_property("connection\0tls_version").map(|version| Tls {
        version: Some(version.into()),
        client_verify: Some(if verified() { "SUCCESS" } else { "NONE" }.into()),
        cipher: None,
    });
    Exchange {
        request: Request {
            id: request_headers.get("x-request-id").map(|id| Cow::Owned(id.to_owned())),
            method: Cow::Borrowed(method),
            target: Cow::Owned(target),
            scheme: text_property("request\0scheme").map(Cow::Owned),
            host: request_headers.get("host").map(|host| Cow::Owned(host.to_owned())),
            port: None,
            headers: request_headers,
            size: final_number("request\0total_size"),
            tls,
        },
        response: Response { status, headers: headers(&maps.response), size: final_number("response\0total_size") },
        latencies: Latencies {
            request: duration.map(millis),
            upstream: final_number("response\0backend_latency").map(Duration::from_nanos).map(millis),
            receive: None,
        },
        started_at: number("request\0time").map(|nanoseconds| Timestamp(nanoseconds / 1_000_000)),
        client_ip: text_property("source\0address").map(without_port).filter(|ip| !ip.is_empty()).map(Cow::Owned),
        upstream_uri: upstream_uri(&maps.request).filter(|_| via_upstream && progress == Progress::Over),
        upstream_status: via_upstream.then(|| Cow::Owned(status.to_string())),
        source: via_upstream.then_some(Cow::Borrowed("upstream")),
        route: entity("xds\0route_name"),
        service: entity("xds\0cluster_name"),
        ..Exchange::default()
    }
}

/// Whether the client showed a certificate that Envoy accepted.
fn verified() -> bool {
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

/// The headers of a map, without pseudo headers and without what Envoy adds for itself; `:authority` is `host`, as in HTTP/1.
fn headers(map: &[u8]) -> Headers<'_> {
    let named = pairs(map).map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    Headers(
        named
            .map(|(name, value)| if name == ":authority" { (Cow::Borrowed("host"), value) } else { (name, value) })
            .filter(|(name, _)| !name.starts_with(':') && !ENVOY_INTERNAL.contains(&name.as_ref()))
            .collect(),
    )
}

/// Envoy writes numbers, times and durations (in nanoseconds) as eight bytes, little-endian.
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

/// `10.0.0.1:80` and `[::1]:80` without port and brackets.
fn without_port(mut address: String) -> String {
    if let Some(end) = address.rfind(':') {
        address.truncate(end);
    }
    address.trim_start_matches('[').trim_end_matches(']').to_owned()
}
