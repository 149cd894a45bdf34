//! Three furts become a cluster over a real RabbitMQ, as an operator does it: by the command line and by files.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_rustls::rustls::HandshakeKind;

use crate::foreign::Rabbitmq;
use crate::support::gateway::{furt, output_of};
use crate::support::tls::{Edge, TLS12, TLS13};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Origin, eventually, ports, public_service, with};

/// The operators' token of every node here.
const TOKEN: &str = "the operators' token";
/// For what needs the broker: it shares the machine with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn tail(broker: &str, name: &str, more: &str) -> String {
    let digest = Sha256Digest::of(TOKEN.as_bytes());
    format!(
        "[internal]\noperator_token_sha256 = '{digest}'\n[cluster]\nurl = '{broker}'\nname = '{name}'\nbeat_interval = '1s'\n\
         heartbeat = '2s'\n{more}\n"
    )
}

/// A node whose folder outlives it.
async fn node(broker: &Rabbitmq, name: &str, state: &Path, more: &str) -> Gateway {
    let more = format!("state = '{}'\npassword_file = '{}'\n{more}", state.display(), password(state).display());
    Gateway::start(&tail(&broker.url(), name, &more)).await
}

fn password(state: &Path) -> std::path::PathBuf {
    let file = state.with_extension("password");
    std::fs::write(&file, "guest\n").unwrap();
    file
}

/// `furt` with these arguments, as the operator of a node.
async fn command(node: &Gateway, arguments: &[&str]) -> Output {
    let mut command = furt(arguments);
    command.env("FURT_URL", node.internal_url("")).env("FURT_TOKEN", TOKEN);
    output_of(command).await
}

async fn succeeds(node: &Gateway, arguments: &[&str]) -> String {
    let output = command(node, arguments).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

async fn fails(node: &Gateway, arguments: &[&str]) -> String {
    let output = command(node, arguments).await;
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// What a node knows of the cluster.
async fn cluster(node: &Gateway) -> Value {
    let request = node.operate(Method::GET, "/internal/nodes").bearer_auth(TOKEN);
    Answer::of(request).await.ok()["cluster"].clone()
}

/// Waits until a node knows so many approved nodes that are there, and has the secret.
async fn agrees(node: &Gateway, active: usize) -> Value {
    eventually(&format!("{active} nodes are there"), PATIENCE, async || {
        let cluster = cluster(node).await;
        let members = cluster["members"].as_array().cloned().unwrap_or_default();
        let is_there = |member: &&Value| {
            matches!(member["standing"].as_str(), Some("member" | "commander")) && member["state"] == "active"
        };
        let is_whole = members.iter().filter(is_there).count() == active && !cluster["secret"]["active"].is_null();
        is_whole.then_some(cluster)
    })
    .await
}

#[tokio::test]
async fn three_nodes_join_by_a_token_and_survive_the_broker() {
    let mut broker = Rabbitmq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let state = |name: &str| folder.path().join(name);
    let one = node(&broker, "one", &state("one"), "").await;
    let said = succeeds(&one, &["cluster", "init"]).await;
    assert!(said.contains("cluster"), "{said}");
    assert!(fails(&one, &["cluster", "init"]).await.contains("belongs to cluster"));
    let token = succeeds(&one, &["cluster", "token", "--uses", "2"]).await;
    assert!(token.starts_with("furtc1.") && token.trim().lines().count() == 1, "one line alone");
    let file = folder.path().join("token");
    std::fs::write(&file, &token).unwrap();
    std::process::Command::new("chmod").arg("600").arg(&file).status().unwrap();
    let by_file = format!("token_file = '{}'", file.display());
    let mut two = node(&broker, "two", &state("two"), &by_file).await;
    let three = node(&broker, "three", &state("three"), "").await;
    succeeds(&three, &["cluster", "join", "--token-file", file.to_str().unwrap()]).await;
    let first = agrees(&one, 3).await;
    for other in [&two, &three] {
        let cluster = agrees(other, 3).await;
        assert_eq!((&cluster["id"], &cluster["secret"]["active"]), (&first["id"], &first["secret"]["active"]));
    }
    let shown = succeeds(&two, &["nodes"]).await;
    assert!(["one.", "two.", "three.", "active", "this node"].iter().all(|word| shown.contains(word)), "{shown}");
    // The token is used up.
    let late = node(&broker, "late", &state("late"), &by_file).await;
    eventually("it is heard, and let in by nobody", PATIENCE, async || {
        let members = cluster(&one).await["members"].as_array().cloned().unwrap_or_default();
        members.iter().any(|member| member["standing"] == "pending").then_some(())
    })
    .await;
    let seen = cluster(&late).await;
    assert!(seen["id"].is_null() && seen["joining"] == true, "{seen}");
    drop(late);

    // A member commands nothing, and nobody without the token does.
    let key = |cluster: &Value, is_this: bool| {
        let members = cluster["members"].as_array().unwrap().clone();
        members.into_iter().find(|member| member["this"] == is_this).unwrap()["fingerprint"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let of_one = key(&first, true);
    assert!(fails(&two, &["nodes", "revoke", &of_one]).await.contains("no commander"));
    let anonymous = Answer::of(two.operate(Method::POST, "/internal/cluster/beats")).await;
    assert!(matches!(anonymous.status.as_u16(), 401 | 403), "{anonymous:?}");

    // Without a broker they serve, tell it, and find each other again.
    broker.stop().await;
    eventually("it is told", PATIENCE, async || {
        let health = Answer::of(one.operate(Method::GET, "/health").bearer_auth(TOKEN)).await.ok();
        health["issues"].to_string().contains("the broker cannot be reached").then_some(())
    })
    .await;
    assert_eq!(agrees(&one, 3).await["link"]["status"], "down");
    broker.start_again().await;
    for node in [&one, &two, &three] {
        eventually("it is connected", PATIENCE, async || (cluster(node).await["link"]["status"] == "up").then_some(()))
            .await;
    }
    two.restart().await;
    for node in [&one, &two, &three] {
        agrees(node, 3).await;
    }
    // What is revoked is out, for ever.
    let of_two = key(&cluster(&two).await, true);
    succeeds(&one, &["nodes", "revoke", &of_two]).await;
    agrees(&one, 2).await;
    agrees(&three, 2).await;
    two.restart().await;
    eventually("it is refused", PATIENCE, async || {
        (cluster(&one).await["refused"]["revoked"].as_u64().unwrap_or_default() > 0).then_some(())
    })
    .await;
    agrees(&one, 2).await;
    let log = one.log() + &two.log() + &three.log();
    assert!(!log.contains(token.trim()) && !log.contains("BEGIN PRIVATE"), "a secret is in a log");
}

/// Nodes with stores of their own have nothing in common but the secret.
#[tokio::test]
async fn nodes_resume_each_other_s_sessions_and_keep_each_other_s_clients() {
    let (broker, folder) = (Rabbitmq::start().await, tempfile::tempdir().unwrap());
    let mut edge = Edge::new();
    let mut addresses = [edge.address, ports::free_address()];
    let mut nodes = Vec::new();
    for (name, address) in ["one", "two"].into_iter().zip(addresses) {
        edge.address = address;
        let state = folder.path().join(name);
        let more = format!(
            "state = '{}'\npassword_file = '{}'\n{}",
            state.display(),
            password(&state).display(),
            edge.tail(&["a"], "redirect = false\n")
        );
        nodes.push(Gateway::start(&tail(&broker.url(), name, &more)).await);
    }
    let [one, two] = &nodes[..] else { unreachable!() };
    succeeds(one, &["cluster", "init"]).await;
    let token = folder.path().join("token");
    std::fs::write(&token, succeeds(one, &["cluster", "token"]).await).unwrap();
    succeeds(two, &["cluster", "join", "--token-file", token.to_str().unwrap()]).await;
    agrees(one, 2).await;
    agrees(two, 2).await;

    for versions in [TLS12, TLS13] {
        let client = edge.client(versions);
        let mut kinds = Vec::new();
        for _ in 0..3 {
            edge.address = addresses[0];
            addresses.reverse();
            let stream = edge.try_connect(&client, "a.example").await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            let mut wire = Wire::of(stream);
            wire.send("GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
            assert_eq!(wire::status(&wire.read_response().await.0), 200);
        }
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 2], "{kinds:?}");
    }

    let origins = [Origin::named("first").await, Origin::named("second").await];
    for node in [one, two] {
        for (origin, id) in origins.iter().zip(["first", "second"]) {
            let by_cookie = json!({"instance": id, "policy": "sticky", "sticky_by": "cookie"});
            node.registered(&with(public_service("shop", &origin.url(), "/shop"), by_cookie)).await;
        }
    }
    let ask = async |node: &Gateway, cookie: &str| {
        let answer = Answer::of(node.anonymous(Method::GET, "/shop").header("cookie", cookie)).await;
        let told = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        (answer.ok()["origin"].as_str().unwrap().to_owned(), told)
    };
    for (maker, taker) in [(one, two), (two, one)] {
        let (own, cookie) = ask(maker, "other=1").await;
        assert_eq!(ask(taker, &cookie).await, (own, String::new()));
    }
}
