//! A commander has another node run another version of furt, over a real RabbitMQ and under load; one that does not start changes
//! nothing.

mod https;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use furt_core::model::Sha256Digest;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::settings::takes;
use crate::cluster::{agrees, cluster, command, fails, of_this, password, succeeds, tail};
use crate::foreign::Rabbitmq;
use crate::support::gateway::client_from;
use crate::support::load::Load;
use crate::support::{Gateway, Origin, eventually, public_service};

const PATIENCE: Duration = Duration::from_secs(60);
/// What this furt is, and what the test makes of it.
const OWN: &str = env!("CARGO_PKG_VERSION");
const NEXT: &str = "0.9.9";
const BROKEN: &str = "0.9.10";

/// Signs as minisign does, by a key of its own.
struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    const ID: [u8; 8] = *b"furttest";

    fn new() -> Self {
        Self { pair: Ed25519KeyPair::generate().unwrap() }
    }

    fn public_key(&self) -> String {
        STANDARD.encode([&b"Ed"[..], &Self::ID, self.pair.public_key().as_ref()].concat())
    }

    /// Puts an artefact and its signature into the folder; returns its digest.
    fn release(&self, folder: &Path, version: &str, artefact: &[u8]) -> String {
        let signature = self.pair.sign(&Blake2b512::digest(artefact));
        let comment = format!("timestamp:1\tfile:furt-{version}\thashed");
        let of_comment = self.pair.sign(&[signature.as_ref(), comment.as_bytes()].concat());
        let of_artefact = STANDARD.encode([&b"ED"[..], &Self::ID, signature.as_ref()].concat());
        let text = format!(
            "untrusted comment: a test\n{of_artefact}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode(of_comment.as_ref())
        );
        fs::write(folder.join(format!("furt-{version}")), artefact).unwrap();
        fs::write(folder.join(format!("furt-{version}.minisig")), text).unwrap();
        Sha256Digest::of(artefact).to_string()
    }
}

/// This furt with another version in it: every text that is its own version reads as the other one.
fn furt_of(version: &str) -> Vec<u8> {
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_furt")).unwrap();
    let (own, other) = (OWN.as_bytes(), version.as_bytes());
    assert_eq!(own.len(), other.len(), "the other version must be as long as this one");
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&bytes[at..], own) {
        bytes[at + found..at + found + own.len()].copy_from_slice(other);
        at += found + own.len();
    }
    bytes
}

/// A commander and an edge, each of a program of its own, and what they need.
struct Fleet {
    commander: Gateway,
    edge: Gateway,
    /// The edge's fingerprint, and the name of its first process.
    key: String,
    name: String,
    signer: Signer,
    folder: TempDir,
    _broker: Rabbitmq,
    _origin: Origin,
}

impl Fleet {
    /// `commander` and `edge` are the ends of their files, given what `[update]` is to have beside its source.
    async fn start(commander: impl FnOnce(&str) -> String, edge: impl FnOnce(&str) -> String) -> Self {
        let (broker, folder, signer) = (Rabbitmq::start().await, tempfile::tempdir().unwrap(), Signer::new());
        let common = format!(
            "[store]\nkind = 'disk'\npath = 'furt.redb'\n[client]\nkeepalive_timeout = '4s'\n[update]\npublic_key = '{}'\n\
             in_container = true\n",
            signer.public_key()
        );
        let start = async |name: &str, more: &str| {
            let state = folder.path().join(name);
            let of_cluster = format!("state = '{}'\npassword_file = '{}'", state.display(), password(&state).display());
            let program = folder.path().join(format!("{name}-bin"));
            fs::create_dir(&program).unwrap();
            Gateway::start_from(&program.join("furt"), &tail(&broker.url(), name, &format!("{of_cluster}\n{more}")))
                .await
        };
        let commander = start("commander", &commander(&common)).await;
        succeeds(&commander, &["cluster", "init"]).await;
        let token = folder.path().join("token");
        fs::write(&token, succeeds(&commander, &["cluster", "token"]).await).unwrap();
        std::process::Command::new("chmod").arg("600").arg(&token).status().unwrap();
        let edge = start("edge", &format!("token_file = '{}'\n{}", token.display(), edge(&common))).await;
        let origin = Origin::start().await;
        for node in [&commander, &edge] {
            node.registered(&public_service("shop", &origin.url(), "/shop")).await;
        }
        let known = agrees(&commander, 2).await;
        agrees(&edge, 2).await;
        let member = known["members"].as_array().unwrap().iter().find(|member| member["this"] == false).unwrap();
        let text = |key: &str| member[key].as_str().unwrap().to_owned();
        let (key, name) = (text("fingerprint"), text("name"));
        Self { commander, edge, key, name, signer, folder, _broker: broker, _origin: origin }
    }

    /// The file that is a node's program.
    fn installed(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}-bin/furt"))
    }

    /// The version that the commander knows of the edge.
    async fn version(&self) -> Option<Value> {
        let known = cluster(&self.commander).await;
        let members = known["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().find(|member| member["fingerprint"] == *self.key).map(|member| member["version"].clone())
    }

    async fn runs(&self, version: &str) {
        let what = format!("its beats say that it runs {version}");
        eventually(&what, PATIENCE, async || (self.version().await == Some(version.into())).then_some(())).await;
    }

    /// The edge is the process that it was, of the program that it was, and serves.
    async fn goes_on(&self) {
        assert_eq!(of_this(&cluster(&self.edge).await)["name"], *self.name);
        assert_eq!(self.version().await, Some(OWN.into()));
        assert!(fs::read(self.installed("edge")).unwrap() == fs::read(env!("CARGO_BIN_EXE_furt")).unwrap());
        assert_eq!(fs::read_dir(self.folder.path().join("edge/update")).unwrap().count(), 0, "something is left");
        let answer = client_from(None).get(self.edge.public_url("/shop")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

/// The arguments that have a node run another version.
fn update<'a>(to: &'a str, version: &'a str, digest: &'a str) -> [&'a str; 7] {
    ["update", "--to", to, "--version", version, "--sha256", digest]
}

/// From now on the node is the process that its log names.
fn follow(node: &mut Gateway) {
    let log = node.log();
    let told = log.rsplit("successor] process ").next().unwrap();
    node.replaced_by(told.split(' ').next().unwrap().parse().unwrap());
}

/// Says yes to every check, and ends at once where it is to run.
fn broken() -> Vec<u8> {
    format!("#!/bin/sh\ncase \"$1\" in --version) echo 'furt {BROKEN}';; run) exit 7;; esac\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_updated_under_load_and_stays_what_it_is_where_the_program_does_not_start() {
    let releases = tempfile::tempdir().unwrap();
    let source = format!("folder = '{}'", releases.path().display());
    let mut fleet = Fleet::start(|_| String::new(), |common| format!("{common}{source}")).await;
    let installed = fleet.installed("edge");
    let url = fleet.edge.public_url("/shop");
    let mut load = Load::start(2, move |_, _| {
        let asked = client_from(None).get(&url).send();
        async move { assert_eq!(asked.await.unwrap().status(), 200) }
    });
    load.more(10).await;

    let digest = fleet.signer.release(releases.path(), BROKEN, &broken());
    let told = fails(&fleet.commander, &update(&fleet.name, BROKEN, &digest)).await;
    assert!(told.contains("the new process has ended"), "{told}");
    fleet.goes_on().await;
    // One that is not what it was said to be is not even begun, and one that is older neither.
    let wrong = "ab".repeat(32);
    let told = fails(&fleet.commander, &update(&fleet.key, BROKEN, &wrong)).await;
    assert!(told.contains("its SHA-256 is"), "{told}");
    let told = fails(&fleet.commander, &update(&fleet.key, "0.0.9", &wrong)).await;
    assert!(told.contains("is not later than"), "{told}");

    let next = furt_of(NEXT);
    let digest = fleet.signer.release(releases.path(), NEXT, &next);
    let said = succeeds(&fleet.commander, &update(&fleet.name, NEXT, &digest)).await;
    assert!(said.starts_with("edge.") && said.ends_with(&format!("runs furt {NEXT}\n")), "{said}");
    follow(&mut fleet.edge);
    load.more(10).await;
    load.stop().await;
    fleet.runs(NEXT).await;
    assert!(fs::read(&installed).unwrap() == next, "a restart starts it again");
    assert!(installed.with_file_name("furt.previous").is_file());
    // The same again is no update, and a node whose file says nothing of updates takes none.
    let told = fails(&fleet.commander, &update(&fleet.key, NEXT, &digest)).await;
    assert!(told.contains("is not later than"), "{told}");
    let own = cluster(&fleet.commander).await["fingerprint"].as_str().unwrap().to_owned();
    let told = fails(&fleet.commander, &update(&own, NEXT, &digest)).await;
    assert!(told.contains("updates are off in this node's file"), "{told}");
    succeeds(&fleet.edge, &["services", "shop"]).await;
    let output = command(&fleet.edge, &update(&fleet.key, NEXT, &digest)).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("no commander"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commander_updates_itself_and_its_next_process_commands() {
    let releases = tempfile::tempdir().unwrap();
    let source = format!("folder = '{}'", releases.path().display());
    let mut fleet = Fleet::start(|common| format!("{common}{source}"), |common| format!("{common}{source}")).await;
    let own = of_this(&cluster(&fleet.commander).await)["name"].as_str().unwrap().to_owned();
    let digest = fleet.signer.release(releases.path(), BROKEN, &broken());
    let told = fails(&fleet.commander, &update(&own, BROKEN, &digest)).await;
    assert!(told.contains("the new process has ended"), "{told}");
    assert_eq!(of_this(&cluster(&fleet.commander).await)["name"], *own, "it goes on");

    let digest = fleet.signer.release(releases.path(), NEXT, &furt_of(NEXT));
    let said = succeeds(&fleet.commander, &update(&own, NEXT, &digest)).await;
    assert!(said.starts_with("commander.") && said.ends_with(&format!("runs furt {NEXT}\n")), "{said}");
    follow(&mut fleet.commander);
    agrees(&fleet.commander, 2).await;
    let shown = succeeds(&fleet.commander, &["nodes"]).await;
    let line = shown.lines().find(|line| line.contains("this node")).unwrap();
    assert!(line.contains(NEXT) && line.contains("commander") && !line.contains(&own), "{shown}");
    let at_edge = eventually("the edge knows it", PATIENCE, async || {
        let shown = succeeds(&fleet.edge, &["nodes"]).await;
        shown.lines().find(|line| line.starts_with("commander.") && line.contains(NEXT)).map(str::to_owned)
    })
    .await;
    assert!(at_edge.contains("commander"), "{at_edge}");
    // It commands: it lets nodes in, and has another one run what it runs.
    let token = succeeds(&fleet.commander, &["cluster", "token"]).await;
    assert!(token.starts_with("furtc1."), "a token");
    succeeds(&fleet.commander, &update(&fleet.name, NEXT, &digest)).await;
    follow(&mut fleet.edge);
    fleet.runs(NEXT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_set_while_a_node_is_updated_are_in_force_there() {
    let releases = tempfile::tempdir().unwrap();
    let source = format!("folder = '{}'", releases.path().display());
    let allowed = "settings = ['limits.*']\n";
    let mut fleet = Fleet::start(|_| allowed.to_owned(), |common| format!("{allowed}{common}{source}")).await;
    let digest = fleet.signer.release(releases.path(), NEXT, &furt_of(NEXT));
    let is_done = AtomicBool::new(false);
    let updating = async {
        let said = succeeds(&fleet.commander, &update(&fleet.name, NEXT, &digest)).await;
        is_done.store(true, Ordering::Relaxed);
        said
    };
    let setting = async {
        let mut set = Vec::new();
        for most in 5.. {
            let key = format!("limits.max_body={most}");
            let output = command(&fleet.commander, &["settings", "set", &key, "--to", "all"]).await;
            set.push((most, output));
            if is_done.load(Ordering::Relaxed) {
                break;
            }
        }
        set
    };
    let (_, set) = tokio::join!(updating, setting);
    follow(&mut fleet.edge);
    for (most, output) in &set {
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // The process that was asked may be replaced before it answers.
        println!("{most}: {} {said}", output.status);
        assert!(output.status.success() || said.contains("answer"), "{most}: {said}");
    }
    fleet.runs(NEXT).await;
    let last = set.iter().rfind(|(_, output)| output.status.success()).expect("one that was set meanwhile").0;
    takes(&fleet.edge, Some(last)).await;
    takes(&fleet.commander, Some(last)).await;
    let most = set.last().unwrap().0 + 1;
    let said =
        succeeds(&fleet.commander, &["settings", "set", &format!("limits.max_body={most}"), "--to", "all"]).await;
    assert_eq!(said.matches(": success").count(), 2, "{said}");
    takes(&fleet.edge, Some(most)).await;
}
