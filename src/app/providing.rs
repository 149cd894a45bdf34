//! Those who vouch for callers beside API keys: made of the configuration at the start and at each reload.
//!
//! An entry that a reload leaves as it is goes on as it was: with the keys, verdicts and connections that it has.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use super::acquiring::place;
use crate::auth::{Asking, ForwardAuth, Issuer, IssuerError, OpenError, Providers};
use crate::config::{Config, ConfigError, ForwardAuthConfig, IssuerConfig, KeyLocations, StoreConfig};
use crate::telemetry::{MetricsError, Telemetry, TokenMetrics};

/// The folder of what issuers' keys were last, beside a store on disk.
const FOLDER: &str = "issuers";

/// What makes them.
#[derive(Clone)]
pub(super) struct Providing {
    telemetry: Arc<Telemetry>,
    runtime: Handle,
    shared: Arc<OnceLock<Shared>>,
}

/// What all of them share; made with the first of them, so that nothing of it is counted where there is none.
struct Shared {
    tokens: TokenMetrics,
    asking: Arc<Asking>,
}

impl Providing {
    /// Tasks that fetch keys run on `runtime`.
    pub(super) fn new(telemetry: &Arc<Telemetry>, runtime: &Handle) -> Self {
        Self { telemetry: Arc::clone(telemetry), runtime: runtime.clone(), shared: Arc::default() }
    }

    fn shared(&self) -> Result<&Shared, MetricsError> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let tokens = self.telemetry.show_tokens()?;
        let asking = Arc::new(Asking::new(Arc::new(self.telemetry.show_forward_auth()?)));
        // Reloads come one after the other.
        Ok(self.shared.get_or_init(|| Shared { tokens, asking }))
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
        if config.issuers.is_empty() && config.forward_auth.is_empty() {
            return Ok(None);
        }
        let mut faults = Vec::new();
        let mut fault = |key: String, message: String| faults.push(fault(&key, message, locations, path));
        let shared = match self.shared() {
            Ok(shared) => shared,
            Err(why) => {
                fault("issuers".to_owned(), format!("cannot be counted: {why}"));
                return Err(faults);
            }
        };
        let mut issuers = Vec::new();
        for (index, entry) in config.issuers.iter().enumerate() {
            match self.issuer(entry, config, (shared, before)) {
                Ok(issuer) => issuers.push(issuer),
                Err(why) => fault(format!("issuers[{index}].ca"), why.to_string()),
            }
        }
        let mut servers = Vec::new();
        for (index, entry) in config.forward_auth.iter().enumerate() {
            match server(entry, &shared.asking, before) {
                Ok(server) => servers.push(server),
                Err(why) => fault(format!("forward_auth[{index}].ca"), why.to_string()),
            }
        }
        if faults.is_empty() {
            Ok(Providers::new(config, issuers, servers, &shared.asking).map(Arc::new))
        } else {
            Err(faults)
        }
    }

    fn issuer(
        &self,
        entry: &IssuerConfig,
        config: &Config,
        (shared, before): (&Shared, Option<&Providers>),
    ) -> Result<Arc<Issuer>, IssuerError> {
        let same = before.and_then(|before| before.issuers().iter().find(|issuer| issuer.config() == entry));
        match same {
            Some(same) => Ok(Arc::clone(same)),
            None => Issuer::start(entry, keep(entry, config), &shared.tokens, &self.runtime),
        }
    }
}

fn server(
    entry: &ForwardAuthConfig,
    asking: &Asking,
    before: Option<&Providers>,
) -> Result<Arc<ForwardAuth>, OpenError> {
    let same = before.and_then(|before| before.servers().iter().find(|server| server.config() == entry));
    match same {
        Some(same) => Ok(Arc::clone(same)),
        None => ForwardAuth::open(entry.clone(), asking).map(Arc::new),
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

fn fault(key: &str, message: String, locations: &KeyLocations, path: &Path) -> ConfigError {
    ConfigError { location: place(key, locations, path), key: key.to_owned(), message }
}

/// Each file of a configuration that cannot be used. Nothing is made.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let of_issuers = config.issuers.iter().enumerate().filter_map(|(index, entry)| {
        let why = Issuer::check(entry).err()?;
        Some(fault(&format!("issuers[{index}].ca"), why.to_string(), locations, path))
    });
    let of_servers = config.forward_auth.iter().enumerate().filter_map(|(index, entry)| {
        let why = ForwardAuth::check(entry).err()?;
        Some(fault(&format!("forward_auth[{index}].ca"), why.to_string(), locations, path))
    });
    of_issuers.chain(of_servers).collect()
}
