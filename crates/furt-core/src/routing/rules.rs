//! The options in force for a route: what its service, the route itself and the operator say, merged.
//!
//! The registry merges where it publishes a route, so that a request finds everything ready; `explain` merges again, to tell
//! who said what.

mod cors;

use std::collections::HashMap;
use std::sync::Arc;

pub use cors::CorsPolicy;

use crate::model::{AskedHost, Cors, Misfit, Rewrite, RouteOptions, Rule, Subject};

/// What no route has any more is looked for once there are so many.
const LEAST_SHARED: usize = 64;

/// The options in force for a route; at least one of them is set.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteRules {
    /// What browsers may do from other origins; `None`: furt has no say in it.
    pub cors: Option<CorsPolicy>,
    /// What becomes of the path on its way to the service; `None`: it stays.
    pub rewrite: Option<Arc<Rewrite>>,
    /// Which host the service is asked for; `None`: the client's.
    pub asked_host: Option<AskedHost>,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaidBy {
    /// The service, of all its routes.
    Service,
    /// The service, of this route.
    Route,
    /// The rule at that place of the operator's.
    Rule(usize),
}

/// What holds, and who said it last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// What browsers may do from other origins.
    pub cors: Option<(Arc<Cors>, SaidBy)>,
    /// What becomes of the path on its way to the service.
    pub rewrite: Option<(Arc<Rewrite>, SaidBy)>,
    /// Which host the service is asked for.
    pub asked_host: Option<(AskedHost, SaidBy)>,
    /// The rules that match requests of the route and are skipped, by their place among the operator's.
    pub skipped_rules: Vec<(usize, Misfit)>,
}

impl Merged {
    /// The options of a route whose service says `of_service` of all its routes and `of_route` of this one, under these rules of the
    /// operator: a route overrides its service, a rule both, a later rule an earlier one.
    pub fn new(route: Subject<'_>, of_service: &RouteOptions, of_route: &RouteOptions, rules: &[Rule]) -> Self {
        let mut merged = Self::default();
        merged.take(of_service, SaidBy::Service);
        merged.take(of_route, SaidBy::Route);
        for (number, rule) in rules.iter().enumerate() {
            if let Some(options) = rule.applying(route) {
                merged.take(&options, SaidBy::Rule(number));
            }
            merged.skipped_rules.extend(rule.misfit(route).map(|why| (number, why)));
        }
        merged
    }

    fn take(&mut self, options: &RouteOptions, by: SaidBy) {
        let RouteOptions { cors, rewrite, asked_host } = options;
        self.cors = cors.clone().map(|cors| (cors, by)).after(self.cors.take());
        self.rewrite = rewrite.clone().map(|rewrite| (rewrite, by)).after(self.rewrite.take());
        self.asked_host = asked_host.clone().map(|host| (host, by)).after(self.asked_host.take());
    }
}

/// What rules are merged to, apart from who said it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Values {
    cors: Option<Arc<Cors>>,
    rewrite: Option<Arc<Rewrite>>,
    asked_host: Option<AskedHost>,
}

/// The operator's rules, and what they and the services' options come to: routes with the same options share them.
#[derive(Default)]
pub(crate) struct Rules {
    rules: Arc<[Rule]>,
    shared: HashMap<Values, Arc<RouteRules>>,
}

impl Rules {
    pub(crate) fn new(rules: Arc<[Rule]>) -> Self {
        Self { rules, shared: HashMap::new() }
    }

    /// The operator's.
    pub(crate) fn operators(&self) -> &Arc<[Rule]> {
        &self.rules
    }

    /// The options of a route; `None`: it has none.
    pub(crate) fn of(
        &mut self,
        route: Subject<'_>,
        of_service: &RouteOptions,
        of_route: &RouteOptions,
    ) -> Option<Arc<RouteRules>> {
        if self.rules.is_empty() && of_service.is_empty() && of_route.is_empty() {
            return None;
        }
        let merged = Merged::new(route, of_service, of_route, &self.rules);
        let Merged { cors, rewrite, asked_host, skipped_rules: _ } = merged;
        let values = Values {
            cors: cors.map(|(cors, _)| cors),
            rewrite: rewrite.map(|(rewrite, _)| rewrite),
            asked_host: asked_host.map(|(host, _)| host),
        };
        let Values { cors, rewrite, asked_host } = &values;
        if cors.is_none() && rewrite.is_none() && asked_host.is_none() {
            return None;
        }
        if let Some(shared) = self.shared.get(&values) {
            return Some(Arc::clone(shared));
        }
        if self.shared.len() >= LEAST_SHARED && self.shared.len() == self.shared.capacity() {
            self.shared.retain(|_, rules| Arc::strong_count(rules) > 1);
        }
        let rules = Arc::new(RouteRules {
            cors: cors.clone().map(CorsPolicy::new),
            rewrite: rewrite.clone(),
            asked_host: asked_host.clone(),
        });
        self.shared.insert(values, Arc::clone(&rules));
        Some(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MethodRule, Origins, Pattern, Said, ServiceName};

    fn cors(origin: &str) -> Said<Arc<Cors>> {
        Said::Is(Arc::new(Cors::new(Origins::try_new(&[origin]).unwrap())))
    }

    fn options(cors: Said<Arc<Cors>>) -> RouteOptions {
        RouteOptions { cors, ..RouteOptions::default() }
    }

    fn rule(path: &str, cors: Said<Arc<Cors>>) -> Rule {
        Rule { path: Some(Pattern::try_new(path).unwrap()), options: options(cors), ..Rule::default() }
    }

    #[test]
    fn a_route_overrides_its_service_and_a_rule_both() {
        let service = ServiceName::try_new("shop").unwrap();
        let (method, pattern) = (MethodRule::Any, Pattern::try_new("/shop/*").unwrap());
        let route = Subject { service: Some(&service), host: None, method: &method, pattern: &pattern };
        let nothing = RouteOptions::default();
        let says = |origin: &str| options(cors(origin));
        let origins = |merged: &Merged| merged.cors.as_ref().map(|(cors, by)| (cors.origins.texts().concat(), *by));
        for (of_service, of_route, rules, expected, skipped_rules) in [
            (&nothing, &nothing, vec![], None, vec![]),
            (&says("https://a"), &nothing, vec![], Some(("https://a", SaidBy::Service)), vec![]),
            (&says("https://a"), &says("https://b"), vec![], Some(("https://b", SaidBy::Route)), vec![]),
            (&says("https://a"), &options(Said::Off), vec![], None, vec![]),
            (
                &says("https://a"),
                &options(Said::Off),
                vec![rule("/*", cors("https://c")), rule("/shop/*", cors("https://d"))],
                Some(("https://d", SaidBy::Rule(1))),
                vec![],
            ),
            (&says("https://a"), &nothing, vec![rule("/*", Said::Off)], None, vec![]),
            (
                &says("https://a"),
                &nothing,
                vec![rule("/shop/cart", cors("https://c")), rule("/mail/*", Said::Off), rule("/*", Said::Nothing)],
                Some(("https://a", SaidBy::Service)),
                vec![0],
            ),
        ] {
            let merged = Merged::new(route, of_service, of_route, &rules);
            assert_eq!(origins(&merged), expected.map(|(text, by)| (text.to_owned(), by)), "{rules:?}");
            let skipped_rules: Vec<_> = skipped_rules.into_iter().map(|number: usize| (number, Misfit::Part)).collect();
            assert_eq!(merged.skipped_rules, skipped_rules, "{rules:?}");
            let rules = Rules::new(rules.into()).of(route, of_service, of_route);
            let holds = rules.as_ref().and_then(|rules| rules.cors.as_ref()).map(|cors| cors.said());
            assert_eq!(holds, merged.cors.as_ref().map(|(cors, _)| &**cors));
            assert_eq!(rules.is_some(), merged.cors.is_some(), "a route without options has none");
        }
    }

    #[test]
    fn routes_with_the_same_options_share_them_and_what_no_route_has_is_forgotten() {
        let (method, pattern) = (MethodRule::Any, Pattern::try_new("/a").unwrap());
        let route = Subject { service: None, host: None, method: &method, pattern: &pattern };
        let (nothing, mut rules) = (RouteOptions::default(), Rules::default());
        let kept = rules.of(route, &nothing, &options(cors("https://kept")));
        for number in 0..10_000 {
            rules.of(route, &options(cors(&format!("https://{number}"))), &nothing);
        }
        assert!(rules.shared.len() < 4 * LEAST_SHARED, "{}", rules.shared.len());
        let again = rules.of(route, &options(cors("https://kept")), &nothing);
        assert!(Arc::ptr_eq(&kept.unwrap(), &again.unwrap()));
    }
}
