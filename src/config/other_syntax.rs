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
        remedy: "leave the mark out: every matcher is a regular expression",
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
        follows: |next| matches!(next, None | Some('/' | '*')),
        problem: "has `/*`, a wildcard elsewhere; here it is any number of slashes",
        remedy: "write `/[^/]+` for a segment; the rest of a path needs nothing, because a matcher is searched",
    },
];

const PARAMETER: &str = "write `/[^/]+`, or `/(?<id>[^/]+)` to have it as `${path.id}`";

fn begins_a_name(next: Option<char>) -> bool {
    next.is_some_and(|next| next.is_ascii_alphabetic() || next == '_')
}

impl Syntax {
    #[inline(never)]
    fn is_in(&self, pattern: &str) -> bool {
        let mut marks = pattern.match_indices(self.mark).filter(|(at, _)| !self.at_start || *at == 0);
        marks.any(|(at, mark)| (self.follows)(pattern.get(at + mark.len()..).and_then(|rest| rest.chars().next())))
    }
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
            (&["/users/*", "/users/*/profile", "/users/**"], "`/*`"),
        ] {
            for pattern in patterns {
                let problem = likeness(pattern).map(|syntax| syntax.problem);
                assert!(problem.is_some_and(|problem| problem.contains(sign)), "{pattern}: {problem:?}");
            }
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
        ] {
            let problem = likeness(pattern).map(|syntax| syntax.problem);
            assert_eq!(problem, None, "{pattern}");
        }
    }
}
