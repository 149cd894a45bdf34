//! HTTP/2 as clients of others speak it, by prior knowledge and under TLS: node's client, and h2load with thousands of requests.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::foreign::{node, program};
use crate::support::frames::{Act, Framed, Nature, data, headers};
use crate::support::gateway::output_of;
use crate::support::tls::Edge;
use crate::support::{Gateway, Mode, Origin, SOON, eventually, public_service, with};

const REQUESTS: usize = 5_000;
/// For everything that node does.
const NODE_TIME: Duration = Duration::from_secs(120);

/// A service that sends the body back, and its length as a trailer.
fn trailing() -> Framed {
    Framed::start(Nature::default(), |asked| {
        let sum = asked.body.len().to_string();
        let head = headers(asked.stream, &[(":status", "200")], false);
        let trailers = headers(asked.stream, &[("x-sum", &sum)], true);
        vec![Act::Send([head, data(asked.stream, &asked.body, false), trailers].concat())]
    })
}

async fn node_is_served(is_under_tls: bool) {
    let (edge, trailers) = (Edge::new(), trailing());
    let origins = [Origin::start().await, Origin::start().await, Origin::start().await];
    let mut gateway = Gateway::start(&edge.tail(&["a"], "redirect = false\n[server]\ngrace = '20s'")).await;
    origins[1].set_mode(Mode::Mirror);
    origins[2].set_mode(Mode::Gated);
    for (name, origin) in ["echo", "mirror", "slow"].into_iter().zip(&origins) {
        gateway.registered(&public_service(name, &origin.url(), &format!("/{name}/*"))).await;
    }
    let service = public_service("trailers", &trailers.url(), "/trailers/*");
    gateway.registered(&with(service, json!({"protocol": "h2c"}))).await;

    let mut command = node::command();
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/programs/http2_client.js"));
    if is_under_tls {
        command.arg(format!("https://{}", edge.address)).arg(edge.authority_file());
    } else {
        command.arg(format!("http://{}", gateway.public));
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut errors = child.stderr.take().unwrap();
    let told = tokio::time::timeout(NODE_TIME, lines.next_line()).await.expect("a line in time").unwrap();
    if told.as_deref() == Some("asked") {
        eventually("its last request", SOON, async || (origins[2].requests("/slow/a") == 1).then_some(())).await;
        gateway.terminate();
        origins[2].release();
    }
    let end = tokio::time::timeout(NODE_TIME, lines.next_line()).await.expect("the end").unwrap();
    let mut why = String::new();
    errors.read_to_string(&mut why).await.unwrap();
    assert_eq!(end.as_deref(), Some("all is well"), "{told:?}: {why}");
    assert!(child.wait().await.unwrap().success());
    assert!(gateway.ended(Duration::from_secs(30)).await.success());
}

#[tokio::test]
async fn node_is_served_by_prior_knowledge_up_to_the_end() {
    node_is_served(false).await;
}

#[tokio::test]
async fn node_is_served_under_tls_up_to_the_end() {
    node_is_served(true).await;
}

/// Makes so many requests and checks that each succeeds.
async fn all_succeed(arguments: &[&str]) {
    let mut command = program::command("h2load");
    command.args(["-n", &REQUESTS.to_string(), "--connection-inactivity-timeout", "60"]).args(arguments);
    let output = output_of(command).await;
    let told = String::from_utf8_lossy(&output.stdout);
    let counts = format!(
        "requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored"
    );
    let statuses = format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&counts) && told.contains(&statuses), "{arguments:?}: {told}{errors}");
    let shown = |begin: &&str| begin.starts_with("finished") || begin.starts_with("Application protocol");
    println!("{arguments:?}: {:?}", told.lines().filter(shown).collect::<Vec<_>>());
}

#[tokio::test]
async fn thousands_of_requests_of_h2load_succeed() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = Gateway::start(&edge.tail(&["a"], "redirect = false")).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    std::fs::write(edge.path("body"), "a".repeat(10_000)).unwrap();
    let body = edge.path("body").display().to_string();
    let (plain, under_tls) = (gateway.public_url("/s/a"), format!("https://{}/s/a", edge.address));
    for url in [&plain, &under_tls] {
        for connections in [["-c", "1", "-m", "100"], ["-c", "50", "-m", "10"]] {
            all_succeed(&[&connections[..], &[url]].concat()).await;
        }
        // Windows of a kilobyte, and bodies.
        all_succeed(&["-c", "10", "-m", "10", "-w", "10", "-W", "12", "-d", &body, url]).await;
        all_succeed(&["-c", "10", "--h1", url]).await;
    }
    let ended = gateway.metrics().await;
    for why in ["frames", "protocol", "resets", "malformed"] {
        assert!(ended.contains(&format!("furt_h2_closed_total{{why=\"{why}\"}} 0\n")), "{why}: {ended}");
    }
    assert_eq!(origin.requests("/s/a"), 8 * REQUESTS);
}
