//! Conditions of a route: what values an exchange must have beside its method, path and status.
//! They are asked last, of what is not redacted, and show nothing of it. Never asks the host.

use regex_lite::Regex;

use super::needs::Needs;
use crate::aws::decimal::Decimal;
use crate::exchange::template::{PathGroups, Variable};
use crate::exchange::Exchange;

/// Bytes of a value in which an expression is searched: a search takes up to a thousand
/// instructions for each, and a client chooses how many there are. In a longer one nothing is
/// found, and it is no number either.
const MAX_SEARCHED_BYTES: usize = 2_048;

/// Conditions that all have to hold.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    all: Vec<(Variable, ValueTest)>,
    /// Parts of an exchange that they are about.
    needs: Needs,
}

/// A test of one value.
#[derive(Clone, Debug)]
pub(crate) enum ValueTest {
    /// It is one of these.
    OneOf(Vec<Expected>),
    /// The expression is found in it.
    Matches(Regex),
    /// It is there and not empty, or it is not.
    Exists(bool),
}

/// A value that is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// This text.
    Text(String),
    /// This number, however it is written: senders write 100 as `100.0` and as `1e2`, too.
    Number(Decimal),
}

impl Expected {
    fn is(&self, value: &str) -> bool {
        match self {
            Expected::Text(text) => text == value,
            Expected::Number(number) => {
                value.len() <= MAX_SEARCHED_BYTES && Decimal::parse(value).is_some_and(|value| value.equals(number))
            }
        }
    }
}

impl Conditions {
    /// Takes the conditions, which may be none.
    pub(crate) fn new(all: Vec<(Variable, ValueTest)>) -> Conditions {
        let needs = Needs::of(&all.iter().map(|(variable, _)| variable).collect::<Vec<_>>());
        Conditions { all, needs }
    }

    /// Returns true if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the parts of an exchange that they are about.
    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Returns true if all of them hold.
    #[inline(never)]
    pub(crate) fn hold(&self, exchange: &Exchange<'_>, groups: &dyn PathGroups) -> bool {
        self.all.iter().all(|(variable, test)| {
            let value = variable.value(exchange, groups).filter(|value| !value.is_empty());
            match test {
                ValueTest::OneOf(all) => value.is_some_and(|value| all.iter().any(|expected| expected.is(&value))),
                ValueTest::Matches(regex) => {
                    value.is_some_and(|value| value.len() <= MAX_SEARCHED_BYTES && regex.is_match(&value))
                }
                // An object and a list are no text, and yet they are there.
                ValueTest::Exists(exists) => (value.is_some() || variable.is_tree(exchange)) == *exists,
            }
        })
    }

    /// Names the first that does not hold, for those who try a configuration out.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn failing(&self, exchange: &Exchange<'_>, groups: &dyn PathGroups) -> Option<&Variable> {
        let fails = |one: &&(Variable, ValueTest)| !Conditions::new(vec![(*one).clone()]).hold(exchange, groups);
        self.all.iter().find(fails).map(|(variable, _)| variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::matcher::Matcher;
    use crate::exchange::{ClientRequest, Headers};

    fn holds(conditions: Vec<(&str, ValueTest)>, sent: &str) -> bool {
        let headers = Headers(vec![("x-sent".into(), sent.to_owned().into())]);
        let request = ClientRequest { headers, target: "/a?mode=b%20c".into(), ..ClientRequest::default() };
        let exchange = Exchange { request, ..Exchange::default() };
        let matcher = Matcher::new("/(?<id>[a-z])").unwrap();
        let all = conditions.into_iter().map(|(name, test)| (name.parse().unwrap(), test)).collect();
        Conditions::new(all).hold(&exchange, &matcher.groups("/a"))
    }

    fn one_of(texts: &[&str]) -> ValueTest {
        ValueTest::OneOf(texts.iter().map(|text| Expected::Text((*text).to_owned())).collect())
    }

    fn matches(pattern: &str) -> ValueTest {
        ValueTest::Matches(Regex::new(pattern).unwrap())
    }

    #[test]
    fn a_value_is_one_of_the_texts_or_has_the_expression_or_is_there() {
        let of = |test: ValueTest, sent: &str| holds(vec![("request.headers.x-sent", test)], sent);
        assert!(of(one_of(&["a", "b"]), "b") && !of(one_of(&["a", "b"]), "ab") && !of(one_of(&[""]), ""));
        assert!(of(matches("^a+$"), "aa") && !of(matches("^a+$"), "aab") && !of(matches(""), ""));
        assert!(of(ValueTest::Exists(true), "a") && of(ValueTest::Exists(false), ""));
        assert!(!of(ValueTest::Exists(true), "") && !of(ValueTest::Exists(false), "a"));
        let absent = |test| holds(vec![("request.headers.none", test)], "a");
        assert!(absent(ValueTest::Exists(false)) && !absent(matches("")) && !absent(one_of(&["a"])));
    }

    #[test]
    fn a_number_is_that_number_however_it_is_written() {
        let number = |text: &str| ValueTest::OneOf(vec![Expected::Number(Decimal::parse(text).unwrap())]);
        let is = |number_text: &str, sent: &str| holds(vec![("request.headers.x-sent", number(number_text))], sent);
        for (number, sent) in [
            ("100", "100"),
            ("100", "100.0"),
            ("100", "1e2"),
            ("100.0", "100"),
            ("1.5", "15e-1"),
            ("0", "-0.0"),
            ("-7", "-7"),
        ] {
            assert!(is(number, sent), "{number} {sent}");
        }
        for (number, sent) in [("100", "10"), ("100", "-100"), ("100", "100x"), ("0", "seven"), ("1.5", "1.05")] {
            assert!(!is(number, sent), "{number} {sent}");
        }
        assert!(!is("1", &format!("1.{}", "0".repeat(MAX_SEARCHED_BYTES))), "a client chooses how long it is");
    }

    #[test]
    fn an_object_and_a_list_in_a_body_are_there() {
        let there = |pointer: &str| {
            let body = br#"{"o":{},"l":[],"t":"","n":null,"f":false}"#;
            let request = ClientRequest { body: body[..].into(), ..ClientRequest::default() };
            let exchange = Exchange { request, ..Exchange::default() };
            let matcher = Matcher::new("/").unwrap();
            let hold = |exists| {
                let all = vec![(format!("request.body.{pointer}").parse().unwrap(), ValueTest::Exists(exists))];
                Conditions::new(all).hold(&exchange, &matcher.groups("/"))
            };
            assert_ne!(hold(true), hold(false), "{pointer}");
            hold(true)
        };
        assert_eq!(["/o", "/l", "/f", "/t", "/n", "/x"].map(there), [true, true, true, false, false, false]);
    }

    #[test]
    fn all_have_to_hold_whatever_they_are_about() {
        let query = || ("request.query.mode", one_of(&["b c"]));
        let group = |text| ("path.id", one_of(&[text]));
        assert!(holds(vec![], "") && holds(vec![query(), group("a")], ""));
        assert!(!holds(vec![query(), group("b")], "") && !holds(vec![group("b"), query()], ""));
    }

    #[test]
    fn a_value_that_is_too_long_is_not_searched() {
        let long = |length| holds(vec![("request.headers.x-sent", matches("a"))], &"a".repeat(length));
        assert!(long(MAX_SEARCHED_BYTES) && !long(MAX_SEARCHED_BYTES + 1));
    }
}
