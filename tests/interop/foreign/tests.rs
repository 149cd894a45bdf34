//! The faults themselves: each does what it is for, or no test that uses it shows anything.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::etcd::Options;
use super::fault_proxy::Network;
use super::{Etcd, FaultProxy, Issuer, Openbao};
use crate::support::{SOON, eventually, ports};

/// Long enough for what comes on loopback, short enough to wait for what does not.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn three_members_elect_another_where_the_leader_is_killed() {
    let mut etcd = Etcd::three().await;
    etcd.ctl().put("/a", "one").await;
    let first = etcd.leader().await;
    etcd.members[first].kill();
    let second = etcd.leader().await;
    assert_ne!(second, first);
    let ctl = etcd.ctl_to(&etcd.endpoint(second));
    ctl.put("/a", "two").await;
    etcd.start_all().await;
    assert_eq!(etcd.ctl_to(&etcd.endpoint(first)).get("/a").await.unwrap().value, "two");
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_follows_when_it_wakes() {
    let etcd = Etcd::three().await;
    let first = etcd.leader().await;
    etcd.members[first].freeze();
    let second = eventually("another leads", SOON, async || etcd.leader_now().await.filter(|at| *at != first)).await;
    etcd.members[first].thaw();
    etcd.becomes_healthy().await;
    eventually("one leads", SOON, async || (etcd.leader_now().await == Some(second)).then_some(())).await;
}

#[tokio::test]
async fn etcdctl_shows_what_is_stored_and_at_which_revision() {
    let etcd = Etcd::one().await;
    let ctl = etcd.ctl();
    let value = r#"{"a":"\"quoted\" and \\ ä"}"#;
    ctl.put("/p/a", value).await;
    ctl.put("/p/b", "").await;
    let found = ctl.below("/p/").await;
    assert_eq!(found.iter().map(|one| &*one.value).collect::<Vec<_>>(), [value, ""]);
    assert_eq!((found[0].modified + 1, ctl.revision().await), (found[1].modified, found[1].modified));
    assert_eq!(ctl.names_below("/p/").await, ["/p/a", "/p/b"]);
    ctl.delete("/p/a").await;
    assert_eq!(ctl.get("/p/a").await, None);
    ctl.compact(ctl.revision().await).await;
    ctl.delete_below("/p/").await;
    assert_eq!(ctl.below("/p/").await, []);
}

#[tokio::test]
async fn a_snapshot_is_restored_and_an_emptied_member_has_nothing() {
    let mut etcd = Etcd::one().await;
    etcd.ctl().put("/a", "kept").await;
    let snapshot = etcd.file("snapshot");
    etcd.ctl().save_snapshot(&snapshot).await;
    etcd.ctl().put("/b", "lost").await;
    etcd.restore(&snapshot).await;
    assert_eq!(etcd.ctl().names_below("/").await, ["/a"]);
    etcd.empty().await;
    assert_eq!((etcd.ctl().names_below("/").await.len(), etcd.ctl().revision().await), (0, 1));
}

#[tokio::test]
async fn rights_and_certificates_keep_strangers_out() {
    let mut etcd = Etcd::start(1, Options { with_tls: true, ..Options::default() }).await;
    let ctl = etcd.ctl();
    etcd.switch_rights_on("first").await;
    let furt = ctl.as_user("furt:first");
    furt.put("/furt/a", "1").await;
    assert!(!furt.call(&["put", "/else", "1"]).await.status.success());
    assert!(!ctl.call(&["get", "/furt/a"]).await.status.success());
    etcd.ctl().change_password("furt", "second").await;
    assert!(!furt.call(&["get", "/furt/a"]).await.status.success());
    assert_eq!(ctl.as_user("furt:second").get("/furt/a").await.unwrap().value, "1");
    let stranger = std::process::Command::new(super::program::path("etcd", "etcdctl"))
        .args([&format!("--endpoints={}", etcd.endpoint(0)), &format!("--cacert={}", etcd.file("ca.pem")), "get", "/"])
        .args(["--command-timeout=1s", "--dial-timeout=1s"])
        .output()
        .unwrap();
    assert!(!stranger.status.success());
}

/// A server that answers each byte with the next one, and the client's connection through a proxy.
async fn through_a_proxy() -> (FaultProxy, TcpStream) {
    let (listener, _) = ports::service();
    let proxy = FaultProxy::to(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    let _ = stream.write_u8(byte + 1).await;
                }
            });
        }
    });
    let client = connected(&proxy).await;
    (proxy, client)
}

async fn connected(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).await.unwrap()
}

/// What is answered within a while; `None`: nothing; an error: the connection is over.
async fn asked(stream: &mut TcpStream, byte: u8) -> Option<std::io::Result<u8>> {
    if let Err(why) = stream.write_u8(byte).await {
        return Some(Err(why));
    }
    timeout(A_WHILE, stream.read_u8()).await.ok()
}

#[tokio::test]
async fn a_frozen_proxy_says_nothing_and_then_all_of_it() {
    let (proxy, mut stream) = through_a_proxy().await;
    assert_eq!(asked(&mut stream, 1).await.unwrap().unwrap(), 2);
    proxy.set(Network::Frozen);
    assert!(asked(&mut stream, 2).await.is_none());
    let mut other = connected(&proxy).await;
    assert!(asked(&mut other, 3).await.is_none());
    proxy.set(Network::Open);
    assert_eq!(timeout(SOON, stream.read_u8()).await.unwrap().unwrap(), 3);
    assert_eq!(timeout(SOON, other.read_u8()).await.unwrap().unwrap(), 4);
}

#[tokio::test]
async fn a_cut_proxy_ends_each_connection() {
    let (proxy, mut stream) = through_a_proxy().await;
    assert_eq!(asked(&mut stream, 1).await.unwrap().unwrap(), 2);
    proxy.set(Network::Cut);
    timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
    let mut other = connected(&proxy).await;
    timeout(SOON, other.read_u8()).await.unwrap().unwrap_err();
    proxy.set(Network::Open);
    assert_eq!(asked(&mut connected(&proxy).await, 5).await.unwrap().unwrap(), 6);
}

#[tokio::test]
async fn lost_answers_end_the_connection_when_the_network_is_back() {
    for network in [Network::LosesAnswers, Network::LosesRequests] {
        let (proxy, mut stream) = through_a_proxy().await;
        assert_eq!(asked(&mut stream, 1).await.unwrap().unwrap(), 2);
        proxy.set(network);
        assert!(asked(&mut stream, 2).await.is_none());
        proxy.set(Network::Open);
        timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn openbao_wraps_a_token_for_one_use_and_lets_one_writer_win() {
    let mut server = Openbao::start().await;
    let policies = json!({"policies": ["default"], "period": "60s"});
    let wrapped = server.wrapped("auth/token/create-orphan", policies).await;
    let unwrap = async || server.ask("POST", "sys/wrapping/unwrap", Some(&wrapped), None).await.unwrap();
    let (status, answer) = unwrap().await;
    assert_eq!((status, answer["auth"]["orphan"].as_bool()), (200, Some(true)), "{answer}");
    assert_eq!(unwrap().await.0, 400, "it is unwrapped once");
    let first = server.ctl("POST", "secret/data/furt", Some(json!({"options": {"cas": 0}, "data": {"g": 1}}))).await;
    let second = server.ctl("POST", "secret/data/furt", Some(json!({"options": {"cas": 0}, "data": {"g": 2}}))).await;
    assert_eq!((first.0, second.0), (200, 400), "{second:?}");
    let read = server.ask("GET", "secret/data/furt", None, None).await.unwrap();
    assert_eq!(read.0, 403);
    server.freeze();
    assert!(timeout(A_WHILE, server.ask("GET", "sys/health", None, None)).await.is_err(), "{} is frozen", server.url());
    server.thaw();
    server.stop().await;
    assert_eq!(server.ask("GET", "sys/health", None, None).await, None);
    server.start_again().await;
    assert_eq!(server.ctl("GET", "secret/data/furt", None).await.0, 404, "it has forgotten everything");
    server.kill();
}

/// A part of a token.
fn part(token: &str, number: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn oidc_provider_signs_by_another_key_at_once_and_keeps_those_that_it_is_told_to() {
    let mut provider = Issuer::oidc_provider(1).await;
    let url = format!("{}/jwks", provider.told("url"));
    for (number, (alg, set)) in
        [("RS256", json!(["key-0"])), ("RS256", json!(["key-1", "key-0"])), ("ES256", json!(["key-2", "key-1"]))]
            .into_iter()
            .enumerate()
    {
        let token = provider.token("notes:read").await;
        assert_eq!(part(&token, 0), json!({"alg": alg, "typ": "at+jwt", "kid": format!("key-{number}")}));
        let claims = part(&token, 1);
        assert_eq!([&claims["iss"], &claims["aud"]], [provider.told("url"), "furt"], "{claims}");
        assert_eq!([&claims["sub"], &claims["scope"]], ["notes", "notes:read"], "{claims}");
        let keys: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
        let ids: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        assert_eq!(Value::Array(ids), set);
        assert_eq!(provider.count("jwks").await, 1 + number as u64);
        provider.rotate().await;
    }
    provider.kill().await;
    reqwest::get(&url).await.unwrap_err();
}

#[tokio::test]
async fn hostile_tokens_have_names_of_their_own_and_no_two_are_the_same() {
    let (_issuer, tokens) = Issuer::hostile().await;
    let names: BTreeSet<_> = tokens.iter().map(|known| &known.name).collect();
    let bytes: BTreeSet<_> = tokens.iter().map(|known| &known.token).collect();
    assert_eq!((names.len(), bytes.len()), (tokens.len(), tokens.len()));
    // What would end a header is no token that a client can send.
    let is_sendable = |token: &[u8]| token.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    for known in &tokens {
        assert!(is_sendable(&known.token), "{}", known.name);
    }
}
