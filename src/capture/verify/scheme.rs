//! The schemes of signatures: one row each says all that tells one scheme from the next.
//!
//! A sender whose signature is an HMAC of the body, as most are, is a row of [`SCHEMES`] and
//! nothing else. A form of its own is a file beside this one, and a variant of
//! [`SignatureForm`], for which the compiler then asks in each place that has to know it. Never
//! reads a webhook itself.

use std::borrow::Cow;

use super::{
    standard_webhooks, stripe, Algorithm, BodyHmac, Encoding, Rejection, SecretEncoding, Signed, Verification,
};
use crate::clock::Timestamp;
use crate::exchange::Headers;

/// A scheme of signatures.
#[derive(Debug)]
pub(crate) struct Scheme {
    /// The name in the configuration, and of the sender in messages.
    pub(crate) name: &'static str,
    /// The place that tells the form of its signatures.
    pub(crate) form: FormSource,
    /// The form in which its secrets are written.
    pub(crate) secrets: SecretEncoding,
    /// The place in which its senders put the id of a delivery.
    pub(crate) id: IdSource,
}

/// Every scheme, in the order in which ids of deliveries are looked for.
pub(crate) static SCHEMES: [Scheme; 4] = [
    Scheme {
        name: "standard-webhooks",
        form: FormSource::Fixed(SignatureForm::StandardWebhooks),
        secrets: SecretEncoding::Whsec,
        id: IdSource::Headers(&[
            IdHeaders { needed: &["webhook-id"], also: &[] },
            IdHeaders { needed: &["svix-id"], also: &[] },
        ]),
    },
    Scheme {
        name: "stripe",
        form: FormSource::Fixed(SignatureForm::Stripe),
        secrets: SecretEncoding::Text,
        id: IdSource::Body(stripe::event_id),
    },
    Scheme {
        name: "github",
        form: FormSource::Fixed(SignatureForm::BodyHmac(BodyHmac {
            header: Cow::Borrowed("x-hub-signature-256"),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: Cow::Borrowed("sha256="),
        })),
        secrets: SecretEncoding::Text,
        // All hooks that get an event give it the same id.
        id: IdSource::Headers(&[IdHeaders { needed: &["x-github-delivery"], also: &["x-github-hook-id"] }]),
    },
    Scheme { name: "hmac", form: FormSource::HmacKeys, secrets: SecretEncoding::Text, id: IdSource::Unknown },
];

/// The place that tells the form of a scheme's signatures.
#[derive(Debug)]
pub(crate) enum FormSource {
    /// The scheme itself.
    Fixed(SignatureForm),
    /// The keys in the configuration that describe an HMAC of the body.
    HmacKeys,
}

/// The form of a signature: where it stands, and what is signed.
#[derive(Clone, Debug)]
pub(crate) enum SignatureForm {
    /// Id, time and body, as Standard Webhooks have it.
    StandardWebhooks,
    /// Time and body, as Stripe has it.
    Stripe,
    /// The body alone, in a header.
    BodyHmac(BodyHmac),
}

/// The place in which senders put the id of a delivery.
#[derive(Debug)]
pub(crate) enum IdSource {
    /// Wherever some sender is known to put it.
    Unknown,
    /// The first of these, in lower case, that are there.
    Headers(&'static [IdHeaders]),
    /// The body, which this function reads.
    Body(fn(&[u8]) -> Option<Cow<'_, str>>),
}

/// The headers that name a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdHeaders {
    /// Headers without any of which there is no id. The first is the id itself.
    pub(crate) needed: &'static [&'static str],
    /// Headers that tell apart the hooks that share an id, where they are there.
    pub(crate) also: &'static [&'static str],
}

impl Scheme {
    /// Returns the keys of `verify` that only some schemes take, and this one does.
    pub(crate) fn own_keys(&self) -> &'static [&'static str] {
        match &self.form {
            FormSource::Fixed(SignatureForm::StandardWebhooks | SignatureForm::Stripe) => &["tolerance_seconds"],
            FormSource::Fixed(SignatureForm::BodyHmac(_)) => &[],
            FormSource::HmacKeys => &["header", "algorithm", "encoding", "prefix"],
        }
    }

    /// Returns true if one of `headers` holds a signature of this scheme, as far as its name tells.
    pub(crate) fn is_named_in(&self, headers: &Headers<'_>) -> bool {
        match &self.form {
            FormSource::Fixed(form) => form.headers().into_iter().any(|name| headers.get(name).is_some()),
            FormSource::HmacKeys => false,
        }
    }
}

impl SignatureForm {
    /// Returns the headers that a check reads, in lower case.
    pub(super) fn headers(&self) -> Vec<&str> {
        match self {
            SignatureForm::StandardWebhooks => standard_webhooks::HEADERS.into_iter().flatten().collect(),
            SignatureForm::Stripe => vec![stripe::HEADER],
            SignatureForm::BodyHmac(hmac) => vec![&hmac.header],
        }
    }

    /// Checks the signature of `body`, which came with `headers`.
    pub(super) fn check(
        &self,
        verification: &Verification,
        headers: &Headers<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Signed, Rejection> {
        match self {
            SignatureForm::StandardWebhooks => standard_webhooks::check(verification, headers, body, now),
            SignatureForm::Stripe => stripe::check(verification, headers, body, now),
            SignatureForm::BodyHmac(hmac) => hmac.check(verification, headers, body),
        }
    }
}
