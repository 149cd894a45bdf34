//! Client certificates: who must show one, what services are told, and that a change of the rules reaches every client.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_core::model::Sha256Digest;
use reqwest::Method;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio_rustls::rustls;

use crate::support::authority::Authority;
use crate::support::h2_client::Client;
use crate::support::tls::{Edge, Stream, TLS12, TLS13, put};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service};

/// A gateway before a service of every host, and an authority of clients.
pub(crate) struct Site {
    pub(crate) edge: Edge,
    pub(crate) authority: Authority,
    pub(crate) origin: Origin,
}

/// A client's certificate and what it connects with.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: Arc<CertifiedKey>,
}

impl Identity {
    pub(crate) fn of(authority: &Authority, number: u64) -> Self {
        let (certificate, key) = authority.client(number);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = Arc::new(CertifiedKey::from_der(vec![certificate.clone()], key, &provider).unwrap());
        Self { certificate, key }
    }

    pub(crate) fn sha256(&self) -> Sha256Digest {
        Sha256Digest::of(&self.certificate)
    }
}

impl Site {
    pub(crate) async fn new() -> Self {
        let site = Self { edge: Edge::new(), authority: Authority::new(), origin: Origin::start().await };
        site.edge.write("a", &["a.example", "admin.example", "x.corp.example", "*.corp.example", "127.0.0.1"]);
        put(&site.edge.path("ca.pem"), &site.authority.pem(), 0o644);
        site
    }

    /// The configuration with these entries.
    pub(crate) fn tail(&self, rules: &str) -> String {
        self.edge.tail(&["a"], rules)
    }

    /// An entry for these hosts; `more` are further keys of it.
    pub(crate) fn rule(&self, hosts: &str, more: &str) -> String {
        let ca = self.edge.path("ca.pem");
        format!("[[client_auth]]\nhosts = [{hosts}]\nca = '{}'\n{more}\n", ca.display())
    }

    async fn start(&self, rules: &str) -> Gateway {
        let gateway = Gateway::start(&self.tail(rules)).await;
        gateway.registered(&public_service("service", &self.origin.url(), "/s/*")).await;
        gateway
    }

    /// What connects with that identity, or none.
    pub(crate) fn client(
        &self,
        identity: Option<&Identity>,
        alpn: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut client = (*self.edge.client(versions)).clone();
        client.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        if let Some(identity) = identity {
            client.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key)));
        }
        client
    }

    pub(crate) async fn open(&self, client: ClientConfig, name: &str) -> std::io::Result<Stream> {
        self.edge.try_connect(&Arc::new(client), name).await
    }

    /// A connection over HTTP/1.1 for that host.
    pub(crate) async fn wire(&self, identity: Option<&Identity>, name: &str) -> Wire<Stream> {
        Wire::of(self.open(self.client(identity, "http/1.1", TLS13), name).await.unwrap())
    }

    /// The status of an answer to a request of a new connection, and what a service was told; `None`: there is no answer.
    pub(crate) async fn ask(
        &self,
        identity: Option<&Identity>,
        alpn: &str,
        (name, host): (&str, &str),
    ) -> Option<(u16, Value)> {
        let mut client = self.client(identity, alpn, TLS13);
        client.enable_sni = !name.is_empty();
        let stream = self.open(client, if name.is_empty() { "127.0.0.1" } else { name }).await.ok()?;
        let (status, body) = if alpn == "h2" {
            let (mut requests, connection) = h2::client::handshake(stream).await.ok()?;
            tokio::spawn(connection);
            let request = http::Request::builder().uri(format!("https://{host}/s/a")).body(()).unwrap();
            let (response, _) = requests.send_request(request, true).ok()?;
            let mut response = response.await.ok()?;
            let mut body = Vec::new();
            while let Some(part) = response.body_mut().data().await {
                body.extend_from_slice(&part.ok()?);
            }
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        } else {
            let mut wire = Wire::of(stream);
            wire.try_send(get(host).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
            let answer = wire.read_to_end(SOON).await;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            (wire::status(head), body.to_owned())
        };
        Some((status, serde_json::from_str(&body).unwrap()))
    }
}

pub(crate) fn get(host: &str) -> String {
    format!("GET /s/a HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

async fn issues(gateway: &Gateway) -> String {
    let health = Answer::of(gateway.anonymous(Method::GET, "/health")).await.json();
    format!("{} {}", health["status"].as_str().unwrap(), health["issues"])
}

async fn metric(gateway: &Gateway, line: &str) {
    eventually(line, SOON, async || gateway.metrics().await.contains(line).then_some(())).await;
}

#[tokio::test]
async fn a_client_is_refused_or_served_as_the_mode_says_and_services_know_its_certificate() {
    let site = Site::new().await;
    let rules = site.rule("'admin.example'", "") + &site.rule("'*.corp.example'", "mode = 'ask'");
    let gateway = site.start(&rules).await;
    let (known, stranger) = (Identity::of(&site.authority, 7), Identity::of(&Authority::new(), 7));
    for alpn in ["http/1.1", "h2"] {
        let ask = async |identity, host| site.ask(identity, alpn, (host, host)).await;
        assert_eq!(ask(None, "admin.example").await, None);
        assert_eq!(ask(Some(&stranger), "admin.example").await, None);
        assert_eq!(ask(Some(&stranger), "y.corp.example").await, None, "one that is not accepted is no certificate");
        for host in ["admin.example", "y.corp.example"] {
            let (status, seen) = ask(Some(&known), host).await.unwrap();
            let expected = format!(":{}:", STANDARD.encode(&known.certificate));
            assert_eq!((status, &seen["headers"]["client-cert"]), (200, &json!([expected])), "{seen}");
            assert_eq!(seen["headers"]["x-client-cert-sha256"], json!([known.sha256().to_string()]), "{seen}");
        }
        for (identity, host) in [(None, "y.corp.example"), (None, "a.example"), (Some(&known), "a.example")] {
            let (status, seen) = ask(identity, host).await.unwrap();
            assert_eq!((status, &seen["headers"]["client-cert"]), (200, &Value::Null), "{seen}");
        }
    }
    metric(&gateway, r#"furt_tls_handshakes_total{outcome="client-certificate",resumed="false",version="none"} 6"#)
        .await;
    metric(&gateway, r#"furt_client_auth_current{host="*.corp.example"} 1"#).await;
}

#[tokio::test]
async fn what_strangers_say_of_a_certificate_is_removed_everywhere() {
    let site = Site::new().await;
    let gateway = site.start(&site.rule("'admin.example'", "")).await;
    let said =
        "Client-Cert: :AAAA:\r\nClient-Cert-Chain: :AAAA:\r\nX-Client-Cert-Sha256: 00\r\nClient_Cert: :AAAA:\r\n\r\n";
    let said_names = ["client-cert", "client-cert-chain", "x-client-cert-sha256", "client_cert"];
    let seen = async |mut wire: Wire<Stream>, host: &str| {
        wire.send(format!("GET /s/a HTTP/1.1\r\nHost: {host}\r\n{said}")).await;
        serde_json::from_str::<Value>(&wire.read_response().await.1).unwrap()["headers"].clone()
    };
    let known = Identity::of(&site.authority, 7);
    let of_strangers = seen(site.wire(None, "a.example").await, "a.example").await;
    assert!(said_names.iter().all(|name| of_strangers[name].is_null()), "{of_strangers}");
    let of_known = seen(site.wire(Some(&known), "admin.example").await, "admin.example").await;
    assert_eq!(of_known["x-client-cert-sha256"], json!([known.sha256().to_string()]), "{of_known}");
    assert!(of_known["client-cert-chain"].is_null() && of_known["client_cert"].is_null(), "{of_known}");

    let trusted = "[server]\ntrusted_proxies = ['127.0.0.1']\n";
    gateway.reloaded(&site.tail(&(site.rule("'admin.example'", "") + trusted))).await;
    let of_proxies = seen(site.wire(None, "a.example").await, "a.example").await;
    assert_eq!(of_proxies["client-cert"], json!([":AAAA:"]), "{of_proxies}");
    let of_known = seen(site.wire(Some(&known), "admin.example").await, "admin.example").await;
    assert_eq!(of_known["x-client-cert-sha256"], json!([known.sha256().to_string()]), "{of_known}");
}

#[tokio::test]
async fn a_host_is_reached_only_on_a_connection_that_was_asked_for_what_it_asks() {
    let site = Site::new().await;
    let rules = site.rule("'admin.example'", "") + &site.rule("'*.corp.example', 'a.b.example'", "mode = 'ask'");
    let _gateway = site.start(&rules).await;
    let known = Identity::of(&site.authority, 7);
    for alpn in ["http/1.1", "h2"] {
        for (name, host, expected) in [
            ("a.example", "admin.example", 421),
            ("a.example", "ADMIN.example", 421),
            ("a.example", "admin.example.", 421),
            ("a.example", "admin.example:443", 421),
            ("a.example", "y.corp.example", 421),
            ("a.example", "x.corp.example", 421),
            ("", "admin.example", 421),
            ("", "y.corp.example", 421),
            ("admin.example", "a.example", 421),
            ("admin.example", "y.corp.example", 421),
            ("y.corp.example", "admin.example", 421),
            ("admin.example", "Admin.Example:8443", 200),
            ("x.corp.example", "y.corp.example", 200),
            ("", "a.example", 200),
        ] {
            let (status, body) = site.ask(Some(&known), alpn, (name, host)).await.unwrap();
            assert_eq!(status, expected, "{alpn} {name} {host}: {body}");
            assert!(status == 200 || body["code"] == "misdirected-request", "{name} {host}: {body}");
        }
    }
}

#[tokio::test]
async fn every_other_host_and_no_host_may_be_asked_for_one_too() {
    let site = Site::new().await;
    let rules = site.rule("'*'", "") + &site.rule("'a.example'", "mode = 'ask'");
    let gateway = site.start(&rules).await;
    let known = Identity::of(&site.authority, 7);
    for (name, host, without, with) in [
        ("admin.example", "admin.example", None, Some(200)),
        ("", "admin.example", None, Some(200)),
        ("", "127.0.0.1", None, Some(200)),
        ("a.example", "a.example", Some(200), Some(200)),
        ("a.example", "admin.example", Some(421), Some(421)),
        ("", "a.example", None, Some(421)),
    ] {
        let status = async |identity| Some(site.ask(identity, "http/1.1", (name, host)).await?.0);
        assert_eq!((status(None).await, status(Some(&known)).await), (without, with), "{name} {host}");
    }
    // A plain connection shows nothing.
    gateway.reloaded(&site.tail(&format!("redirect = false\n{rules}"))).await;
    for (host, expected) in [("admin.example", 403), ("a.example", 200)] {
        let answer =
            wire::exchange(gateway.public, get(host).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(wire::status(&answer), expected, "{answer}");
    }
}

/// Keeps sessions without a look at whose they are.
#[derive(Debug)]
struct OneName(ClientSessionMemoryCache);

fn one_name() -> ServerName<'static> {
    ServerName::try_from("one.example").unwrap()
}

impl ClientSessionStore for OneName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(one_name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&one_name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(one_name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&one_name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&one_name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(one_name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&one_name())
    }
}

#[tokio::test]
async fn no_ticket_stands_for_a_certificate() {
    let site = Site::new().await;
    let rules = site.rule("'admin.example'", "mode = 'ask'");
    let mut gateway = site.start(&rules).await;
    let known = Identity::of(&site.authority, 7);
    for versions in [TLS12, TLS13] {
        let mut client = site.client(Some(&known), "http/1.1", versions);
        client.resumption = Resumption::store(Arc::new(OneName(ClientSessionMemoryCache::new(32))));
        let kind = async |name: &str| {
            let stream = site.open(client.clone(), name).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind().unwrap();
            let mut wire = Wire::of(stream);
            wire.send(get(name)).await;
            let (head, body) = wire.read_response().await;
            assert_eq!(wire::status(&head), 200, "{head}");
            let has_certificate = body.contains("client-cert");
            (kind == HandshakeKind::Resumed, has_certificate)
        };
        assert_eq!(kind("a.example").await, (false, false));
        assert_eq!(kind("a.example").await, (true, false), "where nobody is asked sessions are resumed");
        for _ in 0..2 {
            assert_eq!(kind("admin.example").await, (false, true), "a ticket of another host is none");
        }
        gateway.restart().await;
        gateway.registered(&public_service("service", &site.origin.url(), "/s/*")).await;
        assert_eq!(kind("admin.example").await, (false, true));
        // The same host, from before it asked.
        _ = kind("a.example").await;
        gateway.reloaded(&site.tail(&site.rule("'admin.example', 'a.example'", "mode = 'ask'"))).await;
        assert_eq!(kind("a.example").await, (false, true));
        gateway.reloaded(&site.tail(&rules)).await;
    }
}

#[tokio::test]
async fn a_client_whose_certificate_is_revoked_is_cut_off_at_its_next_request_and_others_stay() {
    let site = Site::new().await;
    let list = site.edge.path("clients.crl");
    put(&list, &site.authority.revoked(&[1], 2999), 0o644);
    let rules = site.rule("'admin.example'", &format!("crl = '{}'", list.display()));
    let gateway = site.start(&rules).await;
    let (revoked, gone, stays) =
        (Identity::of(&site.authority, 1), Identity::of(&site.authority, 2), Identity::of(&site.authority, 3));
    assert_eq!(site.ask(Some(&revoked), "http/1.1", ("admin.example", "admin.example")).await, None);
    let mut open = [site.wire(Some(&gone), "admin.example").await, site.wire(Some(&stays), "admin.example").await];
    for wire in &mut open {
        wire.send(get("admin.example")).await;
        assert_eq!(wire::status(&wire.read_response().await.0), 200);
    }
    let stream = site.open(site.client(Some(&gone), "h2", TLS13), "admin.example").await.unwrap();
    let h2 = Client::over(stream).await;
    let request = || http::Request::builder().uri("https://admin.example/s/a");
    assert_eq!(h2.ask(request()).await.status, 200);

    put(&list, &site.authority.revoked(&[1, 2], 2999), 0o644);
    eventually("the list is read", SOON, async || {
        let answer = site.ask(Some(&gone), "http/1.1", ("admin.example", "admin.example")).await;
        answer.is_none().then_some(())
    })
    .await;
    let [mut of_gone, mut of_stays] = open;
    of_gone.send(get("admin.example").repeat(2)).await;
    let answers = of_gone.read_to_end(SOON).await;
    assert_eq!((wire::status(&answers), answers.matches("HTTP/1.1 ").count()), (421, 1), "{answers}");
    h2.ask(request()).await.problem(421, "misdirected-request");
    assert_eq!(h2.closed(SOON).await, None, "an end without a fault");
    metric(&gateway, r#"furt_h2_closed_total{why="client-auth"} 1"#).await;
    of_stays.send(get("admin.example")).await;
    assert_eq!(wire::status(&of_stays.read_response().await.0), 200);
}

#[tokio::test]
async fn another_authority_and_another_mode_reach_open_connections() {
    let site = Site::new().await;
    let ask = site.rule("'admin.example'", "mode = 'ask'");
    let gateway = site.start(&ask).await;
    let known = Identity::of(&site.authority, 7);
    let (mut with, mut without) =
        (site.wire(Some(&known), "admin.example").await, site.wire(None, "admin.example").await);
    for wire in [&mut with, &mut without] {
        wire.send(get("admin.example")).await;
        assert_eq!(wire::status(&wire.read_response().await.0), 200);
    }
    gateway.reloaded(&site.tail(&site.rule("'admin.example'", ""))).await;
    with.send(get("admin.example")).await;
    assert_eq!(wire::status(&with.read_response().await.0), 200, "it has shown what must be shown now");
    without.send(get("admin.example")).await;
    assert_eq!(wire::status(&without.read_to_end(SOON).await), 421);
    assert_eq!(site.ask(None, "http/1.1", ("admin.example", "admin.example")).await, None);

    // A rule that comes and one that goes.
    let mut plain = site.wire(None, "a.example").await;
    plain.send(get("a.example")).await;
    assert_eq!(wire::status(&plain.read_response().await.0), 200);
    gateway.reloaded(&site.tail(&site.rule("'a.example'", "mode = 'ask'"))).await;
    plain.send(get("a.example")).await;
    assert_eq!(wire::status(&plain.read_to_end(SOON).await), 421, "it was never asked");
    with.send(get("admin.example")).await;
    let (head, body) = with.read_response().await;
    assert_eq!((wire::status(&head), body.contains("client-cert")), (200, false), "nobody asks any more: {body}");

    gateway.reloaded(&site.tail(&ask)).await;
    let mut open = site.wire(Some(&known), "admin.example").await;
    put(&site.edge.path("ca.pem"), &Authority::new().pem(), 0o644);
    eventually("the authority is another", SOON, async || {
        site.ask(Some(&known), "http/1.1", ("admin.example", "admin.example")).await.is_none().then_some(())
    })
    .await;
    open.send(get("admin.example")).await;
    assert_eq!(wire::status(&open.read_to_end(SOON).await), 421);
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_what_was_in_force_and_are_told() {
    let site = Site::new().await;
    let list = site.edge.path("clients.crl");
    put(&list, &site.authority.revoked(&[1], 2999), 0o644);
    let rule = site.rule("'admin.example'", &format!("crl = '{}'", list.display()));
    let gateway = site.start(&rule).await;
    let known = Identity::of(&site.authority, 7);
    let serves = async || site.ask(Some(&known), "http/1.1", ("admin.example", "admin.example")).await.unwrap().0;
    let path = |file: &str| site.edge.path(file).display().to_string();
    let others = Authority::named("others of one test");
    for (file, text, why) in [
        ("clients.crl", "no list", "has no list of revoked certificates"),
        ("clients.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "cannot be read"),
        ("clients.crl", &others.revoked(&[], 2999), "has no list of the authority"),
        ("ca.pem", "", "has no certificate"),
        ("ca.pem", &others.pem(), "has no list of the authority"),
        ("ca.pem", &site.authority.signed("a.example").0, "has a certificate that cannot be an authority's"),
    ] {
        let before = std::fs::read_to_string(site.edge.path(file)).unwrap();
        put(&site.edge.path(file), text, 0o644);
        eventually(why, SOON, async || issues(&gateway).await.contains(why).then_some(())).await;
        assert!(issues(&gateway).await.starts_with("degraded"));
        metric(&gateway, r#"furt_client_auth_current{host="admin.example"} 0"#).await;
        assert_eq!(serves().await, 200, "{why}");
        gateway.reloaded(&site.tail(&rule)).await;
        assert_eq!(serves().await, 200, "{why}");
        let sharper = site.rule("'admin.example'", &format!("crl = '{}'\nmode = 'ask'", list.display()));
        gateway.configure(&site.tail(&sharper));
        assert!(gateway.reload().await.problem(422, "invalid-config").to_string().contains(why), "{why}");
        put(&site.edge.path(file), &before, 0o644);
        gateway.reloaded(&site.tail(&rule)).await;
        eventually("all is well", SOON, async || issues(&gateway).await.starts_with("healthy").then_some(())).await;
    }
    // A list that is out of date says still who is out.
    put(&list, &site.authority.revoked(&[1], 2025), 0o644);
    let why = "should have been replaced by 2025-01-01";
    eventually(why, SOON, async || issues(&gateway).await.contains(why).then_some(())).await;
    assert_eq!(serves().await, 200);
    let revoked = Identity::of(&site.authority, 1);
    assert_eq!(site.ask(Some(&revoked), "http/1.1", ("admin.example", "admin.example")).await, None);
    std::fs::remove_file(&list).unwrap();
    eventually("it is gone", SOON, async || issues(&gateway).await.contains(&path("clients.crl")).then_some(())).await;
    assert_eq!(serves().await, 200);
}

#[tokio::test]
async fn entries_that_could_not_hold_are_refused() {
    let site = Site::new().await;
    let gateway = site.start("").await;
    let absent = site.edge.path("absent.pem");
    let told = async |rules: &str| {
        gateway.configure(&site.tail(rules));
        gateway.reload().await.problem(422, "invalid-config").to_string()
    };
    for (rules, why) in [
        (format!("[[client_auth]]\nhosts = ['a.example']\nca = '{}'", absent.display()), "cannot be read"),
        (site.rule("", ""), "is empty; must be at least one host"),
        (site.rule("'127.0.0.1'", ""), "must be a name, not an address"),
        (site.rule("'*.*.example'", ""), "is not a host"),
        (site.rule("'a.example', 'A.example.'", ""), "is named in line"),
        (site.rule("'*'", "") + &site.rule("'*'", ""), "is named in line"),
        (site.rule("'a.example'", "mode = 'maybe'"), "client_auth.mode"),
    ] {
        let told = told(&rules).await;
        assert!(told.contains(why) && told.contains("client_auth"), "{rules}: {told}");
    }
    let plain = Gateway::start("").await;
    plain.configure(&site.rule("'a.example'", ""));
    let told = plain.reload().await.problem(422, "invalid-config").to_string();
    assert!(told.contains("is of no use without tls.listen"), "{told}");
}

#[tokio::test]
async fn a_certificate_stands_for_an_api_key() {
    let site = Site::new().await;
    let (known, other) = (Identity::of(&site.authority, 7), Identity::of(&site.authority, 8));
    let key = |sha256: &str| {
        format!(
            "[[api_keys]]\nname = 'machine'\n{sha256}\npermissions = ['comments:read']\nallow_from = ['127.0.0.1']\n"
        )
    };
    let of_certificate = key(&format!("certificate_sha256 = '{}'", known.sha256()));
    let rules = site.rule("'admin.example'", "mode = 'ask'") + &of_certificate;
    let gateway = Gateway::start(&site.tail(&rules)).await;
    let mut service = public_service("service", &site.origin.url(), "/s/*");
    service["routes"][0]["permission"] = json!("comments:read");
    gateway.registered(&service).await;
    let ask = async |identity, name: &str, more: &str| {
        let mut wire = site.wire(identity, name).await;
        wire.send(format!("GET /s/a HTTP/1.1\r\nHost: {name}\r\n{more}\r\n")).await;
        let (head, body) = wire.read_response().await;
        let body: Value = serde_json::from_str(&body).unwrap();
        (wire::status(&head), body["code"].clone(), body["headers"]["x-api-key-name"].clone())
    };
    let (missing, unknown) = (json!("key-missing"), json!("key-unknown"));
    assert_eq!(ask(Some(&known), "admin.example", "").await, (200, Value::Null, json!(["machine"])));
    assert_eq!(ask(Some(&known), "admin.example", "X-API-Key: wrong\r\n").await, (401, unknown, Value::Null));
    for (identity, name) in [(Some(&other), "admin.example"), (None, "admin.example"), (Some(&known), "a.example")] {
        assert_eq!(ask(identity, name, "").await, (401, missing.clone(), Value::Null), "{name}");
    }
    for (keys, why) in [
        (of_certificate.repeat(2).replacen("machine", "first", 1), "is the same certificate as in line"),
        (key(&format!("sha256 = '{0}'\ncertificate_sha256 = '{0}'", known.sha256())), "must be in an entry of its own"),
    ] {
        gateway.configure(&site.tail(&keys));
        let told = gateway.reload().await.problem(422, "invalid-config").to_string();
        assert!(told.contains(why), "{told}");
    }
    // Without the entry the certificate is that of nobody, on the same connection.
    let mut wire = site.wire(Some(&known), "admin.example").await;
    wire.send(get("admin.example")).await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
    gateway.reloaded(&site.tail(&site.rule("'admin.example'", "mode = 'ask'"))).await;
    wire.send(get("admin.example")).await;
    assert_eq!(wire::status(&wire.read_response().await.0), 401);
}
