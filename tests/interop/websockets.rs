//! WebSockets over HTTP/2, as Node.js asks for them.

use crate::foreign::program;
use crate::support::gateway::output_of;
use crate::support::tls::{Edge, put};
use crate::support::{Gateway, Origin, public_service};

#[tokio::test]
async fn node_opens_many_on_one_connection() {
    const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/programs/websockets.js");
    let (edge, origin) = (Edge::new(), Origin::start().await);
    edge.write("a", &["localhost"]);
    let gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    put(&edge.path("ca.pem"), &edge.authority_pem(), 0o644);
    let mut node = program::command("node");
    node.arg(PROGRAM).arg(format!("https://localhost:{}", edge.address.port())).args(["/s/live", "50", "30"]);
    node.env("NODE_EXTRA_CA_CERTS", edge.path("ca.pem"));
    let output = output_of(node).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1500", "{output:?}");
}
