//! A server beside services, such as one that vouches for callers: it answers as the test says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ports;

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) target: String,
    /// By name in lower case; several values are joined with `|`.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

impl Question {
    /// A header; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// With this status, these headers and this body.
    With(u16, Vec<(&'static str, String)>, String),
    /// With 200, once it is told to.
    Told(Arc<Notify>),
    /// Never.
    Never,
}

type Answering = dyn Fn(&Question) -> Reply + Send + Sync;

/// The server.
pub(crate) struct Answers {
    address: SocketAddr,
    answering: Arc<Mutex<Arc<Answering>>>,
    asked: Arc<Mutex<Vec<Question>>>,
    task: JoinHandle<()>,
}

impl Answers {
    /// Answers as `answering` says.
    pub(crate) async fn start(answering: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Self {
        let listener = ports::listener();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let answering: Arc<Mutex<Arc<Answering>>> = Arc::new(Mutex::new(Arc::new(answering)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let state = (Arc::clone(&answering), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(async move {
                    _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, answering, asked, task }
    }

    /// From now on it answers so.
    pub(crate) fn set(&self, answering: impl Fn(&Question) -> Reply + Send + Sync + 'static) {
        *self.answering.lock().unwrap() = Arc::new(answering);
    }

    /// What it was asked since it was last looked at.
    pub(crate) fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type State = (Arc<Mutex<Arc<Answering>>>, Arc<Mutex<Vec<Question>>>);

async fn answer((answering, asked): State, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        let joined = headers.entry(name.as_str().to_owned()).or_default();
        *joined = if joined.is_empty() { value.into_owned() } else { format!("{joined}|{value}") };
    }
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let question = Question { method, target, headers, body };
    let answering = Arc::clone(&answering.lock().unwrap());
    let reply = answering(&question);
    asked.lock().unwrap().push(question);
    match reply {
        Reply::With(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body.into())).unwrap())
        }
        Reply::Told(told) => {
            told.notified().await;
            Ok(Response::new(Full::default()))
        }
        Reply::Never => pending().await,
    }
}
