//! What stands in the outline for names and numbers of the code: `@NAME@`; and the keys that each
//! scheme of signatures takes.

use serde_json::{json, Map, Value};

use crate::capture::challenge::CHALLENGES;
use crate::capture::verify::{Scheme, GENERAL_KEYS, SCHEMES, VARIABLES, VERIFY_TOKEN};
use crate::config::{capture, challenge, route, target, template, webhook, when};
use crate::event::{BUILT_IN_ATTRIBUTES, CLOUD_EVENT_ATTRIBUTES, MAX_ATTRIBUTES};
use crate::exchange::template::Variable;
use crate::json::pointer::MAX_STEPS;
use crate::json::walk::MAX_POINTERS;

/// Numbers by the names that the outline has for them.
const NUMBERS: [(&str, usize); 14] = [
    ("MAX_ROUTES", route::MAX_ROUTES),
    ("MAX_EVENT_TYPE_LENGTH", route::MAX_EVENT_TYPE_LENGTH),
    ("MAX_CONDITIONS", when::MAX_CONDITIONS),
    ("MAX_CAPTURES", capture::MAX_CAPTURES),
    ("MAX_CHALLENGES", challenge::MAX_CHALLENGES),
    ("MAX_SECRETS", webhook::MAX_SECRETS),
    ("MAX_HEADERS", webhook::MAX_HEADERS),
    ("LEAST_MESSAGE_BYTES", target::LEAST_MESSAGE_BYTES),
    ("MAX_POINTERS", MAX_POINTERS),
    ("MAX_STEPS", MAX_STEPS),
    ("ATTRIBUTES", MAX_ATTRIBUTES - 1),
    ("ATTRIBUTES_WITH_TYPE", MAX_ATTRIBUTES - 2),
    ("ATTRIBUTES_OF_CLOUD_EVENTS", MAX_ATTRIBUTES - 1 - CLOUD_EVENT_ATTRIBUTES.len()),
    ("MAX_NAME_CHARS", capture::MAX_NAME_CHARS),
];

/// Returns a text with what its names stand for, if it has any: a number, or a list of words, where
/// it is one name alone.
pub(super) fn filled(text: &str) -> Option<Value> {
    if text == "@CHALLENGES@" {
        return Some(json!(CHALLENGES.map(|(name, _)| name)));
    }
    if let Some((_, number)) =
        NUMBERS.iter().find(|(name, _)| text.strip_prefix('@').is_some_and(|rest| rest.strip_suffix('@') == Some(name)))
    {
        return Some(json!(number));
    }
    let mut filled = text.to_owned();
    for (name, number) in NUMBERS {
        filled = filled.replace(&format!("@{name}@"), &number.to_string());
    }
    for (name, pattern) in patterns() {
        filled = filled.replace(&format!("@{name}@"), &pattern);
    }
    (filled != text).then_some(Value::String(filled))
}

/// Patterns by the names that the outline has for them.
fn patterns() -> [(&'static str, String); 6] {
    let of_routes = template::known_of_routes();
    let of_captures = template::known_of_webhooks();
    let is_of_event = |name: &&str| name.parse().as_ref().is_ok_and(Variable::is_of_event);
    let of_conditions: Vec<&str> = of_routes.iter().copied().filter(|name| !is_of_event(name)).collect();
    let of_requests: Vec<&str> = of_captures.iter().copied().filter(|name| !name.starts_with("path.")).collect();
    [
        ("BUILT_IN", BUILT_IN_ATTRIBUTES.join("|")),
        ("routes", alternatives(&of_routes, "[^}]")),
        ("captures", alternatives(&of_captures, "[^}]")),
        ("requests", alternatives(&of_requests, "[^}]")),
        ("signed", alternatives(&VARIABLES, "[^}]")),
        ("conditions", alternatives(&of_conditions, ".")),
    ]
}

/// Returns a pattern of placeholders, in whose names any of `character` may stand.
fn alternatives(names: &[&str], character: &str) -> String {
    let pattern = |name: &&str| match (name.strip_suffix("NAME"), name.strip_suffix("/POINTER")) {
        (Some(before), _) => format!("{}{character}+", before.replace('.', r"\.")),
        (None, Some(before)) => format!("{}/{character}*", before.replace('.', r"\.")),
        (None, None) => name.replace('.', r"\."),
    };
    format!("(?:{})", names.iter().map(pattern).collect::<Vec<_>>().join("|"))
}

/// Adds the names of the schemes to the section of `verify`, and of each the keys that it does not
/// take. `extras` has what else is asked of some.
pub(super) fn add_schemes(verify: &mut Map<String, Value>, extras: &Value) {
    let keys = || GENERAL_KEYS.into_iter().chain([VERIFY_TOKEN]);
    let foreign = |scheme: &Scheme| keys().filter(|key| !scheme.takes(key)).collect::<Vec<_>>();
    let mut groups: Vec<(Vec<&str>, Vec<&str>, Option<&Value>)> = Vec::new();
    for scheme in SCHEMES {
        let (foreign, extra) = (foreign(scheme), extras.get(scheme.name));
        match groups.iter_mut().find(|(_, keys, other)| *keys == foreign && *other == extra) {
            Some((names, ..)) => names.push(scheme.name),
            None => groups.push((vec![scheme.name], foreign, extra)),
        }
    }
    let branch = |(names, foreign, extra): (Vec<&str>, Vec<&str>, Option<&Value>)| {
        let mut properties = Map::new();
        properties.insert("scheme".to_owned(), json!({"enum": names}));
        properties.extend(foreign.into_iter().map(|key| (key.to_owned(), json!({"type": "null"}))));
        let mut branch = Map::new();
        for (key, value) in extra.and_then(Value::as_object).into_iter().flatten() {
            match (key.as_str(), value) {
                ("properties", Value::Object(more)) => properties.extend(more.clone()),
                _ => drop(branch.insert(key.clone(), value.clone())),
            }
        }
        branch.insert("properties".to_owned(), Value::Object(properties));
        Value::Object(branch)
    };
    let branches = std::iter::once(json!({"type": "null"})).chain(groups.into_iter().map(branch)).collect();
    verify.insert("anyOf".to_owned(), Value::Array(branches));
    let names: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.name).collect();
    if let Some(Value::Object(scheme)) = verify.get_mut("properties").and_then(|all| all.get_mut("scheme")) {
        scheme.insert("enum".to_owned(), json!(names));
    }
}
