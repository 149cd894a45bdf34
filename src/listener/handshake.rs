//! Handshakes of TLS: which certificate a client is shown, how long it may take, and how many are computed at once.
//!
//! A connection has its permit before. A handshake that fails is counted and told at the level of debugging alone: strangers
//! cause them as they like. Its task ends with it, and what serves the connection then has one of its own, without room for it.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pingora::server::ShutdownWatch;
use rustls::HandshakeKind;
use rustls::server::ClientHello;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;

use super::hello::{self, Hello};
use super::session::{Session, version};
use crate::telemetry::{HandshakeOutcome, TlsMetrics};
use crate::tls::{ACME_TLS, Handshake, Offer, Secured, Shown, ShownByClient};

/// Handshakes of a thread that are computed or about to be. More clients wait in line, so that a flood of them does not hold up
/// requests for longer than these take. A client that is slow holds none of these places.
const AT_ONCE: usize = 4;
/// For the last word of a handshake that was for a challenge alone.
const CHALLENGE_END: Duration = Duration::from_secs(2);
/// A fatal alert `unrecognized_name`, in a record of its own (RFC 6066 §3). Before the server's first word alerts are plain.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The handshakes of a listener.
pub struct Handshakes {
    shown: Shown,
    metrics: Arc<TlsMetrics>,
    computing: Semaphore,
}

/// Why there is no connection under TLS.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("there is no certificate for {0}")]
    UnknownName(String),
    #[error("a request of HTTP came without TLS")]
    PlainHttp,
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl Handshakes {
    /// For a listener of so many threads.
    pub fn new(shown: Shown, metrics: Arc<TlsMetrics>, threads: usize) -> Self {
        Self { shown, metrics, computing: Semaphore::new(threads.max(1) * AT_ONCE) }
    }

    /// The connection under TLS; `None`: there is none, and the socket is closed. `reached` is the address that the client did, where
    /// that is not the socket's own. Ends with `idle_ends`.
    pub(super) async fn shake_until_stopped(
        &self,
        socket: TcpStream,
        reached: Option<IpAddr>,
        idle_ends: &ShutdownWatch,
    ) -> Option<Session> {
        let mut stopping = idle_ends.clone();
        tokio::select! {
            biased;
            session = self.shake(socket, reached) => session,
            // Nothing was asked for yet.
            _ = stopping.wait_for(|stops| *stops) => None,
        }
    }

    async fn shake(&self, socket: TcpStream, reached: Option<IpAddr>) -> Option<Session> {
        let timeout = self.shown.handshake_timeout();
        let outcome = match tokio::time::timeout(timeout, self.try_shake(socket, reached)).await {
            Ok(Ok((stream, _))) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
                end_challenge(stream).await;
                HandshakeOutcome::Challenge
            }
            Ok(Ok((stream, offer))) => {
                let (_, session) = stream.get_ref();
                let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
                let version = version(session.protocol_version());
                self.metrics.handshake(HandshakeOutcome::Done { version, resumed });
                let shown = |rule| ShownByClient::new(rule, session.peer_certificates().unwrap_or_default());
                let client = offer.rule.map(shown);
                let handshake = Handshake { version, resumed };
                let new = |covered| Secured::new(covered, session.server_name(), handshake, client);
                let secured = offer.covered.map(new);
                return Some(Session::new(stream, secured));
            }
            Ok(Err(error)) => {
                log::debug!("a handshake failed: {error}");
                outcome(&error)
            }
            Err(_) => HandshakeOutcome::TimedOut,
        };
        self.metrics.handshake(outcome);
        None
    }

    async fn try_shake(
        &self,
        socket: TcpStream,
        reached: Option<IpAddr>,
    ) -> Result<(TlsStream<TcpStream>, Offer), HandshakeError> {
        let mut start = match hello::read(socket).await? {
            Hello::Tls(start) => start,
            Hello::Http(request) => {
                request.refuse(self.mark()).await;
                return Err(HandshakeError::PlainHttp);
            }
        };
        let address = || reached.or_else(|| start.io.local_addr().ok().map(|address| address.ip()));
        let Some(offer) = self.offer_for(&start.client_hello(), address) else {
            let name = start.client_hello().server_name().unwrap_or("a client that names no host").to_owned();
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            return Err(HandshakeError::UnknownName(name));
        };
        // What is costly is done at once, when the client's first word is there.
        let place = self.computing.acquire().await;
        let mut accepting = start.into_stream(Arc::clone(&offer.config));
        let first = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut accepting).poll(context))).await;
        drop(place);
        match first {
            Poll::Ready(accepted) => Ok((accepted?, offer)),
            Poll::Pending => Ok((accepting.await?, offer)),
        }
    }

    /// The header that all answers of the listener have.
    fn mark(&self) -> (&'static str, &'static str) {
        match self.shown {
            Shown::Public(_) => ("X-Gateway", "furt"),
            Shown::Internal(_) => ("X-Furt-Listener", "internal"),
        }
    }

    fn offer_for(&self, hello: &ClientHello<'_>, address: impl FnOnce() -> Option<IpAddr>) -> Option<Offer> {
        // Asked first: a client that wants this protocol is never shown another certificate for it.
        let challenge = self.shown.challenge(hello.server_name()).filter(|_| is_challenge(hello));
        challenge.or_else(|| self.shown.find(hello.server_name(), address))
    }
}

/// Whether an authority looks for the answer to a challenge (RFC 8737 §3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS))
}

/// The certificate was all that was asked for.
async fn end_challenge(mut stream: TlsStream<TcpStream>) {
    // An authority that is gone has seen it.
    _ = tokio::time::timeout(CHALLENGE_END, stream.shutdown()).await;
}

fn outcome(error: &HandshakeError) -> HandshakeOutcome {
    match error {
        HandshakeError::UnknownName(_) => HandshakeOutcome::UnknownName,
        HandshakeError::PlainHttp => HandshakeOutcome::PlainHttp,
        HandshakeError::Failed(error) if is_of_client_certificate(error) => HandshakeOutcome::ClientCertificate,
        HandshakeError::Failed(error) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => HandshakeOutcome::Closed,
            _ => HandshakeOutcome::Failed,
        },
    }
}

/// Whether the client has shown no certificate that must, or one that is not accepted.
fn is_of_client_certificate(error: &io::Error) -> bool {
    let why = error.get_ref().and_then(|why| why.downcast_ref::<rustls::Error>());
    matches!(
        why,
        Some(
            rustls::Error::NoCertificatesPresented
                | rustls::Error::InvalidCertificate(_)
                | rustls::Error::InvalidCertRevocationList(_)
        )
    )
}
