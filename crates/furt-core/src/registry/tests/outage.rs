//! The gateway's own trouble: when many fail together, who is spared, for how long, and what ends it.

use std::time::Duration;

use super::{Command, Harness, instance, policy, refused, settings, source};
use crate::live::{Outcome, Verdict};
use crate::model::Status;
use crate::registry::{FirstProbe, ProbeFailure, Report, Settings};

fn name(number: usize) -> String {
    format!("s{number}")
}

fn command(number: usize, addresses: usize) -> Command {
    let url = format!("http://10.0.0.{}:{}", number % addresses + 1, 8000 + number);
    Command::new(&name(number), &[&format!("GET /{number}")]).at(&url, &[])
}

/// So many services of one instance each at so many addresses, all UP.
fn fleet(services: usize, addresses: usize) -> Harness {
    let mut furt = Harness::new();
    for number in 0..services {
        furt.register(&command(number, addresses)).unwrap();
        furt.probe_elsewhere(&name(number), Ok(()));
    }
    furt
}

/// A probe of each in this range fails.
fn fail(furt: &mut Harness, range: std::ops::Range<usize>) {
    range.for_each(|number| furt.probe_elsewhere(&name(number), Err(refused())));
}

fn down(furt: &Harness, services: usize) -> usize {
    (0..services).filter(|number| furt.status(&name(*number)) == Some(Status::Down)).count()
}

fn began(furt: &Harness) -> usize {
    furt.reports.iter().filter(|report| matches!(report, Report::OutageBegan { .. })).count()
}

fn ended(furt: &Harness) -> usize {
    furt.reports.iter().filter(|report| matches!(report, Report::OutageEnded)).count()
}

#[test]
fn where_all_fail_together_nobody_is_down_until_the_hold_is_over() {
    let mut furt = fleet(10, 3);
    (0..5).for_each(|_| fail(&mut furt, 0..10));
    assert_eq!((began(&furt), ended(&furt), down(&furt, 10)), (1, 0, 0));
    furt.pass(299);
    (0..20).for_each(|_| fail(&mut furt, 0..10));
    assert_eq!((ended(&furt), down(&furt, 10)), (0, 0));
    furt.pass(1);
    assert_eq!(ended(&furt), 1);
    assert_eq!(furt.plans[&instance("s0")].first, FirstProbe::Spread, "all are looked at");
    (0..2).for_each(|_| fail(&mut furt, 0..10));
    assert_eq!(down(&furt, 10), 0, "failures of that time do not count");
    fail(&mut furt, 0..10);
    assert_eq!((down(&furt, 10), began(&furt)), (10, 1), "there is no second hold without an answer");
}

#[test]
fn an_answer_ends_the_hold_and_what_failed_before_counts_no_more() {
    for answer in [Ok(()), Err(ProbeFailure::BadAnswer("status 500".to_owned()))] {
        let mut furt = fleet(12, 3);
        (0..3).for_each(|_| fail(&mut furt, 0..12));
        furt.probe_elsewhere("s0", answer);
        assert_eq!((ended(&furt), down(&furt, 12)), (1, 0));
        (0..2).for_each(|_| fail(&mut furt, 1..2));
        assert_eq!(down(&furt, 12), 0);
        fail(&mut furt, 1..2);
        assert_eq!(down(&furt, 12), 1);
    }
}

#[test]
fn too_few_at_too_few_addresses_or_too_small_a_part_are_no_outage() {
    for (services, addresses, failing) in [(9, 3, 9), (10, 2, 10), (20, 4, 15)] {
        let mut furt = fleet(services, addresses);
        (0..3).for_each(|_| fail(&mut furt, 0..failing));
        assert_eq!((began(&furt), down(&furt, services)), (0, failing), "{failing} of {services} at {addresses}");
    }
    let mut furt = fleet(20, 4);
    (0..3).for_each(|_| fail(&mut furt, 0..16));
    assert_eq!(began(&furt), 1);
}

#[test]
fn one_that_answers_among_those_that_fail_is_proof_of_a_network() {
    let mut furt = fleet(20, 4);
    for _ in 0..3 {
        fail(&mut furt, 0..15);
        furt.probe_elsewhere("s19", Ok(()));
        fail(&mut furt, 15..19);
        furt.probe_elsewhere("s19", Ok(()));
    }
    assert_eq!((began(&furt), down(&furt, 20)), (0, 19));
}

#[test]
fn a_request_that_was_answered_is_proof_of_a_network() {
    let mut furt = fleet(10, 3);
    let answered = Outcome { status: 200, verdict: Verdict::Answered, took: Duration::ZERO };
    for _ in 0..3 {
        fail(&mut furt, 0..9);
        furt.service("s3").unwrap().live.traffic().count(answered);
        fail(&mut furt, 9..10);
    }
    assert_eq!((began(&furt), down(&furt, 10)), (0, 10));
    let mut furt = fleet(10, 3);
    (0..2).for_each(|_| fail(&mut furt, 0..10));
    assert_eq!(began(&furt), 1);
    furt.service("s3").unwrap().live.traffic().count(answered);
    furt.pass(1);
    fail(&mut furt, 0..1);
    assert_eq!(ended(&furt), 1);
}

#[test]
fn instances_of_the_hosts_own_are_no_part_of_it() {
    let mut furt = fleet(10, 3);
    furt.register(&Command::new("own", &["GET /own"])).unwrap();
    furt.probe("own", "+");
    (0..2).for_each(|_| fail(&mut furt, 0..10));
    furt.probe("own", "+");
    assert_eq!((began(&furt), ended(&furt)), (1, 0), "its answer says nothing of the network");
    furt.probe("own", "------------");
    assert_eq!(furt.status("own"), Some(Status::Down), "and its failures say something");
    assert!(furt.plans.contains_key(&instance("own")), "but do not count towards ten");
}

#[test]
fn what_had_stopped_is_probed_when_the_outage_ends() {
    let mut furt = fleet(11, 3);
    (0..10).for_each(|_| fail(&mut furt, 10..11));
    assert!(!furt.plans.contains_key(&instance("s10")));
    fail(&mut furt, 0..10);
    assert_eq!(began(&furt), 1);
    furt.probe_elsewhere("s0", Ok(()));
    assert_eq!(furt.plans[&instance("s10")].first, FirstProbe::Spread);
    assert_eq!(furt.status("s10"), Some(Status::Down), "until it answers");
    furt.probe_elsewhere("s10", Ok(()));
    assert_eq!(furt.status("s10"), Some(Status::Up));
}

#[test]
fn services_come_and_go_while_verdicts_are_held() {
    let mut furt = fleet(12, 4);
    furt.register(&Command::new("ttl", &["GET /ttl"]).at("http://10.0.0.9:9000", &[]).ttl(10)).unwrap();
    furt.probe_elsewhere("ttl", Ok(()));
    (0..2).for_each(|_| fail(&mut furt, 0..12));
    assert_eq!(began(&furt), 1);
    furt.deregister("s0", source("127.0.0.1")).unwrap();
    furt.pass(12);
    assert_eq!(furt.status("ttl"), Some(Status::Down), "it expired");
    furt.register(&Command::new("new", &["GET /new"]).at("http://10.0.0.9:9001", &[])).unwrap();
    furt.register(&command(1, 4).weight(2)).unwrap();
    for whom in ["new", "s1", "new", "s1", "new", "s1"] {
        furt.probe_elsewhere(whom, Err(refused()));
    }
    assert_eq!((furt.status("new"), furt.status("s1")), (Some(Status::Unknown), Some(Status::Up)));
    for number in 1..12 {
        furt.deregister(&name(number), source("127.0.0.1")).unwrap();
    }
    furt.pass(300);
    assert_eq!(ended(&furt), 1);
}

#[test]
fn what_was_up_before_a_restart_of_furt_is_spared_too() {
    let mut furt = fleet(10, 3);
    furt.restart(settings(policy()), Vec::new());
    (0..5).for_each(|_| fail(&mut furt, 0..10));
    assert_eq!((began(&furt), down(&furt, 10)), (1, 0));
}

#[test]
fn without_a_hold_verdicts_are_as_ever() {
    let mut furt = fleet(10, 3);
    furt.reconfigure(Settings { outage_hold: Duration::ZERO, ..settings(policy()) }, vec![]);
    (0..3).for_each(|_| fail(&mut furt, 0..10));
    assert_eq!((began(&furt), down(&furt, 10)), (0, 10));
}

#[test]
fn probes_that_never_left_this_host_make_it_down_and_end_no_probing() {
    let mut furt = fleet(1, 1);
    for _ in 0..30 {
        furt.probe_elsewhere("s0", Err(ProbeFailure::NotSent("no route to its address".to_owned())));
    }
    assert_eq!(furt.status("s0"), Some(Status::Down));
    assert!(furt.plans.contains_key(&instance("s0")));
    let shown = furt.service("s0").unwrap().instances[0].live.last_error().unwrap();
    assert_eq!(*shown, "the probe did not leave this host: no route to its address");
}
