//! Schedules as scripts: what is due when, by seconds from the start.

use std::sync::Arc;

use super::*;
use furt_core::model::{Definition, InstanceId, InstanceSpec, ServiceName, UpstreamUrl};
use furt_core::registry::ProbeTarget;

pub(in crate::health) fn instance(name: &str) -> InstanceRef {
    InstanceRef { service: ServiceName::try_new(name).unwrap(), id: InstanceId::try_new(name).unwrap() }
}

/// A plan for whatever answers at `url`.
pub(in crate::health) fn plan(url: &str, order: u64, first: FirstProbe, period_ms: u64) -> ProbePlan {
    let url = UpstreamUrl::try_new(url).unwrap();
    let address = url.socket_address().unwrap();
    let spec = InstanceSpec::new(InstanceId::try_new("a").unwrap(), url);
    let definition = Definition::new(ServiceName::try_new("a").unwrap());
    ProbePlan {
        token: ProbeToken(order),
        target: ProbeTarget { definition: Arc::new(definition), spec: Arc::new(spec), addresses: Arc::from([address]) },
        first,
        period: Duration::from_millis(period_ms),
    }
}

struct Script {
    schedule: Schedule,
    random: fastrand::Rng,
    start: Instant,
}

impl Script {
    fn new() -> Self {
        Self { schedule: Schedule::default(), random: fastrand::Rng::with_seed(7), start: crate::clock::now() }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn set(&mut self, seconds: f64, name: &str, order: u64, first: FirstProbe, period_seconds: u64) {
        let plan = plan("http://127.0.0.1:9", order, first, period_seconds * 1000);
        self.schedule.set(instance(name), plan, self.at(seconds), &mut self.random);
    }

    /// The probes that start, in their order, as `name order`.
    fn starts(&mut self, seconds: f64) -> Vec<String> {
        let now = self.at(seconds);
        let started = std::iter::from_fn(|| self.schedule.start(now));
        started.map(|(instance, plan)| format!("{} {}", instance.id, plan.token.0)).collect()
    }

    fn finish(&mut self, seconds: f64, name: &str, order: u64) {
        self.schedule.finish(&instance(name), ProbeToken(order), self.at(seconds), &mut self.random);
    }

    fn next_due(&self) -> Option<f64> {
        self.schedule.next_due().map(|due| due.saturating_duration_since(self.start).as_secs_f64())
    }

    fn check_next_due(&self, range: std::ops::RangeInclusive<f64>) {
        let due = self.next_due();
        assert!(due.is_some_and(|due| range.contains(&due)), "{due:?} is not in {range:?}");
    }
}

#[test]
fn the_first_probe_is_due_at_once_or_after_a_period_give_or_take_a_tenth() {
    let mut script = Script::new();
    assert_eq!((script.next_due(), script.starts(0.0).len()), (None, 0));
    script.set(0.0, "a", 1, FirstProbe::Now, 30);
    assert_eq!(script.starts(0.0), ["a 1"]);
    for number in 0..100 {
        script.set(0.0, &format!("b{number}"), 1, FirstProbe::AfterPeriod, 30);
    }
    script.check_next_due(27.0..=28.0);
    assert_eq!(script.starts(33.0).len(), 100);
}

#[test]
fn a_period_runs_from_start_to_start_and_never_before_the_end() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::Now, 10);
    assert_eq!(script.starts(0.0), ["a 1"]);
    assert_eq!(script.starts(100.0), [""; 0], "it runs");
    script.finish(5.0, "a", 1);
    script.check_next_due(9.0..=11.0);
    assert_eq!(script.starts(11.0), ["a 1"]);
    script.finish(31.0, "a", 1);
    assert_eq!(script.next_due(), Some(31.0), "an overrun is followed by one probe, not by those it missed");
    assert_eq!(script.starts(31.0), ["a 1"]);
}

#[test]
fn the_longest_overdue_goes_first() {
    let mut script = Script::new();
    for (seconds, name) in [(3.0, "c"), (1.0, "b"), (2.0, "a")] {
        script.set(seconds, name, 1, FirstProbe::Now, 10);
    }
    assert_eq!(script.starts(2.5), ["b 1", "a 1"]);
    assert_eq!(script.starts(3.0), ["c 1"]);
}

#[test]
fn a_new_plan_takes_the_place_of_the_one_before() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::AfterPeriod, 30);
    script.set(1.0, "a", 2, FirstProbe::Now, 30);
    assert_eq!(script.starts(1.0), ["a 2"]);
    script.finish(1.0, "a", 2);
    script.set(2.0, "a", 3, FirstProbe::AfterPeriod, 120);
    script.check_next_due(110.0..=134.0);
    script.set(3.0, "a", 3, FirstProbe::Now, 120);
    assert_eq!(script.starts(3.0), ["a 3"]);
}

#[test]
fn a_plan_that_comes_while_a_probe_runs_starts_when_that_has_ended() {
    for (first, not_before, at) in [(FirstProbe::Now, None, 4.0), (FirstProbe::AfterPeriod, Some(28.9), 35.0)] {
        let mut script = Script::new();
        script.set(0.0, "a", 1, FirstProbe::Now, 1);
        assert_eq!(script.starts(0.0), ["a 1"]);
        script.set(2.0, "a", 2, first, 30);
        assert_eq!((script.next_due(), script.starts(3.9).len()), (None, 0));
        script.finish(4.0, "a", 1);
        assert!(script.next_due() > not_before);
        assert_eq!(script.starts(at), ["a 2"]);
    }
}

#[test]
fn a_command_for_a_probe_is_met_by_the_one_that_runs() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::Now, 30);
    assert_eq!(script.starts(0.0), ["a 1"]);
    script.set(1.0, "a", 1, FirstProbe::Now, 30);
    script.finish(2.0, "a", 1);
    script.check_next_due(27.0..=33.0);
}

#[test]
fn a_probe_that_is_asked_for_again_and_again_comes_once_a_second() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::AfterPeriod, 120);
    script.set(1.0, "a", 1, FirstProbe::Soon, 120);
    assert_eq!(script.starts(1.0), ["a 1"]);
    script.set(1.1, "a", 1, FirstProbe::Soon, 120);
    script.finish(1.2, "a", 1);
    script.check_next_due(108.0..=134.0);
    let mut starts = 0;
    for tenth in 13..63 {
        let at = f64::from(tenth) / 10.0;
        script.set(at, "a", 1, FirstProbe::Soon, 120);
        if !script.starts(at).is_empty() {
            script.finish(at, "a", 1);
            starts += 1;
        }
    }
    assert_eq!(starts, 5);
    script.set(100.0, "a", 1, FirstProbe::Now, 1);
    assert_eq!(script.starts(100.0), ["a 1"]);
    script.finish(100.0, "a", 1);
    script.set(100.1, "a", 1, FirstProbe::Soon, 1);
    script.check_next_due(100.9..=101.1);
}

#[test]
fn a_plan_that_is_retimed_comes_within_its_period_and_is_never_put_off() {
    let mut script = Script::new();
    for number in 0..100 {
        script.set(0.0, &format!("a{number}"), 1, FirstProbe::AfterPeriod, 30);
    }
    for number in 0..100 {
        script.set(1.0, &format!("a{number}"), 1, FirstProbe::WithinPeriod, 2);
    }
    let early = script.starts(2.0).len();
    assert!((20..80).contains(&early), "spread over the period: {early}");
    assert_eq!(early + script.starts(3.0).len(), 100);
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::AfterPeriod, 30);
    for second in 1..26 {
        script.set(f64::from(second), "a", 1, FirstProbe::WithinPeriod, 1000 + second as u64);
    }
    script.check_next_due(1.0..=33.0);
}

#[test]
fn a_plan_that_is_retimed_while_its_probe_runs_is_not_run_twice() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::Now, 30);
    assert_eq!(script.starts(0.0), ["a 1"]);
    script.set(1.0, "a", 1, FirstProbe::WithinPeriod, 5);
    assert_eq!((script.next_due(), script.starts(3.0).len()), (None, 0));
    script.finish(3.0, "a", 1);
    script.check_next_due(4.5..=5.5);
}

#[test]
fn who_is_removed_and_comes_back_while_its_probe_runs_is_not_probed_twice_at_once() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::Now, 1);
    assert_eq!(script.starts(0.0), ["a 1"]);
    script.schedule.remove(&instance("a"));
    assert_eq!(script.next_due(), None);
    script.set(1.0, "a", 2, FirstProbe::Now, 1);
    assert_eq!(script.starts(4.0), [""; 0]);
    script.finish(5.0, "a", 1);
    assert_eq!(script.starts(5.0), ["a 2"]);
    assert_eq!(script.starts(9.0), [""; 0]);
}

#[test]
fn who_is_removed_leaves_nothing_behind() {
    let mut script = Script::new();
    script.set(0.0, "a", 1, FirstProbe::Now, 1);
    script.set(0.0, "b", 1, FirstProbe::Now, 1);
    script.schedule.remove(&instance("b"));
    assert_eq!(script.starts(0.0), ["a 1"]);
    script.schedule.remove(&instance("a"));
    script.finish(1.0, "a", 1);
    let Schedule { plans, order, running } = &script.schedule;
    assert!(plans.is_empty() && order.is_empty() && running.is_empty());
}
