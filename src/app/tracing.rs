//! From `[tracing]` to a collector that spans are sent to.

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::config::{Config, ConfigError, KeyLocations, SourceLocation};
use crate::telemetry::{Collector, Telemetry, Tracer};
use crate::tls::{check_roots, roots};

/// What is wrong with it, beside what each key says itself.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let Some(ca) = &config.tracing.ca else { return Vec::new() };
    let key = "tracing.ca";
    let is_https = config.tracing.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "https");
    let message = match is_https {
        false => Some("is of no use: tracing.endpoint is no https url".to_owned()),
        true => check_roots(Some(ca)).err().map(|why| why.to_string()),
    };
    let whole = || SourceLocation::File { file: path.display().to_string() };
    let location = locations.get(key).cloned().unwrap_or_else(whole);
    message.map(|message| ConfigError { location, key: key.to_owned(), message }).into_iter().collect()
}

/// At the start. `node` is what this gateway is called.
///
/// # Errors
/// The collector cannot be asked.
pub(super) fn open(config: &Config, node: &str, telemetry: &Telemetry) -> Result<Tracer> {
    let tracer = Tracer::new(node, telemetry.tracing.clone());
    tracer.switch(collector(config, &tracer)?);
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
    tracer.collector(endpoint, &roots).map_err(|why| anyhow!("tracing.endpoint: {why}"))
}

/// Whether two configurations have the same collector.
pub(super) fn is_same(one: &Config, other: &Config) -> bool {
    (&one.tracing.endpoint, &one.tracing.ca) == (&other.tracing.endpoint, &other.tracing.ca)
}
