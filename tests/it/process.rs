//! furt as a process: what it says when it cannot start, how it ends, and that nobody is cut off who need not be.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, ports, public_service, throughout};

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
async fn sighup_opens_the_access_log_again_under_its_name() {
    let gateway = Gateway::start("[access_log]\npath = 'access.log'").await;
    let [path, rotated] = ["access.log", "access.log.1"].map(|name| gateway.dir().join(name));
    let logged = async |path: &std::path::Path, text: &str| {
        eventually("logged", SOON, async || {
            std::fs::read_to_string(path).unwrap_or_default().contains(text).then_some(())
        })
        .await;
    };
    Answer::of(gateway.anonymous(Method::GET, "/before")).await;
    logged(&path, "/before").await;
    std::fs::rename(&path, &rotated).unwrap();
    gateway.signal("HUP");
    eventually("opened again", SOON, async || path.exists().then_some(())).await;
    Answer::of(gateway.anonymous(Method::GET, "/after")).await;
    logged(&path, "/after").await;
}

#[tokio::test]
async fn while_it_ends_it_is_not_ready() {
    let (gateway, _origin, _request) = gateway_with_gated_request("[server]\ngrace = 60").await;
    gateway.terminate();
    eventually("not ready", SOON, async || {
        let answer = Answer::try_of(gateway.operate(Method::GET, "/readyz")).await;
        answer.map_or(true, |answer| answer.status == 503).then_some(())
    })
    .await;
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
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
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
