//! pebble, a small authority that speaks ACME, with the server of names that it asks: every name leads to 127.0.0.1.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};

use super::program::{self, Program};
use crate::support::authority::Authority;
use crate::support::{eventually, ports};

/// For a start, on a machine that builds and tests beside it.
const START: Duration = Duration::from_secs(20);

/// What differs from pebble's defaults.
pub(crate) struct Options {
    /// How long a certificate is good, in s.
    pub(crate) validity: u64,
    /// How many nonces of a hundred it refuses.
    pub(crate) bad_nonces: u32,
    /// Accounts must be bound to this key of that id.
    pub(crate) external: Option<(&'static str, &'static str)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { validity: 90 * 24 * 3600, bad_nonces: 0, external: None }
    }
}

/// The authority, and where it looks for answers.
pub(crate) struct Pebble {
    /// Where furt is plain.
    pub(crate) plain: SocketAddr,
    /// Where furt is under TLS.
    pub(crate) tls: SocketAddr,
    address: SocketAddr,
    management: SocketAddr,
    names: Option<Program>,
    names_at: SocketAddr,
    program: Option<Program>,
    /// Those of the next start.
    pub(crate) options: Options,
    dir: TempDir,
}

impl Pebble {
    pub(crate) async fn start(options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.signed("127.0.0.1");
        for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", certificate), ("key.pem", key)] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut pebble = Self {
            plain: ports::free_address(),
            tls: ports::free_address(),
            address: ports::free_address(),
            management: ports::free_address(),
            names_at: names_address(),
            names: None,
            program: None,
            options,
            dir,
        };
        pebble.start_names();
        pebble.start_again(true).await;
        pebble
    }

    /// The url for `acme.directory`.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// What a client trusts that speaks to the authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A folder for the test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration of a furt that gets certificates here; `more` are keys of `[acme]`, and further tables.
    pub(crate) fn tail(&self, more: &str) -> String {
        format!(
            "[server]\nlisten = ['{}']\n[tls]\nlisten = ['{}']\n[acme]\ndirectory = '{}'\nca = '{}'\nagree_terms = true\n{more}",
            self.plain,
            self.tls,
            self.directory(),
            self.ca().display()
        )
    }

    /// SIGKILL: it forgets every account and certificate.
    pub(crate) fn kill(&mut self) {
        self.program = None;
    }

    /// Starts it on the same ports. Where it `finds_http` it looks for answers at `plain`, else where nobody is.
    pub(crate) async fn start_again(&mut self, finds_http: bool) {
        let http = if finds_http { self.plain.port() } else { 9 };
        let mut settings = serde_json::json!({
            "listenAddress": self.address.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": self.dir.path().join("cert.pem"),
            "privateKey": self.dir.path().join("key.pem"),
            "httpPort": http,
            "tlsPort": self.tls.port(),
            "ocspResponderURL": "",
            "certificateValidityPeriod": self.options.validity,
            "externalAccountBindingRequired": self.options.external.is_some(),
        });
        if let Some((kid, key)) = self.options.external {
            settings["externalAccountMACKeys"] = serde_json::json!({ kid: key });
        }
        let config = self.dir.path().join("pebble.json");
        fs::write(&config, serde_json::json!({ "pebble": settings }).to_string()).unwrap();
        let mut command = Command::new(program::path("pebble", "pebble"));
        command.arg("-config").arg(&config).args(["-dnsserver", &self.names_at.to_string()]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.env("PEBBLE_WFE_NONCEREJECT", self.options.bad_nonces.to_string());
        self.program = Some(Program::start(&mut command, &self.dir.path().join("pebble.log")));
        eventually("pebble answers", START, async || self.get(self.address, "/dir").await).await;
    }

    /// The root of the certificates that it gives, which is another one after each start.
    pub(crate) async fn root(&self) -> CertificateDer<'static> {
        let answer = self.get(self.management, "/roots/0").await.unwrap();
        let pem = &answer[answer.find("-----BEGIN").unwrap()..];
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    /// A client that trusts the certificates that it gives now.
    pub(crate) async fn client(&self) -> Arc<ClientConfig> {
        Arc::new(trusting(self.root().await))
    }

    fn start_names(&mut self) {
        let mut command = Command::new(program::path("pebble", "pebble-challtestsrv"));
        let management = ports::free_address().to_string();
        command.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-management", &management]);
        command.args(["-dns01", &self.names_at.to_string(), "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        self.names = Some(Program::start(&mut command, &self.dir.path().join("names.log")));
    }

    async fn get(&self, address: SocketAddr, path: &str) -> Option<String> {
        let pem = fs::read(self.ca()).unwrap();
        let client = trusting(CertificateDer::from_pem_slice(&pem).unwrap());
        let socket = TcpStream::connect(address).await.ok()?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, socket).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        String::from_utf8(answer).ok().filter(|answer| answer.contains(" 200 "))
    }
}

/// One that is free over TCP and UDP: the ports of tests are held by UDP sockets.
fn names_address() -> SocketAddr {
    let free = || {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(6_000..10_000)));
        (TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()).then_some(at)
    };
    (0..1_000).find_map(|_| free()).expect("a free port between 6000 and 10000")
}

pub(super) fn trusting(root: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}
