//! Values of the configuration that a real OpenBao has: read, renewed, changed, and kept while it is away or refuses.

mod taken_over;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use furt::vault::{Client, Fault, Lease, NewToken, Token};
use furt_core::model::Sha256Digest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{TOKEN, succeeds};
use crate::foreign::{Openbao, Rabbitmq};
use crate::support::gateway::{furt, output_of};
use crate::support::{Answer, Gateway, eventually};

/// For what needs a server that shares the machine with other tests.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a node needs, and no more.
const POLICY: &str = r#"path "secret/data/furt/*" { capabilities = ["read"] }"#;

fn client(server: &Openbao) -> Client {
    Client::try_new(&server.url(), None, None, "secret").unwrap()
}

/// Off the thread of the test, which has a runtime.
async fn asked<T: Send + 'static>(server: &Openbao, ask: impl FnOnce(Client) -> T + Send + 'static) -> T {
    let client = client(server);
    tokio::task::spawn_blocking(move || ask(client)).await.unwrap()
}

/// A token with the policy of a node, that lives for so long after each renewal.
async fn token(server: &Openbao, period: &str) -> String {
    server.ctl("PUT", "sys/policies/acl/furt", Some(json!({"policy": POLICY}))).await;
    let body = json!({"policies": ["furt"], "period": period});
    let (status, made) = server.ctl("POST", "auth/token/create-orphan", Some(body)).await;
    assert_eq!(status, 200, "{made}");
    made["auth"]["client_token"].as_str().unwrap().to_owned()
}

async fn put(server: &Openbao, path: &str, data: Value) {
    let (status, answer) = server.ctl("POST", &format!("secret/data/{path}"), Some(json!({"data": data}))).await;
    assert_eq!(status, 200, "{answer}");
}

fn write(file: &Path, token: &str) {
    fs::write(file, token).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn tail(url: &str, file: &Path, more: &str) -> String {
    let digest = "operator_token_sha256 = 'vault:furt/api#digest'";
    format!("[internal]\n{digest}\n[vault]\nurl = '{url}'\ntoken_file = '{}'\n{more}\n", file.display())
}

fn digest(token: &str) -> Value {
    json!({"digest": Sha256Digest::of(token.as_bytes()).to_string()})
}

/// Whether this token operates.
async fn operates(gateway: &Gateway, token: &str) -> bool {
    let status = Answer::of(gateway.operate(Method::GET, "/internal/stats").bearer_auth(token)).await.status;
    assert!(matches!(status, StatusCode::OK | StatusCode::FORBIDDEN), "{status}");
    status == StatusCode::OK
}

async fn is_operator(gateway: &Gateway, token: &str) {
    eventually("its token operates", PATIENCE, async || operates(gateway, token).await.then_some(())).await;
}

/// Waits until `/health` says so.
async fn is_told(gateway: &Gateway, token: &str, words: &str) {
    eventually(words, PATIENCE, async || {
        let health = Answer::of(gateway.operate(Method::GET, "/health").bearer_auth(token)).await;
        health.body.contains(words).then_some(())
    })
    .await;
}

async fn is_well(gateway: &Gateway, token: &str) {
    eventually("all is well", PATIENCE, async || {
        let health = Answer::of(gateway.operate(Method::GET, "/health").bearer_auth(token)).await;
        (!health.body.contains("vault: ")).then_some(())
    })
    .await;
}

async fn reload(gateway: &Gateway, token: &str) {
    let reloaded = Answer::of(gateway.operate(Method::POST, "/internal/reload").bearer_auth(token)).await;
    assert_eq!(reloaded.status, StatusCode::OK, "{reloaded:?}");
}

/// When the token was renewed last, in seconds; 0: never.
async fn renewals(server: &Openbao, token: &str) -> Option<u64> {
    let (status, answer) = server.ask("GET", "auth/token/lookup-self", Some(token), None).await?;
    (status == 200).then(|| answer["data"]["last_renewal_time"].as_u64().unwrap_or_default())
}

#[tokio::test]
async fn every_call_is_one_that_openbao_answers() {
    let server = Openbao::start().await;
    let made = token(&server, "60s").await;
    put(&server, "furt/broker", json!({"password": "rabbit"})).await;
    let root = Token::try_new(Openbao::ROOT_TOKEN).unwrap();
    let (own, node) = (Token::try_new(&made).unwrap(), Token::try_new("none").unwrap());
    let told = asked(&server, move |client| {
        let minute = Duration::from_secs(60);
        assert_eq!(client.look_up(&root), Ok(Lease { ttl: None, renewable: false }), "the root token has no end");
        let found = client.look_up(&own).unwrap();
        assert!(found.renewable && found.ttl <= Some(minute) && found.ttl > Some(Duration::ZERO), "{found:?}");
        assert_eq!(client.renew(&own), Ok(Lease { ttl: Some(minute), renewable: true }));
        assert_eq!(client.read(&own, "furt/broker").unwrap()["password"], "rabbit");
        assert_eq!(client.read(&own, "furt/none"), Err(Fault::Absent));
        for refused in [client.read(&own, "other"), client.read(&node, "furt/broker")] {
            assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
        }
        assert!(matches!(client.look_up(&node), Err(Fault::Refused(_))));
        // Made for somebody else, and unwrapped once.
        let new = NewToken { display_name: "edge_2.812".to_owned(), policies: vec!["furt".to_owned()], period: minute };
        let wrapping = client.make_token(&root, &new, minute).unwrap();
        let (unwrapped, lease) = client.unwrap_token(&wrapping).unwrap();
        assert_eq!(lease, Lease { ttl: Some(minute), renewable: true });
        assert_eq!(client.read(&unwrapped, "furt/broker").unwrap()["password"], "rabbit");
        assert!(matches!(client.make_token(&unwrapped, &new, minute), Err(Fault::Refused(_))), "it may not make more");
        let told = client.unwrap_token(&wrapping).unwrap_err();
        assert!(!told.to_string().contains(wrapping.reveal()), "{told}");
        (told, unwrapped)
    })
    .await;
    assert!(matches!(told.0, Fault::Rejected(_)), "a second time is an alarm: {:?}", told.0);
    let (_, made) = server.ask("GET", "auth/token/lookup-self", Some(told.1.reveal()), None).await.unwrap();
    let made = &made["data"];
    assert_eq!(
        (&made["display_name"], &made["orphan"], &made["period"]),
        (&json!("token-edge-2-812"), &json!(true), &json!(60))
    );
    server.freeze();
    let own = told.1;
    let frozen = asked(&server, move |client| client.look_up(&own)).await;
    assert!(matches!(frozen, Err(Fault::Away(_))), "{frozen:?}");
    server.thaw();
}

#[tokio::test]
async fn the_operators_token_is_read_from_openbao_and_changed_there() {
    let mut server = Openbao::start().await;
    put(&server, "furt/api", digest("first")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let own = token(&server, "1h").await;
    write(&file, &own);
    let gateway = Gateway::start(&tail(&server.url(), &file, "")).await;
    is_operator(&gateway, "first").await;
    assert!(!operates(&gateway, "third").await && !operates(&gateway, "").await);
    put(&server, "furt/api", digest("third")).await;
    reload(&gateway, "first").await;
    is_operator(&gateway, "third").await;
    assert!(!operates(&gateway, "first").await);
    // What is none changes nothing.
    put(&server, "furt/api", json!({"digest": "hunter2"})).await;
    reload(&gateway, "third").await;
    is_told(&gateway, "third", "it is not a SHA-256").await;
    put(&server, "furt/api", json!({"other": "x"})).await;
    is_told(&gateway, "third", "the secret has no such key; the last value stays").await;
    server.ctl("DELETE", "secret/data/furt/api", None).await;
    is_told(&gateway, "third", "Vault has nothing there; the last value stays").await;
    put(&server, "furt/api", digest("third")).await;
    is_well(&gateway, "third").await;
    // Frozen, and then away: the last value stays.
    server.freeze();
    reload(&gateway, "third").await;
    is_told(&gateway, "third", "Vault is away: ").await;
    server.thaw();
    is_well(&gateway, "third").await;
    server.kill();
    reload(&gateway, "third").await;
    is_told(&gateway, "third", "the last values stay").await;
    // OpenBao has forgotten everything, so the token is refused until the file has another one.
    server.start_again().await;
    is_told(&gateway, "third", "Vault refuses the token").await;
    put(&server, "furt/api", digest("fourth")).await;
    let another = token(&server, "60s").await;
    write(&file, &another);
    is_operator(&gateway, "fourth").await;
    is_well(&gateway, "fourth").await;
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics").bearer_auth("fourth")).await.body;
    assert!(
        metrics.contains("furt_vault_values_timestamp_seconds 1") && metrics.contains("furt_vault_failures_total ")
    );
    let log = gateway.log();
    assert!(["hunter2", &own, &another, "fourth"].iter().all(|secret| !log.contains(secret)), "a secret is in the log");
}

#[tokio::test]
async fn a_token_outlives_its_period_and_another_one_follows_where_it_is_revoked() {
    let server = Openbao::start().await;
    put(&server, "furt/api", digest("first")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let own = token(&server, "5s").await;
    write(&file, &own);
    let gateway = Gateway::start(&tail(&server.url(), &file, "")).await;
    is_operator(&gateway, "first").await;
    let renewed =
        eventually("it is renewed", PATIENCE, async || renewals(&server, &own).await.filter(|at| *at > 0)).await;
    eventually("it has outlived its period", PATIENCE, async || {
        renewals(&server, &own).await.filter(|at| *at > renewed + 5)
    })
    .await;
    // Without a reload: values are read after each renewal.
    put(&server, "furt/api", digest("second")).await;
    is_operator(&gateway, "second").await;
    let (status, answer) = server.ctl("POST", "auth/token/revoke", Some(json!({"token": own}))).await;
    assert_eq!(status, 204, "{answer}");
    is_told(&gateway, "second", "Vault refuses the token").await;
    // What nobody renews ends: it is refused as one that was revoked.
    let ended = token(&server, "1s").await;
    eventually("it has ended", PATIENCE, async || renewals(&server, &ended).await.is_none().then_some(())).await;
    write(&file, &ended);
    reload(&gateway, "second").await;
    is_told(&gateway, "second", "Vault refuses the token").await;
    put(&server, "furt/api", digest("third")).await;
    write(&file, &token(&server, "60s").await);
    is_operator(&gateway, "third").await;
    is_well(&gateway, "third").await;
}

#[tokio::test]
async fn without_openbao_furt_starts_and_nobody_operates_until_it_is_there() {
    let mut server = Openbao::start().await;
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "none-yet");
    let mut gateway = Gateway::start(&tail(&server.url(), &file, "")).await;
    assert!(!operates(&gateway, "operator").await);
    let refused = Answer::of(gateway.operate(Method::GET, "/internal/stats").bearer_auth("operator")).await.body;
    assert!(refused.contains("Vault has not given internal.operator_token_sha256"), "{refused}");
    server.start_again().await;
    put(&server, "furt/api", digest("operator")).await;
    write(&file, &token(&server, "60s").await);
    is_operator(&gateway, "operator").await;
    // Values are in memory alone: a furt that starts without Vault has none.
    server.kill();
    gateway.restart().await;
    assert!(!operates(&gateway, "operator").await);
}

#[tokio::test]
async fn the_password_of_the_broker_is_openbao_s() {
    let (broker, mut server) = (Rabbitmq::start().await, Openbao::start().await);
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "none-yet");
    let state = folder.path().join("state");
    let operator = Sha256Digest::of(b"operator");
    let gateway = Gateway::start(&format!(
        "[internal]\noperator_token_sha256 = '{operator}'\n[vault]\nurl = '{}'\ntoken_file = '{}'\n[cluster]\nurl = '{}'\n\
         heartbeat = '2s'\nstate = '{}'\npassword = 'vault:furt/broker#password'\n",
        server.url(),
        file.display(),
        broker.url(),
        state.display()
    ))
    .await;
    is_told(&gateway, "operator", "Vault is away: ").await;
    let link = async || {
        let nodes = Answer::of(gateway.operate(Method::GET, "/internal/nodes").bearer_auth("operator")).await.ok();
        nodes["cluster"]["link"].clone()
    };
    eventually("the broker waits for Vault", PATIENCE, async || {
        link().await.to_string().contains("Vault has not given cluster.password yet").then_some(())
    })
    .await;
    server.start_again().await;
    put(&server, "furt/broker", json!({"password": "wrong"})).await;
    write(&file, &token(&server, "6s").await);
    eventually("a wrong password is told", PATIENCE, async || {
        let link = link().await;
        (link["status"] == "down" && !link.to_string().contains("Vault")).then_some(())
    })
    .await;
    put(&server, "furt/broker", json!({"password": "guest"})).await;
    eventually("the broker is connected", PATIENCE, async || (link().await["status"] == "up").then_some(())).await;
    assert!(!gateway.log().contains("guest@"), "{}", gateway.log());
}

/// What `furt check` says of a file.
async fn checked(folder: &Path, text: &str) -> (bool, String) {
    let file: PathBuf = folder.join("furt.toml");
    fs::write(&file, text).unwrap();
    let output = output_of(furt(&["check", "--config", file.to_str().unwrap()])).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[tokio::test]
async fn a_check_parses_references_and_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "some-token");
    // Nobody is there.
    let good = tail(
        "http://127.0.0.1:1",
        &file,
        "[cluster]\nurl = 'amqp://furt@127.0.0.1'\npassword = 'vault:furt/broker#password'",
    );
    let (is_good, said) = checked(folder.path(), &good).await;
    assert!(is_good, "{said}");
    let reference = "[internal]\noperator_token_sha256 = 'vault:a#b'\n";
    for (text, told) in [
        (reference.to_owned(), "names vault:a#b, and there is no Vault; vault.url must be set as well"),
        (format!("{reference}[vault]\nurl = 'http://127.0.0.1:1'"), "vault.token_file must be set as well"),
        (good.replace("token_file", "#"), "cluster.password: is in Vault, for which this node asks its cluster"),
        (
            good.replace("[cluster]\nurl = 'amqp://furt@127.0.0.1'", "policies = ['furt']\n[cluster]"),
            "vault.policies: is of no use",
        ),
        (good.replace("token_file = '", "token_file = '/none"), "vault.token_file: /none"),
        (good.replace("[cluster]", "ca = '/none.pem'\n[cluster]"), "vault.ca: is of no use: vault.url does not begin"),
        (good.clone() + "\npassword_file = '/dev/null'", "stands beside cluster.password"),
    ] {
        let (is_good, said) = checked(folder.path(), &text).await;
        assert!(!is_good && said.contains(told), "{text}: {said}");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let (is_good, said) = checked(folder.path(), &good).await;
    assert!(!is_good && said.contains("has the mode 644; must be readable for its owner alone"), "{said}");
}

/// What a node that makes tokens for others needs beside its own.
const MAKER: &str = r#"path "secret/data/furt/*" { capabilities = ["read"] }
path "auth/token/create-orphan" { capabilities = ["create", "update", "sudo"] }"#;

/// A node that makes tokens, whose broker's password is in OpenBao as well, and one that has a token made; with what they need.
struct Pair {
    one: Gateway,
    two: Gateway,
    /// The token of the first.
    own: String,
    server: Openbao,
    folder: TempDir,
    _broker: Rabbitmq,
}

impl Pair {
    /// `more` are further tables of both.
    async fn start(more: &str) -> Self {
        let (broker, server) = (Rabbitmq::start().await, Openbao::start().await);
        put(&server, "furt/api", digest(TOKEN)).await;
        put(&server, "furt/broker", json!({"password": "guest"})).await;
        token(&server, "60s").await;
        server.ctl("PUT", "sys/policies/acl/maker", Some(json!({"policy": MAKER}))).await;
        let body = json!({"policies": ["maker"], "period": "1h"});
        let (_, made) = server.ctl("POST", "auth/token/create-orphan", Some(body)).await;
        let own = made["auth"]["client_token"].as_str().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name);
        write(&below("token"), &own);
        write(&below("password"), "guest");
        let file = |name: &str, of_vault: &str, of_cluster: &str| {
            format!(
                "[internal]\noperator_token_sha256 = 'vault:furt/api#digest'\n[vault]\nurl = '{}'\n{of_vault}\n[cluster]\n\
                 url = '{}'\nheartbeat = '2s'\nbeat_interval = '1s'\nname = '{name}'\nstate = '{}'\n{of_cluster}\n{more}\n",
                server.url(),
                broker.url(),
                below(name).display(),
            )
        };
        let makes = format!("token_file = '{}'\npolicies = ['furt']\nperiod = '1h'", below("token").display());
        let one = Gateway::start(&file("one", &makes, "password = 'vault:furt/broker#password'")).await;
        is_operator(&one, TOKEN).await;
        succeeds(&one, &["cluster", "init"]).await;
        write(&below("join"), &succeeds(&one, &["cluster", "token", "--uses", "1"]).await);
        let (join, password) = (below("join"), below("password"));
        let joins = format!("token_file = '{}'\npassword_file = '{}'", join.display(), password.display());
        let two = Gateway::start(&file("two", "", &joins)).await;
        // Its operators' token comes by the token that it is given.
        is_operator(&two, TOKEN).await;
        is_well(&two, TOKEN).await;
        Self { one, two, own, server, folder, _broker: broker }
    }

    /// The token that the second was given.
    fn given(&self) -> String {
        fs::read_to_string(self.folder.path().join("two/vault-token")).unwrap()
    }

    /// Revokes the token that the second was given, and waits until it has another one.
    async fn gets_another(&self) {
        let before = self.given();
        self.server.ctl("POST", "auth/token/revoke", Some(json!({"token": before}))).await;
        reload(&self.two, TOKEN).await;
        eventually("it has another one", PATIENCE, async || {
            let now = self.given();
            let (status, _) = self.server.ask("GET", "auth/token/lookup-self", Some(&now), None).await?;
            (now != before && status == 200).then_some(())
        })
        .await;
        is_well(&self.two, TOKEN).await;
    }
}

#[tokio::test]
async fn a_node_without_a_token_has_one_made_over_the_cluster() {
    let pair = Pair::start("").await;
    let first = pair.given();
    let file = pair.folder.path().join("two/vault-token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (status, answer) = pair.server.ask("GET", "auth/token/lookup-self", Some(&first), None).await.unwrap();
    let data = &answer["data"];
    assert_eq!((status, &data["orphan"], &data["period"]), (200, &json!(true), &json!(3600)), "{answer}");
    assert_eq!(data["policies"], json!(["default", "furt"]));
    assert!(data["display_name"].as_str().unwrap().starts_with("token-two-"), "{answer}");
    assert_ne!(first, pair.own, "nobody hands out its own");
    // It is revoked alone, and the node asks for another one.
    pair.gets_another().await;
    assert!(operates(&pair.one, TOKEN).await);
    let log = pair.one.log() + &pair.two.log();
    assert!([&pair.own, &first].iter().all(|secret| !log.contains(*secret)), "a token is in a log");
}
