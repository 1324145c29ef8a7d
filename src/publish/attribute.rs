//! Configured attributes: from a template of a type to a value that the target takes and that a
//! filter policy reads as meant. What a client sends never makes a value of another type, nor an
//! element of a list that the configuration does not have.

use std::borrow::Cow;

use serde_json::Value;

use crate::aws::decimal::Decimal;
use crate::aws::protocol::Protocol;
use crate::aws::text;
use crate::event::{Attribute, AttributeType};
use crate::exchange::template::{PathGroups, Template};
use crate::exchange::Exchange;
use crate::json::{self, to_json};

/// An attribute that events have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypedAttribute {
    /// Its name.
    pub(crate) name: String,
    /// Its type, and what its value is made from.
    pub(crate) value: ValueTemplate,
}

/// What the value of an attribute is made from, by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueTemplate {
    /// A text.
    Text(Template),
    /// A text that is a number.
    Number(Template),
    /// A text that is a list, in JSON.
    WholeList(Template),
    /// A list of elements, each of its own.
    List(Vec<Element>),
}

/// An element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A text; one that is empty is left out.
    Text(Template),
    /// A number, a boolean or null in JSON, which never changes.
    Constant(String),
}

/// The reason why an event is without a configured attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// There is no value.
    Absent,
    /// The value is not of the type, or not one that the target takes.
    Misfit,
}

impl ValueTemplate {
    /// Returns the templates in it.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        let (alone, elements) = match self {
            ValueTemplate::Text(template) | ValueTemplate::Number(template) | ValueTemplate::WholeList(template) => {
                (Some(template), [].as_slice())
            }
            ValueTemplate::List(elements) => (None, elements.as_slice()),
        };
        let of_elements = elements.iter().filter_map(|element| match element {
            Element::Text(template) => Some(template),
            Element::Constant(_) => None,
        });
        alone.into_iter().chain(of_elements)
    }
}

impl TypedAttribute {
    /// Returns the attribute of one exchange, as a target of this `protocol` takes it.
    ///
    /// # Errors
    /// The reason why there is none.
    pub(crate) fn render(
        &self,
        exchange: &Exchange<'_>,
        groups: &dyn PathGroups,
        protocol: &dyn Protocol,
    ) -> Result<Attribute, LeftOut> {
        let given = |template: &Template| Some(template.render(exchange, groups)).filter(|text| !text.is_empty());
        let (data_type, value) = match &self.value {
            ValueTemplate::Text(template) => (
                AttributeType::String,
                text::attribute_value(template.render(exchange, groups)).ok_or(LeftOut::Absent)?,
            ),
            ValueTemplate::Number(template) => {
                let text = given(template).ok_or(LeftOut::Absent)?;
                let number = Decimal::parse(&text).filter(|number| number.is_in(protocol.numbers()));
                (AttributeType::Number, number.ok_or(LeftOut::Misfit)?.text)
            }
            ValueTemplate::WholeList(template) => {
                let text = given(template).ok_or(LeftOut::Absent)?;
                let list = parse_list(&text).ok_or(LeftOut::Misfit)?;
                (AttributeType::StringArray, written(list.iter().map(|value| Cow::Owned(element(value))))?)
            }
            ValueTemplate::List(elements) => {
                let elements = elements.iter().filter_map(|element| match element {
                    Element::Text(template) => Some(Cow::Owned(to_json(&given(template)?))),
                    Element::Constant(json) => Some(Cow::Borrowed(json.as_str())),
                });
                (AttributeType::StringArray, written(elements)?)
            }
        };
        Ok(Attribute { name: Cow::Owned(self.name.clone()), data_type, value })
    }
}

/// Reads the elements of a list that is written in JSON; `None` if it is none, or has lists or
/// objects in it.
pub(crate) fn parse_list(text: &str) -> Option<Vec<Value>> {
    let Value::Array(list) = json::tree(text.as_bytes()).ok()? else { return None };
    let is_flat = list.iter().all(|element| !(element.is_array() || element.is_object()));
    is_flat.then_some(list)
}

/// Writes an element in JSON.
pub(crate) fn element(value: &Value) -> String {
    match value {
        Value::String(text) => to_json(text),
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => "null".to_owned(),
    }
}

/// Writes a list of elements in JSON; one without elements says nothing.
fn written<'a>(elements: impl Iterator<Item = Cow<'a, str>>) -> Result<String, LeftOut> {
    let mut list = String::new();
    for element in elements {
        list.push(if list.is_empty() { '[' } else { ',' });
        list.push_str(&element);
    }
    if list.is_empty() {
        return Err(LeftOut::Absent);
    }
    list.push(']');
    Ok(text::attribute_list(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::sns::topic_arn::TopicArn;
    use crate::aws::sqs;
    use crate::exchange::matcher::Matcher;
    use crate::exchange::{ClientRequest, Headers};
    use proptest::prelude::*;

    fn topic() -> TopicArn {
        "arn:aws:sns:us-east-1:123456789012:t".parse().unwrap()
    }

    fn rendered(value: ValueTemplate, sent: &str, protocol: &dyn Protocol) -> Result<(AttributeType, String), LeftOut> {
        let request = ClientRequest { headers: Headers(vec![("x-sent".into(), sent.into())]), ..Default::default() };
        let exchange = Exchange { request, ..Exchange::default() };
        let matcher = Matcher::new("").unwrap();
        let template = TypedAttribute { name: "a".into(), value };
        let attribute = template.render(&exchange, &matcher.groups("/"), protocol)?;
        Ok((attribute.data_type, attribute.value))
    }

    fn sent() -> Template {
        "${request.headers.x-sent}".parse().unwrap()
    }

    #[test]
    fn a_number_is_one_that_the_target_takes() {
        let queue = sqs::KIND.parse.unwrap()("https://sqs.us-east-1.amazonaws.com/123456789012/q").unwrap();
        let number = |text: &str, protocol: &dyn Protocol| {
            rendered(ValueTemplate::Number(sent()), text, protocol).map(|(data_type, value)| {
                assert_eq!(data_type, AttributeType::Number);
                value
            })
        };
        assert_eq!(number(" 0019.90 ", &topic()).as_deref(), Ok("19.9"));
        assert_eq!(number("1000000000", &topic()).as_deref(), Ok("1000000000"));
        assert_eq!(
            number(&format!("0e{}", i64::MAX), &topic()).as_deref(),
            Ok("0"),
            "an exponent that no reader takes"
        );
        assert_eq!(number(&format!("1{0}e-{1}", "0".repeat(128), 128), &topic()).as_deref(), Ok("1e0"));
        for misfit in ["+1", "1e400", "1 2", "1\u{a0}", ".5", "Infinity", "-", &"1".repeat(128)] {
            assert_eq!(number(misfit, queue.as_ref()), Err(LeftOut::Misfit), "{misfit}");
        }
        for misfit in ["1000000001", "-1e10", "7\t8", "seven", "NaN", "0x7", "[7]", "REDACTED", &"7".repeat(39)] {
            assert_eq!(number(misfit, &topic()), Err(LeftOut::Misfit), "{misfit}");
        }
        assert_eq!(number("", &topic()), Err(LeftOut::Absent));
        assert_eq!(number("1726783839711", queue.as_ref()).as_deref(), Ok("1726783839711"));
        assert_eq!(number("1e126", queue.as_ref()), Err(LeftOut::Misfit));
    }

    #[test]
    fn a_list_has_the_elements_of_the_configuration_whatever_a_client_sends() {
        let list = |text: &str| {
            let constant = Element::Constant("1".into());
            rendered(ValueTemplate::List(vec![Element::Text(sent()), constant]), text, &topic())
        };
        let array = |text: &str| Ok((AttributeType::StringArray, text.to_owned()));
        assert_eq!(list("acme"), array(r#"["acme",1]"#));
        assert_eq!(list(r#"a","admin"#), array(r#"["a\",\"admin",1]"#));
        assert_eq!(list("a\tb\n\u{FFFE}"), array("[\"a\\tb\\n\u{FFFD}\",1]"));
        assert_eq!(list(""), array("[1]"));
        assert_eq!(rendered(ValueTemplate::List(vec![Element::Text(sent())]), "", &topic()), Err(LeftOut::Absent));
    }

    #[test]
    fn a_whole_list_is_one_of_json() {
        let list = |text: &str| rendered(ValueTemplate::WholeList(sent()), text, &topic());
        assert_eq!(
            list(" [ \"a\", 1.5, true, null ] "),
            Ok((AttributeType::StringArray, r#"["a",1.5,true,null]"#.into()))
        );
        assert_eq!(
            list(r#"["", "\u0007\uFFFE"]"#),
            Ok((AttributeType::StringArray, "[\"\",\"\\u0007\u{FFFD}\"]".into()))
        );
        for misfit in [r#"["\ud800"]"#, r#"["\udc00\ud800"]"#, "[1e400]", "[NaN]", "[01]", "[1,]", &"[".repeat(20_000)]
        {
            assert_eq!(list(misfit), Err(LeftOut::Misfit), "{misfit}");
        }
        for misfit in
            ["a, b", r#"["a""#, r#"{"a": 1}"#, r#"[["a"]]"#, r#"[{"a": 1}]"#, "7", "\"a\"", "[1] [2]", "REDACTED"]
        {
            assert_eq!(list(misfit), Err(LeftOut::Misfit), "{misfit}");
        }
        for absent in ["", "[]"] {
            assert_eq!(list(absent), Err(LeftOut::Absent), "{absent}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_value_is_of_its_type(text in "(\\PC|[\0-\u{a0}]|[0-9.e\\[\\]\",\\\\-]){0,20}") {
            if let Ok((_, value)) = rendered(ValueTemplate::Text(sent()), &text, &topic()) {
                prop_assert!(!value.is_empty() && !value.contains(|c| c < ' '));
            }
            if let Ok((_, value)) = rendered(ValueTemplate::Number(sent()), &text, &topic()) {
                prop_assert!(value.parse::<f64>().unwrap().abs() <= 1e9);
            }
            if let Ok((_, value)) = rendered(ValueTemplate::WholeList(sent()), &text, &topic()) {
                prop_assert!(parse_list(&value).is_some_and(|list| !list.is_empty()));
            }
            if let Ok((_, value)) = rendered(ValueTemplate::List(vec![Element::Text(sent())]), &text, &topic()) {
                prop_assert_eq!(parse_list(&value).unwrap().len(), 1);
            }
        }
    }
}
