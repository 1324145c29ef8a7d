//! The section `capture[].verify`. No secret that stands in it is ever quoted in a fault.

use std::time::Duration;

use super::fault::{listed, Checked};
use super::reader::{each, Section};
use super::redact::is_token;
use crate::capture::verify::{Algorithm, Encoding, HmacScheme, Key, OnFailure, Scheme, Verification};

const STANDARD_WEBHOOKS: &str = "standard-webhooks";
const STRIPE: &str = "stripe";
const GITHUB: &str = "github";
const HMAC: &str = "hmac";
const SCHEMES: [&str; 4] = [STANDARD_WEBHOOKS, STRIPE, GITHUB, HMAC];

/// What means something to some schemes only.
const BELONGINGS: [(&str, &[&str]); 5] = [
    ("tolerance_seconds", &[STANDARD_WEBHOOKS, STRIPE]),
    ("header", &[HMAC]),
    ("algorithm", &[HMAC]),
    ("encoding", &[HMAC]),
    ("prefix", &[HMAC]),
];

pub(super) fn read(capture: &mut Section<'_>) -> Checked<Option<Verification>> {
    let Some(field) = capture.confidential_optional("verify") else { return Ok(None) };
    let mut section = field.section()?;
    let verification = read_verification(&mut section);
    if let Ok(Verification { source, .. }) = verification {
        let is_given = |key: &str| field.value().get(key).is_some_and(|value| !value.is_null());
        for (key, schemes) in BELONGINGS.iter().filter(|(key, schemes)| is_given(key) && !schemes.contains(&source)) {
            let remedy = format!("leave it out; it belongs to {}", listed(schemes));
            section.fault_at(key, format!("is given, and means nothing to the scheme `{source}`"), remedy);
        }
    }
    section.finish();
    verification.map(Some)
}

fn read_verification(section: &mut Section<'_>) -> Checked<Verification> {
    let remedy = "give one of `standard-webhooks`, `stripe`, `github`, `hmac`";
    let source = section.required("scheme", remedy).and_then(|field| {
        let text = field.text()?;
        let known = SCHEMES.into_iter().find(|scheme| *scheme == text);
        known.ok_or_else(|| field.fault("is not known here", remedy))
    });
    let keys = read_keys(section, source);
    let tolerance = section.integer("tolerance_seconds", 1..=86_400, 300);
    let on_failure = section.choice("on_failure", &[("mark", OnFailure::Mark), ("reject", OnFailure::Reject)]);
    let hmac = read_hmac(section, source);
    let source = source?;
    let scheme = match source {
        STANDARD_WEBHOOKS => Scheme::StandardWebhooks,
        STRIPE => Scheme::Stripe,
        _ => Scheme::Hmac(hmac?),
    };
    Ok(Verification {
        source,
        scheme,
        keys: keys?,
        tolerance: Duration::from_secs(tolerance.into()),
        on_failure: on_failure?,
    })
}

fn read_keys(section: &mut Section<'_>, scheme: Checked<&str>) -> Checked<Vec<Key>> {
    let remedy = "give a list of secrets, the newest first";
    let secrets = section.required("secrets", remedy)?.one_or_more(remedy)?;
    each(secrets, |field| {
        let text = field.text()?;
        let key = if scheme == Ok(STANDARD_WEBHOOKS) { Key::of_base64(text) } else { Key::of_text(text) };
        key.map_err(|error| {
            field.fault(format!("is not a secret of this scheme: {error}"), "give it as the provider shows it")
        })
    })
}

/// What only the scheme `hmac` has to be told of, and GitHub's is known of.
fn read_hmac(section: &mut Section<'_>, scheme: Checked<&str>) -> Checked<HmacScheme> {
    let header = section.optional("header");
    let algorithm = section.choice(
        "algorithm",
        &[("sha256", Algorithm::Sha256), ("sha1", Algorithm::Sha1), ("sha512", Algorithm::Sha512)],
    );
    let encoding = section.choice("encoding", &[("hex", Encoding::Hex), ("base64", Encoding::Base64)]);
    let prefix = section.optional("prefix").map(|field| field.text().map(str::to_owned)).transpose();
    if scheme? != HMAC {
        return Ok(HmacScheme::github());
    }
    let remedy = "the scheme `hmac` needs it; give the header of the signature, such as `x-signature`";
    let header = header.ok_or_else(|| section.fault_at("header", "is missing", remedy))?;
    let name = match header.text()? {
        name if is_token(name) => name.to_ascii_lowercase(),
        _ => return Err(header.fault("is not the name of a header", remedy)),
    };
    Ok(HmacScheme { header: name, algorithm: algorithm?, encoding: encoding?, prefix: prefix?.unwrap_or_default() })
}
