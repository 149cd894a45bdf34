//! etcd as far as its transactions go, for tests: it refuses what etcd refuses, and stores what etcd stores.

use std::collections::{BTreeMap, BTreeSet};

use super::follow::{Group, Put};
use super::mirror::Lease;
use super::txn::{Compare, MOST_OPS, Nested, Op, Txn, Under};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) value: Vec<u8>,
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) lease: Option<Lease>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) revision: u64,
    pub(super) keys: BTreeMap<String, Stored>,
}

impl Model {
    /// Does it; gives which of its writes were stored and what the watch tells. `None`: its comparisons do not hold.
    pub(super) fn apply(&mut self, txn: &Txn) -> Option<(Vec<bool>, Group)> {
        check(txn);
        let before = self.clone();
        if !txn.compares.iter().all(|compare| before.holds(compare)) {
            return None;
        }
        self.revision += 1;
        let mut group = Group { revision: self.revision, ..Group::default() };
        txn.ops.iter().for_each(|op| self.op(op, None, &mut group));
        let stored: Vec<_> =
            txn.writes.iter().map(|write| write.compares.iter().all(|compare| before.holds(compare))).collect();
        for (write, _) in txn.writes.iter().zip(&stored).filter(|(_, stored)| **stored) {
            write.ops.iter().for_each(|op| self.op(op, write.granted, &mut group));
        }
        Some((stored, group))
    }

    fn holds(&self, compare: &Compare) -> bool {
        let modified = |key: &String| self.keys.get(key).map(|stored| stored.modified);
        let below = |prefix: &str| self.keys.iter().filter(move |(key, _)| key.starts_with(prefix)).count();
        match compare {
            Compare::Absent(key) => modified(key).is_none(),
            Compare::PutAt(key, revision) => modified(key).unwrap_or(0) == *revision,
            Compare::NotPutAfter(key, revision) => modified(key).is_none_or(|modified| modified <= *revision),
            Compare::NonePutAfter(prefix, revision) => {
                let mut all = self.keys.iter().filter(|(key, _)| key.starts_with(prefix.as_str()));
                all.all(|(_, stored)| stored.modified <= *revision)
            }
            Compare::Empty(prefix) => below(prefix) == 0,
        }
    }

    fn op(&mut self, op: &Op, granted: Option<Lease>, group: &mut Group) {
        let lease = |under: &Under| match under {
            Under::None => None,
            Under::Held(lease) => Some(*lease),
            Under::Granted => Some(granted.expect("its lease is granted")),
        };
        let (key, value, lease) = match op {
            Op::Put { key, value, under } => (key, value.clone(), lease(under)),
            Op::Attach { key, under } => {
                let value = self.keys.get(key).expect("etcd refuses to attach a key that is not there").value.clone();
                (key, value, lease(under))
            }
            Op::Delete(key) => {
                if self.keys.remove(key).is_some() {
                    group.deletes.push(key.clone().into_bytes());
                }
                return;
            }
            Op::DeleteAll(prefix) => {
                let all: Vec<_> = self.keys.keys().filter(|key| key.starts_with(prefix.as_str())).cloned().collect();
                for key in all {
                    self.keys.remove(&key);
                    group.deletes.push(key.into_bytes());
                }
                return;
            }
        };
        let modified = self.revision;
        let created = self.keys.get(key).map_or(modified, |before| before.created);
        group.puts.push(Put { key: key.clone().into_bytes(), value: value.clone(), created, modified, lease });
        self.keys.insert(key.clone(), Stored { value, created, modified, lease });
    }

    /// All that is there, as a first reading gives it.
    pub(super) fn all(&self, prefix: &str) -> Group {
        let of = |(key, stored): (&String, &Stored)| Put {
            key: key.clone().into_bytes(),
            value: stored.value.clone(),
            created: stored.created,
            modified: stored.modified,
            lease: stored.lease,
        };
        let puts = self.keys.iter().filter(|(key, _)| key.starts_with(prefix)).map(of).collect();
        Group { revision: self.revision, puts, deletes: Vec::new() }
    }
}

/// What etcd refuses before it looks at anything.
fn check(txn: &Txn) {
    let on_top = txn.on_top();
    assert!(on_top <= MOST_OPS, "too many operations: {on_top}");
    let mut puts = BTreeSet::new();
    let mut deletes = Vec::new();
    let all = std::iter::once(&txn.ops).chain(txn.writes.iter().map(|write| &write.ops)).flatten();
    for op in all {
        match op {
            Op::Put { key, .. } | Op::Attach { key, .. } => assert!(puts.insert(key.clone()), "duplicate key {key}"),
            Op::Delete(key) => deletes.push((key, false)),
            Op::DeleteAll(prefix) => deletes.push((prefix, true)),
        }
    }
    for (deleted, is_prefix) in deletes {
        let put = puts.iter().find(|put| *put == deleted || is_prefix && put.starts_with(deleted.as_str()));
        assert_eq!(put, None, "duplicate key: put and deleted");
    }
    for Nested { compares, ops, .. } in &txn.writes {
        let groups = Nested::groups(ops.clone(), compares.len(), on_top);
        let (of_groups, largest) = match groups.as_slice() {
            [ops] => (ops.len(), 0),
            groups => (groups.len(), groups.iter().map(Vec::len).max().unwrap_or(0)),
        };
        assert_eq!(groups.concat(), *ops, "none is lost, and each has its place");
        let within = on_top + compares.len().max(of_groups) + largest;
        assert!(within <= MOST_OPS, "too many operations within: {within}");
    }
}
