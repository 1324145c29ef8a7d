//! Looks for a text in a text or in a list, in one place of the module: the searcher of the standard
//! library is inlined wherever it is called, and is 300 bytes there. Never knows what a text means.

/// Returns the offset at which `part` first stands in `text`.
#[inline(never)]
pub(crate) fn find(text: &str, part: &str) -> Option<usize> {
    text.find(part)
}

/// Returns true if `part` stands in `text`.
pub(crate) fn contains(text: &str, part: &str) -> bool {
    find(text, part).is_some()
}

/// Returns true if one of `parts` stands in `text`.
#[inline(never)]
pub(crate) fn contains_any(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| contains(text, part))
}

/// Returns what stands before and behind the first `separator` in `text`.
#[inline(never)]
pub(crate) fn split_once<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// Returns true if `name` is one of `names`. Inlined, a comparison with each name of a constant
/// list is code of its own.
#[inline(never)]
pub(crate) fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_the_standard_library_finds(text in "[abé]{0,12}", part in "[abé]{0,3}") {
            prop_assert_eq!(find(&text, &part), text.find(&part));
            prop_assert_eq!(split_once(&text, &part), text.split_once(&part));
            prop_assert_eq!(contains_any(&text, &["c", &part]), text.contains(&part));
        }
    }

    #[test]
    fn a_name_is_whole() {
        assert!(is_one_of("ab", &["a", "ab"]) && !is_one_of("b", &["a", "ab"]));
    }
}
