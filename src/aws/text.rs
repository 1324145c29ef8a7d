//! Makes texts that come from requests fit for SNS and SQS, which take the same characters.
//!
//! One refused text would cost the whole event, so what does not fit is replaced, never refused. A
//! text that fits comes back as it is, without a copy.

/// Characters that a subject may have: 99.
///
/// SNS API Reference, action Publish, parameter Subject: "less than 100 characters long".
pub(crate) const MAX_SUBJECT_CHARS: usize = 99;

/// Characters that a message group id or a deduplication id may have: 128.
///
/// SNS API Reference, action Publish, and SQS API Reference, action SendMessage, parameters
/// MessageGroupId and MessageDeduplicationId.
pub(crate) const MAX_GROUP_ID_CHARS: usize = 128;

/// Makes a text a subject that SNS takes, or returns `None` if nothing is left of it.
///
/// A subject is of printable ASCII without white space at either end, and has at most
/// [`MAX_SUBJECT_CHARS`] characters. Line breaks and control characters become a space, any other
/// character becomes `?`. The API Reference (Publish, Subject) allows UTF-8 by now, but asked for
/// ASCII for years, and emulators still do: a subject is a headline for mail, not worth an event.
pub(crate) fn subject(text: String) -> Option<String> {
    let fits = text.len() <= MAX_SUBJECT_CHARS
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && text.trim_ascii().len() == text.len();
    let text = if fits {
        text
    } else {
        let printable = |c: char| match c {
            c if c.is_ascii_graphic() => c,
            c if c.is_whitespace() || c.is_control() => ' ',
            _ => '?',
        };
        let spaced: String = text.chars().map(printable).skip_while(|c| *c == ' ').take(MAX_SUBJECT_CHARS).collect();
        spaced.trim_ascii_end().to_owned()
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Makes a text a message group id that SNS and SQS take, or returns `None` if it is empty.
///
/// A group id has at most [`MAX_GROUP_ID_CHARS`] ASCII letters, digits and punctuation marks. Any
/// other character becomes `_`, and a longer text is cut. Two groups may so become one: their order
/// is then kept more strictly than asked for, never less.
pub(crate) fn group_id(text: String) -> Option<String> {
    let fits = text.len() <= MAX_GROUP_ID_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = if fits {
        text
    } else {
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(MAX_GROUP_ID_CHARS).collect()
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Makes a text the value of an attribute of type String, or returns `None` if it is empty: SNS and
/// SQS refuse empty values (API Reference, MessageAttributeValue), so such an attribute has to be
/// left out.
///
/// Tabs and line breaks become spaces. SNS takes them and drops the message without a word wherever
/// a subscription has a filter policy, whatever that asks for: it reads the value as JSON, which has
/// no such characters (SNS Developer Guide, "Amazon SNS message attributes").
pub(crate) fn attribute_value(text: String) -> Option<String> {
    // Most are plain.
    if !text.is_empty() && text.bytes().fold(true, |all, byte| all & matches!(byte, b' '..=b'~')) {
        return Some(text);
    }
    let text = carried(text);
    let is_break = |c: char| matches!(c, '\t' | '\n' | '\r');
    let text = if text.contains(is_break) { text.replace(is_break, " ") } else { text };
    Some(text).filter(|text| !text.is_empty())
}

/// Makes a list, written in JSON, the value of an attribute; JSON has its control characters
/// escaped.
pub(crate) fn attribute_list(json: String) -> String {
    carried(json)
}

/// Makes a JSON text a message. JSON has its control characters escaped already, so there is
/// nothing to look for in one of ASCII alone.
pub(crate) fn message(json: String) -> String {
    // Many bytes at once; `is_ascii` looks at four.
    if json.bytes().fold(0, |all, byte| all | byte).is_ascii() {
        return json;
    }
    carried(json)
}

/// Replaces all characters that XML 1.0 does not have by U+FFFD.
///
/// It has #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, and #x10000 to #x10FFFF (SQS API
/// Reference, SendMessage, MessageBody). SNS restricts attribute values as it does messages.
fn carried(text: String) -> String {
    if text.chars().all(is_carried) {
        return text;
    }
    text.chars().map(|c| if is_carried(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn is_carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_subject_is_one_line_of_ascii() {
        let subject = |text: &str| subject(text.to_owned());
        assert_eq!(subject("Profile 42 updated!").unwrap(), "Profile 42 updated!");
        assert_eq!(subject("\n  a\tb\r\nc \u{7f}").unwrap(), "a b  c");
        assert_eq!(subject("Größe 日本").unwrap(), "Gr??e ??");
        assert_eq!(subject(&"x".repeat(100)).unwrap().len(), 99);
        assert_eq!(subject(""), None);
        assert_eq!(subject(" \r\n\u{a0}\0"), None);
    }

    #[test]
    fn a_group_id_is_ascii_without_spaces() {
        let group_id = |text: &str| group_id(text.to_owned());
        assert_eq!(group_id("tenant/42:~!").unwrap(), "tenant/42:~!");
        assert_eq!(group_id("a b\né").unwrap(), "a_b__");
        assert_eq!(group_id(&"é".repeat(200)).unwrap(), "_".repeat(128));
        assert_eq!(group_id(""), None);
    }

    #[test]
    fn what_sqs_does_not_carry_is_replaced() {
        let value = |text: &str| attribute_value(text.to_owned());
        assert_eq!(value("a \u{7f}\u{D7FF}\u{E000}\u{FFFD}😀").unwrap(), "a \u{7f}\u{D7FF}\u{E000}\u{FFFD}😀");
        assert_eq!(value("a\tb\r\nc").unwrap(), "a b  c");
        assert_eq!(value("a\0b\u{1b}c\u{FFFE}d\u{FFFF}").unwrap(), "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}");
        assert_eq!(value(""), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_in_what_goes_out_fits(text in any::<String>()) {
            if let Some(subject) = subject(text.clone()) {
                prop_assert!((1..=MAX_SUBJECT_CHARS).contains(&subject.len()));
                prop_assert!(subject.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
                prop_assert!(!subject.starts_with(' '));
            }
            if let Some(group) = group_id(text.clone()) {
                prop_assert!((1..=MAX_GROUP_ID_CHARS).contains(&group.len()));
                prop_assert!(group.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            if let Some(value) = attribute_value(text.clone()) {
                prop_assert!(!value.is_empty() && value.chars().all(|c| is_carried(c) && c >= ' '));
                prop_assert_eq!(value.chars().count(), text.chars().count());
            }
            prop_assert!(message(text).chars().all(is_carried));
        }
    }
}
