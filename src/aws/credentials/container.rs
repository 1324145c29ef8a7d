//! Credentials of an ECS task, from the container endpoint that its agent offers (ECS Developer
//! Guide, "Task IAM role"; SDKs and Tools Reference Guide, "Container credential provider").
//!
//! Never reads a file: `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`, as EKS Pod Identity has it, is
//! refused with a remedy.

use std::time::Duration;

use http::header::{HeaderValue, ACCEPT, AUTHORIZATION};
use http::{Method, StatusCode, Uri};

use super::{confidential, document, Credentials, Provider, SourceError, Step};
use crate::aws::endpoint::Endpoint;
use crate::aws::protocol;
use crate::callout::{self, Callout, Reply};
use crate::clock::Timestamp;

const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The ECS agent's address.
const ECS_HOST: &str = "169.254.170.2";

/// The hosts that may be asked without TLS. The SDKs allow loopback, ECS and EKS.
const PLAIN_HOSTS: [&str; 6] = [ECS_HOST, "169.254.170.23", "[fd00:ec2::23]", "localhost", "127.0.0.1", "[::1]"];

/// The reason why the container endpoint cannot be asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// No variable that names an endpoint.
    #[error(
        "the filter's environment has neither {RELATIVE_URI} nor {FULL_URI}: ECS sets one for a task with a task role; let it \
         through to the filter (Envoy: `host_env_keys`, Kong: `nginx_main_env`)"
    )]
    Missing,
    /// A path or a URL that is none.
    #[error("{0} is not a {1}")]
    Malformed(&'static str, &'static str),
    /// A URL without TLS to a host that needs it.
    #[error("{FULL_URI} is plain http to a host that is neither loopback nor the ECS or EKS agent, which would show the keys to the network")]
    Plain,
    /// A token that stands in a file.
    #[error(
        "{TOKEN_FILE} is set, and a filter has no files: with EKS Pod Identity let Envoy sign, with `source: host` \
         (docs/credentials.md)"
    )]
    File,
    /// A token that cannot travel in a header.
    #[error("{TOKEN} has a line break or another control character")]
    Token,
}

/// The container endpoint.
#[derive(Debug)]
pub(super) struct Container {
    upstream: String,
    uri: Uri,
    /// The token that the endpoint asks for; it is marked as sensitive.
    token: Option<HeaderValue>,
    timeout: Duration,
}

/// Returns true if the environment names a container endpoint.
pub(super) fn is_there(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    [RELATIVE_URI, FULL_URI].iter().any(|name| environment(name).is_some_and(|value| !value.is_empty()))
}

impl Container {
    /// Makes a source of the endpoint that the environment names, which is called as `upstream` if
    /// that is given.
    ///
    /// # Errors
    /// When there is no endpoint, or it cannot be asked.
    pub(super) fn from_environment(
        environment: &dyn Fn(&str) -> Option<String>,
        upstream: Option<&str>,
        timeout: Duration,
    ) -> Result<Container, ContainerError> {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        let (endpoint, uri) = match (variable(RELATIVE_URI), variable(FULL_URI)) {
            (Some(path), _) => of_ecs(&path)?,
            (None, Some(url)) => parse(&url, ContainerError::Malformed(FULL_URI, "URL"))?,
            (None, None) => return Err(ContainerError::Missing),
        };
        let token = match variable(TOKEN) {
            Some(token) => Some(confidential(&token).ok_or(ContainerError::Token)?),
            None if variable(TOKEN_FILE).is_some() => return Err(ContainerError::File),
            None => None,
        };
        let upstream = upstream.map_or_else(|| endpoint.host_port(), str::to_owned);
        Ok(Container { upstream, uri, token, timeout })
    }

    fn error(&self, answered: impl Into<String>, check: &str) -> SourceError {
        SourceError::new(format!("the container endpoint at `{}`", self.upstream), answered, check)
    }

    fn read(&self, reply: &Reply) -> Result<Credentials, SourceError> {
        match reply {
            Reply::NoResponse(reason) => Err(self
                .error(reason, "is this an ECS task with a task role, and (Envoy) is there a cluster of that name?")),
            Reply::Response(response) if response.status() == StatusCode::OK => document::read(response.body())
                .map_err(|error| self.error(error.to_string(), "something other than the ECS agent may have answered")),
            Reply::Response(response) => {
                let check = match response.status() {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        "AWS_CONTAINER_AUTHORIZATION_TOKEN is missing, wrong or too old"
                    }
                    StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => {
                        "the path in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not this task's; does it have a task role?"
                    }
                    _ => "the agent, or the host for it, is out of order; it is asked again",
                };
                Err(self.error(format!("HTTP {}", response.status().as_u16()), check))
            }
        }
    }
}

impl Provider for Container {
    fn begin(&mut self, _: Timestamp) -> Step {
        let mut headers = protocol::headers([(ACCEPT, "application/json")]);
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let request = callout::request(Method::GET, self.uri.clone(), headers, Vec::new());
        Step::Call(Callout { upstream: self.upstream.clone(), request, timeout: self.timeout })
    }

    fn handle_reply(&mut self, reply: &Reply, _: Timestamp) -> Step {
        Step::Done(self.read(reply))
    }
}

/// Returns the endpoint of ECS, and the URI of `path` there.
fn of_ecs(path: &str) -> Result<(Endpoint, Uri), ContainerError> {
    let malformed = ContainerError::Malformed(RELATIVE_URI, "path");
    if !path.starts_with('/') {
        return Err(malformed);
    }
    parse(&format!("http://{ECS_HOST}{path}"), malformed)
}

/// Returns the endpoint in a URL, and the URL as a URI.
fn parse(url: &str, malformed: ContainerError) -> Result<(Endpoint, Uri), ContainerError> {
    let (endpoint, path) = Endpoint::split(url).map_err(|_| malformed)?;
    if endpoint.is_plain() && !PLAIN_HOSTS.contains(&endpoint.host()) {
        return Err(ContainerError::Plain);
    }
    // A URI takes other characters too, and leaves a fragment out.
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(malformed);
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let uri = Uri::try_from(format!("{}{path}", endpoint.uri())).map_err(|_| malformed)?;
    Ok((endpoint, uri))
}
