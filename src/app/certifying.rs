//! TLS of both listeners: certificates are read at the start and looked at every few seconds after that, so that whatever
//! renews them need not tell furt; ticket keys grow old.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use super::acquiring::{self, place};
use super::answer_files::AnswerFiles;
use super::{clustering, providing, tracing, updating, vaulting};
use crate::api::ShownTls;
use crate::clock;
use crate::config::{
    CertificateConfig, ClientAuthConfig, Config, ConfigError, ConfigErrors, KeyLocations, SourceLocation,
};
use crate::telemetry::{CertificateSample, ClientAuthSample, Telemetry, TlsMetrics};
use crate::tls::{
    self, CertificateError, Change, FaultyEntry, Http2, InternalTls, OpenError, PreparedUpstream, Tls, UpstreamTls,
};

/// Between two looks at the files: one asks the system for their sizes and times, no more.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// TLS of the listeners that have it and towards services, and what is counted of it.
#[derive(Clone)]
pub(super) struct Certifying {
    pub(super) public: Option<Arc<Tls>>,
    pub(super) internal: Option<Arc<InternalTls>>,
    /// Towards services.
    pub(super) upstream: Arc<UpstreamTls>,
    pub(super) metrics: Arc<TlsMetrics>,
}

/// What a reload puts in force.
pub(super) struct Prepared {
    public: Option<tls::Prepared>,
    upstream: PreparedUpstream,
}

/// What is wrong with the certificates of a configuration and with other files that it names, with the place of each in the file.
pub(crate) fn certificate_faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let checked = tls::check(&config.certificates, unix_seconds());
    let errors = checked.err().unwrap_or_default();
    let errors = errors.into_iter().map(|(index, error)| FaultyEntry::Certificate(index, error));
    let of_clients = tls::check_rules(&config.client_auth).err().unwrap_or_default();
    let faults = errors.chain(of_clients).map(|entry| fault(&entry, locations, path));
    let internal = InternalTls::open(&config.internal, unix_seconds()).err().unwrap_or_default();
    let of_internal = internal.iter().map(|error| internal_fault(error, locations, path));
    let missing = missing(config, locations, path).into_iter().chain(internal_missing(config, locations, path));
    let upstream = UpstreamTls::open(config, unix_seconds()).err().unwrap_or_default();
    let of_upstream = upstream.iter().map(|error| upstream_fault(error, config, locations, path));
    let useless = useless_rules(config, locations, path).into_iter().chain(upstream_missing(config, locations, path));
    let of_acme = acquiring::faults(config, locations, path);
    let of_cluster = clustering::faults(config, locations, path);
    let of_vault = vaulting::faults(config, locations, path);
    let of_updates = updating::faults(config, locations, path);
    let of_answers = AnswerFiles::faults(config, locations, path);
    let of_providers = providing::faults(config, locations, path);
    let of_tracing = tracing::faults(config, locations, path);
    faults
        .chain(missing)
        .chain(useless)
        .chain(of_internal)
        .chain(of_upstream)
        .chain(of_acme)
        .chain(of_cluster)
        .chain(of_vault)
        .chain(of_updates)
        .chain(of_answers)
        .chain(of_providers)
        .chain(of_tracing)
        .collect()
}

/// Keys of the internal listener's TLS that are of no use without others.
fn internal_missing(config: &Config, locations: &KeyLocations, path: &Path) -> Option<ConfigError> {
    let internal = &config.internal;
    let fault = |key: &str, message: &str| {
        let location = place(key, locations, path);
        Some(ConfigError { location, key: key.to_owned(), message: message.to_owned() })
    };
    let is_plain = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    match (&internal.tls_cert, &internal.tls_key, &internal.tls_client_ca) {
        (Some(_), None, _) => fault("internal.tls_key", "is missing; internal.tls_cert needs it"),
        (None, Some(_), _) => fault("internal.tls_cert", "is missing; internal.tls_key is of no use without it"),
        (None, None, Some(_)) => {
            fault("internal.tls_cert", "is missing; internal.tls_client_ca is of no use without it")
        }
        (Some(_), _, _) if internal.listen.iter().all(is_plain) => {
            fault("internal.tls_cert", "is of no use: every address of internal.listen is loopback, which stays plain")
        }
        _ => None,
    }
}

fn internal_fault(error: &CertificateError, locations: &KeyLocations, path: &Path) -> ConfigError {
    let key = format!("internal.tls_{}", error.key);
    ConfigError { location: place(&key, locations, path), key, message: error.to_string() }
}

/// A certificate towards services is of no use without its key, nor the key without it.
fn upstream_missing(config: &Config, locations: &KeyLocations, path: &Path) -> Option<ConfigError> {
    let (key, message) = match (&config.upstream.cert, &config.upstream.key) {
        (Some(_), None) => ("upstream.key", "is missing; upstream.cert needs it"),
        (None, Some(_)) => ("upstream.cert", "is missing; upstream.key is of no use without it"),
        _ => return None,
    };
    Some(ConfigError { location: place(key, locations, path), key: key.to_owned(), message: message.to_owned() })
}

/// The place is that of the first key that names the file.
fn upstream_fault(error: &CertificateError, config: &Config, locations: &KeyLocations, path: &Path) -> ConfigError {
    let names = |ca: &Option<PathBuf>| ca.as_ref() == Some(&error.file);
    let of_upstream = error.key != "ca" || names(&config.upstream.ca);
    let grant = config.grants.iter().position(|grant| names(&grant.ca));
    let route = config.routes.iter().position(|route| names(&route.ca));
    let (table, place_of) = match (of_upstream, grant, route) {
        (false, Some(index), _) => ("grants", format!("grants[{index}].ca")),
        (false, None, Some(index)) => ("routes", format!("routes[{index}].ca")),
        _ => ("upstream", format!("upstream.{}", error.key)),
    };
    let key = format!("{table}.{}", error.key);
    ConfigError { location: place(&place_of, locations, path), key, message: error.to_string() }
}

/// Where there is TLS there must be something to show.
fn missing(config: &Config, locations: &KeyLocations, path: &Path) -> Option<ConfigError> {
    let is_missing = !config.tls.listen.is_empty() && config.certificates.is_empty() && !config.acme.is_on();
    is_missing.then(|| ConfigError {
        location: place("tls.listen", locations, path),
        key: "tls.listen".to_owned(),
        message: "has no certificate to show; there must be a [[certificates]] or a name in [acme]".to_owned(),
    })
}

/// Where there is no TLS nobody is asked for a certificate, though the file says so.
pub(super) fn useless_rules(config: &Config, locations: &KeyLocations, path: &Path) -> Option<ConfigError> {
    let is_useless = config.tls.listen.is_empty() && !config.client_auth.is_empty();
    is_useless.then(|| ConfigError {
        location: place(&ClientAuthConfig::place(0, "hosts"), locations, path),
        key: "client_auth".to_owned(),
        message: "is of no use without tls.listen: its clients would be asked for nothing".to_owned(),
    })
}

fn fault(entry: &FaultyEntry, locations: &KeyLocations, path: &Path) -> ConfigError {
    let (place_of, table, error) = match entry {
        FaultyEntry::Certificate(index, error) => (CertificateConfig::place(*index, error.key), "certificates", error),
        FaultyEntry::ClientAuth(index, error) => (ClientAuthConfig::place(*index, error.key), "client_auth", error),
    };
    ConfigError {
        location: place(&place_of, locations, path),
        key: format!("{table}.{}", error.key),
        message: error.to_string(),
    }
}

fn http2(config: &Config) -> Http2 {
    if config.server.http2 { Http2::Offered } else { Http2::Off }
}

/// # Errors
/// As [`Certifying::open`].
fn open_public(config: &Config, locations: &KeyLocations, path: &Path) -> Result<Tls> {
    if let Some(missing) = missing(config, locations, path) {
        return Err(missing.into());
    }
    let opened = Tls::open(&config.tls, &config.certificates, &config.client_auth, unix_seconds());
    let tls = opened.map_err(|error| match error {
        OpenError::State(error) => anyhow!("tls.state: {error}"),
        OpenError::Files(errors) => {
            let faults = errors.iter().map(|entry| fault(entry, locations, path));
            ConfigErrors::try_new(faults.collect()).map_or_else(|| anyhow!("no certificate"), Into::into)
        }
    })?;
    tls.offer(http2(config));
    Ok(tls)
}

impl Certifying {
    /// Reads all files.
    ///
    /// # Errors
    /// Each certificate that cannot be used; the folder.
    pub(super) fn open(config: &Config, locations: &KeyLocations, path: &Path, telemetry: &Telemetry) -> Result<Self> {
        let public = if config.tls.listen.is_empty() { None } else { Some(open_public(config, locations, path)?) };
        let unusable = internal_missing(config, locations, path).or_else(|| useless_rules(config, locations, path));
        let unusable = unusable.or_else(|| upstream_missing(config, locations, path));
        if let Some(unusable) = unusable {
            return Err(unusable.into());
        }
        ConfigErrors::try_new(acquiring::faults(config, locations, path)).map_or(Ok(()), Err)?;
        let internal = InternalTls::open(&config.internal, unix_seconds()).map_err(|errors| {
            let faults = errors.iter().map(|error| internal_fault(error, locations, path));
            ConfigErrors::try_new(faults.collect())
                .map_or_else(|| anyhow!("internal.tls_cert cannot be shown"), Into::into)
        })?;
        let upstream = UpstreamTls::open(config, unix_seconds()).map_err(|errors| {
            let faults = errors.iter().map(|error| upstream_fault(error, config, locations, path));
            ConfigErrors::try_new(faults.collect()).map_or_else(|| anyhow!("upstream.ca cannot be used"), Into::into)
        })?;
        let metrics = telemetry.show_tls().context("counters cannot be made")?;
        let opened = Self {
            public: public.map(Arc::new),
            internal: internal.map(Arc::new),
            upstream: Arc::new(upstream),
            metrics: Arc::new(metrics),
        };
        opened.tell_shared_names();
        opened.show();
        Ok(opened)
    }

    /// TLS of the public listener, if it has some, and what is counted of it.
    pub(super) fn public(&self) -> Option<(Arc<Tls>, Arc<TlsMetrics>)> {
        Some((self.public.clone()?, Arc::clone(&self.metrics)))
    }

    /// What operators are shown of it.
    pub(super) fn shown(&self) -> ShownTls {
        ShownTls { public: self.public.clone(), internal: self.internal.clone() }
    }

    /// Reads the files of another configuration; nothing is in force yet.
    pub(super) async fn prepare(
        &self,
        config: &Arc<Config>,
        locations: &KeyLocations,
        path: &Path,
    ) -> Result<Prepared, Vec<ConfigError>> {
        if let Some(missing) = upstream_missing(config, locations, path) {
            return Err(vec![missing]);
        }
        let (reading, public, upstream) = (Arc::clone(config), self.public.clone(), Arc::clone(&self.upstream));
        let prepared = tokio::task::spawn_blocking(move || {
            let now = unix_seconds();
            let (certificates, rules, has_acme) = (&reading.certificates, &reading.client_auth, reading.acme.is_on());
            let public = public.map(|tls| tls.prepare(certificates, rules, has_acme, now)).transpose();
            (public, upstream.prepare(&reading, now))
        });
        match prepared.await {
            Ok((Ok(public), Ok(upstream))) => Ok(Prepared { public, upstream }),
            Ok((public, upstream)) => {
                let (public, upstream) = (public.err().unwrap_or_default(), upstream.err().unwrap_or_default());
                let of_upstream = upstream.iter().map(|error| upstream_fault(error, config, locations, path));
                Err(public.iter().map(|entry| fault(entry, locations, path)).chain(of_upstream).collect())
            }
            Err(error) => Err(vec![ConfigError {
                location: SourceLocation::File { file: path.display().to_string() },
                key: "certificates".to_owned(),
                message: format!("could not be read through: {error}"),
            }]),
        }
    }

    /// Puts them in force.
    pub(super) fn apply(&self, prepared: Prepared, config: &Config) {
        self.upstream.apply(prepared.upstream);
        if let Some((tls, prepared)) = self.public.as_ref().zip(prepared.public) {
            tls.apply(prepared, &config.tls);
            tls.offer(http2(config));
            self.tell_shared_names();
        }
        self.show();
    }

    /// Looks at the files once.
    fn look(&self) {
        let now = unix_seconds();
        let mut changes = self.public.as_ref().map(|tls| tls.look(now)).unwrap_or_default();
        changes.extend(self.internal.iter().flat_map(|tls| tls.look(now)));
        changes.extend(self.upstream.look(now));
        for change in &changes {
            match change {
                Change::Replaced { file, not_after } => {
                    let end = clock::rfc3339(not_after.saturating_mul(1000));
                    log::info!("certificates: {} is in force, good until {end}", file.display());
                }
                Change::Authorities { file } => {
                    log::info!("certificates: the authorities of {} are in force", file.display())
                }
                Change::Kept { why } => log::warn!("certificates: {why}; the one before stays in force"),
            }
        }
        if changes.iter().any(|change| matches!(change, Change::Replaced { .. })) {
            self.tell_shared_names();
        }
        self.show();
    }

    /// Makes a new ticket key where one is due.
    fn age_tickets(&self) {
        let now = unix_seconds();
        if let Some(Err(error)) = self.public.as_ref().map(|tls| tls.advance_tickets(now)) {
            log::warn!("tls.state: there is no new ticket key, and the one before is used on: {error}");
        }
    }

    fn tell_shared_names(&self) {
        let names = self.public.as_ref().map(|tls| tls.shared_names()).unwrap_or_default();
        names.iter().for_each(|sentence| log::warn!("certificates: {sentence}"));
    }

    fn show(&self) {
        let now = unix_seconds();
        let public = self.public.as_ref().map(|tls| tls.status(now)).unwrap_or_default();
        let internal = self.internal.as_ref().map(|tls| tls.status(now));
        let samples = public.into_iter().chain(internal).map(|status| CertificateSample {
            name: status.name,
            not_after: status.not_after,
            fault: status.fault,
        });
        let rules = self.public.as_ref().map(|tls| tls.client_status(now)).unwrap_or_default();
        let rules = rules.into_iter().map(|status| ClientAuthSample { host: status.host, fault: status.fault });
        self.metrics.set_in_force(&samples.collect::<Vec<_>>(), &rules.collect::<Vec<_>>(), &self.upstream.faults());
    }
}

fn unix_seconds() -> i64 {
    clock::unix_ms().div_euclid(1000)
}

/// Looks at the files until the last client is gone: a connection is judged by what is in force now, also while furt stops and after
/// another process has taken over. That one has the ticket keys then.
pub(super) struct Watch {
    pub(super) certifying: Certifying,
    pub(super) clients_gone: ShutdownWatch,
}

#[async_trait]
impl BackgroundService for Watch {
    async fn start(&self, shutdown: ShutdownWatch) {
        let watch = async {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let (looking, is_stopping) = (self.certifying.clone(), *shutdown.borrow());
                let look = move || {
                    looking.look();
                    if !is_stopping {
                        looking.age_tickets();
                    }
                };
                // On a thread of its own: files may be on a share that hangs, and reading that panics must not end the watch.
                if let Err(error) = tokio::task::spawn_blocking(look).await {
                    log::warn!("certificates: could not be read through: {error}");
                }
            }
        };
        let mut clients_gone = self.clients_gone.clone();
        tokio::select! {
            () = watch => {}
            // Where the sender is gone, so is the server.
            _ = clients_gone.wait_for(|are_gone| *are_gone) => {}
        }
    }
}
