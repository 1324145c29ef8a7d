//! Signature Version 4: proves to AWS who makes a request.
//!
//! Never sends, never reads a clock, and never lets a secret into an error. The arithmetic is
//! `aws-sigv4`'s; this module sees to it that what is signed is what the host sends.

use aws_credential_types::Credentials as SigningCredentials;
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;
use http::header::{HeaderName, HeaderValue, AUTHORIZATION, HOST};
use http::Request;

use crate::aws::credentials::Credentials;
use crate::clock::Timestamp;
use crate::secret::Secret;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The begin of the year 10000, for which the date format of a signature has no digits.
const END_OF_TIME: Timestamp = Timestamp(253_402_300_800_000);

/// Where a signature is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningScope {
    /// The region whose endpoint is called.
    pub region: String,
    /// The service's signing name, for instance `sns`.
    pub service: &'static str,
}

/// The reason why a request cannot be signed. No text of these holds a secret or the value of a
/// header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Nothing to sign with.
    #[error("cannot sign: there are no credentials")]
    NoCredentials,
    /// A clock that is off by millennia.
    #[error("cannot sign: the host's clock says {} ms since 1970, which is past the year 9999", .0.0)]
    Time(Timestamp),
    /// A URI that the host would not send as it was signed.
    #[error("cannot sign: the URI must have an authority, and a path of ASCII that starts with `/`")]
    Uri,
    /// A header whose value is not text, or has a control character.
    #[error("cannot sign: the header `{0}` has a character that is not sent as it is signed")]
    Header(HeaderName),
    /// Anything else that the signer refuses.
    #[error("cannot sign: {0}")]
    Refused(String),
}

/// Signs `request` for the moment `now` and adds the headers `x-amz-date`, `authorization` and, for
/// temporary credentials, `x-amz-security-token`. A signature that is there already is replaced.
///
/// The signature covers the body, the path, and all headers except `user-agent`, `x-amzn-trace-id`
/// and `transfer-encoding`, which proxies change; and the URI's authority as `host`, exactly as it
/// stands. The header `host` is taken out if it is there: the gateway makes it from the authority.
///
/// In most cases a request must reach AWS within five minutes of `now` (IAM User Guide, "AWS
/// Signature Version 4 for API requests").
///
/// # Errors
/// When something cannot be signed as it would be sent; the request is then unchanged.
pub fn sign(
    request: &mut Request<Vec<u8>>,
    credentials: &Credentials,
    scope: &SigningScope,
    now: Timestamp,
) -> Result<(), SignError> {
    if now >= END_OF_TIME {
        return Err(SignError::Time(now));
    }
    let signature = signature(request, credentials, scope, now)?;
    let headers = request.headers_mut();
    headers.remove(HOST);
    headers.remove(SECURITY_TOKEN);
    for (name, value) in signature {
        headers.insert(name, value);
    }
    Ok(())
}

/// Returns the headers that the signature of `request` covers.
fn signed_headers(request: &Request<Vec<u8>>) -> Result<Vec<(&str, &str)>, SignError> {
    let mut signed = Vec::with_capacity(request.headers().len() + 1);
    for (name, value) in request.headers() {
        if ![AUTHORIZATION, DATE, SECURITY_TOKEN, HOST].contains(name) {
            signed.push((name.as_str(), value.to_str().map_err(|_| SignError::Header(name.clone()))?));
        }
    }
    signed.push(("host", request.uri().authority().ok_or(SignError::Uri)?.as_str()));
    Ok(signed)
}

/// Returns the headers that make the signature of `request`.
fn signature(
    request: &Request<Vec<u8>>,
    credentials: &Credentials,
    scope: &SigningScope,
    now: Timestamp,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    // In a URI without a path the query stands alone, and a gateway may escape what is not ASCII.
    if !path.starts_with('/') || !path.is_ascii() {
        return Err(SignError::Uri);
    }
    let token = credentials.session_token.as_ref().map(Secret::reveal);
    if token.is_some_and(|token| HeaderValue::from_str(token).is_err()) {
        return Err(SignError::Header(SECURITY_TOKEN));
    }
    let identity = SigningCredentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.reveal(),
        token.map(str::to_owned),
        None,
        "retrohook",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(scope.service)
        .time(now.into())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| SignError::Refused(error.to_string()))?
        .into();
    // From a whole URL the signer would make `host`, without the port if that is the scheme's own.
    // The gateway sends the authority as it is, so `host` is given, and the path is enough of the
    // URL.
    let (method, body) = (request.method().as_str(), SignableBody::Bytes(request.body()));
    let headers = SignableRequest::new(method, path, signed_headers(request)?.into_iter(), body)
        .and_then(|request| http_request::sign(request, &params))
        .map_err(|error| {
            SignError::Refused(std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
        })?
        .into_parts()
        .0
        .into_parts()
        .0;
    let mut signature = Vec::with_capacity(headers.len());
    for header in headers {
        let name = [AUTHORIZATION, DATE, SECURITY_TOKEN].into_iter().find(|name| name == header.name());
        let (Some(name), Ok(mut value)) = (name, HeaderValue::try_from(header.value())) else {
            return Err(SignError::Refused(format!("the header `{}` cannot be sent", header.name())));
        };
        value.set_sensitive(header.sensitive());
        signature.push((name, value));
    }
    Ok(signature)
}

#[cfg(test)]
mod tests;
