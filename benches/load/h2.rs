//! The client side of HTTP/2: connections under TLS by the crate `h2`, each with several requests at once.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use h2::client::SendRequest;
use http::{Request, StatusCode};
use tokio::task::JoinHandle;

use super::tls::Caller;
use super::workload::HOST;

/// A connection that requests can be sent on, and its work.
pub(super) struct Connection {
    requests: SendRequest<Empty>,
    /// Ends with the connection.
    pub(super) work: JoinHandle<()>,
}

/// What requests carry.
type Empty = &'static [u8];

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// It is refused.
    pub(super) async fn open(caller: &Caller, source: Option<Ipv4Addr>) -> Result<Self> {
        let stream = caller.connect(source).await?;
        let (requests, connection) = h2::client::Builder::new().handshake(stream).await.context("HTTP/2")?;
        // Why it ended is told by the requests that it had.
        let work = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests, work })
    }

    /// What requests are sent by, also while others are in flight.
    pub(super) fn sender(&self) -> Sender {
        Sender(self.requests.clone())
    }
}

/// Sends requests on a connection.
pub(super) struct Sender(SendRequest<Empty>);

impl Sender {
    /// Asks, and reads the answer to its end.
    ///
    /// # Errors
    /// It is not 200 of this length.
    pub(super) async fn ask(self, target: &str, answer_length: u64) -> Result<()> {
        let request = Request::get(format!("https://{HOST}{target}")).header("user-agent", "load");
        let request = request.header("accept", "*/*").body(())?;
        let (answer, _) = self.0.ready().await.context("stream")?.send_request(request, true).context("request")?;
        let answer = answer.await.context("answer")?;
        let status = answer.status();
        let (mut body, mut length) = (answer.into_body(), 0);
        while let Some(piece) = body.data().await {
            let piece = piece.context("body")?;
            length += piece.len() as u64;
            body.flow_control().release_capacity(piece.len())?;
        }
        ensure!(status == StatusCode::OK && length == answer_length, "answered by {status} with {length} bytes");
        Ok(())
    }
}
