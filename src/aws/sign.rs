//! Signature Version 4: proves to AWS who makes a callout.
//!
//! Never sends, never reads a clock, and never lets a secret into an error. The arithmetic is `aws-sigv4`'s; what is
//! ours is that what is signed is what the host will send.

use aws_credential_types::Credentials as SigningCredentials;
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;

use crate::aws::credentials::Credentials;
use crate::callout::Callout;
use crate::clock::Timestamp;
use crate::secret::Secret;

const AUTHORIZATION: &str = "authorization";
const DATE: &str = "x-amz-date";
const SECURITY_TOKEN: &str = "x-amz-security-token";
const HOST: &str = "host";

/// The first moment that the date format of a signature, with four digits for the year, cannot say: the year 10000.
const END_OF_TIME: Timestamp = Timestamp(253_402_300_800_000);

/// What a signature is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningScope {
    /// The region whose endpoint is called.
    pub region: String,
    /// The service's signing name, for instance `sns`.
    pub service: &'static str,
}

/// Why a callout cannot be signed. No text of these holds a secret or the value of a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Nothing to sign with.
    #[error("cannot sign: there are no credentials")]
    NoCredentials,
    /// A clock that is off by millennia.
    #[error("cannot sign: the host's clock says {} ms since 1970, which is past the year 9999", .0.0)]
    Time(Timestamp),
    /// A path that the host would send otherwise than it was signed.
    #[error("cannot sign: the path must start with `/` and be of visible ASCII characters without `#`")]
    Path,
    /// A header that HTTP does not carry; `host` stands for the authority.
    #[error("cannot sign: the header `{0}` has a control character, such as a line break")]
    Header(String),
    /// Anything else that the signer does not take, such as the name of a header.
    #[error("cannot sign: {0}")]
    Refused(String),
}

/// Signs `callout` for the moment `now` and adds the headers `x-amz-date`, `authorization` and, for temporary
/// credentials, `x-amz-security-token`. A callout that was signed before is signed anew.
///
/// Signed are the body, the path, and all headers but `user-agent`, `x-amzn-trace-id` and `transfer-encoding`, which
/// proxies change; and `host`, exactly as [`Callout::authority`] has it. `host` is not added to the headers, and is
/// taken out if it is there: the host of the filter makes it from the authority.
///
/// In most cases a request must reach AWS within five minutes of `now` (IAM User Guide, "AWS Signature Version 4 for API
/// requests").
///
/// # Errors
/// When something cannot be signed as it would be sent; the callout is then unchanged.
pub fn sign(
    callout: &mut Callout,
    credentials: &Credentials,
    scope: &SigningScope,
    now: Timestamp,
) -> Result<(), SignError> {
    if now >= END_OF_TIME {
        return Err(SignError::Time(now));
    }
    // The signer drops a fragment and takes line breaks; the host sends the one and trips over the others.
    let sendable = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !callout.path.starts_with('/') || !callout.path.bytes().all(sendable) {
        return Err(SignError::Path);
    }
    let headers = signature(callout, credentials, scope, now)?;
    callout.headers.retain(|(name, _)| !is_replaced(name));
    callout.headers.extend(headers);
    Ok(())
}

/// Whether signing makes this header, or the host of the filter does.
fn is_replaced(name: &str) -> bool {
    [AUTHORIZATION, DATE, SECURITY_TOKEN, HOST].contains(&name)
}

/// What the signature covers as headers.
fn signed_headers(callout: &Callout) -> impl Iterator<Item = (&str, &str)> {
    let headers = callout.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    headers.filter(|(name, _)| !is_replaced(name)).chain([(HOST, callout.authority.as_str())])
}

fn signature(
    callout: &Callout,
    credentials: &Credentials,
    scope: &SigningScope,
    now: Timestamp,
) -> Result<Vec<(String, String)>, SignError> {
    let identity = SigningCredentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.reveal(),
        credentials.session_token.as_ref().map(|token| token.reveal().to_owned()),
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
    // With a whole URL the signer would make `host` from it, without the port where that is the scheme's own. The host
    // of the filter sends the authority as it is, so `host` is given, and of the URL the path is enough.
    let body = SignableBody::Bytes(&callout.body);
    let (headers, _) = SignableRequest::new(callout.method, callout.path.as_str(), signed_headers(callout), body)
        .and_then(|request| http_request::sign(request, &params))
        .map_err(|error| blame(callout, credentials, &error))?
        .into_parts()
        .0
        .into_parts();
    Ok(headers.into_iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect())
}

/// Names the header that the signer refused, which its own error does not.
fn blame(callout: &Callout, credentials: &Credentials, error: &http_request::SigningError) -> SignError {
    let token = credentials.session_token.as_ref().map(Secret::reveal);
    let culprit = signed_headers(callout)
        .chain(token.map(|token| (SECURITY_TOKEN, token)))
        .find(|(_, value)| value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'));
    match culprit {
        Some((name, _)) => SignError::Header(name.to_owned()),
        None => SignError::Refused(std::error::Error::source(error).map_or(error.to_string(), ToString::to_string)),
    }
}

#[cfg(test)]
mod tests;
