//! A running furt that is replaced by another process: what clients notice, and what becomes of a successor that fails.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use furt_core::model::Sha256Digest;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::support::gateway::client_from;
use crate::support::h2_client::{self, Client};
use crate::support::load::Load;
use crate::support::wire::{Wire, header};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, public_service, throughout, with};

pub(crate) const TOKEN: &str = "operators-9a1f";
/// More are for a desk: `UPGRADES=200`.
const UPGRADES: usize = 6;
/// Processes that were replaced and still have clients.
const MOST_OLD: usize = 4;
/// Before a successor that is silent is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// A configuration with a store that can be handed over and a token to ask for it; `tail` goes with it.
fn upgradable(tail: &str) -> String {
    let digest = Sha256Digest::of(TOKEN.as_bytes());
    let token = format!("[internal]\noperator_token_sha256 = '{digest}'\n");
    // The connections that the tests' own client keeps must not hold up a process for a minute.
    let keep = "[client]\nkeepalive_timeout = '4s'\n";
    let mut table: toml::Table = format!("{token}{keep}[store]\nkind = 'disk'\npath = 'furt.redb'").parse().unwrap();
    for (key, value) in tail.parse::<toml::Table>().unwrap() {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => under.extend(over),
            (_, value) => drop(table.insert(key, value)),
        }
    }
    table.to_string()
}

pub(crate) async fn gateway(tail: &str) -> Gateway {
    // Where the group may write what was built here, furt would not start it.
    let program = Path::new(env!("CARGO_BIN_EXE_furt"));
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    Gateway::start(&upgradable(tail)).await
}

async fn upgrade(gateway: &Gateway) -> Answer {
    let asked = gateway.operate(Method::POST, "/internal/upgrade").bearer_auth(TOKEN).timeout(2 * SILENCE);
    Answer::of(asked).await
}

/// Has it replaced, which must succeed; returns the process that was.
pub(crate) async fn upgraded(gateway: &mut Gateway) -> u32 {
    let old = gateway.id();
    let answer = upgrade(gateway).await.ok();
    assert_eq!((answer["status"].as_str(), answer["old_pid"].as_u64()), (Some("upgraded"), Some(old.into())));
    gateway.replaced_by(answer["pid"].as_u64().unwrap().try_into().unwrap());
    old
}

fn is_running(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    // One that has ended and that nobody has asked about is a zombie.
    !status.is_empty() && !status.contains("State:\tZ")
}

/// What the system calls a process, and whose child it is.
fn name_and_parent(process: u32) -> (String, u32) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let of = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    (of("Name:"), of("PPid:").parse().unwrap())
}

pub(crate) async fn ends(process: u32) {
    eventually("the old process ends", SOON, async || (!is_running(process)).then_some(())).await;
}

pub(crate) async fn seen(gateway: &Gateway, path: &str) -> Value {
    Answer::of(gateway.operate(Method::GET, path).bearer_auth(TOKEN)).await.ok()
}

#[tokio::test]
async fn what_is_registered_outlives_the_process_and_so_does_its_port() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let before = seen(&gateway, "/internal/services/shop").await;
    let old = upgraded(&mut gateway).await;
    ends(old).await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/shop")).await.status, 200);
    assert_eq!(seen(&gateway, "/internal/services/shop").await["routes"], before["routes"]);
    gateway.registered(&public_service("other", &origin.url(), "/other")).await;
    // Another one, of a process that was itself started so.
    let second = upgraded(&mut gateway).await;
    ends(second).await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/other")).await.status, 200);
}

#[tokio::test]
async fn the_signal_does_what_the_command_does() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let old = gateway.id();
    gateway.signal("USR2");
    ends(old).await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/shop")).await.status, 200);
    let log = gateway.log();
    let told = log.split("INFO  furt::app::upgrading::successor] process ").nth(1).expect("what came of it");
    gateway.replaced_by(told.split(' ').next().unwrap().parse().unwrap());
    let output = {
        let mut command = crate::support::gateway::furt(&["upgrade"]);
        command.env("FURT_URL", gateway.internal_url("")).env("FURT_TOKEN", TOKEN);
        crate::support::gateway::output_of(command).await
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pid = text.strip_prefix("process ").and_then(|rest| rest.split(' ').next()).expect(&text);
    gateway.replaced_by(pid.parse().unwrap());
    assert!(text.contains(" has taken over; process "), "{text}");
}

/// A client over HTTP/2 that connects again when it is told to, and asks again only what was surely not taken.
struct Http2 {
    gateway: std::net::SocketAddr,
    connection: Mutex<Option<Client>>,
}

impl Http2 {
    async fn ask(&self, path: &str) {
        let mut connection = self.connection.lock().await;
        loop {
            let client = match connection.take() {
                Some(client) => client,
                None => Client::to(self.gateway).await,
            };
            match client.try_ask(h2_client::get(path)).await {
                Ok(answer) => {
                    assert_eq!(answer.status, 200, "{answer:?}");
                    *connection = Some(client);
                    return;
                }
                // RFC 9113 §6.8: a stream beyond the last one that GOAWAY names was not acted on.
                Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>;

async fn opened(gateway: &Gateway) -> Socket {
    let url = gateway.public_url("/shop/socket").replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    echoes(&mut socket).await;
    socket
}

async fn echoes(socket: &mut Socket) {
    socket.send("still here".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "still here");
}

async fn closes(mut socket: Socket) {
    echoes(&mut socket).await;
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_no_websocket_is_cut_while_one_process_after_the_other_takes_over() {
    let upgrades = std::env::var("UPGRADES").map_or(UPGRADES, |number| number.parse().expect("UPGRADES is a number"));
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    let public = gateway.public;
    let (kept, http2) = (client_from(None), Arc::new(Http2 { gateway: public, connection: Mutex::default() }));
    let mut load = Load::start(3, move |client, number| {
        let (kept, http2) = (kept.clone(), Arc::clone(&http2));
        async move {
            let url = format!("http://{public}/shop/{number}");
            match client {
                // Over connections that are kept, over one that is made for it, over HTTP/2.
                0 => assert_eq!(kept.get(url).send().await.unwrap().status(), 200),
                1 => assert_eq!(client_from(None).get(url).send().await.unwrap().status(), 200),
                _ => http2.ask("/shop/x").await,
            }
        }
    });
    let mut sockets = VecDeque::new();
    for _ in 0..upgrades {
        sockets.push_back((opened(&gateway).await, gateway.id()));
        load.more(15).await;
        upgraded(&mut gateway).await;
        if sockets.len() == MOST_OLD - 1 {
            let (socket, process) = sockets.pop_front().unwrap();
            closes(socket).await;
            ends(process).await;
        }
    }
    load.more(15).await;
    load.stop().await;
    for (socket, process) in sockets {
        closes(socket).await;
        ends(process).await;
    }
}

/// systemd kills a main process that is no child of its own at a stop, and does not notice that it fails.
#[tokio::test]
async fn the_new_process_is_no_child_of_the_old_one_and_has_its_name() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    let (first, connection) = (gateway.id(), opened(&gateway).await);
    let (name, _) = name_and_parent(first);
    for _ in 0..2 {
        let old = upgraded(&mut gateway).await;
        assert!(is_running(first));
        let (own, parent) = name_and_parent(gateway.id());
        assert_eq!(own, name);
        assert!(parent != old && parent != first, "{parent}");
    }
    closes(connection).await;
    ends(first).await;
}

#[tokio::test]
async fn no_more_than_four_old_processes_have_clients() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    let mut sockets = VecDeque::new();
    for _ in 0..MOST_OLD {
        sockets.push_back((opened(&gateway).await, gateway.id()));
        upgraded(&mut gateway).await;
    }
    let refused = upgrade(&gateway).await.problem(409, "upgrade-refused");
    assert!(refused["detail"].as_str().unwrap().starts_with("4 earlier processes still have clients"), "{refused}");
    // Any of them may be the first to end.
    let (socket, process) = sockets.remove(1).unwrap();
    closes(socket).await;
    ends(process).await;
    upgraded(&mut gateway).await;
}

#[tokio::test]
async fn a_connection_without_a_request_may_ask_once_more() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let request = "GET /shop HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let (mut idle, mut new) = (Wire::to(gateway.public).await, Wire::to(gateway.public).await);
    idle.send(request).await;
    assert!(idle.read_response().await.0.starts_with("HTTP/1.1 200"));
    let mut beating = Wire::to(gateway.internal).await;
    beating.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    beating.read_response().await;
    let old = upgraded(&mut gateway).await;
    for connection in [&mut idle, &mut new] {
        assert!(is_running(old));
        connection.send(request).await;
        let (head, _) = connection.read_response().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(header(&head, "connection"), Some("close"));
    }
    beating.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (head, _) = beating.read_response().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(header(&head, "connection"), Some("close"));
    ends(old).await;
}

#[tokio::test]
async fn a_connection_of_a_balancer_may_ask_once_more_also_before_its_proxy_header() {
    let tail = "[server]\nproxy_protocol_from = ['127.0.0.1']";
    let (mut gateway, origin) = (gateway(tail).await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n";
    let request = "GET /shop HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let (mut begun, mut silent) = (Wire::to(gateway.public).await, Wire::to(gateway.public).await);
    begun.send(format!("{header}{request}")).await;
    begun.read_response().await;
    let old = upgraded(&mut gateway).await;
    begun.send(request).await;
    silent.send(format!("{header}{request}")).await;
    let mut new = Wire::to(gateway.public).await;
    new.send(format!("{header}{request}")).await;
    for connection in [&mut begun, &mut silent, &mut new] {
        let (head, body) = connection.read_response().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(body.contains("192.0.2.7"), "{body}");
    }
    ends(old).await;
}

#[tokio::test]
async fn an_instance_that_beats_at_the_new_process_is_not_silent_at_the_old_one() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    let body = with(public_service("shop", &origin.url(), "/shop"), json!({"heartbeat_ttl": 1, "instance": "a"}));
    gateway.registered(&body).await;
    let mut idle = Wire::to(gateway.public).await;
    let old = upgraded(&mut gateway).await;
    // Longer than the instance may be silent.
    throughout("it is heard", Duration::from_secs(3), async || gateway.heartbeat("shop", "a").await.status == 200)
        .await;
    idle.send("GET /shop HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    assert!(idle.read_response().await.0.starts_with("HTTP/1.1 200"));
    ends(old).await;
}

#[tokio::test]
async fn sigterm_ends_a_process_that_was_replaced_as_it_ends_any_other() {
    let (mut gateway, origin) = (gateway("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    origin.set_mode(Mode::Gated);
    let held = tokio::spawn(Answer::of(gateway.anonymous(Method::GET, "/shop/held")));
    eventually("it is held", SOON, async || (origin.requests("/shop/held") == 1).then_some(())).await;
    let _idle = TcpStream::connect(gateway.public).await.unwrap();
    let old = upgraded(&mut gateway).await;
    assert!(std::process::Command::new("sh").args(["-c", &format!("kill {old}")]).status().unwrap().success());
    origin.release();
    assert_eq!(held.await.unwrap().status, 200);
    ends(old).await;
}

#[tokio::test]
async fn the_grace_of_an_upgrade_bounds_it() {
    let (mut gateway, origin) = (gateway("[server]\nupgrade_grace = '1s'").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    let url = gateway.public_url("/shop/socket").replace("http://", "ws://");
    let (_socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let old = upgraded(&mut gateway).await;
    ends(old).await;
}

#[tokio::test]
async fn only_the_operators_token_asks_for_it() {
    let gateway = gateway("").await;
    let answer = Answer::of(gateway.operate(Method::POST, "/internal/upgrade")).await;
    answer.problem(403, "operators-only");
    let body = gateway.operate(Method::POST, "/internal/upgrade").bearer_auth(TOKEN).body("/tmp/mine");
    let answer = Answer::of(body).await;
    answer.problem(400, "unexpected-body");
    let without = Gateway::start("[store]\nkind = 'disk'\npath = 'furt.redb'").await;
    let answer = Answer::of(without.operate(Method::POST, "/internal/upgrade")).await;
    answer.problem(403, "operators-only");
    assert!(answer.body.contains("none is configured"), "{answer:?}");
}

#[tokio::test]
async fn where_there_can_be_none_the_reason_is_told() {
    let refused = async |gateway: &Gateway, why: &str| {
        let answer = upgrade(gateway).await;
        answer.problem(409, "upgrade-refused");
        assert!(answer.body.contains(why), "{answer:?}");
    };
    let digest = Sha256Digest::of(TOKEN.as_bytes());
    let in_memory = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{digest}'")).await;
    refused(&in_memory, "the store is in memory").await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("furt");
    let gateway = Gateway::start_from(&program, &upgradable("")).await;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o757)).unwrap();
    refused(&gateway, "can be written by others (mode 757)").await;
    fs::remove_file(&program).unwrap();
    refused(&gateway, "cannot be opened: No such file").await;
}

/// Registers something, to see that the gateway stores.
async fn stores(gateway: &Gateway, origin: &Origin, name: &str) {
    gateway.registered(&public_service(name, &origin.url(), &format!("/{name}"))).await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, &format!("/{name}"))).await.status, 200);
}

#[tokio::test]
async fn a_configuration_that_does_not_start_is_told_and_nothing_changes() {
    let (gateway, origin) = (gateway("").await, Origin::start().await);
    let id = gateway.id();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (tail, why) in [
        ("[server]\ngrace = 'soon'".to_owned(), "server.grace".to_owned()),
        (
            format!("[tls]\nlisten = ['{taken}']\n[[certificates]]\ncert = 'a.pem'\nkey = 'a.key'"),
            "cannot listen on".to_owned(),
        ),
        ("[store]\npath = 'other.redb'".to_owned(), "[store] has changed".to_owned()),
        ("[access_log]\npath = '/no/such/folder/log'".to_owned(), "/no/such/folder/log".to_owned()),
    ] {
        gateway.configure(&upgradable(&tail));
        let answer = upgrade(&gateway).await;
        answer.problem(500, "upgrade-failed");
        assert!(answer.body.contains(&why) && answer.body.contains("goes on as before"), "{answer:?}");
    }
    assert_eq!(gateway.id(), id);
    stores(&gateway, &origin, "shop").await;
}

/// The program that gives up at a step of its own choice.
fn giving_up() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/successor")
}

#[tokio::test]
async fn a_successor_that_dies_at_any_step_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("furt");
    let (mut gateway, origin) = (Gateway::start_from(&program, &upgradable("")).await, Origin::start().await);
    stores(&gateway, &origin, "shop").await;
    fs::remove_file(&program).unwrap();
    fs::copy(giving_up(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let steps = ["start", "begun", "nonsense", "wants-store", "has-store", "ready"];
    for (number, step) in steps.iter().cycle().take(20).enumerate() {
        fs::write(folder.path().join("step"), step).unwrap();
        let answer = upgrade(&gateway).await;
        answer.problem(500, "upgrade-failed");
        stores(&gateway, &origin, &format!("s{number}")).await;
        assert_eq!(seen(&gateway, "/health").await["status"], "ok", "{step}");
    }
    fs::remove_file(&program).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_furt"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let old = upgraded(&mut gateway).await;
    ends(old).await;
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s19")).await.status, 200);
}

#[tokio::test]
async fn a_successor_that_is_silent_is_given_up_and_registrations_are_taken_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("furt");
    let (gateway, origin) = (Gateway::start_from(&program, &upgradable("")).await, Origin::start().await);
    fs::remove_file(&program).unwrap();
    fs::copy(giving_up(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("step"), "silent").unwrap();
    let (answer, ()) = tokio::join!(upgrade(&gateway), stores(&gateway, &origin, "shop"));
    answer.problem(500, "upgrade-failed");
    assert!(answer.body.contains("has said nothing for 30 s"), "{answer:?}");
}
