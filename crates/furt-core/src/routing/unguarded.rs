//! Public routes that take what reads like a path with a permission: `/api/admin/`, where `/api/*` is public and `/api/admin`
//! is not.
//!
//! furt matches a path as it stands. A service that takes no notice of a last `/`, of letter case or of what follows a `;` serves the
//! same for such a path, and the permission is passed by. Nothing is refused for it; `api` and the configuration warn.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::Method;

use super::route::Route;
use super::table::{Found, Table};
use crate::model::{Host, MethodRule, Pattern, Segment};

/// A public route beside a permission that it passes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unguarded {
    /// The public route.
    pub public: Arc<Route>,
    /// One whose permission is passed by.
    pub guarded: Arc<Route>,
    /// A request that takes the public route.
    pub method: Method,
    /// Its path, which a service may read as one of the guarded route.
    pub path: String,
    /// Further guarded routes that are passed by in the same way.
    pub more: usize,
}

/// Each public route with a `*` that takes what a service may read as a path with a permission, in the order of `routes`,
/// which all lead to one service. Public routes for `OPTIONS` alone are left out: a preflight has no key.
pub fn unguarded(routes: &[Arc<Route>]) -> Vec<Unguarded> {
    let is_open = |route: &Route| {
        let has_star = route.pattern.segments().any(|segment| !matches!(segment, Segment::Literal(_)));
        route.permission.is_none() && has_star && route.method != MethodRule::Only(Method::OPTIONS)
    };
    if !routes.iter().any(|route| is_open(route)) {
        return Vec::new();
    }
    let mut table = Table::default();
    routes.iter().for_each(|route| table.insert(Arc::clone(route)));
    let mut found: Vec<Unguarded> = Vec::new();
    let mut places: HashMap<(Option<Host>, Pattern, MethodRule), usize> = HashMap::new();
    for guarded in routes.iter().filter(|route| route.permission.is_some()) {
        let host = guarded.host.as_ref().map_or("", |host| host.as_str());
        let paths = alike(&guarded.pattern);
        let requests = methods(guarded, routes)
            .into_iter()
            .flat_map(|method| paths.iter().map(move |path| (method.clone(), path)));
        let taken = requests.filter_map(|(method, path)| match table.find(host, path, &method, |_| true) {
            Found::Route(public) if is_open(public) => Some((method, path, public)),
            _ => None,
        });
        for (method, path, public) in taken.take(1) {
            let key = (public.host.clone(), public.pattern.clone(), public.method.clone());
            if let Some(known) = places.get(&key) {
                found[*known].more += 1;
                continue;
            }
            places.insert(key, found.len());
            let (public, guarded) = (Arc::clone(public), Arc::clone(guarded));
            found.push(Unguarded { public, guarded, method, path: path.clone(), more: 0 });
        }
    }
    found
}

/// The methods of requests that both the guarded route and a public one could take.
fn methods(guarded: &Route, routes: &[Arc<Route>]) -> Vec<Method> {
    let MethodRule::Any = guarded.method else {
        return match &guarded.method {
            MethodRule::Only(method) => vec![method.clone()],
            MethodRule::Any => Vec::new(),
        };
    };
    let mut all: Vec<Method> = Vec::new();
    for route in routes.iter().filter(|route| route.permission.is_none()) {
        let method = match &route.method {
            MethodRule::Any => Method::GET,
            MethodRule::Only(method) => method.clone(),
        };
        if method != Method::OPTIONS && !all.contains(&method) {
            all.push(method);
        }
    }
    all
}

/// Paths that are none of the pattern, and that a service may read as one of it. The likeliest first.
fn alike(pattern: &Pattern) -> Vec<String> {
    let segments: Vec<Segment<'_>> = pattern.segments().collect();
    let text = |segment: &Segment<'_>| match segment {
        Segment::Literal(text) => (*text).to_owned(),
        Segment::One | Segment::Rest => "x".to_owned(),
    };
    let texts: Vec<String> = segments.iter().map(text).collect();
    let path = |texts: &[String]| format!("/{}", texts.join("/"));
    let without_last = &texts[..texts.len() - 1];
    let mut all = match segments.last() {
        Some(Segment::Literal(last)) if !last.is_empty() => vec![path(&texts) + "/"],
        Some(Segment::Rest) if !without_last.is_empty() => vec![path(without_last) + "/", path(without_last)],
        Some(Segment::Literal(_)) if !without_last.is_empty() => vec![path(without_last)],
        _ => Vec::new(),
    };
    let mut change = |to: &dyn Fn(&str) -> String| {
        for (at, segment) in segments.iter().enumerate() {
            let Segment::Literal(text) = segment else { continue };
            let changed = to(text);
            if !text.is_empty() && changed != *text {
                let mut texts = texts.clone();
                texts[at] = changed;
                all.push(path(&texts));
            }
        }
    };
    change(&|text| format!("{text};x"));
    let is_lower = |text: &str| text.bytes().any(|byte| byte.is_ascii_lowercase());
    change(&|text| if is_lower(text) { text.to_ascii_uppercase() } else { text.to_ascii_lowercase() });
    all
}

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { public, guarded, method, path, more } = self;
        write!(f, "{method} {path} takes the public route {} {}, ", public.method, public.pattern)?;
        write!(f, "and a service may read it as {} {}", guarded.method, guarded.pattern)?;
        if let Some(permission) = &guarded.permission {
            write!(f, " with the permission \"{permission}\"")?;
        }
        if *more > 0 {
            write!(f, "; and {more} more like it")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Permission;
    use crate::routing::{Owner, ServiceIndex};

    /// From `GET /a` or `GET /a with p`, in each text behind a host where there is one: `GET host/a`.
    fn route(text: &str) -> Arc<Route> {
        let (route, permission) = text.split_once(" with ").map_or((text, None), |(route, name)| (route, Some(name)));
        let (method, target) = route.split_once(' ').unwrap();
        let (host, path) = target.split_at(target.find('/').unwrap());
        Arc::new(Route {
            host: (!host.is_empty()).then(|| Host::try_new(host).unwrap()),
            method: MethodRule::try_new(method).unwrap(),
            pattern: Pattern::try_new(path).unwrap(),
            permission: permission.map(|name| Permission::try_new(name).unwrap()),
            owner: Owner::Static(ServiceIndex(0)),
            rules: None,
            counter: Default::default(),
        })
    }

    fn told(routes: &[&str]) -> Vec<String> {
        let routes: Vec<_> = routes.iter().map(|text| route(text)).collect();
        unguarded(&routes).iter().map(|one| format!("{} {}", one.method, one.path)).collect()
    }

    #[test]
    fn a_public_star_beside_a_literal_with_a_permission_is_told_with_a_path_that_passes_it_by() {
        for (routes, paths) in [
            (&["GET /api/*", "GET /api/admin with a"][..], &["GET /api/admin/"][..]),
            (&["GET /api/*", "GET /api/admin/ with a"], &["GET /api/admin"]),
            (&["GET /api/*", "GET /api/admin/* with a"], &["GET /api/admin/"]),
            // What ends in a slash is guarded; parameters and case are left.
            (&["GET /api/*", "GET /api/admin with a", "GET /api/admin/ with a"], &["GET /api/admin;x"]),
            (&["GET /api/*", "GET /api/admin with a", "GET /api/admin/* with a"], &["GET /api/admin/"]),
            (&["GET /*/*", "GET /a/b with a", "GET /*/b/ with a"], &["GET /a;x/b"]),
            (&["GET /api/*/x", "* /api/admin/x with a"], &["GET /api/admin;x/x"]),
            (&["* /*", "POST /a with a"], &["POST /a/"]),
            (&["GET /api/*", "HEAD /api/admin with a"], &["HEAD /api/admin/"]),
            (&["GET shop.example/*", "GET shop.example/a with a"], &["GET /a/"]),
            (&["GET /*", "GET shop.example/a with a"], &["GET /a/"]),
        ] {
            assert_eq!(told(routes), paths, "{routes:?}");
        }
    }

    #[test]
    fn what_passes_nothing_by_is_not_told() {
        for routes in [
            &["GET /api/*", "POST /api/admin with a"][..],
            &["GET /api/* with b", "GET /api/admin with a"],
            &["GET /public/*", "GET /api/admin with a"],
            &["GET /api/admin/", "GET /api/admin with a"],
            &["OPTIONS /api/*", "* /api/admin with a"],
            &["OPTIONS /api/*", "* /api/* with a"],
            &["GET /api/*", "GET /api/*/x"],
            &["GET shop.example/*", "GET /a with a"],
            &["GET /*", "GET /* with a"],
            &[],
        ] {
            assert_eq!(told(routes), [] as [&str; 0], "{routes:?}");
        }
    }

    #[test]
    fn one_public_route_is_told_once_whatever_it_passes_by() {
        let routes = ["GET /api/*", "GET /api/a with a", "GET /api/b with b", "GET /api/c with c"].map(route);
        let [one] = &unguarded(&routes)[..] else { panic!() };
        assert_eq!(
            one.to_string(),
            "GET /api/a/ takes the public route GET /api/*, and a service may read it as GET /api/a with the permission \"a\"; and 2 more like it"
        );
    }
}
