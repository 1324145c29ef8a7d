//! The section `capture[].verify`. No secret that stands in it is ever quoted in a fault.
//!
//! Which schemes there are, and which keys belong to one, is known to [`SCHEMES`].

use std::borrow::Cow;
use std::time::Duration;

use super::fault::{listed, Checked};
use super::reader::{each, Field, Section};
use super::redact::is_token;
use crate::capture::verify::{
    Algorithm, BodyHmac, Encoding, FormSource, Key, OnUnverified, Scheme, SecretEncoding, SignatureForm, Verification,
    SCHEMES,
};

pub(super) fn read(capture: &mut Section<'_>) -> Checked<Option<Verification>> {
    let Some(field) = capture.confidential_optional("verify") else { return Ok(None) };
    let mut section = field.section()?;
    let verification = read_verification(&mut section);
    if let Ok(Verification { scheme, .. }) = verification {
        check_keys(&section, &field, scheme);
    }
    section.finish();
    verification.map(Some)
}

/// Reports keys that are given, and belong to other schemes.
fn check_keys(section: &Section<'_>, field: &Field<'_>, scheme: &Scheme) {
    let mut foreign: Vec<&str> = Vec::new();
    for key in SCHEMES.iter().flat_map(|other| other.own_keys()) {
        let is_given = field.value().get(key).is_some_and(|value| !value.is_null());
        if is_given && !scheme.own_keys().contains(key) && !foreign.contains(key) {
            foreign.push(key);
        }
    }
    for key in foreign {
        let owners = SCHEMES.iter().filter(|other| other.own_keys().contains(&key)).map(|other| other.name);
        let problem = format!("is given, and means nothing to the scheme `{}`", scheme.name);
        let remedy = format!("leave it out; it belongs to {}", listed(&owners.collect::<Vec<_>>()));
        section.fault_at(key, problem, remedy);
    }
}

fn read_verification(section: &mut Section<'_>) -> Checked<Verification> {
    let scheme = read_scheme(section);
    // Without a scheme, a secret is any text.
    let keys = read_keys(section, scheme.map_or(SecretEncoding::Text, |scheme| scheme.secrets));
    let tolerance = section.integer("tolerance_seconds", 1..=86_400, 300);
    let on_failure = section.choice("on_failure", &[("mark", OnUnverified::Mark), ("reject", OnUnverified::Reject)]);
    let hmac = HmacKeys::read(section);
    let scheme = scheme?;
    let form = match &scheme.form {
        FormSource::Fixed(form) => Ok(form.clone()),
        FormSource::HmacKeys => hmac.check(section).map(SignatureForm::BodyHmac),
    };
    Ok(Verification {
        scheme,
        form: form?,
        keys: keys?,
        tolerance: Duration::from_secs(tolerance.into()),
        on_failure: on_failure?,
    })
}

fn read_scheme(section: &mut Section<'_>) -> Checked<&'static Scheme> {
    let remedy = format!("give one of {}", listed(&SCHEMES.each_ref().map(|scheme| scheme.name)));
    let field = section.required("scheme", &remedy)?;
    let text = field.text()?;
    let known = SCHEMES.iter().find(|scheme| scheme.name == text);
    known.ok_or_else(|| field.fault("is not known here", remedy))
}

fn read_keys(section: &mut Section<'_>, encoding: SecretEncoding) -> Checked<Vec<Key>> {
    let remedy = "give a list of secrets, the newest first";
    let secrets = section.required("secrets", remedy)?.one_or_more(remedy)?;
    each(secrets, |field| {
        Key::read(&field.secret()?, encoding).map_err(|error| {
            field.fault(
                format!("is not a secret of this scheme: {error}"),
                "give it as the provider shows it, with nothing around it",
            )
        })
    })
}

/// The keys that describe an HMAC of the body.
struct HmacKeys<'a> {
    header: Option<Field<'a>>,
    algorithm: Checked<Algorithm>,
    encoding: Checked<Encoding>,
    prefix: Checked<Option<String>>,
}

impl<'a> HmacKeys<'a> {
    fn read(section: &mut Section<'a>) -> HmacKeys<'a> {
        let algorithms = [("sha256", Algorithm::Sha256), ("sha1", Algorithm::Sha1), ("sha512", Algorithm::Sha512)];
        HmacKeys {
            header: section.optional("header"),
            algorithm: section.choice("algorithm", &algorithms),
            encoding: section.choice("encoding", &[("hex", Encoding::Hex), ("base64", Encoding::Base64)]),
            prefix: section.optional("prefix").map(|field| field.text().map(str::to_owned)).transpose(),
        }
    }

    /// Returns the HMAC that they describe. A scheme that needs none of them never asks.
    fn check(self, section: &Section<'_>) -> Checked<BodyHmac> {
        let remedy = "the scheme `hmac` needs it; give the header of the signature, such as `x-signature`";
        let header = self.header.ok_or_else(|| section.fault_at("header", "is missing", remedy))?;
        let text = header.text()?;
        if !is_token(text) {
            return Err(header.fault("is not the name of a header", remedy));
        }
        Ok(BodyHmac {
            header: Cow::Owned(text.to_ascii_lowercase()),
            algorithm: self.algorithm?,
            encoding: self.encoding?,
            prefix: Cow::Owned(self.prefix?.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use serde_json::{json, Value};

    use super::*;
    use crate::config::Config;

    /// Returns a value that `key` takes.
    fn value(key: &str) -> Value {
        match key {
            "tolerance_seconds" => json!(60),
            "header" => json!("x-signature"),
            "algorithm" => json!("sha1"),
            "encoding" => json!("base64"),
            "prefix" => json!("v1="),
            other => panic!("nothing reads {other}"),
        }
    }

    /// Returns the faults of a capture that is verified by `scheme` with these keys.
    fn faults(scheme: &Scheme, keys: &BTreeSet<&str>) -> Vec<String> {
        let mut verify = json!({"scheme": scheme.name, "secrets": ["c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"]});
        for key in keys {
            verify[key] = value(key);
        }
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
        let capture = json!([{"method": "POST", "matcher": "/", "queue_url": queue, "verify": verify}]);
        match Config::from_json(json!({"capture": capture}).to_string().as_bytes()) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_scheme_takes_its_own_keys_and_no_others() {
        let all: BTreeSet<&str> = SCHEMES.iter().flat_map(Scheme::own_keys).copied().collect();
        for scheme in &SCHEMES {
            let own: BTreeSet<&str> = scheme.own_keys().iter().copied().collect();
            assert_eq!(faults(scheme, &own), Vec::<String>::new(), "{}", scheme.name);
            for foreign in all.difference(&own) {
                let mut given = own.clone();
                given.insert(foreign);
                let [fault] = faults(scheme, &given).try_into().unwrap();
                let says = format!("verify.{foreign}: is given, and means nothing to the scheme `{}`", scheme.name);
                assert!(fault.contains(&says), "{fault}");
            }
        }
    }

    #[test]
    fn every_scheme_has_a_name_of_its_own_that_the_documentation_and_kong_s_schema_know() {
        let names: BTreeSet<&str> = SCHEMES.iter().map(|scheme| scheme.name).collect();
        assert_eq!(names.len(), SCHEMES.len());
        let read = |name: &str| fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let schema: Value = serde_json::from_str(&read("kong/retrohook.meta.json")).unwrap();
        let properties = &schema["config_schema"]["definitions"]["verify"]["properties"];
        assert_eq!(properties["scheme"]["enum"], json!(SCHEMES.each_ref().map(|scheme| scheme.name)));
        for page in ["docs/configuration.md", "docs/capture.md"] {
            let text = read(page);
            for name in &names {
                assert!(text.contains(&format!("`{name}`")), "{page}: {name}");
            }
        }
    }
}
