//! A commander has another node run another version of furt, over a real RabbitMQ and under load; one that does not start changes
//! nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use furt_core::model::Sha256Digest;

use crate::cluster::{agrees, cluster, command, fails, password, succeeds, tail};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_updated_under_load_and_stays_what_it_is_where_the_program_does_not_start() {
    let broker = Rabbitmq::start().await;
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name);
    let (releases, installed) = (below("releases"), below("bin/furt"));
    fs::create_dir(&releases).unwrap();
    fs::create_dir(below("bin")).unwrap();
    let signer = Signer::new();
    let with_state = |name: &str| {
        let state = below(name);
        format!("state = '{}'\npassword_file = '{}'", state.display(), password(&state).display())
    };
    let commander = Gateway::start(&tail(&broker.url(), "commander", &with_state("commander"))).await;
    succeeds(&commander, &["cluster", "init"]).await;
    let token = below("token");
    fs::write(&token, succeeds(&commander, &["cluster", "token"]).await).unwrap();
    std::process::Command::new("chmod").arg("600").arg(&token).status().unwrap();
    let more = format!(
        "{}\ntoken_file = '{}'\n[update]\npublic_key = '{}'\nfolder = '{}'\nin_container = true\n[client]\n\
         keepalive_timeout = '4s'\n[store]\nkind = 'disk'\npath = 'furt.redb'",
        with_state("edge"),
        token.display(),
        signer.public_key(),
        releases.display()
    );
    let mut edge = Gateway::start_from(&installed, &tail(&broker.url(), "edge", &more)).await;
    let origin = Origin::start().await;
    edge.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    let known = agrees(&commander, 2).await;
    let members = known["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["this"] == false).unwrap();
    let (key, name) = (member["fingerprint"].as_str().unwrap().to_owned(), member["name"].as_str().unwrap().to_owned());
    let public = edge.public;
    let mut load = Load::start(2, move |_, number| async move {
        let url = format!("http://{public}/shop/{number}");
        assert_eq!(client_from(None).get(url).send().await.unwrap().status(), 200);
    });
    load.more(10).await;

    // It says yes to every check, and ends at once where it is to run.
    let script = format!("#!/bin/sh\ncase \"$1\" in --version) echo 'furt {BROKEN}';; run) exit 7;; esac\n");
    let digest = signer.release(&releases, BROKEN, script.as_bytes());
    let told = fails(&commander, &["update", "--to", &name, "--version", BROKEN, "--sha256", &digest]).await;
    assert!(told.contains("the new process has ended"), "{told}");
    let version = async || {
        let known = cluster(&commander).await;
        let members = known["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().find(|member| member["fingerprint"] == *key).map(|member| member["version"].clone())
    };
    assert_eq!(version().await, Some(OWN.into()));
    assert_eq!(fs::read(&installed).unwrap(), fs::read(env!("CARGO_BIN_EXE_furt")).unwrap(), "it is in its place");
    // One that is not what it was said to be is not even begun, and one that is older neither.
    let wrong = "ab".repeat(32);
    let told = fails(&commander, &["update", "--to", &key, "--version", BROKEN, "--sha256", &wrong]).await;
    assert!(told.contains("its SHA-256 is"), "{told}");
    let told = fails(&commander, &["update", "--to", &key, "--version", "0.0.9", "--sha256", &wrong]).await;
    assert!(told.contains("is not later than"), "{told}");

    let next = furt_of(NEXT);
    let digest = signer.release(&releases, NEXT, &next);
    let said = succeeds(&commander, &["update", "--to", &name, "--version", NEXT, "--sha256", &digest]).await;
    assert!(said.starts_with("edge.") && said.ends_with(&format!("runs furt {NEXT}\n")), "{said}");
    let log = edge.log();
    let told = log.rsplit("successor] process ").next().unwrap();
    edge.replaced_by(told.split(' ').next().unwrap().parse().unwrap());
    load.more(10).await;
    load.stop().await;
    eventually("its beats say so", PATIENCE, async || (version().await == Some(NEXT.into())).then_some(())).await;
    assert!(fs::read(&installed).unwrap() == next, "a restart starts it again");
    assert!(installed.with_file_name("furt.previous").is_file());
    // The same again is no update, and a node whose file says nothing of updates takes none.
    let told = fails(&commander, &["update", "--to", &key, "--version", NEXT, "--sha256", &digest]).await;
    assert!(told.contains("is not later than"), "{told}");
    let own = known["fingerprint"].as_str().unwrap();
    let told = fails(&commander, &["update", "--to", own, "--version", NEXT, "--sha256", &digest]).await;
    assert!(told.contains("updates are off in this node's file"), "{told}");
    succeeds(&edge, &["services", "shop"]).await;
    let output = command(&edge, &["update", "--to", &key, "--version", NEXT, "--sha256", &digest]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("no commander"));
}
