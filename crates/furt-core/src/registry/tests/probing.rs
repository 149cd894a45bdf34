//! Health through events: what probes make of an instance, which outcomes count, where names lead.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Command, Harness, address, instance, policy, settings, source};
use crate::model::{DrainUntil, HealthCheck, Protocol, Status, StatusRange};
use crate::registry::{DnsSubject, Drain, Event, FirstProbe, ProbedHost, Refusal, Report, Source};

fn here() -> Source {
    source("127.0.0.1")
}

fn registered() -> Harness {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    furt
}

#[test]
fn probes_follow_the_status() {
    let mut furt = registered();
    let mut check = |outcomes: &str, status, plan| {
        furt.probe("a", outcomes);
        let found = furt.plans.get(&instance("a")).map(|plan| (plan.first, plan.period.as_secs()));
        assert_eq!((furt.status("a"), found), (Some(status), plan), "after {outcomes}");
    };
    check("", Status::Unknown, Some((FirstProbe::Now, 1)));
    check("+", Status::Up, Some((FirstProbe::AfterPeriod, 30)));
    check("--", Status::Up, Some((FirstProbe::AfterPeriod, 30)));
    check("-", Status::Down, Some((FirstProbe::AfterPeriod, 120)));
    check("------", Status::Down, Some((FirstProbe::AfterPeriod, 120)));
    check("-", Status::Down, None);
    assert!(furt.reports.contains(&Report::ProbingStopped(instance("a"))));
    assert!(furt.service("a").unwrap().instances[0].live.is_probing_stopped());
}

#[test]
fn the_routes_of_a_down_service_cannot_be_used_until_it_is_up_again() {
    let mut furt = registered();
    furt.probe("a", "---");
    assert!(furt.usable("", "/a").is_empty() && furt.snapshot.table.len() == 1);
    furt.probe("a", "+");
    assert_eq!(furt.usable("", "/a"), ["a"]);
}

#[test]
fn probing_that_stopped_starts_afresh_by_registration_heartbeat_or_command() {
    type Restart = fn(&mut Harness) -> Result<Status, Refusal>;
    let restarts: [Restart; 3] = [
        |furt| furt.register(&Command::new("a", &["GET /a"])).map(|registered| registered.status),
        |furt| furt.heartbeat("a", here()),
        |furt| furt.ask_for_probe("a", here()),
    ];
    for restart in restarts {
        let mut furt = registered();
        furt.probe("a", "+----------");
        assert!(furt.plans.is_empty());
        assert_eq!(restart(&mut furt), Ok(Status::Unknown));
        assert_eq!((furt.status("a"), furt.usable("", "/a")), (Some(Status::Unknown), vec!["a"]));
        assert_eq!(furt.plans[&instance("a")].first, FirstProbe::Now);
        assert_eq!(furt.service("a").unwrap().instances[0].live.consecutive_failures(), 0);
        furt.probe("a", "---");
        assert_eq!(furt.status("a"), Some(Status::Down));
    }
}

#[test]
fn a_down_service_that_is_still_probed_is_looked_at_at_once_when_asked() {
    for by_command in [true, false] {
        let mut furt = registered();
        furt.probe("a", "---");
        if by_command {
            assert_eq!(furt.ask_for_probe("a", here()), Ok(Status::Down));
        } else {
            assert_eq!(furt.register(&Command::new("a", &["GET /a"])).unwrap().status, Status::Down);
        }
        let first = if by_command { FirstProbe::Now } else { FirstProbe::Soon };
        assert_eq!(furt.plans[&instance("a")].first, first);
        furt.probe("a", "+");
        assert_eq!(furt.status("a"), Some(Status::Up));
    }
}

#[test]
fn a_late_outcome_counts_for_nothing() {
    let mut furt = registered();
    let old = furt.plans[&instance("a")].token;
    furt.probe("a", "---");
    let late = Event::ProbeFinished {
        instance: instance("a"),
        token: old,
        outcome: Ok(()),
        host: ProbedHost::Own,
        took: Duration::from_secs(5),
    };
    furt.send(late.clone());
    assert_eq!(furt.status("a"), Some(Status::Down));
    furt.register(&Command::new("a", &["GET /a"]).at("http://127.0.0.1:9001", &[])).unwrap();
    furt.send(late.clone());
    assert_eq!(furt.status("a"), Some(Status::Unknown));
    furt.deregister("a", here()).unwrap();
    furt.send(late);
    assert!(furt.service("a").is_none());
}

#[test]
fn a_registration_that_changes_nothing_that_is_probed_keeps_the_health() {
    let mut furt = registered();
    furt.probe("a", "+");
    furt.pass(100);
    let command = |weight| Command::new("a", &["GET /a"]).weight(weight);
    let since = |furt: &Harness| furt.service("a").unwrap().instances[0].live.since_ms.load(Ordering::Relaxed);
    let (token, before) = (furt.plans[&instance("a")].token, since(&furt));
    furt.probe("a", "--");
    assert_eq!(furt.register(&command(2)).unwrap().status, Status::Up);
    let plan = furt.plans[&instance("a")].clone();
    assert_eq!((plan.token, plan.target.spec.weight, plan.first), (token, 2, FirstProbe::WithinPeriod));
    assert_eq!(since(&furt), before, "a share that grew does not begin anew");
    furt.probe("a", "-");
    assert_eq!(furt.status("a"), Some(Status::Down), "the third in a row");
    assert_eq!(furt.register(&command(3)).unwrap().status, Status::Down);
    assert_eq!(furt.plans[&instance("a")].first, FirstProbe::Soon);
    furt.restart(settings(policy()), Vec::new());
    assert_eq!(furt.status("a"), Some(Status::Down), "it is noted again");
    furt.probe("a", "-------");
    assert!(furt.plans.is_empty());
    assert_eq!(furt.register(&command(4)).unwrap().status, Status::Unknown, "probed afresh");
}

#[test]
fn a_registration_that_changes_what_is_probed_begins_with_unknown() {
    let changes: [fn(Command) -> Command; 3] = [
        |command| command.at("http://127.0.0.1:9001", &[]),
        |command| command.protocol(Protocol::H2c),
        |command| command.health_endpoint("/other"),
    ];
    for change in changes {
        let mut furt = registered();
        furt.probe("a", "+");
        let before = furt.plans[&instance("a")].token;
        assert_eq!(furt.register(&change(Command::new("a", &["GET /a"]))).unwrap().status, Status::Unknown);
        assert_ne!(furt.plans[&instance("a")].token, before);
    }
}

#[test]
fn a_registration_that_ends_a_drain_and_brings_a_weight_keeps_the_health() {
    let mut furt = registered();
    furt.probe("a", "+");
    furt.drain("a", Drain::Begins(DrainUntil::Registration), here()).unwrap();
    assert_eq!(furt.register(&Command::new("a", &["GET /a"]).weight(2)).unwrap().status, Status::Up);
    assert_eq!(furt.draining("a"), [""; 0]);
}

#[test]
fn a_service_is_probed_by_its_own_numbers_from_its_registration_on() {
    let own = HealthCheck {
        interval: Some(Duration::from_secs(7)),
        failures: Some(2),
        status: Some(StatusRange::try_new("200-399").unwrap()),
        ..HealthCheck::default()
    };
    let mut furt = registered();
    furt.register(&Command::new("a", &["GET /a"]).id("other")).unwrap();
    furt.probe("a", "+");
    furt.probe("a/other", "+");
    let token = furt.plans[&instance("a/other")].token;
    assert_eq!(furt.register(&Command::new("a", &["GET /a"]).check(own.clone())).unwrap().status, Status::Up);
    for whom in ["a", "a/other"] {
        let plan = &furt.plans[&instance(whom)];
        assert_eq!((plan.period.as_secs(), &plan.target.definition.health_check), (7, &own), "{whom}");
    }
    assert_eq!(furt.plans[&instance("a/other")].token, token, "the probe that runs counts");
    furt.probe("a", "--");
    assert_eq!(furt.service("a").unwrap().instances[0].status, Status::Down);
    let mut rules = settings(policy());
    rules.health.interval = Duration::from_secs(5);
    rules.health.min_interval = Duration::from_secs(10);
    furt.reconfigure(rules, vec![]);
    assert_eq!(furt.plans[&instance("a/other")].period.as_secs(), 10, "its own, and not below the least");
    furt.restart(settings(policy()), Vec::new());
    furt.probe("a/other", "+");
    assert_eq!(furt.plans[&instance("a/other")].period.as_secs(), 7, "it is stored");
}

#[test]
fn an_instance_without_probes_is_up_and_has_none_to_start() {
    let mut furt = Harness::new();
    let answer = furt.register(&Command::new("a", &["GET /a"]).unprobed()).unwrap();
    assert_eq!((answer.status, furt.status("a"), furt.plans.len()), (Status::Up, Some(Status::Up), 0));
    assert_eq!(furt.ask_for_probe("a", here()), Err(Refusal::NoProbes));
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    assert_eq!((furt.status("a"), furt.plans.len()), (Some(Status::Unknown), 1));
    furt.register(&Command::new("a", &["GET /a"]).unprobed()).unwrap();
    assert_eq!((furt.status("a"), furt.plans.len()), (Some(Status::Up), 0));
}

#[test]
fn a_probe_that_changes_nothing_publishes_nothing() {
    let mut furt = registered();
    furt.probe("a", "+");
    let publishes = furt.publishes;
    furt.probe("a", "+-+--+");
    furt.heartbeat("a", here()).unwrap();
    assert_eq!(furt.publishes, publishes);
}

#[test]
fn transitions_and_time_up_are_counted() {
    let mut furt = registered();
    furt.pass(10);
    assert_eq!(furt.service("a").unwrap().live.uptime_share(Status::Unknown, furt.now.unix_ms), 1.0);
    furt.probe("a", "+");
    furt.pass(10);
    furt.probe("a", "---");
    let live = &furt.service("a").unwrap().live;
    assert_eq!(live.transitions(), 2);
    // The ten seconds before the first verdict say nothing.
    assert_eq!(live.uptime_share(Status::Down, furt.now.unix_ms), 1.0);
    assert_eq!(live.uptime_share(Status::Down, furt.now.unix_ms + 10_000), 0.5);
}

fn named() -> Harness {
    let mut furt = Harness::new();
    furt.register(&Command::new("a", &["GET /a"]).at("http://a.example:80", &["10.0.0.1:80"])).unwrap();
    furt.probe("a", "+");
    furt
}

#[test]
fn a_name_that_leads_elsewhere_moves_its_instance_under_a_new_number() {
    let mut furt = named();
    let before = furt.service("a").unwrap().instances[0].pool_group;
    furt.resolve("a", &["10.0.0.2:80", "10.0.0.3:80"]);
    let moved = furt.service("a").unwrap().instances[0].clone();
    assert_eq!(moved.addresses[..], [address("10.0.0.2:80"), address("10.0.0.3:80")]);
    assert!(moved.pool_group > before, "connections to the old addresses are not used again");
    assert_eq!(moved.status, Status::Up);
    assert_eq!(furt.plans[&instance("a")].target.addresses, moved.addresses, "all of them are probed");
    furt.probe("a", "---");
    assert_eq!(furt.service("a").unwrap().instances[0].pool_group, moved.pool_group);
}

#[test]
fn a_name_that_moves_after_probing_has_ended_is_probed_afresh() {
    let mut furt = named();
    furt.probe("a", "----------");
    assert!(furt.plans.is_empty());
    furt.resolve("a", &["10.0.0.1:80"]);
    assert!(furt.plans.is_empty(), "it leads where it led");
    furt.resolve("a", &["10.0.0.2:80"]);
    assert_eq!((furt.status("a"), furt.plans[&instance("a")].first), (Some(Status::Unknown), FirstProbe::Now));
    furt.probe("a", "+");
    assert_eq!(furt.status("a"), Some(Status::Up));
}

#[test]
fn the_order_of_a_names_addresses_is_no_news() {
    let mut furt = named();
    furt.resolve("a", &["10.0.0.2:80", "10.0.0.3:80"]);
    let publishes = furt.publishes;
    furt.resolve("a", &["10.0.0.3:80", "10.0.0.2:80"]);
    assert_eq!(furt.publishes, publishes);
}

#[test]
fn a_name_that_leads_where_nothing_may_be_is_refused_and_the_old_address_stays() {
    let mut furt = named();
    furt.resolve("a", &["10.0.0.2:80", "169.254.169.254:80"]);
    assert_eq!(furt.service("a").unwrap().instances[0].addresses[..], [address("10.0.0.1:80")]);
    assert!(matches!(furt.reports.last(), Some(Report::AddressesRefused { .. })));
}

#[test]
fn a_name_is_followed_as_long_as_its_instance_is_registered() {
    let mut furt = named();
    let order = furt.names[&DnsSubject::Instance(instance("a"))].clone();
    furt.register(&Command::new("a", &["GET /a"]).at("http://127.0.0.1:9000", &[])).unwrap();
    assert!(furt.names.is_empty());
    let addresses = [address("10.0.0.9:80")].into_iter().collect();
    let subject = DnsSubject::Instance(instance("a"));
    furt.send(Event::NameResolved { subject, token: order.token, addresses });
    assert_eq!(furt.service("a").unwrap().instances[0].addresses[..], [address("127.0.0.1:9000")]);
}
