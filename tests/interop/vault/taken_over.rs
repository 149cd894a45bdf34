//! Another process takes over from one that has values of OpenBao: it has them at once, also while OpenBao is away, and the token is its.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;
use crate::cluster::cluster;
use crate::cluster::settings::workers;
use crate::support::gateway::client_from;
use crate::support::{Load, Origin, public_service};

/// What another process can take over.
const ON_DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";

/// A client that the process keeps until it is dropped.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn of(node: &Gateway, origin: &Origin) -> Self {
        node.registered(&public_service("shop", &origin.url(), "/shop")).await;
        let url = node.public_url("/shop").replace("http://", "ws://");
        Self(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    async fn is_served(&mut self) {
        self.0.send("still here".into()).await.unwrap();
        assert_eq!(self.0.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "still here");
    }
}

/// Operators who ask again and again, each over a connection of its own; none is refused.
fn operators(node: &Gateway) -> Load {
    let url = node.internal_url("/internal/stats");
    Load::start(2, move |_, _| {
        let asked = client_from(None).get(&url).bearer_auth(TOKEN).send();
        async move { assert_eq!(asked.await.unwrap().status(), 200) }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_process_has_the_values_while_openbao_is_away_and_renews_the_token_alone() {
    let (server, origin) = (Openbao::start().await, Origin::start().await);
    put(&server, "furt/api", digest(TOKEN)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let own = token(&server, "30s").await;
    write(&file, &own);
    let mut gateway = Gateway::start(&tail(&server.url(), &file, ON_DISK)).await;
    is_operator(&gateway, TOKEN).await;
    let mut client = Client::of(&gateway, &origin).await;
    let mut load = operators(&gateway);
    load.more(10).await;

    server.freeze();
    let asked = gateway.operate(Method::POST, "/internal/upgrade").bearer_auth(TOKEN).timeout(PATIENCE);
    let upgraded = Answer::of(asked).await.ok();
    gateway.replaced_by(upgraded["pid"].as_u64().unwrap().try_into().unwrap());
    assert!(operates(&gateway, TOKEN).await && !operates(&gateway, "another").await);
    load.more(20).await;
    server.thaw();
    load.stop().await;
    let before = renewals(&server, &own).await.expect("its token lives");
    eventually("it renews", PATIENCE, async || renewals(&server, &own).await.filter(|at| *at > before)).await;

    // The new process has another token. Nobody renews the one before, though the old process is there.
    write(&file, &token(&server, "30s").await);
    put(&server, "furt/api", digest("second")).await;
    reload(&gateway, TOKEN).await;
    is_operator(&gateway, "second").await;
    eventually("it has ended", PATIENCE, async || renewals(&server, &own).await.is_none().then_some(())).await;
    client.is_served().await;
    is_well(&gateway, "second").await;
}

/// Waits until a node is another process, which is connected to the broker; from here on it is that one.
async fn is_restarted(node: &mut Gateway, before: u32) {
    let pid = eventually("it is another process", PATIENCE, async || {
        let cluster = cluster(node).await;
        let this = cluster["members"].as_array()?.iter().find(|member| member["this"] == true)?;
        let pid = this["name"].as_str()?.rsplit_once('.')?.1.parse().ok()?;
        (pid != before && cluster["link"]["status"] == "up").then_some(pid)
    })
    .await;
    node.replaced_by(pid);
}

/// How many tokens OpenBao has that were made for the second node.
async fn made(server: &Openbao) -> usize {
    let (_, answer) = server.ctl("LIST", "auth/token/accessors", None).await;
    let mut made = 0;
    for accessor in answer["data"]["keys"].as_array().unwrap() {
        let (_, answer) = server.ctl("POST", "auth/token/lookup-accessor", Some(json!({"accessor": accessor}))).await;
        made += usize::from(answer["data"]["display_name"].as_str().unwrap_or_default().starts_with("token-two"));
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_restart_for_settings_also_while_openbao_is_away_and_keep_their_tokens() {
    let origin = Origin::start().await;
    let mut pair = Pair::start(&format!("settings = ['server.threads']\n{ON_DISK}")).await;
    let first = pair.given();
    let mut clients = [Client::of(&pair.one, &origin).await, Client::of(&pair.two, &origin).await];
    let mut load = [operators(&pair.one), operators(&pair.two)];
    for (threads, is_away) in [(3, false), (4, true)] {
        if is_away {
            pair.server.freeze();
        }
        let before = [workers(&pair.one).await.0, workers(&pair.two).await.0];
        let key = format!("server.threads={threads}");
        let said = succeeds(&pair.one, &["settings", "set", &key, "--to", "all", "--restart"]).await;
        assert_eq!(said.matches(": success").count(), 2, "{said}");
        is_restarted(&mut pair.one, before[0]).await;
        is_restarted(&mut pair.two, before[1]).await;
        assert_eq!([workers(&pair.one).await.1, workers(&pair.two).await.1], [threads; 2]);
        for load in &mut load {
            load.more(10).await;
        }
    }
    let [of_one, of_two] = load;
    of_one.stop().await;
    of_two.stop().await;
    pair.server.thaw();
    is_well(&pair.one, TOKEN).await;
    is_well(&pair.two, TOKEN).await;
    assert_eq!((pair.given(), made(&pair.server).await), (first, 1), "it keeps its token, and has no other one made");

    let before = workers(&pair.two).await.0;
    succeeds(&pair.two, &["upgrade"]).await;
    is_restarted(&mut pair.two, before).await;
    is_well(&pair.two, TOKEN).await;
    // Where it is revoked, the process that runs has another one made, and those before it none.
    pair.gets_another().await;
    assert_eq!(made(&pair.server).await, 1);
    for client in &mut clients {
        client.is_served().await;
    }
}
