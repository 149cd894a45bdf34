//! The audit in a file: one chain over batches and starts, and an entry goes with its change or not at all.

use super::*;
use crate::audit::{MAX_ENTRIES, RecordedEntry};
use crate::store::conformance::audited;

fn entries(store: &DiskStore) -> Vec<RecordedEntry> {
    store.running().entries(Some(0), usize::MAX).unwrap().entries
}

fn names(entries: &[RecordedEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.record.as_ref().unwrap().key.as_deref().unwrap()).collect()
}

#[test]
fn entries_are_one_chain_over_batches_and_starts() {
    let folder = Folder::new();
    let mut store = DiskStore::open(&folder.path()).unwrap().of_gateway("g:1");
    store.apply(&[api_key("k0", "0"), audited("a"), audited("b")]).unwrap();
    store.apply(&[audited("c")]).unwrap();
    drop(store);
    let mut store = DiskStore::open(&folder.path()).unwrap().of_gateway("g:1");
    store.apply(&[audited("d")]).unwrap();
    let all = entries(&store);
    assert_eq!(names(&all), ["a", "b", "c", "d"]);
    for (at, entry) in all.iter().enumerate() {
        let record = entry.record.as_ref().unwrap();
        assert_eq!((entry.position, record.number, record.gateway.as_str()), (at as u64 + 1, at as u64 + 1, "g:1"));
        assert_eq!(record.previous, at.checked_sub(1).map(|before| all[before].sha256.to_string()));
    }
    let page = |after, limit| store.running().entries(after, limit).unwrap();
    assert_eq!((names(&page(None, 2).entries), page(None, 2).next), (vec!["c", "d"], 4), "the last ones");
    assert_eq!((names(&page(Some(1), 2).entries), page(Some(1), 2).next), (vec!["b", "c"], 3), "the next ones");
    assert_eq!(page(Some(4), 2).next, 4);
    assert_eq!(page(Some(u64::MAX), 2).entries, []);
}

#[test]
fn a_store_without_an_audit_has_an_empty_one() {
    let folder = Folder::new();
    let store = DiskStore::open(&folder.path()).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    let transaction = begin(database).unwrap();
    transaction.delete_table(AUDIT).unwrap();
    transaction.commit().unwrap();
    assert_eq!(entries(&store), []);
}

#[test]
fn the_oldest_entries_go_where_there_are_too_many() {
    let folder = Folder::new();
    let mut store = DiskStore::open(&folder.path()).unwrap();
    let most = usize::try_from(MAX_ENTRIES).unwrap();
    store.apply(&vec![audited("a"); most]).unwrap();
    store.apply(&[audited("b"), audited("c")]).unwrap();
    let all = entries(&store);
    assert_eq!((all.len(), all[0].position, names(&all[most - 2..])), (most, 3, vec!["b", "c"]));
    assert_eq!(all[1].record.as_ref().unwrap().previous, Some(all[0].sha256.to_string()));
}

#[test]
fn a_gateway_that_is_renamed_has_a_chain_of_each_name() {
    let folder = Folder::new();
    let mut last = std::collections::BTreeMap::new();
    for (name, entry) in [("g:1", "a"), ("g:2", "b"), ("g:2", "c"), ("g:1", "d")] {
        let mut store = DiskStore::open(&folder.path()).unwrap().of_gateway(name);
        store.apply(&[audited(entry)]).unwrap();
        let all = entries(&store);
        let newest = all.last().unwrap();
        let record = newest.record.as_ref().unwrap();
        let (number, sha256) = last.get(name).cloned().unwrap_or((0, None));
        assert_eq!((record.number, &record.previous), (number + 1, &sha256), "{name} {entry}");
        last.insert(name, (record.number, Some(newest.sha256.to_string())));
    }
}
