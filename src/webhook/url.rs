//! URLs of webhooks: where a request goes, and what of that may be shown. Never looks a name up.

use http::uri::PathAndQuery;

use crate::aws::endpoint::{Endpoint, EndpointError};

/// The URL of a webhook.
pub(crate) struct WebhookUrl {
    /// The URL as the configuration has it, without its query, which may hold a secret. A variable
    /// of the environment is its placeholder.
    pub(crate) name: String,
    /// Scheme, host, port, path and query.
    pub(crate) endpoint: Endpoint,
}

/// The reason why a text is no URL of a webhook. The text itself is left out: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebhookUrlError {
    /// It does not begin with scheme, host and port.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It has a fragment, which no request carries.
    #[error("it has a fragment")]
    Fragment,
    /// Its path or query has a character that a request does not carry.
    #[error("its path or query has a character that is not sent as it is: write it as `%` and two digits")]
    Character,
}

impl WebhookUrl {
    /// Reads a URL that is to be shown as `shown`, as far as it may be.
    ///
    /// # Errors
    /// The reason why it is none.
    pub(crate) fn read(shown: &str, url: &str) -> Result<WebhookUrl, WebhookUrlError> {
        let (endpoint, tail) = Endpoint::split(url)?;
        if tail.contains('#') {
            return Err(WebhookUrlError::Fragment);
        }
        let is_sent = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        let path = match tail.starts_with('/') {
            true => tail.to_owned(),
            false => format!("/{tail}"),
        };
        let path = Some(path).filter(|path| path.bytes().all(is_sent));
        let path = path.and_then(|path| PathAndQuery::try_from(path).ok()).ok_or(WebhookUrlError::Character)?;
        let name = shown.split_once('?').map_or(shown, |(before, _)| before);
        Ok(WebhookUrl { name: name.to_owned(), endpoint: endpoint.with_path(path)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, String, String), WebhookUrlError> {
        WebhookUrl::read(url, url).map(|url| (url.name, url.endpoint.uri().to_string(), url.endpoint.host_port()))
    }

    #[test]
    fn a_url_keeps_path_and_query_and_shows_no_query() {
        for (url, name, uri, host_port) in [
            (
                "https://hooks.example.com",
                "https://hooks.example.com",
                "https://hooks.example.com/",
                "hooks.example.com:443",
            ),
            ("http://h:8080/a/b?c=d/e", "http://h:8080/a/b", "http://h:8080/a/b?c=d/e", "h:8080"),
            ("https://h?key=s", "https://h", "https://h/?key=s", "h:443"),
            ("HTTPS://H/A%20b", "HTTPS://H/A%20b", "https://h/A%20b", "h:443"),
            ("http://[::1]:9/", "http://[::1]:9/", "http://[::1]:9/", "[::1]:9"),
        ] {
            assert_eq!(read(url), Ok((name.into(), uri.into(), host_port.into())), "{url}");
        }
    }

    #[test]
    fn what_a_request_cannot_carry_is_refused() {
        for (url, error) in [
            ("hooks.example.com/in", WebhookUrlError::Endpoint(EndpointError::Scheme)),
            ("https://user:secret@h/in", WebhookUrlError::Endpoint(EndpointError::UserInfo)),
            ("https:///in", WebhookUrlError::Endpoint(EndpointError::Host)),
            ("https://h:0/in", WebhookUrlError::Endpoint(EndpointError::Port)),
            ("https://h/in#part", WebhookUrlError::Fragment),
            ("https://h/in out", WebhookUrlError::Character),
            ("https://h/\u{e9}", WebhookUrlError::Character),
            ("https://h/in\r\nx: y", WebhookUrlError::Character),
            ("https://h/{id}", WebhookUrlError::Character),
        ] {
            assert_eq!(read(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_variable_shows_as_its_placeholder() {
        let url = WebhookUrl::read("https://h/${env.PATH}?x=${env.KEY}", "https://h/T0/secret?x=key").unwrap();
        assert_eq!((url.name.as_str(), url.endpoint.uri().path()), ("https://h/${env.PATH}", "/T0/secret"));
    }
}
