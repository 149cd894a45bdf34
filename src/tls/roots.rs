//! Whom furt believes where it asks another server: the authorities of a file, or the system's. For clients that are made with
//! `ureq`. Callers: `acme`, `vault`, `update`, and `app`, which checks files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, parse_pem};

/// Why roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file is not there, or not to be read.
    #[error("{} cannot be read ({why})", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Another file.
    #[error("{} has no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The system has none.
    #[error("the system has no certificate to trust; must name a file with others")]
    NoSystem,
}

/// Reads them, to see that they can be used.
///
/// # Errors
/// They cannot be.
pub fn check_roots(file: Option<&Path>) -> Result<(), RootsError> {
    roots(file).map(|_| ())
}

/// The roots of a file, or the system's.
///
/// # Errors
/// There are none.
pub fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, RootsError> {
    let Some(file) = file else {
        let system = rustls_native_certs::load_native_certs().unwrap_or_default();
        let roots: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        return if roots.is_empty() { Err(RootsError::NoSystem) } else { Ok(roots) };
    };
    let pem = fs::read(file).map_err(|why| RootsError::Unreadable { file: file.to_owned(), why })?;
    let items = parse_pem(&pem).filter_map(Result::ok);
    let roots: Vec<_> = items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if roots.is_empty() { Err(RootsError::NoCertificate(file.to_owned())) } else { Ok(roots) }
}

/// Why a server could not be asked; `key` names the file with its authorities.
pub fn unasked(why: &ureq::Error, key: &str) -> String {
    let ureq::Error::Io(error) = why else { return why.to_string() };
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("no authority of {key}, or of the system without it, vouches for its certificate ({why})")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_cannot_be_used_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(check_roots(Some(&file)).unwrap_err().to_string().contains("cannot be read"));
        fs::write(&file, "none").unwrap();
        assert!(check_roots(Some(&file)).unwrap_err().to_string().contains("has no certificate in PEM"));
    }
}
