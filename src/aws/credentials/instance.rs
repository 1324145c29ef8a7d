//! Credentials of an EC2 instance's role, from the instance metadata service (EC2 User Guide, "Use
//! the Instance Metadata Service to access instance metadata" and "Retrieve security credentials
//! from instance metadata").
//!
//! Three calls: for a session token, for the name of the role, and for its credentials. Never falls
//! back to version 1 of the service, which answers without a token.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};

use super::{confidential, document, Provider, SourceError, Step};
use crate::callout::{self, Callout, Reply};
use crate::clock::Timestamp;

const UPSTREAM: &str = "169.254.169.254:80";
const TOKEN: &str = "http://169.254.169.254/latest/api/token";
const ROLES: &str = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
const TTL_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// The lifetime in seconds for which a session token is asked. It is used at once, and each time
/// there is a new one.
const TOKEN_TTL: &str = "300";

/// Characters that a role's name may have (IAM API Reference, CreateRole).
const MAX_ROLE_CHARS: usize = 64;

/// The question that was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Token,
    RoleName,
    Keys { role: String, uri: Uri },
}

/// The instance metadata service.
#[derive(Debug)]
pub(super) struct Instance {
    upstream: String,
    timeout: Duration,
    asked: Asked,
    token: HeaderValue,
    /// True once the service has refused a token that it had just given: it is asked for another
    /// one only once.
    renewed: bool,
}

impl Instance {
    /// Makes a source of the service, which is called as `upstream` if that is given.
    pub(super) fn new(upstream: Option<&str>, timeout: Duration) -> Instance {
        Instance {
            upstream: upstream.unwrap_or(UPSTREAM).to_owned(),
            timeout,
            asked: Asked::Token,
            token: HeaderValue::from_static(""),
            renewed: false,
        }
    }

    fn ask(&mut self, asked: Asked) -> Step {
        let (method, uri) = match &asked {
            Asked::Token => (Method::PUT, Uri::from_static(TOKEN)),
            Asked::RoleName => (Method::GET, Uri::from_static(ROLES)),
            Asked::Keys { uri, .. } => (Method::GET, uri.clone()),
        };
        let mut headers = HeaderMap::new();
        match asked {
            Asked::Token => headers.insert(TTL_HEADER, HeaderValue::from_static(TOKEN_TTL)),
            Asked::RoleName | Asked::Keys { .. } => headers.insert(TOKEN_HEADER, self.token.clone()),
        };
        self.asked = asked;
        let request = callout::request(method, uri, headers, Vec::new());
        Step::Call(Callout { upstream: self.upstream.clone(), request, timeout: self.timeout })
    }

    fn error(&self, answered: impl Into<String>, check: &str) -> Step {
        let what = match &self.asked {
            Asked::Token => "a session token".to_owned(),
            Asked::RoleName => "the name of its role".to_owned(),
            Asked::Keys { role, .. } => format!("the credentials of the role `{role}`"),
        };
        let asked = format!("the instance metadata service at `{}`, asked for {what}", self.upstream);
        SourceError::new(asked, answered, check).into()
    }

    fn accept(&mut self, body: &[u8]) -> Step {
        let text = std::str::from_utf8(body).unwrap_or_default().trim();
        match &self.asked {
            Asked::Token => match token(text) {
                Some(token) => {
                    self.token = token;
                    self.ask(Asked::RoleName)
                }
                None => self.error("a body that is no token", "something else may have answered"),
            },
            Asked::RoleName => match text.lines().next().and_then(keys_of) {
                Some(keys) => self.ask(keys),
                None => self.error("a body that names no role", NO_ROLE),
            },
            Asked::Keys { .. } => match document::read(body) {
                Ok(credentials) => Step::Done(Ok(credentials)),
                Err(error) => self
                    .error(error.to_string(), "does the role's trust policy allow `ec2.amazonaws.com` to assume it?"),
            },
        }
    }
}

const NO_ROLE: &str = "attach an IAM role (an instance profile) to the instance";

const OUT_OF_ORDER: &str = "the service is out of order; it is asked again";

const NO_ANSWER: &str = "is this an EC2 instance, and (Envoy) is there a cluster of that name? If the keys are in the \
    gateway's environment, let it hand them to the filter. In a container the answer to this PUT comes through only with \
    a hop limit of 2: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`";

/// Returns a session token as a header carries it.
fn token(text: &str) -> Option<HeaderValue> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    confidential(text).filter(|_| is_token)
}

/// Returns the question for the keys of the role `name`, if that can be the name of a role.
fn keys_of(name: &str) -> Option<Asked> {
    let is_role = (1..=MAX_ROLE_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte));
    let uri = is_role.then(|| Uri::try_from(format!("{ROLES}{name}")))?.ok()?;
    Some(Asked::Keys { role: name.to_owned(), uri })
}

impl Provider for Instance {
    fn begin(&mut self, _: Timestamp) -> Step {
        self.renewed = false;
        self.ask(Asked::Token)
    }

    fn handle_reply(&mut self, reply: &Reply, _: Timestamp) -> Step {
        let asks_token = self.asked == Asked::Token;
        let response = match reply {
            Reply::Response(response) => response,
            Reply::NoResponse(reason) if asks_token => return self.error(reason, NO_ANSWER),
            Reply::NoResponse(reason) => return self.error(reason, OUT_OF_ORDER),
        };
        let check = match response.status() {
            StatusCode::OK => return self.accept(response.body()),
            StatusCode::UNAUTHORIZED if !asks_token && !self.renewed => {
                self.renewed = true;
                return self.ask(Asked::Token);
            }
            StatusCode::UNAUTHORIZED => "it refuses the session tokens that it gives; is a proxy in between?",
            StatusCode::FORBIDDEN => "it is turned off for this instance (`HttpEndpoint`), or a firewall forbids it",
            StatusCode::NOT_FOUND if !asks_token => NO_ROLE,
            // Envoy's own answers when it cannot connect, or nothing comes in time.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT if asks_token => NO_ANSWER,
            _ => OUT_OF_ORDER,
        };
        self.error(format!("HTTP {}", response.status().as_u16()), check)
    }
}
