//! Commands that wait for a write of their service: they run in order once it is done.

use super::{Command, Harness, Store, source};
use crate::registry::dispatch::MAX_PARKED;
use crate::registry::{Change, Refusal, Source};

fn here() -> Source {
    source("127.0.0.1")
}

#[test]
fn another_definition_waits_for_the_pending_one() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    let first = furt.ask(&Command::new("a", &["GET /one"]));
    let second = furt.ask(&Command::new("a", &["GET /two"]));
    let third = furt.ask(&Command::new("a", &["GET /three"]));
    for (reply, path) in [(first, "/one"), (second, "/two"), (third, "/three")] {
        assert_eq!(furt.writes.len(), 1);
        assert!(!furt.answers.contains_key(&reply));
        furt.finish(Store::Works);
        assert!(furt.answers[&reply].is_ok());
        assert_eq!((furt.usable("", path), furt.snapshot.table.len()), (vec!["a"], 1));
    }
    assert!(furt.writes.is_empty());
}

#[test]
fn instances_of_one_definition_are_written_side_by_side() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    for id in ["one", "two", "three"] {
        furt.ask(&Command::new("a", &["GET /a"]).id(id));
    }
    assert_eq!(furt.writes.len(), 3);
    furt.finish(Store::Fails);
    furt.finish(Store::Works);
    furt.finish(Store::Works);
    assert_eq!((furt.instances("a"), furt.usable("", "/a")), (vec!["three", "two"], vec!["a"]));
    furt.store = Store::Works;
    furt.deregister("a", here()).unwrap();
    furt.register(&Command::new("b", &["GET /a"])).unwrap();
}

#[test]
fn who_brings_the_same_new_definition_from_elsewhere_waits_and_is_not_its_owner() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /a"]).id("one").from("10.0.0.1"));
    furt.ask(&Command::new("a", &["GET /a"]).id("two").from("10.0.0.2"));
    furt.ask(&Command::new("a", &["GET /a"]).id("three").from("10.0.0.3"));
    assert_eq!(furt.writes.len(), 1);
    furt.finish(Store::Works);
    assert_eq!(furt.writes.len(), 2, "now they go side by side");
    furt.finish(Store::Works);
    furt.finish(Store::Works);
    let definitions = furt.written.iter().filter(|change| matches!(change, Change::PutDefinition(_)));
    assert_eq!(definitions.count(), 1);
    furt.store = Store::Works;
    assert!(matches!(furt.deregister("a", source("10.0.0.2")), Err(Refusal::NotOwner { .. })));
    assert_eq!(furt.deregister("a", source("10.0.0.1")), Ok(3));
}

#[test]
fn a_removal_waits_for_the_registration_before_it() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    let registration = furt.ask(&Command::new("a", &["GET /a"]));
    let removal = furt.ask_to_deregister("a", here());
    furt.finish(Store::Works);
    assert!(furt.answers[&registration].is_ok());
    assert!(furt.service("a").is_none(), "the removal has begun at once");
    furt.finish(Store::Works);
    assert!(furt.answers[&removal].is_ok());
    assert_eq!(furt.unanswered(), 0);
}

#[test]
fn a_removal_behind_a_refused_registration_finds_nothing() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /a"]));
    let removal = furt.ask_to_deregister("a", here());
    furt.finish(Store::Fails);
    assert!(matches!(furt.answers[&removal], Err(Refusal::NotFound(_))));
}

#[test]
fn a_registration_waits_for_the_removal_before_it_and_is_installed_afterwards() {
    for outcome in [Store::Works, Store::Fails] {
        let mut furt = Harness::new();
        let command = Command::new("a", &["GET /a"]);
        furt.register(&command).unwrap();
        furt.store = Store::Waits;
        furt.ask_to_deregister("a", here());
        let again = furt.ask(&command);
        assert!(furt.service("a").is_none());
        furt.finish(outcome);
        furt.store = Store::Works;
        while !furt.writes.is_empty() {
            furt.finish(Store::Works);
        }
        assert!(furt.answers[&again].is_ok(), "{outcome:?}");
        assert_eq!(furt.usable("", "/a"), ["a"], "{outcome:?}");
    }
}

#[test]
fn commands_that_wait_keep_their_order_across_kinds() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /one"]));
    furt.ask_to_deregister("a", here());
    furt.ask(&Command::new("a", &["GET /two"]));
    furt.ask_to_deregister("a", here());
    let last = furt.ask(&Command::new("a", &["GET /three"]));
    while !furt.writes.is_empty() {
        furt.finish(Store::Works);
    }
    assert!(furt.answers[&last].is_ok());
    assert_eq!((furt.usable("", "/three"), furt.snapshot.table.len()), (vec!["a"], 1));
    assert_eq!(furt.unanswered(), 0);
}

#[test]
fn a_service_that_waits_holds_up_no_other() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /a"]));
    furt.ask(&Command::new("a", &["GET /aa"]));
    furt.ask(&Command::new("b", &["GET /b"]));
    assert_eq!(furt.writes.len(), 2);
}

#[test]
fn beyond_the_most_that_may_wait_a_command_is_refused_and_everyone_is_answered() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /one"]));
    for _ in 0..MAX_PARKED {
        furt.ask(&Command::new("a", &["GET /two"]));
    }
    assert_eq!(furt.unanswered(), 1 + MAX_PARKED);
    assert_eq!(furt.register(&Command::new("a", &["GET /two"])), Err(Refusal::Busy));
    while !furt.writes.is_empty() {
        furt.finish(Store::Works);
    }
    assert_eq!((furt.unanswered(), furt.usable("", "/two")), (0, vec!["a"]));
    assert_eq!(furt.written.len(), 4, "the first of the others is written, and the rest were registered just so");
}

#[test]
fn a_command_that_waits_anew_is_not_lost_behind_the_others() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /zero"])).unwrap();
    furt.store = Store::Waits;
    let mut replies = vec![furt.ask(&Command::new("a", &["GET /one"]))];
    replies.push(furt.ask(&Command::new("a", &["GET /zero"])));
    // It takes over what is installed when it is looked at: first the one, then the other.
    replies.push(furt.ask(&Command::new("a", &[]).alone().id("alone")));
    replies.push(furt.ask(&Command::new("a", &["GET /two"]).id("two")));
    replies.push(furt.ask_to_deregister("a/two", here()));
    while !furt.writes.is_empty() {
        furt.finish(Store::Works);
    }
    assert_eq!(furt.unanswered(), 0);
    for reply in replies {
        assert!(furt.answers[&reply].is_ok(), "{:?}", furt.answers[&reply]);
    }
    assert_eq!((furt.instances("a"), furt.usable("", "/two")), (vec!["a", "alone"], vec!["a"]));
}
