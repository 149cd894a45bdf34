//! From `[tracing]` to a collector that spans are sent to.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use crate::config::{Config, ConfigError, KeyLocations, SourceLocation};
use crate::telemetry::{Collector, Telemetry, Tracer};
use crate::tls::{check_roots, roots};

/// Authorities that are of no use, or cannot be used.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let tracing = &config.tracing;
    let is_https = tracing.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "https");
    let message = match (&tracing.ca, is_https) {
        (None, false) => None,
        (Some(_), false) => Some("is of no use: tracing.endpoint is no https url".to_owned()),
        // Without a file those of the system, which may be missing as well.
        (ca, true) => check_roots(ca.as_deref()).err().map(|why| why.to_string()),
    };
    message.map(|message| fault("tracing.ca", message, locations, path)).into_iter().collect()
}

/// A collector that cannot be asked.
pub(super) fn unusable(why: &anyhow::Error, locations: &KeyLocations, path: &Path) -> ConfigError {
    fault("tracing.endpoint", why.to_string(), locations, path)
}

fn fault(key: &str, message: String, locations: &KeyLocations, path: &Path) -> ConfigError {
    let whole = || SourceLocation::File { file: path.display().to_string() };
    let location = locations.get(key).cloned().unwrap_or_else(whole);
    ConfigError { location, key: key.to_owned(), message }
}

/// At the start. `node` is what this gateway is called.
///
/// # Errors
/// The collector cannot be asked.
pub(super) fn open(config: &Config, node: &str, telemetry: &Telemetry) -> Result<Tracer> {
    let tracer = Tracer::new(node, telemetry.tracing.clone());
    tracer.switch(collector(config, &tracer).context("tracing.endpoint")?);
    Ok(tracer)
}

/// The collector of a configuration.
///
/// # Errors
/// It cannot be asked.
pub(super) fn collector(config: &Config, tracer: &Tracer) -> Result<Collector> {
    let Some(endpoint) = &config.tracing.endpoint else { return Ok(Collector::default()) };
    // Plain HTTP needs no authorities; none may be there.
    let roots = if endpoint.scheme() == "https" { roots(config.tracing.ca.as_deref())? } else { Vec::new() };
    tracer.collector(endpoint, &roots).map_err(|why| anyhow!("is not a collector that can be asked: {why}"))
}

/// Whether two configurations have the same collector.
pub(super) fn is_same(one: &Config, other: &Config) -> bool {
    (&one.tracing.endpoint, &one.tracing.ca) == (&other.tracing.endpoint, &other.tracing.ca)
}
