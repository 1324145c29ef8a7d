use proptest::prelude::*;

use super::*;

const MAX: usize = 2_048;

fn prepared(patterns: &[&str], max_path_bytes: usize, any_case: bool) -> PathSearch {
    let matchers: Vec<Matcher> = patterns.iter().map(|pattern| Matcher::new(pattern).unwrap()).collect();
    PathSearch::new(&matchers.iter().collect::<Vec<_>>(), max_path_bytes, any_case)
}

fn search(patterns: &[&str]) -> PathSearch {
    prepared(patterns, MAX, false)
}

fn expressions(patterns: &[&str], flags: &str) -> Vec<Regex> {
    patterns.iter().map(|pattern| Regex::new(&format!("{flags}{pattern}")).unwrap()).collect()
}

/// What `regex-lite` finds, pattern by pattern.
fn one_by_one(expressions: &[Regex], path: &[u8]) -> Vec<usize> {
    let path = String::from_utf8_lossy(path);
    (0..expressions.len()).filter(|position| expressions[*position].is_match(&path)).collect()
}

const PATTERNS: [&str; 64] = [
    "",
    "a",
    "/profile",
    "^/profile$",
    "^/a",
    "a$",
    "^$",
    "$^",
    "^^a$$",
    "a^b|c",
    "(^|/)a($|/)",
    "^/(a|b|ab)*c$",
    "(a|b|ab)*c",
    "^/[^/]+/a$",
    "/[^/]*/b",
    "^/(?<id>[^/]+)/a(?P<rest>/.*)?$",
    "^/(?:a|b){2,3}$",
    "(a|b)*a(a|b){3}$",
    "a.c",
    "a..c$",
    "a.*c",
    "^.*a$",
    "^.$",
    "^[^a]$",
    "^[^a]{2}$",
    "^/\\w+$",
    "^/\\W\\d\\D\\s?\\S$",
    "[a-c/]{3}",
    "[]a]b",
    "[^]a]b",
    "[a-]b",
    "[-a]b",
    "[\\]a]b",
    "[\\w/]b$",
    "[\\d\\s-]b",
    "[^\\W]b$",
    "a?b??c*?d+?",
    "(a?)*b",
    "(a*)*c",
    "(a*|b)*$",
    "a{0}b",
    "a{2}",
    "a{2,}b",
    "a{0,2}?c$",
    "(?i)ab",
    "a(?i)b|c",
    "(a(?i)b|c)a",
    "a(?i:b)c",
    "(?i)[^a]c",
    "(?i)[a-b]c$",
    "\\.b",
    "a\\/b",
    "\\Aa",
    "a\\z",
    "(\\A|b)c",
    "a|",
    "|^a$",
    "()",
    "(|a)b",
    "a**",
    "\u{e9}",
    "[\u{e9}a]b",
    "\\bab\\b",
    "(?s)a.b",
];

/// Patterns that have no tree.
const ALONE: [&str; 4] = ["\u{e9}", "[\u{e9}a]b", "\\bab\\b", "(?s)a.b"];

#[test]
fn each_sort_of_pattern_matches_what_it_matches_alone() {
    let search = search(&PATTERNS);
    let alone: Vec<&str> = search.alone().positions().map(|position| PATTERNS[position]).collect();
    assert_eq!(alone, ALONE);
    let (expressions, folded) = (expressions(&PATTERNS, ""), expressions(&PATTERNS, "(?i)"));
    let in_any_case = prepared(&PATTERNS, MAX, true);
    for path in every_path_of(&["a", "b", "c", "/", "A", "\u{e9}", "\n", "]", "."], 4) {
        let path = path.as_bytes();
        let found: Vec<usize> = search.find(path).unwrap().positions().collect();
        assert_eq!(found, one_by_one(&expressions, path), "{}", path.escape_ascii());
        let found: Vec<usize> = in_any_case.find(path).unwrap().positions().collect();
        assert_eq!(found, one_by_one(&folded, path), "{} in any case", path.escape_ascii());
    }
}

#[test]
fn a_hundred_matchers_are_looked_for_in_one_pass_unless_they_have_too_many_states() {
    type Make = fn(usize) -> String;
    let cases: [(Make, bool, &str); 5] = [
        (|n| format!("^/v[0-9]+/users/([^/]+)/orders{n}/([^/]+)$"), true, "/v1/users/a/orders42/7"),
        (|n| format!("/profile{n}/settings"), true, "/a/profile42/settings/profile42/settings"),
        (|n| format!("^/{n}(/.*)?$"), true, "/42/a/b"),
        (|n| format!("/a{n}/[^/]+/b{n}$"), false, "/a41/x/a42/x/b42"),
        (|n| if n % 2 == 0 { format!("^/a{n}$") } else { format!("/a{n}/.*/b") }, false, "/a43/a41/b"),
    ];
    for (make, is_one, path) in cases {
        let patterns: Vec<String> = (0..100).map(make).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let (search, expressions) = (search(&patterns), expressions(&patterns, ""));
        assert_eq!((search.alone(), search.passes.len() == 1), (PathMatches::default(), is_one), "{}", patterns[0]);
        let found: Vec<usize> = search.find(path.as_bytes()).unwrap().positions().collect();
        assert_eq!((&found, found.is_empty()), (&one_by_one(&expressions, path.as_bytes()), false), "{path}");
    }
}

#[test]
fn a_matcher_with_too_many_states_is_looked_for_alone() {
    let search = search(&["^/a$", "(a|b)*a(a|b){14}$", "/b"]);
    assert_eq!(search.alone().positions().collect::<Vec<_>>(), [1]);
    let found = |path: &str| search.find(path.as_bytes()).unwrap().positions().collect::<Vec<_>>();
    let long = format!("/b{}", "a".repeat(15));
    assert_eq!([found("/a"), found(&long), found("/ba")], [vec![0], vec![1, 2], vec![2]]);
}

#[test]
fn a_path_that_is_too_long_is_not_looked_at() {
    for search in [prepared(&["x"], 4, false), prepared(&["x", "x$"], 4, false)] {
        for (target, expected) in [("/abx", Some(true)), ("/abx?longer", Some(true)), ("/abcx", None), ("/abcx?", None)]
        {
            assert_eq!(search.find(target.as_bytes()).map(|found| found.contain(0)), expected, "{target}");
        }
        assert_eq!(search.find(b"/a?x"), Some(PathMatches::default()), "the query string does not count");
    }
}

fn every_path_of(letters: &[&str], longest: usize) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut last = paths.clone();
    for _ in 0..longest {
        last = last.iter().flat_map(|path| letters.iter().map(move |letter| format!("{path}{letter}"))).collect();
        paths.extend(last.clone());
    }
    paths
}

/// Patterns of a few letters, of every sort that has a tree.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ab/]",
        1 => Just(".".to_owned()),
        1 => Just("[^/]".to_owned()),
        1 => Just("[a-b]".to_owned()),
        1 => Just("\\w".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
    ];
    part.prop_recursive(4, 16, 3, |part| {
        prop_oneof![
            3 => proptest::collection::vec(part.clone(), 0..4).prop_map(|parts| parts.concat()),
            1 => proptest::collection::vec(part.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            1 => proptest::collection::vec(part.clone(), 1..3).prop_map(|parts| format!("(?i:{})", parts.join("|"))),
            1 => (part, "[*+?]|\\{[0-2]\\}|\\{1,3\\}|\\{1,\\}").prop_map(|(part, count)| format!("(?:{part}){count}")),
        ]
    })
}

proptest! {
    #[test]
    fn any_patterns_match_together_what_each_matches_alone(
        patterns in proptest::collection::vec(pattern(), 1..9),
        paths in proptest::collection::vec("[abAB/c\n\u{e9}]{0,12}", 1..9),
        bytes: Vec<u8>,
    ) {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let (search, expressions) = (search(&patterns), expressions(&patterns, ""));
        prop_assert_eq!(search.alone(), PathMatches::default(), "{:?}", &patterns);
        for path in paths.iter().map(String::as_bytes).chain([&bytes[..]]) {
            let found: Vec<usize> = search.find(path).unwrap().positions().collect();
            let path = path_of(path);
            prop_assert_eq!(found, one_by_one(&expressions, path), "{:?} {}", &patterns, path.escape_ascii());
        }
    }

    #[test]
    fn any_text_that_is_a_pattern_matches_as_it_does_alone(
        pattern in r"[ab/.^$()|\[\]*+?{}0-2,\\<>P:i-]{0,12}",
        paths in proptest::collection::vec("[ab/0-2-]{0,6}", 1..9),
    ) {
        prop_assume!(Matcher::new(&pattern).is_ok());
        let (search, expressions) = (search(&[&pattern, "/b"]), expressions(&[&pattern, "/b"], ""));
        for path in &paths {
            let found: Vec<usize> = search.find(path.as_bytes()).unwrap().positions().collect();
            prop_assert_eq!(found, one_by_one(&expressions, path.as_bytes()), "{} {}", &pattern, path);
        }
    }
}
