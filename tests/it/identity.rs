//! Which instance is which: what joins a service, what replaces what, and what a command is about.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, public_service, with};

/// An instance that says nothing of its service.
fn joining(id: &str, url: &str) -> Value {
    json!({"service": "service", "url": url, "instance": id, "health_endpoint": null})
}

async fn routes(gateway: &Gateway) -> Value {
    gateway.service("service").await.unwrap()["routes"].clone()
}

#[tokio::test]
async fn an_instance_without_a_word_about_its_service_leaves_the_definition_as_it_is() {
    let (gateway, one, two) = (Gateway::start("").await, Origin::named("one").await, Origin::named("two").await);
    let full = with(public_service("service", &one.url(), "/s/*"), json!({"policy": "round_robin"}));
    gateway.registered(&full).await;
    let before = routes(&gateway).await;
    assert_eq!(gateway.registered(&joining("two", &two.url())).await["routes"], 1);
    assert_eq!((routes(&gateway).await, gateway.registered(&full).await["routes"].clone()), (before.clone(), json!(1)));
    for _ in 0..2 {
        Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
    }
    assert_eq!((one.requests("/s/a"), two.requests("/s/a")), (1, 1));
    let some = with(joining("two", &two.url()), json!({"policy": "sticky"}));
    assert_eq!(gateway.register(&some).await.invalid_fields(), ["/routes"]);
    assert_eq!(routes(&gateway).await, before, "what was refused changed nothing");
    gateway.registered(&with(some, json!({"routes": []}))).await;
    assert_eq!(routes(&gateway).await, json!([]));
}

#[tokio::test]
async fn an_instance_joins_a_service_whose_name_is_no_host_and_makes_none() {
    let gateway = Gateway::start("").await;
    let joining = |id: &str| with(joining(id, "http://127.0.0.1:9"), json!({"service": "a..b"}));
    assert_eq!(gateway.register(&joining("one")).await.invalid_fields(), ["/service"]);
    gateway.registered(&public_service("a..b", "http://127.0.0.1:9", "/s/*")).await;
    gateway.registered(&with(joining("two"), json!({"url": "http://127.0.0.1:10"}))).await;
}

#[tokio::test]
async fn what_an_old_process_says_late_is_not_about_the_new_one() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let of = |incarnation: &str| {
        let base = public_service("service", &origin.url(), "/s/*");
        with(base, json!({"instance": "one", "incarnation": incarnation}))
    };
    gateway.registered(&of("p")).await;
    gateway.registered(&of("q")).await;
    let instance = "/internal/services/service/instances/one";
    for (method, path) in [
        (Method::DELETE, instance.to_owned()),
        (Method::POST, format!("{instance}/heartbeat")),
        (Method::POST, format!("{instance}/drain")),
        (Method::DELETE, format!("{instance}/drain")),
    ] {
        let late = Answer::of(gateway.operate(method.clone(), &format!("{path}?incarnation=p"))).await;
        late.problem(412, "another-incarnation");
    }
    let refused = gateway.register(&of("p")).await.problem(412, "another-incarnation");
    assert!(refused["detail"].as_str().unwrap().contains("two processes register as id \"one\""), "{refused}");
    assert_eq!(gateway.instance("service").await["incarnation"], "q");
    Answer::of(gateway.operate(Method::POST, &format!("{instance}/heartbeat?incarnation=q"))).await.ok();
    Answer::of(gateway.operate(Method::DELETE, &format!("{instance}?drain=1&incarnation=q"))).await.ok();
    assert!(gateway.service("service").await.is_none());
}

#[tokio::test]
async fn a_process_that_registers_again_under_another_id_is_one_instance() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let of = |id: &str| with(public_service("service", &origin.url(), "/s/*"), json!({"instance": id}));
    for id in ["one", "two"] {
        gateway.registered(&of(id)).await;
    }
    let answer = gateway.registered(&of("three")).await;
    assert_eq!(answer["replaced"], json!([{"instance": "two", "url": origin.url(), "incarnation": null}]));
    let shown = gateway.service("service").await.unwrap();
    assert_eq!(shown["instances"].as_array().unwrap().len(), 1);
    let events = gateway.seen("/internal/events").await;
    let kinds = events["events"].as_array().unwrap().iter().filter(|one| one["kind"] == "replaced");
    assert_eq!(kinds.map(|one| one["newer"].as_str().unwrap()).collect::<Vec<_>>(), ["two", "three"]);
    let path = "/internal/services/service/instances/three?drain=5";
    Answer::of(gateway.operate(Method::DELETE, path)).await.ok();
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(404, "route-not-found");
}

#[tokio::test]
async fn a_url_of_two_services_is_told_until_both_say_that_they_share_it() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let of = |service: &str| public_service(service, &origin.url(), &format!("/{service}/*"));
    gateway.registered(&of("a")).await;
    gateway.registered(&of("b")).await;
    let warnings = async |service: &str| gateway.service(service).await.unwrap()["warnings"].clone();
    for (service, other) in [("a", "b/b"), ("b", "a/a")] {
        assert!(warnings(service).await[0].as_str().unwrap().contains(other), "{}", warnings(service).await);
        let explained = gateway.seen(&format!("/internal/explain?method=GET&url=/{service}/x")).await;
        assert_eq!(explained["warnings"], warnings(service).await);
    }
    let said = String::from_utf8(gateway.cli(&["services"]).await.stdout).unwrap();
    assert!(said.contains("warning: "), "{said}");
    gateway.registered(&of("b")).await;
    let log = gateway.log();
    assert_eq!(log.matches("which is the url of a/a as well").count(), 1, "{log}");
    for service in ["a", "b"] {
        gateway.registered(&with(of(service), json!({"shared": true}))).await;
    }
    assert_eq!((warnings("a").await, warnings("b").await), (json!([]), json!([])));
}

#[tokio::test]
async fn two_processes_under_one_id_are_told() {
    let gateway = Gateway::start("").await;
    let of = |port: u16| public_service("a", &format!("http://127.0.0.1:{port}"), "/a/*");
    gateway.registered(&of(9)).await;
    let moved = gateway.registered(&of(10)).await;
    assert_eq!(moved["replaced"][0]["url"], "http://127.0.0.1:9");
    gateway.registered(&of(9)).await;
    let warnings = gateway.service("a").await.unwrap()["warnings"].clone();
    assert!(warnings[0].as_str().unwrap().starts_with("two processes register as id \"a\" in turn"), "{warnings}");
}
