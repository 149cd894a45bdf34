//! The certificates that are in force, and their files: each pair is put in force whole, or the one before stays.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;

use super::acquired::{Acquired, Listed, Renewals, Source};
use super::certificate::{Certificate, CertificateError, CertificateFault, CertificateName};
use super::challenges::Challenges;
use super::change::Change;
use super::client_rules::{ClientAuthStatus, Entry};
use super::files::{self, Found};
use super::served::{Http2, Served};
use super::shared_keys::SharedRoot;
use super::tickets::{StateError, Tickets};
use crate::config::{CertificateConfig, ClientAuthConfig, TlsConfig};

/// TLS of the public listener.
#[derive(Debug)]
pub struct Tls {
    served: ArcSwap<Served>,
    state: Mutex<State>,
    tickets: Arc<Tickets>,
    challenges: Arc<Challenges>,
    renewals: Renewals,
}

#[derive(Debug)]
struct State {
    config: TlsConfig,
    http2: Http2,
    pairs: Vec<Pair>,
    rules: Vec<Entry>,
    acquired: Vec<Acquired>,
}

/// A certificate in force, and what its files had when they were looked at last.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    config: CertificateConfig,
    certificate: Arc<Certificate>,
    seen: Seen,
    /// Why the files are not in force.
    fault: Option<String>,
    /// The fault may pass while the files stay as they are.
    may_pass: bool,
}

/// The certificate's file, the key's, and the staple's.
type Seen = [Found; 3];

/// How a certificate in force is.
#[derive(Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The first of its names.
    pub name: String,
    /// Its last second, in Unix time; `None`: there is no certificate yet.
    pub not_after: Option<i64>,
    /// Why it is not what it should be: its files cannot be used, or it has ended.
    pub fault: Option<String>,
}

/// An entry of the configuration whose files cannot be used, by its index.
#[derive(Debug)]
pub enum FaultyEntry {
    /// Of `[[certificates]]`.
    Certificate(usize, CertificateError),
    /// Of `[[client_auth]]`.
    ClientAuth(usize, CertificateError),
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum OpenError {
    /// Files that cannot be used.
    Files(Vec<FaultyEntry>),
    /// The folder.
    State(StateError),
}

/// Certificates for [`Tls::apply`].
pub struct Prepared {
    pairs: Vec<Pair>,
    rules: Vec<Entry>,
}

impl Tls {
    /// Reads all files. `now` is in Unix seconds, here and below.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn open(
        tls: &TlsConfig,
        certificates: &[CertificateConfig],
        client_auth: &[ClientAuthConfig],
        now: i64,
    ) -> Result<Self, OpenError> {
        let Prepared { pairs, rules } =
            load_all((certificates, client_auth), (&[], &[]), now).map_err(OpenError::Files)?;
        let tickets = Arc::new(Tickets::open(&tls.state, now).map_err(OpenError::State)?);
        let state = State { config: tls.clone(), http2: Http2::Offered, pairs, rules, acquired: Vec::new() };
        let served = ArcSwap::from_pointee(state.served(&tickets).0);
        Ok(Self {
            served,
            state: Mutex::new(state),
            tickets,
            challenges: Arc::default(),
            renewals: Renewals::default(),
        })
    }

    /// What is in force.
    pub fn served(&self) -> arc_swap::Guard<Arc<Served>> {
        self.served.load()
    }

    /// Looks whether files have changed, and puts in force what is good.
    pub fn look(&self, now: i64) -> Vec<Change> {
        let mut state = self.state();
        let State { pairs, rules, .. } = &mut *state;
        let mut changes: Vec<_> = pairs.iter_mut().filter_map(|pair| pair.look(now)).collect();
        changes.extend(rules.iter_mut().filter_map(Entry::look));
        if changes.iter().any(|change| !matches!(change, Change::Kept { .. })) {
            self.serve(&state);
        }
        changes
    }

    /// Makes a new ticket key where one is due.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn advance_tickets(&self, now: i64) -> Result<(), StateError> {
        self.tickets.advance(now)
    }

    /// From now on tickets are sealed and opened by keys of what gateways share: by those of the first root, and of all. None: by the
    /// own ones alone. `now` is in Unix seconds.
    pub fn share_tickets(&self, roots: Vec<SharedRoot>, now: i64) {
        self.tickets.share(roots, now);
    }

    /// Reads the files of other lists. Ones that are in force and cannot be read now stay as they are, and so do all certificates where
    /// none is listed any more and none comes by ACME: they last as long as the listener.
    ///
    /// # Errors
    /// New ones that cannot be used.
    pub fn prepare(
        &self,
        certificates: &[CertificateConfig],
        client_auth: &[ClientAuthConfig],
        has_acme: bool,
        now: i64,
    ) -> Result<Prepared, Vec<FaultyEntry>> {
        let (pairs, rules) = {
            let state = self.state();
            (state.pairs.clone(), state.rules.clone())
        };
        let prepared = load_all((certificates, client_auth), (&pairs, &rules), now)?;
        Ok(if certificates.is_empty() && !has_acme { Prepared { pairs, ..prepared } } else { prepared })
    }

    /// Puts them in force, with new rules.
    pub fn apply(&self, prepared: Prepared, tls: &TlsConfig) {
        let mut state = self.state();
        let acquired = std::mem::take(&mut state.acquired);
        let Prepared { pairs, rules } = prepared;
        *state = State { config: tls.clone(), http2: state.http2, pairs, rules, acquired };
        self.serve(&state);
    }

    /// What clients may speak from now on; HTTP/2 at first.
    pub fn offer(&self, http2: Http2) {
        let mut state = self.state();
        if state.http2 != http2 {
            state.http2 = http2;
            self.serve(&state);
        }
    }

    /// How each certificate is.
    pub fn status(&self, now: i64) -> Vec<CertificateStatus> {
        let state = self.state();
        let of_acquired = state.acquired.iter().filter(|one| one.certificate.is_some() || one.fault.is_some());
        let acquired = of_acquired.map(|one| CertificateStatus {
            name: one.name.clone(),
            not_after: one.certificate.as_ref().map(|certificate| certificate.not_after),
            fault: one.fault.clone(),
        });
        state.pairs.iter().map(|pair| pair.status(now)).chain(acquired).collect()
    }

    /// Puts what was got by ACME in force, beside the files.
    pub fn set_acquired(&self, acquired: Vec<Acquired>) {
        let mut state = self.state();
        let shown = |list: &[Acquired]| -> Vec<_> { list.iter().filter_map(|one| one.certificate.clone()).collect() };
        let (before, after): (Vec<Arc<Certificate>>, Vec<_>) = (shown(&state.acquired), shown(&acquired));
        state.acquired = acquired;
        if before.len() != after.len() || before.iter().zip(&after).any(|(one, other)| !Arc::ptr_eq(one, other)) {
            self.serve(&state);
        }
    }

    /// Each certificate, and each name that should have one, for operators.
    pub fn list(&self, now: i64) -> Vec<Listed> {
        let state = self.state();
        let pairs = state.pairs.iter().map(|pair| pair.listed_as(now, Source::File));
        pairs.chain(state.acquired.iter().map(Acquired::listed)).collect()
    }

    /// Whether a certificate of a file is for `host`.
    pub fn has_file_for(&self, host: &str) -> bool {
        let names = |pair: &Pair| pair.certificate.is_for(host);
        self.state().pairs.iter().any(names)
    }

    /// Where authorities look.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Where operators ask for another certificate.
    pub fn renewals(&self) -> &Renewals {
        &self.renewals
    }

    /// How each `[[client_auth]]` is.
    pub fn client_status(&self, now: i64) -> Vec<ClientAuthStatus> {
        self.state().rules.iter().map(|entry| entry.status(now)).collect()
    }

    /// A sentence for each name that two certificates have.
    pub fn shared_names(&self) -> Vec<String> {
        self.state().served(&self.tickets).1
    }

    fn serve(&self, state: &State) {
        self.served.store(Arc::new(state.served(&self.tickets).0));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the files of client rules.
///
/// # Errors
/// Those that cannot be used.
pub fn check_rules(configs: &[ClientAuthConfig]) -> Result<(), Vec<FaultyEntry>> {
    load_rules(configs, &[]).map(drop)
}

/// Those of `running` are in force already.
fn load_all(
    (certificates, client_auth): (&[CertificateConfig], &[ClientAuthConfig]),
    running: (&[Pair], &[Entry]),
    now: i64,
) -> Result<Prepared, Vec<FaultyEntry>> {
    match (load_pairs(certificates, running.0, now), load_rules(client_auth, running.1)) {
        (Ok(pairs), Ok(rules)) => Ok(Prepared { pairs, rules }),
        (pairs, rules) => Err(pairs.err().into_iter().flatten().chain(rules.err().into_iter().flatten()).collect()),
    }
}

fn load_pairs(configs: &[CertificateConfig], running: &[Pair], now: i64) -> Result<Vec<Pair>, Vec<FaultyEntry>> {
    let (mut pairs, mut errors) = (Vec::new(), Vec::new());
    for (index, config) in configs.iter().enumerate() {
        let running = running.iter().find(|pair| pair.config.cert == config.cert && pair.config.key == config.key);
        match (Pair::load(config, now), running) {
            (Ok(pair), _) => pairs.push(pair),
            (Err(error), Some(running)) => pairs.push(running.clone().kept(config, &error)),
            (Err(error), None) => errors.push(FaultyEntry::Certificate(index, error)),
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

fn load_rules(configs: &[ClientAuthConfig], running: &[Entry]) -> Result<Vec<Entry>, Vec<FaultyEntry>> {
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for (index, config) in configs.iter().enumerate() {
        // With the same mode: what is asked for must never be less than what the entry says.
        let running = running.iter().find(|entry| {
            let of = |config: &ClientAuthConfig| (config.ca.clone(), config.crl.clone(), config.mode);
            of(&entry.config) == of(config)
        });
        match (Entry::load(config), running) {
            (Ok(entry), _) => rules.push(entry),
            (Err(error), Some(running)) => rules.push(running.clone().kept(config, &error)),
            (Err(error), None) => errors.push(FaultyEntry::ClientAuth(index, error)),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

impl State {
    fn served(&self, tickets: &Arc<Tickets>) -> (Served, Vec<String>) {
        let files = self.pairs.iter().map(|pair| Arc::clone(&pair.certificate));
        // Files go first: who puts one there wants it to be shown.
        let acquired = self.acquired.iter().filter_map(|one| one.certificate.clone());
        let certificates: Vec<_> = files.chain(acquired).collect();
        let tickets: Arc<dyn ProducesTickets> = Arc::clone(tickets) as _;
        let (served, taken) = Served::new((&self.config, self.http2), &certificates, &self.rules, &tickets);
        let sentence = |(index, name): (usize, CertificateName)| {
            // That a file goes before what was got by ACME is no news.
            let file = self.pairs.get(index)?.config.cert.display();
            Some(format!("{file} names {name}, which an earlier certificate has; the earlier one is shown for it"))
        };
        (served, taken.into_iter().filter_map(sentence).collect())
    }
}

impl Pair {
    pub(super) fn load(config: &CertificateConfig, now: i64) -> Result<Self, CertificateError> {
        // Looked at first: a file that is still being written is another one at the next look.
        let seen = seen(config);
        let certificate = Arc::new(Certificate::load(config, now)?);
        Ok(Self { config: config.clone(), certificate, seen, fault: None, may_pass: false })
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn look(&mut self, now: i64) -> Option<Change> {
        let found = seen(&self.config);
        if found == self.seen && !self.may_pass {
            return None;
        }
        match Self::load(&self.config, now) {
            Ok(pair) => {
                *self = pair;
                let not_after = self.certificate.not_after;
                Some(Change::Replaced { file: self.config.cert.clone(), not_after })
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

    /// The files cannot be used.
    fn kept(self, config: &CertificateConfig, error: &CertificateError) -> Self {
        let may_pass = matches!(error.fault, CertificateFault::Unreadable(_) | CertificateFault::NotYetGood(_));
        Self { config: config.clone(), fault: Some(error.to_string()), may_pass, ..self }
    }

    pub(super) fn status(&self, now: i64) -> CertificateStatus {
        let certificate = &self.certificate;
        let ended = || {
            let error = CertificateFault::Expired(certificate.not_after);
            (now > certificate.not_after).then(|| format!("{} {error}", self.config.cert.display()))
        };
        CertificateStatus {
            name: certificate.names.first().map(ToString::to_string).unwrap_or_default(),
            not_after: Some(certificate.not_after),
            fault: self.fault.clone().or_else(ended),
        }
    }

    pub(super) fn listed_as(&self, now: i64, source: impl FnOnce(PathBuf) -> Source) -> Listed {
        Listed {
            names: self.certificate.shown_names(),
            issuer: Some(self.certificate.issuer.clone()),
            not_after: Some(self.certificate.not_after),
            source: source(self.config.cert.clone()),
            next_renewal: None,
            last_error: self.status(now).fault,
        }
    }
}

fn seen(config: &CertificateConfig) -> Seen {
    // Where there is no staple, its place never changes.
    let staple = config.staple.as_ref().unwrap_or(&config.cert);
    [files::look(&config.cert), files::look(&config.key), files::look(staple)]
}
