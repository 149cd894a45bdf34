//! What strangers, other versions and other namespaces put into etcd.

use reqwest::Method;
use serde_json::{Value, json};

use crate::foreign::Etcd;
use crate::gateways::{
    PREFIX, agree, edited, health, is_not_routed, is_routed, metric, names, pair, refusal_to_start, shared_service,
    status, stored_at,
};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, with};

fn service_key(service: &str) -> String {
    format!("{PREFIX}v1/services/{service}")
}

fn instance_key(service: &str) -> String {
    format!("{PREFIX}v1/instances/{service}/{service}")
}

async fn with_one() -> (Etcd, Origin, [Gateway; 2]) {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    gateways[0].registered(&shared_service("one", &origin.url())).await;
    is_routed(&gateways[1], "/one", SOON).await;
    (etcd, origin, gateways)
}

async fn refused_becomes(gateway: &Gateway, count: f64) {
    let what = format!("{count} records are refused");
    eventually(&what, SOON, async || (metric(gateway, "furt_store_records_refused").await == count).then_some(()))
        .await;
}

#[tokio::test]
async fn records_that_are_none_are_refused_and_shown_and_change_nothing() {
    let (etcd, origin, gateways) = with_one().await;
    let bad = [
        (service_key("broken"), "{".to_owned()),
        (service_key("empty"), String::new()),
        (service_key("large"), format!("{{\"a\": \"{}\"}}", "x".repeat(1_000_000))),
        (format!("{PREFIX}v1/instances/broken/broken"), "[1]".to_owned()),
        (format!("{PREFIX}v1/ttls/one/one"), "soon".to_owned()),
        (format!("{PREFIX}v1/draining/one/one"), "maybe".to_owned()),
        (format!("{PREFIX}v1/keys/broken"), "[]".to_owned()),
    ];
    for (number, (key, value)) in bad.iter().enumerate() {
        etcd.ctl().put(key, value).await;
        for gateway in &gateways {
            eventually(&format!("{key} is refused"), SOON, async || {
                (metric(gateway, "furt_store_records_refused").await >= 1.0).then_some(())
            })
            .await;
            assert_eq!(status(gateway, "/one").await, 200, "after {key}");
            assert_eq!(names(gateway).await, ["one/one"], "after {key}");
        }
        let said = health(&gateways[0]).await;
        assert!(!said["issues"].as_array().unwrap().is_empty(), "{said}");
        // Others go on.
        let service = format!("s{number}");
        gateways[number % 2].registered(&shared_service(&service, &origin.url())).await;
        is_routed(&gateways[(number + 1) % 2], &format!("/{service}"), SOON).await;
        Answer::of(gateways[0].operate(Method::DELETE, &format!("/internal/services/{service}"))).await.ok();
        etcd.ctl().delete(key).await;
        for gateway in &gateways {
            refused_becomes(gateway, 0.0).await;
            let gone = format!("{service} is gone");
            eventually(&gone, SOON, async || (names(gateway).await == ["one/one"]).then_some(())).await;
        }
    }
    agree(&gateways, &etcd).await;
}

/// Kinds that a newer furt may have, and names that no record of furt's has.
#[tokio::test]
async fn keys_that_furt_has_no_record_under_change_nothing() {
    let (etcd, origin, mut gateways) = with_one().await;
    for key in
        ["v1/unheard-of/one", "v1/services/UPPER", "v1/services/a/b", "v1/digests/zz", "v1/instances/one", "f/x", "x"]
    {
        etcd.ctl().put(&format!("{PREFIX}{key}"), "{").await;
    }
    gateways[0].registered(&shared_service("two", &origin.url())).await;
    is_routed(&gateways[1], "/two", SOON).await;
    gateways[0].restart().await;
    for gateway in &gateways {
        assert_eq!(names(gateway).await, ["one/one", "two/two"]);
        refused_becomes(gateway, 4.0).await;
    }
    let said = health(&gateways[0]).await["issues"].to_string();
    assert!(said.contains("its name is none that furt gives"), "{said}");
    for key in ["v1/services/UPPER", "v1/services/a/b", "v1/digests/zz", "v1/instances/one"] {
        etcd.ctl().delete(&format!("{PREFIX}{key}")).await;
    }
    for gateway in &gateways {
        refused_becomes(gateway, 0.0).await;
    }
}

#[tokio::test]
async fn bad_records_do_not_stop_a_start() {
    let (etcd, _origin, mut gateways) = with_one().await;
    etcd.ctl().put(&service_key("broken"), "{").await;
    etcd.ctl().put(&format!("{PREFIX}v1/instances/nobody/nobody"), "{}").await;
    gateways[0].restart().await;
    assert_eq!(status(&gateways[0], "/one").await, 200);
    refused_becomes(&gateways[0], 2.0).await;
    let log = gateways[0].log();
    assert!(log.contains("services/broken"), "the record is named\n{log}");
}

#[tokio::test]
async fn a_record_that_goes_bad_stays_installed_and_registering_mends_it() {
    let (etcd, origin, [a, b]) = with_one().await;
    let good: Value = serde_json::from_str(&etcd.ctl().get(&service_key("one")).await.unwrap().value).unwrap();
    etcd.ctl().put(&service_key("one"), "{").await;
    for gateway in [&a, &b] {
        refused_becomes(gateway, 1.0).await;
        assert_eq!(status(gateway, "/one").await, 200);
    }
    b.registered(&shared_service("one", &origin.url())).await;
    for gateway in [&a, &b] {
        refused_becomes(gateway, 0.0).await;
        assert_eq!(status(gateway, "/one").await, 200);
    }
    let mended: Value = serde_json::from_str(&etcd.ctl().get(&service_key("one")).await.unwrap().value).unwrap();
    assert_eq!(mended, good);
}

#[tokio::test]
async fn a_definition_that_takes_what_an_older_one_has_is_kept_out_everywhere() {
    let (etcd, origin, [mut a, b]) = with_one().await;
    let mut thief: Value = serde_json::from_str(&etcd.ctl().get(&service_key("one")).await.unwrap().value).unwrap();
    thief["service"] = json!("thief");
    etcd.ctl().put(&service_key("thief"), &thief.to_string()).await;
    let is_kept_out = async |gateway: &Gateway| {
        eventually("it is kept out, and says why", SOON, async || {
            let thief = gateway.service("thief").await?;
            thief["blocked"].as_str().is_some_and(|why| why.contains("\"one\"")).then_some(())
        })
        .await;
        assert_eq!(status(gateway, "/one").await, 200);
    };
    for gateway in [&a, &b] {
        is_kept_out(gateway).await;
    }
    // A start reads both at once, and must see the same.
    a.restart().await;
    is_kept_out(&a).await;
    // Registering within the rules mends it.
    b.registered(&shared_service("thief", &origin.url())).await;
    for gateway in [&a, &b] {
        is_routed(gateway, "/thief", SOON).await;
    }
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn an_instance_without_its_definition_is_refused_until_the_service_registers() {
    let (etcd, origin, [a, b]) = with_one().await;
    let mut orphan: Value = serde_json::from_str(&etcd.ctl().get(&instance_key("one")).await.unwrap().value).unwrap();
    (orphan["service"], orphan["instance"]) = (json!("orphan"), json!("orphan"));
    etcd.ctl().put(&instance_key("orphan"), &orphan.to_string()).await;
    for gateway in [&a, &b] {
        refused_becomes(gateway, 1.0).await;
        assert_eq!(names(gateway).await, ["one/one"]);
    }
    a.registered(&shared_service("orphan", &origin.url())).await;
    for gateway in [&a, &b] {
        refused_becomes(gateway, 0.0).await;
        is_routed(gateway, "/orphan", SOON).await;
    }
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn a_service_that_was_deleted_by_hand_is_gone_or_stored_again_but_the_same_everywhere() {
    let (etcd, origin, gateways) = with_one().await;
    etcd.ctl().delete(&service_key("one")).await;
    agree(&gateways, &etcd).await;
    eventually("both route the same", SOON, async || {
        (status(&gateways[0], "/one").await == status(&gateways[1], "/one").await).then_some(())
    })
    .await;
    gateways[1].registered(&shared_service("one", &origin.url())).await;
    for gateway in &gateways {
        is_routed(gateway, "/one", SOON).await;
    }
    etcd.ctl().delete_below(&format!("{PREFIX}v1/instances/one/")).await;
    agree(&gateways, &etcd).await;
    etcd.ctl().delete_below(&format!("{PREFIX}v1/instances/")).await;
    etcd.ctl().delete_below(&format!("{PREFIX}v1/services/")).await;
    for gateway in &gateways {
        gateway.registered(&shared_service("one", &origin.url())).await;
    }
    for gateway in &gateways {
        is_routed(gateway, "/one", SOON).await;
    }
    agree(&gateways, &etcd).await;
}

#[tokio::test]
async fn a_field_of_a_newer_furt_is_kept_when_its_record_is_written_again() {
    let (etcd, origin, [mut a, b]) = with_one().await;
    for key in [service_key("one"), instance_key("one")] {
        edited(&etcd, &key, json!({"future": {"a": [1, 2]}})).await;
    }
    for gateway in [&a, &b] {
        refused_becomes(gateway, 0.0).await;
        assert_eq!(status(gateway, "/one").await, 200);
    }
    b.registered(&with(shared_service("one", &origin.url()), json!({"weight": 7, "metadata": {"a": "b"}}))).await;
    for key in [service_key("one"), instance_key("one")] {
        let record = etcd.ctl().get(&key).await.unwrap().value;
        assert!(record.contains(r#""future":{"a":[1,2]}"#), "{key} lost a field: {record}");
    }
    a.restart().await;
    assert_eq!(a.instance("one").await["weight"], 7);
}

#[tokio::test]
async fn a_record_that_restricts_more_than_this_furt_knows_keeps_its_routes_and_is_not_routed() {
    let (etcd, origin, [mut a, b]) = with_one().await;
    edited(&etcd, &service_key("one"), json!({"reads": 999})).await;
    for gateway in [&a, &b] {
        is_not_routed(gateway, "/one", SOON).await;
    }
    let heir = with(shared_service("heir", &origin.url()), json!({"routes": [{"method": "*", "path": "/one"}]}));
    for gateway in [&a, &b] {
        assert_eq!(gateway.register(&heir).await.problem(409, "taken")["rival"]["service"], "one");
        let said = health(gateway).await.to_string();
        assert!(said.contains("newer"), "{said}");
    }
    a.restart().await;
    assert_ne!(status(&a, "/one").await, 200);
    a.register(&heir).await.problem(409, "taken");
    // An older furt may not take back what the newer one said.
    edited(&etcd, &service_key("one"), json!({"reads": 1})).await;
    for gateway in [&a, &b] {
        is_routed(gateway, "/one", SOON).await;
    }
}

#[tokio::test]
async fn a_store_of_a_newer_format_and_a_folder_of_something_else_end_the_start() {
    let etcd = Etcd::one().await;
    let tail = stored_at(&etcd.endpoints());
    etcd.ctl().put(&format!("{PREFIX}v1/services/one"), "{}").await;
    let said = refusal_to_start(&tail).await;
    assert!(said.contains(PREFIX), "{said}");
    assert_eq!(etcd.ctl().names_below(PREFIX).await, [service_key("one")], "nothing is written");
    etcd.ctl().delete_below(PREFIX).await;

    drop(Gateway::start(&tail).await);
    let meta = edited(&etcd, &format!("{PREFIX}meta"), json!({"format": 999})).await;
    let said = refusal_to_start(&tail).await;
    assert!(said.contains("999"), "{said}");
    etcd.ctl().put(&format!("{PREFIX}meta"), "not json").await;
    let said = refusal_to_start(&tail).await;
    assert!(said.contains("meta"), "{said}");
    etcd.ctl().put(&format!("{PREFIX}meta"), &with(meta, json!({"format": 1})).to_string()).await;
    drop(Gateway::start(&tail).await);
}

#[tokio::test]
async fn a_key_record_that_a_stranger_breaks_lets_nobody_else_in() {
    let (etcd, _origin, [a, b]) = with_one().await;
    let body = json!({"name": "web", "permissions": ["app:nothing"]});
    let made = Answer::of(a.operate(Method::POST, "/internal/keys").json(&body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let key = format!("{PREFIX}v1/keys/web");
    let before = etcd.ctl().get(&key).await.unwrap().value;
    etcd.ctl().put(&key, "{}").await;
    for gateway in [&a, &b] {
        refused_becomes(gateway, 1.0).await;
        assert_eq!(gateway.seen("/internal/keys/web").await["permissions"], json!(["app:nothing"]));
    }
    etcd.ctl().put(&key, &before).await;
    for gateway in [&a, &b] {
        refused_becomes(gateway, 0.0).await;
    }
    etcd.ctl().delete(&key).await;
    etcd.ctl().delete_below(&format!("{PREFIX}v1/digests/")).await;
    for gateway in [&a, &b] {
        eventually("the key is gone", SOON, async || {
            (Answer::of(gateway.operate(Method::GET, "/internal/keys/web")).await.status == 404).then_some(())
        })
        .await;
    }
}
