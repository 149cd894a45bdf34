//! The log lines, counters and events of splits.

use log::{info, warn};

use super::origin::{origin, with_actor};
use crate::telemetry::{Event, RegistryMetrics};
use furt_core::model::{GatewayName, SplitSpec};
use furt_core::registry::SplitReport;

pub(super) fn report(report: &SplitReport, gateway: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    match report {
        SplitReport::Set { service, split } => {
            let shares = shares(&split.spec);
            info!("callers of {service} are split, {}: {}", origin(Some(&split.by), gateway), shares.join(", "));
            let header = split.spec.header.as_ref().map(|header| header.as_str().to_owned());
            let event = with_actor(Event::new("split-set").service(service), Some(&split.by));
            event.with("versions", shares).with("header", header).with("strict", split.spec.strict)
        }
        SplitReport::Removed { service, by } => {
            info!("callers of {service} are split no more, {}", origin(by.as_ref(), gateway));
            with_actor(Event::new("split-removed").service(service), by.as_ref())
        }
        SplitReport::Refused { service, by, refusal } => {
            metrics.refused();
            warn!("refused a change of the split of {service} from {by}: {refusal}");
            with_actor(Event::new("refused").service(service), Some(by)).with("why", refusal.to_string())
        }
    }
}

/// Such as `2.4.0=5%`, in their order.
fn shares(spec: &SplitSpec) -> Vec<String> {
    spec.versions.iter().map(|one| format!("{}={}", one.version, one.share)).collect()
}
