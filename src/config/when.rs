//! Which of the exchanges that a route matches it takes: the keys `when` and `sample`.

use regex_lite::Regex;
use serde_json::Value;

use super::body::{self, Kept};
use super::fault::Checked;
use super::reader::{each, Field, Section};
use super::template;
use crate::aws::decimal::Decimal;
use crate::publish::condition::{Conditions, Expected, ValueTest};
use crate::publish::sample::Sample;

const WHEN_KEY: &str = "when";
const SAMPLE_KEY: &str = "sample";
const MATCHES_KEY: &str = "matches";
const EXISTS_KEY: &str = "exists";

/// Conditions of one route, at most: each may be a search.
pub(super) const MAX_CONDITIONS: usize = 16;

const WHEN_REMEDY: &str = "give what an exchange has to have, such as `{\"request.headers.x-tenant\": \"acme\"}`";
const TEST_REMEDY: &str = "give a text, a list of texts, `{\"matches\": \"^a\"}` or `{\"exists\": true}`";

/// Reads the conditions of a route, whose matcher has these groups, and of which these bodies are
/// kept.
pub(super) fn read(route: &mut Section<'_>, groups: Option<&[&str]>, kept: Kept) -> Checked<Conditions> {
    let Some(field) = route.optional(WHEN_KEY) else { return Ok(Conditions::new(Vec::new())) };
    // With a null, which elsewhere is as good as nothing, a condition would be gone unnoticed.
    let conditions = field.section()?.members();
    if conditions.is_empty() || conditions.len() > MAX_CONDITIONS {
        let problem = format!("has {} conditions, and 1 to {MAX_CONDITIONS} are possible", conditions.len());
        return Err(field.fault(problem, WHEN_REMEDY));
    }
    let all = each(conditions, |(name, field)| {
        let variable = template::variable(name, &field)?;
        template::check_group(&field, &variable, groups)?;
        body::check([&variable].into_iter(), kept, |problem, remedy| field.fault(problem, remedy))?;
        if variable.is_of_event() {
            let problem = "is known only once a route has taken the exchange";
            return Err(field.fault(problem, "take what the exchange has: `path.NAME`, `request.…`, `response.…`"));
        }
        Ok((variable, read_test(&field)?))
    });
    all.map(Conditions::new)
}

fn read_test(field: &Field<'_>) -> Checked<ValueTest> {
    if !field.value().is_object() {
        return each(field.one_or_more(TEST_REMEDY)?, |item| read_expected(&item)).map(ValueTest::OneOf);
    }
    let mut section = field.section()?;
    let (matches, exists) = (section.optional(MATCHES_KEY), section.optional(EXISTS_KEY));
    section.finish();
    match (matches, exists) {
        (Some(pattern), None) => {
            let regex = Regex::new(pattern.text()?);
            regex.map(ValueTest::Matches).map_err(|error| {
                pattern.fault(format!("cannot be compiled: {error}"), "give a regular expression, such as `^(a|b)$`")
            })
        }
        (None, Some(exists)) => {
            let is_there = exists.value().as_bool();
            is_there.map(ValueTest::Exists).ok_or_else(|| exists.fault("is neither true nor false", TEST_REMEDY))
        }
        _ => Err(field.fault("is not one test", TEST_REMEDY)),
    }
}

fn read_expected(field: &Field<'_>) -> Checked<Expected> {
    match field.value() {
        Value::Number(number) => {
            let number = Decimal::parse(&field.exact(number)?);
            number.map(Expected::Number).ok_or_else(|| field.fault("is not a number that can be compared", TEST_REMEDY))
        }
        Value::String(text) if text.is_empty() => {
            Err(field.fault("is empty, and an empty value counts as none", "give `{\"exists\": false}`"))
        }
        _ => field.text().map(|text| Expected::Text(text.to_owned())),
    }
}

/// Reads the part of the exchanges that become events, if `section` gives one.
pub(super) fn read_sample(section: &mut Section<'_>) -> Checked<Option<Sample>> {
    let Some(field) = section.optional(SAMPLE_KEY) else { return Ok(None) };
    match field.value().as_f64() {
        Some(part) if (0.0..=1.0).contains(&part) => Ok(Some(Sample::of(part))),
        _ => Err(field.fault(format!("{} is not a number from 0 to 1", field.shown()), "give one, such as 0.1")),
    }
}
