//! How the driver speaks TLS: version 1.3, AES-128-GCM and X25519, so that no gateway is measured by another cipher.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::http1::{Framing, Head};
use super::workload::HOST;

/// Under TLS.
pub(super) type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Connects with a full handshake, asks once by HTTP/1.1 and leaves.
    Once,
    /// The same with the ticket of the time before.
    Again,
    /// Stays, and asks by HTTP/2.
    H2,
}

/// One client that can connect.
#[derive(Clone)]
pub(super) struct Caller {
    address: SocketAddr,
    habit: Habit,
    connector: TlsConnector,
}

/// The ciphers of the driver and of the check.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

impl Caller {
    /// One that knows no session yet and trusts this certificate alone.
    ///
    /// # Errors
    /// The certificate is none.
    pub(super) fn new(address: SocketAddr, habit: Habit, trusted: &CertificateDer<'static>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).context("the certificate cannot be trusted")?;
        let config = ClientConfig::builder_with_provider(Arc::new(provider()));
        let config = config.with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![if habit == Habit::H2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        config.resumption =
            if habit == Habit::Again { Resumption::in_memory_sessions(2) } else { Resumption::disabled() };
        Ok(Self { address, habit, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects, from this source address if one is given, and shakes hands.
    ///
    /// # Errors
    /// It is refused, or another protocol is chosen.
    pub(super) async fn connect(&self, source: Option<Ipv4Addr>) -> Result<Stream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = source {
            socket.bind((IpAddr::V4(source), 0).into())?;
        }
        let stream =
            socket.connect(self.address).await.with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(ServerName::try_from(HOST)?, stream).await.context("handshake")?;
        let chosen = stream.get_ref().1.alpn_protocol().unwrap_or(b"http/1.1");
        let is_h2 = chosen == b"h2";
        ensure!(is_h2 == (self.habit == Habit::H2), "the gateway chose {}", String::from_utf8_lossy(chosen));
        Ok(stream)
    }

    /// Connects, asks once and closes.
    ///
    /// # Errors
    /// The answer is not the right one, or a session was to be resumed and was not.
    pub(super) async fn once(&self, request: &[u8], answer_length: u64) -> Result<()> {
        let is_resumed = self.visit(request, answer_length).await?;
        ensure!(is_resumed == (self.habit == Habit::Again), "the gateway did not resume the session");
        Ok(())
    }

    /// The same, for the sake of a ticket.
    ///
    /// # Errors
    /// The answer is not the right one.
    pub(super) async fn first(&self, request: &[u8], answer_length: u64) -> Result<()> {
        self.visit(request, answer_length).await.map(drop)
    }

    /// Whether a session was resumed.
    async fn visit(&self, request: &[u8], answer_length: u64) -> Result<bool> {
        let mut stream = self.connect(None).await?;
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        ask(&mut stream, request, answer_length).await?;
        stream.shutdown().await.context("close")?;
        Ok(is_resumed)
    }
}

/// Asks by HTTP/1.1, and reads the answer to its end.
///
/// # Errors
/// It is not 200 of this length.
pub(super) async fn ask(stream: &mut Stream, request: &[u8], answer_length: u64) -> Result<()> {
    stream.write_all(request).await.context("request")?;
    let mut answer = Vec::with_capacity(2048);
    loop {
        let read = stream.read_buf(&mut answer).await.context("answer")?;
        ensure!(read > 0, "the connection was closed");
        let Some(head) = Head::read(&answer) else { continue };
        let Framing::Length(length) = head.framing else { anyhow::bail!("the answer has no Content-Length") };
        let status = head.status().context("the answer has no status")?;
        ensure!(status == 200 && length == answer_length, "answered by {status} with {length} bytes");
        if (answer.len() - head.length) as u64 >= length {
            return Ok(());
        }
    }
}

// The bench is built without the test harness: there the tests are gone, and what they call is unused.
#[cfg(test)]
#[allow(dead_code)]
mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Answers one request of each connection by HTTP/1.1, with so many tickets after a handshake.
    async fn serve(tickets: usize) -> (SocketAddr, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let (der, key) = (made.cert.der().clone(), PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(provider()));
        let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![der.clone()], key.into()).unwrap();
        config.send_tls13_tickets = tickets;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust it goes away, and the next one comes.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _request = stream.read(&mut [0; 1024]).await;
                let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").await;
                let _end = stream.shutdown().await;
            }
        });
        (address, der)
    }

    #[tokio::test]
    async fn a_session_that_is_not_resumed_is_a_failure_where_it_is_to_be() {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        for (tickets, is_resumed) in [(2, true), (0, false)] {
            let (address, der) = serve(tickets).await;
            let again = Caller::new(address, Habit::Again, &der).unwrap();
            again.first(request, 4).await.unwrap();
            assert_eq!(again.once(request, 4).await.is_ok(), is_resumed, "{tickets} tickets");
            // A new handshake is always good where that is measured.
            let once = Caller::new(address, Habit::Once, &der).unwrap();
            once.once(request, 4).await.unwrap();
            once.once(request, 4).await.unwrap();
        }
    }

    #[tokio::test]
    async fn another_certificate_protocol_or_answer_is_a_failure() {
        let (address, der) = serve(2).await;
        let (_, other) = serve(2).await;
        let fail = async |habit, trusted: &CertificateDer<'static>, length| {
            let caller = Caller::new(address, habit, trusted).unwrap();
            format!("{:#}", caller.once(b"GET / HTTP/1.1\r\n\r\n", length).await.unwrap_err())
        };
        assert!(fail(Habit::Once, &other, 4).await.starts_with("handshake: "));
        assert_eq!(fail(Habit::H2, &der, 4).await, "the gateway chose http/1.1");
        assert_eq!(fail(Habit::Once, &der, 64).await, "answered by 200 with 4 bytes");
    }
}
