//! The places that a match may come to in many patterns, and the ways between them. Follows them as
//! far as they lead without a letter; the letters are [`super::builder`]'s.

use super::pattern::{Letters, Tree};
use super::PathMatches;

/// Nodes that the patterns of a graph may have together: enough for a hundred patterns of eighty
/// letters.
const MAX_NODES: usize = 8_192;

/// The number of a node.
pub(super) type NodeId = u16;

/// A place in a pattern.
#[derive(Clone, Debug)]
enum GraphNode {
    /// Goes on with one of the letters of the set at this position.
    One(usize, NodeId),
    /// Goes on at the start of the path.
    Start(NodeId),
    /// Goes on at the end of the path.
    End(NodeId),
    /// Goes on in each of these ways.
    Split(Vec<NodeId>),
    /// The pattern of this position matches.
    Match(usize),
}

/// The edges of a path that a place may be at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edges {
    pub(super) start: bool,
    pub(super) end: bool,
}

/// Places that letters lead to, and what that says.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reached {
    /// Places before a letter or the end of the path, in order.
    pub(super) nodes: Vec<NodeId>,
    /// The patterns that have matched.
    pub(super) matches: PathMatches,
}

impl Reached {
    /// Adds what is reached, too.
    pub(super) fn add(&mut self, others: &Reached) {
        others.nodes.iter().for_each(|node| insert(&mut self.nodes, *node));
        self.matches.add_all(others.matches);
    }
}

/// Adds a node to others that are in order. There are few of them.
fn insert(nodes: &mut Vec<NodeId>, node: NodeId) {
    if let Err(position) = nodes.binary_search(&node) {
        nodes.insert(position, node);
    }
}

/// The places of patterns.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<GraphNode>,
    /// The position of the pattern of each node.
    owners: Vec<usize>,
    /// The first node of each pattern.
    entries: Vec<NodeId>,
    /// The sets of letters that lead from a place to the next.
    pub(super) sets: Vec<Letters>,
}

impl Graph {
    /// Makes the graph of patterns, each with its position among all. Returns `None` if it is too
    /// large.
    pub(super) fn of(patterns: &[(usize, &Tree)]) -> Option<Graph> {
        let mut graph = Graph::default();
        for (position, tree) in patterns {
            let end = graph.push(GraphNode::Match(*position))?;
            let entry = graph.add(tree, end)?;
            graph.owners.resize(graph.nodes.len(), *position);
            graph.entries.push(entry);
        }
        Some(graph)
    }

    fn push(&mut self, node: GraphNode) -> Option<NodeId> {
        let id = NodeId::try_from(self.nodes.len()).ok().filter(|id| usize::from(*id) < MAX_NODES)?;
        self.nodes.push(node);
        Some(id)
    }

    /// Adds what leads through `tree` to `next`. Returns its first node.
    fn add(&mut self, tree: &Tree, next: NodeId) -> Option<NodeId> {
        match tree {
            Tree::One(letters) => {
                let known = self.sets.iter().position(|set| set == letters);
                let set = known.unwrap_or_else(|| {
                    self.sets.push(*letters);
                    self.sets.len() - 1
                });
                self.push(GraphNode::One(set, next))
            }
            Tree::Start => self.push(GraphNode::Start(next)),
            Tree::End => self.push(GraphNode::End(next)),
            Tree::Sequence(parts) => parts.iter().rev().try_fold(next, |next, part| self.add(part, next)),
            Tree::Either(parts) => {
                let ways: Option<Vec<NodeId>> = parts.iter().map(|part| self.add(part, next)).collect();
                self.push(GraphNode::Split(ways?))
            }
            Tree::Repeat { of, least, most } => {
                let rest = match most {
                    Some(most) => (*least..*most).try_fold(next, |first, _| {
                        let once = self.add(of, first)?;
                        self.push(GraphNode::Split(vec![next, once]))
                    })?,
                    None => {
                        let first = self.push(GraphNode::Split(vec![next]))?;
                        let again = self.add(of, first)?;
                        if let Some(GraphNode::Split(ways)) = self.nodes.get_mut(usize::from(first)) {
                            ways.push(again);
                        }
                        first
                    }
                };
                (0..*least).try_fold(rest, |next, _| self.add(of, next))
            }
        }
    }

    /// Returns what matches that begin at these edges of a path have reached before their first
    /// letter.
    pub(super) fn begin(&self, edges: Edges) -> Reached {
        self.follow(&self.entries, edges)
    }

    /// Returns where these nodes lead without a letter.
    pub(super) fn follow(&self, nodes: &[NodeId], edges: Edges) -> Reached {
        let (mut reached, mut seen, mut open) = (Reached::default(), Vec::new(), nodes.to_vec());
        while let Some(id) = open.pop() {
            match self.nodes.get(usize::from(id)) {
                Some(GraphNode::Split(ways)) if !seen.contains(&id) => {
                    seen.push(id);
                    open.extend(ways);
                }
                Some(GraphNode::Start(next)) if edges.start => open.push(*next),
                Some(GraphNode::End(next)) if edges.end => open.push(*next),
                Some(GraphNode::One(..) | GraphNode::End(_)) => insert(&mut reached.nodes, id),
                Some(GraphNode::Match(position)) => reached.matches.add(*position),
                Some(GraphNode::Split(_) | GraphNode::Start(_)) | None => {}
            }
        }
        reached
    }

    /// Iterates over the nodes: the set of the letters that lead on from each, and where they lead.
    pub(super) fn ways(&self) -> impl Iterator<Item = (Option<usize>, Reached)> + '_ {
        self.nodes.iter().map(|node| match node {
            GraphNode::One(set, next) => (Some(*set), self.follow(&[*next], Edges::default())),
            GraphNode::Start(_) | GraphNode::End(_) | GraphNode::Split(_) | GraphNode::Match(_) => {
                (None, Reached::default())
            }
        })
    }

    /// Returns the position of the pattern that a node belongs to.
    pub(super) fn owner(&self, id: NodeId) -> usize {
        self.owners.get(usize::from(id)).copied().unwrap_or_default()
    }
}
