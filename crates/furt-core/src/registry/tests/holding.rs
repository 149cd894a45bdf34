//! Drains that no registration of the same process ends: who may begin and undo them, and what outlives what.

use super::{Command, Harness, Store, instance, operator, policy, settings, source};
use crate::model::{DrainUntil, Incarnation};
use crate::registry::{Drain, Refusal, Registered, Report, Source};

fn here() -> Source {
    operator("127.0.0.1")
}

fn until(until: DrainUntil) -> Drain {
    Drain::Begins(until)
}

/// The service `a` with one instance of its name, which drains `until`.
fn draining(command: &Command, until: DrainUntil) -> Harness {
    let mut furt = Harness::new();
    furt.register(command).unwrap();
    assert_eq!(furt.drain("a", Drain::Begins(until), here()), Ok(1));
    furt
}

fn restart(furt: &mut Harness) {
    furt.restart(settings(policy()), Vec::new());
}

fn one() -> Command {
    Command::new("a", &["GET /a"])
}

fn until_of(furt: &Harness) -> Option<DrainUntil> {
    furt.service("a")?.instances[0].live.drain().map(|mark| mark.until)
}

fn held(furt: &Harness) -> Vec<String> {
    furt.snapshot.held.iter().map(|held| format!("{}/{}", held.service, held.id)).collect()
}

#[test]
fn no_registration_of_the_same_or_of_no_incarnation_ends_a_drain_until_the_restart() {
    for (before, same) in [(one(), vec![one(), one().weight(7)]), {
        let before = one().incarnation("p");
        (before.clone(), vec![before.clone(), before.weight(7), one(), one().incarnation("p")])
    }] {
        let mut furt = draining(&before, DrainUntil::Restart);
        for command in same {
            for _ in 0..2 {
                furt.register(&command).unwrap();
                assert_eq!(furt.draining("a"), ["a"]);
                restart(&mut furt);
                assert_eq!((furt.draining("a"), until_of(&furt)), (vec!["a"], Some(DrainUntil::Restart)));
            }
        }
        furt.register(&one().incarnation("q")).unwrap();
        assert!(furt.draining("a").is_empty(), "another process");
        let by = Some(source("127.0.0.1").actor());
        assert!(furt.reports.contains(&Report::DrainEnded { instance: instance("a"), by }));
        restart(&mut furt);
        assert!(furt.draining("a").is_empty());
    }
}

#[test]
fn an_identical_registration_of_a_held_instance_is_a_heartbeat_and_writes_nothing() {
    for until in [DrainUntil::Restart, DrainUntil::Undo] {
        let mut furt = draining(&one(), until);
        let written = furt.written.len();
        let Registered { is_change, .. } = furt.register(&one()).unwrap();
        assert_eq!((is_change, furt.written.len(), until_of(&furt)), (false, written, Some(until)));
    }
}

#[test]
fn a_drain_until_undone_belongs_to_the_id() {
    let mut furt = draining(&one().ttl(10), DrainUntil::Undo);
    furt.register(&one().incarnation("q").ttl(10)).unwrap();
    assert_eq!(furt.draining("a"), ["a"]);
    furt.pass(12);
    assert!(furt.instances("a").is_empty());
    furt.pass(70);
    assert_eq!((furt.service("a").is_none(), held(&furt)), (true, vec!["a/a".to_owned()]));
    restart(&mut furt);
    furt.register(&Command::new("a", &[]).alone()).unwrap();
    assert_eq!(furt.draining("a"), ["a"], "also a backend's");
    furt.deregister("a", here()).unwrap();
    furt.register(&one()).unwrap();
    assert_eq!((furt.draining("a"), held(&furt)), (vec!["a"], vec!["a/a".to_owned()]));
    furt.reconfigure(settings(policy()), Vec::new());
    assert_eq!(furt.drain("a/a", Drain::Ends, here()), Ok(1));
    assert_eq!((furt.draining("a"), held(&furt)), (vec![], vec![]));
    restart(&mut furt);
    assert_eq!((furt.draining("a"), held(&furt)), (vec![], vec![]));
}

#[test]
fn an_id_is_let_go_also_while_nobody_is_registered_under_it() {
    for whom in ["a", "a/a"] {
        let mut furt = draining(&one(), DrainUntil::Undo);
        furt.deregister("a", here()).unwrap();
        assert_eq!(furt.drain("a/b", Drain::Ends, here()), Err(Refusal::NotFound("instance \"a/b\"".to_owned())));
        assert_eq!(furt.drain(whom, Drain::Ends, source("127.0.0.1")), Err(Refusal::OperatorsOnly));
        furt.store = Store::Fails;
        assert!(matches!(furt.drain(whom, Drain::Ends, here()), Err(Refusal::StoreFailed(_))));
        assert_eq!(held(&furt), ["a/a"]);
        furt.store = Store::Works;
        assert_eq!(furt.drain(whom, Drain::Ends, here()), Ok(1), "{whom}");
        assert!(held(&furt).is_empty());
        assert!(matches!(furt.drain(whom, Drain::Ends, here()), Err(Refusal::NotFound(_))));
        furt.register(&one()).unwrap();
        assert!(furt.draining("a").is_empty());
    }
}

#[test]
fn only_operators_begin_and_undo_what_holds() {
    let mut furt = Harness::new();
    furt.register(&one().from("10.0.0.1")).unwrap();
    let own = || source("10.0.0.1");
    for kind in [DrainUntil::Restart, DrainUntil::Undo] {
        assert_eq!(furt.drain("a", until(kind), own()), Err(Refusal::OperatorsOnly));
        furt.drain("a", until(kind), operator("10.0.0.9")).unwrap();
        assert_eq!(furt.drain("a", Drain::Ends, own()), Err(Refusal::OperatorsOnly));
        assert_eq!(furt.drain("a", until(DrainUntil::Registration), own()), Ok(1), "it drains already, and longer");
        furt.register(&one().from("10.0.0.1")).unwrap();
        let live = furt.service("a").unwrap().instances[0].live.clone();
        let mark = live.drain().unwrap();
        assert_eq!(
            (mark.until, mark.by.clone(), mark.began_ms),
            (kind, Some(operator("10.0.0.9").actor()), Some(furt.now.unix_ms))
        );
        furt.drain("a", Drain::Ends, operator("10.0.0.9")).unwrap();
        assert!(furt.draining("a").is_empty());
    }
}

#[test]
fn the_drain_that_holds_longest_stays() {
    let mut furt = Harness::new();
    furt.register(&one()).unwrap();
    let kinds = [DrainUntil::Registration, DrainUntil::Restart, DrainUntil::Undo];
    for kind in kinds {
        furt.drain("a", until(kind), here()).unwrap();
        assert_eq!(until_of(&furt), Some(kind));
        restart(&mut furt);
        assert_eq!(until_of(&furt), Some(kind));
    }
    let written = furt.written.len();
    for kind in kinds {
        assert_eq!(furt.drain("a", until(kind), here()), Ok(1));
    }
    assert_eq!((until_of(&furt), furt.written.len()), (Some(DrainUntil::Undo), written));
}

#[test]
fn what_waits_for_a_drain_is_told_when_it_ended() {
    let mut furt = Harness::new();
    furt.register(&one()).unwrap();
    let reply = furt.ask_for_drain("a", until(DrainUntil::Registration), here());
    let Ok(crate::registry::Answer::Drained { instances, .. }) = furt.answers[&reply].clone() else { panic!() };
    assert_eq!(instances.ended(), 0);
    furt.register(&one()).unwrap();
    assert_eq!(instances.ended(), 1);
}

#[test]
fn a_registration_with_another_incarnation_is_written_and_shown_with_the_one_it_replaced() {
    let mut furt = Harness::new();
    let shown = |furt: &Harness| {
        let one = &furt.service("a").unwrap().instances[0];
        let text = |of: Option<&Incarnation>| of.map(|one| one.as_str().to_owned());
        (text(one.spec.incarnation.as_ref()), text(one.live.replaced().as_deref()))
    };
    let some = |text: &str| Some(text.to_owned());
    furt.register(&one().incarnation("p")).unwrap();
    assert_eq!(shown(&furt), (some("p"), None));
    furt.probe("a", "+");
    assert!(furt.register(&one().incarnation("q")).unwrap().is_change);
    furt.register(&one().incarnation("q").weight(2)).unwrap();
    assert_eq!(shown(&furt), (some("q"), some("p")));
    restart(&mut furt);
    assert_eq!(shown(&furt), (some("q"), some("p")));
    furt.register(&one()).unwrap();
    assert_eq!(shown(&furt), (None, some("q")));
}

#[test]
fn an_incarnation_that_was_replaced_is_refused_while_the_newer_one_is_up() {
    let mut furt = Harness::new();
    let [old, new] = ["p", "q"].map(|text| one().incarnation(text));
    furt.register(&old).unwrap();
    furt.register(&new).unwrap();
    furt.probe("a", "+");
    for _ in 0..2 {
        let refused = furt.register(&old);
        assert!(matches!(refused, Err(Refusal::Replaced { .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("two processes register as id \"a\""));
        restart(&mut furt);
        furt.probe("a", "+");
    }
    assert!(!furt.register(&new).unwrap().is_change);
    furt.probe("a", "---");
    furt.register(&old).unwrap();
    furt.probe("a", "+");
    assert!(matches!(furt.register(&new), Err(Refusal::Replaced { .. })));
}

#[test]
fn a_command_that_names_an_incarnation_is_about_no_other() {
    let mut furt = Harness::new();
    furt.register(&one().incarnation("p")).unwrap();
    furt.register(&one().incarnation("q")).unwrap();
    let refused = |outcome: Result<(), Refusal>| matches!(outcome, Err(Refusal::AnotherIncarnation { .. }));
    for (named, is_meant) in [("p", false), ("q", true)] {
        assert_eq!(refused(furt.heartbeat_of("a", named)), !is_meant);
        assert_eq!(refused(furt.drain_of("a/a", named, Drain::Begins(DrainUntil::Registration))), !is_meant);
        assert_eq!(refused(furt.drain_of("a/a", named, Drain::Ends)), !is_meant);
        assert_eq!(refused(furt.deregister_of("a/a", named)), !is_meant);
        assert_eq!(furt.instances("a").is_empty(), is_meant);
    }
    furt.register(&one()).unwrap();
    assert!(refused(furt.deregister_of("a/a", "p")), "one that names none is another one");
    furt.deregister("a/a", here()).unwrap();
}
