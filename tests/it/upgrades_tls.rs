//! A furt under TLS that is replaced by another process: sessions, client certificates, and the certificates that it gets.

use reqwest::Method;
use rustls::HandshakeKind;
use serde_json::{Value, json};
use tokio_rustls::rustls;

use crate::acme;
use crate::client_certificates::{Identity, Site, get};
use crate::support::authority::Authority;
use crate::support::h2_client::Client;
use crate::support::tls::{Edge, Stream, TLS13, put};
use crate::support::wire::{self, Wire, header};
use crate::support::{Answer, Gateway, SOON, eventually, public_service};
use crate::upgrades::{TOKEN, ends, gateway, seen, upgraded};

#[tokio::test]
async fn sessions_under_tls_are_resumed_by_the_new_process() {
    let edge = Edge::new();
    let mut gateway = gateway(&edge.tail(&["a"], "")).await;
    let client = edge.client(TLS13);
    let kind = async || {
        let stream = edge.try_connect(&client, "a.example").await.unwrap();
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        let mut wire = Wire::of(stream);
        // Tickets come with the answer.
        wire.send("GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        wire.read_response().await;
        kind
    };
    assert_ne!(kind().await, HandshakeKind::Resumed);
    let old = upgraded(&mut gateway).await;
    ends(old).await;
    assert_eq!(kind().await, HandshakeKind::Resumed);
}

const ADMIN: (&str, &str) = ("admin.example", "admin.example");

/// The status of an answer and the API key that the service was told, and whether it is the last one.
async fn answered(wire: &mut Wire<Stream>) -> (u16, Value, bool) {
    wire.send(get("admin.example")).await;
    let (head, body) = wire.read_response().await;
    let body: Value = serde_json::from_str(&body).unwrap();
    (wire::status(&head), body["headers"]["x-api-key-name"].clone(), header(&head, "connection") == Some("close"))
}

#[tokio::test]
async fn the_new_process_asks_clients_for_certificates_and_the_old_one_judges_those_that_it_has() {
    let site = Site::new().await;
    let (known, gone) = (Identity::of(&site.authority, 7), Identity::of(&site.authority, 8));
    let list = site.edge.path("clients.crl");
    put(&list, &site.authority.revoked(&[1], 2999), 0o644);
    let key = |name: &str, identity: &Identity| {
        format!(
            "[[api_keys]]\nname = '{name}'\ncertificate_sha256 = '{}'\npermissions = ['comments:read']\n",
            identity.sha256()
        )
    };
    let rule = site.rule("'admin.example'", &format!("crl = '{}'", list.display()));
    let rules = rule + &site.rule("'x.corp.example'", "mode = 'ask'") + &key("machine", &known) + &key("other", &gone);
    // Longer than an upgrade and two looks at the files take.
    let kept = "[client]\nkeepalive_timeout = '60s'\n";
    let mut gateway = gateway(&(site.tail(&rules) + kept)).await;
    let mut service = public_service("service", &site.origin.url(), "/s/*");
    service["routes"][0]["permission"] = json!("comments:read");
    gateway.registered(&service).await;
    let (mut stays, mut cut) =
        (site.wire(Some(&known), "admin.example").await, site.wire(Some(&gone), "admin.example").await);
    assert_eq!(answered(&mut stays).await, (200, json!(["machine"]), false));
    assert_eq!(answered(&mut cut).await, (200, json!(["other"]), false));
    let h2 = Client::over(site.open(site.client(Some(&known), "h2", TLS13), "admin.example").await.unwrap()).await;
    let old = upgraded(&mut gateway).await;

    let status = async |identity: Option<&Identity>, at: (&str, &str)| {
        site.ask(identity, "http/1.1", at).await.map(|(status, _)| status)
    };
    assert_eq!(status(Some(&known), ADMIN).await, Some(200));
    assert_eq!(status(None, ADMIN).await, None, "who shows none is refused");
    let stranger = Identity::of(&Authority::new(), 7);
    assert_eq!(status(Some(&stranger), ADMIN).await, None);
    let asked = ("x.corp.example", "x.corp.example");
    assert_eq!((status(Some(&known), asked).await, status(None, asked).await), (Some(200), Some(401)));
    assert_eq!(status(Some(&known), ("a.example", "admin.example")).await, Some(421));

    let count = |gateway: &Gateway| gateway.log().matches("certificates: the authorities of").count();
    let before = count(&gateway);
    put(&list, &site.authority.revoked(&[1, 8], 2999), 0o644);
    // Two entries of each process have that authority, and one of them the list.
    eventually("both processes have read the list", SOON, async || (count(&gateway) == before + 2).then_some(())).await;
    assert_eq!(status(Some(&gone), ADMIN).await, None);
    assert_eq!(answered(&mut stays).await, (200, json!(["machine"]), true));
    cut.send(get("admin.example")).await;
    assert_eq!(wire::status(&cut.read_to_end(SOON).await), 421);
    assert_eq!(h2.closed(SOON).await, None, "an end without a fault");
    ends(old).await;
}

#[tokio::test]
async fn the_new_process_takes_over_the_folder_of_certificates_with_what_was_tried() {
    let edge = Edge::new();
    let mut gateway = gateway(&acme::acme(&edge, "names = ['b.example']")).await;
    let unreachable = async |gateway: &Gateway| {
        let metrics = Answer::of(gateway.operate(Method::GET, "/metrics").bearer_auth(TOKEN)).await.body;
        let line = "furt_acme_orders_total{outcome=\"unreachable\"} ";
        metrics.lines().find_map(|found| found.strip_prefix(line)?.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("it was tried", SOON, async || (unreachable(&gateway).await == 1).then_some(())).await;
    let old = upgraded(&mut gateway).await;
    ends(old).await;
    let listed = seen(&gateway, "/internal/certificates").await;
    let entry = listed["certificates"].as_array().unwrap().iter().find(|one| one["names"][0] == "b.example").unwrap();
    assert!(entry["last_error"].as_str().unwrap().contains("the authority cannot be asked"), "{entry}");
    assert_eq!(unreachable(&gateway).await, 0, "an upgrade is no reason to order again");
    let renew = gateway.operate(Method::POST, "/internal/certificates/b.example/renew").bearer_auth(TOKEN);
    Answer::of(renew).await.ok();
    eventually("it is tried by the new one", 2 * SOON, async || (unreachable(&gateway).await == 1).then_some(())).await;
    assert!(!gateway.log().contains("another furt has the folder"), "{}", gateway.log());
}
