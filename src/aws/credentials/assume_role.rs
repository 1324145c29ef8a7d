//! Credentials of a role that another source may assume, from STS (AWS STS API Reference,
//! "AssumeRole"; query protocol, version 2011-06-15).
//!
//! Never keeps the credentials of the other source: they may be shorter-lived than the role's, so
//! it is asked each time.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event as Xml;
use quick_xml::Reader;

use super::{document, Credentials, Provider, SourceError, Step};
use crate::aws::credentials::settings::Role;
use crate::aws::error::{Failure, FailureClass};
use crate::aws::form::Form;
use crate::aws::protocol;
use crate::aws::sign::{sign, SigningScope};
use crate::callout::{self, Callout, Reply};
use crate::clock::Timestamp;

/// Bytes of a reply that are looked at. A reply has about 2 KB.
const MAX_BYTES: usize = 1 << 16;

/// Room for a request without an external id; with one it grows.
const BODY_BYTES: usize = 512;

/// A role, on top of a source whose credentials may assume it.
pub(super) struct AssumeRole {
    source: Box<dyn Provider>,
    role: Role,
    timeout: Duration,
    asks_sts: bool,
}

impl AssumeRole {
    /// Puts `role` on top of `source`. One call has the timeout `timeout`.
    pub(super) fn new(source: Box<dyn Provider>, role: Role, timeout: Duration) -> AssumeRole {
        AssumeRole { source, role, timeout, asks_sts: false }
    }

    fn go_on(&mut self, step: Step, now: Timestamp) -> Step {
        match step {
            Step::Done(Ok(credentials)) => self.ask(&credentials, now),
            Step::Done(Err(error)) => {
                let asked = format!("{}, which is to assume {}", error.asked, self.role.role_arn);
                SourceError { asked, ..error }.into()
            }
            call => call,
        }
    }

    fn ask(&mut self, credentials: &Credentials, now: Timestamp) -> Step {
        let uri = self.role.endpoint.uri().clone();
        let headers = protocol::headers([(CONTENT_TYPE, "application/x-www-form-urlencoded")]);
        let mut request = callout::request(Method::POST, uri, headers, self.body());
        let scope = SigningScope { region: self.role.region.clone(), service: "sts" };
        match sign(&mut request, credentials, &scope, now) {
            Ok(()) => {
                self.asks_sts = true;
                Step::Call(Callout { upstream: self.role.upstream.clone(), request, timeout: self.timeout })
            }
            Err(error) => self.error(error.to_string(), "look at the endpoint and at the host's clock").into(),
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut form = Form::new("Action=AssumeRole&Version=2011-06-15", BODY_BYTES);
        form.field("", "RoleArn", &self.role.role_arn);
        form.field("", "RoleSessionName", &self.role.session_name);
        form.field("", "DurationSeconds", &self.role.duration.as_secs().to_string());
        if let Some(external_id) = &self.role.external_id {
            form.field("", "ExternalId", external_id);
        }
        form.into_bytes()
    }

    fn error(&self, answered: impl Into<String>, check: impl Into<String>) -> SourceError {
        SourceError::new(
            format!("STS at `{}`, asked for the role {}", self.role.upstream, self.role.role_arn),
            answered,
            check,
        )
    }

    fn read(&self, reply: &Reply) -> Result<Credentials, SourceError> {
        let response = match reply {
            Reply::Response(response) => response,
            Reply::NoResponse(reason) => {
                return Err(self.error(reason, "can the host reach it, and (Envoy) is there a cluster of that name?"))
            }
        };
        let found = Found::read(response.body());
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response.status().as_u16(), &found));
        }
        let keys = document::credentials(found.id, found.secret, found.token, found.expiration.as_deref());
        keys.map_err(|error| self.error(error.to_string(), "something other than STS may have answered"))
    }

    fn refusal(&self, status: u16, found: &Found) -> SourceError {
        let (Some(code), message) = (&found.code, found.message.as_deref().unwrap_or_default()) else {
            return self.error(format!("HTTP {status}"), "it, or the host for it, is out of order; it is asked again");
        };
        // STS says who was denied what, and names no secret.
        let Failure { code, message, .. } = Failure::new(FailureClass::Transient, code, message);
        let check = match code.as_str() {
            "AccessDenied" => {
                "the role's trust policy must name the one who asks (and the external id, where it wants one), and the policy of \
                 the one who asks must allow sts:AssumeRole on the role"
            }
            "ValidationError" => "is duration_seconds more than the role's maximum, or than the hour that one role has for another?",
            "RegionDisabledException" => "STS is not activated in this region: give `assume_role.region` and `endpoint` of another one",
            "ExpiredToken" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => "the credentials of the source itself are refused",
            _ => "see the code in the STS API Reference, AssumeRole",
        };
        self.error(format!("HTTP {status}, {code}: {message}"), check)
    }
}

impl Provider for AssumeRole {
    fn begin(&mut self, now: Timestamp) -> Step {
        self.asks_sts = false;
        let step = self.source.begin(now);
        self.go_on(step, now)
    }

    fn handle_reply(&mut self, reply: &Reply, now: Timestamp) -> Step {
        if self.asks_sts {
            return Step::Done(self.read(reply));
        }
        let step = self.source.handle_reply(reply, now);
        self.go_on(step, now)
    }
}

/// The fields of a reply of STS, wherever they stand.
#[derive(Default)]
struct Found {
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

impl Found {
    fn read(body: &[u8]) -> Found {
        let body = body.get(..MAX_BYTES).unwrap_or(body);
        let mut reader = Reader::from_str(body.utf8_chunks().next().map_or("", |chunk| chunk.valid()));
        let (mut found, mut text) = (Found::default(), String::new());
        loop {
            match reader.read_event() {
                Ok(Xml::Start(_)) => text.clear(),
                Ok(Xml::Text(part)) => text.push_str(&part),
                Ok(Xml::GeneralRef(reference)) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => text.push(character),
                    _ => text.push_str(resolve_xml_entity(&reference).unwrap_or_default()),
                },
                Ok(Xml::End(end)) => {
                    let field = match end.local_name().as_ref() {
                        "AccessKeyId" => &mut found.id,
                        "SecretAccessKey" => &mut found.secret,
                        "SessionToken" => &mut found.token,
                        "Expiration" => &mut found.expiration,
                        "Code" => &mut found.code,
                        "Message" => &mut found.message,
                        _ => continue,
                    };
                    *field = Some(text.trim().to_owned());
                }
                Ok(Xml::Eof) | Err(_) => return found,
                Ok(_) => {}
            }
        }
    }
}
