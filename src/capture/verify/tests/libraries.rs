//! Webhooks that libraries of the providers signed, or took: each vector names the library and its
//! version. Those that only verify took this webhook, and refused it with another body or secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::super::scheme::{FormSource, SCHEMES};
use super::*;

#[derive(Deserialize)]
struct Vector {
    /// The name of a scheme, or of a provider without one.
    provider: String,
    /// Its name, its version and its registry.
    library: String,
    /// True if the provider itself publishes it.
    own: bool,
    verify: Value,
    /// A secret of somebody else.
    another: Value,
    /// The time of the signature, in seconds since 1970.
    at: u64,
    timed: bool,
    signs_body: bool,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../../tests/data/provider_libraries.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert!(vectors.len() > 70);
    let is_built = |vector: &Vector| {
        cfg!(feature = "ed25519") || vector.verify["scheme"] != "ed25519" && vector.verify["scheme"] != "discord"
    };
    vectors.into_iter().filter(is_built).collect()
}

impl Vector {
    fn check(&self, verify: &Value, body: &str, at: u64) -> Checked {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = ClientRequest { target: self.target.as_str().into(), ..request(&headers, body.as_bytes()) };
        check(&verification(verify.clone()), &request, at)
    }

    /// Returns the body with an event of another name, or with one more field.
    fn changed(&self) -> String {
        match self.body.contains("evt_1") {
            true => self.body.replace("evt_1", "evt_2"),
            false => format!("{}&another=1", self.body),
        }
    }
}

#[test]
fn webhooks_of_the_providers_libraries_are_verified_and_others_are_not() {
    for vector in vectors() {
        let name = format!("{} by {}", vector.provider, vector.library);
        let mut other = vector.verify.clone();
        other["secrets"] = json!([vector.another]);
        let good = vector.check(&vector.verify, &vector.body, vector.at);
        assert!(good.is_ok(), "{name}: {good:?}");
        assert_eq!(vector.check(&other, &vector.body, vector.at), Err(Rejection::Mismatch), "{name}");
        let late = vector.check(&vector.verify, &vector.body, vector.at + 2_000);
        match vector.timed {
            true => assert!(matches!(late, Err(Rejection::Old { .. })), "{name}: {late:?}"),
            false => assert_eq!(late, good, "{name}"),
        }
        if vector.signs_body {
            let changed = vector.check(&vector.verify, &vector.changed(), vector.at);
            assert_eq!(changed, Err(Rejection::Mismatch), "{name}");
        }
    }
}

fn page() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/signatures.md");
    std::fs::read_to_string(path).unwrap()
}

/// The libraries of a provider: its own, and those of others.
type Libraries = BTreeMap<String, [BTreeSet<String>; 2]>;

#[test]
fn the_page_names_the_libraries_and_no_others() {
    let page = page();
    let behind = page.split("\n## Checked against the providers' code\n").nth(1).unwrap();
    let section = behind.split("\n## ").next().unwrap();
    let mut tested = Libraries::new();
    for vector in vectors() {
        let lists = tested.entry(vector.provider).or_default();
        lists[usize::from(!vector.own)].insert(vector.library);
    }
    let mut named: Libraries = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let list = |at: usize| cells[at].split("; ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        named.insert(cells[1].replace('`', ""), [list(2), list(3)]);
    }
    if cfg!(feature = "ed25519") {
        assert_eq!(named, tested);
    }
    // The schemes that no library checks are named under the table.
    for scheme in SCHEMES.iter().filter(|scheme| matches!(scheme.form, FormSource::Row(_))) {
        let is_named_below = section.split("\n\n").skip(2).any(|text| text.contains(&format!("`{}`", scheme.name)));
        assert_ne!(is_named_below, named.contains_key(scheme.name), "{}", scheme.name);
    }
}

#[test]
fn the_forms_that_are_checked_are_those_of_the_page() {
    let page = page().replace("\\|", "|");
    let forms: Vec<Value> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter_map(|text| serde_json::from_str(&format!("{{{text}}}")).ok())
        .collect();
    for vector in vectors().into_iter().filter(|vector| SCHEMES.iter().all(|scheme| scheme.name != vector.provider)) {
        let mut form = vector.verify;
        let keys = form.as_object_mut().unwrap();
        keys.retain(|key, value| !["secrets", "url"].contains(&key.as_str()) && *value != "hmac");
        assert!(forms.contains(&form), "{}: {form}", vector.provider);
    }
}
