//! The certificates that all gateways show under TLS, the same files for each: one with an ECDSA key, one with an RSA key, made
//! anew for each run. Clients trust the one that they are to be shown and no other.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::workload::HOST;

/// What key a certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA of 2,048 bits.
    Rsa,
}

/// A certificate in files, as gateways read them.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// The certificate, in PEM.
    pub(super) cert: PathBuf,
    /// Its key, in PEM.
    pub(super) key: PathBuf,
    /// Both in one file, for HAProxy.
    pub(super) both: PathBuf,
    /// What clients trust.
    pub(super) der: CertificateDer<'static>,
}

/// One of each kind.
pub(super) struct Certificates {
    ecdsa: Certificate,
    rsa: Certificate,
}

impl Certificates {
    /// Makes them in a directory.
    ///
    /// # Errors
    /// A key cannot be made, or a file cannot be written.
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("no ECDSA key can be made")?;
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).context("no RSA key can be made")?;
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().context("the RSA key cannot be written")?;
        let rsa = PrivatePkcs8KeyDer::from(rsa.as_ref());
        let rsa = KeyPair::from_pkcs8_der_and_sign_algo(&rsa, &PKCS_RSA_SHA256)?;
        Ok(Self { ecdsa: Certificate::make(dir, "ecdsa", &ecdsa)?, rsa: Certificate::make(dir, "rsa", &rsa)? })
    }

    /// The one with such a key.
    pub(super) fn of(&self, key: Key) -> &Certificate {
        match key {
            Key::Ecdsa => &self.ecdsa,
            Key::Rsa => &self.rsa,
        }
    }
}

impl Certificate {
    /// Where the files of one are that is called `name`.
    pub(super) fn at(dir: &Path, name: &str, der: CertificateDer<'static>) -> Self {
        let path = |end: &str| dir.join(format!("{name}.{end}"));
        Self { cert: path("crt"), key: path("key"), both: path("pem"), der }
    }

    fn make(dir: &Path, name: &str, key: &KeyPair) -> Result<Self> {
        // With its address as well: the check names no host.
        let params = CertificateParams::new([HOST.to_owned(), "127.0.0.1".to_owned()])?;
        let made = params.self_signed(key).context("no certificate can be made")?;
        let this = Self::at(dir, name, made.der().clone());
        let (cert, key) = (made.pem(), key.serialize_pem());
        let both = format!("{cert}{key}");
        for (path, text) in [(&this.cert, &cert), (&this.key, &key), (&this.both, &both)] {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
        }
        Ok(this)
    }
}
