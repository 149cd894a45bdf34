//! The task that does what the plan says: one order at a time, for as long as furt runs.
//!
//! It reads names from what is published, so a reload and a registration need tell it nothing. What it holds is shown through
//! `tls`. Where another furt owns the folder, it shows that one's certificates and orders none.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use instant_acme::CertificateIdentifier;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Mutex;

use super::account;
use super::fault::{OrderError, clean, unpanicking};
use super::folder::{Folder, Stored};
use super::http::RetryAfter;
use super::order::{self, Got, Wish};
use super::plan::{Challenge, FailureKind, Held, Kind, Life, Plan, Step, Window};
use super::reach;
use super::wanted::{Refused, Routes};
use crate::clock;
use crate::config::{AcmeConfig, Config};
use crate::private_files::FileError;
use crate::published::{Published, Snapshots};
use crate::telemetry::{OrderOutcome, TlsMetrics};
use crate::tls::{Acquired, Certificate, Tls};

/// Between two looks at what is published.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// At an upgrade the process before this one has the folder for a moment more: so often it is asked for each second, and then
/// with each look.
const FIRST_TRIES: u32 = 10;
const TRY_EVERY: Duration = Duration::from_secs(1);
/// Looks after which what another furt got meanwhile is read: as often as every 30 s.
const LOOKS_TO_READ: u32 = 6;
/// For a whole order: both polls may take 90 s.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
const HTTPS_PORT: u16 = 443;

/// Gets and renews certificates.
pub struct Keeper {
    tls: Arc<Tls>,
    metrics: Arc<TlsMetrics>,
    snapshots: Snapshots,
    keeping: Mutex<Keeping>,
}

/// What the task changes.
struct Keeping {
    folder: Folder,
    plan: Plan,
    certificates: HashMap<String, Kept>,
    routes: Routes,
    refused: Vec<Refused>,
    retry_after: RetryAfter,
    /// The name that is ordered just now.
    ordering: Option<String>,
    /// How often in a row another furt had the folder; 0: not at the last look.
    refusals: u32,
}

/// A certificate, and where it is from.
struct Kept {
    certificate: Arc<Certificate>,
    directory: String,
    service: Option<String>,
}

impl Keeper {
    /// Shows the certificates that the folder has, before anybody connects. Nothing is ordered yet.
    ///
    /// # Errors
    /// The ledger of orders is damaged: without it no budget holds.
    pub fn open(
        folder: Folder,
        tls: Arc<Tls>,
        metrics: Arc<TlsMetrics>,
        snapshots: Snapshots,
    ) -> Result<Self, FileError> {
        let plan = Plan::new(folder.ledger()?);
        let mut keeping = Keeping {
            folder,
            plan,
            certificates: HashMap::new(),
            routes: Routes::default(),
            refused: Vec::new(),
            retry_after: RetryAfter::default(),
            ordering: None,
            refusals: 0,
        };
        let published = snapshots.load_full();
        keeping.read_certificates(&published.config);
        keeping.look(&published, &tls);
        tls.set_acquired(keeping.shown(&published.config.acme));
        Ok(Self { tls, metrics, snapshots, keeping: Mutex::new(keeping) })
    }

    async fn keep(&self) {
        let mut keeping = self.keeping.lock().await;
        loop {
            let wait = self.step(&mut keeping).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.tls.renewals().asked() => {}
            }
        }
    }

    /// Does one thing, and returns how long nothing is to be done.
    async fn step(&self, keeping: &mut Keeping) -> Duration {
        let published = self.snapshots.load_full();
        let config = Arc::clone(&published.config);
        keeping.look(&published, &self.tls);
        let wait = if config.acme.is_on() { self.step_on(keeping, &config).await } else { LOOK_EVERY };
        self.tls.set_acquired(keeping.shown(&config.acme));
        wait
    }

    async fn step_on(&self, keeping: &mut Keeping, config: &Config) -> Duration {
        if !keeping.own(config) {
            return if (1..FIRST_TRIES).contains(&keeping.refusals) { TRY_EVERY } else { LOOK_EVERY };
        }
        for name in self.tls.renewals().take() {
            log::info!("acme: a certificate for {} is asked for", clean(&name));
            keeping.plan.ask(&name);
        }
        match keeping.plan.next(unix_seconds()) {
            Step::Order { name, challenge, kind } => {
                self.order(keeping, &config.acme, &name, challenge, &kind).await;
                Duration::ZERO
            }
            Step::Ask { name } => {
                keeping.ask(&config.acme, &name).await;
                Duration::ZERO
            }
            Step::Wait { until } => {
                let seconds = u64::try_from(until - unix_seconds()).unwrap_or(0);
                Duration::from_secs(seconds.max(1)).min(LOOK_EVERY)
            }
        }
    }

    async fn order(&self, keeping: &mut Keeping, acme: &AcmeConfig, name: &str, challenge: Challenge, kind: &Kind) {
        if let Kind::New { service } = kind
            && let Err(why) = reach::check(name, acme.check_at.as_deref(), self.tls.challenges()).await
        {
            log::info!("acme: no certificate for {name}, a host of the service {service}: {why}");
            keeping.plan.unreached(name, why, unix_seconds(), fastrand::f64());
            return keeping.keep_ledger_or_say();
        }
        keeping.plan.begin(name, kind, unix_seconds());
        // What cannot be counted is not ordered.
        if let Err(error) = keeping.folder.keep_ledger(keeping.plan.ledger()) {
            log::error!("acme: no certificate for {name}: {error}");
            return keeping.plan.unreached(name, error.to_string(), unix_seconds(), fastrand::f64());
        }
        _ = keeping.retry_after.take();
        keeping.ordering = Some(name.to_owned());
        let obtaining =
            tokio::time::timeout(ORDER_TIMEOUT, unpanicking(self.obtain(keeping, acme, name, challenge))).await;
        keeping.ordering = None;
        let obtained = obtaining.unwrap_or(Err(OrderError::TimedOut(ORDER_TIMEOUT.as_secs())));
        let service = keeping.plan.wanted().get(name).and_then(|wanted| wanted.service.clone());
        match obtained.and_then(|got| keeping.take(acme, name, service, got)) {
            Ok(not_after) => {
                let end = clock::rfc3339(not_after.saturating_mul(1000));
                log::info!("acme: a new certificate for {name} is in force, good until {end}");
                self.metrics.order(OrderOutcome::Issued);
            }
            Err(error) => {
                let failure = error.failure(keeping.retry_after.take());
                self.metrics.order(outcome(failure.kind));
                let why = failure.why.clone();
                let now = unix_seconds();
                keeping.plan.failed(name, failure, now, fastrand::f64());
                let next = keeping.plan.view(name, now).next.unwrap_or(now);
                let next = clock::rfc3339(next.saturating_mul(1000));
                log::warn!("acme: no new certificate for {name}: {why}; tried again at {next}");
            }
        }
        keeping.keep_ledger_or_say();
    }

    async fn obtain(
        &self,
        keeping: &Keeping,
        acme: &AcmeConfig,
        name: &str,
        challenge: Challenge,
    ) -> Result<Got, OrderError> {
        let Keeping { folder, retry_after, .. } = keeping;
        let known = account::known(acme, folder, retry_after).await?;
        let is_new = known.is_none();
        let account = match known {
            Some(account) => account,
            None => account::make(acme, folder, retry_after).await?,
        };
        let replaces = keeping.identifier(acme, name).filter(|_| keeping.plan.has_window(name));
        let wish = Wish { name, challenge, profile: acme.profile.as_deref(), replaces };
        match order::obtain(&account, &wish, self.tls.challenges()).await {
            Err(error) if error.is_account_lost() && !is_new => {
                account::lose(acme, folder)?;
                let account = account::make(acme, folder, retry_after).await?;
                order::obtain(&account, &wish, self.tls.challenges()).await
            }
            obtained => obtained,
        }
    }
}

impl Keeping {
    /// Takes over what is published.
    fn look(&mut self, published: &Published, tls: &Tls) {
        let config = &published.config;
        let is_https = config.tls.listen.iter().any(|address| address.port() == HTTPS_PORT);
        self.plan.first_challenge = if is_https { Challenge::TlsAlpn01 } else { Challenge::Http01 };
        let now = unix_seconds();
        let (wanted, refused) = self.routes.wanted(published, tls, now);
        self.refused = refused;
        self.plan.set_wanted(wanted);
        self.hold_all(&config.acme);
        let ended = |kept: &Kept| kept.certificate.not_after < now;
        let unwanted =
            self.certificates.iter().filter(|(name, kept)| !self.plan.wanted().contains_key(*name) && ended(kept));
        let unwanted: Vec<_> = unwanted.map(|(name, _)| name.clone()).collect();
        // Another furt's are its own to forget.
        for name in unwanted.iter().filter(|_| self.folder.is_owned()) {
            self.folder.forget(name);
            self.plan.let_go(name);
            self.certificates.remove(name);
        }
    }

    /// Tells the plan of certificates that it does not know as they are: read, or from another authority than is configured now.
    fn hold_all(&mut self, acme: &AcmeConfig) {
        for (name, kept) in &self.certificates {
            self.plan.hold_as(name, held(kept, acme));
        }
    }

    /// Whether this process owns the folder; where it does not, what another one has put there is shown.
    fn own(&mut self, config: &Config) -> bool {
        let was_owned = self.folder.is_owned();
        match self.folder.own() {
            Ok(true) if was_owned => true,
            Ok(true) => {
                if self.refusals >= FIRST_TRIES {
                    log::info!("acme: this furt gets certificates now");
                }
                self.refusals = 0;
                // The one that had it may have ordered since this one has read the folder.
                match self.folder.ledger() {
                    Ok(ledger) => self.plan.set_ledger(ledger),
                    Err(error) => log::error!("acme: {error}"),
                }
                self.read_certificates(config);
                true
            }
            Ok(false) => {
                self.refusals = self.refusals.wrapping_add(1);
                if self.refusals == FIRST_TRIES {
                    log::warn!("acme: another furt has the folder of tls.state and gets the certificates");
                }
                if self.refusals.is_multiple_of(LOOKS_TO_READ) {
                    self.read_certificates(config);
                }
                false
            }
            Err(error) => {
                self.refusals = 0;
                log::error!("acme: {error}");
                false
            }
        }
    }

    fn read_certificates(&mut self, config: &Config) {
        let (stored, errors) = self.folder.stored();
        errors.iter().for_each(|error| log::warn!("acme: {error}; another certificate is ordered"));
        for Stored { name, directory, service, chain, key } in stored {
            match Certificate::from_pem(chain.as_bytes(), key.as_bytes()) {
                Ok(certificate) if certificate.is_for(&name) => {
                    // One that is the same stays, so that nothing is put in force anew.
                    if self.certificates.get(&name).is_some_and(|kept| kept.certificate.leaf() == certificate.leaf()) {
                        continue;
                    }
                    let kept = Kept { certificate: Arc::new(certificate), directory, service };
                    self.certificates.insert(name, kept);
                }
                Ok(_) => log::warn!("acme: the certificate that is kept for {} is for others", clean(&name)),
                Err(fault) => log::warn!("acme: what is kept for {} {fault}", clean(&name)),
            }
        }
        self.hold_all(&config.acme);
    }

    /// Keeps and shows a new certificate; returns its last second.
    fn take(&mut self, acme: &AcmeConfig, name: &str, service: Option<String>, got: Got) -> Result<i64, OrderError> {
        let Got { certificate, chain, key } = got;
        let (name, directory) = (name.to_owned(), acme.directory.clone());
        let not_after = certificate.not_after;
        let kept = Kept { certificate, directory: directory.clone(), service: service.clone() };
        self.plan.issued(&name, held(&kept, acme), unix_seconds(), fastrand::f64());
        self.certificates.insert(name.clone(), kept);
        // It is shown even so: an order that is paid for must not be lost by a full disk.
        if let Err(error) = self.folder.keep(&Stored { name, directory, service, chain, key }) {
            log::error!("acme: {error}; the new certificate is shown until furt ends");
        }
        Ok(not_after)
    }

    /// Asks the authority when to renew.
    async fn ask(&mut self, acme: &AcmeConfig, name: &str) {
        _ = self.retry_after.take();
        let asked = unpanicking(self.renewal_info(acme, name)).await;
        let now = unix_seconds();
        match asked {
            Ok(Some((window, retry_after))) => {
                self.plan.answered(name, Some(window), Some(retry_after), now);
                log::debug!("acme: {name} is to be renewed from {} to {}", window.start, window.end);
            }
            Ok(None) => self.plan.answered(name, None, None, now),
            Err(error) => {
                let failure = error.failure(self.retry_after.take());
                log::debug!("acme: when to renew {name} is not told: {}", failure.why);
                match failure.kind {
                    FailureKind::Unreachable => self.plan.unanswered(now),
                    _ => self.plan.answered(name, None, failure.retry_after, now),
                }
            }
        }
    }

    /// `None`: the authority does not say.
    async fn renewal_info(&self, acme: &AcmeConfig, name: &str) -> Result<Option<(Window, i64)>, OrderError> {
        let Some(identifier) = self.identifier(acme, name) else { return Ok(None) };
        let Some(account) = account::known(acme, &self.folder, &self.retry_after).await? else { return Ok(None) };
        account::window(&account, &identifier).await
    }

    /// What the certificate of a name is called by the authority that is configured, if it is from there (RFC 9773 §4.1).
    fn identifier(&self, acme: &AcmeConfig, name: &str) -> Option<CertificateIdentifier<'static>> {
        let kept = self.certificates.get(name).filter(|kept| kept.directory == acme.directory)?;
        CertificateIdentifier::try_from(kept.certificate.leaf()?).ok().map(CertificateIdentifier::into_owned)
    }

    fn keep_ledger_or_say(&self) {
        if let Err(error) = self.folder.keep_ledger(self.plan.ledger()) {
            log::error!("acme: {error}");
        }
    }

    /// What is shown to clients and operators.
    fn shown(&self, acme: &AcmeConfig) -> Vec<Acquired> {
        let now = unix_seconds();
        let mut shown: BTreeMap<&str, Acquired> = BTreeMap::new();
        for (name, wanted) in self.plan.wanted() {
            let view = self.plan.view(name, now);
            let kept = self.certificates.get(name);
            shown.insert(
                name,
                Acquired {
                    name: name.clone(),
                    certificate: kept.map(|kept| Arc::clone(&kept.certificate)),
                    service: wanted.service.clone(),
                    next_renewal: view.next,
                    fault: self.fault(name, wanted.service.is_some(), view.last_error.as_deref(), now),
                    last_error: view.last_error,
                },
            );
        }
        // A service that comes back finds its certificate; a name that was taken out of the configuration is shown no longer.
        let is_of_range = |name: &str| {
            let contains = |host| acme.from_routes.iter().any(|range| range.contains(&host));
            furt_core::model::Host::try_new(name).is_ok_and(contains)
        };
        for (name, kept) in &self.certificates {
            if kept.service.is_some() && is_of_range(name) {
                let certificate = Some(Arc::clone(&kept.certificate));
                let (service, name_of_it) = (kept.service.clone(), name.clone());
                shown.entry(name).or_insert_with(|| Acquired {
                    name: name_of_it,
                    certificate,
                    service,
                    next_renewal: None,
                    last_error: Some("it is not renewed: no service has a route for it".to_owned()),
                    fault: None,
                });
            }
        }
        for Refused { host, service, why } in &self.refused {
            shown.entry(host).or_insert_with(|| Acquired {
                name: host.clone(),
                certificate: None,
                service: Some(service.clone()),
                next_renewal: None,
                last_error: Some(why.clone()),
                fault: None,
            });
        }
        shown.into_values().collect()
    }

    /// What an operator must hear of: never that a service has no certificate yet, which a service could cause as it likes.
    fn fault(&self, name: &str, is_of_service: bool, last_error: Option<&str>, now: i64) -> Option<String> {
        let why = last_error.map_or_else(String::new, |why| format!(": {why}"));
        let Some(kept) = self.certificates.get(name) else {
            return (!is_of_service).then(|| format!("{name} has no certificate yet{why}"));
        };
        let at = |time: i64| clock::rfc3339(time.saturating_mul(1000));
        let Certificate { not_before, not_after, .. } = &*kept.certificate;
        if now > *not_after {
            Some(format!("the certificate of {name} ended at {}{why}", at(*not_after)))
        } else if now < *not_before {
            Some(format!("the certificate of {name} begins at {}; is this machine's clock right?", at(*not_before)))
        } else {
            self.plan.has_failed(name).then(|| format!("the certificate of {name} is not renewed{why}"))
        }
    }
}

/// A certificate as the plan knows it. One of another authority is renewed at once.
fn held(kept: &Kept, acme: &AcmeConfig) -> Held {
    let certificate = &kept.certificate;
    let life = Life { not_before: certificate.not_before, not_after: certificate.not_after };
    Held {
        life,
        service: kept.service.clone(),
        window: None,
        is_foreign: kept.directory != acme.directory,
        fraction: fraction(certificate),
        ask_at: 0,
    }
}

/// From 0 to 1, the same at each start: a new draw would renew earlier with each.
fn fraction(certificate: &Certificate) -> f64 {
    let mut hasher = DefaultHasher::new();
    certificate.leaf().map(|leaf| leaf.as_ref()).hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

fn outcome(kind: FailureKind) -> OrderOutcome {
    match kind {
        FailureKind::Challenge => OrderOutcome::ChallengeFailed,
        FailureKind::RateLimited => OrderOutcome::RateLimited,
        FailureKind::Unreachable => OrderOutcome::Unreachable,
        FailureKind::Other => OrderOutcome::Failed,
    }
}

fn unix_seconds() -> i64 {
    clock::unix_ms().div_euclid(1000)
}

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.keep() => {}
            // Where the sender is gone, so is the server.
            _ = shutdown.wait_for(|stops| *stops) => {}
        }
        let mut keeping = self.keeping.lock().await;
        if let Some(name) = keeping.ordering.take() {
            keeping.plan.cut(&name, unix_seconds());
            keeping.keep_ledger_or_say();
        }
        // A process that takes over need not wait until the last client of this one is gone.
        keeping.folder.disown();
    }
}
