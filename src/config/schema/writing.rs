//! Writes a schema for people: what fits into a line in one, words before what they are about.

use serde_json::Value;

/// Columns of a line, at most, where it can be broken.
const COLUMNS: usize = 110;

/// Keywords that come first, in this order; those of [`LAST`] come last.
const FIRST: [&str; 19] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "type",
    "enum",
    "default",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "required",
    "minItems",
    "maxItems",
    "maxProperties",
    "additionalProperties",
];
const LAST: [&str; 8] = ["items", "properties", "patternProperties", "not", "anyOf", "allOf", "definitions", "$defs"];

/// Keywords whose members are names, and no keywords.
const OF_NAMES: [&str; 4] = ["properties", "patternProperties", "definitions", "$defs"];

/// Writes a schema, with a line break at its end.
pub(super) fn pretty(schema: &Value) -> String {
    let mut text = String::new();
    write(schema, 0, false, &mut text);
    text.push('\n');
    text
}

fn rank(keyword: &str) -> usize {
    let place = |names: &[&str]| names.iter().position(|name| *name == keyword);
    place(&FIRST).unwrap_or_else(|| place(&LAST).map_or(FIRST.len(), |at| FIRST.len() + 1 + at))
}

/// Returns members in the order in which they are written, and whether those of each are names.
fn ordered(value: &Value, of_names: bool) -> Vec<(Option<&str>, &Value, bool)> {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            if !of_names {
                members.sort_by_key(|(keyword, _)| rank(keyword));
            }
            let is_of_names = |keyword: &str| !of_names && OF_NAMES.contains(&keyword);
            members.into_iter().map(|(key, value)| (Some(key.as_str()), value, is_of_names(key))).collect()
        }
        Value::Array(items) => items.iter().map(|item| (None, item, false)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn one_line(value: &Value, of_names: bool) -> String {
    let (open, close) = match value {
        Value::Object(_) => ('{', '}'),
        Value::Array(_) => ('[', ']'),
        other => return other.to_string(),
    };
    let member = |(key, value, of_names): (Option<&str>, &Value, bool)| match key {
        Some(key) => format!("{}: {}", Value::from(key), one_line(value, of_names)),
        None => one_line(value, of_names),
    };
    let members: Vec<String> = ordered(value, of_names).into_iter().map(member).collect();
    format!("{open}{}{close}", members.join(", "))
}

fn write(value: &Value, indent: usize, of_names: bool, text: &mut String) {
    let line = one_line(value, of_names);
    let members = ordered(value, of_names);
    if members.is_empty() || indent + line.len() <= COLUMNS && !matches!(value, Value::Object(_) if of_names) {
        return text.push_str(&line);
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    text.push(open);
    for (position, (key, value, of_names)) in members.into_iter().enumerate() {
        text.push_str(if position == 0 { "\n" } else { ",\n" });
        text.push_str(&" ".repeat(indent + 2));
        if let Some(key) = key {
            text.push_str(&format!("{}: ", Value::from(key)));
        }
        write(value, indent + 2, of_names, text);
    }
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}
