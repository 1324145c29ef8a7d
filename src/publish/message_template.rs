//! A message in a form of the operator's own: JSON with placeholders, parsed once at start and
//! written for each event. Whatever a client sends, the JSON has the members of the configuration.

use crate::exchange::template::{PathGroups, Template, Variable};
use crate::exchange::Exchange;
use crate::json::push_string;

/// The member of a message that says what of it is not whole.
pub(crate) const TRUNCATED: &str = "truncated";

/// An object of JSON with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageTemplate(pub(crate) Vec<(String, MessageValue)>);

/// A value in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MessageValue {
    /// A number, a boolean or null, as JSON has it.
    Written(String),
    /// The value of one placeholder, of its own type; null where it is absent.
    Value(Variable),
    /// A text, with placeholders or without.
    Text(Template),
    /// A list.
    List(Vec<MessageValue>),
    /// An object.
    Object(MessageTemplate),
}

/// Source of the values of one message.
pub(crate) struct MessageSource<'a> {
    /// The exchange.
    pub(crate) exchange: &'a Exchange<'a>,
    /// The named groups of its path.
    pub(crate) groups: &'a dyn PathGroups,
    /// Bytes that each value may have; more are cut.
    pub(crate) limit: usize,
    /// Bytes behind which nothing is written any more: the message is too large, and another one
    /// takes its place. A message may name one large value of a client's a hundred times.
    pub(crate) most: usize,
}

impl MessageTemplate {
    /// Calls `visit` with every placeholder.
    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Variable)) {
        self.0.iter().for_each(|(_, value)| value.visit(visit));
    }

    /// Adds the object to `json`, without its last brace. Returns true if a value was cut.
    pub(crate) fn write_open(&self, source: &MessageSource<'_>, json: &mut String) -> bool {
        let mut is_cut = false;
        for (position, (name, value)) in self.0.iter().enumerate() {
            if json.len() > source.most {
                return true;
            }
            json.push(if position == 0 { '{' } else { ',' });
            push_string(json, name);
            json.push(':');
            is_cut |= value.write(source, json);
        }
        if self.0.is_empty() {
            json.push('{');
        }
        is_cut
    }
}

impl MessageValue {
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Variable)) {
        match self {
            MessageValue::Written(_) => {}
            MessageValue::Value(variable) => visit(variable),
            MessageValue::Text(template) => template.variables().for_each(visit),
            MessageValue::List(values) => values.iter().for_each(|value| value.visit(visit)),
            MessageValue::Object(object) => object.visit(visit),
        }
    }

    /// Returns true if a value was cut.
    fn write(&self, source: &MessageSource<'_>, json: &mut String) -> bool {
        let MessageSource { exchange, groups, limit, .. } = *source;
        match self {
            MessageValue::Written(written) => {
                json.push_str(written);
                false
            }
            MessageValue::Value(variable) => variable.write_json(exchange, groups, limit, json),
            MessageValue::Text(template) => {
                let (text, is_cut) = template.render_cut(exchange, groups, limit);
                push_string(json, &text);
                is_cut
            }
            MessageValue::List(values) => {
                json.push('[');
                let mut is_cut = false;
                for (position, value) in values.iter().enumerate() {
                    if json.len() > source.most {
                        break;
                    }
                    if position > 0 {
                        json.push(',');
                    }
                    is_cut |= value.write(source, json);
                }
                json.push(']');
                is_cut
            }
            MessageValue::Object(object) => {
                let is_cut = object.write_open(source, json);
                json.push('}');
                is_cut
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::exchange::matcher::Matcher;
    use crate::exchange::{ClientRequest, Headers};
    use proptest::prelude::*;
    use serde_json::{json, Value};

    fn value(variable: &str) -> MessageValue {
        MessageValue::Value(variable.parse().unwrap())
    }

    fn text(template: &str) -> MessageValue {
        MessageValue::Text(template.parse().unwrap())
    }

    fn exchange(sent: &str) -> Exchange<'static> {
        let headers = Headers(vec![("x-sent".into(), sent.to_owned().into())]);
        let mut exchange = Exchange { started_at: Some(Timestamp(7)), ..Exchange::default() };
        exchange.request = ClientRequest { method: "PUT".into(), headers, ..ClientRequest::default() };
        exchange.response.status = 204;
        exchange
    }

    const MOST: usize = 1_000;

    fn written(message: Vec<(&str, MessageValue)>, sent: &str, limit: usize) -> (String, bool) {
        let message = MessageTemplate(message.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let matcher = Matcher::new("/").unwrap();
        let groups = matcher.groups("/");
        let mut json = String::new();
        let exchange = exchange(sent);
        let source = MessageSource { exchange: &exchange, groups: &groups, limit, most: MOST };
        let is_cut = message.write_open(&source, &mut json);
        (json + "}", is_cut)
    }

    #[test]
    fn a_placeholder_alone_has_its_own_type_and_beside_other_text_it_is_text() {
        let list = MessageValue::List(vec![value("request.method"), MessageValue::Written("1.5".into()), text("")]);
        let inner = MessageTemplate(vec![("é\"".into(), value("request.headers.none"))]);
        let (json, is_cut) = written(
            vec![
                ("status", value("response.status")),
                ("at", value("started_at")),
                ("text", text("${response.status}${request.headers.none} at ${started_at}")),
                ("list", list),
                ("inner", MessageValue::Object(inner)),
                ("none", MessageValue::List(vec![])),
            ],
            "",
            usize::MAX,
        );
        assert_eq!(
            serde_json::from_str::<Value>(&json).unwrap(),
            json!({"status": 204, "at": 7, "text": "204 at 7", "list": ["PUT", 1.5, ""], "inner": {"é\"": null}, "none": []})
        );
        assert!(!is_cut);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let message = || vec![("a", value("request.headers.x-sent")), ("b", text("<${request.headers.x-sent}>"))];
        assert_eq!(written(message(), "éé", 3), (r#"{"a":"é","b":"<é>"}"#.to_owned(), true));
        assert_eq!(written(message(), "éé", 4), (r#"{"a":"éé","b":"<éé>"}"#.to_owned(), false));
    }

    #[test]
    fn what_is_too_large_already_is_not_written_to_its_end() {
        let sent = "x".repeat(MOST / 2);
        let large = || value("request.headers.x-sent");
        let lists = MessageValue::List((0..50).map(|_| large()).collect());
        let inner = MessageTemplate((0..50).map(|_| ("a".to_owned(), large())).collect());
        for many in [lists, MessageValue::Object(inner)] {
            let (json, _) = written(vec![("many", many), ("b", large()), ("c", large())], &sent, usize::MAX);
            assert!((MOST..2 * MOST).contains(&json.len()), "{}", json.len());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_members_are_those_of_the_configuration(sent in any::<String>(), limit in 0usize..40) {
            let message = vec![("a", value("request.headers.x-sent")), ("b", text("x${request.headers.x-sent}"))];
            let (json, is_cut) = written(message, &sent, limit);
            let read: Value = serde_json::from_str(&json).unwrap();
            let cut = sent.get(..sent.floor_char_boundary(limit)).unwrap();
            prop_assert_eq!(read, json!({"a": cut, "b": format!("x{cut}")}));
            prop_assert_eq!(is_cut, cut.len() < sent.len());
        }
    }
}
