//! Whom verbs trust over https, and what they show: as furt-client does, by the environment.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The authorities of `FURT_CA`, else those of the system; the certificate of `FURT_CERT` and `FURT_KEY`, if there is one.
pub(super) fn settings() -> Result<TlsConfig> {
    let roots = match file("FURT_CA") {
        Some(path) => certificates("FURT_CA", &path)?,
        None => system()?,
    };
    let own = match (file("FURT_CERT"), file("FURT_KEY")) {
        (None, None) => None,
        (Some(cert), Some(key)) => {
            Some(ClientCert::new_with_certs(&certificates("FURT_CERT", &cert)?, private_key(&key)?))
        }
        _ => bail!("FURT_CERT and FURT_KEY go together"),
    };
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).client_cert(own).build())
}

fn file(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn certificates(variable: &str, path: &PathBuf) -> Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path).with_context(|| format!("{variable}: cannot read {}", path.display()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.with_context(|| format!("{variable}: {}", path.display()))? {
            found.push(certificate);
        }
    }
    ensure!(!found.is_empty(), "{variable}: {} has no certificate in PEM", path.display());
    Ok(found)
}

fn private_key(path: &PathBuf) -> Result<PrivateKey<'static>> {
    let pem = std::fs::read(path).with_context(|| format!("FURT_KEY: cannot read {}", path.display()))?;
    PrivateKey::from_pem(&pem).with_context(|| format!("FURT_KEY: {} has no private key in PEM", path.display()))
}

fn system() -> Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs().context("the system's certificates cannot be read")?;
    ensure!(!found.is_empty(), "the system has no certificate to trust; FURT_CA names others");
    Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}
