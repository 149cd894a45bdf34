//! Real documents: of a server on loopback, and of files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use url::Url;

use super::super::source::{Fetch, FetchError, source};
use super::signing::config;
use crate::config::{IssuerConfig, JwksSource};
use crate::telemetry::VERSION;
use crate::tls::RootsError;

const LIMIT: usize = 256 * 1024;

fn at(url: &Url, ca: Option<&Path>) -> Result<Box<dyn Fetch>, RootsError> {
    source(&IssuerConfig { jwks: JwksSource::Url(url.clone()), ca: ca.map(Path::to_owned), ..config() })
}

fn in_file(path: &Path) -> Box<dyn Fetch> {
    source(&IssuerConfig { jwks: JwksSource::File(path.to_owned()), ..config() }).unwrap()
}

/// A server that gives one answer; the thread gives what it was asked.
fn answers(answer: String) -> (Url, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys?a=b", listener.local_addr().unwrap()).parse().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut bytes = [0; 1024];
            let count = socket.read(&mut bytes).unwrap();
            assert!(count > 0, "the client left");
            asked.extend_from_slice(&bytes[..count]);
        }
        // The client may have heard enough.
        _ = socket.write_all(answer.as_bytes());
        String::from_utf8(asked).unwrap()
    });
    (url, serving)
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

async fn fetched(answer: String) -> Result<Vec<u8>, String> {
    let (url, serving) = answers(answer);
    let fetched = at(&url, None).unwrap().fetch().await;
    serving.join().unwrap();
    fetched.map_err(|why| why.to_string())
}

#[tokio::test]
async fn a_document_comes_as_the_server_has_it() {
    let (url, serving) = answers(answer("200 OK", "{\"keys\": []}"));
    let fetched = at(&url, None).unwrap().fetch().await.unwrap();
    assert_eq!(fetched, b"{\"keys\": []}");
    let asked = serving.join().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /keys?a=b http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nuser-agent: furt/{VERSION}\r\n")), "{asked}");
    assert!(!asked.contains("authorization") && !asked.contains("cookie"), "{asked}");
}

#[tokio::test]
async fn what_is_no_answer_with_keys_is_told() {
    assert_eq!(fetched(answer("200 OK", &"x".repeat(LIMIT))).await.unwrap().len(), LIMIT);
    for (answer, told) in [
        (answer("200 OK", &"x".repeat(LIMIT + 1)), "the document is too large; must be at most 256 KiB"),
        (
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(LIMIT + 1)),
            "the document is too large; must be at most 256 KiB",
        ),
        (answer("404 Not Found", "{\"keys\": []}"), "the server answers 404; must be 200"),
        (answer("503 Service Unavailable", ""), "the server answers 503; must be 200"),
        (answer("204 No Content", ""), "the server answers 204; must be 200"),
        (
            answer("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
            "the server answers 302 and sends elsewhere, which furt does not follow; jwks must be the url that has the keys",
        ),
    ] {
        assert_eq!(fetched(answer).await, Err(told.to_owned()));
    }
    // Shorter than it says.
    let cut = fetched("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{}".to_owned()).await;
    assert!(cut.is_err(), "{cut:?}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/").parse().unwrap();
    assert!(at(&url, None).unwrap().fetch().await.is_err());
}

/// A server under TLS that gives one answer; its url, and the file with its root.
async fn answers_under_tls(folder: &Path) -> (Url, PathBuf) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = folder.join("ca.pem");
    fs::write(&file, certificate.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let socket = listener.accept().await.unwrap().0;
        // A client that does not believe it leaves.
        let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return };
        stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
        stream.write_all(answer("200 OK", "{}").as_bytes()).await.unwrap();
        _ = stream.shutdown().await;
    });
    (url, file)
}

#[tokio::test]
async fn a_server_is_believed_by_its_authorities_alone() {
    crate::tls::install();
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (url, ca) = answers_under_tls(own.path()).await;
    assert_eq!(at(&url, Some(&ca)).unwrap().fetch().await, Ok(b"{}".to_vec()));
    let (url, _) = answers_under_tls(own.path()).await;
    let (_, strange) = answers_under_tls(other.path()).await;
    let why = at(&url, Some(&strange)).unwrap().fetch().await.unwrap_err().to_string();
    assert!(
        why.starts_with("no authority of issuers.ca, or of the system without it, vouches for its certificate"),
        "{why}"
    );
    let missing = own.path().join("missing.pem");
    let why = at(&url, Some(&missing)).map(|_| ()).unwrap_err().to_string();
    assert!(why.starts_with(&format!("{} cannot be read", missing.display())), "{why}");
}

#[tokio::test]
async fn a_file_is_read_each_time_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let source = in_file(&path);
    let told = |fetched: Result<Vec<u8>, FetchError>| fetched.unwrap_err().to_string();
    assert_eq!(told(source.fetch().await), format!("{} is not there", path.display()));
    for length in [0, 1, LIMIT] {
        fs::write(&path, "x".repeat(length)).unwrap();
        assert_eq!(source.fetch().await.unwrap().len(), length);
    }
    fs::write(&path, "x".repeat(LIMIT + 1)).unwrap();
    assert_eq!(told(source.fetch().await), "the document is too large; must be at most 256 KiB");
    let folder = in_file(folder.path());
    assert!(told(folder.fetch().await).contains("cannot be read"));
}
