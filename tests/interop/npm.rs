//! The real npm package `etcd-registry`, unmodified, with furt in etcd's place: what it joins is registered and routed, and what
//! is registered is found.

use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::foreign::{Etcd, node};
use crate::gateways::{agree, pair, stored_at};
use crate::support::{ADMIN, Answer, Gateway, Origin, SOON, eventually, ports, public_service};

const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";
/// Longer than the package's TTL, which is 10 s; it beats every 5 s.
const BEYOND_TTL: Duration = Duration::from_secs(12);

/// A program that uses the package.
struct Program {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start() -> Self {
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/npm/driver.js");
        let mut child = node::command()
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node, which `make interop` unpacks");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// What the package gives back; an `Err` is its error.
    async fn call(&mut self, registry: &str, call: &str, arguments: Value) -> Result<Value, Value> {
        let line = json!({ "registry": registry, "call": call, "arguments": arguments }).to_string() + "\n";
        self.stdin.write_all(line.as_bytes()).await.unwrap();
        let told = tokio::time::timeout(SOON * 3, self.lines.next_line()).await.expect("an answer in time");
        let told: Value = serde_json::from_str(&told.unwrap().expect("the program lives")).unwrap();
        told.get("error").map_or(Ok(told["result"].clone()), |error| Err(error.clone()))
    }

    async fn join(&mut self, registry: &str, name: &str, port: u16) -> Value {
        self.call(registry, "join", json!([name, { "port": port, "hostname": "127.0.0.1" }])).await.unwrap()
    }

    async fn names(&mut self, registry: &str) -> Vec<String> {
        let listed = self.call(registry, "list", json!([])).await.unwrap();
        let mut names: Vec<_> =
            listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

async fn is_routed(gateway: &Gateway, service: &str, origin: &Origin) {
    let before = origin.requests("/x");
    let request = gateway.request(Method::GET, "/x", ADMIN).header("host", format!("{service}.internal"));
    Answer::of(request).await.ok();
    assert_eq!(origin.requests("/x"), before + 1);
}

#[tokio::test]
async fn what_joins_is_routed_and_found_until_it_leaves() {
    let (gateway, origin, mut program) = (Gateway::start("").await, Origin::start().await, Program::start());
    let (furt, port) = (gateway.internal.to_string(), origin.address().port());
    let joined = program.join(&furt, "sagjan", port).await;
    is_routed(&gateway, "sagjan", &origin).await;
    assert_eq!(program.call(&furt, "lookup", json!(["sagjan"])).await, Ok(joined.clone()));
    assert_eq!(program.call(&furt, "list", json!([])).await, Ok(json!([joined])));
    assert_eq!(program.call(&furt, "lookup", json!(["nobody"])).await, Ok(Value::Null));
    gateway.registered(&public_service("native", "http://127.0.0.1:9", "/n")).await;
    let found = program.call(&furt, "lookup", json!(["native"])).await.unwrap();
    assert_eq!((&found["port"], &found["url"]), (&json!(9), &json!("http://127.0.0.1:9")));
    program.call(&furt, "leave", json!(["sagjan"])).await.unwrap();
    assert_eq!(program.names(&furt).await, ["native"]);
    let refused =
        program.call(&furt, "join", json!(["Sagjan", { "port": 1, "hostname": "127.0.0.1" }])).await.unwrap_err();
    assert_eq!(refused["code"], 209);
    assert!(refused["cause"].as_str().unwrap().starts_with("/name: must be 1 to 63"), "{refused}");
}

#[tokio::test]
async fn a_namespace_is_apart() {
    let (gateway, origin, mut program) = (Gateway::start("").await, Origin::start().await, Program::start());
    let furt = gateway.internal.to_string();
    let (staging, other) = (format!("{furt}/staging"), format!("{furt}/other"));
    for registry in [&furt, &staging] {
        program.join(registry, "sagjan", origin.address().port()).await;
    }
    is_routed(&gateway, "staging.sagjan", &origin).await;
    assert_eq!((program.names(&staging).await, program.names(&other).await.len()), (vec!["sagjan".to_owned()], 0));
    assert_eq!(program.call(&other, "lookup", json!(["sagjan"])).await, Ok(Value::Null));
    program.call(&staging, "leave", json!(["sagjan"])).await.unwrap();
    assert_eq!((program.names(&staging).await.len(), program.names(&furt).await), (0, vec!["sagjan".to_owned()]));
}

/// What the package does by itself within its TTL: it beats, also where furt was away between two beats.
#[tokio::test]
async fn it_stays_over_a_restart_and_beyond_its_ttl_and_goes_with_its_program() {
    let (mut gateway, mut program) = (Gateway::start(DISK).await, Program::start());
    let furt = gateway.internal.to_string();
    program.join(&furt, "sagjan", 9).await;
    gateway.restart().await;
    tokio::time::sleep(BEYOND_TTL).await;
    assert_eq!(program.names(&furt).await, ["sagjan"]);
    let events = gateway.seen("/internal/events").await["events"].to_string();
    assert!(!events.contains("\"registered\"") && !events.contains("\"expired\""), "{events}");
    drop(program);
    eventually("it is gone", BEYOND_TTL + SOON, async || {
        (gateway.service("sagjan").await?["instances"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_first_host_is_passed_over_and_refresh_keeps_the_one_that_answers() {
    let (gateway, mut program) = (Gateway::start("").await, Program::start());
    let both = format!("{}, {}", ports::free_address(), gateway.internal);
    program.join(&both, "sagjan", 9).await;
    assert_eq!(program.names(&both).await, ["sagjan"]);
    for registry in [format!("{}?refresh=true", gateway.internal), format!("{}/ns?refresh=true", gateway.internal)] {
        program.join(&registry, "other", 10).await;
        assert_eq!(
            program.names(&registry).await.last().map(String::as_str),
            Some(if registry.contains("/ns") { "other" } else { "sagjan" })
        );
    }
}

/// Gateways that share a registry, for a program that knows both.
#[tokio::test]
async fn what_joins_at_one_gateway_is_found_at_the_other_and_outlives_the_first() {
    let etcd = Etcd::one().await;
    let [mut a, b] = pair(&etcd).await;
    let (origin, mut program) = (Origin::start().await, Program::start());
    let (both, second) = (format!("{},{}", a.internal, b.internal), b.internal.to_string());
    let joined = program.join(&both, "sagjan", origin.address().port()).await;
    is_routed(&a, "sagjan", &origin).await;
    eventually("it is found at the other one", SOON, async || {
        (program.names(&second).await == ["sagjan"]).then_some(())
    })
    .await;
    assert_eq!(program.call(&second, "lookup", json!(["sagjan"])).await, Ok(joined));
    is_routed(&b, "sagjan", &origin).await;
    // Its beats go on at the other one, and at the first one again when that is back.
    for _ in 0..2 {
        a.kill();
        tokio::time::sleep(BEYOND_TTL).await;
        is_routed(&b, "sagjan", &origin).await;
        a.start_again().await;
        is_routed(&a, "sagjan", &origin).await;
    }
    program.call(&both, "leave", json!(["sagjan"])).await.unwrap();
    eventually("it is found nowhere", SOON, async || program.names(&second).await.is_empty().then_some(())).await;
    agree(&[a, b], &etcd).await;
}

/// What the package asks for by `?refresh`: the address that it came by, then the gateways that tell one.
#[tokio::test]
async fn machines_are_the_gateways_of_the_registry() {
    let etcd = Etcd::one().await;
    let advertising =
        |name: &str| format!("{}\n[internal]\nadvertise = 'http://{name}.example:9'\n", stored_at(&etcd.endpoints()));
    let (a, b) = (Gateway::start(&advertising("a")).await, Gateway::start(&advertising("b")).await);
    for (gateway, other) in [(&a, "b"), (&b, "a")] {
        let wanted = format!("http://{}, http://{other}.example:9", gateway.internal);
        eventually(&wanted, SOON, async || {
            let machines = Answer::of(gateway.operate(Method::GET, "/v2/machines")).await;
            (machines.status == 200 && machines.body == wanted).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn its_command_line_joins_lists_and_looks_up() {
    let gateway = Gateway::start("").await;
    for registry in [gateway.internal.to_string(), format!("{}/staging", gateway.internal)] {
        let verb = async |arguments: &[&str]| {
            let mut command = node::command();
            command.arg(node::room().join("node_modules/etcd-registry/bin.js")).args(["-e", &registry]).args(arguments);
            String::from_utf8(command.output().await.unwrap().stdout).unwrap()
        };
        std::fs::write(
            gateway.dir().join("server.js"),
            "require('http').createServer((_, s) => s.end()).listen(process.env.PORT)",
        )
        .unwrap();
        let mut joined = node::command()
            .arg(node::room().join("node_modules/etcd-registry/bin.js"))
            .args(["-e", &registry, "-h", "127.0.0.1", "-w", "1", "-s", "1", "join", "sagjan", "server.js"])
            .current_dir(gateway.dir())
            .spawn()
            .unwrap();
        eventually("it has joined", SOON * 2, async || verb(&["list"]).await.contains("sagjan").then_some(())).await;
        let told = verb(&["lookup", "sagjan"]).await;
        assert!(told.contains("hostname: 127.0.0.1") && told.contains("url:"), "{told}");
        assert!(verb(&["list", "-v"]).await.contains("port:"));
        // The shell's own kill: there is none in std.
        let id = joined.id().unwrap();
        assert!(std::process::Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().unwrap().success());
        assert!(joined.wait().await.unwrap().success());
        assert!(verb(&["list"]).await.contains("(empty)"));
    }
}
