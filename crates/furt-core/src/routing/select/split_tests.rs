//! Picks within the sides of a split: each side is as a service of its own.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::{InstanceLive, Outcome, PoolGroup, ServiceKind, ServiceSplit};
use super::*;
use crate::live::{Verdict, status_class};
use crate::model::{
    Definition, InstanceSpec, Percentage, ServiceName, Side, Split, SplitSpec, SplitVersion, Status, UpstreamUrl,
    Version,
};

const NEW: Side = Side::Version(0);

fn split() -> Arc<Split> {
    let share = Percentage::try_percent(30.0).unwrap();
    let versions = vec![SplitVersion { version: Version::try_new("2").unwrap(), share }];
    let spec = SplitSpec { versions, header: None, strict: false };
    Arc::new(Split { spec, by: std::net::IpAddr::from([127, 0, 0, 1]).into(), set_ms: 0 })
}

/// Instances as `id`, `version`, `status`.
fn service(policy: LoadBalancingPolicy, given: &[(&str, &str, Status)]) -> Service {
    let instance = |&(id, version, status): &(&str, &str, Status)| {
        let url = UpstreamUrl::try_new("http://127.0.0.1:80").unwrap();
        let version = Version::try_new(version).ok();
        let spec = InstanceSpec { version, ..InstanceSpec::new(InstanceId::try_new(id).unwrap(), url) };
        Arc::new(Instance {
            addresses: Arc::from([spec.url.socket_address().unwrap()]),
            soft_limit: 0,
            hard_limit: 0,
            spec: Arc::new(spec),
            status,
            pool_group: PoolGroup::default(),
            live: Arc::new(InstanceLive::default()),
        })
    };
    let definition = Definition { policy, ..Definition::new(ServiceName::try_new("a").unwrap()) };
    let mut service =
        Service::new(Arc::new(definition), ServiceKind::Registered, Status::Up, given.iter().map(instance).collect());
    service.split = Some(Box::new(ServiceSplit::new(&split(), &service, None)));
    service
}

const FOUR: [(&str, &str, Status); 4] =
    [("a", "", Status::Up), ("b", "2", Status::Up), ("c", "", Status::Up), ("d", "2", Status::Up)];

fn side(service: &Service, side: Side) -> &Service {
    service.split.as_ref().unwrap().side(side)
}

fn picked(service: &Service, input: &SelectionInput<'_>) -> Result<String, NoInstance> {
    service.pick_sound(input, |_| false).map(|lease| lease.instance().spec.id.to_string())
}

#[test]
fn every_policy_chooses_within_the_side() {
    for policy in [
        LoadBalancingPolicy::Edge,
        LoadBalancingPolicy::RoundRobin,
        LoadBalancingPolicy::LeastConn,
        LoadBalancingPolicy::Hash,
        LoadBalancingPolicy::Sticky,
    ] {
        let service = service(policy, &FOUR);
        for (of, expected) in [(NEW, ["b", "d"]), (Side::Stable, ["a", "c"])] {
            let input = |number: u64| SelectionInput {
                key: crate::routing::hash(&number.to_le_bytes()),
                random: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                ..SelectionInput::default()
            };
            let seen: BTreeSet<_> =
                (0..200).map(|number| picked(side(&service, of), &input(number)).unwrap()).collect();
            assert!(seen.iter().eq(expected), "{policy:?}: {seen:?}");
        }
    }
}

/// One rotation for both sides would give each side every other number, and so one of two instances alone.
#[test]
fn sides_that_are_asked_in_turn_rotate_each_by_itself() {
    let service = service(LoadBalancingPolicy::RoundRobin, &FOUR);
    let mut counts = std::collections::BTreeMap::<_, usize>::new();
    for _ in 0..50 {
        for of in [NEW, Side::Stable] {
            *counts.entry(picked(side(&service, of), &SelectionInput::default()).unwrap()).or_default() += 1;
        }
    }
    assert!(counts.values().all(|&count| count == 25), "{counts:?}");
}

#[test]
fn what_a_client_stays_with_counts_on_its_side_alone() {
    let service = service(LoadBalancingPolicy::Sticky, &FOUR);
    let (own, other) = (InstanceId::try_new("d").unwrap(), InstanceId::try_new("a").unwrap());
    for _ in 0..10 {
        let input = SelectionInput { preferred: Some(&own), ..SelectionInput::default() };
        assert_eq!(picked(side(&service, NEW), &input).unwrap(), "d");
        let input = SelectionInput { preferred: Some(&other), ..SelectionInput::default() };
        assert_ne!(picked(side(&service, NEW), &input).unwrap(), "a");
    }
    assert!(side(&service, NEW).takes_requests(&own, 0) && !side(&service, NEW).takes_requests(&other, 0));
}

#[test]
fn a_side_without_a_sound_instance_has_none_to_give() {
    let nobody = SelectionInput::default();
    let is_none = |service: &Service| picked(side(service, NEW), &nobody).unwrap_err();
    let down = service(LoadBalancingPolicy::Edge, &[("a", "", Status::Up), ("b", "2", Status::Down)]);
    assert_eq!(is_none(&down), NoInstance::Unavailable);
    let absent = service(LoadBalancingPolicy::Edge, &[("a", "", Status::Up)]);
    assert_eq!(is_none(&absent), NoInstance::Unavailable);
    let drained = service(LoadBalancingPolicy::Edge, &FOUR[..2]);
    drained.instances[1].live.is_draining.store(true, Ordering::SeqCst);
    assert_eq!(is_none(&drained), NoInstance::Draining);
    let doubtful = service(LoadBalancingPolicy::Edge, &[("a", "", Status::Up), ("b", "2", Status::Unknown)]);
    assert_eq!(picked(side(&doubtful, NEW), &nobody).unwrap(), "b", "one that is new is sound");
    doubtful.instances[1].live.note_health(1, false);
    assert_eq!(is_none(&doubtful), NoInstance::Unavailable);
    // As a last resort it is there all the same.
    assert!(side(&doubtful, NEW).pick(&nobody, |_| false).is_ok());
    let ejected = service(LoadBalancingPolicy::Edge, &FOUR);
    for number in 0..20 {
        ejected.note_outcome(&ejected.instances[1], Outcome::Bad, number);
    }
    let seen: BTreeSet<_> =
        (0..20).map(|_| picked(side(&ejected, NEW), &SelectionInput { now_ms: 20, ..nobody }).unwrap()).collect();
    assert!(seen.iter().eq(["d"]), "{seen:?}");
}

#[test]
fn what_was_counted_and_made_goes_on_in_the_next_snapshot() {
    let before = service(LoadBalancingPolicy::Hash, &FOUR);
    let counts = |service: &Service| -> Vec<_> {
        let split = service.split.as_ref().unwrap();
        split.traffic().map(|(name, traffic)| (name.to_owned(), traffic.read()[status_class(200)])).collect()
    };
    for at in [0, 1, 3] {
        let outcome = crate::live::Outcome { status: 200, verdict: Verdict::Answered, took: Duration::ZERO };
        before.split.as_ref().unwrap().count(&before.instances[at], outcome);
    }
    assert_eq!(counts(&before), [("2".to_owned(), 2), ("stable".to_owned(), 1)]);
    let after = ServiceSplit::new(&split(), &before, Some(&before));
    let is_same = |of| Arc::ptr_eq(&after.side(of).instance_set, &side(&before, of).instance_set);
    assert!(is_same(NEW) && is_same(Side::Stable));
    let mut again = service(LoadBalancingPolicy::Hash, &FOUR);
    again.split = Some(Box::new(ServiceSplit::new(&split(), &again, Some(&before))));
    assert_eq!(counts(&again), counts(&before));
    let is_same = |of| Arc::ptr_eq(&side(&again, of).instance_set, &side(&before, of).instance_set);
    assert!(!is_same(NEW) && !is_same(Side::Stable), "other instances");
}
