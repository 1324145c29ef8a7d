//! Values of listed parameters, wherever a text has one: `?token=…`, `;Token=…`, `#token[]=…`, the
//! second URL in a header, a URL in a URL.
//!
//! A text has no structure that every reader agrees on, so that this looks for a pattern: a listed
//! name as a word, an equals sign behind it, and all up to the next separator. Where it is not sure
//! it hides more. One pass over the text for all names.

use std::ops::Range;

use super::decoded::{decode, Unit};

/// Bytes of the name of the next parameter that are looked for behind a character that may separate
/// or belong to the value. Names are shorter.
const MAX_NAME_BYTES: usize = 64;

/// Bytes of the scheme of a URL that are looked at. `https` and the like are shorter.
const MAX_SCHEME_BYTES: usize = 16;

/// More than any depth.
const ANY_DEPTH: u16 = 256;

/// Returns true if a parameter can have this name. What separates parameters, or a name from its
/// value, is in none, and a name that is encoded is never found: texts are decoded before.
pub(crate) fn is_parameter_name(text: &str) -> bool {
    let is_separate = |byte: u8| byte < b' ' || b"=&?#".contains(&byte);
    !text.is_empty() && text.trim_ascii() == text && !text.bytes().any(is_separate) && decode(text).len() == text.len()
}

/// Names of parameters.
#[derive(Debug)]
pub(super) struct Names {
    /// In lower case.
    names: Vec<String>,
    /// True for each byte that a name begins with, which are few: most are looked at once.
    begins: Box<[bool; 256]>,
}

impl Names {
    /// Takes names in lower case.
    pub(super) fn new(names: Vec<String>) -> Names {
        let mut begins = Box::new([false; 256]);
        for byte in names.iter().filter_map(|name| name.as_bytes().first()) {
            for spelling in [*byte, byte.to_ascii_uppercase()] {
                begins.get_mut(usize::from(spelling)).into_iter().for_each(|begins| *begins = true);
            }
        }
        Names { names, begins }
    }

    /// Returns true if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the name that stands at `position` and is not a part of a longer word.
    fn at(&self, units: &[Unit], position: usize, unit: &Unit) -> Option<&String> {
        let may_begin = self.begins.get(usize::from(unit.byte)) == Some(&true);
        may_begin.then(|| self.names.iter().find(|name| is_word_at(units, position, name.as_bytes())))?
    }
}

/// Kinds of texts, by what ends a value in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextKind {
    /// A URL, or a path with its query. Clients send quotes, angle brackets and the like in it as
    /// they are, and to the service they belong to the value.
    Target,
    /// The query of such a target alone, as a form has it.
    Form,
    /// Any text that may have such a target in it, in quotes or brackets or among words.
    Prose,
}

impl TextKind {
    /// Returns the kind of a text by its beginning.
    pub(super) fn of(text: &str) -> TextKind {
        let text = text.as_bytes();
        let scheme = text.iter().take(MAX_SCHEME_BYTES).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let has_scheme = scheme > 0 && text.get(scheme..).is_some_and(|rest| rest.starts_with(b"://"));
        if text.first() == Some(&b'/') || has_scheme {
            TextKind::Target
        } else {
            TextKind::Prose
        }
    }

    /// Returns the kind of a body, which is a form if its content type says so, or if it begins
    /// with a name and what stands behind a name in a form.
    pub(super) fn of_body(text: &str, content_type: Option<&str>) -> TextKind {
        const FORM: &str = "application/x-www-form-urlencoded";
        let says_form = content_type.and_then(|it| it.trim_start().get(..FORM.len()));
        let bytes = text.trim_ascii_start().as_bytes();
        let name = bytes.iter().take_while(|byte| !is_space(**byte) && !b"=&<>\"".contains(byte)).count();
        let is_like_form = name > 0 && matches!(bytes.get(name), Some(b'=' | b'&'));
        match TextKind::of(text) {
            TextKind::Prose if is_like_form || says_form.is_some_and(|it| it.eq_ignore_ascii_case(FORM)) => {
                TextKind::Form
            }
            kind => kind,
        }
    }
}

/// Returns the positions of all values of the parameters `names`.
pub(super) fn values(units: &[Unit], names: &Names, kind: TextKind) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    if names.is_empty() || !units.iter().any(|unit| unit.byte == b'=') {
        return values;
    }
    let mut position = 0;
    // An equals sign that was encoded less often than this ends a name that is listed.
    let mut limit = 0;
    let mut in_brackets = false;
    let mut place = Surroundings { kind, in_query: kind == TextKind::Form, in_list: false };
    while let Some(unit) = units.get(position) {
        if let Some(name) = names.at(units, position, unit) {
            position += name.len();
            (limit, in_brackets) = (ANY_DEPTH, false);
            continue;
        }
        let depth = u16::from(unit.depth);
        match unit.byte {
            b'=' if depth < limit => {
                let start = run(units, position + 1, |unit| is_space(unit.byte) && unit.depth == 0);
                let end = end_of_value(units, start, unit.depth, place);
                values.push(start..end);
                (limit, position) = (0, end);
                continue;
            }
            // `token =`.
            byte if is_space(byte) && limit > 0 => {
                let end = run(units, position, |unit| is_space(unit.byte));
                if !in_brackets && units.get(end).is_none_or(|next| next.byte != b'=') {
                    limit = limit.min(depth);
                }
                place.in_query &= depth > 0 || kind != TextKind::Prose;
                position = end;
                continue;
            }
            b'[' => in_brackets = limit > 0,
            b']' => in_brackets = false,
            b'&' | b'#' | b'=' => limit = limit.min(depth),
            b'?' | b';' | b',' | b'"' | b'<' | b'>' if !in_brackets => limit = limit.min(depth),
            _ => {}
        }
        match unit.byte {
            b'?' | b'#' | b'&' => {
                place.in_query = true;
                place.in_list = false;
            }
            b';' | b',' => place.in_list = true,
            b'"' | b'<' | b'>' | b' ' => place.in_query &= depth > 0 || kind != TextKind::Prose,
            _ => {}
        }
        position += 1;
    }
    values
}

/// Returns true if `name` stands at `position` and is not a part of a longer word.
fn is_word_at(units: &[Unit], position: usize, name: &[u8]) -> bool {
    // In a query a space is written as `+`, too; and PHP reads each of these as `_`.
    let is_another = |byte: u8, of: u8| match of {
        b' ' => byte == b'+',
        b'_' => matches!(byte, b'.' | b' ' | b'+' | b'['),
        _ => false,
    };
    let is_like = |(unit, byte): (&Unit, &u8)| unit.byte.to_ascii_lowercase() == *byte || is_another(unit.byte, *byte);
    let stands = units.get(position..position + name.len()).is_some_and(|units| units.iter().zip(name).all(is_like));
    let joins = |inner: Option<&u8>, outer: Option<&Unit>| {
        inner.is_some_and(|byte| is_of_word(*byte)) && outer.is_some_and(|unit| is_of_word(unit.byte))
    };
    let before = position.checked_sub(1).and_then(|before| units.get(before));
    stands && !joins(name.first(), before) && !joins(name.last(), units.get(position + name.len()))
}

/// The surroundings of a parameter.
#[derive(Clone, Copy)]
struct Surroundings {
    kind: TextKind,
    /// True behind the `?` of a URL.
    in_query: bool,
    /// True if `;` or `,` stands between the parameter and what comes before it.
    in_list: bool,
}

/// Returns the position behind the value that begins at `start`, behind an equals sign of this
/// depth. A separator that was encoded more often belongs to the value.
fn end_of_value(units: &[Unit], start: usize, depth: u8, place: Surroundings) -> usize {
    let is_prose = place.kind == TextKind::Prose;
    let quote = units.get(start).filter(|unit| matches!(unit.byte, b'"' | b'\'') && unit.depth == 0);
    if let Some(quote) = quote.filter(|_| is_prose) {
        return end_of_quoted(units, start + 1, quote.byte);
    }
    // Most services separate the parameters of a query by `&` alone, so that the rest belongs to
    // the value, unless the client has used it as a separator before.
    let may_be_list = !place.in_query || place.in_list;
    let ends = |(position, unit): (usize, &Unit)| match unit.byte {
        _ if unit.depth > depth => false,
        b'&' | b'#' => true,
        // Of an encoded text all of these may be a part.
        b'"' | b'<' | b'>' => is_prose && unit.depth == 0,
        byte if is_space(byte) => is_prose && unit.depth == 0,
        b';' | b',' => may_be_list && is_parameter(units, position + 1, depth),
        b'?' => !place.in_query && is_parameter(units, position + 1, depth),
        _ => false,
    };
    let end = units.iter().enumerate().skip(start).find(|candidate| ends(*candidate));
    end.map_or(units.len(), |(end, _)| end)
}

/// Returns the position behind the `quote` that ends a quoted value.
fn end_of_quoted(units: &[Unit], start: usize, quote: u8) -> usize {
    let mut position = start;
    while let Some(unit) = units.get(position) {
        position += match unit.byte {
            b'\\' => 2,
            byte if byte == quote && unit.depth == 0 => return position + 1,
            _ => 1,
        };
    }
    units.len()
}

/// Returns true if a name, an equals sign and the beginning of a value stand at `start`.
fn is_parameter(units: &[Unit], start: usize, depth: u8) -> bool {
    let separates = |unit: &Unit| {
        unit.depth <= depth && (is_space(unit.byte) || matches!(unit.byte, b'=' | b'&' | b'#' | b';' | b',' | b'?'))
    };
    let ahead = units.get(start..).unwrap_or_default();
    let ahead = ahead.get(..MAX_NAME_BYTES).unwrap_or(ahead);
    let spaces = run(ahead, 0, |unit| is_space(unit.byte));
    let end = run(ahead, spaces, |unit| !separates(unit));
    let is_equals = ahead.get(end).is_some_and(|unit| unit.byte == b'=' && unit.depth <= depth);
    end > spaces && is_equals && ahead.get(end + 1).is_some_and(|unit| !separates(unit))
}

/// Returns the position behind the run from `start` on of units that are as asked for.
fn run(units: &[Unit], start: usize, is_part: impl Fn(&Unit) -> bool) -> usize {
    start + units.iter().skip(start).take_while(|unit| is_part(unit)).count()
}

fn is_space(byte: u8) -> bool {
    byte <= b' '
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || !byte.is_ascii()
}
