//! TLS of the internal listener: one certificate, and the authorities of the certificates that its clients may show. Both files are
//! looked at as those of the public listener are, and each is put in force whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};

use super::acquired::{Listed, Source};
use super::authorities::{authorities, roots};
use super::certificate::{CertificateError, CertificateFault};
use super::change::Change;
use super::files::{self, Found};
use super::provider::provider;
use super::watched::{CertificateStatus, Pair};
use crate::config::{CertificateConfig, InternalConfig};

/// For a whole handshake: its clients are services and operators, and are near.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS of the internal listener.
#[derive(Debug)]
pub struct InternalTls {
    served: ArcSwap<ServerConfig>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pair: Pair,
    clients: Option<Clients>,
}

/// Whose certificates are believed, and what the file had when it was looked at last.
#[derive(Debug)]
struct Clients {
    file: PathBuf,
    roots: Arc<RootCertStore>,
    seen: Found,
    fault: Option<String>,
}

impl InternalTls {
    /// Reads all files; `None` where the configuration names none. `now` is in Unix seconds, here and below.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn open(config: &InternalConfig, now: i64) -> Result<Option<Self>, Vec<CertificateError>> {
        let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Ok(None) };
        let pair = CertificateConfig { cert: cert.clone(), key: key.clone(), staple: None };
        let clients = config.tls_client_ca.as_deref().map(Clients::load).transpose();
        let (pair, clients) = match (Pair::load(&pair, now), clients) {
            (Ok(pair), Ok(clients)) => (pair, clients),
            (pair, clients) => return Err(pair.err().into_iter().chain(clients.err()).collect()),
        };
        let state = State { pair, clients };
        let Ok(served) = state.served() else { return Err(Vec::new()) };
        Ok(Some(Self { served: ArcSwap::new(served), state: Mutex::new(state) }))
    }

    /// What a handshake is made with.
    pub(super) fn served(&self) -> Arc<ServerConfig> {
        self.served.load_full()
    }

    pub(super) fn handshake_timeout() -> Duration {
        HANDSHAKE_TIMEOUT
    }

    /// Looks whether files have changed, and puts in force what is good.
    pub fn look(&self, now: i64) -> Vec<Change> {
        let mut state = self.state();
        let State { pair, clients } = &mut *state;
        let mut changes: Vec<_> = pair.look(now).into_iter().collect();
        changes.extend(clients.as_mut().and_then(Clients::look));
        if !changes.is_empty()
            && let Ok(served) = state.served()
        {
            self.served.store(served);
        }
        changes
    }

    /// How its certificate is.
    pub fn status(&self, now: i64) -> CertificateStatus {
        let state = self.state();
        let mut status = state.pair.status(now);
        status.fault = status.fault.or_else(|| state.clients.as_ref()?.fault.clone());
        status
    }

    /// The same for operators.
    pub fn list(&self, now: i64) -> Listed {
        let fault = self.status(now).fault;
        let listed = self.state().pair.listed_as(now, Source::Internal);
        Listed { last_error: fault, ..listed }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn served(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let clients: Arc<dyn ClientCertVerifier> = match &self.clients {
            Some(clients) => clients.verifier().map_err(|why| rustls::Error::General(why.to_string()))?,
            None => Arc::new(NoClientAuth),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_client_cert_verifier(clients);
        let key = Arc::clone(&self.pair.certificate().key);
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Who shows a certificate shows it at each connection: a session that is resumed would outlast what was believed then.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

impl Clients {
    fn load(file: &Path) -> Result<Self, CertificateError> {
        // Looked at first: a file that is still being written is another one at the next look.
        let seen = files::look(file);
        let error = |fault| CertificateError { key: "client_ca", file: file.to_owned(), fault };
        let roots = authorities(file).and_then(|authorities| roots(&authorities));
        let roots = Arc::new(roots.map_err(error)?);
        let clients = Self { file: file.to_owned(), roots, seen, fault: None };
        clients.verifier().map_err(|_| error(CertificateFault::NoAuthority))?;
        Ok(clients)
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(provider()));
        builder.allow_unauthenticated().build()
    }

    fn look(&mut self) -> Option<Change> {
        let found = files::look(&self.file);
        if found == self.seen {
            return None;
        }
        match Self::load(&self.file) {
            Ok(clients) => {
                *self = clients;
                Some(Change::Authorities { file: self.file.clone() })
            }
            Err(error) => {
                self.seen = found;
                let why = error.to_string();
                let is_new = self.fault.as_ref() != Some(&why);
                self.fault = Some(why.clone());
                is_new.then_some(Change::Kept { why })
            }
        }
    }
}
