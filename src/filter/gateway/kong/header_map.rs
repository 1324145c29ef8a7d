//! The headers of a message on Kong: all of them, or if there are too many, some by name. Never
//! asks for a map that is longer than Kong can write safely.

use std::borrow::Cow;

use proxy_wasm::types::MapType;

use crate::capture::Captures;
use crate::exchange::template::Variable;
use crate::exchange::Headers;
use crate::filter::header_pairs::{count, pairs, pseudo};
use crate::filter::hostcalls::{self, text_of};
use crate::publish::route::Routes;

/// Kong cuts a map at 100 headers, and writes past its memory when it does. It adds four pseudo
/// headers to the request's own.
const MAX_REQUEST_HEADERS: usize = 96;

/// Kong adds up to nine headers of its own making to the response's.
const MAX_RESPONSE_HEADERS: usize = 90;

/// Headers to read of a request that has too many.
const REQUEST_HEADERS: [&str; 11] = [
    "host",
    "user-agent",
    "content-type",
    "accept",
    "referer",
    "x-forwarded-for",
    "x-request-id",
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-custom-id",
    "x-credential-identifier",
];

/// Headers to read of a response that has too many.
const RESPONSE_HEADERS: [&str; 5] = ["content-type", "content-length", "location", "etag", "grpc-status"];

/// Names of the headers to read where there are too many to read all: the usual ones, and those
/// that the configuration names.
pub(super) struct HeaderNames {
    request: Vec<String>,
    response: Vec<String>,
}

impl HeaderNames {
    /// Collects what the events of these routes and the messages of these captures need.
    pub(super) fn needed_by(routes: &Routes, captures: &Captures) -> HeaderNames {
        let mut names = HeaderNames {
            request: REQUEST_HEADERS.map(str::to_owned).into(),
            response: RESPONSE_HEADERS.map(str::to_owned).into(),
        };
        names.request.extend(captures.needed_headers());
        for variable in routes.variables().chain(captures.variables()) {
            let (known, name) = match variable {
                Variable::RequestHeader(name) => (&mut names.request, name),
                Variable::ResponseHeader(name) => (&mut names.response, name),
                _ => continue,
            };
            if !known.contains(name) {
                known.push(name.clone());
            }
        }
        names
    }
}

/// The headers of a message, as they were read.
pub(super) enum KongHeaders {
    /// All of them, as the host serialises them.
    Whole(Vec<u8>),
    /// Some, which were asked for by name.
    Some(Vec<(String, Vec<u8>)>),
}

impl KongHeaders {
    /// Reads the headers of the request, of which there are `count` now.
    pub(super) fn of_request(count: usize, names: &HeaderNames) -> KongHeaders {
        KongHeaders::read(MapType::HttpRequestHeaders, count <= MAX_REQUEST_HEADERS, &names.request)
    }

    /// Reads the headers of the response, of which there are `count` now.
    pub(super) fn of_response(count: usize, names: &HeaderNames) -> KongHeaders {
        KongHeaders::read(MapType::HttpResponseHeaders, count <= MAX_RESPONSE_HEADERS, &names.response)
    }

    fn read(map: MapType, whole: bool, names: &[String]) -> KongHeaders {
        if whole {
            return KongHeaders::Whole(hostcalls::header_map(map));
        }
        let found = names.iter().filter_map(|name| Some((name.clone(), hostcalls::header(map, name)?)));
        KongHeaders::Some(found.collect())
    }

    /// Reads these headers of the request, which are all that is asked for.
    pub(super) fn named(names: &[String]) -> KongHeaders {
        KongHeaders::read(MapType::HttpRequestHeaders, false, names)
    }

    /// Returns the headers of a message that has none.
    pub(super) fn none() -> KongHeaders {
        KongHeaders::Whole(Vec::new())
    }

    /// Returns the value of the header `wanted` (lower case).
    pub(super) fn value(&self, wanted: &str) -> Option<&[u8]> {
        match self {
            KongHeaders::Whole(map) => {
                pairs(map).find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).map(|(_, value)| value)
            }
            KongHeaders::Some(found) => {
                found.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice())
            }
        }
    }

    /// Returns true if some may be missing.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self, KongHeaders::Some(_))
    }

    /// Returns pseudo headers such as `:scheme`, if they were read with the others.
    pub(super) fn pseudo<const N: usize>(&self, wanted: [&str; N]) -> [Option<&str>; N] {
        match self {
            KongHeaders::Whole(map) => {
                pseudo(map, wanted).map(|value| value.and_then(|value| std::str::from_utf8(value).ok()))
            }
            KongHeaders::Some(_) => [None; N],
        }
    }

    /// Returns the headers without pseudo headers, and with names in lower case: Kong has them as
    /// the client wrote them.
    pub(super) fn headers(&self) -> Headers<'_> {
        match self {
            KongHeaders::Whole(map) => {
                let mut headers = Vec::with_capacity(count(map));
                for (name, value) in pairs(map) {
                    if !name.starts_with(b":") {
                        headers.push((lower_case(text_of(name)), text_of(value)));
                    }
                }
                Headers(headers)
            }
            KongHeaders::Some(found) => {
                let found = found.iter();
                Headers(found.map(|(name, value)| (name.as_str().into(), text_of(value))).collect())
            }
        }
    }
}

/// Returns a text without upper case.
#[inline]
pub(super) fn lower_case(mut text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_mut().make_ascii_lowercase();
    }
    text
}
