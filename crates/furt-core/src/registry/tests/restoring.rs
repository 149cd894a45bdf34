//! A restart: what comes back from the store, and what is not eligible any more.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Command, Harness, Store, policy, settings, source};
use crate::model::{AuthMethods, CidrSet, DrainUntil, Grant, InstanceId, MethodRule, Pattern, ServiceName, Status};
use crate::registry::{
    Answer, Drain, FirstProbe, Refusal, RegistrationPolicy, Report, Settings, StaticClaim, UnlistedRule,
};

fn restarted_under(harness: &mut Harness, policy: RegistrationPolicy) {
    harness.restart(settings(policy), Vec::new());
}

fn restarted(harness: &mut Harness) {
    restarted_under(harness, policy());
}

fn suspended(harness: &Harness, name: &str) -> Option<String> {
    harness.service(name).unwrap().suspended.as_deref().map(str::to_owned)
}

/// Restored but not in the table, shown and reported with the reason.
fn is_kept_but_not_routed(harness: &Harness, name: &str, path: &str, why: &str) {
    let shown = suspended(harness, name).expect("it is suspended");
    assert!(shown.contains(why), "{shown}");
    assert_eq!(harness.usable("h", path), [""; 0]);
    assert_eq!(harness.instances(name), [name]);
    let reported = harness.reports.iter().filter(|report| match report {
        Report::Suspended { service, why } => service.as_str() == name && **why == *shown,
        _ => false,
    });
    assert_eq!(reported.count(), 1, "{:?}", harness.reports);
}

#[test]
fn what_was_down_is_down_and_what_was_up_is_unknown_and_routable() {
    let mut harness = Harness::new();
    for name in ["up", "down", "new", "unprobed"] {
        let command = Command::new(name, &[&format!("GET /{name}")]);
        harness.register(&if name == "unprobed" { command.unprobed() } else { command }).unwrap();
    }
    harness.probe("up", "+");
    harness.probe("down", "---");
    restarted(&mut harness);
    for (name, status, usable) in [
        ("up", Status::Unknown, true),
        ("down", Status::Down, false),
        ("new", Status::Unknown, true),
        ("unprobed", Status::Up, true),
    ] {
        assert_eq!(harness.status(name), Some(status), "{name}");
        assert_eq!(!harness.usable("h", &format!("/{name}")).is_empty(), usable, "{name}");
    }
    assert_eq!(harness.snapshot.table.len(), 4, "the routes of what is DOWN are known: 503, not 404");
    let plans: Vec<_> = harness.plans.iter().map(|(instance, plan)| (instance.id.as_str(), plan.first)).collect();
    assert_eq!(plans, [("down", FirstProbe::Spread), ("new", FirstProbe::Spread), ("up", FirstProbe::Spread)]);
    assert!(harness.reports.is_empty(), "a restart is no change of status: {:?}", harness.reports);
}

#[test]
fn what_was_up_is_asked_before_what_was_never_probed_good_until_a_probe_fails() {
    let mut harness = Harness::new();
    for id in ["new", "up", "fails"] {
        harness.register(&Command::new("a", &["GET /a"]).id(id)).unwrap();
    }
    harness.probe("a/up", "+");
    harness.probe("a/fails", "+");
    let proven = |harness: &Harness| -> Vec<String> {
        let instances = &harness.service("a").unwrap().instances;
        let proven = instances.iter().filter(|one| one.status == Status::Up || one.live.is_restored_up());
        proven.map(|one| one.spec.id.to_string()).collect()
    };
    for _ in 0..2 {
        restarted(&mut harness);
        assert_eq!(proven(&harness), ["fails", "up"]);
        assert!(harness.kept.is_empty(), "it is noted already: {:?}", harness.kept);
    }
    harness.probe("a/up", "+");
    harness.probe("a/fails", "-");
    assert_eq!(proven(&harness), ["up"]);
    assert!(harness.kept.is_empty(), "{:?}", harness.kept);
    harness.probe("a/fails", "--");
    harness.register(&Command::new("a", &["GET /a"]).id("up").weight(3)).unwrap();
    restarted(&mut harness);
    assert_eq!(proven(&harness), ["up"], "a registration that keeps the health keeps this");
    harness.register(&Command::new("a", &["GET /a"]).id("up").at("http://127.0.0.1:9001", &[])).unwrap();
    assert_eq!(proven(&harness), [""; 0], "one that does not, does not");
}

#[test]
fn what_was_down_goes_on_from_there() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"])).unwrap();
    harness.probe("a", "---");
    restarted(&mut harness);
    harness.probe("a", "-");
    assert_eq!(harness.status("a"), Some(Status::Down));
    harness.probe("a", "+");
    assert_eq!(harness.usable("h", "/a"), ["a"]);
    restarted(&mut harness);
    assert_eq!(harness.status("a"), Some(Status::Unknown));
    harness.probe("a", "---");
    harness.register(&Command::new("a", &["GET /a"]).at("http://127.0.0.1:9001", &[])).unwrap();
    restarted(&mut harness);
    assert_eq!(harness.status("a"), Some(Status::Unknown), "it was registered anew since it was DOWN");
}

#[test]
fn every_ttl_begins_anew() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).ttl(10)).unwrap();
    harness.pass(9);
    restarted(&mut harness);
    harness.pass_ms(9_900);
    assert_eq!(harness.instances("a"), ["a"]);
    harness.pass_ms(1_100);
    assert_eq!(harness.instances("a"), [""; 0]);
}

#[test]
fn who_heartbeats_without_a_ttl_of_its_own_is_held_to_it_after_a_restart() {
    let mut harness = Harness::new();
    for name in ["beats", "silent"] {
        harness.register(&Command::new(name, &[&format!("GET /{name}")]).unprobed()).unwrap();
    }
    for _ in 0..3 {
        harness.heartbeat("beats", source("127.0.0.1")).unwrap();
        harness.pass(9);
    }
    assert_eq!(harness.kept.len(), 1, "noted once: {:?}", harness.kept);
    // It was promised the default of before, and does not know of another one yet.
    let shorter = Settings { heartbeat_ttl: Duration::from_secs(20), ..settings(policy()) };
    for _ in 0..2 {
        harness.restart(shorter.clone(), Vec::new());
        assert!(harness.kept.is_empty(), "as it was: {:?}", harness.kept);
        harness.pass_ms(59_900);
        assert_eq!(harness.instances("beats"), ["beats"], "in full");
    }
    harness.pass_ms(1_100);
    assert_eq!(harness.instances("beats"), [""; 0]);
    assert_eq!(harness.instances("silent"), ["silent"], "nobody waits for its heartbeats");
}

#[test]
fn an_instance_alone_is_held_to_the_default_ttl_from_its_registration_on_and_over_restarts() {
    let mut harness = Harness::new();
    let alone = Command::new("a", &[]).alone().unprobed();
    assert_eq!(harness.register(&alone).unwrap().heartbeat_ttl.as_secs(), 60);
    harness.register(&Command::new("silent", &[]).alone().unprobed()).unwrap();
    assert!(harness.kept.is_empty(), "it is stored with the registration: {:?}", harness.kept);
    let shorter = Settings { heartbeat_ttl: Duration::from_secs(20), ..settings(policy()) };
    harness.restart(shorter.clone(), Vec::new());
    harness.pass_ms(59_900);
    assert_eq!((harness.instances("a"), harness.instances("silent")), (vec!["a"], vec!["silent"]), "as was promised");
    // Just so again, and draining: either is a heartbeat, and its answer tells the new one.
    assert_eq!(harness.register(&alone).unwrap().heartbeat_ttl.as_secs(), 20);
    harness.pass_ms(19_900);
    assert_eq!(harness.instances("silent"), [""; 0]);
    harness.drain("a", Drain::Begins(DrainUntil::Registration), source("127.0.0.1")).unwrap();
    assert_eq!(harness.register(&alone).unwrap().heartbeat_ttl.as_secs(), 20);
    harness.pass_ms(19_900);
    harness.restart(shorter, Vec::new());
    harness.pass_ms(19_900);
    assert_eq!(harness.instances("a"), ["a"]);
    harness.pass_ms(1_100);
    assert_eq!(harness.instances("a"), [""; 0]);
}

#[test]
fn another_default_ttl_while_an_instance_alone_is_written_holds_from_its_next_heartbeat_on() {
    let mut harness = Harness::new();
    harness.store = Store::Waits;
    let reply = harness.ask(&Command::new("a", &[]).alone().unprobed());
    harness.reconfigure(Settings { heartbeat_ttl: Duration::from_secs(20), ..settings(policy()) }, Vec::new());
    harness.finish(Store::Works);
    let Ok(Answer::Registered(registered)) = &harness.answers[&reply] else { panic!("it is registered") };
    assert_eq!(registered.heartbeat_ttl.as_secs(), 60, "as it is stored");
    harness.pass_ms(59_900);
    assert_eq!(harness.instances("a"), ["a"]);
    harness.heartbeat("a", source("127.0.0.1")).unwrap();
    harness.pass_ms(19_900);
    assert_eq!(harness.instances("a"), ["a"]);
    harness.pass_ms(100);
    assert_eq!(harness.instances("a"), [""; 0]);
}

#[test]
fn an_instance_that_was_never_to_be_heard_is_once_it_registers_alone() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).unprobed()).unwrap();
    assert!(!harness.register(&Command::new("a", &[]).alone().unprobed()).unwrap().is_change);
    restarted(&mut harness);
    harness.pass(60);
    assert_eq!(harness.instances("a"), [""; 0]);
}

#[test]
fn another_default_ttl_is_noted_with_the_heartbeat_whose_answer_tells_it() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).unprobed()).unwrap();
    harness.heartbeat("a", source("127.0.0.1")).unwrap();
    let shorter = Settings { heartbeat_ttl: Duration::from_secs(20), ..settings(policy()) };
    harness.restart(shorter.clone(), Vec::new());
    harness.heartbeat("a", source("127.0.0.1")).unwrap();
    harness.restart(shorter, Vec::new());
    harness.pass_ms(19_900);
    assert_eq!(harness.instances("a"), ["a"]);
    harness.pass_ms(1_100);
    assert_eq!(harness.instances("a"), [""; 0]);
}

#[test]
fn who_registered_anew_and_has_not_beaten_since_has_no_ttl_after_a_restart() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).unprobed()).unwrap();
    harness.heartbeat("a", source("127.0.0.1")).unwrap();
    let shown = |harness: &Harness| harness.service("a").unwrap().instances[0].live.ttl_ms.load(Ordering::Relaxed);
    assert_eq!(shown(&harness), 60_000);
    harness.register(&Command::new("a", &["GET /a"]).unprobed().weight(2)).unwrap();
    assert_eq!(shown(&harness), 0);
    restarted(&mut harness);
    harness.pass(600);
    assert_eq!(harness.instances("a"), ["a"]);
}

#[test]
fn a_name_leads_where_it_led_last_until_it_is_looked_up() {
    let mut harness = Harness::new();
    let command = Command::new("a", &["GET /a"]).at("http://a.example", &["10.0.0.1:80"]);
    harness.register(&command).unwrap();
    harness.resolve("a", &["10.0.0.2:80", "10.0.0.3:80"]);
    harness.resolve("a", &["192.0.2.1:80"]);
    restarted(&mut harness);
    let addresses = |harness: &Harness| -> Vec<_> {
        let instances = &harness.service("a").unwrap().instances;
        instances.iter().flat_map(|one| one.addresses.iter().map(ToString::to_string)).collect()
    };
    assert_eq!(addresses(&harness), ["10.0.0.2:80", "10.0.0.3:80"], "where it may not lead it did not");
    assert!(!harness.register(&command).unwrap().is_change, "it is registered just so");
    harness.register(&command.weight(2)).unwrap();
    restarted(&mut harness);
    assert_eq!(addresses(&harness), ["10.0.0.1:80"], "where it was found as it registered");
}

#[test]
fn a_service_without_instances_is_held_and_freed() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).ttl(10)).unwrap();
    harness.pass(12);
    assert_eq!(harness.status("a"), Some(Status::Down));
    restarted(&mut harness);
    assert_eq!((harness.status("a"), harness.snapshot.table.len()), (Some(Status::Down), 1));
    harness.pass(59);
    assert_eq!(harness.snapshot.table.len(), 1);
    harness.pass(2);
    assert_eq!((harness.status("a"), harness.snapshot.table.len()), (None, 0));
    restarted(&mut harness);
    assert_eq!(harness.status("a"), None);
}

#[test]
fn ids_and_routes_are_owned_again() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).id("one").from("10.0.0.1")).unwrap();
    restarted(&mut harness);
    for conflict in [Command::new("b", &["GET /a"]), Command::new("b", &["GET /b"]).id("one")] {
        assert!(matches!(harness.register(&conflict), Err(Refusal::Taken { .. })));
    }
    let foreign = harness.register(&Command::new("a", &["GET /other"]).id("one").from("10.0.0.2"));
    assert!(matches!(foreign, Err(Refusal::NotOwner { .. })), "{foreign:?}");
    assert!(!harness.register(&Command::new("a", &["GET /a"]).id("one").from("10.0.0.1")).unwrap().is_change);
    harness.deregister("a", source("10.0.0.1")).unwrap();
    harness.register(&Command::new("b", &["GET /a"]).id("one")).unwrap();
    restarted(&mut harness);
    assert_eq!(harness.usable("h", "/a"), ["b"]);
}

#[test]
fn the_epoch_stays_and_generations_grow_from_start_to_start() {
    let mut harness = Harness::new();
    restarted(&mut harness);
    let mut before = harness.register(&Command::new("a", &["GET /a"])).unwrap();
    for revision in 1..4 {
        restarted(&mut harness);
        assert!(harness.snapshot.generation > before.generation);
        let after = harness.register(&Command::new("a", &["GET /a"]).revision(revision)).unwrap();
        assert!(after.generation > before.generation && after.epoch == before.epoch);
        before = after;
    }
}

#[test]
fn a_followed_name_is_followed_again() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).at("http://box:80", &["10.0.0.1:80"])).unwrap();
    restarted(&mut harness);
    harness.resolve("a", &["10.0.0.2:80"]);
    assert_eq!(harness.service("a").unwrap().instances[0].addresses[..], [super::address("10.0.0.2:80")]);
}

#[test]
fn a_service_whose_grant_is_gone_is_kept_and_comes_back_with_it() {
    let mut granted = policy();
    granted.unlisted = UnlistedRule::Deny;
    let grant = Grant {
        permissions: Default::default(),
        paths: vec![Pattern::try_new("/a/*").unwrap()],
        hosts: Vec::new(),
        upstreams: None,
        public: true,
        origins: Default::default(),
        auth: AuthMethods::api_key(),
        token: None,
        certificate: None,
    };
    granted.grants.insert(ServiceName::try_new("a").unwrap(), grant.into());
    let mut harness = Harness::with(settings(granted.clone()), Vec::new());
    harness.register(&Command::new("a", &["GET /a/*"])).unwrap();

    let denied = RegistrationPolicy { grants: Default::default(), ..granted.clone() };
    restarted_under(&mut harness, denied.clone());
    is_kept_but_not_routed(&harness, "a", "/a/x", "has no grant");
    assert!(matches!(harness.register(&Command::new("a", &["GET /a/*"])), Err(Refusal::BeyondGrant(_))));
    // It lives on meanwhile.
    harness.probe("a", "+");
    assert_eq!((harness.status("a"), harness.usable("h", "/a/x")), (Some(Status::Up), vec![]));
    harness.probe("a", "---");

    restarted_under(&mut harness, denied);
    is_kept_but_not_routed(&harness, "a", "/a/x", "has no grant");
    assert_eq!(harness.status("a"), Some(Status::Down));
    restarted_under(&mut harness, granted);
    assert_eq!((suspended(&harness, "a"), harness.status("a")), (None, Some(Status::Down)));
    harness.probe("a", "+");
    assert_eq!(harness.usable("h", "/a/x"), ["a"]);
}

#[test]
fn a_static_route_wins_and_the_service_comes_back_with_routes_that_are_allowed() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a", "GET /b"])).unwrap();
    let mut with_static = policy();
    with_static.static_routes.push(StaticClaim {
        host: None,
        method: MethodRule::try_new("GET").unwrap(),
        pattern: Pattern::try_new("/a").unwrap(),
        exclusive: false,
    });
    restarted_under(&mut harness, with_static);
    is_kept_but_not_routed(&harness, "a", "/b", "static route");
    // What is not routed holds no route against others.
    harness.register(&Command::new("b", &["GET /b"])).unwrap();
    assert!(matches!(harness.register(&Command::new("a", &["GET /b"])), Err(Refusal::Taken { .. })));
    harness.register(&Command::new("a", &["GET /c"])).unwrap();
    assert_eq!((suspended(&harness, "a"), harness.usable("h", "/c")), (None, vec!["a"]));
}

#[test]
fn an_address_that_is_allowed_no_more_keeps_its_service_out_until_it_moves() {
    let mut harness = Harness::new();
    let at = |url: &str| Command::new("a", &["GET /a"]).at(url, &[]);
    harness.register(&at("http://10.0.0.1:80")).unwrap();
    let local = RegistrationPolicy { upstreams: CidrSet::try_new(&["127.0.0.0/8"]).unwrap(), ..policy() };
    restarted_under(&mut harness, local.clone());
    is_kept_but_not_routed(&harness, "a", "/a", "10.0.0.1");
    assert!(harness.register(&at("http://10.0.0.1:80")).is_err());
    harness.register(&at("http://127.0.0.1:80")).unwrap();
    assert_eq!((suspended(&harness, "a"), harness.usable("h", "/a")), (None, vec!["a"]));
    restarted_under(&mut harness, local);
    assert_eq!((suspended(&harness, "a"), harness.usable("h", "/a")), (None, vec!["a"]));
}

#[test]
fn a_suspended_service_is_deregistered_as_any_other() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).ttl(10)).unwrap();
    harness.register(&Command::new("b", &["GET /b"])).unwrap();
    let denied = RegistrationPolicy { unlisted: UnlistedRule::Deny, ..policy() };
    restarted_under(&mut harness, denied.clone());
    harness.deregister("b", source("127.0.0.1")).unwrap();
    harness.pass(72);
    restarted_under(&mut harness, denied);
    assert_eq!((harness.status("a"), harness.status("b")), (None, None));
}

/// Restarts, and these may not be where they are any more.
fn restarted_barring(harness: &mut Harness, ids: &[&str]) {
    let suspended = ids.iter().map(|id| (InstanceId::try_new(id).unwrap(), "a loop".into())).collect();
    harness.restart_barring(&suspended, settings(policy()), Vec::new());
}

#[test]
fn an_instance_where_furt_listens_by_now_keeps_its_service_out_until_it_registers_elsewhere() {
    let mut harness = Harness::new();
    let command = Command::new("a", &["GET /a"]);
    harness.register(&command).unwrap();
    restarted_barring(&mut harness, &["a"]);
    is_kept_but_not_routed(&harness, "a", "/a", "a loop");
    harness.reconfigure(settings(policy()), Vec::new());
    assert!(suspended(&harness, "a").is_some(), "no configuration changes that");
    harness.register(&command.at("http://127.0.0.1:9001", &[])).unwrap();
    assert_eq!((suspended(&harness, "a"), harness.usable("h", "/a")), (None, vec!["a"]));
}

#[test]
fn a_service_comes_back_when_the_one_leaves_that_kept_it_out() {
    let mut harness = Harness::new();
    for id in ["a", "two", "three"] {
        harness.register(&Command::new("a", &["GET /a"]).id(id).ttl(if id == "three" { 10 } else { 1000 })).unwrap();
    }
    restarted_barring(&mut harness, &["two", "three"]);
    let before = harness.snapshot.generation;
    harness.deregister("a/two", source("127.0.0.1")).unwrap();
    assert!(suspended(&harness, "a").is_some());
    harness.pass(10);
    assert_eq!((suspended(&harness, "a"), harness.usable("h", "/a")), (None, vec!["a"]));
    assert!(harness.snapshot.generation > before);
}

#[test]
fn a_name_that_led_to_furt_itself_brings_its_service_back_once_it_leads_elsewhere() {
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        let mut harness = Harness::new();
        harness.register(&Command::new("a", &["GET /a"]).at("http://a.example", &["10.0.0.1:80"])).unwrap();
        restarted_barring(&mut harness, &["a"]);
        assert!(suspended(&harness, "a").is_some());
        // It is asked for what furt may forward to alone.
        harness.resolve("a", &[address]);
        assert_eq!((suspended(&harness, "a"), harness.usable("h", "/a")), (None, vec!["a"]), "{address}");
    }
}

#[test]
fn a_service_that_is_kept_out_stays_its_registrants_whoever_brings_the_same_definition() {
    let mut harness = Harness::new();
    let command = |id: &str, from: &str| Command::new("a", &["GET /a"]).id(id).from(from);
    harness.register(&command("one", "10.0.0.1").at("http://10.0.0.1:80", &[])).unwrap();
    let suspended = RegistrationPolicy { upstreams: CidrSet::try_new(&["127.0.0.0/8"]).unwrap(), ..policy() };
    restarted_under(&mut harness, suspended);
    // May come: the definition is the one that is installed. It is kept out still, and not the newcomer's.
    harness.register(&command("two", "10.0.0.2")).unwrap();
    restarted(&mut harness);
    assert!(matches!(harness.deregister("a", source("10.0.0.2")), Err(Refusal::NotOwner { .. })));
    assert_eq!(harness.deregister("a", source("10.0.0.1")), Ok(2));
}

#[test]
fn a_service_that_is_kept_out_for_its_registrants_address_is_of_who_brings_it_from_where_it_may() {
    let mut harness = Harness::new();
    harness.register(&Command::new("a", &["GET /a"]).id("one").from("10.0.0.1")).unwrap();
    let local = RegistrationPolicy { unlisted: UnlistedRule::Loopback, ..policy() };
    restarted_under(&mut harness, local.clone());
    assert!(suspended(&harness, "a").is_some());
    harness.register(&Command::new("a", &["GET /a"]).id("two")).unwrap();
    assert_eq!((suspended(&harness, "a"), harness.usable("h", "/a")), (None, vec!["a"]));
    restarted_under(&mut harness, local);
    assert_eq!(suspended(&harness, "a"), None);
}
