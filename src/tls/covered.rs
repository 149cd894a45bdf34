//! For which hosts a certificate is.

use std::net::IpAddr;

use super::certificate::CertificateName;
use super::names::Names;

/// The hosts of a certificate.
#[derive(Debug, Default)]
pub struct Covered(Names<()>);

impl Covered {
    pub(super) fn of(names: &[CertificateName]) -> Self {
        let mut covered = Names::default();
        for name in names {
            covered.insert(name, ());
        }
        Self(covered)
    }

    /// Whether the certificate names a host, which is a name or an address.
    pub(super) fn has(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match address.parse::<IpAddr>() {
            Ok(address) => self.0.of_address(address).is_some(),
            Err(_) => self.0.of_host(host).is_some(),
        }
    }
}
