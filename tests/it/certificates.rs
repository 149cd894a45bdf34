//! Certificates as files: what is refused at the start, what becomes of new ones, and that sessions outlive a restart.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio_rustls::rustls::HandshakeKind;

use crate::support::gateway::{furt, output_of};
use crate::support::tls::{Edge, TLS12, TLS13, put, shown};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, SOON, eventually};

/// What `furt check` says of a configuration; `None`: it is good.
async fn faults(edge: &Edge, tail: &str) -> Option<String> {
    let file = edge.path("furt.toml");
    fs::write(&file, tail).unwrap();
    let output = output_of(furt(&["check", file.to_str().unwrap()])).await;
    (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
}

async fn issues(gateway: &Gateway) -> String {
    let health = Answer::of(gateway.anonymous(Method::GET, "/health")).await.json();
    format!("{} {}", health["status"].as_str().unwrap(), health["issues"])
}

#[tokio::test]
async fn every_certificate_that_cannot_be_used_is_told_at_once_with_its_place_and_the_reason() {
    let edge = Edge::new();
    let path = |file: &str| edge.path(file).display().to_string();
    edge.write_until("old", &["old.example"], 2020);
    edge.write("nameless", &[]);
    edge.write("open", &["open.example"]);
    fs::set_permissions(edge.path("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    edge.write("other", &["other.example"]);
    fs::copy(edge.path("a.key"), edge.path("other.key")).unwrap();
    edge.write("swapped", &["swapped.example"]);
    fs::rename(edge.path("swapped.key"), edge.path("x")).unwrap();
    fs::copy(edge.path("swapped.pem"), edge.path("swapped.key")).unwrap();
    fs::set_permissions(edge.path("swapped.key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(edge.path("x"), edge.path("swapped.pem")).unwrap();
    edge.write("locked", &["locked.example"]);
    put(
        &edge.path("locked.key"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        0o600,
    );
    edge.write("folder", &["folder.example"]);
    fs::remove_file(edge.path("folder.pem")).unwrap();
    fs::create_dir(edge.path("folder.pem")).unwrap();
    edge.write("stapled", &["stapled.example"]);
    fs::write(edge.path("stapled.ocsp"), "no staple").unwrap();

    let files = ["a", "old", "nameless", "open", "other", "swapped", "locked", "folder", "absent"];
    let mut tail = edge.tail(&files, "");
    tail += &format!("{}staple = '{}'\n", edge.entry("stapled"), path("stapled.ocsp"));
    let told = faults(&edge, &tail).await.unwrap();
    let expected = [
        ("cert", "old.pem", "has a certificate that ended at 2020-12-31T00:00:00Z; must be one that is still good"),
        ("cert", "nameless.pem", "has a certificate for no host; must name one as subjectAltName"),
        ("key", "open.key", "can be read or written by everybody (mode 0644); a private key must be 0640 or stricter"),
        ("key", "other.key", "has another key than the certificate in"),
        ("cert", "swapped.pem", "has no certificate; must have one that begins with -----BEGIN CERTIFICATE-----"),
        ("key", "locked.key", "has a private key with a password; must be one without"),
        ("cert", "folder.pem", "is no regular file"),
        ("cert", "absent.pem", "cannot be read (No such file or directory"),
        ("staple", "stapled.ocsp", "is no OCSP answer in DER"),
    ];
    for (key, file, why) in expected {
        let line = told.lines().find(|line| line.contains(&path(file))).unwrap_or_else(|| panic!("{file}: {told}"));
        assert!(line.contains(&format!("certificates.{key}: {} {why}", path(file))), "{line}");
        assert!(line.contains("furt.toml:"), "{line}");
    }
    assert_eq!(told.lines().count(), expected.len(), "{told}");

    let mut start = furt(&["run", "--config", edge.path("furt.toml").to_str().unwrap()]);
    start.current_dir(edge.path(""));
    let output = output_of(start).await;
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && expected.iter().all(|(_, file, _)| log.contains(&path(file))), "{log}");
    assert_eq!(faults(&edge, &edge.tail(&["a"], "")).await, None);
    let missing = faults(&edge, &edge.tail(&[], "")).await.unwrap();
    assert!(missing.contains("tls.listen: has no certificate to show"), "{missing}");
}

#[tokio::test]
async fn the_state_folder_is_furts_alone_and_one_that_cannot_be_made_ends_the_start() {
    let edge = Edge::new();
    let gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    let mode = |file: &str| gateway.dir().join(file).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tls"), mode("tls/ticket-keys")), (0o700, 0o600));
    fs::write(edge.path("furt.toml"), edge.tail(&["a"], "state = 'furt.toml/tls'")).unwrap();
    let mut start = furt(&["run", "--config", edge.path("furt.toml").to_str().unwrap()]);
    start.env("FURT_TLS_LISTEN", "127.0.0.1:0").env("FURT_SERVER_LISTEN", "127.0.0.1:0");
    start.env("FURT_INTERNAL_LISTEN", "127.0.0.1:0").current_dir(edge.path(""));
    let log = String::from_utf8(output_of(start).await.stderr).unwrap();
    assert!(log.contains("tls.state: furt.toml/tls cannot be made (Not a directory"), "{log}");
}

#[tokio::test]
async fn a_name_of_two_certificates_is_told_and_stays_with_the_first() {
    let edge = Edge::new();
    let first = edge.write("a", &["a.example", "b.example"]);
    edge.write("b", &["b.example", "c.example"]);
    let gateway = Gateway::start(&edge.tail(&["a", "b"], "")).await;
    let log = gateway.log();
    assert!(log.contains("b.pem names b.example, which an earlier certificate has"), "{log}");
    let stream = edge.try_connect(&edge.client(TLS13), "b.example").await.unwrap();
    assert_eq!(shown(&stream), first);
    assert!(edge.try_connect(&edge.client(TLS13), "c.example").await.is_ok());
}

#[tokio::test]
async fn no_handshake_fails_while_certificates_are_replaced_again_and_again() {
    let edge = Edge::new();
    // As Kubernetes has them: the files are links into a folder that is itself one, and is replaced.
    let version = |number: usize| {
        edge.write("made", &["a.example"]);
        let folder = edge.path(&format!("version{number}"));
        fs::create_dir(&folder).unwrap();
        for file in ["pem", "key"] {
            fs::rename(edge.path(&format!("made.{file}")), folder.join(format!("a.{file}"))).unwrap();
        }
        symlink(&folder, edge.path("link")).unwrap();
        fs::rename(edge.path("link"), edge.path("current")).unwrap();
    };
    version(0);
    for file in ["pem", "key"] {
        fs::remove_file(edge.path(&format!("a.{file}"))).unwrap();
        symlink(format!("current/a.{file}"), edge.path(&format!("a.{file}"))).unwrap();
    }
    let gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    let edge = &edge;
    let (is_done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let shaking = async {
        // None of them resumes a session: each sees the certificate.
        while !is_done.load(Ordering::Relaxed) {
            edge.try_connect(&edge.client(TLS13), "a.example").await.expect("a handshake");
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let swapping = async {
        for number in 1..=200 {
            version(number);
            gateway.reload().await.ok();
        }
        is_done.store(true, Ordering::Relaxed);
    };
    tokio::join!(shaking, swapping);
    assert!(count.load(Ordering::Relaxed) > 50, "{count:?}");
    assert!(issues(&gateway).await.starts_with("healthy"));
    let last = edge.write("made", &["a.example"]);
    for file in ["pem", "key"] {
        fs::rename(edge.path(&format!("made.{file}")), edge.path(&format!("current/a.{file}"))).unwrap();
    }
    eventually("the last one is shown by itself", SOON, async || {
        let stream = edge.try_connect(&edge.client(TLS13), "a.example").await.expect("a handshake");
        (shown(&stream) == last).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_leaves_the_one_before_in_force_and_health_says_so() {
    let edge = Edge::new();
    let before = edge.write("a", &["a.example"]);
    edge.write("b", &["b.example"]);
    let gateway = Gateway::start(&edge.tail(&["a", "b"], "")).await;
    let key = fs::read_to_string(edge.path("a.key")).unwrap();
    let current = |name: &str, value: u8| format!("furt_certificate_current{{name=\"{name}\"}} {value}\n");
    assert!(gateway.metrics().await.contains(&current("a.example", 1)));
    let is_degraded = async |why: &str| {
        eventually(why, SOON, async || {
            let issues = issues(&gateway).await;
            (issues.starts_with("degraded") && issues.contains(why)).then_some(())
        })
        .await;
    };

    put(&edge.path("a.key"), &fs::read_to_string(edge.path("b.key")).unwrap(), 0o600);
    is_degraded("a certificate is not in order").await;
    is_degraded("has another key than the certificate in").await;
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(&current("a.example", 0)) && metrics.contains(&current("b.example", 1)), "{metrics}");
    let client = edge.client(TLS13);
    assert_eq!(shown(&edge.try_connect(&client, "a.example").await.unwrap()), before);
    // A reload of something else goes on with it too.
    gateway.reloaded(&edge.tail(&["a", "b"], "hsts = '1d'")).await;
    assert_eq!(shown(&edge.try_connect(&client, "a.example").await.unwrap()), before);
    is_degraded("has another key than the certificate in").await;

    fs::remove_file(edge.path("a.key")).unwrap();
    is_degraded("cannot be read").await;
    put(&edge.path("a.key"), &key, 0o600);
    eventually("all is well", SOON, async || issues(&gateway).await.starts_with("healthy").then_some(())).await;
    edge.write_until("a", &["a.example"], 2021);
    is_degraded("has a certificate that ended at 2021-12-31T00:00:00Z").await;
    let new = edge.write("a", &["a2.example", "a.example"]);
    eventually("the new one is in force", SOON, async || {
        let metrics = gateway.metrics().await;
        (metrics.contains(&current("a2.example", 1)) && !metrics.contains("{name=\"a.example\"}")).then_some(())
    })
    .await;
    assert_eq!(shown(&edge.try_connect(&client, "a.example").await.unwrap()), new);
    // Once for each, and once more where a look saw one file of two.
    let (log, told) = (gateway.log(), "the one before stays in force");
    assert!((3..=5).contains(&log.matches(told).count()), "{log}");
}

#[tokio::test]
async fn a_reload_takes_new_certificates_and_refuses_those_that_cannot_be_used() {
    let edge = Edge::new();
    edge.write("b", &["b.example"]);
    let gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    let client = edge.client(TLS13);
    assert!(edge.try_connect(&client, "b.example").await.is_err());
    let body = gateway.reloaded(&edge.tail(&["a", "b"], "")).await;
    assert_eq!(body["changed"], serde_json::json!(["certificates"]), "{body}");
    assert!(edge.try_connect(&client, "b.example").await.is_ok());
    gateway.configure(&edge.tail(&["b", "absent"], ""));
    let refused = gateway.reload().await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("absent.pem cannot be read"), "{refused:?}");
    assert!(edge.try_connect(&client, "a.example").await.is_ok(), "nothing has changed");
    gateway.reloaded(&edge.tail(&["b"], "")).await;
    assert!(edge.try_connect(&client, "a.example").await.is_err());
    assert!(edge.try_connect(&client, "b.example").await.is_ok());
}

#[tokio::test]
async fn sessions_are_resumed_also_after_a_restart() {
    let edge = Edge::new();
    edge.write("b", &["b.example"]);
    let mut gateway = Gateway::start(&edge.tail(&["a", "b"], "")).await;
    let clients = [edge.client(TLS12), edge.client(TLS13)];
    let kinds = async || {
        let mut kinds = Vec::new();
        for client in &clients {
            let stream = edge.try_connect(client, "a.example").await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            let mut wire = Wire::of(stream);
            // Tickets come with the answer.
            wire.send("GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
            assert_eq!(wire::status(&wire.read_response().await.0), 200);
        }
        kinds
    };
    let full = |kind: &HandshakeKind| matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest);
    assert!(kinds().await.iter().all(full));
    assert_eq!(kinds().await, [HandshakeKind::Resumed; 2]);
    gateway.restart().await;
    assert_eq!(kinds().await, [HandshakeKind::Resumed; 2]);
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains(r#"furt_tls_handshakes_total{outcome="done",resumed="true",version="1.2"} 1"#),
        "{metrics}"
    );
    fs::remove_file(gateway.dir().join("tls/ticket-keys")).unwrap();
    gateway.restart().await;
    assert!(kinds().await.iter().all(full));
    // One name's session is no other's.
    let client: &Arc<_> = &clients[1];
    let stream = edge.try_connect(client, "b.example").await.unwrap();
    assert!(full(&stream.get_ref().1.handshake_kind().unwrap()));
}

#[tokio::test]
async fn the_access_log_says_how_a_connection_was_secured() {
    let edge = Edge::new();
    let gateway = Gateway::start(&edge.tail(&["a"], "[access_log]\npath = 'access.log'\n")).await;
    let client = edge.client(TLS13);
    for _ in 0..2 {
        let mut wire = Wire::of(edge.try_connect(&client, "a.example").await.unwrap());
        wire.send("GET /over-tls HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert_eq!(wire::status(&wire.read_response().await.0), 404);
    }
    let mut unnamed = Wire::of(edge.try_connect(&edge.client(TLS12), "127.0.0.1").await.unwrap());
    unnamed.send("GET /over-tls HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    unnamed.read_response().await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/health")).await.status, 200);
    let lines = eventually("the lines", SOON, async || {
        let text = fs::read_to_string(gateway.dir().join("access.log")).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.iter().filter(|line| line["path"] == "/over-tls").count() == 3).then_some(lines)
    })
    .await;
    let of = |line: &Value| (line["tls"].clone(), line["sni"].clone(), line["resumed"].clone());
    let over_tls: Vec<_> = lines.iter().filter(|line| line["path"] == "/over-tls").map(of).collect();
    // A line is written once its answer is sent, and a client goes on at once: their order is not that of the requests.
    for expected in [
        (json!("1.3"), json!("a.example"), json!(false)),
        (json!("1.3"), json!("a.example"), json!(true)),
        (json!("1.2"), Value::Null, json!(false)),
    ] {
        assert!(over_tls.contains(&expected), "{expected:?} is not in {over_tls:?}");
    }
    assert!(lines.iter().filter(|line| line["path"] == "/health").all(|line| line.get("tls").is_none()));
}
