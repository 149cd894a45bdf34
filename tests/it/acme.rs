//! `[acme]` without an authority: what is refused, that furt starts and says what is missing, who answers challenges, and whose hosts would
//! get certificates. `tests/interop` has the authority.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{furt, output_of};
use crate::support::tls::{Edge, TLS13};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, ports, public_service, with};

const CHALLENGE: &str = "/.well-known/acme-challenge/token";

/// A `[acme]` whose authority nobody is; `more` are keys of it, and further tables.
pub(crate) fn acme(edge: &Edge, more: &str) -> String {
    let away = ports::free_address();
    let state = edge.path("state");
    let acme = format!("[acme]\nagree_terms = true\ndirectory = 'https://{away}/dir'\n{more}");
    format!("{}\n{acme}", edge.tail(&["a"], &format!("state = '{}'", state.display())))
}

async fn certificates(gateway: &Gateway) -> Vec<Value> {
    gateway.seen("/internal/certificates").await["certificates"].as_array().unwrap().clone()
}

async fn entry(gateway: &Gateway, name: &str) -> Option<Value> {
    certificates(gateway).await.into_iter().find(|one| one["names"][0] == name)
}

#[tokio::test]
async fn what_is_of_no_use_without_another_key_is_told_with_its_place() {
    let edge = Edge::new();
    let file = edge.path("furt.toml");
    let told = async |text: String| {
        fs::write(&file, text).unwrap();
        let output = output_of(furt(&["check", file.to_str().unwrap()])).await;
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
    };
    let text = told("[acme]\nnames = ['a.example']\n".to_owned()).await;
    assert!(text.contains("furt.toml:2:9: acme.names: is of no use without tls.listen"), "{text}");
    assert!(text.contains("acme.agree_terms: must be true: https://acme-v02.api.letsencrypt.org/directory"), "{text}");
    let text = told(acme(&edge, "names = ['a.example']\neab_kid = 'x'\nca = '/nowhere'")).await;
    assert!(text.contains("acme.eab_kid: is of no use alone; acme.eab_key_file must be set as well"), "{text}");
    assert!(text.contains("acme.ca: /nowhere cannot be read"), "{text}");
    let text = told(acme(&edge, "names = ['a.example']\neab_key_file = 'x'")).await;
    assert!(text.contains("acme.eab_key_file: is of no use alone; acme.eab_kid must be set as well"), "{text}");
    let text = told(format!("[tls]\nlisten = '{}'\n", edge.address)).await;
    assert!(text.contains("must be a [[certificates]] or a name in [acme]"), "{text}");
    let text =
        told(acme(&edge, "directory = 'https://u:secret@h/d'").replacen("directory = 'https://127", "x = '", 1)).await;
    assert!(text.contains("acme.eab_key_file") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn furt_starts_without_its_authority_says_so_and_serves_what_it_has() {
    let edge = Edge::new();
    let gateway = Gateway::start(&acme(&edge, "names = ['b.example']")).await;
    assert!(edge.try_connect(&edge.client(TLS13), "a.example").await.is_ok());
    let error = edge.try_connect(&edge.client(TLS13), "b.example").await.unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    let told = eventually("health says why", SOON, async || {
        let health = gateway.seen("/health").await.to_string();
        health.contains("b.example has no certificate yet: the authority cannot be asked").then_some(health)
    })
    .await;
    assert!(told.contains("degraded"), "{told}");
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("furt_acme_orders_total{outcome=\"unreachable\"} 1"), "{metrics}");
    assert!(metrics.contains("furt_certificate_current{name=\"b.example\"} 0"), "{metrics}");
    assert!(!metrics.contains("not_after_timestamp_seconds{name=\"b.example\"}"), "{metrics}");
    let [file, acquired] = certificates(&gateway).await.try_into().unwrap();
    assert_eq!((&file["source"], &file["names"]), (&json!("file"), &json!(["a.example", "127.0.0.1"])));
    assert_eq!((&acquired["source"], &acquired["not_after"]), (&json!("acme"), &Value::Null));
    assert!(acquired["next_renewal"].is_string(), "{acquired}");
    // An operator need not wait, and a reload without the name ends it.
    assert!(gateway.cli(&["acme", "renew", "b.example"]).await.status.success());
    eventually("it is tried again", SOON, async || {
        gateway.metrics().await.contains("furt_acme_orders_total{outcome=\"unreachable\"} 2").then_some(())
    })
    .await;
    let state = edge.path("state");
    let tail = edge.tail(&["a"], &format!("state = '{}'", state.display()));
    gateway.reloaded(&tail).await;
    eventually("all is well", SOON, async || {
        let health = gateway.seen("/health").await.to_string();
        (certificates(&gateway).await.len() == 1 && !health.contains("degraded")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wait_and_a_budget_outlive_a_restart_and_one_furt_at_a_time_orders() {
    let edge = Edge::new();
    let tail = acme(&edge, "names = ['b.example']");
    let mut gateway = Gateway::start(&tail).await;
    let count = async |gateway: &Gateway| {
        let metrics = gateway.metrics().await;
        metrics.contains("furt_acme_orders_total{outcome=\"unreachable\"} 1")
    };
    eventually("it was tried", SOON, async || count(&gateway).await.then_some(())).await;
    gateway.restart().await;
    let listed = entry(&gateway, "b.example").await.unwrap();
    assert!(listed["last_error"].as_str().unwrap().contains("the authority cannot be asked"), "{listed}");
    assert!(!count(&gateway).await, "a restart is no reason to order again");
    let elsewhere = ports::free_address();
    let other = Gateway::start(&tail.replace(&edge.address.to_string(), &elsewhere.to_string())).await;
    eventually("it says why it orders none", 3 * SOON, async || {
        other.log().contains("another furt has the folder of tls.state").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_challenge_that_is_not_furt_s_goes_to_static_routes_and_to_services_that_are_granted_it() {
    let (edge, fixed, taker) = (Edge::new(), Origin::start().await, Origin::start().await);
    let route = format!(
        "[[routes]]\nmethod = 'GET'\npath = '/.well-known/acme-challenge/*'\nurl = '{}'\nexclusive = false\n",
        fixed.url()
    );
    let granted =
        |paths: &str| format!("[[grants]]\nservice = 'taker'\npublic = true\nhosts = ['t.example']\npaths = {paths}\n");
    let on = |more: &str| acme(&edge, &format!("names = ['b.example']\n{more}"));
    let gateway = Gateway::start(&on(&(granted("['/*']") + &route))).await;
    let service = with(public_service("taker", &taker.url(), "/*"), json!({ "host": "t.example" }));
    gateway.registered(&service).await;
    let ask = async |gateway: &Gateway, path: &str| {
        let answer = Answer::of(gateway.anonymous(Method::GET, path).header("Host", "t.example")).await;
        answer.status
    };
    assert_eq!(ask(&gateway, CHALLENGE).await, 200);
    assert_eq!(
        (fixed.requests(CHALLENGE), taker.requests(CHALLENGE)),
        (1, 0),
        "a pattern that covers it is not enough"
    );
    gateway.reloaded(&on(&granted("['/*']"))).await;
    assert_eq!(ask(&gateway, CHALLENGE).await, 404);
    gateway.reloaded(&on(&granted("['/*', '/.well-known/acme-challenge/*']"))).await;
    assert_eq!(ask(&gateway, CHALLENGE).await, 200);
    assert_eq!(taker.requests(CHALLENGE), 1);
    // Without [acme] it is as it was.
    let state = edge.path("state");
    gateway
        .reloaded(&format!("{}{}", edge.tail(&["a"], &format!("state = '{}'", state.display())), granted("['/*']")))
        .await;
    assert_eq!(ask(&gateway, CHALLENGE).await, 200);
    assert_eq!(taker.requests(CHALLENGE), 2);
}

#[tokio::test]
async fn whose_hosts_get_certificates_is_what_grants_say() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    edge.write("a", &["a.example", "*.covered.example"]);
    let more = "from_routes = ['*.example', '*.covered.example']\n[registration]\nunlisted = 'allow'\n\
                [[grants]]\nservice = 'granted'\nhosts = ['g.example']\npublic = true\npaths = ['/*']\n\
                [[grants]]\nservice = 'covered'\nhosts = ['x.covered.example']\npublic = true\npaths = ['/*']\n";
    let gateway = Gateway::start(&acme(&edge, more)).await;
    for (name, host) in [
        ("granted", "g.example"),
        ("unlisted", "u.example"),
        ("covered", "x.covered.example"),
        ("beyond", "x.y.example"),
        ("apex", "example"),
    ] {
        let body = with(public_service(name, &origin.url(), "/*"), json!({ "host": host }));
        gateway.registered(&body).await;
    }
    let entries = eventually("both are listed", SOON, async || {
        let listed = certificates(&gateway).await;
        (listed.len() == 3).then_some(listed)
    })
    .await;
    let of = |name: &str| entries.iter().find(|one| one["names"][0] == name).unwrap().clone();
    let (granted, unlisted) = (of("g.example"), of("u.example"));
    assert_eq!((&granted["service"], &granted["last_error"]), (&json!("granted"), &Value::Null));
    assert!(granted["next_renewal"].is_string(), "once it has stood for a minute: {granted}");
    let why = "no grant of the service unlisted names u.example in its hosts";
    assert_eq!((&unlisted["next_renewal"], &unlisted["last_error"]), (&Value::Null, &json!(why)));
    let answer = gateway.cli(&["acme", "renew", "u.example"]).await;
    let told = String::from_utf8(answer.stderr).unwrap();
    assert!(!answer.status.success() && told.contains(why), "{told}");
    assert!(!gateway.seen("/health").await.to_string().contains("degraded"), "a service cannot make furt degraded");
}
