//! An exchange as a host holds it: the description of it turned into the header maps and sizes of
//! that host.

use crate::headers::Headers;
use crate::profile::{Profile, Rules};
use crate::spec::{Ending, ExchangeSpec};

#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub spec: ExchangeSpec,
    pub request: Headers,
    pub response: Headers,
    /// Nanoseconds since the epoch.
    pub started_at: u64,
}

impl Exchange {
    /// Makes the exchange of this `number`. No two begin in one microsecond, or have one id, unless
    /// the test has given it.
    pub(crate) fn new(rules: &Rules, spec: &ExchangeSpec, now: u64, number: u32) -> Exchange {
        let mut spec = spec.clone();
        if let (Some(id), true) = (&mut spec.request_id, number > 0 && spec.has_default_id) {
            id.replace_range(28.., &format!("{number:08x}"));
        }
        let never_began = spec.ending == Ending::NoResponse;
        if never_began {
            spec.status = if rules.is_kong() { 499 } else { 0 };
        }
        let (request, mut response) = match rules.profile {
            Profile::Envoy => envoy_maps(&spec),
            Profile::Kong => kong_maps(rules, &spec),
        };
        if never_began {
            response = Headers::default();
        }
        let started_at = now.saturating_sub(nanos(spec.duration)) + u64::from(number % 1_000) * 1_000;
        Exchange { spec, request, response, started_at }
    }

    /// Envoy's router changes the header map of the request on its way to the upstream.
    pub(crate) fn rewrite_path(&mut self, rules: &Rules) {
        let path = self.request.get(":path").map(<[u8]>::to_vec);
        if let (Some(path), Some(rewritten), false) = (path, &self.spec.rewritten_path, rules.is_kong()) {
            self.request.replace(b"x-envoy-original-path", &path);
            self.request.replace(b":path", rewritten);
        }
    }

    /// The headers that the callback hears of: Kong does not count its pseudo headers.
    pub(crate) fn announced(&self, rules: &Rules, headers: &Headers) -> u32 {
        let pseudo = headers.0.iter().filter(|(name, _)| name.starts_with(b":")).count();
        let counted = if rules.is_kong() { headers.len() - pseudo } else { headers.len() };
        counted as u32
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.spec.tls.is_some() {
            "https"
        } else {
            "http"
        }
    }

    pub(crate) fn request_body_len(&self) -> usize {
        self.spec.request_body.iter().map(Vec::len).sum()
    }

    pub(crate) fn response_body_len(&self) -> usize {
        self.spec.response_body.iter().map(Vec::len).sum()
    }

    /// The client's own path, without and with its query string.
    pub(crate) fn path_and_query(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let target = self.spec.path.as_deref()?;
        let mut parts = target.splitn(2, |byte| *byte == b'?');
        Some((parts.next()?, parts.next()))
    }
}

pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn envoy_maps(spec: &ExchangeSpec) -> (Headers, Headers) {
    let mut request = Headers::default();
    if let Some(authority) = &spec.authority {
        request.add(":authority", authority);
    }
    if let Some(path) = &spec.path {
        request.add(":path", path);
    }
    request.add(":method", &spec.method);
    request.add(":scheme", if spec.tls.is_some() { "https" } else { "http" });
    request.0.extend(spec.request_headers.clone().lower_case().0);
    if let (Some(id), None) = (&spec.request_id, spec.request_headers.get("x-request-id")) {
        request.add("x-request-id", id);
    }
    let mut response: Headers = [(":status", spec.status.to_string())].into_iter().collect();
    response.0.extend(spec.response_headers.clone().lower_case().0);
    (request, response)
}

fn kong_maps(rules: &Rules, spec: &ExchangeSpec) -> (Headers, Headers) {
    let mut request = Headers::default();
    if let Some(path) = spec.path.as_deref().map(normalised) {
        request.add(":path", path);
    }
    request.add(":method", &spec.method);
    request.add(":scheme", if spec.tls.is_some() { "https" } else { "http" });
    request.add(":authority", format!("{}:8000", rules.server_name));
    if let Some(authority) = &spec.authority {
        request.add("Host", authority);
    }
    request.0.extend(spec.request_headers.0.clone());
    let mut response = Headers::default();
    // The same as the property, with or without a value.
    if spec.properties.get("response.code") != Some(&None) {
        response.add(":status", spec.status.to_string());
    }
    response.0.extend(spec.response_headers.0.clone());
    (request, response)
}

/// What nginx makes of a request target: percent escapes decoded, slashes merged, dot segments
/// resolved; the query string as it was.
pub(crate) fn normalised(target: &[u8]) -> Vec<u8> {
    // A fragment is no part of it.
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let path = decoded(parts.next().unwrap_or_default());
    let mut segments: Vec<&[u8]> = Vec::new();
    let all: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    for segment in &all {
        match *segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let ends_in_slash = matches!(all.last(), Some(&b"" | &b"." | &b".."));
    let mut uri: Vec<u8> = segments.iter().flat_map(|segment| [b"/".as_slice(), segment].concat()).collect();
    if ends_in_slash || uri.is_empty() {
        uri.push(b'/');
    }
    if let Some(query) = parts.next().filter(|query| !query.is_empty()) {
        uri.push(b'?');
        uri.extend_from_slice(query);
    }
    uri
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let mut bytes = path.iter();
    let mut plain = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (*byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            (other, _, _) => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn a_path_is_normalised_as_nginx_does() {
        let cases = [
            ("/a//b/./c/../d?x=%20", "/a/b/d?x=%20"),
            ("/a%2Fb%20c", "/a/b c"),
            ("/a/", "/a/"),
            ("/a/..", "/"),
            ("/", "/"),
            ("/%zz%4", "/%zz%4"),
        ];
        for (sent, seen) in cases {
            assert_eq!(String::from_utf8_lossy(&normalised(sent.as_bytes())), seen);
        }
    }
}
