//! Grants that are made while the gateway runs: what they let in, what they keep out, and what the configuration says of them.

use std::sync::Arc;

use super::harness::sharing::elsewhere;
use super::*;
use crate::model::{Grant, RuntimeGrant, ServiceName, Sha256Digest};
use crate::registry::runtime_grants::MAX_PARKED;
use crate::registry::{
    Change, Event, GrantReport, Premise, Record, Refusal, RegistrationPolicy, Report, Source, UnlistedRule,
};

fn service(text: &str) -> ServiceName {
    ServiceName::try_new(text).unwrap()
}

/// Where nobody may register without a grant.
fn denied() -> RegistrationPolicy {
    RegistrationPolicy { unlisted: UnlistedRule::Deny, ..policy() }
}

fn closed() -> Harness {
    Harness::with(settings(denied()), Vec::new())
}

fn shop() -> Command {
    Command::new("shop", &["GET /shop/*"])
}

fn runtime(pattern: &str) -> Arc<RuntimeGrant> {
    Arc::new(RuntimeGrant { grant: Arc::new(grant_of(pattern)), by: operator("127.0.0.1").actor(), set_ms: 1 })
}

#[test]
fn a_service_registers_by_a_grant_of_run_time_and_not_without_one() {
    let mut furt = closed();
    assert!(matches!(furt.register(&shop()), Err(Refusal::BeyondGrant(_))));
    furt.grant(grant("shop", "/shop/*")).unwrap();
    furt.register(&shop()).unwrap();
    assert_eq!(furt.usable("", "/shop/x"), ["shop"]);
    let wider = Command::new("shop", &["GET /other"]);
    assert!(matches!(furt.register(&wider), Err(Refusal::BeyondGrant(_))), "and not beyond it");
    furt.restart(settings(denied()), Vec::new());
    assert_eq!(furt.usable("", "/shop/x"), ["shop"], "a restart keeps both");
    assert_eq!(furt.snapshot.runtime_grants.len(), 1);
}

#[test]
fn what_is_registered_beyond_a_grant_is_kept_and_comes_back() {
    let mut furt = closed();
    furt.grant(grant("shop", "/*")).unwrap();
    furt.register(&shop()).unwrap();
    let narrowed = furt.grant(grant("shop", "/elsewhere/*")).unwrap();
    assert!(narrowed.suspended.unwrap().contains("is not in the grant"));
    assert!(furt.usable("", "/shop/x").is_empty());
    assert_eq!(furt.grant(grant("shop", "/shop/*")).unwrap().suspended, None);
    assert_eq!(furt.usable("", "/shop/x"), ["shop"]);
    let removed = furt.grant(ungrant("shop")).unwrap();
    assert!(removed.suspended.unwrap().contains("has no grant"));
    assert!(furt.usable("", "/shop/x").is_empty() && furt.service("shop").is_some());
    assert_eq!(furt.grant(ungrant("shop")), Err(Refusal::NoGrant(service("shop"))));
}

#[test]
fn routes_that_a_narrower_grant_frees_go_to_who_waits_for_them() {
    let mut furt = Harness::new();
    furt.register(&shop()).unwrap();
    furt.grant(grant("shop", "/none/*")).unwrap();
    assert!(furt.usable("", "/shop/x").is_empty());
    furt.register(&Command::new("rival", &["GET /shop/*"])).unwrap();
    assert_eq!(furt.usable("", "/shop/x"), ["rival"]);
    let answer = furt.grant(grant("shop", "/shop/*")).unwrap();
    assert!(answer.suspended.unwrap().contains("rival"), "the one that has them keeps them");
    furt.deregister("rival", source("127.0.0.1")).unwrap();
    furt.register(&shop()).unwrap();
    assert_eq!(furt.usable("", "/shop/x"), ["shop"]);
}

#[test]
fn a_token_guards_from_the_moment_of_its_grant() {
    let mut furt = Harness::new();
    furt.register(&shop()).unwrap();
    let guarded = Grant { token: Some(Sha256Digest::of(b"secret")), ..grant_of("/*") };
    furt.grant(crate::registry::GrantCommand::Set(service("shop"), Arc::new(guarded))).unwrap();
    assert_eq!(furt.usable("", "/shop/x"), ["shop"], "what is there stays");
    assert_eq!(furt.deregister("shop", source("127.0.0.1")), Err(Refusal::TokenWrong));
    let holder = Source { token: Some(Sha256Digest::of(b"secret")), ..source("10.0.0.9") };
    furt.deregister("shop", holder).unwrap();
}

#[test]
fn the_configuration_goes_before_grants_of_run_time() {
    let mut furt = closed();
    furt.grant(grant("shop", "/*")).unwrap();
    furt.register(&shop()).unwrap();
    let mut configured = denied();
    configured.grants.insert(service("shop"), Arc::new(grant_of("/none/*")));
    furt.reconfigure(settings(configured), Vec::new());
    assert!(furt.usable("", "/shop/x").is_empty());
    assert_eq!(furt.grant(grant("shop", "/shop/*")), Err(Refusal::ConfiguredGrant(service("shop"))));
    furt.reconfigure(settings(denied()), Vec::new());
    assert_eq!(furt.usable("", "/shop/x"), ["shop"], "it was kept");
    let mut configured = denied();
    configured.grants.insert(service("shop"), Arc::new(grant_of("/*")));
    furt.reconfigure(settings(configured), Vec::new());
    furt.grant(ungrant("shop")).unwrap();
    assert_eq!(furt.usable("", "/shop/x"), ["shop"], "one that is not in force may go");
    assert_eq!(furt.grant(ungrant("shop")), Err(Refusal::ConfiguredGrant(service("shop"))));
}

#[test]
fn nothing_is_granted_before_the_store_has_it() {
    let mut furt = closed();
    furt.store = Store::Fails;
    assert!(matches!(furt.grant(grant("shop", "/*")), Err(Refusal::StoreFailed(_))));
    assert!(matches!(furt.register(&shop()), Err(Refusal::BeyondGrant(_))));
    furt.store = Store::Waits;
    let replies: Vec<_> = (0..=MAX_PARKED).map(|_| furt.ask_grant(grant("shop", "/*"))).collect();
    let last = furt.ask_grant(grant("shop", "/*"));
    assert_eq!(furt.answers[&last], Err(Refusal::Busy));
    while !furt.writes.is_empty() {
        furt.finish(Store::Works);
    }
    assert!(replies.iter().all(|reply| furt.answers[reply].is_ok()));
    let reports = furt.reports.iter().filter(|report| matches!(report, Report::Grant(GrantReport::Set { .. })));
    assert_eq!(reports.count(), 1, "the same once more is no news");
}

#[test]
fn a_grant_that_is_too_large_is_refused() {
    let mut furt = Harness::new();
    let hosts = (0..400).map(|number| crate::model::Host::try_new(&format!("host-{number}.example")).unwrap());
    let large = Grant { hosts: hosts.collect(), ..grant_of("/*") };
    let asked = furt.grant(crate::registry::GrantCommand::Set(service("shop"), Arc::new(large)));
    assert!(matches!(asked, Err(Refusal::Invalid(_))));
    assert!(furt.snapshot.runtime_grants.is_empty());
}

#[test]
fn grants_of_other_gateways_are_followed() {
    let mut furt = Harness::shared();
    furt.register(&shop()).unwrap();
    furt.told(vec![Change::PutGrant(service("shop"), runtime("/none/*"))], elsewhere());
    assert!(furt.usable("", "/shop/x").is_empty());
    furt.told(vec![Change::RemoveGrant(service("shop"))], elsewhere());
    assert_eq!(furt.usable("", "/shop/x"), ["shop"]);
    let removed = |report: &&Report| matches!(report, Report::Grant(GrantReport::Removed { by: None, .. }));
    assert_eq!(furt.reports.iter().filter(removed).count(), 1);
}

#[test]
fn a_write_relies_on_what_the_audit_says_was_before() {
    let mut furt = Harness::shared();
    furt.store = Store::Waits;
    furt.ask_grant(grant("shop", "/*"));
    let (id, write) = furt.writes.pop_front().unwrap();
    assert_eq!(write.premises, [Premise::Absent(Record::Grant(service("shop")))]);
    furt.told(vec![Change::PutGrant(service("shop"), runtime("/other/*"))], elsewhere());
    furt.send(Event::WriteOutdated(id, furt.revision));
    let (_, write) = furt.writes.front().unwrap();
    assert_eq!(write.premises, [Premise::Unchanged(Record::Grant(service("shop")))]);
    furt.finish(Store::Works);
    assert_eq!(furt.snapshot.grants[&service("shop")].paths[0].as_str(), "/*");
}
