//! How furt speaks to an authority: https alone, each answer within a time and with a bound on its size. The library of ACME is
//! handed this; it would read whatever comes.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::fault::{Unreachable, clean};
use crate::telemetry::VERSION;
use crate::tls::{RootsError, roots, unasked};

/// The largest answer: a chain of certificates has some 10 KiB.
const MAX_BYTES: u64 = 256 * 1024;
/// The longest wait that the library is told of, in seconds: no pause that furt makes is longer.
const LONGEST_WAIT: i64 = 7 * 24 * 3600;
/// For a whole answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// When an authority that refused something wants to be asked again.
#[derive(Debug, Clone, Default)]
pub(super) struct RetryAfter(Arc<Mutex<Option<i64>>>);

impl RetryAfter {
    /// What it said since, in seconds.
    pub(super) fn take(&self) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, headers: &HeaderMap) {
        let wait = wait(headers);
        if wait.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wait;
        }
    }
}

/// What an answer says of waiting, in seconds.
fn wait(headers: &HeaderMap) -> Option<i64> {
    headers.get(header::RETRY_AFTER).and_then(|value| seconds(value.to_str().ok()?))
}

/// The library panics at a wait beyond what clocks can show. To GET, an authority says when to renew, and the library takes its word
/// only with a wait.
fn bound_wait(asked: &Method, headers: &mut HeaderMap) {
    match wait(headers) {
        Some(seconds) => _ = headers.insert(header::RETRY_AFTER, seconds.clamp(0, LONGEST_WAIT).into()),
        None if asked == Method::GET => _ = headers.insert(header::RETRY_AFTER, 0.into()),
        None => _ = headers.remove(header::RETRY_AFTER),
    }
}

/// A number of seconds, or a date (RFC 9110 §10.2.3).
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let of_date = || {
        let date = jiff::fmt::rfc2822::parse(&text.replace("GMT", "+0000")).ok()?.timestamp();
        Some(date.as_second().saturating_sub(crate::clock::unix_ms().div_euclid(1000)))
    };
    text.parse::<u64>().ok().map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)).or_else(of_date)
}

/// Sends a request and waits for the answer.
type Sender = dyn Fn(Request<Bytes>) -> Result<Response<Bytes>, Unreachable> + Send + Sync;

/// The client that the library is handed.
pub(super) struct Client {
    sender: Arc<Sender>,
    retry_after: RetryAfter,
}

impl Client {
    /// One that believes the roots of `ca`, or the system's, and tells `retry_after` what is said of waiting.
    pub(super) fn try_new(ca: Option<&Path>, retry_after: RetryAfter) -> Result<Self, RootsError> {
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots(ca)?)).build();
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .user_agent(format!("furt/{VERSION}"))
            .tls_config(tls)
            .build();
        let agent: Agent = config.into();
        Ok(Self::over(move |request| send(&agent, request), retry_after))
    }

    /// One that asks `sender`.
    pub(super) fn over(
        sender: impl Fn(Request<Bytes>) -> Result<Response<Bytes>, Unreachable> + Send + Sync + 'static,
        retry_after: RetryAfter,
    ) -> Self {
        Self { sender: Arc::new(sender), retry_after }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (sender, retry_after) = (Arc::clone(&self.sender), self.retry_after.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let method = parts.method.clone();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let sending = tokio::task::spawn_blocking(move || sender(Request::from_parts(parts, body)));
            let sent = sending.await.map_err(|error| Error::Other(error.into()))?;
            let mut response = sent.map_err(|why| Error::Other(why.into()))?;
            if response.status().is_client_error() || response.status().is_server_error() {
                retry_after.note(response.headers());
                check_problem(&response).map_err(|why| Error::Other(why.into()))?;
            }
            bound_wait(&method, response.headers_mut());
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}

fn send(agent: &Agent, request: Request<Bytes>) -> Result<Response<Bytes>, Unreachable> {
    let failed = |why: ureq::Error| Unreachable(format!("the authority cannot be asked: {}", unasked(&why, "acme.ca")));
    let (mut parts, body) = request.into_parts();
    // Of the library; the agent has furt's.
    parts.headers.remove(header::USER_AGENT);
    let response = if parts.method == Method::POST {
        agent.run(Request::from_parts(parts, &body[..]))
    } else {
        agent.run(Request::from_parts(parts, ()))
    };
    let (parts, mut body) = response.map_err(failed)?.into_parts();
    let body = body.with_config().limit(MAX_BYTES).read_to_vec().map_err(failed)?;
    Ok(Response::from_parts(parts, body.into()))
}

/// An error of an authority is a document; an error of what stands before it is not, and would be told as one that cannot be read.
fn check_problem(response: &Response<Bytes>) -> Result<(), Unreachable> {
    if serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(response.body()).is_ok() {
        return Ok(());
    }
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    Err(Unreachable(match status {
        StatusCode::NOT_FOUND => "the authority answers 404 Not Found; is acme.directory right?".to_owned(),
        _ => clean(&format!("the authority answers {} {reason} instead of what is wrong", status.as_u16())),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date() {
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("18446744073709551615"), Some(i64::MAX));
        assert_eq!(seconds("-5"), None);
        assert_eq!(seconds("soon"), None);
        assert!(seconds("Fri, 31 Dec 1999 23:59:59 GMT").unwrap() < 0);
        let in_2100 = seconds("Fri, 01 Jan 2100 00:00:00 GMT").unwrap();
        assert!(in_2100 > 365 * 24 * 3600, "{in_2100}");
    }

    #[test]
    fn what_is_no_problem_document_is_told_by_its_status() {
        let answer = |status: u16, body: &'static str| {
            check_problem(&Response::builder().status(status).body(Bytes::from(body)).unwrap())
        };
        assert!(answer(400, r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#).is_ok());
        let html = answer(503, "<html>").unwrap_err().to_string();
        assert_eq!(html, "the authority answers 503 Service Unavailable instead of what is wrong");
        assert!(answer(404, "").unwrap_err().to_string().contains("is acme.directory right?"));
    }

    /// A server under TLS that gives one answer; its url, and the file with its root.
    async fn answers(folder: &Path, answer: String) -> (String, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = folder.join("ca.pem");
        fs::write(&file, certificate.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/dir", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let socket = listener.accept().await.unwrap().0;
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let mut stream = acceptor.accept(socket).await.unwrap();
            stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
            // The client may have heard enough.
            _ = stream.write_all(answer.as_bytes()).await;
            _ = stream.shutdown().await;
        });
        (url, file)
    }

    async fn asked(answer: String) -> (Result<Vec<u8>, String>, Option<i64>) {
        crate::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let (url, ca) = answers(folder.path(), answer).await;
        let retry_after = RetryAfter::default();
        let client = Client::try_new(Some(&ca), retry_after.clone()).unwrap();
        let request = Request::builder().uri(url).body(BodyWrapper::default()).unwrap();
        let answered = match client.request(request).await {
            Ok(mut response) => Ok(response.body.into_bytes().await.unwrap().to_vec()),
            Err(error) => Err(error.to_string()),
        };
        (answered, retry_after.take())
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn what_an_authority_answers_is_bounded_and_a_wait_that_it_wants_is_noted() {
        assert_eq!(asked(answer("200 OK", "{}")).await, (Ok(b"{}".to_vec()), None));
        let (large, _) = asked(answer("200 OK", &"x".repeat(1024 * 1024))).await;
        assert!(large.unwrap_err().starts_with("the authority cannot be asked: "));
        let (stranger, ca) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (url, _) = answers(stranger.path(), String::new()).await;
        let (_, ca) = answers(ca.path(), String::new()).await;
        let client = Client::try_new(Some(&ca), RetryAfter::default()).unwrap();
        let request = Request::builder().uri(url).body(BodyWrapper::default()).unwrap();
        let told = client.request(request).await.map(|_| ()).unwrap_err().to_string();
        assert!(
            told.contains("no authority of acme.ca, or of the system without it, vouches for its certificate"),
            "{told}"
        );
        let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#;
        let (answered, wait) = asked(answer("429 Too Many Requests\r\nRetry-After: 86400", limited)).await;
        assert_eq!((answered.unwrap(), wait), (limited.as_bytes().to_vec(), Some(86_400)));
        let (answered, wait) = asked(answer("503 Service Unavailable\r\nRetry-After: 120", "<html>")).await;
        assert!(answered.unwrap_err().contains("answers 503 Service Unavailable"));
        assert_eq!(wait, Some(120));
        // Elsewhere is somebody else.
        let (answered, _) = asked(answer("302 Found\r\nLocation: https://127.0.0.1:1/", "")).await;
        assert!(answered.is_err() || answered.is_ok_and(|body| body.is_empty()));
    }
}
