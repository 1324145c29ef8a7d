//! Credentials of an EC2 instance's role, from the instance metadata service, version 2 only (EC2 User Guide, "Use the Instance
//! Metadata Service to access instance metadata" and "Retrieve security credentials from instance metadata").
//!
//! Three calls: a session token, the name of the role, its credentials. Never falls back to version 1, which asks nothing of who
//! asks.

use std::time::Duration;

use super::{document, Provider, SourceError, Step};
use crate::callout::{Callout, Reply, Scheme};
use crate::clock::Timestamp;
use crate::secret::Secret;

const HOST: &str = "169.254.169.254";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";

/// How long a session token is asked for, in seconds. It is used at once, and a new one is got each time.
const TOKEN_TTL: &str = "300";

/// A role's name has at most 64 characters (IAM API Reference, CreateRole).
const MAX_ROLE_CHARS: usize = 64;

/// What was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Token,
    RoleName,
    Keys { role: String },
}

/// The instance metadata service.
#[derive(Debug)]
pub(super) struct Instance {
    upstream: String,
    timeout: Duration,
    asked: Asked,
    token: Secret,
    /// The service refused a token that it had just given: it is asked for another one, once.
    renewed: bool,
}

impl Instance {
    /// The service, called as `upstream` if that is given.
    pub(super) fn new(upstream: Option<&str>, timeout: Duration) -> Instance {
        Instance {
            upstream: upstream.map_or_else(|| format!("{HOST}:80"), str::to_owned),
            timeout,
            asked: Asked::Token,
            token: Secret::new(""),
            renewed: false,
        }
    }

    fn ask(&mut self, asked: Asked) -> Step {
        let (method, path) = match &asked {
            Asked::Token => ("PUT", "/latest/api/token".to_owned()),
            Asked::RoleName => ("GET", ROLES.to_owned()),
            Asked::Keys { role } => ("GET", format!("{ROLES}{role}")),
        };
        let header = match asked {
            Asked::Token => ("x-aws-ec2-metadata-token-ttl-seconds".to_owned(), TOKEN_TTL.to_owned()),
            _ => (TOKEN_HEADER.to_owned(), self.token.reveal().to_owned()),
        };
        self.asked = asked;
        Step::Call(Callout {
            upstream: self.upstream.clone(),
            scheme: Scheme::Http,
            method,
            authority: HOST.to_owned(),
            path,
            headers: vec![header],
            body: Vec::new(),
            timeout: self.timeout,
        })
    }

    fn error(&self, answered: impl Into<String>, check: &str) -> Step {
        let what = match &self.asked {
            Asked::Token => "a session token".to_owned(),
            Asked::RoleName => "the name of its role".to_owned(),
            Asked::Keys { role } => format!("the credentials of the role `{role}`"),
        };
        let asked = format!("the instance metadata service at `{}`, asked for {what}", self.upstream);
        SourceError::new(asked, answered, check).into()
    }

    fn accept(&mut self, body: &[u8]) -> Step {
        let text = std::str::from_utf8(body).unwrap_or_default().trim();
        match &self.asked {
            Asked::Token if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                self.token = Secret::new(text);
                self.ask(Asked::RoleName)
            }
            Asked::Token => self.error("a body that is no token", "something else may have answered"),
            Asked::RoleName => match text.lines().next().filter(|name| is_role(name)) {
                Some(role) => self.ask(Asked::Keys { role: role.to_owned() }),
                None => self.error("a body that names no role", NO_ROLE),
            },
            Asked::Keys { .. } => match document::read(body) {
                Ok(credentials) => Step::Done(Ok(credentials)),
                Err(answered) => {
                    self.error(answered, "does the role's trust policy allow `ec2.amazonaws.com` to assume it?")
                }
            },
        }
    }
}

const NO_ROLE: &str = "attach an IAM role (an instance profile) to the instance";

const NO_ANSWER: &str = "is this an EC2 instance, and (Envoy) is there a cluster of that name? In a container the answer to this \
    PUT comes through only with a hop limit of 2: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`";

fn is_role(name: &str) -> bool {
    (1..=MAX_ROLE_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte))
}

impl Provider for Instance {
    fn begin(&mut self, _: Timestamp) -> Step {
        self.renewed = false;
        self.ask(Asked::Token)
    }

    fn handle_reply(&mut self, reply: &Reply, _: Timestamp) -> Step {
        let asks_token = self.asked == Asked::Token;
        match reply {
            Reply::Response { status: 200, body, .. } => self.accept(body),
            Reply::Response { status: 401, .. } if !asks_token && !self.renewed => {
                self.renewed = true;
                self.ask(Asked::Token)
            }
            Reply::Response { status: 401, .. } => {
                self.error("HTTP 401", "it refuses the session tokens that it gives; is a proxy in between?")
            }
            Reply::Response { status: 403, .. } => {
                self.error("HTTP 403", "it is turned off for this instance (`HttpEndpoint`), or a firewall forbids it")
            }
            Reply::Response { status: 404, .. } if !asks_token => self.error("HTTP 404", NO_ROLE),
            // What Envoy answers itself when it cannot connect, or nothing comes in time.
            Reply::Response { status: status @ (503 | 504), .. } if asks_token => {
                self.error(format!("HTTP {status}"), NO_ANSWER)
            }
            Reply::Response { status, .. } => {
                self.error(format!("HTTP {status}"), "the service is out of order; it is asked again")
            }
            Reply::NoResponse(reason) if asks_token => self.error(reason, NO_ANSWER),
            Reply::NoResponse(reason) => self.error(reason, "the service is out of order; it is asked again"),
        }
    }
}
