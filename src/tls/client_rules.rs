//! Which clients of a host must show a certificate, and whose they are: `[[client_auth]]` with its files. Each entry is put in force
//! whole or not at all.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::authorities::{Revoked, authorities, roots};
use super::certificate::{CertificateError, CertificateFault, CertificateName, time};
use super::change::Change;
use super::files::{self, Found};
use super::names::Names;
use super::provider::provider;
use crate::config::{ClientAuthConfig, ClientAuthHost, ClientAuthMode};

/// What the clients of some hosts must show. Another one is in force when its files or its entry have changed, so two are the same
/// where they are one value.
pub struct ClientRule {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    mode: ClientAuthMode,
    /// When what is revoked is to be told anew, in Unix seconds.
    next_update: Option<i64>,
}

impl fmt::Debug for ClientRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientRule").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl ClientRule {
    fn load(config: &ClientAuthConfig) -> Result<Self, CertificateError> {
        let error = |key, file: &Path, fault| CertificateError { key, file: file.to_owned(), fault };
        let of_ca = |fault| error("ca", &config.ca, fault);
        let authorities = authorities(&config.ca).map_err(of_ca)?;
        let roots = Arc::new(roots(&authorities).map_err(of_ca)?);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider()));
        let mut next_update = None;
        if let Some(file) = &config.crl {
            let revoked = Revoked::load(file, &authorities).map_err(|fault| error("crl", file, fault))?;
            (builder, next_update) = (builder.with_crls(revoked.lists), revoked.next_update);
        }
        if config.mode == ClientAuthMode::Ask {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|why| match (why, &config.crl) {
            (rustls::server::VerifierBuilderError::InvalidCrl(_), Some(file)) => {
                error("crl", file, CertificateFault::UnparsableList)
            }
            _ => of_ca(CertificateFault::NoAuthority),
        })?;
        Ok(Self { verifier, mode: config.mode, next_update })
    }

    /// Whether a client is let in that shows this chain, or none, at `now`.
    pub(super) fn accepts(&self, chain: &[CertificateDer<'_>], now: i64) -> bool {
        match chain.split_first() {
            None => self.mode == ClientAuthMode::Ask,
            Some((certificate, others)) => {
                let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or(0)));
                self.verifier.verify_client_cert(certificate, others, now).is_ok()
            }
        }
    }

    /// Whether nobody is served without a certificate.
    pub fn is_required(&self) -> bool {
        self.mode == ClientAuthMode::Require
    }
}

/// One moment's rules by host.
#[derive(Debug)]
pub struct ByHost<T> {
    names: Names<T>,
    /// For every other host, and for none.
    any: Option<T>,
    is_empty: bool,
}

impl<T: Clone> ByHost<T> {
    pub(super) fn new(entries: impl IntoIterator<Item = (Vec<ClientAuthHost>, T)>) -> Self {
        let mut rules = Self { names: Names::default(), any: None, is_empty: true };
        for (hosts, rule) in entries {
            rules.is_empty = false;
            for host in hosts {
                let name = match host {
                    ClientAuthHost::Any => {
                        rules.any = Some(rule.clone());
                        continue;
                    }
                    ClientAuthHost::Below(_) | ClientAuthHost::Exact(_) => {
                        CertificateName::Host(host.to_string().into())
                    }
                };
                rules.names.insert(&name, rule.clone());
            }
        }
        rules
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// What a host has; `None` of a client that names none.
    pub fn of(&self, host: Option<&str>) -> Option<&T> {
        host.and_then(|host| self.names.of_host(host)).or(self.any.as_ref())
    }
}

/// An entry that is in force, and what its files had when they were looked at last.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) config: ClientAuthConfig,
    pub(super) rule: Arc<ClientRule>,
    seen: [Found; 2],
    /// Why the files are not in force.
    fault: Option<String>,
    /// The fault may pass while the files stay as they are.
    may_pass: bool,
}

/// How an entry is.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientAuthStatus {
    /// The first of its hosts.
    pub host: String,
    /// Why it is not what it should be: its files cannot be used, or a list of what is revoked is out of date.
    pub fault: Option<String>,
}

impl Entry {
    pub(super) fn load(config: &ClientAuthConfig) -> Result<Self, CertificateError> {
        // Looked at first: a file that is still being written is another one at the next look.
        let seen = seen(config);
        let rule = Arc::new(ClientRule::load(config)?);
        Ok(Self { config: config.clone(), rule, seen, fault: None, may_pass: false })
    }

    pub(super) fn look(&mut self) -> Option<Change> {
        let found = seen(&self.config);
        if found == self.seen && !self.may_pass {
            return None;
        }
        match Self::load(&self.config) {
            Ok(entry) => {
                *self = entry;
                Some(Change::Authorities { file: self.config.ca.clone() })
            }
            Err(error) => {
                let before = self.fault.clone();
                let config = self.config.clone();
                *self = Self { seen: found, ..self.clone().kept(&config, &error) };
                // Said once, however often it is looked at.
                self.fault.clone().filter(|why| before.as_ref() != Some(why)).map(|why| Change::Kept { why })
            }
        }
    }

    /// The files cannot be used, and what is in force stays so.
    pub(super) fn kept(self, config: &ClientAuthConfig, error: &CertificateError) -> Self {
        let may_pass = matches!(error.fault, CertificateFault::Unreadable(_));
        Self { config: config.clone(), fault: Some(error.to_string()), may_pass, ..self }
    }

    pub(super) fn status(&self, now: i64) -> ClientAuthStatus {
        let out_of_date = || {
            let (crl, end) = self.config.crl.as_ref().zip(self.rule.next_update)?;
            (now > end).then(|| format!("{} should have been replaced by {}; it counts on", crl.display(), time(end)))
        };
        ClientAuthStatus {
            host: self.config.hosts.first().map(ToString::to_string).unwrap_or_default(),
            fault: self.fault.clone().or_else(out_of_date),
        }
    }
}

fn seen(config: &ClientAuthConfig) -> [Found; 2] {
    // Where there is no list, its place never changes.
    [files::look(&config.ca), files::look(config.crl.as_ref().unwrap_or(&config.ca))]
}
