//! A request and its response as a file has them, in place of a gateway. Decides nothing.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use retrohook::clock::Timestamp;
use retrohook::exchange::{ClientRequest, ClientResponse, Consumer, Entity, Exchange, Headers, Latencies};
use serde_json::{Map, Value};

use crate::document::{of_json, of_yaml};
use crate::report::Failure;
use crate::source;

/// A request and its response.
#[derive(Debug)]
pub(crate) struct Recorded {
    name: String,
    request: Message,
    method: String,
    path: String,
    response: Message,
    status: u16,
    grpc_status: Option<u16>,
    /// Values that only a gateway knows, by name.
    known: Map<String, Value>,
}

/// Headers and body.
#[derive(Debug, Default)]
struct Message {
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The keys of a request, all but those of its message.
const OWN_KEYS: [&str; 3] = ["method", "path", "response"];

/// The keys of a message.
const MESSAGE_KEYS: [&str; 3] = ["headers", "body", "body_base64"];

/// Names of what a gateway may know beside: each a text.
const KNOWN_KEYS: [&str; 7] =
    ["client_ip", "request_id", "scheme", "route", "service", "consumer_id", "consumer_username"];

impl Recorded {
    /// Reads a file.
    pub(crate) fn read(name: &str) -> Result<Recorded, Failure> {
        let text = source::text(name)?;
        let name = source::shown(name).to_owned();
        let syntax = |line: usize, problem: &str| Failure::new(format!("{name}:{line}: {problem}"));
        let node = match of_json(&text) {
            Ok(node) => node,
            Err(fault) => match of_yaml(&text).as_deref() {
                Ok([document]) if !document.members().is_empty() => document.clone(),
                _ => return Err(syntax(fault.line, &fault.problem)),
            },
        };
        let value: Value = serde_json::from_str(&node.to_json()).unwrap_or_default();
        let Value::Object(mut keys) = value else { return Err(syntax(1, "is no object: give `method` and `path`")) };
        let refused = |problem: String| Failure::new(format!("{name}: {problem}"));
        let response = keys.remove("response").unwrap_or_default();
        let mut response = match response {
            Value::Object(response) => response,
            Value::Null => Map::new(),
            _ => return Err(refused("`response` is no object".to_owned())),
        };
        let message = |keys: &mut Map<String, Value>, of: &str| {
            Message::take(keys).map_err(|problem| refused(format!("{of}{problem}")))
        };
        let (request, of_response) = (message(&mut keys, "")?, message(&mut response, "response: ")?);
        let status = number(&mut response, "status").map_err(refused)?.unwrap_or(200);
        let grpc_status = number(&mut response, "grpc_status").map_err(refused)?;
        let mut own = |key: &str| match keys.remove(key) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(refused(format!("`{key}` is missing, or no text"))),
        };
        let (method, path) = (own("method")?, own("path")?);
        if !path.starts_with('/') {
            return Err(refused(
                "`path` does not begin with `/`: give it as a client sends it, with the query string".into(),
            ));
        }
        let unknown = keys.iter().find(|(key, value)| !KNOWN_KEYS.contains(&key.as_str()) || !value.is_string());
        if let Some(key) = unknown.map(|(key, _)| key).or(response.keys().next()) {
            let known = [&OWN_KEYS[..], &MESSAGE_KEYS, &KNOWN_KEYS].concat().join("`, `");
            return Err(refused(format!("`{key}` is not known here, or no text; known are `{known}` (docs/cli.md)")));
        }
        Ok(Recorded { name, request, method, path, response: of_response, status, grpc_status, known: keys })
    }

    /// Returns the request alone, with its body.
    pub(crate) fn request(&self) -> ClientRequest<'_> {
        ClientRequest {
            id: self.known("request_id"),
            method: Cow::Borrowed(&self.method),
            target: Cow::Borrowed(&self.path),
            scheme: Some(self.known("scheme").unwrap_or(Cow::Borrowed("https"))),
            host: self.request.header("host"),
            headers: self.request.headers(),
            body: self.request.body.as_slice().into(),
            ..ClientRequest::default()
        }
    }

    /// Returns the exchange, which began and ended now.
    pub(crate) fn exchange(&self, now: Timestamp) -> Exchange<'_> {
        let is_grpc = self.response.header("content-type").is_some_and(|it| it.starts_with("application/grpc"));
        let of_header = || self.response.header("grpc-status").and_then(|status| status.parse().ok());
        let entity = |key| self.known(key).map(|name| Entity { name: Some(name), json: None });
        Exchange {
            request: self.request(),
            response: ClientResponse {
                status: self.status,
                grpc_status: self.grpc_status.or_else(|| if is_grpc { of_header() } else { None }),
                headers: self.response.headers(),
                body: self.response.body.as_slice().into(),
                ..ClientResponse::default()
            },
            latencies: Latencies::default(),
            started_at: Some(now),
            client_ip: self.known("client_ip"),
            route: entity("route"),
            service: entity("service"),
            consumer: self.known("consumer_id").map(|id| Consumer {
                id: Some(id),
                username: self.known("consumer_username"),
                custom_id: None,
            }),
            ..Exchange::default()
        }
    }

    /// Returns the request in a few words.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns the status of its response.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Returns the name of its file.
    pub(crate) fn file(&self) -> &str {
        &self.name
    }

    fn known(&self, key: &str) -> Option<Cow<'_, str>> {
        self.known.get(key).and_then(Value::as_str).map(Cow::Borrowed)
    }
}

impl Message {
    /// Takes the keys of a message.
    fn take(keys: &mut Map<String, Value>) -> Result<Message, String> {
        let mut headers = Vec::new();
        match keys.remove("headers") {
            None | Some(Value::Null) => {}
            Some(Value::Object(named)) => {
                for (name, value) in named {
                    let values = match value {
                        Value::Array(values) => values,
                        value => vec![value],
                    };
                    for value in values {
                        let text =
                            scalar(value).ok_or_else(|| format!("the header `{name}` is no text, or list of texts"))?;
                        headers.push((name.to_ascii_lowercase(), text));
                    }
                }
            }
            Some(_) => return Err("`headers` is no object".to_owned()),
        }
        let body = match (keys.remove("body"), keys.remove("body_base64")) {
            (None | Some(Value::Null), None) => Vec::new(),
            (None | Some(Value::Null), Some(Value::String(text))) => {
                base64(&text).ok_or_else(|| "`body_base64` is no base64".to_owned())?
            }
            (Some(Value::String(text)), None) => text.into_bytes(),
            (Some(json), None) => json.to_string().into_bytes(),
            (_, Some(_)) => return Err("give `body` or `body_base64`, as a text".to_owned()),
        };
        Ok(Message { headers, body })
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| Cow::Borrowed(&**value))
    }

    fn headers(&self) -> Headers<'_> {
        Headers(self.headers.iter().map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value))).collect())
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(keys: &mut Map<String, Value>, key: &str) -> Result<Option<u16>, String> {
    match keys.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|number| u16::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("`response.{key}` is not a number such as 200")),
        },
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text.trim()).ok()
}

/// Returns the time: that of an argument, in RFC 3339 or in seconds since 1970, or now.
pub(crate) fn time(argument: Option<&str>) -> Result<Timestamp, Failure> {
    let Some(text) = argument else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        return Ok(Timestamp(u64::try_from(now).unwrap_or(u64::MAX)));
    };
    let seconds = text.parse::<u64>().ok().map(|seconds| Timestamp(seconds.saturating_mul(1_000)));
    seconds.or_else(|| Timestamp::from_rfc3339(text)).ok_or_else(|| {
        Failure::new(format!("{text}: is no time; give one such as 2026-01-01T12:00:00Z, or seconds since 1970"))
    })
}
