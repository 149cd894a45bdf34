//! The plan against authorities that are away, refuse, or say odd things, and clocks that are wrong, over weeks in no time.

use super::*;

const START: i64 = 1_800_000_000;
/// A six-day certificate.
const SIX_DAYS: i64 = 6 * DAY;

fn own() -> Wanted {
    Wanted { service: None, standing_since: None }
}

fn of(service: &str, standing_since: Option<i64>) -> Wanted {
    Wanted { service: Some(service.to_owned()), standing_since }
}

fn plan(wanted: &[(&str, Wanted)]) -> Plan {
    let mut plan = Plan::new(Ledger::default());
    plan.set_wanted(wanted.iter().map(|(name, one)| ((*name).to_owned(), one.clone())).collect());
    plan
}

fn held(not_before: i64, length: i64) -> Held {
    let life = Life { not_before, not_after: not_before + length };
    Held { life, service: None, window: None, is_foreign: false, fraction: 0.5, ask_at: i64::MAX / 2 }
}

fn failure(kind: FailureKind, retry_after: Option<i64>) -> Failure {
    Failure { why: "why".to_owned(), kind, retry_after }
}

/// Goes on from `from` to `to` as the keeper does; `authority` says what comes of an order. Returns when orders began, and for what.
fn run(
    plan: &mut Plan,
    (from, to): (i64, i64),
    mut authority: impl FnMut(&str, i64) -> Result<Held, Failure>,
) -> Vec<(i64, String)> {
    let (mut now, mut orders, mut random) = (from, Vec::new(), fastrand::Rng::with_seed(7));
    while now < to {
        match plan.next(now) {
            Step::Order { name, kind, .. } => {
                plan.begin(&name, &kind, now);
                orders.push((now, name.clone()));
                now += 2;
                match authority(&name, now) {
                    Ok(held) => plan.issued(&name, held, now, random.f64()),
                    Err(failure) => plan.failed(&name, failure, now, random.f64()),
                }
            }
            Step::Ask { name } => {
                plan.answered(&name, None, None, now);
            }
            Step::Wait { until } => {
                assert!(until > now, "it waits for {until} at {now}");
                now = until;
            }
        }
    }
    for (at, _) in &orders {
        let within = orders.iter().filter(|(other, _)| (*at..at + HOUR).contains(other)).count();
        assert!(within <= HOURLY, "{within} orders within an hour of {at}");
    }
    orders
}

#[test]
fn a_six_day_certificate_is_renewed_at_two_thirds_and_again() {
    let mut plan = plan(&[("a.example", own())]);
    let orders = run(&mut plan, (START, START + 13 * DAY), |_, now| Ok(held(now, SIX_DAYS)));
    let after: Vec<_> = orders.iter().map(|(at, _)| (at - START) / DAY).collect();
    assert_eq!(after, [0, 4, 8, 12]);
    assert!((0..60).contains(&(orders[1].0 - START - 4 * DAY)), "{orders:?}");
}

#[test]
fn an_authority_that_is_down_for_a_week_is_asked_ever_less_often_and_then_gives_one() {
    let mut plan = plan(&[("a.example", own())]);
    plan.hold("a.example", held(START - 4 * DAY, SIX_DAYS));
    let back = START + 7 * DAY;
    let orders = run(&mut plan, (START, START + 9 * DAY), |_, now| {
        if now < back { Err(failure(FailureKind::Unreachable, None)) } else { Ok(held(now, 90 * DAY)) }
    });
    assert!((14..=22).contains(&orders.len()), "{}: {orders:?}", orders.len());
    let gaps: Vec<_> = orders.windows(2).map(|two| two[1].0 - two[0].0).collect();
    assert!((60..=80).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= DAY + 10), "{gaps:?}");
    assert!(orders.last().unwrap().0 >= back && !plan.has_failed("a.example"));
    assert_eq!(plan.view("a.example", START + 9 * DAY).last_error, None);
}

#[test]
fn waits_double_from_a_minute_to_a_day_with_jitter() {
    for (failures, middle) in
        [(0, 60), (1, 60), (2, 120), (5, 960), (11, 61_440), (12, DAY), (40, DAY), (u32::MAX, DAY)]
    {
        let (least, most) = (back_off(failures, 0.0), back_off(failures, 1.0));
        assert!(least >= 60 && most <= DAY && least <= middle && middle <= most, "{failures}: {least} to {most}");
        assert!((least as f64) >= middle as f64 * 0.79 && (most as f64) <= middle as f64 * 1.21);
    }
}

#[test]
fn the_window_of_the_authority_is_kept_to_and_a_window_after_the_end_is_not() {
    let life = Life { not_before: 0, not_after: 90 * DAY };
    for (window, fraction, expected) in [
        (None, 0.5, 60 * DAY),
        (Some((30, 32)), 0.0, 30 * DAY),
        (Some((30, 32)), 0.5, 31 * DAY),
        (Some((30, 32)), 9.0, 32 * DAY),
        // Revoked: at once.
        (Some((-2, -1)), 0.5, -DAY * 3 / 2),
        // Back to front.
        (Some((32, 30)), 0.5, 32 * DAY),
        (Some((88, 95)), 1.0, 81 * DAY),
        (Some((4000, 5000)), 0.5, 81 * DAY),
    ] {
        let window = window.map(|(start, end)| Window { start: start * DAY, end: end * DAY });
        assert_eq!(renew_at(&life, window, fraction), expected, "{window:?}");
    }
    let odd = Life { not_before: i64::MAX - 5, not_after: i64::MIN };
    assert_eq!(renew_at(&odd, None, 0.5), i64::MAX - 5);
    assert!(renew_at(&life, Some(Window { start: i64::MAX, end: i64::MIN }), 1.0) <= life.not_after);
}

#[test]
fn the_authority_is_asked_every_six_hours_and_its_word_moves_the_renewal() {
    let mut plan = plan(&[("a.example", own())]);
    plan.hold("a.example", Held { ask_at: 0, ..held(START, 90 * DAY) });
    let ask = Step::Ask { name: "a.example".to_owned() };
    assert_eq!(plan.next(START), ask);
    plan.answered("a.example", None, Some(60), START);
    assert_eq!(plan.view("a.example", START).next, Some(START + 60 * DAY));
    assert_ne!(plan.next(START + 6 * HOUR - 1), ask);
    assert_eq!(plan.next(START + 6 * HOUR), ask);
    let window = Window { start: START + DAY, end: START + 3 * DAY };
    plan.answered("a.example", Some(window), Some(10 * DAY), START + 6 * HOUR);
    assert_eq!(plan.view("a.example", START + 6 * HOUR).next, Some(START + 2 * DAY));
    assert_eq!(plan.next(START + 30 * HOUR), ask, "a day is the longest pause");
    plan.unanswered(START + 30 * HOUR);
    assert_eq!(plan.view("a.example", START + 30 * HOUR).next, Some(START + 2 * DAY), "what it said before holds");
    assert_ne!(plan.next(START + 31 * HOUR - 1), ask);
    assert_eq!(plan.next(START + 31 * HOUR), ask);
}

#[test]
fn an_authority_that_always_wants_a_renewal_now_gets_four_orders_a_day() {
    let mut plan = plan(&[("a.example", own())]);
    let (mut now, mut orders) = (START, 0);
    while now < START + DAY {
        match plan.next(now) {
            Step::Order { name, kind, .. } => {
                plan.begin(&name, &kind, now);
                plan.issued(&name, Held { ask_at: 0, ..held(now, 90 * DAY) }, now, 0.5);
                orders += 1;
            }
            Step::Ask { name } => plan.answered(&name, Some(Window { start: 0, end: 1 }), None, now),
            Step::Wait { until } => now = until,
        }
    }
    assert_eq!(orders, 4);
    // Another authority is configured: that of the one before is not waited for.
    plan.hold_as("a.example", Held { is_foreign: true, ..held(now, 90 * DAY) });
    assert!(matches!(plan.next(now), Step::Order { .. }));
}

#[test]
fn how_long_the_authority_wants_to_be_left_alone_is_kept_to() {
    for (retry_after, expected) in
        [(None, 60..73), (Some(0), 60..73), (Some(3600), 3600..3601), (Some(1 << 50), 604_800..604_801)]
    {
        let mut plan = plan(&[("a.example", own()), ("b.example", own())]);
        plan.begin("a.example", &Kind::Own, START);
        plan.failed("a.example", failure(FailureKind::RateLimited, retry_after), START, 0.5);
        let next = plan.view("a.example", START).next.unwrap() - START;
        assert!(expected.contains(&next), "{retry_after:?}: {next}");
        assert_eq!(plan.view("b.example", START).next, Some(START), "another name does not wait for it");
    }
}

#[test]
fn the_other_challenge_is_tried_at_once_and_the_one_that_did_is_kept() {
    let mut plan = plan(&[("a.example", own())]);
    plan.first_challenge = Challenge::TlsAlpn01;
    let mut now = START;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let Step::Order { challenge, .. } = plan.next(now) else { panic!("nothing is due at {now}") };
        seen.push((challenge, now - START));
        plan.begin("a.example", &Kind::Own, now);
        plan.failed("a.example", failure(FailureKind::Challenge, None), now, 0.5);
        now = plan.view("a.example", now).next.unwrap();
    }
    use Challenge::{Http01, TlsAlpn01};
    assert_eq!(seen, [(TlsAlpn01, 0), (Http01, 1), (TlsAlpn01, 121), (Http01, 361)]);
    plan.failed("a.example", failure(FailureKind::Challenge, None), now, 0.5);
    plan.issued("a.example", held(now, SIX_DAYS), now, 0.5);
    let Step::Order { challenge, .. } = plan.next(now + 4 * DAY) else { panic!("it is not renewed") };
    assert_eq!(challenge, Http01);
}

#[test]
fn a_clock_that_is_wrong_makes_no_loop_of_orders() {
    // The clock is a week behind: the certificate is not good yet.
    let mut behind = plan(&[("a.example", own())]);
    let orders = run(&mut behind, (START, START + 5 * DAY), |_, now| Ok(held(now + 7 * DAY, SIX_DAYS)));
    assert_eq!(orders.len(), 1, "{orders:?}");
    // It is years ahead: each new certificate has ended.
    let mut ahead = plan(&[("a.example", own())]);
    let orders = run(&mut ahead, (START, START + 5 * DAY), |_, now| Ok(held(now - 1000 * DAY, SIX_DAYS)));
    assert!((10..=18).contains(&orders.len()), "{}", orders.len());
    let error = ahead.view("a.example", START + 5 * DAY).last_error.unwrap();
    assert!(error.contains("is this machine's clock right?"), "{error}");
    // And then it is set right.
    let year = START - 365 * DAY;
    let orders = run(&mut ahead, (year, year + 9 * DAY), |_, now| Ok(held(now, 90 * DAY)));
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert!(orders[0].0 < year + 2 * HOUR, "{orders:?}");
}

#[test]
fn a_route_must_stand_for_a_minute() {
    let mut plan = plan(&[("a.example", of("a", Some(START))), ("b.example", of("b", None))]);
    assert_eq!(plan.next(START + 59), Step::Wait { until: START + 60 });
    assert_eq!(plan.view("b.example", START + 59), View { next: None, last_error: None });
    let Step::Order { name, kind, .. } = plan.next(START + 60) else { panic!("it stood for a minute") };
    assert_eq!((name.as_str(), kind), ("a.example", Kind::New { service: "a".to_owned() }));
    plan.unreached("a.example", "it leads elsewhere".to_owned(), START + 60, 0.5);
    assert_eq!(plan.next(START + 60), Step::Wait { until: START + 120 });
    assert_eq!(plan.ledger().names_since(0, |_| true).len(), 0, "nothing was ordered");
}

#[test]
fn a_service_gets_five_certificates_and_all_of_them_twenty_new_ones_a_week() {
    let names: Vec<_> = (0..40).map(|number| format!("n{number:02}.example")).collect();
    let mut greedy = plan(&[]);
    greedy.set_wanted(names.iter().map(|name| (name.clone(), of("greedy", Some(0)))).collect());
    let orders = run(&mut greedy, (START, START + 5 * DAY), |_, now| {
        Ok(Held { service: Some("greedy".to_owned()), ..held(now, 90 * DAY) })
    });
    assert_eq!(orders.len(), 5);
    let refused = greedy.view("n39.example", START + DAY).last_error.unwrap();
    assert_eq!(refused, "the service greedy has 5 certificates already, the most that one gets");
    // Orders that fail give no more names a try.
    let mut failing = plan(&[]);
    failing.set_wanted(names.iter().map(|name| (name.clone(), of("greedy", Some(0)))).collect());
    let orders = run(&mut failing, (START, START + 5 * DAY), |_, _| Err(failure(FailureKind::Other, None)));
    let tried: BTreeSet<_> = orders.iter().map(|(_, name)| name).collect();
    assert_eq!(tried.len(), 5, "{tried:?}");
    // Many services.
    let mut many = plan(&[]);
    let wanted = names.iter().enumerate().map(|(number, name)| (name.clone(), of(&format!("s{number}"), Some(0))));
    many.set_wanted(wanted.collect());
    let orders = run(&mut many, (START, START + 6 * DAY), |name, now| {
        Ok(Held { service: Some(name.to_owned()), ..held(now, 90 * DAY) })
    });
    assert_eq!(orders.len(), 20);
    let refused = many.view("n39.example", START + DAY).last_error.unwrap();
    assert!(refused.starts_with("there were 20 new certificates"), "{refused}");
    let orders = run(&mut many, (START + 6 * DAY, START + 8 * DAY), |name, now| {
        Ok(Held { service: Some(name.to_owned()), ..held(now, 90 * DAY) })
    });
    assert_eq!(orders.len(), 20, "the next week has its own");
}

#[test]
fn names_of_the_configuration_and_renewals_go_first_and_have_places_of_their_own() {
    let mut wanted: BTreeMap<String, Wanted> =
        (0..30).map(|number| (format!("a{number:02}.example"), of(&format!("s{number}"), Some(0)))).collect();
    wanted.insert("z-own.example".to_owned(), own());
    wanted.insert("z-renewed.example".to_owned(), of("renewed", Some(0)));
    let mut plan = plan(&[]);
    plan.set_wanted(wanted.clone());
    plan.hold("z-renewed.example", Held { service: Some("renewed".to_owned()), ..held(START - SIX_DAYS, SIX_DAYS) });
    let orders = run(&mut plan, (START, START + HOUR - 60), |_, now| Ok(held(now, 90 * DAY)));
    let names: Vec<_> = orders.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names[..2], ["z-own.example", "z-renewed.example"], "what has none is the most urgent");
    assert_eq!(names.len(), 2 + HOURLY_NEW);
    for number in 0..3 {
        wanted.insert(format!("z-own{number}.example"), own());
    }
    plan.set_wanted(wanted);
    let now = START + HOUR - 60;
    let Step::Order { name, .. } = plan.next(now) else { panic!("three places of ten are left") };
    assert_eq!(name, "z-own0.example");
}

#[test]
fn what_was_ordered_is_known_after_a_restart_and_so_is_a_wait() {
    let mut before = plan(&[("a.example", own())]);
    before.begin("a.example", &Kind::Own, START);
    let text = serde_json::to_string(before.ledger()).unwrap();
    let mut after = Plan::new(serde_json::from_str(&text).unwrap());
    after.set_wanted(before.wanted().clone());
    assert_eq!(after.ledger(), before.ledger());
    assert_eq!(after.next(START + 1), Step::Wait { until: START + 60 }, "it died while it ordered");
    after.ask("a.example");
    assert!(matches!(after.next(START + 1), Step::Order { .. }), "an operator need not wait");
    for number in 0..HOURLY {
        after.begin("a.example", &Kind::Own, START + number as i64);
    }
    after.ask("a.example");
    assert_eq!(after.next(START + 20), Step::Wait { until: START + HOUR }, "but for a place");
}

#[test]
fn an_order_that_the_end_of_furt_cut_is_begun_again_at_once_and_counts() {
    let after = |is_cut: bool| {
        let mut before = plan(&[("a.example", own())]);
        before.begin("a.example", &Kind::Own, START);
        if is_cut {
            before.cut("a.example", START + 3);
        }
        let text = serde_json::to_string(before.ledger()).unwrap();
        let mut after = Plan::new(serde_json::from_str(&text).unwrap());
        after.set_wanted(before.wanted().clone());
        after
    };
    assert!(matches!(after(true).next(START + 3), Step::Order { .. }));
    assert!(matches!(after(false).next(START + 3), Step::Wait { .. }), "after a crash it waits");
    let mut plan = after(true);
    for _ in 1..HOURLY {
        plan.begin("a.example", &Kind::Own, START + 4);
        plan.cut("a.example", START + 4);
    }
    assert_eq!(plan.next(START + 5), Step::Wait { until: START + HOUR }, "each of them counts");
}

#[test]
fn a_ledger_of_a_clock_that_was_ahead_passes() {
    let mut plan = plan(&[("a.example", own())]);
    for _ in 0..HOURLY {
        plan.begin("a.example", &Kind::Own, START + 9000 * DAY);
    }
    assert_eq!(plan.next(START), Step::Wait { until: START + HOUR });
    let orders = run(&mut plan, (START, START + 9 * DAY), |_, now| Ok(held(now, 90 * DAY)));
    assert_eq!(orders.len(), 1, "{orders:?}");
}
