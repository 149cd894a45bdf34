//! Authorities and what they have revoked, as files have them: read and checked whole, or refused with the reason.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::certificate::CertificateFault;
use super::files;

/// The certificates of a file, of which each is an authority's.
pub(super) fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let (bytes, _) = files::read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(CertificateFault::Damaged)?;
    if certificates.is_empty() { Err(CertificateFault::NoCertificate) } else { Ok(certificates) }
}

/// The same as what certificates are verified by.
pub(super) fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, CertificateFault> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate.clone()).map_err(|_| CertificateFault::NoAuthority)?;
        if !may_sign(certificate) {
            return Err(CertificateFault::NoAuthority);
        }
    }
    Ok(roots)
}

/// Whether a certificate may have signed another one: one that an authority gave to somebody vouches for nobody. One that signed itself
/// may be old enough to say nothing of it.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.is_ca() || certificate.subject() == certificate.issuer())
}

/// What authorities have revoked.
#[derive(Debug)]
pub(super) struct Revoked {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of the lists is to be replaced, in Unix seconds.
    pub(super) next_update: Option<i64>,
}

impl Revoked {
    /// The lists of a file: one at least of each of `authorities`, since nothing would be accepted of one without.
    pub(super) fn load(file: &Path, authorities: &[CertificateDer<'_>]) -> Result<Self, CertificateFault> {
        let (bytes, _) = files::read(file)?;
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        let lists = lists.map_err(CertificateFault::Damaged)?;
        if lists.is_empty() {
            return Err(CertificateFault::NoList);
        }
        let mut parsed = Vec::with_capacity(lists.len());
        for list in &lists {
            let list = CertificateRevocationList::from_der(list).map_err(|_| CertificateFault::UnparsableList)?;
            parsed.push(list.1);
        }
        for authority in authorities {
            let (_, authority) = X509Certificate::from_der(authority).map_err(|_| CertificateFault::NoAuthority)?;
            let name = authority.subject();
            if !parsed.iter().any(|list| list.issuer().as_raw() == name.as_raw()) {
                return Err(CertificateFault::NoListOf(name.to_string()));
            }
        }
        let next_update = parsed.iter().filter_map(|list| list.next_update()).map(|time| time.timestamp()).min();
        Ok(Self { lists, next_update })
    }
}
