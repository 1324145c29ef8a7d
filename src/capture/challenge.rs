//! Challenges: requests by which a sender finds out, before it sends anything, that who gets its
//! webhooks wants them. They are answered and not stored. Never answers with more of a request than
//! its configuration names, and never as something that a browser would run.

use std::borrow::Cow;
use std::str::FromStr;

use ctutils::CtEq;
use http::header::{HeaderName, HeaderValue, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::StatusCode;

use super::verify::{is_nonce, Rejection, Signed, Verification};
use super::Answer;
use crate::exchange::template::{each_piece, TemplateError, Variable};
use crate::exchange::ClientRequest;
use crate::json::to_json;

/// Bytes of the largest body in which a challenge is looked for: those of providers have a few
/// hundred.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The placeholder of an answer that is an HMAC begins so.
const HMAC: &str = "hmac.";

/// Challenges that no signature belongs to, by the names that `challenges` knows them by.
pub(crate) static CHALLENGES: [(&str, &str); 4] = [
    (
        "cloudevents",
        r#"{"verified":false,"when":{"request.method":"OPTIONS","request.headers.webhook-request-origin":{"exists":true}},"response":{"headers":{"webhook-allowed-origin":"${request.headers.webhook-request-origin}","webhook-allowed-rate":"*"}}}"#,
    ),
    (
        "event-grid",
        r#"{"verified":false,"when":{"request.headers.aeg-event-type":"SubscriptionValidation","request.body./0/data/validationCode":{"exists":true}},"response":{"content_type":"application/json","body":"{\"validationResponse\":\"${request.body./0/data/validationCode}\"}"}}"#,
    ),
    (
        "microsoft-graph",
        r#"{"verified":false,"when":{"request.query.validationToken":{"exists":true},"request.body":{"exists":false}},"response":{"body":"${request.query.validationToken}"}}"#,
    ),
    (
        "okta",
        r#"{"verified":false,"when":{"request.method":"GET","request.headers.x-okta-verification-challenge":{"exists":true}},"response":{"content_type":"application/json","body":"{\"verification\":\"${request.headers.x-okta-verification-challenge}\"}"}}"#,
    ),
];

/// A kind of challenges, and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    /// Properties of a request that is one. All of them must hold.
    pub(crate) when: Vec<(Variable, Condition)>,
    /// True if it is answered only where its signature is good, if its capture checks any.
    pub(crate) verified: bool,
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: Vec<(HeaderName, AnswerText)>,
    /// Its body.
    pub(crate) body: AnswerText,
    /// True if the body is JSON, and else plain text.
    pub(crate) is_json: bool,
}

/// A property that a value has to have.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// One of these texts.
    OneOf(Vec<String>),
    /// There, or not there.
    Exists(bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AnswerPart {
    Text(String),
    Request(Variable),
    /// The HMAC of a value, by the secret that the request was signed with.
    Hmac(Variable),
}

/// A text with placeholders of a challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnswerText(Vec<AnswerPart>);

impl FromStr for AnswerText {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<AnswerText, TemplateError> {
        let mut parts = Vec::new();
        each_piece(text, &mut |text, is_placeholder| {
            parts.push(match text.strip_prefix(HMAC) {
                _ if !is_placeholder => AnswerPart::Text(text.to_owned()),
                Some(name) => AnswerPart::Hmac(name.parse()?),
                None => AnswerPart::Request(text.parse()?),
            });
            Ok(())
        })?;
        Ok(AnswerText(parts))
    }
}

impl AnswerText {
    /// Returns the placeholders of requests.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            AnswerPart::Request(variable) | AnswerPart::Hmac(variable) => Some(variable),
            AnswerPart::Text(_) => None,
        })
    }

    /// Returns the placeholders whose HMACs are in it.
    fn hmacs(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            AnswerPart::Hmac(variable) => Some(variable),
            AnswerPart::Request(_) | AnswerPart::Text(_) => None,
        })
    }

    /// Returns the text for one challenge.
    fn fill(&self, request: &ClientRequest<'_>, is_json: bool, mac: &dyn Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            let value = match part {
                AnswerPart::Text(part) => {
                    text.push_str(part);
                    continue;
                }
                AnswerPart::Request(variable) => variable.of_request(request),
                AnswerPart::Hmac(variable) => {
                    variable.of_request(request).and_then(|value| mac(&value)).map(Cow::Owned)
                }
            };
            let value = value.unwrap_or_default();
            if is_json {
                let escaped = to_json(&*value);
                text.push_str(escaped.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default());
            } else {
                text.push_str(&value);
            }
        }
        text
    }
}

impl std::fmt::Debug for Condition {
    /// Shows no text: one may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Condition::OneOf(_) => "one of [secret]",
            Condition::Exists(true) => "exists",
            Condition::Exists(false) => "is absent",
        })
    }
}

impl Condition {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Condition::Exists(exists) => value.is_some_and(|value| !value.is_empty()) == *exists,
            // A text may be a secret: as long for a wrong one as for a right one.
            Condition::OneOf(texts) => value.is_some_and(|value| {
                texts.iter().fold(false, |found, text| found | text.as_bytes().ct_eq(value.as_bytes()).to_bool())
            }),
        }
    }
}

impl Challenge {
    /// Returns true if the request is such a challenge, and has all that the answer repeats:
    /// without it nobody asks for an answer, and the request is a webhook like any other.
    pub(super) fn is(&self, request: &ClientRequest<'_>) -> bool {
        let holds = |(variable, condition): &(Variable, Condition)| {
            let value = variable.of_request(request);
            condition.holds(value.as_deref())
        };
        let is_there = |variable: &Variable| variable.of_request(request).is_some_and(|value| !value.is_empty());
        // Anybody can have the HMAC of what nobody signs, so that it must be no webhook's content.
        let is_harmless = |variable: &Variable| {
            self.verified || variable.of_request(request).is_some_and(|value| is_nonce(value.as_bytes().iter()))
        };
        request.body.bytes.len() <= MAX_BODY_BYTES
            && self.when.iter().all(holds)
            && self.repeated().all(is_there)
            && self.hmacs().all(is_harmless)
    }

    /// Returns true if anybody can have HMACs of nonces as its answer.
    pub(super) fn signs_nonces(&self) -> bool {
        !self.verified && self.hmacs().next().is_some()
    }

    /// Returns the methods that such challenges have, as far as they say.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &String> {
        self.when.iter().flat_map(|when| match when {
            (Variable::RequestMethod, Condition::OneOf(methods)) => methods.as_slice(),
            _ => &[],
        })
    }

    /// Returns the placeholders of requests in it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.when.iter().map(|(variable, _)| variable).chain(self.repeated())
    }

    /// Returns the placeholders of requests in its answer.
    fn repeated(&self) -> impl Iterator<Item = &Variable> {
        self.texts().flat_map(AnswerText::variables)
    }

    /// Returns the placeholders whose HMACs are in its answer.
    pub(crate) fn hmacs(&self) -> impl Iterator<Item = &Variable> {
        self.texts().flat_map(AnswerText::hmacs)
    }

    fn texts(&self) -> impl Iterator<Item = &AnswerText> {
        self.headers.iter().map(|(_, text)| text).chain([&self.body])
    }

    /// Returns the answer to the request, whose signature was `checked` if it has to have one.
    /// `None` if that is not good.
    pub(super) fn answer(
        &self,
        request: &ClientRequest<'_>,
        verification: Option<&Verification>,
        checked: Option<&Result<Signed, Rejection>>,
    ) -> Option<Answer> {
        let signed = checked.and_then(|checked| checked.as_ref().ok());
        if self.verified && checked.is_some() && signed.is_none() {
            return None;
        }
        // The newest secret comes first.
        let key = signed.map(|signed| signed.key).or((!self.verified).then_some(0));
        let mac = |text: &str| verification?.mac(key?, text);
        let mut answer = Answer::new(self.body.fill(request, self.is_json, &mac));
        *answer.status_mut() = self.status;
        let is_empty = answer.body().is_empty();
        let headers = answer.headers_mut();
        for (name, text) in &self.headers {
            // What a header cannot carry is left out.
            if let Ok(value) = HeaderValue::try_from(text.fill(request, false, &mac)) {
                headers.append(name, value);
            }
        }
        if !is_empty {
            let content_type = if self.is_json { "application/json" } else { "text/plain" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        Some(answer)
    }
}
