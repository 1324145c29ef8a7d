//! Recognises routes and captures that no request reaches, because an earlier one of their list
//! takes all that they would. Each draws a warning: one that never matches says nothing by itself.
//!
//! Compares what two patterns say literally, so that it may miss such a route, and never warns of
//! one that a request reaches.

use super::reader::{item, Section};
use crate::capture::Capture;
use crate::exchange::matcher::Methods;
use crate::publish::route::{Route, Statuses};

/// Something in a list of which the first that matches takes a request.
pub(super) struct Taker<'a> {
    methods: &'a Methods,
    pattern: &'a str,
    /// The route, which may take some of the requests that it matches only.
    route: Option<&'a Route>,
}

impl<'a> Taker<'a> {
    pub(super) fn of_route(route: &'a Route) -> Taker<'a> {
        Taker { methods: &route.methods, pattern: route.matcher.pattern(), route: Some(route) }
    }

    pub(super) fn of_capture(capture: &'a Capture) -> Taker<'a> {
        Taker { methods: &capture.methods, pattern: capture.matcher.pattern(), route: None }
    }

    /// Returns true if it takes all that `later` would.
    fn takes_all_of(&self, later: &Taker<'_>) -> bool {
        let has_methods = match (self.methods, later.methods) {
            (Methods::Any, _) => true,
            (Methods::OneOf(_), Methods::Any) => false,
            (methods, Methods::OneOf(others)) => others.iter().all(|method| methods.contain(method.as_bytes())),
        };
        has_methods
            && takes_paths_of(self.pattern.as_bytes(), later.pattern.as_bytes())
            && self.route.zip(later.route).is_none_or(|(route, later)| takes_ends_of(route, later))
    }
}

/// Warns of each of the list `key` that an earlier one leaves nothing. `taker` returns the one at a
/// position, as far as there are any.
pub(super) fn check<'a>(root: &Section<'_>, key: &str, taker: &dyn Fn(usize) -> Option<Taker<'a>>) {
    for position in 0.. {
        let Some(later) = taker(position) else { return };
        let takes_all = |first: &usize| taker(*first).is_some_and(|earlier| earlier.takes_all_of(&later));
        if let Some(first) = (0..position).find(takes_all) {
            let problem = format!("is never reached: `{}` takes all that it would match", item(key, first));
            root.warn_at(&item(key, position), &problem, "move it before that one, or remove one of them");
        }
    }
}

fn takes_ends_of(route: &Route, later: &Route) -> bool {
    let contain = |these: &Statuses, others: &Statuses| {
        let is_within =
            |(first, last): (u16, u16)| these.0.iter().any(|range| *range.start() <= first && last <= *range.end());
        others.0.iter().all(|range| is_within((*range.start(), *range.end())))
    };
    !route.continues
        && route.when.is_empty()
        && (later.complete_only || !route.complete_only)
        && contain(&route.statuses, &later.statuses)
        && contain(&route.grpc_statuses, &later.grpc_statuses)
}

/// Returns true if every path in which `later` is found has `earlier`, too.
fn takes_paths_of(earlier: &[u8], later: &[u8]) -> bool {
    let begin = literal_beginning(later.strip_prefix(b"^").unwrap_or(later));
    let stands_at = |at: usize| begin.get(at..).is_some_and(|rest| rest.starts_with(earlier));
    let is_text = !earlier.iter().any(is_operator);
    // Every path begins with a slash.
    let has_all = matches!(earlier.strip_prefix(b"^").unwrap_or(earlier), b"" | b"/");
    earlier == later || has_all || is_text && (0..begin.len()).any(stands_at)
}

/// Returns true for what means something in an expression.
fn is_operator(byte: &u8) -> bool {
    br"\.+*?()|[]{}^$".contains(byte)
}

/// Returns the text with which all begins that a pattern finds.
fn literal_beginning(pattern: &[u8]) -> &[u8] {
    if pattern.contains(&b'|') {
        return b"";
    }
    let end = pattern.iter().position(is_operator).unwrap_or(pattern.len());
    let may_lack_last = pattern.get(end).is_some_and(|operator| b"?*{".contains(operator));
    pattern.get(..end - usize::from(may_lack_last && end > 0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::exchange::matcher::Matcher;
    use proptest::prelude::*;
    use serde_json::{json, Value};

    fn warned(routes: Value) -> Vec<String> {
        let topic = "arn:aws:sns:us-east-1:123456789012:t";
        let config = json!({"topic_arn": topic, "routes": routes}).to_string();
        let warnings = Config::from_json(config.as_bytes()).unwrap().warnings;
        warnings.iter().map(|warning| format!("{}: {}", warning.path, warning.problem)).collect()
    }

    #[test]
    fn a_route_that_an_earlier_one_leaves_nothing_draws_a_warning() {
        let put = |matcher: &str| json!({"method": "PUT", "matcher": matcher});
        let never = |later: usize, first: usize| {
            format!("routes[{later}]: is never reached: `routes[{first}]` takes all that it would match")
        };
        assert_eq!(warned(json!([put("/a"), put("/b"), put("/a/b$"), put("/a/c")])), [never(2, 0), never(3, 0)]);
        let any = json!({"method": "*", "matcher": "/(a|b)", "status": "*"});
        let failed = json!({"method": ["PUT", "POST"], "matcher": "/(a|b)", "status": ["5xx", 404]});
        assert_eq!(warned(json!([any, failed])), [never(1, 0)]);
        assert_eq!(warned(json!([failed, any])), [""; 0]);
        let whole = json!({"method": "PUT", "matcher": "/a", "response_complete": true});
        assert_eq!(warned(json!([whole, put("/a")])), [""; 0]);
        assert_eq!(warned(json!([put("/a"), whole])), [never(1, 0)]);
        let sometimes = json!({"method": "PUT", "matcher": "/a", "when": {"request.query.a": "b"}});
        let going_on = json!({"method": "PUT", "matcher": "/a", "continue": true});
        assert_eq!(warned(json!([sometimes, going_on, put("/a")])), [""; 0]);
        let grpc = json!({"method": "PUT", "matcher": "/a", "grpc_status": "*"});
        assert_eq!(warned(json!([put("/a"), grpc])), [""; 0]);
        assert_eq!(warned(json!([put("/a"), {"method": "*", "matcher": "/a"}])), [""; 0]);
    }

    #[test]
    fn a_capture_that_is_given_twice_draws_a_warning() {
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks";
        let capture =
            |methods: Value, matcher: &str| json!({"method": methods, "matcher": matcher, "queue_url": queue});
        let captures = [
            capture(json!(["POST", "PUT"]), "^/webhook$"),
            capture(json!("POST"), "^/webhook$"),
            capture(json!("PATCH"), "^/webhook$"),
        ];
        let config = Config::from_json(json!({"capture": captures}).to_string().as_bytes()).unwrap();
        assert_eq!(config.warnings.iter().map(|warning| warning.path.as_str()).collect::<Vec<_>>(), ["capture[1]"]);
    }

    #[test]
    fn only_what_is_sure_is_said() {
        for (earlier, later, expected) in [
            ("/a", "^/v1/a/(?<id>[^/]+)$", true),
            ("/a", "^/a/b?", true),
            ("", "^/a$", true),
            ("^/", "/a$", true),
            ("/a/b", "^/a/b?", false),
            ("^/a", "/a", false),
            ("/a$", "/a/b", false),
            ("/a", "/a|/b", false),
            ("/a", "(/a)?/b", false),
            ("/a.c", "/abc", false),
        ] {
            assert_eq!(takes_paths_of(earlier.as_bytes(), later.as_bytes()), expected, "{earlier} before {later}");
        }
    }

    proptest! {
        #[test]
        fn what_is_said_to_be_taken_is_taken(
            earlier in r"\^?(/|a|b){0,3}(\.\*|\$)?",
            later in r"\^?(/|a|b|/a|b\?|a\*|\(a\|b\)|a\{0\}|\||\.){0,5}\$?",
            path in "/(/|a|b){0,6}",
        ) {
            let (Ok(first), Ok(second)) = (Matcher::new(&earlier), Matcher::new(&later)) else { return Ok(()) };
            let finds = |matcher: &Matcher| matcher.regex(false).is_match(&path);
            let is_taken = takes_paths_of(earlier.as_bytes(), later.as_bytes());
            prop_assert!(!is_taken || !finds(&second) || finds(&first), "{} {}", earlier, later);
        }
    }
}
