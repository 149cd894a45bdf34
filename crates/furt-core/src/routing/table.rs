//! The table of routes in force: changes by path-copying, searches by host, path and method.
//!
//! What a table says is defined by [`Pattern::matches`] and the order of precedence: routes bound to the request's
//! host before host-less ones; then segment by segment from the left a literal before `*` before a last `*`; then the
//! request's own method before GET for HEAD before `*`. It answers in time that grows with the path and not with the
//! number of routes, allocates nothing unless the answer is [`Found::WrongMethod`], and never changes under a reader:
//! the writer changes a clone. Callers: `registry`, `proxy`, `api`.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use http::Method;

use super::children::Children;
use super::leaf::{Leaf, Wanted};
use super::node::{Node, Path};
use super::route::{Owner, Route};
use crate::model::{Host, MethodRule, Pattern};

/// All routes in force. A clone costs a few reference counts; a change to it copies only the nodes on the route's way, and
/// the original stays as it was.
#[derive(Clone, Default)]
pub struct Table {
    hostless: Node,
    by_host: Children<Node>,
    len: usize,
}

/// What [`Table::find`] found.
#[derive(Debug)]
pub enum Found<'a> {
    /// The route to take.
    Route(&'a Arc<Route>),
    /// The best route, which is not usable; nor is any static one that could stand in.
    Unusable(&'a Arc<Route>),
    /// Routes match, and none has the method; these are the methods they have.
    WrongMethod(Methods),
    /// No route matches.
    Nothing,
}

/// The methods that could be used instead, sorted, each once; HEAD among them where GET is.
///
/// Its `Display` is the value of an `Allow` field (RFC 9110 §10.2.1): `GET, HEAD, POST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods(Vec<Method>);

impl Table {
    /// Puts a route in. It replaces the one of the same host, pattern and method, if there is one.
    pub fn insert(&mut self, route: Arc<Route>) {
        let root = match &route.host {
            None => &mut self.hostless,
            Some(host) => self.by_host.get_or_insert(host.as_str().as_bytes()),
        };
        if root.leaf_mut(&route.pattern).insert(route).is_none() {
            self.len += 1;
        }
    }

    /// Takes out and gives back the route of exactly this host, pattern and method.
    pub fn remove(&mut self, host: Option<&Host>, method: &MethodRule, pattern: &Pattern) -> Option<Arc<Route>> {
        // Without this look first, a removal of what is not there would copy the way to it.
        self.root(host.map(Host::as_str))?.leaf(pattern)?.get(method)?;
        let removed = match host {
            None => self.hostless.remove(pattern, method),
            Some(host) => self.by_host.update(host.as_str().as_bytes(), |root| root.remove(pattern, method)).flatten(),
        };
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The route for a request.
    ///
    /// `host` and `path` are normalized ([`model::host::normalize`](crate::model::host::normalize),
    /// [`model::path::normalize`](crate::model::path::normalize)). If the best route is not `usable`, the best usable
    /// [`Owner::Static`] one that also matches and has the method stands in, if there is one.
    pub fn find<'a>(&'a self, host: &str, path: &str, method: &Method, usable: impl Fn(&Route) -> bool) -> Found<'a> {
        let wanted = Wanted::new(method);
        let mut best: Option<&Arc<Route>> = None;
        let mut matched = false;
        let found = self.walk(host, path, |leaf| {
            matched = true;
            for route in leaf.taking(&wanted) {
                let considered = best.is_none() || matches!(route.owner, Owner::Static(_));
                if considered && usable(route) {
                    return ControlFlow::Break(route);
                }
                best.get_or_insert(route);
            }
            ControlFlow::Continue(())
        });
        match (found, best) {
            (ControlFlow::Break(route), _) => Found::Route(route),
            (ControlFlow::Continue(()), Some(route)) => Found::Unusable(route),
            (ControlFlow::Continue(()), None) if matched => Found::WrongMethod(self.methods(host, path)),
            (ControlFlow::Continue(()), None) => Found::Nothing,
        }
    }

    /// Every route whose host and pattern match, whatever its method, in order of precedence; routes of one pattern by
    /// method, `*` last. `host` and `path` as for [`find`](Self::find).
    pub fn matches(&self, host: &str, path: &str) -> Vec<&Arc<Route>> {
        let mut routes = Vec::new();
        let ControlFlow::Continue(()) = self.walk(host, path, |leaf| {
            routes.extend(leaf.routes());
            ControlFlow::<std::convert::Infallible>::Continue(())
        });
        routes
    }

    /// All routes: host-less ones first, then by host; within, segment by segment in the order of the text, `*` after
    /// all texts and a last `*` after that; then by method, `*` last. Sorts as it goes, so it is not for requests.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.hostless.routes().chain(self.by_host.in_order().flat_map(Node::routes))
    }

    /// Whether no node is left over, as it must be where there is no route.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        use super::children::TrieNode as _;
        self.hostless.is_empty() && self.by_host.is_empty()
    }

    fn root(&self, host: Option<&str>) -> Option<&Node> {
        match host {
            None => Some(&self.hostless),
            Some(host) => self.by_host.get(host.as_bytes()),
        }
    }

    #[inline]
    fn walk<'a, B>(
        &'a self,
        host: &str,
        path: &str,
        mut visit: impl FnMut(&'a Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(path) = path.as_bytes().strip_prefix(b"/") else { return ControlFlow::Continue(()) };
        let mut path = Path::new(path);
        if let Some(bound) = self.root(Some(host)) {
            bound.walk(&mut path, &mut visit)?;
        }
        self.hostless.walk(&mut path, &mut visit)
    }

    #[cold]
    fn methods(&self, host: &str, path: &str) -> Methods {
        let mut methods = Vec::new();
        for route in self.matches(host, path) {
            if let MethodRule::Only(method) = &route.method {
                methods.push(method.clone());
                if method == Method::GET {
                    methods.push(Method::HEAD);
                }
            }
        }
        methods.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        methods.dedup();
        Methods(methods)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Methods {
    /// The methods, in the order of their names; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter()
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for method in &self.0 {
            write!(f, "{separator}{method}")?;
            separator = ", ";
        }
        Ok(())
    }
}
