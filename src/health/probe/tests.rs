//! The probe against real sockets and servers that misbehave in every way a server can.

use std::sync::Arc;

use pingora::protocols::l4::socket::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::health::failure::classify;
use crate::health::schedule::tests::plan;
use furt_core::model::Host;
use furt_core::registry::{FirstProbe, ProbeFailure};

/// Of probes that are to end by it.
const SHORT: Duration = Duration::from_millis(300);
/// Of probes that must end by themselves.
const LONG: Duration = Duration::from_secs(20);

fn target_at(port: u16, endpoint: &str) -> ProbeTarget {
    let mut target = plan(&format!("http://127.0.0.1:{port}"), 1, FirstProbe::Now, 1000).target;
    Arc::make_mut(&mut target.spec).health_endpoint = Some(endpoint.into());
    target
}

/// The outcome as the driver is told it.
async fn probe(target: ProbeTarget, timeout: Duration) -> Result<(), String> {
    classified(target, timeout).await.map_err(|failure| failure.to_string())
}

async fn classified(target: ProbeTarget, timeout: Duration) -> Result<(), ProbeFailure> {
    let mut ext = http::Extensions::new();
    let address = target.addresses[0];
    ext.insert(target);
    let backend = Backend { addr: SocketAddr::Inet(address), weight: 1, ext };
    let probe = HttpProbe::new(ConnectorOptions::new(1), Arc::new(UpstreamTls::of_system()), move || timeout);
    probe.check(&backend).await.map_err(|error| classify(&error))
}

/// A server of one connection: reads the request, then does as `serve` says; gives the request.
async fn outcome<F>(timeout: Duration, serve: impl FnOnce(TcpStream) -> F) -> (Result<(), String>, String)
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target_at(listener.local_addr().unwrap().port(), "/healthz?deep=1");
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        serve(stream).await;
        String::from_utf8(request).unwrap()
    };
    tokio::join!(probe(target, timeout), server)
}

/// What comes of a server that sends these bytes and closes.
async fn outcome_of(answer: &str) -> Result<(), String> {
    let send = |mut stream: TcpStream| async move { stream.write_all(answer.as_bytes()).await.unwrap() };
    outcome(LONG, send).await.0
}

/// Waits until the probe has closed its end.
async fn until_closed(mut stream: TcpStream) {
    _ = stream.read(&mut [0; 16]).await;
}

#[tokio::test]
async fn a_service_says_which_statuses_are_good_for_which_host_and_within_what_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = target_at(listener.local_addr().unwrap().port(), "/health");
    let check = &mut Arc::make_mut(&mut target.definition).health_check;
    check.status = Some(StatusRange::try_new("300-404").unwrap());
    check.host = Some(Host::try_new("shop.example").unwrap());
    check.timeout = Some(SHORT);
    for (status, expected) in [(404, Ok(())), (200, failed("status 200"))] {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let count = stream.read(&mut request).await.unwrap();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..count]).to_lowercase()
        };
        let (outcome, request) = tokio::join!(probe(target.clone(), LONG), serve);
        assert_eq!(outcome, expected);
        assert!(request.contains("host: shop.example\r\n"), "{request}");
    }
    let hang = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
    };
    let (outcome, ()) = tokio::join!(probe(target, LONG), hang);
    assert_eq!(outcome, failed("no answer within 300 ms"));
}

#[tokio::test]
async fn every_address_of_a_name_is_tried_until_one_can_be_reached() {
    let (live, dead) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let mut target = target_at(1, "/health");
    target.addresses = [&dead, &live].map(|listener| listener.local_addr().unwrap()).into();
    drop(dead);
    let serve = async {
        let (mut stream, _) = live.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        until_closed(stream).await;
    };
    assert_eq!(tokio::join!(probe(target.clone(), LONG), serve).0, Ok(()));
    drop(live);
    assert_eq!(probe(target, LONG).await, failed("connection refused"));
}

#[tokio::test]
async fn an_address_that_answers_badly_answers_for_the_instance() {
    let (bad, good) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let mut target = target_at(1, "/health");
    target.addresses = [&bad, &good].map(|listener| listener.local_addr().unwrap()).into();
    let serve = async {
        let (mut stream, _) = bad.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        until_closed(stream).await;
    };
    assert_eq!(tokio::join!(probe(target, LONG), serve).0, failed("status 503"));
}

fn failed(line: &str) -> Result<(), String> {
    Err(line.to_owned())
}

#[tokio::test]
async fn the_request_says_who_asks_for_what_and_that_nothing_follows() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (outcome, request) = outcome(LONG, |mut stream| async move { stream.write_all(answer).await.unwrap() }).await;
    assert_eq!(outcome, Ok(()));
    let mut lines: Vec<_> = request.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /healthz?deep=1 HTTP/1.1");
    lines.sort_unstable_by_key(|line| line.to_ascii_lowercase());
    let host = lines.iter().position(|line| line.to_ascii_lowercase().starts_with("host: 127.0.0.1:")).unwrap();
    lines.remove(host);
    let agent = format!("user-agent: furt/{VERSION} (health)");
    let lines: Vec<_> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    assert_eq!(lines, ["connection: close".to_owned(), agent]);
}

#[tokio::test]
async fn only_2xx_is_success() {
    for (status, expected) in [
        ("200 OK", Ok(())),
        ("204 No Content", Ok(())),
        ("299 Fine", Ok(())),
        ("301 Moved Permanently", failed("status 301")),
        ("404 Not Found", failed("status 404")),
        ("500 Internal Server Error", failed("status 500")),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(outcome_of(&answer).await, expected, "{status}");
    }
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(outcome_of(&format!("{early}{answer}")).await, Ok(()));
    assert_eq!(outcome_of(&early.repeat(9)).await, failed("interim answers without end"));
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(outcome_of(upgraded).await, failed("status 101"));
}

#[tokio::test]
async fn a_server_that_closes_or_breaks_off_early_fails() {
    assert_eq!(outcome_of("").await, failed("closed before an answer"));
    assert_eq!(outcome_of("HTTP/1.1 200 OK\r\nContent-").await, failed("closed before an answer"));
    let reset = |stream: TcpStream| async move {
        let stream = socket2::Socket::from(stream.into_std().unwrap());
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    };
    assert_eq!(outcome(LONG, reset).await.0, failed("broken off before an answer: Connection reset by peer"));
}

#[tokio::test]
async fn what_is_not_http_fails_and_is_not_repeated_to_operators() {
    let garbage = "\u{1}\u{2}ssh says hello".repeat(1000);
    for answer in ["SSH-2.0-OpenSSH_9.9\r\n", garbage.as_str(), "HTTP/1.1 abc\r\n\r\n"] {
        let line = outcome_of(answer).await.unwrap_err();
        assert_eq!(line, "not HTTP, or a header beyond all bounds");
    }
}

#[tokio::test]
async fn an_endless_body_is_not_read() {
    let began = crate::clock::now();
    let endless = |mut stream: TcpStream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        // Ends only because the probe closes.
        while stream.write_all(&chunk).await.is_ok() {}
    };
    assert_eq!(outcome(LONG, endless).await.0, Ok(()));
    assert!(crate::clock::now() - began < LONG / 2);
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_fails_at_the_timeout() {
    let timed_out = failed("no answer within 300 ms");
    assert_eq!(outcome(SHORT, until_closed).await.0, timed_out);
    let drip = |mut stream: TcpStream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Drip: ").await.unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    };
    assert_eq!(outcome(SHORT, drip).await.0, timed_out);
}

#[tokio::test]
async fn nobody_there_is_said_in_two_words() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(probe(target_at(free, "/health"), LONG).await, failed("connection refused"));
}

#[tokio::test]
async fn tls_that_cannot_be_verified_is_said_in_one_line() {
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key)
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = target_at(listener.local_addr().unwrap().port(), "/health");
    let spec = Arc::make_mut(&mut target.spec);
    spec.url.scheme = furt_core::model::Scheme::Https;
    spec.tls_name = Some("shop.example".into());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        _ = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    };
    let (outcome, ()) = tokio::join!(probe(target, LONG), server);
    assert_eq!(outcome, failed("no TLS handshake: invalid peer certificate: UnknownIssuer"));
    let (outcome, _) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = target_at(listener.local_addr().unwrap().port(), "/health");
        let spec = Arc::make_mut(&mut target.spec);
        spec.url.scheme = furt_core::model::Scheme::Https;
        spec.tls_name = Some("shop.example".into());
        let plain = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            until_closed(stream).await;
        };
        tokio::join!(probe(target, LONG), plain)
    };
    let line = outcome.unwrap_err();
    assert!(line.starts_with("no TLS handshake: ") && line.len() < 160, "{line}");
}
