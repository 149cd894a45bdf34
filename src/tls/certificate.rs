//! A certificate with its key and its staple, as files have them: read and checked whole, or refused with the reason.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::files::{self, MAX_BYTES, ReadError};
use super::provider::provider;
use crate::clock;
use crate::config::CertificateConfig;

/// What everybody may do with a file: read it, write it.
const EVERYBODY: u32 = 0o006;

/// A certificate that can be shown.
#[derive(Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// In its order, at least one.
    pub names: Vec<CertificateName>,
    /// Who signed it, as the certificate says.
    pub issuer: String,
    /// Its first second, in Unix time.
    pub not_before: i64,
    /// Its last second, in Unix time.
    pub not_after: i64,
}

/// What a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateName {
    /// A host, in lower case; `*.` at its beginning stands for one label.
    Host(Box<str>),
    /// An address, which clients that are given one look for.
    Address(IpAddr),
}

impl fmt::Display for CertificateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// Which file cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{} {fault}", .file.display())]
pub struct CertificateError {
    /// The key of `[[certificates]]` that names it.
    pub key: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: CertificateFault,
}

/// What is wrong with a file; what follows its name in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// It is not there, or not to be read.
    #[error("cannot be read ({0})")]
    Unreadable(io::Error),
    /// A folder, a device, a pipe.
    #[error("is no regular file")]
    NotRegular,
    /// It has more than a MiB.
    #[error("has more than {} KiB, the most that is read", MAX_BYTES / 1024)]
    TooLarge,
    /// A private key that is none.
    #[error("can be read or written by everybody (mode {mode:04o}); a private key must be 0640 or stricter")]
    OpenToAll {
        /// Who may do what with it.
        mode: u32,
    },
    /// It is cut off, or no text.
    #[error("is damaged or no PEM ({0})")]
    Damaged(pem::Error),
    /// Another file.
    #[error("has no certificate; must have one that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The bytes within the PEM.
    #[error("has a certificate that cannot be read")]
    Unparsable,
    /// Nothing that a client could look for.
    #[error("has a certificate for no host; must name one as subjectAltName")]
    NoNames,
    /// It was good once.
    #[error("has a certificate that ended at {}; must be one that is still good", time(*.0))]
    Expired(i64),
    /// It is not good yet.
    #[error("has a certificate that begins at {}; must be one that is good already", time(*.0))]
    NotYetGood(i64),
    /// Another file.
    #[error("has no private key; must have one that begins with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// Nobody is there to type it.
    #[error("has a private key with a password; must be one without")]
    KeyWithPassword,
    /// Of a kind that is not known, or too short.
    #[error(
        "has a private key that cannot be used ({0}); must be ECDSA (P-256, P-384, P-521), Ed25519, or RSA of 2048 to 8192 bits"
    )]
    UnusableKey(Error),
    /// The certificate's key is not the one that is with it.
    #[error("is of another key")]
    OfAnotherKey,
    /// It is another certificate's.
    #[error("has another key than the certificate in {}", .0.display())]
    KeyDoesNotFit(PathBuf),
    /// Such as one that is no certificate of an authority.
    #[error("has a certificate that cannot be an authority's")]
    NoAuthority,
    /// Another file.
    #[error("has no list of revoked certificates; must have one that begins with -----BEGIN X509 CRL-----")]
    NoList,
    /// The bytes within the PEM.
    #[error("has a list of revoked certificates that cannot be read")]
    UnparsableList,
    /// Without it nobody knows what of an authority is good.
    #[error("has no list of the authority {0}, so that no certificate of it would be accepted; must have one of each")]
    NoListOf(String),
    /// Neither is an answer that something went wrong.
    #[error("is no OCSP answer in DER")]
    NoStaple,
}

pub(super) fn time(unix_seconds: i64) -> String {
    clock::rfc3339(unix_seconds.saturating_mul(1000))
}

impl From<ReadError> for CertificateFault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unreadable(error) => Self::Unreadable(error),
            ReadError::NotRegular => Self::NotRegular,
            ReadError::TooLarge => Self::TooLarge,
        }
    }
}

/// Reads each of these, as they are at `now`, in Unix seconds.
///
/// # Errors
/// Those that cannot be used, with their places in the list.
pub fn check(configs: &[CertificateConfig], now: i64) -> Result<Vec<Certificate>, Vec<(usize, CertificateError)>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (index, config) in configs.iter().enumerate() {
        match Certificate::load(config, now) {
            Ok(certificate) => good.push(certificate),
            Err(error) => bad.push((index, error)),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

impl Certificate {
    /// Reads it with all that belongs to it.
    pub(super) fn load(config: &CertificateConfig, now: i64) -> Result<Self, CertificateError> {
        let error = |key, file: &Path, fault| CertificateError { key, file: file.to_owned(), fault };
        let of_cert = |fault| error("cert", &config.cert, fault);
        let chain = chain(&files::read(&config.cert).map_err(|why| of_cert(why.into()))?.0).map_err(of_cert)?;
        let described = Described::of(&chain).map_err(of_cert)?;
        described.check(now).map_err(of_cert)?;
        let of_key = |fault| error("key", &config.key, fault);
        let key = read_secret(&config.key).and_then(|bytes| private_key(&bytes)).map_err(of_key)?;
        let mut certified = certified(chain, key).map_err(|fault| match fault {
            CertificateFault::Unparsable => of_cert(CertificateFault::Unparsable),
            CertificateFault::OfAnotherKey => of_key(CertificateFault::KeyDoesNotFit(config.cert.clone())),
            fault => of_key(fault),
        })?;
        if let Some(file) = &config.staple {
            certified.ocsp = Some(staple(file).map_err(|fault| error("staple", file, fault))?);
        }
        Ok(described.with(certified))
    }

    /// One that an authority has just sent, or that was kept since, with its key, both in PEM. When it is good is not looked at: the
    /// authority's clock is to be believed rather than this machine's.
    ///
    /// # Errors
    /// What cannot be shown to clients.
    pub fn from_pem(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertificateFault> {
        let chain = chain(chain_pem)?;
        let described = Described::of(&chain)?;
        Ok(described.with(certified(chain, private_key(key_pem)?)?))
    }

    /// Whether a client that asks for `host`, in lower case, may be shown it.
    pub fn is_for(&self, host: &str) -> bool {
        let fits = |name: &CertificateName| match name {
            CertificateName::Host(name) => match name.strip_prefix("*.") {
                Some(base) => host.split_once('.').is_some_and(|(_, rest)| rest == base),
                None => **name == *host,
            },
            CertificateName::Address(_) => false,
        };
        self.names.iter().any(fits)
    }

    /// Its names as texts.
    pub fn shown_names(&self) -> Vec<String> {
        self.names.iter().map(ToString::to_string).collect()
    }

    /// The first of its chain.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, CertificateFault> {
    CertifiedKey::from_der(chain, key, provider()).map_err(|why| match why {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateFault::OfAnotherKey,
        Error::InvalidCertificate(_) => CertificateFault::Unparsable,
        why => CertificateFault::UnusableKey(why),
    })
}

/// The same of a certificate that no client would take: it has a critical extension for a challenge, which rustls refuses as unknown.
pub(super) fn unchecked(chain_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, CertificateFault> {
    let key = provider().key_provider.load_private_key(private_key(key_pem)?);
    Ok(CertifiedKey::new(chain(chain_pem)?, key.map_err(CertificateFault::UnusableKey)?))
}

pub(super) fn chain(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let chain = chain.map_err(CertificateFault::Damaged)?;
    if chain.is_empty() { Err(CertificateFault::NoCertificate) } else { Ok(chain) }
}

/// A file that must not be open to everybody.
///
/// # Errors
/// Why it is not read.
pub fn read_secret(file: &Path) -> Result<Vec<u8>, CertificateFault> {
    let (bytes, found) = files::read(file)?;
    if found.mode() & EVERYBODY != 0 {
        return Err(CertificateFault::OpenToAll { mode: found.mode() & 0o7777 });
    }
    Ok(bytes)
}

pub(super) fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if memchr::memmem::find(bytes, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() => {
            CertificateFault::KeyWithPassword
        }
        pem::Error::NoItemsFound => CertificateFault::NoKey,
        error => CertificateFault::Damaged(error),
    })
}

/// An answer that is one: a sequence as long as the file, which begins with the status `successful` (RFC 6960 §4.2.1).
fn staple(file: &Path) -> Result<Vec<u8>, CertificateFault> {
    let (bytes, _) = files::read(file)?;
    let is_whole = x509_parser::der_parser::asn1_rs::Sequence::from_der(&bytes)
        .is_ok_and(|(rest, answer)| rest.is_empty() && answer.content.starts_with(&[0x0a, 1, 0]));
    if is_whole { Ok(bytes) } else { Err(CertificateFault::NoStaple) }
}

/// What a chain's first certificate says of itself.
struct Described {
    names: Vec<CertificateName>,
    issuer: String,
    validity: (i64, i64),
}

impl Described {
    fn of(chain: &[CertificateDer<'_>]) -> Result<Self, CertificateFault> {
        let first = chain.first().ok_or(CertificateFault::NoCertificate)?;
        let (_, certificate) = X509Certificate::from_der(first).map_err(|_| CertificateFault::Unparsable)?;
        let alternatives = certificate.subject_alternative_name().map_err(|_| CertificateFault::Unparsable)?;
        let alternatives = alternatives.map(|found| &found.value.general_names[..]).unwrap_or_default();
        let names: Vec<_> = alternatives.iter().filter_map(name).collect();
        if names.is_empty() {
            return Err(CertificateFault::NoNames);
        }
        let validity = certificate.validity();
        let validity = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { names, issuer: certificate.issuer().to_string(), validity })
    }

    /// Whether it is good at `now`.
    fn check(&self, now: i64) -> Result<(), CertificateFault> {
        check_validity(self.validity, now)
    }

    fn with(self, key: CertifiedKey) -> Certificate {
        let (not_before, not_after) = self.validity;
        Certificate { key: Arc::new(key), names: self.names, issuer: self.issuer, not_before, not_after }
    }
}

/// Whether a chain's first certificate is good at `now`; it may have no names.
pub(super) fn check_first(chain: &[CertificateDer<'_>], now: i64) -> Result<(), CertificateFault> {
    let first = chain.first().ok_or(CertificateFault::NoCertificate)?;
    let (_, certificate) = X509Certificate::from_der(first).map_err(|_| CertificateFault::Unparsable)?;
    let validity = certificate.validity();
    check_validity((validity.not_before.timestamp(), validity.not_after.timestamp()), now)
}

fn check_validity((from, until): (i64, i64), now: i64) -> Result<(), CertificateFault> {
    match now {
        now if now > until => Err(CertificateFault::Expired(until)),
        now if now < from => Err(CertificateFault::NotYetGood(from)),
        _ => Ok(()),
    }
}

fn name(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(host) if !host.is_empty() => {
            Some(CertificateName::Host(host.trim_end_matches('.').to_ascii_lowercase().into()))
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = || <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from);
            v4().or_else(v6).map(CertificateName::Address)
        }
        _ => None,
    }
}
