//! The making of an automaton from patterns: state by state, each of which is the set of places
//! that a match may have come to in all of them. It gives up on one that would be too large.

use super::automaton::{Automaton, Verdict, STOP};
use super::graph::{Edges, Graph, Reached};
use super::pattern::Letters;
use super::PathMatches;

/// Entries that the table of an automaton may have: 256 KB. A hundred routes, each of whose paths
/// has some words of its own, need half of them.
const MAX_ENTRIES: usize = 131_072;

/// Places that may be looked at while an automaton is built, for each of its patterns: patterns
/// that share no states need a few hundred. It bounds the start of a filter, whatever is
/// configured.
const WORK: usize = 1_500;

/// The kind of the letter that ends a path: nothing of the query is looked at.
const QUERY: u8 = 0;

/// The state in which no match has begun.
const IDLE: u16 = 0;

/// Builds the automaton of a graph of so many patterns. Returns `None` if it would be too large.
pub(super) fn build(graph: &Graph, patterns: usize) -> Option<Automaton> {
    let (mut builder, mut work) = (Builder::new(graph), WORK * patterns);
    let start = builder.begin(&mut work)?;
    // What leads to a state is known before what leads on from it.
    let mut current = 0;
    while let Some(state) = builder.states.get(current) {
        let ways = builder.ways(state, &mut work)?;
        builder.add_row(ways)?;
        current += 1;
    }
    Some(builder.conclude(start))
}

struct Builder<'g> {
    graph: &'g Graph,
    /// The kind of each letter.
    kinds: Box<[u8; 256]>,
    /// How many kinds there are.
    width: usize,
    /// Where each node leads with a letter of each kind.
    ways: Vec<(Vec<usize>, Reached)>,
    /// What a match reaches that begins behind any letter. It is in every state.
    restart: Reached,
    /// The patterns that match if the path ends where no match has begun.
    restart_ends: PathMatches,
    /// Where [`Builder::restart`] leads, by kind.
    restarted: Vec<Reached>,
    /// The states, without what is in every one.
    states: Vec<Reached>,
    verdicts: Vec<Verdict>,
    /// The numbers of the states that can be come to, in the order of what is in them.
    sorted: Vec<u16>,
    next: Vec<u16>,
}

impl<'g> Builder<'g> {
    fn new(graph: &'g Graph) -> Builder<'g> {
        let (kinds, samples) = kinds(&graph.sets);
        let kinds_of = |set: usize| {
            let has = |letter: u8| graph.sets.get(set).is_some_and(|set| set.contain(letter));
            let found =
                samples.iter().enumerate().filter(|(kind, letter)| *kind != usize::from(QUERY) && has(**letter));
            found.map(|(kind, _)| kind).collect::<Vec<usize>>()
        };
        let ways = graph.ways().map(|(set, reached)| (set.map(kinds_of).unwrap_or_default(), reached));
        Builder {
            graph,
            kinds,
            width: samples.len(),
            ways: ways.collect(),
            restart: graph.begin(Edges::default()),
            restart_ends: graph.begin(Edges { start: false, end: true }).matches,
            restarted: vec![Reached::default(); samples.len()],
            states: Vec::new(),
            verdicts: Vec::new(),
            sorted: Vec::new(),
            next: Vec::new(),
        }
    }

    /// Makes the state in which no match has begun, and the one before the first letter. Returns
    /// the latter.
    fn begin(&mut self, work: &mut usize) -> Option<u16> {
        let restart = std::mem::take(&mut self.restart);
        for (kind, reached) in self.ways(&restart, work)?.into_iter().enumerate() {
            if let (Some(restarted), Some(reached)) = (self.restarted.get_mut(kind), reached) {
                *restarted = reached;
            }
        }
        self.restart = restart;
        self.state(Reached::default())?;
        let mut start = self.graph.begin(Edges { start: true, end: false });
        let verdict =
            Verdict { here: start.matches, at_end: self.graph.begin(Edges { start: true, end: true }).matches };
        self.leave_out_restart(&mut start);
        // No other state is like it: the path may be at its start and its end at once.
        self.add(start, verdict)
    }

    /// Returns where a state leads with a letter of each kind, as far as something leads on.
    fn ways(&self, state: &Reached, work: &mut usize) -> Option<Vec<Option<Reached>>> {
        let mut ways = vec![None; self.width];
        for node in &state.nodes {
            let Some((kinds, reached)) = self.ways.get(usize::from(*node)) else { continue };
            for kind in kinds {
                if let (Some(way), Some(restarted)) = (ways.get_mut(*kind), self.restarted.get(*kind)) {
                    let places = reached.nodes.len() + if way.is_none() { restarted.nodes.len() } else { 0 };
                    *work = work.checked_sub(places + 1)?;
                    way.get_or_insert_with(|| restarted.clone()).add(reached);
                }
            }
        }
        Some(ways)
    }

    /// Adds the entries of the next state.
    fn add_row(&mut self, ways: Vec<Option<Reached>>) -> Option<()> {
        for (kind, reached) in ways.into_iter().enumerate() {
            let state = match reached {
                _ if kind == usize::from(QUERY) => STOP,
                Some(reached) => self.state(reached)?,
                // As from the state in which no match has begun, whose entries are the first.
                None => match self.next.get(kind) {
                    Some(state) => *state,
                    None => self.state(self.restarted.get(kind)?.clone())?,
                },
            };
            self.next.push(state);
        }
        Some(())
    }

    /// Returns the state that has come to these places.
    fn state(&mut self, mut reached: Reached) -> Option<u16> {
        self.leave_out_restart(&mut reached);
        // What has matched is not followed further.
        let (graph, matches) = (self.graph, reached.matches);
        reached.nodes.retain(|node| !matches.contain(graph.owner(*node)));
        let states = &self.states;
        let position = self.sorted.binary_search_by(|state| states.get(usize::from(*state)).cmp(&Some(&reached)));
        match position {
            Ok(known) => self.sorted.get(known).copied(),
            Err(position) => {
                let at_end = Edges { start: false, end: true };
                let mut here = reached.matches;
                here.add_all(self.restart.matches);
                let mut ends = self.graph.follow(&reached.nodes, at_end).matches;
                ends.add_all(self.restart_ends);
                let state = self.add(reached, Verdict { here, at_end: ends })?;
                self.sorted.insert(position, state);
                Some(state)
            }
        }
    }

    fn leave_out_restart(&self, reached: &mut Reached) {
        reached.nodes.retain(|node| self.restart.nodes.binary_search(node).is_err());
    }

    fn add(&mut self, reached: Reached, verdict: Verdict) -> Option<u16> {
        let state = u16::try_from(self.states.len()).ok().filter(|state| *state < STOP)?;
        self.states.push(reached);
        self.verdicts.push(verdict);
        (self.states.len() * self.width <= MAX_ENTRIES).then_some(state)
    }

    /// Numbers the states so that those that tell something while a path is read are the last.
    fn conclude(self, start: u16) -> Automaton {
        let gives_up = self.restart.nodes.is_empty();
        let tells = |state: u16| {
            let verdict = self.verdicts.get(usize::from(state));
            (gives_up && state == IDLE) || verdict.is_some_and(|verdict| !verdict.here.is_empty())
        };
        let states = 0..u16::try_from(self.states.len()).unwrap_or(STOP);
        let (mut order, telling): (Vec<u16>, Vec<u16>) = states.partition(|state| !tells(*state));
        let first_telling = u16::try_from(order.len()).unwrap_or(STOP);
        order.extend(telling);
        let mut numbers = vec![STOP; order.len()];
        for (number, state) in (0..STOP).zip(&order) {
            if let Some(entry) = numbers.get_mut(usize::from(*state)) {
                *entry = number;
            }
        }
        let number = |state: u16| numbers.get(usize::from(state)).copied().unwrap_or(STOP);
        let row = |state: &u16| {
            let begin = usize::from(*state) * self.width;
            self.next.get(begin..begin + self.width).unwrap_or_default().iter().map(|next| number(*next))
        };
        let verdict = |state: &u16| self.verdicts.get(usize::from(*state)).copied().unwrap_or_default();
        Automaton {
            next: order.iter().flat_map(row).collect(),
            verdicts: order.iter().map(verdict).collect(),
            start: number(start),
            dead: if gives_up { number(IDLE) } else { STOP },
            first_telling,
            width: self.width,
            kinds: self.kinds,
        }
    }
}

/// Returns the kind of each letter, and a letter of each kind. Letters of one kind are alike to
/// every set.
fn kinds(sets: &[Letters]) -> (Box<[u8; 256]>, Vec<u8>) {
    let (mut kinds, mut samples) = (Box::new([QUERY; 256]), vec![b'?']);
    for letter in (0..=0x80).filter(|letter| *letter != b'?') {
        let alike = |sample: &u8| *sample != b'?' && sets.iter().all(|set| set.contain(*sample) == set.contain(letter));
        let kind = samples.iter().position(alike).unwrap_or_else(|| {
            samples.push(letter);
            samples.len() - 1
        });
        let bytes = if letter == 0x80 { 0x80..=0xff } else { letter..=letter };
        for byte in bytes {
            if let (Some(entry), Ok(kind)) = (kinds.get_mut(usize::from(byte)), u8::try_from(kind)) {
                *entry = kind;
            }
        }
    }
    (kinds, samples)
}
