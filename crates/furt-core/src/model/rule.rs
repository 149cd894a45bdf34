//! One of the operator's rules, and which routes it matches.

use std::borrow::Cow;
use std::fmt;

use super::{Definition, Host, MethodRule, Pattern, RouteOptions, RouteSpec, Said, ServiceName};

/// One of `[[rules]]`: what the operator says of the routes that it matches, over what services say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Rule {
    /// Of this service alone.
    pub service: Option<ServiceName>,
    /// Of routes that are bound to this host.
    pub host: Option<Host>,
    /// Of routes within this pattern.
    pub path: Option<Pattern>,
    /// Of routes for this method; `None` and `*`: for any.
    pub method: Option<MethodRule>,
    /// What it says of them.
    pub options: RouteOptions,
}

/// A route, as rules are matched with it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The service that answers; `None`: a url of the configuration.
    pub service: Option<&'a ServiceName>,
    /// The host that it is bound to.
    pub host: Option<&'a Host>,
    /// The methods that it takes.
    pub method: &'a MethodRule,
    /// The paths that it takes.
    pub pattern: &'a Pattern,
    /// Whether it asks for no permission.
    pub is_public: bool,
}

impl<'a> Subject<'a> {
    /// A route of a service's definition.
    pub fn registered(definition: &'a Definition, route: &'a RouteSpec) -> Self {
        Self {
            service: Some(&definition.service),
            host: definition.host.as_ref(),
            method: &route.method,
            pattern: &route.pattern,
            is_public: route.permission.is_none(),
        }
    }
}

/// As it is written in lists: method, then host and pattern as one.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.host.map_or("", Host::as_str), self.pattern)
    }
}

/// How many of a route's requests a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// None of them.
    None,
    /// Some of them.
    Part,
    /// Each of them.
    Whole,
}

/// Why a rule, or a part of it, is skipped for a route. Its `Display` is a clause of a sentence about the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It matches some of its requests only.
    #[error("it matches only some of the route's requests")]
    Part,
    /// It matches some of its requests only, and restricts these alone.
    #[error("it matches only some of the route's requests, so nothing of it holds but what restricts these")]
    Shaping,
    /// Its `rewrite` alone: the route's path does not begin with what it strips.
    #[error("the route's path does not begin with what it strips, so its rewrite is left out")]
    Strip,
    /// What it says and what was said before are `compress` and credentials of `cors`, whichever is which: `compress` alone is left out.
    #[error(
        "with it compress and cors that allows credentials come together; its other options hold, and answers of the route are not compressed"
    )]
    Credentials,
}

/// Which of a route's requests something holds for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Scope {
    /// Those for this host.
    pub host: Option<Host>,
    /// Those for a path within this pattern.
    pub path: Option<Pattern>,
    /// Those of this method.
    pub method: Option<MethodRule>,
}

impl Scope {
    /// Whether it has the request; host and path normalized.
    pub fn has(&self, host: &str, path: &str, method: &http::Method) -> bool {
        let Self { host: own_host, path: own_path, method: own_method } = self;
        own_host.as_ref().is_none_or(|own| own.as_str() == host)
            && own_method.as_ref().is_none_or(|own| own.takes(method))
            && own_path.as_ref().is_none_or(|own| own.matches(path))
    }
}

/// As rules select: method, then host and pattern as one.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, path, method } = self;
        let method = method.as_ref().map_or("*", MethodRule::as_str);
        write!(f, "{method} {}{}", host.as_ref().map_or("", Host::as_str), path.as_ref().map_or("/*", Pattern::as_str))
    }
}

/// What of a rule applies to a route.
#[derive(Debug)]
pub struct Applying<'a> {
    /// What of it does.
    pub options: Cow<'a, RouteOptions>,
    /// To which requests of the route; `None`: to all.
    pub scope: Option<Scope>,
}

impl Rule {
    /// Why something of it is skipped for the route; `None`: nothing is, or it does not match at all.
    pub fn misfit(&self, route: Subject<'_>) -> Option<Misfit> {
        match self.matches(route) {
            Match::None => None,
            Match::Part => match (self.options.shapes(), &self.options.restrictions) {
                (true, None) => Some(Misfit::Part),
                (true, Some(_)) => Some(Misfit::Shaping),
                (false, _) => None,
            },
            Match::Whole => (!self.fits(route)).then_some(Misfit::Strip),
        }
    }

    /// What of it applies to the route. What restricts does so also where it matches only some of the route's requests.
    pub fn applying(&self, route: Subject<'_>) -> Option<Applying<'_>> {
        let part = |options, scope| Some(Applying { options: Cow::Owned(options), scope });
        match (self.matches(route), &self.options.restrictions) {
            (Match::None, _) | (Match::Part, None) => None,
            (Match::Part, restrictions @ Some(_)) => {
                let Self { service: _, host, path, method, options: _ } = self;
                let scope = Scope { host: host.clone(), path: path.clone(), method: method.clone() };
                part(RouteOptions { restrictions: restrictions.clone(), ..RouteOptions::default() }, Some(scope))
            }
            (Match::Whole, _) if self.fits(route) => {
                Some(Applying { options: Cow::Borrowed(&self.options), scope: None })
            }
            (Match::Whole, _) => part(RouteOptions { rewrite: Said::Nothing, ..self.options.clone() }, None),
        }
    }

    fn fits(&self, route: Subject<'_>) -> bool {
        self.options.rewrite.value().is_none_or(|rewrite| rewrite.fits(route.pattern))
    }

    /// How many of the route's requests it matches.
    pub fn matches(&self, route: Subject<'_>) -> Match {
        let service = match &self.service {
            Some(own) if route.service != Some(own) => Match::None,
            _ => Match::Whole,
        };
        let host = match (&self.host, route.host) {
            (None, _) => Match::Whole,
            (Some(own), Some(bound)) if own == bound => Match::Whole,
            (Some(_), Some(_)) => Match::None,
            (Some(_), None) => Match::Part,
        };
        let path = match &self.path {
            None => Match::Whole,
            Some(own) if own.covers(route.pattern) => Match::Whole,
            Some(own) if own.overlaps(route.pattern) => Match::Part,
            Some(_) => Match::None,
        };
        let method = match &self.method {
            None => Match::Whole,
            Some(own) if own.covers(route.method) => Match::Whole,
            Some(own) if own.overlaps(route.method) => Match::Part,
            Some(_) => Match::None,
        };
        service.min(host).min(path).min(method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_all_of_a_route_or_a_part_of_it_or_nothing() {
        let service = |name: &str| ServiceName::try_new(name).unwrap();
        let host = |name: &str| Host::try_new(name).unwrap();
        let pattern = |text: &str| Pattern::try_new(text).unwrap();
        let method = |name: &str| MethodRule::try_new(name).unwrap();
        let (shop, example, get, any) = (service("shop"), host("a.example"), method("GET"), method("*"));
        let (orders, all) = (pattern("/orders/*"), pattern("/*"));
        let route = |host, method, pattern| Subject { service: Some(&shop), host, method, pattern, is_public: false };
        let bound = route(Some(&example), &get, &orders);
        let free = route(None, &any, &all);
        let rule = Rule::default();
        for (rule, of_bound, of_free) in [
            (rule.clone(), Match::Whole, Match::Whole),
            (Rule { service: Some(shop.clone()), ..rule.clone() }, Match::Whole, Match::Whole),
            (Rule { service: Some(service("mail")), ..rule.clone() }, Match::None, Match::None),
            (Rule { host: Some(example.clone()), ..rule.clone() }, Match::Whole, Match::Part),
            (Rule { host: Some(host("b.example")), ..rule.clone() }, Match::None, Match::Part),
            (Rule { path: Some(all.clone()), ..rule.clone() }, Match::Whole, Match::Whole),
            (Rule { path: Some(orders.clone()), ..rule.clone() }, Match::Whole, Match::Part),
            (Rule { path: Some(pattern("/orders/*/items")), ..rule.clone() }, Match::Part, Match::Part),
            (Rule { path: Some(pattern("/mail/*")), ..rule.clone() }, Match::None, Match::Part),
            (Rule { method: Some(any.clone()), ..rule.clone() }, Match::Whole, Match::Whole),
            (Rule { method: Some(get.clone()), ..rule.clone() }, Match::Whole, Match::Part),
            (Rule { method: Some(method("HEAD")), ..rule.clone() }, Match::Part, Match::Part),
            (Rule { method: Some(method("POST")), ..rule.clone() }, Match::None, Match::Part),
            (
                Rule { service: Some(service("mail")), path: Some(all.clone()), ..rule.clone() },
                Match::None,
                Match::None,
            ),
        ] {
            assert_eq!((rule.matches(bound), rule.matches(free)), (of_bound, of_free), "{rule:?}");
        }
        let of_url = Subject { service: None, ..free };
        assert_eq!(Rule { service: Some(shop.clone()), ..rule.clone() }.matches(of_url), Match::None);
        assert_eq!(rule.matches(of_url), Match::Whole);
    }
}
