//! Whatever strangers put into etcd: nothing ends the process, and what is taken over is what furt could have stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::follow::{Group, Put, follow};
use super::layout::{Key, Layout};
use super::mirror::{Lease, Mirror};
use crate::store::conformance::{grant, maintenance, split};
use crate::store::records;
use furt_core::MemoryStore;
use furt_core::model::{DrainMark, DrainUntil, InstanceId, KeyName, ServiceName, Sha256Digest};
use furt_core::ports::Store as _;
use furt_core::registry::{Change, InstanceRef};

const CASES: u64 = 3_000;
/// Groups that follow one another in a case.
const GROUPS: u64 = 4;

fn at(service: &str, id: &str) -> InstanceRef {
    InstanceRef { service: ServiceName::try_new(service).unwrap(), id: InstanceId::try_new(id).unwrap() }
}

/// Keys and values as furt stores them.
fn stored(layout: &Layout) -> Vec<(Vec<u8>, Vec<u8>)> {
    let definition = r#"{"service":"s","host":"a.example","routes":[{"method":"GET","path":"/s/:id","permission":"s:read"}],"policy":"edge","hash_key":null,"slow_start_ms":null,"connect_timeout_ms":null,"read_timeout_ms":null,"metadata":{"a":"1"},"revision":0,"registered_from":"10.0.0.1"}"#;
    let instance = r#"{"instance":"i","service":"s","url":"http://10.0.0.9:80","protocol":"http1","tls_name":null,"health_endpoint":"/health","heartbeat_ttl_ms":3000,"version":"2.4.0","weight":1,"soft_limit":0,"hard_limit":0,"region":null,"country":null,"addresses":["10.0.0.9:80"],"registered_from":"10.0.0.1"}"#;
    let digest = Sha256Digest::of(b"one");
    let api_key = format!(
        r#"{{"name":"k","sha256":"{digest}","permissions":["*"],"allow_from":["10.0.0.0/8"],"rate":"5/s","burst":9,"created_ms":1,"expires_ms":null,"old":[]}}"#
    );
    let mark = Arc::new(DrainMark { until: DrainUntil::Registration, by: None, began_ms: Some(1), incarnation: None });
    let undone = Arc::new(DrainMark { until: DrainUntil::Undo, ..(*mark).clone() });
    let Change::PutMaintenance(scope, maintenance) = maintenance("s", "one") else { unreachable!() };
    let Change::PutSplit(service, split) = split("s", &[("2", 5.0), ("1", 0.25)]) else { unreachable!() };
    let Change::PutGrant(granted, grant) = grant("s", "/s/*") else { unreachable!() };
    let one = at("s", "i");
    let all = [
        (Key::Definition(one.service.clone()), definition.as_bytes().to_vec()),
        (Key::Instance(one.clone()), instance.as_bytes().to_vec()),
        (Key::Instance(at("s", "j")), instance.replace("\"i\"", "\"j\"").into_bytes()),
        (Key::Ttl(one.clone()), b"3000".to_vec()),
        (Key::Drain(one.clone()), records::Drain::of_instance(&one.id, &mark).to_json()),
        (Key::Hold(one.clone()), records::Drain::of_id(&one, &undone).to_json()),
        (Key::Maintenance(scope.clone()), records::Maintenance::from_core(&scope, &maintenance).to_json()),
        (Key::Split(service.clone()), records::Split::from_core(&service, &split).to_json()),
        (Key::Grant(granted.clone()), records::Grant::from_core(&granted, &grant).to_json()),
        (Key::ApiKey(KeyName::try_new("k").unwrap()), api_key.into_bytes()),
        (Key::Digest(digest), b"k".to_vec()),
        (Key::Busy(one, "g".to_owned()), b"3".to_vec()),
        (Key::Gateway("g".to_owned()), br#"{"write":1,"name":"g","version":"1","internal":null}"#.to_vec()),
    ];
    all.into_iter().map(|(key, value)| (layout.key(&key).into_bytes(), value)).collect()
}

/// A few bytes of it are others, more, or fewer.
fn mangle(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const PIECES: [&[u8]; 12] = [
        b"null",
        b"-1",
        b"1e99",
        b"\"\"",
        b"{}",
        b"[]",
        b"\"reads\":4,",
        b"/",
        b"\xff",
        b"\\u0000",
        b"99999999999",
        b",",
    ];
    for _ in 0..rng.usize(1..4) {
        let place = rng.usize(..=bytes.len());
        match rng.u8(..5) {
            0 if place < bytes.len() => bytes[place] = rng.u8(..),
            1 => drop(bytes.splice(place..place, PIECES[rng.usize(..PIECES.len())].iter().copied())),
            2 => drop(bytes.drain(place..(place + rng.usize(..12)).min(bytes.len()))),
            3 => bytes.truncate(place),
            _ => bytes.extend_from_within(place..),
        }
    }
}

/// As furt would store it, it is read as what it was taken for.
fn reads_again(change: &Change) {
    match change {
        Change::PutDefinition(record) => {
            let name = record.definition.service.as_str();
            let stored = records::Definition::from_core(record).to_json();
            assert_eq!(records::Definition::read(name, &stored).unwrap().value, *record);
        }
        Change::PutInstance(record) => {
            let stored = records::Instance::from_core(record).to_json();
            assert_eq!(records::Instance::read(record.spec.id.as_str(), &stored).unwrap().value, *record);
        }
        Change::PutKey(api_key) => {
            let stored = records::Key::from_core(api_key).to_json();
            assert_eq!(records::Key::read(api_key.name().as_str(), &stored).unwrap().value, *api_key);
        }
        Change::PutDraining(instance, mark) => {
            let stored = records::Drain::of_instance(&instance.id, mark).to_json();
            assert_eq!(records::Drain::read(instance.id.as_str(), &stored).unwrap().value.1, *mark);
        }
        Change::PutHold(instance, mark) => {
            let stored = records::Drain::of_id(instance, mark).to_json();
            let read = records::Drain::read_hold(&instance.to_string(), &stored).unwrap().value;
            assert_eq!(read, (instance.clone(), Arc::clone(mark)));
        }
        Change::PutMaintenance(scope, maintenance) => {
            let stored = records::Maintenance::from_core(scope, maintenance).to_json();
            let read = records::Maintenance::read(&scope.to_string(), &stored).unwrap().value;
            assert_eq!(read, (scope.clone(), Arc::clone(maintenance)));
        }
        Change::PutSplit(service, split) => {
            let stored = records::Split::from_core(service, split).to_json();
            let read = records::Split::read(service.as_str(), &stored).unwrap().value;
            assert_eq!(read, (service.clone(), Arc::clone(split)));
        }
        Change::PutGrant(service, grant) => {
            let stored = records::Grant::from_core(service, grant).to_json();
            let read = records::Grant::read(service.as_str(), &stored).unwrap().value;
            assert_eq!(read, (service.clone(), Arc::clone(grant)));
        }
        _ => {}
    }
}

#[test]
fn whatever_is_stored_is_refused_or_is_what_furt_could_have_stored() {
    let (layout, records) = (Layout::new("test"), stored(&Layout::new("test")));
    let puts = records.iter().map(|(key, value)| {
        let (key, value) = (key.clone(), value.clone());
        Put { key, value, created: 1, modified: 1, lease: None }
    });
    let whole = Group { revision: 1, puts: puts.collect(), deletes: Vec::new() };
    let followed = follow(&whole, &mut Mirror::default(), &layout, &|_| None, true);
    assert!(followed.refused.is_empty(), "{:?}", followed.refused);
    let (mut taken_over, mut refused) = (0, 0);
    for seed in 0..CASES {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut mirror, mut store) = (Mirror::default(), MemoryStore::default());
        let mut misnamed = BTreeSet::new();
        for revision in 1..=GROUPS {
            let mut group = Group { revision, ..Group::default() };
            for (key, value) in &records {
                let (mut key, mut value) = (key.clone(), value.clone());
                match rng.u8(..8) {
                    0 => mangle(&mut rng, &mut key),
                    1 => mangle(&mut rng, &mut value),
                    2 => value.clone_from(&records[rng.usize(..records.len())].1),
                    3 => {
                        group.deletes.push(key);
                        continue;
                    }
                    _ => {}
                }
                let lease = rng.bool().then_some(Lease(7));
                group.puts.push(Put { key, value, created: revision, modified: revision, lease });
            }
            let followed = follow(&group, &mut mirror, &layout, &|_| None, rng.bool());
            taken_over += followed.changes.len();
            refused += followed.refused.len();
            for incoming in &followed.changes {
                assert_eq!(incoming.change.check(), Ok(()), "seed {seed}: {:?}", incoming.change);
                reads_again(&incoming.change);
            }
            let changes: Vec<_> = followed.changes.into_iter().map(|incoming| incoming.change).collect();
            store.apply(&changes).unwrap();
            misnamed.retain(|key| !group.deletes.contains(key));
            misnamed.extend(group.puts.into_iter().map(|put| put.key).filter(|key| layout.is_misnamed(key)));
            let counted = mirror.entries().filter(|(_, entry)| entry.is_refused()).count();
            assert_eq!(mirror.refused(), counted + misnamed.len(), "seed {seed}");
        }
        store.load().unwrap();
    }
    assert!(taken_over > 20_000 && refused > 10_000, "{taken_over} taken over, {refused} refused");
}
