//! Maintenance: of whom it is, what it outlives, how it ends, and what becomes of its writes.

use std::sync::Arc;

use super::command::{Command, policy, settings, source};
use super::harness::maintenance_command::{begin, end};
use super::harness::sharing::elsewhere;
use super::harness::{Harness, Store};
use super::routing::{fixed, url};
use crate::model::{AuditAction, CidrSet, Maintenance, MaintenanceMessage, MaintenanceScope, ServiceName};
use crate::ports::Store as _;
use crate::registry::maintenances::{MAX_MAINTENANCES, MAX_PARKED};
use crate::registry::{Change, Event, MaintenanceReport, Premise, Record, Refusal, Report, StaticTarget};

fn shop() -> Command {
    Command::new("shop", &["GET /shop"])
}

/// With the service `shop` registered.
fn open() -> Harness {
    let mut furt = Harness::new();
    furt.register(&shop()).unwrap();
    furt
}

fn scope(of: &str) -> MaintenanceScope {
    MaintenanceScope::from_name(of).unwrap()
}

fn told(furt: &Harness) -> Option<String> {
    furt.keeps_out("shop")
}

fn message() -> Option<String> {
    Some("shop".to_owned())
}

fn stored(furt: &mut Harness) -> Vec<String> {
    furt.stored.load().unwrap().maintenance.keys().map(ToString::to_string).collect()
}

fn restart(furt: &mut Harness) {
    furt.restart(settings(policy()), Vec::new());
}

fn count(furt: &Harness, of: impl Fn(&MaintenanceReport) -> bool) -> usize {
    furt.reports.iter().filter(|report| matches!(report, Report::Maintenance(report) if of(report))).count()
}

#[test]
fn it_keeps_clients_out_until_it_is_ended_and_lets_in_those_that_it_names() {
    let mut furt = open();
    assert!(furt.snapshot.maintenance.is_none());
    let begun = furt.maintenance(begin("shop", None)).unwrap();
    assert_eq!((begun.began_ms, begun.ends_ms), (furt.now.unix_ms, None));
    assert_eq!((told(&furt), furt.keeps_out_from("shop", "10.1.2.3")), (message(), None));
    assert_eq!(furt.maintenance(end("shop")), Ok(begun));
    assert!(told(&furt).is_none() && furt.snapshot.maintenance.is_none());
    let refused = furt.maintenance(end("shop")).unwrap_err();
    assert_eq!(refused.to_string(), "\"shop\" is not in maintenance");
    let began = |report: &MaintenanceReport| matches!(report, MaintenanceReport::Began { .. });
    let ended = |report: &MaintenanceReport| matches!(report, MaintenanceReport::Ended { by: Some(_), .. });
    let refused = |report: &MaintenanceReport| matches!(report, MaintenanceReport::Refused { .. });
    assert_eq!((count(&furt, began), count(&furt, ended), count(&furt, refused)), (1, 1, 1));
}

#[test]
fn another_one_takes_the_place_of_the_first() {
    let mut furt = open();
    furt.maintenance(begin("shop", Some(5))).unwrap();
    furt.maintenance(begin("shop", Some(60))).unwrap();
    furt.pass(30);
    assert_eq!((told(&furt), stored(&mut furt)), (message(), vec!["shop".to_owned()]));
    furt.pass(31);
    assert_eq!(told(&furt), None);
}

#[test]
fn one_of_all_services_is_of_static_routes_as_well_and_both_must_let_a_client_in() {
    let mut furt = Harness::with(settings(policy()), vec![fixed("GET /static", url("http://127.0.0.1:7901"))]);
    furt.register(&shop()).unwrap();
    furt.maintenance(begin("shop", None)).unwrap();
    assert_eq!((told(&furt), furt.keeps_out("static")), (message(), None));
    let all = begin("*", None);
    furt.maintenance(all).unwrap();
    assert_eq!(
        (told(&furt), furt.keeps_out("static")),
        (message(), Some("*".to_owned())),
        "its own message goes first"
    );
    furt.maintenance(end("shop")).unwrap();
    assert_eq!((told(&furt), furt.keeps_out_from("shop", "10.0.0.1")), (Some("*".to_owned()), None));
    furt.maintenance(end("*")).unwrap();
    assert_eq!((told(&furt), furt.keeps_out("static")), (None, None));
}

#[test]
fn a_static_route_to_the_service_is_in_maintenance_with_it_also_while_nobody_is_registered() {
    let target = || StaticTarget::Service(ServiceName::try_new("shop").unwrap());
    let mut furt = Harness::with(settings(policy()), vec![fixed("GET /static", target())]);
    furt.maintenance(begin("shop", None)).unwrap();
    assert_eq!(furt.keeps_out("static"), message());
    furt.register(&shop()).unwrap();
    assert_eq!(furt.keeps_out("static"), message());
    let two = || vec![fixed("GET /static", target()), fixed("GET /other", target())];
    furt.reconfigure(settings(policy()), two());
    assert_eq!(furt.keeps_out("other"), message());
    furt.reconfigure(settings(policy()), vec![fixed("GET /static", url("http://127.0.0.1:7901"))]);
    assert_eq!(furt.keeps_out("static"), None, "it leads elsewhere");
}

#[test]
fn it_belongs_to_the_name_whatever_becomes_of_the_service() {
    let mut furt = Harness::new();
    furt.maintenance(begin("shop", None)).unwrap();
    furt.register(&shop().ttl(10)).unwrap();
    assert_eq!(told(&furt), message(), "it began before the service was there");
    furt.register(&shop().weight(3).ttl(10)).unwrap();
    assert_eq!(told(&furt), message());
    furt.probe("shop", "---");
    assert_eq!(told(&furt), message(), "also while it is DOWN");
    furt.deregister("shop", source("127.0.0.1")).unwrap();
    restart(&mut furt);
    furt.register(&shop()).unwrap();
    furt.reconfigure(settings(policy()), Vec::new());
    assert_eq!(told(&furt), message());
}

#[test]
fn its_time_ends_it_at_the_moment_and_in_the_store() {
    let mut furt = open();
    furt.maintenance(begin("shop", Some(90))).unwrap();
    furt.pass_ms(89_999);
    assert_eq!(told(&furt), message());
    furt.pass_ms(1);
    assert_eq!((told(&furt), stored(&mut furt)), (None, vec![]));
    assert!(furt.snapshot.maintenance.is_none());
    assert!(furt.reports.contains(&Report::Maintenance(MaintenanceReport::Expired(scope("shop")))));
    assert_eq!(furt.maintenance(end("shop")), Err(Refusal::NotInMaintenance(scope("shop"))));
    assert_eq!(furt.registry.next_deadline(), None, "nothing of it is left");
}

#[test]
fn one_that_was_over_before_the_start_ends_with_it() {
    let mut furt = open();
    furt.maintenance(begin("shop", Some(10))).unwrap();
    restart(&mut furt);
    assert_eq!(told(&furt), message());
    furt.now.unix_ms += 20_000;
    restart(&mut furt);
    assert_eq!((told(&furt), stored(&mut furt)), (None, vec![]));
}

#[test]
fn a_clock_that_jumps_is_noticed_within_a_minute() {
    let mut furt = open();
    furt.maintenance(begin("shop", Some(3_600))).unwrap();
    furt.now.unix_ms += 3_600_000;
    assert_eq!(told(&furt), None, "requests look at the end themselves");
    furt.pass(60);
    assert!(furt.snapshot.maintenance.is_none());
}

#[test]
fn what_the_store_cannot_take_changes_nothing_and_an_end_is_told_again() {
    let mut furt = open();
    furt.store = Store::Fails;
    assert!(matches!(furt.maintenance(begin("shop", Some(5))), Err(Refusal::StoreFailed(_))));
    assert_eq!(told(&furt), None);
    furt.store = Store::Works;
    furt.maintenance(begin("shop", Some(5))).unwrap();
    furt.store = Store::Fails;
    assert!(matches!(furt.maintenance(end("shop")), Err(Refusal::StoreFailed(_))));
    assert_eq!(told(&furt), message());
    furt.pass(6);
    assert_eq!((told(&furt), stored(&mut furt)), (None, vec!["shop".to_owned()]), "it is over all the same");
    assert!(count(&furt, |report| matches!(report, MaintenanceReport::RemovalFailed { .. })) > 0);
    furt.store = Store::Works;
    furt.pass(2);
    assert_eq!(stored(&mut furt), [""; 0]);
}

#[test]
fn commands_wait_for_the_write_before_them_in_their_order() {
    let mut furt = open();
    furt.store = Store::Waits;
    let replies = [begin("shop", Some(5)), end("shop"), begin("shop", None)].map(|one| furt.ask_maintenance(one));
    assert_eq!((furt.writes.len(), told(&furt)), (1, None));
    furt.finish(Store::Works);
    assert_eq!((furt.writes.len(), told(&furt)), (1, message()), "it is on until its end is stored");
    furt.pass(10);
    assert_eq!((furt.writes.len(), told(&furt)), (1, None), "its time is over, and its end is on its way");
    furt.finish(Store::Works);
    furt.finish(Store::Works);
    assert!(replies.iter().all(|reply| furt.answers[reply].is_ok()));
    assert_eq!((told(&furt), furt.writes.len()), (message(), 0));
}

#[test]
fn names_and_waiting_commands_are_bounded() {
    let mut furt = open();
    furt.store = Store::Waits;
    let replies: Vec<_> = (0..MAX_PARKED + 2).map(|_| furt.ask_maintenance(begin("shop", None))).collect();
    assert_eq!(furt.answers[&replies[MAX_PARKED + 1]], Err(Refusal::Busy));
    while !furt.writes.is_empty() {
        furt.finish(Store::Works);
    }
    furt.store = Store::Works;
    (1..MAX_MAINTENANCES).for_each(|number| _ = furt.maintenance(begin(&format!("s{number}"), None)).unwrap());
    assert_eq!(furt.maintenance(begin("one-more", None)), Err(Refusal::TooManyMaintenances));
    furt.maintenance(begin("shop", Some(5))).unwrap();
}

mod shared {
    use super::*;

    fn shared() -> Harness {
        let mut furt = Harness::shared();
        furt.register(&shop()).unwrap();
        furt
    }

    fn put(furt: &Harness, seconds: Option<i64>) -> Change {
        let maintenance = Maintenance {
            allow_from: CidrSet::default(),
            message: Some(MaintenanceMessage::try_new("elsewhere").unwrap()),
            by: source("10.0.0.9").actor(),
            began_ms: furt.now.unix_ms,
            ends_ms: seconds.map(|seconds| furt.now.unix_ms + seconds * 1_000),
        };
        Change::PutMaintenance(scope("shop"), Arc::new(maintenance))
    }

    #[test]
    fn what_another_gateway_began_and_ended_is_followed() {
        let mut furt = shared();
        let change = put(&furt, None);
        furt.told(vec![change.clone()], elsewhere());
        furt.told(vec![change], elsewhere());
        assert_eq!(told(&furt), Some("elsewhere".to_owned()));
        assert_eq!(count(&furt, |report| matches!(report, MaintenanceReport::Began { .. })), 1, "told once");
        furt.told(vec![Change::RemoveMaintenance(scope("shop"))], elsewhere());
        assert_eq!(told(&furt), None);
        let ended = MaintenanceReport::Ended { scope: scope("shop"), by: None };
        assert!(furt.reports.contains(&Report::Maintenance(ended)));
    }

    #[test]
    fn of_two_at_once_the_later_one_counts_and_knows_the_earlier_one() {
        let mut furt = shared();
        furt.store = Store::Waits;
        furt.ask_maintenance(begin("shop", None));
        assert_eq!(furt.writes[0].1.premises, [Premise::Absent(Record::Maintenance(scope("shop")))]);
        let change = put(&furt, None);
        furt.told(vec![change], elsewhere());
        assert_eq!(told(&furt), Some("elsewhere".to_owned()));
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.send(Event::WriteOutdated(id, furt.revision));
        assert_eq!(furt.writes[0].1.premises, [Premise::Unchanged(Record::Maintenance(scope("shop")))]);
        furt.finish(Store::Works);
        assert_eq!(told(&furt), message());
        let AuditAction::BeginMaintenance { before: Some(before), .. } = &furt.audited[0].action else { panic!() };
        assert_eq!((before.message.as_ref().unwrap().as_str(), furt.audited.len()), ("elsewhere", 1));
    }

    #[test]
    fn each_gateway_ends_it_on_time_and_one_of_them_has_it_removed() {
        let mut furt = shared();
        let change = put(&furt, Some(10));
        furt.told(vec![change], elsewhere());
        furt.store = Store::Waits;
        furt.pass(10);
        furt.pass(599);
        assert_eq!(
            (told(&furt), furt.writes.len()),
            (None, 0),
            "the removal waits: clocks differ, and others may be first"
        );
        furt.pass(62);
        assert_eq!(furt.writes[0].1.premises, [Premise::Unchanged(Record::Maintenance(scope("shop")))]);
        let change = put(&furt, Some(100));
        furt.told(vec![change], elsewhere());
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.send(Event::WriteOutdated(id, furt.revision));
        assert_eq!((told(&furt), furt.writes.len()), (Some("elsewhere".to_owned()), 0), "it began anew meanwhile");
    }

    #[test]
    fn an_end_that_another_gateway_was_faster_with_is_good() {
        let mut furt = shared();
        furt.maintenance(begin("shop", None)).unwrap();
        furt.store = Store::Waits;
        let reply = furt.ask_maintenance(end("shop"));
        furt.told(vec![Change::RemoveMaintenance(scope("shop"))], elsewhere());
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.send(Event::WriteOutdated(id, furt.revision));
        assert!(furt.answers[&reply].is_ok());
        assert_eq!(furt.audited.len(), 1, "who was faster has the entry");
    }

    #[test]
    fn while_the_store_is_away_it_ends_on_time_and_nothing_begins() {
        let mut furt = shared();
        furt.maintenance(begin("shop", Some(10))).unwrap();
        furt.send(Event::StoreReach(Err("gone".into())));
        assert!(matches!(furt.maintenance(end("shop")), Err(Refusal::StoreFailed(_))));
        furt.pass(700);
        assert_eq!((told(&furt), furt.written.len()), (None, 3), "two records of the service, and the maintenance");
        furt.send(Event::StoreReach(Ok(())));
        furt.pass(2);
        assert_eq!(furt.written.last(), Some(&Change::RemoveMaintenance(scope("shop"))));
    }
}
