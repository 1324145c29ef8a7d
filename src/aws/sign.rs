//! Signature Version 4: proves to AWS who makes a request.
//!
//! Never sends, never reads a clock, and never lets a secret into an error. `aws-sigv4` derives the
//! keys. What is signed is written here, and signed with a key that is kept, because it derives the
//! key of a day for each request again; tests hold both to the same signatures.

mod canonical;

use aws_sigv4::sign::v4::generate_signing_key;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{HeaderName, HeaderValue, AUTHORIZATION, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::Request;
use sha2::{Digest, Sha256};

use crate::aws::credentials::Credentials;
use crate::bytes::hex::hex_text;
use crate::clock::Timestamp;
use crate::secret::Secret;
use canonical::{canonical, SignedHeader};

const DATE_NAME: &str = "x-amz-date";
const SECURITY_TOKEN_NAME: &str = "x-amz-security-token";
const DATE: HeaderName = HeaderName::from_static(DATE_NAME);
const SECURITY_TOKEN: HeaderName = HeaderName::from_static(SECURITY_TOKEN_NAME);

/// Headers that are not signed: what the signature itself sets, and what proxies change.
const UNSIGNED_HEADERS: [HeaderName; 7] = [
    AUTHORIZATION,
    DATE,
    SECURITY_TOKEN,
    HOST,
    USER_AGENT,
    TRANSFER_ENCODING,
    HeaderName::from_static("x-amzn-trace-id"),
];

const MILLIS_OF_A_DAY: u64 = 86_400_000;

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
    /// An access key id that no header can hold.
    #[error("cannot sign: the access key id has a character that no header can have")]
    AccessKeyId,
}

/// The key of one day and one scope, derived from a secret access key: 16 blocks of SHA-256, which
/// a call of one small event would else have as a fifth of all its blocks.
pub(crate) struct SigningKey {
    scope: SigningScope,
    /// Days since 1970.
    day: u64,
    /// Ready for a text: the blocks that its key alone makes are hashed once a day.
    key: Hmac<Sha256>,
}

impl SigningKey {
    /// Derives the key of the day of `now`.
    ///
    /// # Errors
    /// When `now` has no date in a signature.
    pub(crate) fn derive(
        credentials: &Credentials,
        scope: &SigningScope,
        now: Timestamp,
    ) -> Result<SigningKey, SignError> {
        if now >= END_OF_TIME {
            return Err(SignError::Time(now));
        }
        let secret = credentials.secret_access_key.reveal();
        let key = generate_signing_key(secret, now.into(), &scope.region, scope.service);
        // An HMAC takes keys of any length.
        let key = Hmac::new_from_slice(key.as_ref()).map_err(|_| SignError::NoCredentials)?;
        Ok(SigningKey { scope: scope.clone(), day: now.0 / MILLIS_OF_A_DAY, key })
    }

    /// Returns true if the key is of the day of `now`.
    pub(crate) fn is_of_day(&self, now: Timestamp) -> bool {
        self.day == now.0 / MILLIS_OF_A_DAY
    }

    /// Returns true if the key is of `scope`.
    pub(crate) fn is_of_scope(&self, scope: &SigningScope) -> bool {
        self.scope == *scope
    }
}

/// Signs `request` for the moment `now`, as `sign_with_key` does, with a key that is derived for it
/// alone.
///
/// # Errors
/// When something cannot be signed as it would be sent; the request is then unchanged.
pub fn sign(
    request: &mut Request<Vec<u8>>,
    credentials: &Credentials,
    scope: &SigningScope,
    now: Timestamp,
) -> Result<(), SignError> {
    sign_with_key(request, credentials, &SigningKey::derive(credentials, scope, now)?, now)
}

/// Signs `request` for the moment `now`, which is on the day of `key`, and adds the headers
/// `x-amz-date`, `authorization` and, for temporary credentials, `x-amz-security-token`. A
/// signature that is there already is replaced.
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
pub(crate) fn sign_with_key(
    request: &mut Request<Vec<u8>>,
    credentials: &Credentials,
    key: &SigningKey,
    now: Timestamp,
) -> Result<(), SignError> {
    let signature = signature(request, credentials, key, now)?;
    let headers = request.headers_mut();
    headers.remove(HOST);
    headers.remove(SECURITY_TOKEN);
    for (name, value) in signature {
        headers.insert(name, value);
    }
    Ok(())
}

/// Returns the headers that the signature of `request` covers, in the order of their names.
fn signed_headers<'a>(
    request: &'a Request<Vec<u8>>,
    date: &'a str,
    token: Option<&'a str>,
) -> Result<Vec<SignedHeader<'a>>, SignError> {
    let host = request.uri().authority().ok_or(SignError::Uri)?.as_str();
    let mut signed = Vec::with_capacity(request.headers().len() + 3);
    let mut add = |name, value| signed.insert(signed.partition_point(|(earlier, _)| *earlier <= name), (name, value));
    add("host", host);
    add(DATE_NAME, date);
    token.into_iter().for_each(|token| add(SECURITY_TOKEN_NAME, token));
    for (name, value) in request.headers() {
        if !UNSIGNED_HEADERS.contains(name) {
            add(name.as_str(), value.to_str().map_err(|_| SignError::Header(name.clone()))?);
        }
    }
    Ok(signed)
}

/// Returns the headers that make the signature of `request`.
fn signature(
    request: &Request<Vec<u8>>,
    credentials: &Credentials,
    key: &SigningKey,
    now: Timestamp,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    // In a URI without a path the query stands alone, and a gateway may escape what is not ASCII.
    if !path.starts_with('/') || !path.is_ascii() {
        return Err(SignError::Uri);
    }
    let token = credentials.session_token.as_ref().map(Secret::reveal);
    let token_value = token.map(HeaderValue::from_str).transpose().map_err(|_| SignError::Header(SECURITY_TOKEN))?;
    let (date, at) = date_and_time(now);
    let SigningScope { region, service } = &key.scope;
    let scope = [&date, "/", region, "/", service, "/aws4_request"].concat();
    let body_hash = hex_text(&Sha256::digest(request.body()));
    let headers = signed_headers(request, &at, token)?;
    let (canonical, names) = canonical(request.method().as_str(), request.uri(), &headers, &body_hash);
    let signed = ["AWS4-HMAC-SHA256", &*at, &*scope, &*hex_text(&Sha256::digest(canonical))].join("\n");
    let signature = hex_text(&key.key.clone().chain_update(signed).finalize().into_bytes());
    let id = credentials.access_key_id.as_str();
    let authorization =
        ["AWS4-HMAC-SHA256 Credential=", id, "/", &scope, ", SignedHeaders=", &names, ", Signature=", &signature];
    let value = |text: String| HeaderValue::try_from(text).map_err(|_| SignError::AccessKeyId);
    let mut signature = vec![(DATE, value(at)?), (AUTHORIZATION, value(authorization.concat())?)];
    if let Some(mut token) = token_value {
        token.set_sensitive(true);
        signature.push((SECURITY_TOKEN, token));
    }
    Ok(signature)
}

/// Returns a moment as `20260101` and as `20260101T120000Z`.
fn date_and_time(now: Timestamp) -> (String, String) {
    let text = now.rfc3339();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let date = [part(0, 4), part(5, 7), part(8, 10)].concat();
    let at = [&date, "T", part(11, 13), part(14, 16), part(17, 19), "Z"].concat();
    (date, at)
}

#[cfg(test)]
mod tests;
