//! The log lines and counters of API keys: names, and never a key or a digest.

use log::{info, warn};

use crate::model::KeyName;
use crate::registry::KeyReport;
use crate::telemetry::RegistryCounters;

pub(super) fn report(report: &KeyReport, counters: &RegistryCounters) {
    let keys = &counters.keys;
    match report {
        KeyReport::Created { name, from } => {
            keys.created.inc();
            info!("created the API key {name}, from {from}");
        }
        KeyReport::Rotated { name, from } => {
            keys.rotated.inc();
            info!("rotated the API key {name}, from {from}");
        }
        KeyReport::Revoked { name, from } => {
            keys.revoked.inc();
            info!("revoked the API key {name}, from {from}");
        }
        KeyReport::Expired(name) => {
            keys.expired.inc();
            info!("the API key {name} expired");
        }
        KeyReport::Refused { name, from, refusal } => {
            counters.refusals.inc();
            warn!("refused a change of the API key {name} from {from}: {refusal}");
        }
        KeyReport::Blocked { name, why } => warn!("the API key {name} is kept but not used: {why}"),
        KeyReport::RemovalFailed { names, why } => {
            let (first, others) = (names.first().map_or("", KeyName::as_str), names.len().saturating_sub(1));
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            warn!(
                "the end of the API key {first}{more} could not be stored, and is tried again; refused all the same: {why}"
            );
        }
    }
}
