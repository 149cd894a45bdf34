//! Services that misbehave below HTTP: they answer their probes, and everything else with bytes of the test's choosing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ports;

/// What follows a request.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// The connection is closed.
    Close,
    /// The connection stays open, and nothing more comes.
    Hang,
}

/// A service that writes fixed bytes.
pub(crate) struct Scripted {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Answers every request but `GET /health` with `bytes`, `then` closes or hangs.
    pub(crate) async fn start(bytes: &'static str, then: Then) -> Self {
        Self::start_slow(bytes, then, Duration::ZERO).await
    }

    /// The same, so long after the request's header.
    pub(crate) async fn start_slow(bytes: &'static str, then: Then, after: Duration) -> Self {
        let listener = ports::listener();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, bytes, then, after, counter.clone()));
            }
        });
        Self { address, requests, task }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came, probes not counted.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, bytes: &'static str, then: Then, after: Duration, requests: Arc<AtomicUsize>) {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return;
        }
    }
    if read.starts_with(b"GET /health ") {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        return;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(after).await;
    let _ = stream.write_all(bytes.as_bytes()).await;
    if let Then::Hang = then {
        // Until the gateway gives up and closes.
        while matches!(stream.read_buf(&mut read).await, Ok(1..)) {}
    }
}

/// An address where connecting neither succeeds nor fails: its queue of pending connections is full.
pub(crate) struct Blackhole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    /// Fills the queue until a further connection hangs.
    pub(crate) async fn start() -> Self {
        let address = ports::free_address();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queued = Vec::new();
        // Linux queues one more than asked for; a hundred would mean that it does not keep to it at all.
        for _ in 0..100 {
            match timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
                Ok(stream) => queued.push(stream.unwrap()),
                Err(_) => return Self { address, _listener: listener, _queued: queued },
            }
        }
        panic!("the queue of pending connections never fills");
    }

    /// Where nothing answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
