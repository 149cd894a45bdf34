//! furt as a process: what it says when it cannot start, how it ends, and that nobody is cut off who need not be.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{
    Answer, Gateway, Mode, Origin, READER, SOON, eventually, ports, public_service, sagjan, throughout, with,
};

fn config_file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("furt.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

async fn gateway_with_gated_request(tail: &str) -> (Gateway, Origin, tokio::task::JoinHandle<reqwest::Result<Answer>>) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    origin.set_mode(Mode::Gated);
    let request = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/s/a")));
    eventually("the request arrives", SOON, async || (origin.requests("/s/a") == 1).then_some(())).await;
    (gateway, origin, request)
}

#[tokio::test]
async fn every_port_in_use_is_named_in_a_line_of_its_own() {
    let taken: Vec<TcpListener> = (0..3).map(|_| ports::listener()).collect();
    let [one, two, internal] = [0, 1, 2].map(|at| taken[at].local_addr().unwrap().to_string());
    let text =
        format!("[server]\nlisten = ['{one}', '{two}']\n[internal]\nlisten = '{internal}'\n[store]\nkind = 'memory'\n");
    let (_dir, path) = config_file(&text);
    let begin = Instant::now();
    let output = output_of(furt(&["run", "--config", &path])).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for address in [one, two, internal] {
        let lines = said.lines().filter(|line| line.contains(&address)).count();
        assert_eq!(lines, 1, "{address} in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_second_furt_on_the_same_ports_fails_and_leaves_the_first_alone() {
    let gateway = Gateway::start("").await;
    let output = output_of(furt(&["run", "--config", gateway.config.to_str().unwrap()])).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/health")).await.status, 200);
}

#[tokio::test]
async fn a_bad_configuration_ends_the_start_with_every_error() {
    let (_dir, path) = config_file("[server]\ngrace = 'soon'\ncolour = 'blue'\n[gateway]\nenabled = 1\n");
    for verb in ["run", "check"] {
        let output = output_of(furt(&[verb, "--config", &path])).await;
        assert_eq!(output.status.code(), Some(1), "{verb}");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        for place in [":2:", ":3:", ":5:"] {
            assert!(said.lines().any(|line| line.contains(&format!("{path}{place}"))), "{verb}: no {place} in\n{said}");
        }
        for key in ["grace", "colour", "enabled"] {
            assert!(said.contains(key), "{verb}: no {key} in\n{said}");
        }
    }
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_named() {
    let output = output_of(furt(&["run", "--config", "/nonexistent/furt.toml"])).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/furt.toml"));
}

#[tokio::test]
async fn sigterm_ends_an_idle_furt_at_once() {
    let mut gateway = Gateway::start("[server]\ngrace = 60").await;
    // A connection that waits for its next request is idle too.
    let mut kept = Wire::to(gateway.public).await;
    kept.send("GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    kept.read_response().await;
    // An empty line is no request.
    kept.send("\r\n").await;
    let begin = Instant::now();
    let status = gateway.stop().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn sigterm_waits_for_a_request_in_flight_and_takes_no_new_ones() {
    let (mut gateway, origin, request) = gateway_with_gated_request("[server]\ngrace = 60").await;
    gateway.terminate();
    eventually("new connections are refused", SOON, async || {
        tokio::net::TcpStream::connect(gateway.public).await.is_err().then_some(())
    })
    .await;
    throughout("it waits", Duration::from_millis(700), async || gateway.exited().is_none()).await;
    origin.release();
    let answer = request.await.unwrap().unwrap();
    answer.ok();
    let begin = Instant::now();
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

async fn takes_no_new_connections(gateway: &Gateway) {
    eventually("new connections are refused", SOON, async || {
        tokio::net::TcpStream::connect(gateway.public).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_sigterm_an_answer_says_that_its_connection_closes() {
    let (gateway, origin, request) = gateway_with_gated_request("[server]\ngrace = 60").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/b HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    eventually("the request arrives", SOON, async || (origin.requests("/s/b") == 1).then_some(())).await;
    gateway.terminate();
    takes_no_new_connections(&gateway).await;
    origin.release();
    let (head, _) = wire.read_response().await;
    assert_eq!((wire::status(&head), wire::header(&head, "connection")), (200, Some("close")), "{head}");
    assert_eq!(wire.read_to_end(SOON).await, "");
    request.await.unwrap().unwrap().ok();
}

#[tokio::test]
async fn a_request_whose_header_had_begun_before_sigterm_is_answered_or_told() {
    for (grace, rest) in [("60", Some(" HTTP/1.1\r\nHost: gateway\r\n\r\n")), ("'1s'", None)] {
        let mut gateway = Gateway::start(&format!("[server]\ngrace = {grace}")).await;
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        wire.read_response().await;
        wire.send("GET /health").await;
        // Nothing tells from outside that furt has read it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        gateway.terminate();
        takes_no_new_connections(&gateway).await;
        if let Some(rest) = rest {
            wire.send(rest).await;
        }
        let (head, _) = wire.read_response().await;
        let status = if rest.is_some() { 200 } else { 503 };
        assert_eq!((wire::status(&head), wire::header(&head, "connection")), (status, Some("close")), "{head}");
        assert_eq!(wire.read_to_end(SOON).await, "");
        assert_eq!(gateway.ended(SOON).await.code(), Some(0), "{}", gateway.log());
    }
}

/// Furt's own answers and a service's, of a stream as well, whatever was there of the request when the signal came.
#[tokio::test]
async fn after_sigterm_every_answer_to_what_had_begun_says_that_its_connection_closes() {
    let (mut gateway, origin) = (Gateway::start("[server]\ngrace = 60").await, Origin::start().await);
    gateway.registered(&sagjan(&origin.url())).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let mut upload = Wire::to(gateway.public).await;
    upload.send("POST /s/up HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    upload.read_until("100 Continue\r\n\r\n").await;
    let mut begun = Vec::new();
    for (first, rest, status) in [
        ("GET /nowhere HTTP/1.1\r\nHost: g\r\n", "\r\n", 404),
        ("GET /api/comments/a HTTP/1.1\r\nHost: g\r\n", "\r\n", 401),
        ("GET /hea", "lth HTTP/1.1\r\nHost: g\r\n\r\n", 200),
        ("GET /s/a HTTP/1.1\r\nHost: g\r\na b: c\r\n", "\r\n", 400),
        ("GET /s/a", "\r\n", 400),
        ("GET /s/a HTTP/1.1\r\nHost: g\r\n", "\r\n", 200),
        ("POST /nowhere HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\n", "hello", 404),
        ("POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\n", "hello", 200),
        ("POST /s/a HTTP/1.1\r\nHost: g\r\n", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", 200),
    ] {
        let mut wire = Wire::to(gateway.public).await;
        // Not the first one of its connection.
        wire.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n").await;
        wire.read_response().await;
        wire.send(first).await;
        begun.push((wire, first, rest, status));
    }
    // Nothing tells from outside that furt has read them.
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.terminate();
    takes_no_new_connections(&gateway).await;
    for (mut wire, first, rest, status) in begun {
        // What is refused by its header alone was answered before.
        let is_early = status == 404 && first.starts_with("POST");
        wire.try_send(rest).await;
        let mut answer = wire.read_to_end(SOON).await;
        if let Some(after) = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n") {
            answer = after.to_owned();
        }
        assert_eq!(wire::status(&answer), status, "{first}: {answer}");
        assert!(is_early || wire::header(&answer, "connection") == Some("close"), "{first}: {answer}");
    }
    upload.send("hello").await;
    let answer = upload.read_to_end(SOON).await;
    assert_eq!((wire::status(&answer), wire::header(&answer, "connection")), (200, Some("close")), "{answer}");
    assert_eq!(gateway.ended(SOON).await.code(), Some(0), "{}", gateway.log());
}

#[tokio::test]
async fn after_sigterm_a_stream_that_begins_says_that_its_connection_closes_and_goes_on() {
    let (mut gateway, origin) = (Gateway::start("[server]\ngrace = 60").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    origin.set_mode(Mode::Events);
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: g\r\nAccept: text/event-stream\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.terminate();
    takes_no_new_connections(&gateway).await;
    wire.send("\r\n").await;
    let head = wire.read_until("\r\n\r\n").await;
    assert_eq!((wire::status(&head), wire::header(&head, "connection")), (200, Some("close")), "{head}");
    eventually("the stream is there", SOON, async || (origin.requests("/s/a") == 1).then_some(())).await;
    origin.emit("data: one\n\n");
    wire.read_until("data: one").await;
    drop(wire);
    assert_eq!(gateway.ended(SOON).await.code(), Some(0), "{}", gateway.log());
}

#[tokio::test]
async fn sigterm_ends_at_the_latest_after_the_grace() {
    let (mut gateway, _origin, request) = gateway_with_gated_request("[server]\ngrace = '1s'").await;
    let begin = Instant::now();
    gateway.terminate();
    gateway.ended(SOON).await;
    let took = begin.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&took), "{took:?}");
    let cut = request.await.unwrap();
    assert!(cut.is_err() || cut.is_ok_and(|answer| answer.status.is_server_error()));
}

#[tokio::test]
async fn while_clients_are_waited_for_it_is_not_ready_and_registers_nothing() {
    let (mut gateway, origin, request) = gateway_with_gated_request("[server]\ngrace = 60").await;
    gateway.terminate();
    // That nobody answers would be no proof.
    let is_unready = async || {
        let answer = Answer::try_of(gateway.operate(Method::GET, "/readyz")).await.expect("an answer");
        answer.status == 503
    };
    eventually("not ready", SOON, async || is_unready().await.then_some(())).await;
    throughout("not ready", Duration::from_millis(500), is_unready).await;
    let late = gateway.register(&public_service("late", &origin.url(), "/late/*")).await;
    late.problem(503, "stopping");
    assert!(late.retry_after() >= 1);
    origin.release();
    request.await.unwrap().unwrap().ok();
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_waits_for_a_request_in_flight_on_the_internal_listener() {
    let mut gateway = Gateway::start("[server]\ngrace = 60").await;
    gateway.registered(&public_service("service", "http://127.0.0.1:9", "/s/*")).await;
    let mut wire = Wire::to(gateway.internal).await;
    let path = "/internal/services/service/instances/service/heartbeat";
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    wire.send(head).await;
    // Told to go on, its body is waited for.
    wire.read_until("100 Continue\r\n\r\n").await;
    gateway.terminate();
    let internal = gateway.internal;
    eventually("new connections are refused", SOON, async || {
        tokio::net::TcpStream::connect(internal).await.is_err().then_some(())
    })
    .await;
    throughout("it waits", Duration::from_millis(500), async || gateway.exited().is_none()).await;
    wire.send("{}").await;
    let answer = wire.read_to_end(SOON).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn with_the_format_json_each_line_of_the_log_is_an_object() {
    let mut gateway = Gateway::start("[log]\nformat = 'json'\n").await;
    gateway.registered(&public_service("shop", "http://127.0.0.1:9", "/shop/*")).await;
    assert!(gateway.stop().await.success());
    let lines: Vec<Value> = gateway.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert!(messages.iter().any(|message| message.starts_with("registered shop/shop at")), "{messages:?}");
    for line in &lines {
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["target"].as_str().unwrap().starts_with("furt"));
        assert!(["INFO", "WARN", "ERROR"].contains(&line["level"].as_str().unwrap()), "{line}");
    }
}

#[tokio::test]
async fn of_good_answers_the_access_log_has_a_share() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("[access_log]\npath = 'access.log'\nshare = '0%'\n").await;
    let shop = with(public_service("shop", &origin.url(), "/shop/*"), json!({ "version": "1.4" }));
    gateway.registered_and_up(&shop).await;
    let log = || std::fs::read_to_string(gateway.dir().join("access.log")).unwrap_or_default();
    gateway.get("/shop/a").await;
    gateway.get("/nowhere").await;
    eventually("the other has a line", SOON, async || log().contains("/nowhere").then_some(())).await;
    assert_eq!(log().lines().count(), 1, "{}", log());
    gateway.reloaded("[access_log]\npath = 'access.log'\n").await;
    Answer::of(gateway.anonymous(Method::GET, "/shop/b").header("user-agent", "tester")).await.ok();
    let line = eventually("a good answer has one as well", SOON, async || {
        log().lines().find(|line| line.contains("/shop/b")).map(str::to_owned)
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let told = (&line["user_agent"], &line["version"], &line["scheme"]);
    assert_eq!(told, (&json!("tester"), &json!("1.4"), &json!("http")));
    assert!(line.get("trace_id").is_none());
}

#[tokio::test]
async fn sighup_opens_the_access_log_again_and_ends_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let gateway = Gateway::start(&format!("[access_log]\npath = '{}'", path.display())).await;
    Answer::of(gateway.anonymous(Method::GET, "/before")).await;
    fs::rename(&path, &moved).unwrap();
    gateway.signal("HUP");
    eventually("a new file", SOON, async || path.exists().then_some(())).await;
    Answer::of(gateway.anonymous(Method::GET, "/after")).await;
    let has = |path: &std::path::Path, text: &str| fs::read_to_string(path).is_ok_and(|log| log.contains(text));
    eventually("a line in the new file", SOON, async || has(&path, "/after").then_some(())).await;
    assert!(has(&moved, "/before") && !has(&moved, "/after"));
}

#[tokio::test]
async fn it_starts_again_on_its_ports_at_once() {
    let mut gateway = Gateway::start("").await;
    for _ in 0..3 {
        gateway.restart().await;
        assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/health")).await.status, 200);
    }
}

#[tokio::test]
async fn the_public_listener_is_bound_when_it_says_that_it_is_ready() {
    for _ in 0..5 {
        let gateway = Gateway::start("").await;
        // `start` has waited for nothing but the internal listener's `/readyz`.
        assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/health")).await.status, 200);
    }
}

#[tokio::test]
async fn a_registration_is_taken_from_the_first_moment_that_its_port_accepts() {
    for _ in 0..5 {
        let (public, internal) = (ports::free_address(), ports::free_address());
        let text =
            format!("[server]\nlisten = ['{public}']\n[internal]\nlisten = '{internal}'\n[store]\nkind = 'memory'\n");
        let (_dir, path) = config_file(&text);
        let mut command = tokio::process::Command::from(furt(&["run", "--config", &path]));
        let mut child = command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let body = public_service("s", "http://127.0.0.1:9", "/s/*").to_string();
        let request = format!(
            "POST /internal/register-service HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let connected = async { while TcpStream::connect(internal).await.is_err() {} };
        tokio::time::timeout(SOON, connected).await.expect("it listens");
        let answer = exchange(internal, request).await;
        assert_eq!(wire::status(&answer), 200, "{answer}");
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn it_listens_on_several_public_addresses() {
    let second = ports::free_address();
    let first = ports::free_address();
    let gateway = Gateway::start(&format!("[server]\nlisten = ['{first}', '{second}']")).await;
    for address in [first, second] {
        let answer = client_from(None).get(format!("http://{address}/health")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert!(!gateway.log().contains("panicked"));
}

#[tokio::test]
async fn more_clients_than_allowed_are_turned_away_and_the_others_are_served() {
    let gateway = Gateway::start("[server]\nmax_connections = 5").await;
    let mut kept = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        wire.read_response().await;
        kept.push(wire);
    }
    let mut beyond = Wire::to(gateway.public).await;
    let sent = beyond.try_send("GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let answer = if sent { beyond.read_to_end(SOON).await } else { String::new() };
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    kept[0].send("GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let (head, _) = kept[0].read_response().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(kept);
    eventually("there is room again", SOON, async || {
        Answer::try_of(gateway.anonymous(Method::GET, "/health"))
            .await
            .is_ok_and(|answer| answer.status == 200)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_any_file_it_runs_on_its_defaults_and_a_named_file_must_be_there() {
    let dir = tempfile::TempDir::new().unwrap();
    let output = fs::File::create(dir.path().join("output")).unwrap();
    let mut command = furt(&["run"]);
    for (name, value) in [
        ("FURT_SERVER_LISTEN", ports::free_address().to_string()),
        ("FURT_INTERNAL_LISTEN", ports::free_address().to_string()),
        ("FURT_LOG", "info".to_owned()),
    ] {
        command.env(name, value);
    }
    let mut child = command.current_dir(dir.path()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let said = || fs::read_to_string(dir.path().join("output")).unwrap();
    eventually("it runs", SOON, async || said().contains("services register at").then_some(())).await;
    assert!(said().contains("furt runs on its defaults"), "{}", said());
    assert!(dir.path().join("data/furt.redb").exists(), "{}", said());
    child.kill().unwrap();
    child.wait().unwrap();
    for missing in [&["run", "--config", "missing.toml"][..], &["check"]] {
        let output = output_of(furt(missing)).await;
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(".toml"), "{output:?}");
    }
}

#[tokio::test]
async fn clients_take_no_files_from_the_internal_listener() {
    let gateway = Gateway::start_after("ulimit -n 300", "").await;
    let log = gateway.log();
    assert!(log.contains("server.max_connections is 20000") && log.contains("at most 300 open files"), "{log}");
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push(Wire::to(gateway.public).await);
    }
    let told = eventually("one is turned away", SOON, async || {
        for client in &mut clients {
            if client.is_closed().await {
                return Some(());
            }
        }
        None
    });
    told.await;
    for _ in 0..10 {
        let answer = Answer::of(gateway.operate(Method::GET, "/readyz")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let answer = gateway.register(&public_service("service", "http://127.0.0.1:9", "/s/*")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Seconds of processor time that a process has used.
fn used_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // utime and stime, which Linux counts in hundredths.
    [11, 12].iter().map(|place| fields[*place].parse::<f64>().unwrap() / 100.0).sum()
}

#[tokio::test]
async fn without_a_free_file_it_waits_in_peace_and_serves_once_there_is_one() {
    let request = "GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let gateway = Gateway::start("").await;
    let (mut kept, mut operator) = (Wire::to(gateway.public).await, Wire::to(gateway.internal).await);
    kept.send(request).await;
    kept.read_response().await;
    operator.send("GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    operator.read_response().await;

    gateway.limit_open_files(8);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send(request).await;
        waiting.push(wire);
    }
    eventually("it says why", SOON, async || gateway.log().contains("cannot accept connections at").then_some(()))
        .await;
    let (before, began) = (used_seconds(gateway.id()), std::time::Instant::now());
    kept.send(request).await;
    kept.read_response().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = used_seconds(gateway.id()) - before;
    assert!(used < 0.4 * began.elapsed().as_secs_f64(), "{used} s of {:?}", began.elapsed());
    // A line for each of the two loops, not one for each failure.
    assert!(gateway.log().matches("cannot accept connections").count() <= 2, "{}", gateway.log());
    operator.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let failures = operator.read_until("\nfurt_client_accept_failures_total ").await;
    assert!(failures.starts_with("HTTP/1.1 200"), "{failures}");
    assert_ne!(operator.read_until("\n").await.trim(), "0");

    gateway.limit_open_files(1000);
    for wire in &mut waiting {
        let (head, _) = wire.read_response().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let origin = Origin::start().await;
    for (before, is_told) in [
        ("export FURT_LOG=info,pingora=debug,pingora_core=trace", "other crates than furt"),
        ("export FURT_LOG=trace", "other crates than furt"),
    ] {
        let gateway = Gateway::start_after(before, "").await;
        gateway.registered(&sagjan(&origin.url())).await;
        let path = "/api/comments/a";
        for request in [
            format!("GET {path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {READER}\r\nConnection: close\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {READER}\r\nCookie: a\0b\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {READER}\r\n: none\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: g\r\nHost: h\r\nX-API-Key: {READER}\r\n\r\n"),
            format!("GET /{READER} HTTP/9.9\r\nX-API-Key: {READER}\r\n\r\n"),
        ] {
            exchange(gateway.public, &request).await;
            exchange(gateway.internal, &request).await;
        }
        let created =
            gateway.operate(Method::POST, "/internal/keys").json(&json!({"name": "new", "permissions": ["a"]}));
        let created = Answer::of(created).await;
        let secret = created.json()["key"].as_str().unwrap().to_owned();
        exchange(
            gateway.public,
            format!("GET {path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {secret}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        let log = gateway.log();
        assert!(log.contains(is_told), "{log}");
        assert!(!log.contains(READER) && !log.contains(&secret), "{log}");
    }
}

#[tokio::test]
async fn with_too_few_files_it_starts_whole_or_ends() {
    let (mut ended, mut started) = (0, 0);
    for files in (6..=40).step_by(2) {
        let (public, internal) = (ports::free_address(), ports::free_address());
        let text = format!(
            "[server]\nlisten = ['{public}']\nthreads = 2\n[internal]\nlisten = '{internal}'\n[store]\nkind = 'memory'\n"
        );
        let (dir, path) = config_file(&text);
        let output = fs::File::create(dir.path().join("output")).unwrap();
        let command = furt(&["run", "--config", &path]);
        let mut limited = std::process::Command::new("prlimit");
        limited.arg(format!("--nofile={files}")).arg(command.get_program()).args(command.get_args());
        let mut child =
            limited.env("RUST_LOG", "info").stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let said = || fs::read_to_string(dir.path().join("output")).unwrap();
        let outcome = eventually("it starts or ends", SOON, async || {
            let status = child.try_wait().unwrap();
            (status.is_some() || said().contains("services register at")).then_some(status)
        })
        .await;
        match outcome {
            Some(status) => {
                assert!(!status.success(), "{files} files: {}", said());
                ended += 1;
            }
            // Pingora's server may want another file once both listeners run.
            None if said().contains("panicked") => {
                let status = eventually("it ends", SOON, async || child.try_wait().unwrap()).await;
                assert!(!status.success(), "{files} files: {}", said());
                ended += 1;
            }
            None => started += 1,
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(ended > 0 && started > 0, "{ended} ended, {started} started");
}
