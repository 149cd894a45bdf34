//! The authorities of a server, from the file of its entry, as Pingora takes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::tls::{RootsError, roots};

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read, or has no certificate.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// One of its certificates cannot be an authority's.
    #[error("{} has a certificate that cannot be read; must have certificates of authorities alone", .0.display())]
    Unusable(PathBuf),
}

/// Reads a file of authorities.
///
/// # Errors
/// It cannot be used.
pub(super) fn load(file: &Path) -> Result<Arc<CaType>, TrustError> {
    let certificates = roots(Some(file))?;
    // Pingora panics over what it cannot read.
    if !certificates.iter().all(|certificate| is_usable(certificate.der())) {
        return Err(TrustError::Unusable(file.to_owned()));
    }
    Ok(certificates.iter().map(|certificate| WrappedX509::new(certificate.der().to_vec(), parse_x509)).collect())
}

fn is_usable(der: &[u8]) -> bool {
    let is_readable = X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
    is_readable && RootCertStore::empty().add(CertificateDer::from(der)).is_ok()
}
