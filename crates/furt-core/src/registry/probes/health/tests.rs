use super::*;

const LIMITS: HealthLimits = HealthLimits {
    interval: Duration::from_secs(30),
    interval_down: Duration::from_secs(120),
    failures_to_down: 3,
    failures_to_stop: 10,
    startup_time: Duration::from_secs(60),
    min_interval: Duration::from_secs(1),
};

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start; from there on time is given")]
fn start() -> Instant {
    Instant::now()
}

/// Outcomes as `+` and `-`; after each: status, failures in a row, seconds to the next probe.
fn check(script: &[(char, Status, u32, Option<u64>)]) {
    let (mut health, now) = (Health::unknown(), start());
    for (step, &(outcome, status, failures, seconds)) in script.iter().enumerate() {
        match outcome {
            '+' => health.succeed(),
            _ => health.fail(&LIMITS, FailureAccrual::Full, now),
        };
        let period = health.period(&LIMITS, now).map(|period| period.as_secs());
        assert_eq!((health.status(), health.failures(), period), (status, failures, seconds), "step {step}");
    }
}

#[test]
fn a_new_instance_is_probed_every_second_until_the_first_verdict() {
    assert_eq!(Health::unknown().period(&LIMITS, start()), Some(Duration::from_secs(1)));
    check(&[('+', Status::Up, 0, Some(30))]);
    check(&[('-', Status::Unknown, 1, Some(1)), ('-', Status::Unknown, 2, Some(1)), ('-', Status::Down, 3, Some(120))]);
    check(&[('-', Status::Unknown, 1, Some(1)), ('+', Status::Up, 0, Some(30))]);
}

#[test]
fn three_failures_in_a_row_make_it_down_and_a_success_between_starts_the_count_again() {
    check(&[
        ('+', Status::Up, 0, Some(30)),
        ('-', Status::Up, 1, Some(30)),
        ('-', Status::Up, 2, Some(30)),
        ('+', Status::Up, 0, Some(30)),
        ('-', Status::Up, 1, Some(30)),
        ('-', Status::Up, 2, Some(30)),
        ('-', Status::Down, 3, Some(120)),
        ('+', Status::Up, 0, Some(30)),
    ]);
}

#[test]
fn the_tenth_failure_in_a_row_ends_the_probing() {
    let mut script =
        vec![('+', Status::Up, 0, Some(30)), ('-', Status::Up, 1, Some(30)), ('-', Status::Up, 2, Some(30))];
    script.extend((3..10).map(|failures| ('-', Status::Down, failures, Some(120))));
    script.push(('-', Status::Down, 10, None));
    check(&script);
}

#[test]
fn equal_limits_stop_at_the_verdict() {
    let limits = HealthLimits { failures_to_down: 1, failures_to_stop: 1, ..LIMITS };
    let (mut health, now) = (Health::unknown(), start());
    assert_eq!(health.fail(&limits, FailureAccrual::Full, now), Verdict::Stopped);
    assert_eq!((health.status(), health.period(&limits, now)), (Status::Down, None));
}

#[test]
fn an_instance_without_probes_is_up() {
    assert_eq!(Health::unprobed().status(), Status::Up);
}

/// Fails as often as the probes of `seconds` are due; gives the seconds at which they were.
fn fail_for(health: &mut Health, began: Instant, from: u64, seconds: u64) -> Vec<u64> {
    let (mut at, mut probed) = (from, Vec::new());
    while at <= seconds {
        let now = began + Duration::from_secs(at);
        probed.push(at);
        health.fail(&LIMITS, FailureAccrual::Full, now);
        let Some(period) = health.period(&LIMITS, now) else { break };
        at += period.as_secs();
    }
    probed
}

#[test]
fn an_instance_that_starts_is_down_at_the_third_failure_and_probed_often_for_a_minute() {
    let began = start();
    let mut health = Health::starting(began);
    let probed = fail_for(&mut health, began, 0, 59);
    assert_eq!(probed[..14], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 17]);
    assert_eq!(probed[14..], [19, 24, 29, 34, 39, 49, 59]);
    assert_eq!((health.status(), health.failures(), health.is_stopped()), (Status::Down, 21, false));
    // Over: from here on the failures count.
    let probed = fail_for(&mut health, began, 69, 10_000);
    assert_eq!((probed.len(), probed[1] - probed[0], health.is_stopped()), (10, 120, true));
}

#[test]
fn up_ends_the_start_up_time() {
    let began = start();
    let mut health = Health::starting(began);
    health.fail(&LIMITS, FailureAccrual::Full, began);
    health.succeed();
    assert_eq!(health, Health::unprobed());
    for _ in 0..3 {
        health.fail(&LIMITS, FailureAccrual::Full, began);
    }
    assert_eq!((health.status(), health.period(&LIMITS, began)), (Status::Down, Some(LIMITS.interval_down)));
}

#[test]
fn a_sign_of_life_begins_a_start_up_time_where_the_instance_is_down_and_none_runs() {
    let began = start();
    let at = |seconds| began + Duration::from_secs(seconds);
    let mut health = Health::unprobed();
    assert_eq!((health.hear(&LIMITS, began), health), (SignOfLife::Expected, Health::unprobed()));
    for _ in 0..5 {
        health.fail(&LIMITS, FailureAccrual::Full, began);
    }
    assert_eq!(health.hear(&LIMITS, began), SignOfLife::WhileDown);
    assert_eq!(health.period(&LIMITS, began), Some(Duration::from_secs(1)));
    fail_for(&mut health, began, 1, 50);
    let before = health;
    assert_eq!((health.hear(&LIMITS, at(59)), health), (SignOfLife::WhileDown, before), "it goes on");
    assert_eq!(health.period(&LIMITS, at(60)), Some(LIMITS.interval_down), "it is over");
    health.hear(&LIMITS, at(60));
    assert_eq!(health.period(&LIMITS, at(60)), Some(Duration::from_secs(1)), "the next one began");
    for count in 5..10 {
        assert!(!health.is_stopped(), "{count} failures count");
        health.fail(&LIMITS, FailureAccrual::Full, at(500));
    }
    assert!(health.is_stopped());
    assert_eq!(health.hear(&LIMITS, at(600)), SignOfLife::WhileStopped);
    assert_eq!(health, Health::starting(at(600)));
}

#[test]
fn without_a_start_up_time_failures_count_from_the_first_on() {
    let limits = HealthLimits { startup_time: Duration::ZERO, ..LIMITS };
    let began = start();
    let mut health = Health::starting(began);
    for _ in 0..3 {
        health.fail(&limits, FailureAccrual::Full, began);
    }
    assert_eq!(health.hear(&limits, began), SignOfLife::WhileDown);
    assert_eq!(health.period(&limits, began), Some(LIMITS.interval_down));
    (3..10).for_each(|_| _ = health.fail(&limits, FailureAccrual::Full, began));
    assert!(health.is_stopped());
}

#[test]
fn a_failure_that_says_nothing_of_the_instance_ends_no_probing_and_a_held_one_changes_nothing() {
    let (mut health, now) = (Health::unprobed(), start());
    for _ in 0..50 {
        health.fail(&LIMITS, FailureAccrual::NotTowardsStop, now);
    }
    assert_eq!((health.status(), health.failures(), health.is_stopped()), (Status::Down, 50, false));
    let before = health;
    assert_eq!(health.fail(&LIMITS, FailureAccrual::Held, now), Verdict::Same);
    assert_eq!(health, before);
}

#[test]
fn what_is_forgiven_begins_with_no_failure_and_is_probed_again() {
    let (mut health, now) = (Health::unprobed(), start());
    health.fail(&LIMITS, FailureAccrual::Full, now);
    health.forgive(&LIMITS);
    assert_eq!(health, Health::unprobed());
    (0..10).for_each(|_| _ = health.fail(&LIMITS, FailureAccrual::Full, now));
    assert!(health.is_stopped());
    health.forgive(&LIMITS);
    assert_eq!((health.status(), health.is_stopped()), (Status::Down, false));
}

#[test]
fn a_services_own_numbers_hold_within_bounds() {
    assert_eq!(LIMITS.with(&HealthCheck::default()), LIMITS);
    let interval = |seconds| Some(Duration::from_secs_f64(seconds));
    let own = HealthCheck { interval: interval(0.5), failures: Some(20), ..HealthCheck::default() };
    let limits = LIMITS.with(&own);
    assert_eq!((limits.interval, limits.interval_down), (LIMITS.min_interval, LIMITS.interval_down));
    assert_eq!((limits.failures_to_down, limits.failures_to_stop), (20, 20));
}
