//! The internal listener on several addresses: each answers as the only one would, and none may be forwarded to.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, ports, public_service};

async fn gateway_with_two() -> (Gateway, SocketAddr) {
    let mut gateway = Gateway::start("").await;
    let second = ports::free_address();
    gateway.configure(&listen(&[gateway.internal, second]));
    gateway.restart().await;
    (gateway, second)
}

fn listen(addresses: &[SocketAddr]) -> String {
    format!("internal.listen = {:?}", addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>())
}

async fn at(address: SocketAddr, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let request = client_from(None).request(method, format!("http://{address}{path}"));
    Answer::of(body.iter().fold(request, |request, body| request.json(body))).await
}

#[tokio::test]
async fn every_internal_address_answers_alike() {
    let ((gateway, second), origin) = (gateway_with_two().await, Origin::start().await);
    let both = format!("services register at {}, {second}", gateway.internal);
    assert!(gateway.log().contains(&both), "{both} in\n{}", gateway.log());
    let service = public_service("shop", &origin.url(), "/shop");
    at(second, Method::POST, "/internal/register-service", Some(&service)).await.ok();
    for address in [gateway.internal, second] {
        assert_eq!(at(address, Method::GET, "/readyz", None).await.status, 200, "{address}");
        let services = at(address, Method::GET, "/internal/services", None).await.ok();
        assert_eq!(services["services"][0]["service"], "shop", "{address}: {services}");
    }
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/shop")).await.status, 200);
}

#[tokio::test]
async fn nothing_is_forwarded_to_any_internal_address() {
    let (gateway, second) = gateway_with_two().await;
    for address in [gateway.internal, second] {
        let service = public_service("loop", &format!("http://{address}"), "/loop");
        let refused = at(second, Method::POST, "/internal/register-service", Some(&service)).await;
        assert!(refused.status.is_client_error() && refused.body.contains("a listener of furt itself"), "{refused:?}");
        let tail = format!(
            "{}\n[[routes]]\nmethod = 'GET'\npath = '/loop'\nurl = 'http://{address}'",
            listen(&[gateway.internal, second])
        );
        gateway.configure(&tail);
        let problem = gateway.reload().await.problem(422, "invalid-config");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("furt's own listener"), "{problem}");
    }
}

#[tokio::test]
async fn addresses_that_are_named_twice_or_overlap_end_the_start() {
    let gateway = Gateway::start("").await;
    for (addresses, why) in [
        (vec![gateway.internal, gateway.internal], "internal.listen: names"),
        (vec![gateway.internal, SocketAddr::new([0, 0, 0, 0].into(), gateway.internal.port())], "which overlap"),
        (vec![gateway.internal, gateway.public], "must have a port of its own"),
    ] {
        gateway.configure(&listen(&addresses));
        for verb in ["check", "run"] {
            let output = output_of(furt(&[verb, "--config", gateway.config.to_str().unwrap()])).await;
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(1) && said.contains(why), "{verb} {addresses:?}: {said}");
        }
    }
}

#[tokio::test]
async fn another_list_of_internal_addresses_needs_a_restart() {
    let (gateway, second) = gateway_with_two().await;
    let third = ports::free_address();
    let answer = gateway.reloaded(&listen(&[gateway.internal, third])).await;
    assert_eq!(answer["changed"], json!([]), "{answer}");
    assert_eq!(answer["needs_restart"][0]["key"], "internal.listen", "{answer}");
    assert_eq!(at(second, Method::GET, "/readyz", None).await.status, 200);
    assert!(client_from(None).get(format!("http://{third}/readyz")).send().await.is_err());
}

/// Starts furt as a supervisor does that passes `socket`, and waits until it is ready or has ended.
async fn activated(dir: &tempfile::TempDir, socket: std::net::TcpListener, config: &str) -> std::process::Child {
    std::fs::write(dir.path().join("furt.toml"), config).unwrap();
    let furt = furt(&["run", "--config", "furt.toml"]);
    let mut shell = std::process::Command::new("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 0</dev/null";
    shell.args(["-c", script]).arg(furt.get_program()).args(furt.get_args()).current_dir(dir.path());
    for name in furt.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
        shell.env_remove(name);
    }
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    shell.stdin(std::os::fd::OwnedFd::from(socket)).stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap()
}

#[tokio::test]
async fn a_socket_of_the_supervisor_is_listened_on_where_a_key_names_its_address() {
    let dir = tempfile::TempDir::new().unwrap();
    let (socket, internal) = (ports::listener(), ports::free_address());
    let public = socket.local_addr().unwrap();
    // It waits in the queue of the socket, which is older than furt.
    let early = client_from(None).get(format!("http://{public}/health")).send();
    let early = tokio::spawn(early);
    let config = format!("server.listen = '{public}'\ninternal.listen = '{internal}'\nstore.kind = 'memory'");
    let mut furt = activated(&dir, socket, &config).await;
    assert_eq!(early.await.unwrap().unwrap().status(), 200);
    furt.kill().unwrap();
    furt.wait().unwrap();
}

#[tokio::test]
async fn a_socket_of_the_supervisor_that_no_key_names_stops_the_start() {
    let dir = tempfile::TempDir::new().unwrap();
    let (public, internal) = (ports::free_address(), ports::free_address());
    let socket = ports::listener();
    let given = socket.local_addr().unwrap();
    let config = format!("server.listen = '{public}'\ninternal.listen = '{internal}'\nstore.kind = 'memory'");
    let mut furt = activated(&dir, socket, &config).await;
    let ended = eventually("it ends", SOON, async || furt.try_wait().unwrap()).await;
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(!ended.success() && log.contains(&format!("the supervisor passes a socket for {given}")), "{log}");
}
