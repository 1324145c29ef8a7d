//! Patterns as trees, for [`super::automaton`]. Reads what regular expressions of paths are made
//! of: letters, classes, groups, alternatives, repetitions, `^` and `$`.
//!
//! Decides nothing that `regex-lite` decides: it has compiled the pattern before, and is asked
//! which letters a class has. What is rare (`\b`, `\x2f`, flags other than `i`, letters beyond
//! ASCII) has no tree.

use regex_lite::Regex;

/// A set of letters: of ASCII as bits, and of all others together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letters {
    ascii: u128,
    other: bool,
}

impl Letters {
    /// Returns the set of one letter of ASCII, in both cases if `any_case`.
    fn of(letter: char, any_case: bool) -> Option<Letters> {
        let bit = |letter: char| letter.is_ascii().then(|| 1u128.checked_shl(letter.into())).flatten();
        let other_case =
            if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        let both = if any_case { bit(other_case)? } else { 0 };
        Some(Letters { ascii: bit(letter)? | both, other: false })
    }

    /// Returns true if a letter is one of them; every `letter` beyond ASCII counts alike.
    pub(super) fn contain(self, letter: u8) -> bool {
        1u128.checked_shl(letter.into()).map_or(self.other, |bit| self.ascii & bit != 0)
    }
}

/// A pattern, or a part of one. Groups are not in it: they change nothing about what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// One of these letters.
    One(Letters),
    /// The place before the first letter: `^`.
    Start,
    /// The place behind the last letter: `$`.
    End,
    /// All of these, one behind the other.
    Sequence(Vec<Tree>),
    /// One of these.
    Either(Vec<Tree>),
    /// This, so often.
    Repeat {
        of: Box<Tree>,
        least: u32,
        /// `None` for any number.
        most: Option<u32>,
    },
}

/// The letters of classes, as far as they have been asked for: patterns have few between them.
#[derive(Default)]
pub(super) struct Classes(Vec<(String, Letters)>);

impl Classes {
    /// Returns the letters that `class` matches, which `regex-lite` knows. If its text is of ASCII,
    /// it has all other letters or none.
    fn letters(&mut self, class: String) -> Option<Letters> {
        if let Some((_, letters)) = self.0.iter().find(|(known, _)| *known == class) {
            return Some(*letters);
        }
        let every: String = (0..=0x80).map(char::from).collect();
        let regex = Regex::new(&class).ok().filter(|_| class.is_ascii())?;
        let mut letters = Letters { ascii: 0, other: false };
        for found in regex.find_iter(&every) {
            match u32::try_from(found.start()).ok().and_then(|at| 1u128.checked_shl(at)) {
                Some(bit) => letters.ascii |= bit,
                None => letters.other = true,
            }
        }
        self.0.push((class, letters));
        Some(letters)
    }
}

impl Tree {
    /// Reads a valid pattern, without regard to the case of letters if `any_case`. Returns `None`
    /// if there is something in it that is not read here.
    pub(super) fn of(pattern: &str, any_case: bool, classes: &mut Classes) -> Option<Tree> {
        let mut reader = Reader { rest: pattern, any_case, classes };
        let tree = reader.either()?;
        reader.rest.is_empty().then_some(tree)
    }

    /// Returns true if it can match at the start of a path only, as far as its first parts show.
    pub(super) fn is_anchored(&self) -> bool {
        match self {
            Tree::Start => true,
            Tree::Sequence(parts) => parts.first().is_some_and(Tree::is_anchored),
            Tree::Either(parts) => parts.iter().all(Tree::is_anchored),
            Tree::One(_) | Tree::End | Tree::Repeat { .. } => false,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    any_case: bool,
    classes: &'a mut Classes,
}

impl Reader<'_> {
    /// Reads alternatives, up to the end or to a `)`.
    fn either(&mut self) -> Option<Tree> {
        let (mut branches, mut sequence) = (Vec::new(), Vec::new());
        while let Some(first) = self.rest.chars().next().filter(|first| *first != ')') {
            match first {
                '|' => {
                    self.take("|")?;
                    branches.push(Tree::Sequence(std::mem::take(&mut sequence)));
                }
                '(' => sequence.extend(self.group()?),
                '*' | '+' | '?' | '{' => {
                    let of = Box::new(sequence.pop()?);
                    let (least, most) = self.count()?;
                    sequence.push(Tree::Repeat { of, least, most });
                }
                _ => sequence.push(self.one()?),
            }
        }
        if branches.is_empty() {
            return Some(Tree::Sequence(sequence));
        }
        branches.push(Tree::Sequence(sequence));
        Some(Tree::Either(branches))
    }

    /// Reads a group. Flags alone, as in `(?i)`, hold until the group around them ends, and are no
    /// part of it.
    fn group(&mut self) -> Option<Option<Tree>> {
        let outer = self.any_case;
        self.take("(")?;
        if self.take("?i)").is_some() {
            self.any_case = true;
            return Some(None);
        }
        if self.take("?i:").is_some() {
            self.any_case = true;
        } else if self.take("?P<").or_else(|| self.take("?<")).is_some() {
            self.rest = self.rest.split_once('>')?.1;
        } else if self.take("?:").is_none() && self.rest.starts_with('?') {
            return None;
        }
        let tree = self.either()?;
        self.any_case = outer;
        self.take(")")?;
        Some(Some(tree))
    }

    /// Reads how often something is repeated.
    fn count(&mut self) -> Option<(u32, Option<u32>)> {
        let mut rest = self.rest.chars();
        let count = match rest.next()? {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => {
                let (count, after) = rest.as_str().split_once('}')?;
                rest = after.chars();
                let (least, most) = count.split_once(',').unwrap_or((count, count));
                (least.parse().ok()?, if most.is_empty() { None } else { Some(most.parse().ok()?) })
            }
        };
        self.rest = rest.as_str();
        // The shortest match is a match as well.
        let _ = self.take("?");
        Some(count)
    }

    /// Reads one letter, class or place.
    fn one(&mut self) -> Option<Tree> {
        let mut rest = self.rest.chars();
        let letter = match rest.next()? {
            '^' => return self.take("^").map(|()| Tree::Start),
            '$' => return self.take("$").map(|()| Tree::End),
            '.' => None,
            '[' => {
                rest = self.rest.get(class_length(self.rest.as_bytes())?..)?.chars();
                None
            }
            '\\' => match rest.next()? {
                'A' => return self.take("\\A").map(|()| Tree::Start),
                'z' => return self.take("\\z").map(|()| Tree::End),
                'd' | 'D' | 's' | 'S' | 'w' | 'W' => None,
                '<' | '>' => return None,
                escaped if escaped.is_ascii_punctuation() => Some(escaped),
                _ => return None,
            },
            letter => Some(letter),
        };
        let letters = match letter {
            Some(letter) => Letters::of(letter, self.any_case)?,
            None => {
                let flags = if self.any_case { "(?i)" } else { "" };
                self.classes.letters(format!("{flags}{}", self.rest.strip_suffix(rest.as_str())?))?
            }
        };
        self.rest = rest.as_str();
        Some(Tree::One(letters))
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }
}

/// Returns the length of the class that `rest` begins with. One that holds another (`[[:alpha:]]`)
/// is not read.
fn class_length(rest: &[u8]) -> Option<usize> {
    let mut bytes = rest.iter().enumerate().skip(1).peekable();
    bytes.next_if(|(_, byte)| **byte == b'^');
    // At its start, `]` is a letter.
    let mut is_first = true;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b']' if !is_first => return Some(at + 1),
            b'[' => return None,
            b'\\' => {
                bytes.next().filter(|(_, escaped)| !b"xuU".contains(escaped))?;
            }
            _ => {}
        }
        is_first = false;
    }
    None
}
