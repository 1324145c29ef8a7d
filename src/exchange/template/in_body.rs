//! Placeholders whose values are bodies, or stand in them: what they name, and how that is written.

use super::{begin, Variable, NULL};
use crate::exchange::body::{Body, BodyValue};
use crate::exchange::Exchange;
use crate::json::push_string;
use crate::json::walk::unquoted;

impl Variable {
    /// Adds what it names of `body`, of its own type: JSON as it is written, unless that is too
    /// long.
    pub(super) fn write_json_of(&self, body: &Body<'_>, limit: usize, json: &mut String) -> bool {
        let pointer = self.pointer_into_request().or_else(|| self.pointer_into_response());
        let value = if pointer.is_none() { body.value() } else { None };
        let (text, is_json) = match (pointer, &value) {
            (Some(at), _) => (body.raw(at).unwrap_or(NULL), true),
            (None, None) => (NULL, true),
            (None, Some(BodyValue::Json(raw))) => (raw.get(), true),
            (None, Some(BodyValue::Text(text))) => (*text, false),
            (None, Some(BodyValue::Base64(text))) => (text.as_str(), false),
        };
        match text.len() <= limit {
            true if is_json => json.push_str(text),
            true => push_string(json, text),
            // A part of JSON is a text, and a part of a string is one of what it says.
            false if is_json && text.starts_with('"') => push_string(json, begin(&unquoted(text), limit)),
            false => push_string(json, begin(text, limit)),
        }
        text.len() > limit
    }

    /// Returns the body that the value is, or stands in.
    pub(super) fn body<'a>(&self, exchange: &'a Exchange<'_>) -> Option<&'a Body<'a>> {
        if self.is_of_body() {
            return Some(&exchange.request.body);
        }
        self.is_of_response_body().then_some(&exchange.response.body)
    }

    /// Returns the bytes of the body that the value is, if it is a whole one.
    pub(crate) fn body_bytes(&self, exchange: &Exchange<'_>) -> usize {
        match self {
            Variable::RequestBody => exchange.request.body.bytes.len(),
            Variable::ResponseBody => exchange.response.body.bytes.len(),
            _ => 0,
        }
    }

    /// Returns true if the value is an object or a list in a body, which is no text.
    pub(crate) fn is_tree(&self, exchange: &Exchange<'_>) -> bool {
        let at = self.pointer_into_request().or_else(|| self.pointer_into_response());
        let raw = at.and_then(|at| self.body(exchange)?.raw(at));
        raw.is_some_and(|raw| raw.starts_with(['{', '[']))
    }

    /// Returns the pointer to the value, if that stands in the body of the request.
    pub(crate) fn pointer_into_request(&self) -> Option<&str> {
        match self {
            Variable::RequestBodyValue(at) => Some(at),
            _ => None,
        }
    }

    /// Returns the pointer to the value, if that stands in the body of the response.
    pub(crate) fn pointer_into_response(&self) -> Option<&str> {
        match self {
            Variable::ResponseBodyValue(at) => Some(at),
            _ => None,
        }
    }

    /// Returns true if the value is, or stands in, the body of the request.
    pub(crate) fn is_of_body(&self) -> bool {
        matches!(self, Variable::RequestBody | Variable::RequestBodyValue(_))
    }

    /// Returns true if the value is, or stands in, the body of the response.
    pub(crate) fn is_of_response_body(&self) -> bool {
        matches!(self, Variable::ResponseBody | Variable::ResponseBodyValue(_))
    }
}
