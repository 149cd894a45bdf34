//! The service behind all gateways. It notes the header of each request as it came, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{ports, wire};

/// What it answers unless a test says otherwise: with two bytes of a body.
const OK: &str = "200 OK\r\n";

#[derive(Default)]
struct Shared {
    /// The status and the fields of its next answers.
    answer: Mutex<Option<String>>,
    heads: Mutex<Vec<String>>,
}

/// A running one. A path with `hang` in it gets no answer, and for one with `cut` the connection is closed.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Service {
    pub(super) fn start() -> Self {
        let listener = ports::listener();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let shared = Arc::<Shared>::default();
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, accepting.clone()));
            }
        });
        Self { address, shared, task }
    }

    /// The status line behind its version, and fields, each with its end of the line; `None`: 200.
    pub(super) fn answers(&self, answer: Option<String>) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// The header of the request with this text in it, if one came.
    pub(super) fn seen(&self, mark: &str) -> Option<String> {
        self.shared.heads.lock().unwrap().iter().find(|head| head.contains(mark)).cloned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `None`: the connection is closed.
async fn serve(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (stream.read_line(&mut head).await.ok()? > 0).then_some(())?;
        }
        shared.heads.lock().unwrap().push(head.clone());
        drain(&mut stream, &head).await?;
        let target = head.split(' ').nth(1)?;
        if target.contains("hang") {
            return std::future::pending().await;
        }
        if target.contains("cut") {
            return None;
        }
        if wire::header(&head, "upgrade").is_some() {
            let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(switched.as_bytes()).await.ok()?;
            return None;
        }
        let answer = shared.answer.lock().unwrap().clone();
        let body = if head.starts_with("HEAD ") { "" } else { "ok" };
        let answer = format!("HTTP/1.1 {}Content-Length: 2\r\n\r\n{body}", answer.as_deref().unwrap_or(OK));
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Reads the body.
async fn drain(stream: &mut BufReader<TcpStream>, head: &str) -> Option<()> {
    if let Some(length) = wire::header(head, "content-length") {
        let mut body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
    } else if wire::header(head, "transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).await.ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            if size == 0 {
                return Some(());
            }
        }
    }
    Some(())
}
