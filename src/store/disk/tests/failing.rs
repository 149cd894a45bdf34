//! A disk that fails at one moment of a batch, each in turn: whatever came to be in the file, what was answered holds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use redb::StorageBackend;

use super::*;
use crate::store::conformance::audited;

/// Nothing fails yet.
const NEVER: usize = usize::MAX / 2;

/// A file whose writes, syncs and changes of length fail from the one on that `left` counts down to.
#[derive(Debug)]
struct Failing {
    file: File,
    left: Arc<AtomicUsize>,
    /// Whether the first that fails was done all the same.
    is_done: bool,
}

impl Failing {
    fn step(&self, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let is_first_to_fail = before == Ok(1);
        if before.is_ok_and(|left| left > 1) {
            return act();
        }
        if is_first_to_fail && self.is_done {
            act()?;
        }
        Err(io::Error::other("the disk fails"))
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(|| Ok(()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(|| self.file.write_all_at(data, offset))
    }
}

/// The store in `path`, on a disk whose `fails_at`-th step from here on fails.
fn open_on_failing_disk(path: &Path, epoch: Epoch, fails_at: usize, is_done: bool) -> DiskStore {
    let left = Arc::new(AtomicUsize::new(NEVER));
    let file = File::options().read(true).write(true).open(path).unwrap();
    let backend = Failing { file, left: Arc::clone(&left), is_done };
    let database = redb::Builder::new().create_with_backend(backend).unwrap();
    left.store(fails_at, Ordering::Relaxed);
    let (state, running) = (State::Open(Arc::new(database)), RunningStore::default());
    let affinity_secret = AffinitySecret::random().unwrap();
    DiskStore {
        path: path.to_owned(),
        epoch,
        affinity_secret,
        state,
        running,
        gateway: String::new(),
        undo: None,
        backoff: MIN_BACKOFF,
    }
}

/// Has each step of the batch fail in turn; gives how often the file had it although it was answered as failed.
fn check_each_failure(batch: &[Change]) -> usize {
    let (folder, before) = Folder::filled();
    let (path, bytes) = (folder.path(), fs::read(folder.path()).unwrap());
    DiskStore::open(&path).unwrap().apply(batch).unwrap();
    let after = examine(&path).unwrap();
    assert_ne!(before, after, "the batch changes something");
    let mut landed = 0;
    for is_done in [false, true] {
        for step in 1.. {
            fs::write(&path, &bytes).unwrap();
            let mut store = open_on_failing_disk(&path, before.epoch, step, is_done);
            if store.apply(batch).is_ok() {
                assert!(step > 5, "a batch takes some steps");
                break;
            }
            landed += usize::from(examine(&path).unwrap() == after);
            let State::Failed { again, .. } = &mut store.state else { panic!("it has failed") };
            *again = clock::now();
            store.apply(&[]).unwrap();
            let State::Open(database) = &store.state else { panic!("it is open") };
            assert_eq!(read(database).unwrap(), before, "step {step} failed, and so it was answered");
            store.apply(batch).unwrap();
            drop(store);
            assert_eq!(examine(&path).unwrap(), after, "step {step} failed, and what came later did not");
        }
    }
    landed
}

#[test]
fn a_registration_that_failed_is_not_there() {
    let Change::PutDefinition(DefinitionRecord { definition, registered_from }) = definition("s1", 9) else {
        unreachable!()
    };
    let metadata = [("note".to_owned(), "x".repeat(4000))].into();
    let definition = furt_core::model::Definition { metadata, ..(*definition).clone() };
    let larger = Change::PutDefinition(DefinitionRecord { definition: definition.into(), registered_from });
    let batch = [larger, instance("s1", "i1", "http://h:2"), instance("s1", "new", "http://h:2"), note_ttl("new", 60)];
    assert!(check_each_failure(&batch) > 0, "the disk fails late enough to matter");
}

#[test]
fn a_removal_that_failed_has_removed_nothing() {
    let leave = Change::RemoveInstance(held("s9", "i9"));
    let batch = [gone("s5", &["i5"]), gone("s7", &["i7"]), leave, gone_key("k0"), definition("s5", 3)];
    assert!(check_each_failure(&batch) > 0, "the disk fails late enough to matter");
}

#[test]
fn notes_and_keys_that_failed_are_as_they_were() {
    let moved = Change::Observe(held("s0", "i0"), Observation::Addresses(Arc::new(["10.0.0.2:80".parse().unwrap()])));
    let undrained = Change::RemoveDraining(held("s7", "i7"));
    let notes = [moved, note_down("i5", false), note_down("i6", true), note_ttl("i9", 90), note_ttl("i8", 1)];
    let keys = [api_key("k0", "9"), api_key("k9", "8"), gone_key("k2"), undrained, draining("i4")];
    assert!(check_each_failure(&[notes, keys].concat()) > 0, "the disk fails late enough to matter");
}

#[test]
fn an_entry_of_the_audit_is_there_where_its_change_is() {
    let folder = Folder::new();
    let path = folder.path();
    DiskStore::open(&path).unwrap().apply(&[api_key("k", "1"), audited("first")]).unwrap();
    let (bytes, epoch) = (fs::read(&path).unwrap(), examine(&path).unwrap().epoch);
    let batch = [gone_key("k"), audited("second")];
    for is_done in [false, true] {
        for step in 1.. {
            fs::write(&path, &bytes).unwrap();
            let mut store = open_on_failing_disk(&path, epoch, step, is_done);
            if store.apply(&batch).is_ok() {
                assert!(step > 5, "a batch takes some steps");
                break;
            }
            let State::Failed { again, .. } = &mut store.state else { panic!("it has failed") };
            *again = clock::now();
            store.apply(&[]).unwrap();
            let count = |store: &DiskStore| store.running().entries(Some(0), usize::MAX).unwrap().entries.len();
            assert_eq!(count(&store), 1, "step {step} failed, and so it was answered");
            store.apply(&batch).unwrap();
            let all = store.running().entries(Some(0), usize::MAX).unwrap().entries;
            assert_eq!(all.len(), 2, "once, after step {step}");
            assert_eq!(all[1].record.as_ref().unwrap().previous, Some(all[0].sha256.to_string()));
        }
    }
}
