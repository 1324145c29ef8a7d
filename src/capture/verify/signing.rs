//! Signs webhooks as their senders do, from the form by which their signatures are checked: for
//! those who try a capture out. A worker signs none.

use std::borrow::Cow;

use serde_json::Value;

use super::{IdSource, Proof, Rejection, SignatureForm, TimePlace, TimeUnit, Verification};
use crate::clock::Timestamp;
use crate::exchange::template::Variable;
use crate::exchange::{ClientRequest, Headers};

/// A webhook that is to be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsignedWebhook {
    /// The method.
    pub method: String,
    /// The path with the query string.
    pub target: String,
    /// The headers, `host` among them, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The reason why a webhook cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// There is no such capture.
    #[error("there is no such capture")]
    NoCapture,
    /// The capture checks no signature.
    #[error("this capture has no `verify`: every request is taken, signed or not")]
    Unsigned,
    /// The secret in the configuration is a public key.
    #[error("the sender signs with a private key of Ed25519, and the configuration has its public key alone")]
    Public,
    /// A part of the signature belongs in the body.
    #[error("`{0}` belongs in the body, which is no JSON object that could have it")]
    Body(String),
    /// A part of the signature belongs in a form.
    #[error("`{0}` belongs in a form: give one as the body, with its `content-type`")]
    Form(String),
    /// The signed content is refused with any signature.
    #[error("a webhook like this one is refused with any signature: {0}")]
    Refused(String),
}

impl UnsignedWebhook {
    fn request(&self) -> ClientRequest<'_> {
        let headers = self.headers.iter().map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)));
        ClientRequest {
            method: Cow::Borrowed(&self.method),
            target: Cow::Borrowed(&self.target),
            headers: Headers(headers.collect()),
            body: self.body.as_slice().into(),
            ..ClientRequest::default()
        }
    }

    fn has(&self, variable: &Variable) -> bool {
        variable.of_request(&self.request()).is_some()
    }

    /// Puts a text where a placeholder of the request finds it.
    fn put(&mut self, variable: &Variable, text: &str) -> Result<(), SigningError> {
        match variable {
            Variable::RequestHeader(name) => {
                self.headers.retain(|(other, _)| other != name);
                self.headers.push((name.clone(), text.to_owned()));
            }
            Variable::RequestQuery(name) => {
                let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, text).finish();
                let mark = if self.target.contains('?') { '&' } else { '?' };
                self.target.extend([mark.to_string(), pair]);
            }
            Variable::RequestFormField(name) => {
                if !self.request().is_form() {
                    return Err(SigningError::Form(name.clone()));
                }
                let body = String::from_utf8_lossy(&self.body).into_owned();
                let mut form = form_urlencoded::Serializer::new(body);
                self.body = form.append_pair(name, text).finish().into_bytes();
            }
            Variable::RequestBodyValue(pointer) => {
                let lacks = || SigningError::Body(pointer.clone());
                let mut body: Value = serde_json::from_slice(&self.body).map_err(|_| lacks())?;
                *place(&mut body, pointer).ok_or_else(lacks)? = Value::from(text);
                self.body = body.to_string().into_bytes();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns the value at a pointer, with the objects that lead there.
fn place<'v>(body: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    pointer.split('/').skip(1).try_fold(body, |value, step| {
        let name = step.replace("~1", "/").replace("~0", "~");
        if value.is_null() {
            *value = Value::Object(serde_json::Map::new());
        }
        Some(value.as_object_mut()?.entry(name).or_insert(Value::Null))
    })
}

impl Verification {
    /// Signs a webhook with the first secret, in the first form. What else is signed and is not
    /// there becomes `id`.
    ///
    /// # Errors
    /// The reason why it cannot be signed.
    pub(crate) fn sign(&self, webhook: &mut UnsignedWebhook, id: &str, now: Timestamp) -> Result<(), SigningError> {
        let (Some(form), Some(key)) = (self.forms.first(), self.keys.first()) else {
            return Err(SigningError::Unsigned);
        };
        let time = form.time.as_ref().map(|(_, unit)| unit.write(now));
        if let (Some((TimePlace::Request(place), _)), Some(time)) = (&form.time, &time) {
            webhook.put(place, time)?;
        }
        for variable in form.id.iter().chain(form.signed.variables()) {
            if !webhook.has(variable) {
                webhook.put(variable, id)?;
            }
        }
        if let IdSource::Headers([headers, ..]) = self.scheme.id {
            let names = headers.needed.iter().map(|name| Variable::RequestHeader((*name).to_owned()));
            for name in names.filter(|_| form.id.is_none()) {
                if !webhook.has(&name) {
                    webhook.put(&name, id)?;
                }
            }
        }
        let signature = match form.proof {
            Proof::Hmac(algorithm) => {
                let request = webhook.request();
                let content = form.signed.of(&request, self.url.as_deref(), time.as_deref().unwrap_or_default());
                let content = content.map_err(|why| refused(&why))?;
                let parts: Vec<&[u8]> = content.iter().map(AsRef::as_ref).collect();
                form.encoding.encode(&algorithm.mac(key, &parts))
            }
            Proof::Token => form.encoding.encode(key.reveal()),
            #[cfg(feature = "ed25519")]
            Proof::Ed25519 => return Err(SigningError::Public),
        };
        let text = form.listed(&signature, time.as_deref());
        if let Some(place) = form.places.first() {
            webhook.put(place, &text)?;
        }
        self.check(&webhook.request(), now).map(|_| ()).map_err(|why| refused(&why))
    }
}

fn refused(why: &Rejection) -> SigningError {
    SigningError::Refused(why.to_string())
}

impl SignatureForm {
    /// Writes a signature as it stands in its place, with the time where that is listed beside it.
    fn listed(&self, signature: &str, time: Option<&str>) -> String {
        let item = [&self.prefix, signature].concat();
        match (&self.time, time, &self.separator) {
            (Some((TimePlace::List(name), _)), Some(time), Some(separator)) => [name, time, separator, &item].concat(),
            _ => item,
        }
    }
}

impl TimeUnit {
    fn write(self, now: Timestamp) -> String {
        match self {
            TimeUnit::Seconds => (now.0 / 1_000).to_string(),
            TimeUnit::Milliseconds => now.0.to_string(),
            TimeUnit::Rfc3339 => now.rfc3339(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{FormSource, SCHEMES};
    use super::*;
    use crate::config::Config;

    const NOW: Timestamp = Timestamp(1_767_268_800_123);

    fn verification(verify: &Value) -> Verification {
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
        let capture = json!([{"method": "POST", "matcher": "/", "queue_url": queue, "verify": verify}]);
        let config = Config::from_json(json!({"capture": capture}).to_string().as_bytes());
        config.unwrap_or_else(|faults| panic!("{faults}")).captures.all[0].verify.clone().unwrap()
    }

    fn webhook() -> UnsignedWebhook {
        UnsignedWebhook {
            method: "POST".into(),
            target: "/webhook".into(),
            headers: vec![("host".into(), "hooks.example.com".into())],
            body: br#"{"a":1}"#.to_vec(),
        }
    }

    #[test]
    fn every_named_sender_is_signed_for_so_that_its_own_check_is_good() {
        let mut signed = 0;
        for scheme in SCHEMES.iter().filter(|scheme| matches!(scheme.form, FormSource::Row(_))) {
            let secret = match scheme.name {
                "standard-webhooks" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "discord" => "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "chargebee" | "postmark" => "name:password",
                _ => "the secret",
            };
            let verification = verification(&json!({"scheme": scheme.name, "secrets": [secret]}));
            let mut webhook = webhook();
            if scheme.name == "twilio" {
                webhook.headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
                webhook.body = b"a=1&b=2".to_vec();
            }
            match verification.sign(&mut webhook, "id-1", NOW) {
                Ok(()) => {
                    signed += 1;
                    assert!(verification.check(&webhook.request(), NOW).is_ok());
                    let mut other = webhook.clone();
                    other.headers.iter_mut().for_each(|(_, value)| *value = value.to_uppercase().replace('A', "B"));
                    other.body = b"{}".to_vec();
                    let is_basic = ["chargebee", "postmark"].contains(&scheme.name);
                    assert!(is_basic || verification.check(&other.request(), NOW).is_err(), "{}", scheme.name);
                }
                Err(error) => assert_eq!((scheme.name, error), ("discord", SigningError::Public)),
            }
        }
        assert!(signed > 35, "{signed}");
    }

    #[test]
    fn forms_of_one_s_own_are_signed_too_wherever_they_stand() {
        for verify in [
            json!({"scheme": "hmac", "secrets": ["s"], "query": "sig", "algorithm": "sha512"}),
            json!({"scheme": "hmac", "secrets": ["s"], "body": "/meta/sig", "signed": "${request.headers.x-id}"}),
            json!({"scheme": "hmac", "secrets": ["s"], "header": "x-sig", "separator": ",", "key": "v1",
                   "signed": "${timestamp}.${request.body}", "timestamp": {"key": "t", "unit": "ms"}}),
            json!({"scheme": "hmac", "secrets": ["s"], "header": "x-sig", "separator": ",",
                   "signed": "${timestamp}.${request.body}", "timestamp": {"key": ""}}),
            json!({"scheme": "token", "secrets": ["s"], "header": "x-token", "prefix": "Bearer "}),
            json!({"scheme": "basic", "secrets": ["name:password"]}),
        ] {
            let verification = verification(&verify);
            let mut webhook = webhook();
            assert_eq!(verification.sign(&mut webhook, "id-1", NOW), Ok(()), "{verify}");
            assert!(verification.check(&webhook.request(), NOW).is_ok());
        }
        let in_body = verification(&json!({"scheme": "hmac", "secrets": ["s"], "body": "/sig"}));
        let mut text = UnsignedWebhook { body: b"text".to_vec(), ..webhook() };
        assert_eq!(in_body.sign(&mut text, "id-1", NOW), Err(SigningError::Body("/sig".into())));
    }
}
