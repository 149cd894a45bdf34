//! `furt top`: what a frame says, how it ends, and what it does while there is no gateway.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::furt;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, ports, sagjan, throughout};

async fn up() -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    (gateway, origin)
}

#[tokio::test]
async fn top_prints_one_frame_and_ends() {
    let (gateway, _origin) = up().await;
    for _ in 0..3 {
        gateway.get("/api/comments/a").await.ok();
    }
    Answer::of(gateway.anonymous(Method::GET, "/api/comments/a")).await.problem(401, "key-missing");
    // A request is counted just after its answer is sent.
    let refused = async || (gateway.service("sagjan").await?["requests"]["refused"] == 1).then_some(());
    eventually("all are counted", SOON, refused).await;
    let requesting = async {
        // Over the whole interval, however late top begins it.
        throughout("requests are answered", Duration::from_millis(1_500), async || {
            gateway.get("/api/comments/a").await.status == 200
        })
        .await;
    };
    let arguments = ["top", "--once", "-o", "json", "--interval", "0.5"];
    let (output, ()) = futures_util::future::join(gateway.cli(&arguments), requesting).await;
    assert!(output.status.success(), "{output:?}");
    let frame: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sagjan = &frame["services"][0];
    assert_eq!((&sagjan["service"], &sagjan["status"]), (&json!("sagjan"), &json!("UP")));
    assert_eq!((&sagjan["instances_up"], &sagjan["instances"]), (&json!(1), &json!(1)));
    assert!(sagjan["so_far"]["requests"].as_u64().unwrap() >= 4, "{frame}");
    assert_eq!(sagjan["so_far"]["refused"], 1, "{frame}");
    assert!(sagjan["requests_per_s"].as_f64().unwrap() > 0.0, "{frame}");
    assert!(sagjan["p50_ms"].as_f64().unwrap() <= sagjan["p99_ms"].as_f64().unwrap(), "{frame}");
    assert!(sagjan["uptime_share"].as_f64().unwrap() > 0.0, "{frame}");
    let text = gateway.cli(&["top", "--once", "--interval", "0.1"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("SERVICE") && text.contains("\nsagjan") && text.contains("\nTOTAL"), "{text}");
}

#[tokio::test]
async fn top_fails_where_there_is_no_furt_and_where_it_may_not_look() {
    let gateway = Gateway::start("[internal]\noperators_from = ['127.0.0.9']").await;
    let output = gateway.cli(&["top"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("operators-only"), "{output:?}");
    let nowhere = format!("http://{}", ports::free_address());
    let output = gateway.cli(&["top", "--url", &nowhere]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing listens"), "{output:?}");
    for bad in ["0", "x", "4000"] {
        assert_eq!(gateway.cli(&["top", "--interval", bad]).await.status.code(), Some(2), "{bad}");
    }
}

#[tokio::test]
async fn top_goes_on_while_the_gateway_is_away_and_ends_with_a_signal() {
    let (mut gateway, origin) = up().await;
    let mut command = furt(&["top", "--interval", "0.1", "-o", "json"]);
    command.env("FURT_URL", gateway.internal_url("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut top = command.spawn().unwrap();
    let lines = |stream: Box<dyn std::io::Read + Send>| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        receiver
    };
    let (mut frames, mut notes) =
        (lines(Box::new(top.stdout.take().unwrap())), lines(Box::new(top.stderr.take().unwrap())));
    let next = async |lines: &mut tokio::sync::mpsc::UnboundedReceiver<String>| {
        tokio::time::timeout(SOON, lines.recv()).await.expect("a line").expect("top still runs")
    };
    let frame: Value = serde_json::from_str(&next(&mut frames).await).unwrap();
    assert_eq!(frame["services"][0]["service"], "sagjan");
    gateway.kill();
    let note = next(&mut notes).await;
    assert!(note.contains("trying again"), "{note}");
    gateway.start_again().await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    while let Ok(line) = frames.try_recv() {
        drop(line);
    }
    gateway.get("/api/comments/a").await.ok();
    loop {
        let frame: Value = serde_json::from_str(&next(&mut frames).await).unwrap();
        let rate = frame["total"]["requests_per_s"].as_f64().unwrap();
        assert!(rate >= 0.0, "{frame}");
        if frame["total"]["so_far"]["requests"].as_u64() == Some(1) {
            break;
        }
    }
    let id = top.id();
    assert!(std::process::Command::new("sh").args(["-c", &format!("kill -INT {id}")]).status().unwrap().success());
    let status = eventually("top ends", SOON, async || top.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn top_ends_when_nobody_reads_it_any_more() {
    let (gateway, _origin) = up().await;
    let mut command = furt(&["top", "--interval", "0.1"]);
    command.env("FURT_URL", gateway.internal_url("")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut top = command.spawn().unwrap();
    let mut reader = BufReader::new(top.stdout.take().unwrap());
    let mut line = String::new();
    let (line, reader) = tokio::task::spawn_blocking(move || {
        reader.read_line(&mut line).unwrap();
        (line, reader)
    })
    .await
    .unwrap();
    assert!(line.starts_with("SERVICE") && !line.contains('\x1b'), "no control sequences in a pipe: {line:?}");
    drop(reader);
    let status = eventually("top ends", SOON, async || top.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}
