//! JSON as a tree whose values know their lines.

use jsonc_parser::ast::{ObjectProp, Value as Ast};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{parse_to_ast, CollectOptions, ParseOptions};

use super::{Member, Node, SyntaxFault, Text, Value};

/// The syntax that JSON itself allows, and nothing more.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The syntax of people who write JSON by hand, for editors that take it.
const LOOSE: ParseOptions = ParseOptions { allow_comments: true, allow_trailing_commas: true, ..STRICT };

/// Returns true for JSON with comments and with commas at the end of lists, which is meant to be
/// JSON and is none.
pub(super) fn is_loose(text: &str) -> bool {
    parse_to_ast(text, &CollectOptions::default(), &LOOSE).is_ok_and(|parsed| parsed.value.is_some())
}

/// Parses a text of one JSON value.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    // The filter's own parser decides what is JSON.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        return Err(SyntaxFault { line: error.line().max(1), problem: format!("not valid JSON: {error}") });
    }
    let lines = Lines::of(text);
    let refused = |line: usize, problem: String| SyntaxFault { line, problem };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT)
        .map_err(|error| refused(lines.of_range(error.range()), format!("not valid JSON: {error}")))?;
    let value = parsed.value.ok_or_else(|| refused(1, "is empty".to_owned()))?;
    Ok(lines.node(&value))
}

/// Beginnings of the lines of a text, in bytes.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines(std::iter::once(0).chain(ends).collect())
    }

    fn of_range(&self, range: Range) -> usize {
        self.0.partition_point(|begin| *begin <= range.start)
    }

    fn node(&self, ast: &Ast<'_>) -> Node {
        let value = match ast {
            Ast::StringLit(text) => Value::Text(Text { text: text.value.to_string(), first_line: None }),
            Ast::NumberLit(number) => Value::Number(number.value.to_string()),
            Ast::BooleanLit(boolean) => Value::Bool(boolean.value),
            Ast::NullKeyword(_) => Value::Null,
            Ast::Array(items) => Value::List(items.elements.iter().map(|item| self.node(item)).collect()),
            Ast::Object(object) => Value::Object(object.properties.iter().map(|member| self.member(member)).collect()),
        };
        Node { line: self.of_range(ast.range()), value }
    }

    fn member(&self, member: &ObjectProp<'_>) -> Member {
        let key = member.name.as_str().to_owned();
        Member { key, line: self.of_range(member.range), node: self.node(&member.value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines_and_keys_are_kept_apart() {
        let text = "{\n \"a\": [1,\n  \"\\ud83d\\ude00\"],\n \"a\": -1.5e3}";
        let node = parse(text).unwrap();
        assert_eq!(node.to_json(), "{\"a\":[1,\"😀\"],\"a\":-1.5e3}");
        assert_eq!(node.to_lines(), "{\n  \"a\": [\n    1,\n    \"😀\"\n  ],\n  \"a\": -1.5e3\n}");
        assert_eq!(parse("{\"a\": {}, \"b\": []}").unwrap().to_lines(), "{\n  \"a\": {},\n  \"b\": []\n}");
        assert_eq!(node.members().iter().map(|member| member.line).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(node.members()[0].node.items()[1].line, 3);
    }

    #[test]
    fn what_is_no_json_has_its_line() {
        for (text, line) in [("{\n\"a\": 1,\n}", 3), ("{\n// a\n}", 2), ("", 1), ("{\"a\": 1}\n{", 2)] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
