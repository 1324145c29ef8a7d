//! The message in the JSON shape of Kong's file-log plugin (Kong Gateway documentation, "Log format"), with three fields of our
//! own: `event_id`, `event_type`, and `truncated` where something was cut. What the host does not know is absent.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::exchange::{Entity, Exchange, Headers};

/// Parameters that `querystring` holds at most; `uri` has them all. A client can put ten thousands into one request.
const MAX_QUERY_PAIRS: usize = 1_000;

/// The message of one exchange.
pub fn message(exchange: &Exchange<'_>, id: &str, event_type: Option<&str>, truncated: &[&str]) -> String {
    let Exchange { request, response, .. } = exchange;
    let too_many_pairs = request.query().split('&').nth(MAX_QUERY_PAIRS).map(|_| "request.querystring");
    let truncated: Vec<&str> = truncated.iter().copied().chain(too_many_pairs).collect();
    let record = Record {
        event_id: id,
        event_type,
        request: Request {
            id: request.id.as_deref(),
            method: &request.method,
            uri: &request.target,
            url: url(exchange),
            size: request.size,
            querystring: QueryString(request.query()),
            headers: HeaderMap(&request.headers),
            tls: request.tls.as_ref().map(|tls| Tls {
                version: tls.version.as_deref(),
                client_verify: if tls.client_verified { "SUCCESS" } else { "NONE" },
            }),
        },
        response: Response { status: response.status, size: response.size, headers: HeaderMap(&response.headers) },
        latencies: latencies(exchange),
        route: exchange.route.as_ref().map(Named::from),
        service: exchange.service.as_ref().map(Named::from),
        client_ip: exchange.client_ip.as_deref(),
        started_at: exchange.started_at.map(|started| started.0),
        upstream_uri: exchange.upstream_uri.as_deref(),
        upstream_status: exchange.upstream_status.as_deref(),
        source: exchange.source.as_deref(),
        truncated: &truncated,
    };
    // Only a map with keys that are not texts, or an error of a type's own, can make this fail: there is neither.
    serde_json::to_string(&record).unwrap_or_default()
}

/// Kong's `url` always carries the port.
fn url(exchange: &Exchange<'_>) -> Option<String> {
    let scheme = exchange.request.scheme.as_deref()?;
    let host = exchange.request.host.as_deref()?;
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()));
    let port = match (has_port, scheme) {
        (true, _) => "",
        (false, "https") => ":443",
        (false, _) => ":80",
    };
    Some(format!("{scheme}://{host}{port}{}", exchange.request.target))
}

fn latencies(exchange: &Exchange<'_>) -> Latencies {
    let request = exchange.latencies.request;
    let upstream = exchange.latencies.upstream;
    Latencies {
        kong: request.map(|request| request.saturating_sub(upstream.unwrap_or(0))),
        proxy: upstream.map_or(-1, |upstream| i64::try_from(upstream).unwrap_or(i64::MAX)),
        request,
    }
}

#[derive(Serialize)]
struct Record<'a> {
    event_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    request: Request<'a>,
    response: Response<'a>,
    latencies: Latencies,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    truncated: &'a [&'a str],
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    method: &'a str,
    uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    querystring: QueryString<'a>,
    headers: HeaderMap<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
}

#[derive(Serialize)]
struct Tls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    client_verify: &'static str,
}

#[derive(Serialize)]
struct Response<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    headers: HeaderMap<'a>,
}

/// Milliseconds. `proxy` is -1 where no upstream was asked, as Kong has it.
#[derive(Serialize)]
struct Latencies {
    #[serde(skip_serializing_if = "Option::is_none")]
    kong: Option<u64>,
    proxy: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl<'a> From<&'a Entity<'_>> for Named<'a> {
    fn from(entity: &'a Entity<'_>) -> Named<'a> {
        Named { name: &entity.name }
    }
}

/// A value of a header or of the query string.
#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(Cow<'a, str>),
    /// A key of the query string that has no value counts as `true`.
    Present(bool),
}

/// Writes an object; a name that came several times has an array of its values.
fn serialize_grouped<S: Serializer>(
    mut pairs: Vec<(Cow<'_, str>, Value<'_>)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    pairs.sort_by(|(name, _), (other, _)| name.cmp(other));
    let groups = pairs.chunk_by(|(name, _), (other, _)| name == other);
    let mut map = serializer.serialize_map(None)?;
    for group in groups {
        match group {
            [] => {}
            [(name, value)] => map.serialize_entry(name, value)?,
            [(name, _), ..] => map.serialize_entry(name, &group.iter().map(|(_, value)| value).collect::<Vec<_>>())?,
        }
    }
    map.end()
}

struct HeaderMap<'a>(&'a Headers<'a>);

impl Serialize for HeaderMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0 .0.iter().map(|(name, value)| (name.as_ref().into(), Value::Text(value.as_ref().into())));
        serialize_grouped(pairs.collect(), serializer)
    }
}

struct QueryString<'a>(&'a str);

impl Serialize for QueryString<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.split('&').take(MAX_QUERY_PAIRS).filter_map(|pair| {
            let (name, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
            let value = if pair.contains('=') { Value::Text(value) } else { Value::Present(true) };
            Some((name, value))
        });
        serialize_grouped(pairs.collect(), serializer)
    }
}
