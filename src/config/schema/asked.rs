//! What the readers ask for while they read an example: the keys of each section, and what is said
//! of them in code (bounds, defaults, names).

use std::collections::BTreeMap;

use serde_json::{json, Map, Value};

use crate::config::fault::{Fact, Faultbook};
use crate::config::read;
use crate::config::reader::{Field, Reading};
use crate::json;

/// A configuration that has every section. It is read for what is asked, whatever its faults.
const EXAMPLE: &str = include_str!("example.json");

/// The keys and facts of every section, by its name: its place without positions.
pub(super) struct AskedKeys {
    sections: BTreeMap<String, Vec<&'static str>>,
    facts: BTreeMap<(String, &'static str), Fact>,
}

/// Reads the example.
pub(super) fn asked() -> AskedKeys {
    let environment = |_: &str| Some("stand-in".to_owned());
    let reading = Reading { faults: Faultbook::default(), environment: &environment };
    let value = json::tree(EXAMPLE.as_bytes()).unwrap_or_default();
    if let Ok(mut root) = Field::root(&value, &reading).section() {
        let _ = read(&mut root);
        root.finish();
    }
    let mut asked = AskedKeys { sections: BTreeMap::new(), facts: BTreeMap::new() };
    // A condition has a name of the operator's, and two forms that the outline has.
    let is_condition = |place: &str| place.contains(".when[");
    for (place, keys) in reading.faults.sections().into_iter().filter(|(place, _)| !is_condition(place)) {
        let section = asked.sections.entry(name(&place)).or_default();
        for key in keys {
            if !section.contains(&key) {
                section.push(key);
            }
        }
    }
    for (place, key, fact) in reading.faults.facts() {
        asked.facts.entry((name(&place), key)).or_insert(fact);
    }
    asked
}

/// Returns the name of a section from its place: without positions, and for a body that of the
/// request.
fn name(place: &str) -> String {
    let mut name = String::new();
    for part in place.split('[') {
        name.push_str(part.split_once(']').map_or(part, |(_, behind)| behind));
    }
    match name.as_str() {
        "routes.response_body" => "routes.request_body".to_owned(),
        _ => name.strip_prefix("routes.").filter(|rest| is_of_all(rest)).map_or(name.clone(), str::to_owned),
    }
}

/// Returns true for a section that a route has as the whole configuration has it.
fn is_of_all(name: &str) -> bool {
    ["webhook", "attributes.NAME"].contains(&name)
}

impl AskedKeys {
    /// Returns the sections, and the keys that are asked for in each.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Vec<&'static str>)> {
        self.sections.iter().map(|(name, keys)| (name.as_str(), keys))
    }

    /// Returns the keys of a section.
    pub(super) fn keys(&self, section: &str) -> &[&'static str] {
        self.sections.get(section).map_or(&[], Vec::as_slice)
    }

    /// Returns what the code says of a key, in the words of a schema.
    pub(super) fn facts(&self, section: &str, key: &'static str) -> Option<Map<String, Value>> {
        let facts = match self.facts.get(&(section.to_owned(), key))? {
            Fact::Integer { bounds, default } => json!({
                "type": ["number", "null"],
                "multipleOf": 1,
                "minimum": bounds.start(),
                "maximum": bounds.end(),
                "default": default,
            }),
            Fact::Flag { default } => json!({"type": ["boolean", "null"], "default": default}),
            Fact::Choice { names } => {
                let all: Vec<Value> = names.iter().map(|name| json!(name)).chain([Value::Null]).collect();
                json!({"enum": all, "default": names.first()})
            }
        };
        match facts {
            Value::Object(facts) => Some(facts),
            _ => None,
        }
    }
}
