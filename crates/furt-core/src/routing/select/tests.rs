//! Choosing: the rotation by weight, who is a candidate, and that a hard limit holds under threads.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::model::{Definition, InstanceId, InstanceSpec, ServiceName, Status, UpstreamUrl};
use crate::routing::{InstanceLive, PoolGroup, ServiceKind};

/// Nothing is known of the request.
const NOBODY: SelectionInput<'static> =
    SelectionInput { now_ms: 0, country: None, region: None, gateway_region: None, key: 0, preferred: None, random: 0 };

/// An instance as `(id, status, weight, hard limit)`.
type Given<'a> = (&'a str, Status, u8, u32);

fn service(given: &[Given<'_>]) -> Service {
    let url = UpstreamUrl::try_new("http://127.0.0.1:9000").unwrap();
    let instance = |&(id, status, weight, hard_limit): &Given<'_>| {
        let spec = InstanceSpec {
            health_endpoint: None,
            weight,
            hard_limit,
            ..InstanceSpec::new(InstanceId::try_new(id).unwrap(), url.clone())
        };
        Arc::new(Instance {
            soft_limit: spec.soft_limit,
            hard_limit: spec.hard_limit,
            spec: Arc::new(spec),
            addresses: Arc::from([url.socket_address().unwrap()]),
            status,
            pool_group: PoolGroup::default(),
            live: Arc::new(InstanceLive::default()),
        })
    };
    let definition = Definition::new(ServiceName::try_new("a").unwrap());
    Service::new(Arc::new(definition), ServiceKind::Registered, Status::Up, given.iter().map(instance).collect())
}

fn id(lease: &Lease) -> &str {
    lease.instance().spec.id.as_str()
}

/// Which instances were picked, `rotations` times, each slot given back at once.
fn rotations(service: &Service, rotations: usize) -> String {
    (0..rotations).map(|_| id(&service.pick(&NOBODY, |_| false).unwrap()).to_owned()).collect()
}

#[test]
fn every_round_gives_each_instance_exactly_its_weight() {
    for weights in [&[3, 1][..], &[1, 1, 1], &[1, 2, 3, 4], &[255, 1], &[100, 100], &[7], &[30, 10, 2, 255]] {
        let names = ["a", "b", "c", "d"];
        let given: Vec<_> = weights.iter().zip(names).map(|(&weight, name)| (name, Status::Up, weight, 0)).collect();
        let service = service(&given);
        let total = weights.iter().map(|&weight| usize::from(weight)).sum();
        // A round may begin anywhere.
        rotations(&service, 5);
        for _ in 0..3 {
            let round = rotations(&service, total);
            for (&weight, name) in weights.iter().zip(names) {
                assert_eq!(round.matches(name).count(), usize::from(weight), "{name} of {weights:?}: {round}");
            }
        }
    }
}

#[test]
fn copies_go_to_instances_that_are_up_in_turn_and_take_no_slot() {
    use Status::{Down, Unknown, Up};
    let all = |service: &Service| -> String {
        (0..4).filter_map(|number| service.up_instance(number)).map(|instance| instance.spec.id.as_str()).collect()
    };
    for (given, expected) in [
        (&[("a", Up, 1, 0), ("b", Up, 1, 0)][..], "abab"),
        (&[("a", Down, 1, 0), ("b", Up, 1, 0), ("c", Unknown, 1, 0)], "bbbb"),
        (&[("a", Down, 1, 0), ("b", Unknown, 1, 0)], ""),
        (&[], ""),
    ] {
        assert_eq!(all(&service(given)), expected, "{given:?}");
    }
    let full = service(&[("a", Up, 1, 1)]);
    let _lease = full.pick(&NOBODY, |_| false).unwrap();
    assert_eq!((all(&full).as_str(), full.instances[0].live.in_flight()), ("aaaa", 1), "limits are of requests alone");
    full.instances[0].live.is_draining.store(true, Ordering::SeqCst);
    assert_eq!(all(&full), "", "one that drains is left alone");
    let suspended = Service { suspended: Some("no grant".into()), ..service(&[("a", Up, 1, 0)]) };
    assert_eq!(all(&suspended), "");
}

#[test]
fn a_heavy_instance_is_not_asked_many_times_in_a_row() {
    let longest = |round: &str, name: &str| {
        round.split(|other: char| !name.contains(other)).map(str::len).max().unwrap_or_default()
    };
    for (weights, name, most) in [([100, 100], "a", 2), ([100, 100], "b", 2), ([200, 100], "a", 4), ([60, 20], "a", 5)]
    {
        let service = service(&[("a", Status::Up, weights[0], 0), ("b", Status::Up, weights[1], 0)]);
        let round = rotations(&service, 600);
        assert!(longest(&round, name) <= most, "{weights:?}: {round}");
    }
}

#[test]
fn a_new_instance_is_asked_once_it_is_up_or_no_proven_one_can_be_asked() {
    let proven = service(&[
        ("a", Status::Up, 1, 2),
        ("b", Status::Unknown, 1, 0),
        ("c", Status::Unknown, 1, 0),
        ("d", Status::Down, 1, 0),
    ]);
    proven.instances[2].live.note_health(1, false);
    assert_eq!(rotations(&proven, 4), "aaaa");
    assert!(proven.takes_requests(&proven.instances[1].spec.id, 0), "who stays with it is not sent elsewhere for good");
    let held = [(); 2].map(|()| proven.pick(&NOBODY, |_| false).unwrap());
    assert_eq!((rotations(&proven, 3), proven.refusal_reason(0)), ("bbb".to_owned(), None), "the proven one is full");
    drop(held);
    assert_eq!(id(&proven.pick(&NOBODY, |one| one.spec.id.as_str() == "a").unwrap()), "b", "the proven one was tried");
    proven.instances[0].live.set_draining(true);
    assert_eq!(rotations(&proven, 3), "bbb", "the proven one is draining");
    let all_new = service(&[("a", Status::Unknown, 1, 0), ("b", Status::Unknown, 1, 0), ("c", Status::Unknown, 1, 0)]);
    all_new.instances[2].live.note_health(1, false);
    let asked = rotations(&all_new, 10);
    assert_eq!((asked.matches('a').count(), asked.matches('b').count()), (5, 5), "{asked}");
}

#[test]
fn what_was_up_before_a_restart_is_asked_as_if_it_were_up() {
    let restored = service(&[("a", Status::Up, 1, 0), ("b", Status::Unknown, 1, 0), ("c", Status::Unknown, 1, 0)]);
    restored.instances[1].live.note_restored_up(true);
    let asked = rotations(&restored, 10);
    assert_eq!((asked.matches('a').count(), asked.matches('b').count()), (5, 5), "{asked}");
}

#[test]
fn an_unknown_instance_with_a_failed_probe_is_asked_when_there_is_no_better_one() {
    let doubtful = service(&[("a", Status::Down, 1, 0), ("b", Status::Unknown, 1, 0)]);
    doubtful.instances[1].live.note_health(2, false);
    assert_eq!(rotations(&doubtful, 3), "bbb");
    let mixed = service(&[("a", Status::Up, 1, 0), ("b", Status::Unknown, 1, 0)]);
    mixed.instances[1].live.note_health(2, false);
    assert_eq!(id(&mixed.pick(&NOBODY, |one| one.spec.id.as_str() == "a").unwrap()), "b", "the better one was tried");
}

#[test]
fn a_draining_instance_is_not_asked_and_keeps_what_it_has() {
    let service = service(&[("a", Status::Up, 9, 0), ("b", Status::Up, 1, 0), ("c", Status::Up, 1, 0)]);
    let held = service.pick(&NOBODY, |one| one.spec.id.as_str() != "a").unwrap();
    service.instances[0].live.set_draining(true);
    let asked = rotations(&service, 20);
    assert_eq!((asked.matches('a').count(), asked.matches('b').count()), (0, 10), "{asked}");
    assert_eq!(
        id(&service.pick(&NOBODY, |one| one.spec.id.as_str() == "b").unwrap()),
        "c",
        "nor is it when another was tried"
    );
    assert_eq!(service.instances[0].live.in_flight(), 1);
    assert!(!service.is_draining() && service.refusal_reason(0).is_none());
    drop(held);
    service.instances[0].live.set_draining(false);
    assert!(rotations(&service, 11).contains('a'));
}

#[test]
fn where_all_that_could_be_asked_are_draining_that_is_the_reason() {
    let service = service(&[("a", Status::Up, 1, 1), ("b", Status::Down, 1, 0), ("c", Status::Unknown, 1, 0)]);
    service.instances[2].live.note_health(2, false);
    service.instances[2].live.set_draining(true);
    let held = service.pick(&NOBODY, |_| false).unwrap();
    assert_eq!(service.pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Full, "one is left, and it is full");
    assert_eq!((service.is_draining(), service.refusal_reason(0)), (false, Some(NoInstance::Full)));
    drop(held);
    service.instances[0].live.set_draining(true);
    assert_eq!(service.pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Draining);
    assert_eq!((service.is_draining(), service.refusal_reason(0)), (true, Some(NoInstance::Draining)));
    let down = self::service(&[("a", Status::Down, 1, 0)]);
    down.instances[0].live.set_draining(true);
    assert_eq!(
        (down.is_draining(), down.refusal_reason(0)),
        (false, Some(NoInstance::Unavailable)),
        "it is DOWN before all"
    );
}

/// Once the mark is set and nothing is in flight, nothing comes any more, whatever the others were about to do.
#[test]
fn who_saw_a_draining_instance_without_requests_has_seen_the_last_one() {
    for _ in 0..200 {
        let service = service(&[("a", Status::Up, 1, 0)]);
        let live = &service.instances[0].live;
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Ok(lease) = service.pick(&NOBODY, |_| false) {
                        assert!(!is_over.load(Ordering::SeqCst), "a request came late");
                        drop(lease);
                    }
                });
            }
            live.set_draining(true);
            while live.in_flight() > 0 {
                std::hint::spin_loop();
            }
            is_over.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn a_lease_holds_a_slot_until_it_is_dropped() {
    let service = service(&[("a", Status::Up, 1, 1)]);
    let lease = service.pick(&NOBODY, |_| false).unwrap();
    assert_eq!(service.instances[0].live.in_flight(), 1);
    assert_eq!(service.pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Full);
    assert_eq!(service.instances[0].live.in_flight(), 1, "a refused request holds nothing");
    drop(lease);
    assert_eq!(service.instances[0].live.in_flight(), 0);
    assert!(service.pick(&NOBODY, |_| false).is_ok());
}

#[test]
fn a_full_instance_leaves_its_share_to_the_others() {
    let service = service(&[("a", Status::Up, 9, 2), ("b", Status::Up, 1, 3)]);
    let mut leases: Vec<_> = (0..5).map(|_| service.pick(&NOBODY, |_| false).unwrap()).collect();
    assert_eq!(leases.iter().filter(|lease| id(lease) == "a").count(), 2);
    assert_eq!(service.pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Full);
    leases.retain(|lease| id(lease) != "b");
    assert_eq!(id(&service.pick(&NOBODY, |_| false).unwrap()), "b");
}

#[test]
fn what_was_tried_is_left_out_and_full_differs_from_unavailable() {
    let all = service(&[("a", Status::Up, 1, 0), ("b", Status::Up, 1, 1)]);
    for _ in 0..4 {
        assert_eq!(id(&all.pick(&NOBODY, |one| one.spec.id.as_str() == "a").unwrap()), "b");
    }
    assert_eq!(all.pick(&NOBODY, |_| true).unwrap_err(), NoInstance::Unavailable);
    let _held = all.pick(&NOBODY, |one| one.spec.id.as_str() == "a").unwrap();
    assert_eq!(all.pick(&NOBODY, |one| one.spec.id.as_str() == "a").unwrap_err(), NoInstance::Full);
    assert_eq!(service(&[]).pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Unavailable);
    assert_eq!(service(&[("a", Status::Down, 1, 0)]).pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Unavailable);
}

#[test]
fn while_all_fresh_instances_are_full_a_doubtful_one_is_not_asked_and_the_reason_says_so() {
    let service = service(&[("a", Status::Up, 1, 1), ("b", Status::Unknown, 1, 0)]);
    service.instances[1].live.note_health(2, false);
    assert_eq!(service.refusal_reason(0), None);
    let held = service.pick(&NOBODY, |_| false).unwrap();
    assert_eq!(id(&held), "a");
    assert_eq!(service.pick(&NOBODY, |_| false).unwrap_err(), NoInstance::Full);
    assert_eq!(service.refusal_reason(0), Some(NoInstance::Full));
}

#[test]
fn an_instance_whose_name_does_not_resolve_is_no_candidate() {
    let mut service = service(&[("a", Status::Up, 1, 0), ("b", Status::Up, 1, 0)]);
    let nowhere = Instance {
        spec: Arc::clone(&service.instances[0].spec),
        addresses: Arc::from([]),
        status: Status::Up,
        soft_limit: 0,
        hard_limit: 0,
        pool_group: PoolGroup::default(),
        live: Arc::default(),
    };
    service.instances[0] = Arc::new(nowhere);
    assert_eq!(rotations(&service, 3), "bbb");
}

#[test]
fn a_hard_limit_is_never_exceeded_under_threads() {
    let service = service(&[("a", Status::Up, 3, 3), ("b", Status::Up, 1, 2)]);
    let held = [AtomicU32::new(0), AtomicU32::new(0)];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let Ok(lease) = service.pick(&NOBODY, |_| false) else { continue };
                    let (at, limit) = if id(&lease) == "a" { (0, 3) } else { (1, 2) };
                    assert!(held[at].fetch_add(1, Ordering::SeqCst) < limit);
                    std::thread::yield_now();
                    held[at].fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(service.instances.iter().all(|one| one.live.in_flight() == 0));
}
