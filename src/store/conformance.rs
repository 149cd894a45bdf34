//! What every store must do. One function a property; each kind of store runs all of them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use furt_core::model::{
    Actor, AuditAction, AuditEntry, AuthMethods, CidrSet, Definition, Document, DrainMark, DrainUntil, Grant,
    HealthCheck, Host, Incarnation, InstanceId, InstanceSpec, KeyName, KeySpec, Maintenance, MaintenanceMessage,
    MaintenanceScope, OldDigest, OperatorName, Origins, Pattern, Percentage, PermissionRule, PermissionSet, Rate,
    RateLimit, RuntimeGrant, RuntimeKey, ServiceName, Sha256Digest, Split, SplitSpec, SplitVersion, Status,
    StatusRange, UpstreamUrl, Version,
};
use furt_core::ports::Store;
use furt_core::registry::{Change, DefinitionRecord, InstanceRecord, InstanceRef, Observation};

fn health_check() -> HealthCheck {
    HealthCheck {
        grpc: None,
        interval: Some(Duration::from_millis(1_500)),
        timeout: Some(Duration::from_secs(2)),
        failures: Some(5),
        status: Some(StatusRange::try_new("200-399").unwrap()),
        host: Some(Host::try_new("shop.example").unwrap()),
    }
}

pub(super) fn definition(service: &str, revision: u64) -> Change {
    Change::PutDefinition(DefinitionRecord {
        definition: Arc::new(Definition {
            revision,
            // With every number of its own in some, by gRPC in some, with none in others.
            health_check: match revision % 4 {
                1 => health_check(),
                3 => HealthCheck { grpc: Some("a.B".into()), ..HealthCheck::default() },
                _ => HealthCheck::default(),
            },
            ..Definition::new(ServiceName::try_new(service).unwrap())
        }),
        registered_from: [127, 0, 0, 1].into(),
    })
}

pub(super) fn instance(service: &str, id: &str, url: &str) -> Change {
    Change::PutInstance(InstanceRecord {
        service: ServiceName::try_new(service).unwrap(),
        spec: Arc::new(InstanceSpec::new(InstanceId::try_new(id).unwrap(), UpstreamUrl::try_new(url).unwrap())),
        addresses: Arc::new(["127.0.0.1:80".parse().unwrap()]),
        registered_from: [127, 0, 0, 1].into(),
        replaced: None,
    })
}

pub(super) fn gone(service: &str, instances: &[&str]) -> Change {
    Change::RemoveService {
        service: ServiceName::try_new(service).unwrap(),
        instances: instances.iter().map(|id| InstanceId::try_new(id).unwrap()).collect(),
    }
}

pub(super) fn note_down(id: &str, is_down: bool) -> Change {
    note_status(id, if is_down { Status::Down } else { Status::Unknown })
}

pub(super) fn note_status(id: &str, status: Status) -> Change {
    Change::Observe(one(id), Observation::Status(status))
}

pub(super) fn note_ttl(id: &str, seconds: u64) -> Change {
    Change::NoteTtl { instance: one(id), ttl: Duration::from_secs(seconds) }
}

pub(super) fn draining(id: &str) -> Change {
    Change::PutDraining(one(id), drain(DrainUntil::Restart))
}

/// A drain with everything that one can have.
pub(super) fn drain(until: DrainUntil) -> Arc<DrainMark> {
    let (by, began_ms) = (Some(alice()), Some(5_000));
    Arc::new(DrainMark { until, by, began_ms, incarnation: Some(Incarnation::try_new("p").unwrap()) })
}

/// With everything that one can have.
pub(crate) fn alice() -> Actor {
    Actor { address: [10, 0, 0, 1].into(), operator: Some(OperatorName::try_new("alice").unwrap()) }
}

/// That alice revoked the key of this name.
pub(super) fn audited(name: &str) -> Change {
    let action = AuditAction::RevokeKey(KeyName::try_new(name).unwrap());
    Change::Audit(Arc::new(AuditEntry { at_ms: 5_000, by: alice(), action }))
}

/// An instance of the service `a`.
pub(super) fn one(id: &str) -> InstanceRef {
    held("a", id)
}

pub(super) fn held(service: &str, id: &str) -> InstanceRef {
    InstanceRef { service: ServiceName::try_new(service).unwrap(), id: InstanceId::try_new(id).unwrap() }
}

pub(super) fn hold(service: &str, id: &str) -> Change {
    Change::PutHold(held(service, id), drain(DrainUntil::Undo))
}

fn drained(store: &mut impl Store) -> Vec<String> {
    store.load().unwrap().draining.keys().map(ToString::to_string).collect()
}

fn holds(store: &mut impl Store) -> Vec<String> {
    store.load().unwrap().holds.keys().map(ToString::to_string).collect()
}

/// A key behind `sha256`, with everything that a key can have.
pub(crate) fn api_key(name: &str, sha256: &str) -> Change {
    let rule = |text: &str| PermissionRule::try_new(text).unwrap();
    let spec = KeySpec {
        name: KeyName::try_new(name).unwrap(),
        sha256: Sha256Digest::of(sha256.as_bytes()),
        permissions: PermissionSet::new(vec![rule("*"), rule("a:*"), rule("a:b")]),
        allow_from: CidrSet::try_new(&["10.0.0.0/8", "::1"]).unwrap(),
        rate: Some(RateLimit::new(Rate::try_new("5/m").unwrap(), NonZeroU32::new(7))),
    };
    let old = OldDigest { sha256: Sha256Digest::of(format!("{name} before").as_bytes()), until_ms: 5_000 };
    Change::PutKey(Arc::new(RuntimeKey::try_new(spec, 1_000, Some(i64::MAX), vec![old]).unwrap()))
}

/// With everything that maintenance can have, and this message.
pub(super) fn maintenance(of: &str, message: &str) -> Change {
    let one = Maintenance {
        allow_from: CidrSet::try_new(&["10.0.0.0/8", "::1"]).unwrap(),
        message: Some(MaintenanceMessage::try_new(message).unwrap()),
        by: alice(),
        began_ms: 5_000,
        ends_ms: Some(i64::MAX),
    };
    Change::PutMaintenance(MaintenanceScope::from_name(of).unwrap(), Arc::new(one))
}

pub(super) fn gone_maintenance(of: &str) -> Change {
    Change::RemoveMaintenance(MaintenanceScope::from_name(of).unwrap())
}

/// With everything that a split can have, and these shares in percent.
pub(crate) fn split(of: &str, shares: &[(&str, f64)]) -> Change {
    let share = |(version, share): &(&str, f64)| SplitVersion {
        version: Version::try_new(version).unwrap(),
        share: Percentage::try_percent(*share).unwrap(),
    };
    let header = Some(SplitSpec::try_header("X-Canary").unwrap());
    let spec = SplitSpec { versions: shares.iter().map(share).collect(), header, strict: true };
    let split = Split { spec, by: alice(), set_ms: 5_000 };
    Change::PutSplit(ServiceName::try_new(of).unwrap(), Arc::new(split))
}

pub(super) fn gone_split(of: &str) -> Change {
    Change::RemoveSplit(ServiceName::try_new(of).unwrap())
}

/// With everything that a grant can have, and this pattern.
pub(crate) fn grant(of: &str, pattern: &str) -> Change {
    let grant = Grant {
        permissions: PermissionSet::new(vec![PermissionRule::try_new("a:*").unwrap()]),
        paths: vec![Pattern::try_new(pattern).unwrap()],
        hosts: vec![Host::try_new("a.example").unwrap()],
        upstreams: Some(CidrSet::try_new(&["10.0.0.0/8", "::1"]).unwrap()),
        public: true,
        origins: Origins::try_new(&["https://*.example.org"]).unwrap(),
        auth: AuthMethods::try_new(&["key", "login"]).unwrap(),
        token: Some(Sha256Digest::of(b"token")),
        certificate: Some(Sha256Digest::of(b"certificate")),
    };
    let grant = RuntimeGrant { grant: Arc::new(grant), by: alice(), set_ms: 5_000 };
    Change::PutGrant(ServiceName::try_new(of).unwrap(), Arc::new(grant))
}

pub(super) fn gone_grant(of: &str) -> Change {
    Change::RemoveGrant(ServiceName::try_new(of).unwrap())
}

pub(super) fn gone_key(name: &str) -> Change {
    Change::RemoveKey(KeyName::try_new(name).unwrap())
}

fn up(store: &mut impl Store) -> Vec<String> {
    store.load().unwrap().observed.up.iter().map(ToString::to_string).collect()
}

fn down(store: &mut impl Store) -> Vec<String> {
    store.load().unwrap().observed.down.iter().map(ToString::to_string).collect()
}

fn names(store: &mut impl Store) -> (Vec<String>, Vec<String>) {
    let contents = store.load().unwrap();
    let definitions = contents.definitions.keys().map(ToString::to_string).collect();
    (definitions, contents.instances.keys().map(ToString::to_string).collect())
}

fn what_is_put_is_there_and_replaced_by_its_name(mut store: impl Store) {
    assert_eq!(names(&mut store), (vec![], vec![]));
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h:1")]).unwrap();
    store.apply(&[definition("a", 2), instance("a", "a1", "http://h:2"), instance("a", "a2", "http://h:3")]).unwrap();
    let contents = store.load().unwrap();
    assert_eq!(contents.definitions.into_values().map(Change::PutDefinition).collect::<Vec<_>>(), [definition("a", 2)]);
    let instances: Vec<_> = contents.instances.into_values().map(Change::PutInstance).collect();
    assert_eq!(instances, [instance("a", "a1", "http://h:2"), instance("a", "a2", "http://h:3")]);
}

fn a_removed_service_takes_its_instances_along_and_no_others(mut store: impl Store) {
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")]).unwrap();
    store.apply(&[definition("b", 1), instance("b", "b1", "http://h")]).unwrap();
    store.apply(&[gone("a", &["a1", "a2"])]).unwrap();
    assert_eq!(names(&mut store), (vec!["b".into()], vec!["b1".into()]));
}

fn a_removed_instance_leaves_its_service(mut store: impl Store) {
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")]).unwrap();
    let gone = Change::RemoveInstance(one("a1"));
    store.apply(std::slice::from_ref(&gone)).unwrap();
    store.apply(&[gone]).unwrap();
    assert_eq!(names(&mut store), (vec!["a".into()], vec!["a2".into()]));
}

fn changes_apply_in_their_order(mut store: impl Store) {
    let gone = gone("a", &["a1"]);
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), gone.clone(), definition("a", 2)]).unwrap();
    assert_eq!(names(&mut store), (vec!["a".into()], vec![]));
    store.apply(&[definition("a", 3), gone]).unwrap();
    assert_eq!(names(&mut store), (vec![], vec![]));
}

fn an_instance_is_down_until_it_is_noted_otherwise_or_put_again(mut store: impl Store) {
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")]).unwrap();
    store.apply(&[note_down("a1", true), note_down("a2", true), note_down("nobody", true)]).unwrap();
    assert_eq!(down(&mut store), ["a1", "a2"]);
    store.apply(&[note_down("a1", false), instance("a", "a2", "http://h")]).unwrap();
    assert_eq!(down(&mut store), [""; 0]);
    store.apply(&[note_down("a1", true), gone("a", &["a1", "a2"])]).unwrap();
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h")]).unwrap();
    assert_eq!(down(&mut store), [""; 0], "nothing is left of what was removed");
}

fn the_last_status_that_is_noted_counts(mut store: impl Store) {
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")]).unwrap();
    let all = |status| ["a1", "a2", "nobody"].map(|id| note_status(id, status));
    store.apply(&all(Status::Up)).unwrap();
    assert_eq!((up(&mut store), down(&mut store)), (vec!["a1".into(), "a2".into()], vec![]));
    store.apply(&[note_status("a1", Status::Down), note_status("a2", Status::Unknown)]).unwrap();
    assert_eq!((up(&mut store), down(&mut store)), (vec![], vec!["a1".into()]));
    store.apply(&[note_status("a1", Status::Up), instance("a", "a2", "http://h")]).unwrap();
    assert_eq!((up(&mut store), down(&mut store)), (vec!["a1".into()], vec![]));
    store.apply(&[instance("a", "a1", "http://h")]).unwrap();
    assert_eq!(up(&mut store), [""; 0]);
}

fn an_instance_is_draining_until_that_ends_or_it_is_put_again_or_removed(mut store: impl Store) {
    let both = [definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")];
    store.apply(&both).unwrap();
    store.apply(&[draining("a1"), draining("a2"), draining("nobody")]).unwrap();
    assert_eq!(drained(&mut store), ["a1", "a2"]);
    let ends = Change::RemoveDraining(one("a1"));
    store.apply(&[ends.clone(), ends, instance("a", "a2", "http://h")]).unwrap();
    assert_eq!(drained(&mut store), [""; 0]);
    let gone_one = Change::RemoveInstance(one("a2"));
    store.apply(&[draining("a1"), draining("a2"), gone_one]).unwrap();
    assert_eq!(drained(&mut store), ["a1"]);
    store.apply(&[gone("a", &["a1"])]).unwrap();
    store.apply(&both).unwrap();
    assert_eq!(drained(&mut store), [""; 0], "nothing is left of what was removed");
    store.apply(&[draining("a1"), note_down("a1", true), note_down("a1", false)]).unwrap();
    assert_eq!(drained(&mut store), ["a1"], "its health is another matter");
    store.apply(&[instance("a", "a1", "http://h"), draining("a1")]).unwrap();
    let drains = store.load().unwrap().draining;
    assert_eq!(
        drains.values().collect::<Vec<_>>(),
        [&drain(DrainUntil::Restart)],
        "with what was put, and as it was put"
    );
}

fn an_id_is_held_until_that_ends_whatever_becomes_of_the_instance(mut store: impl Store) {
    store.apply(&[hold("a", "a1"), hold("b", "a1")]).unwrap();
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), draining("a1")]).unwrap();
    store.apply(&[gone("a", &["a1"])]).unwrap();
    assert_eq!((holds(&mut store), drained(&mut store)), (vec!["a/a1".to_owned(), "b/a1".to_owned()], vec![]));
    assert_eq!(store.load().unwrap().holds[&held("a", "a1")], drain(DrainUntil::Undo));
    store.apply(&[Change::RemoveHold(held("a", "a1")), Change::RemoveHold(held("c", "a1"))]).unwrap();
    assert_eq!(holds(&mut store), ["b/a1"]);
}

fn an_incarnation_is_kept_with_the_one_that_it_replaced(mut store: impl Store) {
    let Change::PutInstance(record) = instance("a", "a1", "http://h") else { unreachable!() };
    let incarnation = |text: &str| Some(Incarnation::try_new(text).unwrap());
    let spec = Arc::new(InstanceSpec { incarnation: incarnation("~q!"), ..(*record.spec).clone() });
    let put = Change::PutInstance(InstanceRecord { spec, replaced: incarnation("p"), ..record });
    store.apply(&[definition("a", 1), put.clone()]).unwrap();
    assert_eq!(store.load().unwrap().instances.into_values().map(Change::PutInstance).collect::<Vec<_>>(), [put]);
}

fn a_document_is_kept_as_it_was_written(mut store: impl Store) {
    let Change::PutInstance(record) = instance("a", "a1", "http://h") else { unreachable!() };
    let text = r#"{"z":1,"a":[null,{"b":"\u0000é"}],"x":0.1,"n":18446744073709551615}"#;
    let document = Some(Document::try_new(&serde_json::from_str(text).unwrap()).unwrap());
    let put = Change::PutInstance(InstanceRecord {
        spec: Arc::new(InstanceSpec { document, ..(*record.spec).clone() }),
        ..record
    });
    store.apply(&[definition("a", 1), put.clone()]).unwrap();
    assert_eq!(store.load().unwrap().instances.into_values().map(Change::PutInstance).collect::<Vec<_>>(), [put]);
}

fn an_instance_is_held_to_the_last_ttl_it_was_promised_until_it_is_put_again_or_removed(mut store: impl Store) {
    let ttls = |store: &mut dyn Store| -> Vec<_> {
        store.load().unwrap().ttls.iter().map(|(id, ttl)| (id.to_string(), ttl.as_secs())).collect()
    };
    let both = [definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")];
    store.apply(&both).unwrap();
    store.apply(&[note_ttl("a1", 60), note_ttl("a2", 60), note_ttl("nobody", 60), note_ttl("a1", 90)]).unwrap();
    store.apply(&[note_down("a1", true), note_down("a1", false)]).unwrap();
    assert_eq!(ttls(&mut store), [("a1".to_owned(), 90), ("a2".to_owned(), 60)]);
    store.apply(&[instance("a", "a1", "http://h"), Change::RemoveInstance(one("a2"))]).unwrap();
    store.apply(&both[2..]).unwrap();
    assert_eq!(ttls(&mut store), []);
    store.apply(&[note_ttl("a1", 60), gone("a", &["a1", "a2"])]).unwrap();
    store.apply(&both).unwrap();
    assert_eq!(ttls(&mut store), [], "nothing is left of what was removed");
    store.apply(&[instance("a", "a1", "http://h"), note_ttl("a1", 30)]).unwrap();
    assert_eq!(ttls(&mut store), [("a1".to_owned(), 30)], "with its registration, and after it");
}

fn an_instance_is_where_its_name_led_last_and_else_as_it_was(mut store: impl Store) {
    let newer: Arc<[SocketAddr]> = Arc::new(["10.0.0.2:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
    let moved = |id: &str| Change::Observe(one(id), Observation::Addresses(Arc::clone(&newer)));
    let before = instance("a", "a1", "http://h");
    store.apply(&[definition("a", 1), before.clone(), note_down("a1", true), note_ttl("a1", 60)]).unwrap();
    store.apply(&[moved("a1"), moved("nobody")]).unwrap();
    let contents = store.load().unwrap();
    let Change::PutInstance(record) = before.clone() else { unreachable!() };
    let expected = InstanceRecord { addresses: newer, ..record };
    assert_eq!(contents.instances.into_values().collect::<Vec<_>>(), [expected]);
    assert_eq!((contents.observed.down.len(), contents.ttls.len()), (1, 1), "what else is noted of it stands");
    store.apply(std::slice::from_ref(&before)).unwrap();
    let instances = store.load().unwrap().instances;
    assert_eq!(instances.into_values().map(Change::PutInstance).collect::<Vec<_>>(), [before]);
}

fn keys_are_put_replaced_and_removed_by_their_name(mut store: impl Store) {
    store.apply(&[api_key("a", "1"), api_key("b", "2"), definition("a", 1)]).unwrap();
    store.apply(&[api_key("a", "3"), gone_key("b"), gone_key("none")]).unwrap();
    let contents = store.load().unwrap();
    let keys: Vec<_> = contents.keys.into_values().map(Change::PutKey).collect();
    assert_eq!(keys, [api_key("a", "3")]);
    assert_eq!(contents.definitions.len(), 1);
    store.apply(&[api_key("c", "4"), gone_key("c"), gone_key("a")]).unwrap();
    assert!(store.load().unwrap().keys.is_empty());
}

fn a_name_is_in_maintenance_until_that_ends_whatever_becomes_of_the_service(mut store: impl Store) {
    let all = |store: &mut dyn Store| -> Vec<_> {
        let all = store.load().unwrap().maintenance;
        all.into_iter().map(|(scope, one)| Change::PutMaintenance(scope, one)).collect()
    };
    store.apply(&[maintenance("a", "one"), maintenance("*", "two"), maintenance("none", "\"three\" \\ é")]).unwrap();
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), maintenance("a", "four")]).unwrap();
    store.apply(&[gone("a", &["a1"]), gone_maintenance("nobody")]).unwrap();
    let expected = [maintenance("*", "two"), maintenance("a", "four"), maintenance("none", "\"three\" \\ é")];
    assert_eq!(all(&mut store), expected);
    store.apply(&[gone_maintenance("a"), gone_maintenance("*"), maintenance("a", "five")]).unwrap();
    assert_eq!(all(&mut store), [maintenance("a", "five"), maintenance("none", "\"three\" \\ é")]);
    let Change::PutMaintenance(scope, one) = maintenance("b", "x") else { unreachable!() };
    let least = Maintenance { allow_from: CidrSet::default(), message: None, ends_ms: None, ..(*one).clone() };
    store.apply(&[Change::PutMaintenance(scope.clone(), Arc::new(least.clone()))]).unwrap();
    assert_eq!(*store.load().unwrap().maintenance[&scope], least);
}

fn a_name_has_a_split_until_that_is_removed_whatever_becomes_of_the_service(mut store: impl Store) {
    let all = |store: &mut dyn Store| -> Vec<_> {
        store.load().unwrap().splits.into_iter().map(|(service, one)| Change::PutSplit(service, one)).collect()
    };
    // The order is no alphabet's, and no number's.
    let three = [("2.5.0", 0.01), ("2.4.0", 33.33), ("A_b-1", 0.0)];
    store.apply(&[split("a", &[("1", 5.0)]), split("none", &three)]).unwrap();
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), split("a", &[("2", 100.0)])]).unwrap();
    store.apply(&[gone("a", &["a1"]), gone_split("nobody")]).unwrap();
    assert_eq!(all(&mut store), [split("a", &[("2", 100.0)]), split("none", &three)]);
    store.apply(&[gone_split("a"), split("b", &[("1", 1.0)]), gone_split("b")]).unwrap();
    assert_eq!(all(&mut store), [split("none", &three)]);
    let Change::PutSplit(service, one) = split("b", &[("1", 1.0)]) else { unreachable!() };
    let spec = SplitSpec { header: None, strict: false, ..one.spec.clone() };
    let least = Split { spec, ..(*one).clone() };
    store.apply(&[Change::PutSplit(service.clone(), Arc::new(least.clone()))]).unwrap();
    assert_eq!(*store.load().unwrap().splits[&service], least);
}

fn a_name_has_a_grant_until_that_is_removed_whatever_becomes_of_the_service(mut store: impl Store) {
    let all = |store: &mut dyn Store| -> Vec<_> {
        store.load().unwrap().grants.into_iter().map(|(service, one)| Change::PutGrant(service, one)).collect()
    };
    store.apply(&[grant("a", "/a"), grant("none", "/:x/*")]).unwrap();
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), grant("a", "/a/*")]).unwrap();
    store.apply(&[gone("a", &["a1"]), gone_grant("nobody")]).unwrap();
    assert_eq!(all(&mut store), [grant("a", "/a/*"), grant("none", "/:x/*")]);
    store.apply(&[gone_grant("a"), grant("b", "/b"), gone_grant("b")]).unwrap();
    assert_eq!(all(&mut store), [grant("none", "/:x/*")]);
    let Change::PutGrant(service, one) = grant("b", "/b") else { unreachable!() };
    let least = Grant {
        permissions: PermissionSet::default(),
        paths: Vec::new(),
        hosts: Vec::new(),
        upstreams: None,
        public: false,
        origins: Origins::default(),
        auth: AuthMethods::api_key(),
        token: None,
        certificate: None,
    };
    let least = RuntimeGrant { grant: Arc::new(least), ..(*one).clone() };
    store.apply(&[Change::PutGrant(service.clone(), Arc::new(least.clone()))]).unwrap();
    assert_eq!(*store.load().unwrap().grants[&service], least);
}

fn a_version_is_kept_with_its_instance(mut store: impl Store) {
    let of_version = |version: Option<&str>| {
        let Change::PutInstance(record) = instance("a", "a1", "http://h") else { unreachable!() };
        let version = version.map(|text| Version::try_new(text).unwrap());
        Change::PutInstance(InstanceRecord {
            spec: Arc::new(InstanceSpec { version, ..(*record.spec).clone() }),
            ..record
        })
    };
    store.apply(&[definition("a", 1)]).unwrap();
    for version in [Some("2.4.0-rc_1"), None, Some("3")] {
        store.apply(&[of_version(version)]).unwrap();
        let stored = store.load().unwrap().instances.into_values().map(Change::PutInstance);
        assert_eq!(stored.collect::<Vec<_>>(), [of_version(version)]);
    }
}

fn the_epoch_stays_and_the_starts_are_counted(mut store: impl Store) {
    let (one, other) = (store.load().unwrap(), store.load().unwrap());
    assert_eq!(one.epoch, other.epoch);
    assert_eq!(one.starts + 1, other.starts);
}

macro_rules! conforms {
    ($kind:ident, $new:expr) => {
        mod $kind {
            #[test]
            fn what_is_put_is_there_and_replaced_by_its_name() {
                super::what_is_put_is_there_and_replaced_by_its_name($new);
            }
            #[test]
            fn a_removed_service_takes_its_instances_along_and_no_others() {
                super::a_removed_service_takes_its_instances_along_and_no_others($new);
            }
            #[test]
            fn a_removed_instance_leaves_its_service() {
                super::a_removed_instance_leaves_its_service($new);
            }
            #[test]
            fn an_instance_is_draining_until_that_ends_or_it_is_put_again_or_removed() {
                super::an_instance_is_draining_until_that_ends_or_it_is_put_again_or_removed($new);
            }
            #[test]
            fn an_id_is_held_until_that_ends_whatever_becomes_of_the_instance() {
                super::an_id_is_held_until_that_ends_whatever_becomes_of_the_instance($new);
            }
            #[test]
            fn an_incarnation_is_kept_with_the_one_that_it_replaced() {
                super::an_incarnation_is_kept_with_the_one_that_it_replaced($new);
            }

            #[test]
            fn a_document_is_kept_as_it_was_written() {
                super::a_document_is_kept_as_it_was_written($new);
            }
            #[test]
            fn an_instance_is_held_to_the_last_ttl_it_was_promised_until_it_is_put_again_or_removed() {
                super::an_instance_is_held_to_the_last_ttl_it_was_promised_until_it_is_put_again_or_removed($new);
            }
            #[test]
            fn the_epoch_stays_and_the_starts_are_counted() {
                super::the_epoch_stays_and_the_starts_are_counted($new);
            }
            #[test]
            fn keys_are_put_replaced_and_removed_by_their_name() {
                super::keys_are_put_replaced_and_removed_by_their_name($new);
            }
            #[test]
            fn a_name_is_in_maintenance_until_that_ends_whatever_becomes_of_the_service() {
                super::a_name_is_in_maintenance_until_that_ends_whatever_becomes_of_the_service($new);
            }
            #[test]
            fn a_name_has_a_split_until_that_is_removed_whatever_becomes_of_the_service() {
                super::a_name_has_a_split_until_that_is_removed_whatever_becomes_of_the_service($new);
            }
            #[test]
            fn a_name_has_a_grant_until_that_is_removed_whatever_becomes_of_the_service() {
                super::a_name_has_a_grant_until_that_is_removed_whatever_becomes_of_the_service($new);
            }
            #[test]
            fn a_version_is_kept_with_its_instance() {
                super::a_version_is_kept_with_its_instance($new);
            }
            #[test]
            fn changes_apply_in_their_order() {
                super::changes_apply_in_their_order($new);
            }
        }
    };
}

/// Of a store of one gateway alone, which keeps what that one saw as well.
macro_rules! keeps_observations {
    ($kind:ident, $new:expr) => {
        mod $kind {
            #[test]
            fn an_instance_is_down_until_it_is_noted_otherwise_or_put_again() {
                super::an_instance_is_down_until_it_is_noted_otherwise_or_put_again($new);
            }
            #[test]
            fn the_last_status_that_is_noted_counts() {
                super::the_last_status_that_is_noted_counts($new);
            }
            #[test]
            fn an_instance_is_where_its_name_led_last_and_else_as_it_was() {
                super::an_instance_is_where_its_name_led_last_and_else_as_it_was($new);
            }
        }
    };
}

/// A store in a folder that goes with it.
struct InFolder(
    crate::store::DiskStore,
    #[expect(dead_code, reason = "held until the store is gone")] tempfile::TempDir,
);

impl InFolder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self(crate::store::DiskStore::open(&folder.path().join("furt.redb")).unwrap(), folder)
    }
}

impl Store for InFolder {
    fn apply(&mut self, changes: &[Change]) -> Result<(), furt_core::ports::StoreError> {
        self.0.apply(changes)
    }

    fn load(&mut self) -> Result<furt_core::registry::Contents, furt_core::ports::StoreError> {
        self.0.load()
    }
}

conforms!(memory, furt_core::MemoryStore::default());
conforms!(disk, super::InFolder::new());
// Needs a real etcd: `make interop`.
conforms!(etcd, crate::store::etcd::conformance::OnEtcd::new());
keeps_observations!(memory_observes, furt_core::MemoryStore::default());
keeps_observations!(disk_observes, super::InFolder::new());
