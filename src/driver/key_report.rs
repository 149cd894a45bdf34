//! The log lines, counters and events of API keys: names, and never a key or a digest.

use log::{info, warn};

use super::origin::{origin, with_actor};
use crate::telemetry::{Event, RegistryMetrics};
use furt_core::model::{GatewayName, KeyName};
use furt_core::registry::KeyReport;

pub(super) fn report(report: &KeyReport, gateway: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    // A command is counted by the gateway that took it.
    let is_own = gateway.is_none();
    match report {
        KeyReport::Created { name, by } => {
            if is_own {
                metrics.key_created();
            }
            info!("created the API key {name}, {}", origin(by.as_ref(), gateway));
            with_actor(of("key-created", name), by.as_ref())
        }
        KeyReport::Rotated { name, by } => {
            if is_own {
                metrics.key_rotated();
            }
            info!("rotated the API key {name}, {}", origin(by.as_ref(), gateway));
            with_actor(of("key-rotated", name), by.as_ref())
        }
        KeyReport::Changed { name, by } => {
            info!("changed the API key {name}, {}", origin(by.as_ref(), gateway));
            with_actor(of("key-changed", name), by.as_ref())
        }
        KeyReport::Revoked { name, by } => {
            if is_own {
                metrics.key_revoked();
            }
            info!("revoked the API key {name}, {}", origin(by.as_ref(), gateway));
            with_actor(of("key-revoked", name), by.as_ref())
        }
        KeyReport::Expired(name) => {
            metrics.key_expired();
            info!("the API key {name} expired");
            of("key-expired", name)
        }
        KeyReport::Refused { name, by, refusal } => {
            metrics.refused();
            warn!("refused a change of the API key {name} from {by}: {refusal}");
            with_actor(of("refused", name), Some(by)).with("why", refusal.to_string())
        }
        KeyReport::Suspended { name, why } => {
            warn!("the API key {name} is kept but not used: {why}");
            of("key-blocked", name).with("why", &**why)
        }
        KeyReport::RemovalFailed { names, why } => {
            let (first, others) = (names.first().map_or("", KeyName::as_str), names.len().saturating_sub(1));
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            warn!(
                "the end of the API key {first}{more} could not be stored, and is tried again; refused all the same: {why}"
            );
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            Event::new("key-removal-failed").with("keys", names).with("why", &**why)
        }
    }
}

fn of(kind: &'static str, name: &KeyName) -> Event {
    Event::new(kind).with("key", name.as_str())
}
