//! Reads JSON: a text as a tree, or only a few texts of its object. One visitor reads all of it: a
//! type that derives `Deserialize` has code of its own in the module, and the error about a wrong
//! type brings what writes floats. Without them the module is 42 KB smaller.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Path to a value in a tree.
#[derive(Clone, Copy)]
pub(crate) enum JsonPath<'a> {
    /// The top of the tree.
    Top,
    /// An item of the list at a path.
    Item(&'a JsonPath<'a>, usize),
    /// A member of the object at a path.
    Member(&'a JsonPath<'a>, &'a str),
}

/// Reads a text as a tree. Of values under one key it keeps the last.
///
/// # Errors
/// If it is not JSON.
pub(crate) fn tree(text: &[u8]) -> Result<Value, serde_json::Error> {
    tree_of_single_keys(text, &|_| ())
}

/// Reads a text as a tree, and hands the path of every value whose key stood in its object before
/// to `repeated`.
///
/// # Errors
/// If it is not JSON.
pub(crate) fn tree_of_single_keys(text: &[u8], repeated: &dyn Fn(JsonPath<'_>)) -> Result<Value, serde_json::Error> {
    read(text, Node { path: JsonPath::Top, wanted: Wanted::All, repeated })
}

/// Reads the texts under `names` in an object, and builds nothing of the rest. `None` in place of a
/// text stands for a name that is missing, or null. Returns `None` if the whole is no object of
/// JSON, one of the names has another value, or stands there twice.
pub(crate) fn texts<const N: usize>(text: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    let is_repeated = Cell::new(false);
    let repeated = |_: JsonPath<'_>| is_repeated.set(true);
    let Value::Object(mut members) =
        read(text, Node { path: JsonPath::Top, wanted: Wanted::Members(&names), repeated: &repeated }).ok()?
    else {
        return None;
    };
    let mut is_text = !is_repeated.get();
    // Taken out of the tree, because `remove` is 4 KB of code.
    let texts = names.map(|name| match members.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        None | Some(Value::Null) => None,
        Some(_) => {
            is_text = false;
            None
        }
    });
    is_text.then_some(texts)
}

fn read(text: &[u8], node: Node<'_>) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = node.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The part of a value that is read.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// All of it, to any depth.
    All,
    /// The members of these names, and nothing below them; of a list no item.
    Members(&'a [&'a str]),
}

/// A value that is read. It visits every kind of value itself: none is of a wrong type.
#[derive(Clone, Copy)]
struct Node<'a> {
    path: JsonPath<'a>,
    wanted: Wanted<'a>,
    repeated: &'a dyn Fn(JsonPath<'_>),
}

impl<'a> Node<'a> {
    /// Returns the value at `path` below this one, which is its member or item of this name; `None`
    /// if it is not read.
    fn below<'b>(&'b self, path: JsonPath<'b>, name: &str) -> Option<Node<'b>> {
        let wanted = match self.wanted {
            Wanted::All => Wanted::All,
            Wanted::Members(names) => {
                names.contains(&name).then_some(())?;
                Wanted::Members(&[])
            }
        };
        Some(Node { path, wanted, repeated: self.repeated })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        if let Wanted::All = self.wanted {
            while let Some(value) =
                items.next_element_seed(Node { path: JsonPath::Item(&self.path, values.len()), ..self })?
            {
                values.push(value);
            }
            return Ok(Value::Array(values));
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let Some(node) = self.below(JsonPath::Member(&self.path, &key), &key) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = members.next_value_seed(node)?;
            if values.contains_key(&key) {
                (self.repeated)(JsonPath::Member(&self.path, &key));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shown(path: JsonPath<'_>) -> String {
        match path {
            JsonPath::Top => "$".to_owned(),
            JsonPath::Item(list, index) => format!("{}[{index}]", shown(*list)),
            JsonPath::Member(object, key) => format!("{}.{key}", shown(*object)),
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_handed_over_wherever_it_stands() {
        for (text, expected) in [
            (r#"{"a": 1, "b": {"a": 1}, "c": [{"a": 1}, {"a": 1}]}"#, &[][..]),
            (r#"{"a": 1, "a": 1}"#, &["$.a"]),
            (r#"{"a": 1, "\u0061": null}"#, &["$.a"]),
            (r#"{"a": [{}, {"b": {"c": {}, "d": 1, "c": {}}}], "a": 1}"#, &["$.a[1].b.c", "$.a"]),
            (r#"[{"x": 1, "x": 2, "x": 3}]"#, &["$[0].x", "$[0].x"]),
        ] {
            let repeated = RefCell::new(Vec::new());
            tree_of_single_keys(text.as_bytes(), &|path| repeated.borrow_mut().push(shown(path))).unwrap();
            assert_eq!(repeated.into_inner(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_serde_json_refuses_is_refused() {
        for text in ["", "{", "{} {}", "[1,]", "{\"a\" 1}", "nul", "{\"b\": tru}", &"[".repeat(10_000)] {
            assert!(tree(text.as_bytes()).is_err(), "{text}");
            assert!(texts(text.as_bytes(), ["a"]).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_tree_is_the_one_that_serde_json_reads(text in "[\\[\\]{}\",:0-9a-c.eE+ -]{0,40}|(\\{\"a\":-?[0-9]{1,25}(\\.[0-9]{1,5})?(e[0-9]{1,2})?\\})") {
            let expected = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(tree(text.as_bytes()).ok(), expected);
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let value = json!({"a": [null, true, 1, -1, 1.5, "é", {"b": {}}], "c": []});
        assert_eq!(tree(value.to_string().as_bytes()).unwrap(), value);
    }

    #[test]
    fn texts_are_read_from_an_object_alone() {
        let read = |text: &str| texts(text.as_bytes(), ["a", "b"]);
        let found = |a: &str, b: &str| Some([Some(a.to_owned()), Some(b.to_owned())]);
        assert_eq!(read(r#"{"b": "\u00e9", "c": {"a": 1}, "d": [{}], "c": 2, "a": ""}"#), found("", "é"));
        assert_eq!(read(r#"{"a": null, "c": "x"}"#), Some([None, None]));
        for text in [
            r#"["a"]"#,
            r#""a""#,
            "null",
            r#"{"a": 1}"#,
            r#"{"a": {"a": "x"}}"#,
            r#"{"a": ["x"]}"#,
            r#"{"a": "x", "a": "x"}"#,
            r#"{"a": null, "a": "x"}"#,
            r#"{"a": "x"} "#.trim_end_matches("} "),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
