//! The JSON schemas of a configuration: one for editors, of draft 2020-12, and Kong's own, of draft
//! 4.
//!
//! Keys, their bounds, defaults and names are what the readers ask for while they read an example
//! that has every section (the file `asked`). The outline has what no reader says in data: words,
//! patterns, and what goes together. A key without a word, or a word without a key, is a fault of
//! the schema. No module has any of this.

mod asked;
mod names;
mod writing;

use serde_json::{json, Map, Value};

use asked::AskedKeys;
use writing::pretty;

/// Parts of the schema that no reader knows. `section` names the section whose keys an object has.
const OUTLINE: &str = include_str!("schema/outline.json");

/// The name of the schema for editors.
const ID: &str = "urn:retrohook:config.schema.json";

/// A key of the schema that no reader asks for, or one that is asked for and has no words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outline of the schema is not that of the readers: {0}")]
pub struct OutlineError(String);

/// Returns the schema for editors, as text.
///
/// # Errors
/// If the outline does not have the keys that the readers ask for.
pub fn for_editors() -> Result<String, OutlineError> {
    let mut schema = filled()?.remove("config_schema").unwrap_or_default();
    modernise(&mut schema);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("$id".to_owned(), json!(ID));
        schema.insert("title".to_owned(), json!("Retrohook"));
        let words = "The configuration of Retrohook; docs/configuration.md has every key.";
        schema.insert("description".to_owned(), json!(words));
    }
    Ok(pretty(&schema))
}

/// Returns the file that Kong has beside the module, with the schema of its Admin API.
///
/// # Errors
/// If the outline does not have the keys that the readers ask for.
pub fn for_kong() -> Result<String, OutlineError> {
    Ok(pretty(&Value::Object(filled()?)))
}

/// Returns the keys of each section, as the readers ask for them; `routes.request_body` is that of
/// a route.
pub fn sections() -> Vec<(String, Vec<&'static str>)> {
    asked::asked().sections().map(|(name, keys)| (name.to_owned(), keys.clone())).collect()
}

/// Fills the outline in.
fn filled() -> Result<Map<String, Value>, OutlineError> {
    let mut outline: Value = serde_json::from_str(OUTLINE).map_err(|error| OutlineError(error.to_string()))?;
    let asked = asked::asked();
    let mut shared = Vec::new();
    let mut seen = Vec::new();
    fill(&mut outline, &asked, &mut shared, &mut seen)?;
    for (name, facts) in shared {
        let definition = outline.pointer_mut(&format!("/config_schema/definitions/{name}"));
        definition.and_then(Value::as_object_mut).ok_or_else(|| OutlineError(name.clone()))?.extend(facts);
    }
    if let Some((name, _)) = asked.sections().find(|(name, _)| !seen.iter().any(|other| other == name)) {
        return Err(OutlineError(format!("the section `{name}` is not there")));
    }
    match outline {
        Value::Object(outline) => Ok(outline),
        _ => Err(OutlineError("it is no object".to_owned())),
    }
}

/// Fills in a node and all below it. What is said of a key that is a reference is `shared` by all
/// that refer to it. Sections that are met are `seen`.
fn fill(
    node: &mut Value,
    asked: &AskedKeys,
    shared: &mut Vec<(String, Map<String, Value>)>,
    seen: &mut Vec<String>,
) -> Result<(), OutlineError> {
    match node {
        Value::Object(object) => {
            if let Some(Value::String(name)) = object.remove("section") {
                fill_section(object, &name, asked, shared)?;
                seen.push(name);
            }
            if let Some(extras) = object.remove("schemes") {
                names::add_schemes(object, &extras);
            }
            let named: Vec<_> = object.keys().filter_map(|key| Some((key.clone(), names::filled(key)?))).collect();
            for (key, filled) in named {
                if let (Some(child), Value::String(filled)) = (object.remove(&key), filled) {
                    object.insert(filled, child);
                }
            }
            object.values_mut().try_for_each(|child| fill(child, asked, shared, seen))
        }
        Value::Array(items) => items.iter_mut().try_for_each(|child| fill(child, asked, shared, seen)),
        Value::String(text) => {
            if let Some(filled) = names::filled(text) {
                *node = filled;
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn fill_section(
    object: &mut Map<String, Value>,
    name: &str,
    asked: &AskedKeys,
    shared: &mut Vec<(String, Map<String, Value>)>,
) -> Result<(), OutlineError> {
    let place = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return Err(OutlineError(format!("`{name}` has no properties")));
    };
    let keys = asked.keys(name);
    if let Some(key) = properties.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(OutlineError(format!("no reader asks for `{}`", place(key))));
    }
    for key in keys {
        let Some(Value::Object(property)) = properties.get_mut(*key) else {
            return Err(OutlineError(format!("`{}` has no words", place(key))));
        };
        let Some(facts) = asked.facts(name, key) else { continue };
        match property.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next()) {
            Some(definition) => shared.push((definition.to_owned(), facts)),
            None => property.extend(facts),
        }
    }
    Ok(())
}

/// Says in the words of draft 2020-12 what draft 4 says, and what Kong shows in another way.
fn modernise(node: &mut Value) {
    if let Some((sentence, branch)) = told_by_a_name(node) {
        *node = branch;
        if let Value::Object(object) = node {
            object.insert("$comment".to_owned(), Value::String(sentence));
        }
    }
    match node {
        Value::Object(object) => {
            if let Some(definitions) = object.remove("definitions") {
                object.insert("$defs".to_owned(), definitions);
            }
            if let Some(Value::String(reference)) = object.get_mut("$ref") {
                *reference = reference.replace("#/definitions/", "#/$defs/");
            }
            let is_number = |kind: &Value| *kind == "number";
            if object.get("multipleOf").is_some_and(|step| *step == 1) {
                if let Some(Value::Array(kinds)) = object.get_mut("type") {
                    kinds.iter_mut().filter(|kind| is_number(kind)).for_each(|kind| *kind = json!("integer"));
                    object.remove("multipleOf");
                }
            }
            object.values_mut().for_each(modernise);
        }
        Value::Array(items) => items.iter_mut().for_each(modernise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns a sentence and what it is about. Of what is lacking Kong shows the name of a property
/// alone: there the sentence is such a name, and what it is about shows nothing.
fn told_by_a_name(node: &Value) -> Option<(String, Value)> {
    let [told, named] = node.get("anyOf")?.as_array()?.as_slice() else { return None };
    let branch = told.get("not")?.get("not")?;
    let [sentence] = named.get("required")?.as_array()?.as_slice() else { return None };
    Some((sentence.as_str()?.to_owned(), branch.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_has_every_key_and_no_other() {
        assert!(for_kong().is_ok() && for_editors().is_ok(), "{:?}", for_kong().err());
        let text = for_kong().unwrap();
        assert!(!text.contains('@') || !text.contains("@MAX"), "every number is filled in");
    }

    #[test]
    fn what_kong_needs_is_not_for_editors() {
        let schema: Value = serde_json::from_str(&for_editors().unwrap()).unwrap();
        let text = schema.to_string();
        assert!(!text.contains("#/definitions/") && !text.contains("\"not\":{\"not\""));
        assert_eq!(schema["properties"]["timeout_ms"]["type"], json!(["integer", "null"]));
        assert_eq!(schema["properties"]["timeout_ms"]["default"], 5_000);
    }
}
