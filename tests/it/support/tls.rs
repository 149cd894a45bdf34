//! A gateway under TLS: certificates in a folder of the test's own, and clients that trust them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;

use super::authority::Authority;
use super::ports;
use super::wire::Wire;

/// TLS 1.2, and nothing else.
pub(crate) static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
/// TLS 1.3, and nothing else.
pub(crate) static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The files, and where the gateway listens for TLS.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    authority: Authority,
    folder: TempDir,
}

impl Edge {
    /// With a certificate `a` for `a.example` and `127.0.0.1`.
    pub(crate) fn new() -> Self {
        let edge =
            Self { address: ports::free_address(), authority: Authority::new(), folder: TempDir::new().unwrap() };
        edge.write("a", &["a.example", "127.0.0.1"]);
        edge
    }

    /// A file of the folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes `file.pem` and `file.key`, each in one step; gives the certificate.
    pub(crate) fn write(&self, file: &str, names: &[&str]) -> CertificateDer<'static> {
        self.write_until(file, names, 2999)
    }

    /// The same of a certificate that ends with that year.
    pub(crate) fn write_until(&self, file: &str, names: &[&str], year: i32) -> CertificateDer<'static> {
        let (certificate, key) = self.authority.signed_until(names, year);
        put(&self.path(&format!("{file}.pem")), &certificate, 0o644);
        put(&self.path(&format!("{file}.key")), &key, 0o600);
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
    }

    /// A certificate and its key, as PEM, for files of another kind.
    #[allow(dead_code, reason = "only the tests beside foreign programs use it")]
    pub(crate) fn signed(&self, names: &[&str]) -> (String, String) {
        self.authority.signed_until(names, 2999)
    }

    /// Writes the certificate that all of them are signed by, for clients that trust files.
    #[allow(dead_code, reason = "only foreign clients do")]
    pub(crate) fn authority_file(&self) -> PathBuf {
        let path = self.path("authority.pem");
        put(&path, &self.authority.pem(), 0o644);
        path
    }

    /// `[[certificates]]` of that file.
    pub(crate) fn entry(&self, file: &str) -> String {
        let (cert, key) = (self.path(&format!("{file}.pem")), self.path(&format!("{file}.key")));
        format!("[[certificates]]\ncert = '{}'\nkey = '{}'\n", cert.display(), key.display())
    }

    /// The configuration of a gateway with these certificates; `more` are keys of `[tls]`, and further tables.
    pub(crate) fn tail(&self, files: &[&str], more: &str) -> String {
        let entries: String = files.iter().map(|file| self.entry(file)).collect();
        format!("[tls]\nlisten = '{}'\n{more}\n{entries}", self.address)
    }

    /// Of the authority of the certificates, for programs that read files.
    #[allow(dead_code, reason = "only the tests beside foreign programs use it")]
    pub(crate) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// A client that trusts the certificates, and keeps its sessions.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Connects as any client would; `name` is a host or an address.
    pub(crate) async fn try_connect(&self, client: &Arc<ClientConfig>, name: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let socket = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::clone(client)).connect(name, socket).await
    }

    /// A connection for `a.example`.
    pub(crate) async fn wire(&self) -> Wire<Stream> {
        let client = self.client(rustls::ALL_VERSIONS);
        Wire::of(self.try_connect(&client, "a.example").await.expect("a handshake"))
    }
}

/// What a client has.
pub(crate) type Stream = TlsStream<TcpStream>;

/// The certificate that a client was shown.
pub(crate) fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Puts a file in place in one step.
pub(crate) fn put(path: &Path, text: &str, mode: u32) {
    let beside = path.with_extension("beside");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(beside, path).unwrap();
}
