//! The section `capture[].verify`. No secret that stands in it is ever quoted in a fault.
//!
//! Which schemes there are, and which keys belong to one, is known to [`SCHEMES`].

use std::time::Duration;

use serde_json::Value;

use super::fault::{borrowed, listed, Checked};
use super::reader::{each, Field, Section};
use super::{challenge, milliseconds, signature};
use crate::capture::challenge::Challenge;
use crate::capture::verify::{
    FormSource, OnUnverified, Scheme, SignatureForm, Verification, GENERAL_KEYS, SCHEMES, VERIFY_TOKEN,
};
use crate::exchange::template::Variable;
use crate::json;
use crate::secret::{Encoding, Key, KeyEncoding};

const TOLERANCE_KEY: &str = "tolerance_seconds";

/// The distance of a time from now that is good, unless the sender's row or the operator says so.
const TOLERANCE_SECONDS: u32 = 300;

const URL_KEY: &str = "url";

/// In a row: the kind of its signatures.
const KIND_KEY: &str = "kind";

/// In a row: the header of the id that is signed.
const ID_KEY: &str = "id";

/// The remedy for a sender that has no name here.
const FOR_OTHERS: &str =
    "; Svix and senders like it are `standard-webhooks`, and for any other sender `hmac` with the form \
    of its signatures will do (docs/signatures.md)";

const URL_REMEDY: &str = "give what the sender's URLs begin with, such as `https://hooks.example.com`";

/// The checks of a capture, and what its sender expects.
pub(super) struct CaptureSender {
    /// The checks of its signatures, if there are any.
    pub(super) verification: Option<Verification>,
    /// The challenges that are answered.
    pub(super) challenges: Vec<Challenge>,
    /// The time that the sender waits, where that is known.
    pub(super) patience: Option<Duration>,
}

/// Reads `verify` and `challenges`.
pub(super) fn read(capture: &mut Section<'_>) -> Checked<CaptureSender> {
    let Some(field) = capture.confidential_optional("verify") else {
        let challenges = challenge::read(capture, Vec::new(), Ok(None), None)?;
        return Ok(CaptureSender { verification: None, challenges, patience: None });
    };
    let mut section = field.section()?;
    let scheme = read_scheme(&mut section);
    let row = match scheme.map(|scheme| scheme.form) {
        Ok(FormSource::Row(text)) => json::tree(text.as_bytes()).unwrap_or_default(),
        _ => Value::Array(Vec::new()),
    };
    let rows = field.in_place(&row);
    // Of several forms, the first says what else the sender expects.
    let forms = if row.is_array() { rows.items()? } else { vec![rows.clone()] };
    let mut of_row = forms.first().unwrap_or(&rows).section().ok();
    let verification = read_verification(&mut section, &field, scheme, &forms, of_row.as_mut());
    let token = section.optional(VERIFY_TOKEN).map(|field| read_token(&field)).transpose();
    if let (Ok(scheme), Ok(None)) = (scheme, &token) {
        if scheme.takes(VERIFY_TOKEN) {
            let remedy = "give the verify token that you give the sender";
            field.warn("has no `verify_token`, so that the sender's question for it is not answered", remedy);
        }
    }
    section.finish();
    let given = borrowed(&token).map(|token| token.as_deref());
    let (challenges, patience) = match &mut of_row {
        Some(row) => (row.list("challenges")?, row.optional("timeout_ms").and_then(|field| field.whole_number())),
        None => (Vec::new(), None),
    };
    let verified = borrowed(&verification).map(Some);
    let challenges = challenge::read(capture, challenges, verified, given?);
    let patience = patience.map(milliseconds);
    Ok(CaptureSender { verification: Some(verification?), challenges: challenges?, patience })
}

/// Reports keys that are given, and belong to other schemes.
fn check_keys(section: &Section<'_>, field: &Field<'_>, scheme: &Scheme) {
    for key in GENERAL_KEYS.into_iter().chain([VERIFY_TOKEN]) {
        if field.value().get(key).is_none_or(Value::is_null) || scheme.takes(key) {
            continue;
        }
        let owners: Vec<&str> = SCHEMES.iter().filter(|other| other.takes(key)).map(|other| other.name).collect();
        let problem = format!("is given, and means nothing to the scheme `{}`", scheme.name);
        section.fault_at(key, problem, format!("leave it out; it belongs to {}", listed(&owners)));
    }
}

fn read_verification(
    section: &mut Section<'_>,
    field: &Field<'_>,
    scheme: Checked<&'static Scheme>,
    rows: &[Field<'_>],
    mut of_row: Option<&mut Section<'_>>,
) -> Checked<Verification> {
    section.know(&GENERAL_KEYS);
    let forms = match scheme.map(|scheme| scheme.form) {
        Ok(FormSource::Keys(kind)) => signature::read(section, kind).map(|(form, keys)| (vec![form], keys)),
        Ok(FormSource::Row(_)) => read_rows(rows),
        Err(reported) => Err(reported),
    };
    let mut forms = forms;
    // Without a form, a secret is any text.
    let encoding = borrowed(&forms).map_or(KeyEncoding::Plain(Encoding::Text), |(_, keys)| *keys);
    let keys = read_keys(section, encoding, forms.as_mut().ok().map(|(forms, _)| forms.as_mut_slice()));
    let usual = of_row.as_mut().and_then(|row| row.optional(TOLERANCE_KEY)).and_then(|field| field.whole_number());
    let tolerance = section.integer(TOLERANCE_KEY, 1..=86_400, usual.unwrap_or(TOLERANCE_SECONDS));
    let fates = [("mark", OnUnverified::Mark), ("reject", OnUnverified::Reject)];
    let is_given = section.optional("on_failure").is_some();
    let on_failure = match &mut of_row {
        Some(row) if !is_given => row.choice("on_failure", &fates),
        _ => section.choice("on_failure", &fates),
    };
    let url = section.optional(URL_KEY).map(|field| read_url(&field)).transpose();
    let scheme = scheme?;
    check_keys(section, field, scheme);
    let (forms, _) = forms?;
    let is_general = matches!(scheme.form, FormSource::Keys(_));
    if scheme.takes(TOLERANCE_KEY)
        && is_general
        && field.value().get(TOLERANCE_KEY).is_some()
        && forms.iter().all(|form| form.time.is_none())
    {
        section.fault_at(
            TOLERANCE_KEY,
            "is given, and there is no `timestamp`",
            "say where the time is, or leave it out",
        );
    }
    if scheme.takes(URL_KEY) && is_general && url != Ok(None) && !forms.iter().any(|form| form.signed.has_url()) {
        section.fault_at(
            URL_KEY,
            "is given, and no URL is signed",
            "put `${request.url}` into `signed`, or leave it out",
        );
    }
    Ok(Verification {
        scheme,
        forms,
        keys: keys?,
        url: url?,
        tolerance: Duration::from_secs(tolerance.into()),
        on_failure: on_failure?,
        refuses_nonces: false,
    })
}

/// Reads the forms of a known sender, whose secrets are all written alike.
fn read_rows(rows: &[Field<'_>]) -> Checked<(Vec<SignatureForm>, KeyEncoding)> {
    let mut encoding = KeyEncoding::Plain(Encoding::Text);
    let mut forms = Vec::new();
    for row in rows {
        let mut section = row.section()?;
        let kind = section.choice(KIND_KEY, &signature::KINDS)?;
        let (mut form, keys) = signature::read(&mut section, kind)?;
        form.id =
            section.optional(ID_KEY).and_then(|id| Some(Variable::RequestHeader(id.value().as_str()?.to_owned())));
        encoding = keys;
        forms.push(form);
    }
    Ok((forms, encoding))
}

fn read_scheme(section: &mut Section<'_>) -> Checked<&'static Scheme> {
    let names: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.name).collect();
    let field = section.required("scheme", &format!("give one of {}", listed(&names)))?;
    let text = field.text()?;
    if !cfg!(feature = "ed25519") && ["discord", "ed25519"].contains(&text) {
        return Err(field.fault("is not in this module", "take a module that is built with the feature `ed25519`"));
    }
    let known = SCHEMES.iter().find(|scheme| scheme.name == text);
    known.ok_or_else(|| field.unknown_name(text, &names, FOR_OTHERS))
}

/// Reads what a sender repeats. Anybody can send an empty one.
fn read_token(field: &Field<'_>) -> Checked<String> {
    match field.secret()? {
        token if token.is_empty() => Err(field.fault("is empty", "give the verify token that you give the sender")),
        token => Ok(token),
    }
}

/// Reads the secrets. Where Standard Webhooks have public keys, `forms` become those of Ed25519.
fn read_keys(
    section: &mut Section<'_>,
    encoding: KeyEncoding,
    forms: Option<&mut [SignatureForm]>,
) -> Checked<Vec<Key>> {
    let remedy = "give a list of secrets, the newest first";
    let secrets = section.required("secrets", remedy)?.one_or_more(remedy)?;
    let texts = each(secrets, |field| Ok((field.secret()?, field)))?;
    let encoding = signature::of_public_keys(encoding, forms, texts.iter().map(|(text, _)| text.as_str()));
    each(texts, |(text, field)| {
        Key::read(&text, encoding).map_err(|error| {
            field.fault(
                format!("is not a secret of this scheme: {error}"),
                "give it as the provider shows it, with nothing around it",
            )
        })
    })
}

fn read_url(field: &Field<'_>) -> Checked<String> {
    let text = field.text()?;
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"\\".contains(&byte));
    match authority {
        Some(rest) if is_plain && !rest.is_empty() && !rest.starts_with('/') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(field.fault("is not the beginning of a URL", URL_REMEDY)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use serde_json::{json, Value};

    use super::*;
    use crate::capture::verify::Kind;
    use crate::config::Config;

    /// Returns a value that `key` takes, of which `key` and `prefix`, and `header`, `query`,
    /// `body` and `form` exclude each other.
    fn value(key: &str) -> Value {
        match key {
            "tolerance_seconds" => json!(60),
            "header" => json!("x-signature"),
            "query" | "form" => json!("signature"),
            "body" => json!("/signature"),
            "algorithm" => json!("sha1"),
            "encoding" => json!("base64"),
            "key_encoding" => json!("hex"),
            "prefix" => json!("v1="),
            "separator" => json!(","),
            "key" => json!("v1"),
            "signed" => json!("${timestamp}.${request.url}.${request.body}"),
            "timestamp" => json!({"key": "t", "unit": "ms"}),
            "url" => json!("https://hooks.example.com"),
            "verify_token" => json!("token"),
            other => panic!("nothing reads {other}"),
        }
    }

    /// Returns the faults of a capture that is verified by `scheme` with these keys.
    fn faults(scheme: &Scheme, keys: &BTreeSet<&str>) -> Vec<String> {
        let secret = match (scheme.name, scheme.form) {
            ("standard-webhooks", _) => "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ("basic" | "chargebee" | "postmark", _) => "name:password",
            ("discord" | "ed25519", _) | (_, FormSource::Keys(Kind::Hmac)) => {
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
            }
            _ => "secret",
        };
        let mut verify = json!({"scheme": scheme.name, "secrets": [secret]});
        for key in keys {
            verify[*key] = value(key);
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
        let all: BTreeSet<&str> = GENERAL_KEYS.into_iter().chain([VERIFY_TOKEN]).collect();
        for scheme in SCHEMES {
            let own: BTreeSet<&str> = all.iter().filter(|key| scheme.takes(key)).copied().collect();
            let together: BTreeSet<&str> =
                own.iter().filter(|key| !["query", "body", "form", "key"].contains(key)).copied().collect();
            assert_eq!(faults(scheme, &together), Vec::<String>::new(), "{}", scheme.name);
            for foreign in all.difference(&own) {
                let mut given = together.clone();
                given.insert(foreign);
                let [fault] = faults(scheme, &given).try_into().unwrap();
                let says = format!("verify.{foreign}: is given, and means nothing to the scheme `{}`", scheme.name);
                assert!(fault.contains(&says), "{fault}");
            }
        }
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn every_form_that_the_page_has_for_a_provider_is_accepted() {
        let page = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/signatures.md")).unwrap();
        let table = page.split("## Any other sender").nth(1).unwrap().split("\n- `scheme`").next().unwrap();
        let texts =
            table.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2));
        let mut count = 0;
        for text in texts.filter(|text| {
            ["\"header\"", "\"query\"", "\"form\"", "\"scheme\""].iter().any(|key| text.starts_with(key))
        }) {
            let scheme = if text.starts_with("\"scheme\"") { "" } else { "\"scheme\": \"hmac\", " };
            let secret = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
            let key = json!(if text.contains("ed25519") {
                Encoding::Base64.encode(&hex::decode(secret).unwrap())
            } else {
                secret.into()
            });
            let verify = format!("{{{scheme}{}, \"secrets\": {key}}}", text.replace("\\|", "|"));
            let capture = format!(
                r#"{{"method": "POST", "matcher": "/", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/q", "verify": {verify}}}"#
            );
            let config = Config::from_json(format!(r#"{{"capture": [{capture}]}}"#).as_bytes());
            assert!(config.is_ok(), "{text}: {}", config.unwrap_err());
            count += 1;
        }
        assert!(count >= 25, "{count}");
    }

    #[cfg(not(feature = "ed25519"))]
    #[test]
    fn a_module_without_ed25519_refuses_its_schemes_and_says_where_they_are() {
        for scheme in ["discord", "ed25519"] {
            let config = json!({"capture": [{
                "method": "POST",
                "matcher": "^/webhook$",
                "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
                "verify": {"scheme": scheme, "secrets": ["a"]},
            }]});
            let faults = Config::from_json(config.to_string().as_bytes()).unwrap_err().to_string();
            assert!(faults.contains("built with the feature `ed25519`"), "{faults}");
        }
    }

    #[test]
    fn every_scheme_has_a_name_of_its_own_that_the_documentation_and_kong_s_schema_know() {
        let names: BTreeSet<&str> = SCHEMES.iter().map(|scheme| scheme.name).collect();
        assert_eq!(names.len(), SCHEMES.len());
        let read = |name: &str| fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let schema: Value = serde_json::from_str(&read("kong/retrohook.meta.json")).unwrap();
        let properties = &schema["config_schema"]["definitions"]["verify"]["properties"];
        let known: BTreeSet<&str> =
            properties["scheme"]["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        // A module may be built without Ed25519.
        let built_out: &[&str] = if cfg!(feature = "ed25519") { &[] } else { &["discord", "ed25519"] };
        assert_eq!(known, names.iter().chain(built_out).copied().collect());
        for page in ["docs/configuration.md", "docs/signatures.md"] {
            let text = read(page);
            for name in &names {
                assert!(text.contains(&format!("`{name}`")), "{page}: {name}");
            }
        }
    }
}
