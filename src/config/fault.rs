//! Faults of a configuration, in words for the operator. Of texts only names are quoted, and never
//! one that may be a secret.

use std::cell::RefCell;
use std::fmt;

use serde_json::Value;

use super::capture;
use super::reader::member;
use crate::lookup;

/// A fault of a configuration, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place: `routes[1].matcher`; `$` is the whole configuration.
    pub path: String,
    /// The problem there.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.problem, self.remedy)
    }
}

/// The faults of a configuration, at least one; one line for each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Returns the faults in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

/// The proof that a fault was reported: only [`Faultbook::report`] makes one, so that nothing is
/// refused in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported(());

/// A part of the configuration, or the proof that its fault was reported.
pub(super) type Checked<T> = Result<T, Reported>;

/// Borrows a part that others depend on.
pub(super) fn borrowed<T>(checked: &Checked<T>) -> Checked<&T> {
    checked.as_ref().map_err(|reported| *reported)
}

/// Bounds, defaults and choices of a key, from the code that reads it.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// It is an integer.
    Integer { bounds: std::ops::RangeInclusive<u32>, default: u32 },
    /// It is true or false.
    Flag { default: bool },
    /// It is one of these names; the first is the default.
    Choice { names: Vec<&'static str> },
}

/// Keys of the top level that have to be there where there are no captures.
const WITHOUT_CAPTURES: [&str; 2] = ["routes", "topic_arn"];

/// Collects the faults while the configuration is read, and the warnings of what is no fault.
#[derive(Debug, Default)]
pub(super) struct Faultbook {
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    /// Keys that are like none of their section: the position of the fault, and the key.
    strays: RefCell<Vec<(usize, String)>>,
    /// Places of keys that others are misspellings of.
    misspelled: RefCell<Vec<String>>,
    /// Every section that was read: its place and its keys.
    sections: RefCell<Vec<(String, Vec<&'static str>)>>,
    /// Facts about keys, by the place of their section: for the schema.
    #[cfg(not(target_arch = "wasm32"))]
    facts: RefCell<Vec<(String, &'static str, Fact)>>,
}

impl Faultbook {
    /// Notes a fault. It takes texts that stay where they are: to copy them, at each of so many
    /// places, is most of the code that reads a configuration.
    #[inline(never)]
    pub(super) fn report(&self, path: &str, problem: &str, remedy: &str) -> Reported {
        let path = if path.is_empty() { "$" } else { path };
        let fault = Fault { path: path.to_owned(), problem: problem.to_owned(), remedy: remedy.to_owned() };
        self.faults.borrow_mut().push(fault);
        Reported(())
    }

    /// Notes the keys of the section at `path`, and reports `strays`, which are keys of none of
    /// its.
    pub(super) fn finish_section(&self, path: &str, known: Vec<&'static str>, strays: &[(&str, String)]) {
        for (key, place) in strays {
            let near = nearest(key, &known);
            match near {
                Some(meant) => self.misspelled.borrow_mut().push(member(path, meant)),
                None => self.strays.borrow_mut().push((self.faults.borrow().len(), (*key).to_owned())),
            }
            let remedy = near
                .map_or_else(|| format!("known here are {}", listed(&known)), |name| format!("did you mean `{name}`?"));
            self.report(place, "unknown key", &remedy);
        }
        self.sections.borrow_mut().push((path.to_owned(), known));
    }

    /// Notes what is said of a key of the section at `path`.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn note(&self, path: &str, key: &'static str, fact: Fact) {
        self.facts.borrow_mut().push((path.to_owned(), key, fact));
    }

    /// Takes what was said of keys.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn facts(&self) -> Vec<(String, &'static str, Fact)> {
        self.facts.take()
    }

    /// Takes the sections that were read.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn sections(&self) -> Vec<(String, Vec<&'static str>)> {
        self.sections.take()
    }

    /// Says of a key in the wrong section which one it is a key of.
    fn send_strays_home(&self) {
        for (position, key) in self.strays.take() {
            let sections = self.sections.borrow();
            let home = sections.iter().find(|(_, keys)| keys.contains(&key.as_str()));
            if let (Some((place, _)), Some(fault)) = (home, self.faults.borrow_mut().get_mut(position)) {
                let place = if place.is_empty() { "the top level".to_owned() } else { format!("`{place}`") };
                fault.remedy = format!("it is a key of {place}: move it there");
            }
        }
    }

    /// Notes what is accepted and was probably not meant so.
    pub(super) fn warn(&self, path: &str, problem: &str, remedy: &str) {
        let warning = Fault { path: path.to_owned(), problem: problem.to_owned(), remedy: remedy.to_owned() };
        self.warnings.borrow_mut().push(warning);
    }

    /// Returns what was read and the warnings, unless there was any fault.
    pub(super) fn conclude<T>(self, read: Checked<T>) -> Result<(T, Vec<Fault>), Faults> {
        self.send_strays_home();
        // A key that is misspelled is not missing as well, and neither are routes beside captures.
        let misspelled = self.misspelled.take();
        let has_captures = misspelled.iter().any(|key| key == capture::KEY);
        let is_given = |key: &String| misspelled.contains(key) || has_captures && WITHOUT_CAPTURES.contains(&&**key);
        self.faults.borrow_mut().retain(|fault| !fault.problem.starts_with("is missing") || !is_given(&fault.path));
        match read {
            Ok(value) if self.faults.borrow().is_empty() => Ok((value, self.warnings.into_inner())),
            _ => Err(Faults(self.faults.into_inner())),
        }
    }
}

/// Returns the sort of a value, with nothing of the value itself.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Returns as much of a name as fits into a line.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    if looks_secret(text) {
        return "(not shown: looks like a secret)".to_owned();
    }
    let mut shown = String::new();
    for character in text.chars().take(SHOWN) {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns true if `text` may hold a secret that stands in the wrong place: AWS secret keys are 40
/// characters of base64, session tokens are longer, and those of providers are a prefix and twenty
/// or more letters and digits.
fn looks_secret(text: &str) -> bool {
    const LONG: usize = 40;
    const MIXED: usize = 16;
    let is_of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let has_both_cases = |run: &str| {
        run.bytes().any(|byte| byte.is_ascii_lowercase()) && run.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let is_mixed = |run: &str| {
        let has_letters = run.bytes().any(|byte| byte.is_ascii_alphabetic());
        has_both_cases(run) || (has_letters && run.bytes().any(|byte| byte.is_ascii_digit()))
    };
    lookup::contains_any(text, &["whsec_", "sk_", "rk_", "ghp_", "glpat-", "xox"])
        || text.split(|c| !is_of_base64(c)).any(|run| run.len() >= LONG && has_both_cases(run))
        || text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| run.len() >= MIXED && is_mixed(run))
}

/// Returns the candidate that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let name = name.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Returns names as a list: `` `one`, `two`, `three` ``.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line() {
        let faults = Faultbook::default();
        faults.report("", "one", "right");
        let reported = faults.report("routes[1].matcher", "two", "right too");
        let faults = faults.conclude::<()>(Err(reported)).unwrap_err();
        assert_eq!(faults.to_string(), "$: one; right\nroutes[1].matcher: two; right too");
        assert_eq!(faults.iter().count(), 2);
    }

    #[test]
    fn what_is_shown_is_short_and_stays_on_the_line() {
        assert_eq!(excerpt("a\nb\u{2028}"), "a\\nb\\u{2028}");
        assert_eq!(excerpt(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(excerpt(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for secret in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "key: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY!",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_demo",
            "AKIAIOSFODNN7EXAMPLE",
            "d41d8cd98f00b204e9800998ecf8427e",
        ] {
            assert_eq!(excerpt(secret), "(not shown: looks like a secret)");
        }
        for text in [
            "arn:aws:sns:us-east-1:123456789012:profile-events",
            "/mockbin/profile/settings/of/the/gateway/v2",
            "max_delay_milliseconds",
        ] {
            assert_eq!(excerpt(text), text);
        }
    }

    #[test]
    fn the_nearest_name() {
        let keys = ["topic_arn", "timeout_ms", "routes"];
        assert_eq!(nearest("topicArn", &keys), Some("topic_arn"));
        assert_eq!(nearest("route", &keys), Some("routes"));
        assert_eq!(nearest("zzz", &keys), None);
    }
}
