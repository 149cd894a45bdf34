//! Services that take a while before they listen: the start-up time, when it begins, and what ends it.

use std::time::Duration;

use super::{Command, Harness, instance, policy, settings, source};
use crate::model::{DrainUntil, Status};
use crate::registry::{Drain, FirstProbe, Settings};

fn command() -> Command {
    Command::new("a", &["GET /a"])
}

fn registered() -> Harness {
    let mut furt = Harness::new();
    furt.register(&command()).unwrap();
    furt
}

/// The status, and the seconds from one probe to the next.
fn shown(furt: &Harness) -> (Option<Status>, Option<u64>) {
    (furt.status("a"), furt.plans.get(&instance("a")).map(|plan| plan.period.as_secs()))
}

const DOWN_AND_STARTING: (Option<Status>, Option<u64>) = (Some(Status::Down), Some(1));
const DOWN: (Option<Status>, Option<u64>) = (Some(Status::Down), Some(120));

#[test]
fn a_service_that_starts_slowly_is_down_and_probed_often_until_it_is_up() {
    let mut furt = registered();
    furt.probe("a", "---");
    assert_eq!(shown(&furt), DOWN_AND_STARTING);
    furt.probe("a", "-------");
    assert_eq!(shown(&furt), (Some(Status::Down), Some(2)));
    furt.probe("a", "---------");
    assert_eq!(shown(&furt), (Some(Status::Down), Some(10)));
    furt.probe("a", "+---");
    assert_eq!(shown(&furt), DOWN, "UP has ended it");
}

#[test]
fn an_identical_registration_probes_soon_and_does_not_begin_the_start_up_time_anew() {
    let mut furt = registered();
    furt.probe("a", "---");
    furt.pass(59);
    assert_eq!(furt.register(&command()).unwrap().status, Status::Down);
    assert_eq!(furt.plans[&instance("a")].first, FirstProbe::Soon);
    furt.pass(1);
    furt.probe("a", "-");
    assert_eq!(shown(&furt), DOWN, "it is over");
    furt.register(&command()).unwrap();
    assert_eq!(shown(&furt), DOWN_AND_STARTING, "and begins with a registration that finds it DOWN");
}

#[test]
fn who_heartbeats_while_it_is_down_is_probed_soon_and_never_given_up() {
    let mut furt = Harness::new();
    furt.register(&command().ttl(20)).unwrap();
    for _ in 0..20 {
        furt.probe("a", "---");
        furt.pass(15);
        assert_eq!(furt.heartbeat("a", source("127.0.0.1")), Ok(Status::Down));
        assert_eq!(furt.plans[&instance("a")].first, FirstProbe::Soon);
    }
}

#[test]
fn another_url_begins_the_start_up_time() {
    let mut furt = registered();
    furt.probe("a", "+---");
    assert_eq!(shown(&furt), DOWN);
    furt.register(&command().at("http://127.0.0.1:9001", &[])).unwrap();
    assert_eq!(shown(&furt), (Some(Status::Unknown), Some(1)));
    furt.probe("a", "---");
    assert_eq!(shown(&furt), DOWN_AND_STARTING);
}

#[test]
fn a_restart_begins_no_start_up_time_and_a_heartbeat_after_it_does() {
    let mut furt = registered();
    furt.probe("a", "---");
    furt.restart(settings(policy()), Vec::new());
    assert_eq!(shown(&furt), DOWN);
    furt.heartbeat("a", source("127.0.0.1")).unwrap();
    assert_eq!(shown(&furt), DOWN_AND_STARTING);
}

#[test]
fn a_drain_leaves_the_start_up_time_and_its_end_by_registration_probes_soon() {
    let mut furt = registered();
    furt.probe("a", "---");
    furt.drain("a", Drain::Begins(DrainUntil::Registration), source("127.0.0.1")).unwrap();
    furt.probe("a", "-------");
    assert_eq!(shown(&furt), (Some(Status::Down), Some(2)));
    assert!(furt.register(&command()).unwrap().is_change, "it ends the drain");
    assert_eq!((shown(&furt).1, furt.plans[&instance("a")].first), (Some(2), FirstProbe::Soon));
}

#[test]
fn another_start_up_time_holds_at_once() {
    let with = |seconds| {
        let mut rules = settings(policy());
        rules.health.startup_time = Duration::from_secs(seconds);
        Settings { ..rules }
    };
    let mut furt = registered();
    furt.probe("a", "---");
    furt.pass(20);
    furt.reconfigure(with(10), vec![]);
    assert_eq!(shown(&furt), DOWN);
    furt.reconfigure(with(30), vec![]);
    assert_eq!(shown(&furt), DOWN_AND_STARTING);
    furt.reconfigure(with(0), vec![]);
    furt.probe("a", "---------");
    assert_eq!(shown(&furt), DOWN);
    furt.probe("a", "-");
    assert_eq!(shown(&furt), (Some(Status::Down), None), "ten failures of no start-up time");
}

#[test]
fn a_name_that_moves_goes_on_with_the_start_up_time() {
    let mut furt = Harness::new();
    furt.register(&command().at("http://a.example:80", &["10.0.0.1:80"])).unwrap();
    furt.probe("a", "---");
    furt.resolve("a", &["10.0.0.2:80"]);
    assert_eq!((shown(&furt), furt.plans[&instance("a")].first), (DOWN_AND_STARTING, FirstProbe::Now));
    furt.pass(60);
    furt.probe("a", "-");
    assert_eq!(shown(&furt), DOWN);
}
