//! Heartbeats, TTLs, and the hold of a service whose last instance fell silent.

use std::time::Duration;

use super::{Command, Harness, Store, instance, source};
use crate::model::Status;
use crate::registry::{Event, Refusal, Report, Source};

fn here() -> Source {
    source("127.0.0.1")
}

fn with_ttl(seconds: u64) -> Harness {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).ttl(seconds)).unwrap();
    furt
}

#[test]
fn who_is_heard_in_time_stays() {
    let mut furt = with_ttl(10);
    for _ in 0..20 {
        furt.pass(9);
        assert_eq!(furt.heartbeat("a", here()), Ok(Status::Unknown));
    }
    assert_eq!(furt.instances("a"), ["a"]);
}

#[test]
fn an_identical_registration_counts_as_a_heartbeat() {
    let mut furt = with_ttl(10);
    furt.pass(9);
    furt.register(&Command::new("a", &["GET /a"]).ttl(10)).unwrap();
    furt.pass(9);
    assert_eq!(furt.instances("a"), ["a"]);
}

#[test]
fn who_is_not_heard_is_gone_at_its_ttl() {
    let mut furt = with_ttl(10);
    furt.pass_ms(9_999);
    assert_eq!(furt.instances("a"), ["a"]);
    assert_eq!(furt.registry.next_deadline(), Some(furt.now.at + Duration::from_millis(1)));
    furt.pass_ms(1);
    assert!(furt.instances("a").is_empty());
    assert!(furt.reports.contains(&Report::Expired(instance("a"))));
    assert!(matches!(furt.heartbeat("a", here()), Err(Refusal::NotFound(_))));
    assert!(furt.plans.is_empty());
}

#[test]
fn the_routes_of_the_last_instance_are_held_down_for_a_minute_and_then_free() {
    let mut furt = with_ttl(10);
    furt.pass(10);
    assert_eq!((furt.status("a"), furt.usable("", "/a").len()), (Some(Status::Down), 0));
    assert_eq!(furt.snapshot.table.len(), 1, "the route is still there, to be answered with 503");
    furt.pass_ms(59_999);
    assert!(matches!(furt.register(&Command::new("b", &["GET /a"])), Err(Refusal::Taken { .. })));
    furt.pass_ms(1);
    assert!(furt.service("a").is_none() && furt.reports.contains(&Report::Freed(instance("a").service)));
    furt.register(&Command::new("b", &["GET /a"])).unwrap();
    assert_eq!((furt.usable("", "/a"), furt.registry.next_deadline()), (vec!["b"], None));
}

#[test]
fn who_comes_back_while_its_routes_are_held_has_them_again() {
    let mut furt = with_ttl(10);
    furt.pass(30);
    furt.register(&Command::new("a", &["GET /a"]).ttl(1000)).unwrap();
    furt.pass(100);
    assert_eq!((furt.usable("", "/a"), furt.instances("a")), (vec!["a"], vec!["a"]));
}

#[test]
fn a_held_service_can_be_removed_at_once() {
    let mut furt = with_ttl(10);
    furt.pass(11);
    assert_eq!(furt.deregister("a", here()), Ok(0));
    furt.register(&Command::new("b", &["GET /a"])).unwrap();
}

#[test]
fn instances_that_fall_silent_together_leave_together() {
    let mut furt = Harness::new();
    for id in ["one", "two", "three"] {
        furt.register(&Command::new("a", &["GET /a"]).id(id).ttl(10)).unwrap();
    }
    furt.register(&Command::new("a", &["GET /a"]).id("quiet")).unwrap();
    furt.store = Store::Waits;
    furt.pass(10);
    assert_eq!((furt.instances("a"), furt.writes.len()), (vec!["quiet"], 3));
    furt.finish(Store::Works);
    furt.finish(Store::Fails);
    furt.finish(Store::Works);
    furt.store = Store::Works;
    furt.pass(1);
    assert_eq!(furt.plans.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/quiet"]);
}

#[test]
fn an_expiry_does_not_wait_for_another_instances_registration() {
    let mut furt = with_ttl(10);
    furt.pass(9);
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /a"]).id("two"));
    furt.pass(1);
    assert!(furt.instances("a").is_empty());
    furt.finish(Store::Works);
    furt.finish(Store::Works);
    assert_eq!((furt.instances("a"), furt.usable("", "/a")), (vec!["two"], vec!["a"]));
    furt.pass(100);
    assert_eq!(furt.instances("a"), ["two"]);
}

#[test]
fn an_instance_that_is_registering_again_does_not_expire_meanwhile() {
    let mut furt = with_ttl(10);
    furt.pass(9);
    furt.store = Store::Waits;
    let again = furt.ask(&Command::new("a", &["GET /a"]).ttl(20));
    furt.pass(5);
    assert_eq!(furt.writes.len(), 1, "nothing but the registration is written");
    furt.finish(Store::Works);
    assert!(furt.answers[&again].is_ok());
    furt.pass(19);
    assert_eq!(furt.instances("a"), ["a"]);
}

#[test]
fn an_expiry_that_the_store_refuses_stays_out_and_is_tried_again() {
    let mut furt = with_ttl(10);
    furt.store = Store::Fails;
    furt.pass(15);
    assert!(furt.instances("a").is_empty());
    assert!(matches!(furt.heartbeat("a", here()), Err(Refusal::NotFound(_))));
    furt.store = Store::Works;
    furt.pass(1);
    assert!(furt.reports.contains(&Report::Expired(instance("a"))));
    furt.pass(60);
    assert!(furt.service("a").is_none());
}

#[test]
fn a_refused_delete_does_not_bring_back_what_expired() {
    let mut furt = with_ttl(10);
    furt.register(&Command::new("a", &["GET /a"]).id("quiet")).unwrap();
    furt.store = Store::Fails;
    furt.pass(10);
    assert!(furt.deregister("a", here()).is_err());
    assert_eq!(furt.instances("a"), ["quiet"]);
}

#[test]
fn an_end_of_the_hold_that_the_store_refuses_is_tried_again() {
    let mut furt = with_ttl(10);
    furt.pass(30);
    furt.store = Store::Fails;
    furt.pass(60);
    assert_eq!(furt.status("a"), Some(Status::Down));
    furt.store = Store::Works;
    furt.pass(1);
    assert!(furt.service("a").is_none());
}

#[test]
fn an_instance_without_a_ttl_is_held_to_its_heartbeats_from_the_first_one_on() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.pass(100_000);
    assert_eq!(furt.instances("a"), ["a"]);
    furt.heartbeat("a", here()).unwrap();
    furt.pass(59);
    assert_eq!(furt.instances("a"), ["a"]);
    furt.pass(1);
    assert!(furt.instances("a").is_empty());
}

#[test]
fn nobody_expires_for_furts_own_sleep() {
    let mut furt = with_ttl(10);
    furt.now.at += Duration::from_secs(300);
    furt.send(Event::ClockGap(Duration::from_secs(295)));
    furt.send(Event::DeadlineReached);
    assert_eq!(furt.instances("a"), ["a"]);
    furt.pass_ms(4_999);
    assert_eq!(furt.instances("a"), ["a"]);
    furt.pass_ms(1);
    assert!(furt.instances("a").is_empty());
}
