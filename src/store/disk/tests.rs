//! What becomes of files: opened again, held by another, made by a newer furt, cut, bent, gone, and not writable.

mod audit;
mod failing;
mod grants;
mod lending;
mod secret;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::conformance::{
    api_key, definition, draining, gone, gone_grant, gone_key, gone_split, grant, held, hold, instance, maintenance,
    note_down, note_status, note_ttl, split,
};
use crate::store::disk::opening::examine;
use furt_core::registry::DefinitionRecord;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("furt.redb")
    }

    /// A store with some services, written in more than one batch, and closed.
    fn filled() -> (Self, Contents) {
        let folder = Self::new();
        let mut store = DiskStore::open(&folder.path()).unwrap();
        let contents = fill(&mut store);
        (folder, contents)
    }
}

/// Loads it, so that a start is counted, and gives what must be there next time.
fn fill(store: &mut DiskStore) -> Contents {
    let starts = store.load().unwrap().starts;
    for number in 0..12 {
        let (service, id) = (format!("s{number}"), format!("i{number}"));
        store.apply(&[definition(&service, number), instance(&service, &id, "http://h:1")]).unwrap();
    }
    store
        .apply(&[gone("s3", &["i3"]), note_down("i5", true), draining("i7"), note_ttl("i9", 60), hold("s", "i")])
        .unwrap();
    store.apply(&[note_status("i6", Status::Up)]).unwrap();
    store.apply(&[api_key("k0", "0"), api_key("k1", "1"), api_key("k2", "2")]).unwrap();
    store.apply(&[gone_key("k1"), maintenance("s1", "one"), maintenance("*", "two")]).unwrap();
    store.apply(&[split("s1", &[("2", 5.0), ("1", 0.25)]), split("t", &[("3", 1.0)]), gone_split("t")]).unwrap();
    store.apply(&[grant("s1", "/s1/*"), grant("t", "/t"), gone_grant("t")]).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    let contents = read(database).unwrap();
    assert_eq!((contents.starts, contents.instances.len(), contents.keys.len()), (starts, 11, 2));
    assert_eq!(
        (contents.observed.down.len(), contents.observed.up.len(), contents.draining.len(), contents.ttls.len()),
        (1, 1, 1, 1)
    );
    contents
}

/// Either it opens and holds just that, or it is refused with the file named and left as it is.
fn check(path: &Path, bytes: &[u8], expected: &Contents, what: &str) -> bool {
    fs::write(path, bytes).unwrap();
    match examine(path) {
        Ok(contents) => {
            assert_eq!(contents, *expected, "{what}: it holds something else");
            // The opening in earnest finds the same; it syncs, so that is looked at for one in eight.
            if what.bytes().map(usize::from).sum::<usize>() % 8 > 0 {
                return true;
            }
            let mut store = DiskStore::open(path).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(store.load().unwrap(), Contents { starts: expected.starts + 1, ..expected.clone() }, "{what}");
            true
        }
        Err(error) => {
            let again = DiskStore::open(path).map(|_| ()).expect_err(what);
            for error in [error, again] {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{what}: {error}");
            }
            assert!(fs::read(path).unwrap() == bytes, "{what}: the refusal changed the file");
            false
        }
    }
}

fn refusal(path: &Path) -> String {
    let Err(error) = DiskStore::open(path) else { panic!("it is opened") };
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error.to_string()
}

/// As it is on disk while it is open: what a crash leaves.
fn crashed() -> (Folder, Contents, Vec<u8>) {
    let folder = Folder::new();
    let mut store = DiskStore::open(&folder.path()).unwrap();
    let contents = fill(&mut store);
    let bytes = fs::read(folder.path()).unwrap();
    drop(store);
    (folder, contents, bytes)
}

#[test]
fn what_was_stored_is_there_when_it_is_opened_again_and_the_starts_are_counted() {
    let (folder, contents) = Folder::filled();
    for starts in 2..5 {
        let loaded = DiskStore::open(&folder.path()).unwrap().load().unwrap();
        assert_eq!(loaded, Contents { starts, ..contents.clone() });
    }
}

#[test]
fn what_was_stored_is_there_after_a_crash() {
    let (folder, contents, bytes) = crashed();
    fs::write(folder.path(), bytes).unwrap();
    let loaded = DiskStore::open(&folder.path()).unwrap().load().unwrap();
    assert_eq!(loaded, Contents { starts: contents.starts + 1, ..contents });
}

#[test]
fn a_store_that_is_open_is_refused_with_the_process_that_has_it() {
    let (folder, _) = Folder::filled();
    let store = DiskStore::open(&folder.path()).unwrap();
    let bytes = fs::read(folder.path()).unwrap();
    let why = refusal(&folder.path());
    assert!(why.contains(&format!("in use by process {}", std::process::id())), "{why}");
    assert!(
        check(&folder.path(), &bytes, &Contents::new(store.epoch), "held") || fs::read(folder.path()).unwrap() == bytes
    );
}

#[test]
fn each_refusal_is_of_its_kind() {
    let (folder, _) = Folder::filled();
    let kind = |path: &Path| DiskStore::open(path).map(drop).unwrap_err();
    assert!(matches!(kind(folder.0.path()), StoreError::Unavailable(_)), "a directory");
    let store = DiskStore::open(&folder.path()).unwrap();
    assert!(matches!(kind(&folder.path()), StoreError::InUse(_)));
    drop(store);
    let exported = export(&folder.path()).unwrap().to_string();
    assert!(matches!(import(&exported, &folder.path()).map(drop).unwrap_err(), StoreError::Exists(_)));
    let elsewhere = folder.0.path().join("elsewhere");
    assert!(matches!(import("{}", &elsewhere).map(drop).unwrap_err(), StoreError::Invalid(_)));
    fs::write(folder.path(), "no store").unwrap();
    assert!(matches!(kind(&folder.path()), StoreError::Damaged(_)));
}

#[test]
fn a_newer_format_is_refused_and_says_what_to_do() {
    let (folder, _) = Folder::filled();
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", (FORMAT + 1).to_string().as_bytes()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let bytes = fs::read(folder.path()).unwrap();
    let why = refusal(&folder.path());
    assert!(why.contains(&format!("format {}", FORMAT + 1)) && why.contains("run the furt that wrote it"), "{why}");
    assert!(matches!(examine(&folder.path()), Err(StoreError::OtherFormat(_))));
    assert!(fs::read(folder.path()).unwrap() == bytes);
}

/// As a furt of format 2 left it, with `i7` draining.
fn of_format_2(folder: &Folder) -> Contents {
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", b"2".as_slice()).unwrap();
    transaction.delete_table(DRAINS).unwrap();
    transaction.delete_table(HOLDS).unwrap();
    transaction.delete_table(MAINTENANCE).unwrap();
    transaction.delete_table(SPLITS).unwrap();
    transaction.delete_table(GRANTS).unwrap();
    transaction.open_table(DRAINING).unwrap().insert("i7", ()).unwrap();
    transaction.commit().unwrap();
    read(&database).unwrap()
}

/// Who began a drain, when, and how long it holds was not kept, and no id was held; nor was anything in maintenance.
fn without_what_format_3_added(contents: Contents) -> Contents {
    let draining = contents.draining.into_keys().map(|id| (id, Arc::new(DrainMark::unknown()))).collect();
    let (holds, maintenance, splits, grants) = Default::default();
    Contents { draining, holds, maintenance, splits, grants, ..contents }
}

#[test]
fn a_store_of_format_2_keeps_its_drains_and_is_of_todays_format_from_then_on() {
    let (folder, contents) = Folder::filled();
    let older = of_format_2(&folder);
    assert_eq!(older, without_what_format_3_added(contents));
    let bytes = fs::read(folder.path()).unwrap();
    assert_eq!(super::check(&folder.path()).unwrap().draining, 1);
    assert!(fs::read(folder.path()).unwrap() == bytes, "a look changes nothing");
    let mut store = DiskStore::open(&folder.path()).unwrap();
    store.apply(&[hold("s1", "i1")]).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    assert_eq!(format(database).unwrap(), Some(FORMAT));
    drop(store);
    let loaded = examine(&folder.path()).unwrap();
    assert_eq!((&loaded.draining, loaded.holds.len()), (&older.draining, 1));
}

#[test]
fn an_export_of_format_2_is_imported() {
    let (folder, contents) = Folder::filled();
    let mut exported = export(&folder.path()).unwrap();
    exported["format"] = 2.into();
    for list in ["drains", "holds", "maintenance", "splits", "grants"] {
        exported.as_object_mut().unwrap().remove(list).unwrap();
    }
    exported["draining"] = serde_json::json!(["i7"]);
    let into = folder.0.path().join("copy");
    import(&exported.to_string(), &into).unwrap();
    assert_eq!(examine(&into).unwrap(), without_what_format_3_added(contents));
}

#[test]
fn a_store_and_an_export_of_format_3_have_nothing_in_maintenance_until_something_is() {
    let (folder, contents) = Folder::filled();
    let (maintenance_of_none, splits, grants) = Default::default();
    let older = Contents { maintenance: maintenance_of_none, splits, grants, ..contents };
    let mut exported = export(&folder.path()).unwrap();
    exported["format"] = 3.into();
    for list in ["maintenance", "splits", "grants"] {
        exported.as_object_mut().unwrap().remove(list).unwrap();
    }
    let into = folder.0.path().join("copy");
    import(&exported.to_string(), &into).unwrap();
    assert_eq!(examine(&into).unwrap(), older);
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", b"3".as_slice()).unwrap();
    transaction.delete_table(MAINTENANCE).unwrap();
    transaction.delete_table(SPLITS).unwrap();
    transaction.delete_table(GRANTS).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(examine(&folder.path()).unwrap(), older);
    let mut store = DiskStore::open(&folder.path()).unwrap();
    store.apply(&[maintenance("s1", "one")]).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    assert_eq!(format(database).unwrap(), Some(FORMAT), "a furt that would let requests in refuses it");
    assert_eq!(store.load().unwrap().maintenance.len(), 1);
}

#[test]
fn a_store_and_an_export_of_format_5_have_no_split_until_one_is_set() {
    let (folder, contents) = Folder::filled();
    let (splits, grants) = Default::default();
    let older = Contents { splits, grants, ..contents };
    let mut exported = export(&folder.path()).unwrap();
    exported["format"] = 5.into();
    for list in ["splits", "grants"] {
        exported.as_object_mut().unwrap().remove(list).unwrap();
    }
    let into = folder.0.path().join("copy");
    import(&exported.to_string(), &into).unwrap();
    assert_eq!(examine(&into).unwrap(), older);
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", b"5".as_slice()).unwrap();
    transaction.delete_table(SPLITS).unwrap();
    transaction.delete_table(GRANTS).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(examine(&folder.path()).unwrap(), older);
    let mut store = DiskStore::open(&folder.path()).unwrap();
    store.apply(&[split("s1", &[("2", 5.0)])]).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    assert_eq!(format(database).unwrap(), Some(FORMAT), "a furt that would balance evenly refuses it");
    assert_eq!(store.load().unwrap().splits.len(), 1);
}

/// As a furt of format 1 left it.
fn of_format_1(folder: &Folder) -> Contents {
    of_format_2(folder);
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", b"1".as_slice()).unwrap();
    transaction.delete_table(DRAINING).unwrap();
    transaction.delete_table(TTLS).unwrap();
    transaction.delete_table(KEYS).unwrap();
    transaction.commit().unwrap();
    read(&database).unwrap()
}

fn without_what_format_2_added(contents: Contents) -> Contents {
    let (draining, holds, ttls, keys, maintenance, splits, grants) = Default::default();
    Contents { draining, holds, ttls, keys, maintenance, splits, grants, ..contents }
}

#[test]
fn a_store_of_format_2_from_before_ttls_were_noted_is_opened_and_notes_them_from_then_on() {
    let (folder, _) = Folder::filled();
    let contents = of_format_2(&folder);
    let database = Database::open(folder.path()).unwrap();
    let transaction = begin(&database).unwrap();
    transaction.delete_table(TTLS).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(examine(&folder.path()).unwrap(), Contents { ttls: Default::default(), ..contents.clone() });
    let mut store = DiskStore::open(&folder.path()).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    database.begin_read().unwrap().open_table(TTLS).expect("it was made");
    store.apply(&[note_ttl("i9", 60)]).unwrap();
    drop(store);
    assert_eq!(examine(&folder.path()).unwrap(), contents);
}

#[test]
fn a_store_of_format_1_is_opened_with_all_that_it_holds_and_is_of_todays_format_from_then_on() {
    let (folder, contents) = Folder::filled();
    let older = of_format_1(&folder);
    assert_eq!(older, without_what_format_2_added(contents));
    let bytes = fs::read(folder.path()).unwrap();
    assert_eq!(super::check(&folder.path()).unwrap().draining, 0);
    assert!(fs::read(folder.path()).unwrap() == bytes, "a look changes nothing");

    let mut store = DiskStore::open(&folder.path()).unwrap();
    assert_eq!(store.load().unwrap().instances, older.instances);
    store.apply(&[draining("i1"), api_key("k", "k")]).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    assert_eq!(format(database).unwrap(), Some(FORMAT), "a furt that knows neither refuses it");
    drop(store);
    let loaded = DiskStore::open(&folder.path()).unwrap().load().unwrap();
    assert_eq!(loaded.keys.len(), 1);
    assert_eq!(loaded.draining.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["i1"]);
}

#[test]
fn an_export_of_format_1_is_imported() {
    let (folder, contents) = Folder::filled();
    let mut exported = export(&folder.path()).unwrap();
    exported["format"] = 1.into();
    for list in ["drains", "holds", "ttls_ms", "keys", "maintenance", "splits", "grants"] {
        exported.as_object_mut().unwrap().remove(list).unwrap();
    }
    let into = folder.0.path().join("copy");
    import(&exported.to_string(), &into).unwrap();
    assert_eq!(examine(&into).unwrap(), without_what_format_2_added(contents));
}

#[test]
fn a_database_of_something_else_is_refused() {
    let folder = Folder::new();
    drop(Database::create(folder.path()).unwrap());
    let why = refusal(&folder.path());
    assert!(why.contains("no store of furt's"), "{why}");
    fs::write(folder.path(), "[server]\n".repeat(1000)).unwrap();
    let why = refusal(&folder.path());
    assert!(why.contains("no store of furt's"), "{why}");
}

#[test]
fn a_truncated_store_is_refused_and_left_as_it_is() {
    let (folder, contents) = Folder::filled();
    let bytes = fs::read(folder.path()).unwrap();
    let steps = (0..64).chain((64..bytes.len()).step_by(bytes.len() / 150)).chain(bytes.len() - 64..bytes.len());
    for len in steps {
        assert!(!check(&folder.path(), &bytes[..len], &contents, &format!("{len} bytes")), "{len} bytes are opened");
    }
    assert!(check(&folder.path(), &bytes, &contents, "whole"));
    assert!(!check(&folder.path(), &[&bytes[..], &[0; 100]].concat(), &contents, "longer"));
}

/// `except`: a bit whose change cannot be noticed.
fn flip_bits(path: &Path, bytes: &[u8], contents: &Contents, except: Option<usize>) {
    const HEADER: usize = 320 * 8;
    let mut random = fastrand::Rng::with_seed(7);
    // The flags' byte whole, a bit of each other byte of the header, and of the rest as much as a test may take.
    let flags = 72..80;
    let header = (0..320).map(|byte| byte * 8 + byte % 8);
    let pages: Vec<_> = (0..150).map(|_| random.usize(HEADER..bytes.len().min(48 * 4096) * 8)).collect();
    let rest: Vec<_> = (0..50).map(|_| random.usize(HEADER..bytes.len() * 8)).collect();
    let mut refused = 0;
    for bit in flags.chain(header).chain(pages).chain(rest).filter(|bit| Some(*bit) != except) {
        let mut bent = bytes.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(!check(path, &bent, contents, &format!("byte {}, bit {}", bit / 8, bit % 8)));
    }
    assert!(refused > 50, "only {refused} were noticed");
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let (folder, contents) = Folder::filled();
    let bytes = fs::read(folder.path()).unwrap();
    flip_bits(&folder.path(), &bytes, &contents, None);
}

#[test]
fn after_a_crash_too() {
    let (folder, contents, bytes) = crashed();
    // Which slot is the newest: that of a commit that a crash cut short is just as sound, and must not count.
    flip_bits(&folder.path(), &bytes, &contents, Some(72));
}

#[test]
fn a_page_of_nonsense_leads_to_none_that_is_larger_than_the_file() {
    let (folder, _) = Folder::filled();
    // More than one page of a table holds, so that there are pages that name others.
    let mut store = DiskStore::open(&folder.path()).unwrap();
    for number in 0..12 {
        let Change::PutDefinition(DefinitionRecord { definition, registered_from }) =
            definition(&format!("s{number}"), 9)
        else {
            continue;
        };
        let metadata = [("note".to_owned(), "x".repeat(2000))].into();
        let definition = furt_core::model::Definition { metadata, ..(*definition).clone() };
        store
            .apply(&[Change::PutDefinition(DefinitionRecord { definition: definition.into(), registered_from })])
            .unwrap();
    }
    drop(store);
    let (bytes, contents) = (fs::read(folder.path()).unwrap(), examine(&folder.path()).unwrap());
    let mut refused = 0;
    for page in (4096..bytes.len() - 4096).step_by(4096) {
        for start in [24, 47, 100, 1000].map(|into| page + into) {
            // As the number of a page this is one of 256 MiB, for which redb takes the memory before it looks.
            let mut bent = bytes.clone();
            bent[start..start + 1840].fill(0x84);
            refused += usize::from(!check(&folder.path(), &bent, &contents, &format!("from byte {start}")));
        }
    }
    assert!(refused > 2, "only {refused} were noticed");
    let longest = LONGEST_READ.load(std::sync::atomic::Ordering::Relaxed);
    assert!(longest <= bytes.len(), "{longest} bytes were asked for");
}

#[test]
fn an_empty_file_and_a_directory_are_refused() {
    let folder = Folder::new();
    fs::write(folder.path(), "").unwrap();
    assert!(refusal(&folder.path()).contains("it is empty"));
    assert_eq!(fs::read(folder.path()).unwrap(), b"");
    assert!(refusal(folder.0.path()).contains("is a directory"));
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused() {
    let path = Path::new("/proc/furt.redb");
    let why = refusal(path);
    assert!(why.contains("cannot make the store"), "{why}");
}

#[test]
fn what_a_crash_left_of_a_new_store_is_no_hindrance() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("furt.redb.new"), "half of one").unwrap();
    DiskStore::open(&folder.path()).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["furt.redb", "furt.redb.owner"]);
}

#[test]
fn a_failed_store_is_opened_again_when_it_is_time_and_never_made_anew() {
    let (folder, contents) = Folder::filled();
    let mut store = DiskStore::open(&folder.path()).unwrap();
    let at_once = |store: &mut DiskStore| {
        store.fail(StoreError::Unavailable("an I/O error".to_owned()));
        assert_eq!(store.apply(&[]).unwrap_err().to_string(), "an I/O error", "not before it is time");
        let State::Failed { again, .. } = &mut store.state else { panic!("it has failed") };
        *again = clock::now();
    };
    at_once(&mut store);
    store.apply(&[definition("later", 1)]).unwrap();
    assert_eq!(store.load().unwrap().definitions.len(), contents.definitions.len() + 1);

    at_once(&mut store);
    fs::rename(folder.path(), folder.0.path().join("elsewhere")).unwrap();
    assert!(store.apply(&[]).is_err() && !folder.path().exists());
    let State::Failed { again, .. } = &mut store.state else { panic!("it has failed") };
    *again = clock::now();
    drop(DiskStore::open(&folder.path()).unwrap());
    let why = store.apply(&[definition("lost", 1)]).unwrap_err();
    assert!(matches!(&why, StoreError::OtherStore(why) if why.contains("another store")), "{why}");
}

#[test]
fn a_record_that_makes_no_sense_is_named() {
    let spoil = |key: &str, record: &str| {
        let (folder, _) = Folder::filled();
        let database = Database::open(folder.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(DEFINITIONS).unwrap().insert(key, record.as_bytes()).unwrap();
        transaction.commit().unwrap();
        drop(database);
        refusal(&folder.path())
    };
    assert!(spoil("s1", "{").contains("the record of service \"s1\""));
    let (folder, _) = Folder::filled();
    let record = export(&folder.path()).unwrap()["definitions"][0].to_string();
    assert!(spoil("other", &record).contains("the record of service \"other\": it says that it is \"s0\""));
}

#[test]
fn a_store_that_lost_its_keys_is_refused() {
    let (folder, _) = Folder::filled();
    let database = Database::open(folder.path()).unwrap();
    let transaction = begin(&database).unwrap();
    transaction.delete_table(KEYS).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = fs::read(folder.path()).unwrap();
    assert!(refusal(&folder.path()).contains("is damaged"));
    assert!(fs::read(folder.path()).unwrap() == before);
}

#[test]
fn what_is_exported_and_imported_is_the_same_store() {
    let (folder, contents) = Folder::filled();
    let before = fs::read(folder.path()).unwrap();
    let (services, instances, down, draining, held, keys, maintenance, splits, grants) = (11, 11, 1, 1, 1, 2, 2, 1, 1);
    let summary = Summary { services, instances, down, draining, held, keys, maintenance, splits, grants };
    assert_eq!(check_store(&folder.path()), summary);
    let exported = export(&folder.path()).unwrap();
    assert!(fs::read(folder.path()).unwrap() == before, "neither changes it");
    let into = folder.0.path().join("copy");
    assert_eq!(import(&exported.to_string(), &into).unwrap(), summary);
    assert_eq!(examine(&into).unwrap(), contents);
    let again = import(&exported.to_string(), &into).unwrap_err();
    assert!(matches!(&again, StoreError::Exists(why) if why.contains("exists")), "{again}");
    assert_eq!(examine(&into).unwrap(), contents);
}

fn check_store(path: &Path) -> Summary {
    super::check(path).unwrap()
}

#[test]
fn an_import_that_is_wrong_names_the_record_and_makes_nothing() {
    let (folder, _) = Folder::filled();
    let exported = export(&folder.path()).unwrap();
    let into = folder.0.path().join("copy");
    let refused = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut changed = exported.clone();
        change(&mut changed);
        let error = import(&changed.to_string(), &into).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!into.exists());
    };
    refused(&|all| all["format"] = (FORMAT + 1).into(), &format!("format {}", FORMAT + 1));
    refused(&|all| all["format"] = 0.into(), "format 0");
    refused(&|all| all["format"] = 1.into(), "format 1 and lists");
    refused(
        &|all| {
            all.as_object_mut().unwrap().remove("keys");
        },
        "no \"keys\"",
    );
    refused(
        &|all| {
            all.as_object_mut().unwrap().remove("ttls_ms");
        },
        "no \"ttls_ms\"",
    );
    for ms in [0, 30 * 86_400_000 + 1, u64::MAX] {
        refused(&|all| all["ttls_ms"]["i9"] = ms.into(), &format!("instance \"i9\" is out of range: {ms} ms"));
    }
    refused(&|all| all["ttls_ms"]["none"] = 1.into(), "\"none\" is held to a TTL and no instance");
    refused(&|all| all["ttls_ms"]["i9"] = (-1).into(), "the export cannot be read");
    for (field, bad, why) in [
        ("sha256", serde_json::json!("x"), "64 hexadecimal digits"),
        ("permissions", serde_json::json!([]), "1 to 256 permissions"),
        ("permissions", serde_json::json!(["a b"]), "visible ASCII"),
        ("permissions", serde_json::json!(vec!["x"; 257]), "1 to 256 permissions"),
        ("allow_from", serde_json::json!(["x"]), "network"),
        ("allow_from", serde_json::json!(vec!["::1"; 257]), "0 to 256 networks"),
        ("rate", serde_json::json!("x"), "rate"),
        ("expires_ms", serde_json::json!("x"), "invalid type"),
        ("created_ms", serde_json::json!(1e300), "invalid type"),
        ("old", serde_json::json!([{}]), "missing field"),
        ("colour", serde_json::json!(1), "colour"),
    ] {
        refused(&|all| all["keys"][1][field] = bad.clone(), "the record of API key \"k2\"");
        refused(&|all| all["keys"][1][field] = bad.clone(), why);
    }
    let old = exported["keys"][0]["old"][0].clone();
    refused(&|all| all["keys"][0]["old"] = vec![old.clone(); 5].into(), "0 to 4 old digests");
    refused(&|all| all["keys"][0]["old"] = vec![old.clone(); 2].into(), "one digest twice");
    refused(&|all| all["keys"][1]["name"] = "k 2".into(), "must be 1 to 63");
    refused(&|all| all["keys"][1] = serde_json::json!({}), "keys[1] has no \"name\"");
    refused(&|all| all["keys"][1] = all["keys"][0].clone(), "the record of API key \"k0\" comes twice");
    refused(
        &|all| all["keys"][1]["sha256"] = all["keys"][0]["sha256"].clone(),
        "the API keys \"k0\" and \"k2\" have the same digest",
    );
    refused(&|all| all["format"] = "1".into(), "names no format");
    refused(&|all| all["colour"] = 2.into(), "colour");
    refused(&|all| all["epoch"] = "x".into(), "no UUID");
    refused(&|all| all["starts"] = u64::MAX.into(), "more than any furt counts");
    refused(
        &|all| all["definitions"][2]["policy"] = "x".into(),
        "the record of service \"s10\": its policy is unknown",
    );
    let route = serde_json::json!({"method": "GET", "path": "/a", "permission": null});
    refused(&|all| all["definitions"][2]["routes"] = serde_json::json!([route, route]), "claim the same requests");
    refused(&|all| all["definitions"][2]["policy"] = "hash".into(), "service \"s10\": its policy needs a hash_key");
    refused(&|all| all["definitions"][2]["read_timeout_ms"] = 0.into(), "one of its times is out of range");
    refused(&|all| all["instances"][0]["heartbeat_ttl_ms"] = u64::MAX.into(), "its heartbeat_ttl is out of range");
    refused(&|all| all["instances"][0]["tls_name"] = "a".into(), "an http url has no tls_name");
    refused(&|all| all["instances"][0]["health_endpoint"] = "/a b".into(), "\"i0\": the path has a character");
    refused(&|all| all["definitions"][2] = serde_json::json!({}), "definitions[2] has no \"service\"");
    refused(&|all| all["instances"][0]["colour"] = 1.into(), "the record of instance \"i0\"");
    refused(&|all| all["instances"][0]["service"] = "none".into(), "\"i0\": there is no service \"none\"");
    refused(&|all| all["instances"][0] = all["instances"][1].clone(), "the record of instance \"i1\" comes twice");
    refused(&|all| all["down"] = serde_json::json!(["none"]), "\"none\" is DOWN and no instance");
    refused(&|all| all["drains"][0]["instance"] = "none".into(), "\"none\" is draining and no instance");
    refused(&|all| all["drains"][0]["until"] = "x".into(), "the record of drain \"i7\": what ends it is unknown");
    refused(&|all| all["drains"][0]["until"] = "undo".into(), "drain \"i7\": it is the hold of an id");
    refused(&|all| all["drains"][0]["incarnation"] = "a b".into(), "1 to 64 visible");
    refused(&|all| all["drains"] = vec![all["drains"][0].clone(); 2].into(), "the record of drain \"i7\" comes twice");
    refused(&|all| all["holds"][0]["until"] = "restart".into(), "hold \"s/i\": it is no hold of an id");
    refused(&|all| all["holds"] = vec![all["holds"][0].clone(); 2].into(), "the record of hold \"s/i\" comes twice");
    let one = exported["maintenance"][1].clone();
    refused(&|all| all["maintenance"] = vec![one.clone(); 2].into(), "the record of maintenance \"s1\" comes twice");
    for (field, bad, why) in [
        ("message", serde_json::json!("a\nb"), "1 to 500 characters"),
        ("allow_from", serde_json::json!(["x"]), "network"),
        ("allow_from", serde_json::json!(vec!["::1"; 257]), "at most 256 networks"),
        ("ends_ms", serde_json::json!(0), "must end after it begins"),
        ("from", serde_json::json!("x"), "invalid"),
        ("colour", serde_json::json!(1), "colour"),
    ] {
        refused(&|all| all["maintenance"][1][field] = bad.clone(), "the record of maintenance \"s1\"");
        refused(&|all| all["maintenance"][1][field] = bad.clone(), why);
    }
    refused(&|all| all["maintenance"][1]["service"] = "A b".into(), "must be");
    refused(
        &|all| {
            all.as_object_mut().unwrap().remove("maintenance");
        },
        "no \"maintenance\"",
    );
    let one = exported["splits"][0].clone();
    refused(&|all| all["splits"] = vec![one.clone(); 2].into(), "the record of split \"s1\" comes twice");
    for (field, bad, why) in [
        ("versions", serde_json::json!([]), "1 to 8 versions"),
        ("versions", serde_json::json!([{"version": "a b", "basis_points": 1}]), "must be 1 to 32"),
        ("versions", serde_json::json!([{"version": "stable", "basis_points": 1}]), "stands for all other"),
        ("versions", serde_json::json!([{"version": "a", "basis_points": 10_001}]), "from 0 to 100"),
        ("versions", serde_json::json!(vec![serde_json::json!({"version": "a", "basis_points": 1}); 2]), "once"),
        ("header", serde_json::json!("host"), "another header"),
        ("strict", serde_json::json!("yes"), "invalid"),
        ("colour", serde_json::json!(1), "colour"),
    ] {
        refused(&|all| all["splits"][0][field] = bad.clone(), "the record of split \"s1\"");
        refused(&|all| all["splits"][0][field] = bad.clone(), why);
    }
    refused(
        &|all| {
            all.as_object_mut().unwrap().remove("splits");
        },
        "no \"splits\"",
    );
    refused(&|all| all["format"] = 5.into(), "format 5 and lists");
    refused(&|all| all["format"] = 3.into(), "format 3 and lists");
    refused(&|all| all["draining"] = serde_json::json!([]), &format!("format {FORMAT} and lists"));
    let error = import("{", &into).unwrap_err();
    assert!(error.to_string().contains("no JSON"), "{error}");
}
