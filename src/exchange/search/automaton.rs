//! Automata that look for many patterns at once: a step for each letter of a path, however many
//! patterns there are, and whatever a client sends.

use super::PathMatches;

/// The entry of the letter that ends a path.
pub(super) const STOP: u16 = u16::MAX;

/// The patterns that match where a state is come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Those that match whatever follows.
    pub(super) here: PathMatches,
    /// Those that match if the path ends here.
    pub(super) at_end: PathMatches,
}

/// A table of states.
#[derive(Clone, Debug)]
pub(super) struct Automaton {
    /// The kind of each letter, by its byte.
    pub(super) kinds: Box<[u8; 256]>,
    /// How many kinds there are.
    pub(super) width: usize,
    /// The next state, by state and kind.
    pub(super) next: Vec<u16>,
    /// What each state tells.
    pub(super) verdicts: Vec<Verdict>,
    /// The state before the first letter.
    pub(super) start: u16,
    /// The state from which nothing matches any more, if there is one.
    pub(super) dead: u16,
    /// The first of the states that tell something while a path is read.
    pub(super) first_telling: u16,
}

impl Automaton {
    /// Returns the patterns that match the path at the beginning of `letters`, which ends at a `?`.
    /// All letters beyond ASCII count alike.
    pub(super) fn search(&self, letters: &[u8]) -> PathMatches {
        let mut state = self.start;
        let mut found = self.verdict(state).here;
        for letter in letters {
            let kind = self.kinds.get(usize::from(*letter)).copied().unwrap_or_default();
            let entry = usize::from(state) * self.width + usize::from(kind);
            let next = self.next.get(entry).copied().unwrap_or(STOP);
            if next >= self.first_telling {
                if next == STOP {
                    break;
                }
                found.add_all(self.verdict(next).here);
                if next == self.dead {
                    return found;
                }
            }
            state = next;
        }
        found.add_all(self.verdict(state).at_end);
        found
    }

    fn verdict(&self, state: u16) -> Verdict {
        self.verdicts.get(usize::from(state)).copied().unwrap_or_default()
    }
}
