//! The message of an event, in the JSON shape of Kong's file-log plugin (Kong Gateway
//! documentation, "Log format"). Fields of our own: `event_id`, `event_type`, `truncated` where
//! something was cut, bodies, and what the response says of gRPC and of its end. What the host does
//! not know is absent.

use std::borrow::Cow;

use crate::exchange::body::{Body, BodyValue, Omission};
use crate::exchange::{ClientRequest, ClientResponse, Consumer, Entity, Exchange, Headers, Tls};
use crate::json::object::ObjectWriter;
use crate::json::push_string;

/// Parameters that `querystring` holds at most; `uri` has them all. One request can have ten
/// thousands.
const MAX_QUERY_PAIRS: usize = 1_000;

/// Returns the message of one exchange.
pub(super) fn message(exchange: &Exchange<'_>, id: &str, event_type: Option<&str>, truncated: &[&str]) -> String {
    let request = &exchange.request;
    // So many pairs have at least a byte each.
    let has_too_many_pairs =
        request.target.len() > MAX_QUERY_PAIRS && request.query().split('&').nth(MAX_QUERY_PAIRS).is_some();
    let of_query = has_too_many_pairs.then_some("request.querystring");
    let truncated: Vec<&str> = truncated.iter().copied().chain(of_query).collect();
    let mut json = String::with_capacity(expected_size(exchange));
    write_record(&mut json, exchange, id, event_type, &truncated);
    json
}

fn write_record(json: &mut String, exchange: &Exchange<'_>, id: &str, event_type: Option<&str>, truncated: &[&str]) {
    let mut record = ObjectWriter::begin(json);
    record.text(",\"event_id\":", Some(id));
    record.text(",\"event_type\":", event_type);
    write_request(record.member(",\"request\":"), &exchange.request, url(exchange).as_deref());
    write_response(record.member(",\"response\":"), &exchange.response);
    write_latencies(record.member(",\"latencies\":"), exchange);
    for (key, entity) in [(",\"route\":", &exchange.route), (",\"service\":", &exchange.service)] {
        if let Some(entity) = entity {
            write_entity(record.member(key), entity);
        }
    }
    if let Some(Consumer { id, username, custom_id }) = &exchange.consumer {
        let texts = [(",\"id\":", id), (",\"username\":", username), (",\"custom_id\":", custom_id)];
        write_texts(record.member(",\"consumer\":"), &texts);
    }
    if exchange.credential_id.is_some() {
        write_texts(record.member(",\"authenticated_entity\":"), &[(",\"id\":", &exchange.credential_id)]);
    }
    record.text(",\"workspace\":", exchange.workspace.as_deref());
    record.text(",\"client_ip\":", exchange.client_ip.as_deref());
    record.number(",\"started_at\":", exchange.started_at.map(|started| started.0));
    record.text(",\"upstream_uri\":", exchange.upstream_uri.as_deref());
    record.text(",\"upstream_status\":", exchange.upstream_status.as_deref());
    record.text(",\"source\":", exchange.source.as_deref());
    if !truncated.is_empty() {
        let values = truncated.iter().map(|part| Some(*part));
        push_list(record.member(",\"truncated\":"), values);
    }
    record.end();
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
    let in_bodies = exchange.body_bytes();
    // Quotes are escaped, and base64 is a third longer.
    FIXED + in_headers + 4 * exchange.request.target.len() + in_bodies + in_bodies / 2
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
    let parts = [scheme, "://", host, ":", &port, &request.target];
    // `concat` takes twice as long for parts so short.
    let mut url = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| url.push_str(part));
    Some(url)
}

/// Splits `example.com:8080` into host and port.
fn split_port(host: &str) -> (&str, Option<&str>) {
    let end = host.bytes().rposition(|byte| byte == b':');
    match end.and_then(|end| Some((host.get(..end)?, host.get(end + 1..)?))) {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            (name, Some(port))
        }
        _ => (host, None),
    }
}

/// Writes latencies in milliseconds.
fn write_latencies(json: &mut String, exchange: &Exchange<'_>) {
    let crate::exchange::Latencies { request, upstream, receive } = exchange.latencies;
    let elsewhere = upstream.unwrap_or(0).saturating_add(receive.unwrap_or(0));
    let mut latencies = ObjectWriter::begin(json);
    latencies.number(",\"kong\":", request.map(|request| request.saturating_sub(elsewhere)));
    match upstream {
        Some(upstream) => latencies.number(",\"proxy\":", Some(upstream)),
        // So Kong says that nothing was proxied; where a source is known, only the time is not.
        None if exchange.source.is_none() => latencies.member(",\"proxy\":").push_str("-1"),
        None => {}
    }
    latencies.number(",\"request\":", request);
    latencies.number(",\"receive\":", receive);
    latencies.end();
}

fn write_request(json: &mut String, request: &ClientRequest<'_>, url: Option<&str>) {
    let mut object = ObjectWriter::begin(json);
    object.text(",\"id\":", request.id.as_deref());
    object.text(",\"method\":", Some(&request.method));
    object.text(",\"uri\":", Some(&request.target));
    object.text(",\"url\":", url);
    object.number(",\"size\":", request.size);
    write_query(object.member(",\"querystring\":"), request.query());
    write_headers(object.member(",\"headers\":"), &request.headers);
    if let Some(Tls { version, cipher, client_verify }) = &request.tls {
        let texts = [(",\"version\":", version), (",\"cipher\":", cipher), (",\"client_verify\":", client_verify)];
        write_texts(object.member(",\"tls\":"), &texts);
    }
    if let Some(body) = request.body.get() {
        if body.is_unended {
            object.member(",\"complete\":").push_str("false");
        }
        write_body(&mut object, body);
    }
    object.end();
}

fn write_response(json: &mut String, response: &ClientResponse<'_>) {
    let mut object = ObjectWriter::begin(json);
    object.number(",\"status\":", Some(response.status.into()));
    object.number(",\"grpc_status\":", response.grpc_status.map(u64::from));
    if response.broke_off {
        object.member(",\"complete\":").push_str("false");
    }
    object.text(",\"details\":", response.details.as_deref());
    object.number(",\"size\":", response.size);
    write_headers(object.member(",\"headers\":"), &response.headers);
    if let Some(body) = response.body.get() {
        write_body(&mut object, body);
    }
    object.end();
}

/// Writes a body, and what has to be known to read it.
#[inline(never)]
fn write_body(object: &mut ObjectWriter<'_>, body: &Body<'_>) {
    if let Some(value) = body.value() {
        let is_base64 = matches!(value, BodyValue::Base64(_));
        match &value {
            BodyValue::Json(json) => object.member(",\"body\":").push_str(json.get()),
            BodyValue::Text(text) => object.text(",\"body\":", Some(text)),
            BodyValue::Base64(text) => object.text(",\"body\":", Some(text)),
        }
        object.text(",\"body_encoding\":", is_base64.then_some("base64"));
        object.text(",\"body_compression\":", body.compression);
    }
    object.text(",\"body_left_out\":", body.omission().map(Omission::as_str));
}

/// Writes a route or a service: whole, as the host has it, or by name.
fn write_entity(json: &mut String, entity: &Entity<'_>) {
    match entity.json {
        Some(whole) => json.push_str(whole.get()),
        None => write_texts(json, &[(",\"name\":", &entity.name)]),
    }
}

/// Writes an object of texts, without the ones that are not known.
#[inline(never)]
fn write_texts(json: &mut String, texts: &[(&'static str, &Option<Cow<'_, str>>)]) {
    let mut object = ObjectWriter::begin(json);
    texts.iter().for_each(|(key, text)| object.text(key, text.as_deref()));
    object.end();
}

fn write_headers(json: &mut String, headers: &Headers<'_>) {
    let pairs = headers.0.iter().map(|(name, value)| (&**name, Some(&**value)));
    write_grouped(json, headers.0.len(), &mut pairs.into_iter());
}

/// Writes the parameters of a query. A key that has no value counts as `true`.
fn write_query(json: &mut String, query: &str) {
    if query.is_empty() {
        return json.push_str("{}");
    }
    let parsed = query.split('&').take(MAX_QUERY_PAIRS).filter_map(|pair| {
        // Kong's log has no parameter without a name.
        let (name, value) = form_urlencoded::parse(pair.as_bytes()).next().filter(|(name, _)| !name.is_empty())?;
        Some((name, pair.contains('=').then_some(value)))
    });
    let pairs: Vec<(Cow<'_, str>, Option<Cow<'_, str>>)> = parsed.collect();
    write_grouped(json, pairs.len(), &mut pairs.iter().map(|(name, value)| (&**name, value.as_deref())));
}

/// Writes an object; a name that came several times has an array of its values.
#[inline(never)]
fn write_grouped<'a>(json: &mut String, count: usize, pairs: &mut dyn Iterator<Item = (&'a str, Option<&'a str>)>) {
    // The pairs of a request are a thousand at most, and only references are moved: a sort is 4 KB
    // of code.
    let mut ordered: Vec<(&str, Option<&str>)> = Vec::with_capacity(count);
    for pair in pairs {
        ordered.insert(ordered.partition_point(|earlier| earlier.0 <= pair.0), pair);
    }
    let mut separator = '{';
    for group in ordered.chunk_by(|(name, _), (other, _)| name == other) {
        let Some((name, value)) = group.first() else { continue };
        json.push(separator);
        separator = ',';
        push_string(json, name);
        json.push(':');
        match group {
            [_] => push_value(json, *value),
            _ => push_list(json, group.iter().map(|(_, value)| *value)),
        }
    }
    if separator == '{' {
        json.push('{');
    }
    json.push('}');
}

fn push_list<'a>(json: &mut String, values: impl Iterator<Item = Option<&'a str>>) {
    json.push('[');
    for (position, value) in values.enumerate() {
        if position > 0 {
            json.push(',');
        }
        push_value(json, value);
    }
    json.push(']');
}

fn push_value(json: &mut String, value: Option<&str>) {
    match value {
        Some(text) => push_string(json, text),
        None => json.push_str("true"),
    }
}
