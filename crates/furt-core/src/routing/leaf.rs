//! The routes of one host and one pattern: at most one a method.
//!
//! Beside each route stands its method as one byte, so that a request touches no route but the one it takes: with
//! 100,000 routes nearly every route read is memory that no cache holds. Callers: `node` and `table`.

use std::sync::Arc;

use http::Method;

use super::route::Route;
use crate::model::MethodRule;

/// Routes in the order of their methods' names, `*` last.
///
/// A single route, the usual case, lies in the node itself.
#[derive(Clone, Default)]
pub(super) enum Leaf {
    #[default]
    Empty,
    One(Entry),
    /// Two or more.
    Many(Arc<[Entry]>),
}

#[derive(Clone)]
pub(super) struct Entry {
    verb: Verb,
    route: Arc<Route>,
}

/// A method in one byte; for `Other` the route's own method decides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Any,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Other,
}

impl Verb {
    fn of(method: &Method) -> Self {
        match *method {
            Method::DELETE => Self::Delete,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::OPTIONS => Self::Options,
            Method::PATCH => Self::Patch,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            _ => Self::Other,
        }
    }

    fn of_rule(rule: &MethodRule) -> Self {
        match rule {
            MethodRule::Any => Self::Any,
            MethodRule::Only(method) => Self::of(method),
        }
    }
}

/// A request's method, read once for the whole search.
pub(super) struct Wanted<'m> {
    verb: Verb,
    method: &'m Method,
}

impl<'m> Wanted<'m> {
    pub(super) fn new(method: &'m Method) -> Self {
        Self { verb: Verb::of(method), method }
    }
}

impl Leaf {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// All routes, in order.
    pub(super) fn routes(&self) -> impl DoubleEndedIterator<Item = &Arc<Route>> {
        self.entries().iter().map(|entry| &entry.route)
    }

    /// The routes that take the method, the better first: its own, then for HEAD that of GET, then `*`.
    #[inline]
    pub(super) fn taking<'a>(&'a self, wanted: &Wanted<'_>) -> impl Iterator<Item = &'a Arc<Route>> + use<'a> {
        let own = match wanted.verb {
            Verb::Other => self.entries().iter().find(|entry| {
                entry.verb == Verb::Other
                    && matches!(&entry.route.method, MethodRule::Only(own) if own == wanted.method)
            }),
            verb => self.of_verb(verb),
        };
        let get = if wanted.verb == Verb::Head { self.of_verb(Verb::Get) } else { None };
        [own, get, self.of_verb(Verb::Any)].into_iter().flatten().map(|entry| &entry.route)
    }

    /// The route of exactly this rule.
    pub(super) fn get(&self, rule: &MethodRule) -> Option<&Arc<Route>> {
        self.entries().iter().find(|entry| entry.route.method == *rule).map(|entry| &entry.route)
    }

    /// Puts a route in; gives back the one of the same method that it replaces.
    pub(super) fn insert(&mut self, route: Arc<Route>) -> Option<Arc<Route>> {
        let replaced = self.remove(&route.method);
        let entry = Entry { verb: Verb::of_rule(&route.method), route };
        *self = match self {
            Self::Empty => Self::One(entry),
            Self::One(_) | Self::Many(_) => {
                let old = self.entries();
                let at = old.partition_point(|other| rank(&other.route) < rank(&entry.route));
                let (before, after) = old.split_at(at);
                Self::Many(before.iter().cloned().chain([entry]).chain(after.iter().cloned()).collect())
            }
        };
        replaced
    }

    /// Takes the route of exactly this rule out.
    pub(super) fn remove(&mut self, rule: &MethodRule) -> Option<Arc<Route>> {
        let removed = Arc::clone(self.get(rule)?);
        let mut others = self.entries().iter().filter(|entry| entry.route.method != *rule).cloned();
        *self = match (others.next(), others.next()) {
            (None, _) => Self::Empty,
            (Some(only), None) => Self::One(only),
            (Some(first), Some(second)) => Self::Many([first, second].into_iter().chain(others).collect()),
        };
        Some(removed)
    }

    #[inline]
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Empty => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    #[inline]
    fn of_verb(&self, verb: Verb) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.verb == verb)
    }
}

fn rank(route: &Route) -> (bool, &str) {
    (route.method == MethodRule::Any, route.method.as_str())
}
