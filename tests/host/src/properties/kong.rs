//! Kong's properties: text, always. Most stand for an nginx variable; `kong.*` ask Kong's own Lua,
//! which is possible only while it runs the request.

use super::Property;
use crate::callback::Callback;
use crate::exchange::{normalised, Exchange};
use crate::vm::Vm;

/// Proxy-Wasm names and the nginx variables behind them.
const VARIABLES: [(&str, &str); 21] = [
    ("request.path", "request_uri"),
    ("request.url_path", "uri"),
    ("request.host", "hostname"),
    ("request.scheme", "scheme"),
    ("request.method", "request_method"),
    ("request.useragent", "http_user_agent"),
    ("request.referer", "http_referer"),
    ("request.id", "http_x_request_id"),
    ("request.protocol", "server_protocol"),
    ("request.query", "args"),
    ("request.duration", "request_time"),
    ("request.size", "content_length"),
    ("request.total_size", "request_length"),
    ("response.code", "status"),
    ("response.size", "body_bytes_sent"),
    ("response.total_size", "bytes_sent"),
    ("connection.requested_server_name", "ssl_server_name"),
    ("connection.tls_version", "ssl_protocol"),
    ("source.address", "remote_addr"),
    ("source.port", "remote_port"),
    ("destination.address", "proxy_protocol_addr"),
];

pub(super) fn find(vm: &mut Vm, path: &str) -> Property {
    if vm.in_root() {
        return match path {
            "plugin_name" => Some("retrohook").into(),
            _ => Property::Crash(format!("property \"{path}\" read in a root context")),
        };
    }
    if path.starts_with("kong.") {
        return entity(vm, path);
    }
    let random = path == "ngx.request_id";
    if random {
        let bytes: Vec<u8> = (0..16).map(|_| vm.random_byte()).collect();
        return Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).into();
    }
    let Some(stream) = vm.stream() else { return Property::Absent };
    let exchange = &stream.exchange;
    if let Some(set) = exchange.spec.properties.get(path) {
        return set.as_deref().into();
    }
    if path == "ngx.retrohook_exchange" {
        return mapped(vm).into();
    }
    if let Some(name) = path.strip_prefix("request.headers.") {
        return exchange.request.get(name).into();
    }
    if let Some(name) = path.strip_prefix("response.headers.") {
        return exchange.response.get(name).into();
    }
    let variable = match VARIABLES.iter().find(|(name, _)| *name == path) {
        Some((_, variable)) => variable,
        None => match path.strip_prefix("ngx.") {
            Some(variable) => variable,
            None => return own(exchange, path),
        },
    };
    nginx_variable(vm, exchange, variable).into()
}

/// The file of the project that Kong's nginx includes.
const SHIPPED: &str = include_str!("../../../../kong/retrohook-aws.conf");

/// The variable that the shipped file makes of others; one of them without a value is empty.
fn mapped(vm: &mut Vm) -> Option<Vec<u8>> {
    let (_, map) = SHIPPED.split_once("$retrohook_exchange {")?;
    let mut value = Vec::new();
    for (position, name) in map.split('"').nth(1)?.split("\\n").enumerate() {
        value.extend((position > 0).then_some(b'\n'));
        if let Property::Value(text) = find(vm, &name.replacen('$', "ngx.", 1)) {
            value.extend(text);
        }
    }
    Some(value)
}

/// Properties that the module computes without a variable.
fn own(exchange: &Exchange, path: &str) -> Property {
    let verified = exchange.spec.tls.as_ref().is_some_and(|tls| tls.client_verified);
    match path {
        "request.time" => Some(seconds(exchange.started_at)).into(),
        "connection.mtls" => Some(verified.to_string()).into(),
        "connection.id" => Some("7").into(),
        "plugin_name" => Some("retrohook").into(),
        "upstream.address" if exchange.spec.upstream.is_none() => {
            Property::Crash("\"upstream.address\" of a request that was not proxied".into())
        }
        "upstream.address" => {
            exchange.spec.upstream.as_deref().and_then(|address| Some(address.rsplit_once(':')?.0)).into()
        }
        "upstream.port" => {
            exchange.spec.upstream.as_deref().and_then(|address| Some(address.rsplit_once(':')?.1)).into()
        }
        _ => Property::Absent,
    }
}

/// `kong.*`: in the log phase only what was read while the request's headers were handled.
fn entity(vm: &mut Vm, path: &str) -> Property {
    let callback = vm.callback();
    let late = matches!(callback, Callback::Log | Callback::Done | Callback::Delete);
    let node = |name: &str| match name {
        "kong.node.id" => Some("2f3a7c0e-7a51-4c7e-8d6c-1f4a4c1f2b90".to_owned()),
        "kong.version" => Some("3.9.3".to_owned()),
        _ => None,
    };
    if matches!(path, "kong.response.source" | "kong.service.response.status")
        || path.starts_with("kong.configuration.")
    {
        return Property::Trap(format!("could not get \"{path}\": not available in this phase"));
    }
    let id = vm.context_id();
    let Some(stream) = vm.stream_mut(id) else { return Property::Absent };
    let kept = stream.kept_properties.contains(path);
    if late && !kept {
        let traps = ["kong.router.", "kong.client.", "kong.request."].iter().any(|prefix| path.starts_with(prefix));
        return match traps {
            true => Property::Trap(format!("could not get \"{path}\": not available in this phase")),
            false => Property::Absent,
        };
    }
    if callback == Callback::RequestHeaders {
        stream.kept_properties.insert(path.to_owned());
    }
    let exchange = &stream.exchange;
    let spec = &exchange.spec;
    if let Some(set) = spec.properties.get(path) {
        return set.as_deref().into();
    }
    let authority = spec.authority.as_deref().map(|host| String::from_utf8_lossy(host).into_owned());
    let (host, port) = match authority.as_deref().map(|text| text.rsplit_once(':').unwrap_or((text, ""))) {
        Some((host, port)) => (Some(host.to_owned()), port.to_owned()),
        None => (None, String::new()),
    };
    let default_port = if spec.tls.is_some() { "443" } else { "80" };
    match path {
        "kong.router.route" => spec.route.clone(),
        "kong.router.service" => spec.service.clone(),
        "kong.route_id" => field(spec.route.as_deref(), "id"),
        "kong.route_name" => field(spec.route.as_deref(), "name"),
        "kong.service_id" => field(spec.service.as_deref(), "id"),
        "kong.service_name" => field(spec.service.as_deref(), "name"),
        "kong.request.forwarded_host" => host,
        "kong.request.forwarded_port" => Some(if port.is_empty() { default_port.into() } else { port }),
        "kong.request.forwarded_scheme" | "kong.client.protocol" => Some(exchange.scheme().to_owned()),
        other => node(other),
    }
    .into()
}

/// A text field of an entity's JSON, found by its quotes: the entities in tests are written
/// plainly.
fn field(entity: Option<&str>, name: &str) -> Option<String> {
    let (_, after) = entity?.split_once(&format!("\"{name}\""))?;
    after.trim_start_matches([' ', ':']).strip_prefix('"')?.split('"').next().map(str::to_owned)
}

fn nginx_variable(vm: &Vm, exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    let spec = &exchange.spec;
    let tls = spec.tls.as_ref();
    let responded =
        !matches!(vm.callback(), Callback::ContextCreate | Callback::RequestHeaders | Callback::RequestBody);
    let seconds_of = |duration: std::time::Duration| format!("{:.3}", duration.as_secs_f64());
    let upstream = spec.upstream.as_deref().filter(|_| responded);
    let text = |value: &str| Some(value.as_bytes().to_vec());
    let path = spec.path.as_deref().map(normalised);
    let uri = || path.clone().and_then(|path| path.split(|byte| *byte == b'?').next().map(<[u8]>::to_vec));
    let (raw_path, query) = exchange.path_and_query().unzip();
    match name {
        "request_uri" => spec.path.clone(),
        "uri" => uri(),
        "args" => query.flatten().filter(|query| !query.is_empty()).map(<[u8]>::to_vec),
        "hostname" => text("worker-7f9c"),
        "scheme" => text(exchange.scheme()),
        "https" => tls.and_then(|_| text("on")),
        "host" => spec.authority.as_deref().map(<[u8]>::to_ascii_lowercase),
        "request_method" => Some(spec.method.clone()),
        "server_protocol" => text(&spec.protocol),
        "server_name" => text(&vm.rules.server_name),
        "server_port" => text("8000"),
        "request_time" => text(&seconds_of(spec.duration)),
        "content_length" if !spec.request_body.is_empty() => text(&exchange.request_body_len().to_string()),
        "request_length" => {
            let line = raw_path.map_or(0, <[u8]>::len) + spec.method.len() + 12;
            text(&(line + spec.request_headers.size() + exchange.request_body_len()).to_string())
        }
        "status" => text(&if responded { spec.status.to_string() } else { "000".into() }),
        "body_bytes_sent" => text(&if responded { exchange.response_body_len() } else { 0 }.to_string()),
        "bytes_sent" if responded => text(&(exchange.response_body_len() + exchange.response.size()).to_string()),
        "bytes_sent" => text("0"),
        "remote_addr" | "realip_remote_addr" => text(&spec.client.0),
        "remote_port" | "realip_remote_port" => text(&spec.client.1.to_string()),
        "upstream_addr" => text(upstream?),
        "upstream_status" => upstream.and_then(|_| text(&spec.status.to_string())),
        "upstream_header_time" => upstream.and_then(|_| text(&seconds_of(spec.upstream_latency / 3 * 2))),
        "upstream_response_time" => upstream.and_then(|_| text(&seconds_of(spec.upstream_latency))),
        "upstream_uri" => spec.upstream.as_ref().and(spec.rewritten_path.clone().or(path)),
        "upstream_trailer_grpc_status" => {
            upstream.and_then(|_| spec.response_trailers.get("grpc-status").map(<[u8]>::to_vec))
        }
        "kong_request_id" => spec.request_id.as_deref().and_then(text),
        "ssl_server_name" => tls.and_then(|tls| text(&tls.server_name)),
        "ssl_protocol" => tls.and_then(|tls| text(&tls.version)),
        "ssl_cipher" => tls.and_then(|_| text("TLS_AES_256_GCM_SHA384")),
        "ssl_client_verify" => tls.and_then(|tls| text(if tls.client_verified { "SUCCESS" } else { "NONE" })),
        "msec" => text(&seconds(vm.now)),
        _ => header_variable(exchange, name, responded),
    }
}

/// `http_NAME` and `sent_http_NAME`, dashes written as underscores.
fn header_variable(exchange: &Exchange, name: &str, responded: bool) -> Option<Vec<u8>> {
    let find = |headers: &crate::headers::Headers, wanted: &str| {
        let same = |header: &[u8]| {
            header.to_ascii_lowercase().iter().map(|b| if *b == b'-' { b'_' } else { *b }).eq(wanted.bytes())
        };
        headers.0.iter().find(|(header, _)| same(header)).map(|(_, value)| value.clone())
    };
    match (name.strip_prefix("http_"), name.strip_prefix("sent_http_")) {
        (Some(wanted), _) => find(&exchange.request, wanted),
        (_, Some(wanted)) if responded => find(&exchange.response, wanted),
        _ => None,
    }
}

fn seconds(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1000)
}
