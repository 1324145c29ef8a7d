//! Cuts an exchange whose record would be larger than the service takes: the longest texts first.
//! Everything that was cut is named.

use std::borrow::Cow;

use crate::exchange::body::{BodyExtent, BodySlot};
use crate::exchange::{Exchange, Headers};
use crate::publish::message_template::MessageTemplate;

/// Bytes that each body (true), or each text of an exchange, may have, tried one after the other
/// until the event fits. At the last, bodies, and then headers and the query string, go altogether,
/// so that every event fits.
pub(super) const STEPS: [(usize, bool); 7] =
    [(16_384, true), (2_048, true), (0, true), (16_384, false), (2_048, false), (256, false), (LEAST, false)];

/// The last limit of a text.
pub(super) const LEAST: usize = 64;

/// Cuts the bodies of `exchange` to `limit` bytes each. Returns true if one was longer.
pub(super) fn shrink_bodies(exchange: &mut Exchange<'_>, limit: usize) -> bool {
    let bodies = [&mut exchange.request.body, &mut exchange.response.body];
    let was_cut = bodies.into_iter().filter_map(BodySlot::get_mut).fold(false, |any, body| body.cut(limit) | any);
    note_bodies(exchange);
    was_cut
}

/// Notes which bodies are not whole.
#[inline(never)]
pub(super) fn note_bodies(exchange: &mut Exchange<'_>) {
    let bodies = [("request.body", &exchange.request.body), ("response.body", &exchange.response.body)];
    for (part, body) in bodies {
        let is_whole = body.get().is_none_or(|body| body.extent == BodyExtent::Whole);
        if !is_whole && !exchange.incomplete.contains(&part) {
            exchange.incomplete.push(part);
        }
    }
}

/// Returns the bytes that the message of `exchange` has at least. Of a record, header names do not
/// count: one that came often stands there once. Of a message in a form of the operator's own only
/// whole bodies count, each as often as it is named.
pub(super) fn least_size(exchange: &Exchange<'_>, message: Option<&MessageTemplate>) -> usize {
    const QUOTES_AND_COMMA: usize = 3;
    if let Some(message) = message {
        let mut in_bodies: usize = 0;
        if !exchange.has_bodies() {
            return in_bodies;
        }
        message.visit(&mut |variable| in_bodies = in_bodies.saturating_add(variable.body_bytes(exchange)));
        return in_bodies;
    }
    let headers = exchange.request.headers.0.iter().chain(&exchange.response.headers.0);
    let in_headers = headers.map(|(_, value)| value.len() + QUOTES_AND_COMMA).sum::<usize>();
    in_headers + exchange.request.target.len() + exchange.body_bytes()
}

/// Cuts the texts of `exchange` to `limit` bytes each, and returns the parts of the record that are
/// not whole then.
pub(super) fn shrink(exchange: &mut Exchange<'_>, limit: usize) -> Vec<&'static str> {
    let mut truncated = exchange.incomplete.clone();
    let drop_all = limit == LEAST;
    let mut note = |part: &'static str, was_cut: bool| {
        if was_cut && !truncated.contains(&part) {
            truncated.push(part);
        }
    };
    note("request.headers", shrink_headers(&mut exchange.request.headers, limit, drop_all));
    note("response.headers", shrink_headers(&mut exchange.response.headers, limit, drop_all));
    if drop_all {
        let path = exchange.request.path().to_owned();
        note("request.querystring", path.len() < exchange.request.target.len());
        exchange.request.target = Cow::Owned(path);
    }
    note("request.uri", cut_cow(&mut exchange.request.target, limit));
    note("request.method", cut_cow(&mut exchange.request.method, limit));
    let others = [&mut exchange.upstream_uri, &mut exchange.request.host, &mut exchange.request.id];
    for (part, text) in ["upstream_uri", "request.url", "request.id"].into_iter().zip(others) {
        note(part, text.as_mut().is_some_and(|text| cut_cow(text, limit)));
    }
    for (part, entity) in [("route", &mut exchange.route), ("service", &mut exchange.service)] {
        let json = entity.as_mut().map(|entity| &mut entity.json);
        note(part, json.is_some_and(|json| json.take_if(|json| json.get().len() > limit).is_some()));
    }
    truncated
}

fn shrink_headers(headers: &mut Headers<'_>, limit: usize, drop_all: bool) -> bool {
    if drop_all {
        let any = !headers.0.is_empty();
        headers.0.clear();
        return any;
    }
    headers.0.iter_mut().fold(false, |any, (name, value)| cut_cow(name, limit) | cut_cow(value, limit) | any)
}

fn cut_cow(text: &mut Cow<'_, str>, limit: usize) -> bool {
    text.len() > limit && cut(text.to_mut(), limit)
}

/// Cuts `text` to `limit` bytes, or a few less so as not to split a character. Returns true if it
/// was longer.
pub(super) fn cut(text: &mut String, limit: usize) -> bool {
    let was_longer = text.len() > limit;
    if was_longer {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    was_longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        let mut text = "aé€".to_owned();
        assert!(!cut(&mut text, 6));
        assert!(cut(&mut text, 5));
        assert_eq!(text, "aé");
        assert!(cut(&mut text, 2));
        assert_eq!(text, "a");
    }
}
