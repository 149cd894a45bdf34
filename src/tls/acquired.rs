//! What `acme` tells of the certificates that it gets: those that are shown, and names that have none, with the reason. And the way
//! back, by which an operator asks for another one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::certificate::Certificate;

/// A name that has a certificate by ACME, or should.
#[derive(Debug, Clone)]
pub struct Acquired {
    /// The name.
    pub name: String,
    /// What is shown for it.
    pub certificate: Option<Arc<Certificate>>,
    /// The service whose route it is for; `None`: the configuration names it.
    pub service: Option<String>,
    /// When it is renewed, or asked for again, in Unix seconds; `None`: not at all.
    pub next_renewal: Option<i64>,
    /// Why the last order came to nothing, or why there is none.
    pub last_error: Option<String>,
    /// What an operator must hear of.
    pub fault: Option<String>,
}

/// A certificate as it is listed for operators.
#[derive(Debug)]
pub struct Listed {
    /// At least one.
    pub names: Vec<String>,
    /// Who signed it; `None`: there is no certificate yet.
    pub issuer: Option<String>,
    /// Its last second, in Unix time.
    pub not_after: Option<i64>,
    /// Where it is from.
    pub source: Source,
    /// When it is renewed, or asked for again, in Unix seconds.
    pub next_renewal: Option<i64>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Where a certificate is from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// `[[certificates]]`: its file.
    File(PathBuf),
    /// `internal.tls_cert`: its file.
    Internal(PathBuf),
    /// An authority, for the configuration or for a service.
    Acme(Option<String>),
}

impl Acquired {
    pub(super) fn listed(&self) -> Listed {
        let certificate = self.certificate.as_ref();
        Listed {
            names: certificate.map_or_else(|| vec![self.name.clone()], |one| one.shown_names()),
            issuer: certificate.map(|one| one.issuer.clone()),
            not_after: certificate.map(|one| one.not_after),
            source: Source::Acme(self.service.clone()),
            next_renewal: self.next_renewal,
            last_error: self.last_error.clone().or_else(|| self.fault.clone()),
        }
    }
}

/// Names whose certificates an operator wants to have renewed now.
#[derive(Debug, Default)]
pub struct Renewals {
    names: Mutex<BTreeSet<String>>,
    asked: Notify,
}

impl Renewals {
    /// Asks for one.
    pub fn ask(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.asked.notify_one();
    }

    /// Takes what was asked for since.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves once there is one.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}
