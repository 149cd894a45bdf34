//! The edge beside programs of others: haproxy says for whom it connects, curl and openssl show certificates.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::foreign::program::{self, Program};
use crate::support::authority::Authority;
use crate::support::gateway::{client_from, output_of};
use crate::support::tls::{Edge, put};
use crate::support::{Gateway, Origin, SOON, eventually, ports, public_service};

/// Haproxy's configuration: a port for each version of the protocol and each listener of furt. It looks whether furt is there by
/// connections of its own.
fn haproxy_config(gateway: &Gateway, edge: &Edge, ports: &[SocketAddr; 4]) -> String {
    let mut text = "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n".to_owned();
    let targets = [gateway.public, gateway.public, edge.address, edge.address];
    for (number, (port, target)) in ports.iter().zip(targets).enumerate() {
        let version = if number % 2 == 0 { "send-proxy" } else { "send-proxy-v2" };
        text += &format!(
            "listen l{number}\n bind {port}\n server furt {target} {version} check inter 200ms check-send-proxy\n"
        );
    }
    text
}

/// What curl writes to stdout.
async fn curl(arguments: &[&str]) -> String {
    let mut command = program::command("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]).args(arguments);
    let output = output_of(command).await;
    let (out, why) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    format!("{out}{why}")
}

fn forwarded_for(answer: &str) -> Value {
    let body = answer.lines().next().unwrap_or_default();
    serde_json::from_str::<Value>(body).map_or(Value::Null, |body| body["headers"]["x-forwarded-for"].clone())
}

#[tokio::test]
async fn haproxy_and_curl_say_for_whom_they_connect() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let from = "redirect = false\n[server]\nproxy_protocol_from = ['127.0.0.1']";
    let gateway = Gateway::start(&edge.tail(&["a"], from)).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let listens = std::array::from_fn(|_| ports::free_address());
    let file = edge.path("haproxy.cfg");
    fs::write(&file, haproxy_config(&gateway, &edge, &listens)).unwrap();
    let log = edge.path("haproxy.log");
    let _haproxy = Program::start(program::command("haproxy").arg("-db").arg("-f").arg(&file), &log);
    let client = client_from(Some([127, 0, 0, 5].into()));
    for address in &listens[..2] {
        let url = format!("http://{address}/s/a");
        let seen = eventually("haproxy forwards", SOON, async || {
            client.get(&url).send().await.ok()?.json::<Value>().await.ok()
        })
        .await;
        assert_eq!(seen["headers"]["x-forwarded-for"], json!(["127.0.0.5"]), "{seen}");
    }
    put(&edge.path("ca.pem"), &edge.authority_pem(), 0o644);
    let ca = edge.path("ca.pem").display().to_string();
    for (address, version) in listens[2..].iter().zip(["--http1.1", "--http2"]) {
        let to = format!("a.example:443:{address}");
        let arguments =
            [version, "--interface", "127.0.0.6", "--cacert", &ca, "--connect-to", &to, "https://a.example/s/a"];
        let answer = curl(&arguments).await;
        assert_eq!(forwarded_for(&answer), json!(["127.0.0.6"]), "{answer}");
    }
    // Its own connections, by which it looks whether furt is there, are nobody's.
    let own = "furt_proxy_headers_total{outcome=\"own\"}";
    eventually(own, SOON, async || gateway.metrics().await.contains(own).then_some(())).await;
    assert!(!gateway.metrics().await.contains("furt_proxy_headers_total{outcome=\"malformed\"}"));

    let url = format!("http://{}/s/a", gateway.public);
    let answer = curl(&["--haproxy-protocol", &url]).await;
    assert_eq!(forwarded_for(&answer), json!(["127.0.0.1"]), "{answer}");
    let refused = curl(&[&url]).await;
    assert!(refused.contains("\n000") || refused.starts_with("000"), "without a header: {refused}");
}

#[tokio::test]
async fn curl_and_openssl_show_their_certificates() {
    let (edge, origin, clients) = (Edge::new(), Origin::start().await, Authority::named("clients of one test"));
    edge.write("a", &["a.example", "open.example"]);
    put(&edge.path("ca.pem"), &edge.authority_pem(), 0o644);
    put(&edge.path("clients.pem"), &clients.pem(), 0o644);
    let (cert, key) = clients.signed("client");
    put(&edge.path("client.pem"), &cert, 0o644);
    put(&edge.path("client.key"), &key, 0o600);
    let path = |file: &str| edge.path(file).display().to_string();
    let rules = format!("[[client_auth]]\nhosts = ['a.example']\nca = '{}'", path("clients.pem"));
    let gateway = Gateway::start(&edge.tail(&["a"], &rules)).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let (ca, cert, key, address) = (path("ca.pem"), path("client.pem"), path("client.key"), edge.address.to_string());
    let to = format!("a.example:443:{address}");
    let asking = ["--cacert", &ca, "--connect-to", &to, "https://a.example/s/a"];
    let shown = ["--cert", &cert, "--key", &key];
    for version in ["--http1.1", "--http2", "--tls-max=1.2"] {
        let version: Vec<_> = version.split('=').collect();
        let answer = curl(&[&version[..], &shown, &asking].concat()).await;
        assert!(answer.contains("\"client-cert\":[\":") && answer.contains("\n200"), "{version:?}: {answer}");
        let refused = curl(&[&version[..], &asking].concat()).await;
        assert!(refused.contains("000") && !refused.contains("\n200"), "{version:?}: {refused}");
    }
    // The name in the handshake is one host's, the request another's.
    let other = [
        "--cacert",
        &ca,
        "--connect-to",
        &format!("open.example:443:{address}"),
        "--header",
        "Host: a.example",
        "https://open.example/s/a",
    ];
    let answer = curl(&[&shown[..], &other].concat()).await;
    assert!(answer.contains("misdirected-request") && answer.contains("\n421"), "{answer}");

    for (shows, said) in [(true, "HTTP/1.1 200"), (false, "alert certificate required")] {
        let mut command = Command::new("sh");
        let ask = "{ printf 'GET /s/a HTTP/1.1\\r\\nHost: a.example\\r\\nConnection: close\\r\\n\\r\\n'; sleep 2; } | \"$@\" 2>&1";
        let openssl = program::command("openssl");
        command.envs(openssl.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        command.args(["-c", ask, "sh"]).arg(openssl.get_program());
        command.args(["s_client", "-connect", &address, "-servername", "a.example", "-CAfile", &ca, "-ign_eof"]);
        if shows {
            command.args(["-cert", &cert, "-key", &key]);
        }
        let output = output_of(command).await;
        let said_all = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said_all.contains(said), "{said}: {said_all}");
        assert!(!said_all.contains("New Session Ticket arrived"), "{said_all}");
    }
}
