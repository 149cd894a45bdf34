//! Whom the client trusts over https. A certificate that does not verify is a fault of its host, and nothing is sent there.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// A chain and its key.
pub(crate) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Of a chain and its key, both in PEM.
///
/// # Errors
/// One of them is missing, or is none.
pub(crate) fn own_certificate(cert: Option<Vec<u8>>, key: Option<Vec<u8>>) -> Result<Option<OwnCertificate>, Error> {
    let refused = |what: String| Error::Setting(format!("the certificate to show: {what}"));
    let (cert, key) = match (cert, key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        _ => return Err(refused("FURT_CERT and FURT_KEY go together".to_owned())),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
    let chain = chain.map_err(|why| refused(format!("FURT_CERT: {why}")))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|why| refused(format!("FURT_KEY: {why}")))?;
    if chain.is_empty() {
        Err(refused("FURT_CERT has none; it must be PEM".to_owned()))
    } else {
        Ok(Some((chain, key)))
    }
}

/// Trusts the authorities of `pem` and no other, or those of the system where there is none.
///
/// # Errors
/// There is no certificate that can be trusted; the own one cannot be shown.
pub(crate) fn connector(pem: Option<&[u8]>, own: Option<OwnCertificate>) -> Result<TlsConnector, Error> {
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
    let config = config.with_root_certificates(roots);
    let config = match own {
        Some((chain, key)) => config
            .with_client_auth_cert(chain, key)
            .map_err(|why| Error::Setting(format!("the certificate to show: {why}")))?,
        None => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}
