//! TLS towards services: whose certificates are believed, and which one furt shows. The files are looked at as those of the listeners are,
//! and each is put in force whole or not at all.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authorities::{authorities, roots};
use super::certificate::{CertificateError, CertificateFault, chain, check_first, private_key, read_secret};
use super::change::Change;
use super::files::{self, Found};
use super::provider::provider;
use crate::config::{Config, StaticTarget, UpstreamConfig};
use furt_core::model::{ServiceName, UpstreamUrl};

/// One moment's trust in services, and what they are shown.
#[derive(Default)]
pub struct Trust {
    /// Another one with each change, so that no connection from before it is used again.
    pub generation: u64,
    /// The certificate that is shown to services that ask for one.
    pub identity: Option<Arc<CertKey>>,
    /// `None`: the system's.
    general: Option<Arc<CaType>>,
    of_services: HashMap<ServiceName, Arc<CaType>>,
    of_urls: HashMap<UpstreamUrl, Arc<CaType>>,
}

impl Trust {
    /// The authorities that an instance's certificate must be of; `service` is its service, if it is registered. `None`: the system's.
    pub fn authorities(&self, service: Option<&ServiceName>, url: &UpstreamUrl) -> Option<&Arc<CaType>> {
        let own = match service {
            Some(service) => self.of_services.get(service),
            None => self.of_urls.get(url),
        };
        own.or(self.general.as_ref())
    }
}

/// TLS towards services.
pub struct UpstreamTls {
    trust: ArcSwap<Trust>,
    state: Mutex<State>,
}

/// Files that the configuration names, and what is in force of each.
#[derive(Clone, Default)]
struct State {
    upstream: Option<(PathBuf, PathBuf)>,
    general: Option<PathBuf>,
    of_services: Vec<(ServiceName, PathBuf)>,
    of_urls: Vec<(UpstreamUrl, PathBuf)>,
    authorities: HashMap<PathBuf, Watched<Arc<CaType>>>,
    identity: Option<Watched<Arc<CertKey>>>,
}

/// What is in force of some files, and what they had when they were looked at last.
#[derive(Clone)]
struct Watched<T> {
    value: T,
    seen: Vec<Found>,
    /// Why the files are not in force.
    fault: Option<String>,
    /// The fault may pass while the files stay as they are.
    may_pass: bool,
}

impl<T> Watched<T> {
    fn load(paths: &[&Path], read: impl FnOnce() -> Result<T, CertificateError>) -> Result<Self, CertificateError> {
        // Looked at first: a file that is still being written is another one at the next look.
        let seen = paths.iter().map(|path| files::look(path)).collect();
        Ok(Self { value: read()?, seen, fault: None, may_pass: false })
    }

    fn keep(&mut self, error: &CertificateError) {
        self.may_pass = matches!(error.fault, CertificateFault::Unreadable(_) | CertificateFault::NotYetGood(_));
        self.fault = Some(error.to_string());
    }

    /// `Ok`: there is something new in force.
    fn look(
        &mut self,
        paths: &[&Path],
        read: impl FnOnce() -> Result<T, CertificateError>,
    ) -> Option<Result<(), String>> {
        let found: Vec<_> = paths.iter().map(|path| files::look(path)).collect();
        if found == self.seen && !self.may_pass {
            return None;
        }
        match Self::load(paths, read) {
            Ok(new) => {
                *self = new;
                Some(Ok(()))
            }
            Err(error) => {
                let before = self.fault.clone();
                self.seen = found;
                self.keep(&error);
                // Said once, however often it is looked at.
                self.fault.clone().filter(|why| before.as_ref() != Some(why)).map(Err)
            }
        }
    }
}

/// Files for [`UpstreamTls::apply`].
pub struct PreparedUpstream(State);

impl UpstreamTls {
    /// Reads all files. `now` is in Unix seconds, here and below.
    ///
    /// # Errors
    /// Those that cannot be used.
    pub fn open(config: &Config, now: i64) -> Result<Self, Vec<CertificateError>> {
        let state = State::load(config, &State::default(), now)?;
        Ok(Self { trust: ArcSwap::from_pointee(state.trust(0)), state: Mutex::new(state) })
    }

    /// Trusts the system's authorities alone.
    pub fn of_system() -> Self {
        Self { trust: ArcSwap::default(), state: Mutex::default() }
    }

    /// What is in force.
    pub fn trust(&self) -> arc_swap::Guard<Arc<Trust>> {
        self.trust.load()
    }

    /// Reads the files of another configuration. One that is in force and cannot be read now stays as it is.
    ///
    /// # Errors
    /// New ones that cannot be used.
    pub fn prepare(&self, config: &Config, now: i64) -> Result<PreparedUpstream, Vec<CertificateError>> {
        let running = self.state().clone();
        State::load(config, &running, now).map(PreparedUpstream)
    }

    /// Puts them in force.
    pub fn apply(&self, prepared: PreparedUpstream) {
        let mut state = self.state();
        // Without files on either side nothing can have changed.
        if !state.is_empty() || !prepared.0.is_empty() {
            *state = prepared.0;
            self.renew(&state);
        }
    }

    /// Looks whether files have changed, and puts in force what is good.
    pub fn look(&self, now: i64) -> Vec<Change> {
        let mut state = self.state();
        let mut changes = Vec::new();
        let mut note = |file: &Path, looked| match looked {
            Some(Ok(())) => changes.push(Change::Authorities { file: file.to_owned() }),
            Some(Err(why)) => changes.push(Change::Kept { why }),
            None => {}
        };
        let State { upstream, authorities, identity, .. } = &mut *state;
        for (file, watched) in authorities {
            note(file, watched.look(&[file], || trusted(file)));
        }
        if let (Some((cert, key)), Some(watched)) = (upstream, identity) {
            note(cert, watched.look(&[cert, key], || shown(cert, key, now)));
        }
        if changes.iter().any(|change| !matches!(change, Change::Kept { .. })) {
            self.renew(&state);
        }
        changes
    }

    /// Why files are not in force.
    pub fn faults(&self) -> Vec<String> {
        let state = self.state();
        let mut of_authorities: Vec<_> =
            state.authorities.values().filter_map(|watched| watched.fault.clone()).collect();
        of_authorities.sort_unstable();
        of_authorities.into_iter().chain(state.identity.as_ref().and_then(|watched| watched.fault.clone())).collect()
    }

    fn renew(&self, state: &State) {
        let generation = self.trust.load().generation + 1;
        self.trust.store(Arc::new(state.trust(generation)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UpstreamTls").field("generation", &self.trust.load().generation).finish_non_exhaustive()
    }
}

impl State {
    fn load(config: &Config, running: &Self, now: i64) -> Result<Self, Vec<CertificateError>> {
        let UpstreamConfig { ca, cert, key, .. } = &config.upstream;
        let grants = config.grants.iter().filter_map(|grant| Some((grant.service.clone(), grant.ca.clone()?)));
        let routes = config.routes.iter().filter_map(|route| match &route.target {
            StaticTarget::Url(url) => Some((url.clone(), route.ca.clone()?)),
            StaticTarget::Service(_) | StaticTarget::Redirect(_) | StaticTarget::Respond(_) => None,
        });
        let mut state = Self {
            upstream: cert.clone().zip(key.clone()),
            general: ca.clone(),
            of_services: grants.collect(),
            of_urls: routes.collect(),
            ..Self::default()
        };
        let mut errors = Vec::new();
        let files = state.general.iter().chain(state.of_services.iter().map(|(_, file)| file));
        for file in files.chain(state.of_urls.iter().map(|(_, file)| file)) {
            if state.authorities.contains_key(file) {
                continue;
            }
            match (Watched::load(&[file], || trusted(file)), running.authorities.get(file)) {
                (Ok(watched), _) => drop(state.authorities.insert(file.clone(), watched)),
                (Err(error), Some(running)) => {
                    let mut kept = running.clone();
                    kept.keep(&error);
                    state.authorities.insert(file.clone(), kept);
                }
                (Err(error), None) => errors.push(error),
            }
        }
        if let Some((cert, key)) = &state.upstream {
            let running = running.identity.as_ref().filter(|_| running.upstream == state.upstream);
            match (Watched::load(&[cert, key], || shown(cert, key, now)), running) {
                (Ok(watched), _) => state.identity = Some(watched),
                (Err(error), Some(running)) => {
                    let mut kept = running.clone();
                    kept.keep(&error);
                    state.identity = Some(kept);
                }
                (Err(error), None) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(state) } else { Err(errors) }
    }

    fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    fn trust(&self, generation: u64) -> Trust {
        let of = |file: &PathBuf| self.authorities.get(file).map(|watched| Arc::clone(&watched.value));
        Trust {
            generation,
            identity: self.identity.as_ref().map(|watched| Arc::clone(&watched.value)),
            general: self.general.as_ref().and_then(of),
            of_services: self.of_services.iter().filter_map(|(name, file)| Some((name.clone(), of(file)?))).collect(),
            of_urls: self.of_urls.iter().filter_map(|(url, file)| Some((url.clone(), of(file)?))).collect(),
        }
    }
}

/// The authorities of a file, as Pingora takes them.
fn trusted(file: &Path) -> Result<Arc<CaType>, CertificateError> {
    let error = |fault| CertificateError { key: "ca", file: file.to_owned(), fault };
    let authorities = authorities(file).map_err(error)?;
    // Pingora panics over what it cannot read.
    roots(&authorities).map_err(error)?;
    check_all(&authorities).map_err(error)?;
    Ok(authorities.iter().map(|one| WrappedX509::new(one.to_vec(), parse_x509)).collect())
}

/// Whether each can be read.
fn check_all(certificates: &[CertificateDer<'_>]) -> Result<(), CertificateFault> {
    let is_readable = |one: &CertificateDer<'_>| X509Certificate::from_der(one).is_ok_and(|(rest, _)| rest.is_empty());
    if certificates.iter().all(is_readable) { Ok(()) } else { Err(CertificateFault::Unparsable) }
}

/// The certificate of these files, as Pingora takes it.
fn shown(cert: &Path, key: &Path, now: i64) -> Result<Arc<CertKey>, CertificateError> {
    let of_cert = |fault| CertificateError { key: "cert", file: cert.to_owned(), fault };
    let of_key = |fault| CertificateError { key: "key", file: key.to_owned(), fault };
    let chain = files::read(cert).map_err(Into::into).and_then(|(bytes, _)| chain(&bytes)).map_err(of_cert)?;
    check_all(&chain).and_then(|()| check_first(&chain, now)).map_err(of_cert)?;
    let private = read_secret(key).and_then(|bytes| private_key(&bytes)).map_err(of_key)?;
    let secret = private.secret_der().to_vec();
    CertifiedKey::from_der(chain.clone(), private, provider()).map_err(|why| match why {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            of_key(CertificateFault::KeyDoesNotFit(cert.to_owned()))
        }
        Error::InvalidCertificate(_) => of_cert(CertificateFault::Unparsable),
        why => of_key(CertificateFault::UnusableKey(why)),
    })?;
    Ok(Arc::new(CertKey::new(chain.iter().map(|one| one.to_vec()).collect(), secret)))
}
