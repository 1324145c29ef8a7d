//! From the place of a fault, as the filter names it (`routes[1].matcher`), to a line of a file.

use crate::document::Node;

/// The place that stands for the whole configuration.
const WHOLE: &str = "$";

/// A step of a place.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// Returns the line of the value at `place` below `root`, or of as much of the way as there is.
pub(crate) fn line(root: &Node, place: &str) -> usize {
    let (mut node, mut line) = (root, root.line);
    for step in steps(place) {
        let next = match &step {
            Step::Key(key) => node.member(key).map(|member| (member.line, &member.node)),
            Step::Item(index) => node.items().get(*index).map(|item| (item.line, item)),
        };
        let Some((line_of_next, next)) = next else { break };
        (node, line) = (next, line_of_next);
    }
    line
}

/// Reads a place. What is not read ends it.
fn steps(place: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = if place == WHOLE { "" } else { place };
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('[') {
            let mut texts = serde_json::Deserializer::from_str(behind).into_iter::<serde_json::Value>();
            let step = match texts.next() {
                Some(Ok(serde_json::Value::String(key))) => Step::Key(key),
                Some(Ok(serde_json::Value::Number(index))) => {
                    Step::Item(index.as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX))
                }
                _ => break,
            };
            let end = texts.byte_offset();
            steps.push(step);
            rest = behind.get(end..).and_then(|rest| rest.strip_prefix(']')).unwrap_or_default();
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Key(name.get(..end).unwrap_or_default().to_owned()));
            rest = name.get(end..).unwrap_or_default();
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::of_json;

    #[test]
    fn places_are_read_as_the_filter_writes_them() {
        let key = |name: &str| Step::Key(name.to_owned());
        for (place, expected) in [
            ("$", vec![]),
            ("topic_arn", vec![key("topic_arn")]),
            ("routes[1].matcher", vec![key("routes"), Step::Item(1), key("matcher")]),
            ("n[\"x.y\"][\"a\\nb\"].c", vec![key("n"), key("x.y"), key("a\nb"), key("c")]),
            ("[\"a b\"]", vec![key("a b")]),
            ("capture[].endpoint", vec![key("capture")]),
            ("a[0][12]", vec![key("a"), Step::Item(0), Step::Item(12)]),
        ] {
            assert_eq!(steps(place), expected, "{place}");
        }
    }

    #[test]
    fn a_place_has_the_line_of_as_much_of_it_as_there_is() {
        let node = of_json("{\n\"routes\": [\n{\"method\": \"PUT\",\n\"when\": {\n\"a.b\": 1}}]}").unwrap();
        for (place, expected) in [
            ("$", 1),
            ("topic_arn", 1),
            ("routes", 2),
            ("routes[0]", 3),
            ("routes[0].matcher", 3),
            ("routes[1].matcher", 2),
            ("routes[0].when[\"a.b\"]", 5),
            ("routes[0].when.a", 4),
        ] {
            assert_eq!(line(&node, place), expected, "{place}");
        }
    }
}
