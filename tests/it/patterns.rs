//! Patterns as people write them: placeholders of other routers are refused where they are written.

use std::fs;

use serde_json::json;

use crate::support::gateway::{furt, output_of};
use crate::support::{Gateway, public_service, with};

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
