//! The message of an event, in the JSON shape of Kong's file-log plugin (Kong Gateway
//! documentation, "Log format"). Fields of our own: `event_id`, `event_type`, `truncated` where
//! something was cut, and what the response says of gRPC and of its end. What the host does not know is absent.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::exchange::{Consumer, Entity, Exchange, Headers, Tls};
use crate::json::to_json_text;

/// Parameters that `querystring` holds at most; `uri` has them all. One request can have ten
/// thousands.
const MAX_QUERY_PAIRS: usize = 1_000;

/// Returns the message of one exchange.
pub(super) fn message(exchange: &Exchange<'_>, id: &str, event_type: Option<&str>, truncated: &[&str]) -> String {
    let Exchange { request, response, .. } = exchange;
    let too_many_pairs = request.query().split('&').nth(MAX_QUERY_PAIRS).map(|_| "request.querystring");
    let truncated: Vec<&str> = truncated.iter().copied().chain(too_many_pairs).collect();
    let record = Record {
        event_id: id,
        event_type,
        request: RequestJson {
            id: request.id.as_deref(),
            method: &request.method,
            uri: &request.target,
            url: url(exchange),
            size: request.size,
            querystring: QueryString(request.query()),
            headers: HeadersJson(&request.headers),
            tls: request.tls.as_ref().map(tls),
        },
        response: ResponseJson {
            status: response.status,
            grpc_status: response.grpc_status,
            complete: response.broke_off.then_some(false),
            details: response.details.as_deref(),
            size: response.size,
            headers: HeadersJson(&response.headers),
        },
        latencies: latencies(exchange),
        route: exchange.route.as_ref().map(whole_or_named),
        service: exchange.service.as_ref().map(whole_or_named),
        consumer: exchange.consumer.as_ref().map(person),
        authenticated_entity: exchange.credential_id.as_deref().map(|id| Identified { id }),
        workspace: exchange.workspace.as_deref(),
        client_ip: exchange.client_ip.as_deref(),
        started_at: exchange.started_at.map(|started| started.0),
        upstream_uri: exchange.upstream_uri.as_deref(),
        upstream_status: exchange.upstream_status.as_deref(),
        source: exchange.source.as_deref(),
        truncated: &truncated,
    };
    to_json_text(&record, expected_size(exchange))
}

/// Returns about as many bytes as the message of an exchange has, so that it seldom moves while it
/// grows.
fn expected_size(exchange: &Exchange<'_>) -> usize {
    /// Keys and short texts of a message.
    const FIXED: usize = 768;
    const QUOTES_COLON_AND_COMMA: usize = 6;
    let headers = exchange.request.headers.0.iter().chain(&exchange.response.headers.0);
    let in_headers: usize = headers.map(|(name, value)| name.len() + value.len() + QUOTES_COLON_AND_COMMA).sum();
    // The target is in `uri`, `url`, `upstream_uri` and `querystring`.
    FIXED + in_headers + 4 * exchange.request.target.len()
}

/// Returns the `url`, which in Kong's logs always has a port: the gateway's own where it is known,
/// whatever the client's `host` says.
fn url(exchange: &Exchange<'_>) -> Option<String> {
    let request = &exchange.request;
    let scheme = request.scheme.as_deref()?;
    let (host, port_of_host) = split_port(request.host.as_deref()?);
    let default_port = if scheme == "https" { "443" } else { "80" };
    let port = match (request.port, port_of_host) {
        (Some(port), _) => Cow::Owned(port.to_string()),
        (None, Some(port)) => Cow::Borrowed(port),
        (None, None) => Cow::Borrowed(default_port),
    };
    Some([scheme, "://", host, ":", &port, &request.target].concat())
}

/// Splits `example.com:8080` into host and port.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            (name, Some(port))
        }
        _ => (host, None),
    }
}

fn latencies(exchange: &Exchange<'_>) -> LatenciesJson {
    let crate::exchange::Latencies { request, upstream, receive } = exchange.latencies;
    let elsewhere = upstream.unwrap_or(0).saturating_add(receive.unwrap_or(0));
    LatenciesJson {
        kong: request.map(|request| request.saturating_sub(elsewhere)),
        proxy: match upstream {
            Some(upstream) => Some(i64::try_from(upstream).unwrap_or(i64::MAX)),
            // So Kong says that nothing was proxied; where a source is known, only the time is not.
            None => exchange.source.is_none().then_some(-1),
        },
        request,
        receive,
    }
}

#[derive(Serialize)]
struct Record<'a> {
    event_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    request: RequestJson<'a>,
    response: ResponseJson<'a>,
    latencies: LatenciesJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<WholeOrNamed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<WholeOrNamed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<Texts<'a, 3>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_entity: Option<Identified<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a str>,
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
struct RequestJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    method: &'a str,
    uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    querystring: QueryString<'a>,
    headers: HeadersJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Texts<'a, 3>>,
}

#[derive(Serialize)]
struct ResponseJson<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    headers: HeadersJson<'a>,
}

/// Latencies in milliseconds. `proxy` is -1 where no upstream was asked, as Kong has it.
#[derive(Serialize)]
struct LatenciesJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    kong: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive: Option<u64>,
}

/// A route or a service: whole, as the host has it, or by name.
#[derive(Serialize)]
#[serde(untagged)]
enum WholeOrNamed<'a> {
    Whole(&'a RawValue),
    Named {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
}

fn whole_or_named<'a>(entity: &'a Entity<'_>) -> WholeOrNamed<'a> {
    match entity.json {
        Some(whole) => WholeOrNamed::Whole(whole),
        None => WholeOrNamed::Named { name: entity.name.as_deref() },
    }
}

#[derive(Serialize)]
struct Identified<'a> {
    id: &'a str,
}

/// An object of texts, without the ones that are not known.
struct Texts<'a, const COUNT: usize>([(&'static str, Option<&'a str>); COUNT]);

impl<const COUNT: usize> Serialize for Texts<'_, COUNT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter_map(|(name, text)| Some((name, (*text)?))))
    }
}

fn tls<'a>(Tls { version, cipher, client_verify }: &'a Tls<'_>) -> Texts<'a, 3> {
    let (version, cipher) = (version.as_deref(), cipher.as_deref());
    Texts([("version", version), ("cipher", cipher), ("client_verify", client_verify.as_deref())])
}

fn person<'a>(Consumer { id, username, custom_id }: &'a Consumer<'_>) -> Texts<'a, 3> {
    Texts([("id", id.as_deref()), ("username", username.as_deref()), ("custom_id", custom_id.as_deref())])
}

/// A value of a header or of the query string.
#[derive(Serialize)]
#[serde(untagged)]
enum PairValue<'a> {
    Text(Cow<'a, str>),
    /// A key of the query string that has no value counts as `true`.
    Present(bool),
}

/// Writes an object; a name that came several times has an array of its values.
fn serialize_grouped<S: Serializer>(
    pairs: Vec<(Cow<'_, str>, PairValue<'_>)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    // The pairs of a request are a thousand at most, and only references are moved: a sort is 4 KB
    // of code.
    let mut ordered: Vec<&(Cow<'_, str>, PairValue<'_>)> = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        ordered.insert(ordered.partition_point(|earlier| earlier.0 <= pair.0), pair);
    }
    let groups = ordered.chunk_by(|(name, _), (other, _)| name == other);
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

struct HeadersJson<'a>(&'a Headers<'a>);

impl Serialize for HeadersJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs =
            self.0 .0.iter().map(|(name, value)| (name.as_ref().into(), PairValue::Text(value.as_ref().into())));
        serialize_grouped(pairs.collect(), serializer)
    }
}

struct QueryString<'a>(&'a str);

impl Serialize for QueryString<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.split('&').take(MAX_QUERY_PAIRS).filter_map(|pair| {
            // Kong's log has no parameter without a name.
            let (name, value) = form_urlencoded::parse(pair.as_bytes()).next().filter(|(name, _)| !name.is_empty())?;
            let value = if pair.contains('=') { PairValue::Text(value) } else { PairValue::Present(true) };
            Some((name, value))
        });
        serialize_grouped(pairs.collect(), serializer)
    }
}
