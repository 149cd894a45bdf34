//! The clients for Python and Node, as a service has them: their own tests, and each with a running furt.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::foreign::node;
use crate::support::{Answer, Gateway, Origin, SOON, eventually};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients")
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    command
}

#[tokio::test]
async fn their_own_tests_pass() {
    let mut unittest = python();
    unittest.args(["-m", "unittest", "test_furt"]);
    let mut test = node::command();
    test.args(["--test", "furt.test.mjs"]);
    for mut command in [unittest, test] {
        let output = command.current_dir(folder()).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
}

/// A program that registers the service by a client, and has it drained on SIGTERM.
fn program(language: &str, gateway: &Gateway, definition: &Value) -> Child {
    let url = format!("http://{}", gateway.internal);
    let mut command = match language {
        "Python" => {
            let text = format!(
                "import time, furt\nfurt.Registration({url:?}, {}, handle_sigterm=True).start(10)\nwhile True: time.sleep(1)\n",
                definition.to_string().replace("null", "None")
            );
            let mut command = python();
            command.args(["-c", &text]);
            command
        }
        "Node" => {
            let text = format!(
                "import {{ Registration }} from {:?}\n\
                 await new Registration({url:?}, {definition}, {{ drainOnSigterm: true }}).start({{ wait: 10 }})\n\
                 setInterval(() => {{}}, 1000)\n",
                folder().join("furt.mjs")
            );
            let mut command = node::command();
            command.args(["--input-type=module", "--eval", &text]);
            command
        }
        other => panic!("there is no client for {other}"),
    };
    command.current_dir(folder()).stdout(Stdio::inherit()).stderr(Stdio::inherit()).kill_on_drop(true).spawn().unwrap()
}

async fn registers_again_and_leaves_on_sigterm(language: &str) {
    let mut gateway = Gateway::start("[store]\nkind = 'memory'\n").await;
    let origin = Origin::start().await;
    let definition = json!({
        "service": "comments", "url": origin.url(), "heartbeat_ttl": 2, "health_endpoint": null,
        "routes": [{ "method": "GET", "path": "/comments/*" }],
    });
    let mut program = program(language, &gateway, &definition);
    let is_routed = async |gateway: &Gateway| {
        let answer = Answer::of(gateway.anonymous(Method::GET, "/comments/a")).await;
        (answer.status == 200).then_some(())
    };
    eventually("it is routed", SOON, async || is_routed(&gateway).await).await;
    let incarnation = gateway.instance("comments").await["incarnation"].clone();
    assert!(incarnation.is_string());

    gateway.kill();
    gateway.start_again().await;
    eventually("it is routed again", SOON, async || is_routed(&gateway).await).await;
    assert_eq!(gateway.instance("comments").await["incarnation"], incarnation, "it is the same process");

    let killed = Command::new("kill").arg(program.id().unwrap().to_string()).status().await.unwrap();
    assert!(killed.success());
    tokio::time::timeout(SOON, program.wait()).await.expect("an end in time").unwrap();
    assert_eq!(gateway.service("comments").await, None);
    let events = gateway.seen("/internal/events").await;
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    let last: Vec<_> = kinds.into_iter().filter(|kind| ["drain-began", "deregistered"].contains(kind)).collect();
    assert_eq!(last, ["drain-began", "deregistered"]);
}

#[tokio::test]
async fn python_registers_again_and_leaves_on_sigterm() {
    registers_again_and_leaves_on_sigterm("Python").await;
}

#[tokio::test]
async fn node_registers_again_and_leaves_on_sigterm() {
    registers_again_and_leaves_on_sigterm("Node").await;
}
