//! Writes an object member by member. Never looks whether a key came before.
//!
//! By hand, because a record takes serde_json twice as many instructions: it writes a key in four
//! pieces and a text byte by byte.

use super::string::push_string;

/// An object that is being written.
///
/// A key stands in a comma, quotes and a colon (`,"id":`), so that it is one piece; the comma of
/// the first one is left out.
pub(crate) struct ObjectWriter<'j> {
    json: &'j mut String,
    is_empty: bool,
}

impl<'j> ObjectWriter<'j> {
    /// Begins an object.
    pub(crate) fn begin(json: &'j mut String) -> ObjectWriter<'j> {
        json.push('{');
        ObjectWriter { json, is_empty: true }
    }

    /// Writes a key. Returns where its value is to be written.
    #[inline(never)]
    pub(crate) fn member(&mut self, key: &'static str) -> &mut String {
        let key = if self.is_empty { key.get(1..).unwrap_or_default() } else { key };
        self.is_empty = false;
        self.json.push_str(key);
        self.json
    }

    /// Writes a member that is a text, unless it is absent.
    #[inline(never)]
    pub(crate) fn text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            push_string(self.member(key), value);
        }
    }

    /// Writes a member that is a number, unless it is absent.
    #[inline(never)]
    pub(crate) fn number(&mut self, key: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.member(key).push_str(itoa::Buffer::new().format(value));
        }
    }

    /// Ends the object.
    pub(crate) fn end(self) {
        self.json.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_leaves_no_trace() {
        let mut json = String::new();
        let mut object = ObjectWriter::begin(&mut json);
        object.text(",\"a\":", None);
        object.number(",\"b\":", Some(7));
        object.member(",\"c\":").push_str("[]");
        object.text(",\"d\":", Some("\""));
        object.end();
        assert_eq!(json, r#"{"b":7,"c":[],"d":"\""}"#);
        let mut empty = String::new();
        ObjectWriter::begin(&mut empty).end();
        assert_eq!(empty, "{}");
    }
}
