//! Envoy's properties: typed values. Integers, times and durations are eight bytes, little-endian,
//! times and durations in nanoseconds; a boolean is one byte.

use super::Property;
use crate::callback::Callback;
use crate::contexts::Context;
use crate::exchange::{nanos, Exchange};
use crate::headers::Headers;
use crate::spec::Ending;
use crate::vm::Vm;

fn number(value: u64) -> Property {
    Property::Value(value.to_le_bytes().to_vec())
}

fn boolean(value: bool) -> Property {
    Property::Value(vec![u8::from(value)])
}

fn text(value: Option<&str>) -> Property {
    value.into()
}

fn header(headers: Option<&Headers>, name: &str) -> Property {
    headers.and_then(|headers| headers.get(name)).into()
}

/// All lines of a header, with commas between them.
fn lines(headers: Option<&Headers>, name: &str) -> Property {
    let has_name = |(key, _): &&(Vec<u8>, Vec<u8>)| key.eq_ignore_ascii_case(name.as_bytes());
    let lines: Vec<&[u8]> =
        headers.iter().flat_map(|headers| headers.0.iter().filter(has_name)).map(|(_, value)| &value[..]).collect();
    (!lines.is_empty()).then(|| lines.join(&b","[..])).into()
}

/// What is readable now: Envoy takes a header map back once its callback has said Continue, and
/// shows both again to the access log.
struct View<'a> {
    exchange: &'a Exchange,
    request: Option<&'a Headers>,
    response: Option<&'a Headers>,
    over: bool,
    responded: bool,
}

fn view(vm: &Vm) -> Option<View<'_>> {
    let context = vm.context()?;
    let exchange = context.exchange()?;
    let callback = vm.callback();
    let logging = callback == Callback::Log;
    let (request_held, response_held) = match context {
        Context::Root(_) => (true, true),
        Context::Stream(stream) => (stream.request_headers_held, stream.response_headers_held),
    };
    let before_response =
        matches!(callback, Callback::ContextCreate | Callback::RequestHeaders | Callback::RequestBody);
    Some(View {
        exchange,
        request: (logging || request_held).then_some(&exchange.request),
        response: (logging || response_held).then_some(&exchange.response),
        over: matches!(callback, Callback::Log | Callback::Done | Callback::Delete),
        responded: !before_response,
    })
}

pub(super) fn find(vm: &Vm, path: &str) -> Property {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match (first, rest) {
        ("plugin_name" | "plugin_vm_id", "") => return text(Some("retrohook")),
        ("plugin_root_id", "") => return text(Some("")),
        ("listener_direction", "") => return number(1),
        ("node", "id") => return text(Some("test-node")),
        ("node", "cluster") => return text(Some("test-cluster")),
        _ => {}
    }
    let Some(view) = view(vm) else { return Property::Absent };
    let spec = &view.exchange.spec;
    if let Some(set) = spec.properties.get(path) {
        return set.as_deref().into();
    }
    match first {
        "request" => request(&view, rest),
        "response" => response(&view, rest),
        "source" => match rest {
            "address" => Property::Value(format!("{}:{}", spec.client.0, spec.client.1).into_bytes()),
            "port" => number(u64::from(spec.client.1)),
            _ => Property::Absent,
        },
        "connection" => connection(&view, rest),
        "connection_id" => number(7),
        "upstream" => upstream(&view, rest),
        "xds" => match rest {
            "route_name" => text(spec.route.as_deref()),
            "cluster_name" => text(spec.service.as_deref()),
            "virtual_host_name" | "listener_name" | "filter_chain_name" => text(Some("")),
            _ => Property::Absent,
        },
        "route_name" => text(Some(spec.route.as_deref().unwrap_or_default())),
        "cluster_name" => text(spec.service.as_deref()),
        _ => Property::Absent,
    }
}

fn request(view: &View<'_>, name: &str) -> Property {
    let spec = &view.exchange.spec;
    let (path, query) = view.exchange.path_and_query().unzip();
    match name {
        "path" => header(view.request, ":path"),
        "url_path" => view.request.and(path).into(),
        "query" => view.request.and(path).map(|_| query.flatten().unwrap_or_default()).into(),
        "host" => header(view.request, ":authority"),
        "scheme" => header(view.request, ":scheme"),
        "method" => header(view.request, ":method"),
        "referer" => header(view.request, "referer"),
        "useragent" => header(view.request, "user-agent"),
        "id" => header(view.request, "x-request-id"),
        "protocol" => text(Some(&spec.protocol)),
        "time" => number(view.exchange.started_at),
        "duration" if view.over => number(nanos(spec.duration)),
        "size" => number(view.exchange.request_body_len() as u64),
        "total_size" => number((view.exchange.request.size() + view.exchange.request_body_len()) as u64),
        _ => match name.strip_prefix("headers.") {
            Some(name) => lines(view.request, name),
            None => Property::Absent,
        },
    }
}

fn response(view: &View<'_>, name: &str) -> Property {
    let spec = &view.exchange.spec;
    match name {
        "code" if spec.ending == Ending::NoResponse => Property::Absent,
        "code" if view.responded => number(u64::from(spec.status)),
        "code_details" if view.responded => text(Some(match &spec.ending {
            Ending::NoResponse => "downstream_remote_disconnect",
            Ending::CutOff(details) if view.over => details,
            _ if spec.upstream.is_some() => "via_upstream",
            _ => "direct_response",
        })),
        "flags" => number(0),
        "size" if view.over => number(view.exchange.response_body_len() as u64),
        "total_size" if view.over => number((view.exchange.response.size() + view.exchange.response_body_len()) as u64),
        "backend_latency" if view.over && spec.upstream.is_some() && spec.ending == Ending::Whole => {
            number(nanos(spec.upstream_latency))
        }
        _ => match name.strip_prefix("headers.") {
            Some(name) => lines(view.response, name),
            None => Property::Absent,
        },
    }
}

fn connection(view: &View<'_>, name: &str) -> Property {
    let tls = view.exchange.spec.tls.as_ref();
    match name {
        "mtls" => boolean(tls.is_some_and(|tls| tls.client_verified)),
        "requested_server_name" => text(Some(tls.map_or("", |tls| &tls.server_name))),
        "tls_version" => text(tls.map(|tls| tls.version.as_str())),
        "id" => number(7),
        _ => Property::Absent,
    }
}

fn upstream(view: &View<'_>, name: &str) -> Property {
    let Some(address) = view.exchange.spec.upstream.as_deref().filter(|_| view.responded) else {
        return Property::Absent;
    };
    match name {
        "address" => text(Some(address)),
        "port" => match address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()) {
            Some(port) => number(port),
            None => Property::Absent,
        },
        _ => Property::Absent,
    }
}
