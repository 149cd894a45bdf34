//! The trie of one host's patterns: a node a prefix, a step down a segment.
//!
//! A node's depth is its place in the path and it has one parent, so a walk sees each node at most once, however the
//! patterns are chosen: backtracking costs at most the nodes of the table that the path matches, and recursion goes no
//! deeper than a pattern's 32 segments, however long the path. Clones share all nodes; a change copies the nodes on
//! its way. Caller: `table`.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::children::Children;
use super::leaf::Leaf;
use super::route::Route;
use crate::model::{MethodRule, Pattern, Segment};

#[derive(Clone, Default)]
pub(super) struct Node {
    literals: Children,
    /// Below a `*` that is not the last segment.
    one: Option<Arc<Node>>,
    /// Patterns that end here.
    exact: Leaf,
    /// Patterns whose last segment is a `*` after this node.
    rest: Leaf,
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.one.is_none() && self.exact.is_empty() && self.rest.is_empty()
    }

    /// Shows `visit` the leaf of each pattern that matches what is left of a path, the most specific first, until it
    /// breaks. `None` is a path at its end, `Some("")` one that ends in `/`.
    pub(super) fn walk<'a, B>(
        &'a self,
        path: Option<&[u8]>,
        visit: &mut impl FnMut(&'a Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (mut node, mut path) = (self, path);
        while let Some(left) = path {
            let (segment, next) = split(left);
            path = next;
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
                        child.walk(next, visit)?;
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

/// The first segment, and what follows its `/`. A plain loop: segments are too short for a vectored search to pay.
#[inline]
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&byte| byte == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}
