//! Documents in JSON or YAML as trees whose values know their lines. Never knows what a key means.

mod json;
mod yaml;

use std::fmt::Write;

/// A value and the line that it begins in, from one on.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// A value. An object keeps members of one key apart.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A number, as JSON writes it.
    Number(String),
    Text(Text),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A text.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// The line of the document in which its first line stands, if each of its lines is one there.
    pub(crate) first_line: Option<usize>,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    /// The line of the key.
    pub(crate) line: usize,
    pub(crate) node: Node,
}

/// The reason why a text is no document, and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxFault {
    pub(crate) line: usize,
    pub(crate) problem: String,
}

/// Parses a text of one JSON value.
pub(crate) fn of_json(text: &str) -> Result<Node, SyntaxFault> {
    json::parse(text)
}

/// Parses a text of any number of YAML documents, of which JSON is one.
pub(crate) fn of_yaml(text: &str) -> Result<Vec<Node>, SyntaxFault> {
    yaml::parse(text)
}

/// Parses a text of JSON, or else of YAML. Of JSON that people write by hand, with comments and
/// commas at the end, it says that it is no JSON: YAML would take it for something else.
pub(crate) fn of_either(text: &str) -> Result<Vec<Node>, SyntaxFault> {
    let is_braced = text.trim_start().starts_with(['{', '[', '/']);
    match of_json(text) {
        Ok(node) => Ok(vec![node]),
        Err(fault) if is_braced && json::is_loose(text) => Err(fault),
        // Of YAML in braces the rarer fault is that it is no JSON.
        Err(fault) if is_braced => of_yaml(text).map_err(|_| fault),
        Err(_) => of_yaml(text),
    }
}

impl Node {
    /// Gives the value, and all inside it, other lines.
    pub(crate) fn with_lines(mut self, of: &dyn Fn(usize) -> usize) -> Node {
        self.line = of(self.line);
        self.value = match self.value {
            Value::Text(Text { text, first_line }) => Value::Text(Text { text, first_line: first_line.map(of) }),
            Value::List(items) => Value::List(items.into_iter().map(|item| item.with_lines(of)).collect()),
            Value::Object(members) => {
                let moved = |Member { key, line, node }| Member { key, line: of(line), node: node.with_lines(of) };
                Value::Object(members.into_iter().map(moved).collect())
            }
            value => value,
        };
        self
    }

    /// Returns the member `key` of an object. Of several it is the last, as most parsers have it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|member| &member.node)
    }

    /// Returns the member `key` of an object, with its line.
    pub(crate) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().rfind(|member| member.key == key)
    }

    /// Returns the members of an object; none of what is no object.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// Returns the items of a list; none of what is no list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// Writes the value as JSON in one line. A key that is given twice is there twice.
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json, None);
        json
    }

    /// Writes the value as JSON in lines, members in their order.
    pub(crate) fn to_lines(&self) -> String {
        let mut json = String::new();
        self.write(&mut json, Some(0));
        json
    }

    /// Writes the value; its lines, if it has several, are indented by so many steps.
    fn write(&self, json: &mut String, indent: Option<usize>) {
        let inner = indent.map(|indent| indent + 1);
        match &self.value {
            Value::Null => json.push_str("null"),
            Value::Bool(boolean) => {
                let _ = write!(json, "{boolean}");
            }
            Value::Number(number) => json.push_str(number),
            Value::Text(text) => push_text(json, &text.text),
            Value::List(items) => {
                json.push('[');
                for (position, item) in items.iter().enumerate() {
                    json.push_str(if position == 0 { "" } else { "," });
                    push_line(json, inner);
                    item.write(json, inner);
                }
                push_line(json, indent.filter(|_| !items.is_empty()));
                json.push(']');
            }
            Value::Object(members) => {
                json.push('{');
                for (position, member) in members.iter().enumerate() {
                    json.push_str(if position == 0 { "" } else { "," });
                    push_line(json, inner);
                    push_text(json, &member.key);
                    json.push_str(if indent.is_some() { ": " } else { ":" });
                    member.node.write(json, inner);
                }
                push_line(json, indent.filter(|_| !members.is_empty()));
                json.push('}');
            }
        }
    }
}

/// Begins a line, where there are several.
fn push_line(json: &mut String, indent: Option<usize>) {
    if let Some(indent) = indent {
        json.push('\n');
        json.push_str(&"  ".repeat(indent));
    }
}

fn push_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}
