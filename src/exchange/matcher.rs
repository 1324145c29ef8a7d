//! Matching of requests, for routes and captures: by the method, and by the path with a regular
//! expression.

use std::cell::OnceCell;

use regex_lite::{Captures, Regex};

use super::path_of;
use super::plain_text::PlainText;
use super::template::PathGroups;

/// The methods of a route or a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    /// Every method: `"*"`.
    Any,
    /// The methods in this list, in upper case. Every request is compared with them, and an
    /// `http::Method` would cost it 42 instructions more, of 1,555 (`tests/filter/cost.rs`).
    OneOf(Vec<String>),
}

impl Methods {
    /// Returns true if `method` is one of them; methods are case-sensitive (RFC 9110, 9.1).
    pub(crate) fn contain(&self, method: &[u8]) -> bool {
        match self {
            Methods::Any => true,
            Methods::OneOf(methods) => methods.iter().any(|candidate| candidate.as_bytes() == method),
        }
    }
}

/// Bytes of a target that a matcher looks at. A regular expression costs about a thousand
/// instructions for each byte, on the request's time.
const MAX_PATH_BYTES: usize = 8_192;

/// A regular expression that is searched, not anchored, in the first 8,192 bytes of the path.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    regex: Regex,
    /// The expression, where it is plain text: searching that is many times faster.
    plain_text: Option<PlainText>,
}

impl Matcher {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// If the pattern is not valid, or too large for `regex-lite`.
    pub(crate) fn new(pattern: &str) -> Result<Matcher, regex_lite::Error> {
        let is_plain = !pattern.contains(|c: char| r"\.+*?()|[]{}^$".contains(c));
        Ok(Matcher { regex: Regex::new(pattern)?, plain_text: is_plain.then(|| PlainText::new(pattern)) })
    }

    /// Returns true if the pattern is found in the path of `target`; a query string does not count.
    pub(crate) fn is_match(&self, target: &[u8]) -> bool {
        let target = target.get(..MAX_PATH_BYTES).unwrap_or(target);
        match &self.plain_text {
            // Most targets do not have the text at all, so that the end of their path is not looked
            // for.
            Some(text) => text.is_in(target) && text.is_in(path_of(target)),
            None => self.regex.is_match(&String::from_utf8_lossy(path_of(target))),
        }
    }

    /// Returns the pattern as it was given.
    pub(crate) fn pattern(&self) -> &str {
        self.regex.as_str()
    }

    /// Returns the named groups in `path`.
    pub(crate) fn groups<'a>(&'a self, path: &'a str) -> Groups<'a> {
        Groups { matcher: self, path, captures: OnceCell::new() }
    }

    /// Returns the names of the pattern's groups.
    pub(crate) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }
}

/// The named groups that a matcher finds in a path, looked for once and only if somebody asks.
pub(crate) struct Groups<'a> {
    matcher: &'a Matcher,
    path: &'a str,
    captures: OnceCell<Option<Captures<'a>>>,
}

impl PathGroups for Groups<'_> {
    fn group(&self, name: &str) -> Option<&str> {
        let captures = self.captures.get_or_init(|| self.matcher.regex.captures(self.path));
        captures.as_ref()?.name(name).map(|group| group.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matcher_is_searched_not_anchored() {
        for pattern in ["/profile", "/prof.le"] {
            let matcher = Matcher::new(pattern).unwrap();
            assert!(matcher.is_match(b"/mockbin/profile/7"), "{pattern}");
            assert!(!matcher.is_match(b"/mockbin/prof"), "{pattern}");
        }
        assert!(!Matcher::new("^/profile$").unwrap().is_match(b"/mockbin/profile"));
        assert!(Matcher::new("").unwrap().is_match(b"/anything"));
        for pattern in ["/profile", "/prof.le"] {
            assert!(
                !Matcher::new(pattern).unwrap().is_match(b"/account?of=/profile"),
                "the query string does not count"
            );
        }
    }
}
