//! The log lines, counters and events of API keys: names, and never a key or a digest.

use log::{info, warn};

use crate::telemetry::{Event, RegistryCounters};
use furt_core::model::KeyName;
use furt_core::registry::KeyReport;

pub(super) fn report(report: &KeyReport, counters: &RegistryCounters) -> Event {
    let keys = &counters.keys;
    match report {
        KeyReport::Created { name, from } => {
            keys.created.inc();
            info!("created the API key {name}, from {from}");
            of("key-created", name).with("from", from.to_string())
        }
        KeyReport::Rotated { name, from } => {
            keys.rotated.inc();
            info!("rotated the API key {name}, from {from}");
            of("key-rotated", name).with("from", from.to_string())
        }
        KeyReport::Revoked { name, from } => {
            keys.revoked.inc();
            info!("revoked the API key {name}, from {from}");
            of("key-revoked", name).with("from", from.to_string())
        }
        KeyReport::Expired(name) => {
            keys.expired.inc();
            info!("the API key {name} expired");
            of("key-expired", name)
        }
        KeyReport::Refused { name, from, refusal } => {
            counters.refusals.inc();
            warn!("refused a change of the API key {name} from {from}: {refusal}");
            of("refused", name).with("from", from.to_string()).with("why", refusal.to_string())
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
