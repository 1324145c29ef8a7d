//! Endpoints: scheme, host and port, of AWS's APIs without a path. Never looks a name up.

use std::net::Ipv6Addr;
use std::rc::Rc;
use std::str::FromStr;

use http::uri::{PathAndQuery, Scheme};
use http::Uri;

use crate::lookup;

/// The base URL of an API, or the address of a webhook. The host is in lower case, and the port is
/// left out if it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(Rc<Uri>);

/// The reason why a text is not an endpoint. The text itself is left out: it may hold a password or
/// a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Neither `http://` nor `https://`.
    #[error("it does not begin with `http://` or `https://`")]
    Scheme,
    /// Something before an `@`.
    #[error("it holds a user name or a password")]
    UserInfo,
    /// Something behind host and port.
    #[error("it has a path, a query or a fragment")]
    Path,
    /// No host, or an impossible one.
    #[error("its host is neither a name nor an address")]
    Host,
    /// Not a port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

/// The ports that a URL leaves out.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The domains of the partitions whose domain is not `amazonaws.com`, by how their regions begin.
const DOMAINS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
];

impl Endpoint {
    /// Returns the public endpoint of `service` in `region`, whatever its partition.
    ///
    /// # Errors
    /// [`EndpointError::Host`] if the region cannot be part of a host name; see
    /// `names::is_region`.
    pub(crate) fn of_service(service: &str, region: &str) -> Result<Endpoint, EndpointError> {
        let domain =
            DOMAINS.iter().find(|(begin, _)| region.starts_with(begin)).map_or("amazonaws.com", |(_, name)| name);
        format!("https://{service}.{region}.{domain}").parse()
    }

    /// Splits a URL into its endpoint and what follows that: a path, a query, a fragment, or
    /// nothing.
    ///
    /// # Errors
    /// When it does not begin with an endpoint.
    pub(crate) fn split(url: &str) -> Result<(Endpoint, &str), EndpointError> {
        let (scheme, rest) = lookup::split_once(url, "://").ok_or(EndpointError::Scheme)?;
        let (scheme, usual) = [(Scheme::HTTP, HTTP_PORT), (Scheme::HTTPS, HTTPS_PORT)]
            .into_iter()
            .find(|(known, _)| known.as_str().eq_ignore_ascii_case(scheme))
            .ok_or(EndpointError::Scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of `[::1]` is the address's.
            Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
            _ => (authority, usual),
        };
        if !is_host(host) {
            return Err(EndpointError::Host);
        }
        let host = host.to_ascii_lowercase();
        let authority = if port == usual { host } else { format!("{host}:{port}") };
        let uri = Uri::try_from(format!("{scheme}://{authority}/")).map_err(|_| EndpointError::Host)?;
        Ok((Endpoint(Rc::new(uri)), tail))
    }

    /// Returns how a host that knows it as `upstream` gets there: the scheme of that hop, with the
    /// authority that requests are signed for, and the host's name. An upstream with a scheme of
    /// its own is a proxy on the way, which speaks TLS to the endpoint in the filter's place.
    ///
    /// # Errors
    /// When the upstream has a scheme, and is not one with host and port.
    #[inline(never)]
    pub(crate) fn through(&self, upstream: &str) -> Result<(Endpoint, String), EndpointError> {
        if !upstream.contains("://") {
            return Ok((self.clone(), upstream.to_owned()));
        }
        let hop: Endpoint = upstream.parse()?;
        let mut parts = self.uri().clone().into_parts();
        parts.scheme = hop.uri().scheme().cloned();
        let uri = Uri::from_parts(parts).map_err(|_| EndpointError::Host)?;
        Ok((Endpoint(Rc::new(uri)), hop.host_port()))
    }

    /// Returns it with a path, and maybe a query, for an address of which the host is a part only.
    ///
    /// # Errors
    /// [`EndpointError::Path`] if there can be no such URI.
    pub(crate) fn with_path(&self, path: PathAndQuery) -> Result<Endpoint, EndpointError> {
        let mut parts = self.uri().clone().into_parts();
        parts.path_and_query = Some(path);
        Ok(Endpoint(Rc::new(Uri::from_parts(parts).map_err(|_| EndpointError::Path)?)))
    }

    /// The URI of its root, or of its path.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    /// A host name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// Returns true if it does not speak TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTP)
    }

    /// Returns true if it is one of AWS's own.
    pub(crate) fn is_of_aws(&self) -> bool {
        let domains = DOMAINS.iter().map(|(_, domain)| *domain).chain(["amazonaws.com", "api.aws"]);
        let is_under = |domain| self.host().strip_suffix(domain).is_some_and(|name| name.ends_with('.'));
        domains.into_iter().any(is_under)
    }

    /// Host and port, the port always.
    pub(crate) fn host_port(&self) -> String {
        let usual = if self.is_plain() { HTTP_PORT } else { HTTPS_PORT };
        format!("{}:{}", self.host(), self.0.port_u16().unwrap_or(usual))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        match Endpoint::split(text)? {
            (endpoint, "" | "/") => Ok(endpoint),
            _ => Err(EndpointError::Path),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, EndpointError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0).ok_or(EndpointError::Port)
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        // `_` is no letter of a host name, but the names of containers have it.
        None => {
            text.len() <= 253
                && text.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path() {
        for (text, authority, host_port) in [
            ("https://sns.us-east-1.amazonaws.com", "sns.us-east-1.amazonaws.com", "sns.us-east-1.amazonaws.com:443"),
            ("HTTP://Moto_Server:5000/", "moto_server:5000", "moto_server:5000"),
            ("http://127.0.0.1:80", "127.0.0.1", "127.0.0.1:80"),
            ("https://localhost:80", "localhost:80", "localhost:80"),
            ("http://[::1]", "[::1]", "[::1]:80"),
            ("http://[2001:DB8::1]:4566/", "[2001:db8::1]:4566", "[2001:db8::1]:4566"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.uri().authority().unwrap(), authority, "{text}");
            assert_eq!(endpoint.host_port(), host_port, "{text}");
        }
    }

    #[test]
    fn a_proxy_on_the_way_changes_the_scheme_of_the_hop_and_not_what_is_signed() {
        let endpoint: Endpoint = "https://sns.us-east-1.amazonaws.com".parse().unwrap();
        for (upstream, uri, name) in [
            ("aws", "https://sns.us-east-1.amazonaws.com/", "aws"),
            ("10.0.0.1:8443", "https://sns.us-east-1.amazonaws.com/", "10.0.0.1:8443"),
            ("http://127.0.0.1:8099", "http://sns.us-east-1.amazonaws.com/", "127.0.0.1:8099"),
            ("HTTPS://proxy/", "https://sns.us-east-1.amazonaws.com/", "proxy:443"),
        ] {
            let (hop, name_of_host) = endpoint.through(upstream).unwrap();
            assert_eq!((hop.uri().to_string().as_str(), name_of_host.as_str()), (uri, name));
        }
        assert_eq!(endpoint.through("http://127.0.0.1:8099/sns"), Err(EndpointError::Path));
        assert_eq!(endpoint.through("ftp://127.0.0.1"), Err(EndpointError::Scheme));
    }

    #[test]
    fn everything_else_is_named() {
        for (text, error) in [
            ("", EndpointError::Scheme),
            ("localhost:5000", EndpointError::Scheme),
            ("ftp://localhost", EndpointError::Scheme),
            ("https://user:password@localhost", EndpointError::UserInfo),
            ("https://localhost/sns", EndpointError::Path),
            ("https://localhost//", EndpointError::Path),
            ("https://localhost?a=b@c", EndpointError::Path),
            ("https://localhost#x", EndpointError::Path),
            ("https://", EndpointError::Host),
            ("https://:443", EndpointError::Host),
            ("https://a..b", EndpointError::Host),
            ("https://a b", EndpointError::Host),
            ("https://::1", EndpointError::Host),
            ("https://[::1", EndpointError::Host),
            ("https://[localhost]", EndpointError::Host),
            ("https://localhost:", EndpointError::Port),
            ("https://localhost:0", EndpointError::Port),
            ("https://localhost:+80", EndpointError::Port),
            ("https://localhost:65536", EndpointError::Port),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
    }

    #[test]
    fn each_partition_has_its_domain() {
        for (region, domain) in [
            ("us-east-1", "amazonaws.com"),
            ("us-gov-west-1", "amazonaws.com"),
            ("cn-north-1", "amazonaws.com.cn"),
            ("eusc-de-east-1", "amazonaws.eu"),
            ("us-iso-east-1", "c2s.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "cloud.adc-e.uk"),
            ("us-isof-south-1", "csp.hci.ic.gov"),
        ] {
            for service in ["sns", "sqs", "events", "sts"] {
                let endpoint = Endpoint::of_service(service, region).unwrap();
                assert_eq!(endpoint.uri().to_string(), format!("https://{service}.{region}.{domain}/"));
            }
        }
    }
}
