//! Checks that a webhook was signed by its sender: one general form of signatures, and a row of it
//! for each known provider.
//!
//! Comparisons take as long for what is wrong as for what is right. Never changes what was
//! received, and never says more of a secret than that nothing matched.

mod content;
mod form;
mod scheme;
#[cfg(not(target_arch = "wasm32"))]
pub mod signing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::exchange::template::Variable;
use crate::exchange::ClientRequest;
use crate::secret::Key;
pub(crate) use content::{Content, VARIABLES};
pub(crate) use form::{Proof, SignatureForm, TimePlace, TimeUnit};
pub(crate) use scheme::{FormSource, IdHeaders, IdSource, Kind, Scheme, GENERAL_KEYS, SCHEMES, VERIFY_TOKEN};

/// Bytes of the longest nonce: those of senders have 36 to 80.
const MAX_NONCE_BYTES: usize = 256;

/// The fate of a webhook whose signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnUnverified {
    /// It is stored, and marked as not verified.
    Mark,
    /// The sender gets a 401.
    Reject,
}

/// The signature checks of one capture.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The scheme that the sender keeps to.
    pub(crate) scheme: &'static Scheme,
    /// The forms of its signatures. A request is checked by the first that it has one of, and by
    /// others for the same place until its signature is good.
    pub(crate) forms: Vec<SignatureForm>,
    /// The secrets; a signature by any one of them is good.
    pub(crate) keys: Vec<Key>,
    /// The beginning of the sender's URLs, up to the path, where it is not the request's own host.
    pub(crate) url: Option<String>,
    /// The distance that the time in a signature, where there is one, may have from now.
    pub(crate) tolerance: Duration,
    /// The fate of a webhook without a good signature.
    pub(crate) on_failure: OnUnverified,
    /// True if anybody can have HMACs of nonces by one of these secrets, as the answers to
    /// challenges: what is nothing else is not good then.
    pub(crate) refuses_nonces: bool,
}

/// The reason why a signature is not good, for the reader of the queue and for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// The signature, or a part of it, is missing.
    #[error("there is no {0}")]
    Missing(String),
    /// It is not of the form that the scheme asks for.
    #[error("the {0} cannot be read")]
    Unreadable(String),
    /// The signature was made too long ago, or is sent again by somebody else.
    #[error("it was signed {} s ago, of at most {}", .age.as_secs(), .tolerance.as_secs())]
    Old {
        /// The age of the signature.
        age: Duration,
        /// The largest age.
        tolerance: Duration,
    },
    /// The signature was made in the future, by the clock of the gateway.
    #[error("it was signed {} s in the future, of at most {}", .by.as_secs(), .tolerance.as_secs())]
    Early {
        /// The distance of its time from now.
        by: Duration,
        /// The largest distance.
        tolerance: Duration,
    },
    /// No secret gives this signature.
    #[error("no signature matches")]
    Mismatch,
    /// The signed content is one of which anybody can have a signature: the answer to a challenge.
    #[error("what is signed could be a challenge")]
    Nonce,
}

impl Rejection {
    /// Returns what an operator can do about it, if the webhook is of the provider.
    pub(crate) fn mend(&self) -> &'static str {
        match self {
            Rejection::Missing(_) | Rejection::Unreadable(_) | Rejection::Nonce => {
                "unless a stranger sent it, its provider signs in another way: correct `scheme`, or what describes the \
                 signature"
            }
            Rejection::Old { .. } | Rejection::Early { .. } => {
                "unless somebody sends an old webhook again, set the clock of this machine"
            }
            Rejection::Mismatch => {
                "unless a stranger sent it, give `secrets` that of its provider, let nothing before the gateway change \
                 bodies, and where the URL is signed give `url`"
            }
        }
    }
}

/// A good signature, and what it covers beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The id of the delivery, where it is covered. Headers that are not may say anything.
    pub(crate) id: Option<String>,
    /// The position of the secret that it was made with.
    pub(crate) key: usize,
}

impl Verification {
    /// Checks that `request` was signed with one of the secrets.
    ///
    /// # Errors
    /// The reason why it is not known to be.
    pub(crate) fn check(&self, request: &ClientRequest<'_>, now: Timestamp) -> Result<Signed, Rejection> {
        let form = self.forms.iter().find(|form| form.is_in(request)).or(self.forms.first());
        let form = form.ok_or(Rejection::Mismatch)?;
        let mut others = self.forms.iter().filter(|other| other.places == form.places).skip(1);
        let mut signed = form
            .check(self, request, now)
            .or_else(|why| others.find_map(|other| other.check(self, request, now).ok()).ok_or(why))?;
        if let (None, IdSource::Body(_, read)) = (&signed.id, &self.scheme.id) {
            signed.id = read(&request.body.bytes).map(Cow::into_owned);
        }
        Ok(signed)
    }

    /// Returns the headers that a check reads, in lower case.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.forms.iter().flat_map(SignatureForm::variables).filter_map(|variable| match variable {
            Variable::RequestHeader(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns the query parameters that hold the secret itself, in lower case.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = String> + '_ {
        let places = self.forms.iter().filter(|form| form.proof == Proof::Token).flat_map(|form| &form.places);
        places.filter_map(|place| match place {
            Variable::RequestQuery(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
    }

    /// Returns true if a request holds the secret itself, which no message may have.
    fn is_token(&self) -> bool {
        self.forms.iter().any(|form| form.proof == Proof::Token)
    }

    /// Returns true if the reader of the queue needs `header` to check again, so that it is never
    /// redacted.
    pub(crate) fn needs(&self, header: &str) -> bool {
        !self.is_token() && self.headers().any(|name| name == header)
    }

    /// Returns true if `header` holds the secret itself.
    pub(crate) fn is_secret(&self, header: &str) -> bool {
        self.is_token() && self.headers().any(|name| name == header)
    }

    /// Returns the HMAC of a text by the secret at this position, written as signatures are.
    pub(crate) fn mac(&self, key: usize, text: &str) -> Option<String> {
        let (form, key) = (self.forms.first()?, self.keys.get(key)?);
        match form.proof {
            Proof::Hmac(algorithm) => Some(form.encoding.encode(&algorithm.mac(key, &[text.as_bytes()]))),
            _ => None,
        }
    }

    /// Returns true if every good signature is an HMAC.
    pub(crate) fn makes_hmacs(&self) -> bool {
        self.forms.iter().all(|form| matches!(form.proof, Proof::Hmac(_)))
    }

    /// Returns true if every good signature is an HMAC that covers `variable`.
    pub(crate) fn has_hmac_of(&self, variable: &Variable) -> bool {
        self.makes_hmacs() && self.forms.iter().all(|form| form.signed.covers(variable))
    }

    /// Checks that a signature that was made at this time is neither old nor of the future.
    fn fresh(&self, signed: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        let tolerance = self.tolerance;
        let (age, by) = (now.since(signed), signed.since(now));
        if age > tolerance {
            return Err(Rejection::Old { age, tolerance });
        }
        if by > tolerance {
            return Err(Rejection::Early { by, tolerance });
        }
        Ok(())
    }
}

/// Returns true if bytes are a nonce: letters, digits and marks that base64 and UUIDs have, and not
/// many. The content of a webhook has others: a bracket, a quote or a colon.
pub(super) fn is_nonce<'a>(bytes: impl Iterator<Item = &'a u8>) -> bool {
    let (mut count, is_of_nonce) = (0, |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_.~".contains(byte));
    let is_plain = bytes.take(MAX_NONCE_BYTES + 1).inspect(|_| count += 1).all(is_of_nonce);
    is_plain && (1..=MAX_NONCE_BYTES).contains(&count)
}

/// Returns a part of a request that is signed. A header of several lines is refused, and so is a
/// parameter or a field that is there twice: each reader may take another one for what was signed.
fn only<'a>(variable: &'a Variable, request: &'a ClientRequest<'_>) -> Result<Cow<'a, str>, Rejection> {
    let is_repeated = match variable {
        Variable::RequestHeader(name) => request.headers.lines(name).nth(1).is_some(),
        Variable::RequestQuery(name) => request.parameters().filter(|(key, _)| key == name).nth(1).is_some(),
        Variable::RequestFormField(name) => request.fields().filter(|(key, _)| key == name).nth(1).is_some(),
        _ => false,
    };
    if is_repeated {
        return Err(Rejection::Unreadable(described(variable)));
    }
    variable.of_request(request).ok_or_else(|| missing(variable))
}

/// Returns the fault of a request without a part of it.
fn missing(variable: &Variable) -> Rejection {
    Rejection::Missing(described(variable))
}

/// Names a part of a request.
fn described(variable: &Variable) -> String {
    match variable {
        Variable::RequestHeader(name) => format!("header `{name}`"),
        Variable::RequestQuery(name) => format!("query parameter `{name}`"),
        Variable::RequestBodyValue(at) => format!("`{at}` in the body"),
        Variable::RequestFormField(name) => format!("field `{name}` of the form"),
        _ => "part of the request that is signed".to_owned(),
    }
}
