//! What an instance says of itself, and how clients find instances: `document`, `GET /internal/instances`,
//! `GET /internal/nodes`.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway, Health, Mode, Origin, SOON, eventually, public_service, throughout, with};

const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";
/// With what a reader may lose: order, digits, escapes.
const DOCUMENT: &str =
    r#"{"z":1,"a":[null,{"b":"\u0000é"}],"n":18446744073709551615,"x":5.667844000000001e-7,"empty":{}}"#;

/// An instance at a port where nothing needs to listen; each at its own, so that none takes another's place.
fn instance(service: &str, id: &str, port: u16) -> Value {
    let url = format!("http://127.0.0.1:{port}");
    with(public_service(service, &url, &format!("/{service}")), json!({"instance": id}))
}

fn documented(body: Value, document: &str) -> Value {
    with(body, json!({ "document": serde_json::from_str::<Value>(document).unwrap() }))
}

async fn look(gateway: &Gateway, query: &str) -> Value {
    gateway.seen(&format!("/internal/instances{query}")).await
}

fn ids(answer: &Value) -> Vec<String> {
    let instances = answer["instances"].as_array().unwrap();
    let id = |one: &Value| format!("{}/{}", one["service"].as_str().unwrap(), one["instance"].as_str().unwrap());
    instances.iter().map(id).collect()
}

async fn act(gateway: &Gateway, method: Method, path: &str) {
    Answer::of(gateway.operate(method, path)).await.ok();
}

// Documents.

#[tokio::test]
async fn a_document_comes_back_as_it_was_and_outlives_restart_export_and_import() {
    let mut gateway = Gateway::start(DISK).await;
    gateway.registered(&documented(instance("a", "a1", 9), DOCUMENT)).await;
    let texts = async |gateway: &Gateway| {
        let found = look(gateway, "?service=a").await["instances"][0]["document"].to_string();
        (gateway.instance("a").await["document"].to_string(), found)
    };
    let both = (DOCUMENT.to_owned(), DOCUMENT.to_owned());
    assert_eq!(texts(&gateway).await, both);
    gateway.restart().await;
    assert_eq!(texts(&gateway).await, both);
    let generation = look(&gateway, "").await["generation"].clone();
    let again = gateway.registered(&documented(instance("a", "a1", 9), DOCUMENT)).await;
    assert_eq!(again["generation"], generation, "it is the same, and changes nothing");
    let exported = gateway.cli(&["store", "export", "--running"]).await.stdout;
    fs::write(gateway.dir().join("copy.json"), &exported).unwrap();
    assert!(gateway.cli(&["store", "import", "copy.json", "--into", "fresh.redb"]).await.status.success());
    assert_eq!(gateway.cli(&["store", "export", "fresh.redb"]).await.stdout, exported, "not a byte differs");
    assert!(String::from_utf8(exported).unwrap().contains("18446744073709551615"));
    let told = String::from_utf8(gateway.cli(&["services", "a"]).await.stdout).unwrap();
    assert!(told.contains(&format!("document of a1: {DOCUMENT}\n")), "{told}");
}

#[tokio::test]
async fn another_document_is_a_change_that_keeps_health_and_drain() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = with(public_service("a", &origin.url(), "/a"), json!({"health_endpoint": "/health"}));
    gateway.registered_and_up(&body).await;
    act(&gateway, Method::POST, "/internal/services/a/drain?until=restart").await;
    let before = look(&gateway, "").await["generation"].as_u64().unwrap();
    for document in [r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, "{}"] {
        let answer = gateway.registered(&documented(body.clone(), document)).await;
        assert_eq!(answer["health"], "UP", "{document}");
        let shown = gateway.instance("a").await;
        assert_eq!((shown["document"].to_string(), &shown["draining"]), (document.to_owned(), &json!(true)));
    }
    gateway.registered(&body).await;
    assert_eq!(gateway.instance("a").await.get("document"), None, "one that says nothing has none");
    assert!(look(&gateway, "").await["generation"].as_u64().unwrap() >= before + 4);
}

#[tokio::test]
async fn a_bad_document_is_refused_by_name_and_changes_nothing() {
    let gateway = Gateway::start("").await;
    gateway.registered(&documented(instance("a", "a1", 9), r#"{"v":1}"#)).await;
    let long = json!({ "a": "x".repeat(4096 - r#"{"a":""}"#.len()) }).to_string();
    let longer = json!({ "a": "x".repeat(4097 - r#"{"a":""}"#.len()) }).to_string();
    let deep = format!("{}1{}", "{\"a\":".repeat(33), "}".repeat(33));
    for (document, why) in [
        ("[]", "object"),
        ("\"{}\"", "object"),
        ("7", "object"),
        (longer.as_str(), "4096 bytes"),
        (deep.as_str(), "32 objects and lists"),
    ] {
        let answer = gateway.register(&documented(instance("a", "a1", 9), document)).await;
        assert_eq!(answer.invalid_fields(), ["/document"]);
        assert!(answer.body.contains(why), "{answer:?}");
    }
    let twice = r#"{"service": "a", "url": "http://127.0.0.1:9", "document": {"b": 1, "b": 2}}"#;
    let request = gateway.operate(Method::POST, "/internal/register-service").body(twice);
    Answer::of(request.header("content-type", "application/json")).await.problem(400, "not-json");
    assert_eq!(gateway.instance("a").await["document"], json!({"v": 1}));
    gateway.registered(&documented(instance("a", "a1", 9), &long)).await;
    gateway.registered(&with(instance("a", "a1", 9), json!({"document": null}))).await;
}

// Lookup.

#[tokio::test]
async fn instances_are_found_by_service_by_namespace_or_all() {
    let gateway = Gateway::start("").await;
    for (service, id, port) in
        [("a", "a2", 1), ("a", "a1", 2), ("ns", "n", 3), ("ns.a", "na", 4), ("ns.b.c", "nbc", 5), ("nsx", "x", 6)]
    {
        gateway.registered(&documented(instance(service, id, port), &json!({ "port": port }).to_string())).await;
    }
    assert_eq!(ids(&look(&gateway, "?service=a").await), ["a/a1", "a/a2"]);
    assert_eq!(ids(&look(&gateway, "?namespace=ns").await), ["ns.a/na", "ns.b.c/nbc"]);
    assert_eq!(ids(&look(&gateway, "?namespace=ns.b").await), ["ns.b.c/nbc"]);
    assert_eq!(ids(&look(&gateway, "").await), ["a/a1", "a/a2", "ns/n", "ns.a/na", "ns.b.c/nbc", "nsx/x"]);
    for nobody in ["?service=b", "?namespace=nobody", "?namespace=a"] {
        assert_eq!(look(&gateway, nobody).await["instances"], json!([]), "{nobody}");
    }
    let found = look(&gateway, "?service=ns").await;
    assert_eq!(
        found["instances"],
        json!([{
            "service": "ns", "instance": "n", "url": "http://127.0.0.1:3", "addresses": ["127.0.0.1:3"], "protocol": "http1",
            "tls_name": null, "status": "UP", "draining": false, "weight": 1, "region": null, "country": null,
            "document": {"port": 3}
        }])
    );
    let services = gateway.seen("/internal/services").await;
    assert_eq!((&found["generation"], &found["epoch"]), (&services["generation"], &services["epoch"]));
}

#[tokio::test]
async fn wrong_parameters_of_a_lookup_are_named() {
    let gateway = Gateway::start("").await;
    let long = format!("?after={}", "x".repeat(65));
    for (query, name) in [
        ("?service=A", "service"),
        ("?service=", "service"),
        ("?namespace=ns.", "namespace"),
        ("?namespace=", "namespace"),
        ("?service=a&namespace=b", "namespace"),
        ("?wait=61", "wait"),
        ("?after=", "after"),
        ("?after=%20", "after"),
        (long.as_str(), "after"),
        ("?services=a", "services"),
        ("?service=a&service=b", "service"),
    ] {
        let answer = Answer::of(gateway.operate(Method::GET, &format!("/internal/instances{query}"))).await;
        let problem = answer.problem(422, "invalid-parameters");
        assert_eq!(problem["errors"][0]["parameter"], name, "{query}: {problem}");
    }
    Answer::of(gateway.operate(Method::GET, "/internal/nodes?x=1")).await.problem(422, "invalid-parameters");
    Answer::of(gateway.operate(Method::POST, "/internal/instances")).await.problem(405, "method-not-allowed");
}

/// Asks for `query` after its present state, and gives the answer with the time that it took from `change` on.
async fn woken(gateway: &Gateway, query: &str, change: impl AsyncFnOnce()) -> (Value, Duration) {
    let next = look(gateway, &format!("?{query}")).await["next"].as_str().unwrap().to_owned();
    let request = gateway.operate(Method::GET, &format!("/internal/instances?{query}&after={next}&wait=20"));
    let waiting = tokio::spawn(async move { (Answer::of(request).await.ok(), Instant::now()) });
    throughout("it waits", Duration::from_millis(150), async || !waiting.is_finished()).await;
    let begin = Instant::now();
    change().await;
    let (answer, end) = waiting.await.unwrap();
    assert_ne!(answer["next"], json!(next));
    (answer, end.saturating_duration_since(begin))
}

#[tokio::test]
async fn a_lookup_waits_and_wakes_with_each_thing_that_it_shows() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = with(public_service("a", &origin.url(), "/a"), json!({"health_endpoint": "/health"}));
    let path = "/internal/services/a";
    for what in ["registers", "document", "weight", "drains", "returns", "is down", "leaves"] {
        let change = async || match what {
            "registers" => _ = gateway.registered(&body).await,
            "document" => _ = gateway.registered(&documented(body.clone(), "{}")).await,
            "weight" => _ = gateway.registered(&with(body.clone(), json!({"weight": 2}))).await,
            "drains" => act(&gateway, Method::POST, &format!("{path}/drain")).await,
            "returns" => act(&gateway, Method::DELETE, &format!("{path}/drain")).await,
            "is down" => origin.set_health(Health::Status(500)),
            _ => act(&gateway, Method::DELETE, path).await,
        };
        let (answer, took) = woken(&gateway, "service=a", change).await;
        assert!(took < SOON, "{what}: {took:?}");
        assert_eq!(ids(&answer), if what == "leaves" { vec![] } else { vec!["a/a"] }, "{what}");
        if what == "registers" {
            gateway.status_becomes("a", "UP").await;
        }
    }
}

#[tokio::test]
async fn a_lookup_does_not_wake_for_what_it_does_not_show() {
    let gateway = Gateway::start("").await;
    gateway.registered(&instance("ns.a", "a1", 1)).await;
    let next = look(&gateway, "?namespace=ns").await["next"].as_str().unwrap().to_owned();
    let request = gateway.operate(Method::GET, &format!("/internal/instances?namespace=ns&after={next}&wait=1.5"));
    let begin = Instant::now();
    let waiting = tokio::spawn(async move { (Answer::of(request).await.ok(), Instant::now()) });
    gateway.registered(&instance("ns.a", "a1", 1)).await;
    gateway.heartbeat("ns.a", "a1").await.ok();
    gateway.registered(&instance("b", "b1", 2)).await;
    act(&gateway, Method::DELETE, "/internal/services/b").await;
    Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&json!({"name": "k", "permissions": ["x"]})))
        .await
        .ok();
    gateway.reloaded("[limits]\nmax_body = 5").await;
    let (answer, end) = waiting.await.unwrap();
    assert!(end - begin >= Duration::from_millis(1500));
    assert_eq!((ids(&answer), &answer["next"]), (vec!["ns.a/a1".to_owned()], &json!(next)));
}

#[tokio::test]
async fn what_a_state_is_called_stays_over_a_restart_and_differs_with_what_is_asked_for() {
    let mut gateway = Gateway::start(DISK).await;
    gateway.registered(&instance("a", "a1", 1)).await;
    let next = look(&gateway, "?service=a").await["next"].clone();
    gateway.registered(&instance("b", "b1", 2)).await;
    assert_ne!(look(&gateway, "").await["next"], next);
    gateway.restart().await;
    assert_eq!(look(&gateway, "?service=a").await["next"], next);
    // One of a furt that had something else, or of none at all: at once.
    for other in ["0000000000000000", "x", "4294967296"] {
        let begin = Instant::now();
        let answer = look(&gateway, &format!("?service=a&after={other}&wait=20")).await;
        assert!(begin.elapsed() < Duration::from_secs(10), "{other}");
        assert_eq!(answer["next"], next);
    }
}

#[tokio::test]
async fn callers_that_wait_are_answered_when_furt_stops() {
    let (mut gateway, origin) = (Gateway::start("[server]\ngrace = '30s'").await, Origin::start().await);
    gateway.registered(&with(instance("a", "a1", 1), json!({"url": origin.url()}))).await;
    // A client keeps furt from ending, which would end every wait.
    origin.set_mode(Mode::Gated);
    let client = tokio::spawn(Answer::of(gateway.anonymous(Method::GET, "/a")));
    eventually("the service is asked", SOON, async || (origin.requests("/a") > 0).then_some(())).await;
    let next = look(&gateway, "").await["next"].as_str().unwrap().to_owned();
    let request = gateway.operate(Method::GET, &format!("/internal/instances?after={next}&wait=60"));
    let waiting = tokio::spawn(async move { Answer::of(request).await.ok() });
    throughout("it waits", Duration::from_millis(150), async || !waiting.is_finished()).await;
    gateway.terminate();
    let answer = tokio::time::timeout(SOON, waiting).await.expect("an answer while furt still runs");
    assert_eq!((ids(&answer.unwrap()), gateway.exited()), (vec!["a/a1".to_owned()], None));
    origin.release();
    client.await.unwrap().ok();
    gateway.ended(SOON).await;
}

#[tokio::test]
async fn whoever_may_register_may_look_up_and_nobody_else() {
    let tail = "[gateway]\nallow_registration_from = ['127.0.0.2']\n[internal]\noperators_from = ['127.0.0.1']\n";
    let gateway = Gateway::start(tail).await;
    let from = async |source: &str, path: &str| {
        let source: IpAddr = source.parse().unwrap();
        Answer::of(client_from(Some(source)).get(gateway.internal_url(path))).await
    };
    for path in ["/internal/instances", "/internal/nodes"] {
        from("127.0.0.1", path).await.ok();
        from("127.0.0.2", path).await.ok();
        from("127.0.0.3", path).await.problem(403, "address-not-allowed");
    }
    let gateway = Gateway::start("[gateway]\nenabled = false").await;
    Answer::of(gateway.operate(Method::GET, "/internal/instances")).await.problem(403, "registration-off");
}

#[tokio::test]
async fn a_blocked_service_is_found_again_once_it_is_allowed() {
    let open = "[registration]\nunlisted = 'allow'\n";
    let gateway = Gateway::start(open).await;
    gateway.registered(&instance("a", "a1", 1)).await;
    gateway.registered(&instance("b", "b1", 2)).await;
    let shut = "[registration]\nunlisted = 'deny'\n[[grants]]\nservice = 'b'\npaths = ['/*']\npublic = true\n";
    let (answer, _) = woken(&gateway, "", async || _ = gateway.reloaded(shut).await).await;
    assert_eq!(ids(&answer), ["b/b1"]);
    let (answer, _) = woken(&gateway, "", async || _ = gateway.reloaded(open).await).await;
    assert_eq!(ids(&answer), ["a/a1", "b/b1"]);
}

#[tokio::test]
async fn a_thousand_callers_wait_and_wake_and_one_beyond_them_is_told_so() {
    let gateway = Gateway::start("").await;
    gateway.registered(&instance("a", "a1", 1)).await;
    let next = look(&gateway, "?service=a").await["next"].as_str().unwrap().to_owned();
    let path = format!("/internal/instances?service=a&after={next}&wait=60");
    let ask = || tokio::spawn(Answer::of(client_from(None).get(gateway.internal_url(&path))));
    let mut callers: Vec<_> = (0..1050).map(|_| ask()).collect();
    // How many may wait is 1,024, or less where the machine allows few open files.
    let short = format!("/internal/instances?service=a&after={next}&wait=0.2");
    let refused = eventually("no room is left", SOON, async || {
        let answer = Answer::of(gateway.operate(Method::GET, &short)).await;
        // It may have waited in the last place while the others were refused.
        callers.push(ask());
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(refused.await.retry_after(), 1);
    look(&gateway, &format!("?service=a&after={next}")).await;
    gateway.registered(&instance("a", "a2", 2)).await;
    let mut woken = 0;
    for one in callers {
        let answer = one.await.unwrap();
        match answer.status.as_u16() {
            200 => assert_eq!(ids(&answer.ok()), ["a/a1", "a/a2"]),
            _ => _ = answer.problem(503, "busy"),
        }
        woken += usize::from(answer.status == 200);
    }
    assert!((100..=1024).contains(&woken), "{woken}");
}

// Nodes.

#[tokio::test]
async fn a_node_says_where_clients_find_it() {
    let gateway = Gateway::start("").await;
    let nodes = gateway.seen("/internal/nodes").await;
    let [node] = nodes["nodes"].as_array().unwrap().as_slice() else { panic!("{nodes}") };
    assert_eq!((&node["internal"], &node["this"]), (&Value::Null, &json!(true)), "others do not reach a loopback");
    assert!(node["name"].as_str().unwrap().ends_with(&format!(":{}", gateway.internal.port())), "{node}");
    assert_eq!((node["version"].as_str(), node["id"].as_str().unwrap().len()), (Some(env!("CARGO_PKG_VERSION")), 36));
    let told = String::from_utf8(gateway.cli(&["nodes"]).await.stdout).unwrap();
    let lines: Vec<Vec<_>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "VERSION", "INTERNAL", "ID"]);
    assert_eq!(lines[1][..2], ["*", node["name"].as_str().unwrap()], "{told}");
    let printed = gateway.cli(&["nodes", "-o", "json"]).await.stdout;
    assert_eq!(serde_json::from_slice::<Value>(&printed).unwrap(), nodes);
    for (advertise, told) in [("http://furt", "http://furt:80"), ("https://[::1]:8443/", "https://[::1]:8443")] {
        let gateway = Gateway::start(&format!("[internal]\nadvertise = '{advertise}'")).await;
        assert_eq!(gateway.seen("/internal/nodes").await["nodes"][0]["internal"], told);
        let reloaded = gateway.reloaded("[internal]\nadvertise = 'http://other:1'").await;
        assert_eq!(reloaded["needs_restart"][0]["key"], "internal.advertise");
        assert_eq!(gateway.seen("/internal/nodes").await["nodes"][0]["internal"], told);
    }
}
