//! The form of signatures: where they stand, how they are made and written, and what is signed. One
//! form carries them all; a provider is a row of [`super::scheme`].

use std::borrow::Cow;

use ctutils::CtEq;

use super::content::Content;
use super::{described, is_nonce, missing, only, Rejection, Signed, Verification};
use crate::clock::Timestamp;
use crate::exchange::template::Variable;
use crate::exchange::ClientRequest;
#[cfg(feature = "ed25519")]
use crate::secret::verifies;
use crate::secret::{Algorithm, Encoding, Key};

/// Signatures of one request that are looked at: a sender that rotates its secret sends two or
/// three. To compare one more costs next to nothing.
const MAX_SIGNATURES: usize = 8;

/// Signatures of Ed25519 of one request that are looked at: one by each of two keys while a sender
/// rotates its own. Anybody can send them, and with each key each costs as much as five webhooks.
#[cfg(feature = "ed25519")]
const MAX_ED25519_SIGNATURES: usize = 2;

/// The way in which a signature proves that its sender knows the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is an HMAC by the secret.
    Hmac(Algorithm),
    /// It is the secret itself: nothing of the request is signed.
    Token,
    /// It is one of Ed25519, and the secret is the sender's public key.
    #[cfg(feature = "ed25519")]
    Ed25519,
}

/// The place of the time at which a signature was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimePlace {
    /// A part of the request.
    Request(Variable),
    /// The first item of the list of signatures that begins so.
    List(String),
}

/// The form in which times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// As in RFC 3339.
    Rfc3339,
}

/// The form of signatures.
#[derive(Clone, Debug)]
pub(crate) struct SignatureForm {
    /// The way in which a signature is made.
    pub(crate) proof: Proof,
    /// The parts of the request that hold signatures; the first has to be there.
    pub(crate) places: Vec<Variable>,
    /// The text between several in one place.
    pub(crate) separator: Option<String>,
    /// The text before a signature, such as `sha256=`; may be empty.
    pub(crate) prefix: String,
    /// The form in which it is written.
    pub(crate) encoding: Encoding,
    /// The parts that are signed.
    pub(crate) signed: Content,
    /// The time at which it was made, where that is signed.
    pub(crate) time: Option<(TimePlace, TimeUnit)>,
    /// The header that has the id of the delivery, where that is signed.
    pub(crate) id: Option<Variable>,
}

impl SignatureForm {
    /// Returns true if the request has a signature in one of the places.
    pub(super) fn is_in(&self, request: &ClientRequest<'_>) -> bool {
        self.places.iter().any(|place| place.of_request(request).is_some())
    }

    /// Returns the parts of requests that a check reads.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let time = match &self.time {
            Some((TimePlace::Request(place), _)) => Some(place),
            Some((TimePlace::List(_), _)) | None => None,
        };
        self.places.iter().chain(time).chain(self.signed.variables())
    }

    /// Checks the signature of a request.
    pub(super) fn check(
        &self,
        verification: &Verification,
        request: &ClientRequest<'_>,
        now: Timestamp,
    ) -> Result<Signed, Rejection> {
        let (signatures, listed_time) = self.read(request)?;
        let time = match &self.time {
            None => None,
            Some((TimePlace::Request(place), _)) => Some(only(place, request)?),
            Some((TimePlace::List(_), _)) => Some(Cow::Owned(listed_time.ok_or_else(|| self.unreadable())?)),
        };
        let made_at = match (&self.time, &time) {
            (Some((place, unit)), Some(time)) => Some(unit.read(time).ok_or_else(|| match place {
                TimePlace::Request(place) => Rejection::Unreadable(described(place)),
                TimePlace::List(_) => self.unreadable(),
            })?),
            _ => None,
        };
        // Anybody can send signatures that are none: they cost no hash of a body.
        if !self.proof.may_be_one_of(&signatures) {
            return Err(Rejection::Mismatch);
        }
        let content = self.signed.of(request, verification.url.as_deref(), time.as_deref().unwrap_or_default())?;
        let parts: Vec<&[u8]> = content.iter().map(AsRef::as_ref).collect();
        if verification.refuses_nonces && is_nonce(parts.iter().copied().flatten()) {
            return Err(Rejection::Nonce);
        }
        let is_good = |key: &Key| self.proof.is_good(key, &parts, &signatures);
        let key = verification.keys.iter().position(is_good).ok_or(Rejection::Mismatch)?;
        if let Some(made_at) = made_at {
            verification.fresh(made_at, now)?;
        }
        let id = self.id.as_ref().and_then(|id| id.of_request(request)).map(Cow::into_owned);
        Ok(Signed { id, key })
    }

    /// Returns the signatures of a request, and the time that is listed among them.
    fn read(&self, request: &ClientRequest<'_>) -> Result<(Vec<Vec<u8>>, Option<String>), Rejection> {
        let (mut signatures, mut time) = (Vec::new(), None);
        let texts = self.texts(request);
        if let (true, Some(place)) = (texts.is_empty(), self.places.first()) {
            return Err(missing(place));
        }
        for text in &texts {
            let mut rest = Some(&**text);
            while let Some(list) = rest {
                let split = self.separator.as_deref().and_then(|separator| self.split(list, separator));
                let item = split.map_or(list, |(item, _)| item).trim();
                rest = split.map(|(_, behind)| behind);
                let named_time = match &self.time {
                    Some((TimePlace::List(name), _)) => item.strip_prefix(name.as_str()),
                    _ => None,
                };
                let signature = behind(item, &self.prefix).and_then(|text| self.encoding.decode(text));
                if let (Some(value), None) = (named_time, &time) {
                    time = Some(value.to_owned());
                } else if let Some(signature) = signature.filter(|_| signatures.len() < self.proof.max_signatures()) {
                    signatures.push(signature);
                }
            }
        }
        if signatures.is_empty() {
            return Err(self.unreadable());
        }
        Ok((signatures, time))
    }

    /// Splits a list behind its first item. Some senders put several lists into one text, with a
    /// space between them: it ends an item as well, where no signature has one before it.
    fn split<'a>(&self, list: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
        let list = list.trim_start();
        let split = list.split_once(separator);
        let first = split.map_or(list, |(item, _)| item).trim_end();
        let is_whole = |item: &str| item.len() < first.len() && !self.prefix.contains(' ');
        let by_space = list.split_once(' ').filter(|(item, _)| is_whole(item));
        by_space.or(split)
    }

    /// Returns the texts in the places; of a header each line.
    fn texts<'a>(&'a self, request: &'a ClientRequest<'_>) -> Vec<Cow<'a, str>> {
        let mut texts = Vec::new();
        for place in &self.places {
            match place {
                Variable::RequestHeader(name) => texts.extend(request.headers.lines(name).map(Cow::Borrowed)),
                // Readers would not agree on which of two counts.
                Variable::RequestFormField(_) => texts.extend(only(place, request).ok()),
                _ => texts.extend(place.of_request(request)),
            }
        }
        texts
    }

    fn unreadable(&self) -> Rejection {
        Rejection::Unreadable(self.places.first().map(described).unwrap_or_default())
    }
}

/// Returns what stands behind a prefix, in whatever case that is written: `Basic`, `basic`.
fn behind<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?;
    text.get(prefix.len()..)
}

impl Proof {
    /// Returns how many signatures of one request are looked at.
    fn max_signatures(self) -> usize {
        match self {
            Proof::Hmac(_) | Proof::Token => MAX_SIGNATURES,
            #[cfg(feature = "ed25519")]
            Proof::Ed25519 => MAX_ED25519_SIGNATURES,
        }
    }

    /// Returns true if one of `signatures` has the length that a good one has.
    fn may_be_one_of(self, signatures: &[Vec<u8>]) -> bool {
        match self {
            Proof::Hmac(algorithm) => signatures.iter().any(|signature| signature.len() == algorithm.bytes()),
            Proof::Token => true,
            #[cfg(feature = "ed25519")]
            Proof::Ed25519 => true,
        }
    }

    /// Returns true if one of `signatures` proves that who signed `parts` knows the key. It takes
    /// as long for a wrong one as for a right one.
    fn is_good(self, key: &Key, parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
        let expected = match self {
            Proof::Hmac(algorithm) => algorithm.mac(key, parts),
            Proof::Token => key.reveal().to_vec(),
            #[cfg(feature = "ed25519")]
            Proof::Ed25519 => return signatures.iter().any(|signature| verifies(key.reveal(), parts, signature)),
        };
        signatures.iter().any(|signature| signature.as_slice().ct_eq(expected.as_slice()).to_bool())
    }
}

impl TimeUnit {
    fn read(self, text: &str) -> Option<Timestamp> {
        // A zero before it could be the last digit of what is signed before the time.
        let is_plain = || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = || text.parse().ok().filter(|_: &u64| is_plain());
        match self {
            TimeUnit::Seconds => Some(Timestamp(number()?.saturating_mul(1_000))),
            TimeUnit::Milliseconds => Some(Timestamp(number()?)),
            TimeUnit::Rfc3339 => Timestamp::from_rfc3339(text),
        }
    }
}
