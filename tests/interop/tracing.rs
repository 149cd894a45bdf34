//! Spans as collectors of others read them: OpenTelemetry's own messages for Python, and rotel, which passes them on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::foreign::program::{self, Program};
use crate::foreign::python;
use crate::support::{Answer, Gateway, Origin, eventually, ports, public_service};

const START: Duration = Duration::from_secs(20);

async fn listens(address: SocketAddr) {
    eventually("it listens", START, async || TcpStream::connect(address).await.ok()).await;
}

/// The collector in Python.
struct Collector {
    _child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Collector {
    async fn start() -> Self {
        let (folder, address) = (TempDir::new().unwrap(), ports::free_address());
        let mut command = python::command("tracing", "collector.py");
        let child = command.arg(address.port().to_string()).arg(folder.path().join("spans")).spawn().unwrap();
        listens(address).await;
        Self { _child: child, folder, address }
    }

    /// The spans of a trace, once there are so many.
    async fn spans(&self, trace: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} spans of {trace}"), START, async || {
            let text = std::fs::read_to_string(self.folder.path().join("spans")).unwrap_or_default();
            let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let own: Vec<_> = all.filter(|span| span["trace"] == trace).collect();
            (own.len() == count).then_some(own)
        })
        .await
    }
}

/// rotel, which sends on what it is sent.
async fn rotel(folder: &TempDir, to: SocketAddr) -> (Program, SocketAddr) {
    let (http, grpc) = (ports::free_address(), ports::free_address());
    let mut command = program::command("rotel");
    command
        .arg("start")
        .args(["--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()])
        .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
        .args(["--otlp-exporter-endpoint", &format!("http://{to}")])
        .args(["--batch-timeout", "200ms"]);
    let program = Program::start(&mut command, &folder.path().join("rotel.log"));
    listens(http).await;
    (program, http)
}

/// What two spans of the same request have in common.
fn alike(mut spans: Vec<Value>) -> Vec<Value> {
    spans.sort_by_key(|span| (span["kind"].to_string(), span["begin"].as_u64()));
    for span in &mut spans {
        let fields = span.as_object_mut().unwrap();
        let (begin, end) = (fields["begin"].as_u64().unwrap(), fields["end"].as_u64().unwrap());
        assert!(begin <= end && end - begin < 10_000_000_000, "{begin} {end}");
        for changes in ["trace", "span", "parent", "begin", "end"] {
            fields.remove(changes);
        }
        fields["attributes"].as_object_mut().unwrap().remove("furt.request_id");
    }
    spans
}

#[tokio::test]
async fn collectors_of_others_agree_on_the_spans() {
    let (collector, folder, origin) = (Collector::start().await, TempDir::new().unwrap(), Origin::start().await);
    let (_rotel, through) = rotel(&folder, collector.address).await;
    let tail = |endpoint: SocketAddr| {
        format!("[tracing]\nendpoint = 'http://{endpoint}'\n[server]\ntrusted_proxies = ['127.0.0.1']\n")
    };
    let gateway = Gateway::start(&tail(through)).await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    let mut seen = BTreeMap::new();
    for (name, endpoint) in [("through rotel", through), ("at once", collector.address)] {
        gateway.reloaded(&tail(endpoint)).await;
        let trace = format!("{:032x}", u128::from(endpoint.port()) << 64 | 0xabc);
        let parent = "b7ad6b7169203331";
        let ask = async |path: &str| {
            let request = gateway.anonymous(Method::GET, path).header("tracestate", "vendor=1");
            Answer::of(request.header("traceparent", format!("00-{trace}-{parent}-01"))).await
        };
        assert_eq!(ask("/shop/a?q=1").await.status, 200);
        ask("/nowhere").await.problem(404, "route-not-found");
        let spans = collector.spans(&trace, 3).await;
        let servers: Vec<_> = spans.iter().filter(|span| span["kind"] == "SPAN_KIND_SERVER").collect();
        assert!(servers.iter().all(|span| span["parent"] == parent && span["state"] == "vendor=1"), "{spans:?}");
        let client = spans.iter().find(|span| span["kind"] == "SPAN_KIND_CLIENT").unwrap();
        assert!(servers.iter().any(|span| span["span"] == client["parent"]), "{spans:?}");
        assert_eq!(client["attributes"]["http.response.status_code"], json!(200));
        assert_eq!(client["resource"]["service.name"], "furt");
        seen.insert(name, alike(spans));
    }
    assert_eq!(seen["through rotel"], seen["at once"]);
}
