//! Whom the client trusts over https. A certificate that does not verify is a fault of its host, and nothing is sent there.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// Trusts the authorities of `pem` and no other, or those of the system where there is none.
///
/// # Errors
/// There is no certificate that can be trusted.
pub(crate) fn connector(pem: Option<&[u8]>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            let refused = |why: &dyn std::fmt::Display| Error::Setting(format!("the certificates to trust: {why}"));
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(|why| refused(&why))?).map_err(|why| refused(&why))?;
            }
            if roots.is_empty() {
                return Err(refused(&"there is none in the file; it must be PEM"));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let found =
                found.map_err(|why| Error::Setting(format!("the system's certificates cannot be read: {why}")))?;
            // Systems carry some that rustls cannot read.
            if roots.add_parsable_certificates(found).0 == 0 {
                let what =
                    "the system has no certificate to trust; the option ca of the connection string names others";
                return Err(Error::Setting(what.to_owned()));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| Error::Setting(format!("TLS cannot be set up: {why}")))?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}
