//! Reads the JSON of a configuration and reports what is given twice. Two values under one key are
//! a fault wherever they stand: of `"verify": {…}, "verify": null` a parser would keep the last.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::Faultbook;
use super::reader::{item, member};

/// Parses a text, and reports every key that stands twice in one object.
pub(super) fn parse(text: &[u8], faults: &Faultbook) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Node { path: "", faults }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A value that is read, and where it stands.
#[derive(Clone, Copy)]
struct Node<'a> {
    path: &'a str,
    faults: &'a Faultbook,
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
        while let Some(value) = items.next_element_seed(Node { path: &item(self.path, values.len()), ..self })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let path = member(self.path, &key);
            let value = members.next_value_seed(Node { path: &path, ..self })?;
            if values.insert(key, value).is_some() {
                self.faults.report(&path, "is given twice", "give it once: it would not be sure which one counts");
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Value, Vec<String>) {
        let faults = Faultbook::default();
        let value = parse(text.as_bytes(), &faults).unwrap();
        let paths = match faults.conclude(Ok(())) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(|fault| fault.path.clone()).collect(),
        };
        (value, paths)
    }

    #[test]
    fn what_is_given_twice_is_reported_wherever_it_stands() {
        for (text, expected) in [
            (r#"{"a": 1, "b": {"a": 1}, "c": [{"a": 1}, {"a": 1}]}"#, &[][..]),
            (r#"{"a": 1, "a": 1}"#, &["a"]),
            (r#"{"a": 1, "\u0061": null}"#, &["a"]),
            (r#"{"a": [{}, {"b": {"c": {}, "d": 1, "c": {}}}], "a": 1}"#, &["a[1].b.c", "a"]),
            (r#"[{"x y": 1, "x y": 2, "x y": 3}]"#, &[r#"[0]["x y"]"#, r#"[0]["x y"]"#]),
        ] {
            assert_eq!(read(text).1, expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_serde_json_refuses_is_refused() {
        for text in ["", "{", "{} {}", "[1,]", "{\"a\" 1}", "nul", &"[".repeat(10_000)] {
            assert!(parse(text.as_bytes(), &Faultbook::default()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_value_is_the_one_that_serde_json_reads(text in "[\\[\\]{}\",:0-9a-c.eE+ -]{0,40}|(\\{\"a\":-?[0-9]{1,25}(\\.[0-9]{1,5})?(e[0-9]{1,2})?\\})") {
            let expected = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(parse(text.as_bytes(), &Faultbook::default()).ok(), expected);
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let value = json!({"a": [null, true, 1, -1, 1.5, "é", {"b": {}}], "c": []});
        assert_eq!(read(&value.to_string()).0, value);
    }
}
