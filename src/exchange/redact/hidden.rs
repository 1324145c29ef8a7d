//! The parts of a text that are not shown.

use std::borrow::Cow;
use std::ops::Range;

use super::REDACTED;

/// Parts of a text that are not shown: in order, apart from each other, and none of them empty.
#[derive(Debug, Default)]
pub(super) struct Hidden(Vec<Range<usize>>);

impl Hidden {
    /// Hides `parts` of a text of `length` bytes. They may overlap, and have any order.
    pub(super) fn new(length: usize, parts: &[Range<usize>]) -> Hidden {
        if parts.is_empty() {
            return Hidden::default();
        }
        // Counted instead of sorted: a client has a say in how many there are.
        let mut begun_and_ended = vec![0i32; length + 1];
        for part in parts.iter().filter(|part| part.start < part.end && part.end <= length) {
            for (offset, change) in [(part.start, 1), (part.end, -1)] {
                if let Some(count) = begun_and_ended.get_mut(offset) {
                    *count += change;
                }
            }
        }
        let mut hidden: Vec<Range<usize>> = Vec::new();
        let mut open = 0;
        for (offset, change) in begun_and_ended.into_iter().enumerate().filter(|(_, change)| *change != 0) {
            match hidden.last_mut() {
                Some(last) if open > 0 => last.end = offset,
                Some(last) if last.end == offset => {}
                _ => hidden.push(offset..offset),
            }
            open += change;
        }
        Hidden(hidden)
    }

    /// Returns true if everything is shown.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `part` of `text`, with [`REDACTED`] for all of it that is not shown.
    pub(super) fn show<'a>(&self, text: &'a str, part: Range<usize>) -> Cow<'a, str> {
        let mut inside = self.0.iter().filter(|hidden| hidden.start < part.end && part.start < hidden.end).peekable();
        if inside.peek().is_none() {
            return Cow::Borrowed(text.get(part).unwrap_or_default());
        }
        let mut shown = String::with_capacity(part.len());
        let mut start = part.start;
        for hidden in inside {
            shown.push_str(text.get(start..hidden.start).unwrap_or_default());
            shown.push_str(REDACTED);
            start = hidden.end;
        }
        shown.push_str(text.get(start..part.end).unwrap_or_default());
        Cow::Owned(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_so_in_the_whole_and_in_every_part() {
        let hidden = Hidden::new(10, &[6..8, 1..3, 2..4, 4..5, 9..9, 1..2]);
        let show = |part| hidden.show("0123456789", part);
        assert_eq!(show(0..10), "0REDACTED5REDACTED89");
        assert_eq!(show(2..7), "REDACTED5REDACTED");
        assert_eq!((show(5..6), show(8..10), show(1..1)), ("5".into(), "89".into(), "".into()));
        assert!(!hidden.is_empty() && Hidden::new(9, &[3..3, 4..4]).is_empty());
    }
}
