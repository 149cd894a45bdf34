//! Draining from outside: no new requests, none cut, and an answer when the last one is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::gateway::client_from;
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, public_service, throughout, with};

const INSTANCE: &str = "/internal/services/service/instances/one";

/// A service with the instances `one` and `two`, never probed.
async fn with_two() -> (Gateway, Origin, Origin) {
    let (gateway, one, two) = (Gateway::start("").await, Origin::named("one").await, Origin::named("two").await);
    for (id, origin) in [("one", &one), ("two", &two)] {
        gateway.registered(&registration(id, &origin.url())).await;
    }
    (gateway, one, two)
}

fn registration(id: &str, url: &str) -> Value {
    with(public_service("service", url, "/s/*"), json!({ "instance": id }))
}

async fn post(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.operate(Method::POST, path)).await
}

async fn delete(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, path)).await
}

/// A request that its origin holds until it is released.
async fn held(gateway: &Gateway, origin: &Origin) -> JoinHandle<reqwest::Result<Answer>> {
    origin.set_mode(Mode::Gated);
    let before = origin.requests("/s/held");
    let request = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/s/held")));
    eventually("it arrives", SOON, async || (origin.requests("/s/held") > before).then_some(())).await;
    request
}

/// A service of one instance with a request in flight.
async fn with_one_held() -> (Gateway, Origin, JoinHandle<reqwest::Result<Answer>>) {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&registration("one", &origin.url())).await;
    let request = held(&gateway, &origin).await;
    (gateway, origin, request)
}

/// Asks in a task of its own.
fn asking(gateway: &Gateway, method: Method, path: &str) -> JoinHandle<Answer> {
    let request = gateway.operate(method, path);
    tokio::spawn(Answer::of(request))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_an_instance_drains_and_stops_under_load() {
    let (gateway, mut one, two) = with_two().await;
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let client = client_from(None);
    let load: Vec<_> = (0..8)
        .map(|number| {
            let (is_over, answered, client) = (Arc::clone(&is_over), Arc::clone(&answered), client.clone());
            let url = gateway.public_url(&format!("/s/{number}"));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let method = if number % 2 == 0 { Method::GET } else { Method::POST };
                    let answer = Answer::of(client.request(method, &url)).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more = async |what: &str, count: usize| {
        let before = answered.load(Ordering::Relaxed);
        eventually(what, SOON, async || (answered.load(Ordering::Relaxed) >= before + count).then_some(())).await;
    };
    let count = |origin: &Origin| (0..8).map(|number| origin.requests(&format!("/s/{number}"))).sum::<usize>();
    for _ in 0..5 {
        more("requests", 100).await;
        let drained = post(&gateway, &format!("{INSTANCE}/drain?wait=30")).await.ok();
        assert_eq!((&drained["status"], &drained["in_flight"]), (&json!("draining"), &json!(0)));
        let before = count(&one);
        // Nothing of it is needed any more: not even a connection.
        one.stop().await;
        more("requests without it", 100).await;
        assert_eq!(count(&one), before, "no request comes after the answer");
        one.restart().await;
        let again = gateway.registered(&registration("one", &one.url())).await;
        assert_eq!(again["health"], "UP");
        let before = count(&one);
        eventually("it is asked again", SOON, async || (count(&one) > before).then_some(())).await;
    }
    assert!(count(&two) > 0);
    is_over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_removal_with_drain_answers_when_the_last_request_ends() {
    let (gateway, origin, request) = with_one_held().await;
    let removal = asking(&gateway, Method::DELETE, &format!("{INSTANCE}?drain=60"));
    eventually("it is gone at once", SOON, async || gateway.service("service").await.is_none().then_some(())).await;
    throughout("the answer waits", Duration::from_millis(500), async || !removal.is_finished()).await;
    origin.release();
    request.await.unwrap().unwrap().ok();
    let answer = removal.await.unwrap().ok();
    assert_eq!((&answer["status"], &answer["in_flight"]), (&json!("deregistered"), &json!(0)));
    assert_eq!(answer["instances"], 1);
}

#[tokio::test]
async fn a_removal_with_drain_says_what_is_in_flight_after_its_time_and_cuts_nothing() {
    for path in [INSTANCE, "/internal/services/service"] {
        let (gateway, origin, request) = with_one_held().await;
        let begin = Instant::now();
        let answer = delete(&gateway, &format!("{path}?drain=1.5")).await.ok();
        assert!((1.5..6.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
        assert_eq!(answer["in_flight"], 1);
        origin.release();
        request.await.unwrap().unwrap().ok();
        delete(&gateway, &format!("{path}?drain=1")).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_drain_is_answered_at_once_unless_it_is_asked_to_wait() {
    let (gateway, origin, request) = with_one_held().await;
    let path = format!("{INSTANCE}/drain");
    assert_eq!(post(&gateway, &path).await.ok()["in_flight"], 1);
    assert_eq!(post(&gateway, &format!("{path}?wait=0")).await.ok()["in_flight"], 1);
    let waiting = asking(&gateway, Method::POST, "/internal/services/service/drain?wait=60");
    throughout("it waits", Duration::from_millis(300), async || !waiting.is_finished()).await;
    origin.release();
    request.await.unwrap().unwrap().ok();
    let answer = waiting.await.unwrap().ok();
    assert_eq!((&answer["instances"], &answer["in_flight"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn where_every_instance_drains_requests_get_503_until_one_registers_again() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let registration = with(registration("one", &origin.url()), json!({ "health_endpoint": "/health" }));
    gateway.registered_and_up(&registration).await;
    post(&gateway, "/internal/services/service/drain").await.ok();
    let refused = Answer::of(gateway.anonymous(Method::GET, "/s/a")).await;
    refused.problem(503, "draining");
    assert!(refused.retry_after() >= 1);
    assert_eq!(origin.requests("/s/a"), 0);
    let shown = gateway.service("service").await.unwrap();
    assert_eq!((&shown["status"], &shown["draining"]), (&json!("UP"), &json!(true)), "its status is the probes'");
    assert_eq!(shown["instances"][0]["draining"], true);
    assert_eq!(gateway.seen("/health").await["services"]["service"]["draining"], true);
    let probes = origin.probes();
    eventually("probes go on", SOON, async || (origin.probes() > probes + 1).then_some(())).await;
    let again = gateway.registered(&registration).await;
    assert_eq!(again["health"], "UP");
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status, 200);
    assert_eq!(gateway.service("service").await.unwrap()["draining"], false);
}

#[tokio::test]
async fn a_drain_can_be_undone() {
    let (gateway, one, _two) = with_two().await;
    for path in [format!("{INSTANCE}/drain"), "/internal/services/service/drain".to_owned()] {
        post(&gateway, &path).await.ok();
        let undone = delete(&gateway, &path).await.ok();
        assert_eq!(undone["status"], "drain-ended");
        assert_eq!(delete(&gateway, &path).await.ok()["instances"], 0, "there is nothing left to end");
        let before = one.requests("/s/a");
        eventually("it is asked", SOON, async || {
            Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
            (one.requests("/s/a") > before).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_drain_survives_a_restart_and_a_crash() {
    let mut gateway = Gateway::start("[store]\nkind = 'disk'\npath = 'furt.redb'").await;
    let origin = Origin::start().await;
    gateway.registered(&registration("one", &origin.url())).await;
    post(&gateway, &format!("{INSTANCE}/drain")).await.ok();
    gateway.kill();
    gateway.start_again().await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(503, "draining");
    gateway.restart().await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(503, "draining");
    gateway.registered(&registration("one", &origin.url())).await;
    gateway.kill();
    gateway.start_again().await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status, 200);
}

#[tokio::test]
async fn a_websocket_is_in_flight_and_is_not_cut() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&registration("one", &origin.url())).await;
    let url = gateway.public_url("/s/socket").replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(post(&gateway, &format!("{INSTANCE}/drain?wait=0.3")).await.ok()["in_flight"], 1);
    socket.send("still here".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "still here");
    let waiting = asking(&gateway, Method::DELETE, &format!("{INSTANCE}?drain=60"));
    eventually("it is gone", SOON, async || gateway.service("service").await.is_none().then_some(())).await;
    socket.send("and here".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "and here");
    assert!(!waiting.is_finished());
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    assert_eq!(waiting.await.unwrap().ok()["in_flight"], 0);
}

#[tokio::test]
async fn sigterm_ends_a_wait_with_an_answer() {
    let (mut gateway, origin, request) = with_one_held().await;
    let waiting = asking(&gateway, Method::POST, &format!("{INSTANCE}/drain?wait=3600"));
    eventually("it drains", SOON, async || (gateway.instance("service").await["draining"] == true).then_some(())).await;
    gateway.terminate();
    assert_eq!(waiting.await.unwrap().ok()["in_flight"], 1);
    origin.release();
    request.await.unwrap().unwrap().ok();
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn who_hangs_up_undoes_nothing_and_holds_no_place() {
    let (gateway, origin, request) = with_one_held().await;
    let mut wire = Wire::to(gateway.internal).await;
    wire.send(format!("POST {INSTANCE}/drain?wait=3600 HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    eventually("it drains", SOON, async || (gateway.instance("service").await["draining"] == true).then_some(())).await;
    assert_eq!(internal_connections(&gateway).await, 2, "its own and that of the test");
    drop(wire);
    eventually("it is let go", SOON, async || (internal_connections(&gateway).await == 1).then_some(())).await;
    assert_eq!(gateway.instance("service").await["draining"], true);
    origin.release();
    request.await.unwrap().unwrap().ok();
}

async fn internal_connections(gateway: &Gateway) -> u64 {
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("furt_internal_connections "));
    line.expect("the gauge").parse().unwrap()
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named_and_nothing_is_done() {
    let (gateway, _one, _two) = with_two().await;
    for (method, path, name) in [
        (Method::DELETE, "?drain=soon", "drain"),
        (Method::DELETE, "?drain=-1", "drain"),
        (Method::DELETE, "?drain=3601", "drain"),
        (Method::DELETE, "?drain=", "drain"),
        (Method::DELETE, "?drian=30", "drian"),
        (Method::DELETE, "?wait=30", "wait"),
        (Method::DELETE, "?drain=1&drain=2", "drain"),
        (Method::POST, "/drain?wait=NaN", "wait"),
        (Method::POST, "/drain?wait=1e9", "wait"),
        (Method::POST, "/drain?drain=1", "drain"),
        (Method::DELETE, "/drain?wait=1", "wait"),
    ] {
        for whom in [INSTANCE, "/internal/services/service"] {
            let answer = Answer::of(gateway.operate(method.clone(), &format!("{whom}{path}"))).await;
            let problem = answer.problem(422, "invalid-parameters");
            assert_eq!(problem["errors"][0]["parameter"], name, "{method} {path}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
        }
    }
    let shown = gateway.service("service").await.unwrap();
    assert_eq!((shown["instances"].as_array().unwrap().len(), &shown["draining"]), (2, &json!(false)));
    for path in ["/internal/services/nobody/drain", "/internal/services/service/instances/nobody/drain"] {
        post(&gateway, path).await.problem(404, "not-found");
        delete(&gateway, path).await.problem(404, "not-found");
    }
    Answer::of(gateway.operate(Method::GET, &format!("{INSTANCE}/drain"))).await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn the_command_line_drains_waits_and_undoes() {
    let (gateway, origin, request) = with_one_held().await;
    let run = async |arguments: &[&str]| {
        let output = gateway.cli(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, said, _) = run(&["drain", "service"]).await;
    let holds = "only --undo ends it, since it names no incarnation";
    assert_eq!((code, said), (0, format!("draining service: 1 instance, 1 request in flight; {holds}\n")));
    let (code, said, why) = run(&["drain", "service", "--instance", "one", "--wait", "0.2"]).await;
    assert_eq!((code, said), (1, format!("draining service/one: 1 instance, 1 request in flight; {holds}\n")));
    assert_eq!(why, "furt: 1 request still in flight\n");
    let (code, said, _) = run(&["drain", "service", "--undo"]).await;
    assert_eq!((code, said.as_str()), (0, "ended the drain of service: 1 instance asked again\n"));
    assert_eq!(run(&["drain", "service", "--undo"]).await.1, "service was not draining\n");
    let (code, said, _) = run(&["drain", "service", "-o", "json"]).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["status"], &answer["in_flight"]), (0, &json!("draining"), &json!(1)));
    let (code, said, _) = run(&["deregister", "service", "--drain", "0.2"]).await;
    assert_eq!((code, said.as_str()), (1, "deregistered service: 1 instance removed, 1 request in flight\n"));
    origin.release();
    request.await.unwrap().unwrap().ok();
    let (code, _, why) = run(&["drain", "service"]).await;
    assert!(code == 1 && why.contains("not registered"), "{why}");
    for misuse in [
        &["drain"][..],
        &["drain", "a", "--wait", "3601"],
        &["drain", "a", "--wait", "1", "--undo"],
        &["drain", "a", "--keep", "--undo"],
    ] {
        assert_eq!(run(misuse).await.0, 2, "{misuse:?}");
    }
}

// Drains that no registration of the same process ends.

#[tokio::test]
async fn a_drain_by_an_operator_holds_while_the_service_registers_again_and_again() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let registration = registration("one", &origin.url());
    gateway.registered(&registration).await;
    let output = gateway.cli(&["drain", "service", "--wait", "10"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.ends_with("only --undo ends it, since it names no incarnation\n"),
        "{said}"
    );
    for change in [json!({}), json!({"weight": 7})] {
        gateway.registered(&with(registration.clone(), change)).await;
        Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(503, "draining");
    }
    let drain = gateway.instance("service").await["drain"].clone();
    assert_eq!(
        (&drain["until"], &drain["from"], &drain["needs_undo"]),
        (&json!("restart"), &json!("127.0.0.1"), &json!(true))
    );
    assert!(gateway.cli(&["drain", "service", "--undo"]).await.status.success());
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status, 200);
}

#[tokio::test]
async fn a_drain_until_the_restart_ends_with_the_next_process() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let of = |incarnation: &str| with(registration("one", &origin.url()), json!({"incarnation": incarnation}));
    gateway.registered(&of("p")).await;
    let output = gateway.cli(&["drain", "service", "--instance", "one"]).await;
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("; until it restarts\n"));
    gateway.registered(&of("p")).await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(503, "draining");
    gateway.registered(&of("q")).await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status, 200);
    let one = gateway.instance("service").await;
    assert_eq!((&one["incarnation"], &one["replaced"], &one["drain"]), (&json!("q"), &json!("p"), &Value::Null));
    assert_eq!(
        post(&gateway, &format!("{INSTANCE}/drain?until=never")).await.problem(422, "invalid-parameters")["status"],
        422
    );
}

#[tokio::test]
async fn a_held_id_is_drained_whoever_registers_under_it_until_that_is_undone() {
    let mut gateway = Gateway::start("[store]\nkind = 'disk'\npath = 'furt.redb'").await;
    let origin = Origin::start().await;
    let of = |incarnation: &str| with(registration("one", &origin.url()), json!({"incarnation": incarnation}));
    gateway.registered(&of("p")).await;
    assert!(gateway.cli(&["drain", "service", "--instance", "one", "--keep"]).await.status.success());
    delete(&gateway, INSTANCE).await.ok();
    gateway.kill();
    gateway.start_again().await;
    let held = gateway.seen("/internal/services").await["held"].clone();
    assert_eq!((&held[0]["service"], &held[0]["instance"]), (&json!("service"), &json!("one")));
    let shown = String::from_utf8(gateway.cli(&["services"]).await.stdout).unwrap();
    assert!(shown.contains("held: service/one, draining until undo, by 127.0.0.1"), "{shown}");
    gateway.registered(&of("q")).await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(503, "draining");
    assert_eq!(gateway.seen("/internal/services").await["held"], json!([]), "it is shown with its instance");
    let undone = delete(&gateway, &format!("{INSTANCE}/drain")).await.ok();
    assert_eq!((&undone["status"], &undone["instances"]), (&json!("drain-ended"), &json!(1)));
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status, 200);
}

#[tokio::test]
async fn who_waits_for_a_drain_is_told_that_it_ended() {
    let (gateway, origin, request) = with_one_held().await;
    let waiting = asking(&gateway, Method::POST, &format!("{INSTANCE}/drain?wait=60"));
    eventually("it drains", SOON, async || (gateway.instance("service").await["draining"] == true).then_some(())).await;
    gateway.registered(&registration("one", &origin.url())).await;
    let answer = waiting.await.unwrap().ok();
    assert_eq!((&answer["ended"], &answer["in_flight"]), (&json!(1), &json!(1)));
    origin.release();
    request.await.unwrap().unwrap().ok();
}
