//! `GET /internal/events` and `furt events`: a long poll over the last events, and what is told of those that are lost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::gateway::{client_from, furt};
use crate::support::{Answer, Gateway, Health, Origin, SOON, eventually, public_service, throughout, with};

const NOWHERE: &str = "http://127.0.0.1:9";

async fn poll(gateway: &Gateway, query: &str) -> Value {
    gateway.seen(&format!("/internal/events{query}")).await
}

fn kinds(answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

async fn register(gateway: &Gateway, name: &str) {
    let body = public_service(name, NOWHERE, &format!("/{name}"));
    gateway.registered(&with(body, json!({"shared": true}))).await;
}

#[tokio::test]
async fn each_thing_that_happens_is_an_event_with_its_details() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    assert_eq!(poll(&gateway, "").await["events"], json!([]));
    let probed = with(public_service("a", &origin.url(), "/a"), json!({ "health_endpoint": "/health" }));
    gateway.registered_and_up(&probed).await;
    gateway.register(&public_service("b", NOWHERE, "/a")).await.problem(409, "taken");
    for method in [Method::POST, Method::DELETE] {
        Answer::of(gateway.operate(method, "/internal/services/a/drain")).await.ok();
    }
    origin.set_health(Health::Status(500));
    gateway.status_becomes("a", "DOWN").await;
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/a")).await.ok();
    let answer = poll(&gateway, "").await;
    let events = answer["events"].as_array().unwrap();
    let of = |kind: &str| events.iter().find(|event| event["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let registered = of("registered");
    assert_eq!((&registered["service"], &registered["instance"]), (&json!("a"), &json!("a")));
    assert_eq!((&registered["url"], &registered["routes"]), (&json!(origin.url()), &json!(1)));
    assert_eq!(registered["from"], "127.0.0.1");
    assert!(registered["time"].as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 24), "{registered}");
    let refused = of("refused");
    assert_eq!((&refused["service"], &refused["instance"]), (&json!("b"), &Value::Null));
    assert!(refused["why"].as_str().unwrap().contains("\"a\""), "{refused}");
    let down = events.iter().rfind(|event| event["kind"] == "instance-status").unwrap();
    assert_eq!((&down["status"], &down["was"]), (&json!("DOWN"), &json!("UP")));
    assert_eq!(of("probe-failed")["failures"], 1);
    assert!(of("probe-failed")["why"].as_str().is_some_and(|why| why.contains("500")));
    for kind in ["drain-began", "drain-ended", "service-status", "deregistered", "freed"] {
        of(kind);
    }
    let numbers: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert_eq!((answer["next"].as_u64(), &answer["lost"]), (numbers.last().copied(), &json!(false)));
}

#[tokio::test]
async fn a_long_poll_waits_and_wakes_when_something_happens() {
    let gateway = Gateway::start("").await;
    register(&gateway, "a").await;
    let next = poll(&gateway, "").await["next"].as_u64().unwrap();
    let begin = Instant::now();
    let nothing = poll(&gateway, &format!("?after={next}&wait=0.5")).await;
    assert!(begin.elapsed() >= Duration::from_millis(500));
    assert_eq!((&nothing["events"], &nothing["next"]), (&json!([]), &json!(next)));
    for name in ["b", "c", "d"] {
        let next = poll(&gateway, "").await["next"].as_u64().unwrap();
        let request = gateway.operate(Method::GET, &format!("/internal/events?after={next}&wait=60"));
        let waiting = tokio::spawn(async move { (Answer::of(request).await, Instant::now()) });
        throughout("it waits", Duration::from_millis(200), async || !waiting.is_finished()).await;
        let begin = Instant::now();
        register(&gateway, name).await;
        let (answer, end) = waiting.await.unwrap();
        assert!(end.saturating_duration_since(begin) < Duration::from_secs(1), "{:?}", end - begin);
        let answer = answer.ok();
        assert_eq!((kinds(&answer), &answer["events"][0]["service"]), (vec!["registered".to_owned()], &json!(name)));
        assert_eq!((&answer["next"], &answer["lost"]), (&json!(next + 1), &json!(false)));
    }
}

#[tokio::test]
async fn who_is_more_than_a_thousand_events_behind_is_told_so() {
    let gateway = Gateway::start("[registration]\nburst = 10000").await;
    let first = poll(&gateway, "").await["next"].as_u64().unwrap();
    for number in 0..335 {
        let name = format!("s{number}");
        register(&gateway, &name).await;
        // Deregistered and freed.
        Answer::of(gateway.operate(Method::DELETE, &format!("/internal/services/{name}"))).await.ok();
    }
    let lossy = poll(&gateway, &format!("?after={first}")).await;
    assert_eq!((lossy["events"].as_array().unwrap().len(), &lossy["lost"]), (1000, &json!(true)));
    let all = poll(&gateway, "").await;
    assert_eq!((all["events"].as_array().unwrap().len(), &all["lost"]), (1000, &json!(false)));
    let oldest = all["events"][0]["seq"].as_u64().unwrap();
    assert_eq!(oldest, first + 6);
    assert_eq!(poll(&gateway, &format!("?after={}", oldest - 1)).await["lost"], false);
    assert_eq!(poll(&gateway, &format!("?after={}", oldest - 2)).await["lost"], true);
    assert_eq!(kinds(&poll(&gateway, &format!("?after={}", first + 1004)).await), ["freed"]);
}

#[tokio::test]
async fn who_followed_the_process_before_is_told_at_once() {
    let mut gateway = Gateway::start("").await;
    register(&gateway, "a").await;
    let before = poll(&gateway, "").await["next"].as_u64().unwrap();
    gateway.restart().await;
    let begin = Instant::now();
    let after = poll(&gateway, &format!("?after={before}&wait=60")).await;
    assert!(begin.elapsed() < SOON);
    assert_eq!((&after["events"], &after["lost"]), (&json!([]), &json!(true)));
    assert!(after["next"].as_u64().unwrap() > before, "numbers grow");
    register(&gateway, "a").await;
    let next = poll(&gateway, &format!("?after={}", after["next"])).await;
    assert_eq!((kinds(&next), &next["lost"]), (vec!["registered".to_owned()], &json!(false)));
}

#[tokio::test]
async fn sigterm_ends_a_poll_with_an_answer() {
    let mut gateway = Gateway::start("[server]\ngrace = 60").await;
    let waiting = tokio::spawn(Answer::of(gateway.operate(Method::GET, "/internal/events?wait=60")));
    eventually("it waits", SOON, async || {
        let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
        metrics.contains("furt_internal_connections 2").then_some(())
    })
    .await;
    let begin = Instant::now();
    gateway.terminate();
    assert_eq!(waiting.await.unwrap().ok()["events"], json!([]));
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn too_many_that_wait_are_refused_and_the_others_are_answered() {
    let gateway = Gateway::start("").await;
    // Again where the test's own look had the last place for a moment.
    let poll = |client: reqwest::Client, url: String| async move {
        loop {
            let answer = Answer::of(client.get(&url)).await;
            if answer.status != 503 {
                return answer;
            }
        }
    };
    let (client, url) = (client_from(None), gateway.internal_url("/internal/events?wait=60"));
    let mut waiting: Vec<_> = (0..64).map(|_| tokio::spawn(poll(client.clone(), url.clone()))).collect();
    let refused = eventually("one is too many", SOON, async || {
        let request = gateway.operate(Method::GET, "/internal/events?wait=0.01");
        Some(Answer::of(request).await).filter(|answer| answer.status == 503)
    })
    .await;
    refused.problem(503, "busy");
    assert!(refused.retry_after() >= 1);
    assert_eq!(gateway.seen("/internal/events").await["events"], json!([]), "who does not wait is answered");
    register(&gateway, "a").await;
    for task in waiting.drain(..) {
        assert_eq!(kinds(&task.await.unwrap().ok()), ["registered"]);
    }
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named_and_others_than_operators_see_nothing() {
    let gateway = Gateway::start("[internal]\noperators_from = ['127.0.0.2']").await;
    Answer::of(gateway.operate(Method::GET, "/internal/events")).await.problem(403, "operators-only");
    let gateway = Gateway::start("").await;
    for (query, names) in [
        ("?after=x", &["after"][..]),
        ("?after=-1", &["after"]),
        ("?after=9007199254740993", &["after"]),
        ("?wait=61", &["wait"]),
        ("?wait=x&after=", &["after", "wait"]),
        ("?since=1", &["since"]),
    ] {
        let problem = Answer::of(gateway.operate(Method::GET, &format!("/internal/events{query}"))).await;
        let problem = problem.problem(422, "invalid-parameters");
        let told = problem["errors"].as_array().unwrap().iter().map(|error| error["parameter"].as_str().unwrap());
        assert_eq!(told.collect::<Vec<_>>(), names, "{query}");
    }
}

#[tokio::test]
async fn furt_events_prints_a_line_an_event() {
    let gateway = Gateway::start("").await;
    register(&gateway, "a").await;
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/a")).await.ok();
    let run = async |arguments: &[&str]| {
        let output = gateway.cli(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (text, told) = run(&["events"]).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), told.as_str()), (3, ""), "{text}");
    let expected = format!("  registered         a/a  url={NOWHERE}  routes=1  from=127.0.0.1");
    assert!(lines[0].ends_with(&expected), "{text}");
    assert!(lines[2].ends_with("  freed              a"), "{text}");
    let (text, _) = run(&["events", "-o", "json"]).await;
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["kind"], "registered");
    let first = events[0]["seq"].as_u64().unwrap();
    assert_eq!(run(&["events", "--after", &first.to_string()]).await.0.lines().count(), 2);
    let (text, told) = run(&["events", "--after", "1"]).await;
    assert!(text.lines().count() == 3 && told.contains("lost"), "{told}");
    let output = gateway.cli(&["events", "--after", "99999999999999999999"]).await;
    assert_eq!(output.status.code(), Some(2));
    let output = gateway.cli(&["events", "--after", "9999999999999999999"]).await;
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("after"), "{output:?}");
}

fn following(gateway: &Gateway) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::from(furt(&["events", "--follow", "-o", "json", "--url", &gateway.internal_url("")]));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(SOON, lines.next_line()).await.expect("an event").unwrap();
    serde_json::from_str(&line.expect("it goes on")).unwrap()
}

#[tokio::test]
async fn furt_events_follows_over_a_restart_and_ends_with_its_reader() {
    let mut gateway = Gateway::start("").await;
    register(&gateway, "a").await;
    let (mut child, mut lines) = following(&gateway);
    assert_eq!(next(&mut lines).await["service"], "a");
    register(&gateway, "b").await;
    assert_eq!(next(&mut lines).await["service"], "b");
    gateway.restart().await;
    register(&gateway, "c").await;
    let event = next(&mut lines).await;
    assert_eq!((&event["kind"], &event["service"]), (&json!("registered"), &json!("c")));
    drop(lines);
    eventually("it ends once it notices", SOON, async || {
        let body = public_service("d", &format!("{NOWHERE}{}", fastrand::u8(..)), "/d");
        gateway.registered(&with(body, json!({ "revision": fastrand::u32(..) }))).await;
        child.try_wait().unwrap()
    })
    .await;
    let output = child.wait_with_output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("trying again") && told.contains("lost"), "{told}");
}
