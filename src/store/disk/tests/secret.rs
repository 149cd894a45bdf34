//! The secret of sticky cookies: made once, in the file, and nowhere else.

use super::*;
use crate::store::LendableStore;

/// Puts this in the secret's place, or nothing.
fn put_secret(folder: &Folder, text: Option<&[u8]>) {
    let database = Database::open(folder.path()).unwrap();
    let transaction = begin(&database).unwrap();
    {
        let mut meta = transaction.open_table(META).unwrap();
        match text {
            Some(text) => meta.insert(AFFINITY_SECRET, text).map(drop).unwrap(),
            None => meta.remove(AFFINITY_SECRET).map(drop).unwrap(),
        }
    }
    transaction.commit().unwrap();
}

fn secret_in(folder: &Folder) -> Option<AffinitySecret> {
    stored_secret(&Database::open(folder.path()).unwrap()).unwrap()
}

#[test]
fn a_store_has_one_secret_from_its_making_on() {
    let (folder, other) = (Folder::filled().0, Folder::filled().0);
    let secret = secret_in(&folder).unwrap();
    assert_ne!(Some(&secret), secret_in(&other).as_ref());
    let bytes = fs::read(folder.path()).unwrap();
    assert_eq!(*DiskStore::borrow(&folder.path()).unwrap().affinity_secret(), secret);
    assert_eq!(*DiskStore::open(&folder.path()).unwrap().affinity_secret(), secret);
    assert_eq!(fs::read(folder.path()).unwrap().len(), bytes.len());
    let exported = export(&folder.path()).unwrap().to_string();
    assert!(!exported.contains(&secret.to_hex()) && !exported.contains(AFFINITY_SECRET));
}

#[test]
fn a_file_of_an_earlier_furt_is_given_a_secret_by_who_stores() {
    let (folder, _) = Folder::filled();
    put_secret(&folder, None);
    let borrowed = DiskStore::borrow(&folder.path()).unwrap();
    let secret = borrowed.affinity_secret().clone();
    let (store, custody) = LendableStore::new(borrowed);
    drop(store);
    custody.take_over();
    assert_eq!(secret_in(&folder), None, "it was never this one's to write");
    let borrowed = DiskStore::borrow(&folder.path()).unwrap();
    let (own, (store, custody)) = (borrowed.affinity_secret().clone(), LendableStore::new(borrowed));
    assert_ne!(own, secret);
    custody.take_over();
    drop(store);
    assert_eq!(secret_in(&folder), Some(own.clone()));
    assert_eq!(*DiskStore::open(&folder.path()).unwrap().affinity_secret(), own);
    put_secret(&folder, None);
    let made = DiskStore::open(&folder.path()).unwrap().affinity_secret().clone();
    assert_eq!(secret_in(&folder), Some(made));
}

#[test]
fn a_secret_that_is_none_is_told_by_whoever_looks() {
    for text in [&b""[..], b"secret", &[b'a'; 63], &[b'g'; 64], &[0xff; 64]] {
        let (folder, _) = Folder::filled();
        put_secret(&folder, Some(text));
        let told = DiskStore::open(&folder.path()).err().unwrap().to_string();
        assert!(told.contains("its affinity_secret is not 64 hexadecimal digits"), "{told}");
        assert_eq!(examine(&folder.path()).unwrap_err().to_string(), told);
    }
}
