//! Those who vouch for callers beside API keys: made of the configuration at the start and at each reload.
//!
//! An entry that a reload leaves as it is goes on as it was: with the keys, verdicts and connections that it has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::HeaderName;
use tokio::runtime::Handle;

use super::acquiring::place;
use crate::auth::{Asking, ForwardAuth, Issuer, Providers};
use crate::config::{Config, ConfigError, ForwardAuthConfig, IssuerConfig, KeyLocations, StoreConfig};
use crate::published::Published;
use crate::telemetry::{MetricsError, Telemetry, TokenMetrics};

/// The folder of what issuers' keys were last, beside a store on disk.
const FOLDER: &str = "issuers";

/// Services that are named; each of them is a line of the log.
const MAX_TOLD: usize = 20;

/// What makes them.
#[derive(Clone)]
pub(super) struct Providing {
    telemetry: Arc<Telemetry>,
    runtime: Handle,
    shared: Arc<Shared>,
}

/// What all of a kind share; made with the first of them, so that nothing is counted of a kind that there is not.
#[derive(Default)]
struct Shared {
    tokens: OnceLock<TokenMetrics>,
    asking: OnceLock<Arc<Asking>>,
    /// By which services were told who a caller is since the start, as text: the library's names have no order.
    headers: Mutex<BTreeSet<String>>,
}

impl Providing {
    /// Tasks that fetch keys run on `runtime`.
    pub(super) fn new(telemetry: &Arc<Telemetry>, runtime: &Handle) -> Self {
        Self { telemetry: Arc::clone(telemetry), runtime: runtime.clone(), shared: Arc::default() }
    }

    /// Those of a configuration; `before`: those in force. Reads files.
    ///
    /// # Errors
    /// Each file that cannot be used.
    pub(super) fn prepare(
        &self,
        config: &Config,
        locations: &KeyLocations,
        path: &Path,
        before: Option<&Providers>,
    ) -> Result<Option<Arc<Providers>>, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let mut fault = |array, index, message| faults.push(fault((array, index, "ca"), message, locations, path));
        let mut issuers = Vec::new();
        for (index, entry) in config.issuers.iter().enumerate() {
            match self.issuer(entry, config, before) {
                Ok(issuer) => issuers.push(issuer),
                Err(why) => fault("issuers", index, why.to_string()),
            }
        }
        let mut servers = Vec::new();
        for (index, entry) in config.forward_auth.iter().enumerate() {
            match self.server(entry, before) {
                Ok(server) => servers.push(server),
                Err(why) => fault("forward_auth", index, why.to_string()),
            }
        }
        if faults.is_empty() {
            Ok(Providers::new(issuers, servers, self.shared.asking.get(), self.headers(config)).map(Arc::new))
        } else {
            Err(faults)
        }
    }

    /// The headers by which services are told who a caller is, those of configurations before as well.
    fn headers(&self, config: &Config) -> Vec<HeaderName> {
        let mut all = self.shared.headers.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(config.identity_headers().into_iter().map(|name| name.as_str().to_owned()));
        all.iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn issuer(&self, entry: &IssuerConfig, config: &Config, before: Option<&Providers>) -> anyhow::Result<Arc<Issuer>> {
        let same = before.and_then(|before| before.issuers().iter().find(|issuer| issuer.config() == entry));
        if let Some(same) = same.filter(|same| same.has_current_ca()) {
            return Ok(Arc::clone(same));
        }
        let tokens = made(&self.shared.tokens, || self.telemetry.show_tokens())?;
        Ok(Issuer::start(entry, keep(entry, config), tokens, &self.runtime)?)
    }

    fn server(&self, entry: &ForwardAuthConfig, before: Option<&Providers>) -> anyhow::Result<Arc<ForwardAuth>> {
        let same = before.and_then(|before| before.servers().iter().find(|server| server.config() == entry));
        if let Some(same) = same.filter(|same| same.has_current_ca()) {
            return Ok(Arc::clone(same));
        }
        let make = || Ok(Arc::new(Asking::new(Arc::new(self.telemetry.show_forward_auth()?))));
        Ok(ForwardAuth::open(entry.clone(), made(&self.shared.asking, make)?).map(Arc::new)?)
    }
}

/// What the cell has, or else what is made for it. Reloads come one after the other, so that nothing is made twice.
fn made<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, MetricsError>) -> Result<&T, MetricsError> {
    match cell.get() {
        Some(made) => Ok(made),
        None => make().map(|made| cell.get_or_init(|| made)),
    }
}

/// Where the last good keys of an issuer are kept.
fn keep(entry: &IssuerConfig, config: &Config) -> Option<PathBuf> {
    let beside_store = || match &config.store {
        StoreConfig::Disk(file) => Some(file.with_file_name(FOLDER).join(format!("{}.json", entry.name))),
        StoreConfig::Memory | StoreConfig::Etcd => None,
    };
    entry.keep.clone().or_else(beside_store)
}

/// What is wrong with a key of the entry of an array.
fn fault(
    (array, index, key): (&str, usize, &str),
    message: String,
    locations: &KeyLocations,
    path: &Path,
) -> ConfigError {
    let location = place(&format!("{array}[{index}].{key}"), locations, path);
    ConfigError { location, key: format!("{array}.{key}"), message }
}

/// Each file of a configuration that cannot be used. Nothing is made.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let of_issuers = config.issuers.iter().enumerate().filter_map(|(index, entry)| {
        let why = Issuer::check(entry).err()?;
        Some(fault(("issuers", index, why.key()), why.to_string(), locations, path))
    });
    let of_servers = config.forward_auth.iter().enumerate().filter_map(|(index, entry)| {
        let why = ForwardAuth::check(entry).err()?;
        Some(fault(("forward_auth", index, why.key()), why.to_string(), locations, path))
    });
    of_issuers.chain(of_servers).collect()
}

/// Services that nobody can ask where their `auth` names issuers and auth servers alone that the configuration does not have, a sentence
/// each.
pub(super) fn lost(published: &Published) -> Vec<String> {
    let lost = published.registered().filter_map(|service| {
        let definition = &service.definition;
        let methods = definition.auth_lists().find(|methods| published.config.has_none_of(methods))?;
        Some(format!(
            "service \"{}\": nobody is let in where its auth is {methods}: the configuration has none of them",
            definition.service
        ))
    });
    lost.take(MAX_TOLD).collect()
}
