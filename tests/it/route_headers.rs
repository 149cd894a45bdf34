//! Headers of requests and answers that the operator's rules set and remove.

use reqwest::Method;
use serde_json::json;

use crate::support::asking::service;
use crate::support::h2_client::{self, Client};
use crate::support::{Answer, Gateway, Origin};

#[tokio::test]
async fn headers_are_set_and_removed_by_the_operator_alone() {
    let rules = "
        [[rules]]
        headers.request.set = { X-Environment = 'test', X-Who = 'first' }
        headers.request.remove = ['X-Secret']
        headers.response.set = { X-Frame-Options = 'DENY', X-Who = 'first', Cache-Control = 'public, max-age=60' }
        headers.response.remove = ['X-Powered-By', 'Server']
        [[rules]]
        path = '/s/*'
        headers.request.set = { X-Who = 'second' }
        headers.response.set = { X-Who = 'second', Vary = 'Accept-Language' }
        [[rules]]
        path = '/s/off'
        headers = false
    ";
    let (gateway, origin) = (Gateway::start(rules).await, Origin::start().await);
    let routes = json!([
        {"method": "GET", "path": "/s"},
        {"method": "GET", "path": "/s/off"},
        {"method": "GET", "path": "/s/key", "permission": "a:b"},
        {"method": "GET", "path": "/s/*"},
    ]);
    let cors = json!({"origins": ["https://a.example"]});
    gateway.registered(&service(&origin, json!({"routes": routes, "cors": cors}))).await;
    let sent = |path: &str| {
        let request = gateway.anonymous(Method::GET, path).header("x-secret", "a").header("x-who", "client");
        Answer::of(request.header("origin", "https://a.example"))
    };
    for (path, who) in [("/s", "first"), ("/s/a", "second")] {
        let answer = sent(path).await;
        let seen = answer.ok();
        assert_eq!(seen["headers"]["x-environment"], json!(["test"]), "{path}");
        assert_eq!(seen["headers"]["x-who"], json!([who]), "in the place of the client's");
        assert_eq!(seen["headers"].get("x-secret"), None);
        assert_eq!((answer.header("x-frame-options"), answer.header("x-who")), ("DENY", who));
    }
    let vary: Vec<_> = sent("/s/a")
        .await
        .headers
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap().to_ascii_lowercase())
        .collect();
    assert_eq!(vary.join(", "), "accept-language, origin", "what furt answers for stays its own");
    let off = sent("/s/off").await;
    assert_eq!((off.header("x-frame-options"), off.ok()["headers"]["x-who"].clone()), ("", json!(["client"])));
    let own = sent("/s/key").await;
    own.problem(401, "key-missing");
    assert_eq!(
        (own.header("x-frame-options"), own.header("x-who")),
        ("DENY", "second"),
        "furt's own answers have them too"
    );
    assert_eq!(own.header("cache-control"), "no-store", "nobody is to keep a refusal");
    assert_eq!(sent("/s/a").await.header("cache-control"), "public, max-age=60");
    let client = Client::to(gateway.public).await;
    let answer = client.ask(h2_client::get("/s/a")).await;
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    let explained = gateway.seen("/internal/explain?method=GET&url=/s/a").await;
    let headers = explained["options"].as_array().unwrap().iter().find(|one| one["name"] == "headers").unwrap().clone();
    assert!(headers["value"].as_str().unwrap().contains("of requests sets x-environment"), "{headers}");
    assert!(!headers.to_string().contains("test"), "a value may be a secret");
}
