//! YAML as trees whose values know their lines. Plain words mean what they mean to Kong and to
//! Kubernetes, which take `on` and `yes` for true.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Member, Node, SyntaxFault, Text, Value};

/// Values of all documents together, at most: aliases of aliases multiply.
const MAX_VALUES: usize = 1_000_000;

/// Values inside each other, at most.
const MAX_DEPTH: usize = 128;

/// The key whose objects give theirs, where there are none of these names.
const MERGE: &str = "<<";

/// Parses a text of any number of documents.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, SyntaxFault> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), values: 0, reached: (0, text) };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                reader.anchors.clear();
                let next = reader.next()?;
                documents.push(reader.node(next, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Values of aliases, by the parser's numbers, and how many values each has.
    anchors: BTreeMap<usize, (Node, usize)>,
    values: usize,
    /// The number of characters that were looked at, which the parser counts, and the text behind
    /// them.
    reached: (usize, &'t str),
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), SyntaxFault> {
        let refused = |error: ScanError| SyntaxFault {
            line: error.marker().line(),
            problem: format!("not valid YAML: {}", error.info()),
        };
        self.parser.next_event().unwrap_or(Ok((Event::StreamEnd, Span::default()))).map_err(refused)
    }

    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> Result<Node, SyntaxFault> {
        let line = span.start.line();
        let refused = |problem: &str| SyntaxFault { line, problem: problem.to_owned() };
        let before = self.values;
        self.values += 1;
        if self.values > MAX_VALUES || depth > MAX_DEPTH {
            return Err(refused("not read: has too many values, or too many inside each other"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let has_properties = anchor > 0 || tag.is_some();
                (self.scalar(text, style, tag, span, has_properties), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        next => items.push(self.node(next, depth + 1)?),
                    }
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => {
                let mut members = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        next => self.node(next, depth + 1)?,
                    };
                    let next = self.next()?;
                    let node = self.node(next, depth + 1)?;
                    members.push(Member { line: key.line, key: key_text(key)?, node });
                }
                (Value::Object(merged(members)), anchor)
            }
            Event::Alias(number) => {
                let (node, values) =
                    self.anchors.get(&number).ok_or_else(|| refused("not valid YAML: unknown alias"))?;
                self.values += values;
                return Ok(Node { line, value: node.value.clone() });
            }
            _ => return Ok(Node { line, value: Value::Null }),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<Cow<'t, Tag>>,
        span: Span,
        has_properties: bool,
    ) -> Value {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        match style {
            ScalarStyle::Plain if !is_text => plain(&text),
            _ => {
                let first_line =
                    (style == ScalarStyle::Literal).then(|| self.first_line(&text, span.start, has_properties));
                Value::Text(Text { text: text.into_owned(), first_line })
            }
        }
    }

    /// Returns the line in which the first line of a literal block stands, which is the one behind
    /// its `|`. The parser begins a block with its anchor or tag, or else with the first line of it
    /// that is not empty.
    fn first_line(&mut self, text: &str, start: Marker, has_properties: bool) -> usize {
        if !has_properties {
            let empty = text.chars().take_while(|c| *c == '\n').count();
            return start.line().saturating_sub(empty).max(1);
        }
        let (index, rest) = self.reached;
        let ahead = start.index().saturating_sub(index);
        let rest = rest.char_indices().nth(ahead).and_then(|(at, _)| rest.get(at..)).unwrap_or_default();
        self.reached = (index + ahead, rest);
        let (mut line, mut is_comment, mut before) = (start.line(), false, ' ');
        for character in rest.chars() {
            match character {
                '\n' => (line, is_comment) = (line + 1, false),
                '#' if before.is_whitespace() => is_comment = true,
                '|' if before.is_whitespace() && !is_comment => break,
                _ => {}
            }
            before = character;
        }
        line + 1
    }
}

fn key_text(key: Node) -> Result<String, SyntaxFault> {
    match key.value {
        Value::Text(text) => Ok(text.text),
        Value::List(_) | Value::Object(_) => {
            Err(SyntaxFault { line: key.line, problem: "has a key that is no text".to_owned() })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(key.to_json()),
    }
}

/// Gives an object the members of those under its merge key that it has not itself.
fn merged(members: Vec<Member>) -> Vec<Member> {
    let (merges, mut own): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.key == MERGE);
    if merges.is_empty() {
        return own;
    }
    let mut known: BTreeSet<String> = own.iter().map(|member| member.key.clone()).collect();
    for merge in merges {
        let sources = match merge.node.value {
            Value::List(items) => items,
            _ => vec![merge.node],
        };
        for source in sources {
            for member in source.members() {
                if known.insert(member.key.clone()) {
                    own.push(member.clone());
                }
            }
        }
    }
    own
}

/// Returns what a plain word is.
fn plain(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => return Value::Null,
        "true" | "yes" | "on" => return Value::Bool(true),
        "false" | "no" | "off" => return Value::Bool(false),
        _ => {}
    }
    let number = || {
        if let Ok(integer) = text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
            return Some(integer.to_string());
        }
        let begins = text.trim_start_matches(['+', '-', '.']).starts_with(|c: char| c.is_ascii_digit());
        let float = begins.then(|| text.parse::<f64>().ok()).flatten()?;
        serde_json::Number::from_f64(float).map(|number| number.to_string())
    };
    match number() {
        Some(number) => Value::Number(number),
        None => Value::Text(Text { text: text.to_owned(), first_line: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(Node::to_json).collect()
    }

    #[test]
    fn plain_words_are_what_kong_and_kubernetes_take_them_for() {
        let text =
            "a: on\nb: \"on\"\nc: 2xx\nd: 0.5\ne: ~\nf: +7\ng: 1e3\nh: 127.0.0.1:80\ni: !!str 5\nj: .inf\n200: 1";
        let expected = r#"{"a":true,"b":"on","c":"2xx","d":0.5,"e":null,"f":7,"g":1000.0,"h":"127.0.0.1:80","i":"5","j":".inf","200":1}"#;
        assert_eq!(json(text), [expected]);
    }

    #[test]
    fn documents_aliases_and_merges() {
        let text = "a: &x {b: 1, c: 2}\nd: *x\n---\ne: &y {f: 1}\ng: {<<: *y, h: 2}\n";
        assert_eq!(json(text), [r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":2}}"#, r#"{"e":{"f":1},"g":{"h":2,"f":1}}"#]);
        assert_eq!(json(""), [""; 0]);
    }

    #[test]
    fn lines_are_those_of_the_file_inside_a_literal_block_too() {
        let node = &parse("# first\na:\n  - b: 1\n    c: |\n      {\n        \"d\": 1\n      }\n").unwrap()[0];
        let item = &node.get("a").unwrap().items()[0];
        assert_eq!((node.members()[0].line, item.members()[0].line, item.members()[1].line), (2, 3, 4));
        let Value::Text(text) = &item.get("c").unwrap().value else { panic!() };
        assert_eq!((text.text.as_str(), text.first_line), ("{\n  \"d\": 1\n}\n", Some(5)));
        for (block, line) in [
            ("a: |\n\n\n  b\n", 2),
            ("a: |- # why\n  b\n", 2),
            ("é: 😀\na: |2\n\n    b\n", 3),
            ("\u{feff}a: |\n  b\n", 2),
            ("a: |\r\n\r\n  b\r\n", 2),
            ("a: &x |\n  b\n", 2),
            ("a: !!str |\n  b\n", 2),
            ("é: 1\na: &x # | why\n  !!str\n\n  |\n  b\n", 6),
            ("a: &x|y |\n\n  b\n", 2),
        ] {
            let node = &parse(block).unwrap()[0];
            let Value::Text(text) = &node.get("a").unwrap().value else { panic!() };
            assert_eq!((text.text.trim(), text.first_line), ("b", Some(line)), "{block:?}");
        }
        for other in ["a: >\n  {\n  }\n", "a: \"{\\n}\"\n"] {
            let node = &parse(other).unwrap()[0];
            let Value::Text(text) = &node.get("a").unwrap().value else { panic!() };
            assert_eq!(text.first_line, None);
        }
    }

    #[test]
    fn what_cannot_be_read_has_its_line() {
        for (text, line) in [("a: 1\nb: [\n", 3), ("a: *x\n", 1), ("a: 1\n? [b]\n: 1\n", 2)] {
            let fault = parse(text).unwrap_err();
            assert!(fault.line.abs_diff(line) <= 1, "{text}: {fault:?}");
        }
        let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |bomb, level| {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            format!("{bomb}a{level}: &a{level} [{alias}]\n")
        });
        assert!(parse(&bomb).unwrap_err().problem.contains("too many values"));
    }
}
