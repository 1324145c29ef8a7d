//! Which bodies a route wants in its events: how many bytes of them, and of which content types.

/// A rule of a route for a body: how much of it to keep, and of which kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyRule {
    /// Bytes of it, from the first on.
    pub(crate) max_bytes: usize,
    /// The content types, of which one has to be its own.
    pub(crate) content_types: Vec<MediaRange>,
}

/// A content type, or all that begin and end alike: `text/*`, `application/*+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaRange {
    begin: String,
    end: Option<String>,
}

impl MediaRange {
    /// Every content type, and none.
    pub(crate) const ANY: &str = "*/*";

    /// Reads a content type in which one `*` may stand for any text; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<MediaRange> {
        if text == MediaRange::ANY {
            return Some(MediaRange { begin: String::new(), end: Some(String::new()) });
        }
        let (kind, subtype) = text.split_once('/')?;
        let is_name = |name: &str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&byte);
            !name.is_empty() && name.bytes().all(is_known)
        };
        if !is_name(kind) || !is_name(subtype) || kind.contains('*') {
            return None;
        }
        let text = text.to_ascii_lowercase();
        match text.split_once('*') {
            None => Some(MediaRange { begin: text, end: None }),
            Some((_, end)) if end.contains('*') => None,
            Some((begin, end)) => Some(MediaRange { begin: begin.to_owned(), end: Some(end.to_owned()) }),
        }
    }

    /// Returns true if a content type without parameters, in lower case, is one of them.
    fn has(&self, essence: &str) -> bool {
        match &self.end {
            None => self.begin == essence,
            Some(end) => {
                let rest = essence.strip_prefix(self.begin.as_str());
                rest.is_some_and(|rest| rest.ends_with(end.as_str()))
            }
        }
    }
}

impl BodyRule {
    /// Returns true if it wants a body of this content type, or of none that is known.
    pub(crate) fn wants(&self, content_type: Option<&str>) -> bool {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        self.content_types.iter().any(|range| range.has(&essence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(ranges: &[&str], content_type: Option<&str>) -> bool {
        let content_types = ranges.iter().map(|range| MediaRange::parse(range).unwrap()).collect();
        BodyRule { max_bytes: 1, content_types }.wants(content_type)
    }

    #[test]
    fn a_content_type_is_one_of_those_that_are_wanted() {
        let of = |range: &str, content_type: &str| wants(&[range], Some(content_type));
        assert!(of("application/json", "Application/JSON; charset=utf-8") && of("Text/*", "text/plain"));
        assert!(of("application/*+json", "application/vnd.api+json") && of("*/*", "") && of("*/*", "a/b"));
        assert!(!of("application/json", "application/jsonl") && !of("text/*", "context/plain") && !of("text/*", ""));
        assert!(!of("application/*+json", "application/json") && !of("application/*json+json", "application/json"));
        assert!(wants(&["a/b", "*/*"], None) && !wants(&["a/b"], None) && !wants(&[], Some("a/b")));
    }

    #[test]
    fn what_is_no_content_type_is_none() {
        for text in ["", "*", "json", "a/b/c", "a/*/*", "*/json", "a/**", "a/", "/b", "a/b; c=d", "a/b "] {
            assert_eq!(MediaRange::parse(text), None, "{text}");
        }
    }
}
