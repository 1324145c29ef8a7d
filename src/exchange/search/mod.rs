//! The search of a path for all matchers of a list at once.
//!
//! A client writes the path, and may know the matchers. So the work is bounded by the length of the
//! path alone: it is read once, in an automaton for all patterns, or a few times where they have
//! too many states for one. A path that is too long is not read. What is found is what `regex-lite`
//! finds for each pattern alone, which costs a hundred times as much for each.

mod automaton;
mod builder;
mod graph;
mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use regex_lite::Regex;

use super::matcher::Matcher;
use super::path_of;
use super::plain_text::PlainText;
use automaton::Automaton;
use graph::Graph;
use pattern::{Classes, Tree};

/// Instructions of an automaton for each letter, as `tests/filter/cost.rs` counts them.
const INSTRUCTIONS: usize = 39;

/// Matchers of a list, by their positions: of at most 128, and no list of the configuration may
/// have more than 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathMatches(u128);

impl PathMatches {
    /// Returns true if no matcher is among them.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if the matcher at `position` is among them.
    pub(crate) fn contain(self, position: usize) -> bool {
        self.0 & bit(position) != 0
    }

    /// Iterates over their positions, the first one first.
    pub(crate) fn positions(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (first < u128::BITS).then_some(first as usize)
        })
    }

    /// Returns those of them that `is_wanted`.
    pub(crate) fn only(self, is_wanted: impl Fn(usize) -> bool) -> PathMatches {
        let mut wanted = PathMatches::default();
        self.positions().filter(|position| is_wanted(*position)).for_each(|position| wanted.add(position));
        wanted
    }

    fn add(&mut self, position: usize) {
        self.0 |= bit(position);
    }

    /// Adds others to them.
    pub(crate) fn add_all(&mut self, others: PathMatches) {
        self.0 |= others.0;
    }
}

fn bit(position: usize) -> u128 {
    u32::try_from(position).ok().and_then(|position| 1u128.checked_shl(position)).unwrap_or_default()
}

/// Looks for the matchers of a list in paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathSearch {
    max_path_bytes: usize,
    /// The only matcher, where it is plain text: that is found without looking at every letter.
    text: Option<PlainText>,
    passes: Vec<Automaton>,
    /// Matchers that no automaton can look for.
    alone: Vec<(usize, Regex)>,
}

impl PathSearch {
    /// Prepares the search for matchers in paths of at most `max_path_bytes`, without regard to the
    /// case of letters if `any_case`.
    pub(crate) fn new(matchers: &[&Matcher], max_path_bytes: usize, any_case: bool) -> PathSearch {
        let mut search = PathSearch { max_path_bytes, text: None, passes: Vec::new(), alone: Vec::new() };
        if let ([matcher], false) = (matchers, any_case) {
            search.text = matcher.plain_text().map(PlainText::new);
            if search.text.is_some() {
                return search;
            }
        }
        let (mut trees, mut classes) = (Vec::new(), Classes::default());
        for (position, matcher) in matchers.iter().enumerate() {
            match Tree::of(matcher.pattern(), any_case, &mut classes) {
                Some(tree) => trees.push((position, tree)),
                None => search.alone.push((position, matcher.regex(any_case))),
            }
        }
        let trees = trees.iter().map(|(position, tree)| (*position, tree));
        let (mut trees, others): (Vec<(usize, &Tree)>, Vec<_>) = trees.partition(|(_, tree)| tree.is_anchored());
        trees.extend(others);
        let mut too_large = Vec::new();
        if !trees.is_empty() {
            add_passes(&trees, &mut search.passes, &mut too_large);
        }
        let regex = |position: usize| Some((position, matchers.get(position)?.regex(any_case)));
        search.alone.extend(too_large.into_iter().filter_map(regex));
        search
    }

    /// Returns true if nothing is found in `target`, as far as that shows in a few instructions:
    /// most targets do not have the text of a single matcher, so that the end of their path is not
    /// looked for.
    #[inline]
    pub(crate) fn finds_nothing(&self, target: &[u8]) -> bool {
        let text = self.text.as_ref().filter(|_| target.len() <= self.max_path_bytes);
        text.is_some_and(|text| !text.is_in(target))
    }

    /// Returns the matchers that are found in the path of `target`, in which a query string does
    /// not count. Returns `None` if the path is too long to be looked at.
    #[inline(never)]
    pub(crate) fn find(&self, target: &[u8]) -> Option<PathMatches> {
        let target = self.bounded(target)?;
        if let Some(text) = &self.text {
            return Some(PathMatches(text.is_in(path_of(target)).into()));
        }
        let mut found = PathMatches::default();
        let letters = if target.is_ascii() { Cow::Borrowed(target) } else { Cow::Owned(letters(target)) };
        self.passes.iter().for_each(|pass| found.add_all(pass.search(&letters)));
        if !self.alone.is_empty() {
            let path = String::from_utf8_lossy(path_of(target));
            let matching = self.alone.iter().filter(|(_, regex)| regex.is_match(&path));
            matching.for_each(|(position, _)| found.add(*position));
        }
        Some(found)
    }

    /// Returns the path of `target`, or what begins with it, without looking further than a path
    /// may be long. Returns `None` if the path is longer.
    #[inline]
    pub(crate) fn bounded<'t>(&self, target: &'t [u8]) -> Option<&'t [u8]> {
        match target.get(..=self.max_path_bytes) {
            None => Some(target),
            Some(begin) => Some(path_of(begin)).filter(|path| path.len() <= self.max_path_bytes),
        }
    }

    /// Returns about how many instructions the longest path takes, beside matchers that are looked
    /// for alone.
    pub(crate) fn most_instructions(&self) -> usize {
        self.passes.len() * self.max_path_bytes * INSTRUCTIONS
    }

    /// Returns the matchers for each of which `regex-lite` reads the path.
    pub(crate) fn alone(&self) -> PathMatches {
        let mut alone = PathMatches::default();
        self.alone.iter().for_each(|(position, _)| alone.add(*position));
        alone
    }
}

/// Returns a byte for each letter, as `String::from_utf8_lossy` counts them; one of 128 and more
/// for each that is not of ASCII.
fn letters(path: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(path).chars().map(|letter| u8::try_from(letter).unwrap_or(u8::MAX)).collect()
}

/// Builds automata for patterns: one, if it is not too large, or a few. A pattern that is too large
/// by itself goes to `too_large`.
fn add_passes(trees: &[(usize, &Tree)], passes: &mut Vec<Automaton>, too_large: &mut Vec<usize>) {
    if let Some(automaton) = Graph::of(trees).and_then(|graph| builder::build(&graph, trees.len())) {
        return passes.push(automaton);
    }
    if let [(position, _)] = trees {
        return too_large.push(*position);
    }
    // Patterns that match at the start only have few states. Each of the others may double their
    // number.
    let anchored = trees.iter().filter(|(_, tree)| tree.is_anchored()).count();
    let (first, rest) = trees.split_at_checked(anchored).unwrap_or((trees, &[]));
    let parts = if first.is_empty() || rest.is_empty() { 3 } else { 1 };
    for some in [first, rest].into_iter().flat_map(|part| part.chunks(part.len().div_ceil(parts).max(1))) {
        add_passes(some, passes, too_large);
    }
}
