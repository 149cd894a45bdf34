//! What holds for a route, and who said it.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    AskedHost, Compress, Cors, MessageHeaders, Mirror, Misfit, Restrictions, Rewrite, RouteOptions, Rule, Scope,
    Subject,
};

/// Who said something; who says it later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SaidBy {
    /// The service, of all its routes.
    Service,
    /// The service, of this route.
    Route,
    /// The rule at that place of the operator's.
    Rule(usize),
}

/// Something that restricts, for which of the route's requests (`None`: all), and who said it.
pub type Restricted = (Arc<Restrictions>, Option<Scope>, SaidBy);

/// What holds, and who said it last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// What browsers may do from other origins.
    pub cors: Option<(Arc<Cors>, SaidBy)>,
    /// What becomes of the path on its way to the service.
    pub rewrite: Option<(Arc<Rewrite>, SaidBy)>,
    /// Whether answers are compressed.
    pub compress: Option<(Compress, SaidBy)>,
    /// Which host the service is asked for.
    pub asked_host: Option<(AskedHost, SaidBy)>,
    /// How long the service may take.
    pub read_timeout: Option<(Duration, SaidBy)>,
    /// What is set and removed among headers; of several rules the last one is named.
    pub headers: Option<(Arc<MessageHeaders>, SaidBy)>,
    /// Of which requests a copy goes to another service.
    pub mirror: Option<(Arc<Mirror>, SaidBy)>,
    /// What restricts, in the order in which it was said.
    pub restrictions: Vec<Restricted>,
    /// The rules that match requests of the route and are skipped, by their place among the operator's, in that order.
    pub skipped_rules: Vec<(usize, Misfit)>,
}

impl Merged {
    /// The options of a route whose service says `of_service` of all its routes and `of_route` of this one, under these rules of the
    /// operator: a route overrides its service, a rule both, a later rule an earlier one. What restricts adds up, but for `auth`, which
    /// the last one decides that says it of a request; what a service says of it for all its routes is not for public ones.
    pub fn new(route: Subject<'_>, of_service: &RouteOptions, of_route: &RouteOptions, rules: &[Rule]) -> Self {
        let mut merged = Self::default();
        merged.take(of_service, SaidBy::Service, None);
        if route.is_public {
            // It says who may vouch for callers of whom something is asked, and makes no route that the service calls public a closed one.
            merged.restrictions.iter_mut().for_each(|(said, ..)| Arc::make_mut(said).auth = None);
            merged.restrictions.retain(|(said, ..)| !said.is_empty());
        }
        merged.take(of_route, SaidBy::Route, None);
        for (number, rule) in rules.iter().enumerate() {
            if let Some(applying) = rule.applying(route) {
                merged.take(&applying.options, SaidBy::Rule(number), applying.scope);
            }
            merged.skipped_rules.extend(rule.misfit(route).map(|why| (number, why)));
        }
        merged.part_from_credentials();
        // A rule for many routes may match those of the service that gets the copies as well.
        merged.mirror = merged.mirror.take().filter(|(mirror, _)| Some(&mirror.service) != route.service);
        merged
    }

    /// Takes `compress` away where it does not go with `cors`, and tells the rule that has brought them together. A service's own word
    /// was checked before.
    fn part_from_credentials(&mut self) {
        let (Some((compress, by)), Some((cors, cors_by))) = (self.compress, &self.cors) else { return };
        if compress.check_with(Some(cors)).is_ok() {
            return;
        }
        if let SaidBy::Rule(number) = by.max(*cors_by) {
            self.skipped_rules.push((number, Misfit::Credentials));
            self.skipped_rules.sort_by_key(|(number, _)| *number);
        }
        self.compress = None;
    }

    fn take(&mut self, options: &RouteOptions, by: SaidBy, scope: Option<Scope>) {
        let RouteOptions { cors, rewrite, compress, asked_host, read_timeout, headers, mirror, restrictions } = options;
        self.cors = cors.clone().map(|cors| (cors, by)).after(self.cors.take());
        self.rewrite = rewrite.clone().map(|rewrite| (rewrite, by)).after(self.rewrite.take());
        self.compress = compress.clone().map(|compress| (compress, by)).after(self.compress.take());
        self.asked_host = asked_host.clone().map(|host| (host, by)).after(self.asked_host.take());
        self.read_timeout = read_timeout.clone().map(|time| (time, by)).after(self.read_timeout.take());
        self.mirror = mirror.clone().map(|mirror| (mirror, by)).after(self.mirror.take());
        let before = self.headers.take();
        let headers = headers.clone().map(|edits| match &before {
            Some((before, _)) => (Arc::new(edits.after(before)), by),
            None => (edits, by),
        });
        self.headers = headers.after(before.clone());
        self.restrictions.extend(restrictions.clone().map(|restrictions| (restrictions, scope, by)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;
    use crate::model::{Host, MIRROR_BODY, MethodRule, Origins, Pattern, Percentage, Said, ServiceName};

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
        let route =
            Subject { service: Some(&service), host: None, method: &method, pattern: &pattern, is_public: false };
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
            let mut holding = Rules::default();
            holding.set_operators(rules.into());
            let rules = holding.of(route, of_service, of_route);
            let holds = rules.as_ref().and_then(|rules| rules.cors.as_ref()).map(|cors| cors.said());
            assert_eq!(holds, merged.cors.as_ref().map(|(cors, _)| &**cors));
            assert_eq!(rules.is_some(), merged.cors.is_some(), "a route without options has none");
        }
    }

    #[test]
    fn a_service_gets_no_copies_of_its_own_requests() {
        let [shop, next] = ["shop", "next"].map(|name| ServiceName::try_new(name).unwrap());
        let (method, pattern) = (MethodRule::Any, Pattern::try_new("/shop/*").unwrap());
        let mirror = |service: &ServiceName| {
            let methods = Box::from([http::Method::GET]);
            let mirror = Mirror { service: service.clone(), share: Percentage::ALL, methods, max_body: MIRROR_BODY };
            let options = RouteOptions { mirror: Said::Is(Arc::new(mirror)), ..RouteOptions::default() };
            Rule { options, ..Rule::default() }
        };
        for (service, rules, expected) in [
            (Some(&shop), vec![mirror(&next)], Some(&next)),
            (Some(&next), vec![mirror(&next)], None),
            (None, vec![mirror(&next)], Some(&next)),
            (Some(&next), vec![mirror(&shop), mirror(&next)], None),
            (Some(&next), vec![mirror(&next), mirror(&shop)], Some(&shop)),
        ] {
            let route = Subject { service, host: None, method: &method, pattern: &pattern, is_public: false };
            let merged = Merged::new(route, &RouteOptions::default(), &RouteOptions::default(), &rules);
            assert_eq!(merged.mirror.as_ref().map(|(mirror, _)| &mirror.service), expected, "{service:?}");
        }
    }

    #[test]
    fn compress_gives_way_to_credentials_of_cors_and_who_brought_them_together_is_told() {
        let service = ServiceName::try_new("shop").unwrap();
        let (method, pattern) = (MethodRule::Any, Pattern::try_new("/shop/*").unwrap());
        let route =
            Subject { service: Some(&service), host: None, method: &method, pattern: &pattern, is_public: false };
        let Said::Is(plain) = cors("https://a") else { panic!() };
        let with_credentials = Said::Is(Arc::new(Cors { credentials: true, ..(*plain).clone() }));
        let compress = || RouteOptions { compress: Said::Is(Compress), ..RouteOptions::default() };
        let off = || RouteOptions { compress: Said::Off, ..RouteOptions::default() };
        let nothing = RouteOptions::default;
        let credentials = || options(with_credentials.clone());
        let rule = |options: RouteOptions| Rule { options, ..Rule::default() };
        let misfit = |number| vec![(number, Misfit::Credentials)];
        for (of_service, of_route, rules, by, skipped_rules) in [
            (compress(), nothing(), vec![], Some(SaidBy::Service), vec![]),
            (compress(), off(), vec![], None, vec![]),
            (off(), compress(), vec![], Some(SaidBy::Route), vec![]),
            (compress(), nothing(), vec![rule(off())], None, vec![]),
            (nothing(), off(), vec![rule(compress())], Some(SaidBy::Rule(0)), vec![]),
            (options(cors("https://a")), nothing(), vec![rule(compress())], Some(SaidBy::Rule(0)), vec![]),
            (compress(), nothing(), vec![rule(nothing()), rule(credentials())], None, misfit(1)),
            (credentials(), nothing(), vec![rule(compress()), rule(nothing())], None, misfit(0)),
            (nothing(), credentials(), vec![rule(compress())], None, misfit(0)),
            (nothing(), nothing(), vec![rule(credentials()), rule(compress())], None, misfit(1)),
            (credentials(), nothing(), vec![rule(compress()), rule(options(Said::Off))], Some(SaidBy::Rule(0)), vec![]),
            (compress(), nothing(), vec![rule(credentials()), rule(off())], None, vec![]),
        ] {
            let merged = Merged::new(route, &of_service, &of_route, &rules);
            assert_eq!(merged.compress, by.map(|by| (Compress, by)), "{of_service:?} {of_route:?} {rules:?}");
            assert_eq!(merged.skipped_rules, skipped_rules, "{of_service:?} {of_route:?} {rules:?}");
            let mut holding = Rules::default();
            holding.set_operators(rules.into());
            let compresses = holding.of(route, &of_service, &of_route).is_some_and(|rules| rules.compresses);
            assert_eq!(compresses, by.is_some());
        }
    }

    /// Whatever of a route a rule matches: it restricts a request exactly where its selectors fit the request.
    #[test]
    fn a_rule_restricts_the_requests_that_its_selectors_fit_and_no_other() {
        let mut random = fastrand::Rng::with_seed(17);
        let services = ["shop", "mail"].map(|name| ServiceName::try_new(name).unwrap());
        let hosts = ["a.example", "b.example"].map(|name| Host::try_new(name).unwrap());
        let methods = ["*", "GET", "HEAD", "POST"].map(|name| MethodRule::try_new(name).unwrap());
        let patterns =
            ["/*", "/a", "/a/*", "/a/b", "/a/*/c", "/*/b", "/b/*"].map(|text| Pattern::try_new(text).unwrap());
        let restrictions = Restrictions { retries: Some(0), ..Restrictions::default() };
        let options = RouteOptions { restrictions: Some(Arc::new(restrictions)), ..RouteOptions::default() };
        let (nothing, mut told) = (RouteOptions::default(), [0; 2]);
        for _ in 0..40_000 {
            let service = random.choice(&services).filter(|_| random.bool());
            let host = random.choice(&hosts).filter(|_| random.bool());
            let (method, pattern) = (random.choice(&methods).unwrap(), random.choice(&patterns).unwrap());
            let route = Subject { service, host, method, pattern, is_public: false };
            let rule = Rule {
                service: random.choice(&services).filter(|_| random.bool()).cloned(),
                host: random.choice(&hosts).filter(|_| random.bool()).cloned(),
                path: random.choice(&patterns).filter(|_| random.bool()).cloned(),
                method: random.choice(&methods).filter(|_| random.bool()).cloned(),
                options: options.clone(),
            };
            let asked_host = host.unwrap_or_else(|| random.choice(&hosts).unwrap()).as_str();
            let asked = random.choice(["/a", "/a/b", "/a/b/c", "/b", "/b/a", "/b/b", "/a/x/c"]).unwrap();
            let sent =
                http::Method::from_bytes(random.choice(["GET", "HEAD", "POST", "PUT"]).unwrap().as_bytes()).unwrap();
            if !pattern.matches(asked) || !method.takes(&sent) {
                continue;
            }
            let expected = rule.service.as_ref().is_none_or(|own| Some(own) == service)
                && rule.host.as_ref().is_none_or(|own| own.as_str() == asked_host)
                && rule.path.as_ref().is_none_or(|own| own.matches(asked))
                && rule.method.as_ref().is_none_or(|own| own.takes(&sent));
            let merged = Merged::new(route, &nothing, &nothing, std::slice::from_ref(&rule));
            let has = |scope: &Option<Scope>| scope.as_ref().is_none_or(|scope| scope.has(asked_host, asked, &sent));
            let holds = merged.restrictions.iter().any(|(_, scope, _)| has(scope));
            assert_eq!(holds, expected, "{rule:?} {route} {sent} {asked_host}{asked}");
            assert_eq!(merged.skipped_rules, [], "nothing of it is left out");
            told[usize::from(expected)] += 1;
        }
        assert!(told.iter().all(|count| *count > 1_000), "{told:?}");
    }
}
