//! Credentials of an ECS task, from the container endpoint that its agent offers (ECS Developer Guide, "Task IAM role";
//! SDKs and Tools Reference Guide, "Container credential provider").
//!
//! Never reads a file: `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`, as EKS Pod Identity has it, is refused with the mend.

use std::time::Duration;

use super::{document, Credentials, Provider, SourceError, Step};
use crate::aws::endpoint::Endpoint;
use crate::callout::{Callout, Reply, Scheme};
use crate::clock::Timestamp;
use crate::secret::Secret;

const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The ECS agent's address.
const ECS_HOST: &str = "169.254.170.2";

/// The hosts that may be asked without TLS: the SDKs allow loopback, ECS and EKS.
const PLAIN_HOSTS: [&str; 6] = [ECS_HOST, "169.254.170.23", "[fd00:ec2::23]", "localhost", "127.0.0.1", "[::1]"];

/// Why the container endpoint cannot be asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// Neither variable is there.
    #[error(
        "the filter's environment has neither {RELATIVE_URI} nor {FULL_URI}: ECS sets one for a task with a task role; let it \
         through to the filter (Envoy: `host_env_keys`, Kong: `nginx_main_env`)"
    )]
    Missing,
    /// A path or a URL that cannot be asked.
    #[error("{0} is not a {1}")]
    Malformed(&'static str, &'static str),
    /// TLS is required elsewhere.
    #[error("{FULL_URI} is plain http to a host that is neither loopback nor the ECS or EKS agent, which would show the keys to the network")]
    Plain,
    /// A file is needed.
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
    endpoint: Endpoint,
    path: String,
    token: Option<Secret>,
    timeout: Duration,
}

/// Whether the environment names a container endpoint.
pub(super) fn is_there(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    [RELATIVE_URI, FULL_URI].iter().any(|name| environment(name).is_some_and(|value| !value.is_empty()))
}

impl Container {
    /// The endpoint that the environment names, called as `upstream` if that is given.
    ///
    /// # Errors
    /// When there is none, or it cannot be asked.
    pub(super) fn from_environment(
        environment: &dyn Fn(&str) -> Option<String>,
        upstream: Option<&str>,
        timeout: Duration,
    ) -> Result<Container, ContainerError> {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        let (endpoint, path) = match (variable(RELATIVE_URI), variable(FULL_URI)) {
            (Some(path), _) => (Endpoint { scheme: Scheme::Http, host: ECS_HOST.to_owned(), port: 80 }, path),
            (None, Some(url)) => split(&url)?,
            (None, None) => return Err(ContainerError::Missing),
        };
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(ContainerError::Malformed(RELATIVE_URI, "path"));
        }
        let token = variable(TOKEN);
        if token.is_none() && variable(TOKEN_FILE).is_some() {
            return Err(ContainerError::File);
        }
        if token.as_ref().is_some_and(|token| token.chars().any(char::is_control)) {
            return Err(ContainerError::Token);
        }
        let upstream = upstream.map_or_else(|| endpoint.host_port(), str::to_owned);
        Ok(Container { upstream, endpoint, path, token: token.map(Secret::new), timeout })
    }

    fn error(&self, answered: String, check: &str) -> SourceError {
        SourceError::new(format!("the container endpoint at `{}`", self.upstream), answered, check)
    }

    fn read(&self, reply: &Reply) -> Result<Credentials, SourceError> {
        match reply {
            Reply::NoResponse(reason) => Err(self.error(
                reason.clone(),
                "is this an ECS task with a task role, and (Envoy) is there a cluster of that name?",
            )),
            Reply::Response { status: 200, body, .. } => document::read(body)
                .map_err(|answered| self.error(answered, "something else than the ECS agent may have answered")),
            Reply::Response { status: status @ (401 | 403), .. } => {
                Err(self
                    .error(format!("HTTP {status}"), "AWS_CONTAINER_AUTHORIZATION_TOKEN is missing, wrong or too old"))
            }
            Reply::Response { status: status @ (400 | 404), .. } => Err(self.error(
                format!("HTTP {status}"),
                "the path in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not this task's; does it have a task role?",
            )),
            Reply::Response { status, .. } => Err(self.error(
                format!("HTTP {status}"),
                "the agent, or the host in its place, is out of order; it is asked again",
            )),
        }
    }
}

impl Provider for Container {
    fn begin(&mut self, _: Timestamp) -> Step {
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if let Some(token) = &self.token {
            headers.push(("authorization".to_owned(), token.reveal().to_owned()));
        }
        Step::Call(Callout {
            upstream: self.upstream.clone(),
            scheme: self.endpoint.scheme,
            method: "GET",
            authority: self.endpoint.authority(),
            path: self.path.clone(),
            headers,
            body: Vec::new(),
            timeout: self.timeout,
        })
    }

    fn handle_reply(&mut self, reply: &Reply, _: Timestamp) -> Step {
        Step::Done(self.read(reply))
    }
}

/// The endpoint and the path of a URL.
fn split(url: &str) -> Result<(Endpoint, String), ContainerError> {
    let malformed = ContainerError::Malformed(FULL_URI, "URL");
    let after_scheme = url.find("://").ok_or(malformed)? + 3;
    let path_at =
        url.get(after_scheme..).and_then(|rest| rest.find(['/', '?'])).map_or(url.len(), |at| at + after_scheme);
    let (base, path) = url.split_at_checked(path_at).ok_or(malformed)?;
    let endpoint: Endpoint = base.parse().map_err(|_| malformed)?;
    if endpoint.scheme == Scheme::Http && !PLAIN_HOSTS.contains(&endpoint.host.as_str()) {
        return Err(ContainerError::Plain);
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((endpoint, path))
}
