//! Three furts become a cluster over a real RabbitMQ, as an operator does it: by the command line and by files.

mod brokers;
pub(crate) mod settings;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use furt_bus::{AmqpBus, Bus as _, Event, Options, Password, Topology};
use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::HandshakeKind;

use crate::bus::suite::Member;
use crate::foreign::Rabbitmq;
use crate::support::gateway::{furt, output_of};
use crate::support::tls::{Edge, TLS12, TLS13};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Origin, eventually, ports, public_service, with};

/// The operators' token of every node here.
pub(crate) const TOKEN: &str = "the operators' token";
/// For what needs the broker: it shares the machine with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tail(broker: &str, name: &str, more: &str) -> String {
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

pub(crate) fn password(state: &Path) -> std::path::PathBuf {
    let file = state.with_extension("password");
    std::fs::write(&file, "guest\n").unwrap();
    file
}

/// `furt` with these arguments, as the operator of a node.
pub(crate) async fn command(node: &Gateway, arguments: &[&str]) -> Output {
    let mut command = furt(arguments);
    command.env("FURT_URL", node.internal_url("")).env("FURT_TOKEN", TOKEN);
    output_of(command).await
}

pub(crate) async fn succeeds(node: &Gateway, arguments: &[&str]) -> String {
    let output = command(node, arguments).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

pub(crate) async fn fails(node: &Gateway, arguments: &[&str]) -> String {
    let output = command(node, arguments).await;
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// What a node knows of the cluster.
pub(crate) async fn cluster(node: &Gateway) -> Value {
    let request = node.operate(Method::GET, "/internal/nodes").bearer_auth(TOKEN);
    Answer::of(request).await.ok()["cluster"].clone()
}

/// Waits until a node knows so many approved nodes that are there, and has the secret.
pub(crate) async fn agrees(node: &Gateway, active: usize) -> Value {
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

/// A cluster of two, whose second node joined by a token, and the folder that has both.
async fn two(broker: &Rabbitmq) -> (Gateway, Gateway, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    // A store in memory cannot be taken over.
    let store = format!("[store]\nkind = 'disk'\npath = '{}'", folder.path().join("one.redb").display());
    let one = node(broker, "one", &folder.path().join("one"), &store).await;
    succeeds(&one, &["cluster", "init"]).await;
    let token = folder.path().join("token");
    std::fs::write(&token, succeeds(&one, &["cluster", "token"]).await).unwrap();
    let two = node(broker, "two", &folder.path().join("two"), "").await;
    succeeds(&two, &["cluster", "join", "--token-file", token.to_str().unwrap()]).await;
    agrees(&one, 2).await;
    agrees(&two, 2).await;
    (one, two, folder)
}

pub(crate) fn of_this(cluster: &Value) -> Value {
    cluster["members"].as_array().unwrap().iter().find(|member| member["this"] == true).unwrap().clone()
}

#[tokio::test]
async fn nodes_outlive_a_broker_that_is_killed_and_one_that_freezes() {
    let mut broker = Rabbitmq::start().await;
    let (one, two, _folder) = two(&broker).await;
    let is_linked = async |node: &Gateway, status: &str| {
        eventually("the link is as expected", PATIENCE, async || {
            (cluster(node).await["link"]["status"] == status).then_some(())
        })
        .await;
    };
    broker.kill();
    is_linked(&one, "down").await;
    broker.start_again().await;
    for node in [&one, &two] {
        is_linked(node, "up").await;
        agrees(node, 2).await;
    }
    // Frozen, it takes connections and says nothing.
    broker.freeze();
    is_linked(&one, "down").await;
    assert!(fails(&one, &["secret", "rotate"]).await.contains("cannot be reached"));
    assert_eq!(one.get("/nothing").await.status, 404, "requests are answered");
    broker.thaw();
    for node in [&one, &two] {
        is_linked(node, "up").await;
        agrees(node, 2).await;
    }
    succeeds(&one, &["secret", "rotate"]).await;
    for node in [&one, &two] {
        eventually("the next secret is active", PATIENCE, async || {
            (cluster(node).await["secret"]["active"]["generation"] == 2).then_some(())
        })
        .await;
    }
}

/// The process that takes over is another start of the same node: it waits for the folder, and nobody hears that the node left.
#[tokio::test]
async fn a_process_that_takes_over_goes_on_as_the_same_node() {
    let broker = Rabbitmq::start().await;
    let (mut one, two, _folder) = two(&broker).await;
    let before = of_this(&cluster(&one).await);
    let said = succeeds(&one, &["upgrade", "-o", "json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    one.replaced_by(said["pid"].as_u64().unwrap().try_into().unwrap());
    let after = eventually("it takes part", PATIENCE, async || {
        let cluster = cluster(&one).await;
        let is_up = cluster["link"]["status"] == "up" && !cluster["secret"]["active"].is_null();
        is_up.then(|| of_this(&cluster))
    })
    .await;
    assert_eq!(after["fingerprint"], before["fingerprint"]);
    assert!(after["boot"].as_u64() > before["boot"].as_u64(), "{after}");
    eventually("the other one knows its new start", PATIENCE, async || {
        let members = cluster(&two).await["members"].clone();
        let known = members.as_array()?.iter().find(|member| member["fingerprint"] == after["fingerprint"])?.clone();
        (known["boot"] == after["boot"] && known["state"] == "active").then_some(())
    })
    .await;
    assert!(!two.log().contains("is leaving"), "{}", two.log());
    // It commands, as before.
    succeeds(&one, &["secret", "rotate"]).await;
    eventually("the next secret is active", PATIENCE, async || {
        (cluster(&two).await["secret"]["active"]["generation"] == 2).then_some(())
    })
    .await;
}

/// Who may do everything at the broker hears all and says it again: to the nodes that were there, and to one that starts anew.
#[tokio::test]
async fn who_records_everything_and_says_it_again_changes_nothing() {
    let broker = Rabbitmq::start().await;
    let topology = Topology {
        exchange: "node".to_owned(),
        queue: "node.recorder.1".to_owned(),
        bindings: vec!["#".to_owned()],
        shared: Vec::new(),
        logs: Vec::new(),
    };
    let options = Options {
        url: broker.url().parse().unwrap(),
        password: Password::text("guest"),
        ca: None,
        identity: None,
        name: "recorder".to_owned(),
        heartbeat: Duration::from_secs(5),
        topology,
    };
    let mut recorder = Member::new(AmqpBus::start(options).unwrap());
    recorder.is_up().await;
    let (one, mut two, _folder) = two(&broker).await;
    succeeds(&one, &["secret", "rotate"]).await;
    eventually("the next secret is active", PATIENCE, async || {
        (cluster(&two).await["secret"]["active"]["generation"] == 2).then_some(())
    })
    .await;
    let key = of_this(&cluster(&two).await)["fingerprint"].as_str().unwrap().to_owned();
    succeeds(&one, &["nodes", "revoke", &key]).await;
    agrees(&one, 1).await;

    let mut recorded = Vec::new();
    let listens_until = Instant::now() + Duration::from_secs(3);
    while let Ok(event) = tokio::time::timeout_at(listens_until.into(), recorder.bus.event()).await {
        if let Event::Delivered(delivery) = event {
            recorder.bus.ack(delivery.receipt);
            recorded.push(*delivery);
        }
    }
    assert!(recorded.len() > 20, "{} messages", recorded.len());
    let functions: BTreeSet<_> = recorded
        .iter()
        .filter_map(|one| one.properties.headers.get("function")?.as_text().map(str::to_owned))
        .collect();
    assert!(functions.contains("receive_cluster_secret"), "{functions:?}");
    let before = cluster(&one).await;
    for delivery in &recorded {
        let again = furt_bus::Outgoing {
            key: delivery.key.clone(),
            properties: delivery.properties.clone(),
            body: delivery.body.clone(),
            is_mandatory: false,
        };
        recorder.publishes(again).await;
    }
    let refused =
        |cluster: &Value| -> u64 { cluster["refused"].as_object().unwrap().values().filter_map(Value::as_u64).sum() };
    let after = eventually("they are refused", PATIENCE, async || {
        let now = cluster(&one).await;
        (refused(&now) >= refused(&before) + 20).then_some(now)
    })
    .await;
    for field in ["id", "founder", "secret", "settings", "tokens"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    // The join and the secret's messages are of no use to the one that they were for, either.
    two.restart().await;
    agrees(&one, 1).await;
    assert!(recorded.iter().all(|one| !String::from_utf8_lossy(&one.body).contains("PRIVATE")));
}
