//! A file that goes from one process to the next: when it is written, and in whose format.

use super::*;
use crate::store::LendableStore;

/// A store in use, of an older format than today's: as the next one sees it.
fn lent() -> (Folder, LendableStore, Custody) {
    let (folder, _) = Folder::filled();
    let (store, custody) = LendableStore::new(DiskStore::open(&folder.path()).unwrap());
    custody.lend().unwrap();
    (folder, store, custody)
}

fn format_of_file(folder: &Folder) -> Option<u64> {
    format(&Database::open(folder.path()).unwrap()).unwrap()
}

#[test]
fn a_store_that_is_lent_stores_nothing_and_its_file_is_free() {
    let (folder, mut store, custody) = lent();
    let other = DiskStore::borrow(&folder.path()).unwrap();
    assert!(store.apply(&[api_key("k", "k")]).unwrap_err().to_string().contains("takes over"));
    assert!(custody.lend().is_err(), "it is lent already");
    drop(other);
    custody.take_back();
    store.apply(&[api_key("k", "k")]).unwrap();
    drop(store);
    assert!(examine(&folder.path()).unwrap().keys.keys().any(|name| name.as_str() == "k"));
}

#[test]
fn what_is_borrowed_is_read_and_not_written_and_keeps_its_format_until_it_is_taken_over() {
    let (folder, _) = Folder::filled();
    let older = of_format_2(&folder);
    let borrowed = DiskStore::borrow(&folder.path()).unwrap();
    let (mut store, custody) = LendableStore::new(borrowed);
    assert_eq!(store.load().unwrap().instances, older.instances);
    assert!(store.apply(&[hold("s1", "i1")]).is_err());
    drop(store);
    assert_eq!(format_of_file(&folder), Some(2), "the furt that wrote it can go on");
    assert_eq!(examine(&folder.path()).unwrap().holds.len(), 0);

    let (mut store, again) = LendableStore::new(DiskStore::borrow(&folder.path()).unwrap());
    custody.take_over();
    assert!(store.apply(&[hold("s1", "i1")]).is_err(), "that was another store's");
    again.take_over();
    store.apply(&[hold("s1", "i1")]).unwrap();
    drop(store);
    assert_eq!(format_of_file(&folder), Some(FORMAT));
    assert_eq!(examine(&folder.path()).unwrap().holds.len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_not_made_for_who_borrows_it() {
    let folder = Folder(tempfile::tempdir().unwrap());
    assert!(DiskStore::borrow(&folder.path()).is_err());
    assert!(!folder.path().exists());
}

#[test]
fn a_store_that_is_not_well_is_not_lent() {
    let (folder, mut store, custody) = lent();
    let other = DiskStore::borrow(&folder.path()).unwrap();
    custody.take_back();
    assert!(store.apply(&[]).unwrap_err().to_string().contains("is in use"));
    assert!(custody.lend().unwrap_err().to_string().contains("is in use"));
    drop(other);
}
