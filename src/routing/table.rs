//! placeholder until the table is merged
use super::Route;
use crate::model::{Host, MethodRule, Pattern};
use std::sync::Arc;
/// t
#[derive(Clone, Default)]
pub struct Table(Vec<Arc<Route>>);
/// f
pub enum Found<'a> {
    /// r
    Route(&'a Arc<Route>),
    /// u
    Unusable(&'a Arc<Route>),
    /// w
    WrongMethod(String),
    /// n
    Nothing,
}
#[allow(missing_docs)]
impl Table {
    pub fn insert(&mut self, route: Arc<Route>) {
        self.remove(route.host.as_ref(), &route.method, &route.pattern);
        self.0.push(route);
    }
    pub fn remove(&mut self, host: Option<&Host>, method: &MethodRule, pattern: &Pattern) -> Option<Arc<Route>> {
        let at = self.0.iter().position(|r| r.host.as_ref() == host && r.method == *method && r.pattern == *pattern)?;
        Some(self.0.remove(at))
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn find<'a>(
        &'a self,
        host: &str,
        path: &str,
        _method: &http::Method,
        usable: impl Fn(&Route) -> bool,
    ) -> Found<'a> {
        match self.matches(host, path).first() {
            Some(r) if usable(r) => Found::Route(r),
            Some(r) => Found::Unusable(r),
            None => Found::Nothing,
        }
    }
    pub fn matches(&self, _host: &str, path: &str) -> Vec<&Arc<Route>> {
        self.0.iter().filter(|r| r.pattern.matches(path)).collect()
    }
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}
