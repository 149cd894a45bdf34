//! acme2certifier, an authority that says when it wants certificates to be renewed (RFC 9773). It looks at no challenge here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::rustls;

use super::pebble::trusting;
use super::program::Program;
use crate::support::authority::Authority;
use crate::support::{eventually, ports};

/// For a start, on a machine that builds and tests beside it: it reads hundreds of files of Python.
const START: Duration = Duration::from_secs(60);
/// What its certificates are good for where nothing shortens them.
const DAYS: u64 = 30;

/// What it answers of when to renew.
#[derive(Clone, Copy)]
pub(crate) enum Suggested {
    /// The second after the certificate was given.
    Now,
    /// After this many hundredths of its life, within the hour.
    After(u32),
}

/// The authority.
pub(crate) struct Acme2certifier {
    address: SocketAddr,
    root: rustls::pki_types::CertificateDer<'static>,
    program: Option<Program>,
    dir: TempDir,
}

impl Acme2certifier {
    /// Starts one whose own certificate, and with it all that it gives, ends after `life`; `None`: they are good for 30 days.
    pub(crate) async fn start(life: Option<Duration>, suggested: Suggested) -> Self {
        let dir = TempDir::new().unwrap();
        let own = Authority::new();
        let (certificate, key) = own.signed("127.0.0.1");
        let issuing_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an issuer for one test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = (SystemTime::now() + life.unwrap_or(Duration::from_hours(10 * DAYS * 24))).into();
        let issuer = params.self_signed(&issuing_key).unwrap();
        for (name, text) in [
            ("ca.pem", own.pem()),
            ("cert.pem", certificate),
            ("key.pem", key),
            ("issuer.pem", issuer.pem()),
            ("issuer.key", issuing_key.serialize_pem()),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("given")).unwrap();
        let root = issuer.der().clone();
        let mut authority = Self { address: ports::free_address(), root, program: None, dir };
        authority.start_again(suggested).await;
        authority
    }

    /// The url for `acme.directory`.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}/directory", self.address)
    }

    /// What a client trusts that speaks to the authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A client that trusts the certificates that it gives.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(trusting(self.root.clone()))
    }

    /// Starts it with the certificates that it has given.
    pub(crate) async fn start_again(&mut self, suggested: Suggested) {
        self.program = None;
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let (hundredths, width) = match suggested {
            Suggested::Now => (0, 1),
            Suggested::After(hundredths) => (hundredths, 3600),
        };
        let config = format!(
            "[CAhandler]\nhandler_module: acme2certifier.cahandlers.openssl_ca_handler\nissuing_ca_key: {}\n\
             issuing_ca_cert: {}\nissuing_ca_crl: {}\ncert_save_path: {}\ncert_validity_days: {DAYS}\n\
             cert_validity_adjust: True\n[DBhandler]\ndbfile: {}\n[Challenge]\nchallenge_validation_disable: True\n\
             [Renewalinfo]\nrenewalthreshold_pctg: {hundredths}\nrenewal_window_duration: {width}\n[Directory]\n",
            at("issuer.key"),
            at("issuer.pem"),
            at("issuer.crl"),
            at("given"),
            at("acme.db"),
        );
        fs::write(at("acme_srv.cfg"), config).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = root.join("target/interop/acme2certifier");
        assert!(packages.exists(), "{} is missing: `make setup-interop-all` installs it there", packages.display());
        let mut command = Command::new("python3");
        command.arg(root.join("tests/interop/programs/authority.py"));
        command.args([&self.address.port().to_string(), &at("cert.pem"), &at("key.pem")]);
        command.env("PYTHONPATH", packages).env("ACME_SRV_CONFIGFILE", at("acme_srv.cfg")).env("HTTPS", "on");
        // It asks for this where it looks at no challenge.
        command.env("ACME2CERTIFIER_I_KNOW_THE_RISK", "1");
        self.program = Some(Program::start(&mut command, &self.dir.path().join("acme2certifier.log")));
        eventually("acme2certifier listens", START, async || TcpStream::connect(self.address).await.ok()).await;
    }
}
