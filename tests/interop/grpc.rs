//! grpcio on both sides of furt: every kind of call, in plain text and under TLS, and its health service.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::foreign::python;
use crate::support::tls::Edge;
use crate::support::{Gateway, SOON};

struct Service {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    port: String,
}

impl Service {
    async fn start() -> Self {
        let mut child = python::command("grpc", "grpc_service.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut lines = BufReader::new(stdout).lines();
        let told = tokio::time::timeout(SOON * 3, lines.next_line()).await.expect("its port").unwrap();
        let port = told.expect("grpcio, which `make interop` installs").replace("port ", "");
        Self { _child: child, stdin, lines, port }
    }
}

async fn registered(gateway: &Gateway, service: &Service) {
    let registration = json!({"service": "test", "url": format!("http://127.0.0.1:{}", service.port), "protocol": "h2c",
        "routes": [{"method": "POST", "path": "/furt.Test/*"}, {"method": "POST", "path": "/grpc.health.v1.Health/*"}],
        "health_check": {"grpc": "furt.Test", "interval": 1}});
    gateway.registered(&registration).await;
    gateway.status_becomes("test", "UP").await;
}

/// Makes every kind of call.
async fn is_well(arguments: &[&str]) {
    let output = tokio::time::timeout(
        Duration::from_secs(120),
        python::command("grpc", "grpc_client.py").args(arguments).output(),
    );
    let output = output.await.expect("an end in time").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("all is well"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn every_kind_of_call_passes_in_plain_text() {
    let (gateway, mut service) = (Gateway::start("").await, Service::start().await);
    registered(&gateway, &service).await;
    is_well(&[&gateway.public.to_string()]).await;
    // What the client gave up, and what was cancelled, ended at the service too.
    for _ in 0..2 {
        let told = tokio::time::timeout(SOON, service.lines.next_line()).await.expect("the end of a call").unwrap();
        assert_eq!(told.as_deref(), Some("over hang"));
    }
    service.stdin.write_all(b"NOT_SERVING\n").await.unwrap();
    gateway.status_becomes("test", "DOWN").await;
    let instance = gateway.instance("test").await;
    assert_eq!(instance["last_error"], "its health service says NOT_SERVING of \"furt.Test\"");
}

#[tokio::test]
async fn every_kind_of_call_passes_under_tls() {
    let edge = Edge::new();
    let (gateway, service) = (Gateway::start(&edge.tail(&["a"], "")).await, Service::start().await);
    registered(&gateway, &service).await;
    let ca = edge.authority_file();
    is_well(&[&edge.address.to_string(), ca.to_str().unwrap()]).await;
}
