//! Grants that another gateway stored.

use super::*;
use furt_core::model::{RuntimeGrant, ServiceName};

#[test]
fn a_grant_that_cannot_be_read_whole_is_one_of_nothing() {
    let (layout, mut mirror) = (layout(), Mirror::default());
    let shop = ServiceName::try_new("shop").unwrap();
    let key = Key::Grant(shop.clone());
    let good = r#"{"service":"shop","permissions":["*"],"paths":["/shop"],"hosts":[],"upstreams":null,"public":true,"origins":[],"auth":["key"],"token_sha256":null,"certificate_sha256":null,"from":"10.0.0.1","set_ms":1}"#;
    let newer = good.replace("\"public\"", "\"reads\":4,\"hours\":\"9-17\",\"public\"");
    let nothing = Change::PutGrant(shop.clone(), Arc::new(RuntimeGrant::of_nothing()));
    for (revision, value, refused) in
        [(1, good, None), (2, newer.as_str(), Some("written by a newer furt")), (3, "7", Some("")), (4, good, None)]
    {
        let puts = vec![put(&key, value, revision)];
        let followed = follow(&Group { revision, puts, deletes: Vec::new() }, &mut mirror, &layout, &|_| None, true);
        let why = followed.refused.first().map(|refused| refused.why.to_string());
        assert_eq!(why.is_some(), refused.is_some(), "{why:?}");
        assert!(refused.is_none_or(|refused| why.unwrap_or_default().contains(refused)));
        let changes: Vec<_> = followed.changes.into_iter().map(|incoming| incoming.change).collect();
        match (refused, &changes[..]) {
            (Some(_), [one]) => assert_eq!(*one, nothing),
            (None, [Change::PutGrant(_, one)]) => assert!(one.grant.public),
            other => panic!("{other:?}"),
        }
    }
}
