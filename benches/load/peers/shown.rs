//! The pages below `docs/peers`: each gateway's configuration as the bench writes it, so that whoever runs one can say what is
//! wrong with it. With `UPDATE_DOCS=1` in the environment this test writes them; without, it compares.

// The bench is built without the test harness: there the one test is gone, and what it calls is unused.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{FLEET_IDLE, PUBLIC_IDLE};
use super::*;

/// What pages call the directory of a gateway.
const DIRECTORY: &str = "/bench";
/// Clients of `pass` and `gateway`, and some more.
const CLIENTS: usize = 164;
/// Enough to see how more of them are written.
const FLEET: Fleet = Fleet { services: 2, keys: 3, teams: 2, port: 9000 };

/// What a gateway is started with in a directory, and what is written there.
fn page(peer: Peer) -> String {
    let mut text = format!(
        "# {}, as the load bench configures it\n\nMade by `UPDATE_DOCS=1 cargo nextest run -p furt-benches shown`; not to be \
         edited. Why it is so is in [benches/README.md](../../benches#how-it-is-kept-equal). One worker thread; \
         its directory is `{DIRECTORY}`.\n",
        peer.name()
    );
    let sites = [
        (
            Site::Public,
            false,
            "One public route",
            "*pass*, *browser*, *body* and *idle*, but for the number of clients.",
        ),
        (
            Site::Public,
            true,
            "Under TLS",
            "*handshake-ec*, *resume*, *h2*, *idle-tls* and *idle-h2*, but for the number of clients; *handshake-rsa* \
             with the other certificate. The same files of certificates are given to all.",
        ),
        (
            Site::Fleet,
            false,
            "Services and keys",
            "*gateway*, of whose 1,000 services and 10,000 keys two and three are here.",
        ),
    ];
    let is_served = |site, is_secure: bool| peer.can_serve(site) && (!is_secure || peer.can_tls());
    for (site, is_secure, title, workloads) in sites.into_iter().filter(|(site, secure, ..)| is_served(*site, *secure))
    {
        write!(text, "\n## {title}\n\n{workloads}\n\n{}", shown(peer, site, is_secure)).unwrap();
    }
    text
}

fn shown(peer: Peer, site: Site, is_secure: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::at(dir.path(), "ecdsa", Vec::new().into());
    let own = Own::try_new(&[]).unwrap();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let setup = Setup {
        site,
        fleet: &FLEET,
        origin: at(9000),
        listen: at(8080),
        internal: at(8081),
        certificate: is_secure.then_some(&certificate),
        plain: at(8082),
        dir: dir.path().to_owned(),
        threads: 1,
        clients: CLIENTS,
        idle: if site == Site::Public { PUBLIC_IDLE } else { FLEET.services as usize * FLEET_IDLE },
        bare_idle: None,
        own: &own,
        runner: None,
    };
    let command = peer.command(Path::new(peer.name()), &setup).unwrap();
    let mut text = format!("```text\n{}\n```\n", started(&command));
    for path in files(dir.path()) {
        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
        let body = std::fs::read_to_string(&path).unwrap();
        write!(text, "\n`{name}`:\n\n```{}\n{}\n```\n", language(&name), body.trim_end()).unwrap();
    }
    if peer == Peer::Furt {
        let bodies = furt::registrations(&setup).map(|one| serde_json::to_string_pretty(&one).unwrap());
        for body in bodies.take(1) {
            write!(text, "\nEach service registers with such a body:\n\n```json\n{body}\n```\n").unwrap();
        }
    }
    text.replace(&dir.path().display().to_string(), DIRECTORY)
}

fn started(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let environment =
        environment.map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
    let words = [command.get_program()].into_iter().chain(command.get_args());
    environment.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

/// All files below a directory, in the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

/// `toml` is what furt reads: an example that says so is parsed as its configuration.
fn language(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("toml") if name == "furt.toml" => "toml",
        Some("toml") => "toml fragment",
        Some("yaml") => "yaml",
        Some("conf") => "nginx",
        _ => "text",
    }
}

#[test]
fn every_configuration_that_is_measured_is_in_the_docs() {
    for peer in Peer::ALL.into_iter().filter(|peer| *peer != Peer::Bare) {
        let path = format!("{}/../docs/peers/{}.md", env!("CARGO_MANIFEST_DIR"), peer.name());
        let expected = page(peer);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, expected).unwrap();
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let differing = text.lines().zip(expected.lines()).find(|(is, should)| is != should);
        assert!(text == expected, "{path} is not what is measured, UPDATE_DOCS=1 writes it: {differing:?}");
    }
}
