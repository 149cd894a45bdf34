//! Whose url it is: one instance within a service, and told between services; and ids that move.

use super::{Command, Harness, Store, instance, operator, policy, settings, source};
use crate::model::DrainUntil;
use crate::registry::{Drain, Refusal, Report};
use crate::routing::SelectionInput;

const URL: &str = "http://127.0.0.1:9000";

fn at(id: &str, url: &str) -> Command {
    Command::new("a", &["GET /a"]).id(id).at(url, &["10.0.0.1:80"])
}

fn restart(furt: &mut Harness) {
    furt.restart(settings(policy()), Vec::new());
}

#[test]
fn within_a_service_the_id_that_registers_last_has_the_url() {
    let mut furt = Harness::new();
    for id in ["one", "two", "three"] {
        furt.register(&at(id, URL)).unwrap();
        furt.probe(&format!("a/{id}"), "+");
    }
    furt.register(&at("other", "http://127.0.0.1:9001")).unwrap();
    for _ in 0..2 {
        assert_eq!(furt.instances("a"), ["other", "three"]);
        restart(&mut furt);
    }
    let mut furt = Harness::new();
    furt.register(&at("one", URL)).unwrap();
    let answer = furt.register(&at("two", URL)).unwrap();
    let [replaced] = answer.replaced.as_slice() else { panic!("{answer:?}") };
    assert_eq!((replaced.id.as_str(), replaced.url.to_string().as_str()), ("one", URL));
    let from = source("127.0.0.1").address;
    let gone = Report::Replaced { instance: instance("a/one"), newer: instance("a/two").id, url: URL.to_owned(), from };
    assert!(furt.reports.contains(&gone));
    assert_eq!((furt.plans.len(), furt.instances("a")), (1, vec!["two"]));
    furt.register(&Command::new("b", &["GET /b"]).id("one").at("http://127.0.0.1:9005", &[])).unwrap();
}

#[test]
fn what_is_compared_is_what_was_registered() {
    let mut furt = Harness::new();
    for (id, url) in [("one", "http://a.example"), ("two", "http://b.example"), ("three", "http://a.example:81")] {
        furt.register(&at(id, url)).unwrap();
    }
    assert_eq!(furt.instances("a"), ["one", "three", "two"], "names that lead to one address are several places");
    furt.register(&at("four", "http://a.example:80")).unwrap();
    assert_eq!(furt.instances("a"), ["four", "three", "two"]);
}

#[test]
fn the_counters_go_along_so_that_nothing_in_flight_is_true() {
    let mut furt = Harness::new();
    furt.register(&at("one", URL).unprobed()).unwrap();
    let lease = furt.service("a").unwrap().pick(&SelectionInput::default(), |_| false).unwrap();
    furt.register(&at("two", URL).unprobed()).unwrap();
    let reply = furt.ask_to_deregister("a/two", source("127.0.0.1"));
    let Ok(crate::registry::Answer::Deregistered { drained, .. }) = &furt.answers[&reply] else { panic!() };
    assert_eq!(drained.in_flight(), 1);
    drop(lease);
    assert_eq!(drained.in_flight(), 0);
}

#[test]
fn a_drain_until_the_restart_goes_along_and_a_held_id_keeps_its_hold() {
    let mut furt = Harness::new();
    furt.register(&at("one", URL)).unwrap();
    furt.drain("a", Drain::Begins(DrainUntil::Restart), operator("127.0.0.1")).unwrap();
    furt.register(&at("two", URL)).unwrap();
    assert_eq!(furt.draining("a"), ["two"], "it may be the same process");
    restart(&mut furt);
    assert_eq!(furt.draining("a"), ["two"]);
    furt.register(&at("three", URL).incarnation("q")).unwrap();
    assert!(furt.draining("a").is_empty());
    furt.drain("a/three", Drain::Begins(DrainUntil::Undo), operator("127.0.0.1")).unwrap();
    furt.register(&at("four", URL)).unwrap();
    assert!(furt.draining("a").is_empty(), "another id");
    furt.register(&at("three", URL)).unwrap();
    assert_eq!((furt.draining("a"), furt.instances("a")), (vec!["three"], vec!["three"]));
}

#[test]
fn nobody_takes_the_url_of_another_registrant() {
    let mut furt = Harness::new();
    furt.register(&at("one", URL).from("10.0.0.1")).unwrap();
    assert!(matches!(furt.register(&at("two", URL).from("10.0.0.2")), Err(Refusal::NotOwner { .. })));
    furt.register(&at("two", URL).from("10.0.0.1")).unwrap();
}

#[test]
fn what_is_replaced_waits_for_what_replaces_it_and_stays_where_the_store_fails() {
    for outcome in [Store::Works, Store::Fails] {
        let mut furt = Harness::new();
        furt.register(&at("one", URL).ttl(10)).unwrap();
        furt.store = Store::Waits;
        furt.ask(&at("two", URL).ttl(10));
        let back = furt.ask(&at("one", URL).ttl(10));
        let third = furt.ask(&at("three", URL).ttl(10));
        furt.pass(12);
        assert_eq!((furt.writes.len(), furt.instances("a")), (1, vec!["one"]), "it is not removed meanwhile");
        furt.finish(outcome);
        furt.store = Store::Works;
        while !furt.writes.is_empty() {
            furt.finish(Store::Works);
        }
        assert!(furt.answers[&back].is_ok() && furt.answers[&third].is_ok());
        assert_eq!((furt.instances("a"), furt.unanswered()), (vec!["three"], 0));
    }
}

#[test]
fn a_url_of_two_services_is_told_once_until_one_leaves_or_both_say_so() {
    let told = |furt: &Harness| furt.reports.iter().filter(|one| matches!(one, Report::UrlShared { .. })).count();
    let shown = |furt: &Harness| furt.snapshot.shared_urls.values().map(|one| one.count).collect::<Vec<_>>();
    let of = |service: &str| Command::new(service, &[&format!("GET /{service}")]).at(URL, &[]);
    let mut furt = Harness::new();
    furt.register(&of("a")).unwrap();
    furt.register(&of("b")).unwrap();
    assert_eq!((told(&furt), shown(&furt)), (1, vec![2]));
    for command in [of("a"), of("b"), of("a").weight(2), of("b").weight(2)] {
        furt.register(&command).unwrap();
    }
    assert_eq!((told(&furt), shown(&furt)), (1, vec![2]));
    restart(&mut furt);
    assert_eq!(shown(&furt), [2]);
    furt.register(&of("a").shared()).unwrap();
    assert_eq!(shown(&furt), [2], "one of them says so");
    furt.register(&of("b").shared()).unwrap();
    assert!(shown(&furt).is_empty());
    furt.register(&of("b")).unwrap();
    furt.deregister("b", source("127.0.0.1")).unwrap();
    assert!(shown(&furt).is_empty());
}

#[test]
fn an_id_that_moves_while_it_is_up_names_what_it_replaced_and_back_and_forth_is_told() {
    let mut furt = Harness::new();
    let [here, there] = [URL, "http://127.0.0.1:9001"].map(|url| at("one", url));
    let contested = |furt: &Harness| furt.service("a").unwrap().instances[0].live.contest().is_some();
    furt.register(&here).unwrap();
    furt.probe("a/one", "+");
    let answer = furt.register(&there).unwrap();
    assert_eq!(answer.replaced.iter().map(|one| one.url.to_string()).collect::<Vec<_>>(), [URL]);
    assert!(!contested(&furt), "it may move");
    assert!(furt.register(&here).unwrap().replaced.is_empty(), "it was not UP");
    assert!(contested(&furt));
    furt.register(&here.clone().weight(2)).unwrap();
    assert!(contested(&furt));
    furt.pass(601);
    furt.register(&there).unwrap();
    assert!(!contested(&furt), "long after");
}
