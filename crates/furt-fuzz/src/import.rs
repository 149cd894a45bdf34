//! The target `import`: what `furt store import` takes, up to the registry that starts with it.
//!
//! An input is the JSON of an export. It is refused and no file is left, or the store that it makes gives the same again,
//! is opened, and its registry stands.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use furt::clock;
use furt::store::{self, DiskStore, examine};
use furt_core::model::{CidrSet, Epoch, Host};
use furt_core::ports::Store as _;
use furt_core::registry::Contents;
use furt_core::registry::{
    HealthLimits, Now, RegistrationPolicy, Registry, Settings, Sharing, Suspended, UnlistedRule,
};

/// Asserts that nothing is left of a refused import, and nothing lost of one that is taken.
pub fn import(data: &[u8]) {
    let Ok(json) = std::str::from_utf8(data) else { return };
    let Ok(folder) = tempfile::tempdir() else { return };
    let into = folder.path().join("furt.redb");
    match store::import(json, &into) {
        Err(why) => {
            assert!(!why.to_string().is_empty());
            let left: Vec<_> = std::fs::read_dir(folder.path()).into_iter().flatten().collect();
            assert!(left.is_empty(), "{why}, and yet {left:?} is there");
        }
        Ok(summary) => {
            assert_eq!(must(store::check(&into)), summary);
            let held = must(examine(&into));
            let exported = must(store::export(&into));
            check_said(json, &exported);
            let again = folder.path().join("again.redb");
            assert_eq!(must(store::import(&exported.to_string(), &again)), summary);
            assert_eq!(must(examine(&again)), held, "exported and imported, it is the same");
            check_start(&into, held);
        }
    }
}

fn must<T>(result: Result<T, furt_core::ports::StoreError>) -> T {
    result.unwrap_or_else(|why| panic!("it was imported, and yet: {why}"))
}

/// What a store gives is what was written into it: who there is, where, and who may take which route.
fn check_said(json: &str, exported: &Value) {
    let said = serde_json::from_str::<Value>(json).unwrap_or_default();
    let records = |all: &Value, list: &str, key: &str| -> BTreeMap<String, Value> {
        let name = |record: &Value| record[key].as_str().unwrap_or_default().to_owned();
        all[list].as_array().into_iter().flatten().map(|record| (name(record), record.clone())).collect()
    };
    let (before, after) = (records(&said, "definitions", "service"), records(exported, "definitions", "service"));
    assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
    for (one, other) in before.values().zip(after.values()) {
        let permissions = |record: &Value| -> Vec<Value> {
            record["routes"].as_array().into_iter().flatten().map(|route| route["permission"].clone()).collect()
        };
        assert_eq!(permissions(one), permissions(other), "a route is as public as it says");
        assert_eq!((&one["metadata"], &one["revision"]), (&other["metadata"], &other["revision"]));
    }
    let (before, after) = (records(&said, "instances", "instance"), records(exported, "instances", "instance"));
    assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
    for (one, other) in before.values().zip(after.values()) {
        assert_eq!((&one["service"], &one["health_endpoint"]), (&other["service"], &other["health_endpoint"]));
    }
    let (before, after) = (records(&said, "keys", "name"), records(exported, "keys", "name"));
    assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
    for (one, other) in before.values().zip(after.values()) {
        assert_eq!(one["expires_ms"], other["expires_ms"], "a key ends when it says");
        assert_eq!(one["permissions"], other["permissions"], "a key may do what it says");
    }
    let ttls = |all: &Value| all["ttls_ms"].as_object().cloned().unwrap_or_default();
    assert_eq!(ttls(&said), ttls(exported));
    // Ids in format 2, records from 3 on.
    let draining = |all: &Value| {
        let ids = all["draining"].as_array().into_iter().flatten();
        let records = all["drains"].as_array().into_iter().flatten().map(|record| &record["instance"]);
        ids.chain(records).collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!(draining(&said), draining(exported));
    assert_eq!(said["holds"].as_array().map_or(0, Vec::len), exported["holds"].as_array().map_or(0, Vec::len));
}

/// A furt that starts with it counts the start, and its registry is sound: `restore` sweeps its invariants.
fn check_start(path: &Path, held: Contents) {
    let loaded = must(DiskStore::open(path).and_then(|mut store| store.load()));
    assert_eq!(loaded, Contents { starts: held.starts + 1, ..held });
    let now = Now { at: clock::now(), unix_ms: clock::unix_ms() };
    let (mut registry, _) = Registry::new(Epoch(uuid::Uuid::nil()), settings(), Vec::new(), Vec::new(), now);
    let services = loaded.definitions.len();
    drop(registry.restore(loaded, &Suspended::default(), now));
    let snapshot = registry.take_snapshot();
    assert_eq!(snapshot.map_or(0, |snapshot| snapshot.registered().count()), services, "each is shown");
}

fn settings() -> Settings {
    let second = Duration::from_secs(1);
    let domain = Host::try_new("internal").unwrap_or_else(|why| panic!("{why}"));
    Settings {
        policy: RegistrationPolicy {
            grants: BTreeMap::new(),
            unlisted: UnlistedRule::Loopback,
            upstreams: CidrSet::try_new(&["127.0.0.0/8", "10.0.0.0/8"]).unwrap_or_default(),
            static_routes: Vec::new(),
            apps_domain: domain,
        },
        health: HealthLimits {
            interval: 30 * second,
            interval_down: 120 * second,
            failures_to_down: 3,
            failures_to_stop: 10,
            startup_time: Duration::from_secs(60),
            min_interval: Duration::from_secs(1),
        },
        heartbeat_ttl: 60 * second,
        sharing: Sharing::Exclusive,
        outage_hold: Duration::from_secs(300),
        shares_limits: false,
        rules: Default::default(),
    }
}
