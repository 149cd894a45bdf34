//! Another configuration while the gateway runs: what it takes out, what it lets back in, and what it leaves alone.

use std::sync::Arc;
use std::time::Duration;

use super::routing::{fixed, found, text, url};
use super::{Command, Harness, Store, address, policy, settings, source};
use crate::model::{
    AuthMethods, CidrSet, Cors, Grant, Origins, Pattern, RouteOptions, Rule, Said, ServiceName, Status,
};
use crate::registry::{
    DnsSubject, Event, FirstProbe, HealthLimits, NameToken, Refusal, RegistrationPolicy, Report, Settings, StaticClaim,
    StaticRoute, StaticTarget, UnlistedRule,
};
use crate::routing::{Instance, ServiceIndex, ServiceKind};

/// A static route as it stands in a configuration: what is claimed, and where it leads.
fn claiming(mut policy: RegistrationPolicy, static_routes: &[StaticRoute]) -> Settings {
    let claim = |route: &StaticRoute| StaticClaim {
        host: route.host.clone(),
        method: route.method.clone(),
        pattern: route.pattern.clone(),
        exclusive: !route.pattern.is_open(),
    };
    policy.static_routes = static_routes.iter().map(claim).collect();
    settings(policy)
}

/// Puts these static routes in force under `policy`; gives the names of those that are kept out.
fn reconfigured(furt: &mut Harness, policy: RegistrationPolicy, static_routes: Vec<StaticRoute>) -> Vec<String> {
    let answer = furt.reconfigure(claiming(policy, &static_routes), static_routes);
    assert_eq!(answer.generation, furt.snapshot.generation, "what is answered is published");
    answer.suspended.iter().map(|(name, _)| name.to_string()).collect()
}

fn denied() -> RegistrationPolicy {
    RegistrationPolicy { unlisted: UnlistedRule::Deny, ..policy() }
}

/// Nobody but these services, anywhere.
fn granted(services: &[&str]) -> RegistrationPolicy {
    let grant = |name: &&str| {
        let anything = Grant {
            permissions: Default::default(),
            paths: vec![Pattern::try_new("/*").unwrap()],
            hosts: Vec::new(),
            upstreams: None,
            public: true,
            origins: Default::default(),
            auth: AuthMethods::api_key(),
            token: None,
            certificate: None,
        };
        (ServiceName::try_new(name).unwrap(), anything.into())
    };
    RegistrationPolicy { grants: services.iter().map(grant).collect(), ..denied() }
}

fn to_service(name: &str) -> StaticTarget {
    StaticTarget::Service(ServiceName::try_new(name).unwrap())
}

/// What a GET of `path` leads to.
fn instance_at(furt: &Harness, path: &str) -> (ServiceIndex, Arc<Instance>) {
    let route = furt.snapshot.table.iter().find(|route| route.pattern.matches(path)).unwrap();
    let index = route.owner.index();
    (index, Arc::clone(&furt.snapshot.service(index).unwrap().instances[0]))
}

#[test]
fn a_static_route_wins_at_once_and_what_it_overlaps_comes_back_without_it() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /x", "GET /y"])).unwrap();
    furt.register(&Command::new("b", &["GET /z"])).unwrap();
    let publishes = furt.publishes;
    let static_routes = || vec![fixed("GET /x", url("http://127.0.0.1:7901"))];
    assert_eq!(reconfigured(&mut furt, policy(), static_routes()), ["a"]);
    assert_eq!(furt.publishes, publishes + 1, "one publish");
    assert_eq!(["/x", "/y", "/z"].map(|path| found(&furt, path)), ["static", "404", "b"]);
    assert_eq!(furt.instances("a"), ["a"], "it is kept");
    let count = |furt: &Harness, wanted: fn(&Report) -> bool| furt.reports.iter().filter(|one| wanted(one)).count();
    assert_eq!(count(&furt, |one| matches!(one, Report::Suspended { .. })), 1);
    assert_eq!(reconfigured(&mut furt, policy(), static_routes()), ["a"]);
    assert_eq!(count(&furt, |one| matches!(one, Report::Suspended { .. })), 1, "it is reported once");
    assert_eq!(reconfigured(&mut furt, policy(), vec![]), [""; 0]);
    assert_eq!(["/x", "/y", "/z"].map(|path| found(&furt, path)), ["a", "a", "b"]);
    assert_eq!(count(&furt, |one| matches!(one, Report::Reinstated(_))), 1);
}

#[test]
fn a_grant_that_is_withdrawn_keeps_its_service_out_and_one_that_is_given_back_lets_it_in() {
    let mut furt = Harness::with(settings(granted(&["a", "b"])), vec![]);
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.register(&Command::new("b", &["GET /b"])).unwrap();
    furt.probe("a", "+");
    assert_eq!(reconfigured(&mut furt, granted(&["b"]), vec![]), ["a"]);
    assert_eq!(["/a", "/b"].map(|path| found(&furt, path)), ["404", "b"]);
    assert!(matches!(furt.register(&Command::new("a", &["GET /a"])), Err(Refusal::BeyondGrant(_))));
    furt.probe("a", "---");
    assert_eq!(furt.status("a"), Some(Status::Down), "it is probed meanwhile");
    furt.probe("a", "+");
    assert_eq!(reconfigured(&mut furt, granted(&["a", "b"]), vec![]), [""; 0]);
    assert_eq!(found(&furt, "/a"), "a");
    let local = RegistrationPolicy { upstreams: CidrSet::try_new(&["10.0.0.0/8"]).unwrap(), ..granted(&["a", "b"]) };
    assert_eq!(reconfigured(&mut furt, local, vec![]), ["a", "b"], "an address that is allowed no more");
}

#[test]
fn of_two_that_are_eligible_again_the_first_by_name_has_the_route() {
    let mut furt = Harness::new();
    furt.register(&Command::new("b", &["GET /x"])).unwrap();
    assert_eq!(reconfigured(&mut furt, denied(), vec![]), ["b"]);
    // Its path is free meanwhile, and another takes it.
    assert_eq!(reconfigured(&mut furt, granted(&["c"]), vec![]), ["b"]);
    furt.register(&Command::new("c", &["GET /x"])).unwrap();
    assert_eq!(reconfigured(&mut furt, policy(), vec![]), ["b"], "it is eligible, and those that are go first");
    assert_eq!(found(&furt, "/x"), "c");
    // Both out, both let in again: one has it.
    assert_eq!(reconfigured(&mut furt, denied(), vec![]), ["b", "c"]);
    assert_eq!(reconfigured(&mut furt, policy(), vec![]), ["c"]);
    assert_eq!(found(&furt, "/x"), "b");
    // What the one gives up in a change the other has by the same change.
    assert_eq!(reconfigured(&mut furt, granted(&["c"]), vec![]), ["b"]);
    assert_eq!(found(&furt, "/x"), "c");
}

#[test]
fn a_static_route_that_leads_where_it_led_keeps_its_counters_and_its_addresses() {
    let mut furt = Harness::new();
    let static_routes = |first: &str, permission: &str| {
        vec![
            fixed(&format!("GET /{first}"), url("http://127.0.0.1:7902")),
            fixed(&format!("GET /x{permission}"), url("http://mail.example:25")),
        ]
    };
    reconfigured(&mut furt, policy(), static_routes("first", ""));
    let (index, before) = instance_at(&furt, "/x");
    let token = furt.names[&DnsSubject::Static(index)].token;
    let resolved = |address_text: &str, token| Event::NameResolved {
        subject: DnsSubject::Static(index),
        token,
        addresses: [address(address_text)].into_iter().collect(),
    };
    furt.send(resolved("10.0.0.7:25", token));
    let mut turned = static_routes("other", " mail:send");
    turned.reverse();
    reconfigured(&mut furt, policy(), turned);
    let (index_after, after) = instance_at(&furt, "/x");
    assert_eq!(index_after, index);
    assert!(Arc::ptr_eq(&before.live, &after.live), "its counters");
    assert_eq!(after.addresses[..], [address("10.0.0.7:25")], "what its name resolved to");
    let route = furt.snapshot.table.iter().find(|route| route.pattern.matches("/x")).unwrap();
    assert_eq!(route.permission.as_ref().map(|one| one.as_str()), Some("mail:send"), "its new permission");
    assert_eq!(furt.names.len(), 1);
    // Another target is another route, and an answer about the name before says nothing of it.
    reconfigured(&mut furt, policy(), vec![fixed("GET /x", url("http://post.example:25"))]);
    let (index_after, after) = instance_at(&furt, "/x");
    assert!(!Arc::ptr_eq(&before.live, &after.live) && after.addresses.is_empty());
    assert_eq!(furt.names.len(), 1);
    assert_eq!(&*furt.names[&DnsSubject::Static(index_after)].name, "post.example");
    for late in [NameToken(0), token] {
        furt.send(Event::NameResolved {
            subject: DnsSubject::Static(index_after),
            token: late,
            addresses: [address("10.0.0.8:25")].into_iter().collect(),
        });
        assert!(instance_at(&furt, "/x").1.addresses.is_empty());
    }
    reconfigured(&mut furt, policy(), vec![]);
    assert_eq!((furt.names.len(), furt.snapshot.table.len()), (0, 0));
}

#[test]
fn a_static_route_to_a_service_leads_there_at_once_and_no_more_when_it_is_gone() {
    let mut furt = Harness::new();
    furt.register(&Command::new("mail", &["GET /mail"])).unwrap();
    for _ in 0..10 {
        reconfigured(&mut furt, policy(), vec![fixed("GET /send", to_service("mail"))]);
        assert_eq!(["/send", "/mail"].map(|path| found(&furt, path)), ["mail", "mail"]);
        furt.probe("mail", "---");
        assert_eq!(["/send", "/mail"].map(|path| found(&furt, path)), ["503", "503"]);
        furt.probe("mail", "+");
        reconfigured(&mut furt, policy(), vec![fixed("GET /send", to_service("other"))]);
        assert_eq!(["/send", "/mail"].map(|path| found(&furt, path)), ["503", "mail"]);
        reconfigured(&mut furt, policy(), vec![]);
        assert_eq!(["/send", "/mail"].map(|path| found(&furt, path)), ["404", "mail"]);
    }
    assert!(furt.snapshot.services.len() <= 3, "slots are used again: {}", furt.snapshot.services.len());
}

#[test]
fn a_registration_that_was_checked_under_the_rules_before_is_evaluated_when_it_is_installed() {
    let static_routes = || vec![fixed("GET /x", url("http://127.0.0.1:7901"))];
    for is_known in [false, true] {
        let mut furt = Harness::new();
        if is_known {
            furt.register(&Command::new("a", &["GET /before"])).unwrap();
        }
        furt.store = Store::Waits;
        let reply = furt.ask(&Command::new("a", &["GET /x", "GET /y"]));
        reconfigured(&mut furt, policy(), static_routes());
        furt.finish(Store::Works);
        assert!(furt.answers[&reply].is_ok(), "it was answered for what it was checked against");
        assert!(furt.service("a").unwrap().suspended.as_deref().is_some_and(|why| why.contains("static route")));
        assert_eq!(["/x", "/y", "/before"].map(|path| found(&furt, path)), ["static", "404", "404"]);
        furt.store = Store::Works;
        furt.register(&Command::new("b", &["GET /y"])).unwrap();
        assert_eq!(reconfigured(&mut furt, policy(), vec![]), ["a"], "/y is taken");
        furt.deregister("b", source("127.0.0.1")).unwrap();
        assert_eq!(reconfigured(&mut furt, policy(), vec![]), [""; 0]);
        assert_eq!(["/x", "/y"].map(|path| found(&furt, path)), ["a", "a"]);
    }
}

#[test]
fn a_write_that_is_refused_gives_back_what_its_registration_held() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /x"]));
    reconfigured(&mut furt, denied(), vec![]);
    furt.finish(Store::Fails);
    furt.store = Store::Works;
    reconfigured(&mut furt, policy(), vec![]);
    furt.register(&Command::new("b", &["GET /x"])).unwrap();
}

#[test]
fn what_a_registration_held_on_its_way_to_the_store_is_free_for_those_kept_out() {
    let mut furt = Harness::with(settings(granted(&["b"])), vec![]);
    furt.register(&Command::new("b", &["GET /x"])).unwrap();
    assert_eq!(reconfigured(&mut furt, granted(&["a"]), vec![]), ["b"]);
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /x"]));
    assert_eq!(reconfigured(&mut furt, granted(&["b"]), vec![]), ["b"], "the other may still come");
    furt.finish(Store::Works);
    assert_eq!(found(&furt, "/x"), "b");
    assert!(furt.service("a").unwrap().suspended.is_some());
}

#[test]
fn a_service_that_could_not_leave_stays_by_the_rules_of_today() {
    let static_routes = || vec![fixed("GET /x", url("http://127.0.0.1:7901"))];
    let leave = |rules_before: RegistrationPolicy, rules_after: RegistrationPolicy, static_routes: Vec<StaticRoute>| {
        let mut furt = Harness::new();
        furt.register(&Command::new("a", &["GET /x"])).unwrap();
        reconfigured(&mut furt, rules_before, vec![]);
        furt.store = Store::Waits;
        furt.ask_to_deregister("a", source("127.0.0.1"));
        assert_eq!(reconfigured(&mut furt, rules_after, static_routes), [""; 0], "what leaves is not shown");
        furt.finish(Store::Fails);
        (found(&furt, "/x"), furt.service("a").unwrap().suspended.is_some())
    };
    assert_eq!(leave(policy(), policy(), static_routes()), ("static".to_owned(), true));
    assert_eq!(leave(policy(), denied(), vec![]), ("404".to_owned(), true));
    assert_eq!(leave(denied(), policy(), vec![]), ("a".to_owned(), false));
    assert_eq!(leave(policy(), policy(), vec![]), ("a".to_owned(), false));
    // Who leaves takes no route from those that stay, not even where it comes to stay.
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /x"])).unwrap();
    reconfigured(&mut furt, granted(&["b"]), vec![]);
    furt.register(&Command::new("b", &["GET /x"])).unwrap();
    reconfigured(&mut furt, denied(), vec![]);
    furt.store = Store::Waits;
    furt.ask_to_deregister("a", source("127.0.0.1"));
    reconfigured(&mut furt, policy(), vec![]);
    assert_eq!(found(&furt, "/x"), "b");
    furt.finish(Store::Fails);
    assert_eq!(found(&furt, "/x"), "b");
    assert!(furt.service("a").unwrap().suspended.as_deref().is_some_and(|why| why.contains("\"b\"")));
}

#[test]
fn probes_go_by_the_new_periods_and_what_is_under_way_counts() {
    let mut furt = Harness::new();
    for name in ["up", "down", "new"] {
        furt.register(&Command::new(name, &[&format!("GET /{name}")])).unwrap();
    }
    furt.register(&Command::new("unprobed", &["GET /unprobed"]).unprobed()).unwrap();
    furt.probe("up", "+");
    furt.probe("down", "+---");
    let before = furt.plans.clone();
    let mut rules = settings(policy());
    furt.reconfigure(rules.clone(), vec![]);
    assert_eq!(furt.plans, before, "the same numbers change no plan");
    rules.health.interval = Duration::from_secs(5);
    furt.reconfigure(rules.clone(), vec![]);
    let plan = |furt: &Harness, name: &str| furt.plans[&super::instance(name)].clone();
    assert_eq!((plan(&furt, "up").first, plan(&furt, "up").period), (FirstProbe::WithinPeriod, Duration::from_secs(5)));
    assert_eq!(plan(&furt, "up").token, before[&super::instance("up")].token, "the token holds");
    for name in ["down", "new"] {
        assert_eq!(plan(&furt, name), before[&super::instance(name)], "{name}");
    }
    rules.health.interval_down = Duration::from_secs(7);
    furt.reconfigure(rules, vec![]);
    assert_eq!(plan(&furt, "down").period, Duration::from_secs(7));
    assert!(!furt.plans.contains_key(&super::instance("unprobed")));
}

#[test]
fn numbers_of_failures_hold_from_the_next_verdict_on() {
    let limits = |failures_to_down, failures_to_stop| {
        let rules = settings(policy());
        Settings { health: HealthLimits { failures_to_down, failures_to_stop, ..rules.health }, ..rules }
    };
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.probe("a", "+--");
    furt.reconfigure(limits(1, 10), vec![]);
    assert_eq!(furt.status("a"), Some(Status::Up));
    furt.probe("a", "-");
    assert_eq!(furt.status("a"), Some(Status::Down));
    furt.reconfigure(limits(6, 10), vec![]);
    furt.probe("a", "-");
    assert_eq!(furt.status("a"), Some(Status::Down), "only a success ends it");
    furt.reconfigure(limits(2, 5), vec![]);
    furt.probe("a", "-");
    assert!(!furt.plans.contains_key(&super::instance("a")), "the fifth failure ends the probing");
}

#[test]
fn another_heartbeat_ttl_holds_for_an_instance_once_it_was_answered_with_it() {
    let ttl = |seconds| Settings { heartbeat_ttl: Duration::from_secs(seconds), ..settings(policy()) };
    let mut furt = Harness::new();
    furt.register(&Command::new("own", &["GET /own"]).ttl(100)).unwrap();
    for name in ["heard", "silent"] {
        furt.register(&Command::new(name, &[&format!("GET /{name}")])).unwrap();
        furt.heartbeat(name, source("127.0.0.1")).unwrap();
    }
    furt.reconfigure(ttl(10), vec![]);
    furt.pass(5);
    furt.heartbeat("heard", source("127.0.0.1")).unwrap();
    furt.pass(9);
    assert_eq!(furt.instances("heard"), ["heard"]);
    furt.pass(2);
    assert_eq!(furt.instances("heard"), [""; 0]);
    assert_eq!((furt.instances("silent"), furt.instances("own")), (vec!["silent"], vec!["own"]));
    furt.pass(46);
    assert_eq!((furt.instances("silent"), furt.instances("own")), (vec![], vec!["own"]));
    // A longer one as well, also where the instance registers again instead of sending heartbeats.
    furt.register(&Command::new("long", &["GET /long"])).unwrap();
    furt.heartbeat("long", source("127.0.0.1")).unwrap();
    furt.reconfigure(ttl(200), vec![]);
    assert!(!furt.register(&Command::new("long", &["GET /long"])).unwrap().is_change);
    furt.pass(199);
    assert_eq!(furt.instances("long"), ["long"]);
    furt.pass(2);
    assert_eq!(furt.instances("long"), [""; 0]);
}

#[test]
fn a_domain_of_hosts_stays_as_it_was_at_the_start() {
    let mut furt = Harness::new();
    furt.register(&Command::new("shop", &[])).unwrap();
    let other = RegistrationPolicy { apps_domain: crate::model::Host::try_new("apps.example").unwrap(), ..policy() };
    furt.store = Store::Waits;
    furt.ask(&Command::new("pending", &[]));
    furt.ask(&Command::new("refused", &[]));
    reconfigured(&mut furt, other, vec![]);
    furt.finish(Store::Works);
    furt.finish(Store::Fails);
    furt.store = Store::Works;
    for name in ["shop", "pending"] {
        assert_eq!(furt.usable(&format!("{name}.internal"), "/a"), [name]);
        furt.deregister(name, source("127.0.0.1")).unwrap();
    }
}

/// Configurations come and go between everything else; what is asked here is seen from outside, and the invariants are
/// swept after each event besides.
#[test]
fn whatever_comes_between_static_routes_lead_and_services_are_eligible_or_say_why() {
    const PATHS: [&str; 4] = ["GET /x", "GET /y", "* /x", "GET /x/*"];
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut furt = Harness::new();
        furt.store = Store::Waits;
        let mut static_routes: Vec<StaticRoute> = Vec::new();
        let mut rules = policy();
        for _ in 0..120 {
            let name = NAMES[random.usize(..4)];
            match random.u8(..10) {
                0..4 => {
                    let routes: Vec<_> = PATHS.into_iter().filter(|_| random.bool()).take(2).collect();
                    furt.ask(&Command::new(name, &routes));
                }
                4 => _ = furt.ask_to_deregister(name, source("127.0.0.1")),
                5..8 => {
                    let store = if random.u8(..4) == 0 { Store::Fails } else { Store::Works };
                    (0..random.usize(..=furt.writes.len())).for_each(|_| furt.finish(store));
                }
                _ => {
                    static_routes = Vec::new();
                    // Never two on one pattern whose methods overlap: no configuration has them.
                    for path in if random.bool() { ["GET /x", "GET /x/*"] } else { ["* /x", "GET /y"] } {
                        let target = match random.u8(..5) {
                            0 => continue,
                            1 => to_service(NAMES[random.usize(..4)]),
                            2 => url("http://127.0.0.1:7901"),
                            3 => text(["a", "b"][random.usize(..2)]),
                            _ => url("http://mail.example:25"),
                        };
                        static_routes.push(fixed(path, target));
                    }
                    let named: Vec<_> = NAMES.into_iter().filter(|_| random.bool()).collect();
                    rules = if random.bool() { policy() } else { granted(&named) };
                    let suspended = reconfigured(&mut furt, rules.clone(), static_routes.clone());
                    for name in NAMES.iter().filter(|name| furt.service(name).is_some()) {
                        let is_suspended = furt.service(name).unwrap().suspended.is_some();
                        assert_eq!(suspended.iter().any(|one| one == name), is_suspended, "seed {seed}: {name}");
                    }
                }
            }
            for service in furt.snapshot.registered() {
                let name = &service.definition.service;
                let shown = furt.snapshot.table.iter().filter(|route| {
                    matches!(route.owner, crate::routing::Owner::Service(_))
                        && furt.snapshot.service(route.owner.index()).is_some_and(|one| Arc::ptr_eq(one, service))
                });
                let full =
                    service.definition.routes.len().max(if service.definition.routes.is_empty() { 2 } else { 0 });
                let expected = if service.suspended.is_some() { 0 } else { full };
                assert_eq!(shown.count(), expected, "seed {seed}: {name} {:?}", service.suspended);
                if service.suspended.is_none() && rules.unlisted == UnlistedRule::Deny {
                    assert!(rules.grants.contains_key(name), "seed {seed}: {name} is eligible without a grant");
                }
                assert_ne!(service.suspended.as_deref(), Some(""), "seed {seed}: {name} is evaluated");
            }
            for route in &static_routes {
                let shown = furt.snapshot.table.iter().find(|one| {
                    (&one.pattern, &one.method) == (&route.pattern, &route.method)
                        && matches!(one.owner, crate::routing::Owner::Static(_))
                });
                let index = shown.unwrap_or_else(|| panic!("seed {seed}: {:?} is lost", route.pattern)).owner.index();
                let seen = furt.snapshot.service(index);
                match &route.target {
                    StaticTarget::Url { spec, .. } => assert_eq!(seen.unwrap().instances[0].spec.url, spec.url),
                    StaticTarget::Service(name) => {
                        let wanted = furt.snapshot.service_named(name.as_str());
                        assert_eq!(seen.map(Arc::as_ptr), wanted.map(Arc::as_ptr), "seed {seed}: {name}");
                    }
                    StaticTarget::Answer(answer) => {
                        assert_eq!(seen.unwrap().kind, ServiceKind::Answers(answer.clone()), "seed {seed}");
                    }
                }
            }
        }
        assert!(furt.snapshot.services.len() <= NAMES.len() * 2 + 4, "seed {seed}: slots are used again");
    }
}

/// What browsers may read a GET of `path` from, as it is published.
fn origins(furt: &Harness, path: &str) -> String {
    let route = furt.snapshot.table.iter().find(|route| route.pattern.matches(path)).unwrap();
    let cors = route.rules.as_ref().and_then(|rules| rules.cors.as_ref());
    cors.map(|cors| cors.said().origins.texts().concat()).unwrap_or_default()
}

#[test]
fn other_rules_hold_at_once_for_routes_that_stay_and_for_those_that_come() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    let rule = |path: &str, origin: &str| Rule {
        path: Some(Pattern::try_new(path).unwrap()),
        options: RouteOptions {
            cors: Said::Is(Arc::new(Cors::new(Origins::try_new(&[origin]).unwrap()))),
            ..RouteOptions::default()
        },
        ..Rule::default()
    };
    let under = |furt: &mut Harness, rules: Vec<Rule>, static_routes| {
        let settings = Settings { rules: rules.into(), ..settings(policy()) };
        furt.reconfigure(settings, static_routes).skipped_rules
    };
    let leads = || vec![fixed("GET /x", url("http://127.0.0.1:7901")), fixed("GET /y/*", url("http://127.0.0.1:7901"))];
    assert_eq!(under(&mut furt, vec![rule("/*", "https://one")], leads()), []);
    furt.register(&Command::new("b", &["GET /b"])).unwrap();
    assert_eq!(["/a", "/b", "/x"].map(|path| origins(&furt, path)), ["https://one"; 3]);
    let told = under(&mut furt, vec![rule("/a", "https://two"), rule("/y/z", "https://three")], leads());
    assert_eq!(["/a", "/b", "/x", "/y/z"].map(|path| origins(&furt, path)), ["https://two", "", "", ""]);
    let told: Vec<_> = told.iter().map(|one| (one.rule, &*one.route, one.service.is_none())).collect();
    assert_eq!(told, [(1, "GET /y/*", true)]);
    // A service that may not stand is no obstacle, and comes back under the rules of then.
    let settings = |policy, rules: Vec<Rule>| Settings { rules: rules.into(), ..settings(policy) };
    furt.reconfigure(settings(denied(), vec![rule("/b", "https://four")]), vec![]);
    assert_eq!(found(&furt, "/b"), "404");
    furt.reconfigure(settings(policy(), vec![rule("/b", "https://four")]), vec![]);
    assert_eq!(["/a", "/b"].map(|path| origins(&furt, path)), ["", "https://four"]);
}
