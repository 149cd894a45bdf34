//! Draining: what begins it, what ends it, what outlives what, and that probes and heartbeats go on meanwhile.

use super::{Command, Harness, Store, instance, policy, settings, source};
use crate::model::{DrainMark, DrainUntil, Status};
use crate::registry::{Answer, Change, Drain, Refusal, Report};
use crate::routing::{NoInstance, SelectionInput};

const BEGINS: Drain = Drain::Begins(DrainUntil::Registration);

fn here() -> crate::registry::Source {
    source("127.0.0.1")
}

/// A service of two instances that are UP.
fn two() -> Harness {
    let mut furt = Harness::new();
    for id in ["one", "two"] {
        furt.register(&Command::new("a", &["GET /a"]).id(id)).unwrap();
        furt.probe(&format!("a/{id}"), "+");
    }
    furt
}

fn restart(furt: &mut Harness) {
    furt.restart(settings(policy()), Vec::new());
}

#[test]
fn a_draining_instance_stays_registered_and_probed_and_gets_no_new_requests() {
    let mut furt = two();
    let before = furt.snapshot.generation;
    assert_eq!(furt.drain("a/one", BEGINS, here()), Ok(1));
    assert_eq!((furt.instances("a"), furt.draining("a")), (vec!["one", "two"], vec!["one"]));
    assert!(furt.snapshot.generation > before, "it is a change");
    let asked: Vec<_> =
        (0..4).map(|_| furt.service("a").unwrap().pick(&SelectionInput::default(), |_| false).unwrap()).collect();
    assert!(asked.iter().all(|lease| lease.instance().spec.id.as_str() == "two"));
    let by = Some(here().actor());
    assert!(furt.reports.contains(&Report::DrainBegan {
        instance: instance("a/one"),
        until: DrainUntil::Registration,
        by
    }));

    furt.probe("a/one", "---");
    assert_eq!(furt.service("a").unwrap().instances[0].status, Status::Down);
    furt.probe("a/one", "+");
    assert_eq!(furt.heartbeat("a/one", here()), Ok(Status::Up));
    assert_eq!(furt.draining("a"), ["one"], "neither ends it");
}

#[test]
fn it_begins_once_the_store_has_it_and_nothing_changes_where_the_store_fails() {
    let mut furt = two();
    furt.store = Store::Waits;
    let reply = furt.ask_for_drain("a/one", BEGINS, here());
    assert!(furt.draining("a").is_empty() && !furt.answers.contains_key(&reply));
    let mark = DrainMark { by: Some(here().actor()), began_ms: Some(furt.now.unix_ms), ..DrainMark::unknown() };
    assert_eq!(furt.written.last(), Some(&Change::PutDraining(instance("a/one"), mark.into())));
    furt.finish(Store::Fails);
    assert!(matches!(furt.answers[&reply], Err(Refusal::StoreFailed(_))));
    assert!(furt.draining("a").is_empty());
    furt.ask_for_drain("a/one", BEGINS, here());
    furt.finish(Store::Works);
    assert_eq!(furt.draining("a"), ["one"]);

    let reply = furt.ask_for_drain("a/one", Drain::Ends, here());
    furt.finish(Store::Fails);
    assert!(furt.answers[&reply].is_err());
    assert_eq!(furt.draining("a"), ["one"], "nor does it end");
}

#[test]
fn an_older_snapshot_leaves_a_draining_instance_out_too() {
    let mut furt = two();
    let older = furt.snapshot.clone();
    furt.drain("a/one", BEGINS, here()).unwrap();
    furt.deregister("a/two", here()).unwrap();
    let service = older.service_named("a").unwrap();
    assert_eq!(
        service.pick(&SelectionInput::default(), |_| false).unwrap_err(),
        NoInstance::Draining,
        "what left is not picked either"
    );
}

#[test]
fn all_instances_of_a_service_drain_together_and_one_that_comes_later_does_not() {
    let mut furt = two();
    assert_eq!(furt.drain("a", BEGINS, here()), Ok(2));
    assert_eq!(furt.status("a"), Some(Status::Up), "its status is what the probes say");
    assert_eq!(furt.usable("", "/a"), ["a"], "its routes stay");
    assert_eq!(
        furt.service("a").unwrap().pick(&SelectionInput::default(), |_| false).unwrap_err(),
        NoInstance::Draining
    );
    furt.register(&Command::new("a", &["GET /a"]).id("three")).unwrap();
    assert_eq!(furt.draining("a"), ["one", "two"]);
    assert_eq!(furt.drain("a", BEGINS, here()), Ok(3));
    assert_eq!(furt.drain("a", Drain::Ends, here()), Ok(3));
    assert!(furt.draining("a").is_empty());
}

#[test]
fn a_drain_that_is_there_already_and_the_end_of_none_are_no_change() {
    let mut furt = two();
    assert_eq!(furt.drain("a", Drain::Ends, here()), Ok(0));
    furt.drain("a/one", BEGINS, here()).unwrap();
    let (written, generation) = (furt.written.len(), furt.snapshot.generation);
    assert_eq!(furt.drain("a/one", BEGINS, here()), Ok(1));
    assert_eq!((furt.written.len(), furt.snapshot.generation), (written, generation));
    assert_eq!(furt.drain("a", BEGINS, here()), Ok(2));
    assert_eq!(furt.written.len(), written + 1, "only what changes is written");
}

#[test]
fn an_identical_registration_ends_it_and_is_a_change_that_keeps_the_status() {
    let mut furt = two();
    furt.drain("a", BEGINS, here()).unwrap();
    let held = furt.snapshot.service_named("a").unwrap().instances[0].live.clone();
    let again = furt.register(&Command::new("a", &["GET /a"]).id("one")).unwrap();
    assert!(again.is_change);
    assert_eq!((again.status, furt.draining("a")), (Status::Up, vec!["two"]));
    assert_eq!(furt.written.last(), Some(&Change::RemoveDraining(instance("a/one"))));
    let live = &furt.snapshot.service_named("a").unwrap().instances[0].live;
    assert!(std::sync::Arc::ptr_eq(&held, live), "what it has in flight is counted on");
    assert!(!furt.register(&Command::new("a", &["GET /a"]).id("one")).unwrap().is_change);
}

#[test]
fn a_changed_registration_ends_it_and_one_of_another_instance_does_not() {
    let mut furt = two();
    furt.drain("a", BEGINS, here()).unwrap();
    furt.register(&Command::new("a", &["GET /a", "GET /b"]).id("one")).unwrap();
    assert_eq!(furt.draining("a"), ["two"]);
    furt.register(&Command::new("a", &["GET /a", "GET /b"]).id("two").weight(7)).unwrap();
    assert!(furt.draining("a").is_empty());
    restart(&mut furt);
    assert!(furt.draining("a").is_empty());
}

#[test]
fn a_registration_that_the_store_refuses_ends_no_drain() {
    for weight in [1, 7] {
        let mut furt = two();
        furt.drain("a/one", BEGINS, here()).unwrap();
        furt.store = Store::Fails;
        let command = Command::new("a", &["GET /a"]).id("one").weight(weight);
        assert!(matches!(furt.register(&command), Err(Refusal::StoreFailed(_))), "{weight}");
        assert_eq!(furt.draining("a"), ["one"], "{weight}");
        furt.store = Store::Works;
        assert!(furt.register(&command).unwrap().is_change, "{weight}");
        assert!(furt.draining("a").is_empty(), "{weight}");
    }
}

#[test]
fn a_restart_keeps_it_and_registering_again_ends_it_then() {
    let mut furt = two();
    furt.drain("a/one", BEGINS, here()).unwrap();
    for _ in 0..2 {
        restart(&mut furt);
        assert_eq!((furt.instances("a"), furt.draining("a")), (vec!["one", "two"], vec!["one"]));
    }
    furt.register(&Command::new("a", &["GET /a"]).id("one")).unwrap();
    restart(&mut furt);
    assert!(furt.draining("a").is_empty());
    furt.drain("a", BEGINS, here()).unwrap();
    furt.drain("a/two", Drain::Ends, here()).unwrap();
    restart(&mut furt);
    assert_eq!(furt.draining("a"), ["one"]);
}

#[test]
fn a_draining_instance_that_is_silent_expires_and_comes_back_as_any_other() {
    let mut furt = two();
    let command = Command::new("a", &["GET /a"]).id("one").ttl(10);
    furt.register(&command).unwrap();
    furt.drain("a/one", BEGINS, here()).unwrap();
    furt.pass(9);
    furt.heartbeat("a/one", here()).unwrap();
    furt.pass(9);
    assert_eq!(furt.instances("a"), ["one", "two"]);
    furt.pass(2);
    assert_eq!(furt.instances("a"), ["two"]);
    furt.register(&command).unwrap();
    assert!(furt.draining("a").is_empty());
    restart(&mut furt);
    assert!(furt.draining("a").is_empty());
}

#[test]
fn one_that_returns_is_not_deregistered_while_the_store_takes_its_time() {
    let mut furt = Harness::new();
    let command = Command::new("a", &["GET /a"]).ttl(10);
    furt.register(&command).unwrap();
    furt.drain("a", BEGINS, here()).unwrap();
    furt.store = Store::Waits;
    let reply = furt.ask(&command);
    furt.pass(25);
    assert_eq!(furt.instances("a"), ["a"]);
    furt.finish(Store::Works);
    assert!(furt.answers[&reply].is_ok());
    furt.pass(9);
    assert_eq!((furt.instances("a"), furt.draining("a")), (vec!["a"], vec![]));
}

#[test]
fn an_instance_that_expires_while_its_drain_is_written_is_gone_and_everyone_is_answered() {
    for outcome in [Store::Works, Store::Fails] {
        let mut furt = two();
        furt.register(&Command::new("a", &["GET /a"]).id("one").ttl(10)).unwrap();
        furt.store = Store::Waits;
        let reply = furt.ask_for_drain("a", BEGINS, here());
        furt.pass(12);
        assert_eq!(furt.instances("a"), ["two"]);
        furt.finish(outcome);
        match &furt.answers[&reply] {
            Ok(Answer::Drained { instances, .. }) => assert_eq!(instances.instances(), 1),
            refused => assert!(outcome == Store::Fails && refused.is_err()),
        }
        furt.store = Store::Works;
        while !furt.writes.is_empty() {
            furt.finish(Store::Works);
        }
        restart(&mut furt);
        assert_eq!(furt.instances("a"), ["two"]);
    }
}

#[test]
fn a_draining_instance_leaves_as_any_other_and_a_refused_removal_leaves_it_draining() {
    for whom in ["a/one", "a"] {
        let mut furt = two();
        furt.drain("a/one", BEGINS, here()).unwrap();
        furt.store = Store::Fails;
        assert!(furt.deregister(whom, here()).is_err());
        assert_eq!((furt.instances("a"), furt.draining("a")), (vec!["one", "two"], vec!["one"]), "{whom}");
        furt.store = Store::Works;
        furt.deregister(whom, here()).unwrap();
        furt.register(&Command::new("a", &["GET /a"]).id("one")).unwrap();
        assert!(furt.draining("a").is_empty(), "{whom}: nothing is left of what was removed");
        restart(&mut furt);
        assert!(furt.draining("a").is_empty(), "{whom}");
    }
}

#[test]
fn a_deregistration_is_answered_with_what_is_still_in_flight() {
    let mut furt = two();
    let lease = furt.service("a").unwrap().pick(&SelectionInput::default(), |_| false).unwrap();
    let reply = furt.ask_to_deregister("a", here());
    let Ok(Answer::Deregistered { drained, .. }) = &furt.answers[&reply] else { panic!("{:?}", furt.answers) };
    assert_eq!((drained.instances(), drained.in_flight()), (2, 1));
    drop(lease);
    assert_eq!(drained.in_flight(), 0);
}

#[test]
fn who_may_deregister_may_drain_and_nobody_else() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).from("10.0.0.1")).unwrap();
    for (whom, drain) in [("a", BEGINS), ("a/a", BEGINS), ("a/a", Drain::Ends)] {
        let foreign = furt.drain(whom, drain, source("10.0.0.2"));
        assert!(matches!(foreign, Err(Refusal::NotOwner { .. })), "{whom} {drain:?}");
    }
    assert!(furt.draining("a").is_empty());
    assert_eq!(furt.drain("a", BEGINS, source("10.0.0.1")), Ok(1));
    assert_eq!(furt.drain("a", Drain::Ends, super::operator("10.0.0.2")), Ok(1));
    for whom in ["b", "a/b", "b/a"] {
        assert!(matches!(furt.drain(whom, BEGINS, here()), Err(Refusal::NotFound(_))), "{whom}");
    }
}

#[test]
fn a_drain_waits_for_what_is_written_and_registrations_wait_for_it() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    let command = Command::new("a", &["GET /a"]);
    let first = furt.ask(&command);
    let drain = furt.ask_for_drain("a", BEGINS, here());
    let again = furt.ask(&command);
    assert_eq!(furt.writes.len(), 1);
    furt.finish(Store::Works);
    assert!(furt.answers[&first].is_ok() && furt.writes.len() == 1);
    furt.finish(Store::Works);
    assert!(furt.answers[&drain].is_ok());
    assert_eq!(furt.draining("a"), ["a"], "the registration behind it is on its way to end it");
    furt.finish(Store::Works);
    assert!(matches!(&furt.answers[&again], Ok(Answer::Registered(one)) if one.is_change));
    assert!(furt.draining("a").is_empty() && furt.unanswered() == 0);
}
