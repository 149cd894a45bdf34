//! Patterns as people write them: placeholders of other routers are refused, and a public route that passes a permission by is
//! told.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{furt, output_of};
use crate::support::{Answer, Gateway, Origin, public_service, with};

const PLACEHOLDERS: [&str; 4] = ["/users/{id}", "/users/:id/posts", "/users/<int:id>", "/files/{name}.json"];

#[tokio::test]
async fn a_placeholder_of_another_router_in_a_registration_is_refused_by_name() {
    let gateway = Gateway::start("").await;
    for path in PLACEHOLDERS {
        let answer = gateway.register(&public_service("s", "http://127.0.0.1:9", path)).await;
        assert_eq!(answer.invalid_fields(), ["/routes/0/path"], "{path}");
        let named = path.split('/').find(|segment| segment.contains(['{', ':', '<'])).unwrap();
        let told = format!("must have \"*\" in place of \"{named}\"");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&told), "{answer:?}");
    }
    let routes = json!([{"method": "POST", "path": "/v1/items:cancel"}, {"method": "GET", "path": "/users/*"}]);
    gateway.registered(&with(public_service("s", "http://127.0.0.1:9", "/s"), json!({ "routes": routes }))).await;
}

#[tokio::test]
async fn check_refuses_placeholders_in_static_routes_and_in_grants() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("furt.toml");
    for path in PLACEHOLDERS {
        let text = format!(
            "[[routes]]\nmethod = 'GET'\npath = '{path}'\nservice = 's'\n[[grants]]\nservice = 's'\npaths = ['{path}']\n"
        );
        fs::write(&file, text).unwrap();
        let output = output_of(furt(&["check", file.to_str().unwrap()])).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for place in ["routes.path", "grants.paths"] {
            let told = said.lines().any(|line| line.contains(place) && line.contains("must have \"*\" in place of"));
            assert!(told, "{place} in {said}");
        }
    }
}

/// A service with a public `/api/*`, and these routes with a permission.
fn beside(origin: &Origin, guarded: &[&str]) -> Value {
    let public = json!({"method": "GET", "path": "/api/*"});
    let guarded = guarded.iter().map(|path| json!({"method": "GET", "path": path, "permission": "api:admin"}));
    let routes: Vec<_> = guarded.chain([public]).collect();
    with(public_service("s", &origin.url(), "/s"), json!({ "routes": routes }))
}

#[tokio::test]
async fn a_registration_is_told_which_public_route_passes_a_permission_by() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let told = "GET /api/admin/ takes the public route GET /api/*, and a service may read it as GET /api/admin with the \
                permission \"api:admin\"";
    let answer = gateway.registered(&beside(&origin, &["/api/admin"])).await;
    assert_eq!(answer["warnings"], json!([told]));
    // The warning is true, and so is what docs/requests.md says of case and parameters.
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/api/admin")).await.status, 401);
    for path in ["/api/admin/", "/api/Admin", "/api/admin;x"] {
        Answer::of(gateway.anonymous(Method::GET, path)).await.ok();
    }
    assert_eq!(gateway.service("s").await.unwrap()["warnings"], json!([told]));
    let explained = gateway.seen("/internal/explain?method=GET&url=/api/admin/").await;
    assert_eq!(explained["warnings"], json!([told]));
    assert_eq!(gateway.log().matches(&format!("service \"s\": {told}")).count(), 1, "once for a change");
    let answer = gateway.registered(&beside(&origin, &["/api/admin"])).await;
    assert_eq!(answer["warnings"], Value::Null, "what changes nothing is a heartbeat");
    let several = gateway.registered(&beside(&origin, &["/api/admin", "/api/keys"])).await;
    assert!(several["warnings"][0].as_str().unwrap().ends_with("; and 1 more like it"), "{several}");
    let apart = json!({"routes": [{"method": "GET", "path": "/api/public/*"},
        {"method": "GET", "path": "/api/admin", "permission": "api:admin"}]});
    let answer = gateway.registered(&with(beside(&origin, &[]), apart)).await;
    assert_eq!(answer["warnings"], Value::Null);
    assert_eq!(gateway.service("s").await.unwrap()["warnings"], json!([]));
}

#[tokio::test]
async fn check_warns_of_static_routes_that_pass_a_permission_by_and_takes_them() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("furt.toml");
    let route = |path: &str, rest: &str| format!("[[routes]]\nmethod = 'GET'\npath = '{path}'\n{rest}\n");
    let one = "service = 's'";
    let text = route("/api/*", one)
        + &route("/api/admin", "service = 's'\npermission = 'a'")
        + &route("/other/*", one)
        + &route("/other/admin", "service = 'another'\npermission = 'a'");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = output_of(furt(&["check", file])).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told = "GET /api/admin/ takes the public route GET /api/*, and a service may read it as GET /api/admin with the permission \"a\"";
    assert_eq!(said.trim_end(), format!("furt: warning: {file}:3:8: routes.path: {told}"));
    let output = output_of(furt(&["check", file, "-o", "json"])).await;
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let warning = json!({"file": file, "line": 3, "column": 8, "key": "routes.path", "message": told});
    assert_eq!((&checked["ok"], &checked["warnings"]), (&json!(true), &json!([warning])));
}
