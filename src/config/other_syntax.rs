//! Recognises a path that is written as other routers have it. As a regular expression it is valid
//! and finds something else, or nothing: a route that never matches says nothing by itself.
//!
//! Never refuses a matcher, because a path may really look so.

/// A syntax that is not ours.
pub(super) struct Syntax {
    /// The text that stands out in it.
    mark: &'static str,
    /// True if the mark counts at the start of a matcher only.
    at_start: bool,
    /// True for what follows the mark, where it is one.
    follows: fn(Option<char>) -> bool,
    /// The part of a matcher that looks like it.
    pub(super) problem: &'static str,
    /// The way to write it here.
    pub(super) remedy: &'static str,
}

const KNOWN: &[Syntax] = &[
    Syntax {
        mark: "~",
        at_start: true,
        follows: |next| matches!(next, Some('/' | '^' | '*' | ' ')),
        problem:
            "begins with `~`, the mark of a regular expression in Kong and nginx; here it is a character of the path",
        remedy: "where the mark is meant, leave it out: every matcher is a regular expression",
    },
    Syntax {
        mark: "/:",
        at_start: false,
        follows: begins_a_name,
        problem: "has a parameter as in `/:id`, which frameworks know; here the colon is a character of the path",
        remedy: PARAMETER,
    },
    Syntax {
        mark: "/<",
        at_start: false,
        follows: begins_a_name,
        problem: "has a parameter as in `/<id>`, which frameworks know; here `<` is a character of the path",
        remedy: PARAMETER,
    },
    Syntax {
        mark: "/*",
        at_start: false,
        follows: |next| matches!(next, None | Some('/' | '*' | '.')),
        problem: "has `/*`, a wildcard elsewhere; here it is any number of slashes",
        remedy:
            "where a segment is meant, write `/[^/]+`; the rest of a path needs nothing, because a matcher is searched",
    },
];

const PARAMETER: &str = "where a parameter is meant, write `/[^/]+`, or `/(?<id>[^/]+)` to have it as `${path.id}`";

fn begins_a_name(next: Option<char>) -> bool {
    next.is_some_and(|next| next.is_ascii_alphabetic() || next == '_')
}

impl Syntax {
    #[inline(never)]
    fn is_in(&self, pattern: &str) -> bool {
        let mut marks = pattern.match_indices(self.mark).filter(|(at, _)| !self.at_start || *at == 0);
        marks.any(|(at, mark)| {
            let (before, rest) = (pattern.get(..at).unwrap_or(""), pattern.get(at + mark.len()..).unwrap_or(""));
            // In a class of characters, as in `[^/*.]`, it is one of them.
            let is_in_class = before.rfind('[') > before.rfind(']');
            !is_in_class && (self.follows)(rest.chars().next())
        })
    }
}

/// Returns the way to write a matcher that cannot be compiled, if it has a parameter as in `/{id}`:
/// the only one of these syntaxes that is not valid.
pub(super) fn remedy_for_braces(pattern: &str) -> Option<&'static str> {
    let names_one = |rest: &str| rest.starts_with(|next| next == '*' || begins_a_name(Some(next)));
    pattern.split('{').skip(1).any(names_one).then_some(PARAMETER)
}

/// Returns the first other syntax that `pattern` looks like.
pub(super) fn likeness(pattern: &str) -> Option<&'static Syntax> {
    KNOWN.iter().find(|syntax| syntax.is_in(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_syntaxes_are_recognised() {
        for (patterns, sign) in [
            (&["~/profile$", "~^/profile", "~* /profile", "~ /profile"][..], "`~`"),
            (&["/users/:id", "^/users/:user_id/profile$", "/a/:_b"], "`/:id`"),
            (&["/users/<id>", "/users/<int:id>/profile"], "`/<id>`"),
            (&["/users/*", "/users/*/profile", "/users/**", "/users/*.json", "/[a-z]+/*"], "`/*`"),
        ] {
            for pattern in patterns {
                let problem = likeness(pattern).map(|syntax| syntax.problem);
                assert!(problem.is_some_and(|problem| problem.contains(sign)), "{pattern}: {problem:?}");
            }
        }
    }

    #[test]
    fn a_parameter_in_braces_has_its_remedy() {
        for pattern in ["/users/{id}", "^/users/{user_id}/profile$", "/a/{_b:[0-9]+}", "/files/{*rest}", "{id}"] {
            assert!(crate::exchange::matcher::Matcher::new(pattern).is_err(), "{pattern}");
            assert_eq!(remedy_for_braces(pattern), Some(PARAMETER), "{pattern}");
        }
        for pattern in ["/a{2,", "/a{2}(", "/(", "/{", "/{,3}"] {
            assert_eq!(remedy_for_braces(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn regular_expressions_are_not_taken_for_another_syntax() {
        for pattern in [
            "",
            "/profile",
            "^/~ada/profile$",
            "/(?<id>[^/:]+)/profile",
            "/(?P<id>\\w+)",
            "/v1/documents:publish",
            "/urn:isbn:",
            "/a/.*",
            "/+profile",
            "^/*profile",
            "^/(?:a|b)$",
            "/:[0-9]+",
            "^/a/.*\\.json$",
            "^/files/[^/*.]+$",
            "^/a/[^/:a-z]+/b$",
            "/[\\w/<a]+",
            "^/profile/*$",
            "^/a/*[0-9]+",
        ] {
            let problem = likeness(pattern).map(|syntax| syntax.problem);
            assert_eq!(problem, None, "{pattern}");
        }
    }
}
