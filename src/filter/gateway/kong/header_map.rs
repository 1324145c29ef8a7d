//! The headers of a message on Kong: all of them, or where there are too many, some.

use std::borrow::Cow;

use proxy_wasm::types::MapType;

use crate::capture::Captures;
use crate::exchange::template::Variable;
use crate::exchange::Headers;
use crate::filter::header_pairs::pairs;
use crate::filter::hostcalls;
use crate::publish::route::Routes;

/// A map is cut at 100 headers, and what Kong writes beyond its memory is written then. It adds four pseudo headers to those of
/// the request, and up to nine that it makes itself to those of the response.
const MAX_REQUEST_HEADERS: usize = 96;
const MAX_RESPONSE_HEADERS: usize = 90;

/// What is read of a request with more headers.
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

/// What is read of a response with more headers.
const RESPONSE_HEADERS: [&str; 4] = ["content-type", "content-length", "location", "etag"];

/// The headers to ask for by name where there are too many to ask for all: the usual ones, and those that the configuration
/// names.
pub struct Wanted {
    request: Vec<String>,
    response: Vec<String>,
}

impl Wanted {
    /// What the events of these routes and the messages of these captures need.
    pub fn by(routes: &Routes, captures: &Captures) -> Wanted {
        let mut wanted = Wanted {
            request: REQUEST_HEADERS.map(str::to_owned).into(),
            response: RESPONSE_HEADERS.map(str::to_owned).into(),
        };
        wanted.request.extend(captures.needed_headers());
        for variable in routes.variables().chain(captures.variables()) {
            let (names, name) = match variable {
                Variable::RequestHeader(name) => (&mut wanted.request, name),
                Variable::ResponseHeader(name) => (&mut wanted.response, name),
                _ => continue,
            };
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        wanted
    }
}

/// The headers of a message, as they were read.
pub enum HeaderMap {
    /// All of them, as the host serialises them.
    Whole(Vec<u8>),
    /// Those that were asked for by name.
    Some(Vec<(String, Vec<u8>)>),
}

impl HeaderMap {
    /// Those of the request, of which there are `count` now.
    pub fn of_request(count: usize, wanted: &Wanted) -> HeaderMap {
        HeaderMap::read(MapType::HttpRequestHeaders, count <= MAX_REQUEST_HEADERS, &wanted.request)
    }

    /// Those of the response, of which there are `count` now.
    pub fn of_response(count: usize, wanted: &Wanted) -> HeaderMap {
        HeaderMap::read(MapType::HttpResponseHeaders, count <= MAX_RESPONSE_HEADERS, &wanted.response)
    }

    fn read(map: MapType, whole: bool, wanted: &[String]) -> HeaderMap {
        if whole {
            return HeaderMap::Whole(hostcalls::header_map(map));
        }
        let found = wanted.iter().filter_map(|name| Some((name.clone(), hostcalls::header(map, name)?)));
        HeaderMap::Some(found.collect())
    }

    /// Whether some may be missing.
    pub fn is_cut(&self) -> bool {
        matches!(self, HeaderMap::Some(_))
    }

    /// A pseudo header such as `:scheme`, if it was read with the others.
    pub fn pseudo(&self, wanted: &str) -> Option<&str> {
        let HeaderMap::Whole(map) = self else { return None };
        let (_, value) = pairs(map).find(|(name, _)| *name == wanted.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// Without pseudo headers, and with names in lower case: Kong has them as the client wrote them.
    pub fn headers(&self) -> Headers<'_> {
        match self {
            HeaderMap::Whole(map) => {
                let own = pairs(map).filter(|(name, _)| !name.starts_with(b":"));
                Headers(own.map(|(name, value)| (lower_case(name), String::from_utf8_lossy(value))).collect())
            }
            HeaderMap::Some(found) => {
                let found = found.iter();
                Headers(found.map(|(name, value)| (name.as_str().into(), String::from_utf8_lossy(value))).collect())
            }
        }
    }
}

fn lower_case(name: &[u8]) -> Cow<'_, str> {
    let mut name = String::from_utf8_lossy(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_mut().make_ascii_lowercase();
    }
    name
}
