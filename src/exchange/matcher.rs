//! Matching of requests, for routes and captures: by the method, and by the path with a regular
//! expression.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use regex_lite::{Captures, Regex};

use super::template::PathGroups;

/// The methods of a route or a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    /// Every method: `"*"`.
    Any,
    /// The methods in this list, in upper case. Every request is compared with them, and an
    /// `http::Method` would cost it 42 instructions more, of 1,516 (`tests/filter/cost.rs`).
    OneOf(Vec<String>),
}

impl Methods {
    /// Returns true if `method` is one of them; methods are case-sensitive (RFC 9110, 9.1).
    pub(crate) fn contain(&self, method: &[u8]) -> bool {
        match self {
            Methods::Any => true,
            Methods::OneOf(methods) => methods.iter().any(|candidate| {
                let candidate = candidate.as_bytes();
                // Most methods of one length differ in the first byte, and to compare all is a
                // call.
                candidate.first() == method.first() && candidate == method
            }),
        }
    }

    /// Returns true if `method` is one of them to an application that reads methods in any case.
    pub(crate) fn contain_in_any_case(&self, method: &[u8]) -> bool {
        match self {
            Methods::Any => true,
            Methods::OneOf(methods) => {
                methods.iter().any(|candidate| candidate.as_bytes().eq_ignore_ascii_case(method))
            }
        }
    }
}

/// The methods of all routes, as bits: most requests have another, and are told from them in a few
/// instructions however many routes there are.
pub(crate) struct MethodSketch(u64);

impl MethodSketch {
    /// Sketches all of `methods`.
    pub(crate) fn of<'a>(methods: impl Iterator<Item = &'a Methods>) -> MethodSketch {
        let sketch = |methods: &Methods| match methods {
            Methods::Any => u64::MAX,
            Methods::OneOf(methods) => {
                methods.iter().fold(0, |bits, method| bits | MethodSketch::bit(method.as_bytes()))
            }
        };
        MethodSketch(methods.fold(0, |bits, methods| bits | sketch(methods)))
    }

    /// Returns false if none of the methods is `method`.
    #[inline]
    pub(crate) fn may_contain(&self, method: &[u8]) -> bool {
        self.0 & MethodSketch::bit(method) != 0
    }

    /// Returns the bit of a method. Those of RFC 9110 and PATCH have one each.
    #[inline]
    fn bit(method: &[u8]) -> u64 {
        let first = method.first().copied().map_or(0, u64::from);
        1 << ((first + 3 * method.len() as u64) % 64)
    }
}

/// Bytes of a path that groups are looked for in: as many as a path may have that matches. It has
/// more as text where its bytes are not.
pub(crate) const MAX_PATH_BYTES: usize = 8_192;

/// A regular expression that is searched, not anchored, in the path.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    regex: Regex,
    /// True if, as far as the pattern shows, the paths that it matches are spelled plainly: without
    /// upper case, and without a slash at the end.
    expects_plain: bool,
}

impl Matcher {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// If the pattern is not valid, or too large for `regex-lite`.
    pub(crate) fn new(pattern: &str) -> Result<Matcher, regex_lite::Error> {
        let expects_slash = pattern.trim_end_matches(['$', '?']).ends_with('/');
        Ok(Matcher {
            regex: Regex::new(pattern)?,
            expects_plain: !expects_slash && !pattern.contains(|c: char| c.is_ascii_uppercase()),
        })
    }

    /// Returns true if, as far as the pattern shows, the paths that it matches are spelled plainly.
    pub(crate) fn expects_plain(&self) -> bool {
        self.expects_plain
    }

    /// Returns the pattern, if it is plain text.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        Some(self.pattern()).filter(|pattern| !pattern.contains(|c: char| r"\.+*?()|[]{}^$".contains(c)))
    }

    /// Returns the expression, without regard to the case of letters if `any_case`. If it is too
    /// large so, case counts.
    pub(crate) fn regex(&self, any_case: bool) -> Regex {
        let in_any_case = any_case.then(|| Regex::new(&format!("(?i){}", self.pattern())));
        in_any_case.and_then(Result::ok).unwrap_or_else(|| self.regex.clone())
    }

    /// Returns the pattern as it was given.
    pub(crate) fn pattern(&self) -> &str {
        self.regex.as_str()
    }

    /// Returns the named groups in `path`, in which the pattern has been found, as far as it is
    /// searched.
    pub(crate) fn groups<'a>(&'a self, path: &'a str) -> Groups<'a> {
        let searched = path.get(..path.floor_char_boundary(MAX_PATH_BYTES)).unwrap_or(path);
        Groups { matcher: self, path: searched, is_cut: searched.len() < path.len(), captures: OnceCell::new() }
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
    is_cut: bool,
    captures: OnceCell<Option<Captures<'a>>>,
}

impl<'a> Groups<'a> {
    /// Returns the path, as far as it is searched.
    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    /// Returns true if they are groups of the pattern of `matcher`.
    pub(crate) fn are_of(&self, matcher: &Matcher) -> bool {
        self.matcher.pattern() == matcher.pattern()
    }

    /// Returns true if a group that ends at `end` might end later in the whole path.
    pub(crate) fn may_go_on(&self, end: usize) -> bool {
        self.is_cut && end == self.path.len()
    }

    /// Returns the place of the group `name` in the path, if it took part in the match.
    pub(crate) fn span(&self, name: &str) -> Option<Range<usize>> {
        // A matcher without the group need not be searched once more.
        let is_there = self.captures.get().is_some() || self.matcher.group_names().any(|group| group == name);
        let captures = is_there.then(|| self.captures.get_or_init(|| self.matcher.regex.captures(self.path)))?;
        captures.as_ref()?.name(name).map(|group| group.range())
    }
}

impl PathGroups for Groups<'_> {
    fn group(&self, name: &str) -> Option<Cow<'_, str>> {
        self.path.get(self.span(name)?).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_where_a_match_is() {
        let matcher = Matcher::new("/a(?<rest>.*)").unwrap();
        let path = "/a".to_owned() + &"é".repeat(MAX_PATH_BYTES);
        let groups = matcher.groups(&path);
        assert_eq!(groups.group("rest"), Some("é".repeat((MAX_PATH_BYTES - 2) / 2).into()));
        assert!(groups.may_go_on(MAX_PATH_BYTES) && !groups.may_go_on(2));
        assert_eq!(matcher.groups("/a/b").group("rest"), Some("/b".into()));
        assert!(!matcher.groups("/a/b").may_go_on(4));
    }

    #[test]
    fn a_sketch_has_every_method_and_tells_the_usual_ones_apart() {
        let usual = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        for method in usual {
            let sketch = MethodSketch::of([&Methods::OneOf(vec![method.to_owned()])].into_iter());
            let contained: Vec<_> = usual.iter().filter(|other| sketch.may_contain(other.as_bytes())).collect();
            assert_eq!(contained, [&method]);
        }
        let one_of = |methods: &[&str]| Methods::OneOf(methods.iter().map(|method| (*method).to_owned()).collect());
        let sketch = MethodSketch::of([&one_of(&["PUT", "PURGE"]), &one_of(&["POST", ""])].into_iter());
        assert!(["PUT", "PURGE", "POST", ""].iter().all(|method| sketch.may_contain(method.as_bytes())));
        assert!(!sketch.may_contain(b"GET"));
        let long = "M".repeat(1_000);
        assert!(MethodSketch::of([&one_of(&[&long])].into_iter()).may_contain(long.as_bytes()));
        assert!(MethodSketch::of([&one_of(&["PUT"]), &Methods::Any].into_iter()).may_contain(b"GET"));
        assert!(!MethodSketch::of(std::iter::empty()).may_contain(b"GET"));
    }
}
