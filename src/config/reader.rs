//! Walks the JSON of a configuration: a cursor that knows its path, remembers which keys were asked
//! for, and reports faults. Never knows what a key means.
//!
//! A key is known because something asks for it, so there is no second list of keys. Null counts as
//! absent. Kong cannot tell `{}` from `[]`, so each stands for the other.

use std::ops::RangeInclusive;

use serde_json::{Map, Number, Value};

#[cfg(not(target_arch = "wasm32"))]
use super::fault::Fact;
use super::fault::{excerpt, kind, listed, nearest, Checked, Faultbook, Reported};
use crate::aws::decimal::Decimal;
use crate::lookup;

/// Context of the reading of one configuration.
pub(super) struct Reading<'a> {
    pub(super) faults: Faultbook,
    /// The variables of the environment, which secrets may be taken from.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// The remedy where the environment lacks a variable.
const HAND_OVER: &str = "set it, and let the gateway pass it to the filter: Envoy by `host_env_keys`, Kong by \
                         `nginx_main_env` (docs/credentials.md)";

/// The remedy for a reference to a vault of Kong's.
const NO_VAULT: &str = "use the environment: AWS's keys under their usual names, other secrets as `${env.NAME}` \
                        (docs/credentials.md)";

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Field<'a> {
    value: &'a Value,
    path: String,
    /// True if no value here may be shown.
    confidential: bool,
    reading: &'a Reading<'a>,
}

/// An object whose keys are asked for one by one.
pub(super) struct Section<'a> {
    entries: Option<&'a Map<String, Value>>,
    path: String,
    confidential: bool,
    reading: &'a Reading<'a>,
    known: Vec<&'static str>,
}

impl<'a> Field<'a> {
    pub(super) fn root(value: &'a Value, reading: &'a Reading<'a>) -> Field<'a> {
        Field { value, path: String::new(), confidential: false, reading }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns `value` at the place of this field: what stands there unless it is said otherwise.
    pub(super) fn in_place<'b>(&self, value: &'b Value) -> Field<'b>
    where
        'a: 'b,
    {
        Field { value, path: self.path.clone(), confidential: self.confidential, reading: self.reading }
    }

    pub(super) fn fault(&self, problem: impl AsRef<str>, remedy: impl AsRef<str>) -> Reported {
        self.reading.faults.report(&self.path, problem.as_ref(), remedy.as_ref())
    }

    /// Reports a name that is none of `names`, which are too many to read them all. `more` is said
    /// where it is like none of them.
    pub(super) fn unknown_name(&self, name: &str, names: &[&str], more: &str) -> Reported {
        let remedy = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`? Known are {}", listed(names)),
            None => format!("give one of {}{more}", listed(names)),
        };
        self.fault("is not known here", remedy)
    }

    pub(super) fn warn(&self, problem: &str, remedy: &str) {
        self.reading.faults.warn(&self.path, problem, remedy);
    }

    /// Returns the value for use in a fault: a text never, because it may be a secret that stands
    /// in the wrong place.
    pub(super) fn shown(&self) -> String {
        match self.value {
            Value::Number(number) if !self.confidential => number.to_string(),
            Value::Bool(boolean) if !self.confidential => boolean.to_string(),
            value => kind(value).to_owned(),
        }
    }

    /// Returns a text in which nothing is filled in.
    pub(super) fn text(&self) -> Checked<&'a str> {
        let text = self.template()?;
        if lookup::contains(text, "${") {
            return Err(self.fault("has a placeholder, and none is filled in here", "give the text itself"));
        }
        Ok(text)
    }

    /// Returns a text that may hold placeholders, for a caller that knows them.
    pub(super) fn template(&self) -> Checked<&'a str> {
        let Some(text) = self.value.as_str() else {
            return Err(self.fault(format!("{} is not a string", self.shown()), "give a string"));
        };
        if lookup::contains(text, "{vault://") {
            return Err(self.fault("refers to a vault, and Kong fills in none for filters", NO_VAULT));
        }
        Ok(text)
    }

    /// Returns a secret: a text in which `${env.NAME}` stands for a variable of the environment.
    /// Its text is never shown.
    pub(super) fn secret(&self) -> Checked<String> {
        let mut rest = self.template()?;
        if rest.strip_prefix('$').is_some_and(is_variable) {
            self.warn("looks like a variable of a shell, and is taken as it is", "write `${env.NAME}` for a variable");
        }
        let mut secret = String::new();
        while let Some((before, after)) = lookup::split_once(rest, "${") {
            let placeholder = after.split_once('}');
            let variable = placeholder.and_then(|(name, tail)| Some((name.strip_prefix("env.")?, tail)));
            let Some((name, tail)) = variable.filter(|(name, _)| is_variable(name)) else {
                let problem = "has a placeholder that is not of the environment";
                return Err(self.fault(problem, "give the secret itself, or `${env.NAME}`"));
            };
            let value = (self.reading.environment)(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                let problem = format!("the filter's environment has no {}, or it is empty", excerpt(name));
                self.fault(problem, HAND_OVER)
            })?;
            secret.push_str(before);
            secret.push_str(&value);
            rest = tail;
        }
        secret.push_str(rest);
        Ok(secret)
    }

    pub(super) fn section(&self) -> Checked<Section<'a>> {
        let entries = match self.value {
            Value::Object(entries) => Some(entries),
            Value::Array(items) if items.is_empty() => None,
            _ => return Err(self.fault(format!("{} is not an object", self.shown()), "give an object")),
        };
        let (path, confidential) = (self.path.clone(), self.confidential);
        Ok(Section { entries, path, confidential, reading: self.reading, known: Vec::new() })
    }

    pub(super) fn items(&self) -> Checked<Vec<Field<'a>>> {
        match self.value {
            Value::Array(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, value)| Field { value, path: item(&self.path, index), ..self.clone() })
                .collect()),
            Value::Object(entries) if entries.is_empty() => Ok(Vec::new()),
            _ => Err(self.fault(format!("{} is not a list", self.shown()), "give a list")),
        }
    }

    /// Returns the items of a list that is not empty, or the one value that stands for a list of
    /// one.
    pub(super) fn one_or_more(&self, remedy: &str) -> Checked<Vec<Field<'a>>> {
        let a_list = self.value.is_array() || self.value.as_object().is_some_and(Map::is_empty);
        let items = if a_list { self.items()? } else { vec![self.clone()] };
        if items.is_empty() {
            return Err(self.fault("is empty", remedy));
        }
        Ok(items)
    }

    /// Returns a number as it is written, unless it has more digits than the reader of JSON keeps.
    #[inline(never)]
    pub(super) fn exact(&self, number: &Number) -> Checked<String> {
        /// Digits that every number keeps that is no whole one of 64 bits (`f64::DIGITS`).
        const KEPT_DIGITS: usize = 15;
        let text = number.to_string();
        if number.is_f64() && Decimal::parse(&text).is_none_or(|number| number.digits > KEPT_DIGITS) {
            return Err(self.fault("is a number of more than 15 digits", "write it in quotes"));
        }
        Ok(text)
    }

    /// Returns a number without a fraction, which `10.0` is too.
    pub(super) fn whole_number(&self) -> Option<u32> {
        match self.value.as_u64() {
            Some(number) => u32::try_from(number).ok(),
            None => self
                .value
                .as_f64()
                .filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number))
                .map(|number| number as u32),
        }
    }
}

impl<'a> Section<'a> {
    /// Returns the value of `key`, which from now on is a known key.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<Field<'a>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let value = self.entries?.get(key)?;
        (!value.is_null()).then(|| self.child(key, value))
    }

    /// Makes `keys` known, without a reader of their values.
    pub(super) fn know(&mut self, keys: &[&'static str]) {
        keys.iter().for_each(|key| drop(self.optional(key)));
    }

    /// Returns the value of `key`, and never shows anything of it.
    pub(super) fn confidential_optional(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.optional(key).map(|field| Field { confidential: true, ..field })
    }

    /// Returns the value of `key`, or reports that it is missing; `remedy` says what to give.
    pub(super) fn required(&mut self, key: &'static str, remedy: &str) -> Checked<Field<'a>> {
        self.optional(key).ok_or_else(|| self.fault_at(key, "is missing", remedy))
    }

    /// Returns the object under `key`, or one without entries where there is none.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        self.section_or_empty(key, false)
    }

    /// Returns the object under `key`, and never shows its values.
    pub(super) fn confidential_section(&mut self, key: &'static str) -> Section<'a> {
        self.section_or_empty(key, true)
    }

    pub(super) fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u32>, default: u32) -> u32 {
        #[cfg(not(target_arch = "wasm32"))]
        self.reading.faults.note(&self.path, key, Fact::Integer { bounds: bounds.clone(), default });
        let Some(field) = self.optional(key) else { return default };
        field.whole_number().filter(|number| bounds.contains(number)).unwrap_or_else(|| {
            field.fault(
                format!("{} is not an integer from {} to {}", field.shown(), bounds.start(), bounds.end()),
                format!("give one, without quotes, or leave it out: the default is {default}"),
            );
            default
        })
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        self.reading.faults.note(&self.path, key, Fact::Flag { default });
        let Some(field) = self.optional(key) else { return default };
        field.value.as_bool().unwrap_or_else(|| {
            field.fault(
                format!("{} is neither true nor false", field.shown()),
                format!("give one, without quotes, or leave it out: the default is {default}"),
            );
            default
        })
    }

    /// Returns the value of one of a few names; the first is the default.
    pub(super) fn choice<T: Copy, const COUNT: usize>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T); COUNT],
    ) -> Checked<T> {
        const { assert!(COUNT > 0, "there is a default") };
        let names = choices.each_ref().map(|(name, _)| *name);
        #[cfg(not(target_arch = "wasm32"))]
        self.reading.faults.note(&self.path, key, Fact::Choice { names: names.to_vec() });
        let chosen = self.position(key, &names)?;
        choices.get(chosen).map(|(_, value)| *value).ok_or_else(|| self.unknown_name(key, &names))
    }

    /// Returns the position among `names` of the name under `key`, which is the first where there
    /// is none, and their count for a name that is not among them.
    fn position(&mut self, key: &'static str, names: &[&str]) -> Checked<usize> {
        let Some(field) = self.optional(key) else { return Ok(0) };
        if !field.value.is_string() {
            let remedy = format!("give one of {}, in quotes", listed(names));
            return Err(field.fault(format!("{} is not a string", field.shown()), remedy));
        }
        let text = field.text()?;
        Ok(names.iter().position(|name| *name == text).unwrap_or(names.len()))
    }

    fn unknown_name(&self, key: &'static str, names: &[&str]) -> Reported {
        self.fault_at(key, "is not known here", format!("give one of {}", listed(names)))
    }

    /// Returns the items of the list under `key`, none where there is no list.
    pub(super) fn list(&mut self, key: &'static str) -> Checked<Vec<Field<'a>>> {
        self.optional(key).map_or_else(|| Ok(Vec::new()), |field| field.items())
    }

    /// Returns every entry of an object whose keys are the operator's own.
    pub(super) fn entries(&self) -> Vec<(&'a str, Field<'a>)> {
        let entries = self.entries.into_iter().flatten().filter(|(_, value)| !value.is_null());
        entries.map(|(key, value)| (key.as_str(), self.child(key, value))).collect()
    }

    /// Returns every member of an object whose keys are the operator's own, null ones included.
    pub(super) fn members(&self) -> Vec<(&'a str, Field<'a>)> {
        self.entries.into_iter().flatten().map(|(key, value)| (key.as_str(), self.child(key, value))).collect()
    }

    /// Reports a fault of the value of `key`, which may be missing.
    pub(super) fn fault_at(&self, key: &str, problem: impl AsRef<str>, remedy: impl AsRef<str>) -> Reported {
        self.report_at(key, problem.as_ref(), remedy.as_ref())
    }

    #[inline(never)]
    fn report_at(&self, key: &str, problem: &str, remedy: &str) -> Reported {
        self.reading.faults.report(&member(&self.path, key), problem, remedy)
    }

    /// Notes what is accepted and was probably not meant so, somewhere below.
    pub(super) fn warn_at(&self, path: &str, problem: &str, remedy: &str) {
        self.reading.faults.warn(path, problem, remedy);
    }

    /// Reports every key that nothing asked for.
    pub(super) fn finish(self) {
        let keys = self.entries().into_iter().map(|(key, _)| key).filter(|key| !self.known.contains(key));
        let strays: Vec<_> = keys.map(|key| (key, member(&self.path, key))).collect();
        self.reading.faults.finish_section(&self.path, self.known, &strays);
    }

    fn section_or_empty(&mut self, key: &'static str, confidential: bool) -> Section<'a> {
        let Some(mut field) = self.optional(key) else { return self.empty_section(key, confidential) };
        field.confidential |= confidential;
        field.section().unwrap_or_else(|_| self.empty_section(key, confidential))
    }

    fn empty_section(&self, key: &str, confidential: bool) -> Section<'a> {
        let path = member(&self.path, key);
        Section { entries: None, path, confidential, reading: self.reading, known: Vec::new() }
    }

    fn child(&self, key: &str, value: &'a Value) -> Field<'a> {
        Field { value, path: member(&self.path, key), confidential: self.confidential, reading: self.reading }
    }
}

/// Checks every one of `items`, also behind the first that has a fault.
pub(super) fn each<I, T>(items: Vec<I>, mut check: impl FnMut(I) -> Checked<T>) -> Checked<Vec<T>> {
    let mut checked = Ok(Vec::new());
    for item in items {
        match (check(item), &mut checked) {
            (Ok(value), Ok(values)) => values.push(value),
            (Err(reported), _) => checked = Err(reported),
            (Ok(_), Err(_)) => {}
        }
    }
    checked
}

/// Returns true if a variable of the environment may be called so.
fn is_variable(name: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.as_bytes().first().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(&byte) || byte.is_ascii_digit())
}

/// Returns the place of an item of a list.
pub(super) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Returns the place of a member of an object.
pub(super) fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let shown = excerpt(key);
    match (plain, path.is_empty()) {
        (true, true) => shown,
        (true, false) => format!("{path}.{shown}"),
        (false, _) => format!("{path}[\"{shown}\"]"),
    }
}

#[cfg(test)]
mod tests;
