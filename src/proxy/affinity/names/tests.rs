use std::collections::BTreeSet;

use super::*;
use crate::affinity_keys::{AffinitySecret, KeySource};
use furt_core::model::{Definition, InstanceSpec, Status, UpstreamUrl};
use furt_core::routing::{Instance, InstanceLive, PoolGroup, ServiceKind};

const PERIOD_MS: i64 = 12 * 3600 * 1000;

fn keys() -> KeySource {
    KeySource::new(AffinitySecret::from_hex("5a".repeat(32).as_bytes()).unwrap(), 0)
}

fn service(name: &str, ids: &[&str]) -> Service {
    let instance = |id: &&str| {
        let spec = InstanceSpec::new(InstanceId::try_new(id).unwrap(), UpstreamUrl::try_new("http://a").unwrap());
        Arc::new(Instance {
            spec: Arc::new(spec),
            addresses: Arc::default(),
            status: Status::Up,
            soft_limit: 0,
            hard_limit: 0,
            pool_group: PoolGroup::default(),
            live: Arc::new(InstanceLive::default()),
        })
    };
    Service::new(
        Arc::new(Definition::new(ServiceName::try_new(name).unwrap())),
        ServiceKind::Registered,
        Status::Up,
        ids.iter().map(instance).collect(),
    )
}

#[test]
fn each_instance_has_a_name_of_its_own_that_says_nothing() {
    let (shop, other) = (service("shop", &["shop", "shop-1", "shop-2"]), service("shop2", &["shop", "shop-1"]));
    let (names, keys) = (CachedNames::default(), keys().at(0));
    let (of_shop, of_other) = (names.of(&shop, &keys), names.of(&other, &keys));
    let tokens: Vec<_> = (0..3).map(|at| of_shop.token(at)).chain((0..2).map(|at| of_other.token(at))).collect();
    let rest: BTreeSet<_> = tokens.iter().map(|token| &token.as_str()[MARK_LEN..]).collect();
    assert_eq!(rest.len(), 5, "an id of two services has two names");
    for (at, token) in tokens.iter().enumerate().take(3) {
        assert_eq!(token.0[..MARK_LEN], mark(&shop));
        assert_eq!(of_shop.find(&token.0), Some(Named { position: at, age: Age::Present }));
        assert_eq!(of_other.find(&token.0), None);
    }
    assert_ne!(mark(&shop), mark(&other));
}

#[test]
fn no_other_token_names_an_instance() {
    let shop = service("shop", &["a", "b"]);
    let names = CachedNames::default().of(&shop, &keys().at(0));
    let good = names.token(0).0;
    for at in 0..TOKEN_LEN {
        for with in *b"AZaz09-_" {
            let mut bent = good;
            bent[at] = with;
            assert_eq!(names.find(&bent).is_some(), bent == good, "{at}");
        }
    }
}

#[test]
fn a_name_is_known_for_two_periods_more_and_then_another_one() {
    let (shop, source, names) = (service("shop", &["a", "b"]), keys(), CachedNames::default());
    let token = names.of(&shop, &source.at(0)).token(1);
    let known = |period: i64| names.of(&shop, &source.at(period * PERIOD_MS)).find(&token.0);
    let named = |age| Some(Named { position: 1, age });
    assert_eq!([-2, -1, 0].map(known), [None, named(Age::Present), named(Age::Present)]);
    assert_eq!([1, 2, 3].map(known), [named(Age::Past), named(Age::Past), None]);
    assert_ne!(names.of(&shop, &source.at(PERIOD_MS)).token(1), token);
    source.set(&[1; 32], 0);
    assert_eq!(known(0), named(Age::Past), "another secret has taken the place of its own");
}

#[test]
fn names_are_made_once_for_a_set_of_instances_and_its_keys() {
    let (shop, keys, names) = (service("shop", &["a", "b"]), keys().at(0), CachedNames::default());
    let first = names.of(&shop, &keys);
    let (definition, instances) = (Arc::clone(&shop.definition), shop.instances.clone());
    let same = Service {
        instance_set: Arc::clone(&shop.instance_set),
        live: Arc::clone(&shop.live),
        ..Service::new(definition, ServiceKind::Registered, shop.status, instances)
    };
    assert!(Arc::ptr_eq(&first, &names.of(&same, &keys)), "it was published again");
    let other = names.of(&service("shop", &["b", "c"]), &keys);
    assert!(!Arc::ptr_eq(&first, &other));
    assert_eq!(other.find(&first.token(1).0).map(|named| named.position), Some(0), "b has another position");
    assert_eq!(other.find(&first.token(0).0), None, "a is gone");
}
