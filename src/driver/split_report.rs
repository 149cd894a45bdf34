//! The log lines, counters and events of splits.

use log::{info, warn};

use super::origin::{from_address, origin};
use crate::telemetry::{Event, RegistryMetrics};
use furt_core::model::{GatewayName, SplitSpec};
use furt_core::registry::SplitReport;

pub(super) fn report(report: &SplitReport, by: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    match report {
        SplitReport::Set { service, split } => {
            let shares = shares(&split.spec);
            info!("callers of {service} are split, {}: {}", origin(Some(split.from), by), shares.join(", "));
            let header = split.spec.header.as_ref().map(|header| header.as_str().to_owned());
            let event = from_address(Event::new("split-set").service(service), Some(split.from));
            event.with("versions", shares).with("header", header).with("strict", split.spec.strict)
        }
        SplitReport::Removed { service, from } => {
            info!("callers of {service} are split no more, {}", origin(*from, by));
            from_address(Event::new("split-removed").service(service), *from)
        }
        SplitReport::Refused { service, from, refusal } => {
            metrics.refused();
            warn!("refused a change of the split of {service} from {from}: {refusal}");
            Event::new("refused").service(service).with("from", from.to_string()).with("why", refusal.to_string())
        }
    }
}

/// Such as `2.4.0=5%`, in their order.
fn shares(spec: &SplitSpec) -> Vec<String> {
    spec.versions.iter().map(|one| format!("{}={}", one.version, one.share)).collect()
}
