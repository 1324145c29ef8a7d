//! The list `capture[].challenges`: requests that are answered and not stored.

use http::header::HeaderName;
use http::StatusCode;
use serde_json::Value;

use super::capture::OWN_HEADERS;
use super::fault::Checked;
use super::reader::{each, Field, Section};
use super::signature::of_request_alone;
use super::template::{known_of_webhooks, refused};
use crate::capture::challenge::{AnswerText, Challenge, Condition, CHALLENGES};
use crate::capture::verify::{Verification, VERIFY_TOKEN};
use crate::exchange::template::Variable;
use crate::json;

/// In the row of a scheme: the key of `verify` whose value a value has to be.
const KEY: &str = "key";

/// The key of an object that says whether a value is there.
const EXISTS_KEY: &str = "exists";

pub(super) const MAX_CHALLENGES: usize = 16;
const WHEN_REMEDY: &str = "say what such a request has, such as `{\"request.body./type\": \"url_verification\"}`";

/// Reads the challenges of a capture, and behind them those of its scheme, whose list is `of_row`.
/// `token` is what that scheme's sender repeats.
pub(super) fn read(
    capture: &mut Section<'_>,
    of_row: Vec<Field<'_>>,
    verification: Checked<Option<&Verification>>,
    token: Option<&str>,
) -> Checked<Vec<Challenge>> {
    let own = capture.list("challenges")?;
    if own.len() > MAX_CHALLENGES {
        let problem = format!("has {} challenges, of at most {MAX_CHALLENGES}", own.len());
        return Err(capture.fault_at("challenges", problem, "give each path a capture of its own"));
    }
    let own = each(own, |field| {
        let Some(name) = field.value().as_str() else {
            let challenge = read_challenge(&field, token)?;
            // A fault of its own checks comes first.
            return verification.map_or(Ok(()), |verify| check_hmac(&field, &challenge, verify)).map(|()| challenge);
        };
        let Some((_, row)) = CHALLENGES.iter().find(|(known, _)| *known == name) else {
            return Err(field.unknown_name(name, &CHALLENGES.map(|(name, _)| name), ""));
        };
        read_challenge(&field.in_place(&json::tree(row.as_bytes()).unwrap_or_default()), token)
    });
    // Without its token, a challenge of a row would answer everybody.
    let is_token = |condition: &Value| condition.get(KEY) == Some(&Value::from(VERIFY_TOKEN));
    let asks_for_token = |field: &Field<'_>| {
        field.value().get("when").and_then(Value::as_object).is_some_and(|when| when.values().any(is_token))
    };
    let is_whole = |field: &Field<'_>| token.is_some() || !asks_for_token(field);
    let of_row = each(of_row.into_iter().filter(is_whole).collect(), |field| read_challenge(&field, token));
    let mut all = own?;
    all.extend(of_row?);
    Ok(all)
}

/// Reports an HMAC in an answer that anybody can ask for, be it with a signature of something else.
fn check_hmac(field: &Field<'_>, challenge: &Challenge, verification: Option<&Verification>) -> Checked<()> {
    if challenge.hmacs().next().is_none() {
        return Ok(());
    }
    let Some(verification) = verification else {
        return Err(field.fault("has an HMAC in its answer, and no secret to make it with", "give `verify`"));
    };
    // Without a signature, it is one of a nonce.
    let is_allowed = |variable: &Variable| match challenge.verified {
        true => verification.has_hmac_of(variable),
        false => verification.makes_hmacs(),
    };
    if challenge.hmacs().all(is_allowed) {
        return Ok(());
    }
    let problem =
        "has an HMAC in its answer of something that no HMAC covers in the request, so that who has seen one \
                   request could have anything signed";
    Err(field.fault(problem, "take what the sender signs"))
}

fn read_challenge(field: &Field<'_>, token: Option<&str>) -> Checked<Challenge> {
    let mut section = field.section()?;
    let verified = section.flag("verified", true);
    let when = section.required("when", WHEN_REMEDY).and_then(|field| {
        // With a null, which elsewhere is as good as nothing, a condition would be gone unnoticed.
        let conditions = field.section()?.members();
        if conditions.is_empty() {
            return Err(field.fault("is empty, so that every request would be a challenge", WHEN_REMEDY));
        }
        each(conditions, |(name, field)| Ok((read_variable(name, &field)?, read_condition(&field, token)?)))
    });
    let mut response = section.section("response");
    let status = response.integer("status", 200..=499, 200);
    let is_json = response.choice("content_type", &[("text/plain", false), ("application/json", true)]);
    let body = response.optional("body").map(|field| read_text(&field)).transpose();
    let headers = each(response.section("headers").entries(), |(name, field)| match HeaderName::try_from(name) {
        Ok(name) if !OWN_HEADERS.contains(&name.as_str()) => Ok((name, read_text(&field)?)),
        _ => Err(field.fault("is not the name of a header that can be set here", "give another one")),
    });
    response.finish();
    section.finish();
    Ok(Challenge {
        when: when?,
        verified,
        status: StatusCode::from_u16(status as u16).unwrap_or_default(),
        headers: headers?,
        body: body?.unwrap_or_default(),
        is_json: is_json?,
    })
}

/// Reads a placeholder that is a key of `when`.
fn read_variable(name: &str, field: &Field<'_>) -> Checked<Variable> {
    let variable = name.parse().map_err(|error| refused(field, &error, &known_of_webhooks()))?;
    of_request_alone(field, [&variable].into_iter())?;
    Ok(variable)
}

fn read_condition(field: &Field<'_>, token: Option<&str>) -> Checked<Condition> {
    let remedy = "give a text, a list of texts, or `{\"exists\": true}`";
    if field.value().is_object() {
        let mut section = field.section()?;
        if let (Some(VERIFY_TOKEN), Some(token)) = (field.value().get(KEY).and_then(Value::as_str), token) {
            return Ok(Condition::OneOf(vec![token.to_owned()]));
        }
        let exists = section.required(EXISTS_KEY, remedy);
        section.finish();
        let exists = exists?;
        let is_there = exists.value().as_bool();
        return is_there.map(Condition::Exists).ok_or_else(|| exists.fault("is neither true nor false", remedy));
    }
    each(field.one_or_more(remedy)?, |text| text.secret()).map(Condition::OneOf)
}

fn read_text(field: &Field<'_>) -> Checked<AnswerText> {
    let text: AnswerText = field.template()?.parse().map_err(|error| refused(field, &error, &known_of_webhooks()))?;
    of_request_alone(field, text.variables())?;
    Ok(text)
}
