//! `/v2/keys` and `/v2/machines`: requests as the npm package `etcd-registry` sends them, and the errors that it reads.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{
    ADMIN, Answer, Gateway, Health, Origin, SOON, eventually, ports, public_service, throughout, with,
};

const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";
/// What the package makes of a name and a url is 40 such digits.
const ID: &str = "0a4d55a8d778e5022fab701977c5d840bbc486d0";

/// A document as the package writes it.
fn document(name: &str, port: u16) -> Value {
    let host = format!("127.0.0.1:{port}");
    json!({"port": port, "hostname": "127.0.0.1", "name": name, "host": host, "url": format!("http://{host}")})
}

/// A form of these pairs, as it is written.
fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}

fn put_request(gateway: &Gateway, key: &str, body: String) -> reqwest::RequestBuilder {
    let request = gateway.operate(Method::PUT, &format!("/v2/keys/{key}"));
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

async fn put(gateway: &Gateway, key: &str, value: &Value, ttl: &str) -> Answer {
    let body = form(&[("value", &value.to_string()), ("ttl", ttl)]);
    Answer::of(put_request(gateway, key, body)).await
}

async fn joined(gateway: &Gateway, name: &str, port: u16) {
    let answer = put(gateway, &format!("services/{name}/{port:040x}"), &document(name, port), "10").await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn get(gateway: &Gateway, key: &str) -> Answer {
    Answer::of(gateway.operate(Method::GET, &format!("/v2/keys/{key}?recursive=true"))).await
}

/// What the package makes of an answer: the values of all leaves.
async fn list(gateway: &Gateway, key: &str) -> Vec<Value> {
    fn flatten(node: &Value, found: &mut Vec<Value>) {
        found.extend(node["value"].as_str().map(|text| serde_json::from_str::<Value>(text).unwrap()));
        node["nodes"].as_array().into_iter().flatten().for_each(|node| flatten(node, found));
    }
    let answer = get(gateway, key).await;
    let mut found = Vec::new();
    if answer.status != 404 {
        flatten(&answer.ok()["node"], &mut found);
    }
    found
}

async fn names(gateway: &Gateway, key: &str) -> Vec<String> {
    list(gateway, key).await.iter().map(|value| value["name"].as_str().unwrap().to_owned()).collect()
}

/// The body of an error in etcd's form.
#[track_caller]
fn error(answer: &Answer, status: u16, code: u64) -> String {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(body["errorCode"], code, "{answer:?}");
    assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
    assert_eq!(answer.header("x-etcd-index"), body["index"].to_string(), "{answer:?}");
    body["cause"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_service_joins_is_routed_and_found_and_leaves() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let key = format!("services/shop/{ID}");
    let value = document("shop", origin.address().port());
    let first = put(&gateway, &key, &value, "10").await;
    assert_eq!(first.status, 201);
    let told = first.json();
    assert_eq!((&told["action"], &told["node"]["key"]), (&json!("set"), &json!(format!("/{key}"))));
    assert_eq!((&told["node"]["value"], &told["node"]["ttl"]), (&json!(value.to_string()), &json!(10)));
    assert!(told["node"]["expiration"].as_str().unwrap().ends_with('Z') && told.get("prevNode").is_none(), "{told}");
    assert_eq!(first.header("x-etcd-index"), told["node"]["modifiedIndex"].to_string());
    let request = gateway.request(Method::GET, "/anything", ADMIN).header("host", "shop.internal");
    Answer::of(request).await.ok();
    assert_eq!(origin.requests("/anything"), 1);
    let again = put(&gateway, &key, &value, "10").await;
    assert_eq!((again.status.as_u16(), again.json()["prevNode"]["value"].clone()), (200, json!(value.to_string())));
    for key in ["services/shop", "services/", "services", &key] {
        assert_eq!(list(&gateway, key).await, std::slice::from_ref(&value), "{key}");
    }
    let instance = gateway.instance("shop").await;
    assert_eq!((&instance["instance"], &instance["health_endpoint"]), (&json!(ID), &Value::Null));
    assert_eq!((&instance["heartbeat_ttl"], &instance["document"]), (&json!(10.0), &value));
    assert_eq!(instance["document"].to_string(), value.to_string(), "to the byte");
    let left = Answer::of(gateway.operate(Method::DELETE, &format!("/v2/keys/{key}"))).await;
    let told = left.ok();
    assert_eq!((&told["action"], &told["prevNode"]["value"]), (&json!("delete"), &json!(value.to_string())));
    let gone = Answer::of(gateway.operate(Method::DELETE, &format!("/v2/keys/{key}"))).await;
    assert_eq!(error(&gone, 404, 100), format!("/{key}"));
    assert_eq!(error(&get(&gateway, "services/shop").await, 404, 100), "/services/shop");
    assert_eq!(error(&get(&gateway, "services/").await, 404, 100), "/services");
}

#[tokio::test]
async fn a_namespace_has_its_own_services_and_sees_no_others() {
    let gateway = Gateway::start("").await;
    let key = |namespace: &str| format!("services/{namespace}/shop/{ID}");
    for (namespace, port) in [("one", 1), ("two", 2), ("two/deep", 3)] {
        assert_eq!(put(&gateway, &key(namespace), &document("shop", port), "10").await.status, 201, "{namespace}");
    }
    joined(&gateway, "shop", 4).await;
    joined(&gateway, "one", 5).await;
    for (key, ports) in [
        ("services/one/", vec![1]),
        ("services/one/shop", vec![1]),
        ("services/two/shop", vec![2]),
        ("services/two/deep/shop", vec![3]),
        ("services/two/deep/", vec![3]),
        ("services/shop", vec![4]),
        ("services/one", vec![5]),
        ("services/three/", vec![]),
        ("services/three/shop", vec![]),
        ("services/two", vec![]),
    ] {
        let found: Vec<_> = list(&gateway, key).await.iter().map(|value| value["port"].as_u64().unwrap()).collect();
        assert_eq!(found, ports, "{key}");
    }
    assert_eq!(names(&gateway, "services/two/").await, ["deep.shop", "shop"]);
    assert_eq!(list(&gateway, "services/").await.len(), 5, "each is there once");
    let mut services: Vec<_> = gateway.seen("/internal/services").await["services"].as_array().unwrap().clone();
    services.sort_by_key(|service| service["service"].to_string());
    let named: Vec<_> = services.iter().map(|service| service["service"].as_str().unwrap()).collect();
    assert_eq!(named, ["one", "one.shop", "shop", "two.deep.shop", "two.shop"]);
    assert_eq!(list(&gateway, &key("one")).await.len(), 1);
    Answer::of(gateway.operate(Method::DELETE, &format!("/v2/keys/{}", key("one")))).await.ok();
    assert_eq!((list(&gateway, "services/one/").await.len(), list(&gateway, "services/two/shop").await.len()), (0, 1));
    for bad in ["One", "-", "a b", &"x".repeat(60)] {
        let answer = put(&gateway, &key(bad), &document("shop", 9), "10").await;
        assert!(error(&answer, 400, 209).starts_with("/name: "), "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn native_services_are_shown_with_the_five_fields() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let port = origin.address().port();
    gateway.registered(&public_service("native", &origin.url(), "/n")).await;
    assert_eq!(list(&gateway, "services/native").await, [with(document("native", port), json!({}))]);
    let says = json!({"version": 2, "name": "other", "url": "http://192.0.2.1", "host": "h"});
    gateway.registered(&with(public_service("native", &origin.url(), "/n"), json!({"document": says}))).await;
    let shown = json!({"version": 2, "name": "native", "url": origin.url(), "host": "h", "port": port,
                       "hostname": "127.0.0.1"});
    assert_eq!(list(&gateway, "services/native").await, [shown]);
    assert_eq!(gateway.instance("native").await["document"], says, "what is kept stays as it is");
}

#[tokio::test]
async fn only_what_furt_itself_would_ask_is_shown() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let value = with(document("shop", origin.address().port()), json!({"health_endpoint": "/health"}));
    assert_eq!(put(&gateway, &format!("services/shop/{ID}"), &value, "10").await.status, 201);
    gateway.status_becomes("shop", "UP").await;
    assert_eq!(list(&gateway, "services/").await, [value]);
    origin.set_health(Health::Status(500));
    gateway.status_becomes("shop", "DOWN").await;
    assert_eq!(names(&gateway, "services/").await, [""; 0]);
    origin.set_health(Health::Status(200));
    gateway.status_becomes("shop", "UP").await;
    Answer::of(gateway.operate(Method::POST, "/internal/services/shop/drain?until=undo")).await.ok();
    assert_eq!(error(&get(&gateway, "services/shop").await, 404, 100), "/services/shop");
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/drain")).await.ok();
    assert_eq!(names(&gateway, "services/shop").await, ["shop"]);
}

#[tokio::test]
async fn two_services_that_are_written_alike_are_never_taken_for_each_other() {
    let gateway = Gateway::start("").await;
    let key = format!("services/my-shop/{ID}");
    let answer = put(&gateway, &key, &document("my.shop", 1), "10").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(names(&gateway, "services/my-shop").await, ["my.shop"]);
    let other = format!("services/my-shop/{}", ID.replace('0', "1"));
    let cause = error(&put(&gateway, &other, &document("my-shop", 2), "10").await, 400, 209);
    assert!(cause.contains("\"my.shop\""), "{cause}");
    assert!(gateway.service("my-shop").await.is_none());
    gateway.registered(&public_service("my-shop", "http://127.0.0.1:3", "/a")).await;
    let cause = error(&get(&gateway, "services/my-shop").await, 400, 209);
    assert!(cause.contains("\"my-shop\"") && cause.contains("\"my.shop\""), "{cause}");
    assert_eq!(put(&gateway, &key, &document("my.shop", 1), "10").await.status, 200, "a renewal is taken all the same");
    assert_eq!(names(&gateway, "services/").await.len(), 2);
    Answer::of(gateway.operate(Method::DELETE, &format!("/v2/keys/{key}"))).await.ok();
    assert_eq!(names(&gateway, "services/my-shop").await, ["my-shop"]);
}

#[tokio::test]
async fn bad_input_gets_etcds_errors_and_changes_nothing() {
    let gateway = Gateway::start("").await;
    joined(&gateway, "shop", 1).await;
    let generation = gateway.seen("/internal/services").await["generation"].clone();
    let good = document("shop", 1);
    let without = |name: &str| {
        let mut value = good.clone();
        value.as_object_mut().unwrap().remove(name);
        value
    };
    let but = |changes: Value| with(good.clone(), changes);
    let key = format!("services/shop/{ID}");
    for (value, cause) in [
        (json!([]), "the body must be a JSON object"),
        (json!("x"), "the body must be a JSON object"),
        (without("name"), "/name: is missing"),
        (but(json!({"name": 7})), "/name: must be a string"),
        (but(json!({"name": "Shop"})), "/name: must be 1 to 63"),
        (but(json!({"name": "other"})), "/name: is written as \"other\" in a key"),
        (but(json!({"url": "ftp://x"})), "/url: must begin with http"),
        (but(json!({"url": "http://127.0.0.1:1/path"})), "/url: must be scheme, host and port only"),
        (but(json!({"url": "https://127.0.0.1:1"})), "/url: must name the host that its certificate is for"),
        (but(json!({"url": null, "port": 0})), "/port: must be a whole number"),
        (but(json!({"url": null, "hostname": "a b"})), "/hostname: must be"),
        (but(json!({"url": null, "hostname": null, "port": null})), "2 fields are wrong"),
        (but(json!({"health_endpoint": "health"})), "/health_endpoint: "),
        (but(json!({"more": "x".repeat(4096)})), "4096 bytes"),
    ] {
        let told = error(&put(&gateway, &key, &value, "10").await, 400, 209);
        assert!(told.contains(cause), "{value}: {told}");
    }
    for ttl in ["x", "-1", "1.5", "0", "86401", "99999999999999999999"] {
        let told = error(&put(&gateway, &key, &good, ttl).await, 400, 202);
        assert!(told.contains("1 to 86400"), "{told}");
    }
    let text = good.to_string();
    for (pairs, status, code) in [
        (vec![("ttl", "10")], 400, 200),
        (vec![("value", ""), ("ttl", "10")], 400, 200),
        (vec![("value", "{\"name\":"), ("ttl", "10")], 400, 209),
        (vec![("value", "{\"name\":\"a\",\"name\":\"b\"}")], 400, 209),
        (vec![("value", text.as_str()), ("prevExist", "false")], 400, 209),
        (vec![("value", text.as_str()), ("prevValue", "x")], 400, 209),
        (vec![("value", text.as_str()), ("prevIndex", "7")], 400, 209),
        (vec![("dir", "true")], 400, 209),
    ] {
        error(&Answer::of(put_request(&gateway, &key, form(&pairs))).await, status, code);
    }
    let request = gateway.operate(Method::PUT, &format!("/v2/keys/{key}")).json(&good);
    error(&Answer::of(request).await, 400, 210);
    error(&Answer::of(put_request(&gateway, &key, "x".repeat(70_000))).await, 413, 210);
    for (path, status, code) in [("other/shop/x", 403, 107), ("services", 403, 102), ("services/shop", 403, 102)] {
        error(&put(&gateway, path, &good, "10").await, status, code);
        error(&Answer::of(gateway.operate(Method::DELETE, &format!("/v2/keys/{path}"))).await, status, code);
    }
    error(&put(&gateway, "services/shop/a%20b", &good, "10").await, 400, 209);
    error(&Answer::of(gateway.operate(Method::GET, "/v2/keys/services/shop?wait=true")).await, 400, 209);
    let refused = gateway.operate(Method::DELETE, &format!("/v2/keys/{key}?prevValue=x"));
    error(&Answer::of(refused).await, 400, 209);
    assert_eq!(gateway.seen("/internal/services").await["generation"], generation);
    assert_eq!(gateway.instance("shop").await["document"], good);
}

#[tokio::test]
async fn it_asks_of_its_callers_what_registering_asks() {
    let upstreams = "[registration]\nupstreams = ['127.0.0.0/8']\nburst = 3\nrate = '1/m'\n";
    let tail = format!(
        "{upstreams}[internal]\noperators_from = ['127.0.0.1']\n[gateway]\nallow_registration_from = ['127.0.0.1', '127.0.0.2']\n\
         [[grants]]\nservice = 'guarded'\npaths = ['/*']\ntoken_sha256 = '{}'\n",
        furt_core::model::Sha256Digest::of(b"secret")
    );
    let gateway = Gateway::start(&tail).await;
    let from = |source: &str, method: Method, key: &str| {
        let source: IpAddr = source.parse().unwrap();
        client_from(Some(source)).request(method, gateway.internal_url(&format!("/v2/keys/{key}")))
    };
    let put_from = |source: &str, name: &str, port: u16| {
        let body = form(&[("value", &document(name, port).to_string()), ("ttl", "10")]);
        let request = from(source, Method::PUT, &format!("services/{name}/{ID}"));
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    };
    assert!(error(&Answer::of(put_from("127.0.0.3", "shop", 1)).await, 403, 110).contains("allow_registration_from"));
    error(&Answer::of(from("127.0.0.3", Method::GET, "services/")).await, 403, 110);
    error(&Answer::of(from("127.0.0.3", Method::DELETE, &format!("services/shop/{ID}"))).await, 403, 110);
    error(&Answer::of(put_from("127.0.0.2", "guarded", 1)).await, 401, 110);
    assert_eq!(Answer::of(put_from("127.0.0.2", "guarded", 1).bearer_auth("secret")).await.status, 201);
    let outside = with(document("shop", 1), json!({"url": "http://192.0.2.2:1"}));
    let cause = error(&put(&gateway, &format!("services/shop/{ID}"), &outside, "10").await, 403, 110);
    assert!(cause.contains("192.0.2.2"), "{cause}");
    // An id is one service's.
    let taken = error(&put(&gateway, &format!("services/shop/{ID}"), &document("shop", 2), "10").await, 409, 105);
    assert!(taken.contains("guarded"), "{taken}");
    // The burst is used up; who says the same again is heard all the same, and furt says when others may come.
    let other = format!("services/shop/{}", ID.replace('0', "1"));
    assert_eq!(put(&gateway, &other, &document("shop", 2), "10").await.status, 201);
    assert_eq!(put(&gateway, &other, &document("shop", 2), "10").await.status, 200);
    let limited = put(&gateway, &other, &document("shop", 3), "10").await;
    error(&limited, 429, 300);
    assert!(limited.retry_after() > 0);
    let origin = from("127.0.0.1", Method::DELETE, &other).header("origin", "http://evil.example");
    assert!(error(&Answer::of(origin).await, 403, 110).contains("another site"));
}

#[tokio::test]
async fn a_renewal_keeps_a_service_over_a_restart_and_ends_no_drain() {
    let mut gateway = Gateway::start(DISK).await;
    let key = format!("services/shop/{ID}");
    let value = document("shop", 1);
    assert_eq!(put(&gateway, &key, &value, "2").await.status, 201);
    gateway.restart().await;
    let generation = gateway.seen("/internal/services").await["generation"].clone();
    assert_eq!(put(&gateway, &key, &value, "2").await.status, 200, "it is known, and is heard");
    for until in ["registration", "restart"] {
        let path = format!("/internal/services/shop/drain?until={until}");
        Answer::of(gateway.operate(Method::POST, &path)).await.ok();
        assert_eq!(put(&gateway, &key, &value, "2").await.status, 200);
        assert_eq!(gateway.instance("shop").await["draining"], true, "{until}");
        Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/drain")).await.ok();
    }
    assert_ne!(gateway.seen("/internal/services").await["generation"], generation);
    throughout("it is heard, and stays", Duration::from_secs(3), async || {
        put(&gateway, &key, &value, "2").await.status == 200
    })
    .await;
    let begin = std::time::Instant::now();
    eventually("it is silent, and goes", SOON, async || {
        (gateway.service("shop").await?["instances"] == json!([])).then_some(())
    })
    .await;
    assert!(begin.elapsed() > Duration::from_millis(1500));
    assert_eq!(put(&gateway, &key, &value, "2").await.status, 201, "it is registered anew");
    let longer = put(&gateway, &key, &value, "30").await;
    assert_eq!((longer.status.as_u16(), gateway.instance("shop").await["heartbeat_ttl"].clone()), (200, json!(30.0)));
}

#[tokio::test]
async fn a_renewal_does_not_need_the_store() {
    let gateway = Gateway::start_limited(DISK).await;
    let key = format!("services/shop/{ID}");
    assert_eq!(put(&gateway, &key, &document("shop", 1), "2").await.status, 201);
    gateway.limit_files(Some(1));
    let other = format!("services/other/{}", ID.replace('0', "1"));
    let refused = eventually("the store fails", SOON, async || {
        let answer = put(&gateway, &other, &document("other", 2), "2").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    error(&refused, 503, 300);
    assert_eq!(refused.retry_after(), 1);
    throughout("it stays", Duration::from_secs(3), async || {
        put(&gateway, &key, &document("shop", 1), "2").await.status == 200
    })
    .await;
    assert_eq!(names(&gateway, "services/").await, ["shop"]);
}

#[tokio::test]
async fn it_joins_a_service_with_routes_and_leaves_them_as_they_are() {
    let (gateway, one, two) = (Gateway::start("").await, Origin::named("one").await, Origin::named("two").await);
    let native = with(public_service("shop", &one.url(), "/shop"), json!({"policy": "round_robin"}));
    gateway.registered(&native).await;
    assert_eq!(
        put(&gateway, &format!("services/shop/{ID}"), &document("shop", two.address().port()), "10").await.status,
        201
    );
    for _ in 0..2 {
        Answer::of(gateway.anonymous(Method::GET, "/shop")).await.ok();
    }
    assert_eq!((one.requests("/shop"), two.requests("/shop")), (1, 1));
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/instances/shop")).await.ok();
    Answer::of(gateway.operate(Method::DELETE, &format!("/v2/keys/services/shop/{ID}"))).await.ok();
    assert_eq!(gateway.anonymous(Method::GET, "/shop").send().await.unwrap().status(), 503, "the routes are held");
}

#[tokio::test]
async fn machines_are_the_address_that_one_came_by_and_each_listener_has_the_api() {
    let mut gateway = Gateway::start("[internal]\nhosts = ['furt']").await;
    let machines =
        async |host: &str| Answer::of(gateway.operate(Method::GET, "/v2/machines").header("host", host)).await.body;
    assert_eq!(machines("furt:8081").await, "http://furt:8081");
    assert_eq!(machines("127.0.0.1:4001").await, "http://127.0.0.1:4001");
    let second = ports::free_address();
    gateway.configure(&format!("internal.listen = ['{}', '{second}']", gateway.internal));
    gateway.restart().await;
    joined(&gateway, "shop", 1).await;
    let seen = reqwest::get(format!("http://{second}/v2/keys/services/?recursive=true")).await.unwrap();
    assert!(seen.text().await.unwrap().contains("/services/shop/"));
    assert_eq!(
        reqwest::get(format!("http://{second}/v2/machines")).await.unwrap().text().await.unwrap(),
        format!("http://{second}")
    );
}

/// As the package asks where its connection string has options and no namespace.
#[tokio::test]
async fn what_is_sent_to_the_root_by_mistake_is_taken_for_what_was_meant() {
    let gateway = Gateway::start("").await;
    let at = |method: Method, rest: &str| gateway.operate(method, &format!("/?refresh=false{rest}"));
    let key = format!("/v2/keys/services/shop/{ID}");
    let body = form(&[("value", &document("shop", 1).to_string()), ("ttl", "10")]);
    let put = at(Method::PUT, &key).header("content-type", "application/x-www-form-urlencoded").body(body);
    assert_eq!(Answer::of(put).await.status, 201);
    let listed = Answer::of(at(Method::GET, "%2Fv2%2Fkeys%2Fservices%2F&recursive=true")).await.ok();
    assert_eq!(listed["node"]["nodes"][0]["key"], "/services/shop");
    assert_eq!(Answer::of(at(Method::GET, "/v2/machines")).await.body, format!("http://{}", gateway.internal));
    assert_eq!(Answer::of(at(Method::DELETE, &key)).await.ok()["action"], "delete");
    error(&Answer::of(at(Method::DELETE, &key)).await, 404, 100);
    // What names no key is not taken for one: the root leads to the dashboard.
    assert_eq!(Answer::of(gateway.operate(Method::GET, "/?refresh=false")).await.status, 303);
    for method in [Method::PUT, Method::DELETE] {
        Answer::of(gateway.operate(method, "/?refresh=false")).await.problem(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn switched_off_there_is_no_such_api() {
    let gateway = Gateway::start("[internal]\netcd_v2_api = false").await;
    for path in ["/v2/keys/services/", "/v2/machines"] {
        Answer::of(gateway.operate(Method::GET, path)).await.problem(404, "not-found");
    }
    gateway.reloaded("").await;
    assert_eq!(error(&get(&gateway, "services/").await, 404, 100), "/services");
    for (method, path, status, number) in [
        (Method::POST, "/v2/keys/services/a", 405, 209),
        (Method::DELETE, "/v2/keys/", 404, 100),
        (Method::GET, "/v2/keys/%ff", 400, 209),
        (Method::GET, "/v2/members", 404, 100),
    ] {
        let answer = Answer::of(gateway.operate(method, path)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errorCode"]), (status, &json!(number)), "{path}");
    }
}
