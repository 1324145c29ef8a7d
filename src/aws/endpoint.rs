//! Where an AWS API is.

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::callout::Scheme;

/// The base URL of an API: scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub scheme: Scheme,
    /// A host name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port, the scheme's own if none was given.
    pub port: u16,
}

/// Why a text is not an endpoint. The text itself is left out: it may carry a password or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither `http://` nor `https://`.
    #[error("it does not begin with `http://` or `https://`")]
    Scheme,
    /// Something before an `@`.
    #[error("it holds a user name or a password")]
    UserInfo,
    /// Something behind host and port.
    #[error("it has a path, a query or a fragment")]
    Path,
    /// No host, or none that can be.
    #[error("its host is neither a name nor an address")]
    Host,
    /// Not a port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

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
    /// The public endpoint of `service` in `region`, whatever its partition.
    pub fn of_service(service: &str, region: &str) -> Endpoint {
        let domain =
            DOMAINS.iter().find(|(begin, _)| region.starts_with(begin)).map_or("amazonaws.com", |(_, name)| name);
        let scheme = Scheme::Https;
        Endpoint { scheme, host: format!("{service}.{region}.{domain}"), port: scheme.default_port() }
    }

    /// Host and port as in the `Host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.clone()
        } else {
            self.host_port()
        }
    }

    /// Host and port, the port always.
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::Scheme)?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(scheme))
            .ok_or(EndpointError::Scheme)?;
        let (authority, tail) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if !matches!(tail, "" | "/") {
            return Err(EndpointError::Path);
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of `[::1]` is the address's.
            Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
            _ => (authority, scheme.default_port()),
        };
        if !is_host(host) {
            return Err(EndpointError::Host);
        }
        Ok(Endpoint { scheme, host: host.to_ascii_lowercase(), port })
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
            assert_eq!(
                (endpoint.authority().as_str(), endpoint.host_port().as_str()),
                (authority, host_port),
                "{text}"
            );
        }
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
                let host = format!("{service}.{region}.{domain}");
                assert_eq!(Endpoint::of_service(service, region), Endpoint { scheme: Scheme::Https, host, port: 443 });
            }
        }
    }
}
