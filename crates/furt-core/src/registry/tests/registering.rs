//! Registrations: what is written, when it shows, what conflicts.

use std::time::Duration;

use super::{Command, Harness, Store, source};
use crate::model::{ServiceName, Status};
use crate::registry::{Change, Refusal};
use crate::routing::SelectionInput;

fn conflict(outcome: Result<crate::registry::Registered, Refusal>) -> Option<(String, Status)> {
    match outcome {
        Err(Refusal::Taken { conflict, .. }) => conflict.map(|(name, status)| (name.to_string(), status)),
        other => panic!("{other:?} is no conflict"),
    }
}

#[test]
fn a_registration_is_seen_and_answered_only_after_its_write() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    let reply = furt.ask(&Command::new("comments", &["GET /api/comments/* comments:read"]));
    assert!(furt.service("comments").is_none() && furt.answers.is_empty() && furt.plans.is_empty());
    assert_eq!(furt.publishes, 0);
    assert!(matches!(&furt.written[..], [Change::PutDefinition(_), Change::PutInstance(_)]));
    furt.finish(Store::Works);
    assert!(furt.answers[&reply].is_ok());
    assert_eq!(furt.status("comments"), Some(Status::Unknown));
    assert_eq!(furt.usable("", "/api/comments/a"), ["comments"]);
    assert_eq!((furt.publishes, furt.plans.len()), (1, 1));
}

#[test]
fn the_answer_names_routes_status_and_the_generation_that_is_published() {
    let mut furt = Harness::new();
    let registered = furt.register(&Command::new("a", &["GET /a", "POST /a"])).unwrap();
    assert_eq!((registered.routes, registered.status, registered.is_change), (2, Status::Unknown, true));
    assert_eq!(registered.generation, furt.snapshot.generation);
    assert_eq!(registered.heartbeat_ttl.as_secs(), 60);
    assert_eq!(furt.register(&Command::new("b", &["GET /b"]).ttl(7)).unwrap().heartbeat_ttl.as_secs(), 7);
}

#[test]
fn a_new_service_has_had_no_change_of_status() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    assert_eq!(furt.service("a").unwrap().live.transitions(), 0);
}

#[test]
fn an_identical_registration_writes_nothing_changes_no_generation_and_keeps_the_status() {
    let mut furt = Harness::new();
    let command = Command::new("a", &["GET /a"]);
    furt.register(&command).unwrap();
    furt.probe("a", "+");
    let (written, publishes, generation) = (furt.written.len(), furt.publishes, furt.snapshot.generation);
    let registered = furt.register(&command).unwrap();
    assert_eq!((registered.status, registered.is_change), (Status::Up, false));
    assert_eq!((furt.written.len(), furt.publishes, furt.snapshot.generation), (written, publishes, generation));
}

#[test]
fn a_changed_registration_replaces_the_routes_in_one_publish() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a", "GET /b"])).unwrap();
    let publishes = furt.publishes;
    furt.register(&Command::new("a", &["GET /b", "GET /c"])).unwrap();
    assert_eq!(furt.publishes, publishes + 1);
    assert!(furt.usable("", "/a").is_empty());
    assert_eq!((furt.usable("", "/b"), furt.usable("", "/c")), (vec!["a"], vec!["a"]));
    furt.register(&Command::new("b", &["GET /a"])).unwrap();
}

#[test]
fn a_changed_instance_keeps_what_is_in_flight_at_its_url() {
    let mut furt = Harness::new();
    let command = Command::new("a", &["GET /a"]);
    furt.register(&command).unwrap();
    let lease = furt.service("a").unwrap().pick(&SelectionInput::default(), |_| false).unwrap();
    furt.register(&command.clone().weight(9)).unwrap();
    assert_eq!(furt.service("a").unwrap().instances[0].live.in_flight(), 1);
    drop(lease);
    assert_eq!(furt.service("a").unwrap().instances[0].live.in_flight(), 0);
    furt.register(&command.at("http://127.0.0.1:9001", &[])).unwrap();
    assert_eq!(furt.service("a").unwrap().instances[0].addresses[0].port(), 9001);
}

#[test]
fn a_lower_revision_adds_its_instance_and_keeps_the_definition() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /new"]).revision(2)).unwrap();
    let registered = furt.register(&Command::new("a", &["GET /old", "GET /older"]).revision(1).id("a2")).unwrap();
    assert_eq!(registered.routes, 1);
    assert_eq!(furt.instances("a"), ["a", "a2"]);
    assert_eq!((furt.usable("", "/new"), furt.usable("", "/old").len()), (vec!["a"], 0));
    assert!(matches!(furt.written.last(), Some(Change::PutInstance(_))), "no definition is written");
}

#[test]
fn a_taken_route_is_refused_with_its_holder_and_the_status_of_that() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /x/*"])).unwrap();
    furt.probe("a", "+");
    let all_or_nothing = Command::new("b", &["GET /free", "GET /x/*"]);
    assert_eq!(conflict(furt.register(&all_or_nothing)), Some(("a".to_owned(), Status::Up)));
    assert!(furt.service("b").is_none() && furt.usable("", "/free").is_empty());
    furt.probe("a", "---");
    assert_eq!(conflict(furt.register(&all_or_nothing)), Some(("a".to_owned(), Status::Down)));
}

#[test]
fn a_route_is_taken_already_while_its_write_waits() {
    let mut furt = Harness::new();
    furt.store = Store::Waits;
    furt.ask(&Command::new("a", &["GET /x"]));
    assert_eq!(conflict(furt.register(&Command::new("b", &["GET /x"]))), Some(("a".to_owned(), Status::Unknown)));
    furt.finish(Store::Works);
    assert_eq!(furt.usable("", "/x"), ["a"]);
}

#[test]
fn routes_of_one_shape_conflict_by_method_and_host() {
    for (first, host, second, other_host, conflicts) in [
        ("GET /x", None, "GET /x", None, true),
        ("* /x", None, "* /x", None, true),
        ("* /x", None, "GET /x", None, false),
        ("POST /x", None, "* /x", None, false),
        ("GET /x", None, "POST /x", None, false),
        ("GET /x", None, "HEAD /x", None, false),
        ("GET /x", Some("one.example"), "GET /x", Some("two.example"), false),
        ("GET /x", Some("one.example"), "GET /x", None, false),
        ("GET /x", Some("one.example"), "GET /x", Some("ONE.example."), true),
        ("GET /x/*", None, "GET /x/y", None, false),
        ("GET /x/*/z", None, "GET /x/*/z", None, true),
    ] {
        let mut furt = Harness::new();
        let command = |service, route, host: Option<&str>| {
            let command = Command::new(service, &[route]);
            host.map_or(command.clone(), |host| command.host(host))
        };
        furt.register(&command("a", first, host)).unwrap();
        let outcome = furt.register(&command("b", second, other_host));
        assert_eq!(outcome.is_err(), conflicts, "{first} on {host:?}, {second} on {other_host:?}");
    }
}

#[test]
fn an_instance_id_belongs_to_one_service() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).id("one")).unwrap();
    assert_eq!(conflict(furt.register(&Command::new("b", &["GET /b"]).id("one"))).unwrap().0, "a");
    furt.deregister("a/one", source("127.0.0.1")).unwrap();
    furt.register(&Command::new("b", &["GET /b"]).id("one")).unwrap();
}

#[test]
fn a_refused_write_frees_what_was_claimed_and_answers_503() {
    let mut furt = Harness::new();
    furt.store = Store::Fails;
    let command = Command::new("a", &["GET /a"]).id("one");
    assert_eq!(furt.register(&command), Err(Refusal::StoreFailed("disk full".to_owned())));
    assert!(furt.service("a").is_none() && furt.plans.is_empty());
    furt.store = Store::Works;
    furt.register(&Command::new("b", &["GET /a"]).id("one")).unwrap();
}

#[test]
fn a_refused_change_leaves_what_was_registered() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.probe("a", "+");
    furt.store = Store::Fails;
    assert!(furt.register(&Command::new("a", &["GET /b"]).id("two")).is_err());
    assert_eq!((furt.status("a"), furt.instances("a")), (Some(Status::Up), vec!["a"]));
    assert_eq!((furt.usable("", "/a"), furt.usable("", "/b").len()), (vec!["a"], 0));
    furt.store = Store::Works;
    furt.register(&Command::new("b", &["GET /b"])).unwrap();
}

#[test]
fn a_service_is_up_while_one_instance_is() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).id("one")).unwrap();
    furt.register(&Command::new("a", &["GET /a"]).id("two")).unwrap();
    furt.probe("a/one", "+");
    furt.probe("a/two", "---");
    assert_eq!((furt.status("a"), furt.usable("", "/a")), (Some(Status::Up), vec!["a"]));
    furt.probe("a/one", "---");
    assert_eq!((furt.status("a"), furt.usable("", "/a").len()), (Some(Status::Down), 0));
    let publishes = furt.publishes;
    furt.probe("a/two", "+");
    assert_eq!((furt.status("a"), furt.publishes), (Some(Status::Up), publishes + 1));
}

#[test]
fn a_snapshot_taken_earlier_never_changes() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    let before = furt.snapshot.clone();
    furt.probe("a", "---");
    furt.register(&Command::new("b", &["GET /b"])).unwrap();
    furt.deregister("a", source("127.0.0.1")).unwrap();
    assert_eq!(before.service_named("a").unwrap().status, Status::Unknown);
    assert_eq!((before.table.len(), before.names.len()), (1, 1));
    assert_eq!(furt.snapshot.names.keys().map(ServiceName::as_str).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn an_instance_alone_joins_the_service_as_it_is_or_makes_one() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    let alone = |id: &str| Command::new("a", &[]).alone().id(id);
    assert_eq!(furt.register(&alone("a2")).unwrap().routes, 1);
    assert_eq!((furt.instances("a"), furt.usable("", "/a")), (vec!["a", "a2"], vec!["a"]));
    assert!(!furt.register(&alone("a2")).unwrap().is_change, "just so again: a heartbeat");
    furt.register(&Command::new("b", &[]).alone()).unwrap();
    assert_eq!(furt.usable("b.internal", "/"), ["b"]);
    furt.register(&Command::new("b", &["GET /b"])).unwrap();
    furt.register(&Command::new("b", &[]).alone().id("b2")).unwrap();
    assert_eq!(furt.usable("", "/b"), ["b"], "a definition that came later stays");
}

#[test]
fn an_instance_that_says_nothing_of_its_service_joins_it_and_is_promised_no_ttl() {
    let mut furt = Harness::new();
    let full = Command::new("a", &["GET /a"]).host("one.example").revision(3);
    furt.register(&full).unwrap();
    let joining = |id: &str| Command::new("a", &[]).joining().id(id);
    assert_eq!(furt.register(&joining("a2")).unwrap().routes, 1);
    assert!(!furt.register(&joining("a2")).unwrap().is_change);
    assert!(!furt.register(&full).unwrap().is_change, "the definition is as it was");
    assert_eq!((furt.instances("a"), furt.usable("one.example", "/a")), (vec!["a", "a2"], vec!["a"]));
    furt.pass(3_600);
    assert_eq!(furt.instances("a"), ["a", "a2"], "nobody holds it to heartbeats");
    furt.deregister("a/a", source("127.0.0.1")).unwrap();
    furt.deregister("a/a2", source("127.0.0.1")).unwrap();
    assert!(furt.service("a").is_none(), "the last one's command takes the service along");
    furt.register(&joining("a2")).unwrap();
    assert_eq!(furt.usable("a.internal", "/"), ["a"], "a new one has no routes");
    assert!(!furt.register(&joining("a2")).unwrap().is_change);
}

#[test]
fn who_says_something_of_a_service_with_routes_says_which_it_has() {
    let mut furt = Harness::new();
    let some = |id: &str| Command::new("a", &[]).without_routes().revision(2).id(id);
    furt.register(&some("a1")).unwrap();
    furt.register(&Command::new("a", &["GET /a"]).revision(2)).unwrap();
    assert_eq!(furt.register(&some("a1")), Err(Refusal::RoutesMissing));
    assert_eq!(furt.register(&some("a2")), Err(Refusal::RoutesMissing));
    furt.register(&Command::new("a", &["GET /a"]).revision(3)).unwrap();
    furt.register(&some("a2")).unwrap();
    assert!(!furt.register(&some("a1")).unwrap().is_change, "a lower revision leaves the definition as it is");
    assert_eq!(furt.usable("", "/a"), ["a"]);
    furt.register(&Command::new("a", &[]).revision(3)).unwrap();
    assert_eq!(furt.usable("a.internal", "/"), ["a"], "none at all is said by an empty list");
    assert!(furt.register(&some("a1").revision(4)).is_ok());
}

#[test]
fn an_instance_alone_that_waited_for_a_removal_makes_its_service_anew() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt.store = Store::Waits;
    furt.ask_to_deregister("a", source("127.0.0.1"));
    furt.ask(&Command::new("a", &[]).alone().id("a2"));
    furt.finish(Store::Works);
    furt.finish(Store::Works);
    assert_eq!(furt.instances("a"), ["a2"]);
    assert!(furt.usable("", "/a").is_empty(), "the routes went with the service");
}

#[test]
fn what_a_start_could_not_read_again_is_refused_and_takes_nothing() {
    let mut furt = Harness::new();
    let mut twice = Command::new("a", &["GET /a", "GET /b"]);
    twice.0.definition.routes[1] = twice.0.definition.routes[0].clone();
    let mut brief = Command::new("a", &["GET /a"]);
    brief.0.instance.heartbeat_ttl = Some(Duration::from_millis(999));
    for command in [twice, brief] {
        assert!(matches!(furt.register(&command), Err(Refusal::Invalid(_))));
    }
    assert!(furt.written.is_empty());
    furt.register(&Command::new("b", &["GET /a"]).id("a")).unwrap();
}

#[test]
fn an_instance_alone_makes_no_service_whose_name_is_no_host() {
    let mut furt = Harness::new();
    furt.register(&Command::new("a..b", &["GET /a"])).unwrap();
    furt.store = Store::Waits;
    // Looked at while the service stood: nothing was wrong with it then.
    furt.ask_to_deregister("a..b", source("127.0.0.1"));
    let reply = furt.ask(&Command::new("a..b", &[]).alone().id("a2"));
    furt.finish(Store::Works);
    assert!(matches!(furt.answers[&reply], Err(Refusal::Invalid(_))));
    assert!(furt.writes.is_empty() && furt.service("a..b").is_none());
    furt.store = Store::Works;
    furt.register(&Command::new("b", &["GET /a"]).id("a2")).unwrap();
}
