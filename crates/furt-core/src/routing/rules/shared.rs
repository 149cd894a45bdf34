//! The operator's rules, and what they and the services' options come to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::RouteRules;
use super::cors::CorsPolicy;
use super::merged::{Merged, Restricted};
use super::restricting::{LEAST_SHARED, LimitLive, Limited, Restriction};
use crate::model::{
    AskedHost, Cors, MessageHeaders, Mirror, Restrictions, Rewrite, RouteOptions, Rule, Scope, Subject,
};

/// What rules are merged to, apart from who said it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Values {
    cors: Option<Arc<Cors>>,
    rewrite: Option<Arc<Rewrite>>,
    compresses: bool,
    asked_host: Option<AskedHost>,
    read_timeout: Option<Duration>,
    headers: Option<Arc<MessageHeaders>>,
    mirror: Option<Arc<Mirror>>,
    restrictions: Box<[Counted]>,
}

/// What somebody says, of which requests, and what is counted for it.
type Counted = (Arc<Restrictions>, Option<Scope>, Option<u64>);

impl Values {
    fn is_nothing(&self) -> bool {
        let Self { cors, rewrite, compresses, asked_host, read_timeout, headers, mirror, restrictions } = self;
        cors.is_none()
            && rewrite.is_none()
            && !compresses
            && asked_host.is_none()
            && read_timeout.is_none()
            && headers.is_none()
            && mirror.is_none()
            && restrictions.is_empty()
    }
}

/// The operator's rules, and what they and the services' options come to: routes with the same options share them.
#[derive(Default)]
pub(crate) struct Rules {
    rules: Arc<[Rule]>,
    pub(super) shared: HashMap<Values, Arc<RouteRules>>,
    limited: Limited,
}

impl Rules {
    /// The operator's.
    pub(crate) fn operators(&self) -> &Arc<[Rule]> {
        &self.rules
    }

    /// Replaces the operator's. What was counted under a rule that is among the new ones stays.
    pub(crate) fn set_operators(&mut self, rules: Arc<[Rule]>) {
        self.limited.set_rules(&rules);
        self.rules = rules;
        self.shared.clear();
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
        let Merged {
            cors,
            rewrite,
            compress,
            asked_host,
            read_timeout,
            headers,
            mirror,
            restrictions,
            skipped_rules: _,
        } = merged;
        let lives: Vec<_> = restrictions.iter().map(|one| self.live(route, one)).collect();
        let restrictions = restrictions.into_iter().zip(&lives);
        let values = Values {
            cors: cors.map(|(cors, _)| cors),
            rewrite: rewrite.map(|(rewrite, _)| rewrite),
            compresses: compress.is_some(),
            asked_host: asked_host.map(|(host, _)| host),
            read_timeout: read_timeout.map(|(time, _)| time),
            headers: headers.map(|(headers, _)| headers),
            mirror: mirror.map(|(mirror, _)| mirror),
            restrictions: restrictions
                .map(|((said, scope, _), live)| (said, scope, live.as_ref().map(|live| live.id())))
                .collect(),
        };
        if values.is_nothing() {
            return None;
        }
        if let Some(shared) = self.shared.get(&values) {
            return Some(Arc::clone(shared));
        }
        if self.shared.len() >= LEAST_SHARED && self.shared.len() == self.shared.capacity() {
            self.shared.retain(|_, rules| Arc::strong_count(rules) > 1);
        }
        let Values { cors, rewrite, compresses, asked_host, read_timeout, headers, mirror, restrictions } =
            values.clone();
        let restrictions = restrictions.into_iter().zip(lives);
        let rules = Arc::new(RouteRules {
            cors: cors.map(CorsPolicy::new),
            rewrite,
            compresses,
            asked_host,
            read_timeout,
            headers,
            mirror,
            restrictions: restrictions.map(|((said, scope, _), live)| Restriction { said, scope, live }).collect(),
        });
        self.shared.insert(values, Arc::clone(&rules));
        Some(rules)
    }

    fn live(&mut self, route: Subject<'_>, (said, _, by): &Restricted) -> Option<Arc<LimitLive>> {
        self.limited.live(route, *by, said.counted()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LimitBy, Limits, MethodRule, Origins, Pattern, Rate, RateLimit, Said, ServiceName};

    const NOTHING: RouteOptions = RouteOptions {
        cors: Said::Nothing,
        rewrite: Said::Nothing,
        compress: Said::Nothing,
        asked_host: Said::Nothing,
        read_timeout: Said::Nothing,
        headers: Said::Nothing,
        mirror: Said::Nothing,
        restrictions: None,
    };

    #[test]
    fn routes_with_the_same_options_share_them_and_what_no_route_has_is_forgotten() {
        let (method, pattern) = (MethodRule::Any, Pattern::try_new("/a").unwrap());
        let route = Subject { service: None, host: None, method: &method, pattern: &pattern, is_public: false };
        let options = |origin: &str| {
            let cors = Said::Is(Arc::new(Cors::new(Origins::try_new(&[origin]).unwrap())));
            RouteOptions { cors, ..NOTHING }
        };
        let mut rules = Rules::default();
        let kept = rules.of(route, &NOTHING, &options("https://kept"));
        for number in 0..10_000 {
            rules.of(route, &options(&format!("https://{number}")), &NOTHING);
        }
        assert!(rules.shared.len() < 4 * LEAST_SHARED, "{}", rules.shared.len());
        let again = rules.of(route, &options("https://kept"), &NOTHING);
        assert!(Arc::ptr_eq(&kept.unwrap(), &again.unwrap()));
    }

    fn limited(rate: &str) -> RouteOptions {
        let rate = Some(RateLimit::new(Rate::try_new(rate).unwrap(), None));
        let limits = Some(Limits { rate, by: LimitBy::Route, ..Limits::default() });
        RouteOptions { restrictions: Some(Arc::new(Restrictions { limits, ..Restrictions::default() })), ..NOTHING }
    }

    fn rule(path: &str, rate: &str) -> Rule {
        Rule { path: Some(Pattern::try_new(path).unwrap()), options: limited(rate), ..Rule::default() }
    }

    #[test]
    fn what_is_counted_belongs_to_who_said_it_and_to_what_was_said() {
        let service = |name: &str| ServiceName::try_new(name).unwrap();
        let (shop, mail, method) = (service("shop"), service("mail"), MethodRule::Any);
        let (one, two) = (Pattern::try_new("/shop/one").unwrap(), Pattern::try_new("/shop/two").unwrap());
        let route = |service, pattern| Subject {
            service: Some(service),
            host: None,
            method: &method,
            pattern,
            is_public: false,
        };
        let mut rules = Rules::default();
        let live = |rules: &mut Rules, route, of_service: &RouteOptions, of_route: &RouteOptions| {
            let found = rules.of(route, of_service, of_route).unwrap();
            found.restrictions.iter().map(|one| Arc::clone(one.live.as_ref().unwrap())).collect::<Vec<_>>()
        };
        let of_service = live(&mut rules, route(&shop, &one), &limited("5/s"), &NOTHING);
        let other_route = live(&mut rules, route(&shop, &two), &limited("5/s"), &NOTHING);
        assert!(Arc::ptr_eq(&of_service[0], &other_route[0]), "a service's is shared by its routes");
        let both = live(&mut rules, route(&shop, &one), &limited("5/s"), &limited("5/s"));
        assert!(Arc::ptr_eq(&of_service[0], &both[0]) && !Arc::ptr_eq(&both[0], &both[1]), "a route's is its own");
        let other = live(&mut rules, route(&shop, &two), &NOTHING, &limited("5/s"));
        let mails = live(&mut rules, route(&mail, &one), &limited("5/s"), &limited("5/s"));
        let changed = live(&mut rules, route(&shop, &one), &limited("6/s"), &NOTHING);
        let all = [&of_service[0], &both[1], &other[0], &mails[0], &mails[1], &changed[0]];
        for (at, live) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| !Arc::ptr_eq(other, live) && other.id() != live.id()), "{at}");
        }
    }

    #[test]
    fn what_is_counted_under_a_rule_outlives_reloads_that_keep_it() {
        let method = MethodRule::Any;
        let (one, two) = (Pattern::try_new("/one").unwrap(), Pattern::try_new("/two").unwrap());
        let route = |pattern| Subject { service: None, host: None, method: &method, pattern, is_public: false };
        let mut rules = Rules::default();
        let lives = |rules: &mut Rules, pattern, of: Vec<Rule>| {
            rules.set_operators(of.into());
            let found = rules.of(route(pattern), &NOTHING, &NOTHING).unwrap();
            found.restrictions.iter().map(|one| Arc::clone(one.live.as_ref().unwrap())).collect::<Vec<_>>()
        };
        let first = lives(&mut rules, &one, vec![rule("/*", "5/s")]);
        let other_route = lives(&mut rules, &two, vec![rule("/*", "5/s")]);
        assert!(Arc::ptr_eq(&first[0], &other_route[0]), "all that the rule matches count together");
        let moved = lives(&mut rules, &one, vec![rule("/one", "1/s"), rule("/*", "5/s")]);
        assert!(Arc::ptr_eq(&first[0], &moved[1]), "wherever it stands");
        let twice = lives(&mut rules, &one, vec![rule("/*", "5/s"), rule("/*", "5/s")]);
        assert!(
            Arc::ptr_eq(&first[0], &twice[0]) && !Arc::ptr_eq(&twice[0], &twice[1]),
            "one that is there twice counts twice"
        );
        let changed = lives(&mut rules, &one, vec![rule("/*", "6/s")]);
        let back = lives(&mut rules, &one, vec![rule("/*", "5/s")]);
        assert!(!Arc::ptr_eq(&first[0], &changed[0]) && !Arc::ptr_eq(&first[0], &back[0]), "it was gone in between");
    }

    #[test]
    fn a_thousand_registrations_of_others_forget_nothing_that_is_in_force() {
        let method = MethodRule::Any;
        let pattern = Pattern::try_new("/a").unwrap();
        let mut rules = Rules::default();
        let of = |rules: &mut Rules, name: &str, rate: &str| {
            let service = ServiceName::try_new(name).unwrap();
            let route =
                Subject { service: Some(&service), host: None, method: &method, pattern: &pattern, is_public: false };
            rules.of(route, &limited(rate), &NOTHING).unwrap()
        };
        let kept = of(&mut rules, "kept", "5/s");
        for number in 0..1000 {
            drop(of(&mut rules, &format!("s{number}"), "5/s"));
            drop(of(&mut rules, "kept", &format!("{}/m", number + 1)));
        }
        let again = of(&mut rules, "kept", "5/s");
        let live = |rules: &RouteRules| Arc::clone(rules.restrictions[0].live.as_ref().unwrap());
        assert!(Arc::ptr_eq(&live(&kept), &live(&again)));
        assert!(rules.limited.count() < 8 * LEAST_SHARED, "{}", rules.limited.count());
    }
}
