//! Questions to servers that do as they are told, on ports of their own.

mod answers;
mod connections;
mod limits;
mod questions;
mod secured;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Allowed, Asking, AuthAnswer, Denied, ForwardAuth, Question, Why};
use crate::config::{ClaimGrants, ForwardAuthConfig};
use crate::telemetry::{ForwardAuthMetrics, Telemetry};
use furt_core::model::{PermissionRule, PermissionSet, ProviderName, Scheme};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(30);

/// What a server does with a request.
#[derive(Debug, Clone)]
enum Act {
    /// Writes this, and waits for the next.
    Say(Vec<u8>),
    /// Writes this, and closes.
    Last(Vec<u8>),
    /// Writes this, and the rest a byte at a time, without end.
    Trickle(Vec<u8>),
    /// Nothing, and leaves the connection open.
    Silence,
}

/// A server that acts by the number of the connection and of the request on it, both from 0, and remembers the requests.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn acting(act: impl Fn(usize, usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (accepted, seen, act) = (Arc::clone(&connections), Arc::clone(&requests), Arc::new(act));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let socket = listener.accept().await.unwrap().0;
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let (seen, act) = (Arc::clone(&seen), Arc::clone(&act));
                open.spawn(async move { serve(socket, &seen, |request| act(number, request)).await });
            }
        });
        Self { address, connections, requests, _tasks: tasks }
    }

    /// One that says the same each time.
    async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::acting(move |_, _| Act::Say(answer.clone())).await
    }

    fn url(&self) -> String {
        format!("http://{}/verify?rd=1", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads requests without bodies, and acts.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    seen: &Mutex<Vec<String>>,
    act: impl Fn(usize) -> Act,
) {
    let mut read = Vec::new();
    for number in 0.. {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&read, b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(socket.read_buf(&mut read).await, Ok(1..)) {
                return;
            }
        };
        let head: Vec<u8> = read.drain(..end).collect();
        seen.lock().unwrap().push(String::from_utf8(head).unwrap());
        // Whoever asked may have heard enough.
        match act(number) {
            Act::Say(bytes) => _ = socket.write_all(&bytes).await,
            Act::Last(bytes) => {
                _ = socket.write_all(&bytes).await;
                _ = socket.shutdown().await;
                return;
            }
            Act::Trickle(bytes) => {
                _ = socket.write_all(&bytes).await;
                while socket.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                return;
            }
            Act::Silence => {}
        }
    }
}

/// An answer with a body of a known length.
fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn set(rules: &[&str]) -> PermissionSet {
    PermissionSet::new(rules.iter().map(|rule| PermissionRule::try_new(rule).unwrap()).collect())
}

fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

fn config(url: &str) -> ForwardAuthConfig {
    ForwardAuthConfig {
        name: ProviderName::try_new("login").unwrap(),
        url: url.parse().unwrap(),
        ca: None,
        timeout: LONG,
        request_headers: vec![name("cookie"), name("authorization"), name("accept")],
        copy: Vec::new(),
        user: None,
        grants: ClaimGrants::default(),
    }
}

/// What a test asks with.
struct Rig {
    metrics: Arc<ForwardAuthMetrics>,
    telemetry: Arc<Telemetry>,
    asking: Asking,
}

impl Rig {
    fn new() -> Self {
        crate::tls::install();
        let telemetry = Telemetry::try_new().unwrap();
        let metrics = Arc::new(telemetry.show_forward_auth().unwrap());
        Self { asking: Asking::new(Arc::clone(&metrics)), metrics, telemetry }
    }

    fn open(&self, config: ForwardAuthConfig) -> ForwardAuth {
        ForwardAuth::open(config, &self.asking).unwrap()
    }

    /// What is counted, in the exporter's words.
    fn counted(&self, outcome: &str) -> u64 {
        let view = || crate::telemetry::ScrapeView { services: Vec::new(), has_route: |_: &_, _| false };
        let text = String::from_utf8(self.telemetry.gather(view).flatten().collect()).unwrap();
        let line = format!("furt_forward_auth_total{{name=\"login\",outcome=\"{outcome}\"}} ");
        text.lines().find_map(|text| text.strip_prefix(&line)).unwrap().parse().unwrap()
    }

    async fn ask(&self, auth: &ForwardAuth) -> Result<Allowed, Denied> {
        self.ask_from(auth, LOCAL).await
    }

    async fn ask_from(&self, auth: &ForwardAuth, address: IpAddr) -> Result<Allowed, Denied> {
        let headers = HeaderMap::new();
        auth.ask(&self.asking, Question { address: Some(address), ..about(&headers) }).await
    }

    /// Asks one server once.
    async fn asked(&self, config: ForwardAuthConfig) -> Result<Allowed, Denied> {
        self.ask(&self.open(config)).await
    }
}

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn about(headers: &HeaderMap) -> Question<'_> {
    Question {
        traceparent: None,
        method: &Method::GET,
        scheme: Scheme::Https,
        host: "",
        uri: "/a".to_owned(),
        forwarded_for: "192.0.2.1",
        headers,
        address: None,
    }
}

/// The answer that a client gets.
fn for_client(outcome: Result<Allowed, Denied>) -> AuthAnswer {
    match outcome {
        Err(Denied::Answer(answer)) => *answer,
        other => panic!("{other:?}"),
    }
}

/// Why there is none.
fn why(outcome: Result<Allowed, Denied>) -> Why {
    match outcome {
        Err(Denied::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Waits until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap();
}

fn words(pairs: &[(&str, &[&str])]) -> BTreeMap<String, PermissionSet> {
    pairs.iter().map(|(word, rules)| ((*word).to_owned(), set(rules))).collect()
}
