//! Grants of run time in files: none in one of an earlier format, and none that could not have been made.

use super::*;

/// As a furt of format 7 left it.
fn of_format_7(folder: &Folder) {
    let database = Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", b"7".as_slice()).unwrap();
    transaction.delete_table(GRANTS).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_store_and_an_export_of_format_7_have_no_grant_until_one_is_made() {
    let (folder, contents) = Folder::filled();
    let older = Contents { grants: Default::default(), ..contents };
    let mut exported = export(&folder.path()).unwrap();
    exported["format"] = 7.into();
    exported.as_object_mut().unwrap().remove("grants").unwrap();
    let into = folder.0.path().join("copy");
    import(&exported.to_string(), &into).unwrap();
    assert_eq!(examine(&into).unwrap(), older);
    of_format_7(&folder);
    assert_eq!(examine(&folder.path()).unwrap(), older);
    let mut store = DiskStore::open(&folder.path()).unwrap();
    store.apply(&[grant("s1", "/s1/*")]).unwrap();
    let State::Open(database) = &store.state else { panic!("it is open") };
    assert_eq!(format(database).unwrap(), Some(FORMAT), "a furt that would let nobody register refuses it");
    assert_eq!(store.load().unwrap().grants.len(), 1);
}

#[test]
fn a_grant_that_could_not_have_been_made_is_not_imported() {
    let (folder, _) = Folder::filled();
    let exported = export(&folder.path()).unwrap();
    let into = folder.0.path().join("copy");
    let refused = |change: &dyn Fn(&mut serde_json::Value), why: &str| {
        let mut all = exported.clone();
        change(&mut all);
        let error = import(&all.to_string(), &into).unwrap_err().to_string();
        assert!(error.contains(why), "{error} has no {why}");
        assert!(!into.exists());
    };
    let one = exported["grants"][0].clone();
    refused(&|all| all["grants"] = vec![one.clone(); 2].into(), "the record of grant \"s1\" comes twice");
    for (field, bad, why) in [
        ("permissions", serde_json::json!(["a b"]), "must"),
        ("paths", serde_json::json!(["x"]), "does not begin"),
        ("hosts", serde_json::json!(["a b"]), "must"),
        ("upstreams", serde_json::json!(["x"]), "network"),
        ("origins", serde_json::json!(["https://a.example/path"]), "must"),
        ("auth", serde_json::json!([]), "must"),
        ("token_sha256", serde_json::json!("x"), "must"),
        ("paths", serde_json::json!(vec!["/a-path-of-some-length/*"; 200]), "at most 4096 bytes"),
        ("from", serde_json::json!("x"), "invalid"),
        ("colour", serde_json::json!(1), "colour"),
    ] {
        refused(&|all| all["grants"][0][field] = bad.clone(), "the record of grant \"s1\"");
        refused(&|all| all["grants"][0][field] = bad.clone(), why);
    }
    refused(
        &|all| {
            all.as_object_mut().unwrap().remove("grants");
        },
        "no \"grants\"",
    );
    refused(&|all| all["format"] = 7.into(), "format 7 and lists");
}
