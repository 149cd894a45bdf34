//! Deregistration by command: out of the snapshot before the write, answered after it.

use super::{Command, Harness, Store, instance, policy, settings, source};
use crate::model::Status;
use crate::registry::{Answer, Change, OnLastInstance, Refusal, Report};

fn here() -> crate::registry::Source {
    source("127.0.0.1")
}

#[test]
fn a_deregistered_service_is_out_of_the_snapshot_before_its_write_and_answered_after() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.store = Store::Waits;
    let reply = furt.ask_to_deregister("a", here());
    assert!(furt.service("a").is_none() && furt.usable("", "/a").is_empty() && furt.snapshot.table.is_empty());
    assert!(!furt.answers.contains_key(&reply));
    let gone = Change::RemoveService { service: instance("a").service, instances: vec![instance("a").id] };
    assert_eq!(furt.written.last(), Some(&gone));
    furt.finish(Store::Works);
    assert!(matches!(furt.answers[&reply], Ok(Answer::Deregistered { instances: 1, .. })));
    assert!(furt.plans.is_empty() && furt.registry.next_deadline().is_none());
}

#[test]
fn a_deregistered_instance_leaves_the_others_alone() {
    let mut furt = Harness::new();
    for id in ["one", "two"] {
        furt.register(&Command::new("a", &["GET /a"]).id(id)).unwrap();
    }
    furt.probe("a/one", "+");
    furt.store = Store::Waits;
    furt.ask_to_deregister("a/one", here());
    assert_eq!((furt.instances("a"), furt.status("a")), (vec!["two"], Some(Status::Unknown)));
    furt.finish(Store::Works);
    assert_eq!(furt.plans.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/two"]);
    assert_eq!(furt.usable("", "/a"), ["a"]);
}

#[test]
fn the_last_instance_that_leaves_by_command_frees_the_routes_at_once() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).id("one").ttl(10)).unwrap();
    assert_eq!(furt.deregister("a/one", here()), Ok(1));
    assert!(furt.reports.contains(&Report::Freed(instance("a").service)));
    furt.register(&Command::new("b", &["GET /a"]).id("one")).unwrap();
    assert_eq!(furt.usable("", "/a"), ["b"]);
}

#[test]
fn who_is_not_registered_cannot_leave() {
    let mut furt = Harness::new();
    assert!(matches!(furt.deregister("a", here()), Err(Refusal::NotFound(_))));
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    assert!(matches!(furt.deregister("a/other", here()), Err(Refusal::NotFound(_))));
    assert_eq!(furt.deregister("a", here()), Ok(1));
    assert!(matches!(furt.deregister("a", here()), Err(Refusal::NotFound(_))));
    assert!(matches!(furt.heartbeat("a", here()), Err(Refusal::NotFound(_))));
}

#[test]
fn a_refused_removal_puts_everything_back() {
    for whom in ["a", "a/one"] {
        let mut furt = Harness::new();
        furt.register(&Command::new("a", &["GET /a"]).id("one").ttl(100)).unwrap();
        furt.probe("a/one", "+");
        furt.store = Store::Fails;
        assert!(matches!(furt.deregister(whom, here()), Err(Refusal::StoreFailed(_))), "{whom}");
        assert_eq!((furt.status("a"), furt.instances("a")), (Some(Status::Up), vec!["one"]), "{whom}");
        assert_eq!(furt.usable("", "/a"), ["a"], "{whom}");
        furt.store = Store::Works;
        furt.probe("a/one", "---");
        assert_eq!(furt.status("a"), Some(Status::Down), "probes go on: {whom}");
        assert_eq!(furt.heartbeat("a/one", here()), Ok(Status::Down));
        assert_eq!(furt.deregister(whom, here()), Ok(1));
    }
}

#[test]
fn a_refused_removal_of_one_of_two_puts_it_back() {
    let mut furt = Harness::new();
    for id in ["one", "two"] {
        furt.register(&Command::new("a", &["GET /a"]).id(id)).unwrap();
    }
    furt.store = Store::Fails;
    assert!(furt.deregister("a/one", here()).is_err());
    assert_eq!(furt.instances("a"), ["one", "two"]);
}

#[test]
fn an_index_of_the_snapshot_that_changes_hands_within_a_tick_shows_its_new_service() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.is_mid_turn = true;
    furt.deregister("a", here()).unwrap();
    furt.register(&Command::new("b", &["GET /b"])).unwrap();
    furt.is_mid_turn = false;
    furt.publish();
    assert_eq!(furt.snapshot.services.len(), 1, "indexes are used again");
    assert_eq!((furt.usable("", "/b"), furt.status("b")), (vec!["b"], Some(Status::Unknown)));
}

#[test]
fn the_last_instance_that_takes_nothing_along_leaves_the_routes_held_as_after_an_expiry() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.register(&Command::new("a", &[]).alone().id("two")).unwrap();
    furt.deregister("a/a", here()).unwrap();
    let reply = furt.ask_to_deregister_with(OnLastInstance::KeepRoutes, "a/two", here());
    assert!(matches!(furt.answers[&reply], Ok(Answer::Deregistered { instances: 1, .. })));
    assert_eq!((furt.status("a"), furt.usable("", "/a").len()), (Some(Status::Down), 0));
    assert!(matches!(furt.register(&Command::new("b", &["GET /a"])), Err(Refusal::Taken { .. })));
    // Who comes back finds the definition as it was.
    assert_eq!(furt.register(&Command::new("a", &[]).alone().id("two")).unwrap().routes, 1);
    furt.ask_to_deregister_with(OnLastInstance::KeepRoutes, "a/two", here());
    furt.restart(settings(policy()), Vec::new());
    furt.pass(60);
    assert!(furt.service("a").is_none());
    furt.register(&Command::new("b", &["GET /a"])).unwrap();
}

#[test]
fn a_service_without_routes_goes_with_its_last_instance_whoever_it_takes_along() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &[]).alone()).unwrap();
    furt.ask_to_deregister_with(OnLastInstance::KeepRoutes, "a/a", here());
    assert!(furt.service("a").is_none());
}

#[test]
fn a_last_instance_that_takes_nothing_along_is_back_where_the_store_refuses() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.store = Store::Fails;
    let reply = furt.ask_to_deregister_with(OnLastInstance::KeepRoutes, "a/a", here());
    assert!(matches!(furt.answers[&reply], Err(Refusal::StoreFailed(_))));
    assert_eq!((furt.instances("a"), furt.usable("", "/a")), (vec!["a"], vec!["a"]));
}
