//! A service that keeps what it was sent, whole, and answers 200.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::task::{JoinHandle, JoinSet};

use super::{SOON, eventually, ports};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Whether its header said that nothing follows.
    pub(crate) is_header_alone: bool,
    pub(crate) body: Bytes,
}

impl Recorded {
    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// The host that was asked for, by either protocol.
    pub(crate) fn host(&self) -> &str {
        let host = self.headers.get("host").and_then(|host| host.to_str().ok());
        self.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or_default()
    }
}

/// The service. It speaks HTTP/1.1 and HTTP/2 with prior knowledge.
pub(crate) struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Recorded>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Answers with so many bytes.
    pub(crate) async fn answering(bytes: usize) -> Self {
        let (listener, url) = ports::service();
        let (seen, connections) = (Arc::<Mutex<Vec<Recorded>>>::default(), Arc::<AtomicUsize>::default());
        let (kept, counted) = (Arc::clone(&seen), Arc::clone(&connections));
        let answer = Bytes::from(vec![b'a'; bytes]);
        let task = tokio::spawn(async move {
            // Dropped with this task, which cuts every connection.
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (Arc::clone(&kept), answer.clone());
                let service = service_fn(move |request| record(request, Arc::clone(&seen), answer.clone()));
                serving.spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, seen, connections, task }
    }

    pub(crate) async fn start() -> Self {
        Self::answering(2).await
    }

    /// Its url.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What came whole, in its order.
    pub(crate) fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests, once there are so many.
    pub(crate) async fn has(&self, count: usize) -> Vec<Recorded> {
        eventually(&format!("{count} requests at {}", self.url), SOON, async || {
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
        .await
    }
}

async fn record(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Recorded>>>,
    answer: Bytes,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let is_header_alone = body.is_end_stream();
    let body = body.collect().await?.to_bytes();
    let (method, uri, version, headers) = (head.method, head.uri, head.version, head.headers);
    seen.lock().unwrap().push(Recorded { method, uri, version, headers, is_header_alone, body });
    Ok(Response::new(Full::new(answer)))
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
