//! One core of several over a shared store: what it is told, what it asks to be stored and by what premises, and what it
//! does while the store is away.

use std::sync::Arc;
use std::time::Duration;

use super::command::{Command, instance, operator, policy, settings, source};
use super::harness::sharing::elsewhere;
use super::harness::{Harness, Store};
use crate::model::{
    CidrSet, DrainMark, DrainUntil, Epoch, KeyName, KeySpec, PermissionRule, PermissionSet, Rate, RateLimit,
    RuntimeKey, Sha256Digest, Status,
};
use crate::registry::{
    Answer, Change, Claim, Contents, DefinitionRecord, Drain, Event, Incoming, InstanceRecord, InstanceRef, KeyCommand,
    KeyRefusal, Origin, Premise, Record, Refusal, RegistrationPolicy, Report, Revision, Settings, Sharing, StaticClaim,
    StaticRoute, StaticTarget, StoreChanged, WriteId,
};

/// What a registration at another gateway changes.
fn put(command: &Command) -> Vec<Change> {
    let command = command.0.clone();
    let (service, registered_from) = (command.definition.service.clone(), command.source.address);
    let definition = DefinitionRecord { definition: Arc::new(command.definition), registered_from };
    let (spec, addresses) = (Arc::new(command.instance), command.addresses);
    let instance = InstanceRecord { service, spec, addresses, registered_from, replaced: None };
    vec![Change::PutDefinition(definition), Change::PutInstance(instance)]
}

impl Harness {
    fn lapse(&mut self, whom: &str) {
        self.told(vec![Change::RemoveInstance(instance(whom))], Origin::Lapse);
    }

    /// What the last write that waits relies on.
    fn premises(&self) -> Vec<Premise> {
        self.writes.back().expect("a write waits").1.premises.clone()
    }

    fn first_write(&self) -> WriteId {
        self.writes.front().expect("a write waits").0
    }

    /// The first write that waits is outdated.
    fn outdate(&mut self) {
        let id = self.first_write();
        self.writes.pop_front();
        self.send(Event::WriteOutdated(id, self.revision));
    }
}

#[test]
fn a_registration_elsewhere_is_routed_and_probed_here_and_a_removal_takes_it_out() {
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"]).id("one")), elsewhere());
    assert_eq!((furt.usable("", "/x"), furt.status("a")), (vec!["a"], Some(Status::Unknown)));
    assert!(furt.plans.contains_key(&instance("a/one")), "it is probed from here as well");
    let registered = |report: &Report| matches!(report, Report::Registered { .. });
    assert!(furt.reports.iter().any(registered));
    furt.told(vec![Change::RemoveInstance(instance("a/one"))], elsewhere());
    assert!(furt.instances("a").is_empty() && furt.plans.is_empty());
    assert!(furt.reports.contains(&Report::Deregistered { instance: instance("a/one"), by: None }));
    let service = instance("a").service;
    furt.told(vec![Change::RemoveService { service, instances: Vec::new() }], elsewhere());
    assert_eq!((furt.status("a"), furt.usable("", "/x")), (None, vec![]));
}

#[test]
fn an_instance_that_registers_anew_elsewhere_keeps_the_health_that_it_has_here() {
    let mut furt = Harness::shared();
    let command = Command::new("a", &["GET /x"]);
    furt.told(put(&command), elsewhere());
    furt.probe("a", "+");
    furt.told(put(&command.clone().weight(5)), elsewhere());
    assert_eq!(furt.status("a"), Some(Status::Up));
    assert_eq!(furt.service("a").unwrap().instances[0].spec.weight, 5);
    furt.told(put(&command.incarnation("q")), elsewhere());
    assert_eq!(furt.status("a"), Some(Status::Unknown), "another process is another matter");
}

#[test]
fn a_write_names_what_it_was_judged_by() {
    let mut furt = Harness::shared();
    furt.store = Store::Waits;
    let command = Command::new("a", &["GET /x"]);
    furt.ask(&command);
    let absent = furt.premises();
    assert!(absent.contains(&Premise::Absent(Record::Definition(instance("a").service))));
    assert!(absent.contains(&Premise::Absent(Record::Instance(instance("a")))));
    assert!(absent.iter().any(|premise| matches!(premise, Premise::Unclaimed(Claim::Routes(_)))));
    assert!(absent.contains(&Premise::Unclaimed(Claim::Id(instance("a").id))));
    furt.finish(Store::Works);
    furt.ask(&command.clone().weight(5));
    let unchanged = furt.premises();
    assert!(unchanged.contains(&Premise::Unchanged(Record::Definition(instance("a").service))));
    assert!(unchanged.contains(&Premise::Unchanged(Record::Instance(instance("a")))));
    assert!(unchanged.contains(&Premise::Absent(Record::Drain(instance("a")))));
    assert!(!unchanged.iter().any(|premise| matches!(premise, Premise::Unclaimed(_))), "nothing new is claimed");
    furt.finish(Store::Works);
    furt.ask_to_deregister("a/a", source("127.0.0.1"));
    let service = instance("a").service;
    assert_eq!(furt.premises(), [Premise::Unchanged(Record::Definition(service.clone())), Premise::Settled(service)]);
}

#[test]
fn a_store_of_ones_own_is_told_no_premises_and_no_renewals() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /x"]).ttl(10));
    assert!(furt.premises().is_empty());
    furt.finish(Store::Works);
    furt.heartbeat("a", source("127.0.0.1")).unwrap();
    assert!(furt.renewed.is_empty());
}

#[test]
fn what_is_outdated_is_judged_again_by_what_was_told_before() {
    let mut furt = Harness::shared();
    furt.store = Store::Waits;
    let reply = furt.ask(&Command::new("a", &["GET /x"]));
    furt.told(put(&Command::new("b", &["GET /x"])), elsewhere());
    assert_eq!(furt.usable("", "/x"), ["b"], "what is stored goes before what is on its way");
    furt.outdate();
    let Err(Refusal::Taken { conflict: Some((holder, _)), .. }) = &furt.answers[&reply] else {
        panic!("{:?}", furt.answers[&reply])
    };
    assert_eq!(holder.as_str(), "b");
    // And where nothing is against it, it is written once more.
    let reply = furt.ask(&Command::new("c", &["GET /y"]));
    furt.outdate();
    furt.finish(Store::Works);
    assert!(furt.answers[&reply].is_ok());
    // Not for ever.
    let reply = furt.ask(&Command::new("d", &["GET /z"]));
    for _ in 0..20 {
        furt.outdate();
    }
    assert_eq!(furt.answers[&reply], Err(Refusal::Busy));
    assert_eq!((furt.writes.len(), furt.unanswered()), (0, 0));
}

#[test]
fn a_removal_that_someone_else_did_is_done() {
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"]).id("one")), elsewhere());
    furt.told(put(&Command::new("a", &["GET /x"]).id("two")), elsewhere());
    furt.store = Store::Waits;
    let reply = furt.ask_to_deregister("a/one", source("127.0.0.1"));
    furt.told(vec![Change::RemoveInstance(instance("a/one"))], elsewhere());
    furt.outdate();
    assert!(matches!(furt.answers[&reply], Ok(Answer::Deregistered { instances: 1, .. })));
    assert_eq!(furt.instances("a"), ["two"]);
}

#[test]
fn a_service_that_comes_anew_while_it_is_removed_here_is_shown_again() {
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).id("one")).unwrap();
    furt.store = Store::Waits;
    let reply = furt.ask_to_deregister("a", source("127.0.0.1"));
    assert_eq!(furt.usable("", "/x"), [""; 0]);
    furt.told(put(&Command::new("a", &["GET /x"]).id("two")), elsewhere());
    assert_eq!(furt.instances("a"), ["one", "two"]);
    furt.outdate();
    // It was asked for all of them, and is judged by those that are there now.
    assert_eq!(furt.usable("", "/x"), [""; 0]);
    furt.finish(Store::Works);
    assert!(matches!(furt.answers[&reply], Ok(Answer::Deregistered { instances: 2, .. })));
}

#[test]
fn whoever_is_heard_stays_though_the_store_lost_it_and_is_stored_again_as_it_was() {
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).ttl(10).incarnation("p")).unwrap();
    furt.drain("a/a", Drain::Begins(DrainUntil::Restart), operator("127.0.0.1")).unwrap();
    furt.heartbeat("a", source("127.0.0.1")).unwrap();
    assert_eq!(furt.renewed, [instance("a")]);
    furt.store = Store::Waits;
    furt.lapse("a");
    assert_eq!((furt.instances("a"), furt.draining("a")), (vec!["a"], vec!["a"]));
    let changes = &furt.writes.back().unwrap().1.changes;
    assert!(matches!(&changes[..], [Change::PutInstance(_), Change::PutDraining(..)]), "{changes:?}");
    assert!(furt.premises().contains(&Premise::Absent(Record::Instance(instance("a")))));
    furt.finish(Store::Works);
    assert!(furt.reports.contains(&Report::Restored(instance("a"))));
    // Where another gateway was first, that is as good.
    furt.lapse("a");
    furt.told(put(&Command::new("a", &["GET /x"]).ttl(10).incarnation("p")), elsewhere());
    furt.outdate();
    assert_eq!((furt.instances("a"), furt.writes.len()), (vec!["a"], 0));
}

#[test]
fn whoever_is_not_heard_stays_a_moment_for_another_gateway_to_store_it_again() {
    let mut furt = Harness::shared();
    let command = Command::new("a", &["GET /x"]).ttl(10);
    furt.told(put(&command), elsewhere());
    furt.lapse("a");
    furt.pass_ms(200);
    assert_eq!(furt.instances("a"), ["a"]);
    furt.told(put(&command), elsewhere());
    furt.pass_ms(1_000);
    assert_eq!(furt.instances("a"), ["a"], "another gateway heard it");
    furt.lapse("a");
    furt.pass_ms(300);
    assert_eq!((furt.instances("a"), furt.usable("", "/x")), (vec![], vec![]));
    assert!(furt.reports.contains(&Report::Expired(instance("a"))));
    // Its routes are held, a little longer than by a gateway alone.
    furt.pass(58);
    assert!(furt.status("a").is_some());
    furt.pass(7);
    assert_eq!(furt.status("a"), None);
}

#[test]
fn nothing_expires_here_while_the_store_says_nothing() {
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).ttl(10)).unwrap();
    furt.pass(3_600);
    assert_eq!(furt.instances("a"), ["a"]);
}

#[test]
fn while_the_store_is_away_what_must_be_stored_is_refused_at_once_and_the_rest_goes_on() {
    let mut furt = Harness::shared();
    let command = Command::new("a", &["GET /x"]).ttl(10);
    furt.register(&command).unwrap();
    furt.send(Event::StoreReach(Err("etcd is away".into())));
    let away = Err(Refusal::StoreFailed("etcd is away".to_owned()));
    assert_eq!(furt.register(&Command::new("b", &["GET /y"])).map(drop), away.clone().map(|_: ()| ()));
    assert_eq!(furt.deregister("a", source("127.0.0.1")).map(drop), away.clone().map(|_: ()| ()));
    assert_eq!(
        furt.drain("a/a", Drain::Begins(DrainUntil::Restart), operator("127.0.0.1")).map(drop),
        away.map(|_: ()| ())
    );
    assert_eq!(furt.instances("a"), ["a"], "it does not leave before it may");
    furt.register(&command).unwrap();
    furt.heartbeat("a", source("127.0.0.1")).unwrap();
    assert!(furt.writes.is_empty());
    furt.renewed.clear();
    furt.send(Event::StoreReach(Ok(())));
    assert_eq!(furt.renewed, [instance("a")], "who was heard meanwhile is renewed");
    furt.register(&Command::new("b", &["GET /y"])).unwrap();
}

#[test]
fn a_service_keeps_its_routes_from_others_while_it_is_suspended_here() {
    let mut furt = Harness::shared();
    let changes = put(&Command::new("a", &["GET /x"]).at("http://a.example", &["192.0.2.1:80"]));
    furt.told(changes, elsewhere());
    assert_eq!(furt.usable("", "/x"), [""; 0], "this gateway does not allow the address");
    let refused = furt.register(&Command::new("b", &["GET /x"]));
    assert!(matches!(refused, Err(Refusal::Taken { .. })), "{refused:?}");
}

#[test]
fn drains_and_holds_of_other_gateways_are_followed_without_a_gap() {
    let mut furt = Harness::shared();
    let command = Command::new("a", &["GET /x"]);
    furt.told(put(&command), elsewhere());
    let mark = Arc::new(DrainMark { until: DrainUntil::Restart, ..DrainMark::unknown() });
    furt.told(vec![Change::PutDraining(instance("a"), Arc::clone(&mark))], elsewhere());
    assert_eq!(furt.draining("a"), ["a"]);
    let live = Arc::clone(&furt.service("a").unwrap().instances[0].live);
    let drained = vec![Change::PutDraining(instance("a"), mark)];
    furt.told([put(&command.weight(5)), drained].concat(), elsewhere());
    assert!(live.is_draining() && furt.draining("a") == ["a"], "a drain that goes on has no gap");
    furt.told(vec![Change::RemoveDraining(instance("a"))], elsewhere());
    assert!(furt.draining("a").is_empty());
    let hold = Arc::new(DrainMark { until: DrainUntil::Undo, ..DrainMark::unknown() });
    furt.told(vec![Change::PutHold(instance("a"), hold)], elsewhere());
    assert_eq!(furt.draining("a"), ["a"]);
    furt.told(vec![Change::RemoveHold(instance("a"))], elsewhere());
    assert!(furt.draining("a").is_empty());
}

#[test]
fn an_id_and_a_url_that_another_gateway_gave_away_move() {
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"]).id("one")), elsewhere());
    let newer = Command::new("a", &["GET /x"]).id("two").at("http://127.0.0.1:9000", &[]);
    let older = put(&Command::new("a", &["GET /x"]).id("one").at("http://127.0.0.1:9000", &[]));
    furt.told(older, elsewhere());
    let replaces = vec![Change::RemoveInstance(instance("a/one"))];
    let live = Arc::clone(&furt.service("a").unwrap().instances[0].live);
    furt.told([replaces, put(&newer)].concat(), elsewhere());
    assert_eq!(furt.instances("a"), ["two"]);
    assert!(Arc::ptr_eq(&live, &furt.service("a").unwrap().instances[0].live), "its counters go along");
    let gone = vec![Change::RemoveInstance(instance("a/two"))];
    furt.told([gone, put(&Command::new("b", &["GET /y"]).id("two"))].concat(), elsewhere());
    assert_eq!((furt.instances("a").len(), furt.instances("b")), (0, vec!["two"]));
}

#[test]
fn a_service_that_an_audit_misses_gives_its_routes_up_to_one_that_the_store_has() {
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).ttl(10)).unwrap();
    furt.heartbeat("a", source("127.0.0.1")).unwrap();
    furt.store = Store::Waits;
    let InstanceRef { service, id } = instance("a");
    let gone = Change::RemoveService { service, instances: vec![id] };
    furt.told([vec![gone], put(&Command::new("b", &["GET /x"]))].concat(), Origin::Comparison);
    assert_eq!((furt.usable("", "/x"), furt.status("a")), (vec!["b"], None));
    assert!(furt.writes.is_empty());
    // One that nobody contests is stored again with its definition.
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).ttl(10)).unwrap();
    furt.store = Store::Waits;
    let InstanceRef { service, id } = instance("a");
    furt.told(vec![Change::RemoveService { service, instances: vec![id] }], Origin::Comparison);
    let changes = &furt.writes.back().unwrap().1.changes;
    assert!(matches!(&changes[..], [Change::PutDefinition(_), Change::PutInstance(_)]), "{changes:?}");
    furt.finish(Store::Works);
    furt.pass(Duration::from_secs(5).as_secs());
    assert_eq!(furt.usable("", "/x"), ["a"]);
}

#[test]
fn a_drain_that_is_raised_elsewhere_has_no_gap() {
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"])), elsewhere());
    let mark = |until| Arc::new(DrainMark { until, ..DrainMark::unknown() });
    furt.told(vec![Change::PutDraining(instance("a"), mark(DrainUntil::Restart))], elsewhere());
    furt.reports.clear();
    let ends = Change::RemoveDraining(instance("a"));
    furt.told(vec![ends, Change::PutHold(instance("a"), mark(DrainUntil::Undo))], elsewhere());
    assert_eq!(furt.draining("a"), ["a"]);
    assert!(!furt.reports.iter().any(|report| matches!(report, Report::DrainEnded { .. })), "{:?}", furt.reports);
}

#[test]
fn whoever_is_heard_here_outlives_the_hold_that_another_gateway_ended() {
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).ttl(600)).unwrap();
    furt.store = Store::Waits;
    furt.lapse("a");
    furt.told(vec![Change::RemoveService { service: instance("a").service, instances: Vec::new() }], elsewhere());
    // The instance alone cannot be stored again: its definition is gone.
    furt.outdate();
    assert_eq!((furt.usable("", "/x"), furt.instances("a")), (vec!["a"], vec!["a"]));
    let changes = &furt.writes.back().unwrap().1.changes;
    assert!(matches!(&changes[..], [Change::PutDefinition(_), Change::PutInstance(_)]), "{changes:?}");
}

#[test]
fn a_static_route_of_this_gateway_does_not_hide_that_a_route_was_given_away() {
    let fixed = super::command::definition_of("x", &["GET /s"]).routes.remove(0);
    let (method, pattern) = (fixed.method, fixed.pattern);
    let claim = StaticClaim { host: None, method: method.clone(), pattern: pattern.clone(), exclusive: true };
    let target = StaticTarget::Service(instance("a").service);
    let route = StaticRoute { host: None, method, pattern, permission: None, target };
    let policy = RegistrationPolicy { static_routes: vec![claim], ..policy() };
    let sharing = Sharing::Shared { salt: 7, least_ttl: Duration::from_secs(2) };
    let mut furt = Harness::with(Settings { sharing, ..settings(policy) }, vec![route]);
    furt.register(&Command::new("a", &["GET /x"]).ttl(10)).unwrap();
    furt.store = Store::Waits;
    let InstanceRef { service, id } = instance("a");
    let gone = Change::RemoveService { service, instances: vec![id] };
    furt.told([vec![gone], put(&Command::new("b", &["GET /s", "GET /x"]))].concat(), Origin::Comparison);
    assert_eq!((furt.status("a"), furt.writes.len()), (None, 0), "what is another's is not stored again");
}

#[test]
fn nobody_leaves_while_the_store_is_away() {
    let mut furt = Harness::shared();
    let (here, other) = (Command::new("a", &["GET /x"]).ttl(10), Command::new("b", &["GET /y"]).ttl(10));
    furt.register(&here).unwrap();
    furt.told(put(&other), elsewhere());
    furt.store = Store::Waits;
    furt.lapse("a");
    furt.lapse("b");
    furt.send(Event::StoreReach(Err("cut".into())));
    furt.finish(Store::Fails);
    for _ in 0..3 {
        furt.pass(8);
        assert!(!furt.register(&here).unwrap().is_change, "that counts as a heartbeat");
    }
    assert_eq!((furt.instances("a"), furt.instances("b")), (vec!["a"], vec!["b"]));
    furt.send(Event::StoreReach(Ok(())));
    assert_eq!(furt.writes.len(), 1, "who was heard here is stored again");
    furt.pass_ms(2_900);
    assert_eq!((furt.instances("a").len(), furt.instances("b").len()), (1, 1), "others are on their way back as well");
    furt.pass_ms(300);
    assert_eq!((furt.instances("a").len(), furt.instances("b").len()), (1, 0), "and nobody heard the other one");
}

#[test]
fn what_lapsed_is_not_removed_by_a_command_before_it_is_known_what_becomes_of_it() {
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"]).ttl(10)), elsewhere());
    furt.lapse("a");
    assert!(matches!(furt.deregister("a/a", source("127.0.0.1")), Err(Refusal::StoreFailed(_))));
    // The same where it lapses while its removal is on its way.
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"]).id("one").ttl(10)), elsewhere());
    furt.told(put(&Command::new("a", &["GET /x"]).id("two").ttl(10)), elsewhere());
    furt.store = Store::Waits;
    let reply = furt.ask_to_deregister("a/one", source("127.0.0.1"));
    furt.lapse("a/one");
    furt.outdate();
    assert!(matches!(furt.answers[&reply], Err(Refusal::StoreFailed(_))), "{:?}", furt.answers[&reply]);
}

#[test]
fn the_last_two_that_leave_at_once_through_two_gateways_free_their_routes() {
    let mut furt = Harness::shared();
    furt.register(&Command::new("a", &["GET /x"]).id("one")).unwrap();
    furt.register(&Command::new("a", &["GET /x"]).id("two")).unwrap();
    furt.store = Store::Waits;
    furt.ask_to_deregister("a/one", source("127.0.0.1"));
    furt.told(vec![Change::RemoveInstance(instance("a/two"))], elsewhere());
    furt.finish(Store::Works);
    furt.pass_ms(1);
    furt.finish(Store::Works);
    assert_eq!((furt.status("a"), furt.usable("", "/x")), (None, vec![]));
}

#[test]
fn keys_of_other_gateways_are_followed() {
    let mut furt = Harness::shared();
    let key = |secret: &str, created_ms| {
        let permissions = PermissionSet::new(vec![PermissionRule::try_new("*").unwrap()]);
        let (name, sha256) = (KeyName::try_new("k").unwrap(), Sha256Digest::of(secret.as_bytes()));
        let spec = KeySpec { name, sha256, permissions, allow_from: CidrSet::default(), rate: None };
        Arc::new(RuntimeKey::try_new(spec, created_ms, None, Vec::new()).unwrap())
    };
    let usable = |furt: &Harness| furt.snapshot.keys.usable().count();
    furt.told(vec![Change::PutKey(key("one", 1_000))], elsewhere());
    assert_eq!(usable(&furt), 1);
    // Revoked here, which the store cannot be told; meanwhile another key of that name is made elsewhere.
    furt.store = Store::Fails;
    let reply = furt.new_reply();
    let command = KeyCommand::Revoke(KeyName::try_new("k").unwrap());
    furt.send(Event::KeyRequested { command, by: source("127.0.0.1").actor(), reply });
    assert_eq!(usable(&furt), 0);
    furt.told(vec![Change::PutKey(key("one", 1_000))], Origin::Comparison);
    assert_eq!(usable(&furt), 0, "it is the one that was revoked");
    furt.told(vec![Change::PutKey(key("two", 2_000))], Origin::Comparison);
    assert_eq!(usable(&furt), 1, "it is another one");
    furt.store = Store::Works;
    furt.pass(5);
    assert_eq!(usable(&furt), 1, "which is not removed for the one before it");
}

#[test]
fn a_digest_whose_grace_is_over_is_taken_until_the_store_forgets_it() {
    let mut furt = Harness::shared();
    let ask = |furt: &mut Harness, command| {
        let reply = furt.new_reply();
        furt.send(Event::KeyRequested { command, by: source("127.0.0.1").actor(), reply });
        furt.answers[&reply].clone().map(drop)
    };
    let name = || KeyName::try_new("k").unwrap();
    let rotate = |secret: &str, seconds| {
        let (sha256, grace) = (Sha256Digest::of(secret.as_bytes()), Duration::from_secs(seconds));
        KeyCommand::Rotate { name: name(), sha256, grace }
    };
    let permissions = PermissionSet::new(vec![PermissionRule::try_new("*").unwrap()]);
    let sha256 = Sha256Digest::of(b"one");
    let spec = KeySpec { name: name(), sha256, permissions, allow_from: CidrSet::default(), rate: None };
    let key = RuntimeKey::try_new(spec, 1_000, None, Vec::new()).unwrap();
    ask(&mut furt, KeyCommand::Create(Box::new(key))).unwrap();
    ask(&mut furt, rotate("two", 5)).unwrap();
    furt.pass(6);
    let taken = ask(&mut furt, rotate("one", 0));
    assert!(matches!(taken, Err(Refusal::Key(KeyRefusal::Taken { .. }))), "{taken:?}");
    ask(&mut furt, rotate("three", 0)).unwrap();
    ask(&mut furt, rotate("one", 0)).unwrap();
}

#[test]
fn limits_are_divided_among_the_gateways_that_are_there_where_they_are_shared() {
    let settings = |shares_limits| {
        let sharing = Sharing::Shared { salt: 7, least_ttl: Duration::from_secs(2) };
        Settings { sharing, shares_limits, ..settings(policy()) }
    };
    let mut furt = Harness::with(settings(true), Vec::new());
    let key = |name: &str, rate: Option<&str>| KeySpec {
        name: KeyName::try_new(name).unwrap(),
        sha256: Sha256Digest::of(name.as_bytes()),
        permissions: PermissionSet::new(vec![PermissionRule::try_new("*").unwrap()]),
        allow_from: CidrSet::default(),
        rate: rate.map(|rate| RateLimit::new(Rate::try_new(rate).unwrap(), None)),
    };
    let mut limited = Command::new("a", &["GET /x"]);
    (limited.0.instance.soft_limit, limited.0.instance.hard_limit) = (6, 10);
    furt.told(put(&limited), elsewhere());
    furt.told(put(&Command::new("free", &["GET /free"])), elsewhere());
    let made = RuntimeKey::try_new(key("made", Some("10/s")), 1, None, Vec::new()).unwrap();
    furt.told(vec![Change::PutKey(Arc::new(made))], elsewhere());
    furt.configure_keys(vec![key("configured", Some("4/s")), key("unlimited", None)]);
    let limits = |furt: &Harness, service: &str| {
        let instance = &furt.service(service).unwrap().instances[0];
        (instance.soft_limit, instance.hard_limit)
    };
    let rate = |furt: &Harness, name: &str| {
        let key = furt.snapshot.keys.get(&Sha256Digest::of(name.as_bytes())).unwrap();
        key.rate.map(|limit| (limit.rate.count.get(), limit.rate.period_seconds, limit.burst.get()))
    };
    let shared_by = |furt: &Harness, gateways: u32| {
        assert_eq!(limits(furt, "a"), (6 / gateways, 10 / gateways));
        assert_eq!(limits(furt, "free"), (0, 0));
        assert_eq!(rate(furt, "made"), Some((10, gateways, 10 / gateways)));
        assert_eq!(rate(furt, "configured"), Some((4, gateways, 4 / gateways)));
        assert_eq!(rate(furt, "unlimited"), None);
    };
    shared_by(&furt, 1);
    furt.send(Event::GatewaysCounted(2));
    shared_by(&furt, 2);
    // What comes meanwhile, comes anew, or is judged anew has its share as well.
    furt.probe("a", "+");
    furt.told(put(&limited.clone().weight(5)), elsewhere());
    furt.configure_keys(vec![key("configured", Some("4/s")), key("unlimited", None)]);
    shared_by(&furt, 2);
    furt.send(Event::GatewaysCounted(3));
    shared_by(&furt, 3);
    furt.reconfigure(settings(false), vec![]);
    furt.configure_keys(vec![key("configured", Some("4/s")), key("unlimited", None)]);
    shared_by(&furt, 1);
    furt.reconfigure(settings(true), vec![]);
    furt.configure_keys(vec![key("configured", Some("4/s")), key("unlimited", None)]);
    shared_by(&furt, 3);
    furt.send(Event::GatewaysCounted(1));
    shared_by(&furt, 1);
}

#[test]
fn what_is_told_twice_counts_once() {
    let mut furt = Harness::shared();
    let command = Command::new("a", &["GET /x"]);
    furt.told(put(&command), elsewhere());
    let before = furt.revision;
    furt.told(vec![Change::RemoveInstance(instance("a"))], elsewhere());
    furt.revision = Revision(before.0 - 1);
    furt.told(put(&command), elsewhere());
    assert!(furt.instances("a").is_empty(), "it left since");
    furt.revision = before;
    furt.told(put(&command), Origin::Comparison);
    assert_eq!(furt.instances("a"), ["a"], "a comparison tells what was missed");
}

#[test]
fn an_instance_may_be_where_this_gateway_does_not_let_it_be() {
    let mut furt = Harness::shared();
    let mut incoming: Vec<_> = put(&Command::new("a", &["GET /x"]))
        .into_iter()
        .map(|change| Incoming { suspended: Some("it is a listener of this gateway".into()), ..change.into() })
        .collect();
    let changed = |changes: &Vec<Incoming>, revision| {
        let (changes, by) = (changes.clone(), elsewhere());
        Event::StoreChanged(Box::new(StoreChanged { revision: Revision(revision), changes, by }))
    };
    furt.send(changed(&incoming, 1));
    let why = furt.service("a").unwrap().suspended.clone();
    assert_eq!((why.as_deref(), furt.usable("", "/x")), (Some("it is a listener of this gateway"), vec![]));
    incoming.iter_mut().for_each(|incoming| incoming.suspended = None);
    furt.send(changed(&incoming, 2));
    assert_eq!(furt.usable("", "/x"), ["a"]);
}

#[test]
fn the_owner_of_a_definition_is_who_the_store_says() {
    let mut furt = Harness::shared();
    furt.told(put(&Command::new("a", &["GET /x"]).from("10.0.0.1")), elsewhere());
    // The same definition, registered anew where the one before is not allowed any more.
    furt.told(put(&Command::new("a", &["GET /x"]).from("10.0.0.2")), elsewhere());
    assert_eq!(furt.usable("", "/x"), ["a"]);
    assert!(matches!(furt.deregister("a", source("10.0.0.1")), Err(Refusal::NotOwner { .. })));
    furt.deregister("a", source("10.0.0.2")).unwrap();
}

/// A definition that a stranger wrote, as it comes from the store.
fn written(command: &Command, added: u64) -> Vec<Incoming> {
    let mut changes: Vec<_> = put(command).into_iter().map(Incoming::from).collect();
    changes[0].added = Some(Revision(added));
    changes
}

impl Harness {
    fn follows(&mut self, changes: Vec<Incoming>) {
        self.revision = Revision(self.revision.0 + 1);
        let changed = StoreChanged { revision: self.revision, changes, by: Origin::Comparison };
        self.send(Event::StoreChanged(Box::new(changed)));
    }

    fn why_suspended(&self, service: &str) -> Option<String> {
        self.service(service).unwrap().suspended.as_deref().map(str::to_owned)
    }
}

#[test]
fn of_two_services_with_one_route_the_older_one_has_it_in_whichever_order_they_are_seen() {
    let (older, younger) = (Command::new("z", &["GET /x", "GET /z"]), Command::new("a", &["GET /x", "GET /a"]));
    let seen = |commands: [(&Command, u64); 2]| {
        let mut furt = Harness::shared();
        for (command, added) in commands {
            furt.follows(written(command, added));
        }
        furt
    };
    let together = || {
        let mut furt = Harness::shared();
        furt.follows([written(&younger, 6), written(&older, 5)].concat());
        furt
    };
    let restored = || {
        let mut furt = Harness::shared();
        let mut contents = Contents::new(Epoch(uuid::Uuid::nil()));
        for (command, added) in [(&younger, 6), (&older, 5)] {
            for incoming in written(command, added) {
                match incoming.change {
                    Change::PutDefinition(record) => {
                        let service = record.definition.service.clone();
                        contents.added.extend(incoming.added.map(|added| (service.clone(), added)));
                        contents.definitions.insert(service, record);
                    }
                    Change::PutInstance(record) => {
                        contents.instances.insert(record.spec.id.clone(), record);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        furt.restore_from(contents);
        furt
    };
    for mut furt in [seen([(&older, 5), (&younger, 6)]), seen([(&younger, 6), (&older, 5)]), together(), restored()] {
        assert_eq!(
            (furt.usable("", "/x"), furt.usable("", "/z"), furt.usable("", "/a")),
            (vec!["z"], vec!["z"], vec![])
        );
        assert!(furt.why_suspended("a").is_some_and(|why| why.contains("\"z\"")), "{:?}", furt.why_suspended("a"));
        assert_eq!(furt.why_suspended("z"), None);
        // Its owner goes on as if the other one were not there, and may give up what both have.
        furt.register(&older).unwrap();
        furt.register(&older.clone().weight(5)).unwrap();
        assert_eq!(furt.usable("", "/x"), ["z"]);
        furt.register(&Command::new("z", &["GET /z"])).unwrap();
        assert_eq!(
            (furt.usable("", "/x"), furt.usable("", "/z"), furt.why_suspended("a")),
            (vec!["a"], vec!["z"], None)
        );
    }
    for mut furt in [seen([(&older, 5), (&younger, 6)]), restored()] {
        furt.deregister("z", operator("127.0.0.1")).unwrap();
        assert_eq!((furt.usable("", "/x"), furt.usable("", "/a")), (vec!["a"], vec!["a"]));
    }
}

#[test]
fn a_route_that_a_suspended_service_has_is_not_for_a_third_one() {
    let mut furt = Harness::shared();
    furt.follows(written(&Command::new("one", &["GET /x"]), 5));
    furt.follows(written(&Command::new("two", &["GET /x", "GET /y"]), 6));
    // Another gateway may route it.
    let refused = furt.register(&Command::new("three", &["GET /y"]));
    assert!(matches!(refused, Err(Refusal::Taken { .. })), "{refused:?}");
    assert_eq!(furt.usable("", "/x"), ["one"]);
}
