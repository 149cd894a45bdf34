//! Servers under TLS.

use std::fs;
use std::path::{Path, PathBuf};

use tokio_rustls::TlsAcceptor;

use super::*;
use crate::auth::forward::{OpenError, TrustError};

/// A server under TLS whose certificate is for that name, on 127.0.0.1; its port, and the file with its root.
async fn secured(folder: &Path, name: &str, tasks: &mut JoinSet<()>) -> (u16, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = folder.join(format!("{name}.pem"));
    fs::write(&file, certificate.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        loop {
            let socket = listener.accept().await.unwrap().0;
            // Some clients do not like the certificate.
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            serve(stream, &Mutex::default(), |_| Act::Last(answer("200 OK", ""))).await;
        }
    });
    (port, file)
}

#[tokio::test]
async fn a_server_under_tls_is_asked_where_its_certificate_holds() {
    let (rig, folder, mut tasks) = (Rig::new(), tempfile::tempdir().unwrap(), JoinSet::new());
    let (by_name, name_ca) = secured(folder.path(), "localhost", &mut tasks).await;
    let (by_address, address_ca) = secured(folder.path(), "127.0.0.1", &mut tasks).await;
    let (other, other_ca) = secured(folder.path(), "other.example", &mut tasks).await;
    for (host, port, ca, is_good) in [
        ("localhost", by_name, Some(&name_ca), true),
        ("127.0.0.1", by_address, Some(&address_ca), true),
        ("127.0.0.1", by_name, Some(&name_ca), false),
        ("localhost", other, Some(&other_ca), false),
        ("localhost", by_name, Some(&other_ca), false),
        ("localhost", by_name, None, false),
    ] {
        let config = ForwardAuthConfig { ca: ca.cloned(), ..config(&format!("https://{host}:{port}/verify")) };
        let outcome = rig.asked(config).await;
        assert_eq!(outcome.is_ok(), is_good, "{host} {ca:?}: {outcome:?}");
        if !is_good {
            let told = why(outcome).to_string();
            assert!(told.contains("TLS") || told.contains("certificate"), "{told}");
        }
    }
}

#[test]
fn files_of_authorities_are_refused_before_anybody_is_asked() {
    let (rig, folder) = (Rig::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.pem");
    let open = || {
        let config = ForwardAuthConfig { ca: Some(file.clone()), ..config("https://auth.example") };
        match ForwardAuth::open(config, &rig.asking) {
            Err(OpenError::Trust(why)) => why,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    };
    assert!(matches!(open(), TrustError::Roots(_)));
    fs::write(&file, "none").unwrap();
    assert!(matches!(open(), TrustError::Roots(_)));
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(open(), TrustError::Unusable(_)));
}

#[test]
fn an_entry_that_cannot_be_used_is_told_by_its_key() {
    let missing = Some(tempfile::tempdir().unwrap().path().join("ca.pem"));
    let long = format!("http://auth.internal/{}", "a".repeat(70_000));
    let entries = [
        (ForwardAuthConfig { ca: missing, ..config("https://auth.example") }, Err("ca")),
        (config(&long), Err("url")),
        (config(&long[..60_000]), Ok(())),
    ];
    for (entry, expected) in entries {
        assert_eq!(ForwardAuth::check(&entry).map_err(|why| why.key()), expected);
    }
}
