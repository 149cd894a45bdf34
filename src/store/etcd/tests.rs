//! Transactions without a store: fences meet, limits are kept, what is stored is what was meant.

mod audit;
mod grants;
mod whole;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Of, SessionPut, Waiting, gather};
use super::follow::{Group, Put, follow};
use super::layout::{Fences, Key, Layout};
use super::mirror::{Lease, Mirror};
use super::model::Model;
use super::plan::Own;
use super::session::Session;
use super::txn::{Op, Txn, Under};
use crate::clock;
use crate::store::conformance::{gone_grant, gone_maintenance, gone_split, grant, maintenance, split};
use furt_core::MemoryStore;
use furt_core::model::{
    Definition, DrainMark, DrainUntil, GatewayName, InstanceId, InstanceSpec, KeyName, KeySpec, MaintenanceScope,
    MethodRule, Pattern, PermissionRule, PermissionSet, RouteSpec, RuntimeKey, ServiceName, Sha256Digest, UpstreamUrl,
};
use furt_core::ports::Store as _;
use furt_core::registry::{
    Change, Claim, DefinitionRecord, InstanceRecord, InstanceRef, Premise, Record, Revision, Write, WriteId,
};

fn layout() -> Layout {
    Layout::new("test")
}

fn this_gateway() -> GatewayName {
    GatewayName::try_new("g:1").unwrap()
}

fn service(name: &str) -> ServiceName {
    ServiceName::try_new(name).unwrap()
}

fn at(service_name: &str, id: &str) -> InstanceRef {
    InstanceRef { service: service(service_name), id: InstanceId::try_new(id).unwrap() }
}

fn definition(name: &str, patterns: &[String]) -> Arc<Definition> {
    let route = |pattern: &String| RouteSpec {
        method: MethodRule::try_new("GET").unwrap(),
        pattern: Pattern::try_new(pattern).unwrap(),
        permission: None,
        options: Default::default(),
    };
    Arc::new(Definition { routes: patterns.iter().map(route).collect(), ..Definition::new(service(name)) })
}

fn put_definition(name: &str, patterns: &[String]) -> Change {
    let registered_from = [10, 0, 0, 1].into();
    Change::PutDefinition(DefinitionRecord { definition: definition(name, patterns), registered_from })
}

fn put_instance(service_name: &str, id: &str, ttl: Option<u64>) -> Change {
    let url = UpstreamUrl::try_new("http://10.0.0.9:80").unwrap();
    let spec = InstanceSpec {
        heartbeat_ttl: ttl.map(Duration::from_secs),
        ..InstanceSpec::new(InstanceId::try_new(id).unwrap(), url)
    };
    Change::PutInstance(InstanceRecord {
        service: service(service_name),
        spec: Arc::new(spec),
        addresses: ["10.0.0.9:80".parse().unwrap()].into(),
        registered_from: [10, 0, 0, 1].into(),
        replaced: None,
    })
}

fn mark(until: DrainUntil) -> Arc<DrainMark> {
    Arc::new(DrainMark { until, by: None, began_ms: Some(1), incarnation: None })
}

fn api_key(name: &str, secret: &str) -> Arc<RuntimeKey> {
    let spec = KeySpec {
        name: KeyName::try_new(name).unwrap(),
        sha256: Sha256Digest::of(secret.as_bytes()),
        permissions: PermissionSet::new(vec![PermissionRule::try_new("*").unwrap()]),
        allow_from: Default::default(),
        rate: None,
    };
    Arc::new(RuntimeKey::try_new(spec, 1, None, Vec::new()).unwrap())
}

/// A gateway over the model of etcd: what it sends is stored, what is stored it follows.
struct Gateway {
    layout: Layout,
    mirror: Mirror,
    own: Own,
    session: u64,
    put_at: u64,
    next_lease: i64,
}

impl Gateway {
    fn new(model: &mut Model) -> Self {
        let mut gateway = Self {
            layout: layout(),
            mirror: Mirror::default(),
            own: Own::new(this_gateway()),
            session: 0,
            put_at: 0,
            next_lease: 1,
        };
        let put = Op::Put { key: gateway.session_key(), value: gateway.session_value(), under: Under::None };
        let (_, group) = model.apply(&Txn { ops: vec![put], ..Txn::default() }).unwrap();
        gateway.follow(&group);
        gateway
    }

    fn session_key(&self) -> String {
        self.layout.key(&Key::Gateway("a".to_owned()))
    }

    fn session_value(&self) -> Vec<u8> {
        Session { write: self.session, name: "a".to_owned(), version: "1".to_owned(), internal: None }.to_json()
    }

    fn follow(&mut self, group: &Group) -> super::follow::Followed {
        let followed = follow(group, &mut self.mirror, &self.layout, &|_| None, false);
        self.put_at = self.mirror.get(&Key::Gateway("a".to_owned())).unwrap().modified;
        followed
    }

    /// Sends all that waits; gives which writes were stored, in their order.
    fn send(&mut self, model: &mut Model, queue: &mut VecDeque<Waiting>) -> Vec<bool> {
        let mut all = Vec::new();
        while !queue.is_empty() {
            let (batch, decided) = gather(queue, &self.mirror, &self.own, &self.layout);
            all.extend(decided.iter().map(|one| matches!(one, super::batch::Decided::Done(_))));
            let Some(mut batch) = batch else { continue };
            let (stored, rests) = self.send_one(model, &mut batch);
            all.extend(stored);
            rests.into_iter().rev().for_each(|rest| queue.push_front(rest));
        }
        all
    }

    fn send_one(&mut self, model: &mut Model, batch: &mut Batch) -> (Vec<bool>, Vec<Waiting>) {
        for (_, planned) in &mut batch.writes {
            planned.nested.granted = planned.ttl.map(|_| Lease(self.next_lease));
            self.next_lease += 1;
        }
        self.session += 1;
        let session = SessionPut {
            key: self.session_key(),
            value: self.session_value(),
            under: Under::None,
            put_at: self.put_at,
        };
        let (stored, group) = model.apply(&batch.txn(&self.layout, session)).expect("the session is as it was put");
        let followed = self.follow(&group);
        assert_eq!(batch.outcomes(&followed.changed), stored, "what the watch tells is what was stored");
        let mut rests = Vec::new();
        for ((waiting, planned), _) in batch.writes.iter().zip(&stored).filter(|(_, stored)| **stored) {
            self.own.fences.note(&planned.claimed, group.revision);
            let mut rest = waiting.rest.clone();
            if let Some(write) = rest.pop_front() {
                rests.push(Waiting { write, rest, ..waiting.clone() });
            }
        }
        (stored, rests)
    }

    fn write(&mut self, model: &mut Model, changes: Vec<Change>, premises: Vec<Premise>) -> Vec<bool> {
        let seen = Revision(self.mirror.revision);
        self.send(model, &mut VecDeque::from([waiting(0, Write::new(changes, seen, premises))]))
    }
}

fn waiting(id: u64, write: Write) -> Waiting {
    Waiting { of: Of::Core(WriteId(id)), write, rest: VecDeque::new(), since: clock::now() }
}

/// What a gateway that starts finds.
fn contents(model: &Model) -> furt_core::registry::Contents {
    let layout = layout();
    let followed = follow(&model.all(layout.records()), &mut Mirror::default(), &layout, &|_| None, true);
    assert!(followed.refused.is_empty(), "{:?}", followed.refused);
    let mut store = MemoryStore::default();
    let changes: Vec<_> = followed.changes.into_iter().map(|incoming| incoming.change).collect();
    store.apply(&changes).unwrap();
    store.load().unwrap()
}

#[test]
fn every_key_is_read_as_it_was_written_and_a_strangers_is_none() {
    let layout = layout();
    let one = at("a.b", "i:1");
    let keys = [
        Key::Definition(service("a.b")),
        Key::Instance(one.clone()),
        Key::Ttl(one.clone()),
        Key::Drain(one.clone()),
        Key::Hold(one),
        Key::ApiKey(KeyName::try_new("k@1").unwrap()),
        Key::Digest(Sha256Digest::of(b"x")),
        Key::Maintenance(MaintenanceScope::All),
        Key::Maintenance(MaintenanceScope::Service(service("a.b"))),
        Key::Split(service("a.b")),
        Key::Grant(service("a.b")),
        Key::Gateway("0f".to_owned()),
    ];
    for key in keys {
        assert_eq!(layout.parse(layout.key(&key).as_bytes()), Some(key));
    }
    let digest = Sha256Digest::of(b"x").to_string().to_uppercase();
    for stranger in [
        "/furt/test/meta",
        "/furt/other/v1/services/a",
        "/furt/test/v1/services/A",
        "/furt/test/v1/services/a/b",
        "/furt/test/v1/instances/a",
        "/furt/test/v1/instances/a/b/c",
        "/furt/test/v1/instances//b",
        "/furt/test/v1/instances/a/..",
        "/furt/test/v1/gateways/a/b",
        "/furt/test/v1/maintenance/a/b",
        "/furt/test/v1/maintenance/",
        "/furt/test/v1/splits/*",
        "/furt/test/v1/splits/a/b",
        "/furt/test/v1/grants/*",
        "/furt/test/v2/services/a",
        &format!("/furt/test/v1/digests/{digest}"),
    ] {
        assert_eq!(layout.parse(stranger.as_bytes()), None, "{stranger}");
    }
    assert_eq!(layout.parse(b"/furt/test/v1/services/\xff"), None);
}

#[test]
fn two_definitions_that_have_a_route_in_common_meet_at_a_fence() {
    let mut rng = fastrand::Rng::with_seed(7);
    let routes = |rng: &mut fastrand::Rng, shared: &str| {
        let count = if rng.bool() { rng.usize(0..16) } else { rng.usize(0..200) };
        let mut routes: Vec<_> = (0..count).map(|_| format!("/{}/*", rng.u64(0..1_000_000))).collect();
        routes.push(shared.to_owned());
        routes
    };
    let mut met_alone = 0;
    for seed in 0..2_000 {
        let shared = format!("/shared-{seed}/*");
        let [one, other] = [routes(&mut rng, &shared), routes(&mut rng, &shared)]
            .map(|routes| Fences::of(&Claim::Routes(definition("a", &routes))));
        for (first, second) in [(&one, &other), (&other, &one)] {
            assert!(!first.put.is_disjoint(&second.compared), "{seed}: {first:?} {second:?}");
        }
        let small = |shared: &str| Fences::of(&Claim::Routes(definition("a", &[shared.to_owned()])));
        met_alone += usize::from(!small(&format!("/x{seed}")).put.is_disjoint(&small(&format!("/y{seed}")).compared));
    }
    assert!(met_alone < 20, "{met_alone} of 2,000 small ones without a common route meet");
}

#[test]
fn a_claim_of_an_id_or_a_place_meets_the_same_one_and_no_route() {
    let of_id = |id: &str| Fences::of(&Claim::Id(InstanceId::try_new(id).unwrap()));
    let place = |service_name: &str, url: &str| {
        let spec = InstanceSpec::new(InstanceId::try_new("i").unwrap(), UpstreamUrl::try_new(url).unwrap());
        Fences::of(&Claim::Place(service(service_name), spec.place()))
    };
    assert_eq!(of_id("a"), of_id("a"));
    assert_ne!(of_id("a"), of_id("b"));
    assert_eq!(place("a", "http://h:1"), place("a", "http://h:1/"));
    assert_ne!(place("a", "http://h:1"), place("b", "http://h:1"));
    assert_ne!(place("a", "http://h:1"), place("a", "http://h:2"));
    assert_eq!(of_id("a").put.len(), 1);
}

/// Changes in any order, each with what it may come with.
fn any_changes(rng: &mut fastrand::Rng) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..rng.usize(1..8) {
        let (name, id) = (format!("s{}", rng.u8(0..3)), rng.u8(0..4));
        // An id is one service's.
        let instance = at(&name, &format!("{name}-{id}"));
        let ids = (0..4).map(|id| InstanceId::try_new(&format!("{name}-{id}")).unwrap()).collect();
        changes.push(match rng.u8(0..14) {
            0 => put_definition(&name, &[format!("/{}", rng.u8(0..9))]),
            1 | 2 => put_instance(&name, instance.id.as_str(), rng.bool().then_some(5)),
            3 => Change::RemoveInstance(instance),
            4 => Change::RemoveService { service: instance.service, instances: ids },
            5 => Change::NoteTtl { instance, ttl: Duration::from_secs(u64::from(rng.u8(1..9))) },
            6 => Change::PutDraining(instance, mark(DrainUntil::Registration)),
            7 => Change::RemoveDraining(instance),
            8 => Change::PutHold(instance, mark(DrainUntil::Undo)),
            9 => Change::RemoveHold(instance),
            10 if rng.bool() => maintenance(&name, id.to_string().as_str()),
            10 => gone_maintenance(&name),
            11 if rng.bool() => split(&name, &[(id.to_string().as_str(), 5.0)]),
            11 => gone_split(&name),
            12 if rng.bool() => grant(&name, &format!("/{}", rng.u8(0..9))),
            12 => gone_grant(&name),
            _ => match rng.bool() {
                true => Change::PutKey(api_key(&name, &format!("{name}{}", rng.u8(0..3)))),
                false => Change::RemoveKey(KeyName::try_new(&name).unwrap()),
            },
        });
    }
    changes
}

/// Instances come with their service, and what is of an instance comes with it.
fn is_whole(store: &mut MemoryStore, changes: &[Change]) -> bool {
    let mut contents = store.load().unwrap();
    changes.iter().all(|change| {
        let is_there = |instance: &InstanceRef| {
            contents.instances.get(&instance.id).is_some_and(|record| record.service == instance.service)
        };
        let fits = match change {
            Change::PutInstance(record) => contents.definitions.contains_key(&record.service),
            Change::NoteTtl { instance, .. } | Change::PutDraining(instance, _) => is_there(instance),
            _ => true,
        };
        store.apply(std::slice::from_ref(change)).unwrap();
        contents = store.load().unwrap();
        fits
    })
}

#[test]
fn what_is_stored_is_what_applying_the_changes_in_order_gives() {
    for seed in 0..256 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut model = Model::default();
        let mut gateway = Gateway::new(&mut model);
        let mut expected = MemoryStore::default();
        let (mut queue, mut id) = (VecDeque::new(), 0);
        for _ in 0..40 {
            let changes = any_changes(&mut rng);
            let before = expected.load().unwrap();
            if !is_whole(&mut expected, &changes) {
                expected = MemoryStore::default();
                expected.apply(&everything(before)).unwrap();
                continue;
            }
            id += 1;
            queue.push_back(waiting(id, Write::new(changes, Revision(0), Vec::new())));
            if rng.u8(0..3) == 0 {
                let stored = gateway.send(&mut model, &mut queue);
                assert!(stored.iter().all(|stored| *stored), "{seed}: nothing is in the way");
            }
        }
        gateway.send(&mut model, &mut queue);
        let (found, expected) = (contents(&model), expected.load().unwrap());
        assert_eq!(found.definitions, expected.definitions, "{seed}");
        assert_eq!(found.instances, expected.instances, "{seed}");
        assert_eq!((found.ttls, found.draining), (expected.ttls, expected.draining), "{seed}");
        assert_eq!((found.holds, found.keys), (expected.holds, expected.keys), "{seed}");
        let digests = model.keys.keys().filter(|key| key.contains("/digests/")).count();
        assert_eq!(digests, expected_digests(&model), "{seed}: each digest is a key's");
        leases_are_shared(&model, seed);
    }
}

fn expected_digests(model: &Model) -> usize {
    contents(model).keys.values().map(|key| key.digests().count()).sum()
}

/// What belongs to an instance goes with it.
fn leases_are_shared(model: &Model, seed: u64) {
    let layout = layout();
    for (key, stored) in &model.keys {
        let Some(Key::Ttl(instance) | Key::Drain(instance)) = layout.parse(key.as_bytes()) else { continue };
        let of_instance = model.keys.get(&layout.key(&Key::Instance(instance)));
        assert_eq!(of_instance.map(|stored| stored.lease), Some(stored.lease), "{seed}: {key}");
    }
}

fn everything(contents: furt_core::registry::Contents) -> Vec<Change> {
    let of = |id: &InstanceId, contents: &furt_core::registry::Contents| InstanceRef {
        service: contents.instances[id].service.clone(),
        id: id.clone(),
    };
    let mut all: Vec<_> = contents.definitions.values().cloned().map(Change::PutDefinition).collect();
    all.extend(contents.instances.values().cloned().map(Change::PutInstance));
    all.extend(contents.ttls.iter().map(|(id, ttl)| Change::NoteTtl { instance: of(id, &contents), ttl: *ttl }));
    all.extend(contents.draining.iter().map(|(id, mark)| Change::PutDraining(of(id, &contents), mark.clone())));
    all.extend(contents.holds.iter().map(|(instance, mark)| Change::PutHold(instance.clone(), mark.clone())));
    all.extend(contents.keys.values().cloned().map(Change::PutKey));
    all.extend(contents.maintenance.into_iter().map(|(scope, one)| Change::PutMaintenance(scope, one)));
    all.extend(contents.splits.into_iter().map(|(service, one)| Change::PutSplit(service, one)));
    all.extend(contents.grants.into_iter().map(|(service, one)| Change::PutGrant(service, one)));
    all
}

#[test]
fn a_write_that_is_too_wide_is_stored_in_pieces() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let ids: Vec<_> = (0..300).map(|number| format!("i{number}")).collect();
    gateway.write(&mut model, vec![put_definition("s", &[])], Vec::new());
    for id in &ids {
        gateway.write(&mut model, vec![put_instance("s", id, None)], Vec::new());
    }
    let changes = ids.iter().map(|id| Change::PutDraining(at("s", id), mark(DrainUntil::Restart))).collect();
    let of_each = |id: &String| {
        let instance = at("s", id);
        [
            Premise::Unchanged(Record::Instance(instance.clone())),
            Premise::Absent(Record::Drain(instance.clone())),
            Premise::Absent(Record::Hold(instance)),
        ]
    };
    let premises = ids.iter().flat_map(of_each).collect();
    let stored = gateway.write(&mut model, changes, premises);
    assert!(stored.len() > 1 && stored.iter().all(|stored| *stored), "{stored:?}");
    assert_eq!(contents(&model).draining.len(), 300);
}

#[test]
fn a_burst_of_registrations_goes_in_batches_that_etcd_takes() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let write = |number: u64| {
        let (name, id) = (format!("s{number}"), format!("i{number}"));
        let patterns: Vec<_> = (0..16).map(|route| format!("/{number}/{route}/*")).collect();
        let instance = at(&name, &id);
        let place = InstanceSpec::new(instance.id.clone(), UpstreamUrl::try_new("http://10.0.0.9:80").unwrap()).place();
        let premises = vec![
            Premise::Absent(Record::Definition(service(&name))),
            Premise::Unclaimed(Claim::Routes(definition(&name, &patterns))),
            Premise::Absent(Record::Instance(instance.clone())),
            Premise::Absent(Record::Hold(instance.clone())),
            Premise::Unclaimed(Claim::Id(instance.id)),
            Premise::Unclaimed(Claim::Place(service(&name), place)),
            Premise::Absent(Record::Drain(at(&name, &id))),
        ];
        let changes = vec![put_definition(&name, &patterns), put_instance(&name, &id, Some(5))];
        waiting(number, Write::new(changes, Revision(gateway.mirror.revision), premises))
    };
    let mut queue: VecDeque<_> = (0..500).map(write).collect();
    let before = model.revision;
    let stored = gateway.send(&mut model, &mut queue);
    assert_eq!(stored, [true; 500]);
    assert_eq!(contents(&model).instances.len(), 500);
    assert!(model.revision - before < 250, "{} batches", model.revision - before);
}

#[test]
fn a_write_is_outdated_by_each_thing_that_it_relies_on() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let one = at("s", "i");
    gateway.write(&mut model, vec![put_definition("s", &["/a".into()]), put_instance("s", "i", None)], Vec::new());
    gateway.write(&mut model, vec![maintenance("s", "one")], Vec::new());
    let seen = gateway.mirror.revision;
    let claim = || Premise::Unclaimed(Claim::Routes(definition("t", &["/b".into()])));
    type Rival = fn() -> Vec<Change>;
    let cases: [(Premise, Rival, Vec<Premise>); 9] = [
        (Premise::Absent(Record::Definition(service("t"))), || vec![put_definition("t", &[])], vec![]),
        (Premise::Unchanged(Record::Definition(service("s"))), || vec![put_definition("s", &[])], vec![]),
        (Premise::Unchanged(Record::Instance(one.clone())), || vec![Change::RemoveInstance(at("s", "i"))], vec![]),
        (Premise::Unchanged(Record::Instance(one.clone())), || vec![put_instance("s", "i", None)], vec![]),
        (claim(), || vec![put_definition("u", &["/b".into()])], vec![claim()]),
        (Premise::Settled(service("s")), || vec![put_instance("s", "j", None)], vec![]),
        (Premise::WithoutInstances(service("s")), Vec::new, vec![]),
        (
            Premise::Unchanged(Record::Maintenance(MaintenanceScope::Service(service("s")))),
            || vec![maintenance("s", "another")],
            vec![],
        ),
        (
            Premise::Absent(Record::Hold(one.clone())),
            || vec![Change::PutHold(at("s", "i"), mark(DrainUntil::Undo))],
            vec![],
        ),
    ];
    for (premise, rival, rivals_premises) in cases {
        for is_followed in [true, false] {
            let mut model = model.clone();
            // A gateway of its own: `gateway` has seen what is there, and no more.
            let mut stays = Gateway { own: Own::new(this_gateway()), ..Gateway::new(&mut model) };
            stays.follow(&model.all(stays.layout.records()));
            let seen = stays.mirror.revision.max(seen);
            let write = Write::new(vec![put_definition("w", &[])], Revision(seen), vec![premise.clone()]);
            let mut planned = VecDeque::from([waiting(1, write)]);
            let early = gather(&mut planned.clone(), &stays.mirror, &stays.own, &stays.layout).0;
            let changes = rival();
            if !changes.is_empty() {
                let mut other = Gateway::new(&mut model);
                other.follow(&model.all(other.layout.records()));
                assert_eq!(other.write(&mut model, changes, rivals_premises.clone()), [true]);
                stays.put_at = other.put_at;
                if is_followed {
                    stays.follow(&model.all(stays.layout.records()));
                }
            }
            let stored = match early.filter(|_| !is_followed) {
                Some(mut batch) => stays.send_one(&mut model, &mut batch).0,
                None => stays.send(&mut model, &mut planned),
            };
            assert_eq!(stored, [false], "{premise:?}, followed: {is_followed}");
        }
    }
}

#[test]
fn a_fence_that_this_gateway_put_itself_is_not_in_its_way() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let seen = Revision(gateway.mirror.revision);
    let write = |number: u64| {
        // Both have fences in common, and no route.
        let patterns: Vec<_> = (0..40).map(|route| format!("/{number}/{route}")).collect();
        let name = format!("s{number}");
        let premises = vec![Premise::Unclaimed(Claim::Routes(definition(&name, &patterns)))];
        waiting(number, Write::new(vec![put_definition(&name, &patterns)], seen, premises))
    };
    assert_eq!(gateway.send(&mut model, &mut VecDeque::from([write(1)])), [true]);
    assert_eq!(
        gateway.send(&mut model, &mut VecDeque::from([write(2)])),
        [true],
        "it was judged with the first one in mind"
    );
    let mut other = Gateway::new(&mut model);
    other.follow(&model.all(other.layout.records()));
    assert_eq!(other.send(&mut model, &mut VecDeque::from([write(3)])), [false], "and another gateway's is");
}

fn put(key: &Key, value: &str, modified: u64) -> Put {
    let (key, value) = (layout().key(key).into_bytes(), value.as_bytes().to_vec());
    Put { key, value, created: modified, modified, lease: None }
}

const DEFINITION: &str = r#"{"service":"s","host":null,"routes":[],"policy":"edge","hash_key":null,"slow_start_ms":null,"connect_timeout_ms":null,"read_timeout_ms":null,"metadata":{},"revision":0,"registered_from":"10.0.0.1""#;
const INSTANCE: &str = r#"{"instance":"i","service":"s","url":"http://10.0.0.9:80","protocol":"http1","tls_name":null,"health_endpoint":null,"heartbeat_ttl_ms":3000,"weight":1,"soft_limit":0,"hard_limit":0,"region":null,"country":null,"addresses":["10.0.0.9:80"],"registered_from":"10.0.0.1""#;

#[test]
fn records_of_strangers_are_refused_and_an_orphan_is_taken_over_with_its_service() {
    let (layout, mut mirror) = (layout(), Mirror::default());
    let of_service = Key::Definition(service("s"));
    let of_instance = Key::Instance(at("s", "i"));
    let mut revision = 0;
    let mut told = |mirror: &mut Mirror, puts: Vec<(&Key, String)>| {
        revision += 1;
        let puts = puts.iter().map(|(key, value)| put(key, value, revision)).collect();
        let followed = follow(&Group { revision, puts, deletes: Vec::new() }, mirror, &layout, &|_| None, true);
        let refused: Vec<_> = followed.refused.iter().map(|refused| refused.why.to_string()).collect();
        (followed.changes.len(), refused)
    };
    let instance = format!("{INSTANCE}}}");
    assert_eq!(
        told(&mut mirror, vec![(&of_instance, instance.clone())]),
        (0, vec!["there is no service \"s\"".into()])
    );
    assert_eq!(mirror.refused(), 1);
    assert_eq!(
        told(&mut mirror, vec![(&of_service, format!("{DEFINITION}}}"))]),
        (2, vec![]),
        "and the orphan with it"
    );
    assert_eq!(mirror.refused(), 0);
    for (key, value, why) in [
        (&of_service, "{".to_owned(), "EOF"),
        (&of_service, format!("{DEFINITION},\"metadata\":1}}"), "duplicate field"),
        (&of_service, DEFINITION.replace("\"s\"", "\"t\"") + "}", "it says that it is \"t\""),
        (&of_service, " ".repeat(70_000), "it has 70000 bytes"),
        (&Key::Instance(at("s", "j")), instance.clone(), "it says that it is \"i\""),
        (&Key::ApiKey(KeyName::try_new("k").unwrap()), "[]".to_owned(), "invalid"),
        (&Key::Ttl(at("s", "i")), "-1".to_owned(), "no TTL"),
        (&Key::Drain(at("s", "i")), "{}".to_owned(), "missing field"),
    ] {
        let (count, refused) = told(&mut mirror, vec![(key, value)]);
        assert_eq!(count, 0, "{key:?}");
        assert!(refused[0].contains(why), "{refused:?}: {why}");
    }
    // What counts as absent is mended by who registers it.
    assert!(mirror.accepted(&of_service).is_none());
}

#[test]
fn unknown_fields_are_kept_and_those_that_restrict_suspend() {
    let (layout, mut mirror) = (layout(), Mirror::default());
    let (of_service, of_instance) = (Key::Definition(service("s")), Key::Instance(at("s", "i")));
    let definition = format!("{DEFINITION},\"later\": {{\"b\":1, \"a\":[2]}}}}");
    let instance = format!("{INSTANCE},\"reads\":4,\"only\":\"here\"}}");
    let puts = vec![put(&of_service, &definition, 1), put(&of_instance, &instance, 1)];
    let followed = follow(&Group { revision: 1, puts, deletes: Vec::new() }, &mut mirror, &layout, &|_| None, true);
    let suspended: Vec<_> = followed.changes.iter().map(|incoming| incoming.suspended.as_deref()).collect();
    assert_eq!(suspended, [None, Some("written by a newer furt")]);
    // The lease ends, and both are stored again as they were.
    let deletes = [&of_service, &of_instance].map(|key| layout.key(key).into_bytes()).to_vec();
    follow(&Group { revision: 2, puts: Vec::new(), deletes }, &mut mirror, &layout, &|_| None, true);
    let changes: Vec<_> = followed.changes.into_iter().map(|incoming| incoming.change).collect();
    let write = Write::new(changes, Revision(2), Vec::new());
    let (batch, _) = gather(&mut VecDeque::from([waiting(1, write)]), &mirror, &Own::new(this_gateway()), &layout);
    let put_values: BTreeSet<_> = batch.unwrap().writes[0]
        .1
        .nested
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::Put { value, .. } => Some(String::from_utf8(value.clone()).unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(put_values, BTreeSet::from([definition, instance]), "byte for byte");
}

#[test]
fn a_rotated_key_keeps_what_a_newer_furt_wrote_beside_it() {
    let (layout, mut mirror) = (layout(), Mirror::default());
    let key = Key::ApiKey(KeyName::try_new("k").unwrap());
    let value = format!(
        r#"{{"name":"k","sha256":"{}","permissions":["*"],"allow_from":[],"rate":"5/s","burst":9,"created_ms":1,"expires_ms":null,"old":[],"later":{{"x":1}}}}"#,
        Sha256Digest::of(b"one")
    );
    let puts = vec![put(&key, &value, 1)];
    let followed = follow(&Group { revision: 1, puts, deletes: Vec::new() }, &mut mirror, &layout, &|_| None, true);
    assert_eq!(followed.changes.len(), 1);
    let write = Write::new(vec![Change::PutKey(api_key("k", "two"))], Revision(1), Vec::new());
    let (batch, _) = gather(&mut VecDeque::from([waiting(1, write)]), &mirror, &Own::new(this_gateway()), &layout);
    let batch = batch.unwrap();
    let stored = batch.writes[0].1.nested.ops.iter().find_map(|op| match op {
        Op::Put { key: stored_as, value, .. } if *stored_as == layout.key(&key) => {
            Some(serde_json::from_slice::<serde_json::Value>(value).unwrap())
        }
        _ => None,
    });
    let stored = stored.unwrap();
    assert_eq!(stored["later"], serde_json::json!({ "x": 1 }));
    assert_eq!(stored["sha256"], Sha256Digest::of(b"two").to_string());
    assert_eq!(
        (&stored["rate"], stored.get("burst")),
        (&serde_json::Value::Null, None),
        "what it knows is the new key's"
    );
    let newer = value.replace("\"later\"", "\"reads\":4,\"later\"");
    let puts = vec![put(&key, &newer, 2)];
    let followed = follow(&Group { revision: 2, puts, deletes: Vec::new() }, &mut mirror, &layout, &|_| None, true);
    assert_eq!(&*followed.refused[0].why, "written by a newer furt", "a key is used whole or not at all");
    let changes: Vec<_> = followed.changes.into_iter().map(|incoming| incoming.change).collect();
    assert_eq!(changes, [Change::RemoveKey(KeyName::try_new("k").unwrap())], "and not as it was before");
}
