//! Writes that are stored as a whole, however many changes they have: keys that exchange digests, and as many records as there may be.

use super::*;
use crate::store::conformance::audited;

fn whole(gateway: &Gateway, changes: Vec<Change>, mut premises: Vec<Premise>) -> VecDeque<Waiting> {
    premises.push(Premise::NoNewDigests);
    let write = Write { is_whole: true, ..Write::new(changes, Revision(gateway.mirror.revision), premises) };
    VecDeque::from([waiting(7, write)])
}

fn record(name: &str) -> Record {
    Record::Key(KeyName::try_new(name).unwrap())
}

/// Each digest has its own key and nothing else, and whoever follows has taken each key over.
fn digests_are_right(gateway: &Gateway, model: &Model) {
    let contents = contents(model);
    for name in contents.keys.keys() {
        assert!(gateway.mirror.accepted(&Key::ApiKey(name.clone())).is_some(), "{name}");
    }
    let expected: std::collections::BTreeMap<_, _> = contents
        .keys
        .values()
        .flat_map(|key| {
            key.digests().map(|sha256| (layout().key(&Key::Digest(sha256)), key.name().as_str().to_owned()))
        })
        .collect();
    let stored = model.keys.iter().filter(|(key, _)| key.starts_with(&layout().digests()));
    let stored = stored.map(|(key, stored)| (key.clone(), String::from_utf8(stored.value.clone()).unwrap()));
    assert_eq!(stored.collect::<std::collections::BTreeMap<_, _>>(), expected);
}

#[test]
fn ninety_keys_with_their_digests_and_entries_of_the_audit_go_together() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let names: Vec<_> = (0..90).map(|number| format!("k{number}")).collect();
    let changes = |secret: &str| -> Vec<Change> {
        let of = |name: &String| [Change::PutKey(api_key(name, &format!("{name}{secret}"))), audited(name)];
        names.iter().flat_map(of).collect()
    };
    let absent = names.iter().map(|name| Premise::Absent(record(name))).collect();
    let mut queue = whole(&gateway, changes("one"), absent);
    assert_eq!(gateway.send(&mut model, &mut queue), [true]);
    assert!(queue.is_empty(), "it was not cut");
    digests_are_right(&gateway, &model);
    // Now each of them loses a digest as well.
    let unchanged: Vec<_> = names.iter().map(|name| Premise::Unchanged(record(name))).collect();
    let mut queue = whole(&gateway, changes("two"), unchanged.clone());
    assert_eq!(gateway.send(&mut model, &mut queue), [true]);
    digests_are_right(&gateway, &model);
    let gone = names.iter().map(|name| Change::RemoveKey(KeyName::try_new(name).unwrap())).collect();
    let mut queue = whole(&gateway, gone, unchanged);
    assert_eq!(gateway.send(&mut model, &mut queue), [true]);
    digests_are_right(&gateway, &model);
    assert!(contents(&model).keys.is_empty());
}

#[test]
fn keys_that_exchange_their_digests_are_followed_by_everybody() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    gateway.write(&mut model, vec![Change::PutKey(api_key("a", "1")), Change::PutKey(api_key("b", "2"))], Vec::new());
    let unchanged = || vec![Premise::Unchanged(record("a")), Premise::Unchanged(record("b"))];
    for changes in [
        vec![Change::PutKey(api_key("a", "2")), Change::PutKey(api_key("b", "1"))],
        vec![Change::PutKey(api_key("b", "2")), Change::PutKey(api_key("a", "1"))],
        // The one is gone, and the other one has its digest.
        vec![Change::PutKey(api_key("b", "1")), Change::RemoveKey(KeyName::try_new("a").unwrap())],
    ] {
        let mut queue = whole(&gateway, changes, unchanged());
        assert_eq!(gateway.send(&mut model, &mut queue), [true]);
        digests_are_right(&gateway, &model);
    }
    // A key that is renamed.
    let changes = vec![Change::RemoveKey(KeyName::try_new("b").unwrap()), Change::PutKey(api_key("c", "1"))];
    let premises = vec![Premise::Unchanged(record("b")), Premise::Absent(record("c"))];
    let mut queue = whole(&gateway, changes, premises);
    assert_eq!(gateway.send(&mut model, &mut queue), [true]);
    digests_are_right(&gateway, &model);
}

#[test]
fn a_digest_that_another_gateway_put_meanwhile_is_noticed() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let mut queue = whole(&gateway, vec![Change::PutKey(api_key("a", "1"))], vec![Premise::Absent(record("a"))]);
    let mut other = Gateway::new(&mut model);
    other.follow(&model.all(other.layout.records()));
    other.write(&mut model, vec![Change::PutKey(api_key("b", "1"))], Vec::new());
    gateway.put_at = other.put_at;
    assert_eq!(gateway.send(&mut model, &mut queue), [false]);
    assert!(contents(&model).keys.keys().map(KeyName::as_str).eq(["b"]));
}
