//! Operators with roles: what each may do, and by which credentials.

use furt_core::model::Sha256Digest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, public_service};

const ROLES: [&str; 4] = ["read", "keys", "operate", "admin"];

/// An operator of each role, whose token is the role's name.
fn operators() -> String {
    let entry = |role: &str| {
        let digest = Sha256Digest::of(role.as_bytes());
        format!("[[operators]]\nname = '{role}-only'\nrole = '{role}'\ntoken_sha256 = '{digest}'\n")
    };
    ROLES.map(entry).concat()
}

/// Whether who has this role may do what needs that one.
fn includes(role: &str, least: &str) -> bool {
    role == least || role == "admin" || least == "read"
}

/// Method and path of every endpoint that is for operators alone, with the role that it needs, as the documentation lists them.
fn endpoints() -> Vec<(Method, String, &'static str)> {
    let text = std::fs::read_to_string("docs/api.md").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let endpoint = |(request, rest): (&str, &str)| {
        let (method, path) = request.split_once(' ')?;
        let least = rest.split([',', ' ']).next()?;
        let least = ROLES.into_iter().find(|role| *role == least)?;
        let path = path.split(['?', '[']).next()?.replace(['{', '}'], "");
        Some((method.parse().ok()?, path, least))
    };
    rows.filter_map(endpoint).collect()
}

#[tokio::test]
async fn a_role_may_do_what_the_table_of_endpoints_says_and_nothing_else() {
    let gateway = Gateway::start(&operators()).await;
    let endpoints = endpoints();
    assert!(endpoints.len() > 30, "{endpoints:?}");
    for role in ROLES {
        for (method, path, least) in &endpoints {
            // These would end it, or change who may ask.
            if role == "admin" && ["/internal/upgrade", "/internal/reload"].contains(&path.as_str()) {
                continue;
            }
            let answer = Answer::of(gateway.operate(method.clone(), path).bearer_auth(role)).await;
            if includes(role, least) {
                assert!(!answer.body.contains("operators-only"), "{role}: {method} {path}: {answer:?}");
            } else {
                let problem = answer.problem(403, "operators-only");
                let detail = format!("this needs the role {least}, and {role}-only has {role}");
                assert_eq!(problem["detail"], detail.as_str(), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn with_operators_nobody_is_one_by_an_address_alone() {
    let gateway = Gateway::start(&operators()).await;
    for asked in [
        gateway.operate(Method::GET, "/internal/services"),
        gateway.operate(Method::GET, "/internal/services").bearer_auth("raed"),
        gateway.operate(Method::GET, "/metrics").header("Authorization", "Basic cmVhZA=="),
    ] {
        Answer::of(asked).await.problem(403, "operators-only");
    }
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics").bearer_auth("read")).await;
    assert_eq!(metrics.status, StatusCode::OK);
    // Registering is for addresses, as before.
    assert_eq!(gateway.register(&public_service("a", "http://127.0.0.1:9", "/a/*")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_operator_comes_from_its_own_addresses_and_the_old_token_is_good_beside_it() {
    let [own, old] = [b"own", b"old"].map(|token| Sha256Digest::of(token));
    let gateway = Gateway::start(&format!(
        "[internal]\noperator_token_sha256 = '{old}'\n\
         [[operators]]\nname = 'far'\nrole = 'admin'\ntoken_sha256 = '{own}'\nfrom = ['192.0.2.0/24']\n"
    ))
    .await;
    let ask = |token: &str| gateway.operate(Method::GET, "/internal/keys").bearer_auth(token);
    Answer::of(ask("own")).await.problem(403, "operators-only");
    Answer::of(ask("old")).await.ok();
    gateway.configure(&format!(
        "[[operators]]\nname = 'near'\nrole = 'keys'\ntoken_sha256 = '{own}'\nfrom = ['127.0.0.1']\n"
    ));
    Answer::of(gateway.operate(Method::POST, "/internal/reload").bearer_auth("old")).await.ok();
    Answer::of(ask("own")).await.ok();
    Answer::of(ask("old")).await.problem(403, "operators-only");
}

#[tokio::test]
async fn who_may_read_sees_what_services_do_not() {
    let gateway = Gateway::start(&format!("{}[gateway]\nallow_registration_from = []\n", operators())).await;
    let health = async |asked: reqwest::RequestBuilder| Answer::of(asked).await.ok();
    let ask = || gateway.operate(Method::GET, "/health");
    assert_eq!(health(ask()).await.get("epoch"), None);
    assert!(health(ask().bearer_auth("read")).await["epoch"].is_string());
    // A service's instance is an operator's to end, and a reader's not.
    let instance = "/internal/services/a/instances/a";
    Answer::of(gateway.operate(Method::DELETE, instance).bearer_auth("read")).await.problem(403, "address-not-allowed");
    Answer::of(gateway.operate(Method::DELETE, instance).bearer_auth("operate")).await.problem(404, "not-found");
    let body = json!({ "name": "a", "permissions": ["a:b"] });
    let key = gateway.operate(Method::POST, "/internal/keys").bearer_auth("keys").json(&body);
    assert_eq!(Answer::of(key).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn events_lists_and_the_log_name_the_operator_who_gave_a_command() {
    let gateway = Gateway::start(&operators()).await;
    assert_eq!(gateway.register(&public_service("a", "http://127.0.0.1:9", "/a/*")).await.status, StatusCode::OK);
    let ask = async |method: Method, path: &str, token: &str, body: Value| {
        let asked = gateway.operate(method, path).bearer_auth(token).json(&body);
        Answer::of(asked).await.json()
    };
    ask(Method::PUT, "/internal/services/a/maintenance", "operate", json!({})).await;
    ask(Method::PUT, "/internal/services/a/split", "admin", json!({"versions": {"2": 10}})).await;
    ask(Method::POST, "/internal/services/a/drain?until=undo", "operate", json!({})).await;
    ask(Method::POST, "/internal/keys", "keys", json!({"name": "k", "permissions": ["a:b"]})).await;
    ask(Method::DELETE, "/internal/keys/none", "keys", json!({})).await;
    ask(Method::DELETE, "/internal/services/a", "operate", json!({})).await;

    let events = ask(Method::GET, "/internal/events", "read", json!({})).await;
    let by = |kind: &str| {
        let of_kind = events["events"].as_array().unwrap().iter().find(|event| event["kind"] == kind);
        of_kind.unwrap_or_else(|| panic!("no {kind}: {events}")).get("by").cloned()
    };
    for (kind, name) in [
        ("maintenance-began", "operate-only"),
        ("split-set", "admin-only"),
        ("drain-began", "operate-only"),
        ("key-created", "keys-only"),
        ("refused", "keys-only"),
        ("deregistered", "operate-only"),
    ] {
        assert_eq!(by(kind), Some(name.into()), "{kind}");
    }
    assert_eq!(by("registered"), None, "a service is no operator");

    let maintenance = ask(Method::GET, "/internal/maintenance", "read", json!({})).await;
    assert_eq!(maintenance["maintenance"][0]["by"], "operate-only");
    assert_eq!(ask(Method::GET, "/internal/splits", "read", json!({})).await["splits"][0]["by"], "admin-only");
    let services = ask(Method::GET, "/internal/services", "read", json!({})).await;
    assert_eq!(services["held"][0]["drain"]["by"], "operate-only");
    assert!(gateway.log().contains("created the API key k, from keys-only at 127.0.0.1"));
}

#[tokio::test]
async fn of_who_operates_by_an_address_alone_events_name_the_address() {
    let gateway = Gateway::start("").await;
    Answer::of(gateway.operate(Method::PUT, "/internal/services/a/maintenance").json(&json!({}))).await.ok();
    let events = Answer::of(gateway.operate(Method::GET, "/internal/events")).await.ok();
    let began = &events["events"][0];
    assert_eq!((&began["from"], began.get("by")), (&"127.0.0.1".into(), None));
}
