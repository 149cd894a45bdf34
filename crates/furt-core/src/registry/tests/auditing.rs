//! What of operators' commands goes to the audit, and that it goes with the change or not at all.

use super::*;
use crate::model::{Actor, AuditAction, DrainUntil, Operator, OperatorName, Order, Role};
use crate::registry::{Answer, Drain, Event, KeyCommand, Refusal, Source};

/// An operator of that name, who sent its token.
fn named(name: &str) -> Source {
    let name = Some(OperatorName::try_new(name).unwrap());
    Source { operator: Some(Operator { name, role: Role::Operate }), ..source("10.0.0.9") }
}

/// One who is an operator by its address alone.
fn by_address(from: &str) -> Source {
    Source { operator: Some(Operator { name: None, role: Role::Admin }), ..source(from) }
}

fn open() -> Harness {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).id("one").from("10.0.0.1")).unwrap();
    furt.register(&Command::new("a", &["GET /a"]).id("two").from("10.0.0.1")).unwrap();
    furt
}

/// Actions and their subjects as they were kept, in their order.
fn kept(furt: &Harness) -> Vec<String> {
    let line = |entry: &std::sync::Arc<crate::model::AuditEntry>| {
        let subject = match &entry.action {
            AuditAction::CreateKey(key) | AuditAction::RotateKey(key) => key.name().to_string(),
            AuditAction::ChangeKey { after, .. } => after.name().to_string(),
            AuditAction::RevokeKey(name) | AuditAction::TakeBackKey(name) => name.to_string(),
            AuditAction::BeginMaintenance { scope, .. } | AuditAction::EndMaintenance { scope, .. } => {
                scope.to_string()
            }
            AuditAction::SetSplit { service, .. } | AuditAction::RemoveSplit { service, .. } => service.to_string(),
            AuditAction::SetGrant { service, .. } | AuditAction::RemoveGrant { service, .. } => service.to_string(),
            AuditAction::BeginDrain { service, instances, .. }
            | AuditAction::EndDrain { service, instances }
            | AuditAction::Deregister { service, instances, .. } => {
                let ids: Vec<_> = instances.iter().map(ToString::to_string).collect();
                format!("{service}/{}", ids.join("+"))
            }
            AuditAction::Register { service, instance, .. } => format!("{service}/{instance}"),
            AuditAction::Order { .. } => String::new(),
        };
        format!("{} {subject}", entry.action.as_str()).trim_end().to_owned()
    };
    furt.audited.iter().map(line).collect()
}

#[test]
fn what_operators_change_is_kept_with_who_it_was_and_when() {
    let mut furt = open();
    furt.key(KeyCommand::Create(key("k", "1"))).unwrap();
    furt.maintenance(begin("a", None)).unwrap();
    furt.maintenance(end("a")).unwrap();
    furt.split(split("a", &["2"])).unwrap();
    furt.split(unsplit("a")).unwrap();
    furt.drain("a", Drain::Begins(DrainUntil::Undo), named("alice")).unwrap();
    furt.drain("a", Drain::Ends, named("alice")).unwrap();
    furt.deregister("a/one", named("alice")).unwrap();
    furt.deregister("a", named("alice")).unwrap();
    assert_eq!(
        kept(&furt),
        [
            "key-create k",
            "maintenance-begin a",
            "maintenance-end a",
            "split-set a",
            "split-remove a",
            "drain-begin a/one+two",
            "drain-end a/one+two",
            "deregister a/one",
            "deregister a/two"
        ]
    );
    let last = furt.audited.last().unwrap();
    assert_eq!((&last.by, last.at_ms), (&named("alice").actor(), furt.now.unix_ms));
}

#[test]
fn what_was_before_is_kept_beside_what_is() {
    let mut furt = open();
    let first = furt.maintenance(begin("a", None)).unwrap();
    let second = furt.maintenance(begin("a", Some(60))).unwrap();
    let AuditAction::BeginMaintenance { before, after, .. } = &furt.audited[1].action else { panic!() };
    assert_eq!((before.as_ref(), after), (Some(&first), &second));
    furt.split(split("a", &["2"])).unwrap();
    furt.split(split("a", &["3"])).unwrap();
    let AuditAction::SetSplit { before, .. } = &furt.audited[3].action else { panic!() };
    assert_eq!(before.as_ref().unwrap().spec, split_of(&["2"]));
}

#[test]
fn services_are_no_operators_and_an_address_alone_makes_one_only_where_nothing_else_gives_the_right() {
    for (source, is_kept) in [
        (source("10.0.0.1"), false),
        (source("127.0.0.1"), false),
        (by_address("10.0.0.1"), false),
        (by_address("127.0.0.1"), false),
        (by_address("10.0.0.9"), true),
        (named("alice"), true),
        (Source { address: [10, 0, 0, 1].into(), ..named("alice") }, true),
    ] {
        let mut furt = open();
        furt.drain("a/one", Drain::Begins(DrainUntil::Registration), source.clone()).unwrap();
        furt.drain("a/one", Drain::Ends, source.clone()).unwrap();
        furt.deregister("a/one", source.clone()).unwrap();
        assert_eq!(furt.audited.len(), if is_kept { 3 } else { 0 }, "{source:?}");
    }
    // What only operators may is an operator's.
    let mut furt = open();
    furt.drain("a", Drain::Begins(DrainUntil::Restart), by_address("127.0.0.1")).unwrap();
    furt.drain("a", Drain::Ends, by_address("127.0.0.1")).unwrap();
    assert_eq!(kept(&furt), ["drain-begin a/one+two", "drain-end a/one+two"]);
}

#[test]
fn what_is_refused_or_not_stored_is_not_kept_and_what_changes_nothing_neither() {
    let mut furt = open();
    assert!(furt.maintenance(end("a")).is_err());
    furt.drain("a", Drain::Begins(DrainUntil::Registration), named("alice")).unwrap();
    furt.drain("a", Drain::Begins(DrainUntil::Registration), named("alice")).unwrap();
    assert_eq!(kept(&furt), ["drain-begin a/one+two"]);
    furt.store = Store::Fails;
    assert!(furt.maintenance(begin("a", None)).is_err());
    assert!(furt.deregister("a", named("alice")).is_err());
    assert_eq!(furt.audited.len(), 1);
}

#[test]
fn a_revocation_that_is_stored_later_is_kept_with_who_asked_for_it() {
    let mut furt = open();
    furt.key(KeyCommand::Create(key("k", "1"))).unwrap();
    furt.store = Store::Fails;
    assert!(furt.key(KeyCommand::Revoke(name("k"))).is_err());
    assert_eq!(kept(&furt), ["key-create k"]);
    furt.store = Store::Works;
    furt.pass(60);
    assert_eq!(kept(&furt), ["key-create k", "key-revoke k"]);
    assert_eq!(furt.audited[1].by, operator("127.0.0.1").actor());
}

#[test]
fn an_order_is_kept_by_itself_and_its_asker_waits_for_the_store() {
    let mut furt = Harness::new();
    let ask = |furt: &mut Harness| {
        let action = AuditAction::Order { order: Order::Reload, service: None, instance: None, detail: None };
        let (by, reply) = (Actor::from(std::net::IpAddr::from([10, 0, 0, 9])), furt.new_reply());
        furt.send(Event::AuditRequested { action: Box::new(action), by, reply });
        reply
    };
    let reply = ask(&mut furt);
    assert_eq!(furt.answers[&reply], Ok(Answer::Audited));
    furt.store = Store::Waits;
    let reply = ask(&mut furt);
    assert!(!furt.answers.contains_key(&reply));
    furt.finish(Store::Fails);
    assert!(matches!(furt.answers[&reply], Err(Refusal::StoreFailed(_))));
    assert_eq!(kept(&furt), ["reload"]);
}

#[test]
fn a_registration_is_kept_where_it_takes_what_another_registrant_has() {
    let mut furt = open();
    let other = |mut command: Command| {
        command.0.source = named("alice");
        command
    };
    // Her own is an event, as a service's is.
    furt.register(&other(Command::new("b", &["GET /b"]))).unwrap();
    furt.register(&other(Command::new("b", &["GET /b", "GET /c"]))).unwrap();
    assert_eq!(kept(&furt), Vec::<String>::new());
    furt.register(&other(Command::new("a", &["GET /a", "GET /x"]).id("one"))).unwrap();
    assert_eq!(kept(&furt), ["register a/one"]);
    let AuditAction::Register { is_defined, .. } = &furt.audited[0].action else { panic!() };
    assert!(*is_defined);
}

#[test]
fn two_who_revoke_and_a_key_that_is_over_are_told_apart() {
    let mut furt = open();
    furt.key(KeyCommand::Create(key("k", "1"))).unwrap();
    furt.store = Store::Fails;
    assert!(furt.key(KeyCommand::Revoke(name("k"))).is_err());
    let asked_ms = furt.now.unix_ms;
    furt.pass(30);
    furt.store = Store::Works;
    furt.pass(60);
    assert_eq!(
        (kept(&furt).last().unwrap().as_str(), furt.audited[1].at_ms),
        ("key-revoke k", asked_ms),
        "when it was asked for"
    );
}

#[test]
fn the_last_instance_of_a_service_takes_it_along_and_that_is_kept() {
    let mut furt = open();
    furt.deregister("a/one", named("alice")).unwrap();
    furt.deregister("a/two", named("alice")).unwrap();
    let whole = furt.audited.iter().map(|entry| match &entry.action {
        AuditAction::Deregister { is_whole, .. } => *is_whole,
        other => panic!("{other:?}"),
    });
    assert_eq!(whole.collect::<Vec<_>>(), [false, true]);
}
