//! https: a certificate must verify, and then the token goes to gateways that are told, too.

use std::sync::Arc;

use furt_client::{Builder, Error, Registry, Service};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, pki_types};

use crate::eventually;
use crate::server::{Reply, Seen, Server, furt};

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority for one test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate: pki_types::CertificateDer<'static> = params.signed_by(&key, &self.0).unwrap().into();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn https(authority: &Authority, name: &str, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    Server::at("127.0.0.1:0".parse().unwrap(), Some(authority.server(name)), script).await
}

fn client(hosts: &[&Server], authority: &Authority, token: &str) -> Registry {
    let hosts: Vec<_> = hosts.iter().map(|host| host.address.to_string()).collect();
    let text = format!("https://{}?timeout=1&refresh=1", hosts.join(","));
    Builder::new(text).token(token).ca_pem(authority.0.pem()).connect().unwrap()
}

#[tokio::test]
async fn a_certificate_must_verify() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = https(&authority, "127.0.0.1", furt()).await;
    client(&[&good], &authority, "t").join("a", Service::new(1)).await.unwrap();
    assert_eq!(good.seen()[0].authorization.as_deref(), Some("Bearer t"));
    let foreign = https(&other, "127.0.0.1", furt()).await;
    let misnamed = https(&authority, "elsewhere.example", furt()).await;
    for bad in [&foreign, &misnamed] {
        let error = client(&[bad], &authority, "t").join("a", Service::new(1)).await.unwrap_err();
        assert!(error.to_string().contains("TLS failed: "), "{error}");
        assert!(bad.all().is_empty(), "nothing is sent, above all no token");
    }
    let plain = Server::start(furt()).await;
    let error = client(&[&plain], &authority, "t").list(None).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)) && plain.all().is_empty(), "{error}");
    // The next host is asked, as after any other fault.
    client(&[&foreign, &good], &authority, "t").list(None).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_is_told_gets_the_token_if_its_certificate_verifies() {
    let (authority, other) = (Authority::new(), Authority::new());
    let told = https(&authority, "127.0.0.1", furt()).await;
    let foreign = https(&other, "127.0.0.1", furt()).await;
    let addresses = [foreign.address, told.address].map(|address| format!("https://{address}"));
    let script = furt();
    let named = https(&authority, "127.0.0.1", move |seen| match seen.path.as_str() {
        "/internal/nodes" => {
            let node =
                |address: &String| json!({"id": "x", "name": "n", "version": "1", "internal": address, "this": false});
            Reply::Json(200, json!({ "nodes": addresses.iter().map(node).collect::<Vec<_>>() }))
        }
        _ => script(seen),
    })
    .await;
    let registry = client(&[&named], &authority, "t");
    registry.list(None).await.unwrap();
    let asked = || named.all().iter().filter(|seen| seen.path == "/internal/nodes").count();
    eventually("other nodes are asked for", || (asked() > 1).then_some(())).await;
    named.stop().await;
    registry.join("a", Service::new(1)).await.unwrap();
    assert_eq!(told.seen()[0].authorization.as_deref(), Some("Bearer t"));
    assert!(foreign.all().is_empty());
}

#[tokio::test]
async fn certificates_that_cannot_be_trusted_are_told() {
    for (pem, expected) in [
        ("", "there is none in the file"),
        ("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", "the certificates to trust: "),
    ] {
        let error = Builder::new("https://a").token("").ca_pem(pem).connect().unwrap_err();
        assert!(matches!(&error, Error::Setting(_)) && error.to_string().contains(expected), "{error}");
    }
    let error = Builder::new("https://a?ca=/nonexistent.pem").token("").connect().unwrap_err();
    assert!(error.to_string().contains("the option \"ca\": /nonexistent.pem cannot be read"), "{error}");
    let folder = std::env::temp_dir().join(format!("furt-client-{}", std::process::id()));
    std::fs::write(&folder, Authority::new().0.pem()).unwrap();
    Builder::new(format!("https://a?ca={}", folder.display())).token("").connect().unwrap();
    std::fs::remove_file(&folder).unwrap();
}
