//! TLS towards services: which authorities they must be of, which certificate furt shows them, and that a change of either is the end of
//! connections from before it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tempfile::TempDir;
use tokio_rustls::rustls;

use crate::support::authority::Authority;
use crate::support::tls::put;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service, with};

/// Files of a test's own, and an authority of services and one of their clients.
struct Site {
    folder: TempDir,
    services: Authority,
    clients: Authority,
}

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let site = Self { folder, services: Authority::new(), clients: Authority::named("clients of one test") };
        site.trust("ca", &site.services);
        site.show("furt", &site.clients);
        site
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes the file of an authority.
    fn trust(&self, file: &str, authority: &Authority) {
        put(&self.path(&format!("{file}.pem")), &authority.pem(), 0o644);
    }

    /// Writes a certificate of an authority, and its key.
    fn show(&self, file: &str, authority: &Authority) {
        let (cert, key) = authority.signed_until(&[], 2999);
        put(&self.path(&format!("{file}.pem")), &cert, 0o644);
        put(&self.path(&format!("{file}.key")), &key, 0o600);
    }

    /// `KEY = 'FILE'`
    fn key(&self, key: &str, file: &str) -> String {
        format!("{key} = '{}'\n", self.path(file).display())
    }

    fn identity(&self) -> String {
        self.key("cert", "furt.pem") + &self.key("key", "furt.key")
    }

    /// A service of the authority `signed_by`, which asks for a certificate of the authority of clients if `asks`.
    async fn origin(&self, signed_by: &Authority, asks: bool) -> Origin {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.clients.pem().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = if asks {
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (cert, key) = signed_by.signed_until(&["service.test"], 2999);
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Origin::tls(Arc::new(builder.with_single_cert(chain, key).unwrap())).await
    }
}

async fn register(gateway: &Gateway, name: &str, origin: &Origin) {
    let service = public_service(name, &origin.url(), &format!("/{name}/*"));
    gateway.registered(&with(service, json!({"tls_name": "service.test"}))).await;
}

async fn status(gateway: &Gateway, path: &str) -> u16 {
    Answer::of(gateway.anonymous(Method::GET, path)).await.status.as_u16()
}

async fn becomes(gateway: &Gateway, path: &str, expected: u16) {
    let what = format!("{path} is {expected}");
    eventually(&what, SOON, async || (status(gateway, path).await == expected).then_some(())).await;
}

async fn issues(gateway: &Gateway) -> String {
    let health = Answer::of(gateway.anonymous(Method::GET, "/health")).await.json();
    format!("{} {}", health["status"].as_str().unwrap(), health["issues"])
}

#[tokio::test]
async fn services_are_shown_the_certificate_in_force_and_open_connections_of_another_are_not_used() {
    let site = Site::new();
    let origin = site.origin(&site.services, true).await;
    let general = format!("[upstream]\n{}", site.key("ca", "ca.pem"));
    let tail = format!("{general}{}", site.identity());
    let gateway = Gateway::start(&general).await;
    register(&gateway, "s", &origin).await;
    assert_eq!(status(&gateway, "/s/a").await, 502, "it shows none");
    gateway.reloaded(&tail).await;
    becomes(&gateway, "/s/a", 200).await;
    site.show("furt", &site.services);
    becomes(&gateway, "/s/a", 502).await;
    site.show("furt", &site.clients);
    becomes(&gateway, "/s/a", 200).await;
    gateway.reloaded(&general).await;
    becomes(&gateway, "/s/a", 502).await;
}

#[tokio::test]
async fn probes_show_it_too() {
    let site = Site::new();
    let origin = site.origin(&site.services, true).await;
    let gateway = Gateway::start(&format!("[upstream]\n{}{}", site.key("ca", "ca.pem"), site.identity())).await;
    let service = with(
        public_service("s", &origin.url(), "/s/*"),
        json!({"tls_name": "service.test", "health_endpoint": "/health"}),
    );
    gateway.registered_and_up(&service).await;
    site.show("furt", &site.services);
    gateway.status_becomes("s", "DOWN").await;
}

#[tokio::test]
async fn a_service_and_a_static_route_may_have_authorities_of_their_own() {
    let site = Site::new();
    let other = Authority::new();
    site.trust("other", &other);
    let [usual, granted, fixed] =
        [site.origin(&site.services, false).await, site.origin(&other, false).await, site.origin(&other, false).await];
    let grants = |ca: &str| {
        format!("[[grants]]\nservice = 'granted'\npaths = ['/granted/*']\npublic = true\n{}", site.key("ca", ca))
    };
    let routes = |ca: &str| {
        format!(
            "[[routes]]\nmethod = 'GET'\npath = '/fixed'\nurl = '{}'\ntls_name = 'service.test'\n{}",
            fixed.url(),
            site.key("ca", ca)
        )
    };
    let general = format!("[upstream]\n{}", site.key("ca", "ca.pem"));
    let all = |grant: &str, route: &str| format!("{general}{}{}", grants(grant), routes(route));
    let gateway = Gateway::start(&all("other.pem", "other.pem")).await;
    register(&gateway, "usual", &usual).await;
    register(&gateway, "granted", &granted).await;
    let of = async |expected: [u16; 3]| {
        for (path, expected) in ["/usual/a", "/granted/a", "/fixed"].iter().zip(expected) {
            becomes(&gateway, path, expected).await;
        }
    };
    of([200, 200, 200]).await;
    gateway.reloaded(&all("ca.pem", "other.pem")).await;
    of([200, 502, 200]).await;
    gateway.reloaded(&all("other.pem", "ca.pem")).await;
    of([200, 200, 502]).await;
    gateway.reloaded(&all("other.pem", "other.pem")).await;
    of([200, 200, 200]).await;
    // The file alone.
    site.trust("other", &site.services);
    of([200, 502, 502]).await;
    site.trust("other", &other);
    of([200, 200, 200]).await;
    site.trust("ca", &other);
    of([502, 200, 200]).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_and_what_was_in_force_stays() {
    let site = Site::new();
    let origin = site.origin(&site.services, true).await;
    let tail = format!("[upstream]\n{}{}", site.key("ca", "ca.pem"), site.identity());
    let gateway = Gateway::start(&tail).await;
    register(&gateway, "s", &origin).await;
    for (file, text, why) in [
        ("ca.pem", "", "has no certificate"),
        ("furt.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("furt.key", "no key", "has no private key"),
    ] {
        let before = fs::read_to_string(site.path(file)).unwrap();
        put(&site.path(file), text, 0o600);
        eventually(why, SOON, async || issues(&gateway).await.contains(why).then_some(())).await;
        gateway.reloaded(&tail).await;
        assert_eq!(status(&gateway, "/s/a").await, 200, "{why}");
        put(&site.path(file), &before, 0o600);
        eventually("all is well", SOON, async || issues(&gateway).await.starts_with("healthy").then_some(())).await;
    }
    let route = |more: &str| format!("[[routes]]\nmethod = 'GET'\npath = '/{more}'\nurl = 'https://x.test'\n");
    let absent = site.key("ca", "absent.pem");
    for (tail, why) in [
        (format!("[upstream]\n{absent}"), "upstream.ca"),
        (format!("[upstream]\n{}", site.key("cert", "furt.pem")), "upstream.key: is missing"),
        (format!("[upstream]\n{}", site.key("key", "furt.key")), "upstream.cert: is missing"),
        (format!("[upstream]\n{}{}", site.key("cert", "ca.pem"), site.key("key", "furt.key")), "has another key than"),
        (format!("[[grants]]\nservice = 'x'\n{absent}"), "grants.ca"),
        (route("a") + &absent, "routes.ca"),
        (route("a") + &site.key("ca", "ca.pem") + &route("b"), "must be the same in all of them"),
        (
            format!("[[routes]]\nmethod = 'GET'\npath = '/a'\nservice = 'x'\n{absent}"),
            "has no use without an https url",
        ),
    ] {
        gateway.configure(&tail);
        let told = gateway.reload().await.problem(422, "invalid-config").to_string();
        assert!(told.contains(why), "{tail}: {told}");
    }
}
