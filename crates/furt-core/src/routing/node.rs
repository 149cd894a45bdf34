//! The trie of one host's patterns: a node a prefix, a step down a segment.
//!
//! A node's depth is the number of its segment in the path and it has one parent, so a walk sees each node at most once, however the
//! patterns are chosen: it costs at most the nodes that the path matches. With 16 segments and four `*` before the last
//! these are some 9,400, whatever strangers register. Recursion goes no deeper than a pattern's 16 segments, however
//! long the path. Clones share all nodes; a change copies the nodes on its way. Caller: `table`.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::children::{Children, TrieNode};
use super::leaf::Leaf;
use super::route::Route;
use crate::model::{MAX_SEGMENTS, MethodRule, Pattern, Segment};

#[derive(Clone, Default)]
pub(super) struct Node {
    literals: Children<Node>,
    /// Below a `*` that is not the last segment.
    one: Option<Arc<Node>>,
    /// Patterns that end here.
    exact: Leaf,
    /// Patterns whose last segment is a `*` after this node.
    rest: Leaf,
}

impl TrieNode for Node {
    fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.one.is_none() && self.exact.is_empty() && self.rest.is_empty()
    }
}

impl Node {
    /// Shows `visit` the leaf of each pattern that matches the path, the most specific first, until it breaks.
    pub(super) fn walk<'a, B>(
        &'a self,
        path: &mut Path<'_>,
        visit: &mut impl FnMut(&'a Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.walk_from(path, 0, Some(0), visit)
    }

    /// `depth` is this node's; `start` is where the path's segment of that number begins, `None` beyond the last.
    fn walk_from<'a, B>(
        &'a self,
        path: &mut Path<'_>,
        depth: usize,
        start: Option<usize>,
        visit: &mut impl FnMut(&'a Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (mut node, mut depth, mut start) = (self, depth, start);
        while let Some(at) = start {
            let (segment, next) = path.segment(depth, at);
            depth += 1;
            start = next;
            let literal = node.literals.get(segment);
            let (one, rest) = match segment {
                [] => (None, None),
                _ => (node.one.as_deref(), Some(&node.rest).filter(|rest| !rest.is_empty())),
            };
            // Recurses only where there is something to come back to.
            node = match (literal, one, rest) {
                (Some(only), None, None) | (None, Some(only), None) => only,
                (literal, one, rest) => {
                    for child in [literal, one].into_iter().flatten() {
                        child.walk_from(path, depth, next, visit)?;
                    }
                    return rest.map_or(ControlFlow::Continue(()), visit);
                }
            };
        }
        if node.exact.is_empty() { ControlFlow::Continue(()) } else { visit(&node.exact) }
    }

    /// The leaf of exactly this pattern, which may be empty.
    pub(super) fn leaf(&self, pattern: &Pattern) -> Option<&Leaf> {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.get(text.as_bytes())?,
                Segment::One => node.one.as_deref()?,
                Segment::Rest => return Some(&node.rest),
            };
        }
        Some(&node.exact)
    }

    /// The leaf of exactly this pattern, which comes to be with all nodes above it.
    pub(super) fn leaf_mut(&mut self, pattern: &Pattern) -> &mut Leaf {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.get_or_insert(text.as_bytes()),
                Segment::One => Arc::make_mut(node.one.get_or_insert_default()),
                Segment::Rest => return &mut node.rest,
            };
        }
        &mut node.exact
    }

    /// Takes a route out, and the nodes that only led to it.
    pub(super) fn remove(&mut self, pattern: &Pattern, method: &MethodRule) -> Option<Arc<Route>> {
        self.remove_below(&mut pattern.segments(), method)
    }

    fn remove_below<'p>(
        &mut self,
        segments: &mut dyn Iterator<Item = Segment<'p>>,
        method: &MethodRule,
    ) -> Option<Arc<Route>> {
        match segments.next() {
            None => self.exact.remove(method),
            Some(Segment::Rest) => self.rest.remove(method),
            Some(Segment::Literal(text)) => {
                self.literals.update(text.as_bytes(), |child| child.remove_below(segments, method))?
            }
            Some(Segment::One) => {
                let child = Arc::make_mut(self.one.as_mut()?);
                let removed = child.remove_below(segments, method);
                if child.is_empty() {
                    self.one = None;
                }
                removed
            }
        }
    }

    /// All routes: those that end here, then by the next segment's text, then below `*`, then with `*` last.
    pub(super) fn routes(&self) -> Routes<'_> {
        Routes { left: vec![Step::Down(self)] }
    }
}

/// Walks all routes in order; holds the steps that are left, the next one last.
pub(super) struct Routes<'a> {
    left: Vec<Step<'a>>,
}

enum Step<'a> {
    Down(&'a Node),
    Route(&'a Arc<Route>),
}

impl<'a> Iterator for Routes<'a> {
    type Item = &'a Arc<Route>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.left.pop()? {
                Step::Route(route) => return Some(route),
                Step::Down(node) => {
                    self.left.extend(node.rest.routes().rev().map(Step::Route));
                    self.left.extend(node.one.as_deref().map(Step::Down));
                    self.left.extend(node.literals.in_order().rev().map(Step::Down));
                    self.left.extend(node.exact.routes().rev().map(Step::Route));
                }
            }
        }
    }
}

/// A request's path without its first `/`, and where its segments end, as far as that is known.
///
/// Each segment's end is looked for once, however often a walk comes back to it: otherwise a long segment would cost its
/// length at every node that backtracking visits, and strangers choose both.
pub(super) struct Path<'p> {
    text: &'p [u8],
    ends: [u32; MAX_ENDS],
    known: usize,
}

/// A pattern's segments, and the one after them at which a walk turns back.
const MAX_ENDS: usize = MAX_SEGMENTS + 1;

impl<'p> Path<'p> {
    pub(super) fn new(text: &'p [u8]) -> Self {
        Self { text, ends: [0; MAX_ENDS], known: 0 }
    }

    /// The segment of this number, which begins at `start`, and where the next one begins.
    #[inline]
    fn segment(&mut self, number: usize, start: usize) -> (&'p [u8], Option<usize>) {
        let end = if number < self.known { self.ends[number] as usize } else { self.find_end(number, start) };
        (&self.text[start..end], (end < self.text.len()).then_some(end + 1))
    }

    /// A plain loop: nearly all segments are too short for a vectored search to pay.
    #[inline]
    fn find_end(&mut self, number: usize, start: usize) -> usize {
        let left = &self.text[start..];
        let end = start + left.iter().position(|&byte| byte == b'/').unwrap_or(left.len());
        if number == self.known
            && let Some(slot) = self.ends.get_mut(number)
            && let Ok(short) = u32::try_from(end)
        {
            *slot = short;
            self.known += 1;
        }
        end
    }
}
