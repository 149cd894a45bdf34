//! Choosing among sets: locality, limits, load, policies, and the rules that hold for any set.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::model::{Definition, InstanceSpec, ServiceName, Status, UpstreamUrl};
use crate::routing::{InstanceLive, Outcome, PoolGroup, ServiceKind, hash};

/// An instance in the making.
#[derive(Clone)]
struct Made {
    spec: InstanceSpec,
    status: Status,
    in_flight: u32,
    since_ms: i64,
}

fn made(id: &str) -> Made {
    let url = UpstreamUrl::try_new("http://127.0.0.1:9000").unwrap();
    let spec = InstanceSpec { health_endpoint: None, ..InstanceSpec::new(InstanceId::try_new(id).unwrap(), url) };
    Made { spec, status: Status::Up, in_flight: 0, since_ms: 0 }
}

impl Made {
    fn weight(mut self, weight: u8) -> Self {
        self.spec.weight = weight;
        self
    }

    fn limits(mut self, soft: u32, hard: u32) -> Self {
        (self.spec.soft_limit, self.spec.hard_limit) = (soft, hard);
        self
    }

    fn at(mut self, region: &str, country: &str) -> Self {
        self.spec.region = Region::try_new(region).ok();
        self.spec.country = Country::try_new(country).ok();
        self
    }

    fn busy(mut self, in_flight: u32) -> Self {
        self.in_flight = in_flight;
        self
    }

    fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    fn since(mut self, since_ms: i64) -> Self {
        self.since_ms = since_ms;
        self
    }

    fn instance(self) -> Arc<Instance> {
        let live = InstanceLive::default();
        (0..self.in_flight).for_each(|_| assert!(live.reserve(0)));
        live.since_ms.store(self.since_ms, Ordering::Relaxed);
        Arc::new(Instance {
            addresses: Arc::from([self.spec.url.socket_address().unwrap()]),
            soft_limit: self.spec.soft_limit,
            hard_limit: self.spec.hard_limit,
            spec: Arc::new(self.spec),
            status: self.status,
            pool_group: PoolGroup::default(),
            live: Arc::new(live),
        })
    }
}

fn instance_set(policy: LoadBalancingPolicy, made: Vec<Made>) -> Service {
    let definition = Definition { policy, ..Definition::new(ServiceName::try_new("a").unwrap()) };
    let mut instances: Vec<_> = made.into_iter().map(Made::instance).collect();
    instances.sort_by(|one, other| one.spec.id.cmp(&other.spec.id));
    Service::new(Arc::new(definition), ServiceKind::Registered, Status::Up, instances.into())
}

fn asked<'a>(service: &Service, input: &SelectionInput<'a>) -> String {
    service.pick(input, |_| false).unwrap().instance().spec.id.to_string()
}

/// How often each was picked, each given back at once.
fn counts(service: &Service, picks: u64, input: &SelectionInput<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..picks {
        *counts.entry(asked(service, &SelectionInput { random: rng.u64(..), ..*input })).or_default() += 1;
    }
    counts
}

#[test]
fn the_clients_country_comes_before_its_region_the_gateways_and_the_rest() {
    let region = |name| Region::try_new(name).unwrap();
    let (eu, us) = (region("eu"), region("us"));
    let input = SelectionInput {
        country: Country::try_new("DE").ok(),
        region: Some(&eu),
        gateway_region: Some(&us),
        ..SelectionInput::default()
    };
    let all = [("a", "eu", "DE"), ("b", "eu", "FR"), ("c", "us", "US"), ("d", "ap", "JP")];
    // Few are looked at one by one, of many there are groups: the order must be the same.
    for copies in [1, 3, 40] {
        for first in 0..all.len() {
            let of = |(id, region, country): &(&str, &str, &str)| {
                (0..copies).map(move |copy| made(&format!("{id}{copy}")).at(region, country)).collect::<Vec<_>>()
            };
            let service = instance_set(LoadBalancingPolicy::Edge, all[first..].iter().flat_map(of).collect());
            let seen = counts(&service, 50, &input);
            assert!(seen.keys().all(|id| id.starts_with(all[first].0)), "{copies} {first} {seen:?}");
        }
    }
}

#[test]
fn only_edge_and_sticky_among_several_that_say_where_they_are_depend_on_the_locality() {
    let placed = || vec![made("a"), made("b").at("eu", "DE")];
    for (policy, all, expected) in [
        (LoadBalancingPolicy::Edge, placed(), true),
        (LoadBalancingPolicy::Sticky, placed(), true),
        (LoadBalancingPolicy::RoundRobin, placed(), false),
        (LoadBalancingPolicy::LeastConn, placed(), false),
        (LoadBalancingPolicy::Hash, placed(), false),
        (LoadBalancingPolicy::Edge, vec![made("a"), made("b").at("eu", "")], true),
        (LoadBalancingPolicy::Edge, vec![made("a"), made("b").at("", "DE")], true),
        (LoadBalancingPolicy::Edge, vec![made("a"), made("b")], false),
        (LoadBalancingPolicy::Edge, vec![made("a").at("eu", "DE")], false),
        (LoadBalancingPolicy::Edge, Vec::new(), false),
    ] {
        let what = format!("{policy:?} {}", all.len());
        assert_eq!(instance_set(policy, all).has_localities(), expected, "{what}");
    }
}

#[test]
fn who_is_below_its_soft_limit_comes_before_who_is_at_it_however_far_away() {
    let de = Country::try_new("DE").ok();
    let near = |id: &str| made(id).at("eu", "DE").limits(2, 0).busy(2);
    let far = |id: &str| made(id).at("ap", "JP").limits(2, 0).busy(1);
    let input = SelectionInput { country: de, ..SelectionInput::default() };
    for copies in [1, 30] {
        let all = (0..copies).flat_map(|copy| [near(&format!("n{copy}")), far(&format!("f{copy}"))]).collect();
        let service = instance_set(LoadBalancingPolicy::Edge, all);
        let lease = service.pick(&input, |_| false).unwrap();
        assert!(lease.instance().spec.id.as_str().starts_with('f'));
    }
}

#[test]
fn the_load_counts_by_soft_limit_and_weight() {
    // 6/10/1 = 0.6, 6/20/1 = 0.3, 6/10/4 = 0.15
    let all = vec![
        made("a").limits(10, 0).busy(6),
        made("b").limits(20, 0).busy(6),
        made("c").limits(10, 0).busy(6).weight(4),
    ];
    assert_eq!(asked(&instance_set(LoadBalancingPolicy::Edge, all[..2].to_vec()), &SelectionInput::default()), "b");
    assert_eq!(asked(&instance_set(LoadBalancingPolicy::Edge, all.clone()), &SelectionInput::default()), "c");
    assert_eq!(asked(&instance_set(LoadBalancingPolicy::LeastConn, all), &SelectionInput::default()), "c");
}

#[test]
fn among_equals_three_to_one_is_three_to_one_for_one_request_at_a_time() {
    for policy in [
        LoadBalancingPolicy::Edge,
        LoadBalancingPolicy::RoundRobin,
        LoadBalancingPolicy::LeastConn,
        LoadBalancingPolicy::Sticky,
    ] {
        let service = instance_set(policy, vec![made("a").weight(3), made("b")]);
        for _ in 0..100 {
            let round: String = (0..4).map(|_| asked(&service, &SelectionInput::default())).collect();
            assert_eq!(round.matches('a').count(), 3, "{policy:?} {round}");
        }
    }
}

#[test]
fn shares_follow_weights_within_two_hundredths_over_a_hundred_thousand_picks() {
    for policy in [LoadBalancingPolicy::Edge, LoadBalancingPolicy::RoundRobin, LoadBalancingPolicy::LeastConn] {
        for count in [3_u8, 16, 17, 40] {
            let weight = |number: u8| number % 5 + 1;
            let all = (0..count).map(|number| made(&format!("i{number:02}")).weight(weight(number))).collect();
            let total: u64 = (0..count).map(|number| u64::from(weight(number))).sum();
            let counts = counts(&instance_set(policy, all), 100_000, &SelectionInput::default());
            for number in 0..count {
                let share = *counts.get(&format!("i{number:02}")).unwrap_or(&0) as f64 / 100_000.0;
                let fair = u64::from(weight(number)) as f64 / total as f64;
                assert!((share - fair).abs() < 0.02, "{policy:?} of {count}: {share} for {fair}");
                assert!((share / fair - 1.0).abs() < 0.15, "{policy:?} of {count}: {share} for {fair}");
            }
        }
    }
}

#[test]
fn held_requests_spread_by_weight() {
    for count in [3_u8, 30] {
        let all = (0..count).map(|number| made(&format!("i{number:02}")).weight(number % 3 + 1)).collect();
        let service = instance_set(LoadBalancingPolicy::Edge, all);
        let mut rng = fastrand::Rng::with_seed(3);
        let mut random = || SelectionInput { random: rng.u64(..), ..SelectionInput::default() };
        let leases: Vec<_> = (0..60 * u32::from(count)).map(|_| service.pick(&random(), |_| false).unwrap()).collect();
        for instance in &service.instances {
            let fair = 30.0 * f64::from(instance.spec.weight);
            let own = f64::from(instance.live.in_flight());
            assert!((own - fair).abs() <= fair * 0.35, "{} of {fair} at weight {}", own, instance.spec.weight);
        }
        drop(leases);
        assert!(service.instances.iter().all(|one| one.live.in_flight() == 0));
    }
}

#[test]
fn a_key_stays_with_its_instance_and_moves_only_when_that_cannot_take_it() {
    let all: Vec<_> = (0..10).map(|number| made(&format!("i{number}"))).collect();
    let service = instance_set(LoadBalancingPolicy::Hash, all.clone());
    let input = |key: u32| SelectionInput { key: hash(&key.to_le_bytes()), ..SelectionInput::default() };
    let owners: Vec<_> = (0..2_000).map(|key| asked(&service, &input(key))).collect();
    assert!((0..2_000).all(|key| asked(&service, &input(key)) == owners[key as usize]));
    let mut without = all;
    without[3] = without[3].clone().status(Status::Down);
    let without = instance_set(LoadBalancingPolicy::Hash, without);
    for (key, before) in owners.iter().enumerate() {
        let after = asked(&without, &input(key as u32));
        assert!(after == *before || before == "i3", "{key} moved from {before} to {after}");
    }
}

#[test]
fn a_client_stays_with_its_instance_but_never_past_the_hard_limit() {
    let service = instance_set(LoadBalancingPolicy::Sticky, vec![made("a"), made("b").busy(1).limits(0, 2), made("c")]);
    let b = InstanceId::try_new("b").unwrap();
    let input = SelectionInput { preferred: Some(&b), ..SelectionInput::default() };
    let held = service.pick(&input, |_| false).unwrap();
    assert_eq!(held.instance().spec.id, b);
    assert_ne!(asked(&service, &input), "b", "it is full");
    drop(held);
    assert_eq!(asked(&service, &input), "b");
    let gone = InstanceId::try_new("x").unwrap();
    assert_ne!(asked(&service, &SelectionInput { preferred: Some(&gone), ..SelectionInput::default() }), "x");
}

#[test]
fn after_coming_up_a_share_grows_until_the_slow_start_is_over() {
    for count in [2, 40] {
        let old = (1..count).map(|number| made(&format!("old{number}")).since(-1_000_000));
        let mut service = instance_set(LoadBalancingPolicy::Edge, old.chain([made("new").since(0)]).collect());
        let slow = Definition { slow_start: Some(Duration::from_secs(10)), ..(*service.definition).clone() };
        service.definition = Arc::new(slow);
        let mut last = 0.0;
        for now_ms in [0, 2_500, 5_000, 10_000] {
            let counts = counts(&service, 40_000, &SelectionInput { now_ms, ..SelectionInput::default() });
            let ramp = (now_ms as f64 / 10_000.0).max(0.1);
            let fair = ramp / (ramp + f64::from(count - 1));
            let share = *counts.get("new").unwrap_or(&0) as f64 / 40_000.0;
            assert!((0.6 * fair..1.4 * fair).contains(&share), "{share} for {fair} at {now_ms} of {count}");
            assert!(share >= last, "it never shrinks");
            last = share;
        }
    }
}

#[test]
fn five_failures_in_a_row_eject_for_longer_each_time_and_at_most_half() {
    let service = instance_set(LoadBalancingPolicy::Edge, ["a", "b", "c", "d", "e"].map(made).into());
    let fail = |at: usize, times: usize, now_ms: i64| {
        (0..times)
            .filter_map(|_| service.note_outcome(&service.instances[at], Outcome::Bad, now_ms))
            .collect::<Vec<_>>()
    };
    assert!(fail(0, 4, 0).is_empty());
    service.note_outcome(&service.instances[0], Outcome::Good, 0);
    assert!(fail(0, 4, 0).is_empty(), "in a row");
    assert_eq!(fail(0, 1, 0), [Duration::from_secs(10)]);
    assert!(!counts(&service, 50, &SelectionInput::default()).contains_key("a"));
    assert!(
        counts(&service, 50, &SelectionInput { now_ms: 10_000, ..SelectionInput::default() }).contains_key("a"),
        "it is over"
    );
    assert_eq!(fail(0, 5, 10_000), [Duration::from_secs(20)]);
    assert_eq!(fail(1, 5, 10_000), [Duration::from_secs(10)]);
    assert!(fail(2, 50, 10_000).is_empty(), "two of five are out already");
    assert_eq!(fail(2, 1, 20_000), [Duration::from_secs(10)], "one is back");
    let mut now_ms = 30_000;
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        let ejected = fail(0, 5, now_ms);
        longest = longest.max(ejected[0]);
        now_ms += ejected[0].as_millis() as i64;
    }
    assert_eq!(longest, Duration::from_secs(300));
    assert_eq!(fail(0, 5, now_ms + 300_001), [Duration::from_secs(10)], "it was well for as long");
}

#[test]
fn a_lone_instance_is_never_ejected_and_an_ejected_one_is_better_than_none() {
    let alone = instance_set(LoadBalancingPolicy::Edge, vec![made("a"), made("b").status(Status::Down)]);
    assert!((0..20).all(|_| alone.note_outcome(&alone.instances[0], Outcome::Bad, 0).is_none()));
    let two = instance_set(LoadBalancingPolicy::Edge, vec![made("a"), made("b")]);
    (0..5).for_each(|_| _ = two.note_outcome(&two.instances[0], Outcome::Bad, 0));
    let lease = two.pick(&SelectionInput::default(), |one| one.spec.id.as_str() == "b").unwrap();
    assert_eq!(lease.instance().spec.id.as_str(), "a");
}

/// What an instance costs by its policy, written anew.
fn naive(service: &Service, instance: &Instance, input: &SelectionInput<'_>) -> (bool, f64) {
    let spec = &instance.spec;
    let same = |region: Option<&Region>| region.is_some() && spec.region.as_ref() == region;
    let distance = match () {
        () if input.country.is_some() && spec.country == input.country => 0.0,
        () if same(input.region) => 1.0,
        () if same(input.gateway_region) => 2.0,
        () => 3.0,
    };
    let load = f64::from(instance.live.in_flight());
    let weight = f64::from(spec.weight);
    let cost = match service.definition.policy {
        LoadBalancingPolicy::Edge | LoadBalancingPolicy::Sticky => {
            distance * 100.0 + load / weight / f64::from(spec.soft_limit.max(1))
        }
        LoadBalancingPolicy::LeastConn => load / weight,
        LoadBalancingPolicy::RoundRobin | LoadBalancingPolicy::Hash => 0.0,
    };
    (spec.soft_limit != 0 && instance.live.in_flight() >= spec.soft_limit, cost)
}

#[test]
fn no_pick_in_any_fleet_is_dead_ejected_full_or_dearer_than_another() {
    let regions = ["eu", "us", "ap"].map(|name| Region::try_new(name).unwrap());
    let countries = ["DE", "US", "JP", "FR"];
    for seed in 0..3_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let policy = [
            LoadBalancingPolicy::Edge,
            LoadBalancingPolicy::RoundRobin,
            LoadBalancingPolicy::LeastConn,
            LoadBalancingPolicy::Hash,
        ][rng.usize(..4)];
        let count = if rng.bool() { rng.usize(1..=16) } else { rng.usize(17..80) };
        let all = (0..count).map(|number| {
            let status = [Status::Up, Status::Up, Status::Unknown, Status::Down][rng.usize(..4)];
            let locality = (regions[rng.usize(..3)].as_str(), countries[rng.usize(..4)]);
            let (soft, hard) = (rng.u32(..6), rng.u32(..9));
            let busy = if hard == 0 { rng.u32(..10) } else { rng.u32(..=hard) };
            made(&format!("i{number:02}"))
                .weight(rng.u8(1..))
                .at(locality.0, locality.1)
                .limits(soft, hard)
                .busy(busy)
                .status(status)
        });
        let service = instance_set(policy, all.collect());
        for instance in &service.instances {
            if rng.u8(..6) == 0 {
                (0..5).for_each(|_| _ = service.note_outcome(instance, Outcome::Bad, 0));
            }
        }
        let input = SelectionInput {
            country: rng.bool().then(|| Country::try_new(countries[rng.usize(..4)]).unwrap()),
            region: rng.bool().then(|| &regions[rng.usize(..3)]),
            gateway_region: rng.bool().then(|| &regions[rng.usize(..3)]),
            key: rng.u64(..),
            random: rng.u64(..),
            ..SelectionInput::default()
        };
        let living = || service.instances.iter().filter(|one| one.status != Status::Down);
        let well = || living().filter(|one| one.live.ejected_until_ms(0).is_none());
        let has_room = |one: &&Arc<Instance>| one.spec.hard_limit == 0 || one.live.in_flight() < one.spec.hard_limit;
        let proven = || well().filter(|one| one.status == Status::Up);
        let candidates: Vec<_> = match () {
            () if proven().any(|one| has_room(&one)) => proven().collect(),
            () if well().count() > 0 => well().collect(),
            () => living().collect(),
        };
        let free: Vec<_> = candidates.iter().copied().filter(has_room).collect();
        let costs: Vec<_> = free.iter().map(|one| naive(&service, one, &input)).collect();
        let picked = match service.pick(&input, |_| false) {
            Ok(lease) => Arc::clone(lease.instance()),
            Err(none) => {
                assert!(free.is_empty(), "seed {seed}: {none:?} though some are free");
                assert_eq!(none == NoInstance::Full, !candidates.is_empty(), "seed {seed}");
                continue;
            }
        };
        let at = free.iter().position(|one| Arc::ptr_eq(one, &picked));
        let at = at.unwrap_or_else(|| panic!("seed {seed}: {} is no free candidate", picked.spec.id));
        if policy == LoadBalancingPolicy::Hash {
            continue;
        }
        let best = costs.iter().copied().reduce(|one, other| if other < one { other } else { one }).unwrap();
        if count <= SCANNED {
            assert_eq!(costs[at], best, "seed {seed}");
        } else if costs.iter().any(|(is_at_soft, _)| !is_at_soft) {
            assert!(!costs[at].0, "seed {seed}: at its soft limit though others are below");
        }
    }
}

#[test]
fn of_two_drawn_the_dearer_one_is_never_taken() {
    for seed in 0..2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let all = (0..40).map(|number| made(&format!("i{number:02}")).weight(rng.u8(1..10)).busy(rng.u32(..50)));
        let service = instance_set(LoadBalancingPolicy::Edge, all.collect());
        let input = SelectionInput { random: rng.u64(..), ..SelectionInput::default() };
        let choice = Choice { service: &service, input: &input, is_candidate: |_: &Instance| true };
        let all = service.instance_set().all();
        let cost = |found| match found {
            Found::At(position, _) => naive(&service, &service.instances[position], &input).1 - 300.0,
            other => panic!("{other:?}"),
        };
        let drawn = [choice.draw(all, 0, None), choice.draw(all, 1, None)].map(cost);
        let taken = cost(choice.best());
        assert!(drawn.iter().all(|one| taken <= *one + 1e-9), "seed {seed}: {taken} of {drawn:?}");
    }
}

#[test]
fn what_is_in_flight_is_what_is_held_whatever_becomes_of_instances_meanwhile() {
    for seed in 0..500 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let policies = [
            LoadBalancingPolicy::Edge,
            LoadBalancingPolicy::RoundRobin,
            LoadBalancingPolicy::LeastConn,
            LoadBalancingPolicy::Hash,
            LoadBalancingPolicy::Sticky,
        ];
        let count = if rng.bool() { rng.usize(1..=16) } else { rng.usize(17..40) };
        let policy = policies[rng.usize(..policies.len())];
        let all = (0..count).map(|number| made(&format!("i{number:02}")).limits(rng.u32(..4), rng.u32(..6)));
        let mut service = instance_set(policy, all.collect());
        let every: Vec<_> = service.instances.to_vec();
        let mut held: Vec<Lease> = Vec::new();
        for now_ms in 0..200 {
            let one = Arc::clone(&every[rng.usize(..count)]);
            match rng.usize(..8) {
                0..=2 => {
                    let preferred = rng.bool().then_some(&one.spec.id);
                    let input = SelectionInput {
                        random: rng.u64(..),
                        key: rng.u64(..),
                        now_ms,
                        preferred,
                        ..SelectionInput::default()
                    };
                    // Now and then all but one were tried before.
                    let is_retry = rng.u8(..4) == 0;
                    held.extend(service.pick(&input, |other| is_retry && other.spec.id != one.spec.id));
                }
                3 if !held.is_empty() => drop(held.swap_remove(rng.usize(..held.len()))),
                4 => (0..5).for_each(|_| _ = service.note_outcome(&one, Outcome::Bad, now_ms)),
                5 => one.live.set_draining(rng.bool()),
                // Another snapshot, with other instances and statuses: a request keeps its slot at one that left.
                6 => {
                    let mut staying = Vec::new();
                    for one in every.iter().filter(|_| rng.u8(..5) > 0).collect::<Vec<_>>() {
                        staying.push(Arc::new(Instance {
                            spec: Arc::clone(&one.spec),
                            addresses: Arc::clone(&one.addresses),
                            status: [Status::Up, Status::Unknown, Status::Down][rng.usize(..3)],
                            soft_limit: one.soft_limit,
                            hard_limit: one.hard_limit,
                            pool_group: one.pool_group,
                            live: Arc::clone(&one.live),
                        }));
                    }
                    service.instances = staying.into();
                    service.instance_set = Arc::default();
                }
                _ => {}
            }
            for one in &every {
                let own = held.iter().filter(|lease| lease.instance().spec.id == one.spec.id).count() as u32;
                assert_eq!(one.live.in_flight(), own, "seed {seed}: {}", one.spec.id);
                assert!(one.spec.hard_limit == 0 || own <= one.spec.hard_limit, "seed {seed}: {}", one.spec.id);
            }
        }
        drop(held);
        assert!(every.iter().all(|one| one.live.in_flight() == 0), "seed {seed}");
    }
}
