//! Reads exchanges from Kong: which property and which header means what, and when each can be read.
//!
//! Every property is text. Header maps are read only while the host tells how many headers there are: of a long one Kong writes
//! more than it has asked memory for. The entities (`kong.*`) trap at the end of a request unless they were read at its begin.
//! A property of nginx that does not exist is absent, whenever it is asked for.

use std::borrow::Cow;
use std::rc::Rc;

mod destination;
mod header_map;

pub use destination::Destinations;
use destination::{Destination, Known};
pub use header_map::{HeaderMap, Wanted};

use crate::clock::Timestamp;
use crate::exchange::{split_target, Consumer, Exchange, Headers, Latencies, Request, Response, Tls};
use crate::filter::hostcalls::{self, text};
use crate::filter::worker::Worker;

/// A request that may become an event, and what had to be read while it was under way.
pub struct Candidate {
    method: String,
    target: String,
    headers: HeaderMap,
    destination: Rc<Destination>,
    answer: Option<Answer>,
}

/// The response, and the position of the route that wants it.
struct Answer {
    status: u16,
    headers: HeaderMap,
    position: usize,
}

impl Candidate {
    /// The request that just began, with `count` headers, if a route may want it: some want its method. `:path` is what
    /// nginx made of the client's path, so it is not asked for.
    pub fn of_request(worker: &Worker, method: Vec<u8>, count: usize) -> Option<Candidate> {
        let target = target()?;
        if !worker.routes.want_request(&method, &target) {
            return None;
        }
        Some(Candidate {
            method: text(method),
            target: text(target),
            headers: HeaderMap::of_request(count, &worker.wanted_headers),
            destination: worker.destinations.of_request(),
            answer: None,
        })
    }

    /// Looks at the headers of the response, of which there are `count`. Whether it is wanted, too.
    pub fn see_response(&mut self, worker: &Worker, count: usize) -> bool {
        self.answer = self.answer(worker, count);
        self.answer.is_some()
    }

    fn answer(&self, worker: &Worker, count: usize) -> Option<Answer> {
        let headers = HeaderMap::of_response(count, &worker.wanted_headers);
        let status = match headers.pseudo(":status") {
            Some(status) => status.parse().ok(),
            None => number("response.code"),
        };
        let status = status?;
        let position = worker.routes.position(&self.method, split_target(&self.target).0, status)?;
        Some(Answer { status, headers, position })
    }

    /// Queues the event of the exchange that is just over.
    pub fn finish(&self, worker: &Worker) {
        let Some(answer) = &self.answer else { return };
        let Some(route) = worker.routes.0.get(answer.position) else { return };
        let now = hostcalls::now();
        worker.accept(self.exchange(answer, now), route, now);
    }

    /// The port that Kong listens at: its `:authority` is its own name and that, not what the client has sent.
    fn port(&self) -> Option<u16> {
        let own = self.headers.pseudo(":authority").and_then(|authority| authority.rsplit_once(':'));
        own.and_then(|(_, port)| port.parse().ok()).or_else(|| number("ngx.server_port"))
    }

    fn exchange<'a>(&'a self, answer: &'a Answer, now: Timestamp) -> Exchange<'a> {
        let headers = self.headers.headers();
        let header = |name: &str| headers.get(name).map(|value| Cow::Owned(value.to_owned()));
        let Destination { route, service } = &*self.destination;
        let started_at = text_property("request.time").as_deref().and_then(millis).map(Timestamp);
        let upstream_status = text_property("ngx.upstream_status");
        // What came last is what the client got, unless something in the gateway put another response in its place.
        let from_upstream = upstream_status.as_deref().and_then(last).and_then(|status| status.parse().ok());
        let incomplete = [("request.headers", &self.headers), ("response.headers", &answer.headers)];
        let mut exchange = Exchange {
            consumer: consumer(&header),
            credential_id: header("x-credential-identifier").filter(|id| is_uuid(id)),
            request: Request {
                id: text_property("ngx.kong_request_id").map(Cow::Owned),
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
            response: Response {
                status: answer.status,
                headers: answer.headers.headers(),
                size: number("ngx.bytes_sent"),
            },
            latencies: latencies(started_at, now),
            started_at,
            client_ip: text_property("ngx.remote_addr").map(Cow::Owned),
            upstream_uri: text_property("ngx.upstream_uri").map(Cow::Owned),
            upstream_status: upstream_status.map(Cow::Owned),
            source: (from_upstream == Some(answer.status)).then_some(Cow::Borrowed("upstream")),
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

/// The client's own path.
pub fn target() -> Option<Vec<u8>> {
    hostcalls::property("ngx.request_uri")
}

/// A request that has come, as far as a webhook is concerned.
pub fn received<'a>(method: &'a str, target: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    Request {
        id: text_property("ngx.kong_request_id").map(Cow::Owned),
        method: Cow::Borrowed(method),
        target: Cow::Borrowed(target),
        headers: headers.headers(),
        ..Request::default()
    }
}

/// What Kong's authentication plugins leave in the headers for the service.
fn consumer<'a>(header: &dyn Fn(&str) -> Option<Cow<'a, str>>) -> Option<Consumer<'a>> {
    let id = header("x-consumer-id")?;
    let (username, custom_id) = (header("x-consumer-username"), header("x-consumer-custom-id"));
    Some(Consumer { id: Some(id), username, custom_id })
}

/// The header has the id of the credential only after some plugins; after others it is a user name or a key.
fn is_uuid(text: &str) -> bool {
    text.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

/// As Kong counts: the upstream's time ends where its response begins, and that of the request is over `now`.
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

/// The session with the client; its variables are there for TLS only.
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

/// nginx gives a value for each server that was tried: `0.005, 0.012`, and ` : ` where it was redirected internally.
fn last(list: &str) -> Option<&str> {
    list.rsplit([',', ':']).next().map(str::trim).filter(|text| !text.is_empty() && *text != "-")
}

/// `1767268800.012`, in seconds.
fn millis(seconds: &str) -> Option<u64> {
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let digits = fraction.get(..3).unwrap_or(fraction);
    let scale = 10u64.checked_pow(u32::try_from(3usize.checked_sub(digits.len())?).ok()?)?;
    let whole: u64 = seconds.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(digits.parse::<u64>().ok()?.checked_mul(scale)?)
}

fn number<N: std::str::FromStr>(property: &str) -> Option<N> {
    text_property(property)?.parse().ok()
}

/// A variable without a value is empty.
fn text_property(property: &str) -> Option<String> {
    hostcalls::property(property).map(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_nginx_writes_them() {
        for (text, expected) in [
            ("0.012", Some(12)),
            ("1767268800.000", Some(1_767_268_800_000)),
            ("90.5", Some(90_500)),
            ("3", Some(3_000)),
            ("0.0129", Some(12)),
            ("", None),
            ("-", None),
            ("-1.000", None),
            ("0.", None),
            ("0.é", None),
            ("18446744073709551615.000", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn of_several_attempts_the_last_one_counts() {
        for (list, expected) in [
            ("0.005", Some("0.005")),
            ("500, 200", Some("200")),
            ("0.001, 0.002 : 0.003", Some("0.003")),
            ("0.005, -", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(last(list), expected, "{list}");
        }
    }

    #[test]
    fn only_an_id_is_taken_for_one() {
        assert!(is_uuid("6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1"));
        for other in ["alice", "6d1f1f0e7d0e4a539c533f0a54e4a8a1", "{6d1f1f0e-7d0e-4a53-9c53-3f0a54e4a8a1}"] {
            assert!(!is_uuid(other), "{other}");
        }
    }
}
