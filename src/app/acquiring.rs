//! `[acme]`: what is wrong with it beside each key alone, and the task that gets certificates.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::acme::{self, Folder, Keeper};
use crate::config::{AcmeConfig, Config, ConfigError, KeyLocations, SourceLocation};
use crate::published::Snapshots;
use crate::telemetry::TlsMetrics;
use crate::tls::{Tls, check_roots};

/// Keys that are of no use without others, and files that cannot be used.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let acme = &config.acme;
    let fault = |key: &str, message: String| ConfigError {
        location: place(key, locations, path),
        key: key.to_owned(),
        message,
    };
    let mut faults = Vec::new();
    if acme.is_on() {
        let key = if acme.names.is_empty() { "acme.from_routes" } else { "acme.names" };
        if config.tls.listen.is_empty() {
            faults.push(fault(key, "is of no use without tls.listen".to_owned()));
        }
        if !acme.agree_terms {
            let why = format!("must be true: {} gives certificates to those who agree to its terms", acme.directory);
            faults.push(fault("acme.agree_terms", why));
        }
    }
    faults.extend(account_fault(acme).map(|(key, why)| fault(key, why)));
    if acme.is_on() || acme.ca.is_some() {
        faults.extend(check_roots(acme.ca.as_deref()).err().map(|why| fault("acme.ca", why.to_string())));
    }
    faults
}

/// Where a key stands in the file, or the file.
pub(super) fn place(key: &str, locations: &KeyLocations, path: &Path) -> SourceLocation {
    locations.get(key).cloned().unwrap_or_else(|| SourceLocation::File { file: path.display().to_string() })
}

/// What is wrong with the account that was made elsewhere.
fn account_fault(acme: &AcmeConfig) -> Option<(&'static str, String)> {
    match (&acme.eab_kid, &acme.eab_key_file) {
        (None, None) => None,
        (Some(_), None) => {
            Some(("acme.eab_kid", "is of no use alone; acme.eab_key_file must be set as well".to_owned()))
        }
        (None, Some(_)) => {
            Some(("acme.eab_key_file", "is of no use alone; acme.eab_kid must be set as well".to_owned()))
        }
        (Some(kid), Some(file)) => {
            let why = acme::external_account(kid, file).err()?;
            Some(("acme.eab_key_file", format!("{} {why}", file.display())))
        }
    }
}

/// The task; `None`: nothing of the public listener is under TLS.
///
/// # Errors
/// The folder below `tls.state`.
pub(super) fn keeper(
    config: &Config,
    public: Option<(Arc<Tls>, Arc<TlsMetrics>)>,
    snapshots: &Snapshots,
) -> Result<Option<Keeper>> {
    let Some((tls, metrics)) = public else { return Ok(None) };
    let folder = Folder::new(&config.tls.state);
    if config.acme.is_on() {
        folder.make().map_err(|error| anyhow!("tls.state: {error}"))?;
    }
    let keeper = Keeper::open(folder, tls, metrics, Arc::clone(snapshots));
    Ok(Some(keeper.map_err(|error| anyhow!("tls.state: {error}"))?))
}
