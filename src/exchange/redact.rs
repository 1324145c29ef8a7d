//! Redaction of what must not leave the gateway. Applied to the exchange before anything else sees
//! it, so that the message, the attributes and every `${…}` are redacted alike.

use std::borrow::Cow;

use crate::exchange::{Exchange, Headers};

/// The text in place of a redacted value, as in Kong's own logs.
pub(crate) const REDACTED: &str = "REDACTED";

/// Headers that are redacted without configuration.
pub(crate) const HEADERS: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "apikey", "x-amz-security-token"];

/// Names of what is redacted beside the built-in list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Redact {
    /// Header names, in lower case.
    pub(crate) headers: Vec<String>,
    /// Names of query parameters.
    pub(crate) query: Vec<String>,
}

/// The headers and query parameters to redact.
#[derive(Debug)]
pub(crate) struct Redaction {
    headers: Vec<String>,
    query: Vec<String>,
}

impl Redaction {
    /// Redacts what `configured` names, beside [`HEADERS`].
    pub(crate) fn new(configured: Redact) -> Redaction {
        let mut headers: Vec<String> = HEADERS.map(str::to_owned).into();
        headers.extend(configured.headers);
        Redaction { headers, query: configured.query }
    }

    /// Returns true if the header `name` (lower case) is redacted.
    pub(crate) fn hides(&self, name: &str) -> bool {
        self.headers.iter().any(|redacted| redacted == name)
    }

    /// Redacts headers, the query, and the query of URLs in headers (`referer`, `location`, …).
    pub(crate) fn apply(&self, exchange: &mut Exchange<'_>) {
        self.redact_headers(&mut exchange.request.headers);
        self.redact_headers(&mut exchange.response.headers);
        self.redact_url(&mut exchange.request.target);
        self.redact_consumer(exchange);
        if let Some(uri) = &mut exchange.upstream_uri {
            self.redact_url(uri);
        }
    }

    /// Redacts what the host has found in confidential headers.
    fn redact_consumer(&self, exchange: &mut Exchange<'_>) {
        let mut found = vec![("x-credential-identifier", &mut exchange.credential_id)];
        if let Some(consumer) = &mut exchange.consumer {
            found.push(("x-consumer-id", &mut consumer.id));
            found.push(("x-consumer-username", &mut consumer.username));
            found.push(("x-consumer-custom-id", &mut consumer.custom_id));
        }
        for (header, value) in found {
            if value.is_some() && self.hides(header) {
                *value = Some(Cow::Borrowed(REDACTED));
            }
        }
    }

    fn redact_headers(&self, headers: &mut Headers<'_>) {
        for (name, value) in &mut headers.0 {
            if self.hides(name) {
                *value = Cow::Borrowed(REDACTED);
            } else {
                self.redact_url(value);
            }
        }
    }

    /// Redacts the query of a URL, or of a request target.
    pub(crate) fn redact_url(&self, url: &mut Cow<'_, str>) {
        if self.query.is_empty() {
            return;
        }
        let Some((before, query)) = url.split_once('?') else { return };
        let (query, fragment) = match query.split_once('#') {
            Some((query, fragment)) => (query, Some(fragment)),
            None => (query, None),
        };
        let mut redacted = format!("{before}?");
        for (position, pair) in query.split('&').enumerate() {
            if position > 0 {
                redacted.push('&');
            }
            match pair.split_once('=') {
                Some((key, _)) if self.names(key) => {
                    redacted.push_str(key);
                    redacted.push('=');
                    redacted.push_str(REDACTED);
                }
                _ => redacted.push_str(pair),
            }
        }
        if let Some(fragment) = fragment {
            redacted.push('#');
            redacted.push_str(fragment);
        }
        *url = Cow::Owned(redacted);
    }

    /// Returns true if `key`, which may be percent-encoded in the query, is redacted.
    fn names(&self, key: &str) -> bool {
        form_urlencoded::parse(key.as_bytes())
            .next()
            .is_some_and(|(key, _)| self.query.iter().any(|redacted| *redacted == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::ClientRequest;

    fn redaction() -> Redaction {
        Redaction::new(Redact { headers: vec!["x-internal-token".into()], query: vec!["token".into()] })
    }

    #[test]
    fn headers_lose_their_values_not_their_names() {
        let names = HEADERS.into_iter().chain(["x-internal-token"]);
        let mut exchange = Exchange {
            request: ClientRequest {
                headers: Headers(names.map(|name| (name.into(), "s3cret".into())).collect()),
                ..ClientRequest::default()
            },
            ..Exchange::default()
        };
        exchange.response.headers = Headers(vec![("set-cookie".into(), "s3cret".into()), ("etag".into(), "7".into())]);
        redaction().apply(&mut exchange);
        assert!(exchange.request.headers.0.iter().all(|(_, value)| value == REDACTED));
        assert_eq!(exchange.request.headers.0.len(), 8);
        assert_eq!(exchange.response.headers.get("set-cookie"), Some(REDACTED));
        assert_eq!(exchange.response.headers.get("etag"), Some("7"));
    }

    #[test]
    fn query_parameters_lose_their_values_wherever_a_url_stands() {
        let redacted = |url: &'static str| {
            let mut url = Cow::Borrowed(url);
            redaction().redact_url(&mut url);
            url.into_owned()
        };
        assert_eq!(redacted("/a?b=1&token=x&c=&token=y"), "/a?b=1&token=REDACTED&c=&token=REDACTED");
        assert_eq!(redacted("/a?t%6Fken=x#token=kept"), "/a?t%6Fken=REDACTED#token=kept");
        assert_eq!(redacted("https://h/p?tokens=1&token"), "https://h/p?tokens=1&token");
        assert_eq!(redacted("/a/token=1"), "/a/token=1");
    }
}
