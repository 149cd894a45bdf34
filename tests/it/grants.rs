//! Grants that are made at run time, from outside: who registers by them, what the others are told, what they outlive.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, public_service};

const OF_SHOP: &str = "/internal/services/shop/grant";
const DENIED: &str = "[registration]\nunlisted = 'deny'\n[store]\nkind = 'disk'\npath = 'furt.redb'\n";

async fn put(gateway: &Gateway, body: Value) -> Answer {
    Answer::of(gateway.operate(Method::PUT, OF_SHOP).json(&body)).await
}

async fn register(gateway: &Gateway, body: &Value) -> Answer {
    Answer::of(gateway.operate(Method::POST, "/internal/register-service").json(body)).await
}

async fn status(gateway: &Gateway, path: &str) -> u16 {
    Answer::of(gateway.anonymous(Method::GET, path)).await.status.as_u16()
}

#[tokio::test]
async fn a_service_registers_within_its_grant_and_a_restart_keeps_both() {
    let (mut gateway, origin) = (Gateway::start(DENIED).await, Origin::start().await);
    let shop = public_service("shop", &origin.url(), "/shop");
    register(&gateway, &shop).await.problem(403, "beyond-grant");
    let made = put(&gateway, json!({"paths": ["/shop", "/shop/*"], "public": true})).await.ok();
    assert_eq!(
        (&made["status"], &made["service"], &made["source"]),
        (&json!("grant-set"), &json!("shop"), &json!("runtime"))
    );
    assert_eq!((&made["auth"], &made["token"], &made["upstreams"]), (&json!(["key"]), &json!(false), &Value::Null));
    register(&gateway, &shop).await.ok();
    assert_eq!(status(&gateway, "/shop").await, 200);
    register(&gateway, &public_service("shop", &origin.url(), "/other")).await.problem(403, "beyond-grant");
    gateway.restart().await;
    assert_eq!(status(&gateway, "/shop").await, 200);
    let narrowed = put(&gateway, json!({"paths": ["/elsewhere"], "public": true})).await.ok();
    assert!(narrowed["warnings"][0].as_str().unwrap().contains("registered and not routed"), "{narrowed}");
    assert_eq!(status(&gateway, "/shop").await, 404);
    put(&gateway, json!({"paths": ["/shop"], "public": true})).await.ok();
    assert_eq!(status(&gateway, "/shop").await, 200);
    let removed = Answer::of(gateway.operate(Method::DELETE, OF_SHOP)).await.ok();
    assert_eq!(removed["status"], "grant-removed");
    assert_eq!(status(&gateway, "/shop").await, 404);
    Answer::of(gateway.operate(Method::DELETE, OF_SHOP)).await.problem(404, "not-found");
    Answer::of(gateway.operate(Method::GET, OF_SHOP)).await.problem(404, "not-found");
}

#[tokio::test]
async fn bad_input_is_told_whole_and_changes_nothing() {
    let gateway = Gateway::start("").await;
    let body = json!({
        "permissions": ["a b"], "paths": ["x"], "hosts": ["a b"], "upstreams": ["x"], "public": "yes",
        "origins": ["https://a.example/x"], "auth": ["none"], "token_sha256": "x", "colour": 1,
    });
    let pointers = put(&gateway, body).await.invalid_fields();
    let expected = [
        "/auth",
        "/colour",
        "/hosts/0",
        "/origins",
        "/paths/0",
        "/permissions/0",
        "/public",
        "/token_sha256",
        "/upstreams/0",
    ];
    assert_eq!(pointers.into_iter().collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
    assert_eq!(put(&gateway, json!({"paths": vec!["/a-path-of-some-length/*"; 200]})).await.invalid_fields(), [""]);
    Answer::of(gateway.operate(Method::PUT, "/internal/services/A%20b/grant").json(&json!({})))
        .await
        .problem(404, "not-found");
    assert_eq!(gateway.seen("/internal/grants").await["grants"], json!([]));
}

#[tokio::test]
async fn the_configuration_goes_before_and_a_reload_says_which_is_in_force() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    put(&gateway, json!({"paths": ["/shop"], "public": true})).await.ok();
    register(&gateway, &public_service("shop", &origin.url(), "/shop")).await.ok();
    gateway.configure("[[grants]]\nservice = 'shop'\npaths = ['/none']\n");
    gateway.reload().await.ok();
    assert_eq!(status(&gateway, "/shop").await, 404);
    put(&gateway, json!({"paths": ["/shop"], "public": true})).await.problem(409, "configured");
    let listed = gateway.seen("/internal/grants").await["grants"].clone();
    assert_eq!((&listed[0]["source"], &listed[1]["source"]), (&json!("config"), &json!("runtime")));
    assert!(listed[0]["blocked"].is_null() && listed[1]["blocked"].is_string(), "{listed}");
    gateway.configure("");
    gateway.reload().await.ok();
    assert_eq!(status(&gateway, "/shop").await, 200);
}

#[tokio::test]
async fn a_token_of_a_grant_is_asked_for_and_never_shown() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let sha256 = furt_core::model::Sha256Digest::of(b"shop-token").to_string();
    let made = put(&gateway, json!({"paths": ["/shop"], "public": true, "token_sha256": sha256})).await.ok();
    assert_eq!(made["token"], true);
    assert!(!made.to_string().contains(&sha256[..16]));
    let shop = public_service("shop", &origin.url(), "/shop");
    let unnamed = Answer::of(gateway.operate(Method::POST, "/internal/register-service").json(&shop)).await;
    unnamed.problem(401, "token-missing");
    let named = gateway.operate(Method::POST, "/internal/register-service").bearer_auth("shop-token");
    Answer::of(named.json(&shop)).await.ok();
    let audited = gateway.seen("/internal/audit").await;
    assert_eq!(audited["entries"][0]["action"], "grant-set");
    assert_eq!(audited["entries"][0]["details"]["after"]["token"], true);
    assert!(!audited.to_string().contains(&sha256[..16]));
}

#[tokio::test]
async fn the_verb_grants_shows_and_takes_back() {
    let gateway = Gateway::start("").await;
    let said = async |arguments: &[&str]| {
        let output = gateway.cli(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said(&["grant"]).await, "no service has a grant\n");
    let shop = [
        "grant",
        "shop",
        "--path",
        "/shop/*",
        "--permission",
        "shop:*",
        "--host",
        "a.example",
        "--upstream",
        "10.0.0.0/8",
    ];
    let made = said(&shop).await;
    assert!(made.starts_with("shop may register what it is granted\n"), "{made}");
    let listed = said(&["grant", "shop"]).await;
    for word in ["shop", "/shop/*", "shop:*", "a.example", "10.0.0.0/8", "address"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    assert_eq!(said(&["grant", "shop", "--off"]).await, "shop has no grant of run time any more\n");
    for bad in [&["grant", "shop", "--path", "x"][..], &["grant", "--public"], &["grant", "shop", "--off", "--public"]]
    {
        assert_eq!(gateway.cli(bad).await.status.code(), Some(2), "{bad:?}");
    }
    assert_eq!(gateway.cli(&["grant", "shop", "--off"]).await.status.code(), Some(1));
}
