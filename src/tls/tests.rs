//! Certificates as files: which pair is in force while they change, and what handshakes show of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConnection, SignatureScheme};

use super::provider::provider;
use super::*;
use crate::config::{CertificateConfig, Config, TlsConfig, UnknownTlsName};

/// A day of 2026, in Unix seconds.
const NOW: i64 = 1_790_000_000;
const YEAR: i64 = 365 * 24 * 3600;

struct Files {
    folder: tempfile::TempDir,
    tls: TlsConfig,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = TlsConfig { state: folder.path().join("state"), ..Config::default().tls };
        Self { folder, tls }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn config(&self, file: &str) -> CertificateConfig {
        let staple = self.path(&format!("{file}.ocsp"));
        CertificateConfig {
            cert: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            staple: staple.exists().then_some(staple),
        }
    }

    /// Writes a certificate that is good from one year before [`NOW`] or so to `until`.
    fn write(&self, file: &str, names: &[&str], years: std::ops::Range<i32>) {
        let (cert, key) = made(names, years);
        put(&self.path(&format!("{file}.pem")), cert.as_bytes());
        put(&self.path(&format!("{file}.key")), key.as_bytes());
    }

    fn open(&self, files: &[&str]) -> Tls {
        let configs: Vec<_> = files.iter().map(|file| self.config(file)).collect();
        Tls::open(&self.tls, &configs, &[], NOW).unwrap()
    }
}

/// A certificate and its key, in PEM.
fn made(names: &[&str], years: std::ops::Range<i32>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// In one step.
fn put(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

/// Believes whatever it is shown, and says what that was with the client's connection; the signature is checked.
#[derive(Debug)]
struct Believing(std::sync::Mutex<Option<(Vec<u8>, Vec<u8>)>>);

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some((end_entity.to_vec(), staple.to_vec()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A whole handshake in memory: the certificate that is shown for `name`, and its staple.
fn shown(tls: &Tls, name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let config = tls.served().find(Some(name), || None)?;
    let believing = Arc::new(Believing(std::sync::Mutex::default()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider())).with_safe_default_protocol_versions();
    let verifier = Arc::clone(&believing) as Arc<dyn ServerCertVerifier>;
    let client = builder.unwrap().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let server_name = ServerName::try_from("any.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), server_name).unwrap();
    let mut server = ServerConnection::new(config.config).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    let mut seen = believing.0.lock().unwrap();
    Some(seen.take().unwrap())
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn of_two_hundred_pairs_each_is_shown_whole_and_never_half() {
    let files = Files::new();
    files.write("a", &["a.example"], 2020..2030);
    let tls = files.open(&["a"]);
    let mut before = shown(&tls, "a.example").unwrap();
    for round in 0..200 {
        let (cert, key) = made(&["a.example"], 2020..2030);
        let halves = [(files.path("a.pem"), &cert), (files.path("a.key"), &key)];
        let (first, second) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        put(&halves[first].0, halves[first].1.as_bytes());
        let changes = tls.look(NOW);
        assert!(matches!(&changes[..], [Change::Kept { why }] if why.contains("another key")), "{changes:?}");
        assert_eq!(shown(&tls, "a.example").as_ref(), Some(&before));
        assert!(tls.status(NOW)[0].fault.is_some() && tls.look(NOW).is_empty());
        put(&halves[second].0, halves[second].1.as_bytes());
        assert!(matches!(&tls.look(NOW)[..], [Change::Replaced { .. }]));
        before = shown(&tls, "a.example").unwrap();
        assert_eq!((&before.0, &tls.status(NOW)[0].fault), (&der(&cert), &None));
    }
    assert!(tls.look(NOW).is_empty());
}

#[test]
fn a_certificate_is_taken_once_its_time_has_come_and_its_end_is_told() {
    let files = Files::new();
    files.write("a", &["a.example", "b.example"], 2020..2028);
    let tls = files.open(&["a"]);
    files.write("a", &["a.example"], 2027..2030);
    let changes = tls.look(NOW);
    assert!(matches!(&changes[..], [Change::Kept { why }] if why.contains("begins at 2027-01-01")), "{changes:?}");
    assert!(tls.look(NOW).is_empty(), "it is told once");
    assert!(shown(&tls, "b.example").is_some());
    assert!(matches!(&tls.look(NOW + YEAR)[..], [Change::Replaced { .. }]), "though the file is the same");
    assert!(shown(&tls, "b.example").is_none());
    assert_eq!(tls.status(NOW + YEAR)[0].fault, None);
    let ended = tls.status(NOW + 5 * YEAR)[0].fault.clone().unwrap();
    assert!(ended.contains("ended at 2030-01-01T00:00:00Z"), "{ended}");
    assert!(shown(&tls, "a.example").is_some(), "what has ended is shown on");
}

#[test]
fn another_list_is_put_in_force_whole_and_what_runs_already_may_fail() {
    let files = Files::new();
    for file in ["a", "b"] {
        files.write(file, &[&format!("{file}.example")], 2020..2030);
    }
    let tls = files.open(&["a"]);
    fs::remove_file(files.path("a.key")).unwrap();
    let list = |names: &[&str]| names.iter().map(|file| files.config(file)).collect::<Vec<_>>();
    let errors = tls.prepare(&list(&["a", "b", "absent"]), &[], false, NOW).err().unwrap();
    assert!(matches!(&errors[..], [FaultyEntry::Certificate(2, error)] if error.key == "cert"), "{errors:?}");
    assert!(shown(&tls, "b.example").is_none());
    let prepared = tls.prepare(&list(&["b", "a"]), &[], false, NOW).ok().unwrap();
    let first = TlsConfig { unknown_name: UnknownTlsName::First, ..files.tls.clone() };
    tls.apply(prepared, &first);
    let b = shown(&tls, "b.example").unwrap();
    assert!(shown(&tls, "a.example").is_some_and(|a| a != b));
    assert_eq!(shown(&tls, "other.example"), Some(b));
    let faults: Vec<_> = tls.status(NOW).into_iter().map(|status| (status.name, status.fault.is_some())).collect();
    assert_eq!(faults, [("b.example".to_owned(), false), ("a.example".to_owned(), true)]);
}

#[test]
fn a_staple_is_sent_along_and_a_new_one_is_noticed() {
    let files = Files::new();
    files.write("a", &["a.example"], 2020..2030);
    // As short as an answer can be: successful, and nothing more.
    let (one, other) = ([0x30, 3, 0x0a, 1, 0], [0x30, 5, 0x0a, 1, 0, 5, 0]);
    put(&files.path("a.ocsp"), &one);
    let tls = files.open(&["a"]);
    assert_eq!(shown(&tls, "a.example").unwrap().1, one);
    put(&files.path("a.ocsp"), &other);
    assert!(matches!(&tls.look(NOW)[..], [Change::Replaced { .. }]));
    assert_eq!(shown(&tls, "a.example").unwrap().1, other);
    for bad in [&[][..], &[0x30, 3, 0x0a, 1, 6], &[0x30, 9, 0x0a, 1, 0], &[0x30, 3, 0x0a, 1, 0, 0]] {
        put(&files.path("a.ocsp"), bad);
        tls.look(NOW);
        assert!(tls.status(NOW)[0].fault.as_ref().is_some_and(|why| why.contains("no OCSP answer")), "{bad:?}");
        assert_eq!(shown(&tls, "a.example").unwrap().1, other);
    }
}

#[test]
fn keys_of_each_kind_are_taken() {
    let files = Files::new();
    for (number, algorithm) in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519].into_iter().enumerate()
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let cert = params.self_signed(&key).unwrap();
        let file = number.to_string();
        put(&files.path(&format!("{file}.pem")), cert.pem().as_bytes());
        put(&files.path(&format!("{file}.key")), key.serialize_pem().as_bytes());
        let tls = files.open(&[&file]);
        assert_eq!(shown(&tls, "a.example").unwrap().0, cert.der().to_vec(), "{:?}", key.algorithm());
    }
}
